-- Months: made ahead, made for rows that came without one, and how it is without a default partition or without
-- partitions at all.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Bot');

-- A month is a month of UTC.
SET timezone = 'Pacific/Auckland';
SELECT at AT TIME ZONE 'UTC' AS at, analytics_internal.month_of(at) AT TIME ZONE 'UTC' AS month,
       analytics_internal.partition_name('agent_runs', analytics_internal.month_of(at)) AS name
FROM unnest(ARRAY['2020-02-29 23:59:59.999999+00', '2020-03-01 00:00+00', '1999-12-31 23:59+00']::timestamptz[]) WITH ORDINALITY AS t (at, n) ORDER BY n;
RESET timezone;
SELECT analytics_internal.is_partitioned('agent_runs') AS runs, analytics_internal.is_partitioned('agent_errors') AS errors,
       analytics_internal.is_partitioned('nothing') AS nothing;

------------------------------------------------------------------------------------------------------------------------
-- Rows without a month wait in the default partition, and move
------------------------------------------------------------------------------------------------------------------------
CREATE TEMPORARY TABLE fixture (n integer, started_at timestamptz);
INSERT INTO fixture VALUES
    (1, '1999-12-31 23:59:59.999999+00'), (2, '2000-01-01 00:00+00'), (3, '2018-05-15 12:00+00'),
    (4, '2020-01-31 23:59:59.999999+00'), (5, '2020-02-01 00:00+00'), (6, '2020-02-29 23:59:59.999999+00'), (7, '2020-03-01 00:00+00'),
    (8, '2199-06-15 12:00+00');
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds, credits_consumed, metadata)
SELECT :'acme', ('b0000000-0000-4000-8000-00000000000' || n)::uuid, :'bot', 'completed', started_at, started_at, n / 10.0, n * 0.001, jsonb_build_object('n', n)
FROM fixture;
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', agent_run_id => run_id) IS NOT NULL AS error,
       analytics.record_feedback(:'acme', :'bot', 4, agent_run_id => run_id) IS NOT NULL AS feedback, count(*)
FROM analytics.agent_runs GROUP BY 1, 2;
SELECT tableoid::regclass AS partition, count(*) FROM analytics.agent_runs GROUP BY 1 ORDER BY 1;

CREATE TEMPORARY TABLE runs_before AS TABLE analytics.agent_runs;
CREATE TEMPORARY TABLE errors_before AS TABLE analytics.agent_errors;
CREATE TEMPORARY TABLE feedback_before AS TABLE analytics.agent_user_feedback;
-- Neither our triggers nor the user's see it.
CREATE FUNCTION regress.tell() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE NOTICE '% of % on %', tg_op, (coalesce(NEW, OLD)).run_id, tg_table_name; RETURN coalesce(NEW, OLD); END $$;
CREATE TRIGGER tell BEFORE INSERT OR UPDATE OR DELETE ON analytics.agent_runs FOR EACH ROW EXECUTE FUNCTION regress.tell();

SET timezone = 'Pacific/Auckland';
SELECT * FROM analytics.ensure_partitions() WHERE moved_count > 0;
RESET timezone;
-- What is too old or too far ahead stays: a wrong clock makes no months.
SELECT tableoid::regclass AS partition, array_agg(metadata ->> 'n' ORDER BY metadata ->> 'n') AS runs
FROM analytics.agent_runs GROUP BY 1 ORDER BY (tableoid::regclass)::text COLLATE "C";
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds, obj_description(c.oid, 'pg_class') AS comment
FROM pg_class AS c WHERE c.oid IN (SELECT tableoid FROM analytics.agent_runs) ORDER BY c.relname COLLATE "C";
-- Every row is as it was, and those that hang on it.
SELECT count(*) AS changed FROM ((TABLE analytics.agent_runs EXCEPT ALL TABLE runs_before) UNION ALL (TABLE runs_before EXCEPT ALL TABLE analytics.agent_runs)) AS r;
SELECT count(*) AS changed FROM ((TABLE analytics.agent_errors EXCEPT ALL TABLE errors_before) UNION ALL (TABLE errors_before EXCEPT ALL TABLE analytics.agent_errors)) AS r;
SELECT count(*) AS changed FROM ((TABLE analytics.agent_user_feedback EXCEPT ALL TABLE feedback_before) UNION ALL (TABLE feedback_before EXCEPT ALL TABLE analytics.agent_user_feedback)) AS r;
SHOW session_replication_role;
-- The user's trigger is on the new month as well.
UPDATE analytics.agent_runs SET user_rating = 5 WHERE run_id = 'b0000000-0000-4000-8000-000000000005';
DROP TRIGGER tell ON analytics.agent_runs;
-- Once more: nothing to do.
SELECT count(*) AS created FROM analytics.ensure_partitions() WHERE action <> 'present' OR moved_count <> 0;
-- The month takes its rows now, and what hangs on a run goes with it.
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at)
VALUES (:'acme', 'b0000000-0000-4000-8000-000000000009', :'bot', 'running', '2020-02-10') RETURNING tableoid::regclass AS partition;
DELETE FROM analytics.agent_runs WHERE started_at >= '2020-02-01' AND started_at < '2020-03-01';
SELECT (SELECT count(*) FROM analytics.agent_errors) AS errors, (SELECT count(*) FROM analytics.agent_user_feedback) AS feedback;
CALL regress.watch();
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', agent_run_id => 'b0000000-0000-4000-8000-000000000005'); :refused
\set VERBOSITY sqlstate
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, agent_run_id, run_started_at)
VALUES (:'acme', :'bot', 'TimeoutError', 'b0000000-0000-4000-8000-000000000005', '2020-02-01'); :refused
\set VERBOSITY default

