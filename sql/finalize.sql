-- Runs last, in an upgrade too. Everything of ours belongs to the role that runs this script: in a trusted extension
-- that is the bootstrap superuser, so that nobody else can replace or alter a function that others call, nor take a type
-- out of the extension and put another one in its place. The owner of schema analytics, who runs setup(), may use all of
-- it and grant it to others. PUBLIC gets nothing. No function is SECURITY DEFINER: none runs with
-- its owner's rights.
DO $finalize$
DECLARE
    administrator text := (SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner))
                           FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'analytics');
    member        record;
BEGIN
    FOR member IN
        SELECT CASE WHEN i.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE' ELSE pg_catalog.upper(i.type) END AS kind,
               i.identity,
               EXISTS (SELECT FROM pg_catalog.pg_proc AS p
                       WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.objid AND p.prosecdef) AS runs_as_owner
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadower_analytics'
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
        WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e'
          AND i.type IN ('function', 'procedure', 'aggregate', 'type', 'schema', 'operator')
          -- The array type of a type follows the type; nobody may alter it alone.
          AND NOT (i.type = 'type' AND i.identity LIKE '%[]')
    LOOP
        IF member.runs_as_owner THEN
            RAISE EXCEPTION '% is SECURITY DEFINER, and not of this extension', member.identity
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Take it out of the extension with ALTER EXTENSION shadower_analytics DROP, and try again.';
        END IF;
        EXECUTE pg_catalog.format('ALTER %s %s OWNER TO CURRENT_USER', member.kind, member.identity);
        CONTINUE WHEN member.kind = 'OPERATOR';
        EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', member.kind, member.identity);
        EXECUTE pg_catalog.format('GRANT ALL ON %s %s TO %s WITH GRANT OPTION', member.kind, member.identity, administrator);
    END LOOP;
END
$finalize$;
