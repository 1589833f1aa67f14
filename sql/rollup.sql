-- Rollups: capture of changes, refresh, reads that are exact whether or not a refresh has run, materialized views,
-- retention and the schedule. The work is done in src/rollup/.

CREATE FUNCTION analytics_internal.capture_changes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'capture_changes';
COMMENT ON FUNCTION analytics_internal.capture_changes() IS
    'Trigger of the raw tables: notes which hours of which agents a transaction changes, and writes them to rollup_changes when it commits; refuses rows older than what is kept (23514). Arguments: the number of the table in rollup_changes.sources, and its time columns, of which the first that is not NULL counts.';

CREATE FUNCTION analytics_internal.capture_workspace() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'capture_workspace';
COMMENT ON FUNCTION analytics_internal.capture_workspace() IS
    'Row trigger of workspaces: notes that a workspace was deleted, so that the next refresh removes its rollups.';

CREATE FUNCTION analytics_internal.forget_floors() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_floors';
COMMENT ON FUNCTION analytics_internal.forget_floors() IS
    'Row trigger of retention: makes all backends forget how far back rows are kept.';

ALTER FUNCTION analytics_internal.run_partitions() SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.run_partitions() IS
    'Partitions of agent_runs as they are now, with their storage, who attached them and their bounds, and one row with partition 0 that says which database this is; see the columns of rollup_partitions.';

-- A partition that is made or dropped by us brings and takes no rows that the table had not: rollups need not be
-- computed anew because of it.
CREATE FUNCTION analytics_internal.remember_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO analytics_internal.rollup_partitions AS known (partition, storage, attached, lower, upper)
    SELECT p.partition, p.storage, p.attached, p.lower, p.upper
    FROM analytics_internal.run_partitions() AS p
    WHERE p.partition = to_regclass(format('analytics.%I', $1))::oid::bigint
    ON CONFLICT (partition) DO UPDATE
    SET storage = excluded.storage, attached = excluded.attached, lower = excluded.lower, upper = excluded.upper
$$;
COMMENT ON FUNCTION analytics_internal.remember_partition(text) IS
    'Tells the rollups of a partition of agent_runs that is new and holds no row that the table had not before.';

CREATE FUNCTION analytics_internal.forget_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM analytics_internal.rollup_partitions AS known
    WHERE known.partition = to_regclass(format('analytics.%I', $1))::oid::bigint
$$;
COMMENT ON FUNCTION analytics_internal.forget_partition(text) IS
    'Tells the rollups of a partition of agent_runs that is about to go and holds no rows, or none that rollups need.';

-- ---------------------------------------------------------------------------------------------------------- reads

CREATE FUNCTION analytics_internal.count_agents_transition(internal, uuid) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_transition';
COMMENT ON FUNCTION analytics_internal.count_agents_transition(internal, uuid) IS 'Part of the aggregate count_agents: remembers an id.';
CREATE FUNCTION analytics_internal.count_agents_final(internal) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_final';
COMMENT ON FUNCTION analytics_internal.count_agents_final(internal) IS 'Part of the aggregate count_agents: how many ids there are.';

