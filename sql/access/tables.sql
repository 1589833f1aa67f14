-- Access: row security of tables, and what their statistics must not tell.

-- One predicate everywhere. The sub-select makes it an InitPlan, which runs once per statement and not once per row.
CREATE FUNCTION analytics_internal.protect_table(
    protected regclass, read_level text, insert_level text, update_level text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    predicate constant text :=
        'workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces(%L)))';
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('CREATE POLICY workspace_read ON %s FOR SELECT USING (%s)', protected, format(predicate, read_level));
    IF insert_level IS NOT NULL THEN
        EXECUTE format('CREATE POLICY workspace_insert ON %s FOR INSERT WITH CHECK (%s)',
            protected, format(predicate, insert_level));
    END IF;
    IF update_level IS NOT NULL THEN
        EXECUTE format('CREATE POLICY workspace_update ON %s FOR UPDATE USING (%s) WITH CHECK (%2$s)',
            protected, format(predicate, update_level));
    END IF;
    PERFORM analytics_internal.protect_partition(i.inhrelid) FROM pg_inherits AS i WHERE i.inhparent = protected;
END
$$;
COMMENT ON FUNCTION analytics_internal.protect_table(regclass, text, text, text) IS
    'Turns row security on for a table with a workspace_id and for its partitions: least levels for reading, inserting and updating; NULL where only the owner of the table may.';

-- Through the table its policies count alone. Without policies of its own a partition shows nothing to whoever may read
-- it directly, as pg_read_all_data may.
CREATE FUNCTION analytics_internal.protect_partition(partition regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden name;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    FOR hidden IN
        SELECT a.attname FROM pg_inherits AS i JOIN pg_attribute AS a ON a.attrelid = i.inhparent
        WHERE i.inhrelid = partition AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget = 0
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', partition, hidden);
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.protect_partition(regclass) IS
    'Turns row security on for an attached partition, without policies, and hides the same columns from ANALYZE as in its table.';

-- The estimates of EXPLAIN come from statistics over all workspaces: a tenant who asks often enough can read values out
-- of them.
CREATE FUNCTION analytics_internal.hide_values(relation regclass, VARIADIC columns name[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden name;
BEGIN
    FOREACH hidden IN ARRAY columns LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', relation, hidden);
    END LOOP;
    PERFORM analytics_internal.drop_statistics(a.attrelid, a.attnum)
    FROM pg_attribute AS a
    WHERE a.attname = ANY (columns)
      AND a.attrelid IN (SELECT relation UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = relation);
END
$$;
COMMENT ON FUNCTION analytics_internal.hide_values(regclass, name[]) IS
    'Makes ANALYZE pass over columns whose values are nobody else''s business, in a table and its partitions, and removes the statistics that are there.';

ALTER FUNCTION analytics_internal.drop_statistics(oid, smallint) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.drop_statistics(oid, smallint) IS
    'Removes the statistics of a column, by number, of a table that the caller owns. Errors: 42501 not the owner.';
