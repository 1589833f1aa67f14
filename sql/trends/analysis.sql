-- Trends: anomalies, forecasts and trends of those metrics.

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
        SELECT array_agg(s.ts ORDER BY s.ts) FILTER (WHERE s.ts >= coalesce(w.window_start, '-infinity')) AS times,
               array_agg(s.value ORDER BY s.ts) FILTER (WHERE s.ts >= coalesce(w.window_start, '-infinity')) AS series,
               avg(s.value) FILTER (WHERE s.ts >= coalesce(w.window_start, '-infinity')) AS current_value,
               avg(s.value) FILTER (WHERE s.ts < w.window_start) AS previous_value
        FROM analytics.metric_series($1, $2,
            w.window_start - (w.window_end - w.window_start), w.window_end, $5, $4, $7, $8) AS s
    ) AS s
    CROSS JOIN LATERAL analytics.trend_test(s.times, s.series, $6) AS t
$$;
COMMENT ON FUNCTION analytics.trend_analysis(uuid, text, text, uuid, interval, double precision, uuid, text, timestamptz) IS
    'Where a metric is going: the window (window_start is NULL for all), direction (up, down, none, unknown), slope_per_day with its confidence interval, tau and p_value (as trend_test), current_value and previous_value (mean of a step in the window and in the one before; NULL without values), growth_rate (0.1 is 10 %; NULL where the previous value is 0 or unknown), periods of its seasons in steps. Errors: 22023 as metric_series, unknown timeframe.';

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
            FROM analytics.metric_series($1, m.metric,
                CASE WHEN w.window_start IS NOT NULL THEN least(w.window_start, w.window_end - interval '30 days') END,
                w.window_end, '1 hour', $3) AS s
        ) AS s
        CROSS JOIN LATERAL analytics.detect_anomalies(s.times, s.series, 'auto', $4) AS a
        WHERE a.is_anomaly AND a.ts >= coalesce(w.window_start, '-infinity') AND a.value IS NOT NULL
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
