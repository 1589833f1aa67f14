-- Agents: when they are used, and by whom.

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
