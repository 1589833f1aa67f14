-- Suggestions: rules over measures of agents, what they cost, and whether following them helped.

CREATE FUNCTION analytics_internal.suggestion_metrics() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY[
    'total_runs', 'finished_runs', 'successful_runs', 'unsuccessful_runs', 'timeout_runs', 'cancelled_runs',
    'success_rate', 'failure_rate', 'timeout_rate', 'cancel_rate',
    'avg_runtime_seconds', 'p50_runtime_seconds', 'p95_runtime_seconds', 'p99_runtime_seconds', 'p95_to_p50',
    'credits_consumed', 'credits_per_run', 'credits_per_success', 'workspace_credits_per_run', 'excess_credits', 'wasted_credits',
    'tokens_per_run', 'prompt_tokens_per_run', 'completion_tokens_per_run', 'half_prompt_tokens',
    'unique_users', 'avg_rating', 'total_ratings', 'avg_feedback_rating',
    'total_errors', 'critical_errors', 'recovered_errors', 'unrecovered_errors', 'recovery_rate', 'recovery_attempts',
    'attempts_per_error', 'rate_limit_errors', 'validation_errors', 'auth_errors', 'network_errors', 'model_errors',
    'resource_errors', 'errors_per_run',
    'timeout_peak_share', 'timeout_peak_hour', 'timeout_peak_runs',
    'cheaper_model_saving', 'cheaper_model_credits',
    'previous_total_runs', 'previous_success_rate', 'previous_p95_runtime_seconds', 'previous_credits_per_run',
    'previous_avg_rating', 'success_rate_change', 'success_rate_change_p', 'rating_change', 'p95_increase_seconds',
    'cost_increase_credits', 'lost_successes'
];
COMMENT ON FUNCTION analytics_internal.suggestion_metrics() IS
    'Measures of agents that rules may name; docs/suggestions.md defines each.';

