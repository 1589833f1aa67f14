-- refresh(), refresh_all() and the materialized views.

CREATE FUNCTION analytics_internal.refresh_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('shadower_analytics refresh', 0);
COMMENT ON FUNCTION analytics_internal.refresh_lock() IS 'The advisory lock that the one refresher holds.';

CREATE FUNCTION analytics.refresh(max_buckets integer DEFAULT 5000, triggered_by text DEFAULT 'manual')
RETURNS TABLE (
    object text, status text, bucket_count bigint, read_count bigint, written_count bigint, removed_count bigint,
    duration_seconds double precision, error_code text, error_message text
)
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'refresh_wrapper';
COMMENT ON FUNCTION analytics.refresh(integer, text) IS
    'Computes anew the hours and days that have changed, this transaction''s own changes included, at most max_buckets hours of agents (1 to 1,000,000, default 5,000) or one day of everything, in this transaction. One row per table: object, status (refreshed; failed, with error_code and error_message, and tried again later; waiting: failed before and not tried yet; clean: nothing had changed; locked: another session is refreshing, nothing was done), bucket_count, read_count, written_count and removed_count rows, duration_seconds. triggered_by goes into refresh_log. Answers are exact with and without it; it makes them fast. For the owner of the tables. Errors: 22023 argument out of range, 55000 setup() has not run.';

CREATE FUNCTION analytics_internal.try_step(step text, triggered_by text, max_buckets integer DEFAULT NULL) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started constant timestamptz := clock_timestamp();
    code    text;
    message text;
BEGIN
    CASE step
        WHEN 'partitions' THEN
            PERFORM analytics.ensure_partitions();
            RETURN 'done';
        WHEN 'refresh' THEN
            RETURN (SELECT CASE WHEN bool_or(r.status IN ('refreshed', 'failed', 'waiting')) THEN 'refreshed' ELSE min(r.status) END
                    FROM analytics.refresh(max_buckets, triggered_by) AS r);
        WHEN 'views' THEN
            PERFORM analytics.refresh_materialized_views(triggered_by);
            RETURN 'done';
        WHEN 'leaderboards' THEN
            PERFORM analytics.refresh_leaderboards();
            RETURN 'done';
        WHEN 'trends' THEN
            PERFORM analytics.refresh_trends();
            RETURN 'done';
    END CASE;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    INSERT INTO analytics.refresh_log
        (refresh_id, object, triggered_by, status, started_at, duration_seconds, error_code, error_message)
    VALUES (gen_random_uuid(), step, triggered_by, 'failed', started,
            extract(epoch FROM clock_timestamp() - started), code, message);
    RETURN 'failed';
END
$$;
COMMENT ON FUNCTION analytics_internal.try_step(text, text, integer) IS
    'One step of refresh_all(): partitions, refresh, views, leaderboards or trends. How it went, or failed, with the error in refresh_log.';

CREATE FUNCTION analytics_internal.failing_rollups() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(s.rollup || ': ' || s.error_message, '; ' ORDER BY s.rollup)
    FROM analytics_internal.rollup_state AS s WHERE s.consecutive_failures > 0
$$;
COMMENT ON FUNCTION analytics_internal.failing_rollups() IS 'Rollups and materialized views that failed last time, with their errors; NULL when there are none.';

CREATE PROCEDURE analytics.refresh_all(time_budget interval DEFAULT '50 seconds', max_buckets integer DEFAULT 5000,
                                       materialized_views boolean DEFAULT true, triggered_by text DEFAULT 'manual')
LANGUAGE c AS 'MODULE_PATHNAME', 'refresh_all';
COMMENT ON PROCEDURE analytics.refresh_all(interval, integer, boolean, text) IS
    'Makes partitions, then calls refresh(max_buckets) and commits, until nothing is left to refresh, another session is refreshing, or time_budget is over; then refreshes the materialized views whose inputs changed, the leaderboards and the trends, unless materialized_views is false. A batch that fails as a whole is noted in refresh_log and tried again twice, after half a second and one second; a warning tells when it gave up. Can be cancelled at any time: what was committed stays. For the owner of the tables. Errors: 22023 argument out of range, 2D000 inside of a transaction block, 55000 setup() has not run.';

CREATE FUNCTION analytics_internal.summaries()
RETURNS TABLE (place integer, name text, inputs text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES (1, 'agent_analytics_summary', ARRAY['agent_performance']),
           (2, 'workspace_daily_summary', ARRAY['execution_metrics', 'agent_performance']),
           (3, 'error_daily_summary',     ARRAY['error_summary']),
           (4, 'top_agents',              ARRAY['agent_performance'])
$$;
COMMENT ON FUNCTION analytics_internal.summaries() IS
    'The materialized views, in the order in which they depend on each other, with the rollups that they come from.';

CREATE FUNCTION analytics.refresh_materialized_views(triggered_by text DEFAULT 'manual')
RETURNS TABLE (object text, status text, duration_seconds double precision, error_code text, error_message text)
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'refresh_materialized_views_wrapper';
COMMENT ON FUNCTION analytics.refresh_materialized_views(text) IS
    'Refreshes, in the order of their dependencies and without blocking readers, the materialized views whose rollups have changed since. One row per view: object, status (refreshed, clean, failed), duration_seconds, error_code, error_message; a failure does not stop the others. triggered_by goes into refresh_log. They show what the last refresh() computed. For the owner of the tables. Errors: 22023 triggered_by, 55000 setup() has not run.';

CREATE FUNCTION analytics.refresh_agent_analytics_summary() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    done record;
BEGIN
    LOOP
        SELECT bool_or(r.status IN ('refreshed', 'failed', 'waiting')) AS goes_on, bool_or(r.status = 'locked') AS is_locked INTO done
        FROM analytics.refresh() AS r;
        EXIT WHEN NOT done.goes_on OR done.is_locked;
    END LOOP;
    PERFORM analytics.refresh_materialized_views();
END
$$;
COMMENT ON FUNCTION analytics.refresh_agent_analytics_summary() IS
    'Refreshes the rollups and then the materialized views, agent_analytics_summary among them, in one transaction. The name that the original platform used; CALL refresh_all() commits in between. For the owner of the tables. Errors: 55000 setup() has not run.';
