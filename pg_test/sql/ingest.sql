-- Writing: the functions for applications, plain INSERT, and COPY.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set blue   'a0000000-0000-4000-8000-000000000002'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
\set run    'b0000000-0000-4000-8000-000000000001'
\set other  'b0000000-0000-4000-8000-000000000002'
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme'), (:'blue', 'Blue');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Bot');
-- The rows of this file are of 2026.
SELECT count(*) > 0 AS months FROM analytics.ensure_partitions(since => '2026-01-01');

------------------------------------------------------------------------------------------------------------------------
-- start_run() and finish_run()
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.start_run(:'acme', :'bot', :'run', '2026-01-05 10:00:00', user_id => 'd0000000-0000-4000-8000-000000000001',
    session_id => 'chat 7', agent_version => '1.4.0', trigger_source => 'user', model_name => 'opus', model_provider => 'anthropic',
    concurrent_runs => 2, metadata => '{"region": "eu"}');
SELECT status, started_at, completed_at, runtime_seconds, credits_consumed, tokens_used, session_id, agent_version, trigger_source,
       model_name, model_provider, concurrent_runs, metadata
FROM analytics.agent_runs WHERE (workspace_id, run_id) = (:'acme', :'run') \gx
-- Repeated, with or without its start, it changes nothing.
CALL regress.watch();
SELECT analytics.start_run(:'acme', :'bot', :'run', '2026-01-05 10:00:00');
SELECT analytics.start_run(:'acme', :'bot', :'run', '2026-01-05 10:00:00', 'queued', session_id => 'chat 8');
SELECT analytics.start_run(:'acme', :'bot', :'run');
CALL regress.nothing_changed();

SELECT analytics.finish_run(:'acme', :'run', completed_at => '2026-01-05 10:00:02.5', credits_consumed => 0.0125,
    prompt_tokens => 1200, completion_tokens => 300);
SELECT status, completed_at, runtime_seconds, credits_consumed, tokens_used, prompt_tokens, completion_tokens, model_name, error_type
FROM analytics.agent_runs WHERE (workspace_id, run_id) = (:'acme', :'run') \gx
-- It ends once; and a late start does not make it live again.
CALL regress.watch();
SELECT analytics.finish_run(:'acme', :'run', completed_at => '2026-01-05 10:00:02.5');
SELECT analytics.finish_run(:'acme', :'run', 'failed', error_type => 'TimeoutError');
SELECT analytics.start_run(:'acme', :'bot', :'run');
CALL regress.nothing_changed();

-- Another start is another run.
BEGIN;
SELECT analytics.start_run(:'acme', :'bot', :'run', '2026-01-05 10:00:01');
SELECT count(*) AS runs FROM analytics.agent_runs WHERE (workspace_id, run_id) = (:'acme', :'run');
ROLLBACK;
-- A run of its own id, which started now; queued before it runs; and the ends other than success.
SELECT analytics.start_run(:'acme', :'bot') AS new_run \gset
SELECT status, started_at > now() - interval '1 minute' AS started_now, metadata FROM analytics.agent_runs WHERE run_id = :'new_run';
SELECT analytics.finish_run(:'acme', :'new_run', 'timeout', error_type => 'TimeoutError', error_message => 'took too long', error_stack => 'at line 1');
SELECT status, completed_at >= started_at AS in_order, runtime_seconds >= 0 AS measured, error_type, error_message, error_stack, tokens_used
FROM analytics.agent_runs WHERE run_id = :'new_run';
SELECT analytics.start_run(:'acme', :'bot', :'other', '2026-01-05 11:00', 'queued', parent_run_id => :'run');
SELECT analytics.finish_run(:'acme', :'other', 'cancelled', '2026-01-05 11:00', runtime_seconds => 0, model_name => 'haiku', model_provider => 'anthropic', tokens_used => 7);
SELECT status, runtime_seconds, parent_run_id, model_name, tokens_used FROM analytics.agent_runs WHERE run_id = :'other';
-- What start_run() said stays where finish_run() says nothing.
SELECT analytics.start_run(:'acme', :'bot', 'b0000000-0000-4000-8000-000000000003', '2026-01-05 12:00', model_name => 'opus');
SELECT analytics.finish_run(:'acme', 'b0000000-0000-4000-8000-000000000003', 'failed', '2026-01-05 12:01', prompt_tokens => 5);
SELECT status, runtime_seconds, model_name, tokens_used, prompt_tokens, credits_consumed FROM analytics.agent_runs WHERE run_id = 'b0000000-0000-4000-8000-000000000003';
-- The same id in another workspace is another run, of an agent that is new there.
SELECT analytics.start_run(:'blue', :'bot', :'run', '2026-01-05 10:00:00');
SELECT w.name AS workspace, r.status, a.discovered
FROM analytics.agent_runs AS r JOIN analytics.workspaces AS w USING (workspace_id) JOIN analytics.agents AS a USING (workspace_id, agent_id)
WHERE r.run_id = :'run' ORDER BY 1;

