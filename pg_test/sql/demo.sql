-- generate_demo_data(): a workload of any size whose truth is known.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -

------------------------------------------------------------------------------------------------------------------------
-- The same arguments give the same rows
------------------------------------------------------------------------------------------------------------------------
SELECT * FROM analytics.generate_demo_data(5000, as_of => '2026-01-01');
-- These checksums change with GENERATOR_VERSION of crate workload, and with nothing else.
SELECT * FROM regress.demo();
CREATE TEMPORARY TABLE first_time AS SELECT * FROM regress.demo();
-- A second call adds nothing,
CALL regress.watch();
SELECT sum(inserted_count) AS inserted FROM analytics.generate_demo_data(5000, as_of => '2026-01-01');
CALL regress.nothing_changed();
-- a call after TRUNCATE gives the same, so do another time zone and another form of the same time: the window is whole hours.
SET client_min_messages = warning;
TRUNCATE analytics.workspaces CASCADE;
RESET client_min_messages;
SET timezone = 'Asia/Kolkata';
SET datestyle = 'SQL, DMY';
SELECT sum(inserted_count) AS inserted FROM analytics.generate_demo_data(5000, 42, 3, 24, 40, 90, '2026-01-01 06:29:59.999999');
RESET timezone;
RESET datestyle;
SELECT * FROM regress.demo() EXCEPT TABLE first_time;
-- What was deleted comes back.
DELETE FROM analytics.agent_runs WHERE status = 'failed';
SELECT * FROM analytics.generate_demo_data(5000, as_of => '2026-01-01') WHERE inserted_count > 0;
SELECT * FROM regress.demo() EXCEPT TABLE first_time;
-- Another seed, also a negative one, gives others beside them.
SELECT * FROM analytics.generate_demo_data(1000, seed => -7, workspaces => 1, agents => 1, users => 1, days => 1, as_of => '2026-01-01') WHERE inserted_count > 0;
SELECT (SELECT count(*) FROM analytics.workspaces) AS workspaces, (SELECT count(*) FROM analytics.agents) AS agents,
       (SELECT count(*) FROM analytics.agent_runs) AS runs, (SELECT count(*) FROM analytics.agents WHERE discovered) AS discovered;
-- The least there is.
SELECT * FROM analytics.generate_demo_data(1, 1, 1, 1, 1, 1, '2026-01-01') WHERE inserted_count > 0;
DELETE FROM analytics.workspaces;

-- The same without partitions, and for a role that is no superuser.
SELECT md5(string_agg(f::text, ' ' ORDER BY f.table_name COLLATE "C")) AS with_months FROM first_time AS f \gset
CREATE ROLE regress_owner LOGIN;
\c postgres
CREATE DATABASE regress_plain TEMPLATE regress_template OWNER regress_owner;
\c regress_plain
GRANT USAGE ON SCHEMA regress TO regress_owner;
\c regress_plain regress_owner
CREATE EXTENSION shadower_analytics;
SELECT count(*) > 0 AS set_up FROM analytics.setup('none');
SELECT sum(inserted_count) AS inserted FROM analytics.generate_demo_data(5000, as_of => '2026-01-01');
SELECT md5(string_agg(d::text, ' ' ORDER BY d.table_name COLLATE "C")) = :'with_months' AS the_same FROM regress.demo() AS d;
-- The first window there is, which begins before the first month that could be made.
SELECT sum(inserted_count) > 1000 AS inserted FROM analytics.generate_demo_data(1000, as_of => '2000-01-01');
\c regression postgres
DROP DATABASE regress_plain;
DROP ROLE regress_owner;

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
CALL regress.watch();
SELECT * FROM analytics.generate_demo_data(0); :refused
SELECT * FROM analytics.generate_demo_data(-1); :refused
SELECT * FROM analytics.generate_demo_data(100000001); :refused
SELECT * FROM analytics.generate_demo_data(9223372036854775807); :refused
SELECT * FROM analytics.generate_demo_data(-9223372036854775808); :refused
SELECT * FROM analytics.generate_demo_data(1000, workspaces => 0); :refused
SELECT * FROM analytics.generate_demo_data(1000, workspaces => 1001, agents => 2000); :refused
SELECT * FROM analytics.generate_demo_data(1000, agents => 0); :refused
SELECT * FROM analytics.generate_demo_data(1000, agents => 10001); :refused
SELECT * FROM analytics.generate_demo_data(1000, workspaces => 5, agents => 4); :refused
SELECT * FROM analytics.generate_demo_data(1000, users => 0); :refused
SELECT * FROM analytics.generate_demo_data(1000, users => 1000001); :refused
SELECT * FROM analytics.generate_demo_data(1000, days => 0); :refused
SELECT * FROM analytics.generate_demo_data(1000, days => -2147483648); :refused
SELECT * FROM analytics.generate_demo_data(1000, days => 3651); :refused
SELECT * FROM analytics.generate_demo_data(1000, as_of => '1999-12-31 23:59:59'); :refused
SELECT * FROM analytics.generate_demo_data(1000, as_of => '2200-01-01 00:00:01'); :refused
SELECT * FROM analytics.generate_demo_data(1000, as_of => 'infinity'); :refused
SELECT * FROM analytics.generate_demo_data(1000, as_of => '-infinity'); :refused
SELECT * FROM analytics.generate_demo_data(NULL); :refused
SELECT * FROM analytics.generate_demo_data(1000, NULL); :refused
SELECT * FROM analytics.generate_demo_data(1000, as_of => NULL); :refused
-- The parts, asked for alone: a chunk that does not exist is empty, NULL gives nothing.
SELECT (SELECT count(*) FROM analytics_internal.demo_runs(1000, 42, 3, 24, 40, 90, '2026-01-01', 0)) AS first,
       (SELECT count(*) FROM analytics_internal.demo_runs(1000, 42, 3, 24, 40, 90, '2026-01-01', 1)) AS second,
       (SELECT count(*) FROM analytics_internal.demo_runs(1000, 42, 3, 24, 40, 90, '2026-01-01', -1)) AS negative,
       (SELECT count(*) FROM analytics_internal.demo_runs(1000, 42, 3, 24, 40, 90, '2026-01-01', 9223372036854775807)) AS last,
       (SELECT count(*) FROM analytics_internal.demo_runs(1000, 42, 3, 24, 40, 90, '2026-01-01', NULL)) AS nothing;
