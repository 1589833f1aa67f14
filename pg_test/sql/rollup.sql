-- Rollups: what a refresh reports, what the tables hold, and that answers do not depend on it.
-- Everything else is in tests/test_rollup.py: random changes, several connections, crashes, retention, the schedule.

INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('00000000-0000-4000-8000-00000000ee01', 'Rollup');
\set ws '\'00000000-0000-4000-8000-00000000ee01\''
\set agent '\'00000000-0000-4000-8000-0000000000a1\''
\set user '\'00000000-0000-4000-8000-0000000000b1\''
SET client_min_messages = warning;
CALL analytics.refresh_all('10 minutes');
SELECT object, status, bucket_count FROM analytics.refresh();

INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed,
    tokens_used, prompt_tokens, completion_tokens, user_rating, concurrent_runs, model_name) VALUES
    (:ws, :agent, NULL, 'completed', '2026-01-31 23:10+00', 2, 0.5, 100, NULL, NULL, 5, 1, 'small'),
    (:ws, :agent, :user, 'failed', '2026-01-31 23:59:59.999999+00', 4, 0.25, NULL, 10, 20, NULL, 3, 'large'),
    (:ws, :agent, :user, 'running', '2026-02-01 00:00+00', NULL, 0, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_category, auto_recovered, recovery_time_seconds, occurred_at) VALUES
    (:ws, :agent, 'Timeout', 'timeout', true, 3, '2026-02-01 05:00+00');
INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES
    (:ws, :agent, 4, '2026-02-01 05:30+00');
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, started_at, completed_at) VALUES
    (:ws, :agent, 'completed', '2026-01-31 23:30+00', '2026-02-01 00:05+00', '2026-02-01 00:06+00'),
    (:ws, :agent, 'queued', '2026-02-01 05:00+00', NULL, NULL);

-- One row for each hour and transaction: which tables have changed there.
SELECT sources, bucket AT TIME ZONE 'UTC' AS hour FROM analytics_internal.rollup_changes ORDER BY 2, 1;
SELECT object, status, bucket_count, read_count, written_count, removed_count FROM analytics.refresh();
SELECT count(*) FROM analytics_internal.rollup_changes;

\x on
SELECT bucket AT TIME ZONE 'UTC' AS hour, total_runs, successful_runs, failed_runs, running_runs, avg_runtime_seconds,
    p50_runtime_seconds, min_runtime_seconds, max_runtime_seconds, credits_consumed, tokens_used, prompt_tokens,
    completion_tokens, unique_users, total_ratings, sum_ratings, total_feedback, sum_feedback_ratings, total_errors,
    first_run_at AT TIME ZONE 'UTC' AS first_run_at, concurrency_count, sum_concurrent_runs, max_concurrent_runs
FROM analytics.agent_performance_hourly WHERE workspace_id = :ws ORDER BY bucket;
\x off
SELECT bucket AT TIME ZONE 'UTC' AS day, total_runs, successful_runs, total_errors, total_feedback, unique_users
FROM analytics.agent_performance_daily WHERE workspace_id = :ws ORDER BY bucket;
SELECT bucket AT TIME ZONE 'UTC' AS hour, total_runs, peak_runs_per_minute, total_errors, queue_arrivals, queue_departures,
    p50_queue_latency_seconds, p50_total_latency_seconds
FROM analytics.execution_metrics_hourly WHERE workspace_id = :ws ORDER BY bucket;
SELECT bucket AT TIME ZONE 'UTC' AS day, model_name, model_provider, total_calls, failed_calls, finished_calls, credits_consumed
FROM analytics.agent_model_usage WHERE workspace_id = :ws ORDER BY bucket, model_name;
SELECT bucket AT TIME ZONE 'UTC' AS day, user_id, total_runs, finished_runs, analytics.mean(runtime_stats) AS avg_runtime_seconds
FROM analytics.user_usage_daily WHERE workspace_id = :ws ORDER BY bucket;
SELECT bucket AT TIME ZONE 'UTC' AS day, error_category, error_severity, total_errors, recovered_errors, avg_recovery_seconds
FROM analytics.error_summary_daily WHERE workspace_id = :ws ORDER BY bucket;

