-- What BI tools read by clicking: flat views with typed, commented columns, one per subject and length of time, with
-- names beside ids, and the same measures in long form (time, labels, metric, value) for time series and alerts. No
-- arrays, no JSON, no sketches; rates are fractions 0..1; units are in the names.
--
-- They read rollups as of the last refresh(), so that conditions on workspace and time reach the indexes of the rollups.
-- Row security of these shows a reader their workspaces.

CREATE OR REPLACE VIEW analytics.bi_workspaces WITH (security_invoker = true) AS
SELECT w.workspace_id, w.name AS workspace_name, w.plan AS plan_type, w.time_zone, w.created_at
FROM analytics.workspaces AS w;

CREATE OR REPLACE VIEW analytics.bi_agents WITH (security_invoker = true) AS
SELECT a.workspace_id, w.name AS workspace_name, a.agent_id, a.name AS agent_name, a.agent_type,
       a.lifecycle_state AS lifecycle_status, a.discovered AS is_discovered, a.created_at
FROM analytics.agents AS a
JOIN analytics.workspaces AS w USING (workspace_id);

CREATE OR REPLACE VIEW analytics.bi_agent_hourly WITH (security_invoker = true) AS
SELECT p.bucket AS time, p.workspace_id, w.name AS workspace_name, p.agent_id,
       coalesce(a.name, p.agent_id::text) AS agent_name, a.agent_type, a.lifecycle_state AS lifecycle_status,
       p.total_runs AS run_count, p.successful_runs AS completed_run_count, p.failed_runs AS failed_run_count,
       p.timeout_runs AS timeout_run_count, p.cancelled_runs AS cancelled_run_count,
       p.running_runs + p.queued_runs AS unfinished_run_count,
       p.successful_runs::double precision / nullif(p.total_runs - p.running_runs - p.queued_runs, 0) AS success_rate,
       p.avg_runtime_seconds, p.p50_runtime_seconds, p.p95_runtime_seconds, p.min_runtime_seconds, p.max_runtime_seconds,
       p.credits_consumed, (p.credits_consumed / nullif(p.total_runs, 0))::double precision AS credits_per_run,
       p.tokens_used, p.prompt_tokens, p.completion_tokens, p.unique_users AS user_count, p.total_errors AS error_count,
       p.total_ratings AS rating_count, p.sum_ratings::double precision / nullif(p.total_ratings, 0) AS avg_rating,
       p.total_feedback AS feedback_count,
       p.sum_feedback_ratings::double precision / nullif(p.total_feedback, 0) AS avg_feedback_rating
FROM analytics.agent_performance_hourly AS p
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_agent_daily WITH (security_invoker = true) AS
SELECT p.bucket AS time, p.workspace_id, w.name AS workspace_name, p.agent_id,
       coalesce(a.name, p.agent_id::text) AS agent_name, a.agent_type, a.lifecycle_state AS lifecycle_status,
       p.total_runs AS run_count, p.successful_runs AS completed_run_count, p.failed_runs AS failed_run_count,
       p.timeout_runs AS timeout_run_count, p.cancelled_runs AS cancelled_run_count,
       p.running_runs + p.queued_runs AS unfinished_run_count,
       p.successful_runs::double precision / nullif(p.total_runs - p.running_runs - p.queued_runs, 0) AS success_rate,
       p.avg_runtime_seconds, p.p50_runtime_seconds, p.p95_runtime_seconds, p.min_runtime_seconds, p.max_runtime_seconds,
       p.credits_consumed, (p.credits_consumed / nullif(p.total_runs, 0))::double precision AS credits_per_run,
       p.tokens_used, p.prompt_tokens, p.completion_tokens, p.unique_users AS user_count, p.total_errors AS error_count,
       p.total_ratings AS rating_count, p.sum_ratings::double precision / nullif(p.total_ratings, 0) AS avg_rating,
       p.total_feedback AS feedback_count,
       p.sum_feedback_ratings::double precision / nullif(p.total_feedback, 0) AS avg_feedback_rating
