-- Workspaces: what they did, who was active in them, and their health.

CREATE FUNCTION analytics_internal.active_agents(workspace_id uuid, from_time timestamptz, to_time timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(sum(p.agents), 0)::bigint
    FROM analytics_internal.agent_performance_buckets($1, NULL, $2, $3, NULL, '{agents}', by_agent => false) AS p
$$;
COMMENT ON FUNCTION analytics_internal.active_agents(uuid, timestamptz, timestamptz) IS
    'Number of agents of a workspace with a run in a window. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.list_workspaces(timeframe text DEFAULT '30d',
                                          from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    workspace_id        uuid,
    name                text,
    plan                text,
    time_zone           text,
    access_level        text,
    created_at          timestamptz,
    total_runs          bigint,
    successful_runs     bigint,
    failed_runs         bigint,
    timeout_runs        bigint,
    cancelled_runs      bigint,
    success_rate        double precision,
    p95_runtime_seconds double precision,
    credits_consumed    numeric,
    tokens_used         numeric,
    active_agents       bigint,
    active_users        bigint,
    total_errors        bigint,
    last_run_at         timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    everything constant boolean := analytics_internal.reads_everything();
    owned   uuid[];
    managed uuid[];
    written uuid[];
BEGIN
    PERFORM analytics_internal.require_schema();
    SELECT * INTO bounds FROM analytics_internal.resolve_window($1, $2, $3);
    owned   := ARRAY(SELECT analytics.accessible_workspaces('owner'));
    managed := ARRAY(SELECT analytics.accessible_workspaces('admin'));
    written := ARRAY(SELECT analytics.accessible_workspaces('member'));
    RETURN QUERY
    SELECT w.workspace_id, w.name, w.plan, w.time_zone,
           CASE WHEN everything OR w.workspace_id = ANY (owned) THEN 'owner' WHEN w.workspace_id = ANY (managed) THEN 'admin'
                WHEN w.workspace_id = ANY (written) THEN 'member' ELSE 'viewer' END,
           w.created_at, coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0),
           m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
           analytics.approx_percentile(0.95, m.runtime_sketch), coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
           analytics_internal.active_agents(w.workspace_id, bounds.window_start, bounds.window_end),
           coalesce(analytics.approx_distinct(m.users_sketch), 0), coalesce(m.total_errors, 0), m.last_run_at
    FROM analytics.workspaces AS w
    LEFT JOIN LATERAL analytics_internal.execution_metrics_buckets(w.workspace_id, bounds.window_start, bounds.window_end) AS m ON true
    ORDER BY coalesce(m.total_runs, 0) DESC, w.name, w.workspace_id;
