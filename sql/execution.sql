-- Execution: throughput, latency, queue and concurrency of a workspace. What is aggregated comes from rollups, and from
-- raw rows where these have changed since; what is live comes from the few raw rows that are.

-- --------------------------------------------------------------------------------------------------------- windows

CREATE FUNCTION analytics_internal.series_spans(bucket text, time_zone text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (place bigint, bucket_start timestamptz, span_start timestamptz, span_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- No bucket is shorter; an hour may be cut by a change of clocks of half an hour.
    shortest constant interval := CASE $1 WHEN 'minute' THEN '1 minute' WHEN '5 minutes' THEN $1 WHEN '15 minutes' THEN $1
        WHEN 'hour' THEN '15 minutes' WHEN 'day' THEN '12 hours' WHEN 'week' THEN '3 days' WHEN 'month' THEN '14 days' END;
    last     constant timestamptz := $4 - interval '1 microsecond';
BEGIN
    IF shortest IS NULL THEN
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'it is not a length of buckets',
            'Use one of minute, 5 minutes, 15 minutes, hour, day, week, month.');
    END IF;
    IF $3 >= $4 THEN
        RETURN;
    END IF;
    IF extract(epoch FROM $4 - $3) / extract(epoch FROM shortest) > 400000 THEN
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'the window has too many of them',
            'Ask for longer buckets or for a shorter window.');
    END IF;
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY b.start), b.start, greatest(b.start, $3),
           least(lead(b.start, 1, $4) OVER (ORDER BY b.start), $4)
    FROM (
        SELECT CASE WHEN $1 LIKE '%minute%' THEN date_bin(shortest, t, 'epoch') ELSE date_trunc($1, t, $2) END
        FROM generate_series($3, last, shortest) AS t
        UNION
        SELECT CASE WHEN $1 LIKE '%minute%' THEN date_bin(shortest, last, 'epoch') ELSE date_trunc($1, last, $2) END
    ) AS b (start)
    ORDER BY b.start;
END
$$;
COMMENT ON FUNCTION analytics_internal.series_spans(text, text, timestamptz, timestamptz) IS
    'Minutes, 5 minutes, 15 minutes, hours, days, weeks (from Monday) or months of a time zone that a finite window touches, numbered from 1: where each begins, and the part of it that lies in the window. Days on which clocks change have 23 or 25 hours. Errors: 22023 unknown bucket, more than 100,000 hours or 400,000 others.';