FROM analytics.agent_performance_daily AS p
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_execution_minute WITH (security_invoker = true) AS
SELECT e.bucket AS time, e.workspace_id, w.name AS workspace_name,
       e.total_runs AS run_count, e.successful_runs AS completed_run_count, e.failed_runs AS failed_run_count,
       e.timeout_runs AS timeout_run_count, e.cancelled_runs AS cancelled_run_count,
       e.running_runs + e.queued_runs AS unfinished_run_count,
       e.successful_runs::double precision / nullif(e.total_runs - e.running_runs - e.queued_runs, 0) AS success_rate,
       e.peak_runs_per_minute,
       e.avg_runtime_seconds, e.p50_runtime_seconds, e.p75_runtime_seconds, e.p90_runtime_seconds, e.p95_runtime_seconds,
       e.p99_runtime_seconds,
       e.avg_queue_latency_seconds, e.p50_queue_latency_seconds, e.p95_queue_latency_seconds, e.p99_queue_latency_seconds,
       e.avg_total_latency_seconds, e.p50_total_latency_seconds, e.p95_total_latency_seconds, e.p99_total_latency_seconds,
       e.queue_arrivals AS queue_arrival_count, e.queue_departures AS queue_departure_count,
       e.credits_consumed, e.tokens_used, e.prompt_tokens, e.completion_tokens, e.unique_users AS user_count,
       e.total_errors AS error_count, e.critical_errors AS critical_error_count, e.total_feedback AS feedback_count,
       e.sum_feedback_ratings::double precision / nullif(e.total_feedback, 0) AS avg_feedback_rating
FROM analytics.execution_metrics_minute AS e
JOIN analytics.workspaces AS w USING (workspace_id);

CREATE OR REPLACE VIEW analytics.bi_execution_hourly WITH (security_invoker = true) AS
SELECT e.bucket AS time, e.workspace_id, w.name AS workspace_name,
       e.total_runs AS run_count, e.successful_runs AS completed_run_count, e.failed_runs AS failed_run_count,
       e.timeout_runs AS timeout_run_count, e.cancelled_runs AS cancelled_run_count,
       e.running_runs + e.queued_runs AS unfinished_run_count,
       e.successful_runs::double precision / nullif(e.total_runs - e.running_runs - e.queued_runs, 0) AS success_rate,
       e.peak_runs_per_minute,
       e.avg_runtime_seconds, e.p50_runtime_seconds, e.p75_runtime_seconds, e.p90_runtime_seconds, e.p95_runtime_seconds,
       e.p99_runtime_seconds,
       e.avg_queue_latency_seconds, e.p50_queue_latency_seconds, e.p95_queue_latency_seconds, e.p99_queue_latency_seconds,
       e.avg_total_latency_seconds, e.p50_total_latency_seconds, e.p95_total_latency_seconds, e.p99_total_latency_seconds,
       e.queue_arrivals AS queue_arrival_count, e.queue_departures AS queue_departure_count,
       e.credits_consumed, e.tokens_used, e.prompt_tokens, e.completion_tokens, e.unique_users AS user_count,
       e.total_errors AS error_count, e.critical_errors AS critical_error_count, e.total_feedback AS feedback_count,
       e.sum_feedback_ratings::double precision / nullif(e.total_feedback, 0) AS avg_feedback_rating
FROM analytics.execution_metrics_hourly AS e
JOIN analytics.workspaces AS w USING (workspace_id);

CREATE OR REPLACE VIEW analytics.bi_execution_daily WITH (security_invoker = true) AS
SELECT e.bucket AS time, e.workspace_id, w.name AS workspace_name,
       e.total_runs AS run_count, e.successful_runs AS completed_run_count, e.failed_runs AS failed_run_count,
       e.timeout_runs AS timeout_run_count, e.cancelled_runs AS cancelled_run_count,
       e.running_runs + e.queued_runs AS unfinished_run_count,
       e.successful_runs::double precision / nullif(e.total_runs - e.running_runs - e.queued_runs, 0) AS success_rate,
       e.peak_runs_per_minute,
       e.avg_runtime_seconds, e.p50_runtime_seconds, e.p75_runtime_seconds, e.p90_runtime_seconds, e.p95_runtime_seconds,
       e.p99_runtime_seconds,
       e.avg_queue_latency_seconds, e.p50_queue_latency_seconds, e.p95_queue_latency_seconds, e.p99_queue_latency_seconds,
       e.avg_total_latency_seconds, e.p50_total_latency_seconds, e.p95_total_latency_seconds, e.p99_total_latency_seconds,
       e.queue_arrivals AS queue_arrival_count, e.queue_departures AS queue_departure_count,
       e.credits_consumed, e.tokens_used, e.prompt_tokens, e.completion_tokens, e.unique_users AS user_count,
       e.total_errors AS error_count, e.critical_errors AS critical_error_count, e.total_feedback AS feedback_count,
       e.sum_feedback_ratings::double precision / nullif(e.total_feedback, 0) AS avg_feedback_rating
