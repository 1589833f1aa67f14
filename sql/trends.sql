-- Anomalies, forecasts and trends: over arrays, in a window, and of the metrics that rollups hold.

-- ------------------------------------------------------------------------------------------------------- arrays

CREATE FUNCTION analytics.detect_anomalies(
    times timestamptz[], "values" double precision[], method text DEFAULT 'auto',
    sensitivity double precision DEFAULT 0.5, periods integer[] DEFAULT NULL)
RETURNS TABLE (
    ts timestamptz, value double precision, expected double precision, lower double precision, upper double precision,
    score double precision, is_anomaly boolean, direction text, severity text, kind text, reason text
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'detect_anomalies_wrapper';
COMMENT ON FUNCTION analytics.detect_anomalies(timestamptz[], double precision[], text, double precision, integer[]) IS
    'Judges each value of a series: ts, value, expected, lower and upper (usual values are between), score (0 to 1: 0.5 is expected once in 1,000 usual values, 1 once in a million), is_anomaly (score >= 1 - sensitivity), and of anomalies direction, severity, kind (point, level_shift, variance, missing) and reason. method: auto (the default), streaming, seasonal, robust, level_shift. periods: steps of the seasons; NULL: found. Times in any order; NULL, NaN and infinite values are gaps, of which only the first of a run has a row. No scores below 8 values. Errors: 22023 unequal arrays, a time that is NULL, infinite or twice there, unknown method, sensitivity outside 0..1.';

CREATE FUNCTION analytics.detect_group_anomalies(
    times timestamptz[], metrics text[], "values" double precision[], sensitivity double precision DEFAULT 0.5)
RETURNS TABLE (
    ts timestamptz, score double precision, is_anomaly boolean, severity text, distance double precision,
    strongest_metric text, value double precision
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'detect_group_anomalies_wrapper';
COMMENT ON FUNCTION analytics.detect_group_anomalies(timestamptz[], text[], double precision[], double precision) IS
    'Judges several metrics together, given as rows (time, metric, value): ts, score, is_anomaly, severity, distance from what they do together in standard deviations, and of anomalies the strongest_metric and its value. At most 32 metrics. Score NULL where a metric is missing. Errors: 22023 unequal arrays, a NULL time or metric, a time that a metric has twice.';

CREATE FUNCTION analytics.outliers("values" double precision[], sensitivity double precision DEFAULT 0.5)
RETURNS TABLE (
    index integer, value double precision, lower double precision, upper double precision, score double precision,
    is_outlier boolean, direction text
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'outliers_wrapper';
COMMENT ON FUNCTION analytics.outliers(double precision[], double precision) IS
    'Judges values without time by their distance from the median, each side by its own spread: index (from 1), value, lower and upper (usual values are between), score, is_outlier, direction. NULL scores below 8 values, and for NULL, NaN and infinities. Errors: 22023 sensitivity outside 0..1.';

CREATE FUNCTION analytics.forecast(
    times timestamptz[], "values" double precision[], horizon integer, level double precision DEFAULT 0.95,
    method text DEFAULT 'auto', periods integer[] DEFAULT NULL, floor double precision DEFAULT NULL,
    cap double precision DEFAULT NULL, events timestamptz[] DEFAULT NULL, threshold double precision DEFAULT NULL)
RETURNS TABLE (
    step integer, ts timestamptz, value double precision, lower double precision, upper double precision,
    trend double precision, seasonal double precision, event double precision, probability_above double precision,
    chosen_method text
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'forecast_wrapper';
COMMENT ON FUNCTION analytics.forecast(timestamptz[], double precision[], integer, double precision, text, integer[], double precision, double precision, timestamptz[], double precision) IS
    'Forecasts a series horizon steps beyond its last time: step, ts, value, lower and upper (an interval that holds the share level of future values, as measured on past errors; NULL below 3 values), its parts trend, seasonal and event, probability_above threshold (NULL without one), chosen_method. method auto compares seasonal_naive, smoothing, damped_trend, theta, mean_reverting, linear_trend, naive and intermittent by rolling origins and takes the best, or the mean of the best three. floor and cap bound everything; a series of whole numbers, none negative, has floor 0 unless it is given. events: times of holidays and the like, past and future. Empty without values. Errors: 22023 as detect_anomalies, horizon outside 1 to 10,000, level outside 0..1.';

CREATE FUNCTION analytics.backtest(
    times timestamptz[], "values" double precision[], horizon integer, origins integer DEFAULT 5,
    level double precision DEFAULT 0.95, method text DEFAULT 'auto', periods integer[] DEFAULT NULL)
RETURNS TABLE (
    origin timestamptz, compared integer, smape double precision, mase double precision, coverage double precision,
    chosen_method text
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'backtest_wrapper';
COMMENT ON FUNCTION analytics.backtest(timestamptz[], double precision[], integer, integer, double precision, text, integer[]) IS
    'How good forecast() would have been: from each of the last origins, horizon steps apart, it forecasts with nothing of what came. One row per origin: compared steps, smape (percent), mase (below 1: better than repeating the last season was), coverage of the interval (0..1), chosen_method. Origins with fewer than 8 values before them have no row. Errors: 22023 as forecast, origins outside 1 to 100.';

CREATE FUNCTION analytics.decompose(
    times timestamptz[], "values" double precision[], periods integer[] DEFAULT NULL)
RETURNS TABLE (
    ts timestamptz, value double precision, trend double precision, seasonal double precision,
    remainder double precision, used_periods integer[], seasons double precision[]
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'decompose_series_wrapper';
COMMENT ON FUNCTION analytics.decompose(timestamptz[], double precision[], integer[]) IS
    'Trend, seasons and remainder of a series, which add up to it: ts, value, trend, seasonal (all seasons together), remainder, used_periods (in steps) and seasons (one part for each). Robust STL; periods NULL: found. Errors: 22023 as detect_anomalies.';

CREATE FUNCTION analytics.seasonal_periods(times timestamptz[], "values" double precision[])
RETURNS TABLE (period integer, duration interval, strength double precision)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'seasonal_periods_wrapper';
COMMENT ON FUNCTION analytics.seasonal_periods(timestamptz[], double precision[]) IS
    'Seasons of a series, at most three: period in steps, its duration, and strength: the share (0..1) of the variance that other seasons predict. Empty where nothing repeats. Errors: 22023 as detect_anomalies.';

CREATE FUNCTION analytics.change_points(
    times timestamptz[], "values" double precision[], sensitivity double precision DEFAULT 0.5)
RETURNS TABLE (
    ts timestamptz, kind text, before double precision, after double precision, change double precision,
    strength double precision, confidence double precision
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'change_points_wrapper';
COMMENT ON FUNCTION analytics.change_points(timestamptz[], double precision[], double precision) IS
    'Where a series changes for good: ts of the first value of what is new, kind (level or variance), before, after (means; of a variance mean absolute deviations), change, strength in standard errors, confidence (0..1). Errors: 22023 as detect_anomalies.';

CREATE FUNCTION analytics.trend_test(
    times timestamptz[], "values" double precision[], confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    direction text, slope_per_day double precision, slope_lower double precision, slope_upper double precision,
    tau double precision, p_value double precision, num_vals integer
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'trend_test_wrapper';
COMMENT ON FUNCTION analytics.trend_test(timestamptz[], double precision[], double precision) IS
    'Direction of a series: direction (up, down, none: chance would do the same, unknown: fewer than 4 values), slope_per_day with its confidence interval slope_lower to slope_upper (Theil and Sen), tau and p_value (Mann and Kendall, corrected for autocorrelation), num_vals. Errors: 22023 as detect_anomalies, confidence outside 0..1.';

-- ------------------------------------------------------------------------------------------------------- window
CREATE FUNCTION analytics_internal.anomaly_score_transition(internal, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_transition';
COMMENT ON FUNCTION analytics_internal.anomaly_score_transition(internal, double precision) IS 'Part of the aggregate anomaly_score: judges a value, then learns from it.';
CREATE FUNCTION analytics_internal.anomaly_score_seasonal_transition(internal, double precision, integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_seasonal_transition';
COMMENT ON FUNCTION analytics_internal.anomaly_score_seasonal_transition(internal, double precision, integer) IS 'Part of the aggregate anomaly_score with a period: judges a value, then learns from it.';
CREATE FUNCTION analytics_internal.anomaly_score_final(internal) RETURNS double precision
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_final';
COMMENT ON FUNCTION analytics_internal.anomaly_score_final(internal) IS 'Part of the aggregate anomaly_score: the score of the last value.';

CREATE AGGREGATE analytics.anomaly_score(value double precision) (
    SFUNC = analytics_internal.anomaly_score_transition, STYPE = internal, SSPACE = 2560,
    FINALFUNC = analytics_internal.anomaly_score_final, FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.anomaly_score(double precision) IS
    'anomaly_score(value) OVER (PARTITION BY ... ORDER BY ts): score of each value from the values before it, 0 to 1: 0.5 is expected once in 1,000 usual values, 1 once in a million. One pass, some 2.5 kB a partition. 0 for the first 32 values; NULL for NULL, NaN, infinities and magnitudes above 1e150, which teach nothing.';
CREATE AGGREGATE analytics.anomaly_score(value double precision, period integer) (
    SFUNC = analytics_internal.anomaly_score_seasonal_transition, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.anomaly_score_final, FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.anomaly_score(double precision, integer) IS
    'The same for a series that repeats every period values (2 to 10,080, such as 24 for hours of a day): what a season does is no anomaly. Learns the profile from the first three seasons; 16 bytes more for each value of a period. Errors: 22023 period out of range.';

-- ------------------------------------------------------------------------------------------------------ metrics
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
    IF $3 IS NULL OR $4 IS NULL OR NOT isfinite($4) THEN
        PERFORM analytics_internal.refuse_argument('to_time', $4::text, 'the end of the series is not a point in time', 'Give both ends; the start may be -infinity.');
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
    'A metric over time, from rollups, exact: ts (start of each step of 1 hour or 1 day, UTC) and value, from the first step at or after from_time that has anything to the last one that ends by to_time. Nothing happened: 0 for counts and amounts, NULL for shares and measures. Of a workspace, or narrowed to an agent, a user (by days) or a model. Errors: 22023 unknown workspace, agent, metric or step, a metric that is not known of what it is narrowed to.';

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
    window_start := CASE WHEN isfinite(bounds.window_start)
                         THEN date_bin($2, window_end - (bounds.window_end - bounds.window_start), 'epoch')
                         ELSE '-infinity' END;
END
$$;
COMMENT ON FUNCTION analytics_internal.trend_window(text, interval, timestamptz) IS
    'The time that series of a timeframe cover: whole steps, without the one that is not over at as_of. Errors: 22023 unknown timeframe or step.';

CREATE FUNCTION analytics.detect_metric_anomalies(
    workspace_id uuid, metric text, timeframe text DEFAULT '30d', agent_id uuid DEFAULT NULL, step interval DEFAULT '1 hour',
    method text DEFAULT 'auto', sensitivity double precision DEFAULT 0.5, user_id uuid DEFAULT NULL, model_name text DEFAULT NULL,
    anomalies_only boolean DEFAULT true, as_of timestamptz DEFAULT now())
RETURNS TABLE (ts timestamptz, value double precision, expected double precision, lower double precision, upper double precision,
               score double precision, is_anomaly boolean, direction text, severity text, kind text, reason text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.ts, a.value, a.expected, a.lower, a.upper, a.score, a.is_anomaly, a.direction, a.severity, a.kind, a.reason
    FROM analytics_internal.trend_window($3, $5, $11) AS w
    CROSS JOIN LATERAL (
        SELECT array_agg(s.ts ORDER BY s.ts) AS times, array_agg(s.value ORDER BY s.ts) AS series
        FROM analytics.metric_series($1, $2, w.window_start, w.window_end, $5, $4, $8, $9) AS s
    ) AS s
    CROSS JOIN LATERAL analytics.detect_anomalies(s.times, s.series, $6, $7) AS a
    WHERE a.is_anomaly OR NOT coalesce($10, true)
    ORDER BY a.ts
$$;
COMMENT ON FUNCTION analytics.detect_metric_anomalies(uuid, text, text, uuid, interval, text, double precision, uuid, text, boolean, timestamptz) IS
    'Anomalies of a metric, as detect_anomalies() finds them in metric_series(); every step with anomalies_only => false. The step that is not over at as_of is left out. Errors: 22023 as these two, unknown timeframe.';

CREATE FUNCTION analytics.forecast_metric(
    workspace_id uuid, metric text, horizon integer DEFAULT 24, timeframe text DEFAULT '30d', agent_id uuid DEFAULT NULL,
    step interval DEFAULT '1 hour', threshold double precision DEFAULT NULL, level double precision DEFAULT 0.95,
    user_id uuid DEFAULT NULL, model_name text DEFAULT NULL, events timestamptz[] DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (ts timestamptz, value double precision, lower double precision, upper double precision, trend double precision,
               seasonal double precision, probability_above double precision, probability_by double precision, chosen_method text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 24
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.ts, f.value, f.lower, f.upper, f.trend, f.seasonal, f.probability_above,
           max(f.probability_above) OVER (ORDER BY f.step), f.chosen_method
    FROM analytics_internal.trend_window($4, $6, $12) AS w
    CROSS JOIN LATERAL (
        SELECT array_agg(s.ts ORDER BY s.ts) AS times, array_agg(s.value ORDER BY s.ts) AS series
        FROM analytics.metric_series($1, $2, w.window_start, w.window_end, $6, $5, $9, $10) AS s
    ) AS s
    CROSS JOIN LATERAL analytics.forecast(s.times, s.series, $3, $8, 'auto', NULL, 0,
        (SELECT 1 FROM analytics.trend_metrics() AS m WHERE m.metric = $2 AND m.kind = 'share'), $11, $7) AS f
    ORDER BY f.step
$$;
COMMENT ON FUNCTION analytics.forecast_metric(uuid, text, integer, text, uuid, interval, double precision, double precision, uuid, text, timestamptz[], timestamptz) IS
    'Forecast of a metric, as forecast() makes it of metric_series(); never below 0, shares never above 1. With a threshold also the probability_above it at each step, and probability_by: that it has been above it by then, at least. Errors: 22023 as these two, unknown timeframe.';

CREATE FUNCTION analytics.trend_analysis(
    workspace_id uuid, metric text, timeframe text DEFAULT '30d', agent_id uuid DEFAULT NULL, step interval DEFAULT '1 day',
    confidence double precision DEFAULT 0.95, user_id uuid DEFAULT NULL, model_name text DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (window_start timestamptz, window_end timestamptz, direction text, slope_per_day double precision,
               slope_lower double precision, slope_upper double precision, tau double precision, p_value double precision,
               current_value double precision, previous_value double precision, growth_rate double precision, periods integer[])
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT w.window_start, w.window_end, t.direction, t.slope_per_day, t.slope_lower, t.slope_upper, t.tau, t.p_value,
           s.current_value, s.previous_value, (s.current_value - s.previous_value) / nullif(s.previous_value, 0),
           ARRAY(SELECT p.period FROM analytics.seasonal_periods(s.times, s.series) AS p ORDER BY p.period)
    FROM analytics_internal.trend_window($3, $5, $9) AS w
    CROSS JOIN LATERAL (
        SELECT array_agg(s.ts ORDER BY s.ts) FILTER (WHERE s.ts >= w.window_start) AS times,
               array_agg(s.value ORDER BY s.ts) FILTER (WHERE s.ts >= w.window_start) AS series,
               avg(s.value) FILTER (WHERE s.ts >= w.window_start) AS current_value,
               avg(s.value) FILTER (WHERE s.ts < w.window_start) AS previous_value
        FROM analytics.metric_series($1, $2,
            CASE WHEN isfinite(w.window_start) THEN w.window_start - (w.window_end - w.window_start) ELSE '-infinity' END,
            w.window_end, $5, $4, $7, $8) AS s
    ) AS s
    CROSS JOIN LATERAL analytics.trend_test(s.times, s.series, $6) AS t
$$;
COMMENT ON FUNCTION analytics.trend_analysis(uuid, text, text, uuid, interval, double precision, uuid, text, timestamptz) IS
    'Where a metric is going: the window, direction (up, down, none, unknown), slope_per_day with its confidence interval, tau and p_value (as trend_test), current_value and previous_value (mean of a step in the window and in the one before; NULL without values), growth_rate (0.1 is 10 %; NULL where the previous value is 0 or unknown), periods of its seasons in steps. Errors: 22023 as metric_series, unknown timeframe.';

CREATE FUNCTION analytics.execution_patterns(
    workspace_id uuid, timeframe text DEFAULT '7d', agent_id uuid DEFAULT NULL, sensitivity double precision DEFAULT 0.5,
    as_of timestamptz DEFAULT now())
RETURNS TABLE (pattern_type text, severity text, window_start timestamptz, window_end timestamptz, peak_at timestamptz,
               peak_value double precision, expected_value double precision, impact double precision, score double precision, reason text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH found AS (
        SELECT m.metric, a.ts, a.value, a.expected, a.score, a.direction, a.severity, a.reason,
               a.ts - row_number() OVER (PARTITION BY m.metric, a.direction ORDER BY a.ts) * interval '1 hour' AS island
        FROM analytics_internal.trend_window($2, '1 hour', $5) AS w
        CROSS JOIN (VALUES ('runs'), ('failed_runs'), ('p95_runtime')) AS m (metric)
        -- What is usual is learned from a month, or from the whole timeframe where that is longer.
        CROSS JOIN LATERAL (
            SELECT array_agg(s.ts ORDER BY s.ts) AS times, array_agg(s.value ORDER BY s.ts) AS series
            FROM analytics.metric_series($1, m.metric, least(w.window_start, w.window_end - interval '30 days'), w.window_end,
                                         '1 hour', $3) AS s
        ) AS s
        CROSS JOIN LATERAL analytics.detect_anomalies(s.times, s.series, 'auto', $4) AS a
        WHERE a.is_anomaly AND a.ts >= w.window_start AND a.value IS NOT NULL
          AND (m.metric = 'runs' OR a.direction = 'up')
    ), grouped AS (
        SELECT f.metric, f.direction, min(f.ts) AS window_start, max(f.ts) + interval '1 hour' AS window_end, count(*) AS hours,
               sum(f.value - f.expected) AS impact
        FROM found AS f
        GROUP BY f.metric, f.direction, f.island
    )
    SELECT CASE WHEN g.metric = 'failed_runs' THEN 'failure_surge'
                WHEN g.metric = 'p95_runtime' THEN 'anomaly'
                WHEN g.direction = 'down' THEN 'drop'
                WHEN g.hours > 1 THEN 'burst'
                ELSE 'spike' END,
           peak.severity, g.window_start, g.window_end, peak.ts, peak.value, peak.expected, g.impact, peak.score, peak.reason
    FROM grouped AS g
    CROSS JOIN LATERAL (
        SELECT f.* FROM found AS f
        WHERE f.metric = g.metric AND f.direction = g.direction AND f.ts >= g.window_start AND f.ts < g.window_end
        ORDER BY f.score DESC, abs(f.value - f.expected) DESC, f.ts
        LIMIT 1
    ) AS peak
    ORDER BY g.window_start, 1
$$;
COMMENT ON FUNCTION analytics.execution_patterns(uuid, text, uuid, double precision, timestamptz) IS
    'Hours that were not as usual, neighbours together: pattern_type (spike: one hour of many runs, burst: several, drop: few runs, failure_surge: many failures, anomaly: run times far from usual), severity (low, medium, high, critical), window, peak and what was expected there, impact (sum of value less expected: runs, failures, or seconds of the 95th percentile), score, reason. What is usual is learned from 30 days, or from the timeframe where that is longer. Errors: 22023 unknown workspace, agent or timeframe, sensitivity outside 0..1.';

-- ---------------------------------------------------------------------------------------------------- persisted
CREATE FUNCTION analytics.watch_metric(
    workspace_id uuid, metric text, agent_id uuid DEFAULT NULL, step interval DEFAULT '1 hour', method text DEFAULT 'auto',
    sensitivity double precision DEFAULT 0.5, is_alerting boolean DEFAULT false, user_id uuid DEFAULT NULL, model_name text DEFAULT NULL)
RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    rule uuid;
BEGIN
    PERFORM analytics_internal.require_level($1, 'admin');
    IF $3 IS NOT NULL THEN
        PERFORM analytics_internal.require_agent($1, $3);
    END IF;
    INSERT INTO analytics.anomaly_rules AS r (workspace_id, metric, agent_id, step, method, sensitivity, is_alerting, user_id, model_name)
    VALUES ($1, $2, $3, $4, coalesce($5, 'auto'), coalesce($6, 0.5), coalesce($7, false), $8, $9)
    ON CONFLICT (workspace_id, metric, step, agent_id, user_id, model_name)
    DO UPDATE SET method = excluded.method, sensitivity = excluded.sensitivity, is_alerting = excluded.is_alerting, is_active = true
    RETURNING r.rule_id INTO rule;
    RETURN rule;
END
$$;
COMMENT ON FUNCTION analytics.watch_metric(uuid, text, uuid, interval, text, double precision, boolean, uuid, text) IS
    'Has refresh_trends() look for anomalies of a metric; returns the rule. A series that is watched already gets the new settings. For admins of the workspace. Errors: 22023 unknown agent, 23514 unknown metric, step or method, 42501 not an admin.';

CREATE FUNCTION analytics.acknowledge_anomaly(workspace_id uuid, rule_id uuid, detected_for timestamptz, note text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_level($1, 'admin');
    UPDATE analytics.anomaly_detections AS d
    SET acknowledged_at = now(), acknowledged_by = coalesce(analytics.current_user_id()::text, session_user::text), note = coalesce($4, d.note)
    WHERE d.workspace_id = $1 AND d.rule_id = $2 AND d.detected_for = $3 AND d.acknowledged_at IS NULL;
    IF FOUND THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM analytics.anomaly_detections AS d WHERE d.workspace_id = $1 AND d.rule_id = $2 AND d.detected_for = $3) THEN
        PERFORM analytics_internal.refuse_argument('detected_for', $3::text, 'there is no such anomaly', 'Take rule_id and detected_for from analytics.anomaly_detections.');
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION analytics.acknowledge_anomaly(uuid, uuid, timestamptz, text) IS
    'Marks an anomaly as seen, by whom, with a note; true, or false where it was already. For admins of the workspace. Errors: 22023 no such anomaly, 42501 not an admin.';

CREATE FUNCTION analytics_internal.evaluate_rule(workspace_id uuid, rule_id uuid, as_of timestamptz) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    rule       analytics.anomaly_rules;
    window_end timestamptz;
    start      timestamptz;
    times      timestamptz[];
    series     double precision[];
    previous   double precision;
    found_rows integer;
BEGIN
    SELECT r.* INTO STRICT rule FROM analytics.anomaly_rules AS r WHERE r.workspace_id = $1 AND r.rule_id = $2;
    window_end := date_bin(rule.step, $3, 'epoch');
    start := date_bin(rule.step, window_end - rule.lookback, 'epoch');
    SELECT array_agg(s.ts ORDER BY s.ts) FILTER (WHERE s.ts >= start), array_agg(s.value ORDER BY s.ts) FILTER (WHERE s.ts >= start),
           avg(s.value) FILTER (WHERE s.ts < start)
    INTO times, series, previous
    FROM analytics.metric_series($1, rule.metric, start - rule.lookback, window_end, rule.step, rule.agent_id, rule.user_id,
                                 rule.model_name) AS s;

    INSERT INTO analytics.anomaly_detections (workspace_id, rule_id, detected_for, metric, agent_id, user_id, model_name, value,
        expected, lower, upper, score, direction, severity, anomaly_type, method, reason)
    SELECT $1, $2, a.ts, rule.metric, rule.agent_id, rule.user_id, rule.model_name, a.value, a.expected, a.lower, a.upper, a.score,
           a.direction, a.severity, a.kind, rule.method, a.reason
    FROM analytics.detect_anomalies(times, series, rule.method, rule.sensitivity) AS a
    WHERE a.is_anomaly AND (rule.evaluated_until IS NULL OR a.ts >= rule.evaluated_until)
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS found_rows = ROW_COUNT;

    INSERT INTO analytics.trend_analysis AS t (workspace_id, rule_id, metric, agent_id, user_id, model_name, window_start, window_end,
        direction, slope_per_day, slope_lower, slope_upper, p_value, current_value, previous_value, growth_rate, periods)
    SELECT $1, $2, rule.metric, rule.agent_id, rule.user_id, rule.model_name, start, window_end, t.direction, t.slope_per_day,
           t.slope_lower, t.slope_upper, t.p_value, m.mean, previous, (m.mean - previous) / nullif(previous, 0),
           ARRAY(SELECT p.period FROM analytics.seasonal_periods(times, series) AS p ORDER BY p.period)
    FROM analytics.trend_test(times, series) AS t
    CROSS JOIN (SELECT avg(x) AS mean FROM unnest(series) AS x) AS m
    ON CONFLICT (workspace_id, rule_id) DO UPDATE SET
        window_start = excluded.window_start, window_end = excluded.window_end, direction = excluded.direction,
        slope_per_day = excluded.slope_per_day, slope_lower = excluded.slope_lower, slope_upper = excluded.slope_upper,
        p_value = excluded.p_value, current_value = excluded.current_value, previous_value = excluded.previous_value,
        growth_rate = excluded.growth_rate, periods = excluded.periods, analysed_at = now();

    UPDATE analytics.anomaly_rules AS r
    SET evaluated_until = window_end, evaluated_at = clock_timestamp(), error_code = NULL, error_message = NULL,
        status = CASE WHEN (SELECT count(x) FROM unnest(series) AS x) < 8 THEN 'too_short' ELSE 'ok' END
    WHERE r.workspace_id = $1 AND r.rule_id = $2;
    RETURN found_rows;
END
$$;
COMMENT ON FUNCTION analytics_internal.evaluate_rule(uuid, uuid, timestamptz) IS
    'Looks for anomalies of one rule''s series in the buckets that are new since the last time, and at its trend; returns how many anomalies were new. Reads twice the lookback of the rule.';

CREATE FUNCTION analytics_internal.refresh_trends(workspace_id uuid, max_series integer, as_of timestamptz)
RETURNS TABLE (evaluated integer, anomalies integer, failed integer, remaining bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    due record;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $1 IS NOT NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    END IF;
    IF $2 IS NULL OR $2 < 1 THEN
        PERFORM analytics_internal.refuse_argument('max_series', $2::text, 'it is not a number of series', 'Give at least 1.');
    END IF;
    IF $3 IS NULL OR NOT isfinite($3) THEN
        PERFORM analytics_internal.refuse_argument('as_of', $3::text, 'it is not a point in time', 'Leave it out to get the time of now.');
    END IF;
    evaluated := 0;
    anomalies := 0;
    failed := 0;
    FOR due IN
        SELECT r.workspace_id AS workspace, r.rule_id AS rule
        FROM analytics.anomaly_rules AS r
        WHERE r.is_active AND ($1 IS NULL OR r.workspace_id = $1)
          AND (r.evaluated_until IS NULL OR r.evaluated_until < date_bin(r.step, $3, 'epoch'))
        ORDER BY r.evaluated_at NULLS FIRST, r.workspace_id, r.rule_id
        LIMIT $2
        -- Another session evaluates these.
        FOR UPDATE SKIP LOCKED
    LOOP
        BEGIN
            anomalies := anomalies + analytics_internal.evaluate_rule(due.workspace, due.rule, $3);
            evaluated := evaluated + 1;
        EXCEPTION WHEN OTHERS THEN
            failed := failed + 1;
            UPDATE analytics.anomaly_rules AS r
            SET evaluated_at = clock_timestamp(), status = 'failed', error_code = SQLSTATE, error_message = SQLERRM
            WHERE r.workspace_id = due.workspace AND r.rule_id = due.rule;
        END;
    END LOOP;
    SELECT count(*) INTO remaining
    FROM analytics.anomaly_rules AS r
    WHERE r.is_active AND ($1 IS NULL OR r.workspace_id = $1)
      AND (r.evaluated_until IS NULL OR r.evaluated_until < date_bin(r.step, $3, 'epoch'));
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION analytics_internal.refresh_trends(uuid, integer, timestamptz) IS 'What refresh_trends() does, as the owner of the tables.';

CREATE FUNCTION analytics.refresh_trends(workspace_id uuid DEFAULT NULL, max_series integer DEFAULT 1000, as_of timestamptz DEFAULT now())
RETURNS TABLE (evaluated integer, anomalies integer, failed integer, remaining bigint)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.refresh_trends(uuid, integer, timestamptz) IS
    'Evaluates the active rules of a workspace, or of all, that have a new bucket, those first that waited longest, at most max_series: writes anomaly_detections and trend_analysis. Costs as much as the lookback of a rule holds, whatever was stored before. One row: evaluated series, new anomalies, failed series (status, error_code and error_message of the rule tell why; the others go on), remaining ones. For the owner of the tables. Errors: 22023 unknown workspace, argument out of range, 55000 setup() has not run.';
