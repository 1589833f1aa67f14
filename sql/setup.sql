-- Comments on the functions of src/setup.rs and src/errors.rs, for people who read \df+.

COMMENT ON SCHEMA analytics_internal IS 'Machinery of shadower_analytics: migrations, settings, logs. Read and call what is in schema analytics instead.';

CREATE FUNCTION analytics.library_version() RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'library_version_wrapper';
COMMENT ON FUNCTION analytics.library_version() IS
    'Version of the loaded library. Differs from pg_extension.extversion until ALTER EXTENSION shadower_analytics UPDATE has run.';

CREATE FUNCTION analytics.setup(partitioning text DEFAULT NULL, default_partition boolean DEFAULT NULL)
RETURNS TABLE (version integer, name text, action text, seconds double precision)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS 'MODULE_PATHNAME', 'setup_wrapper';
COMMENT ON FUNCTION analytics.setup(text, boolean) IS
    'Creates or upgrades the tables and views of shadower_analytics as the calling role, who owns them. Idempotent; run it after every upgrade. partitioning: native (months, the default) or none; default_partition: whether rows outside every partition are kept in one (default) or refused; NULL keeps what an earlier call chose. Returns one row per step: version (NULL for views and partitions), name, action (applied, present, replaced, created), seconds. Errors: 22023 unknown or changed option, 42501 no right to create, 55000 schema newer than the library or a landed migration changed.';

CREATE FUNCTION analytics.schema_version() RETURNS integer
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'schema_version_wrapper';
COMMENT ON FUNCTION analytics.schema_version() IS
    'Version of the tables in this database: the number of the last migration that setup() applied; 0 before the first setup().';
COMMENT ON FUNCTION analytics_internal.refuse(text, text, text, text) IS
    'Fails a CHECK constraint with a message and a hint: column, value, what is wrong with it, what to do. Raises 23514; NULL for NULL.';
COMMENT ON FUNCTION analytics_internal.refuse_argument(text, text, text, text) IS
    'Fails a call with a message and a hint: argument, value, what is wrong with it, what to do. Raises 22023.';
COMMENT ON FUNCTION analytics_internal.is_time_zone(text) IS
    'Whether Postgres knows this name of a time zone. NULL for NULL.';
COMMENT ON FUNCTION analytics_internal.require_schema() IS
    'Raises 55000 when the tables are missing, older or newer than the library.';
COMMENT ON FUNCTION analytics_internal.require_workspace(uuid) IS
    'Raises 22023 when the workspace is NULL or unknown, 55000 when the tables are missing, older or newer than the library. Every function of the API calls it first.';
COMMENT ON FUNCTION analytics_internal.require_agent(uuid, uuid) IS
    'As require_workspace, and raises 22023 when the agent is NULL or unknown in that workspace.';

CREATE FUNCTION analytics_internal.lock_schema() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT pg_advisory_xact_lock(hashtextextended('shadower_analytics schema', 0)) $$;
COMMENT ON FUNCTION analytics_internal.lock_schema() IS
    'Lets one transaction at a time change the tables; held to the end of the transaction.';
