-- Reads that are exact whether or not a refresh has run.

CREATE FUNCTION analytics_internal.count_agents_transition(internal, uuid) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_transition';
COMMENT ON FUNCTION analytics_internal.count_agents_transition(internal, uuid) IS 'Part of the aggregate count_agents: remembers an id.';
CREATE FUNCTION analytics_internal.count_agents_final(internal) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_final';
COMMENT ON FUNCTION analytics_internal.count_agents_final(internal) IS 'Part of the aggregate count_agents: how many ids there are.';

CREATE AGGREGATE analytics_internal.count_agents(agent_id uuid) (
    SFUNC = analytics_internal.count_agents_transition, STYPE = internal, SSPACE = 256,
    FINALFUNC = analytics_internal.count_agents_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics_internal.count_agents(uuid) IS
    'As count(DISTINCT), by a hash table: rows need not be sorted for it. 0 for a group without ids. Memory: some 40 bytes for each id, outside of what work_mem counts.';

CREATE FUNCTION analytics_internal.agent_performance_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id             uuid,
    bucket               timestamptz,
    total_runs           bigint,
    successful_runs      bigint,
    failed_runs          bigint,
    timeout_runs         bigint,
    cancelled_runs       bigint,
    running_runs         bigint,
    queued_runs          bigint,
    runtime_sketch       analytics.percentile_sketch,
    credits_consumed     numeric,
    tokens_used          numeric,
    prompt_tokens        numeric,
    completion_tokens    numeric,
    users_sketch         analytics.distinct_sketch,
    total_ratings        bigint,
    sum_ratings          bigint,
    first_run_at         timestamptz,
    last_run_at          timestamptz,
    concurrency_count    bigint,
    sum_concurrent_runs  bigint,
    max_concurrent_runs  integer,
    total_errors         bigint,
    total_feedback       bigint,
    sum_feedback_ratings bigint,
    agents               bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'agent_performance_buckets';
COMMENT ON FUNCTION analytics_internal.agent_performance_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'What the agents of a workspace, or one of them, did from from_time to to_time (the end excluded; any times): one row per agent and step that has anything (whole hours; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since: always exact, runtime_sketch and users_sketch within their error. columns names those that are wanted (default: all): the others are NULL, and nothing is spent on them. Unless by_agent, one row for all agents, whose agent_id is NULL; agents is how many of them have any of what the first column counts. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole hours, a column that there is not.';

CREATE FUNCTION analytics_internal.execution_metrics_buckets(
    workspace_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL)
RETURNS TABLE (
    bucket               timestamptz,
    total_runs           bigint,
    successful_runs      bigint,
    failed_runs          bigint,
    timeout_runs         bigint,
    cancelled_runs       bigint,
    running_runs         bigint,
    queued_runs          bigint,
    peak_runs_per_minute bigint,
    runtime_sketch       analytics.percentile_sketch,
    credits_consumed     numeric,
    tokens_used          numeric,
    prompt_tokens        numeric,
    completion_tokens    numeric,
    users_sketch         analytics.distinct_sketch,
    total_ratings        bigint,
    sum_ratings          bigint,
    concurrency_count    bigint,
    sum_concurrent_runs  bigint,
    max_concurrent_runs  integer,
    first_run_at         timestamptz,
    last_run_at          timestamptz,
    total_errors         bigint,
    critical_errors      bigint,
    total_feedback       bigint,
    sum_feedback_ratings bigint,
    queue_arrivals       bigint,
    queue_latency_sketch analytics.percentile_sketch,
    total_latency_sketch analytics.percentile_sketch,
    queue_departures     bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'execution_metrics_buckets';
COMMENT ON FUNCTION analytics_internal.execution_metrics_buckets(uuid, timestamptz, timestamptz, interval, text[]) IS
    'What a workspace executed from from_time to to_time (the end excluded; any times): one row per step that has anything (whole minutes; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since. columns as in agent_performance_buckets. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole minutes, a column that there is not.';

CREATE FUNCTION analytics_internal.agent_model_usage_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id          uuid,
    model_name        text,
    model_provider    text,
    bucket            timestamptz,
    total_calls       bigint,
    successful_calls  bigint,
    failed_calls      bigint,
    finished_calls    bigint,
    credits_consumed  numeric,
    tokens_used       numeric,
    prompt_tokens     numeric,
    completion_tokens numeric,
    runtime_sketch    analytics.percentile_sketch,
    agents            bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'agent_model_usage_buckets';
COMMENT ON FUNCTION analytics_internal.agent_model_usage_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'Which models the agents of a workspace, or one of them, used from from_time to to_time: one row per agent, model, provider and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';

CREATE FUNCTION analytics_internal.user_usage_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id         uuid,
    user_id          uuid,
    bucket           timestamptz,
    total_runs       bigint,
    successful_runs  bigint,
    failed_runs      bigint,
    finished_runs    bigint,
    runtime_stats    analytics.stats_summary,
    credits_consumed numeric,
    tokens_used      numeric,
    total_ratings    bigint,
    sum_ratings      bigint,
    first_run_at     timestamptz,
    last_run_at      timestamptz,
    agents           bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'user_usage_buckets';
COMMENT ON FUNCTION analytics_internal.user_usage_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'What the agents of a workspace, or one of them, did for each user from from_time to to_time: one row per agent, user and step (whole days; NULL: the whole time). From rollups of days; the parts of days at the edges of the window, and what has changed since, from raw rows. columns, by_agent, agents and errors: as agent_performance_buckets, the step being of whole days.';

CREATE FUNCTION analytics_internal.error_summary_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id          uuid,
    error_category    text,
    error_severity    text,
    bucket            timestamptz,
    total_errors      bigint,
    recovered_errors  bigint,
    recovery_attempts bigint,
    affected_users    bigint,
    recovery_sketch   analytics.percentile_sketch,
    users_sketch      analytics.distinct_sketch,
    first_error_at    timestamptz,
    last_error_at     timestamptz,
    agents            bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'error_summary_buckets';
COMMENT ON FUNCTION analytics_internal.error_summary_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'Errors of the agents of a workspace, or of one of them, from from_time to to_time: one row per agent, category, severity and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';
