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
\echo '== One agent:' :agent_name
\echo
\x on
SELECT
    p.total_runs, p.successful_runs, p.failed_runs, p.timeout_runs, p.cancelled_runs,
    round(p.success_rate::numeric, 4) AS success_rate,
    round(p.p50_runtime_seconds::numeric, 2) AS p50_runtime_seconds,
    round(p.p95_runtime_seconds::numeric, 2) AS p95_runtime_seconds,
    round(p.p99_runtime_seconds::numeric, 2) AS p99_runtime_seconds,
    round(p.throughput_per_hour::numeric, 2) AS throughput_per_hour,
    p.credits_consumed, p.tokens_used, p.unique_users, round(p.avg_rating::numeric, 2) AS avg_rating
FROM analytics.agent_performance(:'workspace_id', :'agent_id', '30d') AS p;
\x off

\echo '   Its runtimes, from a sketch of' '90 days:'
\echo
SELECT
    bucket, round(lower::numeric, 1) AS "from s", round(upper::numeric, 1) AS "to s", count,
    repeat('█', (40 * count / max(count) OVER ())::integer) AS share
FROM (
    SELECT analytics.percentile_agg(runtime_seconds) AS sketch FROM analytics.agent_runs
    WHERE workspace_id = :'workspace_id' AND agent_id = :'agent_id'
      AND runtime_seconds < (SELECT p99_runtime_seconds
                             FROM analytics.agent_performance(:'workspace_id', :'agent_id', '90d'))
) AS runtimes,
analytics.histogram(sketch, 8);

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
