-- Agents: how they are registered, and the first answers about them.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set blue   'a0000000-0000-4000-8000-000000000002'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme'), (:'blue', 'Blue');

------------------------------------------------------------------------------------------------------------------------
-- Ids from names
------------------------------------------------------------------------------------------------------------------------
-- The examples of RFC 9562 and of Python's documentation: a name space and a name give this id.
SELECT analytics.agent_id('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com'),
       analytics.agent_id('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'python.org');
-- Always the same within a workspace, different between workspaces and names; no name, no id.
SELECT count(DISTINCT analytics.agent_id(w, n)) AS ids
FROM unnest(ARRAY[:'acme', :'blue', :'acme']::uuid[]) AS w, unnest(ARRAY['Bot', 'bot', '', 'Ünï', 'Bot']) AS n;
SELECT analytics.agent_id(:'acme', NULL) IS NULL AS no_name, analytics.agent_id(NULL, 'Bot') IS NULL AS no_workspace;

------------------------------------------------------------------------------------------------------------------------
-- Registering: by hand, or by the first row that names the agent
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.agents (workspace_id, agent_id, name, agent_type, lifecycle_state)
VALUES (:'acme', :'bot', 'Bot', 'assistant', 'production');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, started_at) VALUES
    (:'acme', :'bot', 'completed', 1, '2026-01-05 10:00'),
    (:'acme', 'c0000000-0000-4000-8000-000000000002', 'completed', 1, '2026-01-05 10:00'),
    (:'acme', 'c0000000-0000-4000-8000-000000000002', 'failed', NULL, '2026-01-05 10:01');
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type)
VALUES (:'acme', 'c0000000-0000-4000-8000-000000000003', 'TimeoutError');
INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating)
VALUES (:'acme', 'c0000000-0000-4000-8000-000000000004', 5);
INSERT INTO analytics.execution_queue (workspace_id, agent_id)
VALUES (:'acme', 'c0000000-0000-4000-8000-000000000005');
COPY analytics.agent_runs (workspace_id, agent_id, status, started_at) FROM stdin;
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-000000000001	running	2026-01-05 10:02+00
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-000000000006	running	2026-01-05 10:02+00
a0000000-0000-4000-8000-000000000002	c0000000-0000-4000-8000-000000000006	running	2026-01-05 10:02+00
\.
SELECT w.name AS workspace, a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered
FROM analytics.agents AS a JOIN analytics.workspaces AS w USING (workspace_id) ORDER BY w.name, a.agent_id;
-- Who names it keeps the rest.
UPDATE analytics.agents SET name = 'Extractor', agent_type = 'extractor'
WHERE (workspace_id, agent_id) = (:'acme', 'c0000000-0000-4000-8000-000000000002');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000002', 'running');
SELECT name, agent_type, discovered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000002';

-- A session remembers which agents it has seen. It forgets them when they go: by DELETE,
DELETE FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000002';
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000002', 'running');
SELECT name, discovered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000002';
-- by ROLLBACK,
BEGIN;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000007', 'running');
ROLLBACK;
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000007';
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000007', 'running');
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000007';
-- by ROLLBACK TO SAVEPOINT,
BEGIN;
SAVEPOINT before;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000008', 'running');
ROLLBACK TO before;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000008', 'running');
COMMIT;
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000008';
-- by an exception that was caught,
DO $$
BEGIN
    BEGIN
        INSERT INTO analytics.agent_runs (workspace_id, agent_id, status)
        VALUES ('a0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000009', 'running');
        RAISE EXCEPTION 'taken back';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    INSERT INTO analytics.agent_runs (workspace_id, agent_id, status)
    VALUES ('a0000000-0000-4000-8000-000000000001', 'c0000000-0000-4000-8000-000000000009', 'running');
END
$$;
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000009';
-- by a change of their key, and by TRUNCATE.
BEGIN;
UPDATE analytics.agents SET agent_id = 'c0000000-0000-4000-8000-0000000000aa' WHERE agent_id = 'c0000000-0000-4000-8000-000000000009';
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000009', 'running');
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000009';
TRUNCATE analytics.agents CASCADE;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running');
SELECT agent_id FROM analytics.agents;
ROLLBACK;