END
$$;
COMMENT ON FUNCTION analytics.list_workspaces(text, timestamptz, timestamptz) IS
    'One row per workspace that the caller may see, busiest first, with the caller''s access_level there and what it did in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time); defined as in execution_summary. active_agents and active_users have a run in the window; users are exact while few, then estimated. A workspace without runs has zeros and NULLs. Errors: 22023 unknown timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.workspace_summary(workspace_id uuid, timeframe text DEFAULT '30d',
                                            from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    name                      text,
    plan                      text,
    window_start              timestamptz,
    window_end                timestamptz,
    total_agents              bigint,
    active_agents             bigint,
    active_users              bigint,
    total_runs                bigint,
    successful_runs           bigint,
    failed_runs               bigint,
    timeout_runs              bigint,
    cancelled_runs            bigint,
    running_runs              bigint,
    queued_runs               bigint,
    success_rate              double precision,
    avg_runtime_seconds       double precision,
    p50_runtime_seconds       double precision,
    p95_runtime_seconds       double precision,
    p95_queue_latency_seconds double precision,
    credits_consumed          numeric,
    credits_per_run           double precision,
    tokens_used               numeric,
    total_errors              bigint,
    critical_errors           bigint,
    total_ratings             bigint,
    avg_rating                double precision,
    total_feedback            bigint,
    avg_feedback_rating       double precision,
    first_run_at              timestamptz,
    last_run_at               timestamptz,
    previous_total_runs       bigint,
    previous_success_rate     double precision,
    previous_credits_consumed numeric,
    previous_active_users     bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds  record;
    -- NULL where the window has no bound.
    earlier timestamptz;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    earlier := bounds.window_start - (bounds.window_end - bounds.window_start);
    RETURN QUERY
    SELECT w.name, w.plan, bounds.window_start, bounds.window_end,
           (SELECT count(*) FROM analytics_internal.known_agents($1)),
           analytics_internal.active_agents($1, bounds.window_start, bounds.window_end),
           coalesce(analytics.approx_distinct(m.users_sketch), 0),
           coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0), coalesce(m.timeout_runs, 0),
           coalesce(m.cancelled_runs, 0), coalesce(m.running_runs, 0), coalesce(m.queued_runs, 0),
           m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0),
           analytics.mean(m.runtime_sketch), p.at[1], p.at[2], analytics.approx_percentile(0.95, m.queue_latency_sketch),
           coalesce(m.credits_consumed, 0), (m.credits_consumed / nullif(m.total_runs, 0))::double precision,
           coalesce(m.tokens_used, 0), coalesce(m.total_errors, 0), coalesce(m.critical_errors, 0),
           coalesce(m.total_ratings, 0), m.sum_ratings::double precision / nullif(m.total_ratings, 0),
           coalesce(m.total_feedback, 0), m.sum_feedback_ratings::double precision / nullif(m.total_feedback, 0),
           m.first_run_at, m.last_run_at,
           CASE WHEN earlier IS NOT NULL THEN coalesce(b.total_runs, 0) END,
           b.successful_runs::double precision / nullif(b.total_runs - b.running_runs - b.queued_runs, 0),
           CASE WHEN earlier IS NOT NULL THEN coalesce(b.credits_consumed, 0) END,
           CASE WHEN earlier IS NOT NULL THEN coalesce(analytics.approx_distinct(b.users_sketch), 0) END
    FROM analytics.workspaces AS w
    LEFT JOIN analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end) AS m ON true
    LEFT JOIN LATERAL (
        SELECT e.* FROM analytics_internal.execution_metrics_buckets($1, earlier, bounds.window_start) AS e
        WHERE earlier IS NOT NULL
    ) AS b ON true
    CROSS JOIN LATERAL (SELECT analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch)) AS p (at)
    WHERE w.workspace_id = $1;
END
$$;
COMMENT ON FUNCTION analytics.workspace_summary(uuid, text, timestamptz, timestamptz) IS
    'One row about a workspace in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): its agents, those and the users with a run, runs by status, success_rate (0..1), seconds of running and waiting, credits, tokens, errors, ratings of runs and feedback (1..5), and the same basics of the window of equal length before (NULL where the window has no bound). Measures as in execution_summary. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';