CREATE FUNCTION analytics_internal.series_window(workspace_id uuid, from_time timestamptz, to_time timestamptz,
                                                 OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    days record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    window_start := $2;
    window_end := $3;
    IF isfinite($2) AND isfinite($3) THEN
        RETURN;
    END IF;
    SELECT min(m.bucket) AS first, max(m.bucket) AS last INTO days
    FROM analytics_internal.execution_metrics_buckets($1, $2, $3, '24 hours') AS m;
    IF days.first IS NULL THEN
        window_end := window_start;
        RETURN;
    END IF;
    IF NOT isfinite($2) THEN
        SELECT min(m.bucket) INTO window_start
        FROM analytics_internal.execution_metrics_buckets($1, days.first, days.first + interval '24 hours', '1 hour') AS m;
    END IF;
    IF NOT isfinite($3) THEN
        SELECT greatest(max(m.bucket), date_bin('1 hour', now(), 'epoch')) + interval '1 hour' INTO window_end
        FROM analytics_internal.execution_metrics_buckets($1, days.last, days.last + interval '24 hours', '1 hour') AS m;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.series_window(uuid, timestamptz, timestamptz) IS
    'A window whose infinite bounds are replaced: by the first hour of the workspace that has anything, and by the end of the current hour, or of the last that has anything where that is later. Empty (both bounds equal) without any.';

CREATE FUNCTION analytics_internal.execution_series(workspace_id uuid, bucket text, time_zone text,
                                                    from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    place                bigint,
    bucket_start         timestamptz,
    span_start           timestamptz,
    span_end             timestamptz,
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
    users_sketch         analytics.distinct_sketch,
    total_errors         bigint,
    queue_arrivals       bigint,
    queue_departures     bigint,
    queue_latency_sketch analytics.percentile_sketch,
    total_latency_sketch analytics.percentile_sketch
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    unit constant text := CASE WHEN $2 LIKE '%minute%' THEN 'minute' ELSE $2 END;
    step interval;
BEGIN
    -- Days and hours of UTC are at hand; other buckets are put together from hours, or asked for one by one.
    SELECT CASE WHEN unit = 'minute' THEN CASE $2 WHEN 'minute' THEN interval '1 minute' ELSE $2::interval END
                WHEN $2 <> 'hour' AND bool_and(extract(epoch FROM s.bucket_start) % 86400 = 0) THEN interval '24 hours'
                WHEN bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) THEN interval '1 hour' END
    INTO step
    FROM analytics_internal.series_spans($2, $3, $4, $5) AS s;
    RETURN QUERY
    WITH spans AS MATERIALIZED (
        SELECT * FROM analytics_internal.series_spans($2, $3, $4, $5)
    ), found AS (
        SELECT CASE unit WHEN 'minute' THEN m.bucket ELSE date_trunc(unit, m.bucket, $3) END AS bucket_start, m.*
        FROM (SELECT WHERE step IS NOT NULL) AS aligned
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, $4, $5, step) AS m
        UNION ALL
        SELECT s.bucket_start, m.*
        FROM (SELECT WHERE step IS NULL) AS unaligned
        CROSS JOIN spans AS s
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, s.span_start, s.span_end) AS m
    ), merged AS (
        SELECT f.bucket_start, sum(f.total_runs)::bigint AS total_runs, sum(f.successful_runs)::bigint AS successful_runs,
               sum(f.failed_runs)::bigint AS failed_runs, sum(f.timeout_runs)::bigint AS timeout_runs,
               sum(f.cancelled_runs)::bigint AS cancelled_runs, sum(f.running_runs)::bigint AS running_runs,
               sum(f.queued_runs)::bigint AS queued_runs, max(f.peak_runs_per_minute) AS peak_runs_per_minute,
               analytics.rollup(f.runtime_sketch) AS runtime_sketch, sum(f.credits_consumed) AS credits_consumed,
               sum(f.tokens_used) AS tokens_used, analytics.rollup(f.users_sketch) AS users_sketch,
               sum(f.total_errors)::bigint AS total_errors, sum(f.queue_arrivals)::bigint AS queue_arrivals,
               sum(f.queue_departures)::bigint AS queue_departures,
               analytics.rollup(f.queue_latency_sketch) AS queue_latency_sketch,
               analytics.rollup(f.total_latency_sketch) AS total_latency_sketch
        FROM found AS f GROUP BY f.bucket_start
    )
    SELECT s.place, s.bucket_start, s.span_start, s.span_end,
           coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0), coalesce(m.running_runs, 0),
           coalesce(m.queued_runs, 0), coalesce(m.peak_runs_per_minute, 0), m.runtime_sketch,
           coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0), m.users_sketch, coalesce(m.total_errors, 0),
           coalesce(m.queue_arrivals, 0), coalesce(m.queue_departures, 0), m.queue_latency_sketch, m.total_latency_sketch
    FROM spans AS s
    LEFT JOIN merged AS m USING (bucket_start)
    ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION analytics_internal.execution_series(uuid, text, text, timestamptz, timestamptz) IS
    'What a workspace executed in each bucket of series_spans(), gaps filled, with sketches that can be merged on. Errors: those of series_spans() and execution_metrics_buckets().';

CREATE FUNCTION analytics_internal.describe_seconds(sketch analytics.percentile_sketch) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object(
        'count', coalesce(analytics.num_vals($1), 0), 'avg_seconds', analytics.mean($1),
        'p50_seconds', p.at[1], 'p75_seconds', p.at[2], 'p90_seconds', p.at[3], 'p95_seconds', p.at[4], 'p99_seconds', p.at[5],
        'min_seconds', analytics.min_val($1), 'max_seconds', analytics.max_val($1), 'stddev_seconds', analytics.stddev($1))
    FROM (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.75, 0.90, 0.95, 0.99], $1)) AS p (at)
