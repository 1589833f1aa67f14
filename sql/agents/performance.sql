-- Agents: how they do, one by one and side by side, in a window and over time.

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
        bounds.window_start, bounds.window_end,
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
    max_rows integer DEFAULT NULL, after_agent_id uuid DEFAULT NULL,
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
    'One row per agent of a workspace with its measures in a window: a timeframe (24h, 7d, 30d, 90d, all), or from_time to to_time; defined as in agent_performance. sort_by names a column of the result (default total_runs) or name; descending is the default but for name; agents without the measure come last, equal ones by name. max_rows limits a page (NULL: all); the next page begins behind after_agent_id, the last agent of the page before. An agent without runs has zeros and NULLs. Errors: 22023 unknown workspace, timeframe, sort_by or after_agent_id, max_rows below 1, from_time not before to_time.';

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
    IF bounds.window_start = bounds.window_end THEN
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
