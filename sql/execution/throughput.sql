-- Execution: how much ran, bucket by bucket.

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
