-- What is watched for anomalies, what was found, and where metrics are going.

CREATE TABLE analytics.anomaly_rules (
    workspace_id    uuid        NOT NULL,
    rule_id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    metric          text        NOT NULL,
    agent_id        uuid,
    user_id         uuid,
    model_name      text,
    step            interval    NOT NULL DEFAULT '1 hour',
    lookback        interval    NOT NULL DEFAULT '30 days',
    method          text        NOT NULL DEFAULT 'auto',
    sensitivity     double precision NOT NULL DEFAULT 0.5,
    is_active       boolean     NOT NULL DEFAULT true,
    is_alerting     boolean     NOT NULL DEFAULT false,
    evaluated_until timestamptz,
    evaluated_at    timestamptz,
    status          text        NOT NULL DEFAULT 'new',
    error_code      text,
    error_message   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT anomaly_rules_pkey PRIMARY KEY (workspace_id, rule_id),
    CONSTRAINT anomaly_rules_workspace_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT anomaly_rules_metric_check CHECK (
        metric IN ('runs', 'failed_runs', 'success_rate', 'failure_rate', 'avg_runtime', 'p50_runtime', 'p95_runtime',
                   'credits', 'tokens', 'errors', 'active_users', 'avg_rating', 'queue_latency')
        OR analytics_internal.refuse('metric', metric, 'it is not a metric', 'Use a name from analytics.trend_metrics().')),
    CONSTRAINT anomaly_rules_method_check CHECK (
        method IN ('auto', 'streaming', 'seasonal', 'robust', 'level_shift')
        OR analytics_internal.refuse('method', method, 'it is not a detector', 'Use one of auto, streaming, seasonal, robust, level_shift.')),
    CONSTRAINT anomaly_rules_sensitivity_check CHECK (
        sensitivity > 0 AND sensitivity < 1
        OR analytics_internal.refuse('sensitivity', sensitivity::text, 'it is not between 0 and 1', '0.5 finds what is expected once in 1,000 values.')),
    CONSTRAINT anomaly_rules_step_check CHECK (
        step IN ('1 hour', '1 day')
        OR analytics_internal.refuse('step', step::text, 'it is not a step', 'Use 1 hour or 1 day.')),
    CONSTRAINT anomaly_rules_lookback_check CHECK (
        lookback BETWEEN '1 day' AND '366 days'
        OR analytics_internal.refuse('lookback', lookback::text, 'it is not a stretch of time to learn from', 'Use 1 day to 366 days.')),
    CONSTRAINT anomaly_rules_status_check CHECK (
        status IN ('new', 'ok', 'too_short', 'failed')
        OR analytics_internal.refuse('status', status, 'it is not a status', 'Use one of new, ok, too_short, failed.'))
);
-- One rule for one series, so that watch_metric() can be repeated.
CREATE UNIQUE INDEX anomaly_rules_series_key ON analytics.anomaly_rules
    (workspace_id, metric, step, agent_id, user_id, model_name) NULLS NOT DISTINCT;

COMMENT ON TABLE  analytics.anomaly_rules IS 'Series that refresh_trends() watches for anomalies, and how. One row per workspace, metric, step and what it is narrowed to.';
COMMENT ON COLUMN analytics.anomaly_rules.workspace_id IS 'Workspace.';
COMMENT ON COLUMN analytics.anomaly_rules.rule_id IS 'Key of the rule.';
COMMENT ON COLUMN analytics.anomaly_rules.metric IS 'What is watched: a name from trend_metrics().';
COMMENT ON COLUMN analytics.anomaly_rules.agent_id IS 'Only this agent; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_rules.user_id IS 'Only this user; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_rules.model_name IS 'Only this model; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_rules.step IS 'Buckets: 1 hour or 1 day.';
COMMENT ON COLUMN analytics.anomaly_rules.lookback IS 'How far back a refresh looks for what is usual.';
COMMENT ON COLUMN analytics.anomaly_rules.method IS 'Detector, as in detect_anomalies().';
COMMENT ON COLUMN analytics.anomaly_rules.sensitivity IS 'Between 0 and 1: a score of 1 less this is an anomaly.';
COMMENT ON COLUMN analytics.anomaly_rules.is_active IS 'Whether refresh_trends() looks at it.';
COMMENT ON COLUMN analytics.anomaly_rules.is_alerting IS 'Whether its anomalies should raise alerts.';
COMMENT ON COLUMN analytics.anomaly_rules.evaluated_until IS 'End of the last bucket that was judged; NULL: none yet.';
COMMENT ON COLUMN analytics.anomaly_rules.evaluated_at IS 'When it was evaluated last; NULL: never.';
COMMENT ON COLUMN analytics.anomaly_rules.status IS 'new, ok, too_short (less than 8 values to learn from) or failed, which does not stop the others.';
COMMENT ON COLUMN analytics.anomaly_rules.error_code IS 'SQLSTATE of the failure; NULL where there was none.';
COMMENT ON COLUMN analytics.anomaly_rules.error_message IS 'Message of the failure; NULL where there was none.';
COMMENT ON COLUMN analytics.anomaly_rules.created_at IS 'When the rule was made.';