------------------------------------------------------------------------------------------------------------------------
-- record_error() and record_feedback()
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', 'no answer after 30 s', 'timeout', 'high', :'run',
    'e0000000-0000-4000-8000-000000000001', '2026-01-05 10:00:02', error_context => '{"tool": "search"}', auto_recovered => true,
    recovery_attempts => 2, recovery_time_seconds => 0.5, affected_users => 1, business_impact => 'low');
SELECT agent_run_id = :'run' AS of_the_run, run_started_at, error_type, error_category, error_severity, error_message, error_context,
       auto_recovered, recovery_attempts, recovery_time_seconds, affected_users, business_impact, occurred_at
FROM analytics.agent_errors WHERE error_id = 'e0000000-0000-4000-8000-000000000001' \gx
CALL regress.watch();
SELECT analytics.record_error(:'acme', :'bot', 'Other', error_id => 'e0000000-0000-4000-8000-000000000001');
CALL regress.nothing_changed();
-- Outside of a run, with all the defaults.
SELECT analytics.record_error(:'acme', :'bot', 'OutOfMemory') AS new_error \gset
SELECT agent_run_id, run_started_at, error_category, error_severity, error_context, auto_recovered, recovery_attempts, affected_users,
       business_impact, occurred_at <= now() AS occurred
FROM analytics.agent_errors WHERE error_id = :'new_error' \gx

SELECT analytics.record_feedback(:'acme', :'bot', 5, 'quick!', 'speed', :'run', 'd0000000-0000-4000-8000-000000000001',
    'f0000000-0000-4000-8000-000000000001', 'positive', 0.9, '2026-01-05 10:05');
SELECT agent_run_id = :'run' AS of_the_run, run_started_at, rating, comment, feedback_category, sentiment, sentiment_score, created_at
FROM analytics.agent_user_feedback WHERE feedback_id = 'f0000000-0000-4000-8000-000000000001' \gx
CALL regress.watch();
SELECT analytics.record_feedback(:'acme', :'bot', 1, feedback_id => 'f0000000-0000-4000-8000-000000000001');
CALL regress.nothing_changed();
SELECT analytics.record_feedback(:'acme', :'bot', 1) AS new_feedback \gset
SELECT agent_run_id, run_started_at, rating, feedback_category, sentiment, sentiment_score, created_at <= now() AS created
FROM analytics.agent_user_feedback WHERE feedback_id = :'new_feedback' \gx

-- Where a run id was used twice, the error belongs to the latest.
BEGIN;
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at) VALUES (:'acme', :'run', :'bot', 'running', '2026-01-06 10:00');
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', agent_run_id => :'run') AS new_error \gset
SELECT run_started_at FROM analytics.agent_errors WHERE error_id = :'new_error';
ROLLBACK;
-- A run goes with its errors and its feedback.
BEGIN;
DELETE FROM analytics.agent_runs WHERE run_id = :'run';
SELECT (SELECT count(*) FROM analytics.agent_errors) AS errors, (SELECT count(*) FROM analytics.agent_user_feedback) AS feedback;
ROLLBACK;

------------------------------------------------------------------------------------------------------------------------
-- INSERT and COPY
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds, credits_consumed, tokens_used, user_rating)
VALUES (:'acme', 'b0000000-0000-4000-8000-000000000011', :'bot', 'completed', '2026-01-05 13:00', '2026-01-05 13:00', 0, 0, 0, 1),
       (:'acme', 'b0000000-0000-4000-8000-000000000012', :'bot', 'completed', '2026-01-05 13:00', '2026-01-05 13:00:01', 1e15, 1e30, 9223372036854775807, 5),
       (:'acme', 'b0000000-0000-4000-8000-000000000013', :'bot', 'failed', '2026-01-05 13:00', NULL, NULL, 0.000000000000000001, NULL, NULL);
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at) VALUES
    (:'acme', 'b0000000-0000-4000-8000-000000000011', :'bot', 'running', '2026-01-05 13:00'),
    (:'acme', 'b0000000-0000-4000-8000-000000000012', :'bot', 'running', '2026-01-05 13:00')