-- A run that moves to another agent registers that one; one that moves to another workspace, too, where it exists.
BEGIN;
UPDATE analytics.agent_runs SET agent_id = 'c0000000-0000-4000-8000-0000000000bb'
WHERE workspace_id = :'acme' AND agent_id = :'bot' AND status = 'completed';
UPDATE analytics.agent_runs SET workspace_id = :'blue' WHERE workspace_id = :'acme' AND agent_id = :'bot' AND status = 'running';
SELECT w.name AS workspace, a.agent_id, a.discovered
FROM analytics.agents AS a JOIN analytics.workspaces AS w USING (workspace_id)
WHERE a.agent_id = 'c0000000-0000-4000-8000-0000000000bb' OR (w.name = 'Blue' AND a.agent_id = :'bot')
ORDER BY w.name;
ROLLBACK;
CALL regress.watch();
UPDATE analytics.agent_runs SET workspace_id = :'nobody' WHERE workspace_id = :'acme' AND agent_id = :'bot'; :refused

-- Where an agent cannot be registered without waiting, it waits itself: in a transaction with an old snapshot,
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'blue', 'c0000000-0000-4000-8000-000000000011', 'running');
COMMIT;
SELECT count(*) AS registered FROM analytics.agents WHERE agent_id = 'c0000000-0000-4000-8000-000000000011';
SELECT workspace_id, agent_id FROM analytics_internal.agent_discoveries;
SELECT agent_id, name, agent_type, lifecycle_state, discovered, total_runs FROM analytics.list_agents(:'blue') ORDER BY agent_id;
SELECT total_runs, running_runs FROM analytics.agent_performance(:'blue', 'c0000000-0000-4000-8000-000000000011');
SELECT count(*) > 0 AS months FROM analytics.ensure_partitions();
SELECT agent_id, name, agent_type, lifecycle_state, discovered, total_runs FROM analytics.list_agents(:'blue') ORDER BY agent_id;
SELECT count(*) AS waiting FROM analytics_internal.agent_discoveries;
-- and when one statement brings more of them than it should hold locks for. The answers know all of them.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status)
SELECT :'blue', analytics.agent_id(:'blue', 'agent ' || n), 'running' FROM generate_series(1, 100) AS n, generate_series(1, 2);
SELECT count(*) < 102 AS some_wait, count(*) + (SELECT count(DISTINCT agent_id) FROM analytics_internal.agent_discoveries) AS known
FROM analytics.agents WHERE workspace_id = :'blue';
SELECT count(*), count(DISTINCT agent_id), sum(total_runs) FROM analytics.list_agents(:'blue');
SELECT analytics_internal.register_discovered_agents() > 0 AS registered;
SELECT analytics_internal.register_discovered_agents() AS registered;
SELECT count(*) AS registered, (SELECT count(*) FROM analytics_internal.agent_discoveries) AS waiting
FROM analytics.agents WHERE workspace_id = :'blue';
-- An unknown workspace is refused there as well (by the foreign key, whose message names the partition).
CALL regress.watch();
\set VERBOSITY sqlstate
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'nobody', :'bot', 'running');
ROLLBACK;
\set VERBOSITY default
CALL regress.nothing_changed();

