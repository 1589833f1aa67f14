-- Rollups: which buckets have changed, what the buckets hold, and what each refresh has done.

-- No key at all: two writers that change the same bucket must never wait for each other.
CREATE TABLE analytics_internal.rollup_changes (
    sources      integer NOT NULL,
    workspace_id uuid,
    agent_id     uuid,
    bucket       timestamptz
);
-- So that rows can be removed where a publication has all tables.
ALTER TABLE analytics_internal.rollup_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE  analytics_internal.rollup_changes IS 'Hours in which rows of the raw tables have changed since the rollups were computed. Written by each transaction before it commits, removed by refresh().';
COMMENT ON COLUMN analytics_internal.rollup_changes.sources IS 'Which tables have changed there: the sum of 1 agent_runs, 2 agent_errors, 4 agent_user_feedback, 8 execution_queue.';
COMMENT ON COLUMN analytics_internal.rollup_changes.workspace_id IS 'Workspace of the rows; NULL, with agent_id and bucket, when everything has changed (TRUNCATE).';
COMMENT ON COLUMN analytics_internal.rollup_changes.agent_id IS 'Agent of the rows.';
COMMENT ON COLUMN analytics_internal.rollup_changes.bucket IS 'Start of the UTC hour.';

-- Attaching, detaching and truncating a partition fires no trigger.
CREATE TABLE analytics_internal.rollup_partitions (
    partition oid         NOT NULL,
    storage   oid         NOT NULL,
    lower     timestamptz NOT NULL,
    upper     timestamptz NOT NULL,
    CONSTRAINT rollup_partitions_pkey PRIMARY KEY (partition)
);
COMMENT ON TABLE  analytics_internal.rollup_partitions IS 'Partitions of agent_runs as the rollups know them. Where the catalogue says otherwise, the range of the partition counts as changed.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.partition IS 'Oid of the partition.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.storage IS 'Its pg_class.relfilenode: another one after TRUNCATE, VACUUM FULL and CLUSTER.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.lower IS 'Where it begins, included; -infinity for the default partition.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.upper IS 'Where it ends, excluded; infinity for the default partition.';