ON CONFLICT DO NOTHING;
CALL regress.nothing_changed();
-- A correction is an UPDATE; the start of a run may change too, across months, and its errors do not follow it.
UPDATE analytics.agent_runs SET runtime_seconds = 2, credits_consumed = 1.5 WHERE run_id = 'b0000000-0000-4000-8000-000000000012'
RETURNING runtime_seconds, credits_consumed;
UPDATE analytics.agent_runs SET started_at = '2020-02-29 13:00', completed_at = NULL WHERE run_id = 'b0000000-0000-4000-8000-000000000012'
RETURNING started_at;
CALL regress.watch();
\set VERBOSITY sqlstate
UPDATE analytics.agent_runs SET started_at = '2026-01-05 09:00' WHERE (workspace_id, run_id) = (:'acme', :'run'); :refused
\set VERBOSITY default

COPY analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds, tokens_used) FROM stdin (FORMAT csv, HEADER);
workspace_id,run_id,agent_id,status,started_at,completed_at,runtime_seconds,tokens_used
a0000000-0000-4000-8000-000000000001,b0000000-0000-4000-8000-000000000021,c0000000-0000-4000-8000-000000000001,completed,2026-01-05T14:00:00Z,2026-01-05T14:00:02Z,2,
a0000000-0000-4000-8000-000000000001,b0000000-0000-4000-8000-000000000022,c0000000-0000-4000-8000-000000000002,timeout,2026-01-05T15:30:00+01:00,,,100
\.
SELECT run_id, agent_id, status, started_at, runtime_seconds, tokens_used FROM analytics.agent_runs
WHERE run_id IN ('b0000000-0000-4000-8000-000000000021', 'b0000000-0000-4000-8000-000000000022') ORDER BY run_id;
COPY analytics.agent_errors (workspace_id, agent_id, agent_run_id, error_type, occurred_at) FROM stdin;
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-000000000002	b0000000-0000-4000-8000-000000000022	TimeoutError	2026-01-05 14:31+00
\.
SELECT run_started_at FROM analytics.agent_errors WHERE agent_run_id = 'b0000000-0000-4000-8000-000000000022';

------------------------------------------------------------------------------------------------------------------------
-- Bad input: runs
------------------------------------------------------------------------------------------------------------------------
-- (:insert is the beginning of a statement: the columns that are always there.)
CALL regress.watch();
\set insert 'INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at'
:insert) VALUES (:'nobody', :'bot', 'running', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', 'done', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', '', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', 'COMPLETED', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', 'running', 'infinity'); :refused
:insert) VALUES (:'acme', :'bot', 'running', '-infinity'); :refused
:insert, completed_at) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', '2026-01-05 09:59:59.999999'); :refused
:insert, completed_at) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', 'infinity'); :refused
:insert, runtime_seconds) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', -0.001); :refused
:insert, runtime_seconds) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', 'NaN'); :refused
:insert, runtime_seconds) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', 'Infinity'); :refused
:insert, runtime_seconds) VALUES (:'acme', :'bot', 'failed', '2026-01-05 10:00', '-Infinity'); :refused
:insert) VALUES (:'acme', :'bot', 'completed', '2026-01-05 10:00'); :refused
:insert, credits_consumed) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', -0.01); :refused
:insert, credits_consumed) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 'NaN'); :refused
:insert, credits_consumed) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 'Infinity'); :refused
:insert, tokens_used) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', -1); :refused
:insert, prompt_tokens, completion_tokens) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', -1, 5); :refused
:insert, tokens_used, completion_tokens) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 5, -7); :refused
:insert, concurrent_runs) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', -1); :refused
:insert, user_rating) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 0); :refused
:insert, user_rating) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 6); :refused
:insert, run_id) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', 'not-a-uuid'); :refused
\set VERBOSITY terse
:insert) VALUES (NULL, :'bot', 'running', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', NULL, 'running', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', NULL, '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', :'bot', 'running', NULL); :refused
:insert, run_id) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', NULL); :refused
:insert, credits_consumed) VALUES (:'acme', :'bot', 'running', '2026-01-05 10:00', NULL); :refused
\set VERBOSITY default
-- One bad row takes the whole statement back, new agents included.
:insert) VALUES (:'acme', 'c0000000-0000-4000-8000-0000000000aa', 'running', '2026-01-05 10:00'), (:'acme', :'bot', 'done', '2026-01-05 10:00'); :refused
:insert) VALUES (:'acme', 'c0000000-0000-4000-8000-0000000000aa', 'running', '2026-01-05 10:00'), (:'nobody', :'bot', 'running', '2026-01-05 10:00'); :refused
COPY analytics.agent_runs (workspace_id, agent_id, status, started_at) FROM stdin;
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-0000000000aa	running	2026-01-05 10:00+00
a0000000-0000-4000-8000-0000000000ff	c0000000-0000-4000-8000-000000000001	running	2026-01-05 10:00+00
\.
CALL regress.nothing_changed();
COPY analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds) FROM stdin;
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-0000000000aa	running	2026-01-05 10:00+00	\N
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-000000000001	failed	2026-01-05 10:00+00	-1
\.
CALL regress.nothing_changed();
-- An UPDATE is checked like an INSERT.
UPDATE analytics.agent_runs SET status = 'done' WHERE workspace_id = :'acme'; :refused
UPDATE analytics.agent_runs SET user_rating = 6 WHERE workspace_id = :'acme'; :refused
UPDATE analytics.agent_runs SET status = 'completed', runtime_seconds = NULL WHERE workspace_id = :'acme'; :refused
UPDATE analytics.agent_runs SET workspace_id = :'nobody' WHERE run_id = :'other'; :refused

