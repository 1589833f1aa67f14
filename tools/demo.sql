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
WITH days AS (
    SELECT generate_series(date_bin('1 day', now(), 'epoch') - interval '28 days',
                           date_bin('1 day', now(), 'epoch') - interval '1 day', interval '1 day') AS day
), counts AS (
    SELECT a.agent_id, d.day, count(r.run_id) AS runs
    FROM analytics.agents AS a
    CROSS JOIN days AS d
    LEFT JOIN analytics.agent_runs AS r
        ON r.workspace_id = a.workspace_id AND r.agent_id = a.agent_id
        AND r.started_at >= d.day AND r.started_at < d.day + interval '1 day'
    WHERE a.workspace_id = :'workspace_id'
    GROUP BY 1, 2
), lines AS (
    SELECT agent_id, analytics.sparkline(array_agg(nullif(runs, 0)::float8 ORDER BY day)) AS line
    FROM counts GROUP BY 1
)
SELECT
    l.name                                     AS agent,
    l.lifecycle_state                          AS state,
    l.total_runs                               AS runs,
    round(100 * l.success_rate::numeric, 1)    AS "success %",
    round(l.p50_runtime_seconds::numeric, 1)   AS "median s",
    round(l.p95_runtime_seconds::numeric, 1)   AS "p95 s",
    round(l.credits_consumed, 1)               AS credits,
    round(l.avg_rating::numeric, 2)            AS rating,
    d.line                                     AS "runs a day, four weeks"
FROM analytics.list_agents(:'workspace_id', '90d') AS l
LEFT JOIN lines AS d USING (agent_id)
ORDER BY l.total_runs DESC;

\echo
\echo '== Where the agents of all workspaces are in their lifecycle'
\echo
SELECT lifecycle_state AS state, count(*) AS agents, string_agg(name, ', ' ORDER BY name) AS names
FROM analytics.agents
GROUP BY 1
ORDER BY array_position(
    ARRAY['draft', 'testing', 'staging', 'production', 'paused', 'deprecated', 'archived'], lifecycle_state);

\echo
\echo '== Days of an agent on which failures stand out: more than five deviations above its own mean'
\echo
WITH days AS (
    SELECT
        workspace_id, agent_id, date_bin('1 day', started_at, 'epoch') AS day, count(*) AS finished,
        avg((status IN ('failed', 'timeout'))::integer) AS failure_rate
    FROM analytics.agent_runs
    WHERE status NOT IN ('queued', 'running')
    GROUP BY 1, 2, 3
), typical AS (
    SELECT workspace_id, agent_id, avg(failure_rate) AS failure_rate FROM days GROUP BY 1, 2
)
SELECT
    w.name AS workspace, a.name AS agent, to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day,
    d.finished AS runs, round(100 * d.failure_rate, 1) AS "failed %", round(100 * t.failure_rate, 1) AS "usual %"
FROM days AS d
JOIN typical AS t USING (workspace_id, agent_id)
JOIN analytics.workspaces AS w USING (workspace_id)
JOIN analytics.agents AS a USING (workspace_id, agent_id)
WHERE d.finished >= 20
  AND d.failure_rate > t.failure_rate + 5 * sqrt(t.failure_rate * (1 - t.failure_rate) / d.finished)
ORDER BY d.day, d.failure_rate DESC;

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