-- The agent has no name here: PL/pgSQL allows no argument with the name of a result column.
CREATE FUNCTION analytics_internal.agent_measures(workspace_id uuid, uuid, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (agent_id uuid, measures jsonb)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    earlier constant timestamptz := $3 - ($4 - $3);
BEGIN
    RETURN QUERY
    WITH now_ AS MATERIALIZED (
        SELECT m.*, m.total_runs - m.running_runs - m.queued_runs AS finished_runs, p.at AS percentiles
        FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4) AS m
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95, 0.99], m.runtime_sketch) AS p (at) ON true
    ), before AS MATERIALIZED (
        SELECT m.*, m.total_runs - m.running_runs - m.queued_runs AS finished_runs,
               analytics.approx_percentile(0.95, m.runtime_sketch) AS p95
        FROM analytics_internal.agent_performance_buckets($1, $2, earlier, $3, NULL,
            '{total_runs, running_runs, queued_runs, successful_runs, runtime_sketch, credits_consumed, sum_ratings, total_ratings}') AS m
    ), workspace AS (
        SELECT (m.credits_consumed / nullif(m.total_runs, 0))::double precision AS credits_per_run
        FROM analytics_internal.execution_metrics_buckets($1, $3, $4, NULL, '{total_runs, credits_consumed}') AS m
    ), errors AS (
        SELECT e.agent_id, sum(e.total_errors) AS total, sum(e.total_errors) FILTER (WHERE e.error_severity = 'critical') AS critical,
               sum(e.recovered_errors) AS recovered, sum(e.recovery_attempts) AS attempts,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'rate_limit') AS rate_limit,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'validation') AS validation,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'auth') AS auth,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'network') AS network,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'model_error') AS model,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'resource') AS resource
        FROM analytics_internal.error_summary_buckets($1, $2, $3, $4, NULL,
            '{total_errors, recovered_errors, recovery_attempts}') AS e
        GROUP BY e.agent_id
    ), timeouts AS (
        SELECT DISTINCT ON (n.agent_id) n.agent_id, h.hour, h.runs, n.timeout_runs
        FROM now_ AS n
        CROSS JOIN LATERAL (
            SELECT extract(hour FROM m.bucket AT TIME ZONE 'UTC') AS hour, sum(m.timeout_runs) AS runs
            FROM analytics_internal.agent_performance_buckets($1, n.agent_id, $3, $4, '1 hour', '{timeout_runs}') AS m
            GROUP BY 1
        ) AS h
        WHERE n.timeout_runs >= 10
        ORDER BY n.agent_id, h.runs DESC, h.hour
    ), models AS MATERIALIZED (
        SELECT u.agent_id, u.model_name, sum(u.finished_calls)::bigint AS finished, sum(u.successful_calls)::bigint AS successes,
               sum(u.credits_consumed) AS credits
        FROM analytics_internal.agent_model_usage_buckets($1, $2, $3, $4, NULL,
            '{finished_calls, successful_calls, credits_consumed}') AS u
        GROUP BY u.agent_id, u.model_name
    ), cheapest AS (
        -- The model whose success costs least, against all others of the agent together.
        SELECT DISTINCT ON (c.agent_id) c.agent_id,
               (1 - (c.credits / c.successes) / (o.credits / o.successes))::double precision AS saving,
               (o.credits - o.successes * (c.credits / c.successes))::double precision AS credits
        FROM models AS c
        CROSS JOIN LATERAL (
            SELECT sum(m.finished)::bigint AS finished, sum(m.successes)::bigint AS successes, sum(m.credits) AS credits
            FROM models AS m WHERE m.agent_id = c.agent_id AND m.model_name <> c.model_name
        ) AS o
        CROSS JOIN LATERAL analytics.two_proportion_test(c.successes, c.finished, o.successes, o.finished) AS t
        WHERE c.finished >= 30 AND c.successes > 0 AND o.finished >= 30 AND o.successes > 0 AND o.credits > 0
          AND c.model_name <> 'unknown' AND (t.difference >= 0 OR t.p_value >= 0.05)
        ORDER BY c.agent_id, c.credits / c.successes, c.model_name
    ), figures AS (
        SELECT n.agent_id, n.total_runs, n.finished_runs, n.successful_runs, n.finished_runs - n.successful_runs AS unsuccessful_runs,
            n.timeout_runs, n.cancelled_runs,
            n.successful_runs::double precision / nullif(n.finished_runs, 0) AS success_rate,
            (n.failed_runs + n.timeout_runs)::double precision / nullif(n.finished_runs, 0) AS failure_rate,
            n.timeout_runs::double precision / nullif(n.finished_runs, 0) AS timeout_rate,
            n.cancelled_runs::double precision / nullif(n.finished_runs, 0) AS cancel_rate,
            analytics.mean(n.runtime_sketch) AS avg_runtime_seconds, n.percentiles[1] AS p50_runtime_seconds,
            n.percentiles[2] AS p95_runtime_seconds, n.percentiles[3] AS p99_runtime_seconds,
            n.percentiles[2] / nullif(n.percentiles[1], 0) AS p95_to_p50,
            n.credits_consumed::double precision AS credits_consumed,
            (n.credits_consumed / nullif(n.total_runs, 0))::double precision AS credits_per_run,
            (n.credits_consumed / nullif(n.successful_runs, 0))::double precision AS credits_per_success,
            w.credits_per_run AS workspace_credits_per_run,
            n.credits_consumed::double precision - 2 * w.credits_per_run * n.total_runs AS excess_credits,
            n.credits_consumed::double precision * (n.finished_runs - n.successful_runs) / nullif(n.finished_runs, 0) AS wasted_credits,
            (n.tokens_used / nullif(n.total_runs, 0))::double precision AS tokens_per_run,
            (n.prompt_tokens / nullif(n.total_runs, 0))::double precision AS prompt_tokens_per_run,
            (n.completion_tokens / nullif(n.total_runs, 0))::double precision AS completion_tokens_per_run,
            (n.prompt_tokens / 2)::double precision AS half_prompt_tokens,
            coalesce(analytics.approx_distinct(n.users_sketch), 0) AS unique_users,
            n.sum_ratings::double precision / nullif(n.total_ratings, 0) AS avg_rating, n.total_ratings,
            n.sum_feedback_ratings::double precision / nullif(n.total_feedback, 0) AS avg_feedback_rating,
            n.total_errors, coalesce(e.critical, 0) AS critical_errors, coalesce(e.recovered, 0) AS recovered_errors,
            coalesce(e.total - e.recovered, 0) AS unrecovered_errors, (e.recovered / e.total)::double precision AS recovery_rate,
            coalesce(e.attempts, 0) AS recovery_attempts, (e.attempts / e.total)::double precision AS attempts_per_error,
            coalesce(e.rate_limit, 0) AS rate_limit_errors, coalesce(e.validation, 0) AS validation_errors,
            coalesce(e.auth, 0) AS auth_errors, coalesce(e.network, 0) AS network_errors, coalesce(e.model, 0) AS model_errors,
            coalesce(e.resource, 0) AS resource_errors,
            n.total_errors::double precision / nullif(n.total_runs, 0) AS errors_per_run,
            (t.runs / t.timeout_runs)::double precision AS timeout_peak_share, t.hour AS timeout_peak_hour, t.runs AS timeout_peak_runs,
            c.saving AS cheaper_model_saving, c.credits AS cheaper_model_credits,
            coalesce(b.total_runs, 0) AS previous_total_runs,
            b.successful_runs::double precision / nullif(b.finished_runs, 0) AS previous_success_rate,
            b.p95 AS previous_p95_runtime_seconds,
            (b.credits_consumed / nullif(b.total_runs, 0))::double precision AS previous_credits_per_run,
            b.sum_ratings::double precision / nullif(b.total_ratings, 0) AS previous_avg_rating,
            z.difference AS success_rate_change, z.p_value AS success_rate_change_p,
            n.sum_ratings::double precision / nullif(n.total_ratings, 0) - b.sum_ratings::double precision / nullif(b.total_ratings, 0) AS rating_change,
            n.percentiles[2] - b.p95 AS p95_increase_seconds,
            (n.credits_consumed - n.total_runs * (b.credits_consumed / nullif(b.total_runs, 0)))::double precision AS cost_increase_credits,
            -z.difference * n.finished_runs AS lost_successes
        FROM now_ AS n
        CROSS JOIN workspace AS w
        LEFT JOIN before AS b USING (agent_id)
        LEFT JOIN errors AS e USING (agent_id)
        LEFT JOIN timeouts AS t USING (agent_id)
        LEFT JOIN cheapest AS c USING (agent_id)
        CROSS JOIN LATERAL analytics.two_proportion_test(n.successful_runs, n.finished_runs, b.successful_runs, b.finished_runs) AS z
    )
    SELECT f.agent_id, to_jsonb(f) - 'agent_id' FROM figures AS f
    UNION ALL
    -- Who did something before and nothing since.
    SELECT b.agent_id, jsonb_build_object('total_runs', 0, 'previous_total_runs', b.total_runs)
    FROM before AS b WHERE NOT EXISTS (SELECT FROM now_ AS n WHERE n.agent_id = b.agent_id);
