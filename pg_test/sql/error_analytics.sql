-- Errors: what they have in common, what is new, and how much of a budget they take.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
\set other  'c0000000-0000-4000-8000-000000000002'
INSERT INTO analytics.workspaces (workspace_id, name, time_zone) VALUES (:'acme', 'Acme', 'Europe/Berlin');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Bot'), (:'acme', :'other', 'Other');

------------------------------------------------------------------------------------------------------------------------
-- Patterns of messages
------------------------------------------------------------------------------------------------------------------------
SELECT m, analytics.message_pattern(m) AS pattern
FROM unnest(ARRAY['', 'Timeout after 30 s', 'no answer from 10.0.0.7:443', 'run 0b9b4ce2-26a5-4a66-bc3f-8d0d4a1c2f3e',
                  'mail to ann@example.com', 'at 0xDEADBEEF', 'gpt-4 on 2026-04-01T12:30:05Z']) AS m;
SELECT analytics.message_pattern(NULL) IS NULL AS no_message;

INSERT INTO analytics.agent_errors (workspace_id, error_id, agent_id, error_type, error_category, error_severity, error_message, auto_recovered,
                                    recovery_time_seconds, occurred_at) VALUES
    (:'acme', 'e0000000-0000-4000-8000-000000000001', :'bot',   'TimeoutError', 'timeout', 'low',      'no answer after 30 s', true,  2,    '2026-01-02 10:00'),
    (:'acme', 'e0000000-0000-4000-8000-000000000002', :'bot',   'TimeoutError', 'timeout', 'high',     'No answer after 3 s',  false, NULL, '2026-01-08 10:00'),
    (:'acme', 'e0000000-0000-4000-8000-000000000003', :'other', 'TimeoutError', 'timeout', 'medium',   'no answer after 4 s',  true,  4,    '2026-01-09 23:30'),
    (:'acme', 'e0000000-0000-4000-8000-000000000004', :'bot',   'KeyError',     'unknown', 'critical', NULL,                   false, NULL, '2026-01-09 10:00');
SELECT error_id, error_fingerprint FROM analytics.agent_errors ORDER BY error_id;
SELECT error_category, error_severity, total_errors, error_share, recovery_rate, avg_recovery_seconds, affected_agents
FROM analytics.error_summary(:'acme', timeframe => 'all');
SELECT error_type, error_severity, message_pattern, total_errors, first_seen_at, last_seen_at, trend, trend_ratio, recovery_rate,
       avg_recovery_seconds, affected_agents, example_message, suggested_fix
FROM analytics.error_patterns(:'acme', from_time => '2026-01-01', to_time => '2026-01-11');
SELECT error_type, total_errors, first_seen_at FROM analytics.error_patterns(:'acme', :'other', from_time => '2026-01-01', to_time => '2026-01-11');
SELECT * FROM analytics.error_timeline(:'acme', from_time => '2026-01-08', to_time => '2026-01-11');
SELECT agent_name, error_message, similar_errors, first_seen_at, last_seen_at FROM analytics.get_error(:'acme', 'e0000000-0000-4000-8000-000000000002');
SELECT kind, error_type, total_errors, appeared_at, previous_seen_at FROM analytics.new_errors(:'acme', '2026-01-08', quiet_period => '5 days');
SELECT kind, error_type FROM analytics.new_errors(:'acme', '2026-01-08', quiet_period => '10 days');

------------------------------------------------------------------------------------------------------------------------
-- Budgets
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, started_at)
SELECT :'acme', :'bot', CASE WHEN n % 20 = 0 THEN 'failed' ELSE 'completed' END, 1, timestamptz '2026-01-10 23:00' - n * interval '1 hour'
FROM generate_series(0, 199) AS n;
SELECT * FROM analytics.error_budget(:'acme', :'bot', 0.9, from_time => '2026-01-01', to_time => '2026-01-11');
SELECT budget_remaining, exhausted_in_hours FROM analytics.error_budget(:'acme', NULL, 0.99, from_time => '2026-01-01', to_time => '2026-01-11');
SELECT * FROM analytics.error_budget(:'acme', :'other', from_time => '2026-01-01', to_time => '2026-01-11');

-- Bad input.
CALL regress.watch();
SELECT * FROM analytics.error_summary(:'nobody'); :refused
SELECT * FROM analytics.error_summary(:'acme', :'nobody'); :refused
SELECT * FROM analytics.error_patterns(:'acme', timeframe => 'ever'); :refused
SELECT * FROM analytics.error_patterns(:'acme', max_rows => 0); :refused
SELECT * FROM analytics.error_timeline(:'acme', bucket => 'year'); :refused
SELECT * FROM analytics.error_timeline(:'acme', time_zone => 'Mars'); :refused
SELECT * FROM analytics.get_error(:'acme', :'nobody'); :refused
SELECT * FROM analytics.get_error(:'acme', NULL); :refused
SELECT * FROM analytics.new_errors(:'acme', NULL); :refused
SELECT * FROM analytics.new_errors(:'acme', '2026-01-01', quiet_period => '-1 day'); :refused
SELECT * FROM analytics.error_budget(:'acme', target_success_rate => 1); :refused
SELECT * FROM analytics.error_budget(:'acme', target_success_rate => NULL); :refused
UPDATE analytics.agent_errors SET error_fingerprint = 'x'; :refused

DELETE FROM analytics.workspaces;
