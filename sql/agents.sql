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

CREATE FUNCTION analytics.agent_id(workspace_id uuid, agent_name text) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'agent_id_wrapper';
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

-- What every function that takes a timeframe does with its arguments.
CREATE FUNCTION analytics_internal.resolve_window(timeframe text, from_time timestamptz, to_time timestamptz,
                                                  OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named record;
BEGIN
    SELECT * INTO named FROM analytics.window_bounds(timeframe);
    window_end := coalesce(to_time, CASE WHEN from_time IS NULL THEN named.window_end
        -- From a time to now, also where the timeframe is all.
        ELSE date_bin('1 hour', now(), 'epoch') + interval '1 hour' END);
    window_start := coalesce(from_time, CASE WHEN to_time IS NULL OR timeframe = 'all' THEN named.window_start
        ELSE to_time - (named.window_end - named.window_start) END);
    IF window_start >= window_end THEN
        PERFORM analytics_internal.refuse_argument('from_time', window_start::text,
            'it does not lie before the end of the window, ' || window_end, 'Give a from_time that is before to_time.');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.resolve_window(text, timestamptz, timestamptz) IS
    'The window that a timeframe (24h, 7d, 30d, 90d, all), from_time and to_time ask for; window_start included, window_end excluded. from_time and to_time go before the timeframe: without from_time the window has the length of the timeframe and ends with to_time, without to_time it ends with the current hour; without both it is window_bounds(timeframe). Infinite where it has no bound. Errors: 22023 unknown timeframe, from_time that is not before the end.';

CREATE FUNCTION analytics.agent_performance(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d',
                                            from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
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
    avg_rating             double precision,
    total_ratings          bigint,
    total_feedback         bigint,
    avg_feedback_rating    double precision,
    total_errors           bigint,
    credits_per_run        numeric,
    credits_per_success    numeric,
    tokens_per_run         double precision,
    avg_concurrent_runs    double precision,
    max_concurrent_runs    integer,
    first_run_at           timestamptz,
    last_run_at            timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
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
        m.sum_ratings::double precision / nullif(m.total_ratings, 0),
        coalesce(m.total_ratings, 0), coalesce(m.total_feedback, 0),
        m.sum_feedback_ratings::double precision / nullif(m.total_feedback, 0), coalesce(m.total_errors, 0),
        m.credits_consumed / nullif(m.total_runs, 0), m.credits_consumed / nullif(m.successful_runs, 0),
        (m.tokens_used / nullif(m.total_runs, 0))::double precision,
        m.sum_concurrent_runs::double precision / nullif(m.concurrency_count, 0), m.max_concurrent_runs,
        m.first_run_at, m.last_run_at
    FROM (SELECT) AS one
    LEFT JOIN analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end) AS m ON true
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.75, 0.90, 0.95, 0.99], m.runtime_sketch)
        AS p (at) ON true;
END
$$;
COMMENT ON FUNCTION analytics.agent_performance(uuid, uuid, text, timestamptz, timestamptz) IS
    'One row about one agent in a window: a timeframe (24h, 7d, 30d, 90d, all), or from_time to to_time. success_rate (0..1) is completed runs over finished ones (completed, failed, timeout, cancelled); runtimes are seconds over the runs that have one, percentiles are those of percentile_cont up to 250 runs with a runtime, and within 1 % of them beyond; unique_users is exact while small, then estimated; throughput_per_hour is runs per hour from the first run in the window to its end or now; avg_rating is of runs, avg_feedback_rating of agent_user_feedback. Counts and sums are 0 and everything else NULL when there is nothing. window_start and window_end are NULL where there is no bound. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.agent_stats(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d',
                                      from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    agent_id            uuid,
    name                text,
    total_runs          bigint,
    success_rate        double precision,
    p50_runtime_seconds double precision,
    p95_runtime_seconds double precision,
    credits_per_run     numeric,
    unique_users        bigint,
    avg_rating          double precision,
    total_errors        bigint,
    last_run_at         timestamptz,
    summary             text
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $2, a.name, p.total_runs, p.success_rate, p.p50_runtime_seconds, p.p95_runtime_seconds, p.credits_per_run,
           p.unique_users, p.avg_rating, p.total_errors, p.last_run_at,
           a.name || ': ' || concat_ws(', ',
               to_char(p.total_runs, 'FM999,999,999,999,990') || CASE p.total_runs WHEN 1 THEN ' run' ELSE ' runs' END,
               round(100 * p.success_rate::numeric, 1) || ' % successful',
               'median ' || round(p.p50_runtime_seconds::numeric, 1) || ' s',
               '95 % within ' || round(p.p95_runtime_seconds::numeric, 1) || ' s',
               round(p.credits_per_run, 4) || ' credits a run',
               p.unique_users || CASE p.unique_users WHEN 1 THEN ' user' ELSE ' users' END,
               'rated ' || round(p.avg_rating::numeric, 1))
    FROM analytics.agent_performance($1, $2, $3, $4, $5) AS p
    CROSS JOIN LATERAL (SELECT k.name FROM analytics_internal.known_agents($1) AS k WHERE k.agent_id = $2) AS a
