-- Agents: who they are, and the first answers about them.

CREATE FUNCTION analytics_internal.admit_agent() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'admit_agent';
COMMENT ON FUNCTION analytics_internal.admit_agent() IS
    'Row trigger of every table that names an agent: refuses an unknown workspace (23503) and registers an agent on first sight, without waiting for other writers.';

CREATE FUNCTION analytics_internal.forget_admitted() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_admitted';
COMMENT ON FUNCTION analytics_internal.forget_admitted() IS
    'Statement trigger of workspaces and agents: makes all backends forget which of them they have seen.';

CREATE FUNCTION analytics_internal.register_discovered_agents() RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH seen AS (
        DELETE FROM analytics_internal.agent_discoveries RETURNING workspace_id, agent_id, discovered_at
    ), registered AS (
        INSERT INTO analytics.agents (workspace_id, agent_id, name, discovered, created_at)
        SELECT s.workspace_id, s.agent_id, s.agent_id::text, true, min(s.discovered_at)
        FROM seen AS s JOIN analytics.workspaces AS w USING (workspace_id)
        GROUP BY s.workspace_id, s.agent_id
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM registered
$$;
COMMENT ON FUNCTION analytics_internal.register_discovered_agents() IS
    'Registers the agents that were met while another transaction was registering them; returns how many were new.';

COMMENT ON FUNCTION analytics.agent_id(uuid, text) IS
    'Id for an agent that is known by its name only: the version 5 UUID (RFC 9562) of the name in the name space of the workspace. The same name always gives the same id. NULL for NULL.';

CREATE FUNCTION analytics.window_bounds(timeframe text DEFAULT '30d', as_of timestamptz DEFAULT now(),
                                        OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF as_of IS NULL THEN
        PERFORM analytics_internal.refuse_argument('as_of', NULL, 'it is not a point in time',
            'Leave it out to get the time of now.');
    END IF;
    window_end := date_bin('1 hour', as_of, 'epoch') + interval '1 hour';
    window_start := CASE timeframe
        WHEN '24h' THEN window_end - interval '24 hours'
        WHEN '7d'  THEN window_end - interval '168 hours'
        WHEN '30d' THEN window_end - interval '720 hours'
        WHEN '90d' THEN window_end - interval '2160 hours'
        WHEN 'all' THEN '-infinity' END;
    IF window_start IS NULL THEN
        PERFORM analytics_internal.refuse_argument('timeframe', timeframe, 'it is not a timeframe',
            'Use one of 24h, 7d, 30d, 90d, all.');
    END IF;
    IF timeframe = 'all' THEN
        window_end := 'infinity';
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.window_bounds(text, timestamptz) IS
    'Bounds of a timeframe (24h, 7d, 30d, 90d, all): whole UTC hours that end with the hour of as_of (default now), window_start included, window_end excluded; -infinity to infinity for all. Errors: 22023 unknown timeframe, or no as_of.';

CREATE FUNCTION analytics.agent_performance(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d')
RETURNS TABLE (
    window_start           timestamptz,
    window_end             timestamptz,
    total_runs             bigint,
    successful_runs        bigint,
    failed_runs            bigint,
    timeout_runs           bigint,
    cancelled_runs         bigint,
    running_runs           bigint,
    queued_runs            bigint,
    success_rate           double precision,
    avg_runtime_seconds    double precision,
    p50_runtime_seconds    double precision,
    p75_runtime_seconds    double precision,
    p90_runtime_seconds    double precision,
    p95_runtime_seconds    double precision,
    p99_runtime_seconds    double precision,
    min_runtime_seconds    double precision,
    max_runtime_seconds    double precision,
    stddev_runtime_seconds double precision,
    throughput_per_hour    double precision,
    credits_consumed       numeric,
    tokens_used            numeric,
    unique_users           bigint,
    avg_rating             double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics.window_bounds($3);
    RETURN QUERY
    SELECT
        -- Infinite times would be a puzzle to many clients' types.
        nullif(bounds.window_start, '-infinity'), nullif(bounds.window_end, 'infinity'),
        coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
        coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0), coalesce(m.running_runs, 0),
        coalesce(m.queued_runs, 0),
        m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
        analytics.mean(m.runtime_sketch), p.at[1], p.at[2], p.at[3], p.at[4], p.at[5],
        analytics.min_val(m.runtime_sketch), analytics.max_val(m.runtime_sketch), analytics.stddev(m.runtime_sketch),
        m.total_runs / analytics_internal.hours_between(m.first_run_at, least(bounds.window_end, now())),
        coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
        coalesce(analytics.approx_distinct(m.users_sketch), 0),
        m.sum_ratings::double precision / nullif(m.total_ratings, 0)
    FROM (SELECT) AS one
    LEFT JOIN analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end) AS m ON true
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.75, 0.90, 0.95, 0.99], m.runtime_sketch)
        AS p (at) ON true;