------------------------------------------------------------------------------------------------------------------------
-- Bad input: errors and feedback
------------------------------------------------------------------------------------------------------------------------
\set insert 'INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type'
:insert) VALUES (:'nobody', :'bot', 'TimeoutError'); :refused
:insert, error_category) VALUES (:'acme', :'bot', 'TimeoutError', 'disk'); :refused
:insert, error_severity) VALUES (:'acme', :'bot', 'TimeoutError', 'fatal'); :refused
:insert, business_impact) VALUES (:'acme', :'bot', 'TimeoutError', 'critical'); :refused
:insert, recovery_attempts) VALUES (:'acme', :'bot', 'TimeoutError', -1); :refused
:insert, affected_users) VALUES (:'acme', :'bot', 'TimeoutError', -1); :refused
:insert, recovery_time_seconds) VALUES (:'acme', :'bot', 'TimeoutError', -1); :refused
:insert, recovery_time_seconds) VALUES (:'acme', :'bot', 'TimeoutError', 'NaN'); :refused
:insert, recovery_time_seconds) VALUES (:'acme', :'bot', 'TimeoutError', 'Infinity'); :refused
:insert, occurred_at) VALUES (:'acme', :'bot', 'TimeoutError', 'infinity'); :refused
-- A run that does not exist, that belongs to another workspace, or that is named by half.
:insert, agent_run_id) VALUES (:'acme', :'bot', 'TimeoutError', 'b0000000-0000-4000-8000-0000000000ff'); :refused
:insert, agent_run_id) VALUES (:'blue', :'bot', 'TimeoutError', :'other'); :refused
:insert, run_started_at) VALUES (:'acme', :'bot', 'TimeoutError', '2026-01-05 10:00'); :refused
:insert, agent_run_id, run_started_at) VALUES (:'acme', :'bot', 'TimeoutError', :'run', '2026-01-05 10:01'); :refused
UPDATE analytics.agent_errors SET agent_run_id = NULL WHERE agent_run_id = :'run'; :refused
\set VERBOSITY terse
:insert) VALUES (:'acme', :'bot', NULL); :refused
:insert) VALUES (:'acme', NULL, 'TimeoutError'); :refused
:insert) VALUES (NULL, :'bot', 'TimeoutError'); :refused
\set VERBOSITY default
\set insert 'INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating'
:insert) VALUES (:'nobody', :'bot', 5); :refused
:insert) VALUES (:'acme', :'bot', 0); :refused
:insert) VALUES (:'acme', :'bot', 6); :refused
:insert) VALUES (:'acme', :'bot', -1); :refused
:insert, feedback_category) VALUES (:'acme', :'bot', 5, 'price'); :refused
:insert, sentiment) VALUES (:'acme', :'bot', 5, 'happy'); :refused
:insert, sentiment_score) VALUES (:'acme', :'bot', 5, 1.01); :refused
:insert, sentiment_score) VALUES (:'acme', :'bot', 5, -1.01); :refused
:insert, sentiment_score) VALUES (:'acme', :'bot', 5, 'NaN'); :refused
:insert, created_at) VALUES (:'acme', :'bot', 5, '-infinity'); :refused
:insert, agent_run_id) VALUES (:'acme', :'bot', 5, 'b0000000-0000-4000-8000-0000000000ff'); :refused
:insert, run_started_at) VALUES (:'acme', :'bot', 5, '2026-01-05 10:00'); :refused
\set VERBOSITY terse
:insert) VALUES (:'acme', :'bot', NULL); :refused
\set VERBOSITY default

