-- Runs first. A schema that somebody else owns, or may create in, could be prepared with objects that our
-- functions would then find: refuse it. (CREATE EXTENSION makes the schema itself where there is none.)
-- A superuser who restores the dump of an ordinary role's database meets that role's schema while it is still empty:
-- nothing is prepared there, and finalize.sql gives the functions to that role, as they were.
DO $bootstrap$
DECLARE
    schema_owner oid;
    schema_acl   aclitem[];
    caller       oid := '@extowner@'::regrole;
    stranger     text;
BEGIN
    SELECT nspowner, nspacl INTO schema_owner, schema_acl
    FROM pg_catalog.pg_namespace WHERE nspname = 'analytics';

    IF schema_owner IS DISTINCT FROM caller
       AND NOT ((SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.oid = caller)
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                                WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                                  AND d.refobjid = 'analytics'::pg_catalog.regnamespace
                                  AND d.classid <> 'pg_catalog.pg_extension'::pg_catalog.regclass)) THEN
        RAISE EXCEPTION 'schema "analytics" belongs to role "%", not to "%" who creates the extension',
            pg_catalog.pg_get_userbyid(schema_owner), pg_catalog.pg_get_userbyid(caller)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Let its owner run CREATE EXTENSION, or rename that schema and try again.';
    END IF;

    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END
    INTO stranger
    FROM pg_catalog.aclexplode(schema_acl) AS a
    WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (caller, schema_owner)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role "%" may create objects in schema "analytics"', stranger
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format('Run REVOKE CREATE ON SCHEMA analytics FROM %s and try again.', stranger);
    END IF;

    IF pg_catalog.obj_description('analytics'::pg_catalog.regnamespace, 'pg_namespace') IS NULL THEN
        COMMENT ON SCHEMA analytics IS 'Analytics of AI agents: tables, views and functions of shadower_analytics.';
    END IF;
END
$bootstrap$;