END
$$;
COMMENT ON FUNCTION analytics.agent_performance(uuid, uuid, text) IS
    'One row about one agent in a timeframe (24h, 7d, 30d, 90d, all). success_rate (0..1) is completed runs over finished ones (completed, failed, timeout, cancelled); runtimes are seconds over the runs that have one, percentiles are those of percentile_cont up to 250 runs with a runtime, and within 1 % of them beyond; unique_users is exact while small, then estimated; throughput_per_hour is runs per hour from the first run in the window to now. Counts and sums are 0 and everything else NULL when there is no run. window_start and window_end are NULL for all. Errors: 22023 unknown workspace, agent or timeframe.';

CREATE FUNCTION analytics.list_agents(workspace_id uuid, timeframe text DEFAULT '30d')
RETURNS TABLE (
    agent_id            uuid,
    name                text,
    agent_type          text,
    lifecycle_state     text,
    discovered          boolean,
    total_runs          bigint,
    successful_runs     bigint,
    failed_runs         bigint,
    timeout_runs        bigint,
    cancelled_runs      bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    p50_runtime_seconds double precision,
    p95_runtime_seconds double precision,
    credits_consumed    numeric,
    tokens_used         numeric,
    unique_users        bigint,
    avg_rating          double precision,
    last_run_at         timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    SELECT
        a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered,
        coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
        coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0),
        m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
        analytics.mean(m.runtime_sketch), p.at[1], p.at[2],
        coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
        coalesce(analytics.approx_distinct(m.users_sketch), 0),
        m.sum_ratings::double precision / nullif(m.total_ratings, 0), m.last_run_at
    FROM analytics_internal.known_agents($1) AS a
    LEFT JOIN analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end) AS m
        USING (agent_id)
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch) AS p (at) ON true
    ORDER BY coalesce(m.total_runs, 0) DESC, a.name, a.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.list_agents(uuid, text) IS
    'One row per agent of a workspace, busiest first, with its measures in a timeframe (24h, 7d, 30d, 90d, all); defined as in agent_performance. An agent without runs has zeros and NULLs. Errors: 22023 unknown workspace or timeframe.';

CREATE FUNCTION analytics_internal.known_agents(workspace_id uuid)
RETURNS TABLE (agent_id uuid, name text, agent_type text, lifecycle_state text, discovered boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered
    FROM analytics.agents AS a WHERE a.workspace_id = $1
    UNION ALL
    SELECT DISTINCT d.agent_id, d.agent_id::text, 'unknown', 'draft', true
    FROM analytics_internal.agent_discoveries AS d
    WHERE d.workspace_id = $1
      AND NOT EXISTS (SELECT FROM analytics.agents AS a
                      WHERE a.workspace_id = d.workspace_id AND a.agent_id = d.agent_id)
$$;
COMMENT ON FUNCTION analytics_internal.known_agents(uuid) IS
    'Agents of a workspace, those included that wait in agent_discoveries.';

CREATE FUNCTION analytics_internal.hours_between(from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN greatest(extract(epoch FROM to_time - from_time)::double precision / 3600, 1.0);
COMMENT ON FUNCTION analytics_internal.hours_between(timestamptz, timestamptz) IS
    'Hours from one time to another, at least one, so that a rate per hour of a short time is not inflated. NULL for NULL.';
