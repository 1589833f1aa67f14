-- Anomalies, forecasts and trends, as a user would type them. Random-looking values are made by md5, the same everywhere;
-- numbers are rounded to what the methods promise.
\set SHOW_CONTEXT never
\set sqlstate '\\echo :SQLSTATE'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
SET search_path = analytics, public;

------------------------------------------------------------------------------------------------------------------------
-- Series as arrays
------------------------------------------------------------------------------------------------------------------------
-- Twenty days of hours with a daily wave; two values that are usual at another hour, a gap, and a spike.
CREATE TABLE public.load AS
SELECT timestamptz '2026-01-01 00:00+00' + h * interval '1 hour' AS ts,
       50 + 10 * sin(h * pi() / 12) + ('x' || substr(md5(h::text), 1, 6))::bit(24)::int / 16777216.0 * 3
           + CASE h WHEN 306 THEN -18 WHEN 400 THEN 40 ELSE 0 END AS x
FROM generate_series(0, 479) AS h WHERE h <> 200;
CREATE VIEW public.series AS SELECT array_agg(ts ORDER BY ts) AS times, array_agg(x ORDER BY ts) AS "values" FROM public.load;

SELECT a.ts, round(a.value) AS value, round(a.expected) AS expected, a.lower < a.expected AND a.expected < a.upper AS inside,
       a.score >= 0.5 AS scored, a.direction, a.severity, a.kind
FROM series AS s, detect_anomalies(s.times, s."values") AS a WHERE a.is_anomaly ORDER BY a.ts;
SELECT a.reason FROM series AS s, detect_anomalies(s.times, s."values") AS a WHERE a.is_anomaly AND a.kind = 'missing';
SELECT a.method, count(*) FILTER (WHERE b.is_anomaly) > 0 AS found, count(*) AS rows
FROM series AS s, unnest(ARRAY['auto', 'streaming', 'seasonal', 'robust', 'level_shift']) AS a (method)
CROSS JOIN LATERAL detect_anomalies(s.times, s."values", a.method) AS b GROUP BY a.method ORDER BY a.method;
-- More sensitivity finds more.
SELECT bool_and(more >= fewer) AS monotone FROM (
    SELECT count(*) FILTER (WHERE a.is_anomaly) AS more, lag(count(*) FILTER (WHERE a.is_anomaly), 1, 0::bigint) OVER (ORDER BY w) AS fewer
    FROM series AS s, unnest(ARRAY[0.1, 0.3, 0.5, 0.7]) AS w, detect_anomalies(s.times, s."values", 'auto', w) AS a GROUP BY w) AS c;

SELECT period, duration, round(strength::numeric, 1) AS strength FROM series AS s, seasonal_periods(s.times, s."values");
SELECT count(*), max(abs(d.value - d.trend - d.seasonal - d.remainder)) < 1e-9 AS adds_up, round(max(d.seasonal)) AS highest, min(d.used_periods) AS periods
FROM series AS s, decompose(s.times, s."values") AS d;
SELECT direction, round(slope_per_day::numeric, 0) AS slope, num_vals FROM series AS s, trend_test(s.times, s."values");
SELECT c.ts, c.kind, round(c.before) AS before, round(c.after) AS after, round(c.confidence::numeric, 3) AS confidence
FROM (SELECT array_agg(ts ORDER BY ts) AS times, array_agg(CASE WHEN ts < '2026-01-11' THEN 10 ELSE 20 END + x - 50 - 10 * sin(extract(hour FROM ts) * pi() / 12) ORDER BY ts) AS v
      FROM load WHERE ts NOT IN ('2026-01-13 18:00+00', '2026-01-17 16:00+00')) AS s, change_points(s.times, s.v) AS c;
SELECT * FROM outliers(ARRAY[1, 2, 3, 2, 1, NULL, 2, 3, 900]) WHERE is_outlier OR value IS NULL;

SELECT f.step, f.ts, abs(f.value - 51.5 - 10 * sin((479 + f.step) * pi() / 12)) < 2 AS near, f.lower < f.value AND f.value < f.upper AS inside,
       abs(f.trend + f.seasonal + f.event - f.value) < 1e-9 AS adds_up, f.probability_above > 0.5 AS above_50
