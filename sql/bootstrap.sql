-- Runs first. In a trusted extension this script runs as the bootstrap superuser, on behalf of a caller who owns the
-- schema: nothing of the caller's may be found and called. So the path holds pg_catalog alone, to the end of the script
-- (a temporary schema comes last, where no function or operator is searched for; unnamed, it would come first for types),
-- and every name of ours says its schema.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A schema that is not empty was prepared by somebody. (CREATE EXTENSION makes the schema itself where there is none.)
DO $bootstrap$
DECLARE
    caller   oid := '@extowner@'::pg_catalog.regrole;
    is_super boolean := (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.oid = caller);
    place    record;
    stranger oid;
    object   text;
BEGIN
    FOR place IN
        SELECT n.oid, n.nspname AS name, n.nspowner AS owner, n.nspacl AS acl
        FROM pg_catalog.pg_namespace AS n WHERE n.nspname IN ('analytics', 'analytics_internal', 'analytics_bi')
        ORDER BY n.nspname
    LOOP
        -- A superuser who restores a dump has made the schema for its owner already.
        IF place.owner <> caller AND NOT is_super THEN
            RAISE EXCEPTION 'schema "%" belongs to role "%", not to "%" who creates the extension',
                place.name, pg_catalog.pg_get_userbyid(place.owner), pg_catalog.pg_get_userbyid(caller)
                USING ERRCODE = 'insufficient_privilege',
                      HINT = 'Let its owner run CREATE EXTENSION, or rename that schema and try again.';
        END IF;

        SELECT a.grantee INTO stranger FROM pg_catalog.aclexplode(place.acl) AS a
        WHERE a.privilege_type = 'CREATE' AND a.grantee <> place.owner
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'role "%" may create objects in schema "%"',
                CASE stranger WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(stranger)::text END, place.name
                USING ERRCODE = 'insufficient_privilege',
                      HINT = pg_catalog.format('Run REVOKE CREATE ON SCHEMA %I FROM %s and try again.', place.name,
                          CASE stranger WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(stranger)) END);
        END IF;

        -- Whatever is in a schema depends on it.
        SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) INTO object
        FROM pg_catalog.pg_depend AS d
        WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = place.oid
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension AS e
                          WHERE e.oid = d.objid AND d.classid = 'pg_catalog.pg_extension'::pg_catalog.regclass
                            AND e.extname = 'shadower_analytics')
        ORDER BY d.classid, d.objid
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'schema "%" is not empty: it holds %', place.name, object
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = pg_catalog.format('Drop what it holds, or ALTER SCHEMA %I RENAME TO %I; then try again.',
                                               place.name, place.name || '_old');
        END IF;
    END LOOP;

    IF pg_catalog.obj_description('analytics'::pg_catalog.regnamespace, 'pg_namespace') IS NULL THEN
        COMMENT ON SCHEMA analytics IS 'Analytics of AI agents: tables, views and functions of shadower_analytics.';
    END IF;
END
$bootstrap$;

-- Before pgrx, which says IF NOT EXISTS: this schema must be new.
CREATE SCHEMA analytics_internal;
