-- Months of the partitioned tables: made ahead of time, and made for rows that came without one.

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

-- A partition that accepts nothing, for everything before the oldest month, where there is no default partition:
-- it turns "no partition found" into an error that says what to do.
CREATE FUNCTION analytics_internal.guard_past(parent text, oldest timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS analytics.%I', parent || '_before');
    EXECUTE format(
        'CREATE TABLE analytics.%I PARTITION OF analytics.%I (CONSTRAINT %I CHECK (analytics_internal.refuse(''started_at'', started_at::text, %L, %L)))'
        ' FOR VALUES FROM (MINVALUE) TO (%L)',
        parent || '_before', parent, parent || '_before_check',
        'it lies before the oldest partition, which begins at ' || oldest::text,
        'Make room with SELECT analytics.ensure_partitions(since => ...), or run setup(default_partition => true).',
        oldest);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', parent || '_before',
        'Holds nothing: refuses rows older than the oldest partition, with a hint.');
END
$$;
COMMENT ON FUNCTION analytics_internal.guard_past(text, timestamptz) IS
    'Makes or moves the partition that refuses rows older than the oldest month.';

-- The month is built beside the parent and attached when it is full: attaching needs a weaker lock than CREATE TABLE
-- ... PARTITION OF, so that readers go on, and a month whose rows wait in the default partition can be made at all.
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
    EXECUTE format('CREATE TABLE analytics.%I (LIKE analytics.%I INCLUDING ALL)', partition, parent);
    IF default_exists THEN
        moved := analytics_internal.move_rows(
            format('analytics.%I', parent || '_default')::regclass,
            format('analytics.%I', partition)::regclass, month, next_month);
    END IF;
    EXECUTE format('ALTER TABLE analytics.%I ATTACH PARTITION analytics.%I FOR VALUES FROM (%L) TO (%L)',
        parent, partition, month, next_month);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', partition,
        format('Rows of %s that started in %s (UTC).', parent, to_char(month, 'YYYY-MM')));
    RETURN moved;
END
$$;
COMMENT ON FUNCTION analytics_internal.make_partition(text, timestamptz, boolean) IS
    'Makes one month of a partitioned table and moves its rows out of the default partition; returns how many were moved.';

CREATE FUNCTION analytics.ensure_partitions(months_ahead integer DEFAULT 3, since timestamptz DEFAULT NULL)
RETURNS TABLE (partition_name text, action text, moved_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
SET timezone = 'UTC'
AS $$
DECLARE
    parent         constant text := 'agent_runs';
    default_exists constant boolean := to_regclass('analytics.agent_runs_default') IS NOT NULL;
    -- Rows outside of these bounds stay in the default partition: a wrong clock must not make a thousand months.
    oldest_allowed constant timestamptz := '2000-01-01 00:00+00';
    newest_allowed constant timestamptz := analytics_internal.month_of(now()) + interval '10 years';
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
    PERFORM analytics_internal.register_discovered_agents();
    IF NOT analytics_internal.is_partitioned(parent) THEN
        RETURN;
    END IF;
    PERFORM analytics_internal.lock_schema();

    DROP TABLE IF EXISTS pg_temp.wanted_months;
    CREATE TEMPORARY TABLE wanted_months (month timestamptz PRIMARY KEY) ON COMMIT DROP;
    INSERT INTO pg_temp.wanted_months
    SELECT generate_series(
        analytics_internal.month_of(coalesce(least(since, now()), now())),
        analytics_internal.month_of(now()) + make_interval(months => months_ahead),
        interval '1 month');
    IF default_exists THEN
        INSERT INTO pg_temp.wanted_months
        SELECT DISTINCT analytics_internal.month_of(r.started_at)
        FROM analytics.agent_runs_default AS r
        WHERE r.started_at >= oldest_allowed AND r.started_at < newest_allowed
        ON CONFLICT DO NOTHING;
    END IF;

    -- The guard covers everything before the oldest month: it has to step aside before an older month is made.
    IF to_regclass('analytics.agent_runs_before') IS NOT NULL
       AND EXISTS (SELECT FROM pg_temp.wanted_months AS w
                   WHERE to_regclass(format('analytics.%I', analytics_internal.partition_name(parent, w.month))) IS NULL) THEN
        -- Detached first: the foreign keys of errors and feedback depend on each partition.
        ALTER TABLE analytics.agent_runs DETACH PARTITION analytics.agent_runs_before;
        DROP TABLE analytics.agent_runs_before;
    END IF;

    FOR month IN SELECT w.month FROM pg_temp.wanted_months AS w ORDER BY w.month LOOP
        partition_name := analytics_internal.partition_name(parent, month);
        IF to_regclass(format('analytics.%I', partition_name)) IS NOT NULL THEN
            action := 'present';
            moved_count := 0;
        ELSE
            moved_count := analytics_internal.make_partition(parent, month, default_exists);
            action := 'created';
        END IF;
        RETURN NEXT;
    END LOOP;
    DROP TABLE pg_temp.wanted_months;

    IF NOT default_exists AND to_regclass('analytics.agent_runs_before') IS NULL THEN
        SELECT min(analytics_internal.partition_lower_bound(i.inhrelid)) INTO oldest
        FROM pg_inherits AS i WHERE i.inhparent = 'analytics.agent_runs'::regclass;
        PERFORM analytics_internal.guard_past(parent, oldest);
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.ensure_partitions(integer, timestamptz) IS
    'Makes the monthly partitions from the month of since (default: this month) to months_ahead (0 to 120, default 3) months from now, and one for each month whose rows wait in the default partition; moves those rows. Registers the agents that wait in agent_discoveries. One row per month: partition_name, action (created or present), moved_count. No rows when the tables are not partitioned. Called by setup() and by every refresh. Errors: 22023 argument out of range, 55000 setup() has not run.';

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
        EXECUTE format('ALTER TABLE analytics.%I DETACH PARTITION analytics.%I', parent, parent || '_before');
        EXECUTE format('DROP TABLE analytics.%I', parent || '_before');
    END IF;
    EXECUTE format('CREATE TABLE analytics.%I PARTITION OF analytics.%I DEFAULT', parent || '_default', parent);
    EXECUTE format('COMMENT ON TABLE analytics.%I IS %L', parent || '_default',
        format('Rows of %s whose month has no partition yet; ensure_partitions() moves them.', parent));
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
    EXECUTE format('ALTER TABLE analytics.%I DETACH PARTITION %s', parent, partition);
    EXECUTE format('DROP TABLE %s', partition);
END
$$;
COMMENT ON FUNCTION analytics_internal.drop_default_partition(text) IS
    'Drops the default partition of a partitioned table when it is empty; 55000 when it is not.';