-- A straight line from 0 at worst to 100 at best.
CREATE FUNCTION analytics_internal.score_between(value double precision, worst double precision, best double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 100 * least(greatest((value - worst) / (best - worst), 0.0), 1.0);
COMMENT ON FUNCTION analytics_internal.score_between(double precision, double precision, double precision) IS
    'Where a value lies between the worst (0) and the best (100), on a straight line; 0 and 100 beyond them. NULL for NULL.';

CREATE FUNCTION analytics.workspace_health(workspace_id uuid, timeframe text DEFAULT '30d',
                                           from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    component text,
    score     double precision,
    weight    double precision,
    value     double precision,
    unit      text,
    reason    text
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 7
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds  record;
    -- NULL where the window has no bound.
    earlier timestamptz;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    earlier := bounds.window_start - (bounds.window_end - bounds.window_start);
    RETURN QUERY
    WITH measured AS (
        SELECT coalesce(m.total_runs, 0) AS runs,
               coalesce(m.total_runs - m.running_runs - m.queued_runs, 0) AS finished,
               m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0) AS success_rate,
               analytics.approx_percentile(0.95, m.runtime_sketch) AS p95,
               analytics.approx_percentile(0.5, m.runtime_sketch) AS p50,
               analytics.approx_percentile(0.95, b.runtime_sketch) AS earlier_p95,
               analytics.approx_percentile(0.95, m.queue_latency_sketch) AS wait_p95,
               coalesce(m.critical_errors, 0) AS critical,
               coalesce(m.total_errors, 0) AS errors,
               coalesce(m.total_ratings, 0) + coalesce(m.total_feedback, 0) AS ratings,
               (m.sum_ratings + m.sum_feedback_ratings)::double precision / nullif(m.total_ratings + m.total_feedback, 0) AS rating,
               b.total_runs::double precision AS earlier_runs
        FROM (SELECT) AS one
        LEFT JOIN analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end) AS m ON true
        LEFT JOIN LATERAL (
            SELECT e.* FROM analytics_internal.execution_metrics_buckets($1, earlier, bounds.window_start) AS e
            WHERE earlier IS NOT NULL
        ) AS b ON true
    ), components AS (
        SELECT c.* FROM measured AS m
        CROSS JOIN LATERAL (VALUES
            (1, 'reliability', 0.35::double precision, m.success_rate, 'rate',
             analytics_internal.score_between(m.success_rate, 0.70, 0.99),
             CASE WHEN m.finished = 0 THEN 'no run has finished'
                  ELSE format('%s %% of %s finished runs completed', round((100 * m.success_rate)::numeric, 1), m.finished) END),
            (2, 'performance', 0.20, m.p95 / nullif(m.earlier_p95, 0), 'ratio',
             analytics_internal.score_between(m.p95 / nullif(m.earlier_p95, 0), 2, 1),
             CASE WHEN m.p95 IS NULL THEN 'no run has a runtime'
                  WHEN m.earlier_p95 IS NULL THEN 'no runtimes of the window before to compare with'
                  WHEN m.earlier_p95 = 0 THEN 'runs of the window before took no time'
                  ELSE format('p95 runtime is %s s, %s s in the window before', round(m.p95::numeric, 2), round(m.earlier_p95::numeric, 2)) END),
            (3, 'queue', 0.15, m.wait_p95 / nullif(m.p50, 0), 'ratio',
             analytics_internal.score_between(m.wait_p95 / nullif(m.p50, 0), 10, 1),
             CASE WHEN m.wait_p95 IS NULL THEN 'no entry of the queue has started'
                  WHEN m.p50 IS NULL OR m.p50 = 0 THEN 'no run has a runtime'
                  ELSE format('p95 wait in the queue is %s s, the median runtime %s s', round(m.wait_p95::numeric, 2), round(m.p50::numeric, 2)) END),
            (4, 'errors', 0.15, CASE WHEN m.runs > 0 THEN 1000.0::double precision * m.critical / m.runs END, 'per 1000 runs',
             CASE WHEN m.runs > 0 THEN analytics_internal.score_between(1000.0::double precision * m.critical / m.runs, 10, 0) END,
             CASE WHEN m.runs = 0 THEN 'there was no run'
                  ELSE format('%s critical of %s errors in %s runs', m.critical, m.errors, m.runs) END),
            (5, 'satisfaction', 0.15, m.rating, 'stars',
             analytics_internal.score_between(m.rating, 1, 5),
             CASE WHEN m.ratings = 0 THEN 'nobody rated'
                  ELSE format('mean of %s ratings is %s of 5', m.ratings, round(m.rating::numeric, 2)) END)
        ) AS c (place, component, weight, value, unit, score, reason)
    ), overall AS (
        SELECT sum(c.score * c.weight) / sum(c.weight) FILTER (WHERE c.score IS NOT NULL) AS score,
               round((sum(c.weight) FILTER (WHERE c.score IS NOT NULL))::numeric, 2)::double precision AS weight,
               (array_agg(c.component || ': ' || c.reason ORDER BY (100 - c.score) * c.weight DESC, c.place)
                    FILTER (WHERE c.score < 100))[1] AS reason
        FROM components AS c
        -- Without runs, what people said long ago tells nothing of how the workspace is.
        WHERE EXISTS (SELECT FROM measured AS m WHERE m.runs > 0)
    )
    SELECT 'overall', o.score, o.weight, o.score, 'points',
           CASE WHEN o.score IS NULL THEN 'there was no run' ELSE coalesce(o.reason, 'nothing to complain of') END
    FROM overall AS o
    UNION ALL
    SELECT s.* FROM (SELECT c.component, c.score, c.weight, c.value, c.unit, c.reason FROM components AS c ORDER BY c.place) AS s;