------------------------------------------------------------------------------------------------------------------------
-- A writer needs no right on agents, and gets none
------------------------------------------------------------------------------------------------------------------------
CREATE ROLE regress_writer;
SELECT analytics.grant_access('regress_writer', :'acme', 'member');
GRANT USAGE ON SCHEMA regress TO regress_writer;
SET ROLE regress_writer;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000021', 'running');
SELECT current_user;
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'acme', 'x'); \echo :SQLSTATE
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'nobody', :'bot', 'running'); \echo :SQLSTATE
SELECT current_user;
-- Operators and functions of the writer, found first, would run as the owner of the tables.
RESET ROLE;
CREATE SCHEMA regress_trap AUTHORIZATION regress_writer;
SET ROLE regress_writer;
CREATE FUNCTION regress_trap.same(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'the trap caught %', current_user; RETURN uuid_eq($1, $2); END $$;
CREATE FUNCTION regress_trap.join(text, text) RETURNS text LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'the trap caught %', current_user; RETURN textcat($1, $2); END $$;
CREATE FUNCTION regress_trap.larger(integer, integer) RETURNS integer LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE 'the trap caught %', current_user; RETURN greatest($1, $2); END $$;
CREATE OPERATOR regress_trap.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = regress_trap.same);
CREATE OPERATOR regress_trap.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_trap.join);
CREATE AGGREGATE regress_trap.max(integer) (SFUNC = regress_trap.larger, STYPE = integer, INITCOND = '0');
SET search_path = regress_trap, pg_catalog;
SELECT '00000000-0000-0000-0000-000000000000'::uuid = '00000000-0000-0000-0000-000000000000'::uuid AS it_works;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', 'c0000000-0000-4000-8000-000000000022', 'running');
SELECT analytics.schema_version() > 0 AS is_set_up;
RESET search_path;
RESET ROLE;
DROP OWNED BY regress_writer;
DROP ROLE regress_writer;

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
CALL regress.watch();
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'acme', ''); :refused
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'acme', E' \n'); :refused
INSERT INTO analytics.agents (workspace_id, name, lifecycle_state) VALUES (:'acme', 'Bot', 'retired'); :refused
UPDATE analytics.agents SET lifecycle_state = '' WHERE agent_id = :'bot'; :refused
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Bot'); :refused
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'nobody', 'Bot'); :refused
\set VERBOSITY terse
INSERT INTO analytics.agents (workspace_id, name) VALUES (NULL, 'Bot'); :refused
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'acme', NULL); :refused
\set VERBOSITY default
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)
VALUES (:'acme', :'bot', 'speed', 'Use a smaller model'); :refused
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title, effort_level)
VALUES (:'acme', :'bot', 'cost', 'Use a smaller model', 'huge'); :refused
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title, priority)
VALUES (:'acme', :'bot', 'cost', 'Use a smaller model', 0); :refused
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title, priority)
VALUES (:'acme', :'bot', 'cost', 'Use a smaller model', 11); :refused
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title, status)
VALUES (:'acme', :'bot', 'cost', 'Use a smaller model', 'open'); :refused
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)
VALUES (:'acme', 'c0000000-0000-4000-8000-0000000000ff', 'cost', 'Use a smaller model'); :refused
SELECT analytics_internal.admit_agent(); :refused
SELECT analytics_internal.forget_admitted(); :refused

-- Suggestions go with their agent; its runs stay.
BEGIN;
INSERT INTO analytics.agent_optimization_suggestions (workspace_id, agent_id, suggestion_type, title)
VALUES (:'acme', :'bot', 'cost', 'Use a smaller model')
RETURNING effort_level, priority, status, baseline_metrics, post_implementation_metrics;
DELETE FROM analytics.agents WHERE workspace_id = :'acme' AND agent_id = :'bot';
SELECT count(*) AS suggestions FROM analytics.agent_optimization_suggestions;
SELECT count(*) AS runs FROM analytics.agent_runs WHERE workspace_id = :'acme' AND agent_id = :'bot';
ROLLBACK;

------------------------------------------------------------------------------------------------------------------------
-- Windows: whole UTC hours that end with the current one, wherever the session lives
------------------------------------------------------------------------------------------------------------------------
SELECT timeframe, window_start, window_end, window_end - window_start AS length
FROM unnest(ARRAY['24h', '7d', '30d', '90d']) WITH ORDINALITY AS t (timeframe, n)
CROSS JOIN LATERAL analytics.window_bounds(timeframe, '2026-03-29 01:30:00.000001+00') ORDER BY n;
SELECT * FROM analytics.window_bounds('all', '2026-03-29 01:30+00');
SELECT as_of, window_end FROM unnest(ARRAY['2026-01-01 00:00+00', '2026-01-01 00:59:59.999999+00', '2026-01-01 01:00+00', '1969-12-31 23:59:59+00']::timestamptz[])
    WITH ORDINALITY AS t (as_of, n) CROSS JOIN LATERAL analytics.window_bounds('24h', as_of) ORDER BY n;
