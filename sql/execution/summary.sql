-- Execution: a window as a whole, and how long things took in it. What is aggregated comes from rollups, and from raw
-- rows where these have changed since; what is live (realtime.sql, queue.sql) from the few raw rows that are.

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
    SELECT bounds.window_start, bounds.window_end,
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
    IF bounds.window_end - bounds.window_start IS NOT NULL THEN
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
            'window', jsonb_build_object('start', bounds.window_start, 'end', bounds.window_end),
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
