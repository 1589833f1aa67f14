-- Execution: the queue, now and over time.

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
        WHERE e.workspace_id = $1 AND e.queued_at >= coalesce(bounds.window_start, '-infinity') AND e.queued_at < coalesce(bounds.window_end, 'infinity')
        GROUP BY GROUPING SETS ((), (e.priority))
    ) AS g
    ORDER BY g.whole DESC, g.priority DESC;
END
$$;
COMMENT ON FUNCTION analytics.queue_waits(uuid, text, timestamptz, timestamptz) IS
    'How long entries that were queued in a window waited, by priority: one row with priority NULL for all of them, always there, then one per priority, the highest first. Seconds from queued_at to started_at of those that have started, exact percentiles; avg_estimate_error_seconds is how much longer than estimated_wait_seconds they waited in the mean (negative: shorter), NULL without estimates. Reads the entries of the window themselves, by index: rollups do not tell priorities apart. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';