-- since makes months without a gap up to now; months_ahead, from now on.
BEGIN;
SELECT count(*) = count(DISTINCT partition_name) AND count(*) = 12 * (extract(year FROM now()) - 2024) + extract(month FROM now()) - 4 + 3 AS all_since_may_2024
FROM analytics.ensure_partitions(since => '2024-05-31 23:59+00');
SELECT count(*) AS months FROM analytics.ensure_partitions(0);
SELECT count(*) AS months FROM analytics.ensure_partitions(months_ahead => 24);
ROLLBACK;

-- Bad input.
CALL regress.watch();
SELECT * FROM analytics.ensure_partitions(-1); :refused
SELECT * FROM analytics.ensure_partitions(121); :refused
SELECT * FROM analytics.ensure_partitions(NULL); :refused
SELECT * FROM analytics.ensure_partitions(since => '1999-12-31 23:59:59+00'); :refused
SELECT * FROM analytics.ensure_partitions(since => '2199-01-01'); :refused
SELECT * FROM analytics.ensure_partitions(since => 'infinity'); :refused
SELECT * FROM analytics.ensure_partitions(since => '-infinity'); :refused
SELECT analytics_internal.move_rows('analytics.agent_runs_default'::regclass, 'pg_catalog.pg_class'::regclass, '2020-01-01', '2021-01-01'); :refused
SELECT analytics_internal.move_rows(0, 0, '2020-01-01', '2021-01-01'); :refused
BEGIN READ ONLY;
SELECT * FROM analytics.ensure_partitions(); \echo :SQLSTATE
ROLLBACK;
-- The default partition goes only when it is empty.
SELECT * FROM analytics.setup(default_partition => false); :refused

------------------------------------------------------------------------------------------------------------------------
-- What users add to the table is on the months that come later
------------------------------------------------------------------------------------------------------------------------
BEGIN;
ALTER TABLE analytics.agent_runs ADD COLUMN gone text;
ALTER TABLE analytics.agent_runs ADD COLUMN team text DEFAULT 'sales' NOT NULL CHECK (team <> ''),
    ADD COLUMN minutes double precision GENERATED ALWAYS AS (runtime_seconds / 60) STORED;
ALTER TABLE analytics.agent_runs DROP COLUMN gone;
CREATE INDEX my_index ON analytics.agent_runs (team);
CREATE TABLE regress.teams (team text PRIMARY KEY);
INSERT INTO regress.teams VALUES ('sales'), ('support');
ALTER TABLE analytics.agent_runs ADD FOREIGN KEY (team) REFERENCES regress.teams;
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, runtime_seconds, started_at, team)
VALUES (:'acme', 'b0000000-0000-4000-8000-000000000011', :'bot', 'completed', 90, '2017-07-14', 'support');
SELECT * FROM analytics.ensure_partitions() WHERE moved_count > 0;
SELECT tableoid::regclass AS partition, runtime_seconds, team, minutes FROM analytics.agent_runs WHERE started_at < '2018-01-01' AND started_at >= '2000-02-01';
SELECT count(*) AS my_indexes FROM pg_index WHERE indrelid = 'analytics.agent_runs_y2017m07'::regclass AND pg_get_indexdef(indexrelid) LIKE '%(team)';
SELECT count(*) AS my_keys FROM pg_constraint WHERE conrelid = 'analytics.agent_runs_y2017m07'::regclass AND confrelid = 'regress.teams'::regclass;
ROLLBACK;
-- A month made by hand, its columns in another order: rows find their way, agents are registered.
BEGIN;
CREATE TABLE analytics.agent_runs_y2016m03 (agent_id uuid NOT NULL, started_at timestamptz NOT NULL, filler integer);
DO $$
DECLARE
    definition text;
