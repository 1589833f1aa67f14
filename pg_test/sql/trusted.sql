-- The trusted extension: a role that owns a database creates the extension, and gains no right that it had not. Each
-- trap below would make the role a superuser if anything called it with a superuser's rights.
\set SHOW_CONTEXT never
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
SET client_min_messages = warning;
\set sqlstate '\\echo :SQLSTATE'
CREATE ROLE regress_dbo LOGIN;
CREATE ROLE regress_tenant LOGIN;
CREATE DATABASE regress_trusted OWNER regress_dbo;

-- What every trap calls. In a schema of its own, so that it can be named from anywhere.
\c regress_trusted regress_dbo
SET client_min_messages = warning;
CREATE SCHEMA trap;
CREATE FUNCTION trap.spring() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
        EXECUTE 'ALTER ROLE regress_dbo SUPERUSER';
    END IF;
END
$$;
CREATE FUNCTION trap.equal(oid, regclass) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN PERFORM trap.spring(); RETURN $1 OPERATOR(pg_catalog.=) $2::oid; END $$;
CREATE VIEW trap.result AS
    SELECT rolsuper AS is_superuser, (SELECT count(*) FROM pg_extension WHERE extname = 'shadower_analytics') AS installed
    FROM pg_roles WHERE rolname = 'regress_dbo';

------------------------------------------------------------------------------------------------------------------------
-- A schema that was prepared is refused, whatever it holds
------------------------------------------------------------------------------------------------------------------------
-- An operator that fits better than that of pg_catalog.
CREATE SCHEMA analytics;
CREATE OPERATOR analytics.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap.equal);
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics CASCADE;

-- A function that fits better than one of pg_catalog.
CREATE SCHEMA analytics;
CREATE FUNCTION analytics.format(text, text) RETURNS text LANGUAGE sql AS $$ SELECT trap.spring(); SELECT $1 $$;
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics CASCADE;

-- A type with the name of one of ours, and a cast to it.
CREATE SCHEMA analytics;
CREATE TYPE analytics.percentile_sketch AS (value text);
CREATE FUNCTION trap.to_sketch(text) RETURNS analytics.percentile_sketch LANGUAGE sql AS
    $$ SELECT trap.spring(); SELECT ROW($1)::analytics.percentile_sketch $$;
CREATE CAST (text AS analytics.percentile_sketch) WITH FUNCTION trap.to_sketch(text) AS IMPLICIT;
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics CASCADE;

-- A domain whose check is the trap, a collation, a text search configuration, a sequence, default privileges.
CREATE SCHEMA analytics;
CREATE DOMAIN analytics.oid AS integer CHECK (trap.equal(VALUE::oid, 'pg_class'));
CREATE EXTENSION shadower_analytics; :sqlstate
DROP DOMAIN analytics.oid;
CREATE COLLATION analytics."default" (PROVIDER = libc, LOCALE = 'C');
CREATE EXTENSION shadower_analytics; :sqlstate
DROP COLLATION analytics."default";
CREATE TEXT SEARCH CONFIGURATION analytics.simple (COPY = pg_catalog.simple);
CREATE EXTENSION shadower_analytics; :sqlstate
DROP TEXT SEARCH CONFIGURATION analytics.simple;
CREATE SEQUENCE analytics.numbers;
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SEQUENCE analytics.numbers;
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics GRANT EXECUTE ON FUNCTIONS TO regress_tenant;
CREATE EXTENSION shadower_analytics; :sqlstate
ALTER DEFAULT PRIVILEGES IN SCHEMA analytics REVOKE EXECUTE ON FUNCTIONS FROM regress_tenant;
-- An operator class is a superuser's to make.
CREATE OPERATOR CLASS analytics.oid_ops FOR TYPE oid USING btree AS OPERATOR 3 =; :sqlstate
DROP SCHEMA analytics CASCADE;

