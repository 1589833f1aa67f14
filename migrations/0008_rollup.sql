-- Rollups: which buckets have changed, what the buckets hold, how far back raw rows are kept, and what each refresh did.

-- No unique key: two writers that change the same bucket must never wait for each other.
CREATE TABLE analytics_internal.rollup_changes (
    sources      integer NOT NULL,
    workspace_id uuid,
    agent_id     uuid,
    bucket       timestamptz NOT NULL,
    until        timestamptz,
    rollup       text
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1,
        autovacuum_analyze_threshold = 5000, autovacuum_analyze_scale_factor = 0);
-- What has changed in one workspace, however much has changed elsewhere.
CREATE INDEX rollup_changes_idx ON analytics_internal.rollup_changes (workspace_id, bucket);
-- So that rows can be removed where a publication has all tables.
ALTER TABLE analytics_internal.rollup_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE  analytics_internal.rollup_changes IS 'Buckets in which rows of the raw tables have changed since the rollups were computed. Written by each transaction before it commits, removed by refresh().';
COMMENT ON COLUMN analytics_internal.rollup_changes.sources IS 'Which tables have changed there: the sum of 1 agent_runs, 2 agent_errors, 4 agent_user_feedback, 8 execution_queue by queued_at, 16 execution_queue by the end of the wait.';
COMMENT ON COLUMN analytics_internal.rollup_changes.workspace_id IS 'Workspace of the rows; NULL for all workspaces.';
COMMENT ON COLUMN analytics_internal.rollup_changes.agent_id IS 'Agent of the rows; NULL for all agents.';
COMMENT ON COLUMN analytics_internal.rollup_changes.bucket IS 'Start of the UTC hour, or of the range that ends with until.';
COMMENT ON COLUMN analytics_internal.rollup_changes.until IS 'End of a range, excluded; NULL for one hour of one agent.';
COMMENT ON COLUMN analytics_internal.rollup_changes.rollup IS 'The one rollup that has to be computed anew, after a failure or for a repair; NULL for all.';

-- Attaching, detaching and truncating a partition fires no trigger.
CREATE TABLE analytics_internal.rollup_partitions (
    partition bigint      NOT NULL,
    storage   bigint      NOT NULL,
    attached  bigint      NOT NULL,
    lower     timestamptz NOT NULL,
    upper     timestamptz NOT NULL,
    CONSTRAINT rollup_partitions_pkey PRIMARY KEY (partition)
);
COMMENT ON TABLE  analytics_internal.rollup_partitions IS 'Partitions of agent_runs as the rollups know them. Where the catalogue says otherwise, the range of the partition counts as changed.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.partition IS 'Oid of the partition; 0 in the row that says which database this was: storage is then the oid of agent_runs, attached the identifier of the cluster.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.storage IS 'Its pg_class.relfilenode: another one after TRUNCATE, VACUUM FULL and CLUSTER.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.attached IS 'The xmin of its row in pg_inherits: another one after it was detached and attached again.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.lower IS 'Where it begins, included; -infinity for the default partition.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.upper IS 'Where it ends, excluded; infinity for the default partition.';

CREATE TABLE analytics_internal.rollup_state (
    rollup               text        NOT NULL PRIMARY KEY,
    version              bigint      NOT NULL DEFAULT 0,
    last_success_at      timestamptz,
    consecutive_failures integer     NOT NULL DEFAULT 0,
    retry_at             timestamptz,
    error_code           text,
    error_message        text
) WITH (fillfactor = 50);
COMMENT ON TABLE  analytics_internal.rollup_state IS 'How each rollup and each materialized view stands.';
COMMENT ON COLUMN analytics_internal.rollup_state.rollup IS 'Name of the rollup or of the materialized view.';
COMMENT ON COLUMN analytics_internal.rollup_state.version IS 'Counts the batches that changed a rollup; of a materialized view, the sum of the versions of its inputs when it was refreshed.';
COMMENT ON COLUMN analytics_internal.rollup_state.last_success_at IS 'When it was last computed without an error; NULL before the first time.';
COMMENT ON COLUMN analytics_internal.rollup_state.consecutive_failures IS 'Failures since the last success.';
COMMENT ON COLUMN analytics_internal.rollup_state.retry_at IS 'When it is tried again after a failure; NULL without one.';
COMMENT ON COLUMN analytics_internal.rollup_state.error_code IS 'SQLSTATE of the last failure; NULL after a success.';
COMMENT ON COLUMN analytics_internal.rollup_state.error_message IS 'Message of the last failure; NULL after a success.';