SELECT * FROM analytics_internal.demo_agents(1000, 42, 0, 24, 40, 90, '2026-01-01'); :refused

------------------------------------------------------------------------------------------------------------------------
-- The truth: 70,000 runs in two chunks, counted
------------------------------------------------------------------------------------------------------------------------
SELECT * FROM analytics.generate_demo_data(70000, as_of => '2026-01-01');
-- Chunks are what they are alone.
SELECT count(*) AS runs, count(*) FILTER (WHERE r.agent_id = d.agent_id AND r.started_at = d.started_at AND r.runtime_seconds IS NOT DISTINCT FROM d.runtime_seconds) AS the_same
FROM analytics_internal.demo_runs(70000, 42, 3, 24, 40, 90, '2026-01-01', 1) AS d JOIN analytics.agent_runs AS r USING (workspace_id, run_id);

CREATE TEMPORARY TABLE truth AS SELECT * FROM analytics_internal.demo_agents(70000, 42, 3, 24, 40, 90, '2026-01-01');
CREATE TEMPORARY TABLE incident AS SELECT * FROM analytics_internal.demo_incidents(70000, 42, 3, 24, 40, 90, '2026-01-01');
CREATE TEMPORARY TABLE finished AS
SELECT r.*, t.success_rate, t.timeout_rate, t.median_runtime_seconds, i.kind
FROM analytics.agent_runs AS r JOIN truth AS t USING (workspace_id, agent_id)
LEFT JOIN incident AS i
  ON i.workspace_id = r.workspace_id AND coalesce(i.agent_id, r.agent_id) = r.agent_id AND r.started_at >= i.started_at AND r.started_at < i.ended_at
WHERE r.status NOT IN ('queued', 'running');

