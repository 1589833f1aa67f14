-- What `make demo` prints: answers about the generated data, all of them live.
\pset border 1
\pset footer off
\pset null '-'
SET client_min_messages = warning;

SELECT workspace_id, name AS workspace_name FROM analytics.workspaces
ORDER BY (SELECT count(*) FROM analytics.agents AS a WHERE a.workspace_id = workspaces.workspace_id) DESC, name
LIMIT 1
\gset
SELECT agent_id, name AS agent_name FROM analytics.list_agents(:'workspace_id', 'all') LIMIT 1
\gset

\echo
\echo '== The agents of' :workspace_name
\echo
SELECT
    l.name                                     AS agent,
    l.lifecycle_state                          AS state,
    l.total_runs                               AS runs,
    round(100 * l.success_rate::numeric, 1)    AS "success %",
    round(l.p50_runtime_seconds::numeric, 1)   AS "median s",
    round(l.p95_runtime_seconds::numeric, 1)   AS "p95 s",
    round(l.credits_consumed, 1)               AS credits,
    round(l.avg_rating::numeric, 2)            AS rating,
    d.line                                     AS "runs a day, 30 days"
FROM analytics.list_agents(:'workspace_id', '90d') AS l
CROSS JOIN LATERAL (
    SELECT analytics.sparkline(array_agg(nullif(s.total_runs, 0)::float8 ORDER BY s.bucket_start)) AS line
    FROM analytics.agent_timeseries(:'workspace_id', l.agent_id, '30d', time_zone => 'UTC') AS s
) AS d
ORDER BY l.total_runs DESC;

\echo
\echo '== Leaderboard: rank_agents(...) by what their runs prove of their success rate, 90 days'
\echo
SELECT
    b.rank, b.agent_name AS agent, coalesce(b.badge, '') AS badge, round(b.score::numeric, 4) AS score,
    round(100 * b.success_rate::numeric, 1) AS "success %", b.total_runs AS runs,
    e.rank AS "rank by efficiency"
FROM analytics.rank_agents(:'workspace_id', '90d', 'success_rate') AS b
LEFT JOIN analytics.rank_agents(:'workspace_id', '90d', 'efficiency') AS e USING (agent_id)
ORDER BY b.rank, b.agent_name;

\echo
\echo '== Lifecycle: where the agents of all workspaces are, and how well those of' :workspace_name 'are'
\echo
SELECT a.lifecycle_state AS state, count(*) AS agents,
       regexp_replace(string_agg(a.name, ', ' ORDER BY a.name), '^(.{80}[^,]*),.*', '\1, ...') AS names
FROM analytics.agents AS a
JOIN analytics.lifecycle_states_of(a.workspace_id) AS s ON s.state = a.lifecycle_state
GROUP BY a.lifecycle_state
ORDER BY min(s.place);

SELECT
    h.agent_name AS agent, h.lifecycle_state AS state, round(h.score::numeric) AS "health of 100",
    round(h.performance::numeric) AS performance, round(h.reliability::numeric) AS reliability,
    round(h.usage::numeric) AS usage, round(h.cost::numeric) AS cost, left(h.recommendations[1], 60) AS "what to do first"
FROM analytics.agent_health(:'workspace_id') AS h
WHERE h.lifecycle_state NOT IN ('deprecated', 'archived')
ORDER BY h.score, h.agent_name
LIMIT 5;