$$;
COMMENT ON FUNCTION analytics.agent_stats(uuid, uuid, text, timestamptz, timestamptz) IS
    'An agent in one line: the chief measures of agent_performance() in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), and summary, a sentence with those that are known. Errors: as agent_performance.';

CREATE FUNCTION analytics.list_agents(
    workspace_id uuid, timeframe text DEFAULT '30d', sort_by text DEFAULT 'total_runs', descending boolean DEFAULT NULL,
    max_rows integer DEFAULT NULL, after_agent uuid DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
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
    last_run_at         timestamptz,
    credits_per_run     numeric,
    total_errors        bigint,
    avg_feedback_rating double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $7, $8);
    IF $3 IS NULL OR $3 <> ALL (ARRAY['total_runs', 'success_rate', 'failed_runs', 'avg_runtime_seconds', 'p50_runtime_seconds',
            'p95_runtime_seconds', 'credits_consumed', 'credits_per_run', 'tokens_used', 'unique_users', 'avg_rating',
            'total_errors', 'last_run_at', 'name']) THEN
        PERFORM analytics_internal.refuse_argument('sort_by', $3, 'agents are not sorted by it',
            'Use total_runs, success_rate, failed_runs, avg_runtime_seconds, p50_runtime_seconds, p95_runtime_seconds, credits_consumed, credits_per_run, tokens_used, unique_users, avg_rating, total_errors, last_run_at or name.');
    END IF;
    IF $5 < 1 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $5::text, 'it is below one', 'Leave it out to get all agents.');
    END IF;
    IF $6 IS NOT NULL THEN
        PERFORM analytics_internal.require_agent($1, $6);
    END IF;
    RETURN QUERY
    WITH listed AS (
        SELECT
            a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered,
            coalesce(m.total_runs, 0) AS total_runs, coalesce(m.successful_runs, 0) AS successful_runs,
            coalesce(m.failed_runs, 0) AS failed_runs, coalesce(m.timeout_runs, 0) AS timeout_runs,
            coalesce(m.cancelled_runs, 0) AS cancelled_runs,
            m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0) AS success_rate,
            analytics.mean(m.runtime_sketch) AS avg_runtime_seconds, p.at[1] AS p50_runtime_seconds,
            p.at[2] AS p95_runtime_seconds, coalesce(m.credits_consumed, 0) AS credits_consumed,
            coalesce(m.tokens_used, 0) AS tokens_used, coalesce(analytics.approx_distinct(m.users_sketch), 0) AS unique_users,
            m.sum_ratings::double precision / nullif(m.total_ratings, 0) AS avg_rating, m.last_run_at,
            m.credits_consumed / nullif(m.total_runs, 0) AS credits_per_run, coalesce(m.total_errors, 0) AS total_errors,
            m.sum_feedback_ratings::double precision / nullif(m.total_feedback, 0) AS avg_feedback_rating
        FROM analytics_internal.known_agents($1) AS a
        LEFT JOIN analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, columns =>
            '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, running_runs, queued_runs, runtime_sketch,
              credits_consumed, tokens_used, users_sketch, total_ratings, sum_ratings, last_run_at, total_errors, total_feedback,
              sum_feedback_ratings}') AS m
            USING (agent_id)
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch) AS p (at) ON true
    ), keyed AS (
        SELECT l.*, CASE $3
                WHEN 'total_runs' THEN l.total_runs WHEN 'success_rate' THEN l.success_rate WHEN 'failed_runs' THEN l.failed_runs
                WHEN 'avg_runtime_seconds' THEN l.avg_runtime_seconds WHEN 'p50_runtime_seconds' THEN l.p50_runtime_seconds
                WHEN 'p95_runtime_seconds' THEN l.p95_runtime_seconds WHEN 'credits_consumed' THEN l.credits_consumed
                WHEN 'credits_per_run' THEN l.credits_per_run WHEN 'tokens_used' THEN l.tokens_used
                WHEN 'unique_users' THEN l.unique_users WHEN 'avg_rating' THEN l.avg_rating
                WHEN 'total_errors' THEN l.total_errors WHEN 'last_run_at' THEN extract(epoch FROM l.last_run_at)
            END::double precision AS key
        FROM listed AS l
    ), placed AS (
        SELECT k.*, row_number() OVER (ORDER BY
                CASE WHEN $3 = 'name' AND $4 THEN k.name END DESC,
                CASE WHEN coalesce($4, true) THEN k.key END DESC NULLS LAST,
                CASE WHEN NOT coalesce($4, true) THEN k.key END ASC NULLS LAST,
                k.name, k.agent_id) AS place
        FROM keyed AS k
    )
    SELECT p.agent_id, p.name, p.agent_type, p.lifecycle_state, p.discovered, p.total_runs, p.successful_runs, p.failed_runs,
           p.timeout_runs, p.cancelled_runs, p.success_rate, p.avg_runtime_seconds, p.p50_runtime_seconds,
           p.p95_runtime_seconds, p.credits_consumed, p.tokens_used, p.unique_users, p.avg_rating, p.last_run_at,
           p.credits_per_run, p.total_errors, p.avg_feedback_rating
    FROM placed AS p
    WHERE $6 IS NULL OR p.place > (SELECT q.place FROM placed AS q WHERE q.agent_id = $6)
    ORDER BY p.place
    LIMIT $5;