-- No foreign keys: the rollups of a workspace that was deleted go with the next refresh, which would otherwise fail
-- when it meets the deletion. Room on each page lets a bucket be recomputed without touching an index.
CREATE TABLE analytics.agent_performance_hourly (
    workspace_id            uuid        NOT NULL,
    agent_id                uuid        NOT NULL,
    bucket                  timestamptz NOT NULL,
    total_runs              bigint      NOT NULL,
    successful_runs         bigint      NOT NULL,
    failed_runs             bigint      NOT NULL,
    timeout_runs            bigint      NOT NULL,
    cancelled_runs          bigint      NOT NULL,
    running_runs            bigint      NOT NULL,
    queued_runs             bigint      NOT NULL,
    runtime_sketch          analytics.percentile_sketch,
    avg_runtime_seconds     double precision,
    p50_runtime_seconds     double precision,
    p95_runtime_seconds     double precision,
    min_runtime_seconds     double precision,
    max_runtime_seconds     double precision,
    credits_consumed        numeric     NOT NULL,
    tokens_used             numeric     NOT NULL,
    prompt_tokens           numeric     NOT NULL,
    completion_tokens       numeric     NOT NULL,
    users_sketch            analytics.distinct_sketch,
    unique_users            bigint      NOT NULL,
    total_ratings           bigint      NOT NULL,
    sum_ratings             bigint      NOT NULL,
    total_feedback          bigint      NOT NULL,
    sum_feedback_ratings    bigint      NOT NULL,
    total_errors            bigint      NOT NULL,
    first_run_at            timestamptz,
    last_run_at             timestamptz,
    concurrency_count       bigint      NOT NULL,
    sum_concurrent_runs     bigint      NOT NULL,
    max_concurrent_runs     integer,
    CONSTRAINT agent_performance_hourly_pkey PRIMARY KEY (workspace_id, agent_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX agent_performance_hourly_time_idx ON analytics.agent_performance_hourly (workspace_id, bucket);
COMMENT ON TABLE  analytics.agent_performance_hourly IS 'What each agent did in each UTC hour, as of the last refresh(); an hour without a row had nothing. Hours that changed since are in the functions of analytics, such as agent_performance(), and not here.';

CREATE TABLE analytics.agent_performance_daily (
    LIKE analytics.agent_performance_hourly,
    CONSTRAINT agent_performance_daily_pkey PRIMARY KEY (workspace_id, agent_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX agent_performance_daily_time_idx ON analytics.agent_performance_daily (workspace_id, bucket);
COMMENT ON TABLE  analytics.agent_performance_daily IS 'What each agent did on each UTC day, merged from agent_performance_hourly, as of the last refresh().';

DO $comments$
DECLARE
    period  text;
    entry   record;
BEGIN
    FOREACH period IN ARRAY ARRAY['hourly', 'daily'] LOOP
        FOR entry IN SELECT * FROM (VALUES
            ('workspace_id', 'Workspace of the agent.'),
            ('agent_id', 'The agent.'),
            ('bucket', CASE period WHEN 'hourly' THEN 'Start of the UTC hour.' ELSE 'Start of the UTC day.' END),
            ('total_runs', 'Runs that started.'),
            ('successful_runs', 'Runs with status completed.'),
            ('failed_runs', 'Runs with status failed.'),
            ('timeout_runs', 'Runs with status timeout.'),
            ('cancelled_runs', 'Runs with status cancelled.'),
            ('running_runs', 'Runs with status running.'),
            ('queued_runs', 'Runs with status queued.'),
            ('runtime_sketch', 'Runtimes in seconds: approx_percentile(), mean(), stddev() and others read it, rollup() merges several. NULL without a runtime.'),
            ('avg_runtime_seconds', 'Mean runtime in seconds; NULL without a runtime.'),
            ('p50_runtime_seconds', 'Median runtime in seconds: exact up to 250 runs, then within 1 % (error(runtime_sketch)). NULL without a runtime.'),
            ('p95_runtime_seconds', '95th percentile of the runtime in seconds, as exact as the median. NULL without a runtime.'),
            ('min_runtime_seconds', 'Shortest runtime in seconds; NULL without a runtime.'),
            ('max_runtime_seconds', 'Longest runtime in seconds; NULL without a runtime.'),
            ('credits_consumed', 'Credits of the runs, exact.'),
            ('tokens_used', 'All tokens, as reported, else prompt + completion; unknown counts as zero.'),
            ('prompt_tokens', 'Tokens sent to models; unknown counts as zero.'),
            ('completion_tokens', 'Tokens received from models; unknown counts as zero.'),
            ('users_sketch', 'Users for whom the agent ran: approx_distinct() counts them, rollup() merges several. NULL without a user.'),
            ('unique_users', 'Number of these users, estimated when there are many.'),
            ('total_ratings', 'Runs that were rated (agent_runs.user_rating).'),
            ('sum_ratings', 'Sum of these ratings.'),
            ('total_feedback', 'Rows of agent_user_feedback, by created_at.'),
            ('sum_feedback_ratings', 'Sum of their ratings.'),
            ('total_errors', 'Rows of agent_errors, by occurred_at.'),
            ('first_run_at', 'Start of the first run; NULL without a run.'),
            ('last_run_at', 'Start of the last run; NULL without a run.'),
            ('concurrency_count', 'Runs that reported concurrent_runs.'),
            ('sum_concurrent_runs', 'Sum of concurrent_runs.'),
            ('max_concurrent_runs', 'Greatest concurrent_runs; NULL when none was reported.')
        ) AS c (name, comment) LOOP
            EXECUTE format('COMMENT ON COLUMN analytics.agent_performance_%s.%I IS %L', period, entry.name, entry.comment);
        END LOOP;
    END LOOP;
END
$comments$;

CREATE TABLE analytics_internal.refresh_log (
    refresh_id       uuid             NOT NULL DEFAULT gen_random_uuid(),
    object           text             NOT NULL,
    status           text             NOT NULL,
    started_at       timestamptz      NOT NULL,
    duration_seconds double precision NOT NULL,
    bucket_count     bigint           NOT NULL,
    written_count    bigint           NOT NULL,
    removed_count    bigint           NOT NULL,
    error_code       text,
    error_message    text,
    CONSTRAINT refresh_log_pkey PRIMARY KEY (started_at, refresh_id, object)
);
COMMENT ON TABLE  analytics_internal.refresh_log IS 'What each refresh has done: one row per rollup that it computed, and one for each that failed.';
COMMENT ON COLUMN analytics_internal.refresh_log.refresh_id IS 'Batch: the rows that one call of refresh() wrote.';
COMMENT ON COLUMN analytics_internal.refresh_log.object IS 'Rollup that was computed.';
COMMENT ON COLUMN analytics_internal.refresh_log.status IS 'refreshed or failed.';
COMMENT ON COLUMN analytics_internal.refresh_log.started_at IS 'When work on it began.';
COMMENT ON COLUMN analytics_internal.refresh_log.duration_seconds IS 'How long it took, in seconds.';
COMMENT ON COLUMN analytics_internal.refresh_log.bucket_count IS 'Buckets that were computed.';
COMMENT ON COLUMN analytics_internal.refresh_log.written_count IS 'Rows of the rollup that were inserted or updated.';
COMMENT ON COLUMN analytics_internal.refresh_log.removed_count IS 'Rows of the rollup that were removed, because nothing is left of their bucket.';
COMMENT ON COLUMN analytics_internal.refresh_log.error_code IS 'SQLSTATE of a failure; NULL otherwise.';
COMMENT ON COLUMN analytics_internal.refresh_log.error_message IS 'Message of a failure; NULL otherwise.';

CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_runs
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('1', 'started_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_errors
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('2', 'occurred_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_user_feedback
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('4', 'created_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.execution_queue
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('8', 'queued_at');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_runs
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('1');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_errors
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('2');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_user_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('4');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.execution_queue
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('8');

-- Also for what arrives by logical replication.
ALTER TABLE analytics.agent_runs ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.agent_errors ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.agent_user_feedback ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.execution_queue ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;

-- Rows of an older installation. The triggers above keep writers out until this is committed.
INSERT INTO analytics_internal.rollup_changes (sources)
SELECT 15 WHERE EXISTS (SELECT FROM analytics.agent_runs) OR EXISTS (SELECT FROM analytics.agent_errors)
    OR EXISTS (SELECT FROM analytics.agent_user_feedback) OR EXISTS (SELECT FROM analytics.execution_queue);
INSERT INTO analytics_internal.rollup_partitions SELECT p.* FROM analytics_internal.run_partitions() AS p;
