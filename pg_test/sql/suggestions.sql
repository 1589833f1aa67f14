-- Suggestions: rules, what they open and close, and what people decide.
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
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, credits_consumed, started_at)
SELECT :'acme', :'bot', CASE WHEN n % 4 = 0 THEN 'failed' ELSE 'completed' END, 1, 0.5, timestamptz '2026-01-10' + n * interval '1 hour'
FROM generate_series(1, 100) AS n;

SELECT opened_count, updated_count, closed_count, measured_count FROM analytics.refresh_suggestions(:'acme', '2026-01-20');
SELECT agent_name, suggestion_type, rule_name, title, description, estimated_impact, effort_level, priority, status, metric_value, threshold
FROM analytics.list_suggestions(:'acme');
SELECT opened_count, updated_count, closed_count, measured_count FROM analytics.refresh_suggestions(as_of => '2026-01-20');
-- Ninety days later nothing is left of it.
SELECT opened_count, updated_count, closed_count, measured_count FROM analytics.refresh_suggestions(as_of => '2026-04-20');
SELECT rule_name, status FROM analytics.list_suggestions(:'acme', status => NULL) ORDER BY 1;

SELECT opened_count FROM analytics.refresh_suggestions(as_of => '2026-01-20');
SELECT suggestion_id FROM analytics.list_suggestions(:'acme', :'bot') \gset
SELECT analytics.implement_suggestion(:'acme', :'suggestion_id', '2026-01-12 04:30');
SELECT status, baseline_metrics ->> 'total_runs' AS runs_before FROM analytics.agent_optimization_suggestions WHERE suggestion_id = :'suggestion_id';
SELECT opened_count, measured_count FROM analytics.refresh_suggestions(as_of => '2026-01-20');
SELECT post_implementation_metrics ->> 'total_runs' AS runs_after FROM analytics.agent_optimization_suggestions WHERE suggestion_id = :'suggestion_id';
SELECT metric, before_value, after_value, verdict FROM analytics.suggestion_effect(:'acme', :'suggestion_id', '2026-01-20')
WHERE metric IN ('total_runs', 'success_rate', 'credits_per_run');

-- Bad input.
CALL regress.watch();
\set VERBOSITY sqlstate
SELECT analytics.implement_suggestion(:'acme', :'suggestion_id'); :refused
\set VERBOSITY default
SELECT analytics.dismiss_suggestion(:'acme', :'nobody'); :refused
SELECT analytics.dismiss_suggestion(:'nobody', :'suggestion_id'); :refused
SELECT * FROM analytics.suggestion_effect(:'acme', :'nobody'); :refused
SELECT * FROM analytics.list_suggestions(:'acme', status => 'open'); :refused
SELECT * FROM analytics.list_suggestions(:'acme', :'nobody'); :refused
SELECT * FROM analytics.refresh_suggestions(:'nobody'); :refused
SELECT * FROM analytics.refresh_suggestions(as_of => NULL); :refused
UPDATE analytics.suggestion_rules SET metric = 'beauty' WHERE rule_name = 'low_ratings'; :refused
UPDATE analytics.suggestion_rules SET divided_by = 'beauty' WHERE rule_name = 'low_ratings'; :refused
UPDATE analytics.suggestion_rules SET operator = '=' WHERE rule_name = 'low_ratings'; :refused
UPDATE analytics.suggestion_rules SET guard_threshold = NULL WHERE rule_name = 'low_ratings'; :refused
UPDATE analytics.suggestion_rules SET threshold = 'NaN' WHERE rule_name = 'low_ratings'; :refused

DELETE FROM analytics.workspaces;