FROM series AS s, forecast(s.times, s."values", 12, threshold => 50) AS f;
SELECT DISTINCT f.chosen_method FROM series AS s, forecast(s.times, s."values", 2, method => 'theta') AS f;
SELECT f.value, f.lower, f.upper FROM forecast('{2026-01-01,2026-01-02,2026-01-03}', '{1,3,2}', 2, floor => 0, cap => 2.5) AS f;
-- Months have no length of their own.
SELECT f.ts FROM forecast('{2025-10-01,2025-11-01,2025-12-01}', '{1,2,3}', 3) AS f;
SELECT count(*), bool_and(b.mase < 3) AS as_good, bool_and(b.coverage > 0.7) AS covered FROM series AS s, backtest(s.times, s."values", 24) AS b;

-- Two metrics that go together, and one hour in which they do not.
SELECT g.ts, g.is_anomaly, g.strongest_metric IS NOT NULL AS named
FROM (SELECT array_agg(ts) AS times, array_agg(metric) AS metrics, array_agg(y) AS v
      FROM (SELECT ts, 'runs' AS metric, x AS y FROM load
            UNION ALL
            SELECT ts, 'tokens', 100 * x + CASE WHEN ts = '2026-01-09 00:00+00' THEN -2000 ELSE ('x' || substr(md5(ts::text), 1, 4))::bit(16)::int / 3000.0 END FROM load) AS m) AS s,
     detect_group_anomalies(s.times, s.metrics, s.v) AS g
WHERE g.ts = '2026-01-09 00:00+00';

------------------------------------------------------------------------------------------------------------------------
-- In a window
------------------------------------------------------------------------------------------------------------------------
SELECT ts, score >= 0.5 AS is_anomaly FROM (SELECT ts, anomaly_score(x, 24) OVER (ORDER BY ts) AS score FROM load) AS s
WHERE ts IN ('2026-01-13 18:00+00', '2026-01-13 19:00+00', '2026-01-17 16:00+00') ORDER BY ts;
SELECT count(*) FILTER (WHERE score >= 0.5) AS anomalies, min(score), max(score) <= 1 AS bounded
FROM (SELECT anomaly_score(x) OVER (ORDER BY ts) AS score FROM load) AS s WHERE score IS NOT NULL;
-- No value, no score; and it teaches nothing.
SELECT array_agg(score ORDER BY i) AS scores FROM (SELECT i, anomaly_score(x) OVER (ORDER BY i) AS score
    FROM unnest('{1,NULL,NaN,Infinity,2}'::float8[]) WITH ORDINALITY AS t (x, i)) AS s;
SELECT anomaly_score(x) FROM load WHERE false;
SELECT anomaly_score(x, 0) FROM load; :sqlstate
SELECT anomaly_score(x, NULL) FROM load; :sqlstate

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
SELECT * FROM detect_anomalies('{2026-01-01}', '{1,2}'); :sqlstate
SELECT * FROM detect_anomalies('{2026-01-01,2026-01-01}', '{1,2}'); :sqlstate
SELECT * FROM detect_anomalies('{2026-01-01}', '{1}', 'magic'); :sqlstate
SELECT * FROM detect_anomalies('{2026-01-01}', '{1}', sensitivity => 1); :sqlstate
SELECT * FROM forecast('{2026-01-01}', '{1}', 0); :sqlstate
SELECT * FROM forecast('{2026-01-01}', '{1}', 1000000); :sqlstate
SELECT * FROM forecast('{2026-01-01}', '{1}', 1, method => 'magic'); :sqlstate
SELECT * FROM forecast('{2026-01-01}', '{1}', 1, floor => 2, cap => 1); :sqlstate
SELECT * FROM decompose('{2026-01-01,2026-01-01 00:00:01,2027-01-01}', '{1,2,3}'); :sqlstate
SELECT * FROM backtest('{2026-01-01}', '{1}', 1, 1000); :sqlstate
-- Little has an answer.
SELECT * FROM forecast('{}', '{}', 3);
SELECT step, value, lower, upper, chosen_method FROM forecast('{2026-01-01}', '{7}', 2);
SELECT count(*), count(score) FROM detect_anomalies('{2026-01-01,2026-01-02,2026-01-03}', '{1,2,3}');
SELECT count(*) FILTER (WHERE is_anomaly) AS anomalies, max(score) FROM (
    SELECT array_agg(timestamptz '2026-01-01' + i * interval '1 day') AS t, array_agg(5.0) AS v FROM generate_series(1, 200) AS i) AS s,
    detect_anomalies(s.t, s.v);