END
$$;
COMMENT ON FUNCTION analytics.list_agents(uuid, text, text, boolean, integer, uuid, timestamptz, timestamptz) IS
    'One row per agent of a workspace with its measures in a window: a timeframe (24h, 7d, 30d, 90d, all), or from_time to to_time; defined as in agent_performance. sort_by names a column of the result (default total_runs) or name; descending is the default but for name; agents without the measure come last, equal ones by name. max_rows limits a page (NULL: all); the next page begins behind after_agent, the last agent of the page before. An agent without runs has zeros and NULLs. Errors: 22023 unknown workspace, timeframe, sort_by or after_agent, max_rows below 1, from_time not before to_time.';

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

-- ---------------------------------------------------------------------------------------------------------- series

CREATE FUNCTION analytics_internal.zone_of(workspace_id uuid, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $2 IS NULL THEN
        RETURN (SELECT w.time_zone FROM analytics.workspaces AS w WHERE w.workspace_id = $1);
    END IF;
    IF NOT analytics_internal.is_time_zone($2) THEN
        PERFORM analytics_internal.refuse_argument('time_zone', $2, 'it is not a time zone',
            'Use a name such as Europe/Berlin from pg_timezone_names, or leave it out for that of the workspace.');
    END IF;
    RETURN $2;
END
$$;
COMMENT ON FUNCTION analytics_internal.zone_of(uuid, text) IS
    'The time zone that is asked for, or that of the workspace for NULL. Errors: 22023 not a time zone.';

CREATE FUNCTION analytics_internal.time_spans(bucket text, time_zone text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (bucket_start timestamptz, span_start timestamptz, span_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $1 IN ('hour', 'day', 'week', 'month') THEN
        RETURN QUERY
        SELECT s.bucket_start, s.span_start, s.span_end FROM analytics_internal.series_spans($1, $2, $3, $4) AS s;
    ELSE
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'it is not a length of buckets',
            'Use one of hour, day, week, month.');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.time_spans(text, text, timestamptz, timestamptz) IS
    'The buckets of series_spans() that are no shorter than an hour, as rollups of agents have them. Errors: 22023 unknown bucket, too many of them.';

CREATE FUNCTION analytics_internal.finite_window(workspace_id uuid, only_agent uuid, from_time timestamptz, to_time timestamptz,
                                                 OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    hours record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    window_start := $3;
    window_end := $4;
    IF isfinite($3) AND isfinite($4) THEN
        RETURN;
    END IF;
    -- The days first: of the hours, only those of the first and the last day are read.
    SELECT min(m.bucket) AS first_day, max(m.bucket) AS last_day INTO hours
    FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4, '24 hours', '{}') AS m;
    IF hours.first_day IS NULL THEN
        window_end := window_start;
        RETURN;
    END IF;
    IF NOT isfinite($3) THEN
        SELECT min(m.bucket) INTO window_start
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.first_day, hours.first_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
    IF NOT isfinite($4) THEN
        SELECT greatest(max(m.bucket), date_bin('1 hour', now(), 'epoch')) + interval '1 hour' INTO window_end
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.last_day, hours.last_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.finite_window(uuid, uuid, timestamptz, timestamptz) IS
    'A window whose infinite bounds are replaced: by the hour of the first run, error or feedback of the agent (NULL: of any), and by the end of the current hour, or of the last of them where that is later. Empty (both bounds equal) without any.';

CREATE FUNCTION analytics.agent_timeseries(
    workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d', bucket text DEFAULT 'day', time_zone text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start        timestamptz,
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
    total_errors        bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    zone   text;
    bounds record;
    step   interval;
    needed constant text[] := '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, running_runs, queued_runs,
                                runtime_sketch, credits_consumed, tokens_used, users_sketch, total_ratings, sum_ratings, total_errors}';
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $6, $7);
    zone := analytics_internal.zone_of($1, $5);
    SELECT * INTO bounds FROM analytics_internal.finite_window($1, $2, bounds.window_start, bounds.window_end);
    IF NOT isfinite(bounds.window_start) THEN
        PERFORM FROM analytics_internal.time_spans($4, zone, now(), now());
        RETURN;
    END IF;
    -- Days of UTC and hours of UTC are at hand; other buckets are put together from hours, or asked for one by one.
    SELECT CASE WHEN bool_and(extract(epoch FROM s.bucket_start) % 86400 = 0) AND $4 <> 'hour' THEN interval '24 hours'
                WHEN bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) THEN interval '1 hour' END
    INTO step
    FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH spans AS MATERIALIZED (
        SELECT * FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end)
    ), found AS (
        SELECT date_trunc($4, m.bucket, zone) AS bucket_start, m.*
        FROM (SELECT WHERE step IS NOT NULL) AS aligned
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, step, needed) AS m
        UNION ALL
        SELECT s.bucket_start, m.*
        FROM (SELECT WHERE step IS NULL) AS unaligned
        CROSS JOIN spans AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, s.span_start, s.span_end, NULL, needed) AS m
    ), merged AS (
        SELECT f.bucket_start, sum(f.total_runs)::bigint AS total_runs, sum(f.successful_runs)::bigint AS successful_runs,
               sum(f.failed_runs)::bigint AS failed_runs, sum(f.timeout_runs)::bigint AS timeout_runs,
               sum(f.cancelled_runs)::bigint AS cancelled_runs,
               sum(f.total_runs - f.running_runs - f.queued_runs) AS finished_runs,
               analytics.rollup(f.runtime_sketch) AS runtime_sketch, sum(f.credits_consumed) AS credits_consumed,
               sum(f.tokens_used) AS tokens_used, analytics.rollup(f.users_sketch) AS users_sketch,
               sum(f.total_ratings) AS total_ratings, sum(f.sum_ratings) AS sum_ratings,
               sum(f.total_errors)::bigint AS total_errors
        FROM found AS f GROUP BY f.bucket_start
    )
    SELECT s.bucket_start, coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0),
           m.successful_runs::double precision / nullif(m.finished_runs, 0)::double precision,
           analytics.mean(m.runtime_sketch), p.at[1], p.at[2], coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
           coalesce(analytics.approx_distinct(m.users_sketch), 0),
           m.sum_ratings::double precision / nullif(m.total_ratings, 0)::double precision, coalesce(m.total_errors, 0)
    FROM spans AS s
    LEFT JOIN merged AS m USING (bucket_start)
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch) AS p (at) ON true
    ORDER BY s.bucket_start;