------------------------------------------------------------------------------------------------------------------------
-- Bad input: the functions
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.start_run(:'nobody', :'bot'); :refused
SELECT analytics.start_run(NULL, :'bot'); :refused
SELECT analytics.start_run(:'acme', :'bot', status => 'completed'); :refused
SELECT analytics.start_run(:'acme', :'bot', status => NULL); :refused
SELECT analytics.start_run(:'acme', :'bot', started_at => 'infinity'); :refused
SELECT analytics.start_run(:'acme', :'bot', concurrent_runs => -1); :refused
SELECT analytics.finish_run(:'nobody', :'run'); :refused
SELECT analytics.finish_run(NULL, :'run'); :refused
SELECT analytics.finish_run(:'acme', 'b0000000-0000-4000-8000-0000000000ff'); :refused
SELECT analytics.finish_run(:'acme', NULL); :refused
-- The run of another workspace is not there.
SELECT analytics.finish_run(:'blue', :'other'); :refused
SELECT analytics.finish_run(:'blue', :'run', 'running'); :refused
SELECT analytics.finish_run(:'blue', :'run', NULL); :refused
SELECT analytics.finish_run(:'blue', :'run', completed_at => '2026-01-05 09:59'); :refused
SELECT analytics.finish_run(:'blue', :'run', completed_at => 'infinity'); :refused
SELECT analytics.finish_run(:'blue', :'run', runtime_seconds => -1); :refused
SELECT analytics.finish_run(:'blue', :'run', runtime_seconds => 'NaN'); :refused
SELECT analytics.finish_run(:'blue', :'run', credits_consumed => -1); :refused
SELECT analytics.finish_run(:'blue', :'run', credits_consumed => 'NaN'); :refused
SELECT analytics.finish_run(:'blue', :'run', tokens_used => -1); :refused
SELECT analytics.record_error(:'nobody', :'bot', 'TimeoutError'); :refused
SELECT analytics.record_error(NULL, :'bot', 'TimeoutError'); :refused
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', error_category => 'disk'); :refused
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', error_severity => 'fatal'); :refused
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', agent_run_id => 'b0000000-0000-4000-8000-0000000000ff'); :refused
SELECT analytics.record_feedback(:'nobody', :'bot', 5); :refused
SELECT analytics.record_feedback(NULL, :'bot', 5); :refused
SELECT analytics.record_feedback(:'acme', :'bot', 0); :refused
SELECT analytics.record_feedback(:'acme', :'bot', 6); :refused
SELECT analytics.record_feedback(:'acme', :'bot', 2147483647); :refused
SELECT analytics.record_feedback(:'acme', :'bot', NULL); :refused
SELECT analytics.record_feedback(:'acme', :'bot', 5, feedback_category => 'price'); :refused
SELECT analytics.record_feedback(:'acme', :'bot', 5, agent_run_id => 'b0000000-0000-4000-8000-0000000000ff'); :refused
\set VERBOSITY terse
SELECT analytics.start_run(:'acme', NULL, started_at => '2026-01-05 10:00'); :refused
SELECT analytics.record_error(:'acme', NULL, 'TimeoutError'); :refused
SELECT analytics.record_error(:'acme', :'bot', NULL); :refused
SELECT analytics.record_feedback(:'acme', NULL, 5); :refused
\set VERBOSITY default
-- They write, and say so where they may not.
BEGIN READ ONLY;
SELECT analytics.start_run(:'acme', :'bot'); \echo :SQLSTATE
ROLLBACK;
CALL regress.nothing_changed();

DELETE FROM analytics.workspaces;