FROM analytics.execution_metrics_daily AS e
JOIN analytics.workspaces AS w USING (workspace_id);

CREATE OR REPLACE VIEW analytics.bi_queue_hourly WITH (security_invoker = true) AS
SELECT e.bucket AS time, e.workspace_id, w.name AS workspace_name,
       e.queue_arrivals AS arrival_count, e.queue_departures AS departure_count,
       (sum(e.queue_arrivals - e.queue_departures) OVER (PARTITION BY e.workspace_id ORDER BY e.bucket))::bigint AS waiting_count,
       e.avg_queue_latency_seconds AS avg_wait_seconds, e.p50_queue_latency_seconds AS p50_wait_seconds,
       e.p95_queue_latency_seconds AS p95_wait_seconds
FROM analytics.execution_metrics_hourly AS e
JOIN analytics.workspaces AS w USING (workspace_id);

CREATE OR REPLACE VIEW analytics.bi_queue_live WITH (security_invoker = true) AS
SELECT q.queued_at AS time, q.workspace_id, w.name AS workspace_name, q.agent_id,
       coalesce(a.name, q.agent_id::text) AS agent_name, q.queue_id, q.run_id, q.user_id, q.status AS queue_status, q.priority,
       q.started_at,
       extract(epoch FROM coalesce(q.started_at, statement_timestamp()) - q.queued_at)::double precision AS wait_seconds,
       extract(epoch FROM statement_timestamp() - q.started_at)::double precision AS processing_seconds
FROM analytics.execution_queue AS q
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id)
WHERE q.status IN ('queued', 'processing');

CREATE OR REPLACE VIEW analytics.bi_model_hourly WITH (security_invoker = true) AS
SELECT m.bucket AS time, m.workspace_id, w.name AS workspace_name, m.agent_id,
       coalesce(a.name, m.agent_id::text) AS agent_name, m.model_name, m.model_provider AS provider_type,
       m.total_calls AS run_count, m.successful_calls AS completed_run_count, m.failed_calls AS failed_run_count,
       m.successful_calls::double precision / nullif(m.finished_calls, 0) AS success_rate,
       m.avg_runtime_seconds, m.p95_runtime_seconds,
       m.credits_consumed, (m.credits_consumed / nullif(m.total_calls, 0))::double precision AS credits_per_run,
       m.tokens_used, m.prompt_tokens, m.completion_tokens
FROM analytics.agent_model_usage_hourly AS m
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_model_daily WITH (security_invoker = true) AS
SELECT m.bucket AS time, m.workspace_id, w.name AS workspace_name, m.agent_id,
       coalesce(a.name, m.agent_id::text) AS agent_name, m.model_name, m.model_provider AS provider_type,
       m.total_calls AS run_count, m.successful_calls AS completed_run_count, m.failed_calls AS failed_run_count,
       m.successful_calls::double precision / nullif(m.finished_calls, 0) AS success_rate,
       m.avg_runtime_seconds, m.p95_runtime_seconds,
       m.credits_consumed, (m.credits_consumed / nullif(m.total_calls, 0))::double precision AS credits_per_run,
       m.tokens_used, m.prompt_tokens, m.completion_tokens
FROM analytics.agent_model_usage AS m
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_user_daily WITH (security_invoker = true) AS
SELECT u.bucket AS time, u.workspace_id, w.name AS workspace_name, u.agent_id,
       coalesce(a.name, u.agent_id::text) AS agent_name, u.user_id,
       u.total_runs AS run_count, u.successful_runs AS completed_run_count, u.failed_runs AS failed_run_count,
       u.successful_runs::double precision / nullif(u.finished_runs, 0) AS success_rate,
       analytics.mean(u.runtime_stats) AS avg_runtime_seconds, u.credits_consumed, u.tokens_used,
       u.total_ratings AS rating_count, u.sum_ratings::double precision / nullif(u.total_ratings, 0) AS avg_rating,
       u.first_run_at, u.last_run_at