END
$$;
COMMENT ON FUNCTION analytics.agent_timeseries(uuid, uuid, text, text, text, timestamptz, timestamptz) IS
    'One row per hour, day, week (from Monday) or month (bucket) of a time zone (default: that of the workspace) in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), also where nothing happened: counts are 0 then, everything else NULL. Measures as in agent_performance; the first and the last bucket hold what of them lies in the window. all begins with the first hour that has anything. Errors: 22023 unknown workspace, agent, timeframe, bucket or time zone, more than about 100,000 buckets, from_time not before to_time.';

CREATE FUNCTION analytics.agent_usage_pattern(
    workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d', time_zone text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    day_of_week         integer,
    hour_of_day         integer,
    total_runs          bigint,
    successful_runs     bigint,
    failed_runs         bigint,
    timeout_runs        bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    credits_consumed    numeric
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 168
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    zone   text;
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    zone := analytics_internal.zone_of($1, $4);
    RETURN QUERY
    WITH hours AS (
        SELECT extract(isodow FROM m.bucket AT TIME ZONE zone)::integer AS day, extract(hour FROM m.bucket AT TIME ZONE zone)::integer AS hour,
               sum(m.total_runs)::bigint AS total_runs, sum(m.successful_runs)::bigint AS successful_runs,
               sum(m.failed_runs)::bigint AS failed_runs, sum(m.timeout_runs)::bigint AS timeout_runs,
               sum(m.total_runs - m.running_runs - m.queued_runs) AS finished_runs,
               sum(analytics.sum(m.runtime_sketch)) / nullif(sum(analytics.num_vals(m.runtime_sketch)), 0)::double precision AS runtime,
               sum(m.credits_consumed) AS credits_consumed
        FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, '1 hour',
            '{total_runs, successful_runs, failed_runs, timeout_runs, running_runs, queued_runs, runtime_sketch, credits_consumed}') AS m
        GROUP BY 1, 2
    )
    SELECT d.day, h.hour, coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), m.successful_runs::double precision / nullif(m.finished_runs, 0)::double precision,
           m.runtime, coalesce(m.credits_consumed, 0)
    FROM generate_series(1, 7) AS d (day) CROSS JOIN generate_series(0, 23) AS h (hour)
    LEFT JOIN hours AS m ON m.day = d.day AND m.hour = h.hour
    ORDER BY d.day, h.hour;
