-- How long raw rows are kept, and the removal of those that are older. Their rollups stay.

CREATE FUNCTION analytics_internal.retained_tables()
RETURNS TABLE (table_name text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    (SELECT s.table_name FROM analytics_internal.sources() AS s GROUP BY s.table_name ORDER BY min(s.source))
    UNION ALL VALUES ('refresh_log')
$$;
COMMENT ON FUNCTION analytics_internal.retained_tables() IS
    'Tables for which set_retention() can say how long rows are kept: those that rollups are computed from, and refresh_log.';

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
           OR l.relation IN (SELECT i.inhrelid FROM pg_inherits AS i
                             JOIN analytics_internal.retained_tables() AS t ON i.inhparent = format('analytics.%I', t.table_name)::regclass))
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
    batch      constant integer := 20000;
    started    constant timestamptz := clock_timestamp();
    entry      record;
    old        record;
    removed    bigint;
    is_dropped boolean;
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
        END IF;
        SELECT c.oid::regclass AS name, c.relname INTO old
        FROM analytics_internal.source_partitions() AS p JOIN pg_class AS c ON c.oid::bigint = p.partition
        WHERE p.table_name = entry.table_name AND p.upper <= entry.before
          AND c.relname <> entry.table_name || '_before' LIMIT 1;
        is_dropped := FOUND;
        IF is_dropped THEN
            -- Behind somebody who waits for a lock everybody else waits too.
            PERFORM set_config('lock_timeout', '3s', true);
            EXECUTE format('SELECT count(*) FROM %s', old.name) INTO removed;
            PERFORM analytics_internal.forget_partition(old.relname);
            EXECUTE format('ALTER TABLE analytics.%I DETACH PARTITION %s', entry.table_name, old.name);
            EXECUTE format('DROP TABLE %s', old.name);
            entry.table_name := old.relname;
        ELSE
            removed := analytics_internal.remove_rows(entry.table_name, entry.before, batch);
        END IF;
        IF removed > 0 OR is_dropped THEN
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