-- Rates: off by less than four standard deviations for every agent. (A fair coin is so once in 16,000 tries; the seed is fixed.)
CREATE FUNCTION regress.sigmas(hits bigint, total bigint, expected double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE RETURN abs(hits - total * expected) / nullif(sqrt(total * expected * (1 - expected)), 0);
SELECT count(*) AS agents, min(runs) > 0 AS all_have_runs,
       max(regress.sigmas(completed, runs, success_rate)) < 4 AS success_rates,
       max(regress.sigmas(timeouts, runs, timeout_rate)) < 4 AS timeout_rates,
       max(regress.sigmas(above_median, completed, 0.5)) < 4 AS median_runtimes
FROM (SELECT agent_id, success_rate, timeout_rate, count(*) AS runs, count(*) FILTER (WHERE status = 'completed') AS completed,
             count(*) FILTER (WHERE status = 'timeout') AS timeouts,
             count(*) FILTER (WHERE status = 'completed' AND runtime_seconds > median_runtime_seconds) AS above_median
      FROM finished WHERE kind IS NULL GROUP BY 1, 2, 3) AS a;
-- The busiest agent of each workspace, as people see it.
SELECT w.name AS workspace, w.time_zone, l.name AS agent, l.total_runs, round(l.success_rate::numeric, 3) AS success_rate, round(t.success_rate::numeric, 3) AS truth,
       round(l.p50_runtime_seconds::numeric, 2) AS median, round(t.median_runtime_seconds::numeric, 2) AS truth
FROM analytics.workspaces AS w
CROSS JOIN LATERAL (SELECT * FROM analytics.list_agents(w.workspace_id, 'all') LIMIT 1) AS l
JOIN truth AS t USING (agent_id) ORDER BY l.total_runs DESC;

-- Incidents: when and where, and that they show.
SELECT i.kind, w.name AS workspace, a.name AS agent, i.started_at, i.ended_at - i.started_at AS length, i.magnitude, i.description
FROM incident AS i JOIN analytics.workspaces AS w USING (workspace_id) LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id)
ORDER BY i.started_at;
SELECT kind, count(*) > 10 AS seen,
       CASE WHEN kind IN ('failure_surge', 'outage') THEN round(count(*) FILTER (WHERE status = 'completed') / sum(success_rate)::numeric, 2) END AS success,
       CASE kind WHEN 'failure_surge' THEN regress.sigmas(count(*) FILTER (WHERE status = 'completed'), count(*), avg(success_rate) * 0.45) < 4
                 WHEN 'outage' THEN count(*) FILTER (WHERE status = 'completed') < count(*) * 0.1
                 WHEN 'latency' THEN avg((runtime_seconds > 2 * median_runtime_seconds)::int) > 0.7 END AS shows
FROM finished WHERE kind IS NOT NULL GROUP BY kind ORDER BY kind;
-- Traffic in the hours of an incident, against the same hours a week before and after.
SELECT i.kind, i.magnitude,
       round(2.0 * count(*) FILTER (WHERE r.started_at >= i.started_at AND r.started_at < i.ended_at)
             / count(*) FILTER (WHERE r.started_at < i.started_at OR r.started_at >= i.ended_at), 2) AS traffic
FROM incident AS i JOIN analytics.agent_runs AS r
  ON r.workspace_id = i.workspace_id
 AND (r.started_at >= i.started_at AND r.started_at < i.ended_at
      OR r.started_at >= i.started_at - interval '168 hours' AND r.started_at < i.ended_at - interval '168 hours'
      OR r.started_at >= i.started_at + interval '168 hours' AND r.started_at < i.ended_at + interval '168 hours')
WHERE i.kind LIKE 'traffic%' GROUP BY 1, 2 ORDER BY 1;

-- The shape of it: days and nights, weeks, growth.
SELECT round(avg(n) FILTER (WHERE dow IN (0, 6)) / avg(n) FILTER (WHERE dow NOT IN (0, 6)), 1) AS weekend_to_weekday
FROM (SELECT extract(dow FROM r.started_at AT TIME ZONE w.time_zone) AS dow, count(*) AS n
      FROM analytics.agent_runs AS r JOIN analytics.workspaces AS w USING (workspace_id) GROUP BY 1) AS d;
SELECT count(*) FILTER (WHERE hour = 10) > 5 * count(*) FILTER (WHERE hour = 3) AS people_sleep
FROM (SELECT extract(hour FROM r.started_at AT TIME ZONE w.time_zone) AS hour
      FROM analytics.agent_runs AS r JOIN analytics.workspaces AS w USING (workspace_id)) AS h;
SELECT count(*) FILTER (WHERE started_at >= '2025-12-02') > 1.3 * count(*) FILTER (WHERE started_at < '2025-11-02') AS grows FROM analytics.agent_runs;
SELECT max(runtime_seconds) > 20 * percentile_cont(0.5) WITHIN GROUP (ORDER BY runtime_seconds) AS heavy_tail,
       count(DISTINCT model_name) > 3 AS several_models, count(DISTINCT model_provider) > 1 AS several_providers,
       count(DISTINCT trigger_source) > 3 AS several_triggers, count(parent_run_id) > 1000 AS retries_and_sub_runs
FROM analytics.agent_runs;
SELECT status, count(*) FROM analytics.agent_runs GROUP BY 1 ORDER BY 1;

