-- Rollups: what a refresh reports, what the tables hold, and that answers do not depend on it.
-- Everything else is in tests/test_rollup.py: random changes, several connections, crashes.

INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('00000000-0000-4000-8000-00000000ee01', 'Rollup');
\set ws '\'00000000-0000-4000-8000-00000000ee01\''
\set agent '\'00000000-0000-4000-8000-0000000000a1\''
SELECT count(DISTINCT status) AS statuses FROM analytics.refresh(1000000);
SELECT object, status, bucket_count FROM analytics.refresh();

INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed,
    tokens_used, prompt_tokens, completion_tokens, user_rating, concurrent_runs) VALUES
    (:ws, :agent, NULL, 'completed', '2026-01-31 23:10+00', 2, 0.5, 100, NULL, NULL, 5, 1),
    (:ws, :agent, :ws, 'failed', '2026-01-31 23:59:59.999999+00', 4, 0.25, NULL, 10, 20, NULL, 3),
    (:ws, :agent, :ws, 'running', '2026-02-01 00:00+00', NULL, 0, NULL, NULL, NULL, NULL, NULL);
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, occurred_at) VALUES
    (:ws, :agent, 'Timeout', '2026-02-01 05:00+00');
INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, created_at) VALUES
    (:ws, :agent, 4, '2026-02-01 05:30+00');

-- One change per hour: the error and the feedback were two transactions.
SELECT sources, bucket AT TIME ZONE 'UTC' AS hour FROM analytics_internal.rollup_changes ORDER BY 2, 1;
SELECT object, status, bucket_count, written_count, removed_count FROM analytics.refresh();

\x on
SELECT bucket AT TIME ZONE 'UTC' AS hour, total_runs, successful_runs, failed_runs, running_runs, avg_runtime_seconds,
    p50_runtime_seconds, min_runtime_seconds, max_runtime_seconds, credits_consumed, tokens_used, prompt_tokens,
    completion_tokens, unique_users, total_ratings, sum_ratings, total_feedback, sum_feedback_ratings, total_errors,
    first_run_at AT TIME ZONE 'UTC' AS first_run_at, concurrency_count, sum_concurrent_runs, max_concurrent_runs
FROM analytics.agent_performance_hourly WHERE workspace_id = :ws ORDER BY bucket;
\x off
SELECT bucket AT TIME ZONE 'UTC' AS day, total_runs, successful_runs, total_errors, total_feedback, unique_users
FROM analytics.agent_performance_daily WHERE workspace_id = :ws ORDER BY bucket;

-- Nothing is left of an hour: its row goes, and that of the day with it.
BEGIN;
DELETE FROM analytics.agent_runs WHERE workspace_id = :ws AND started_at < '2026-02-01 00:00+00';
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');
SELECT object, bucket_count, written_count, removed_count FROM analytics.refresh();
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');
ROLLBACK;
SELECT total_runs, failed_runs FROM analytics.list_agents(:ws, 'all');

-- By hour, by day and in one, days of which a part is asked for included.
\set from '\'2026-01-31 00:00+00\''
\set to '\'2026-02-01 05:00+00\''
SELECT bucket AT TIME ZONE 'UTC' AS bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, :agent, :from, :to, '1 hour') ORDER BY 1;
SELECT bucket AT TIME ZONE 'UTC' AS bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to, '1 day') ORDER BY 1;
SELECT bucket, total_runs, total_errors
FROM analytics_internal.agent_performance_buckets(:ws, NULL, :from, :to);
SELECT count(*) FROM analytics_internal.agent_performance_buckets(:ws, :ws, :from, :to);

-- Arguments
SELECT * FROM analytics.refresh(0); \echo :SQLSTATE
SELECT * FROM analytics.refresh(1000001); \echo :SQLSTATE
SELECT * FROM analytics_internal.changed_buckets('00000000-0000-4000-8000-00000000eeee', NULL, :from, :to, 7); \echo :SQLSTATE
CALL analytics.refresh_all('-1 second'); \echo :SQLSTATE
BEGIN;
CALL analytics.refresh_all(); \echo :SQLSTATE
ROLLBACK;
SELECT analytics_internal.capture_changes(); \echo :SQLSTATE

DELETE FROM analytics.workspaces WHERE workspace_id = :ws;
CALL analytics.refresh_all();
SELECT count(*) FROM analytics.agent_performance_hourly WHERE workspace_id = :ws;
TRUNCATE analytics_internal.refresh_log;