END
$$;
COMMENT ON FUNCTION analytics_internal.agent_measures(uuid, uuid, timestamptz, timestamptz) IS
    'The measures of suggestion_metrics() for the agents of a workspace, or one of them, in a finite window; NULL or absent where they have no value. The caller has checked the arguments.';

CREATE FUNCTION analytics_internal.holds(value double precision, operator text, threshold double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE operator WHEN '>' THEN value > threshold WHEN '>=' THEN value >= threshold
                     WHEN '<' THEN value < threshold WHEN '<=' THEN value <= threshold END;
COMMENT ON FUNCTION analytics_internal.holds(double precision, text, double precision) IS
    'Whether a comparison (>, >=, <, <=) holds; NULL for NULL.';

CREATE FUNCTION analytics_internal.fill_in(template text, measures jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place  text[];
    figure numeric;
    filled text := template;
BEGIN
    FOR place IN SELECT DISTINCT m FROM regexp_matches(template, '\{([a-z0-9_]+)(%?)\}', 'g') AS m LOOP
        figure := (measures ->> place[1])::numeric * CASE place[2] WHEN '%' THEN 100 ELSE 1 END;
        filled := replace(filled, '{' || place[1] || place[2] || '}', coalesce(
            CASE WHEN abs(figure) >= 100 OR figure = round(figure) THEN to_char(round(figure), 'FM999,999,999,999,990')
                 WHEN figure <> 0 THEN trim_scale(round(figure, 2 - floor(log(abs(figure)))::integer))::text END, '?')
            || CASE place[2] WHEN '%' THEN ' %' ELSE '' END);
    END LOOP;
    RETURN filled;
END
$$;
COMMENT ON FUNCTION analytics_internal.fill_in(text, jsonb) IS
    'A text in which {measure} is replaced by its value, {measure%} by its value in percent, with three digits that count; ? where there is none. NULL for NULL.';

CREATE FUNCTION analytics_internal.refresh_suggestions_of(workspace_id uuid, as_of timestamptz,
    OUT opened_count bigint, OUT updated_count bigint, OUT closed_count bigint, OUT measured_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    done   record;
    after_ jsonb;
BEGIN
    SELECT * INTO bounds FROM analytics.window_bounds('30d', $2);
    -- What others change at the same time is not undone: one refresh of a workspace after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('shadower_analytics suggestions ' || $1, 0));
    WITH measured AS MATERIALIZED (
        SELECT m.agent_id, m.measures
        FROM analytics_internal.agent_measures($1, NULL, bounds.window_start, bounds.window_end) AS m
        JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = m.agent_id
    ), compared AS (
        SELECT m.agent_id, m.measures, r.*,
               (m.measures ->> r.metric)::double precision
               / CASE WHEN r.divided_by IS NULL THEN 1 ELSE nullif((m.measures ->> r.divided_by)::double precision, 0) END AS value
        FROM measured AS m CROSS JOIN analytics.suggestion_rules AS r
        WHERE r.enabled
          AND greatest((m.measures ->> 'total_runs')::double precision, CASE r.metric WHEN 'total_runs' THEN r.min_runs END) >= r.min_runs
    ), held AS MATERIALIZED (
        SELECT c.agent_id, c.rule_name, c.suggestion_type, c.value, c.threshold, c.effort_level, c.priority, c.measures,
               analytics_internal.fill_in(c.title, c.measures) AS title,
               analytics_internal.fill_in(c.description, c.measures) AS description,
               analytics_internal.fill_in(c.impact, c.measures) AS impact
        FROM compared AS c
        WHERE analytics_internal.holds(c.value, c.operator, c.threshold)
          AND (c.guard_metric IS NULL
               OR analytics_internal.holds((c.measures ->> c.guard_metric)::double precision, c.guard_operator, c.guard_threshold))
    ), updated AS (
        UPDATE analytics.agent_optimization_suggestions AS s
        SET title = h.title, description = h.description, estimated_impact = h.impact, metric_value = h.value,
            threshold = h.threshold, effort_level = h.effort_level, priority = h.priority, baseline_metrics = h.measures,
            updated_at = now()
        FROM held AS h
        WHERE s.workspace_id = $1 AND s.status = 'active' AND s.agent_id = h.agent_id AND s.rule_name = h.rule_name
        RETURNING s.agent_id, s.rule_name
    ), closed AS (
        UPDATE analytics.agent_optimization_suggestions AS s
        SET status = 'archived', closed_at = now(), updated_at = now()
        WHERE s.workspace_id = $1 AND s.status = 'active' AND s.rule_name IS NOT NULL
          AND NOT EXISTS (SELECT FROM held AS h WHERE h.agent_id = s.agent_id AND h.rule_name = s.rule_name)
        RETURNING 1
    ), opened AS (
        INSERT INTO analytics.agent_optimization_suggestions
            (workspace_id, agent_id, suggestion_type, title, description, estimated_impact, effort_level, priority,
             baseline_metrics, rule_name, metric_value, threshold, created_at, updated_at)
        SELECT $1, h.agent_id, h.suggestion_type, h.title, h.description, h.impact, h.effort_level, h.priority,
               h.measures, h.rule_name, h.value, h.threshold, now(), now()
        FROM held AS h
        -- What somebody has decided stays decided for a while.
        WHERE NOT EXISTS (
            SELECT FROM analytics.agent_optimization_suggestions AS s
            WHERE s.workspace_id = $1 AND s.agent_id = h.agent_id AND s.rule_name = h.rule_name
              AND (s.status = 'active'
                   OR s.status = 'dismissed' AND s.dismissed_at > $2 - interval '90 days'
                   OR s.status = 'implemented' AND s.implemented_at > $2 - interval '30 days'))
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM updated), (SELECT count(*) FROM closed)
    INTO opened_count, updated_count, closed_count;

    measured_count := 0;
    FOR done IN
        SELECT s.suggestion_id, s.agent_id, s.implemented_at, least(s.implemented_at + interval '30 days', bounds.window_end) AS until
        FROM analytics.agent_optimization_suggestions AS s
        WHERE s.workspace_id = $1 AND s.status = 'implemented' AND s.implemented_at < bounds.window_end
          AND s.implemented_at > bounds.window_start - interval '1 day'
    LOOP
        SELECT m.measures INTO after_
        FROM analytics_internal.agent_measures($1, done.agent_id, done.implemented_at, done.until) AS m;
        UPDATE analytics.agent_optimization_suggestions AS s
        SET post_implementation_metrics = coalesce(after_, '{"total_runs": 0}'), updated_at = now()
        WHERE s.workspace_id = $1 AND s.suggestion_id = done.suggestion_id;
        measured_count := measured_count + 1;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.refresh_suggestions_of(uuid, timestamptz) IS
    'refresh_suggestions() for one workspace that exists.';

CREATE FUNCTION analytics_internal.refresh_suggestions(workspace_id uuid, as_of timestamptz)
RETURNS TABLE (workspace_id uuid, opened_count bigint, updated_count bigint, closed_count bigint, measured_count bigint)
LANGUAGE sql ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_schema();
    SELECT analytics_internal.require_workspace($1) WHERE $1 IS NOT NULL;
    SELECT analytics.window_bounds('30d', $2);

    SELECT w.workspace_id, r.*
    FROM (SELECT v.workspace_id FROM analytics.workspaces AS v WHERE $1 IS NULL OR v.workspace_id = $1 ORDER BY 1) AS w
    CROSS JOIN LATERAL analytics_internal.refresh_suggestions_of(w.workspace_id, $2) AS r
$$;
COMMENT ON FUNCTION analytics_internal.refresh_suggestions(uuid, timestamptz) IS 'What refresh_suggestions() does, as the owner of the tables.';

CREATE FUNCTION analytics.refresh_suggestions(workspace_id uuid DEFAULT NULL, as_of timestamptz DEFAULT now())
RETURNS TABLE (workspace_id uuid, opened_count bigint, updated_count bigint, closed_count bigint, measured_count bigint)
LANGUAGE c ROWS 10
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.refresh_suggestions(uuid, timestamptz) IS
    'Applies the rules of suggestion_rules to the agents of a workspace (NULL: of all), over the 30 days up to as_of (default now): opens suggestions, updates those that still hold, archives those that do not any more, and measures implemented ones anew for 30 days. A rule that somebody dismissed stays silent about that agent for 90 days, one that was implemented for 30. One row per workspace with the numbers of each. For the owner of the tables; call it once a day, say. Errors: 22023 unknown workspace, no as_of; 55000 setup() has not run.';

CREATE FUNCTION analytics.list_suggestions(workspace_id uuid, agent_id uuid DEFAULT NULL, status text DEFAULT 'active')
RETURNS TABLE (
    suggestion_id    uuid,
    agent_id         uuid,
    agent_name       text,
    suggestion_type  text,
    rule_name        text,
    title            text,
    description      text,
    estimated_impact text,
    effort_level     text,
    priority         smallint,
    status           text,
    metric_value     double precision,
    threshold        double precision,
    created_at       timestamptz,
    updated_at       timestamptz
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_agent_or_all($1, $2);
    SELECT analytics_internal.refuse_argument('status', $3, 'it is not a status of a suggestion',
        'Use one of active, implemented, dismissed, archived; NULL for all.')
    WHERE $3 <> ALL (ARRAY['active', 'implemented', 'dismissed', 'archived']);

    SELECT s.suggestion_id, s.agent_id, a.name, s.suggestion_type, s.rule_name, s.title, s.description, s.estimated_impact,
           s.effort_level, s.priority, s.status, s.metric_value, s.threshold, s.created_at, s.updated_at
    FROM analytics.agent_optimization_suggestions AS s
    JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = s.agent_id
    WHERE s.workspace_id = $1 AND ($2 IS NULL OR s.agent_id = $2) AND ($3 IS NULL OR s.status = $3)
    ORDER BY s.priority DESC, array_position(ARRAY['low', 'medium', 'high'], s.effort_level), a.name, s.title, s.suggestion_id
$$;
COMMENT ON FUNCTION analytics.list_suggestions(uuid, uuid, text) IS
    'Suggestions for an agent (NULL: for all of the workspace) of a status (default active, NULL all), most urgent first, then those of least effort. Errors: 22023 unknown workspace, agent or status.';

CREATE FUNCTION analytics_internal.decide_suggestion(workspace_id uuid, suggestion_id uuid, decision text, decided_at timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    suggestion record;
    baseline   jsonb;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics_internal.require_level($1, 'admin');
    SELECT s.status, s.agent_id INTO suggestion FROM analytics.agent_optimization_suggestions AS s
    WHERE s.workspace_id = $1 AND s.suggestion_id = $2 FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM analytics_internal.refuse_argument('suggestion_id', $2::text, 'the workspace has no such suggestion',
            'Give the suggestion_id of a row of analytics.list_suggestions().');
    END IF;
    IF suggestion.status <> 'active' THEN
        PERFORM analytics_internal.refuse_argument('suggestion_id', $2::text, 'the suggestion is ' || suggestion.status,
            'Decide about active suggestions; the others have been decided.');
    END IF;
    IF $4 IS NULL OR NOT isfinite($4) THEN
        PERFORM analytics_internal.refuse_argument('implemented_at', $4::text, 'it is not a point in time', 'Leave it out to get the time of now.');
    END IF;
    SELECT m.measures INTO baseline
    FROM analytics_internal.agent_measures($1, suggestion.agent_id, $4 - interval '30 days', $4) AS m;
    UPDATE analytics.agent_optimization_suggestions AS s
    SET status = $3, updated_at = now(),
        implemented_at = CASE $3 WHEN 'implemented' THEN $4 END,
        dismissed_at = CASE $3 WHEN 'dismissed' THEN $4 END,
        baseline_metrics = coalesce(baseline, '{"total_runs": 0}')
    WHERE s.workspace_id = $1 AND s.suggestion_id = $2;
END
$$;
COMMENT ON FUNCTION analytics_internal.decide_suggestion(uuid, uuid, text, timestamptz) IS
    'Marks an active suggestion as implemented or dismissed, with the measures of the 30 days before.';

CREATE FUNCTION analytics.implement_suggestion(workspace_id uuid, suggestion_id uuid, implemented_at timestamptz DEFAULT now()) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.decide_suggestion($1, $2, 'implemented', $3) $$;
COMMENT ON FUNCTION analytics.implement_suggestion(uuid, uuid, timestamptz) IS
    'Notes that an active suggestion was followed (default now), and keeps the agent''s measures of the 30 days before in baseline_metrics; refresh_suggestions() fills post_implementation_metrics, suggestion_effect() compares. For admins. Errors: 22023 unknown workspace or suggestion, or one that is not active; 42501 not an admin of the workspace.';

CREATE FUNCTION analytics.dismiss_suggestion(workspace_id uuid, suggestion_id uuid) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT analytics_internal.decide_suggestion($1, $2, 'dismissed', now()) $$;
COMMENT ON FUNCTION analytics.dismiss_suggestion(uuid, uuid) IS
    'Notes that an active suggestion is not wanted: its rule stays silent about the agent for 90 days. The measures of the 30 days before are kept in baseline_metrics. For admins. Errors: 22023 unknown workspace or suggestion, or one that is not active; 42501 not an admin of the workspace.';

CREATE FUNCTION analytics.suggestion_effect(workspace_id uuid, suggestion_id uuid, as_of timestamptz DEFAULT now())
RETURNS TABLE (
    metric              text,
    before_value        double precision,
    after_value         double precision,
    difference          double precision,
    relative_difference double precision,
    test                text,
    p_value             double precision,
    effect_size         double precision,
    verdict             text
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    decided record;
    until   timestamptz;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT s.agent_id, s.status, coalesce(s.implemented_at, s.dismissed_at) AS at INTO decided
    FROM analytics.agent_optimization_suggestions AS s
    WHERE s.workspace_id = $1 AND s.suggestion_id = $2;
    IF NOT FOUND THEN
        PERFORM analytics_internal.refuse_argument('suggestion_id', $2::text, 'the workspace has no such suggestion',
            'Give the suggestion_id of a row of analytics.list_suggestions().');
    END IF;
    IF decided.at IS NULL THEN
        PERFORM analytics_internal.refuse_argument('suggestion_id', $2::text, 'the suggestion is ' || decided.status || ': there is no before and after',
            'Call implement_suggestion() or dismiss_suggestion() first.');
    END IF;
    until := least(decided.at + interval '30 days', $3);
    IF until IS NULL OR until <= decided.at THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT d.metric, d.reference, d.value, d.difference, d.relative_difference, d.test, d.p_value, d.effect_size, d.verdict
    FROM analytics_internal.agent_differences($1, decided.agent_id, decided.at, until, decided.at - interval '30 days', decided.at, false) AS d;
END
$$;
COMMENT ON FUNCTION analytics.suggestion_effect(uuid, uuid, timestamptz) IS
    'What became of an agent after a suggestion was implemented or dismissed: each measure of agent_comparison() in the 30 days before and in the (up to) 30 days after, until as_of (default now), with the same tests and verdicts. No row before there are runs on both sides. Errors: 22023 unknown workspace or suggestion, or one that nobody has decided about.';