END
$$;
COMMENT ON FUNCTION analytics.agent_usage_pattern(uuid, uuid, text, text, timestamptz, timestamptz) IS
    'When an agent is used: one row for each of the 168 hours of a week in a time zone (default: that of the workspace), day_of_week 1 (Monday) to 7, hour_of_day 0 to 23, over a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time). A run counts for the local hour in which the UTC hour of its start begins; that is its own local hour where the zone is a whole number of hours from UTC. Measures as in agent_performance. Errors: 22023 unknown workspace, agent, timeframe or time zone, from_time not before to_time.';

-- ------------------------------------------------------------------------------------------------------ one agent

CREATE FUNCTION analytics.agent_runtime_histogram(
    workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d', buckets integer DEFAULT 10,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (bucket integer, lower_seconds double precision, upper_seconds double precision, run_count bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    IF $4 IS NULL OR $4 NOT BETWEEN 1 AND 10000 THEN
        PERFORM analytics_internal.refuse_argument('buckets', $4::text, 'it lies outside 1 to 10000', 'Ask for some ten or twenty.');
    END IF;
    RETURN QUERY
    SELECT h.bucket, h.lower, h.upper, h.count
    FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, NULL, '{runtime_sketch}') AS m
    CROSS JOIN LATERAL analytics.histogram(m.runtime_sketch, $4) AS h;
END
$$;
COMMENT ON FUNCTION analytics.agent_runtime_histogram(uuid, uuid, text, integer, timestamptz, timestamptz) IS
    'Runtimes of an agent in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time) in so many buckets of equal width, in seconds, lower included; exact up to 250 runs with a runtime, beyond each run counts within 1 % of its runtime. No row without runtimes, one where all are equal. Errors: 22023 unknown workspace, agent or timeframe, buckets outside 1 to 10000, from_time not before to_time.';

