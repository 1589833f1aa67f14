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
INSERT INTO analytics.agents (workspace_id, agent_id, name)
SELECT w, 'c0000000-0000-4000-8000-00000000000a', 'Aide' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.agent_dependencies (workspace_id, agent_id, depends_on_agent_id)
SELECT w, :'bot', 'c0000000-0000-4000-8000-00000000000a' FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT count(analytics.configure_lifecycle(w, '{"states": [{"state": "draft", "terminal": true}, {"state": "live", "terminal": true}],
    "transitions": [{"from": "draft", "to": "live", "required_approvals": 2, "guards": [{"metric": "owner_present"}]}]}')) AS configured
FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT count(analytics.request_transition(w, :'bot', 'live', 'why not')) AS requested FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
INSERT INTO analytics.lifecycle_approvals (workspace_id, request_id, decided_by, decision)
SELECT r.workspace_id, r.request_id, 'me', 'approved' FROM analytics.lifecycle_requests AS r;
SELECT count(analytics.register_version(w, :'bot', '1.0.0')) AS registered FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT count(analytics.set_version_alias(w, :'bot', 'stable', '1.0.0')) AS named FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT count(analytics.deploy_version(w, :'bot', '1.0.0')) AS deployed FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;
SELECT count(analytics.record_agent_health(w)) AS recorded FROM unnest(ARRAY[:'acme', :'blue']::uuid[]) AS w;

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
SELECT count(*) > 0 AS ranked FROM analytics.refresh_leaderboards();
SELECT table_name, rows FROM regress.rows_per_workspace() WHERE workspace = 'Acme' AND rows = 0;
-- Its key cannot change under what refers to it.
CALL regress.watch();
\set VERBOSITY sqlstate
UPDATE analytics.workspaces SET workspace_id = :'nobody' WHERE workspace_id = :'acme'; :refused
\set VERBOSITY default
DELETE FROM analytics.workspaces WHERE workspace_id = :'acme';
-- Rollups with the next refresh.
CALL analytics.refresh_all();
SELECT count(*) > 0 AS ranked FROM analytics.refresh_leaderboards();
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

------------------------------------------------------------------------------------------------------------------------
-- What goes on in them
------------------------------------------------------------------------------------------------------------------------
DELETE FROM analytics.workspaces;
INSERT INTO analytics.workspaces (workspace_id, name, plan) VALUES (:'acme', 'Acme', 'pro'), (:'blue', 'Blue', 'free');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed, user_rating)
SELECT :'acme', :'bot', CASE WHEN n % 2 = 0 THEN :'acme'::uuid ELSE :'blue'::uuid END, CASE n WHEN 3 THEN 'failed' ELSE 'completed' END,
       timestamptz '2026-03-01 00:00+00' + n * interval '7 hours', n * 10, 2, CASE n WHEN 5 THEN 4 END
FROM generate_series(1, 10) AS n;

SELECT name, plan, access_level, total_runs, success_rate, credits_consumed, active_agents, active_users, last_run_at
FROM analytics.list_workspaces('all');
\pset expanded on
SELECT * FROM analytics.workspace_summary(:'acme', from_time => '2026-03-02', to_time => '2026-03-03');
SELECT * FROM analytics.workspace_summary(:'blue', 'all');
\pset expanded off
SELECT component, round(score::numeric, 1) AS score, weight, round(value::numeric, 3) AS value, unit, reason
FROM analytics.workspace_health(:'acme', from_time => '2026-03-02', to_time => '2026-03-03');
SELECT * FROM analytics.workspace_health(:'blue');
SELECT * FROM analytics.workspace_activity(:'acme', bucket => 'day', from_time => '2026-03-01', to_time => '2026-03-05');
SELECT * FROM analytics.workspace_users(:'acme', 'all');
SELECT jsonb_object_keys(analytics.workspace_analytics(:'acme', 'all'));

CALL regress.watch();
SELECT * FROM analytics.list_workspaces('1d'); :refused
SELECT * FROM analytics.workspace_summary('00000000-0000-4000-8000-0000000000ff'); :refused
SELECT * FROM analytics.workspace_activity(:'acme', bucket => 'minute'); :refused
SELECT * FROM analytics.workspace_users(:'acme', max_rows => -1); :refused

DELETE FROM analytics.workspaces;