$$;
COMMENT ON FUNCTION analytics_internal.describe_seconds(analytics.percentile_sketch) IS
    'Count, mean, percentiles, extremes and standard deviation of a sketch of seconds as jsonb; count 0 and NULLs for NULL.';

-- --------------------------------------------------------------------------------------------------- what happened

CREATE FUNCTION analytics.execution_summary(workspace_id uuid, timeframe text DEFAULT '30d',
                                            from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    window_start              timestamptz,
    window_end                timestamptz,
    total_runs                bigint,
    successful_runs           bigint,
    failed_runs               bigint,
    timeout_runs              bigint,
    cancelled_runs            bigint,
    running_runs              bigint,
    queued_runs               bigint,
    success_rate              double precision,
    runs_per_hour             double precision,
    peak_runs_per_minute      bigint,
    avg_runtime_seconds       double precision,
    p50_runtime_seconds       double precision,
    p95_runtime_seconds       double precision,
    avg_queue_latency_seconds double precision,
    p50_queue_latency_seconds double precision,
    p95_queue_latency_seconds double precision,
    avg_total_latency_seconds double precision,
    p50_total_latency_seconds double precision,
    p95_total_latency_seconds double precision,
    queue_arrivals            bigint,
    queue_departures          bigint,
    credits_consumed          numeric,
    tokens_used               numeric,
    unique_users              bigint,
    total_errors              bigint,
    critical_errors           bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    RETURN QUERY
    SELECT nullif(bounds.window_start, '-infinity'), nullif(bounds.window_end, 'infinity'),
           coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0), coalesce(m.timeout_runs, 0),
           coalesce(m.cancelled_runs, 0), coalesce(m.running_runs, 0), coalesce(m.queued_runs, 0),
           m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
           m.total_runs / analytics_internal.hours_between(m.first_run_at, least(bounds.window_end, greatest(now(), m.last_run_at))),
           coalesce(m.peak_runs_per_minute, 0),
           analytics.mean(m.runtime_sketch), r.at[1], r.at[2],
           analytics.mean(m.queue_latency_sketch), q.at[1], q.at[2],
           analytics.mean(m.total_latency_sketch), t.at[1], t.at[2],
           coalesce(m.queue_arrivals, 0), coalesce(m.queue_departures, 0),
           coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
           coalesce(analytics.approx_distinct(m.users_sketch), 0),
           coalesce(m.total_errors, 0), coalesce(m.critical_errors, 0)
    FROM (SELECT) AS one
    LEFT JOIN analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end) AS m ON true
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch)) AS r (at)
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.queue_latency_sketch)) AS q (at)
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.total_latency_sketch)) AS t (at);
END
$$;
COMMENT ON FUNCTION analytics.execution_summary(uuid, text, timestamptz, timestamptz) IS
    'One row about what a workspace executed in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): runs by status, success_rate (0..1: completed over finished runs), runs_per_hour from the first run to now or the end of the window, peak_runs_per_minute (most runs that started in one minute of the clock), seconds of running, of waiting in the queue and from queueing to completion (percentiles are exact up to 250 values, then within 1 %), entries that came into the queue and that left it, credits, tokens, users (exact while few), errors. Counts and sums are 0 and everything else NULL when there is nothing. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.execution_metrics(workspace_id uuid, timeframe text DEFAULT '30d',
                                            from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    earlier jsonb;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    IF isfinite(bounds.window_start) AND isfinite(bounds.window_end) THEN
        SELECT jsonb_build_object(
            'start', bounds.window_start - (bounds.window_end - bounds.window_start), 'end', bounds.window_start,
            'total_runs', s.total_runs, 'success_rate', s.success_rate, 'p95_runtime_seconds', s.p95_runtime_seconds,
            'p95_queue_latency_seconds', s.p95_queue_latency_seconds, 'credits_consumed', s.credits_consumed,
            'total_errors', s.total_errors)
        INTO earlier
        FROM analytics.execution_summary($1, from_time => bounds.window_start - (bounds.window_end - bounds.window_start),
                                         to_time => bounds.window_start) AS s;
    END IF;
    RETURN (
        SELECT jsonb_build_object(
            'workspace_id', $1,
            'window', jsonb_build_object('start', nullif(bounds.window_start, '-infinity'), 'end', nullif(bounds.window_end, 'infinity')),
            'runs', jsonb_build_object(
                'total', coalesce(m.total_runs, 0), 'successful', coalesce(m.successful_runs, 0),
                'failed', coalesce(m.failed_runs, 0), 'timeout', coalesce(m.timeout_runs, 0),
                'cancelled', coalesce(m.cancelled_runs, 0), 'running', coalesce(m.running_runs, 0),
                'queued', coalesce(m.queued_runs, 0),
                'success_rate', m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
                'first_run_at', m.first_run_at, 'last_run_at', m.last_run_at),
            'throughput', jsonb_build_object(
                'runs_per_hour', m.total_runs / analytics_internal.hours_between(m.first_run_at,
                    least(bounds.window_end, greatest(now(), m.last_run_at))),
                'peak_runs_per_minute', coalesce(m.peak_runs_per_minute, 0)),
            'latency', jsonb_build_object(
                'queue', analytics_internal.describe_seconds(m.queue_latency_sketch),
                'run', analytics_internal.describe_seconds(m.runtime_sketch),
                'total', analytics_internal.describe_seconds(m.total_latency_sketch)),
            'queue', jsonb_build_object(
                'arrivals', coalesce(m.queue_arrivals, 0), 'departures', coalesce(m.queue_departures, 0),
                'waiting_now', q.waiting, 'oldest_waiting_seconds', q.oldest),
            'concurrency', jsonb_build_object(
                'reported_peak', m.max_concurrent_runs,
                'reported_avg', m.sum_concurrent_runs::double precision / nullif(m.concurrency_count, 0)),
            'resources', jsonb_build_object(
                'credits_consumed', coalesce(m.credits_consumed, 0), 'tokens_used', coalesce(m.tokens_used, 0),
                'prompt_tokens', coalesce(m.prompt_tokens, 0), 'completion_tokens', coalesce(m.completion_tokens, 0),
                'credits_per_run', (m.credits_consumed / nullif(m.total_runs, 0))::double precision),
            'users', jsonb_build_object('unique_users', coalesce(analytics.approx_distinct(m.users_sketch), 0)),
            'errors', jsonb_build_object('total', coalesce(m.total_errors, 0), 'critical', coalesce(m.critical_errors, 0)),
            'feedback', jsonb_build_object('total', coalesce(m.total_feedback, 0),
                'avg_rating', m.sum_feedback_ratings::double precision / nullif(m.total_feedback, 0)),
            'previous', earlier)
        FROM (SELECT) AS one
        LEFT JOIN analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end) AS m ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS waiting, extract(epoch FROM statement_timestamp() - min(e.queued_at))::double precision AS oldest
            FROM analytics.execution_queue AS e
            WHERE e.workspace_id = $1 AND e.status = 'queued' AND e.queued_at <= statement_timestamp()
        ) AS q);
