-- Trends: anomalies, forecasts and trends of arrays, whose functions are in src/trends/.

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
