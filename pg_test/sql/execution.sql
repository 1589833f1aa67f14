-- The execution queue: work that waits for an agent.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
\set job    'e0000000-0000-4000-8000-000000000001'
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Bot');

-- The way of a job: queued, taken, done.
INSERT INTO analytics.execution_queue (workspace_id, queue_id, agent_id, queued_at, estimated_wait_seconds)
VALUES (:'acme', :'job', :'bot', '2026-01-05 10:00', 2.5)
RETURNING status, priority, run_id, started_at, completed_at, estimated_runtime_seconds, metadata;
UPDATE analytics.execution_queue SET status = 'processing', started_at = '2026-01-05 10:00:03', run_id = 'b0000000-0000-4000-8000-000000000001'
WHERE (workspace_id, queue_id) = (:'acme', :'job');
UPDATE analytics.execution_queue SET status = 'completed', completed_at = '2026-01-05 10:00:09'
WHERE (workspace_id, queue_id) = (:'acme', :'job')
RETURNING status, started_at - queued_at AS waited, completed_at - started_at AS worked;
-- Cancelled before anybody took it.
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, completed_at)
VALUES (:'acme', :'bot', 'cancelled', '2026-01-05 10:00', '2026-01-05 10:00')
RETURNING status, started_at;
-- Nothing takes no time: all three may be one moment.
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, queued_at, started_at, completed_at, estimated_wait_seconds, estimated_runtime_seconds)
VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', '2026-01-05 10:00', '2026-01-05 10:00', 0, 0)
RETURNING status, priority;
-- A repeated insert changes nothing; the key of a job holds within its workspace.
CALL regress.watch();
INSERT INTO analytics.execution_queue (workspace_id, queue_id, agent_id) VALUES (:'acme', :'job', :'bot') ON CONFLICT DO NOTHING;
CALL regress.nothing_changed();
-- An agent that is new is registered.
INSERT INTO analytics.execution_queue (workspace_id, agent_id) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000002');
SELECT agent_id, discovered FROM analytics.agents WHERE workspace_id = :'acme' ORDER BY agent_id;

-- What goes next: highest priority, then first come. The index that serves this holds live rows only.
INSERT INTO analytics.execution_queue (workspace_id, agent_id, priority, queued_at, metadata)
VALUES (:'acme', :'bot', 0, '2026-01-05 11:00', '{"job": "first"}'), (:'acme', :'bot', 5, '2026-01-05 11:02', '{"job": "urgent"}'),
       (:'acme', :'bot', 0, '2026-01-05 11:01', '{"job": "second"}');
SELECT metadata ->> 'job' AS job, priority FROM analytics.execution_queue
WHERE workspace_id = :'acme' AND status IN ('queued', 'processing') AND metadata ? 'job'
ORDER BY priority DESC, queued_at;

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
CALL regress.watch();
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'waiting'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'timeout'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at) VALUES (:'acme', :'bot', '2026-01-05 10:00', '2026-01-05 09:59'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, completed_at) VALUES (:'acme', :'bot', '2026-01-05 10:00', '2026-01-05 09:59'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at, completed_at)
VALUES (:'acme', :'bot', '2026-01-05 10:00', '2026-01-05 10:02', '2026-01-05 10:01'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (:'acme', :'bot', 'infinity'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (:'acme', :'bot', '-infinity'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, started_at) VALUES (:'acme', :'bot', '2026-01-05 10:00', 'infinity'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at, completed_at) VALUES (:'acme', :'bot', '2026-01-05 10:00', 'infinity'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, estimated_wait_seconds) VALUES (:'acme', :'bot', -0.001); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, estimated_wait_seconds, estimated_runtime_seconds) VALUES (:'acme', :'bot', 1, 'NaN'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, estimated_wait_seconds, estimated_runtime_seconds) VALUES (:'acme', :'bot', 'Infinity', 1); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, estimated_runtime_seconds) VALUES (:'acme', :'bot', '-Infinity'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id) VALUES (:'nobody', :'bot'); :refused
INSERT INTO analytics.execution_queue (workspace_id, queue_id, agent_id) VALUES (:'acme', :'job', :'bot'); :refused
UPDATE analytics.execution_queue SET status = 'done' WHERE queue_id = :'job'; :refused
UPDATE analytics.execution_queue SET started_at = '2026-01-05 10:01' WHERE queue_id = :'job'; :refused
\set VERBOSITY terse
INSERT INTO analytics.execution_queue (workspace_id, agent_id) VALUES (:'acme', NULL); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id) VALUES (NULL, :'bot'); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, queued_at) VALUES (:'acme', :'bot', NULL); :refused
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status) VALUES (:'acme', :'bot', NULL); :refused
\set VERBOSITY default

DELETE FROM analytics.workspaces;