END
$$;
COMMENT ON FUNCTION analytics.execution_metrics(uuid, text, timestamptz, timestamptz) IS
    'Everything about what a workspace executed in a window, as jsonb: runs, throughput, latency (queue, run, total; each with all percentiles), queue, concurrency as runs reported it, resources, users, errors, feedback, and previous, the window of equal length before (null where the window has no bound). Measures and errors as in execution_summary. Times are in UTC.';

CREATE FUNCTION analytics.execution_throughput(
    workspace_id uuid, timeframe text DEFAULT '30d', bucket text DEFAULT 'day', time_zone text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start              timestamptz,
    total_runs                bigint,
    successful_runs           bigint,
    failed_runs               bigint,
    timeout_runs              bigint,
    cancelled_runs            bigint,
    success_rate              double precision,
    runs_per_hour             double precision,
    peak_runs_per_minute      bigint,
    p50_runtime_seconds       double precision,
    p95_runtime_seconds       double precision,
    p50_queue_latency_seconds double precision,
    p95_queue_latency_seconds double precision,
    credits_consumed          numeric,
    tokens_used               numeric,
    unique_users              bigint,
    total_errors              bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $5, $6);
    SELECT * INTO bounds FROM analytics_internal.series_window($1, bounds.window_start, bounds.window_end);
    RETURN QUERY
    SELECT s.bucket_start, s.total_runs, s.successful_runs, s.failed_runs, s.timeout_runs, s.cancelled_runs,
           s.successful_runs::double precision / nullif(s.total_runs - s.running_runs - s.queued_runs, 0),
           s.total_runs / nullif(extract(epoch FROM least(s.span_end, greatest(now(), s.span_start)) - s.span_start), 0)::double precision * 3600,
           s.peak_runs_per_minute, r.at[1], r.at[2], q.at[1], q.at[2], s.credits_consumed, s.tokens_used,
           coalesce(analytics.approx_distinct(s.users_sketch), 0), s.total_errors
    FROM analytics_internal.execution_series($1, $3, analytics_internal.zone_of($1, $4), bounds.window_start, bounds.window_end) AS s
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], s.runtime_sketch)) AS r (at)
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], s.queue_latency_sketch)) AS q (at)
    ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION analytics.execution_throughput(uuid, text, text, text, timestamptz, timestamptz) IS
    'One row per bucket (minute, 5 minutes, 15 minutes, hour, day, week from Monday, month) of a time zone (default: that of the workspace) in a window, also where nothing happened: counts are 0 then, measures NULL. runs_per_hour counts the time of the bucket that lies in the window and before now; NULL where that is none. The first and the last bucket hold what of them lies in the window; all begins with the first hour that has anything. Measures as in execution_summary. Minutes are at hand for 48 hours; older ones are read from raw runs. Errors: 22023 unknown workspace, timeframe, bucket or time zone, too many buckets, from_time not before to_time.';