CREATE AGGREGATE analytics_internal.count_agents(agent_id uuid) (
    SFUNC = analytics_internal.count_agents_transition, STYPE = internal, SSPACE = 256,
    FINALFUNC = analytics_internal.count_agents_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics_internal.count_agents(uuid) IS
    'As count(DISTINCT), by a hash table: rows need not be sorted for it. 0 for a group without ids. Memory: some 40 bytes for each id, outside of what work_mem counts.';

CREATE FUNCTION analytics_internal.agent_performance_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id             uuid,
    bucket               timestamptz,
    total_runs           bigint,
    successful_runs      bigint,
    failed_runs          bigint,
    timeout_runs         bigint,
    cancelled_runs       bigint,
    running_runs         bigint,
    queued_runs          bigint,
    runtime_sketch       analytics.percentile_sketch,
    credits_consumed     numeric,
    tokens_used          numeric,
    prompt_tokens        numeric,
    completion_tokens    numeric,
    users_sketch         analytics.distinct_sketch,
    total_ratings        bigint,
    sum_ratings          bigint,
    first_run_at         timestamptz,
    last_run_at          timestamptz,
    concurrency_count    bigint,
    sum_concurrent_runs  bigint,
    max_concurrent_runs  integer,
    total_errors         bigint,
    total_feedback       bigint,
    sum_feedback_ratings bigint,
    agents               bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'agent_performance_buckets';
COMMENT ON FUNCTION analytics_internal.agent_performance_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'What the agents of a workspace, or one of them, did from from_time to to_time (the end excluded; any times): one row per agent and step that has anything (whole hours; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since: always exact, runtime_sketch and users_sketch within their error. columns names those that are wanted (default: all): the others are NULL, and nothing is spent on them. Unless by_agent, one row for all agents, whose agent_id is NULL; agents is how many of them have any of what the first column counts. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole hours, a column that there is not.';

CREATE FUNCTION analytics_internal.execution_metrics_buckets(
    workspace_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL)
RETURNS TABLE (
    bucket               timestamptz,
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
    prompt_tokens        numeric,
    completion_tokens    numeric,
    users_sketch         analytics.distinct_sketch,
    total_ratings        bigint,
    sum_ratings          bigint,
    concurrency_count    bigint,
    sum_concurrent_runs  bigint,
    max_concurrent_runs  integer,
    first_run_at         timestamptz,
    last_run_at          timestamptz,
    total_errors         bigint,
    critical_errors      bigint,
    total_feedback       bigint,
    sum_feedback_ratings bigint,
    queue_arrivals       bigint,
    queue_latency_sketch analytics.percentile_sketch,
    total_latency_sketch analytics.percentile_sketch,
    queue_departures     bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'execution_metrics_buckets';
COMMENT ON FUNCTION analytics_internal.execution_metrics_buckets(uuid, timestamptz, timestamptz, interval, text[]) IS
    'What a workspace executed from from_time to to_time (the end excluded; any times): one row per step that has anything (whole minutes; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since. columns as in agent_performance_buckets. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole minutes, a column that there is not.';

CREATE FUNCTION analytics_internal.agent_model_usage_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id          uuid,
    model_name        text,
    model_provider    text,
    bucket            timestamptz,
    total_calls       bigint,
    successful_calls  bigint,
    failed_calls      bigint,
    finished_calls    bigint,
    credits_consumed  numeric,
    tokens_used       numeric,
    prompt_tokens     numeric,
    completion_tokens numeric,
    runtime_sketch    analytics.percentile_sketch,
    agents            bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'agent_model_usage_buckets';
COMMENT ON FUNCTION analytics_internal.agent_model_usage_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'Which models the agents of a workspace, or one of them, used from from_time to to_time: one row per agent, model, provider and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';

CREATE FUNCTION analytics_internal.user_usage_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id         uuid,
    user_id          uuid,
    bucket           timestamptz,
    total_runs       bigint,
    successful_runs  bigint,
    failed_runs      bigint,
    finished_runs    bigint,
    runtime_stats    analytics.stats_summary,
    credits_consumed numeric,
    tokens_used      numeric,
    total_ratings    bigint,
    sum_ratings      bigint,
    first_run_at     timestamptz,
    last_run_at      timestamptz,
    agents           bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'user_usage_buckets';
COMMENT ON FUNCTION analytics_internal.user_usage_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'What the agents of a workspace, or one of them, did for each user from from_time to to_time: one row per agent, user and step (whole days; NULL: the whole time). From rollups of days; the parts of days at the edges of the window, and what has changed since, from raw rows. columns, by_agent, agents and errors: as agent_performance_buckets, the step being of whole days.';

CREATE FUNCTION analytics_internal.error_summary_buckets(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL,
    columns text[] DEFAULT NULL, by_agent boolean DEFAULT true)
RETURNS TABLE (
    agent_id          uuid,
    error_category    text,
    error_severity    text,
    bucket            timestamptz,
    total_errors      bigint,
    recovered_errors  bigint,
    recovery_attempts bigint,
    affected_users    bigint,
    recovery_sketch   analytics.percentile_sketch,
    users_sketch      analytics.distinct_sketch,
    first_error_at    timestamptz,
    last_error_at     timestamptz,
    agents            bigint
)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'error_summary_buckets';
COMMENT ON FUNCTION analytics_internal.error_summary_buckets(uuid, uuid, timestamptz, timestamptz, interval, text[], boolean) IS
    'Errors of the agents of a workspace, or of one of them, from from_time to to_time: one row per agent, category, severity and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';

-- -------------------------------------------------------------------------------------------------------- refresh

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

CREATE FUNCTION analytics.rebuild_rollup(
    rollup text, from_time timestamptz DEFAULT '-infinity', to_time timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'rebuild_rollup_wrapper';
COMMENT ON FUNCTION analytics.rebuild_rollup(text, timestamptz, timestamptz) IS
    'Computes the days of a rollup (agent_performance, execution_metrics, agent_model_usage, user_usage, error_summary) from from_time to to_time (default: all time) anew from raw rows, whether or not they have changed; what is older than what is kept stays. In this transaction; waits for another session that refreshes. Returns the number of rows written and removed. For the owner of the tables. Errors: 22023 unknown rollup, or a time that is NULL.';

CREATE FUNCTION analytics.verify_rollups(sample integer DEFAULT 1000)
RETURNS TABLE (object text, workspace_id uuid, agent_id uuid, bucket timestamptz, expected jsonb, stored jsonb)
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'verify_rollups_wrapper';
COMMENT ON FUNCTION analytics.verify_rollups(integer) IS
    'Computes a random sample of hours and days (default 1,000 of each table; 1 to 1,000,000) anew and compares them with what the rollups hold. One row per row that differs: object, workspace_id, agent_id, bucket, expected and stored (NULL where there is no row). No rows when all is well. What has changed since the last refresh is left out. For the owner of the tables. Errors: 22023 sample out of range.';

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
    WITH rollups AS (
        SELECT * FROM (VALUES
            ('agent_performance', 7,  ARRAY['agent_performance_hourly', 'agent_performance_daily']),
            ('execution_metrics', 31, ARRAY['execution_metrics_minute', 'execution_metrics_hourly', 'execution_metrics_daily']),
            ('agent_model_usage', 1,  ARRAY['agent_model_usage_hourly', 'agent_model_usage']),
            ('user_usage',        1,  ARRAY['user_usage_daily']),
            ('error_summary',     2,  ARRAY['error_summary_hourly', 'error_summary_daily'])
        ) AS r (name, sources, tables)
    )
    SELECT r.name,
           CASE WHEN d.buckets + d.ranges = 0 THEN 0 ELSE extract(epoch FROM clock_timestamp() - s.last_success_at) END::double precision,
           d.buckets, d.ranges, d.oldest, s.last_success_at, coalesce(s.consecutive_failures, 0), s.retry_at,
           s.error_code, s.error_message, t.row_count, t.total_bytes
    FROM rollups AS r
    LEFT JOIN analytics_internal.rollup_state AS s ON s.rollup = r.name
    CROSS JOIN LATERAL (
        SELECT count(DISTINCT (c.workspace_id, c.agent_id, c.bucket)) FILTER (WHERE c.until IS NULL) AS buckets,
               count(*) FILTER (WHERE c.until IS NOT NULL) AS ranges, nullif(min(c.bucket), '-infinity') AS oldest
        FROM analytics_internal.rollup_changes AS c
        WHERE c.sources & r.sources <> 0 AND (c.rollup IS NULL OR c.rollup = r.name)
    ) AS d
    CROSS JOIN LATERAL (
        SELECT sum(greatest(c.reltuples, 0))::bigint AS row_count, sum(pg_total_relation_size(c.oid))::bigint AS total_bytes
        FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname = ANY (r.tables)
    ) AS t
    ORDER BY r.name;
END
$$;
COMMENT ON FUNCTION analytics.rollup_status() IS
    'How the rollups stand, one row each: lag_seconds since the last success where something has changed since, else 0; dirty_buckets (hours of agents) and dirty_ranges that wait for a refresh, and the oldest_dirty of them; last_success_at, consecutive_failures, retry_at and the last error; row_count (as of the last ANALYZE) and total_bytes of its tables. For the owner of the tables. Errors: 55000 setup() has not run.';

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

-- ------------------------------------------------------------------------------------------------------ retention

CREATE FUNCTION analytics_internal.retained_tables()
RETURNS TABLE (table_name text, time_column text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('agent_runs', 'started_at'), ('agent_errors', 'occurred_at'), ('agent_user_feedback', 'created_at'),
           ('execution_queue', 'queued_at'), ('refresh_log', 'started_at')
$$;
COMMENT ON FUNCTION analytics_internal.retained_tables() IS
    'Tables for which set_retention() can say how long rows are kept, and the time that decides.';

CREATE FUNCTION analytics_internal.set_retention(table_name text, keep interval) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $1 IS NULL OR $1 NOT IN (SELECT t.table_name FROM analytics_internal.retained_tables() AS t) THEN
        PERFORM analytics_internal.refuse_argument('table_name', $1, 'it is not a table with retention',
            'Use one of ' || (SELECT string_agg(t.table_name, ', ') FROM analytics_internal.retained_tables() AS t) || '.');
    END IF;
    IF $2 < interval '1 day' THEN
        PERFORM analytics_internal.refuse_argument('keep', $2::text, 'it is less than a day',
            'Give how long rows are kept, such as 90 days, or NULL to keep them for ever.');
    END IF;
    -- What is gone is gone: the floor stays where it is.
    INSERT INTO analytics_internal.retention AS r (table_name, keep) VALUES ($1, $2)
    ON CONFLICT (table_name) DO UPDATE SET keep = excluded.keep;
END
$$;
COMMENT ON FUNCTION analytics_internal.set_retention(text, interval) IS 'What set_retention() does, as the owner of the tables.';

CREATE FUNCTION analytics.set_retention(table_name text, keep interval) RETURNS void
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.set_retention(text, interval) IS
    'Says how long rows of agent_runs, agent_errors, agent_user_feedback, execution_queue or refresh_log are kept (at least a day; NULL: for ever, which is the default, but for refresh_log, 30 days). cleanup_old_data() removes what is older; rollups stay. For the owner of the tables. Errors: 22023 unknown table, less than a day.';

CREATE FUNCTION analytics_internal.raise_floors() RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH raised AS (
        UPDATE analytics_internal.retention AS r SET floor = date_bin('24 hours', now() - r.keep, 'epoch')
        WHERE r.table_name <> 'refresh_log' AND r.keep < interval '1000 years'
          AND date_bin('24 hours', now() - r.keep, 'epoch') > r.floor
        RETURNING 1
    )
    SELECT count(*) FROM raised
$$;
COMMENT ON FUNCTION analytics_internal.raise_floors() IS
    'Moves the floors of all tables with retention to where they should be now: from the commit on, older rows are refused. Returns how many were moved.';

CREATE FUNCTION analytics_internal.writers() RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
    FROM pg_locks AS l
    WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'RowExclusiveLock' AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND (l.relation IN (SELECT format('analytics.%I', t.table_name)::regclass FROM analytics_internal.retained_tables() AS t)
           OR l.relation IN (SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = 'analytics.agent_runs'::regclass))
$$;
COMMENT ON FUNCTION analytics_internal.writers() IS
    'Virtual ids of the transactions of other sessions that may be writing to tables with retention.';

CREATE FUNCTION analytics_internal.has_old_changes() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM analytics_internal.rollup_changes AS c
        WHERE c.bucket < (SELECT max(r.floor) FROM analytics_internal.retention AS r WHERE r.floor > r.final))
$$;
COMMENT ON FUNCTION analytics_internal.has_old_changes() IS
    'Whether rollups of a time whose raw rows are about to go have to be computed first.';

CREATE FUNCTION analytics_internal.make_final() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE analytics_internal.retention AS r SET final = r.floor WHERE r.final < r.floor
$$;
COMMENT ON FUNCTION analytics_internal.make_final() IS
    'Says that the rollups below the floors are complete: the raw rows may go.';

ALTER FUNCTION analytics_internal.remove_rows(text, timestamptz, integer) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.remove_rows(text, timestamptz, integer) IS
    'Removes at most so many rows of a table with retention that are older than a time, unseen by triggers and foreign keys; returns their number. Entries of execution_queue go when their wait ended before that time.';
ALTER FUNCTION analytics_internal.unlink_runs(timestamptz) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.unlink_runs(timestamptz) IS
    'Errors and feedback of runs that started before a time stay, and no longer name a run; returns their number.';

-- One step at a time, each in a transaction of its own.
CREATE FUNCTION analytics_internal.remove_old(triggered_by text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    batch   constant integer := 20000;
    started constant timestamptz := clock_timestamp();
    entry   record;
    old     record;
    removed bigint := 0;
BEGIN
    FOR entry IN
        SELECT t.table_name, CASE t.table_name
                   WHEN 'refresh_log' THEN now() - coalesce(r.keep, CASE WHEN r.table_name IS NULL THEN interval '30 days' END)
                   ELSE r.final END AS before
        FROM analytics_internal.retained_tables() AS t LEFT JOIN analytics_internal.retention AS r USING (table_name)
    LOOP
        CONTINUE WHEN entry.before IS NULL OR entry.before = '-infinity';
        IF entry.table_name = 'agent_runs' THEN
            PERFORM analytics_internal.unlink_runs(entry.before);
            SELECT c.oid::regclass AS name, c.relname INTO old
            FROM analytics_internal.run_partitions() AS p JOIN pg_class AS c ON c.oid::bigint = p.partition
            WHERE p.upper <= entry.before LIMIT 1;
            IF FOUND AND old.relname <> 'agent_runs_before' THEN
                -- Behind somebody who waits for a lock everybody else waits too.
                PERFORM set_config('lock_timeout', '3s', true);
                EXECUTE format('SELECT count(*) FROM %s', old.name) INTO removed;
                PERFORM analytics_internal.forget_partition(old.relname);
                EXECUTE format('ALTER TABLE analytics.agent_runs DETACH PARTITION %s', old.name);
                EXECUTE format('DROP TABLE %s', old.name);
                entry.table_name := old.relname;
            END IF;
        END IF;
        IF removed = 0 AND entry.table_name IN (SELECT t.table_name FROM analytics_internal.retained_tables() AS t) THEN
            removed := analytics_internal.remove_rows(entry.table_name, entry.before, batch);
        END IF;
        IF removed > 0 OR entry.table_name LIKE 'agent_runs_y%' THEN
            INSERT INTO analytics.refresh_log
                (refresh_id, object, triggered_by, status, started_at, duration_seconds, removed_count)
            VALUES (gen_random_uuid(), entry.table_name, triggered_by, 'removed', started,
                    extract(epoch FROM clock_timestamp() - started), removed);
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
COMMENT ON FUNCTION analytics_internal.remove_old(text) IS
    'Drops one partition, or removes one batch of rows, that is older than what is kept; false when nothing is left to do.';

CREATE FUNCTION analytics_internal.note_postponed(triggered_by text, reason text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO analytics.refresh_log
        (refresh_id, object, triggered_by, status, started_at, duration_seconds, error_message)
    VALUES (gen_random_uuid(), 'cleanup_old_data', $1, 'postponed', clock_timestamp(), 0, $2)
$$;
COMMENT ON FUNCTION analytics_internal.note_postponed(text, text) IS 'Notes in refresh_log that a clean-up could not go on.';

CREATE PROCEDURE analytics.cleanup_old_data(triggered_by text DEFAULT 'manual')
LANGUAGE c AS 'MODULE_PATHNAME', 'cleanup_old_data';
COMMENT ON PROCEDURE analytics.cleanup_old_data(text) IS
    'Removes rows that are older than set_retention() says: from now on such rows are refused; transactions that are writing are waited for, up to ten seconds; the rollups of that time are brought up to date and stay; then partitions are dropped, and rows removed where there are none, a batch in each transaction. Errors and feedback of runs that go stay, and no longer name a run. Old rows of refresh_log go too. When writers or a failing rollup are in the way, a warning says so and refresh_log has a row postponed: the next call goes on. For the owner of the tables. Errors: 2D000 inside of a transaction block, 55000 setup() has not run, 55P03 agent_runs is in use for longer than 3 seconds.';

-- ------------------------------------------------------------------------------------------------------- schedule

CREATE FUNCTION analytics_internal.jobs()
RETURNS TABLE (job_name text, schedule text, command text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('analytics refresh',            '* * * * *',    'CALL analytics.refresh_all(materialized_views => false, triggered_by => ''cron'')'),
           ('analytics materialized views', '*/15 * * * *', 'SELECT analytics.refresh_materialized_views(triggered_by => ''cron'')'),
           ('analytics clean-up',           '0 3 * * *',    'CALL analytics.cleanup_old_data(triggered_by => ''cron'')'),
           ('analytics leaderboards',       '*/15 * * * *', 'SELECT analytics.refresh_leaderboards()'),
           ('analytics trends',             '*/15 * * * *', 'SELECT analytics.refresh_trends()'),
           ('analytics suggestions',        '0 4 * * *',    'SELECT analytics.refresh_suggestions()'),
           -- Of the day that ends: pg_cron counts in UTC unless told otherwise.
           ('analytics health',             '55 23 * * *',  'SELECT analytics.record_agent_health()')
$$;
COMMENT ON FUNCTION analytics_internal.jobs() IS 'The jobs of schedule(), with their defaults.';

CREATE FUNCTION analytics_internal.require_cron() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('cron.job') IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add pg_cron to shared_preload_libraries, set cron.database_name to this database and run CREATE EXTENSION pg_cron; or call from your own scheduler: '
                         || (SELECT string_agg(j.command, '; ') FROM analytics_internal.jobs() AS j) || '.';
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_cron() IS 'Raises 55000, with what to do instead, unless pg_cron is here.';

-- A job of a superuser would run what the owner of the tables put beside our functions, with a superuser's rights.
CREATE FUNCTION analytics_internal.job_owner() RETURNS name
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tables_owner record;
BEGIN
    SELECT r.rolname AS name, r.rolcanlogin AS can_login INTO tables_owner
    FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE c.oid = to_regclass('analytics.workspaces');
    IF tables_owner.name = current_user OR NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        RETURN current_user;
    END IF;
    IF NOT tables_owner.can_login THEN
        RAISE EXCEPTION 'role "%" owns the tables and may not log in', tables_owner.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('A superuser''s jobs run in its name: ALTER ROLE %I LOGIN; and try again.', tables_owner.name);
    END IF;
    RETURN tables_owner.name;
END
$$;
COMMENT ON FUNCTION analytics_internal.job_owner() IS
    'In whose name schedule() puts jobs into pg_cron: the caller; of a superuser, the owner of the tables. Errors: 55000 that role may not log in.';

CREATE FUNCTION analytics.schedule(
    refresh text DEFAULT NULL, materialized_views text DEFAULT NULL, clean_up text DEFAULT NULL, leaderboards text DEFAULT NULL,
    trends text DEFAULT NULL, suggestions text DEFAULT NULL, health text DEFAULT NULL)
RETURNS TABLE (job_name text, schedule text, command text)
LANGUAGE plpgsql ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    given constant jsonb := jsonb_build_object(
        'analytics refresh', $1, 'analytics materialized views', $2, 'analytics clean-up', $3, 'analytics leaderboards', $4,
        'analytics trends', $5, 'analytics suggestions', $6, 'analytics health', $7);
    job_owner name;
BEGIN
    PERFORM analytics_internal.require_schema();
    PERFORM analytics_internal.require_cron();
    job_owner := analytics_internal.job_owner();
    FOR job_name, schedule, command IN
        SELECT j.job_name, coalesce(given ->> j.job_name, j.schedule), j.command FROM analytics_internal.jobs() AS j
    LOOP
        IF job_owner = current_user THEN
            EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job_name, schedule, command;
        ELSE
            EXECUTE 'SELECT cron.schedule_in_database($1, $2, $3, current_database()::text, $4)'
                USING job_name, schedule, command, job_owner::text;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.schedule(text, text, text, text, text, text, text) IS
    'Puts refresh_all() (every minute; it makes partitions, too), refresh_materialized_views(), refresh_leaderboards() and refresh_trends() (every 15 minutes), cleanup_old_data() (daily at 03:00), refresh_suggestions() (daily at 04:00) and record_agent_health() (daily at 23:55) into pg_cron, in the caller''s name, or that of the owner of the tables when a superuser calls it; run again, it replaces them. Arguments are in crontab''s format, as pg_cron reads it; NULL is the default. One row per job. For the owner of the tables. Errors: 55000 pg_cron is not in this database, or the owner may not log in; those of cron.schedule().';

CREATE FUNCTION analytics.unschedule() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM analytics_internal.require_cron();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j
             WHERE j.username = analytics_internal.job_owner() AND j.jobname IN (SELECT n.job_name FROM analytics_internal.jobs() AS n)'
        INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION analytics.unschedule() IS
    'Takes the caller''s jobs of schedule() out of pg_cron again; returns how many there were. Errors: 55000 pg_cron is not in this database.';

CREATE FUNCTION analytics.schedule_status()
RETURNS TABLE (job_name text, schedule text, command text, active boolean, last_run_at timestamptz, last_status text,
               last_message text, last_duration_seconds double precision)
LANGUAGE plpgsql ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_cron();
    RETURN QUERY EXECUTE '
        SELECT j.jobname::text, j.schedule, j.command, j.active, r.start_time, r.status, r.return_message,
               extract(epoch FROM r.end_time - r.start_time)::double precision
        FROM cron.job AS j
        LEFT JOIN LATERAL (
            SELECT d.* FROM cron.job_run_details AS d WHERE d.jobid = j.jobid ORDER BY d.runid DESC LIMIT 1
        ) AS r ON true
        WHERE j.jobname IN (SELECT n.job_name FROM analytics_internal.jobs() AS n)
        ORDER BY j.jobid';
END
$$;
COMMENT ON FUNCTION analytics.schedule_status() IS
    'The jobs of schedule() that the caller may see, with their last run as pg_cron recorded it. Errors: 55000 pg_cron is not in this database.';