CREATE FUNCTION analytics.agent_top_users(
    workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d', max_rows integer DEFAULT 10,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    user_id             uuid,
    total_runs          bigint,
    successful_runs     bigint,
    failed_runs         bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    credits_consumed    numeric,
    tokens_used         numeric,
    avg_rating          double precision,
    run_share           double precision,
    first_run_at        timestamptz,
    last_run_at         timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    IF $4 < 1 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $4::text, 'it is below one', 'Give NULL to get all users.');
    END IF;
    RETURN QUERY
    SELECT u.user_id, u.total_runs, u.successful_runs, u.failed_runs,
           u.successful_runs::double precision / nullif(u.finished_runs, 0), analytics.mean(u.runtime_stats),
           u.credits_consumed, u.tokens_used, u.sum_ratings::double precision / nullif(u.total_ratings, 0),
           (u.total_runs / sum(u.total_runs) OVER ())::double precision, u.first_run_at, u.last_run_at
    FROM analytics_internal.user_usage_buckets($1, $2, bounds.window_start, bounds.window_end) AS u
    ORDER BY u.total_runs DESC, u.credits_consumed DESC, u.user_id
    LIMIT $4;
END
$$;
COMMENT ON FUNCTION analytics.agent_top_users(uuid, uuid, text, integer, timestamptz, timestamptz) IS
    'Users of an agent in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time) by their runs, at most max_rows (default 10, NULL all). run_share is the share (0..1) of the runs that have a user; everything is exact. Rollups hold whole UTC days: those at the edges of the window are read from raw rows. Errors: 22023 unknown workspace, agent or timeframe, max_rows below 1, from_time not before to_time.';

CREATE FUNCTION analytics.agent_executions(
    workspace_id uuid, only_agent uuid DEFAULT NULL, timeframe text DEFAULT '30d', only_status text DEFAULT NULL,
    only_model text DEFAULT NULL, only_user uuid DEFAULT NULL, max_rows integer DEFAULT 50,
    before_time timestamptz DEFAULT NULL, before_run uuid DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    run_id           uuid,
    agent_id         uuid,
    user_id          uuid,
    status           text,
    started_at       timestamptz,
    completed_at     timestamptz,
    runtime_seconds  double precision,
    credits_consumed numeric,
    tokens_used      bigint,
    model_name       text,
    model_provider   text,
    agent_version    text,
    trigger_source   text,
    parent_run_id    uuid,
    error_type       text,
    error_message    text,
    user_rating      smallint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 50
SET search_path = pg_catalog, pg_temp
-- Which of the conditions count is known when the plan is made for the arguments.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $10, $11);
    IF $4 <> ALL (ARRAY['queued', 'running', 'completed', 'failed', 'cancelled', 'timeout']) THEN
        PERFORM analytics_internal.refuse_argument('only_status', $4, 'it is not a status of a run',
            'Use one of queued, running, completed, failed, cancelled, timeout.');
    END IF;
    IF $7 IS NULL OR $7 NOT BETWEEN 1 AND 1000 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $7::text, 'a page has 1 to 1000 rows',
            'Read on with before_time and before_run, from the last row of a page.');
    END IF;
    RETURN QUERY
    SELECT r.run_id, r.agent_id, r.user_id, r.status, r.started_at, r.completed_at, r.runtime_seconds, r.credits_consumed,
           coalesce(r.tokens_used, r.prompt_tokens + r.completion_tokens), r.model_name, r.model_provider, r.agent_version,
           r.trigger_source, r.parent_run_id, r.error_type, r.error_message, r.user_rating
    FROM analytics.agent_runs_masked AS r
    WHERE r.workspace_id = $1
      AND ($2 IS NULL OR r.agent_id = $2)
      AND r.started_at >= bounds.window_start AND r.started_at < bounds.window_end
      AND ($8 IS NULL OR r.started_at <= $8)
      AND ($8 IS NULL OR r.started_at < $8 OR r.run_id < $9)
      AND ($4 IS NULL OR r.status = $4)
      AND ($5 IS NULL OR r.model_name = $5)
      AND ($6 IS NULL OR r.user_id = $6)
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT $7;
END
$$;
COMMENT ON FUNCTION analytics.agent_executions(uuid, uuid, text, text, text, uuid, integer, timestamptz, uuid, timestamptz, timestamptz) IS
    'Runs of an agent (NULL: of the workspace) in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), newest first: a page of max_rows (1 to 1000, default 50). The next page: before_time and before_run, the started_at and run_id of the last row. only_status, only_model and only_user keep those runs alone. error_message is masked for readers who are not admin of the workspace. Reads raw runs by index, from the newest until the page is full: a filter that few runs pass reads the window. Errors: 22023 unknown workspace, agent, timeframe or status, max_rows outside 1 to 1000, from_time not before to_time.';

