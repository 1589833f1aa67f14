-- Execution: how many runs went on at the same time.

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