CREATE FUNCTION analytics.execution_latency(workspace_id uuid, timeframe text DEFAULT '30d',
                                            from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    latency_type   text,
    value_count    bigint,
    avg_seconds    double precision,
    p50_seconds    double precision,
    p75_seconds    double precision,
    p90_seconds    double precision,
    p95_seconds    double precision,
    p99_seconds    double precision,
    min_seconds    double precision,
    max_seconds    double precision,
    stddev_seconds double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 3
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    RETURN QUERY
    SELECT l.name, coalesce(analytics.num_vals(l.sketch), 0), analytics.mean(l.sketch), p.at[1], p.at[2], p.at[3], p.at[4], p.at[5],
           analytics.min_val(l.sketch), analytics.max_val(l.sketch), analytics.stddev(l.sketch)
    FROM (SELECT) AS one
    LEFT JOIN analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end) AS m ON true
    CROSS JOIN LATERAL (VALUES (1, 'queue', m.queue_latency_sketch), (2, 'run', m.runtime_sketch),
                               (3, 'total', m.total_latency_sketch)) AS l (place, name, sketch)
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.75, 0.90, 0.95, 0.99], l.sketch)) AS p (at)
    ORDER BY l.place;
END
$$;
COMMENT ON FUNCTION analytics.execution_latency(uuid, text, timestamptz, timestamptz) IS
    'Three rows, in seconds: queue (from queued_at to started_at of entries of execution_queue that were queued in the window), run (runtime_seconds of runs that started in it), total (from queued_at to completed_at of those entries). value_count says how many have the measure. Percentiles are those of percentile_cont up to 250 values, then within 1 %; the rest is exact. NULLs where there is no value. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';

-- ------------------------------------------------------------------------------------------------------------- now