-- ------------------------------------------------------------------------------------------------------- resources

CREATE FUNCTION analytics.agent_resources(workspace_id uuid, only_agent uuid DEFAULT NULL, timeframe text DEFAULT '30d',
                                          from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    agent_id            uuid,
    total_runs          bigint,
    credits_consumed    numeric,
    credits_per_run     numeric,
    credits_per_success numeric,
    tokens_used         numeric,
    prompt_tokens       numeric,
    completion_tokens   numeric,
    tokens_per_run      double precision,
    credits_per_million_tokens double precision,
    credit_share        double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    WITH used AS (
        SELECT m.agent_id, m.total_runs, m.credits_consumed, m.credits_consumed / nullif(m.total_runs, 0) AS per_run,
               m.credits_consumed / nullif(m.successful_runs, 0) AS per_success, m.tokens_used, m.prompt_tokens,
               m.completion_tokens, (m.tokens_used / nullif(m.total_runs, 0))::double precision AS tokens_per_run,
               (1e6 * m.credits_consumed / nullif(m.tokens_used, 0))::double precision AS per_million,
               (m.credits_consumed / nullif(sum(m.credits_consumed) OVER (), 0))::double precision AS share
        FROM analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
            '{total_runs, successful_runs, credits_consumed, tokens_used, prompt_tokens, completion_tokens}') AS m
        WHERE m.total_runs > 0
    )
    SELECT u.* FROM used AS u WHERE $2 IS NULL OR u.agent_id = $2
    UNION ALL
    SELECT $2, 0, 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL
    WHERE $2 IS NOT NULL AND NOT EXISTS (SELECT FROM used AS u WHERE u.agent_id = $2)
    ORDER BY 3 DESC, 1;
END
$$;
COMMENT ON FUNCTION analytics.agent_resources(uuid, uuid, text, timestamptz, timestamptz) IS
    'What an agent (NULL: each agent of the workspace that ran, dearest first) consumed in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): credits, tokens, both per run, credits per success (all credits over successful runs) and per million tokens, and credit_share, its share (0..1) of the workspace''s credits. Tokens that are not known count as zero. One row of zeros and NULLs for an agent without runs. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.model_usage(workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d',
                                      from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    model_name          text,
    model_provider      text,
    total_calls         bigint,
    successful_calls    bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    p50_runtime_seconds double precision,
    p95_runtime_seconds double precision,
    credits_consumed    numeric,
    credit_share        double precision,
    credits_per_run     numeric,
    credits_per_success numeric,
    tokens_used         numeric,
    prompt_tokens       numeric,
    completion_tokens   numeric,
    agent_count         bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    SELECT m.model_name, m.model_provider, m.calls, m.successes, m.successes::double precision / nullif(m.finished, 0),
           analytics.mean(m.sketch), p.at[1], p.at[2], m.credits,
           (m.credits / nullif(sum(m.credits) OVER (), 0))::double precision,
           m.credits / nullif(m.calls, 0), m.credits / nullif(m.successes, 0), m.tokens, m.prompt, m.completion, m.agents
    FROM (
        SELECT u.model_name, u.model_provider, u.total_calls AS calls, u.successful_calls AS successes, u.finished_calls AS finished,
               u.runtime_sketch AS sketch, u.credits_consumed AS credits, u.tokens_used AS tokens, u.prompt_tokens AS prompt,
               u.completion_tokens AS completion, u.agents
        FROM analytics_internal.agent_model_usage_buckets($1, $2, bounds.window_start, bounds.window_end, by_agent => false) AS u
    ) AS m
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.sketch) AS p (at) ON true
    ORDER BY m.credits DESC, m.calls DESC, m.model_name, m.model_provider;
END
$$;
COMMENT ON FUNCTION analytics.model_usage(uuid, uuid, text, timestamptz, timestamptz) IS
    'Which models an agent (NULL: the workspace) used in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), dearest first: runs that used it, success rate (0..1, of finished ones), runtimes in seconds, credits and their share (0..1), per run and per success, tokens, and by how many agents. unknown where a run does not say. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';
