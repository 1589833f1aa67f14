-- Agents: series, patterns, pages, resources, and the document about one agent.
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
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, user_id, status, runtime_seconds, credits_consumed, tokens_used, model_name, user_rating, started_at)
SELECT :'acme', ('d0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, :'bot', ('f0000000-0000-4000-8000-00000000000' || n % 3)::uuid,
       CASE n % 5 WHEN 0 THEN 'failed' ELSE 'completed' END, n, 0.25, 100, CASE n % 2 WHEN 0 THEN 'large' ELSE 'small' END,
       CASE n % 10 WHEN 0 THEN 4 END, timestamptz '2026-03-27 20:00' + n * interval '3 hours'
FROM generate_series(1, 20) AS n;

------------------------------------------------------------------------------------------------------------------------
-- Windows
------------------------------------------------------------------------------------------------------------------------
SELECT * FROM analytics_internal.resolve_window('7d', '2026-01-01', '2026-01-02 03:04:05');
SELECT * FROM analytics_internal.resolve_window('7d', NULL, '2026-01-08');
SELECT * FROM analytics_internal.resolve_window('all', NULL, '2026-01-08');
SELECT * FROM analytics_internal.resolve_window('all', NULL, NULL);
SELECT window_start, window_end = date_trunc('hour', now()) + interval '1 hour' AS ends_now FROM analytics_internal.resolve_window('all', '2026-01-01', NULL);
SELECT window_end - window_start AS length FROM analytics_internal.resolve_window('90d', NULL, NULL);

------------------------------------------------------------------------------------------------------------------------
-- Answers. On 29 March the clocks of Berlin go from 2 to 3.
------------------------------------------------------------------------------------------------------------------------
SELECT total_runs, success_rate, credits_per_run, credits_per_success, tokens_per_run, total_ratings, avg_rating, first_run_at, last_run_at
FROM analytics.agent_performance(:'acme', :'bot', from_time => '2026-03-28', to_time => '2026-03-30');
SELECT summary FROM analytics.agent_stats(:'acme', :'bot', 'all');
SELECT summary FROM analytics.agent_stats(:'acme', :'other', 'all');
SELECT bucket_start, total_runs, failed_runs, success_rate, avg_runtime_seconds, credits_consumed, unique_users
FROM analytics.agent_timeseries(:'acme', :'bot', from_time => '2026-03-27', to_time => '2026-04-02');
SELECT bucket_start, total_runs FROM analytics.agent_timeseries(:'acme', :'bot', 'all', 'day', 'Asia/Kolkata', '2026-03-28', '2026-03-30');
SELECT bucket_start, total_runs FROM analytics.agent_timeseries(:'acme', :'bot', 'all', 'hour', NULL, '2026-03-29 00:00', '2026-03-29 03:00');
SELECT bucket_start, total_runs FROM analytics.agent_timeseries(:'acme', :'bot', 'all', 'month', 'UTC', '2026-02-10', '2026-04-02');
SELECT count(*) AS buckets FROM analytics.agent_timeseries(:'acme', :'other', 'all');
SELECT count(*) AS hours, sum(total_runs) AS runs FROM analytics.agent_usage_pattern(:'acme', :'bot', 'all');
SELECT day_of_week, hour_of_day, total_runs FROM analytics.agent_usage_pattern(:'acme', :'bot', 'all') WHERE total_runs > 0 ORDER BY 1, 2 LIMIT 4;
SELECT * FROM analytics.agent_runtime_histogram(:'acme', :'bot', 'all', 4);
SELECT user_id, total_runs, successful_runs, success_rate, run_share FROM analytics.agent_top_users(:'acme', :'bot', 'all', 2);
SELECT run_id, status, started_at, model_name FROM analytics.agent_executions(:'acme', :'bot', 'all', status => 'failed', max_rows => 2);
SELECT run_id FROM analytics.agent_executions(:'acme', NULL, 'all', model_name => 'small', user_id => 'f0000000-0000-4000-8000-000000000001', max_rows => 2,
    after_started_at => '2026-03-30 05:00', after_run_id => 'd0000000-0000-4000-8000-000000000019');
SELECT * FROM analytics.agent_resources(:'acme', :'bot', 'all');
SELECT total_runs, credits_consumed, credits_per_run, credit_share FROM analytics.agent_resources(:'acme', :'other', 'all');
SELECT model_name, model_provider, total_calls, success_rate, credit_share, credits_per_success, agent_count FROM analytics.model_usage(:'acme', timeframe => 'all');
SELECT name, total_runs FROM analytics.list_agents(:'acme', 'all', 'name', max_rows => 1);
SELECT name, total_runs FROM analytics.list_agents(:'acme', 'all', 'name', max_rows => 1, after_agent_id => :'bot');
SELECT jsonb_pretty(analytics.agent_analytics(:'acme', :'bot', from_time => '2026-03-28', to_time => '2026-03-29')
                    - 'comparison' #- '{performance,throughput_per_hour}') AS document;
SELECT document -> 'performance' ->> 'total_runs' AS runs, document -> 'trend' AS trend, document -> 'comparison' AS comparison, document #> '{users,top_users}' AS users
FROM analytics.agent_analytics(:'acme', :'other', '24h') AS document;

-- Reading only.
BEGIN READ ONLY;
SELECT analytics.agent_analytics(:'acme', :'bot') IS NOT NULL AS answered, pg_current_xact_id_if_assigned() IS NULL AS only_read;
COMMIT;

-- Bad input.
CALL regress.watch();
SELECT analytics.agent_analytics(:'acme', :'nobody'); :refused
SELECT analytics.agent_analytics(:'nobody', :'bot'); :refused
SELECT analytics.agent_analytics(:'acme', :'bot', '1y'); :refused
SELECT * FROM analytics.agent_performance(:'acme', :'bot', '1y', '2026-01-01', '2026-01-02'); :refused
SELECT * FROM analytics.agent_performance(:'acme', :'bot', from_time => '2026-01-02', to_time => '2026-01-01'); :refused
SELECT * FROM analytics.agent_performance(:'acme', :'bot', from_time => 'infinity', to_time => '2026-01-01'); :refused
SELECT * FROM analytics.agent_timeseries(:'acme', :'bot', bucket => 'minute'); :refused
SELECT * FROM analytics.agent_timeseries(:'acme', :'bot', bucket => NULL); :refused
SELECT * FROM analytics.agent_timeseries(:'acme', :'bot', time_zone => 'Mars'); :refused
SELECT * FROM analytics.agent_timeseries(:'acme', :'bot', bucket => 'hour', from_time => '1900-01-01', to_time => '2026-01-01'); :refused
SELECT * FROM analytics.agent_runtime_histogram(:'acme', :'bot', buckets => 0); :refused
SELECT * FROM analytics.agent_top_users(:'acme', :'bot', max_rows => 0); :refused
SELECT * FROM analytics.agent_executions(:'acme', :'bot', status => 'done'); :refused
SELECT * FROM analytics.agent_executions(:'acme', :'bot', max_rows => NULL); :refused
SELECT * FROM analytics.list_agents(:'acme', sort_by => 'beauty'); :refused
SELECT * FROM analytics.list_agents(:'acme', sort_by => NULL); :refused
SELECT * FROM analytics.list_agents(:'acme', max_rows => 0); :refused
SELECT * FROM analytics.list_agents(:'acme', after_agent_id => :'nobody'); :refused

DELETE FROM analytics.workspaces;