\echo
\echo '== Anomalies: days on which the failure rate of an agent left what its past lets expect, 30 days'
\echo
SELECT
    w.name AS workspace, a.name AS agent, to_char(d.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
    round(100 * d.value::numeric, 1) AS "failed %", round(100 * d.expected::numeric, 1) AS "expected %", d.severity
FROM analytics.workspaces AS w
JOIN analytics.agents AS a USING (workspace_id)
CROSS JOIN LATERAL analytics.detect_metric_anomalies(w.workspace_id, 'failure_rate', agent_id => a.agent_id, step => '1 day') AS d
ORDER BY d.ts, w.name, a.name;

\echo
\echo '== Forecast: runs of' :workspace_name 'on the next three days'
\echo
SELECT to_char(f.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, round(f.value::numeric) AS runs,
       round(f.lower::numeric) || ' to ' || round(f.upper::numeric) AS "95 % of the days lie within"
FROM analytics.forecast_metric(:'workspace_id', 'runs', 3, '90d', step => '1 day') AS f
ORDER BY f.ts;

-- An agent's page: one document, read out line by line.
SELECT agent_id, name AS agent_name FROM analytics.list_agents(:'workspace_id', '30d', 'credits_consumed', max_rows => 1)
\gset
\pset tuples_only on
\pset format unaligned
SELECT E'\n== A page about one agent, the dearest of ' || :'workspace_name' || E': agent_analytics(...), 30 days\n';

WITH page AS MATERIALIZED (
    SELECT d AS page, d -> 'performance' AS p, d -> 'resources' AS r, d -> 'errors' AS e, d -> 'users' AS u
    FROM analytics.agent_analytics(:'workspace_id', :'agent_id', '30d') AS d
), days AS (
    SELECT s.bucket_start, s.total_runs, s.success_rate, s.p50_runtime_seconds, s.credits_consumed, s.total_errors
    FROM analytics.agent_timeseries(:'workspace_id', :'agent_id', '30d', time_zone => 'UTC') AS s
), lines AS (
    SELECT analytics.sparkline(array_agg(total_runs::float8 ORDER BY bucket_start)) AS runs,
           analytics.sparkline(array_agg(success_rate ORDER BY bucket_start)) AS success,
           analytics.sparkline(array_agg(p50_runtime_seconds ORDER BY bucket_start)) AS median,
           analytics.sparkline(array_agg(credits_consumed::float8 ORDER BY bucket_start)) AS credits,
           analytics.sparkline(array_agg(total_errors::float8 ORDER BY bucket_start)) AS errors
    FROM days
), rows (place, label, figure, line, remark) AS (
    SELECT v.*
    FROM page, lines, LATERAL (VALUES
        (1, 'runs', to_char((p ->> 'total_runs')::numeric, 'FM999,999,990'), runs,
            concat_ws(', ', p ->> 'failed_runs' || ' failed', p ->> 'timeout_runs' || ' timed out', p ->> 'cancelled_runs' || ' cancelled')),
        (2, 'success', round(100 * (p ->> 'success_rate')::numeric, 1) || ' %', success,
            (SELECT 'rank ' || (c ->> 'rank') || ' of ' || (c ->> 'ranked_agents') || ', against the other agents: ' || (c ->> 'verdict')
             FROM jsonb_array_elements(page -> 'comparison') AS c
             WHERE c ->> 'metric' = 'success_rate' AND c ->> 'compared_with' = 'workspace')),
        (3, 'median', round((p ->> 'p50_runtime_seconds')::numeric, 1) || ' s', median,
            '95 % within ' || round((p ->> 'p95_runtime_seconds')::numeric) || ' s; against the 30 days before: '
            || (SELECT c ->> 'verdict' FROM jsonb_array_elements(page -> 'comparison') AS c
                WHERE c ->> 'metric' = 'p50_runtime_seconds' AND c ->> 'compared_with' = 'previous_period')),
        (4, 'credits', to_char((r ->> 'credits_consumed')::numeric, 'FM999,990.0'), credits,
            round((r ->> 'credits_per_run')::numeric, 3) || ' a run, ' || round((r ->> 'credits_per_success')::numeric, 3) || ' a success'),
        (5, 'errors', to_char((e ->> 'total_errors')::numeric, 'FM999,990'), errors,
            round(100 * (e ->> 'recovery_rate')::numeric) || ' % recovered without a person'),
        (6, 'users', u ->> 'unique_users', '', 'rated ' || round((u ->> 'avg_rating')::numeric, 2) || ' of 5 in ' || (u ->> 'total_ratings') || ' runs')
    ) AS v
)
SELECT '   ' || :'agent_name' || ' · ' || (page #>> '{agent,agent_type}') || ' · ' || (page #>> '{agent,lifecycle_state}') || E'\n'
FROM page
UNION ALL
(SELECT '   ' || rpad(label, 9) || lpad(figure, 9) || '   ' || rpad(coalesce(line, ''), 32) || coalesce(remark, '') FROM rows ORDER BY place);

SELECT E'\n   How long its runs take, to the 98th percentile\n';
SELECT '   ' || lpad(round(lower_seconds::numeric)::text, 5) || ' to ' || lpad(round(upper_seconds::numeric)::text, 5) || ' s  '
       || lpad(to_char(run_count, 'FM999,990'), 7) || '  ' || repeat('█', (48 * run_count / max(run_count) OVER ())::integer)
FROM analytics.agent_runtime_histogram(:'workspace_id', :'agent_id', '30d', 40)
WHERE lower_seconds <= (SELECT 1.2 * p95_runtime_seconds FROM analytics.agent_performance(:'workspace_id', :'agent_id', '30d'))
ORDER BY bucket;

SELECT E'\n   When it is used: a line a day, 0 to 23 o''clock UTC\n';
SELECT '   ' || (ARRAY['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'])[day_of_week] || '  '
       -- Two more values give all lines one scale.
       || left(analytics.sparkline(array_agg(total_runs::float8 / nullif(most, 0) ORDER BY hour_of_day) || ARRAY[0.0, 1.0]), 24)
       || '  ' || lpad(sum(total_runs)::text, 6) || ' runs'
FROM (SELECT *, max(total_runs) OVER () AS most FROM analytics.agent_usage_pattern(:'workspace_id', :'agent_id', '30d', 'UTC')) AS week
GROUP BY day_of_week ORDER BY day_of_week;

SELECT E'\n   Its models\n';
SELECT '   ' || rpad(model_name, 22) || lpad(to_char(total_calls, 'FM999,990'), 8) || ' runs' || lpad(round(100 * success_rate::numeric, 1)::text, 7)
       || ' % success' || lpad(round(credits_per_success, 3)::text, 9) || ' credits a success'
FROM analytics.model_usage(:'workspace_id', :'agent_id', '30d');

SELECT E'\n   What went wrong\n';
SELECT '   ' || lpad(total_errors::text, 5) || '  ' || rpad(error_category, 12) || rpad(trend, 9) || left(message_pattern, 70)
FROM analytics.error_patterns(:'workspace_id', :'agent_id', '30d', 5);

SELECT E'\n   What could be better\n';
SELECT '   ' || lpad(priority::text, 2) || '  ' || rpad(title, 40) || ' (effort: ' || effort_level || E')\n       ' || description
FROM analytics.list_suggestions(:'workspace_id', :'agent_id') LIMIT 5;