-- Nothing is left of an hour: its row goes, and that of the day with it.
BEGIN;
DELETE FROM analytics.agent_runs WHERE workspace_id = :ws AND started_at < '2026-02-01 00:00+00';
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');
SELECT object, bucket_count, written_count, removed_count FROM analytics.refresh();
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');
ROLLBACK;
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');

-- By hour, by day and in one, days of which a part is asked for included; any times will do.
\set from '\'2026-01-31 00:00+00\''
\set to '\'2026-02-01 05:00+00\''
SELECT bucket AT TIME ZONE 'UTC' AS bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, :agent, :from, :to, '1 hour') ORDER BY 1;
SELECT bucket AT TIME ZONE 'UTC' AS bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to, '1 day') ORDER BY 1;
SELECT bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to);
SELECT total_runs FROM analytics_internal.agent_performance_buckets(:ws, NULL, '2026-01-31 23:10:00.000001+00', '2026-02-01 00:00:00.000001+00');
SELECT count(*) FROM analytics_internal.agent_performance_buckets(:ws, :ws, :from, :to);
SELECT bucket AT TIME ZONE 'UTC' AS bucket, total_runs, queue_arrivals, queue_departures
FROM analytics_internal.execution_metrics_buckets(:ws, :from, :to, '10 minutes') ORDER BY 1;

-- Repair, and proof.
UPDATE analytics.agent_performance_hourly SET total_runs = 7 WHERE workspace_id = :ws AND bucket = '2026-02-01 00:00+00';
SELECT object, bucket AT TIME ZONE 'UTC' AS bucket, expected -> 'total_runs' AS expected, stored -> 'total_runs' AS stored
FROM analytics.verify_rollups(1000000) ORDER BY 1;
SELECT analytics.rebuild_rollup('agent_performance', '2026-02-01 00:00+00', '2026-02-02 00:00+00') > 0 AS rebuilt;
SELECT count(*) FROM analytics.verify_rollups(1000000);
SELECT rollup, lag_seconds, dirty_buckets, dirty_ranges, consecutive_failures FROM analytics.rollup_status();

-- Materialized views
SELECT object, status FROM analytics.refresh_materialized_views();
SELECT object, status FROM analytics.refresh_materialized_views();
SELECT day AT TIME ZONE 'UTC' AS day, total_runs, success_rate, median_runtime_seconds, credits_per_run, total_errors
FROM analytics.agent_analytics_summary WHERE workspace_id = :ws ORDER BY 1;
SELECT day AT TIME ZONE 'UTC' AS day, total_runs, active_agents, active_users, total_errors
FROM analytics.workspace_daily_summary WHERE workspace_id = :ws ORDER BY 1;
SELECT day AT TIME ZONE 'UTC' AS day, error_category, total_errors, recovery_rate, affected_agents
FROM analytics.error_daily_summary WHERE workspace_id = :ws ORDER BY 1;
SELECT month AT TIME ZONE 'UTC' AS month, runs_rank, total_runs, success_rate, active_days
FROM analytics.top_agents WHERE workspace_id = :ws ORDER BY 1;