CREATE TABLE analytics.anomaly_detections (
    workspace_id    uuid        NOT NULL,
    rule_id         uuid        NOT NULL,
    detected_for    timestamptz NOT NULL,
    metric          text        NOT NULL,
    agent_id        uuid,
    user_id         uuid,
    model_name      text,
    value           double precision,
    expected        double precision,
    lower           double precision,
    upper           double precision,
    score           double precision NOT NULL,
    direction       text,
    severity        text        NOT NULL,
    anomaly_type    text        NOT NULL,
    method          text        NOT NULL,
    reason          text        NOT NULL,
    detected_at     timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    note            text,
    CONSTRAINT anomaly_detections_pkey PRIMARY KEY (workspace_id, rule_id, detected_for),
    CONSTRAINT anomaly_detections_rule_fkey FOREIGN KEY (workspace_id, rule_id)
        REFERENCES analytics.anomaly_rules (workspace_id, rule_id) ON DELETE CASCADE,
    CONSTRAINT anomaly_detections_severity_check CHECK (
        severity IN ('low', 'medium', 'high', 'critical')
        OR analytics_internal.refuse('severity', severity, 'it is not a severity', 'Use one of low, medium, high, critical.')),
    CONSTRAINT anomaly_detections_type_check CHECK (
        anomaly_type IN ('point', 'level_shift', 'variance', 'missing')
        OR analytics_internal.refuse('anomaly_type', anomaly_type, 'it is not a kind of anomaly', 'Use one of point, level_shift, variance, missing.'))
);
CREATE INDEX anomaly_detections_time_idx ON analytics.anomaly_detections (workspace_id, detected_for DESC);

COMMENT ON TABLE  analytics.anomaly_detections IS 'Anomalies that refresh_trends() has found, one row per rule and bucket; acknowledge_anomaly() marks them as seen.';
COMMENT ON COLUMN analytics.anomaly_detections.workspace_id IS 'Workspace.';
COMMENT ON COLUMN analytics.anomaly_detections.rule_id IS 'Rule that found it.';
COMMENT ON COLUMN analytics.anomaly_detections.detected_for IS 'Start of the bucket that is an anomaly.';
COMMENT ON COLUMN analytics.anomaly_detections.metric IS 'Metric of the rule.';
COMMENT ON COLUMN analytics.anomaly_detections.agent_id IS 'Agent of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_detections.user_id IS 'User of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_detections.model_name IS 'Model of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.anomaly_detections.value IS 'Value of the bucket, in the unit of the metric; NULL where it is missing.';
COMMENT ON COLUMN analytics.anomaly_detections.expected IS 'What was expected; NULL where nothing was.';
COMMENT ON COLUMN analytics.anomaly_detections.lower IS 'Usual values are not below; NULL where that is unknown.';
COMMENT ON COLUMN analytics.anomaly_detections.upper IS 'Usual values are not above; NULL where that is unknown.';
COMMENT ON COLUMN analytics.anomaly_detections.score IS '0 to 1: 0.5 is expected once in 1,000 values, 1 once in a million.';
COMMENT ON COLUMN analytics.anomaly_detections.direction IS 'up or down; NULL for a missing value.';
COMMENT ON COLUMN analytics.anomaly_detections.severity IS 'low, medium, high or critical: quarters of the way from the rule''s limit to a score of 1.';
COMMENT ON COLUMN analytics.anomaly_detections.anomaly_type IS 'point, level_shift, variance or missing.';
COMMENT ON COLUMN analytics.anomaly_detections.method IS 'Detector of the rule.';
COMMENT ON COLUMN analytics.anomaly_detections.reason IS 'Why, in words.';
COMMENT ON COLUMN analytics.anomaly_detections.detected_at IS 'When it was found.';
COMMENT ON COLUMN analytics.anomaly_detections.acknowledged_at IS 'When somebody marked it as seen; NULL: not yet.';
COMMENT ON COLUMN analytics.anomaly_detections.acknowledged_by IS 'Who did: the user of the token, or the database role.';
COMMENT ON COLUMN analytics.anomaly_detections.note IS 'What they had to say; NULL: nothing.';

