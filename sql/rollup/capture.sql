-- Which hours change: the triggers of the raw tables, and partitions, which fire none.

CREATE FUNCTION analytics_internal.capture_changes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'capture_changes';
COMMENT ON FUNCTION analytics_internal.capture_changes() IS
    'Trigger of the raw tables: notes which hours of which agents or users a transaction changes, and writes them to rollup_changes when it commits; refuses rows older than what is kept (23514). Argument: the bit of the source, or the sum of those that are emptied, as sources() lists them. setup() makes these triggers.';

CREATE FUNCTION analytics_internal.capture_workspace() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'capture_workspace';
COMMENT ON FUNCTION analytics_internal.capture_workspace() IS
    'Row trigger of workspaces: notes that a workspace was deleted, so that the next refresh removes its rollups.';

CREATE FUNCTION analytics_internal.forget_floors() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_floors';
COMMENT ON FUNCTION analytics_internal.forget_floors() IS
    'Row trigger of retention: makes all backends forget how far back rows are kept.';

ALTER FUNCTION analytics_internal.source_partitions() SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.source_partitions() IS
    'Partitions of the raw tables as they are now, with their storage, who attached them and their bounds, and one row with partition 0 that says which database this is; see the columns of rollup_partitions.';

ALTER FUNCTION analytics_internal.run_partitions() SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.run_partitions() IS
    'What source_partitions() says of agent_runs, as the migration asks for it that makes rollup_partitions.';

-- A partition that is made or dropped by us brings and takes no rows that the table had not: rollups need not be
-- computed anew because of it.
CREATE FUNCTION analytics_internal.remember_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO analytics_internal.rollup_partitions AS known (partition, storage, attached, lower, upper, table_name)
    SELECT p.partition, p.storage, p.attached, p.lower, p.upper, p.table_name
    FROM analytics_internal.source_partitions() AS p
    WHERE p.partition = to_regclass(format('analytics.%I', $1))::oid::bigint
    ON CONFLICT (partition) DO UPDATE
    SET storage = excluded.storage, attached = excluded.attached, lower = excluded.lower, upper = excluded.upper,
        table_name = excluded.table_name
$$;
COMMENT ON FUNCTION analytics_internal.remember_partition(text) IS
    'Tells the rollups of a partition of a raw table that is new and holds no row that the table had not before.';

CREATE FUNCTION analytics_internal.forget_partition(partition_name text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM analytics_internal.rollup_partitions AS known
    WHERE known.partition = to_regclass(format('analytics.%I', $1))::oid::bigint
$$;
COMMENT ON FUNCTION analytics_internal.forget_partition(text) IS
    'Tells the rollups of a partition of a raw table that is about to go and holds no rows, or none that rollups need.';