FROM analytics.user_usage_daily AS u
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_error_hourly WITH (security_invoker = true) AS
SELECT s.bucket AS time, s.workspace_id, w.name AS workspace_name, s.agent_id,
       coalesce(a.name, s.agent_id::text) AS agent_name, s.error_category AS error_type, s.error_severity AS severity_type,
       s.total_errors AS error_count, s.recovered_errors AS recovered_count,
       s.recovered_errors::double precision / nullif(s.total_errors, 0) AS recovery_rate,
       s.recovery_attempts AS recovery_attempt_count, s.avg_recovery_seconds, s.affected_users AS affected_user_count
FROM analytics.error_summary_hourly AS s
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

CREATE OR REPLACE VIEW analytics.bi_error_daily WITH (security_invoker = true) AS
SELECT s.bucket AS time, s.workspace_id, w.name AS workspace_name, s.agent_id,
       coalesce(a.name, s.agent_id::text) AS agent_name, s.error_category AS error_type, s.error_severity AS severity_type,
       s.total_errors AS error_count, s.recovered_errors AS recovered_count,
       s.recovered_errors::double precision / nullif(s.total_errors, 0) AS recovery_rate,
       s.recovery_attempts AS recovery_attempt_count, s.avg_recovery_seconds, s.affected_users AS affected_user_count
FROM analytics.error_summary_daily AS s
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

-- Long forms: one number a row, so that a tool can group, filter and alert by metric. A metric without a value has no row.