-- The schemas of the machinery and of the views for BI tools.
CREATE SCHEMA analytics_internal;
CREATE FUNCTION analytics_internal.refuse(text, text, text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE EXTENSION shadower_analytics; :sqlstate
DROP FUNCTION analytics_internal.refuse;
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics_internal;
CREATE SCHEMA analytics_bi;
CREATE TABLE analytics_bi.runs (id integer);
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics_bi CASCADE;

-- A schema of somebody else, and one in which somebody else may create.
CREATE SCHEMA analytics;
GRANT CREATE ON SCHEMA analytics TO regress_tenant;
CREATE EXTENSION shadower_analytics; :sqlstate
DROP SCHEMA analytics;
\c regress_trusted postgres
CREATE SCHEMA analytics AUTHORIZATION regress_tenant;
\c regress_trusted regress_dbo
CREATE EXTENSION shadower_analytics; :sqlstate
\c regress_trusted postgres
DROP SCHEMA analytics;

\c regress_trusted regress_dbo
TABLE trap.result;

------------------------------------------------------------------------------------------------------------------------
-- Traps in other schemas are not found, wherever the settings of the role, the database and the session look first
------------------------------------------------------------------------------------------------------------------------
CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap.equal); :sqlstate
CREATE OPERATOR trap.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = trap.equal);
CREATE FUNCTION trap.quote_ident(name) RETURNS text LANGUAGE sql AS $$ SELECT trap.spring(); SELECT $1::text $$;
CREATE FUNCTION trap.format(text, name, text) RETURNS text LANGUAGE sql AS $$ SELECT trap.spring(); SELECT $1 $$;
CREATE FUNCTION trap.pg_describe_object(oid, oid, integer) RETURNS text LANGUAGE sql AS $$ SELECT trap.spring(); SELECT NULL::text $$;
CREATE FUNCTION trap.percentile_agg_transition(internal, double precision) RETURNS double precision LANGUAGE sql AS $$ SELECT 1 $$; :sqlstate
CREATE DOMAIN trap.regclass AS text CHECK (trap.equal(1::oid, 'pg_class'));
CREATE DOMAIN trap.uuid AS text CHECK (trap.equal(1::oid, 'pg_class'));
ALTER ROLE regress_dbo SET search_path = trap, public, pg_catalog;
ALTER DATABASE regress_trusted SET search_path = trap, public, pg_catalog;
\c regress_trusted regress_dbo
SET search_path = trap, pg_temp, public, pg_catalog;
CREATE TEMPORARY TABLE pg_depend AS SELECT * FROM pg_catalog.pg_depend WHERE false;
CREATE DOMAIN pg_temp.text AS pg_catalog.text CHECK (trap.equal(1::pg_catalog.oid, 'pg_class'));
CREATE EXTENSION shadower_analytics;
SELECT count(*) > 0 AS ready FROM analytics.setup();
TABLE trap.result;
DROP TABLE pg_temp.pg_depend;
DROP DOMAIN pg_temp.text;
ALTER ROLE regress_dbo RESET search_path;
ALTER DATABASE regress_trusted RESET search_path;
\c regress_trusted regress_dbo
SET client_min_messages = warning;

-- An empty schema of the caller is accepted.
\c regress_trusted postgres
CREATE DATABASE regress_other OWNER regress_dbo;
\c regress_other regress_dbo
CREATE SCHEMA analytics;
CREATE EXTENSION shadower_analytics;
DROP EXTENSION shadower_analytics;
CREATE EXTENSION shadower_analytics;
\c regress_trusted postgres
DROP DATABASE regress_other;

------------------------------------------------------------------------------------------------------------------------
-- What the script made is nobody's to alter; the owner of the schema may use all of it, and grant it
------------------------------------------------------------------------------------------------------------------------
\c regress_trusted regress_dbo
SET client_min_messages = warning;
SELECT kind, pg_get_userbyid(owner) AS owner, count(*) > 0 AS some
FROM (SELECT 'pg_proc'::regclass, oid, 'routine', proowner FROM pg_proc
      UNION ALL SELECT 'pg_type'::regclass, oid, 'type', typowner FROM pg_type
      UNION ALL SELECT 'pg_operator'::regclass, oid, 'operator', oprowner FROM pg_operator
      UNION ALL SELECT 'pg_namespace'::regclass, oid, 'schema', nspowner FROM pg_namespace) AS o (class, oid, kind, owner)
JOIN pg_depend AS d ON d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadower_analytics'
GROUP BY 1, 2 ORDER BY 1, 2;

CREATE OR REPLACE FUNCTION analytics_internal.require_schema() RETURNS void LANGUAGE sql AS $$ SELECT trap.spring() $$; :sqlstate
ALTER FUNCTION analytics.setup(text, boolean) SECURITY DEFINER; :sqlstate
ALTER FUNCTION analytics.setup(text, boolean) SET search_path = trap; :sqlstate
ALTER FUNCTION analytics_internal.percentile_agg_transition(internal, double precision) CALLED ON NULL INPUT; :sqlstate
ALTER FUNCTION analytics.agent_id(uuid, text) SUPPORT pg_catalog.generate_series_int8_support; :sqlstate
ALTER FUNCTION analytics.setup(text, boolean) RENAME TO mine; :sqlstate
ALTER FUNCTION analytics.setup(text, boolean) OWNER TO regress_dbo; :sqlstate
ALTER FUNCTION analytics.setup(text, boolean) SET SCHEMA trap; :sqlstate
ALTER TYPE analytics.percentile_sketch RENAME TO mine; :sqlstate
ALTER TYPE analytics.percentile_sketch SET (SEND = NONE); :sqlstate
ALTER OPERATOR analytics.= (analytics.percentile_sketch, analytics.percentile_sketch) SET (RESTRICT = NONE); :sqlstate
ALTER SCHEMA analytics_internal RENAME TO mine; :sqlstate
DROP FUNCTION analytics.setup(text, boolean); :sqlstate
ALTER EXTENSION shadower_analytics DROP FUNCTION analytics.setup(text, boolean); :sqlstate
ALTER EXTENSION shadower_analytics DROP TYPE analytics.percentile_sketch; :sqlstate
ALTER EXTENSION shadower_analytics DROP SCHEMA analytics_internal; :sqlstate
-- Functions of C, and casts between types of another layout, are a superuser's to make.
CREATE FUNCTION trap.agent_id(text) RETURNS uuid LANGUAGE c AS 'shadower_analytics', 'agent_id_wrapper'; :sqlstate
CREATE CAST (analytics.percentile_sketch AS analytics.distinct_sketch) WITHOUT FUNCTION; :sqlstate
CREATE TYPE trap.sketch; :sqlstate
CREATE AGGREGATE trap.mine(double precision) (SFUNC = analytics_internal.percentile_agg_transition, STYPE = internal); :sqlstate
-- A state that no aggregate made cannot be handed to the function of one.
SELECT analytics_internal.percentile_agg_transition(NULL::internal, 1::double precision); :sqlstate