CREATE TEMPORARY TABLE bounds AS
SELECT t, b.* FROM unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) AS t CROSS JOIN LATERAL analytics.window_bounds(t, '2026-03-29 01:30+00') AS b;
SET timezone = 'Asia/Kolkata';
SELECT * FROM analytics.window_bounds('7d', '2026-03-29 01:30+00');
SELECT t, b.* FROM unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) AS t CROSS JOIN LATERAL analytics.window_bounds(t, '2026-03-29 01:30+00') AS b
EXCEPT TABLE bounds;
SET timezone = 'Europe/Madrid';
SELECT t, b.* FROM unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) AS t CROSS JOIN LATERAL analytics.window_bounds(t, '2026-03-29 01:30+00') AS b
EXCEPT TABLE bounds;
RESET timezone;
-- The defaults: 30 days until now.
SELECT window_end - window_start AS length, window_end > now() AND window_end <= now() + interval '1 hour' AS ends_with_this_hour
FROM analytics.window_bounds();
CALL regress.watch();
SELECT * FROM analytics.window_bounds('1d'); :refused
SELECT * FROM analytics.window_bounds('24H'); :refused
SELECT * FROM analytics.window_bounds(''); :refused
SELECT * FROM analytics.window_bounds(NULL); :refused
SELECT * FROM analytics.window_bounds('7d', NULL); :refused
SELECT * FROM analytics.window_bounds('all', NULL); :refused
SELECT * FROM analytics.window_bounds('all', 'infinity'); :refused

------------------------------------------------------------------------------------------------------------------------
-- list_agents() and agent_performance(). One transaction, in which now() stands still.
------------------------------------------------------------------------------------------------------------------------
BEGIN;
DELETE FROM analytics.agent_runs;
DELETE FROM analytics.agents;
INSERT INTO analytics.agents (workspace_id, agent_id, name, agent_type, lifecycle_state)
SELECT :'acme', analytics.agent_id(:'acme', name), name, 'assistant', 'production'
FROM unnest(ARRAY['Ten', 'Never ran', 'Once', 'Always fails', 'Still busy', 'No runtimes', 'On the bounds', 'Mixed', 'Old', 'Future']) AS name;

-- Ten runs of 1 to 10 seconds, one an hour, the first ten hours ago.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, credits_consumed, tokens_used, user_id, user_rating)
SELECT :'acme', analytics.agent_id(:'acme', 'Ten'), 'completed', now() - make_interval(hours => n), n, n * 0.1, n * 100,
       ('d0000000-0000-4000-8000-00000000000' || n % 3)::uuid, CASE WHEN n <= 4 THEN n + 1 END
FROM generate_series(1, 10) AS n;
SELECT total_runs, successful_runs, success_rate, avg_runtime_seconds AS avg,
       round(p50_runtime_seconds::numeric, 6) AS p50, round(p75_runtime_seconds::numeric, 6) AS p75,
       round(p90_runtime_seconds::numeric, 6) AS p90, round(p95_runtime_seconds::numeric, 6) AS p95,
       round(p99_runtime_seconds::numeric, 6) AS p99, min_runtime_seconds AS min, max_runtime_seconds AS max,
       round(stddev_runtime_seconds::numeric, 6) AS stddev, throughput_per_hour, credits_consumed, tokens_used, unique_users, avg_rating
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Ten'), '24h') \gx

-- No run: zeros and nothing else, in every timeframe.
SELECT timeframe, (SELECT jsonb_object_agg(key, value ORDER BY key) FROM jsonb_each(to_jsonb(p) - 'window_start' - 'window_end') WHERE value <> 'null') AS answer
FROM unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) WITH ORDINALITY AS t (timeframe, n)
CROSS JOIN LATERAL analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Never ran'), timeframe) AS p ORDER BY n;
-- The window says which.
SELECT window_start, window_end FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Never ran'), 'all');
SELECT (p.window_start, p.window_end) = (b.window_start, b.window_end) AS window_of_7d
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Never ran'), '7d') AS p, analytics.window_bounds('7d') AS b;

