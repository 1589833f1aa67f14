-- Comparison: tests from counts, means and sketches, and agents against others and against themselves.
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
-- The tests
------------------------------------------------------------------------------------------------------------------------
SELECT round(difference::numeric, 4) AS difference, round(difference_low::numeric, 4) AS low, round(difference_high::numeric, 4) AS high,
       round(statistic::numeric, 4) AS z, round(p_value::numeric, 6) AS p, round(effect_size::numeric, 4) AS h
FROM analytics.two_proportion_test(56, 70, 48, 80);
-- Student's sleep study.
SELECT round(difference::numeric, 4) AS difference, round(difference_low::numeric, 4) AS low, round(difference_high::numeric, 4) AS high,
       round(statistic::numeric, 4) AS t, round(p_value::numeric, 5) AS p, round(effect_size::numeric, 4) AS d
FROM analytics.welch_test(0.75, 1.7890100308, 10, 2.33, 2.0022487346, 10);
SELECT round(difference::numeric, 4) AS difference, round(p_value::numeric, 4) AS p, round(effect_size::numeric, 4) AS r
FROM analytics.mann_whitney_test((SELECT analytics.percentile_agg(x) FROM unnest(ARRAY[1, 2, 3, 4]) AS x),
                                 (SELECT analytics.percentile_agg(x) FROM unnest(ARRAY[3, 4, 5, 6, 7]) AS x));
-- Too little to say anything.
SELECT * FROM analytics.two_proportion_test(0, 0, 1, 2);
SELECT * FROM analytics.two_proportion_test(1, 2, NULL, 2);
SELECT * FROM analytics.welch_test(1, 0, 1, 1, 0, 1);
SELECT * FROM analytics.mann_whitney_test(NULL, (SELECT analytics.percentile_agg(1)));
-- Nothing varies.
SELECT p_value, effect_size FROM analytics.two_proportion_test(5, 5, 9, 9);
SELECT p_value, effect_size FROM analytics.welch_test(1, 0, 5, 1, 0, 9);
SELECT p_value, effect_size FROM analytics.mann_whitney_test((SELECT analytics.percentile_agg(1) FROM generate_series(1, 9)),
                                                             (SELECT analytics.percentile_agg(1) FROM generate_series(1, 9)));
CALL regress.watch();
SELECT * FROM analytics.two_proportion_test(3, 2, 1, 2); :refused
SELECT * FROM analytics.two_proportion_test(1, 2, -1, 2); :refused
SELECT * FROM analytics.welch_test(1, -1, 5, 1, 1, 5); :refused
SELECT * FROM analytics.welch_test(1, 1, 5, 1, 1, -5); :refused

------------------------------------------------------------------------------------------------------------------------
-- Agents
------------------------------------------------------------------------------------------------------------------------
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, credits_consumed, started_at)
SELECT :'acme', a.id, CASE WHEN n % 10 < a.failures THEN 'failed' ELSE 'completed' END, a.pace * n, 1, a.at
FROM (VALUES (:'bot'::uuid, 5, 2.0, timestamptz '2026-01-20 12:00'), (:'bot', 1, 1.0, '2026-01-10 12:00'), (:'other', 1, 1.0, '2026-01-20 12:00'))
    AS a (id, failures, pace, at), generate_series(1, 50) AS n;
SELECT metric, compared_with AS "with", value, reference, round(relative_difference::numeric, 3) AS relative, test, verdict, p_value < 0.001 AS clear,
       rank, ranked_agents AS "of", percentile
FROM analytics.agent_comparison(:'acme', :'bot', from_time => '2026-01-15', to_time => '2026-01-25');
-- all has no period before it; an agent without runs has nothing to compare.
SELECT count(*), bool_and(compared_with = 'workspace') AS with_others FROM analytics.agent_comparison(:'acme', :'bot', 'all');
SELECT count(*) FROM analytics.agent_comparison(:'acme', :'bot', from_time => '2025-01-01', to_time => '2025-01-02');
CALL regress.watch();
SELECT * FROM analytics.agent_comparison(:'acme', :'nobody'); :refused
SELECT * FROM analytics.agent_comparison(:'nobody', :'bot'); :refused
SELECT * FROM analytics.agent_comparison(:'acme', :'bot', '1h'); :refused
SELECT * FROM analytics.agent_comparison(:'acme', :'bot', from_time => '2026-01-02', to_time => '2026-01-02'); :refused

DELETE FROM analytics.workspaces;
