-- What reporting tools read: the materialized views, each behind a view that shows a reader the workspaces they may see.
-- A materialized view has no row security, and some tools do not list the columns of one.

CREATE OR REPLACE VIEW analytics.agent_analytics_summary WITH (security_barrier = true) AS
SELECT s.* FROM analytics_internal.agent_analytics_summary AS s
WHERE (SELECT analytics_internal.reads_everything())
   OR s.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')));

CREATE OR REPLACE VIEW analytics.workspace_daily_summary WITH (security_barrier = true) AS
SELECT s.* FROM analytics_internal.workspace_daily_summary AS s
WHERE (SELECT analytics_internal.reads_everything())
   OR s.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')));

CREATE OR REPLACE VIEW analytics.error_daily_summary WITH (security_barrier = true) AS
SELECT s.* FROM analytics_internal.error_daily_summary AS s
WHERE (SELECT analytics_internal.reads_everything())
   OR s.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')));

CREATE OR REPLACE VIEW analytics.top_agents WITH (security_barrier = true) AS
SELECT s.* FROM analytics_internal.top_agents AS s
WHERE (SELECT analytics_internal.reads_everything())
   OR s.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')));

COMMENT ON VIEW analytics.agent_analytics_summary IS 'What each agent did on each UTC day, as of the last refresh of the materialized views (analytics.refresh_materialized_views()).';
COMMENT ON VIEW analytics.workspace_daily_summary IS 'What each workspace did on each UTC day, as of the last refresh of the materialized views.';
COMMENT ON VIEW analytics.error_daily_summary IS 'Errors of each workspace on each UTC day by category and severity, as of the last refresh of the materialized views.';
COMMENT ON VIEW analytics.top_agents IS 'Agents of each workspace and UTC month by their runs, as of the last refresh of the materialized views.';

DO $comments$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT c.relname, a.attname, m.comment
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN (VALUES
            ('workspace_id', 'The workspace.'),
            ('agent_id', 'The agent.'),
            ('day', 'Start of the UTC day.'),
            ('month', 'Start of the UTC month.'),
            ('error_category', 'Category of the errors.'),
            ('error_severity', 'Severity of the errors.'),
            ('total_runs', 'Runs that started.'),
            ('successful_runs', 'Runs with status completed.'),
            ('failed_runs', 'Runs with status failed.'),
            ('timeout_runs', 'Runs with status timeout.'),
            ('cancelled_runs', 'Runs with status cancelled.'),
            ('running_runs', 'Runs with status running.'),
            ('queued_runs', 'Runs with status queued.'),
            ('success_rate', 'Completed runs over finished ones, 0 to 1; NULL when none has finished.'),
            ('avg_runtime_seconds', 'Mean runtime in seconds; NULL without a runtime.'),
            ('median_runtime_seconds', 'Median runtime in seconds: exact up to 250 runs, then within 1 %.'),
            ('min_runtime_seconds', 'Shortest runtime in seconds.'),
            ('max_runtime_seconds', 'Longest runtime in seconds.'),
            ('p75_runtime_seconds', '75th percentile of the runtime in seconds.'),
            ('p90_runtime_seconds', '90th percentile of the runtime in seconds.'),
            ('p95_runtime_seconds', '95th percentile of the runtime in seconds.'),
            ('p99_runtime_seconds', '99th percentile of the runtime in seconds.'),
            ('stddev_runtime_seconds', 'Sample standard deviation of the runtime in seconds; NULL below two.'),
            ('median_queue_latency_seconds', 'Median wait in the queue in seconds.'),
            ('p95_queue_latency_seconds', '95th percentile of the wait in the queue in seconds.'),
            ('credits_consumed', 'Credits of the runs.'),
            ('credits_per_run', 'Credits per run that started.'),
            ('tokens_used', 'All tokens; unknown counts as zero.'),
            ('tokens_per_run', 'Tokens per run that started.'),
            ('unique_users', 'Different users, estimated when there are many.'),
            ('active_users', 'Different users, estimated when there are many.'),
            ('active_agents', 'Agents with a run.'),
            ('active_days', 'Days with a run.'),
            ('runs_rank', 'Rank by total_runs within workspace and month; equal runs have equal rank.'),
            ('total_ratings', 'Runs that were rated.'),
            ('avg_rating', 'Mean of these ratings, 1 to 5.'),
            ('total_feedback', 'Rows of feedback.'),
            ('avg_feedback_rating', 'Mean rating of the feedback, 1 to 5.'),
            ('total_errors', 'Errors.'),
            ('critical_errors', 'Errors of severity critical.'),
            ('recovered_errors', 'Errors after which the agent went on without a person.'),
            ('recovery_rate', 'Share of these, 0 to 1.'),
            ('avg_recovery_seconds', 'Mean seconds from error to recovery.'),
            ('affected_users', 'Different users who met one of the errors, estimated when there are many.'),
            ('affected_agents', 'Different agents that met one of the errors.'),
            ('peak_concurrency', 'Greatest concurrent_runs that a run reported.'),
            ('avg_concurrency', 'Mean concurrent_runs of the runs that reported it.'),
            ('peak_runs_per_minute', 'Most runs that started within one minute of the clock.')
        ) AS m (name, comment) ON m.name = a.attname
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
          AND c.relname IN ('agent_analytics_summary', 'workspace_daily_summary', 'error_daily_summary', 'top_agents')
    LOOP
        EXECUTE format('COMMENT ON COLUMN analytics.%I.%I IS %L', entry.relname, entry.attname, entry.comment);
    END LOOP;
END
$comments$;