-- One run: no deviation; and its rate is per whole hour at least.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)
VALUES (:'acme', analytics.agent_id(:'acme', 'Once'), 'completed', now() - interval '1 minute', 2.5);
SELECT total_runs, success_rate, avg_runtime_seconds AS avg, p50_runtime_seconds AS p50, p99_runtime_seconds AS p99,
       stddev_runtime_seconds AS stddev, throughput_per_hour
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Once'));

-- All failed, in one way or another: a rate of zero, which is not "unknown".
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)
SELECT :'acme', analytics.agent_id(:'acme', 'Always fails'), status, now() - interval '2 hours', 8
FROM unnest(ARRAY['failed', 'failed', 'timeout', 'cancelled']) AS status;
SELECT total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, success_rate, avg_runtime_seconds AS avg, throughput_per_hour
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Always fails'));

-- Nothing finished yet: the rate is unknown.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at)
SELECT :'acme', analytics.agent_id(:'acme', 'Still busy'), status, now() - interval '4 hours'
FROM unnest(ARRAY['running', 'running', 'queued']) AS status;
SELECT total_runs, running_runs, queued_runs, success_rate, avg_runtime_seconds AS avg, p50_runtime_seconds AS p50, throughput_per_hour
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Still busy'));

-- Finished without a runtime, and with one: those count that have one.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, prompt_tokens, completion_tokens, tokens_used)
SELECT :'acme', analytics.agent_id(:'acme', 'No runtimes'), status, now() - interval '4 hours', runtime, prompt, completion, total
FROM (VALUES ('failed', NULL::float8, NULL::int, NULL::int, NULL::int), ('failed', NULL, 10, NULL, NULL), ('timeout', NULL, 10, 5, NULL),
             ('cancelled', NULL, 10, 5, 100), ('failed', 3, NULL, NULL, 7)) AS r (status, runtime, prompt, completion, total);
SELECT total_runs, success_rate, avg_runtime_seconds AS avg, p99_runtime_seconds AS p99, stddev_runtime_seconds AS stddev, tokens_used
FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'No runtimes'));

-- On the bounds of the window: its start belongs to it, its end does not.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, session_id)
SELECT :'acme', analytics.agent_id(:'acme', 'On the bounds'), 'completed', at, 1, place
FROM analytics.window_bounds('7d') AS b CROSS JOIN LATERAL (VALUES
    ('just before the start', b.window_start - interval '1 microsecond'), ('at the start', b.window_start),
    ('just before the end', b.window_end - interval '1 microsecond'), ('at the end', b.window_end)) AS p (place, at);
SELECT timeframe, total_runs
FROM unnest(ARRAY['24h', '7d', '30d', 'all']) WITH ORDINALITY AS t (timeframe, n)
CROSS JOIN LATERAL analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'On the bounds'), timeframe) ORDER BY n;

-- Old and future runs; and 390 of everything, over 99 days: as many runtimes as a sketch holds exactly. Runtimes are
-- eighths: their sums are exact in any order.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)
VALUES (:'acme', analytics.agent_id(:'acme', 'Old'), 'completed', now() - interval '200 days', 4),
       (:'acme', analytics.agent_id(:'acme', 'Future'), 'completed', now() + interval '3 days', 4);
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds, credits_consumed, tokens_used,
                                  prompt_tokens, completion_tokens, user_id, user_rating)
SELECT :'acme', analytics.agent_id(:'acme', 'Mixed'),
       (ARRAY['completed', 'completed', 'completed', 'failed', 'timeout', 'cancelled', 'running', 'queued'])[1 + n % 8],
       window_end - n * interval '6 hours 7 minutes',
       CASE WHEN n % 8 < 5 THEN ((n * 7919) % 4001) / 8.0 END, (n * 31 % 97) * 0.013,
       CASE WHEN n % 3 = 0 THEN n END, CASE WHEN n % 2 = 0 THEN n * 2 END, CASE WHEN n % 5 <> 0 THEN n END,
       CASE WHEN n % 4 <> 0 THEN ('d0000000-0000-4000-8000-0000000000' || lpad((n % 17)::text, 2, '0'))::uuid END,
       CASE WHEN n % 6 = 0 THEN 1 + n % 5 END
