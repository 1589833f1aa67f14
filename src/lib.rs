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
mod relcache;
mod roles;
mod rollup;
mod settings;
mod setup;
mod subtransaction;
mod tokens;
mod trends;
mod upgrade;
mod workspaces;

::pgrx::pg_module_magic!(name, version);

/// The schema of the machinery. Functions join it with `schema = "analytics_internal"` in their own files.
#[pg_schema]
mod analytics_internal {}

extension_sql_file!("../sql/bootstrap.sql", name = "bootstrap", bootstrap);
extension_sql_file!(
    "../sql/setup.sql",
    name = "setup",
    requires = [
        setup::require_schema,
        errors::refuse,
        errors::refuse_argument,
        workspaces::is_time_zone,
        workspaces::require_workspace,
        workspaces::require_agent,
    ]
);

/// Files of `sql/`: path, name, and what the install script has before it besides `setup`. Only what CREATE itself
/// looks up need be said: functions that a file comments on or alters, and types in its signatures. A body that is a
/// string is not read before it runs. (pgrx wants paths and names as literals.)
macro_rules! sql_files {
    ($($path:literal as $name:literal after [$($needed:tt)*];)*) => {
        $(extension_sql_file!($path, name = $name, requires = ["setup", $($needed)*]);)*
    };
}

sql_files! {
    "../sql/partitions.sql" as "partitions" after [partitions::move_rows];

    "../sql/agents/registry.sql" as "agents_registry" after [];
    "../sql/agents/windows.sql" as "agents_windows" after [];
    "../sql/agents/performance.sql" as "agents_performance" after [];
    "../sql/agents/usage.sql" as "agents_usage" after [];
    "../sql/agents/executions.sql" as "agents_executions" after [];
    "../sql/agents/resources.sql" as "agents_resources" after [];

    "../sql/ingest.sql" as "ingest" after [];

    "../sql/percentiles.sql" as "percentiles" after [percentiles::sketch::sketch_histogram];

    "../sql/access/levels.sql" as "access_levels" after [];
    "../sql/access/tables.sql" as "access_tables" after [access::drop_statistics];
    "../sql/access/members.sql" as "access_members" after [access::require_level, access::change_member];
    "../sql/access/gateway.sql" as "access_gateway" after [];
    "../sql/access/limits.sql" as "access_limits" after [];

    "../sql/masking.sql" as "masking" after [masking::mask_json_text, masking::reads_everything];

    "../sql/rollup/capture.sql" as "rollup_capture" after [
        rollup::partitions::run_partitions, rollup::partitions::source_partitions,
    ];
    "../sql/rollup/reads.sql" as "rollup_reads" after [];
    "../sql/rollup/refresh.sql" as "rollup_refresh" after [];
    "../sql/rollup/repair.sql" as "rollup_repair" after [];
    "../sql/rollup/status.sql" as "rollup_status" after [];
    "../sql/rollup/retention.sql" as "rollup_retention" after [
        rollup::retention::remove_rows, rollup::retention::unlink_runs,
    ];
    "../sql/rollup/schedule.sql" as "rollup_schedule" after [];

    "../sql/execution/windows.sql" as "execution_windows" after [];
    "../sql/execution/throughput.sql" as "execution_throughput" after ["percentiles"];
    "../sql/execution/summary.sql" as "execution_summary" after ["percentiles"];
    "../sql/execution/realtime.sql" as "execution_realtime" after [];
    "../sql/execution/queue.sql" as "execution_queue" after [];
    "../sql/execution/concurrency.sql" as "execution_concurrency" after [execution::concurrency];

    "../sql/workspaces.sql" as "workspaces" after [];

    "../sql/comparison.sql" as "comparison" after ["percentiles", comparison::rank_test];

    "../sql/error_analytics.sql" as "error_analytics" after [error_analytics::error_fingerprint];

    "../sql/suggestions.sql" as "suggestions" after [];

    "../sql/agent_analytics.sql" as "agent_analytics" after [];

    "../sql/demo.sql" as "demo" after [
        demo::demo_workspaces, demo::demo_agents, demo::demo_incidents, demo::demo_runs, demo::demo_errors,
        demo::demo_feedback, demo::demo_queue,
    ];

    "../sql/audit.sql" as "audit" after [audit::record_audit_text];

    "../sql/tokens.sql" as "tokens" after [tokens::keys::check_token_key, tokens::keys::new_secret];

    "../sql/leaderboards/inputs.sql" as "leaderboards_inputs" after [
        leaderboards::require_board, leaderboards::standings::board_standings, leaderboards::standings::board_terms,
    ];
    "../sql/leaderboards/live.sql" as "leaderboards_live" after [
        leaderboards::workspaces::workspace_board, leaderboards::workspaces::explain_workspace,
    ];
    "../sql/leaderboards/boards.sql" as "leaderboards_boards" after [];
    "../sql/leaderboards/history.sql" as "leaderboards_history" after [];
    "../sql/leaderboards/refresh.sql" as "leaderboards_refresh" after [];

    "../sql/lifecycle/states.sql" as "lifecycle_states" after [
        lifecycle::states::state_rows, lifecycle::states::state_totals,
    ];
    "../sql/lifecycle/rules.sql" as "lifecycle_rules" after [
        lifecycle::analysis::check_dependencies, lifecycle::rules::validate_lifecycle,
        lifecycle::rules::replace_lifecycle_text, lifecycle::rules::default_lifecycle_states,
        lifecycle::rules::default_lifecycle_transitions, lifecycle::rules::default_lifecycle_guards,
        lifecycle::rules::lifecycle_metrics,
    ];
    "../sql/lifecycle/transitions.sql" as "lifecycle_transitions" after [];
    "../sql/lifecycle/versions.sql" as "lifecycle_versions" after [];
    "../sql/lifecycle/analysis.sql" as "lifecycle_analysis" after [
        lifecycle::analysis::check_dependencies, lifecycle::analysis::compare_means,
        lifecycle::analysis::compare_shares, lifecycle::analysis::health_of,
    ];
    "../sql/lifecycle/health.sql" as "lifecycle_health" after [];

    "../sql/trends/arrays.sql" as "trends_arrays" after [];
    "../sql/trends/score.sql" as "trends_score" after [];
    "../sql/trends/metrics.sql" as "trends_metrics" after [];
    "../sql/trends/analysis.sql" as "trends_analysis" after [];
    "../sql/trends/rules.sql" as "trends_rules" after [];
}
// What the build script writes from declarations.
include!(concat!(env!("OUT_DIR"), "/rollup_declared.rs"));

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
