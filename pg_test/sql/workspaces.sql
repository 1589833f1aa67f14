-- Workspaces: the tenants. Everything else belongs to one of them.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme 'a0000000-0000-4000-8000-000000000001'
\set blue 'a0000000-0000-4000-8000-000000000002'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot 'c0000000-0000-4000-8000-000000000001'

INSERT INTO analytics.workspaces (workspace_id, name, plan, time_zone)
VALUES (:'acme', 'Acme', 'enterprise', 'Europe/Madrid');
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'blue', 'Blue');
SELECT workspace_id, name, plan, time_zone, metadata, created_at = updated_at AS new FROM analytics.workspaces ORDER BY name;

-- Names need not be unique, and an id is made where none is given.
BEGIN;
INSERT INTO analytics.workspaces (name) VALUES ('Acme') RETURNING workspace_id IS NOT NULL AS has_an_id;
ROLLBACK;
-- A repeated insert changes nothing.
CALL regress.watch();
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Other') ON CONFLICT DO NOTHING;
CALL regress.nothing_changed();
-- Time zones are those that Postgres knows, in whatever case.
BEGIN;
UPDATE analytics.workspaces SET time_zone = 'asia/kolkata' WHERE workspace_id = :'acme';
UPDATE analytics.workspaces SET time_zone = 'EST5EDT' WHERE workspace_id = :'acme';
ROLLBACK;
SELECT name, analytics_internal.is_time_zone(name)
FROM unnest(ARRAY['UTC', 'Europe/Madrid', 'Europe/Nowhere', '', ' ', '../UTC', '/etc/localtime', 'Über/Alles', NULL]) WITH ORDINALITY AS t (name, n)
ORDER BY n;

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
CALL regress.watch();
INSERT INTO analytics.workspaces (name) VALUES (''); :refused
INSERT INTO analytics.workspaces (name) VALUES ('   '); :refused
INSERT INTO analytics.workspaces (name, plan) VALUES ('Acme', ' '); :refused
INSERT INTO analytics.workspaces (name, time_zone) VALUES ('Acme', 'Europe/Nowhere'); :refused
INSERT INTO analytics.workspaces (name, time_zone) VALUES ('Acme', ''); :refused
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Other'); :refused
UPDATE analytics.workspaces SET time_zone = 'Mars/Phobos' WHERE workspace_id = :'acme'; :refused
UPDATE analytics.workspaces SET name = E'\t\n' WHERE workspace_id = :'acme'; :refused
\set VERBOSITY terse
INSERT INTO analytics.workspaces (name) VALUES (NULL); :refused
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (NULL, 'Acme'); :refused
\set VERBOSITY default

-- What every function of the API asks first.
SELECT analytics_internal.require_workspace(:'acme');
SELECT analytics_internal.require_workspace(:'nobody'); :refused
SELECT analytics_internal.require_workspace(NULL); :refused

------------------------------------------------------------------------------------------------------------------------
-- A workspace goes with everything in it
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.agents (workspace_id, agent_id, name)
SELECT w, :'bot', 'Bot' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, user_id, status, runtime_seconds, started_at)
SELECT w, 'b0000000-0000-4000-8000-000000000001', :'bot', :'bot', 'completed', 1, '2026-01-05 10:00' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT analytics.record_error(w, :'bot', 'TimeoutError', agent_run_id => 'b0000000-0000-4000-8000-000000000001') IS NOT NULL AS recorded
FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT analytics.record_feedback(w, :'bot', 4, agent_run_id => 'b0000000-0000-4000-8000-000000000001') IS NOT NULL AS recorded
FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.execution_queue (workspace_id, agent_id) SELECT w, :'bot' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)
SELECT w, :'bot', 'cost', 'Use a smaller model' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.workspace_members (workspace_id, user_id, access_level)
SELECT w, :'bot', 'viewer' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;

CREATE FUNCTION regress.rows_per_workspace() RETURNS TABLE (table_name text, workspace text, rows bigint)
LANGUAGE plpgsql AS $$
BEGIN
    FOR table_name IN
        SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
        WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname <> 'audit_log'  -- what happened outlives its workspace
        ORDER BY c.relname COLLATE "C"
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT %L, w.name, least(count(t.workspace_id), 1) FROM (VALUES (%L::uuid, ''Acme''), (%L::uuid, ''Blue'')) AS w (id, name)
             LEFT JOIN analytics.%I AS t ON t.workspace_id = w.id GROUP BY 1, 2 ORDER BY 2',
            table_name, 'a0000000-0000-4000-8000-000000000001', 'a0000000-0000-4000-8000-000000000002', table_name);
    END LOOP;
END
$$;
CALL analytics.refresh_all();
SELECT table_name, rows FROM regress.rows_per_workspace() WHERE workspace = 'Acme' AND rows = 0;
-- Its key cannot change under what refers to it.
CALL regress.watch();
\set VERBOSITY sqlstate
UPDATE analytics.workspaces SET workspace_id = :'nobody' WHERE workspace_id = :'acme'; :refused
\set VERBOSITY default
DELETE FROM analytics.workspaces WHERE workspace_id = :'acme';
-- Rollups with the next refresh.
CALL analytics.refresh_all();
SELECT * FROM regress.rows_per_workspace();
DROP FUNCTION regress.rows_per_workspace();

-- This session had seen the workspace, and knows that it has gone.
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running'); :refused
-- So it does when another of its own statements took it back.
BEGIN;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running');
ROLLBACK;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running'); :refused
BEGIN;
SAVEPOINT before;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running');
ROLLBACK TO before;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running'); \echo :SQLSTATE
ROLLBACK;
CALL regress.nothing_changed();

-- TRUNCATE empties all.
BEGIN;
SET LOCAL client_min_messages = warning;
TRUNCATE analytics.workspaces CASCADE;
SELECT (SELECT count(*) FROM analytics.agents) AS agents, (SELECT count(*) FROM analytics.agent_runs) AS runs,
       (SELECT count(*) FROM analytics.agent_errors) AS errors, (SELECT count(*) FROM analytics.execution_queue) AS queue;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'blue', :'bot', 'running'); \echo :SQLSTATE
ROLLBACK;

DELETE FROM analytics.workspaces;