FROM generate_series(1, 390) AS n, analytics.window_bounds('24h');
-- The same ids in another workspace, with other values.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)
SELECT :'blue', agent_id, 'completed', now() - interval '1 hour', 1000000 FROM analytics.agents;

SELECT name, total_runs, successful_runs AS ok, failed_runs AS failed, timeout_runs AS timeout, cancelled_runs AS cancelled,
       round(success_rate::numeric, 4) AS rate, round(avg_runtime_seconds::numeric, 4) AS avg, round(p95_runtime_seconds::numeric, 4) AS p95,
       credits_consumed AS credits, tokens_used AS tokens, unique_users AS users, round(avg_rating::numeric, 4) AS rating
FROM analytics.list_agents(:'acme', '90d');

-- The same from plain SQL: other windows arithmetic, other counting, percentiles by their definition.
CREATE FUNCTION regress.percentile(sorted double precision[], p double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE AS $$
    SELECT sorted[floor(at)::int] + (at - floor(at)) * (sorted[ceil(at)::int] - sorted[floor(at)::int])
    FROM (SELECT 1 + p * (cardinality(sorted) - 1) AS at) AS place WHERE cardinality(sorted) > 0 $$;
CREATE TEMPORARY VIEW measured AS
SELECT w.timeframe, a.workspace_id, a.agent_id, min(a.name) AS name, min(a.agent_type) AS agent_type,
       min(a.lifecycle_state) AS lifecycle_state, bool_or(a.discovered) AS discovered,
       min(w.window_start) AS window_start, min(w.window_end) AS window_end,
       count(r.run_id) AS total,
       sum((r.status = 'completed')::int) AS completed, sum((r.status = 'failed')::int) AS failed,
       sum((r.status = 'timeout')::int) AS timeout, sum((r.status = 'cancelled')::int) AS cancelled,
       sum((r.status = 'running')::int) AS running, sum((r.status = 'queued')::int) AS queued,
       sum(r.runtime_seconds) / count(r.runtime_seconds) AS mean,
       array_agg(r.runtime_seconds ORDER BY r.runtime_seconds) FILTER (WHERE r.runtime_seconds IS NOT NULL) AS sorted,
       sqrt((sum(r.runtime_seconds ^ 2) - sum(r.runtime_seconds) ^ 2 / count(r.runtime_seconds)) / nullif(count(r.runtime_seconds) - 1, 0)) AS deviation,
       min(r.started_at) AS first_run, max(r.started_at) AS last_run,
       coalesce(sum(r.credits_consumed), 0) AS credits,
       coalesce(sum(CASE WHEN r.tokens_used IS NOT NULL THEN r.tokens_used ELSE r.prompt_tokens + r.completion_tokens END), 0) AS tokens,
       count(DISTINCT r.user_id) AS users,
       sum(r.user_rating)::double precision / count(r.user_rating) AS rating
FROM (SELECT t.timeframe, e.at - make_interval(hours => t.hours) AS window_start, e.at AS window_end
      FROM (VALUES ('24h', 24), ('7d', 7 * 24), ('30d', 30 * 24), ('90d', 90 * 24)) AS t (timeframe, hours),
           (SELECT date_trunc('hour', now(), 'UTC') + interval '1 hour') AS e (at)
      UNION ALL SELECT 'all', '-infinity', 'infinity') AS w
CROSS JOIN analytics.agents AS a
LEFT JOIN analytics.agent_runs AS r
  ON r.workspace_id = a.workspace_id AND r.agent_id = a.agent_id AND r.started_at >= w.window_start AND r.started_at < w.window_end
GROUP BY w.timeframe, a.workspace_id, a.agent_id;

CREATE TEMPORARY VIEW listed AS
SELECT w.name AS workspace, t.timeframe, l.agent_id, l.name, l.agent_type, l.lifecycle_state, l.discovered, l.total_runs, l.successful_runs,
       l.failed_runs, l.timeout_runs, l.cancelled_runs, l.success_rate, l.avg_runtime_seconds, l.p50_runtime_seconds, l.p95_runtime_seconds,
       l.credits_consumed, l.tokens_used, l.unique_users, l.avg_rating, l.last_run_at
FROM analytics.workspaces AS w, unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) AS t (timeframe), analytics.list_agents(w.workspace_id, t.timeframe) AS l;
CREATE TEMPORARY VIEW listed_plainly (
    workspace, timeframe, agent_id, name, agent_type, lifecycle_state, discovered, total_runs, successful_runs, failed_runs, timeout_runs,
    cancelled_runs, success_rate, avg_runtime_seconds, p50_runtime_seconds, p95_runtime_seconds, credits_consumed, tokens_used,
    unique_users, avg_rating, last_run_at) AS