-- What holds for each row.
SELECT count(*) FILTER (WHERE r.started_at < '2025-10-03' OR r.started_at >= '2026-01-01') AS outside_the_window,
       count(*) FILTER (WHERE r.started_at < a.created_at) AS before_its_agent,
       count(*) FILTER (WHERE r.status = 'completed' AND (r.error_type IS NOT NULL OR r.completed_at IS NULL)) AS completed_with_error,
       count(*) FILTER (WHERE r.status IN ('failed', 'timeout') AND e.error_id IS NULL) AS failed_without_error,
       count(*) FILTER (WHERE r.status NOT IN ('failed', 'timeout') AND e.error_id IS NOT NULL) AS error_without_failure,
       count(*) FILTER (WHERE r.user_rating IS DISTINCT FROM f.rating) AS rating_without_feedback,
       count(*) FILTER (WHERE r.tokens_used IS DISTINCT FROM r.prompt_tokens + r.completion_tokens) AS tokens_that_do_not_add_up,
       count(*) FILTER (WHERE abs(extract(epoch FROM r.completed_at - r.started_at)::double precision - r.runtime_seconds) > 0.001) AS runtimes_that_do_not_add_up,
       count(*) FILTER (WHERE q.queue_id IS NULL) AS not_queued,
       count(*) FILTER (WHERE a.agent_id IS NULL) AS without_agent
FROM analytics.agent_runs AS r
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id)
LEFT JOIN analytics.agent_errors AS e ON e.workspace_id = r.workspace_id AND e.agent_run_id = r.run_id
LEFT JOIN analytics.agent_user_feedback AS f ON f.workspace_id = r.workspace_id AND f.agent_run_id = r.run_id
LEFT JOIN analytics.execution_queue AS q ON q.workspace_id = r.workspace_id AND q.queue_id = r.run_id \gx
SELECT count(*) AS parents_unknown FROM analytics.agent_runs AS r
WHERE r.parent_run_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM analytics.agent_runs AS p
    WHERE p.workspace_id = r.workspace_id AND p.run_id = r.parent_run_id AND p.session_id = r.session_id AND p.user_id = r.user_id);
-- They lie in their months.
SELECT tableoid::regclass AS partition, count(*) FROM analytics.agent_runs GROUP BY 1 ORDER BY (tableoid::regclass)::text COLLATE "C";

-- Answers over it equal plain SQL.
SELECT count(*) AS agents, sum(l.total_runs) AS runs
FROM analytics.workspaces AS w CROSS JOIN LATERAL analytics.list_agents(w.workspace_id, 'all') AS l;
SELECT w.name, l.agent_id, l.total_runs, l.successful_runs, l.success_rate, l.credits_consumed, l.tokens_used, l.unique_users, l.last_run_at
FROM analytics.workspaces AS w CROSS JOIN LATERAL analytics.list_agents(w.workspace_id, 'all') AS l
EXCEPT ALL
SELECT w.name, r.agent_id, count(*), sum((r.status = 'completed')::int), sum((r.status = 'completed')::int)::double precision / sum((r.status NOT IN ('queued', 'running'))::int),
       sum(r.credits_consumed), sum(r.tokens_used), count(DISTINCT r.user_id), max(r.started_at)
FROM analytics.workspaces AS w JOIN analytics.agent_runs AS r USING (workspace_id) GROUP BY w.name, r.agent_id;
-- Percentiles within 1 %.
SELECT count(*) AS agents, count(*) FILTER (WHERE abs(l.p50_runtime_seconds / r.p50 - 1) <= 0.0101) AS p50_within,
       count(*) FILTER (WHERE abs(l.p95_runtime_seconds / r.p95 - 1) <= 0.0101) AS p95_within
FROM analytics.workspaces AS w CROSS JOIN LATERAL analytics.list_agents(w.workspace_id, 'all') AS l
JOIN (SELECT r.agent_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.runtime_seconds) AS p50,
             percentile_cont(0.95) WITHIN GROUP (ORDER BY r.runtime_seconds) AS p95
      FROM analytics.agent_runs AS r GROUP BY r.agent_id) AS r USING (agent_id);

-- What follows reads and deletes these rows: with statistics of emptier tables, deleting a workspace would look its errors
-- up by the wrong index.
ANALYZE analytics.agent_runs, analytics.agent_errors, analytics.agent_user_feedback, analytics.execution_queue;

-- What the suite made beside its own database.
DROP DATABASE regress_template;