BEGIN
    FOR definition IN
        SELECT format('%I %s %s', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END)
        FROM pg_attribute AS a
        WHERE a.attrelid = 'analytics.agent_runs'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('agent_id', 'started_at')
        ORDER BY a.attnum DESC
    LOOP
        EXECUTE 'ALTER TABLE analytics.agent_runs_y2016m03 ADD COLUMN ' || definition;
    END LOOP;
    FOR definition IN
        SELECT format('CONSTRAINT %I %s', o.conname, pg_get_constraintdef(o.oid))
        FROM pg_constraint AS o WHERE o.conrelid = 'analytics.agent_runs'::regclass AND o.contype = 'c'
    LOOP
        EXECUTE 'ALTER TABLE analytics.agent_runs_y2016m03 ADD ' || definition;
    END LOOP;
END
$$;
ALTER TABLE analytics.agent_runs_y2016m03 DROP COLUMN filler;
ALTER TABLE analytics.agent_runs ATTACH PARTITION analytics.agent_runs_y2016m03 FOR VALUES FROM ('2016-03-01') TO ('2016-04-01');
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at)
SELECT :'acme', ('b0000000-0000-4000-8000-00000000010' || n)::uuid, ('c0000000-0000-4000-8000-00000000000' || n)::uuid, 'running',
       CASE WHEN n % 2 = 0 THEN '2016-03-10' ELSE '2020-02-10' END::timestamptz
FROM generate_series(2, 5) AS n;
SELECT agent_id, discovered FROM analytics.agents WHERE workspace_id = :'acme' ORDER BY agent_id;
SELECT tableoid::regclass AS partition, run_id, agent_id FROM analytics.agent_runs WHERE status = 'running' ORDER BY run_id;
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'nobody', :'bot', 'running', '2016-03-10'); \echo :SQLSTATE
ROLLBACK;
-- As somebody who may not: only the owner of the tables makes months.
CREATE ROLE regress_caller;
GRANT USAGE ON SCHEMA analytics, analytics_internal TO regress_caller;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA analytics, analytics_internal TO regress_caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics, analytics_internal TO regress_caller;
CALL regress.watch();
SET ROLE regress_caller;
\set VERBOSITY sqlstate
SELECT * FROM analytics.ensure_partitions(since => '2017-01-01');
\set VERBOSITY default
RESET ROLE;
CALL regress.nothing_changed();
DROP OWNED BY regress_caller;
DROP ROLE regress_caller;
DELETE FROM analytics.workspaces;