SELECT w.name AS workspace, m.timeframe, m.agent_id, m.name, m.agent_type, m.lifecycle_state, m.discovered,
       m.total, coalesce(m.completed, 0), coalesce(m.failed, 0), coalesce(m.timeout, 0), coalesce(m.cancelled, 0),
       m.completed::double precision / nullif(m.completed + m.failed + m.timeout + m.cancelled, 0),
       m.mean, regress.percentile(m.sorted, 0.5), regress.percentile(m.sorted, 0.95),
       m.credits, m.tokens::numeric, m.users, m.rating, m.last_run
FROM measured AS m JOIN analytics.workspaces AS w USING (workspace_id);
SELECT count(*) AS answers, count(success_rate) AS rates, count(p95_runtime_seconds) AS percentiles FROM listed;
\pset expanded on
TABLE listed EXCEPT ALL TABLE listed_plainly;
TABLE listed_plainly EXCEPT ALL TABLE listed;
\pset expanded off

CREATE TEMPORARY VIEW performed AS
SELECT a.workspace_id, a.agent_id, t.timeframe, p.window_start, p.window_end, p.total_runs, p.successful_runs, p.failed_runs, p.timeout_runs,
       p.cancelled_runs, p.running_runs, p.queued_runs, p.success_rate, p.avg_runtime_seconds, p.p50_runtime_seconds,
       p.p75_runtime_seconds, p.p90_runtime_seconds, p.p95_runtime_seconds, p.p99_runtime_seconds, p.min_runtime_seconds,
       p.max_runtime_seconds, round(p.stddev_runtime_seconds::numeric, 9) AS stddev_runtime_seconds, p.throughput_per_hour, p.credits_consumed, p.tokens_used,
       p.unique_users, p.avg_rating
FROM analytics.agents AS a, unnest(ARRAY['24h', '7d', '30d', '90d', 'all']) AS t (timeframe),
     analytics.agent_performance(a.workspace_id, a.agent_id, t.timeframe) AS p;
CREATE TEMPORARY VIEW performed_plainly (
    workspace_id, agent_id, timeframe, window_start, window_end, total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs,
    running_runs, queued_runs, success_rate, avg_runtime_seconds, p50_runtime_seconds, p75_runtime_seconds, p90_runtime_seconds,
    p95_runtime_seconds, p99_runtime_seconds, min_runtime_seconds, max_runtime_seconds, stddev_runtime_seconds, throughput_per_hour,
    credits_consumed, tokens_used, unique_users, avg_rating) AS
SELECT workspace_id, agent_id, timeframe, nullif(window_start, '-infinity'), nullif(window_end, 'infinity'), total, coalesce(completed, 0), coalesce(failed, 0), coalesce(timeout, 0),
       coalesce(cancelled, 0), coalesce(running, 0), coalesce(queued, 0),
       completed::double precision / nullif(completed + failed + timeout + cancelled, 0), mean,
       regress.percentile(sorted, 0.5), regress.percentile(sorted, 0.75), regress.percentile(sorted, 0.9), regress.percentile(sorted, 0.95),
       regress.percentile(sorted, 0.99), sorted[1], sorted[cardinality(sorted)], round(deviation::numeric, 9),
       total / greatest(extract(epoch FROM least(window_end, now()) - first_run)::double precision / 3600, CASE WHEN total > 0 THEN 1 END),
       credits, tokens::numeric, users, rating