CREATE TABLE analytics_internal.retention (
    table_name text        NOT NULL PRIMARY KEY,
    keep       interval,
    floor      timestamptz NOT NULL DEFAULT '-infinity',
    final      timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT retention_final_check CHECK (final <= floor),
    CONSTRAINT retention_days_check CHECK (date_bin('24 hours', floor, 'epoch') = floor AND date_bin('24 hours', final, 'epoch') = final)
);
COMMENT ON TABLE  analytics_internal.retention IS 'How long rows of a table are kept. Written by set_retention() and cleanup_old_data().';
COMMENT ON COLUMN analytics_internal.retention.table_name IS 'The table, in schema analytics.';
COMMENT ON COLUMN analytics_internal.retention.keep IS 'How long its rows are kept; NULL for ever.';
COMMENT ON COLUMN analytics_internal.retention.floor IS 'Start of a UTC day: new rows that are older are refused.';
COMMENT ON COLUMN analytics_internal.retention.final IS 'Start of a UTC day: rows that are older are gone or about to go, and what rollups hold of that time stays.';
CREATE TRIGGER forget_floors AFTER INSERT OR UPDATE OR DELETE ON analytics_internal.retention
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.forget_floors();
ALTER TABLE analytics_internal.retention ENABLE ALWAYS TRIGGER forget_floors;

CREATE TABLE analytics.refresh_log (
    refresh_id       uuid             NOT NULL,
    object           text             NOT NULL,
    triggered_by     text             NOT NULL,
    status           text             NOT NULL,
    started_at       timestamptz      NOT NULL,
    duration_seconds double precision NOT NULL,
    bucket_count     bigint           NOT NULL DEFAULT 0,
    read_count       bigint           NOT NULL DEFAULT 0,
    written_count    bigint           NOT NULL DEFAULT 0,
    removed_count    bigint           NOT NULL DEFAULT 0,
    attempt          integer          NOT NULL DEFAULT 1,
    error_code       text,
    error_message    text,
    CONSTRAINT refresh_log_pkey PRIMARY KEY (started_at, refresh_id, object)
);
COMMENT ON TABLE  analytics.refresh_log IS 'What was refreshed and cleaned up: one row per object and batch in which something was done, and one for each failure. For the owner of the tables.';
COMMENT ON COLUMN analytics.refresh_log.refresh_id IS 'Batch: the rows that one call wrote.';
COMMENT ON COLUMN analytics.refresh_log.object IS 'Table of a rollup, materialized view, or table that was cleaned up.';
COMMENT ON COLUMN analytics.refresh_log.triggered_by IS 'Who asked for it: cron or manual.';
COMMENT ON COLUMN analytics.refresh_log.status IS 'refreshed, removed, postponed (writers did not get out of the way of a clean-up) or failed.';
COMMENT ON COLUMN analytics.refresh_log.started_at IS 'When work on the object began.';
COMMENT ON COLUMN analytics.refresh_log.duration_seconds IS 'How long it took, in seconds.';
COMMENT ON COLUMN analytics.refresh_log.bucket_count IS 'Buckets that were computed.';
COMMENT ON COLUMN analytics.refresh_log.read_count IS 'Rows that they were computed from.';
COMMENT ON COLUMN analytics.refresh_log.written_count IS 'Rows that were inserted or updated.';
COMMENT ON COLUMN analytics.refresh_log.removed_count IS 'Rows that were removed, because nothing is left of their bucket or their time is over.';
COMMENT ON COLUMN analytics.refresh_log.attempt IS 'Which attempt at the object this was since its last success, counted from 1.';
COMMENT ON COLUMN analytics.refresh_log.error_code IS 'SQLSTATE of a failure; NULL otherwise.';
COMMENT ON COLUMN analytics.refresh_log.error_message IS 'Message of a failure; NULL otherwise.';