CREATE TABLE analytics.trend_analysis (
    workspace_id   uuid        NOT NULL,
    rule_id        uuid        NOT NULL,
    metric         text        NOT NULL,
    agent_id       uuid,
    user_id        uuid,
    model_name     text,
    window_start   timestamptz NOT NULL,
    window_end     timestamptz NOT NULL,
    direction      text        NOT NULL,
    slope_per_day  double precision,
    slope_lower    double precision,
    slope_upper    double precision,
    p_value        double precision,
    current_value  double precision,
    previous_value double precision,
    growth_rate    double precision,
    periods        integer[]   NOT NULL DEFAULT '{}',
    analysed_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trend_analysis_pkey PRIMARY KEY (workspace_id, rule_id),
    CONSTRAINT trend_analysis_rule_fkey FOREIGN KEY (workspace_id, rule_id)
        REFERENCES analytics.anomaly_rules (workspace_id, rule_id) ON DELETE CASCADE,
    CONSTRAINT trend_analysis_direction_check CHECK (
        direction IN ('up', 'down', 'none', 'unknown')
        OR analytics_internal.refuse('direction', direction, 'it is not a direction', 'Use one of up, down, none, unknown.'))
);

COMMENT ON TABLE  analytics.trend_analysis IS 'Where each watched series is going, as of the last refresh_trends(); trend_analysis() computes the same at once.';
COMMENT ON COLUMN analytics.trend_analysis.workspace_id IS 'Workspace.';
COMMENT ON COLUMN analytics.trend_analysis.rule_id IS 'Rule that names the series.';
COMMENT ON COLUMN analytics.trend_analysis.metric IS 'Metric of the rule.';
COMMENT ON COLUMN analytics.trend_analysis.agent_id IS 'Agent of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.trend_analysis.user_id IS 'User of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.trend_analysis.model_name IS 'Model of the rule; NULL: all together.';
COMMENT ON COLUMN analytics.trend_analysis.window_start IS 'Start of the time that was looked at.';
COMMENT ON COLUMN analytics.trend_analysis.window_end IS 'Its end, excluded.';
COMMENT ON COLUMN analytics.trend_analysis.direction IS 'up, down, none (chance would do the same) or unknown (fewer than 4 values).';
COMMENT ON COLUMN analytics.trend_analysis.slope_per_day IS 'Median change per day, in the unit of the metric; NULL where the direction is unknown.';
COMMENT ON COLUMN analytics.trend_analysis.slope_lower IS 'Lower end of its 95 % confidence interval.';
COMMENT ON COLUMN analytics.trend_analysis.slope_upper IS 'Upper end of its 95 % confidence interval.';
COMMENT ON COLUMN analytics.trend_analysis.p_value IS 'Probability of such a trend in a series without one (Mann and Kendall).';
COMMENT ON COLUMN analytics.trend_analysis.current_value IS 'Mean of a bucket in the window; NULL without values.';
COMMENT ON COLUMN analytics.trend_analysis.previous_value IS 'The same in the window of equal length before; NULL without values.';
COMMENT ON COLUMN analytics.trend_analysis.growth_rate IS 'Change against the previous window, as a share of it; NULL where that is zero or unknown.';
COMMENT ON COLUMN analytics.trend_analysis.periods IS 'Seasons of the series, in buckets.';
COMMENT ON COLUMN analytics.trend_analysis.analysed_at IS 'When it was computed.';

SELECT analytics_internal.protect_table('analytics.anomaly_rules', 'viewer', 'admin', 'admin');
SELECT analytics_internal.protect_table('analytics.anomaly_detections', 'viewer', NULL, 'admin');
SELECT analytics_internal.protect_table('analytics.trend_analysis', 'viewer', NULL, NULL);
SELECT analytics_internal.hide_values('analytics.anomaly_rules', 'user_id', 'error_message');
SELECT analytics_internal.hide_values('analytics.anomaly_detections', 'user_id', 'reason', 'acknowledged_by', 'note');
SELECT analytics_internal.hide_values('analytics.trend_analysis', 'user_id');
