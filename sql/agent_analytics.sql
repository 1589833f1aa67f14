-- Everything about one agent in one document.

CREATE FUNCTION analytics.agent_analytics(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d',
                                          from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
-- Planning for each call would take longer than answering.
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds     record;
    -- NULL where the window has no bound.
    earlier    timestamptz;
    first_day  timestamptz;
    end_of_day timestamptz;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    earlier := bounds.window_start - (bounds.window_end - bounds.window_start);
    -- Users are kept by day: whole days are answered without a look at raw runs.
    first_day := date_bin('24 hours', bounds.window_start, 'epoch');
    end_of_day := date_bin('24 hours', bounds.window_end - interval '1 microsecond', 'epoch') + interval '24 hours';
    RETURN (
        WITH days AS MATERIALIZED (
            SELECT m.* FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, '24 hours') AS m
        ), total AS MATERIALIZED (
            SELECT coalesce(sum(d.total_runs), 0)::bigint AS total_runs, coalesce(sum(d.successful_runs), 0)::bigint AS successful_runs,
                   coalesce(sum(d.failed_runs), 0)::bigint AS failed_runs, coalesce(sum(d.timeout_runs), 0)::bigint AS timeout_runs,
                   coalesce(sum(d.cancelled_runs), 0)::bigint AS cancelled_runs, coalesce(sum(d.running_runs), 0)::bigint AS running_runs,
                   coalesce(sum(d.queued_runs), 0)::bigint AS queued_runs, analytics.rollup(d.runtime_sketch) AS runtime_sketch,
                   coalesce(sum(d.credits_consumed), 0) AS credits_consumed, coalesce(sum(d.tokens_used), 0) AS tokens_used,
                   coalesce(sum(d.prompt_tokens), 0) AS prompt_tokens, coalesce(sum(d.completion_tokens), 0) AS completion_tokens,
                   analytics.rollup(d.users_sketch) AS users_sketch, coalesce(sum(d.total_ratings), 0)::bigint AS total_ratings,
                   coalesce(sum(d.sum_ratings), 0)::bigint AS sum_ratings, coalesce(sum(d.total_feedback), 0)::bigint AS total_feedback,
                   coalesce(sum(d.sum_feedback_ratings), 0)::bigint AS sum_feedback_ratings,
                   coalesce(sum(d.total_errors), 0)::bigint AS total_errors, min(d.first_run_at) AS first_run_at,
                   max(d.last_run_at) AS last_run_at,
                   sum(d.sum_concurrent_runs)::double precision / nullif(sum(d.concurrency_count), 0)::double precision AS avg_concurrent_runs,
                   max(d.max_concurrent_runs) AS max_concurrent_runs
            FROM days AS d
        ), models AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'model_name', u.model_name, 'model_provider', u.model_provider, 'total_calls', u.total_calls,
                'success_rate', u.successful_calls::double precision / nullif(u.finished_calls, 0),
                'p50_runtime_seconds', analytics.approx_percentile(0.5, u.runtime_sketch),
                'credits_consumed', u.credits_consumed, 'credits_per_run', u.credits_consumed / nullif(u.total_calls, 0),
                'credits_per_success', u.credits_consumed / nullif(u.successful_calls, 0), 'tokens_used', u.tokens_used)
                ORDER BY u.credits_consumed DESC, u.model_name, u.model_provider), '[]') AS list
            FROM analytics_internal.agent_model_usage_buckets($1, $2, bounds.window_start, bounds.window_end, NULL,
                '{total_calls, successful_calls, finished_calls, credits_consumed, tokens_used, runtime_sketch}') AS u
        ), errors AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'error_category', e.error_category, 'error_severity', e.error_severity, 'total_errors', e.total_errors,
                'recovery_rate', e.recovered_errors::double precision / nullif(e.total_errors, 0),
                'avg_recovery_seconds', analytics.mean(e.recovery_sketch), 'last_error_at', e.last_error_at)
                ORDER BY e.total_errors DESC, e.error_category, e.error_severity), '[]') AS list,
                sum(e.recovered_errors)::double precision / nullif(sum(e.total_errors), 0)::double precision AS recovery_rate,
                analytics.mean(analytics.rollup(e.recovery_sketch)) AS avg_recovery_seconds,
                coalesce(sum(e.total_errors) FILTER (WHERE e.error_severity = 'critical'), 0) AS critical_errors
            FROM analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, NULL,
                '{total_errors, recovered_errors, recovery_sketch, last_error_at}') AS e
        ), users AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'user_id', u.user_id, 'total_runs', u.total_runs, 'success_rate', u.successful_runs::double precision / nullif(u.finished_runs, 0),
                'credits_consumed', u.credits_consumed, 'last_run_at', u.last_run_at)
                ORDER BY u.total_runs DESC, u.credits_consumed DESC, u.user_id), '[]') AS list
            FROM (
                SELECT t.* FROM analytics_internal.user_usage_buckets($1, $2, first_day, end_of_day, NULL,
                    '{total_runs, successful_runs, finished_runs, credits_consumed, last_run_at}') AS t
                ORDER BY t.total_runs DESC, t.credits_consumed DESC, t.user_id LIMIT 10
            ) AS u
        ), comparison AS (
            SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') AS list
            FROM analytics_internal.agent_differences($1, $2, bounds.window_start, bounds.window_end, earlier,
                                                      bounds.window_start, true) AS c
        ), suggestions AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'suggestion_id', s.suggestion_id, 'suggestion_type', s.suggestion_type, 'title', s.title, 'description', s.description,
                'estimated_impact', s.estimated_impact, 'effort_level', s.effort_level, 'priority', s.priority)
                ORDER BY s.priority DESC, s.title, s.suggestion_id), '[]') AS list
            FROM analytics.agent_optimization_suggestions AS s
            WHERE s.workspace_id = $1 AND s.agent_id = $2 AND s.status = 'active'
        ), trend AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'day', d.bucket, 'total_runs', d.total_runs,
                'success_rate', d.successful_runs::double precision / nullif(d.total_runs - d.running_runs - d.queued_runs, 0),
                'p50_runtime_seconds', p.at[1], 'p95_runtime_seconds', p.at[2],
                'credits_consumed', d.credits_consumed, 'total_errors', d.total_errors) ORDER BY d.bucket), '[]') AS list
            FROM days AS d
            LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95], d.runtime_sketch) AS p (at) ON true
        )
        SELECT jsonb_build_object(
            -- Agents that wait to be registered are rare, and dearer to find.
            'agent', coalesce(
                (SELECT jsonb_build_object('agent_id', a.agent_id, 'name', a.name, 'agent_type', a.agent_type,
                                           'lifecycle_state', a.lifecycle_state)
                 FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id = $2),
                (SELECT jsonb_build_object('agent_id', a.agent_id, 'name', a.name, 'agent_type', a.agent_type,
                                           'lifecycle_state', a.lifecycle_state)
                 FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = $2)),
            'window', jsonb_build_object('timeframe', CASE WHEN $4 IS NULL AND $5 IS NULL THEN $3 END,
                                         'window_start', bounds.window_start, 'window_end', bounds.window_end),
            'performance', jsonb_build_object(
                'total_runs', t.total_runs, 'successful_runs', t.successful_runs, 'failed_runs', t.failed_runs,
                'timeout_runs', t.timeout_runs, 'cancelled_runs', t.cancelled_runs, 'running_runs', t.running_runs,
                'queued_runs', t.queued_runs,
                'success_rate', t.successful_runs::double precision / nullif(t.total_runs - t.running_runs - t.queued_runs, 0),
                'avg_runtime_seconds', analytics.mean(t.runtime_sketch), 'p50_runtime_seconds', p.at[1],
                'p75_runtime_seconds', p.at[2], 'p90_runtime_seconds', p.at[3], 'p95_runtime_seconds', p.at[4],
                'p99_runtime_seconds', p.at[5], 'min_runtime_seconds', analytics.min_val(t.runtime_sketch),
                'max_runtime_seconds', analytics.max_val(t.runtime_sketch),
                'stddev_runtime_seconds', analytics.stddev(t.runtime_sketch),
                'throughput_per_hour', t.total_runs / analytics_internal.hours_between(t.first_run_at, least(bounds.window_end, now())),
                'avg_concurrent_runs', t.avg_concurrent_runs, 'max_concurrent_runs', t.max_concurrent_runs,
                'first_run_at', t.first_run_at, 'last_run_at', t.last_run_at),
            'resources', jsonb_build_object(
                'credits_consumed', t.credits_consumed, 'credits_per_run', t.credits_consumed / nullif(t.total_runs, 0),
                'credits_per_success', t.credits_consumed / nullif(t.successful_runs, 0), 'tokens_used', t.tokens_used,
                'prompt_tokens', t.prompt_tokens, 'completion_tokens', t.completion_tokens,
                'tokens_per_run', (t.tokens_used / nullif(t.total_runs, 0))::double precision, 'models', m.list),
            'errors', jsonb_build_object(
                'total_errors', t.total_errors, 'errors_per_run', t.total_errors::double precision / nullif(t.total_runs, 0),
                'critical_errors', e.critical_errors, 'recovery_rate', e.recovery_rate,
                'avg_recovery_seconds', e.avg_recovery_seconds, 'by_category', e.list),
            'users', jsonb_build_object(
                'unique_users', coalesce(analytics.approx_distinct(t.users_sketch), 0),
                'avg_rating', t.sum_ratings::double precision / nullif(t.total_ratings, 0), 'total_ratings', t.total_ratings,
                'avg_feedback_rating', t.sum_feedback_ratings::double precision / nullif(t.total_feedback, 0),
                'total_feedback', t.total_feedback, 'top_users_from', first_day, 'top_users', u.list),
            'comparison', c.list,
            'suggestions', s.list,
            'trend', r.list)
        FROM total AS t
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.75, 0.9, 0.95, 0.99], t.runtime_sketch) AS p (at) ON true
        CROSS JOIN models AS m CROSS JOIN errors AS e CROSS JOIN users AS u CROSS JOIN comparison AS c
        CROSS JOIN suggestions AS s CROSS JOIN trend AS r
    );
END
$$;
COMMENT ON FUNCTION analytics.agent_analytics(uuid, uuid, text, timestamptz, timestamptz) IS
    'Everything about one agent in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time) as a document: agent, window, performance, resources (with models), errors (by_category), users (with the ten top_users, of the whole UTC days that the window touches, from top_users_from on), comparison (the rows of agent_comparison), suggestions (active ones), trend (UTC days that have anything). Figures are those of agent_performance, model_usage, error_summary and agent_comparison. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';