END
$$;
COMMENT ON FUNCTION analytics.workspace_health(uuid, text, timestamptz, timestamptz) IS
    'How well a workspace is in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): a row overall, then one per component, with its score (0..100), weight (0..1), the value that the score comes from with its unit, and the reason in words. reliability 0.35: success rate, 70 % is 0 points, 99 % is 100. performance 0.20: p95 of the runtime over that of the window of equal length before, twice is 0, no longer is 100. queue 0.15: p95 of the wait over the median runtime, 10 times is 0, once is 100. errors 0.15: critical errors per 1000 runs, 10 is 0, none is 100. satisfaction 0.15: mean of ratings of runs and of feedback, 1 star is 0, 5 are 100. Linear in between. overall is the mean of the components that have a score, by weight (its weight is their sum), and its reason that of the component which costs most points; NULL when there was no run. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.workspace_activity(
    workspace_id uuid, timeframe text DEFAULT '30d', bucket text DEFAULT 'day', time_zone text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start     timestamptz,
    active_agents    bigint,
    active_users     bigint,
    total_runs       bigint,
    success_rate     double precision,
    credits_consumed numeric,
    tokens_used      numeric,
    total_errors     bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    zone   text;
    step   interval;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $3 IS NULL OR $3 NOT IN ('hour', 'day', 'week', 'month') THEN
        PERFORM analytics_internal.refuse_argument('bucket', $3, 'it is not a length of buckets',
            'Use one of hour, day, week, month.');
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $5, $6);
    zone := analytics_internal.zone_of($1, $4);
    SELECT * INTO bounds FROM analytics_internal.series_window($1, bounds.window_start, bounds.window_end);
    -- Agents of several steps cannot be added up: a step must be a bucket, or each bucket is asked for.
    SELECT CASE WHEN $3 = 'day' AND bool_and(extract(epoch FROM s.bucket_start) % 86400 = 0) THEN interval '24 hours'
                WHEN $3 = 'hour' AND bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) THEN interval '1 hour' END
    INTO step
    FROM analytics_internal.series_spans($3, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH series AS MATERIALIZED (
        SELECT * FROM analytics_internal.execution_series($1, $3, zone, bounds.window_start, bounds.window_end)
    ), active AS (
        SELECT date_trunc($3, m.bucket, zone) AS bucket_start, m.agents
        FROM (SELECT WHERE step IS NOT NULL) AS aligned
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, step,
            '{agents}', by_agent => false) AS m
        UNION ALL
        SELECT s.bucket_start, m.agents
        FROM (SELECT WHERE step IS NULL) AS unaligned
        CROSS JOIN series AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, s.span_start, s.span_end, NULL,
            '{agents}', by_agent => false) AS m
    )
    SELECT s.bucket_start, coalesce(a.agents, 0), coalesce(analytics.approx_distinct(s.users_sketch), 0), s.total_runs,
           s.successful_runs::double precision / nullif(s.total_runs - s.running_runs - s.queued_runs, 0),
           s.credits_consumed, s.tokens_used, s.total_errors
    FROM series AS s
    LEFT JOIN active AS a USING (bucket_start)
    ORDER BY s.place;
END
$$;
COMMENT ON FUNCTION analytics.workspace_activity(uuid, text, text, text, timestamptz, timestamptz) IS
    'Who was active in a workspace, one row per hour, day, week (from Monday) or month of a time zone (default: that of the workspace) in a window, also where nothing happened: agents and users with a run (users are exact while few, then estimated), runs, success_rate (0..1), credits, tokens, errors. The first and the last bucket hold what of them lies in the window. Errors: 22023 unknown workspace, timeframe, bucket or time zone, too many buckets, from_time not before to_time.';

