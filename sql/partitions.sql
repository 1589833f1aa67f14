-- Monthly partitions: made ahead of time, and made for rows that arrived before their month had one.

CREATE FUNCTION analytics_internal.month_of(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN date_trunc('month', at, 'UTC');
COMMENT ON FUNCTION analytics_internal.month_of(timestamptz) IS
    'Start of the UTC month of a time, whatever the time zone of the session.';

CREATE FUNCTION analytics_internal.partition_name(parent text, month timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN parent || to_char(month AT TIME ZONE 'UTC', '"_y"YYYY"m"MM');
COMMENT ON FUNCTION analytics_internal.partition_name(text, timestamptz) IS
    'Name of the partition of a month: agent_runs_y2026m11.';

-- Triggers are off while it runs: nothing that the caller made may be found then.
ALTER FUNCTION analytics_internal.move_rows(oid, oid, timestamptz, timestamptz) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.move_rows(oid, oid, timestamptz, timestamptz) IS
    'Moves the rows of a range of started_at from one partition to another, unseen by triggers and foreign keys; returns their number.';

-- CREATE TABLE ... PARTITION OF copies no comments.
CREATE FUNCTION analytics_internal.describe_columns(partition regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    described record;
BEGIN
    FOR described IN
        SELECT a.attname, col_description(p.attrelid, p.attnum) AS comment
        FROM pg_inherits AS i
        JOIN pg_attribute AS p ON p.attrelid = i.inhparent AND p.attnum > 0 AND NOT p.attisdropped
        JOIN pg_attribute AS a ON a.attrelid = i.inhrelid AND a.attname = p.attname
        WHERE i.inhrelid = partition
          AND col_description(a.attrelid, a.attnum) IS DISTINCT FROM col_description(p.attrelid, p.attnum)
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', partition, described.attname, described.comment);
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.describe_columns(regclass) IS
    'Gives the columns of a partition the comments that they have in its table.';

-- A partition that accepts nothing, for everything before the oldest month, where there is no default partition:
-- it turns "no partition found" into an error that says what to do.
CREATE FUNCTION analytics_internal.guard_past(parent text, oldest timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    PERFORM analytics_internal.forget_partition(parent || '_before');
    EXECUTE format('DROP TABLE IF EXISTS analytics.%I', parent || '_before');
    EXECUTE format(
        'CREATE TABLE analytics.%I PARTITION OF analytics.%I (CONSTRAINT %I CHECK (analytics_internal.refuse(''started_at'', started_at::text, %L, %L)))'
        ' FOR VALUES FROM (MINVALUE) TO (%L)',
        parent || '_before', parent, parent || '_before_check',
        'it lies before the oldest partition, which begins at ' || oldest::text,
        'Make room with SELECT analytics.ensure_partitions(since => ...), or run setup(default_partition => true).',
        oldest);
    PERFORM analytics_internal.protect_partition(format('analytics.%I', parent || '_before')::regclass);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', parent || '_before',
        'Holds nothing: refuses rows older than the oldest partition, with a hint.');
    PERFORM analytics_internal.describe_columns(format('analytics.%I', parent || '_before')::regclass);
    PERFORM analytics_internal.remember_partition(parent || '_before');
END
$$;
COMMENT ON FUNCTION analytics_internal.guard_past(text, timestamptz) IS
    'Makes or moves the partition that refuses rows older than the oldest month.';

-- The month is built beside the parent and attached when it is full: a month whose rows wait in the default partition
-- cannot be made otherwise.
CREATE FUNCTION analytics_internal.make_partition(parent text, month timestamptz, default_exists boolean) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    partition  text := analytics_internal.partition_name(parent, month);
    next_month timestamptz := analytics_internal.month_of(month + interval '32 days');
    moved      bigint := 0;
BEGIN
    -- A partition gets its identity columns from the table, as of PostgreSQL 17, and may not bring its own.
    EXECUTE format('CREATE TABLE analytics.%I (LIKE analytics.%I INCLUDING ALL EXCLUDING IDENTITY)', partition, parent);
    IF default_exists THEN
        moved := analytics_internal.move_rows(
            format('analytics.%I', parent || '_default')::regclass,
            format('analytics.%I', partition)::regclass, month, next_month);
    END IF;
    EXECUTE format('ALTER TABLE analytics.%I ATTACH PARTITION analytics.%I FOR VALUES FROM (%L) TO (%L)',
        parent, partition, month, next_month);
    PERFORM analytics_internal.protect_partition(format('analytics.%I', partition)::regclass);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', partition,
        format('Rows of %s that started in %s (UTC).', parent, to_char(month, 'YYYY-MM')));
    PERFORM analytics_internal.remember_partition(partition);
    RETURN moved;
END
$$;
COMMENT ON FUNCTION analytics_internal.make_partition(text, timestamptz, boolean) IS
    'Makes one month of a partitioned table and moves its rows out of the default partition; returns how many were moved.';

-- A row that a writer sends to the default partition while its month is attached would be an error for the writer or
-- for us. So writers have to be out first: those that are open end, those that come wait at the parent. The other
-- tables that attaching locks are asked for a moment only, and all locks are given back where one is not to be had:
-- a transaction that has a lock on one of them and wants another would wait for us while we wait for it.
CREATE FUNCTION analytics_internal.lock_out_writers() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    patience constant text := current_setting('lock_timeout');
    attempts constant integer := 20;
    alone    boolean;
BEGIN
    FOR attempt IN 1 .. attempts LOOP
        alone := false;
        BEGIN
            LOCK TABLE ONLY analytics.agent_runs IN SHARE ROW EXCLUSIVE MODE;
            alone := true;
            PERFORM set_config('lock_timeout', '100ms', true);
            LOCK TABLE ONLY analytics.agent_runs_default IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE ONLY analytics.workspaces, ONLY analytics.agent_errors, ONLY analytics.agent_user_feedback
                IN SHARE ROW EXCLUSIVE MODE;
            PERFORM set_config('lock_timeout', patience, true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF NOT alone OR attempt = attempts THEN
                RAISE EXCEPTION 'agent_runs is in use, so no month can be made now'
                    USING ERRCODE = 'lock_not_available',
                          HINT = 'Try again. A transaction that stays open for long is in pg_stat_activity.';
            END IF;
        END;
        PERFORM pg_sleep(0.05 + 0.1 * random());
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.lock_out_writers() IS
    'Locks what making a month needs to be locked, to the end of the transaction; 55P03 when that cannot be had within lock_timeout.';

CREATE FUNCTION analytics_internal.ensure_partitions(months_ahead integer, since timestamptz)
RETURNS TABLE (partition_name text, action text, moved_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET timezone = 'UTC'
AS $$
DECLARE
    parent         constant text := 'agent_runs';
    patience       constant text := current_setting('lock_timeout');
    -- Rows outside of these bounds stay in the default partition: a wrong clock must not make a thousand months.
    oldest_allowed constant timestamptz := '2000-01-01 00:00+00';
    newest_allowed constant timestamptz := analytics_internal.month_of(now()) + interval '10 years';
    this_month     constant timestamptz := analytics_internal.month_of(now());
    default_exists boolean;
    locked         boolean := false;
    wanted         timestamptz[];
    missing        timestamptz[];
    month          timestamptz;
    oldest         timestamptz;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 120 THEN
        PERFORM analytics_internal.refuse_argument('months_ahead', months_ahead::text,
            'it lies outside 0 to 120', 'Give the number of months to prepare beyond the current one; 3 is the default.');
    END IF;
    IF since < oldest_allowed OR since > newest_allowed THEN
        PERFORM analytics_internal.refuse_argument('since', since::text,
            'it lies before the year 2000 or more than ten years ahead', 'Give the start of the oldest data to be loaded.');
    END IF;
    IF NOT analytics_internal.is_partitioned(parent) THEN
        PERFORM analytics_internal.register_discovered_agents();
        RETURN;
    END IF;
    PERFORM analytics_internal.lock_schema();
    default_exists := to_regclass('analytics.agent_runs_default') IS NOT NULL;

    LOOP
        wanted := ARRAY(SELECT generate_series(analytics_internal.month_of(least(since, now())),
                                               this_month + make_interval(months => months_ahead), interval '1 month'));
        IF default_exists THEN
            wanted := ARRAY(
                SELECT unnest(wanted)
                UNION
                SELECT analytics_internal.month_of(r.started_at) FROM analytics.agent_runs_default AS r
                WHERE r.started_at >= oldest_allowed AND r.started_at < newest_allowed
                ORDER BY 1);
        END IF;
        missing := ARRAY(
            SELECT w.month FROM unnest(wanted) AS w (month)
            WHERE to_regclass(format('analytics.%I', analytics_internal.partition_name(parent, w.month))) IS NULL);
        EXIT WHEN missing = '{}' OR locked;
        -- Behind somebody who waits for a lock everybody else waits too: give up soon rather than stop the application.
        IF patience = '0' THEN
            PERFORM set_config('lock_timeout', '3s', true);
        END IF;
        IF default_exists THEN
            PERFORM analytics_internal.lock_out_writers();
        END IF;
        locked := true;
    END LOOP;

    -- The guard covers everything before the oldest month: it has to step aside before an older month is made.
    SELECT min(analytics_internal.partition_lower_bound(i.inhrelid)) INTO oldest
    FROM pg_inherits AS i WHERE i.inhparent = 'analytics.agent_runs'::regclass;
    IF to_regclass('analytics.agent_runs_before') IS NOT NULL AND oldest > ANY (missing) THEN
        -- Detached first: the foreign keys of errors and feedback depend on each partition.
        PERFORM analytics_internal.forget_partition('agent_runs_before');
        ALTER TABLE analytics.agent_runs DETACH PARTITION analytics.agent_runs_before;
        DROP TABLE analytics.agent_runs_before;
    END IF;

    FOREACH month IN ARRAY wanted LOOP
        partition_name := analytics_internal.partition_name(parent, month);
        IF month = ANY (missing) THEN
            moved_count := analytics_internal.make_partition(parent, month, default_exists);
            action := 'created';
        ELSE
            -- A table of this name that somebody detached stays as it is; its rows are no longer part of the table.
            action := CASE WHEN EXISTS (SELECT FROM pg_inherits AS i
                                        WHERE i.inhrelid = format('analytics.%I', partition_name)::regclass
                                          AND i.inhparent = 'analytics.agent_runs'::regclass)
                           THEN 'present' ELSE 'detached' END;
            moved_count := 0;
        END IF;
        RETURN NEXT;
    END LOOP;

    IF NOT default_exists AND to_regclass('analytics.agent_runs_before') IS NULL THEN
        PERFORM analytics_internal.guard_past(parent, least(oldest, (SELECT min(m) FROM unnest(missing) AS m)));
    END IF;
    -- Last, because a writer may wait for what is registered here, and the locks above for that writer.
    PERFORM analytics_internal.register_discovered_agents();
    PERFORM set_config('lock_timeout', patience, true);
END
$$;
COMMENT ON FUNCTION analytics_internal.ensure_partitions(integer, timestamptz) IS 'What ensure_partitions() does, as the owner of the tables.';

CREATE FUNCTION analytics.ensure_partitions(months_ahead integer DEFAULT 3, since timestamptz DEFAULT NULL)
RETURNS TABLE (partition_name text, action text, moved_count bigint)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.ensure_partitions(integer, timestamptz) IS
    'Makes the monthly partitions from the month of since (default: this month) to months_ahead (0 to 120, default 3) months from now, and one for each month whose rows wait in the default partition; moves those rows. Registers the agents that wait in agent_discoveries. One row per month: partition_name, action (created, present, or detached when a table of that name exists and is no partition), moved_count. No rows when the tables are not partitioned. Called by setup() and by every refresh. Errors: 22023 argument out of range, 55000 setup() has not run, 55P03 agent_runs is in use for longer than lock_timeout (3 seconds when none is set).';

CREATE FUNCTION analytics_internal.is_partitioned(parent text) RETURNS boolean
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.relkind = 'p' FROM pg_class AS c
    WHERE c.relnamespace = 'analytics'::regnamespace AND c.relname = parent
$$;
COMMENT ON FUNCTION analytics_internal.is_partitioned(text) IS
    'Whether a table of schema analytics is partitioned; NULL when there is no such table.';

CREATE FUNCTION analytics_internal.partition_lower_bound(partition regclass) RETURNS timestamptz
LANGUAGE sql STABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\)'))[1]::timestamptz
    FROM pg_class AS c WHERE c.oid = partition
$$;
COMMENT ON FUNCTION analytics_internal.partition_lower_bound(regclass) IS
    'Where a range partition begins; NULL for a default partition and for one that begins at MINVALUE.';

CREATE FUNCTION analytics_internal.make_default_partition(parent text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass(format('analytics.%I', parent || '_default')) IS NOT NULL THEN
        RETURN;
    END IF;
    -- What the guard refuses, the default partition takes.
    IF to_regclass(format('analytics.%I', parent || '_before')) IS NOT NULL THEN
        PERFORM analytics_internal.forget_partition(parent || '_before');
        EXECUTE format('ALTER TABLE analytics.%I DETACH PARTITION analytics.%I', parent, parent || '_before');
        EXECUTE format('DROP TABLE analytics.%I', parent || '_before');
    END IF;
    EXECUTE format('CREATE TABLE analytics.%I PARTITION OF analytics.%I DEFAULT', parent || '_default', parent);
    PERFORM analytics_internal.protect_partition(format('analytics.%I', parent || '_default')::regclass);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', parent || '_default',
        format('Rows of %s whose month has no partition yet; ensure_partitions() moves them.', parent));
    PERFORM analytics_internal.describe_columns(format('analytics.%I', parent || '_default')::regclass);
    PERFORM analytics_internal.remember_partition(parent || '_default');
END
$$;
COMMENT ON FUNCTION analytics_internal.make_default_partition(text) IS
    'Makes the default partition of a partitioned table where there is none.';

CREATE FUNCTION analytics_internal.drop_default_partition(parent text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    partition text := format('analytics.%I', parent || '_default');
    is_filled boolean;
BEGIN
    IF to_regclass(partition) IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', partition);
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', partition) INTO is_filled;
    IF is_filled THEN
        RAISE EXCEPTION 'the default partition % holds rows', partition
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run SELECT analytics.ensure_partitions() to move them into months, and look at those that stay.';
    END IF;
    PERFORM analytics_internal.forget_partition(parent || '_default');
    EXECUTE format('ALTER TABLE analytics.%I DETACH PARTITION %s', parent, partition);
    EXECUTE format('DROP TABLE %s', partition);
END
$$;
COMMENT ON FUNCTION analytics_internal.drop_default_partition(text) IS
    'Drops the default partition of a partitioned table when it is empty; 55000 when it is not.';
