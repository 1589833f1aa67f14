-- Leaderboards as a user types them: ties, evidence, neighbours, explanations, kept boards, and what is refused.
-- Everything else is in tests/test_leaderboards.py: windows, random data against plain SQL, tenants.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -

INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('00000000-0000-4000-8000-00000000bb01', 'Boards');
\set ws '\'00000000-0000-4000-8000-00000000bb01\''
INSERT INTO analytics.agents (workspace_id, agent_id, name)
SELECT :ws, ('00000000-0000-4000-8000-0000000000a' || n)::uuid, name
FROM unnest(ARRAY['steady', 'twin', 'lucky', 'poor']) WITH ORDINALITY AS a (name, n);
-- Two with 8 of 10, one with 1 of 1, one with 0 of 10; the twins differ in time and money.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, user_id, status, started_at, runtime_seconds, credits_consumed)
SELECT :ws, ('00000000-0000-4000-8000-0000000000a' || a.n)::uuid, ('00000000-0000-4000-8000-0000000000c' || 1 + g % a.n)::uuid,
       CASE WHEN g <= a.good THEN 'completed' ELSE 'failed' END, '2026-01-01 00:00+00'::timestamptz + g * interval '1 day', a.n, a.n
FROM (VALUES (1, 10, 8), (2, 10, 8), (3, 1, 1), (4, 10, 0)) AS a (n, runs, good)
CROSS JOIN LATERAL generate_series(1, a.runs) AS g;

SELECT rank, agent_name, round(score::numeric, 6) AS score, success_rate, round(percentile::numeric, 2) AS percentile, badge, board_size
FROM analytics.rank_agents(:ws, 'all');
SELECT rank, agent_name FROM analytics.rank_agents(:ws, 'all', ranking => 'dense');
SELECT rank, agent_name FROM analytics.rank_agents(:ws, 'all', ranking => 'ordinal');
SELECT rank, agent_name FROM analytics.rank_agents(:ws, 'all', minimum_runs => 5);
SELECT rank, agent_name FROM analytics.rank_agents(:ws, 'all', 'runs') WHERE agent_name = 'lucky';
SELECT rank, agent_name, round(score::numeric, 6) AS score FROM analytics.rank_agents(:ws, 'all', 'speed');
SELECT rank, agent_name, round(score::numeric, 6) AS score FROM analytics.rank_agents(:ws, 'all', 'efficiency');
SELECT rank, agent_name, unique_users, badge FROM analytics.rank_agents(:ws, 'all', 'popularity');
SELECT count(*) FROM analytics.rank_agents(:ws, '24h');
SELECT rank, right(user_id::text, 2) AS user, score, total_runs FROM analytics.rank_users(:ws, 'all');
SELECT rank, right(user_id::text, 2) AS user, round(score::numeric, 6) AS score FROM analytics.rank_users(:ws, 'all', 'contribution');
SELECT rank, right(user_id::text, 2) AS user, score, credits_consumed FROM analytics.rank_users(:ws, 'all', 'savings');
SELECT rank, score, total_runs FROM analytics.my_rank(:ws, 'all', user_id => '00000000-0000-4000-8000-0000000000c2');

SELECT rank, is_asked, entity_name, award
FROM analytics.leaderboard_around(:ws, '00000000-0000-4000-8000-0000000000a3', 'all', neighbours => 1);
SELECT step, term, round(value::numeric, 6) AS value, meaning
FROM analytics.explain_score(:ws, '00000000-0000-4000-8000-0000000000a1', 'all', 'speed');
SELECT count(*) FROM analytics.explain_score(:ws, '00000000-0000-4000-8000-0000000000a1', '24h');

-- What is kept.
CALL analytics.refresh_all(materialized_views => false);
SELECT bool_and(status = 'refreshed') AS refreshed FROM analytics.refresh_leaderboards();
SELECT board, status, workspace_count, changed_count FROM analytics.refresh_leaderboards();
SELECT timeframe, criteria, rank, previous_rank, rank_change, right(agent_id::text, 2) AS agent, badge
FROM analytics.agent_leaderboard WHERE workspace_id = :ws AND criteria IN ('runs', 'success_rate') ORDER BY 1, 2, 3, 6;
-- The lucky one has more luck.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)
SELECT :ws, '00000000-0000-4000-8000-0000000000a3', 'completed', '2026-01-20', 1 FROM generate_series(1, 20);
SELECT status, workspace_count FROM analytics.refresh_leaderboards();
SELECT rank, previous_rank, rank_change, right(agent_id::text, 2) AS agent
FROM analytics.agent_leaderboard WHERE workspace_id = :ws AND timeframe = 'all' AND criteria = 'success_rate' ORDER BY 1, 4;
SELECT right(user_id::text, 2) AS user, achievement, achieved_on FROM analytics.user_achievements
WHERE workspace_id = :ws AND achievement <> 'first_run' ORDER BY 1, 2;
SELECT rank, board_size FROM analytics.rank_history(:ws, '00000000-0000-4000-8000-0000000000a3', 'all');
SELECT analytics.rank_sparkline(:ws, '00000000-0000-4000-8000-0000000000a3', 'all');

-- Any scores.
SELECT board, right(entity_id::text, 1) AS entity, score, rank, percentile, board_size
FROM analytics.rank_scores('{b,a,b,a,a,a}', (SELECT array_agg(('00000000-0000-4000-8000-00000000000' || n)::uuid ORDER BY n) FROM generate_series(1, 6) AS n),
                           '{1,-0,2,0,NULL,-1}');
SELECT analytics.wilson_lower_bound(0, 0) AS nothing, round(analytics.wilson_lower_bound(8, 10)::numeric, 6) AS some,
       analytics.wilson_lower_bound(NULL, 1) AS unknown;

-- Arguments
CALL regress.watch();
SELECT * FROM analytics.rank_agents(:ws, '1d'); :refused
SELECT * FROM analytics.rank_agents(:ws, '7d', 'activity'); :refused
SELECT * FROM analytics.rank_users(:ws, '7d', 'speed'); :refused
SELECT * FROM analytics.rank_workspaces(:ws, '7d', 'savings'); :refused
SELECT * FROM analytics.rank_agents(:ws, ranking => 'golf'); :refused
SELECT * FROM analytics.rank_agents(:ws, minimum_runs => -1); :refused
SELECT * FROM analytics.leaderboard_around(:ws, :ws); :refused
SELECT * FROM analytics.leaderboard_around(:ws, :ws, board => 'team'); :refused
SELECT * FROM analytics.my_rank(:ws); :refused
SELECT * FROM analytics.rank_scores('{a}', '{}', '{1}'); :refused
SELECT * FROM analytics.rank_scores('{a}', ARRAY[:ws::uuid], '{Infinity}'); :refused
SELECT analytics.wilson_lower_bound(2, 1); :refused
SELECT * FROM analytics.refresh_leaderboards(0); :refused
SELECT analytics.set_leaderboard_options(:ws, -1); :refused
INSERT INTO analytics_internal.achievement_rules VALUES ('x', 'X', 'x', 'runs', 0); :refused
INSERT INTO analytics_internal.achievement_rules VALUES ('x', 'X', 'x', 'luck', 1); :refused
