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

------------------------------------------------------------------------------------------------------------------------
-- What was executed: six runs and four entries of the queue, of which two wait
------------------------------------------------------------------------------------------------------------------------
DELETE FROM analytics.execution_queue;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, completed_at, runtime_seconds, credits_consumed)
SELECT :'acme', :'bot', :'bot', CASE n WHEN 3 THEN 'failed' WHEN 6 THEN 'cancelled' ELSE 'completed' END, t, t + n * interval '5 minutes',
       n * 300, 1.5
FROM generate_series(1, 6) AS n CROSS JOIN LATERAL (SELECT timestamptz '2026-03-29 00:00+00' + n * interval '10 minutes') AS v (t);
INSERT INTO analytics.execution_queue (workspace_id, agent_id, status, priority, queued_at, started_at, completed_at) VALUES
    (:'acme', :'bot', 'completed',  0, '2026-03-29 00:00+00', '2026-03-29 00:10+00', '2026-03-29 00:20+00'),
    (:'acme', :'bot', 'processing', 5, '2026-03-29 00:05+00', '2026-03-29 01:30+00', NULL),
    (:'acme', :'bot', 'queued',     5, '2026-03-29 00:06+00', NULL, NULL),
    (:'acme', :'bot', 'queued',     0, '2026-03-29 00:07+00', NULL, NULL),
    (:'acme', :'bot', 'cancelled',  0, '2026-03-29 00:08+00', NULL, '2026-03-29 02:30+00');

\pset expanded on
SELECT * FROM analytics.execution_summary(:'acme', from_time => '2026-03-29', to_time => '2026-03-30');
SELECT * FROM analytics.execution_summary(:'acme', from_time => '2025-03-29', to_time => '2025-03-30');
\pset expanded off
SELECT jsonb_object_keys(analytics.execution_metrics(:'acme', 'all'));
SELECT * FROM analytics.execution_latency(:'acme', 'all');
-- The day on which clocks go forward has 23 hours in Berlin; the second hour there is missing.
SELECT bucket_start, total_runs, success_rate, runs_per_hour, unique_users FROM analytics.execution_throughput(:'acme', bucket => 'day',
    time_zone => 'Europe/Berlin', from_time => '2026-03-28 00:00+01', to_time => '2026-03-31 00:00+02');
SELECT bucket_start AT TIME ZONE 'Europe/Berlin' AS "in Berlin", total_runs, peak_runs_per_minute, p95_runtime_seconds
FROM analytics.execution_throughput(:'acme', bucket => 'hour', time_zone => 'Europe/Berlin',
    from_time => '2026-03-29 00:00+00', to_time => '2026-03-29 03:00+00');
SELECT bucket_start, peak_runs, peak_at, avg_runs, occupied_rate FROM analytics.execution_concurrency(:'acme', bucket => '15 minutes',
    time_zone => 'UTC', from_time => '2026-03-29 00:10+00', to_time => '2026-03-29 01:00+00');
SELECT bucket_start, arrival_count, departure_count, depth_at_start, depth_at_end, p50_queue_latency_seconds
FROM analytics.queue_history(:'acme', bucket => 'hour', time_zone => 'UTC', from_time => '2026-03-29 00:06:30+00', to_time => '2026-03-29 04:00+00');
SELECT priority, waiting_count, processing_count, oldest_queued_at, oldest_waiting_seconds > 0 AS waits FROM analytics.queue_depth(:'acme');
SELECT * FROM analytics.queue_waits(:'acme', 'all');
SELECT running_runs, waiting_count, processing_count, recent_runs, recent_success_rate, recent_runs_per_minute
FROM analytics.execution_realtime(:'acme');

CALL regress.watch();
SELECT * FROM analytics.execution_summary(:'nobody'); :refused
SELECT * FROM analytics.execution_summary(NULL); :refused
SELECT * FROM analytics.execution_summary(:'acme', '3d'); :refused
SELECT * FROM analytics.execution_summary(:'acme', from_time => '2026-03-30', to_time => '2026-03-30'); :refused
SELECT * FROM analytics.execution_throughput(:'acme', bucket => 'year'); :refused
SELECT * FROM analytics.execution_throughput(:'acme', bucket => 'minute', from_time => '2000-01-01', to_time => '2026-01-01'); :refused
SELECT * FROM analytics.execution_throughput(:'acme', time_zone => 'Mars'); :refused
SELECT * FROM analytics.execution_realtime(:'acme', 1441); :refused
SELECT * FROM analytics.execution_concurrency(:'acme', agent_id => :'nobody'); :refused
SELECT * FROM analytics_internal.concurrency(ARRAY[now()], '{}', '{}'); :refused

DELETE FROM analytics.workspaces;
