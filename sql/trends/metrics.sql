-- Trends: the metrics that rollups hold, as series.

CREATE FUNCTION analytics.trend_metrics()
RETURNS TABLE (metric text, unit text, kind text, description text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 13
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('runs',          'runs',    'count',   'Runs that started'),
           ('failed_runs',   'runs',    'count',   'Runs that failed or timed out'),
           ('success_rate',  'share',   'share',   'Completed runs among the finished ones'),
           ('failure_rate',  'share',   'share',   'Failed and timed-out runs among the finished ones'),
           ('avg_runtime',   'seconds', 'measure', 'Mean run time'),
           ('p50_runtime',   'seconds', 'measure', 'Median run time; not by user'),
           ('p95_runtime',   'seconds', 'measure', '95th percentile of run times; not by user'),
           ('credits',       'credits', 'amount',  'Credits consumed'),
           ('tokens',        'tokens',  'amount',  'Tokens used'),
           ('errors',        'errors',  'count',   'Errors recorded; not by user or model'),
           ('active_users',  'users',   'count',   'Distinct users; not by user or model'),
           ('avg_rating',    'stars',   'measure', 'Mean rating of runs, 1 to 5; not by model'),
           ('queue_latency', 'seconds', 'measure', 'Median wait in the queue; of a whole workspace only')
$$;
COMMENT ON FUNCTION analytics.trend_metrics() IS
    'The metrics of metric_series() and of all that builds on it: metric, unit, kind (count and amount: 0 where nothing happened; share: 0..1; measure), description.';

CREATE FUNCTION analytics.metric_series(
    workspace_id uuid, metric text, from_time timestamptz, to_time timestamptz, step interval DEFAULT '1 hour',
    agent_id uuid DEFAULT NULL, user_id uuid DEFAULT NULL, model_name text DEFAULT NULL)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    metric_kind text := (SELECT m.kind FROM analytics.trend_metrics() AS m WHERE m.metric = $2);
    needed constant text[] := CASE
        WHEN $2 = 'runs' THEN '{total_runs}'
        WHEN $2 = 'failed_runs' THEN '{failed_runs, timeout_runs}'
        WHEN $2 IN ('success_rate', 'failure_rate') THEN '{successful_runs, failed_runs, timeout_runs, cancelled_runs}'
        WHEN $2 IN ('avg_runtime', 'p50_runtime', 'p95_runtime') THEN '{runtime_sketch}'
        WHEN $2 = 'credits' THEN '{credits_consumed}'
        WHEN $2 = 'tokens' THEN '{tokens_used}'
        WHEN $2 = 'errors' THEN '{total_errors}'
        WHEN $2 = 'active_users' THEN '{users_sketch}'
        WHEN $2 = 'avg_rating' THEN '{sum_ratings, total_ratings}'
        WHEN $2 = 'queue_latency' THEN '{queue_latency_sketch}' END;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $6 IS NOT NULL THEN
        PERFORM analytics_internal.require_agent($1, $6);
    END IF;
    IF metric_kind IS NULL THEN
        PERFORM analytics_internal.refuse_argument('metric', $2, 'it is not a metric', 'Use a name from analytics.trend_metrics().');
    END IF;
    IF $4 IS NULL OR NOT isfinite($4) THEN
        PERFORM analytics_internal.refuse_argument('to_time', $4::text, 'the end of the series is not a point in time', 'Give the end; from_time may be NULL.');
    END IF;
    IF $5 IS NULL OR $5 NOT IN ('1 hour', '1 day') THEN
        PERFORM analytics_internal.refuse_argument('step', $5::text, 'it is not a step', 'Use 1 hour or 1 day.');
    END IF;
    IF $7 IS NOT NULL AND $8 IS NOT NULL THEN
        PERFORM analytics_internal.refuse_argument('model_name', $8, 'a series is of a user or of a model', 'Leave one of user_id and model_name out.');
    END IF;
    IF $7 IS NOT NULL AND $5 <> '1 day' THEN
        PERFORM analytics_internal.refuse_argument('step', $5::text, 'users are counted by days', 'Use step => ''1 day''.');
    END IF;
    IF ($7 IS NOT NULL AND $2 IN ('p50_runtime', 'p95_runtime', 'errors', 'active_users', 'queue_latency'))
       OR ($8 IS NOT NULL AND $2 IN ('errors', 'active_users', 'avg_rating', 'queue_latency'))
       OR ($6 IS NOT NULL AND $2 = 'queue_latency') THEN
        PERFORM analytics_internal.refuse_argument('metric', $2, 'it is not known of what the series is narrowed to', 'See analytics.trend_metrics() for what is.');
    END IF;

    RETURN QUERY
    WITH measured AS (
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'          THEN b.total_runs
                   WHEN 'failed_runs'   THEN b.failed_runs + b.timeout_runs
                   WHEN 'success_rate'  THEN b.successful_runs::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'failure_rate'  THEN (b.failed_runs + b.timeout_runs)::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'avg_runtime'   THEN analytics.mean(b.runtime_sketch)
                   WHEN 'p50_runtime'   THEN analytics.approx_percentile(0.5, b.runtime_sketch)
                   WHEN 'p95_runtime'   THEN analytics.approx_percentile(0.95, b.runtime_sketch)
                   WHEN 'credits'       THEN b.credits_consumed
                   WHEN 'tokens'        THEN b.tokens_used
                   WHEN 'errors'        THEN b.total_errors
                   WHEN 'active_users'  THEN analytics.approx_distinct(b.users_sketch)
                   WHEN 'avg_rating'    THEN b.sum_ratings::double precision / nullif(b.total_ratings, 0)
                   WHEN 'queue_latency' THEN analytics.approx_percentile(0.5, b.queue_latency_sketch)
               END::double precision AS value
        FROM analytics_internal.execution_metrics_buckets($1, $3, $4, $5, needed) AS b
        WHERE $6 IS NULL AND $7 IS NULL AND $8 IS NULL
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN b.total_runs
                   WHEN 'failed_runs'  THEN b.failed_runs + b.timeout_runs
                   WHEN 'success_rate' THEN b.successful_runs::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'failure_rate' THEN (b.failed_runs + b.timeout_runs)::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(b.runtime_sketch)
                   WHEN 'p50_runtime'  THEN analytics.approx_percentile(0.5, b.runtime_sketch)
                   WHEN 'p95_runtime'  THEN analytics.approx_percentile(0.95, b.runtime_sketch)
                   WHEN 'credits'      THEN b.credits_consumed
                   WHEN 'tokens'       THEN b.tokens_used
                   WHEN 'errors'       THEN b.total_errors
                   WHEN 'active_users' THEN analytics.approx_distinct(b.users_sketch)
                   WHEN 'avg_rating'   THEN b.sum_ratings::double precision / nullif(b.total_ratings, 0)
               END::double precision
        FROM analytics_internal.agent_performance_buckets($1, $6, $3, $4, $5, needed) AS b
        WHERE $6 IS NOT NULL AND $7 IS NULL AND $8 IS NULL
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN sum(b.total_runs)
                   WHEN 'failed_runs'  THEN sum(b.failed_runs)
                   WHEN 'success_rate' THEN sum(b.successful_runs)::double precision / nullif(sum(b.finished_runs), 0)
                   WHEN 'failure_rate' THEN sum(b.failed_runs)::double precision / nullif(sum(b.finished_runs), 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(analytics.rollup(b.runtime_stats))
                   WHEN 'credits'      THEN sum(b.credits_consumed)
                   WHEN 'tokens'       THEN sum(b.tokens_used)
                   WHEN 'avg_rating'   THEN sum(b.sum_ratings)::double precision / nullif(sum(b.total_ratings), 0)
               END::double precision
        FROM analytics_internal.user_usage_buckets($1, $6, $3, $4, $5) AS b
        WHERE $7 IS NOT NULL AND b.user_id = $7
        GROUP BY b.bucket
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN sum(b.total_calls)
                   WHEN 'failed_runs'  THEN sum(b.failed_calls)
                   WHEN 'success_rate' THEN sum(b.successful_calls)::double precision / nullif(sum(b.finished_calls), 0)
                   WHEN 'failure_rate' THEN sum(b.failed_calls)::double precision / nullif(sum(b.finished_calls), 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(analytics.rollup(b.runtime_sketch))
                   WHEN 'p50_runtime'  THEN analytics.approx_percentile(0.5, analytics.rollup(b.runtime_sketch))
                   WHEN 'p95_runtime'  THEN analytics.approx_percentile(0.95, analytics.rollup(b.runtime_sketch))
                   WHEN 'credits'      THEN sum(b.credits_consumed)
                   WHEN 'tokens'       THEN sum(b.tokens_used)
               END::double precision
        FROM analytics_internal.agent_model_usage_buckets($1, $6, $3, $4, $5) AS b
        WHERE $8 IS NOT NULL AND b.model_name = $8
        GROUP BY b.bucket
    )
    SELECT g.ts, CASE WHEN metric_kind IN ('count', 'amount') THEN coalesce(m.value, 0) ELSE m.value END
    -- From the first bucket that has anything: before it there is nothing to compare with.
    FROM generate_series((SELECT min(x.bucket) FROM measured AS x), date_bin($5, $4, 'epoch') - $5, $5) AS g (ts)
    LEFT JOIN measured AS m ON m.bucket = g.ts
    ORDER BY g.ts;
END
$$;
COMMENT ON FUNCTION analytics.metric_series(uuid, text, timestamptz, timestamptz, interval, uuid, uuid, text) IS
    'A metric over time, from rollups, exact: ts (start of each step of 1 hour or 1 day, UTC) and value, from the first step at or after from_time (NULL: the first of all) that has anything to the last one that ends by to_time. Nothing happened: 0 for counts and amounts, NULL for shares and measures. Of a workspace, or narrowed to an agent, a user (by days) or a model. Errors: 22023 unknown workspace, agent, metric or step, a metric that is not known of what it is narrowed to.';

CREATE FUNCTION analytics_internal.trend_window(timeframe text, step interval, as_of timestamptz,
                                                 OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    bounds record;
BEGIN
    SELECT b.* INTO bounds FROM analytics.window_bounds($1, $3) AS b;
    IF $2 IS NULL OR $2 NOT IN ('1 hour', '1 day') THEN
        PERFORM analytics_internal.refuse_argument('step', $2::text, 'it is not a step', 'Use 1 hour or 1 day.');
    END IF;
    -- The bucket of now is not over: half of it would look like a drop.
    window_end := date_bin($2, $3, 'epoch');
    window_start := date_bin($2, window_end - (bounds.window_end - bounds.window_start), 'epoch');
END
$$;
COMMENT ON FUNCTION analytics_internal.trend_window(text, interval, timestamptz) IS
    'The time that series of a timeframe cover: whole steps, without the one that is not over at as_of; window_start is NULL for all. Errors: 22023 unknown timeframe or step.';