CREATE FUNCTION analytics.execution_realtime(workspace_id uuid, minutes integer DEFAULT 5)
RETURNS TABLE (
    as_of                     timestamptz,
    running_runs              bigint,
    queued_runs               bigint,
    longest_running_seconds   double precision,
    waiting_count             bigint,
    processing_count          bigint,
    oldest_waiting_seconds    double precision,
    recent_runs               bigint,
    recent_successful_runs    bigint,
    recent_failed_runs        bigint,
    recent_success_rate       double precision,
    recent_runs_per_minute    double precision,
    recent_p50_runtime_seconds double precision,
    recent_p95_runtime_seconds double precision,
    recent_credits_consumed   numeric,
    recent_errors             bigint,
    recent_users              bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    moment constant timestamptz := statement_timestamp();
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $2 IS NULL OR $2 NOT BETWEEN 1 AND 1440 THEN
        PERFORM analytics_internal.refuse_argument('minutes', $2::text, 'it lies outside 1 to 1440',
            'Give how many minutes back are recent.');
    END IF;
    RETURN QUERY
    SELECT moment, live.running, live.queued, live.longest, queue.waiting, queue.processing, queue.oldest,
           coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs + m.timeout_runs, 0),
           m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
           coalesce(m.total_runs, 0) / $2::double precision, p.at[1], p.at[2],
           coalesce(m.credits_consumed, 0), coalesce(m.total_errors, 0), coalesce(analytics.approx_distinct(m.users_sketch), 0)
    FROM (
        SELECT count(*) FILTER (WHERE r.status = 'running') AS running, count(*) FILTER (WHERE r.status = 'queued') AS queued,
               extract(epoch FROM moment - min(r.started_at) FILTER (WHERE r.status = 'running' AND r.started_at <= moment))::double precision AS longest
        FROM analytics.agent_runs AS r WHERE r.workspace_id = $1 AND r.status IN ('queued', 'running')
    ) AS live
    CROSS JOIN (
        SELECT count(*) FILTER (WHERE e.status = 'queued' AND e.queued_at <= moment) AS waiting,
               count(*) FILTER (WHERE e.status = 'processing') AS processing,
               extract(epoch FROM moment - min(e.queued_at) FILTER (WHERE e.status = 'queued' AND e.queued_at <= moment))::double precision AS oldest
        FROM analytics.execution_queue AS e WHERE e.workspace_id = $1 AND e.status IN ('queued', 'processing')
    ) AS queue
    LEFT JOIN analytics_internal.execution_metrics_buckets($1, moment - make_interval(mins => $2), moment) AS m ON true
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch)) AS p (at);
END
$$;
COMMENT ON FUNCTION analytics.execution_realtime(uuid, integer) IS
    'One row about a workspace at this moment: runs that are running or queued, however long ago they started, and the seconds of the longest; entries of execution_queue that wait or are being processed, and the seconds of the oldest that waits; and what started in the last minutes (1 to 1440): runs, failures (failed and timeout), success_rate (0..1 of the finished ones), runs per minute, runtimes in seconds, credits, errors, users. Entries that are queued for a later time do not wait yet. Errors: 22023 unknown workspace, minutes out of range.';

CREATE FUNCTION analytics.queue_depth(workspace_id uuid)
RETURNS TABLE (
    priority               integer,
    waiting_count          bigint,
    processing_count       bigint,
    oldest_queued_at       timestamptz,
    oldest_waiting_seconds double precision,
    p50_waiting_seconds    double precision,
    p95_waiting_seconds    double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    moment constant timestamptz := statement_timestamp();
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    SELECT e.priority, count(*) FILTER (WHERE w.seconds IS NOT NULL), count(*) FILTER (WHERE e.status = 'processing'),
           min(e.queued_at) FILTER (WHERE w.seconds IS NOT NULL), max(w.seconds),
           analytics.percentile(w.seconds, 0.5), analytics.percentile(w.seconds, 0.95)
    FROM analytics.execution_queue AS e
    CROSS JOIN LATERAL (SELECT CASE WHEN e.status = 'queued' AND e.queued_at <= moment
                                    THEN extract(epoch FROM moment - e.queued_at)::double precision END) AS w (seconds)
    WHERE e.workspace_id = $1 AND e.status IN ('queued', 'processing')
    GROUP BY GROUPING SETS ((), (e.priority))
    ORDER BY grouping(e.priority) DESC, e.priority DESC;
END
$$;
COMMENT ON FUNCTION analytics.queue_depth(uuid) IS
    'The queue of a workspace at this moment: one row with priority NULL for all of it, always there, then one per priority that has an entry, the highest first. Entries that wait (status queued; those for a later time do not wait yet) and that are being processed, and for how many seconds those that wait have waited so far (exact percentiles). Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.queue_history(
    workspace_id uuid, timeframe text DEFAULT '30d', bucket text DEFAULT 'day', time_zone text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start              timestamptz,
    arrival_count             bigint,
    departure_count           bigint,
    depth_at_start            bigint,
    depth_at_end              bigint,
    avg_queue_latency_seconds double precision,
    p50_queue_latency_seconds double precision,
    p95_queue_latency_seconds double precision,
    p99_queue_latency_seconds double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    before bigint;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $5, $6);
    SELECT * INTO bounds FROM analytics_internal.series_window($1, bounds.window_start, bounds.window_end);
    SELECT coalesce(sum(m.queue_arrivals - m.queue_departures), 0) INTO before
    FROM analytics_internal.execution_metrics_buckets($1, '-infinity', bounds.window_start, '24 hours') AS m;
    RETURN QUERY
    SELECT s.bucket_start, s.queue_arrivals, s.queue_departures,
           before + d.until - (s.queue_arrivals - s.queue_departures), before + d.until,
           analytics.mean(s.queue_latency_sketch), p.at[1], p.at[2], p.at[3]
    FROM (
        SELECT h.*, (sum(h.queue_arrivals - h.queue_departures) OVER (ORDER BY h.place))::bigint AS until
        FROM analytics_internal.execution_series($1, $3, analytics_internal.zone_of($1, $4), bounds.window_start, bounds.window_end) AS h
    ) AS s
    CROSS JOIN LATERAL (SELECT s.until) AS d
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95, 0.99], s.queue_latency_sketch)) AS p (at)
    ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION analytics.queue_history(uuid, text, text, text, timestamptz, timestamptz) IS
    'The queue of a workspace over time, one row per bucket as in execution_throughput: entries that came (queued_at) and that stopped waiting (started_at, or completed_at where they never started), how many waited when the bucket, or the part of it in the window, began and ended, exactly; and for how many seconds those that came had to wait, of those that have started. Goes by times and not by status: an entry without started_at and completed_at waits. Errors: as execution_throughput.';

