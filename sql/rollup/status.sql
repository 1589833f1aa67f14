-- How the rollups stand, and what is being refreshed.

CREATE FUNCTION analytics.rollup_status()
RETURNS TABLE (
    rollup               text,
    lag_seconds          double precision,
    dirty_buckets        bigint,
    dirty_ranges         bigint,
    oldest_dirty         timestamptz,
    last_success_at      timestamptz,
    consecutive_failures integer,
    retry_at             timestamptz,
    error_code           text,
    error_message        text,
    row_count            bigint,
    total_bytes          bigint
)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    RETURN QUERY
    SELECT r.rollup,
           CASE WHEN d.buckets + d.ranges = 0 THEN 0 ELSE extract(epoch FROM clock_timestamp() - s.last_success_at) END::double precision,
           d.buckets, d.ranges, d.oldest, s.last_success_at, coalesce(s.consecutive_failures, 0), s.retry_at,
           s.error_code, s.error_message, t.row_count, t.total_bytes
    FROM analytics_internal.rollups() AS r
    LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = r.rollup
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT (c.workspace_id, c.entity_id, c.bucket)) FILTER (WHERE c.until IS NULL) AS buckets,
               count(*) FILTER (WHERE c.until IS NOT NULL) AS ranges, nullif(min(c.bucket), '-infinity') AS oldest
        FROM analytics_internal.rollup_changes AS c
        WHERE c.sources & r.sources <> 0 AND (c.rollup IS NULL OR c.rollup = r.rollup)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT sum(greatest(c.reltuples, 0))::bigint AS row_count, sum(pg_total_relation_size(c.oid))::bigint AS total_bytes
        FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname = ANY (r.tables)
    ) AS t
    ORDER BY r.rollup;
END
$$;
COMMENT ON FUNCTION analytics.rollup_status() IS
    'How the rollups stand, one row each: lag_seconds since the last success where something has changed since, else 0; dirty_buckets (hours of agents or users) and dirty_ranges that wait for a refresh, and the oldest_dirty of them; last_success_at, consecutive_failures, retry_at and the last error; row_count (as of the last ANALYZE) and total_bytes of its tables. For the owner of the tables. Errors: 55000 setup() has not run.';

CREATE FUNCTION analytics.refresh_progress()
RETURNS TABLE (pid integer, running_seconds double precision, activity text, dirty_rows bigint)
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_schema();
    RETURN QUERY
    SELECT a.pid, extract(epoch FROM clock_timestamp() - a.xact_start)::double precision, a.query,
           (SELECT count(*) FROM analytics_internal.rollup_changes)
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = analytics_internal.refresh_lock();
END
$$;
COMMENT ON FUNCTION analytics.refresh_progress() IS
    'The refresh that is running in another session, if one is: its pid, seconds since its batch began, activity (which rollup it is at and what of, for those who may see it), and the dirty_rows of the log, which become fewer with each batch. No row when none is running. Errors: 55000 setup() has not run.';