-- Retention: rows go, rollups stay, and late rows are refused.
BEGIN;
INSERT INTO analytics_internal.retention (table_name, floor, final) VALUES ('agent_runs', '2026-02-01 00:00+00', '2026-02-01 00:00+00');
SAVEPOINT late;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:ws, :agent, 'running', '2026-01-31 23:59+00'); \echo :SQLSTATE
ROLLBACK TO late;
SELECT analytics_internal.remove_rows('agent_runs', '2026-02-01 00:00+00', 1000) > 0 AS removed;
SELECT count(*) FROM analytics.agent_runs WHERE workspace_id = :ws;
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');
-- Errors are kept longer than runs: the day's runs are still counted.
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES (:ws, :agent, 'Late', '2026-01-31 12:00+00');
SELECT total_runs, total_errors FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to);
SELECT count(*) > 0 AS refreshed FROM analytics.refresh() WHERE status = 'refreshed';
SELECT total_runs, total_errors FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to);
ROLLBACK;

-- NULL is no bound.
SELECT sum(total_runs) > 0 AS found,
       sum(total_runs) = (SELECT sum(total_runs) FROM analytics_internal.agent_performance_buckets(:ws, NULL, NULL, NULL)) AS both_ends,
       (SELECT sum(total_runs) FROM analytics_internal.agent_performance_buckets(:ws, NULL, '-infinity', :to))
           = (SELECT sum(total_runs) FROM analytics_internal.agent_performance_buckets(:ws, NULL, NULL, :to)) AS start,
       (SELECT sum(total_runs) FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, 'infinity'))
           = (SELECT sum(total_runs) FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, NULL)) AS "end"
FROM analytics_internal.agent_performance_buckets(:ws, NULL, '-infinity', 'infinity');

-- Arguments
SELECT * FROM analytics.refresh(0); \echo :SQLSTATE
SELECT * FROM analytics.refresh(1000001); \echo :SQLSTATE
SELECT * FROM analytics.refresh(triggered_by => 'me'); \echo :SQLSTATE
SELECT * FROM analytics_internal.agent_performance_buckets('00000000-0000-4000-8000-00000000eeee', NULL, :from, :to); \echo :SQLSTATE
SELECT * FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to, '30 minutes'); \echo :SQLSTATE
SELECT * FROM analytics_internal.user_usage_buckets(:ws, NULL, :from, :to, '1 month'); \echo :SQLSTATE
SELECT * FROM analytics_internal.execution_metrics_buckets(:ws, :from, :to, '1 second'); \echo :SQLSTATE
SELECT * FROM analytics_internal.user_usage_buckets(:ws, NULL, :from, :to, columns => '{total_runs, speed}'); \echo :SQLSTATE
SELECT * FROM analytics_internal.execution_metrics_buckets(:ws, :from, :to, columns => '{agents}'); \echo :SQLSTATE
SELECT analytics.rebuild_rollup('everything'); \echo :SQLSTATE
-- The end of all times
SELECT count(*) FROM analytics_internal.agent_performance_buckets(:ws, NULL, '294276-12-31 23:59+00', 'infinity');
SELECT analytics.rebuild_rollup('user_usage', '294276-12-31 23:59+00');
SELECT * FROM analytics.verify_rollups(0); \echo :SQLSTATE
SELECT analytics.set_retention('agents', '90 days'); \echo :SQLSTATE
SELECT analytics.set_retention('agent_runs', '1 hour'); \echo :SQLSTATE
SELECT analytics.schedule(); \echo :SQLSTATE
CALL analytics.refresh_all('-1 second'); \echo :SQLSTATE
BEGIN;
CALL analytics.refresh_all(); \echo :SQLSTATE
ROLLBACK;
BEGIN;
CALL analytics.cleanup_old_data(); \echo :SQLSTATE
ROLLBACK;
SELECT analytics_internal.capture_changes(); \echo :SQLSTATE

-- What rollups hold of a workspace goes with it.
DELETE FROM analytics.workspaces WHERE workspace_id = :ws;
CALL analytics.refresh_all();
SELECT count(*) FROM analytics.agent_performance_hourly WHERE workspace_id = :ws;
SELECT count(*) FROM analytics.agent_analytics_summary WHERE workspace_id = :ws;
TRUNCATE analytics.refresh_log, analytics_internal.rollup_state;
RESET client_min_messages;
