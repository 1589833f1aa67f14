//! `shadower_analytics`: analytics for AI agents inside Postgres.
//!
//! One file (or folder) per capability. The algorithms live in `crates/` and know nothing of Postgres;
//! the files here turn them into SQL functions and aggregates.

use pgrx::prelude::*;

mod access;
mod agents;
mod audit;
mod comparison;
mod demo;
mod error_analytics;
mod errors;
mod execution;
mod fmgr;
mod ingest;
mod leaderboards;
mod lifecycle;
mod maintenance;
mod masking;
mod migrations;
mod partitions;
mod percentiles;
mod pgvec;
mod query;
mod roles;
mod rollup;
mod settings;
mod setup;
mod subtransaction;
mod tokens;
mod trends;
mod workspaces;

::pgrx::pg_module_magic!(name, version);

/// The schema of the machinery. Functions join it with `schema = "analytics_internal"` in their own files.
#[pg_schema]
mod analytics_internal {}

extension_sql_file!("../sql/bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!(
    "../sql/setup.sql",
    name = "setup_sql",
    requires = [
        library_version,
        setup::setup,
        setup::schema_version,
        setup::require_schema,
        errors::refuse,
        errors::refuse_argument,
        workspaces::is_time_zone,
        workspaces::require_workspace,
        workspaces::require_agent,
    ]
);
extension_sql_file!(
    "../sql/partitions.sql",
    name = "partitions_sql",
    requires = ["setup_sql", partitions::move_rows]
);
extension_sql_file!(
    "../sql/agents.sql",
    name = "agents_sql",
    requires = ["setup_sql", agents::agent_id]
);
extension_sql_file!(
    "../sql/ingest.sql",
    name = "ingest_sql",
    requires = ["agents_sql"]
);
extension_sql_file!(
    "../sql/percentiles.sql",
    name = "percentiles_sql",
    requires = [
        percentiles::sketch::sketch_histogram,
        percentiles::arrays::calculate_percentiles,
        percentiles::arrays::sparkline,
    ]
);
extension_sql_file!(
    "../sql/access.sql",
    name = "access_sql",
    requires = [
        "setup_sql",
        access::accessible_workspaces,
        access::require_level,
        access::change_member,
        access::drop_statistics,
    ]
);
extension_sql_file!(
    "../sql/masking.sql",
    name = "masking_sql",
    requires = [
        "setup_sql",
        masking::mask_text,
        masking::mask_json_text,
        masking::reads_everything,
    ]
);
extension_sql_file!(
    "../sql/rollup.sql",
    name = "rollup_sql",
    requires = [
        "agents_sql",
        "percentiles_sql",
        rollup::partitions::run_partitions,
        rollup::refresh::refresh,
        rollup::summaries::refresh_materialized_views,
        rollup::repair::rebuild_rollup,
        rollup::repair::verify_rollups,
        rollup::retention::remove_rows,
        rollup::retention::unlink_runs,
    ]
);
extension_sql_file!(
    "../sql/execution.sql",
    name = "execution_sql",
    requires = ["rollup_sql", execution::concurrency]
);
extension_sql_file!(
    "../sql/workspaces.sql",
    name = "workspaces_sql",
    requires = ["rollup_sql"]
);
extension_sql_file!(
    "../sql/comparison.sql",
    name = "comparison_sql",
    requires = [
        "rollup_sql",
        comparison::two_proportion_test,
        comparison::welch_test,
        comparison::rank_test,
    ]
);
extension_sql_file!(
    "../sql/error_analytics.sql",
    name = "error_analytics_sql",
    requires = [
        "rollup_sql",
        error_analytics::error_fingerprint,
        error_analytics::message_pattern,
    ]
);
extension_sql_file!(
    "../sql/suggestions.sql",
    name = "suggestions_sql",
    requires = ["comparison_sql", "error_analytics_sql"]
);
extension_sql_file!(
    "../sql/agent_analytics.sql",
    name = "agent_analytics_sql",
    requires = ["comparison_sql", "error_analytics_sql", "suggestions_sql"]
);
extension_sql_file!(
    "../sql/demo.sql",
    name = "demo_sql",
    requires = [
        "partitions_sql",
        "agents_sql",
        demo::demo_workspaces,
        demo::demo_agents,
        demo::demo_incidents,
        demo::demo_runs,
        demo::demo_errors,
        demo::demo_feedback,
        demo::demo_queue,
    ]
);
extension_sql_file!(
    "../sql/audit.sql",
    name = "audit_sql",
    requires = [
        "setup_sql",
        audit::record_audit_text,
        audit::cleanup_audit_log
    ]
);
extension_sql_file!(
    "../sql/tokens.sql",
    name = "tokens_sql",
    requires = [
        "access_sql",
        "audit_sql",
        tokens::authenticate::authenticate,
        tokens::authenticate::try_authenticate,
        tokens::authenticate::logout,
        access::current_user_id,
        tokens::authenticate::current_permissions,
        tokens::issue::issue_token,
        tokens::issue::refresh_token,
        tokens::keys::check_token_key,
        tokens::keys::new_secret,
    ]
);
extension_sql_file!(
    "../sql/leaderboards/inputs.sql",
    name = "leaderboards_inputs_sql",
    requires = [
        "agents_sql",
        "percentiles_sql",
        "access_sql",
        "rollup_sql",
        leaderboards::require_board,
        leaderboards::wilson_lower_bound,
        leaderboards::standings::board_standings,
        leaderboards::standings::board_terms,
        leaderboards::standings::rank_scores,
    ]
);
extension_sql_file!(
    "../sql/leaderboards/live.sql",
    name = "leaderboards_live_sql",
    requires = [
        "leaderboards_inputs_sql",
        leaderboards::workspaces::workspace_board,
        leaderboards::workspaces::explain_workspace
    ]
);
extension_sql_file!(
    "../sql/leaderboards/kept.sql",
    name = "leaderboards_kept_sql",
    requires = ["leaderboards_live_sql"]
);
extension_sql_file!(
    "../sql/lifecycle/states.sql",
    name = "lifecycle_states_sql",
    requires = [
        "percentiles_sql",
        lifecycle::states::state_rows,
        lifecycle::states::state_totals
    ]
);
extension_sql_file!(
    "../sql/lifecycle/rules.sql",
    name = "lifecycle_rules_sql",
    requires = [
        "agents_sql",
        "access_sql",
        lifecycle::analysis::check_dependencies,
        lifecycle::rules::validate_lifecycle,
        lifecycle::rules::replace_lifecycle_text,
        lifecycle::rules::default_lifecycle_states,
        lifecycle::rules::default_lifecycle_transitions,
        lifecycle::rules::default_lifecycle_guards,
        lifecycle::rules::lifecycle_metrics
    ]
);
extension_sql_file!(
    "../sql/lifecycle/transitions.sql",
    name = "lifecycle_transitions_sql",
    requires = [
        "lifecycle_rules_sql",
        "rollup_sql",
        lifecycle::transition::transition_agent,
        lifecycle::requests::request_transition,
        lifecycle::requests::approve_transition,
        lifecycle::requests::reject_transition
    ]
);
extension_sql_file!(
    "../sql/lifecycle/versions.sql",
    name = "lifecycle_versions_sql",
    requires = [
        "lifecycle_transitions_sql",
        lifecycle::analysis::compare_means,
        lifecycle::analysis::compare_shares
    ]
);
extension_sql_file!(
    "../sql/lifecycle/analysis.sql",
    name = "lifecycle_analysis_sql",
    requires = [
        "lifecycle_states_sql",
        "lifecycle_versions_sql",
        lifecycle::analysis::kaplan_meier,
        lifecycle::analysis::survival_median,
        lifecycle::analysis::log_rank_test,
        lifecycle::analysis::health_of
    ]
);
extension_sql_file!(
    "../sql/lifecycle/health.sql",
    name = "lifecycle_health_sql",
    requires = ["lifecycle_analysis_sql"]
);
extension_sql_file!(
    "../sql/trends.sql",
    name = "trends_sql",
    requires = [
        "rollup_sql",
        "access_sql",
        "agents_sql",
        trends::anomalies::detect_anomalies,
        trends::anomalies::detect_group_anomalies,
        trends::anomalies::outliers,
        trends::forecasts::forecast,
        trends::forecasts::backtest,
        trends::shape::decompose_series,
        trends::shape::seasonal_periods,
        trends::shape::change_points,
        trends::shape::trend_test,
    ]
);
extension_sql_file!("../sql/finalize.sql", name = "finalize", finalize);

/// The version of the loaded library, for support and for upgrade checks.
#[pg_extern(sql = false)]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(any(test, feature = "pg_test"))]
#[pg_schema]
mod tests {
    use pgrx::prelude::*;

    #[pg_test]
    fn library_version_is_the_crate_version() {
        assert_eq!(
            Spi::get_one::<&str>("SELECT analytics.library_version()"),
            Ok(Some(env!("CARGO_PKG_VERSION")))
        );
    }
}

/// `cargo pgrx test` calls these by name.
#[cfg(test)]
pub mod pg_test {
    /// One-off preparation of the test server: nothing is needed.
    pub fn setup(_options: Vec<&str>) {}

    /// Settings of the test server's postgresql.conf.
    #[must_use]
    pub fn postgresql_conf_options() -> Vec<&'static str> {
        Vec::new()
    }
}