-- It may grant what it was given.
GRANT EXECUTE ON FUNCTION analytics.library_version() TO regress_tenant;
GRANT USAGE ON SCHEMA analytics TO regress_tenant;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('a0000000-0000-4000-8000-000000000001', 'Acme');
SELECT analytics.grant_access('regress_tenant', 'a0000000-0000-4000-8000-000000000001', 'member');
\c regress_trusted regress_tenant
SELECT name FROM analytics.workspaces;
SELECT analytics.start_run('a0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001') IS NOT NULL AS started;
CREATE TABLE analytics.mine (id integer); :sqlstate

------------------------------------------------------------------------------------------------------------------------
-- Maintenance that a superuser runs is run as the owner of the tables, who may have put a trap on any of them
------------------------------------------------------------------------------------------------------------------------
\c regress_trusted regress_dbo
SET client_min_messages = warning;
CREATE TABLE trap.sprung (as_role name, is_superuser boolean, relation regclass);
CREATE FUNCTION trap.on_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trap.sprung SELECT current_user, rolsuper, TG_RELID::regclass FROM pg_catalog.pg_roles WHERE rolname = current_user;
    BEGIN
        RESET ROLE;
        EXECUTE 'ALTER ROLE regress_dbo SUPERUSER';
    EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value THEN
        NULL;
    END;
    PERFORM trap.spring();
    RETURN NEW;
END
$$;
DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
          AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    LOOP
        EXECUTE format('CREATE TRIGGER zz_trap BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION trap.on_write()', relation);
        EXECUTE format('CREATE TRIGGER zz_trap_each BEFORE INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION trap.on_write()', relation);
    END LOOP;
END
$$;
SELECT count(*) > 0 AS loaded FROM analytics.generate_demo_data(500, as_of => '2026-04-01 00:00+00');
TRUNCATE trap.sprung;

\c regress_trusted postgres
SET client_min_messages = warning;
SELECT count(*) > 0 AS ready FROM analytics.setup();
SELECT count(*) > 0 AS made FROM analytics.ensure_partitions(5);
SELECT count(*) > 0 AS refreshed FROM analytics.refresh();
CALL analytics.refresh_all();
SELECT count(*) > 0 AS refreshed FROM analytics.refresh_materialized_views();
SELECT analytics.rebuild_rollup('agent_performance') >= 0 AS rebuilt;
SELECT count(*) FROM analytics.verify_rollups();
SELECT count(*) > 0 AS refreshed FROM analytics.refresh_leaderboards();
SELECT failed FROM analytics.refresh_trends();
SELECT count(*) > 0 AS refreshed FROM analytics.refresh_suggestions();
SELECT analytics.record_agent_health() > 0 AS recorded;
SELECT analytics.cleanup_tokens(), analytics.cleanup_audit_log();
SELECT analytics.set_retention('refresh_log', '10 days');
CALL analytics.cleanup_old_data();
-- Every trap that sprang did so as the owner.
SELECT as_role, is_superuser, count(DISTINCT relation) > 10 AS everywhere FROM trap.sprung GROUP BY 1, 2 ORDER BY 1, 2;
SELECT DISTINCT relation FROM trap.sprung WHERE as_role <> 'regress_dbo';
TABLE trap.result;

-- A deferred trigger would run at the end of the transaction, as the superuser: it is refused.
\c regress_trusted regress_dbo
CREATE CONSTRAINT TRIGGER zz_later AFTER INSERT ON analytics.refresh_log DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION trap.on_write();
SELECT analytics.start_run('a0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001') IS NOT NULL AS started;
\c regress_trusted postgres
SET client_min_messages = warning;
SELECT analytics.configure_lifecycle('a0000000-0000-4000-8000-000000000001', '{"states": [], "transitions": []}'); :sqlstate
SELECT count(*) > 0 AS noted FROM analytics.refresh(); :sqlstate
TABLE trap.result;

-- Everything is the owner's.
SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class
WHERE relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND relkind IN ('r', 'p', 'v', 'm');

\c regression postgres
DROP DATABASE regress_trusted;
DROP ROLE regress_dbo, regress_tenant;
