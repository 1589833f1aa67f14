-- What `make demo` loads, once: 200,000 runs of 24 agents in three workspaces, up to the current hour.
\set ECHO none
CREATE EXTENSION shadower_analytics;
SELECT count(*) AS steps FROM analytics.setup();
SELECT * FROM analytics.generate_demo_data(runs => 200000);
VACUUM (ANALYZE) analytics.agent_runs, analytics.agent_errors, analytics.agent_user_feedback, analytics.execution_queue;
CALL analytics.refresh_all();
SELECT * FROM analytics.refresh_suggestions();