-- Rollups have no foreign keys: a refresh that meets the deletion of a workspace would fail. The deletion is logged.
-- Room on each page lets a bucket be computed anew without touching an index.
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
CREATE TABLE analytics.agent_performance_daily (
    LIKE analytics.agent_performance_hourly,
    CONSTRAINT agent_performance_daily_pkey PRIMARY KEY (workspace_id, agent_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX agent_performance_daily_time_idx ON analytics.agent_performance_daily (workspace_id, bucket);
COMMENT ON TABLE analytics.agent_performance_hourly IS 'What each agent did in each UTC hour, as of the last refresh(); an hour without a row had nothing. What changed since is in the functions of analytics, such as agent_performance(), and not here.';
COMMENT ON TABLE analytics.agent_performance_daily IS 'What each agent did on each UTC day, merged from agent_performance_hourly, as of the last refresh().';

CREATE TABLE analytics.execution_metrics_hourly (
    workspace_id                uuid        NOT NULL,
    bucket                      timestamptz NOT NULL,
    total_runs                  bigint      NOT NULL,
    successful_runs             bigint      NOT NULL,
    failed_runs                 bigint      NOT NULL,
    timeout_runs                bigint      NOT NULL,
    cancelled_runs              bigint      NOT NULL,
    running_runs                bigint      NOT NULL,
    queued_runs                 bigint      NOT NULL,
    peak_runs_per_minute        bigint      NOT NULL,
    runtime_sketch              analytics.percentile_sketch,
    avg_runtime_seconds         double precision,
    p50_runtime_seconds         double precision,
    p75_runtime_seconds         double precision,
    p90_runtime_seconds         double precision,
    p95_runtime_seconds         double precision,
    p99_runtime_seconds         double precision,
    credits_consumed            numeric     NOT NULL,
    tokens_used                 numeric     NOT NULL,
    prompt_tokens               numeric     NOT NULL,
    completion_tokens           numeric     NOT NULL,
    users_sketch                analytics.distinct_sketch,
    unique_users                bigint      NOT NULL,
    total_ratings               bigint      NOT NULL,
    sum_ratings                 bigint      NOT NULL,
    concurrency_count           bigint      NOT NULL,
    sum_concurrent_runs         bigint      NOT NULL,
    max_concurrent_runs         integer,
    first_run_at                timestamptz,
    last_run_at                 timestamptz,
    total_errors                bigint      NOT NULL,
    critical_errors             bigint      NOT NULL,
    total_feedback              bigint      NOT NULL,
    sum_feedback_ratings        bigint      NOT NULL,
    queue_arrivals              bigint      NOT NULL,
    queue_departures            bigint      NOT NULL,
    queue_latency_sketch        analytics.percentile_sketch,
    avg_queue_latency_seconds   double precision,
    p50_queue_latency_seconds   double precision,
    p75_queue_latency_seconds   double precision,
    p90_queue_latency_seconds   double precision,
    p95_queue_latency_seconds   double precision,
    p99_queue_latency_seconds   double precision,
    total_latency_sketch        analytics.percentile_sketch,
    avg_total_latency_seconds   double precision,
    p50_total_latency_seconds   double precision,
    p75_total_latency_seconds   double precision,
    p90_total_latency_seconds   double precision,
    p95_total_latency_seconds   double precision,
    p99_total_latency_seconds   double precision,
    CONSTRAINT execution_metrics_hourly_pkey PRIMARY KEY (workspace_id, bucket)
) WITH (fillfactor = 80);
CREATE TABLE analytics.execution_metrics_daily (
    LIKE analytics.execution_metrics_hourly,
    CONSTRAINT execution_metrics_daily_pkey PRIMARY KEY (workspace_id, bucket)
) WITH (fillfactor = 80);
CREATE TABLE analytics.execution_metrics_minute (
    LIKE analytics.execution_metrics_hourly,
    CONSTRAINT execution_metrics_minute_pkey PRIMARY KEY (workspace_id, bucket)
) WITH (fillfactor = 80);
CREATE INDEX execution_metrics_minute_brin_idx ON analytics.execution_metrics_minute USING brin (bucket) WITH (pages_per_range = 8);
COMMENT ON TABLE analytics.execution_metrics_hourly IS 'What each workspace executed in each UTC hour, as of the last refresh(); an hour without a row had nothing.';
COMMENT ON TABLE analytics.execution_metrics_daily IS 'What each workspace executed on each UTC day, merged from execution_metrics_hourly, as of the last refresh().';
COMMENT ON TABLE analytics.execution_metrics_minute IS 'What each workspace executed in each minute of the last 48 hours, as of the last refresh(); older minutes are removed.';

CREATE TABLE analytics.agent_model_usage_hourly (
    workspace_id        uuid        NOT NULL,
    agent_id            uuid        NOT NULL,
    model_name          text        NOT NULL,
    model_provider      text        NOT NULL,
    bucket              timestamptz NOT NULL,
    total_calls         bigint      NOT NULL,
    successful_calls    bigint      NOT NULL,
    failed_calls        bigint      NOT NULL,
    finished_calls      bigint      NOT NULL,
    credits_consumed    numeric     NOT NULL,
    tokens_used         numeric     NOT NULL,
    prompt_tokens       numeric     NOT NULL,
    completion_tokens   numeric     NOT NULL,
    runtime_sketch      analytics.percentile_sketch,
    avg_runtime_seconds double precision,
    p95_runtime_seconds double precision,
    CONSTRAINT agent_model_usage_hourly_pkey PRIMARY KEY (workspace_id, agent_id, bucket, model_name, model_provider)
) WITH (fillfactor = 80);
CREATE INDEX agent_model_usage_hourly_time_idx ON analytics.agent_model_usage_hourly (workspace_id, bucket);
CREATE TABLE analytics.agent_model_usage (
    LIKE analytics.agent_model_usage_hourly,
    CONSTRAINT agent_model_usage_pkey PRIMARY KEY (workspace_id, agent_id, bucket, model_name, model_provider)
) WITH (fillfactor = 80);
CREATE INDEX agent_model_usage_time_idx ON analytics.agent_model_usage (workspace_id, bucket);
COMMENT ON TABLE analytics.agent_model_usage_hourly IS 'Which models each agent used in each UTC hour, as of the last refresh().';
COMMENT ON TABLE analytics.agent_model_usage IS 'Which models each agent used on each UTC day, merged from agent_model_usage_hourly, as of the last refresh().';

CREATE TABLE analytics.user_usage_daily (
    workspace_id      uuid        NOT NULL,
    agent_id          uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    bucket            timestamptz NOT NULL,
    total_runs        bigint      NOT NULL,
    successful_runs   bigint      NOT NULL,
    failed_runs       bigint      NOT NULL,
    finished_runs     bigint      NOT NULL,
    runtime_stats     analytics.stats_summary,
    credits_consumed  numeric     NOT NULL,
    tokens_used       numeric     NOT NULL,
    total_ratings     bigint      NOT NULL,
    sum_ratings       bigint      NOT NULL,
    first_run_at      timestamptz,
    last_run_at       timestamptz,
    CONSTRAINT user_usage_daily_pkey PRIMARY KEY (workspace_id, agent_id, bucket, user_id)
) WITH (fillfactor = 80);
CREATE INDEX user_usage_daily_time_idx ON analytics.user_usage_daily (workspace_id, bucket);
COMMENT ON TABLE analytics.user_usage_daily IS 'What each agent did for each user on each UTC day, as of the last refresh(). Runs without a user are not in it.';

CREATE TABLE analytics.error_summary_hourly (
    workspace_id          uuid        NOT NULL,
    agent_id              uuid        NOT NULL,
    error_category        text        NOT NULL,
    error_severity        text        NOT NULL,
    bucket                timestamptz NOT NULL,
    total_errors          bigint      NOT NULL,
    recovered_errors      bigint      NOT NULL,
    recovery_attempts     bigint      NOT NULL,
    affected_users        bigint      NOT NULL,
    recovery_sketch       analytics.percentile_sketch,
    avg_recovery_seconds  double precision,
    users_sketch          analytics.distinct_sketch,
    first_error_at        timestamptz,
    last_error_at         timestamptz,
    CONSTRAINT error_summary_hourly_pkey PRIMARY KEY (workspace_id, agent_id, bucket, error_category, error_severity)
) WITH (fillfactor = 80);
CREATE INDEX error_summary_hourly_time_idx ON analytics.error_summary_hourly (workspace_id, bucket);
CREATE TABLE analytics.error_summary_daily (
    LIKE analytics.error_summary_hourly,
    CONSTRAINT error_summary_daily_pkey PRIMARY KEY (workspace_id, agent_id, bucket, error_category, error_severity)
) WITH (fillfactor = 80);
CREATE INDEX error_summary_daily_time_idx ON analytics.error_summary_daily (workspace_id, bucket);
COMMENT ON TABLE analytics.error_summary_hourly IS 'Errors of each agent in each UTC hour by category and severity, as of the last refresh().';
COMMENT ON TABLE analytics.error_summary_daily IS 'Errors of each agent on each UTC day by category and severity, merged from error_summary_hourly, as of the last refresh().';

-- What reporting tools read. No windows: whoever asks says which days.
CREATE MATERIALIZED VIEW analytics_internal.agent_analytics_summary AS
SELECT p.workspace_id, p.agent_id, p.bucket AS day,
       p.total_runs, p.successful_runs, p.failed_runs, p.timeout_runs, p.cancelled_runs, p.running_runs, p.queued_runs,
       p.successful_runs::double precision / nullif(p.total_runs - p.running_runs - p.queued_runs, 0) AS success_rate,
       p.avg_runtime_seconds, p.p50_runtime_seconds AS median_runtime_seconds, p.min_runtime_seconds, p.max_runtime_seconds,
       analytics.approx_percentile(0.75, p.runtime_sketch) AS p75_runtime_seconds,
       analytics.approx_percentile(0.9, p.runtime_sketch) AS p90_runtime_seconds,
       p.p95_runtime_seconds,
       analytics.approx_percentile(0.99, p.runtime_sketch) AS p99_runtime_seconds,
       analytics.stddev(p.runtime_sketch) AS stddev_runtime_seconds,
       p.credits_consumed, p.credits_consumed / nullif(p.total_runs, 0) AS credits_per_run,
       p.tokens_used, p.tokens_used / nullif(p.total_runs, 0) AS tokens_per_run,
       p.unique_users, p.total_ratings,
       p.sum_ratings::double precision / nullif(p.total_ratings, 0) AS avg_rating,
       p.total_feedback, p.total_errors,
       p.max_concurrent_runs AS peak_concurrency,
       p.sum_concurrent_runs::double precision / nullif(p.concurrency_count, 0) AS avg_concurrency
FROM analytics.agent_performance_daily AS p;
CREATE UNIQUE INDEX agent_analytics_summary_key ON analytics_internal.agent_analytics_summary (workspace_id, agent_id, day);
CREATE INDEX agent_analytics_summary_day_idx ON analytics_internal.agent_analytics_summary (workspace_id, day);

CREATE MATERIALIZED VIEW analytics_internal.workspace_daily_summary AS
SELECT e.workspace_id, e.bucket AS day,
       e.total_runs, e.successful_runs, e.failed_runs, e.timeout_runs, e.cancelled_runs,
       e.successful_runs::double precision / nullif(e.total_runs - e.running_runs - e.queued_runs, 0) AS success_rate,
       coalesce(a.active_agents, 0) AS active_agents, e.unique_users AS active_users,
       e.avg_runtime_seconds, e.p50_runtime_seconds AS median_runtime_seconds, e.p95_runtime_seconds,
       e.p50_queue_latency_seconds AS median_queue_latency_seconds, e.p95_queue_latency_seconds,
       e.peak_runs_per_minute, e.credits_consumed, e.tokens_used, e.total_errors, e.critical_errors,
       e.total_feedback, e.sum_feedback_ratings::double precision / nullif(e.total_feedback, 0) AS avg_feedback_rating
FROM analytics.execution_metrics_daily AS e
LEFT JOIN (
    SELECT p.workspace_id, p.bucket, count(*) AS active_agents
    FROM analytics.agent_performance_daily AS p WHERE p.total_runs > 0
    GROUP BY p.workspace_id, p.bucket
) AS a ON a.workspace_id = e.workspace_id AND a.bucket = e.bucket;
CREATE UNIQUE INDEX workspace_daily_summary_key ON analytics_internal.workspace_daily_summary (workspace_id, day);

CREATE MATERIALIZED VIEW analytics_internal.error_daily_summary AS
SELECT s.workspace_id, s.bucket AS day, s.error_category, s.error_severity,
       sum(s.total_errors)::bigint AS total_errors, sum(s.recovered_errors)::bigint AS recovered_errors,
       sum(s.recovered_errors)::double precision / nullif(sum(s.total_errors), 0)::double precision AS recovery_rate,
       analytics.mean(analytics.rollup(s.recovery_sketch)) AS avg_recovery_seconds,
       coalesce(analytics.approx_distinct(analytics.rollup(s.users_sketch)), 0) AS affected_users,
       count(DISTINCT s.agent_id) AS affected_agents
FROM analytics.error_summary_daily AS s
GROUP BY s.workspace_id, s.bucket, s.error_category, s.error_severity;
CREATE UNIQUE INDEX error_daily_summary_key
    ON analytics_internal.error_daily_summary (workspace_id, day, error_category, error_severity);

CREATE MATERIALIZED VIEW analytics_internal.top_agents AS
SELECT m.workspace_id, m.month, m.agent_id,
       rank() OVER (PARTITION BY m.workspace_id, m.month ORDER BY m.total_runs DESC) AS runs_rank,
       m.total_runs, m.successful_runs, m.success_rate, m.credits_consumed, m.active_days
FROM (
    SELECT s.workspace_id, date_trunc('month', s.day, 'UTC') AS month, s.agent_id,
           sum(s.total_runs)::bigint AS total_runs, sum(s.successful_runs)::bigint AS successful_runs,
           (sum(s.successful_runs) / nullif(sum(s.total_runs - s.running_runs - s.queued_runs), 0))::double precision AS success_rate,
           sum(s.credits_consumed) AS credits_consumed, count(*) AS active_days
    FROM analytics_internal.agent_analytics_summary AS s
    WHERE s.total_runs > 0
    GROUP BY s.workspace_id, date_trunc('month', s.day, 'UTC'), s.agent_id
) AS m;
CREATE UNIQUE INDEX top_agents_key ON analytics_internal.top_agents (workspace_id, month, agent_id);
COMMENT ON MATERIALIZED VIEW analytics_internal.agent_analytics_summary IS 'What each agent did on each UTC day; read through analytics.agent_analytics_summary.';
COMMENT ON MATERIALIZED VIEW analytics_internal.workspace_daily_summary IS 'What each workspace did on each UTC day; read through analytics.workspace_daily_summary.';
COMMENT ON MATERIALIZED VIEW analytics_internal.error_daily_summary IS 'Errors of each workspace on each UTC day; read through analytics.error_daily_summary.';
COMMENT ON MATERIALIZED VIEW analytics_internal.top_agents IS 'Agents of each workspace and UTC month by their runs; read through analytics.top_agents.';

DO $comments$
DECLARE
    entry record;
BEGIN
    FOR entry IN
        SELECT c.relname, a.attname, coalesce(m.comment, p.comment) AS comment
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN (VALUES
            ('workspace_id', 'Workspace of the rows.'),
            ('agent_id', 'The agent.'),
            ('user_id', 'User for whom the agent ran.'),
            ('model_name', 'Model that answered; "unknown" where the run does not say.'),
            ('model_provider', 'Provider of the model; "unknown" where the run does not say.'),
            ('error_category', 'Category of the errors.'),
            ('error_severity', 'Severity of the errors.'),
            ('total_runs', 'Runs that started.'),
            ('successful_runs', 'Runs with status completed.'),
            ('failed_runs', 'Runs with status failed.'),
            ('timeout_runs', 'Runs with status timeout.'),
            ('cancelled_runs', 'Runs with status cancelled.'),
            ('running_runs', 'Runs with status running.'),
            ('queued_runs', 'Runs with status queued.'),
            ('finished_runs', 'Runs with a final status.'),
            ('peak_runs_per_minute', 'Most runs that started within one minute of the clock.'),
            ('runtime_sketch', 'Runtimes in seconds: approx_percentile(), mean(), stddev() and others read it, rollup() merges several. NULL without a runtime.'),
            ('min_runtime_seconds', 'Shortest runtime in seconds; NULL without a runtime.'),
            ('max_runtime_seconds', 'Longest runtime in seconds; NULL without a runtime.'),
            ('runtime_stats', 'Runtimes in seconds: num_vals(), mean(), sum(), stddev() read it, rollup() merges several. NULL without a runtime.'),
            ('credits_consumed', 'Credits of the runs, exact.'),
            ('tokens_used', 'All tokens, as reported, else prompt + completion; unknown counts as zero.'),
            ('prompt_tokens', 'Tokens sent to models; unknown counts as zero.'),
            ('completion_tokens', 'Tokens received from models; unknown counts as zero.'),
            ('users_sketch', 'Users concerned: approx_distinct() counts them, rollup() merges several. NULL without a user.'),
            ('unique_users', 'Number of these users, estimated when there are many.'),
            ('total_ratings', 'Runs that were rated (agent_runs.user_rating).'),
            ('sum_ratings', 'Sum of these ratings.'),
            ('total_feedback', 'Rows of agent_user_feedback, by created_at.'),
            ('sum_feedback_ratings', 'Sum of their ratings.'),
            ('total_errors', 'Rows of agent_errors, by occurred_at.'),
            ('critical_errors', 'Those of severity critical.'),
            ('recovered_errors', 'Errors after which the agent went on without a person.'),
            ('recovery_attempts', 'How often recovery was tried.'),
            ('affected_users', 'Sum of affected_users of the errors; a user may be counted more than once.'),
            ('recovery_sketch', 'Seconds from error to recovery, as a percentile_sketch; NULL when none was measured.'),
            ('avg_recovery_seconds', 'Mean seconds from error to recovery; NULL when none was measured.'),
            ('first_error_at', 'When the first of them happened.'),
            ('last_error_at', 'When the last of them happened.'),
            ('first_run_at', 'Start of the first run; NULL without a run.'),
            ('last_run_at', 'Start of the last run; NULL without a run.'),
            ('concurrency_count', 'Runs that reported concurrent_runs.'),
            ('sum_concurrent_runs', 'Sum of concurrent_runs.'),
            ('max_concurrent_runs', 'Greatest concurrent_runs; NULL when none was reported.'),
            ('queue_arrivals', 'Entries of execution_queue, by queued_at. The depth of the queue is the running sum of arrivals less departures.'),
            ('queue_departures', 'Entries of execution_queue that stopped waiting, by started_at, or by completed_at where they never started.'),
            ('queue_latency_sketch', 'Seconds from queued_at to started_at of these arrivals, as a percentile_sketch; NULL while none has started.'),
            ('total_latency_sketch', 'Seconds from queued_at to completed_at of these arrivals, as a percentile_sketch; NULL while none has completed.'),
            ('total_calls', 'Runs that used the model.'),
            ('successful_calls', 'Those with status completed.'),
            ('failed_calls', 'Those with status failed or timeout.'),
            ('finished_calls', 'Those with a final status.')
        ) AS m (name, comment) ON m.name = a.attname
        CROSS JOIN LATERAL (SELECT CASE
            WHEN a.attname = 'bucket' THEN format('Start of the UTC %s.', CASE
                WHEN c.relname ~ '_minute$' THEN 'minute' WHEN c.relname ~ '_hourly$' THEN 'hour' ELSE 'day' END)
            ELSE format('%s of %s in seconds: exact up to 250 values, then within 1 %%. NULL without one.',
                CASE split_part(a.attname, '_', 1)
                    WHEN 'avg' THEN 'Mean' WHEN 'p50' THEN 'Median' ELSE substr(split_part(a.attname, '_', 1), 2) || 'th percentile' END,
                CASE WHEN a.attname ~ 'queue_latency' THEN 'the wait in the queue' WHEN a.attname ~ 'total_latency' THEN 'the time from queueing to completion'
                     ELSE 'the runtime' END) END) AS p (comment)
        WHERE c.relnamespace = 'analytics'::regnamespace
          AND c.relname ~ '^(agent_performance|execution_metrics|agent_model_usage|user_usage|error_summary)(_hourly|_daily|_minute)?$'
          AND c.relkind = 'r'
    LOOP
        EXECUTE format('COMMENT ON COLUMN analytics.%I.%I IS %L', entry.relname, entry.attname, entry.comment);
    END LOOP;
END
$comments$;

-- By when an entry stopped waiting, for the depth of the queue.
CREATE INDEX execution_queue_left_idx ON analytics.execution_queue (workspace_id, (coalesce(started_at, completed_at)))
    WHERE coalesce(started_at, completed_at) IS NOT NULL;
-- Ranges of time in the other raw tables, as agent_runs has it.
CREATE INDEX agent_user_feedback_time_idx ON analytics.agent_user_feedback (workspace_id, created_at);

CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_runs
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('1', 'started_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_errors
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('2', 'occurred_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.agent_user_feedback
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('4', 'created_at');
CREATE TRIGGER capture_changes AFTER INSERT OR UPDATE OR DELETE ON analytics.execution_queue
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('8', 'queued_at');
CREATE TRIGGER capture_departures AFTER INSERT OR UPDATE OR DELETE ON analytics.execution_queue
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_changes('16', 'started_at', 'completed_at');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_runs
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('1');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_errors
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('2');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.agent_user_feedback
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('4');
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.execution_queue
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('24');
CREATE TRIGGER capture_changes AFTER DELETE ON analytics.workspaces
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.capture_workspace();
CREATE TRIGGER capture_truncate AFTER TRUNCATE ON analytics.workspaces
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.capture_changes('31');

-- Also for what arrives by logical replication.
ALTER TABLE analytics.agent_runs ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.agent_errors ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.agent_user_feedback ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.execution_queue ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_departures,
    ENABLE ALWAYS TRIGGER capture_truncate;
ALTER TABLE analytics.workspaces ENABLE ALWAYS TRIGGER capture_changes, ENABLE ALWAYS TRIGGER capture_truncate;

-- Rows of an older installation. The triggers above keep writers out until this is committed.
INSERT INTO analytics_internal.rollup_changes (sources, bucket, until)
SELECT 31, '-infinity', 'infinity'
WHERE EXISTS (SELECT FROM analytics.agent_runs) OR EXISTS (SELECT FROM analytics.agent_errors)
   OR EXISTS (SELECT FROM analytics.agent_user_feedback) OR EXISTS (SELECT FROM analytics.execution_queue);
INSERT INTO analytics_internal.rollup_partitions SELECT p.* FROM analytics_internal.run_partitions() AS p;

SELECT analytics_internal.protect_table('analytics.agent_performance_hourly', 'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.agent_performance_daily',  'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.execution_metrics_minute', 'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.execution_metrics_hourly', 'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.execution_metrics_daily',  'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.agent_model_usage_hourly', 'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.agent_model_usage',        'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.user_usage_daily',         'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.error_summary_hourly',     'viewer', NULL, NULL);
SELECT analytics_internal.protect_table('analytics.error_summary_daily',      'viewer', NULL, NULL);
