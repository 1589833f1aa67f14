-- Runs last. In a trusted extension everything so far belongs to the bootstrap superuser: hand it to the role that
-- creates the extension, so that no function of ours runs with more rights than that role has. PUBLIC gets nothing.
DO $finalize$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT d.classid, d.objid, i.type, i.identity
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadower_analytics'
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
        WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e'
          AND i.type IN ('function', 'procedure', 'aggregate', 'type', 'schema', 'operator')
          -- The array type of a type follows the type; nobody may alter it alone.
          AND NOT (i.type = 'type' AND i.identity LIKE '%[]')
    LOOP
        IF member.type IN ('function', 'procedure', 'aggregate') THEN
            EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', member.identity);
            EXECUTE pg_catalog.format('ALTER ROUTINE %s OWNER TO @extowner@', member.identity);
        ELSIF member.type = 'type' THEN
            EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM PUBLIC', member.identity);
            EXECUTE pg_catalog.format('ALTER TYPE %s OWNER TO @extowner@', member.identity);
        ELSE
            EXECUTE pg_catalog.format('ALTER %s %s OWNER TO @extowner@', member.type, member.identity);
        END IF;
    END LOOP;
END
$finalize$;