CREATE FUNCTION analytics.queue_waits(workspace_id uuid, timeframe text DEFAULT '30d',
                                      from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    priority         integer,
    entry_count      bigint,
    started_count    bigint,
    avg_wait_seconds double precision,
    p50_wait_seconds double precision,
    p75_wait_seconds double precision,
    p90_wait_seconds double precision,
    p95_wait_seconds double precision,
    p99_wait_seconds double precision,
    max_wait_seconds double precision,
    avg_estimate_error_seconds double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    RETURN QUERY
    SELECT g.priority, g.entries, g.started, g.mean, g.at[1], g.at[2], g.at[3], g.at[4], g.at[5], g.longest, g.error
    FROM (
        SELECT e.priority, grouping(e.priority) AS whole, count(*) AS entries, count(w.seconds) AS started, avg(w.seconds) AS mean,
               max(w.seconds) AS longest, analytics.percentiles(w.seconds, ARRAY[0.50, 0.75, 0.90, 0.95, 0.99]) AS at,
               avg(w.seconds - e.estimated_wait_seconds) AS error
        FROM analytics.execution_queue AS e
        CROSS JOIN LATERAL (SELECT extract(epoch FROM e.started_at - e.queued_at)::double precision) AS w (seconds)
        WHERE e.workspace_id = $1 AND e.queued_at >= bounds.window_start AND e.queued_at < bounds.window_end
        GROUP BY GROUPING SETS ((), (e.priority))
    ) AS g
    ORDER BY g.whole DESC, g.priority DESC;
END
$$;
COMMENT ON FUNCTION analytics.queue_waits(uuid, text, timestamptz, timestamptz) IS
    'How long entries that were queued in a window waited, by priority: one row with priority NULL for all of them, always there, then one per priority, the highest first. Seconds from queued_at to started_at of those that have started, exact percentiles; avg_estimate_error_seconds is how much longer than estimated_wait_seconds they waited in the mean (negative: shorter), NULL without estimates. Reads the entries of the window themselves, by index: rollups do not tell priorities apart. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';

-- ----------------------------------------------------------------------------------------------------- concurrency

COMMENT ON FUNCTION analytics_internal.concurrency(timestamptz[], timestamptz[], timestamptz[]) IS
    'How many of the intervals (starts, ends; a start is part of one, its end is not; a NULL end never comes) hold at the same time, between each two neighbouring edges: the place from 1, the peak and when it was first reached (NULL for 0), the mean, and the share of the time that at least one holds (NULL where the edges do not ascend). NULL edges are left out. Errors: 22023 not as many ends as starts.';

-- Thirty years at most: longer ones would lead beyond what a timestamp can be.
CREATE FUNCTION analytics_internal.seconds_long(seconds double precision) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Of a form that becomes part of the query.
RETURN make_interval(secs => CASE WHEN seconds > 1e9 THEN 1e9 ELSE seconds END);
COMMENT ON FUNCTION analytics_internal.seconds_long(double precision) IS
    'So many seconds as an interval, at most a billion. NULL for NULL.';

CREATE FUNCTION analytics.execution_concurrency(
    workspace_id uuid, timeframe text DEFAULT '24h', bucket text DEFAULT 'hour', time_zone text DEFAULT NULL,
    agent_id uuid DEFAULT NULL, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start    timestamptz,
    peak_runs       bigint,
    peak_at         timestamptz,
    avg_runs        double precision,
    occupied_rate   double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds  record;
    spans   timestamptz[];
    edges   timestamptz[];
    earlier timestamptz;
BEGIN
    IF $5 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $5);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $6, $7);
    SELECT * INTO bounds FROM analytics_internal.series_window($1, bounds.window_start, bounds.window_end);
    -- What will be running is not known: the last bucket ends now.
    SELECT array_agg(least(s.span_start, greatest(bounds.window_start, now())) ORDER BY s.place)
               || least(max(s.span_end), greatest(bounds.window_start, now())),
           array_agg(s.bucket_start ORDER BY s.place)
    INTO edges, spans
    FROM analytics_internal.series_spans($3, analytics_internal.zone_of($1, $4), bounds.window_start, bounds.window_end) AS s;
    -- Runs that began before the window and ended in it: at most as long ago as the longest took.
    SELECT bounds.window_start - greatest(interval '1 day', analytics_internal.seconds_long(analytics.max_val(m.runtime_sketch)))
    INTO earlier
    FROM (SELECT) AS one
    LEFT JOIN analytics_internal.execution_metrics_buckets($1, '-infinity', bounds.window_start) AS m ON true;
    RETURN QUERY
    SELECT spans[c.place], c.peak_runs, c.peak_at, c.mean_runs, c.utilization
    FROM (
        SELECT coalesce(array_agg(r.started_at), '{}') AS starts, coalesce(array_agg(r.ended_at), '{}') AS ends
        FROM (
            SELECT r.started_at, CASE WHEN r.status <> 'running' THEN coalesce(r.completed_at,
                       r.started_at + analytics_internal.seconds_long(r.runtime_seconds), r.started_at) END AS ended_at
            FROM analytics.agent_runs AS r
            WHERE r.workspace_id = $1 AND ($5 IS NULL OR r.agent_id = $5) AND r.status NOT IN ('queued', 'running')
              AND r.started_at >= earlier AND r.started_at < bounds.window_end
            UNION ALL
            SELECT r.started_at, r.completed_at
            FROM analytics.agent_runs AS r
            WHERE r.workspace_id = $1 AND ($5 IS NULL OR r.agent_id = $5) AND r.status = 'running'
              AND r.started_at < bounds.window_end
        ) AS r
        WHERE r.ended_at > bounds.window_start OR r.ended_at IS NULL
    ) AS i
    CROSS JOIN LATERAL analytics_internal.concurrency(i.starts, i.ends, edges) AS c
    ORDER BY c.place;
END
$$;
COMMENT ON FUNCTION analytics.execution_concurrency(uuid, text, text, text, uuid, timestamptz, timestamptz) IS
    'How many runs of a workspace, or of one agent, went on at the same time, one row per bucket as in execution_throughput: the peak and when it was first reached, the mean over the time of the bucket, and the share of that time in which at least one ran (0..1). A run goes on from started_at to completed_at, that moment excluded (or for runtime_seconds, where completed_at is unknown); a running one until now; queued ones do not run. Time after now does not count: measures are NULL and the peak 0 in buckets that are to come. Counts what ran and not what runs reported in concurrent_runs. Reads the runs of the window themselves, and those that began before it by at most a day or the longest runtime. Errors: as execution_throughput, and 22023 unknown agent.';
