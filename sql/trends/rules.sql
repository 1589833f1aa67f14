-- Trends: metrics that are watched, and what was found in them.

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