------------------------------------------------------------------------------------------------------------------------
-- Metrics of a workspace
------------------------------------------------------------------------------------------------------------------------
\set tick 'a0000000-0000-4000-8000-0000000000d1'
\set bot 'c0000000-0000-4000-8000-0000000000d1'
INSERT INTO workspaces (workspace_id, name) VALUES (:'tick', 'Tick');
INSERT INTO agent_runs (workspace_id, run_id, agent_id, status, started_at, completed_at, runtime_seconds)
SELECT :'tick', md5(h || ' ' || k)::uuid, :'bot', CASE WHEN k = 3 THEN 'failed' ELSE 'completed' END,
       t, t + interval '5 seconds', 5
FROM generate_series(0, 239) AS h
CROSS JOIN LATERAL generate_series(1, CASE WHEN h = 200 THEN 90 ELSE 5 + ('x' || substr(md5(h::text), 1, 2))::bit(8)::int % 4 END) AS k
CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01 00:00+00' + h * interval '1 hour' + k * interval '20 seconds') AS x (t);
SELECT metric, unit, kind FROM trend_metrics();
SELECT * FROM metric_series(:'tick', 'runs', '2026-01-09 06:00+00', '2026-01-09 10:59+00');
SELECT ts, round(value::numeric, 3) AS value FROM metric_series(:'tick', 'success_rate', '-infinity', '2026-01-12 00:00+00', '1 day', agent_id => :'bot');
SELECT ts, value, direction, severity, kind FROM detect_metric_anomalies(:'tick', 'runs', as_of => '2026-01-11 00:30+00');
SELECT pattern_type, severity, window_start, window_end, peak_value FROM execution_patterns(:'tick', as_of => '2026-01-11 00:30+00') WHERE pattern_type = 'spike';
SELECT ts, value >= 0 AND lower >= 0 AS possible, probability_above < 0.1 AS unlikely FROM forecast_metric(:'tick', 'runs', 2, threshold => 50, as_of => '2026-01-11 00:30+00');
SELECT direction, current_value = previous_value AS same FROM trend_analysis(:'tick', 'p50_runtime', '7d', as_of => '2026-01-11 00:30+00');
SELECT watch_metric(:'tick', 'runs', sensitivity => 0.4) IS NOT NULL AS watched;
SELECT * FROM refresh_trends(:'tick', as_of => '2026-01-11 00:30+00');
SELECT * FROM refresh_trends(:'tick', as_of => '2026-01-11 00:45+00');
SELECT detected_for, metric, value, severity, anomaly_type, acknowledged_at IS NULL AS open FROM anomaly_detections WHERE workspace_id = :'tick';
SELECT acknowledge_anomaly(:'tick', rule_id, detected_for, 'a campaign') FROM anomaly_detections WHERE workspace_id = :'tick';
SELECT status, evaluated_until, error_code FROM anomaly_rules WHERE workspace_id = :'tick';
SELECT metric, direction, window_end FROM analytics.trend_analysis WHERE workspace_id = :'tick';

SELECT * FROM metric_series(:'tick', 'happiness', '-infinity', '2026-01-02'); :sqlstate
SELECT * FROM metric_series(:'tick', 'runs', '-infinity', '2026-01-02', '5 minutes'); :sqlstate
SELECT * FROM metric_series(:'tick', 'runs', '-infinity', 'infinity'); :sqlstate
SELECT * FROM metric_series(:'tick', 'errors', '-infinity', '2026-01-02', model_name => 'm'); :sqlstate
SELECT * FROM detect_metric_anomalies(:'tick', 'runs', '5d'); :sqlstate
SELECT watch_metric(:'tick', 'happiness'); :sqlstate
SELECT acknowledge_anomaly(:'tick', :'tick', '2026-01-01'); :sqlstate
SELECT * FROM refresh_trends(max_series => 0); :sqlstate

\set QUIET on
DELETE FROM workspaces WHERE workspace_id = :'tick';
DROP VIEW public.series;
DROP TABLE public.load;
