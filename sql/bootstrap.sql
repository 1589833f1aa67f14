-- Runs first. A schema that somebody else owns, or may create in, could be prepared with objects that our
-- functions would then find: refuse it. (CREATE EXTENSION makes the schema itself where there is none.)
DO $bootstrap$
DECLARE
    schema_owner oid;
    schema_acl   aclitem[];
    caller       oid := '@extowner@'::regrole;
    stranger     text;
BEGIN
    SELECT nspowner, nspacl INTO schema_owner, schema_acl
    FROM pg_catalog.pg_namespace WHERE nspname = 'analytics';

    IF schema_owner IS DISTINCT FROM caller THEN
        RAISE EXCEPTION 'schema "analytics" belongs to role "%", not to "%" who creates the extension',
            pg_catalog.pg_get_userbyid(schema_owner), pg_catalog.pg_get_userbyid(caller)
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Let its owner run CREATE EXTENSION, or rename that schema and try again.';
    END IF;

    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END
    INTO stranger
    FROM pg_catalog.aclexplode(schema_acl) AS a
    WHERE a.privilege_type = 'CREATE' AND a.grantee <> caller
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role "%" may create objects in schema "analytics"', stranger
            USING ERRCODE = 'insufficient_privilege',
                  HINT = pg_catalog.format('Run REVOKE CREATE ON SCHEMA analytics FROM %s and try again.', stranger);
    END IF;
END
$bootstrap$;

-- Before pgrx, which says IF NOT EXISTS: this schema must be new.
CREATE SCHEMA analytics_internal;
