-- Execution: what goes on at this moment.

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