------------------------------------------------------------------------------------------------------------------------
-- Without a default partition
------------------------------------------------------------------------------------------------------------------------
\c postgres
CREATE DATABASE regress_guard TEMPLATE regress_template;
\c regress_guard
CREATE EXTENSION shadower_analytics;
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup(default_partition => false);
SELECT * FROM analytics_internal.settings ORDER BY name;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running') RETURNING started_at = now() AS now;
SELECT count(*) > 4 AS months FROM analytics.ensure_partitions(since => '2024-01-15');
-- A run older than the oldest month.
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-12-31 23:59:59.999999'); :refused
SELECT analytics.start_run(:'acme', :'bot', started_at => '2000-01-01'); :refused
COPY analytics.agent_runs (workspace_id, agent_id, status, started_at) FROM stdin;
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-0000000000aa	running	2024-01-01 00:00+00
a0000000-0000-4000-8000-000000000001	c0000000-0000-4000-8000-000000000001	running	2023-12-31 00:00+00
\.
CALL regress.nothing_changed();
UPDATE analytics.agent_runs SET started_at = '2023-12-31'; :refused
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '-infinity'); :refused
-- One of a time for which there is no month yet (these are the words of Postgres).
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2199-01-01'); :refused
-- setup() keeps the choice and the months.
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup();
CALL regress.nothing_changed();
-- Making room, as the hint says.
SELECT partition_name FROM analytics.ensure_partitions(since => '2023-11-01') WHERE action = 'created';
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-12-31 23:59:59.999999')
RETURNING tableoid::regclass AS partition;
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-10-31'); :refused
-- Or with a default partition from now on, as the hint says as well.
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup(default_partition => true);
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-05-05')
RETURNING tableoid::regclass AS partition;
SELECT * FROM analytics_internal.settings ORDER BY name;
-- Back again: refused while it holds rows, fine when they have their month.
CALL regress.watch();
SELECT * FROM analytics.setup(default_partition => false); :refused
SELECT * FROM analytics.ensure_partitions() WHERE moved_count > 0;
SELECT array_agg(DISTINCT action ORDER BY action) AS actions FROM analytics.setup(default_partition => false);
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-04-30'); :refused
SELECT * FROM analytics_internal.settings ORDER BY name;
-- Between two months that were made for their rows there is none (the words of Postgres again); since makes them all.
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-07-01'); :refused
SELECT min(partition_name) FILTER (WHERE action = 'created') AS first_created FROM analytics.ensure_partitions(since => '2023-05-01');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', '2023-07-01') RETURNING tableoid::regclass AS partition;
-- Runs of a workspace that goes, go from every month.
DELETE FROM analytics.workspaces;
SELECT count(*) AS runs FROM analytics.agent_runs;

------------------------------------------------------------------------------------------------------------------------
-- Without partitions
------------------------------------------------------------------------------------------------------------------------
\c postgres
DROP DATABASE regress_guard;
CREATE DATABASE regress_plain TEMPLATE regress_template;
\c regress_plain
CREATE EXTENSION shadower_analytics;
SELECT version, name, action FROM analytics.setup(partitioning => 'none');
SELECT * FROM analytics_internal.settings ORDER BY name;
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'analytics'::regnamespace AND relname LIKE 'agent_runs%' AND relkind IN ('r', 'p');
CALL regress.watch();
SELECT version, name, action FROM analytics.setup();
SELECT count(*) AS steps FROM analytics.setup('none');
SELECT * FROM analytics.ensure_partitions();
SELECT * FROM analytics.ensure_partitions(since => '2020-01-01');
SELECT * FROM analytics.ensure_partitions(121); :refused
SELECT * FROM analytics.setup('native'); :refused
-- The same table otherwise: any time, the same checks, agents registered, what hangs on a run goes with it.
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme');
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at)
VALUES (:'acme', 'b0000000-0000-4000-8000-000000000001', :'bot', 'running', '1999-01-01'),
       (:'acme', 'b0000000-0000-4000-8000-000000000002', :'bot', 'running', '2199-01-01');
SELECT agent_id, discovered FROM analytics.agents;
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError', agent_run_id => 'b0000000-0000-4000-8000-000000000001') IS NOT NULL AS error,
       analytics.record_feedback(:'acme', :'bot', 4, agent_run_id => 'b0000000-0000-4000-8000-000000000002') IS NOT NULL AS feedback;
SELECT analytics.finish_run(:'acme', 'b0000000-0000-4000-8000-000000000001', completed_at => '1999-01-01 00:01');
SELECT total_runs, successful_runs, avg_runtime_seconds FROM analytics.list_agents(:'acme', 'all');
CALL regress.watch();
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'nobody', :'bot', 'running'); :refused
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at) VALUES (:'acme', :'bot', 'running', 'infinity'); :refused
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds) VALUES (:'acme', :'bot', 'failed', -1); :refused
DELETE FROM analytics.agent_runs;
SELECT (SELECT count(*) FROM analytics.agent_errors) AS errors, (SELECT count(*) FROM analytics.agent_user_feedback) AS feedback;
-- The columns, checks and indexes of both forms agree.
SELECT md5(string_agg(s, E'\n' ORDER BY s COLLATE "C")) AS shape FROM regress.shape() AS s \gset
\c postgres
DROP DATABASE regress_plain;
CREATE DATABASE regress_native TEMPLATE regress_template;
\c regress_native
CREATE EXTENSION shadower_analytics;
SELECT count(*) > 0 AS set_up FROM analytics.setup();
SELECT count(*) > 30 AS there_is_a_shape, md5(string_agg(s, E'\n' ORDER BY s COLLATE "C")) = :'shape' AS the_same FROM regress.shape() AS s;
\c postgres
DROP DATABASE regress_native;
