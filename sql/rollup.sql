-- Rollups: capture of changes, refresh, and reads that are exact whether or not a refresh has run.

CREATE FUNCTION analytics_internal.capture_changes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'capture_changes';
COMMENT ON FUNCTION analytics_internal.capture_changes() IS
    'Trigger of the raw tables: notes which hours of which agents a transaction changes, and writes them to rollup_changes when it commits. Arguments: the number of the table in rollup_changes.sources, and its time column.';

COMMENT ON FUNCTION analytics_internal.run_partitions() IS
    'Partitions of agent_runs as they are now, with their storage (pg_class.relfilenode) and bounds; no rows where it is not partitioned.';

-- A partition that is made or dropped by us brings and takes no rows that the table had not: rollups need not be
-- computed anew because of it.
CREATE FUNCTION analytics_internal.remember_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO analytics_internal.rollup_partitions AS known (partition, storage, lower, upper)
    SELECT p.partition, p.storage, p.lower, p.upper
    FROM analytics_internal.run_partitions() AS p
    WHERE p.partition = to_regclass(format('analytics.%I', $1))
    ON CONFLICT (partition) DO UPDATE
    SET storage = excluded.storage, lower = excluded.lower, upper = excluded.upper
$$;
COMMENT ON FUNCTION analytics_internal.remember_partition(text) IS
    'Tells the rollups of a partition of agent_runs that is new and holds no row that the table had not before.';

CREATE FUNCTION analytics_internal.forget_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM analytics_internal.rollup_partitions AS known
    WHERE known.partition = to_regclass(format('analytics.%I', $1))
$$;
COMMENT ON FUNCTION analytics_internal.forget_partition(text) IS
    'Tells the rollups of a partition of agent_runs that is about to go and holds no rows.';

ALTER FUNCTION analytics_internal.changed_buckets(uuid, uuid, timestamptz, timestamptz, integer) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.changed_buckets(uuid, uuid, timestamptz, timestamptz, integer) IS
    'Hours of a workspace, and of one agent unless that is NULL, from from_time to to_time (excluded), in which rows of sources (a sum as in rollup_changes) have changed since the rollups were computed, changes of this transaction included. Errors: 22023 unknown workspace.';

COMMENT ON FUNCTION analytics_internal.agent_performance_query(boolean) IS
    'Text of the query that agent_performance_buckets() runs, with and without changed hours; its parameters are in src/rollup/statements.rs.';

CREATE FUNCTION analytics_internal.agent_performance_buckets(
    workspace_id uuid, only_agent uuid, from_time timestamptz, to_time timestamptz, step interval DEFAULT NULL)
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
    sum_feedback_ratings bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    -- Hours of days that lie in the window as a whole come from days; with a step shorter than a day, none do.
    first_day timestamptz := CASE WHEN extract(epoch FROM step) % 86400 <> 0 THEN $4
        ELSE date_bin('24 hours', $3 + interval '24 hours' - interval '1 microsecond', 'epoch') END;
    last_day  timestamptz := date_bin('24 hours', $4, 'epoch');
    agents    uuid[];
    hours     timestamptz[];
BEGIN
    SELECT array_agg(c.agent_id), array_agg(c.bucket) INTO agents, hours
    FROM analytics_internal.changed_buckets($1, $2, $3, $4, 7) AS c;
    RETURN QUERY EXECUTE analytics_internal.agent_performance_query(agents IS NOT NULL)
        USING $1, $2, $3, $4, first_day, last_day, $5, agents, hours;
END
$$;
COMMENT ON FUNCTION analytics_internal.agent_performance_buckets(uuid, uuid, timestamptz, timestamptz, interval) IS
    'What the agents of a workspace, or one of them, did from from_time to to_time (whole UTC hours, the end excluded): one row per agent and step (whole hours, or days of 24 hours; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since: always exact, runtime_sketch and users_sketch within their error. Errors: 22023 unknown workspace.';

ALTER FUNCTION analytics.refresh(integer) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics.refresh(integer) IS
    'Computes anew the hours and days that have changed, this transaction''s own changes included, at most max_buckets hours (1 to 1,000,000, default 5,000), in this transaction. One row per rollup: object, status (refreshed; clean: nothing had changed; locked: another session is refreshing, nothing was done), bucket_count, written_count and removed_count rows, duration_seconds. Answers are exact with and without it; it makes them fast. Errors: 22023 max_buckets out of range, 55000 setup() has not run.';

CREATE FUNCTION analytics_internal.try_refresh(max_buckets integer) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started constant timestamptz := clock_timestamp();
    code    text;
    message text;
BEGIN
    RETURN (SELECT r.status FROM analytics.refresh(max_buckets) AS r LIMIT 1);
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    INSERT INTO analytics_internal.refresh_log (object, status, started_at, duration_seconds, bucket_count,
                                                written_count, removed_count, error_code, error_message)
    VALUES ('refresh', 'failed', started, extract(epoch FROM clock_timestamp() - started), 0, 0, 0, code, message);
    RETURN 'failed';
END
$$;
COMMENT ON FUNCTION analytics_internal.try_refresh(integer) IS
    'One batch of refresh(): its status, or failed, with the error in refresh_log.';

CREATE FUNCTION analytics_internal.try_partitions() RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started constant timestamptz := clock_timestamp();
    code    text;
    message text;
BEGIN
    PERFORM analytics.ensure_partitions();
    RETURN 'refreshed';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    INSERT INTO analytics_internal.refresh_log (object, status, started_at, duration_seconds, bucket_count,
                                                written_count, removed_count, error_code, error_message)
    VALUES ('ensure_partitions', 'failed', started, extract(epoch FROM clock_timestamp() - started), 0, 0, 0, code, message);
    RETURN 'failed';
END
$$;
COMMENT ON FUNCTION analytics_internal.try_partitions() IS
    'Calls ensure_partitions(): refreshed, or failed, with the error in refresh_log.';

CREATE PROCEDURE analytics.refresh_all(time_budget interval DEFAULT '50 seconds', max_buckets integer DEFAULT 5000)
LANGUAGE c AS 'MODULE_PATHNAME', 'refresh_all';
COMMENT ON PROCEDURE analytics.refresh_all(interval, integer) IS
    'Makes partitions, then calls refresh(max_buckets) and commits, until nothing is left to refresh, another session is refreshing, or time_budget is over. A batch that fails is noted in analytics_internal.refresh_log and tried again, three times in all; the last error is raised. Can be cancelled at any time: what was committed stays. Errors: 22023 argument out of range, 2D000 inside of a transaction block, 55000 setup() has not run.';
