-- Installing: CREATE EXTENSION, then analytics.setup(). This file comes first: the others use what it makes.
--
-- Conventions of the whole suite: times are UTC, ids are fixed, and a statement that must fail is followed by
-- :refused, which prints its SQLSTATE and then checks that it has changed nothing since CALL regress.watch().
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -

CREATE SCHEMA regress;
CREATE TABLE regress.baseline (thing text PRIMARY KEY, state text);

-- Everything that a statement could change: objects, rights, rows, and the state of this session. (The columns and
-- constraints of partitions follow those of their table.)
CREATE FUNCTION regress.state() RETURNS TABLE (thing text, state text)
LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    place constant regnamespace[] := array(
        SELECT n.oid FROM pg_namespace AS n WHERE n.nspname IN ('analytics', 'analytics_internal'));
BEGIN
    RETURN QUERY
    SELECT 'extension', e::text FROM pg_extension AS e WHERE e.extname = 'shadower_analytics'
    UNION ALL
    SELECT 'schema ' || n.nspname, n::text FROM pg_namespace AS n WHERE n.oid = ANY (place)
    UNION ALL
    SELECT 'routine ' || p.oid::regprocedure, concat_ws(' ', p.oid, p.proowner, p.proacl, p.proconfig)
    FROM pg_proc AS p WHERE p.pronamespace = ANY (place)
    UNION ALL
    SELECT 'relation ' || c.oid::regclass, concat_ws(' ', c.oid, c.relkind, c.relowner, c.relacl, c.reloptions,
        c.relispartition, c.relrowsecurity, pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class'))
    FROM pg_class AS c WHERE c.relnamespace = ANY (place)
    UNION ALL
    SELECT format('column %s of %s', a.attname, c.oid::regclass),
        concat_ws(' ', a.attnum, a.atttypid::regtype, a.attnotnull, a.attacl, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = ANY (place) AND NOT c.relispartition
    UNION ALL
    SELECT format('constraint %s of %s', o.conname, c.oid::regclass), pg_get_constraintdef(o.oid)
    FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid WHERE c.relnamespace = ANY (place) AND NOT c.relispartition
    UNION ALL
    SELECT format('trigger %s of %s', g.tgname, c.oid::regclass), g.tgenabled::text
    FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid WHERE c.relnamespace = ANY (place) AND NOT c.relispartition
    UNION ALL
    SELECT format('policy %s of %s', p.polname, p.polrelid::regclass), pg_get_expr(p.polqual, p.polrelid)
    FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = ANY (place)
    UNION ALL
    SELECT 'role of the session', current_user::text WHERE current_user <> session_user
    UNION ALL
    SELECT 'setting ' || s.name, s.setting FROM pg_settings AS s
    WHERE s.name IN ('session_replication_role', 'search_path', 'plan_cache_mode', 'work_mem', 'client_min_messages', 'lock_timeout')
    UNION ALL
    SELECT 'advisory locks', count(*)::text FROM pg_locks AS l WHERE l.locktype = 'advisory' AND l.pid = pg_backend_pid()
    UNION ALL
    SELECT 'temporary tables', count(*)::text FROM pg_class AS c WHERE c.relpersistence = 't';

    FOR thing IN SELECT c.oid::regclass FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = ANY (place) LOOP
        EXECUTE format('SELECT count(*) || '' rows, checksum '' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM %s AS t', thing)
        INTO state;
        thing := 'rows of ' || thing;
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE PROCEDURE regress.watch() LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM regress.baseline;
    INSERT INTO regress.baseline SELECT * FROM regress.state();
END
$$;

CREATE PROCEDURE regress.nothing_changed() LANGUAGE plpgsql AS $$
DECLARE
    change text;
BEGIN
    SELECT string_agg(format(E'%s: %s instead of %s', thing, coalesce(n.state, 'nothing'), coalesce(b.state, 'nothing')), E'\n'
                      ORDER BY thing COLLATE "C")
    INTO change
    FROM regress.baseline AS b FULL JOIN regress.state() AS n USING (thing)
    WHERE b.state IS DISTINCT FROM n.state;
    IF change IS NOT NULL THEN
        RAISE EXCEPTION E'this has changed:\n%', change;
    END IF;
END
$$;

-- What agent_runs is made of, however it is partitioned.
CREATE FUNCTION regress.shape() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', 'column', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), col_description(a.attrelid, a.attnum))
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = to_regclass('analytics.agent_runs') AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE conrelid = to_regclass('analytics.agent_runs') AND contype <> 'n' AND conparentid = 0
    UNION ALL
    SELECT concat_ws(' ', 'index', replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ')) FROM pg_index WHERE indrelid = to_regclass('analytics.agent_runs')
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(oid)) FROM pg_trigger WHERE tgrelid = to_regclass('analytics.agent_runs') AND NOT tgisinternal
$$;

-- A checksum of every column of every row, apart from the time at which the row was written.
CREATE FUNCTION regress.demo() RETURNS TABLE (table_name text, rows bigint, checksum text)
LANGUAGE plpgsql SET timezone = 'UTC' SET datestyle = 'ISO' AS $$
DECLARE
    written text;
BEGIN
    FOR table_name, written IN VALUES
        ('workspaces', '{created_at,updated_at}'), ('agents', '{updated_at}'), ('agent_runs', '{created_at}'), ('agent_errors', '{created_at}'),
        ('agent_user_feedback', '{}'), ('execution_queue', '{}'), ('agent_optimization_suggestions', '{}')
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L, count(*), md5(coalesce(string_agg(h, '''' ORDER BY h), '''')) FROM (SELECT md5((to_jsonb(t) - %L::text[])::text) COLLATE "C" AS h FROM analytics.%I AS t) AS r',
            table_name, written, table_name);
    END LOOP;
END
$$;

-- The watch itself: it sees an object and a row come, and it sees them go.
CALL regress.watch();
CALL regress.nothing_changed();
CREATE SCHEMA analytics;
CREATE TABLE analytics.probe (id integer);
CALL regress.watch();
INSERT INTO analytics.probe VALUES (1);
CALL regress.nothing_changed();
DROP SCHEMA analytics CASCADE;

-- Other files start from here, in databases of their own.
SET client_min_messages = warning;
DROP DATABASE IF EXISTS regress_template;
\c postgres
CREATE DATABASE regress_template TEMPLATE regression;
\c regression

------------------------------------------------------------------------------------------------------------------------
-- CREATE EXTENSION refuses a schema in which somebody else could have prepared something (more of it in trusted.sql)
------------------------------------------------------------------------------------------------------------------------
CREATE ROLE regress_stranger;

-- A superuser may, who restores a dump: the owner of the schema administers the extension.
CREATE SCHEMA analytics AUTHORIZATION regress_stranger;
CREATE EXTENSION shadower_analytics;
SELECT has_function_privilege('regress_stranger', 'analytics.setup(text, boolean)', 'EXECUTE WITH GRANT OPTION') AS may_set_up,
       has_schema_privilege('regress_stranger', 'analytics_internal', 'CREATE WITH GRANT OPTION') AS may_make_tables;
DROP EXTENSION shadower_analytics;
DROP SCHEMA analytics;

CREATE SCHEMA analytics;
GRANT CREATE ON SCHEMA analytics TO regress_stranger;
CALL regress.watch();
CREATE EXTENSION shadower_analytics; :refused
REVOKE CREATE ON SCHEMA analytics FROM regress_stranger;
GRANT CREATE ON SCHEMA analytics TO PUBLIC;
CALL regress.watch();
CREATE EXTENSION shadower_analytics; :refused
-- The hint works.
REVOKE CREATE ON SCHEMA analytics FROM PUBLIC;
GRANT USAGE ON SCHEMA analytics TO regress_stranger;
CREATE EXTENSION shadower_analytics;
DROP EXTENSION shadower_analytics;
DROP SCHEMA analytics;

-- The schema of the machinery must be ours as well, and there is one place to install into.
CREATE SCHEMA analytics_internal AUTHORIZATION regress_stranger;
CALL regress.watch();
CREATE EXTENSION shadower_analytics; :refused
DROP SCHEMA analytics_internal;
CALL regress.watch();
CREATE EXTENSION shadower_analytics SCHEMA public; :refused

------------------------------------------------------------------------------------------------------------------------
-- CREATE EXTENSION makes no table
------------------------------------------------------------------------------------------------------------------------
CREATE EXTENSION shadower_analytics;
SELECT analytics.library_version() = extversion AS versions_agree, analytics.schema_version(), nspname AS schema
FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'shadower_analytics';
SELECT count(*) AS relations
FROM pg_class WHERE relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND relkind <> 'c';

-- Before setup() everything says what to do.
CALL regress.watch();
SELECT * FROM analytics.ensure_partitions(); :refused
SELECT * FROM analytics.generate_demo_data(1000); :refused
SELECT * FROM analytics.list_agents(gen_random_uuid()); :refused
SELECT * FROM analytics.agent_performance(gen_random_uuid(), gen_random_uuid()); :refused
SELECT analytics.start_run(gen_random_uuid(), gen_random_uuid()); :refused
SELECT analytics.finish_run(gen_random_uuid(), gen_random_uuid()); :refused
SELECT analytics.record_error(gen_random_uuid(), gen_random_uuid(), 'TimeoutError'); :refused
SELECT analytics.record_feedback(gen_random_uuid(), gen_random_uuid(), 5); :refused

------------------------------------------------------------------------------------------------------------------------
-- setup() that cannot work leaves nothing behind
------------------------------------------------------------------------------------------------------------------------
SELECT * FROM analytics.setup(partitioning => 'weekly'); :refused
SELECT * FROM analytics.setup(partitioning => ''); :refused
SELECT * FROM analytics.setup(partitioning => 'NATIVE'); :refused

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
CALL regress.nothing_changed();

-- A role that may call it and may not create.
CREATE ROLE regress_caller;
GRANT USAGE ON SCHEMA regress TO regress_caller;
GRANT USAGE ON SCHEMA analytics, analytics_internal TO regress_caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO regress_caller;
CALL regress.watch();
SET ROLE regress_caller;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
RESET ROLE;
CALL regress.nothing_changed();
GRANT CREATE ON SCHEMA analytics TO regress_caller;
CALL regress.watch();
SET ROLE regress_caller;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
RESET ROLE;
CALL regress.nothing_changed();
REVOKE ALL ON SCHEMA analytics, analytics_internal FROM regress_caller;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal FROM regress_caller;

-- A table of the last migration is in the way: the migrations before it are undone.
CREATE TABLE analytics.execution_queue (mine text);
CALL regress.watch();
SELECT * FROM analytics.setup(); :refused
DROP TABLE analytics.execution_queue;

------------------------------------------------------------------------------------------------------------------------
-- setup()
------------------------------------------------------------------------------------------------------------------------
-- One row per step. The months begin with this one; their names follow the calendar.
SELECT version, regexp_replace(name, '_y\d{4}m\d{2}$', '_yNNNNmNN') AS name, action, seconds >= 0 AS measured
FROM analytics.setup();
SELECT analytics.schema_version();

-- Once more: nothing to do, and nothing changes.
CALL regress.watch();
SELECT version, regexp_replace(name, '_y\d{4}m\d{2}$', '_yNNNNmNN') AS name, action
FROM analytics.setup();
CALL regress.nothing_changed();
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup('native', true);
CALL regress.nothing_changed();

-- This month and three more.
SELECT name FROM analytics.setup() WHERE name ~ '^agent_runs_y'
EXCEPT ALL
SELECT 'agent_runs_y' || extract(year FROM m) || 'm' || lpad(extract(month FROM m)::text, 2, '0')
FROM generate_series(date_trunc('month', now()), date_trunc('month', now()) + interval '3 months', interval '1 month') AS m;
SELECT count(*) AS months FROM analytics.setup() WHERE name ~ '^agent_runs_y';

-- What setup() remembers.
SELECT * FROM analytics_internal.settings ORDER BY name;
SELECT version, name, length(checksum) AS checksum_length, library_version = analytics.library_version() AS by_this_library,
       applied_by = current_user AS by_me, applied_at <= clock_timestamp() AS applied, seconds >= 0 AS measured
FROM analytics_internal.schema_migrations ORDER BY version;
-- The checksums are those of the files.
\set sums `cd "$PG_ABS_SRCDIR/../migrations" && sha256sum *.sql | tr '\n' ' '`
SELECT string_agg(format('%s  %s_%s.sql', checksum, lpad(version::text, 4, '0'), name), ' ' ORDER BY version)
       = rtrim(:'sums') AS checksums_of_the_files
FROM analytics_internal.schema_migrations;

-- How the tables are partitioned is decided once.
SELECT * FROM analytics.setup('none'); :refused
SELECT * FROM analytics.setup('native', NULL) WHERE action = 'created';

------------------------------------------------------------------------------------------------------------------------
-- The tables and the library do not match. (Each in a new session: a session looks once.)
------------------------------------------------------------------------------------------------------------------------
CALL regress.watch();
\c -
BEGIN;
DELETE FROM analytics_internal.schema_migrations WHERE version > 1;
SELECT analytics.schema_version();
SELECT * FROM analytics.list_agents(gen_random_uuid()); \echo :SQLSTATE
ROLLBACK;
\c -
BEGIN;
INSERT INTO analytics_internal.schema_migrations (version, name, checksum, library_version, seconds)
VALUES (999, 'future', 'unknown', '99.0', 0);
SELECT analytics.schema_version();
SELECT analytics.start_run(gen_random_uuid(), gen_random_uuid()); \echo :SQLSTATE
ROLLBACK;
BEGIN;
INSERT INTO analytics_internal.schema_migrations (version, name, checksum, library_version, seconds)
VALUES (999, 'future', 'unknown', '99.0', 0);
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
-- A migration that has landed is never edited.
BEGIN;
UPDATE analytics_internal.schema_migrations SET checksum = encode(sha256('edited'), 'hex') WHERE version = 2;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
-- The tables of somebody else.
BEGIN;
ALTER TABLE analytics_internal.schema_migrations OWNER TO regress_stranger;
GRANT USAGE, CREATE ON SCHEMA analytics, analytics_internal TO regress_caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO regress_caller;
SET LOCAL ROLE regress_caller;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
CALL regress.nothing_changed();
-- After a failure the same session goes on.
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup();
CALL regress.nothing_changed();

------------------------------------------------------------------------------------------------------------------------
-- What users add to our tables and views survives setup()
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('a0000000-0000-4000-8000-000000000001', 'Mine');
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at)
VALUES ('a0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000001', 'running', now());
CREATE INDEX my_index ON analytics.agent_runs (session_id);
ALTER TABLE analytics.agent_runs ADD COLUMN my_column text DEFAULT 'mine';
CREATE POLICY my_policy ON analytics.agent_runs USING (my_column = 'mine');
CREATE FUNCTION regress.my_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER my_trigger BEFORE INSERT ON analytics.agent_runs FOR EACH ROW EXECUTE FUNCTION regress.my_trigger();
CREATE VIEW regress.my_view AS SELECT workspace_name, agent_name, status FROM analytics.agent_run_details;
GRANT INSERT ON analytics.agent_runs TO regress_caller;
GRANT SELECT ON analytics.agent_run_details TO regress_caller;
GRANT SELECT (run_id) ON analytics.agent_run_details TO regress_stranger;
CALL regress.watch();
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup();
CALL regress.nothing_changed();
SELECT * FROM regress.my_view;
DROP VIEW regress.my_view;
DROP TRIGGER my_trigger ON analytics.agent_runs;
DROP POLICY my_policy ON analytics.agent_runs;
ALTER TABLE analytics.agent_runs DROP COLUMN my_column;
DROP INDEX analytics.my_index;
DELETE FROM analytics.workspaces;
DROP OWNED BY regress_caller, regress_stranger;
CALL regress.watch();

-- A view that was dropped, or lost its options, comes back as it was.
BEGIN;
DROP VIEW analytics.agent_run_details;
SELECT name, action FROM analytics.setup() WHERE name ~ '^views';
SELECT relname, reloptions, obj_description(oid, 'pg_class') FROM pg_class WHERE oid = 'analytics.agent_run_details'::regclass;
ALTER VIEW analytics.agent_run_details SET (security_invoker = false);
SELECT name, action FROM analytics.setup() WHERE name ~ '^views';
SELECT reloptions FROM pg_class WHERE oid = 'analytics.agent_run_details'::regclass;
ROLLBACK;

------------------------------------------------------------------------------------------------------------------------
-- DROP EXTENSION does not take the user's rows along, not even with CASCADE
------------------------------------------------------------------------------------------------------------------------
\set VERBOSITY terse
DROP EXTENSION shadower_analytics; :refused
\set VERBOSITY default
BEGIN;
SET LOCAL client_min_messages = warning;
DROP EXTENSION shadower_analytics CASCADE;
SELECT relname FROM pg_class
WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
ORDER BY relname COLLATE "C";
-- Their checks and triggers have gone, though: neither the extension nor setup() takes them for its own.
SAVEPOINT dropped;
CREATE EXTENSION shadower_analytics; \echo :SQLSTATE
ROLLBACK TO dropped;
ALTER SCHEMA analytics RENAME TO analytics_old;
CREATE EXTENSION shadower_analytics;
ALTER TABLE analytics_old.workspaces SET SCHEMA analytics;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
ROLLBACK;
CALL regress.nothing_changed();

------------------------------------------------------------------------------------------------------------------------
-- No superuser is needed: the extension is trusted, and all tables belong to the role that created it
------------------------------------------------------------------------------------------------------------------------
CREATE ROLE regress_owner LOGIN;
CREATE DATABASE regress_trusted OWNER regress_owner;
\c regress_trusted regress_owner
CREATE EXTENSION shadower_analytics;
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup();
SELECT DISTINCT 'routine' AS kind, pg_get_userbyid(proowner) AS owner, prosecdef AS security_definer
FROM pg_proc WHERE pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
UNION
SELECT 'relation', pg_get_userbyid(relowner), false
FROM pg_class WHERE relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
UNION
SELECT 'schema', pg_get_userbyid(nspowner), false FROM pg_namespace WHERE nspname LIKE 'analytics%'
ORDER BY 1, 2;
SELECT * FROM analytics.generate_demo_data(1000, as_of => '2026-01-01');
-- Runs that came without a month move into one, without the rights of a superuser.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)
SELECT workspace_id, agent_id, 'running', '2020-02-29 12:00' FROM analytics.agents;
SELECT * FROM analytics.ensure_partitions() WHERE moved_count > 0;
SHOW session_replication_role;
-- Another role may create, and still not take over.
\c - postgres
GRANT USAGE, CREATE ON SCHEMA analytics, analytics_internal TO regress_caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO regress_caller;
SET ROLE regress_caller;
SELECT * FROM analytics.setup(); \echo :SQLSTATE
RESET ROLE;
\c regression
DROP DATABASE regress_trusted;
DROP OWNED BY regress_caller, regress_stranger;
DROP ROLE regress_owner, regress_caller, regress_stranger;