FROM measured;
SELECT count(*) AS answers, count(throughput_per_hour) AS rates, count(p99_runtime_seconds) AS percentiles FROM performed;
\pset expanded on
TABLE performed EXCEPT ALL TABLE performed_plainly;
TABLE performed_plainly EXCEPT ALL TABLE performed;

-- The answers do not depend on the time zone of the session.
CREATE TEMPORARY TABLE listed_in_utc AS TABLE listed;
SET LOCAL timezone = 'Asia/Kolkata';
TABLE listed EXCEPT ALL TABLE listed_in_utc;
SET LOCAL timezone = 'UTC';
\pset expanded off

-- Busiest first, then by name.
SELECT array_agg(name ORDER BY n) = array_agg(name ORDER BY total_runs DESC, name) AS busiest_first
FROM analytics.list_agents(:'acme', 'all') WITH ORDINALITY AS l
    (agent_id, name, agent_type, lifecycle_state, discovered, total_runs, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20, c21, c22, n);

-- The flat view: one row per run, with names, and with those runs whose agent has gone.
DELETE FROM analytics.agents WHERE workspace_id = :'acme' AND name = 'Once';
SELECT (SELECT count(*) FROM analytics.agent_run_details) = (SELECT count(*) FROM analytics.agent_runs) AS as_many;
SELECT workspace_name, agent_name, count(*) AS runs, sum(tokens_used) AS tokens
FROM analytics.agent_run_details WHERE workspace_id = :'acme' GROUP BY 1, 2 ORDER BY 2;

-- They read in parallel plans too, also where the statement as a whole writes. (The setting has two names.)
SELECT set_config(name, 'on', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT count(*) AS agents, sum(total_runs) AS runs FROM analytics.list_agents(:'acme', 'all');
SELECT total_runs FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Ten'), 'all');
SELECT analytics.schema_version() > 0 AS is_set_up;
CREATE TEMPORARY TABLE listed_in_parallel AS
SELECT w.name AS workspace, l.* FROM analytics.workspaces AS w CROSS JOIN LATERAL analytics.list_agents(w.workspace_id, 'all') AS l;
SELECT count(*) AS agents, sum(total_runs) AS runs FROM listed_in_parallel;
SELECT set_config(name, 'off', true) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- Reading needs no right to write.
SET TRANSACTION READ ONLY;
SELECT count(*) FROM analytics.list_agents(:'acme', 'all');
SELECT total_runs FROM analytics.agent_performance(:'acme', analytics.agent_id(:'acme', 'Ten'), 'all');
ROLLBACK;

-- Nor does it take a transaction id, which would cost every reader something and is not to be had on a standby.
\c -
BEGIN;
SELECT count(*) AS agents FROM analytics.list_agents(:'acme', 'all');
SELECT total_runs > 0 AS has_runs FROM analytics.agent_performance(:'acme', :'bot', 'all');
SELECT analytics.schema_version() > 0 AS is_set_up, pg_current_xact_id_if_assigned() IS NULL AS only_read;
COMMIT;

-- Bad input.
CALL regress.watch();
SELECT * FROM analytics.list_agents(:'nobody'); :refused
SELECT * FROM analytics.list_agents(NULL); :refused
SELECT * FROM analytics.list_agents(:'acme', '1y'); :refused
SELECT * FROM analytics.list_agents(:'acme', NULL); :refused
SELECT * FROM analytics.agent_performance(:'nobody', :'bot'); :refused
SELECT * FROM analytics.agent_performance(NULL, :'bot'); :refused
SELECT * FROM analytics.agent_performance(:'acme', NULL); :refused
SELECT * FROM analytics.agent_performance(:'acme', 'c0000000-0000-4000-8000-0000000000ff'); :refused
-- Blue has no agent of this id, Acme has.
SELECT * FROM analytics.agent_performance(:'blue', :'bot'); :refused
SELECT * FROM analytics.agent_performance(:'acme', :'bot', 'forever'); :refused
SELECT * FROM analytics.agent_performance(:'acme', :'bot', ''); :refused

DELETE FROM analytics.workspaces;