CREATE OR REPLACE VIEW analytics.bi_agent_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, v.agent_id, v.agent_name, m.metric, m.value
FROM analytics.bi_agent_hourly AS v
CROSS JOIN LATERAL (VALUES
    ('run_count', v.run_count::double precision),
    ('completed_run_count', v.completed_run_count::double precision),
    ('failed_run_count', v.failed_run_count::double precision),
    ('timeout_run_count', v.timeout_run_count::double precision),
    ('cancelled_run_count', v.cancelled_run_count::double precision),
    ('success_rate', v.success_rate::double precision),
    ('avg_runtime_seconds', v.avg_runtime_seconds::double precision),
    ('p50_runtime_seconds', v.p50_runtime_seconds::double precision),
    ('p95_runtime_seconds', v.p95_runtime_seconds::double precision),
    ('credits_consumed', v.credits_consumed::double precision),
    ('tokens_used', v.tokens_used::double precision),
    ('user_count', v.user_count::double precision),
    ('error_count', v.error_count::double precision),
    ('avg_rating', v.avg_rating::double precision),
    ('avg_feedback_rating', v.avg_feedback_rating::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_execution_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, m.metric, m.value
FROM analytics.bi_execution_hourly AS v
CROSS JOIN LATERAL (VALUES
    ('run_count', v.run_count::double precision),
    ('completed_run_count', v.completed_run_count::double precision),
    ('failed_run_count', v.failed_run_count::double precision),
    ('timeout_run_count', v.timeout_run_count::double precision),
    ('cancelled_run_count', v.cancelled_run_count::double precision),
    ('success_rate', v.success_rate::double precision),
    ('peak_runs_per_minute', v.peak_runs_per_minute::double precision),
    ('p50_runtime_seconds', v.p50_runtime_seconds::double precision),
    ('p95_runtime_seconds', v.p95_runtime_seconds::double precision),
    ('p99_runtime_seconds', v.p99_runtime_seconds::double precision),
    ('p50_queue_latency_seconds', v.p50_queue_latency_seconds::double precision),
    ('p95_queue_latency_seconds', v.p95_queue_latency_seconds::double precision),
    ('p95_total_latency_seconds', v.p95_total_latency_seconds::double precision),
    ('queue_arrival_count', v.queue_arrival_count::double precision),
    ('queue_departure_count', v.queue_departure_count::double precision),
    ('credits_consumed', v.credits_consumed::double precision),
    ('tokens_used', v.tokens_used::double precision),
    ('user_count', v.user_count::double precision),
    ('error_count', v.error_count::double precision),
    ('critical_error_count', v.critical_error_count::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_execution_minute_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, m.metric, m.value
FROM analytics.bi_execution_minute AS v
CROSS JOIN LATERAL (VALUES
    ('run_count', v.run_count::double precision),
    ('completed_run_count', v.completed_run_count::double precision),
    ('failed_run_count', v.failed_run_count::double precision),
    ('timeout_run_count', v.timeout_run_count::double precision),
    ('cancelled_run_count', v.cancelled_run_count::double precision),
    ('success_rate', v.success_rate::double precision),
    ('peak_runs_per_minute', v.peak_runs_per_minute::double precision),
    ('p50_runtime_seconds', v.p50_runtime_seconds::double precision),
    ('p95_runtime_seconds', v.p95_runtime_seconds::double precision),
    ('p99_runtime_seconds', v.p99_runtime_seconds::double precision),
    ('p50_queue_latency_seconds', v.p50_queue_latency_seconds::double precision),
    ('p95_queue_latency_seconds', v.p95_queue_latency_seconds::double precision),
    ('p95_total_latency_seconds', v.p95_total_latency_seconds::double precision),
    ('queue_arrival_count', v.queue_arrival_count::double precision),
    ('queue_departure_count', v.queue_departure_count::double precision),
    ('credits_consumed', v.credits_consumed::double precision),
    ('tokens_used', v.tokens_used::double precision),
    ('user_count', v.user_count::double precision),
    ('error_count', v.error_count::double precision),
    ('critical_error_count', v.critical_error_count::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_queue_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, m.metric, m.value
FROM analytics.bi_queue_hourly AS v
CROSS JOIN LATERAL (VALUES
    ('arrival_count', v.arrival_count::double precision),
    ('departure_count', v.departure_count::double precision),
    ('waiting_count', v.waiting_count::double precision),
    ('avg_wait_seconds', v.avg_wait_seconds::double precision),
    ('p50_wait_seconds', v.p50_wait_seconds::double precision),
    ('p95_wait_seconds', v.p95_wait_seconds::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_model_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, v.agent_id, v.agent_name, v.model_name, v.provider_type, m.metric, m.value
FROM analytics.bi_model_hourly AS v
CROSS JOIN LATERAL (VALUES
    ('run_count', v.run_count::double precision),
    ('completed_run_count', v.completed_run_count::double precision),
    ('failed_run_count', v.failed_run_count::double precision),
    ('success_rate', v.success_rate::double precision),
    ('avg_runtime_seconds', v.avg_runtime_seconds::double precision),
    ('p95_runtime_seconds', v.p95_runtime_seconds::double precision),
    ('credits_consumed', v.credits_consumed::double precision),
    ('tokens_used', v.tokens_used::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_user_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, v.agent_id, v.agent_name, v.user_id, m.metric, m.value
FROM analytics.bi_user_daily AS v
CROSS JOIN LATERAL (VALUES
    ('run_count', v.run_count::double precision),
    ('completed_run_count', v.completed_run_count::double precision),
    ('failed_run_count', v.failed_run_count::double precision),
    ('success_rate', v.success_rate::double precision),
    ('avg_runtime_seconds', v.avg_runtime_seconds::double precision),
    ('credits_consumed', v.credits_consumed::double precision),
    ('tokens_used', v.tokens_used::double precision),
    ('avg_rating', v.avg_rating::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

CREATE OR REPLACE VIEW analytics.bi_error_ts WITH (security_invoker = true) AS
SELECT v.time, v.workspace_id, v.workspace_name, v.agent_id, v.agent_name, v.error_type, v.severity_type, m.metric, m.value
FROM analytics.bi_error_hourly AS v
CROSS JOIN LATERAL (VALUES
    ('error_count', v.error_count::double precision),
    ('recovered_count', v.recovered_count::double precision),
    ('recovery_rate', v.recovery_rate::double precision),
    ('avg_recovery_seconds', v.avg_recovery_seconds::double precision),
    ('affected_user_count', v.affected_user_count::double precision)
) AS m (metric, value)
WHERE m.value IS NOT NULL;

COMMENT ON VIEW analytics.bi_workspaces IS 'Workspaces, one row each.';
COMMENT ON VIEW analytics.bi_agents IS 'Agents, one row each.';
COMMENT ON VIEW analytics.bi_agent_hourly IS 'What each agent did in each UTC hour; an hour without anything has no row. As of the last refresh.';
COMMENT ON VIEW analytics.bi_agent_daily IS 'What each agent did on each UTC day; a day without anything has no row. As of the last refresh.';
COMMENT ON VIEW analytics.bi_execution_minute IS 'What each workspace executed in each minute of the last 48 hours. As of the last refresh.';
COMMENT ON VIEW analytics.bi_execution_hourly IS 'What each workspace executed in each UTC hour. As of the last refresh.';
COMMENT ON VIEW analytics.bi_execution_daily IS 'What each workspace executed on each UTC day. As of the last refresh.';
COMMENT ON VIEW analytics.bi_queue_hourly IS 'The queue of each workspace in each UTC hour in which anything happened. As of the last refresh.';
COMMENT ON VIEW analytics.bi_queue_live IS 'Entries of the queue that wait or are being processed at this moment, one row each.';
COMMENT ON VIEW analytics.bi_model_hourly IS 'Which models each agent used in each UTC hour. As of the last refresh.';
COMMENT ON VIEW analytics.bi_model_daily IS 'Which models each agent used on each UTC day. As of the last refresh.';
COMMENT ON VIEW analytics.bi_user_daily IS 'What each agent did for each user on each UTC day. As of the last refresh.';
COMMENT ON VIEW analytics.bi_error_hourly IS 'Errors of each agent in each UTC hour by category and severity. As of the last refresh.';
COMMENT ON VIEW analytics.bi_error_daily IS 'Errors of each agent on each UTC day by category and severity. As of the last refresh.';
COMMENT ON VIEW analytics.bi_agent_ts IS 'Measures of bi_agent_hourly in long form: one number per UTC hour and agent and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_execution_ts IS 'Measures of bi_execution_hourly in long form: one number per UTC hour and workspace and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_execution_minute_ts IS 'Measures of bi_execution_minute in long form: one number per UTC minute and workspace and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_queue_ts IS 'Measures of bi_queue_hourly in long form: one number per UTC hour and workspace and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_model_ts IS 'Measures of bi_model_hourly in long form: one number per UTC hour, agent and model and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_user_ts IS 'Measures of bi_user_daily in long form: one number per UTC day, agent and user and metric. As of the last refresh.';
COMMENT ON VIEW analytics.bi_error_ts IS 'Measures of bi_error_hourly in long form: one number per UTC hour, agent, category and severity and metric. As of the last refresh.';

DO $comments$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT c.relname, a.attname, m.comment
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        JOIN (VALUES
            ('time', 'Start of the hour, day or minute (UTC); of a queue entry, when it was queued.'),
            ('workspace_id', 'The workspace.'),
            ('workspace_name', 'Name of the workspace.'),
            ('plan_type', 'Commercial plan of the workspace.'),
            ('time_zone', 'Time zone in which the workspace reads its days.'),
            ('created_at', 'When it was created.'),
            ('agent_id', 'The agent.'),
            ('agent_name', 'Name of the agent; its id until somebody names it.'),
            ('agent_type', 'Kind of agent.'),
            ('lifecycle_status', 'State of the agent now: draft, testing, staging, production, deprecated or archived.'),
            ('is_discovered', 'Whether the agent was met in data and not announced.'),
            ('user_id', 'The user.'),
            ('queue_id', 'Key of the entry within its workspace.'),
            ('run_id', 'Run that does the work; NULL until one has started.'),
            ('queue_status', 'queued or processing.'),
            ('priority', 'Higher goes first.'),
            ('started_at', 'When an agent took it; NULL while it waits.'),
            ('wait_seconds', 'Seconds that it waited, or has waited so far; negative where it is queued for a later time.'),
            ('processing_seconds', 'Seconds since an agent took it; NULL while it waits.'),
            ('run_count', 'Runs that started.'),
            ('completed_run_count', 'Runs with status completed.'),
            ('failed_run_count', 'Runs with status failed; of models, those with status timeout, too.'),
            ('timeout_run_count', 'Runs with status timeout.'),
            ('cancelled_run_count', 'Runs with status cancelled.'),
            ('unfinished_run_count', 'Runs with status queued or running.'),
            ('success_rate', 'Completed runs over finished ones, 0 to 1; NULL when none has finished.'),
            ('avg_runtime_seconds', 'Mean runtime in seconds; NULL without one.'),
            ('p50_runtime_seconds', 'Median runtime in seconds: exact up to 250 runs, then within 1 %.'),
            ('p75_runtime_seconds', '75th percentile of the runtime in seconds.'),
            ('p90_runtime_seconds', '90th percentile of the runtime in seconds.'),
            ('p95_runtime_seconds', '95th percentile of the runtime in seconds.'),
            ('p99_runtime_seconds', '99th percentile of the runtime in seconds.'),
            ('min_runtime_seconds', 'Shortest runtime in seconds.'),
            ('max_runtime_seconds', 'Longest runtime in seconds.'),
            ('avg_queue_latency_seconds', 'Mean wait in the queue in seconds.'),
            ('p50_queue_latency_seconds', 'Median wait in the queue in seconds.'),
            ('p95_queue_latency_seconds', '95th percentile of the wait in the queue in seconds.'),
            ('p99_queue_latency_seconds', '99th percentile of the wait in the queue in seconds.'),
            ('avg_total_latency_seconds', 'Mean time from queueing to completion in seconds.'),
            ('p50_total_latency_seconds', 'Median time from queueing to completion in seconds.'),
            ('p95_total_latency_seconds', '95th percentile of the time from queueing to completion in seconds.'),
            ('p99_total_latency_seconds', '99th percentile of the time from queueing to completion in seconds.'),
            ('peak_runs_per_minute', 'Most runs that started within one minute of the clock.'),
            ('queue_arrival_count', 'Entries that came into the queue.'),
            ('queue_departure_count', 'Entries that stopped waiting.'),
            ('arrival_count', 'Entries that came into the queue.'),
            ('departure_count', 'Entries that stopped waiting.'),
            ('waiting_count', 'Entries that waited at the end of the hour.'),
            ('avg_wait_seconds', 'Mean wait of the entries that came, in seconds; NULL while none has started.'),
            ('p50_wait_seconds', 'Median wait of the entries that came, in seconds.'),
            ('p95_wait_seconds', '95th percentile of the wait of the entries that came, in seconds.'),
            ('credits_consumed', 'Credits of the runs.'),
            ('credits_per_run', 'Credits per run that started; NULL without a run.'),
            ('tokens_used', 'All tokens; unknown counts as zero.'),
            ('prompt_tokens', 'Tokens sent to models.'),
            ('completion_tokens', 'Tokens received from models.'),
            ('user_count', 'Different users, estimated when there are many; cannot be added up over time.'),
            ('error_count', 'Errors.'),
            ('critical_error_count', 'Errors of severity critical.'),
            ('rating_count', 'Runs that were rated.'),
            ('avg_rating', 'Mean of these ratings, 1 to 5.'),
            ('feedback_count', 'Rows of feedback.'),
            ('avg_feedback_rating', 'Mean rating of the feedback, 1 to 5.'),
            ('model_name', 'Model that answered; unknown where the run does not say.'),
            ('provider_type', 'Provider of the model; unknown where the run does not say.'),
            ('first_run_at', 'Start of the first run of the day.'),
            ('last_run_at', 'Start of the last run of the day.'),
            ('error_type', 'Category of the errors.'),
            ('severity_type', 'Severity of the errors: low, medium, high or critical.'),
            ('recovered_count', 'Errors after which the agent went on without a person.'),
            ('recovery_rate', 'Share of these, 0 to 1.'),
            ('recovery_attempt_count', 'How often recovery was tried.'),
            ('avg_recovery_seconds', 'Mean seconds from error to recovery; NULL when none was measured.'),
            ('affected_user_count', 'Sum of the users that the errors affected; a user may be counted more than once.'),
            ('metric', 'Name of the measure, with its unit.'),
            ('value', 'The measure; rates are fractions 0 to 1.')
        ) AS m (name, comment) ON m.name = a.attname
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v' AND c.relname LIKE 'bi\_%'
    LOOP
        EXECUTE format('COMMENT ON COLUMN analytics.%I.%I IS %L', entry.relname, entry.attname, entry.comment);
    END LOOP;
END
$comments$;