CREATE FUNCTION analytics.workspace_users(workspace_id uuid, timeframe text DEFAULT '30d', max_rows integer DEFAULT 100,
                                          from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    user_id             uuid,
    total_runs          bigint,
    successful_runs     bigint,
    failed_runs         bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    credits_consumed    numeric,
    tokens_used         numeric,
    agents_used         bigint,
    avg_rating          double precision,
    first_run_at        timestamptz,
    last_run_at         timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $3 < 0 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $3::text, 'it is below zero',
            'Give how many users to list, or NULL for all.');
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $4, $5);
    RETURN QUERY
    SELECT m.user_id, m.total_runs, m.successful_runs, m.failed_runs, m.successful_runs::double precision / nullif(m.finished_runs, 0),
           analytics.mean(m.runtime_stats), m.credits_consumed, m.tokens_used, m.agents,
           m.sum_ratings::double precision / nullif(m.total_ratings, 0), m.first_run_at, m.last_run_at
    FROM analytics_internal.user_usage_buckets($1, NULL, bounds.window_start, bounds.window_end, by_agent => false) AS m
    ORDER BY m.total_runs DESC, m.user_id
    LIMIT $3;
END
$$;
COMMENT ON FUNCTION analytics.workspace_users(uuid, text, integer, timestamptz, timestamptz) IS
    'The users for whom agents of a workspace ran in a window, most runs first (equal ones by id), at most max_rows (NULL: all): runs, success_rate (0..1), mean runtime in seconds, credits, tokens, number of agents used, mean rating of runs (1..5). Exact. Errors: 22023 unknown workspace or timeframe, max_rows below zero, from_time not before to_time.';

CREATE FUNCTION analytics.workspace_analytics(workspace_id uuid, timeframe text DEFAULT '30d',
                                              from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    RETURN jsonb_build_object(
        'workspace_id', $1,
        'summary', (SELECT to_jsonb(s) FROM analytics.workspace_summary($1, $2, $3, $4) AS s),
        'health', (SELECT jsonb_build_object('score', max(h.score) FILTER (WHERE h.component = 'overall'),
                       'reason', max(h.reason) FILTER (WHERE h.component = 'overall'),
                       'components', jsonb_object_agg(h.component, to_jsonb(h) - 'component') FILTER (WHERE h.component <> 'overall'))
                   FROM analytics.workspace_health($1, $2, $3, $4) AS h),
        'daily', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.bucket_start), '[]')
                  FROM analytics.workspace_activity($1, $2, 'day', NULL, $3, $4) AS a),
        'top_agents', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('agent_id', t.agent_id, 'name', t.name, 'total_runs', t.total_runs,
                       'success_rate', t.success_rate, 'credits_consumed', t.credits_consumed)
                       ORDER BY t.total_runs DESC, t.agent_id), '[]')
            FROM (
                SELECT p.agent_id, k.name, p.total_runs, p.credits_consumed,
                       p.successful_runs::double precision / nullif(p.total_runs - p.running_runs - p.queued_runs, 0) AS success_rate
                FROM analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
                    '{total_runs, successful_runs, running_runs, queued_runs, credits_consumed}') AS p
                JOIN analytics_internal.known_agents($1) AS k USING (agent_id)
                WHERE p.total_runs > 0
                ORDER BY p.total_runs DESC, p.agent_id LIMIT 5
            ) AS t),
        'top_users', (SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY u.total_runs DESC, u.user_id), '[]')
                      FROM analytics.workspace_users($1, $2, 5, $3, $4) AS u),
        'errors', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('error_category', e.error_category, 'total_errors', e.total,
                       'recovery_rate', e.recovered::double precision / e.total) ORDER BY e.total DESC, e.error_category), '[]')
            FROM (
                SELECT b.error_category, sum(b.total_errors)::bigint AS total, sum(b.recovered_errors)::bigint AS recovered
                FROM analytics_internal.error_summary_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
                    '{total_errors, recovered_errors}', by_agent => false) AS b
                GROUP BY b.error_category
            ) AS e WHERE e.total > 0));
END
$$;
COMMENT ON FUNCTION analytics.workspace_analytics(uuid, text, timestamptz, timestamptz) IS
    'Everything about a workspace in a window, as jsonb: summary (workspace_summary), health (score, reason, components of workspace_health), daily (workspace_activity by days of the workspace''s time zone), the five top_agents and top_users by runs, and errors by category with the share that recovered. Times are in UTC. Errors: 22023 unknown workspace or timeframe, from_time not before to_time.';
