-- Errors: how many, of which kind, since when, and how much of the error budget they take.

COMMENT ON FUNCTION analytics_internal.error_fingerprint(text, text, text) IS
    'The same 16 hexadecimal digits for errors of one type, category and message_pattern(). Computed for each row of agent_errors; NULL for a NULL type or category.';

CREATE FUNCTION analytics.message_pattern(error_message text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
AS 'MODULE_PATHNAME', 'message_pattern_wrapper';
COMMENT ON FUNCTION analytics.message_pattern(text) IS
    'What of an error message counts when errors are told apart: personal data masked, lower case, <id> for UUIDs and other long ids, <hex> for hexadecimal words, <n> for numbers, dates, times, addresses and versions, blanks as one space; of the first 500 characters. NULL for NULL.';

CREATE FUNCTION analytics_internal.suggested_fix(error_category text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE $1
    WHEN 'timeout'     THEN 'Split the work or raise the limit; retry with a growing delay; see whether they gather at one hour.'
    WHEN 'rate_limit'  THEN 'Queue and spread calls, honour the provider''s retry-after, ask for a higher limit.'
    WHEN 'validation'  THEN 'Check inputs before the run starts, and tell the caller which field is wrong.'
    WHEN 'model_error' THEN 'Retry once, fall back to a second model, pin the version of the model.'
    WHEN 'network'     THEN 'Retry with a growing delay, set short connection limits, look at DNS and proxies.'
    WHEN 'auth'        THEN 'Renew the key or token, check its rights and when it expires.'
    WHEN 'resource'    THEN 'Give it more memory or disk, limit the size of inputs and simultaneous runs.'
    WHEN 'user_error'  THEN 'Explain to users what the agent expects, with an example; reject early.'
    ELSE 'Give the error a category where it is raised, then look at its stack with get_error().' END;
COMMENT ON FUNCTION analytics_internal.suggested_fix(text) IS 'What usually helps against errors of a category.';

CREATE FUNCTION analytics_internal.require_agent_or_all(workspace_id uuid, agent_id uuid) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_agent_or_all(uuid, uuid) IS
    'require_agent(), or require_workspace() where the agent is NULL for all of them.';

CREATE FUNCTION analytics.error_summary(workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d',
                                        from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    error_category       text,
    error_severity       text,
    total_errors         bigint,
    error_share          double precision,
    recovered_errors     bigint,
    recovery_rate        double precision,
    avg_recovery_seconds double precision,
    p95_recovery_seconds double precision,
    recovery_attempts    bigint,
    affected_users       bigint,
    affected_agents      bigint,
    first_error_at       timestamptz,
    last_error_at        timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    SELECT e.error_category, e.error_severity, e.total_errors, (e.total_errors / sum(e.total_errors) OVER ())::double precision,
           e.recovered_errors, e.recovered_errors::double precision / e.total_errors, analytics.mean(e.recovery_sketch),
           analytics.approx_percentile(0.95, e.recovery_sketch), e.recovery_attempts,
           coalesce(analytics.approx_distinct(e.users_sketch), 0), e.agents, e.first_error_at, e.last_error_at
    FROM analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, by_agent => false) AS e
    ORDER BY e.total_errors DESC, e.error_category, e.error_severity;
END
$$;
COMMENT ON FUNCTION analytics.error_summary(uuid, uuid, text, timestamptz, timestamptz) IS
    'Errors of an agent (NULL: of the workspace) in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), one row per category and severity, most first: error_share of all (0..1), recovery_rate (0..1) without a person, mean seconds to recovery (MTTR; NULL when none was measured), users concerned (estimated when there are many) and agents. No row without errors. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.error_timeline(
    workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d', bucket text DEFAULT 'day',
    time_zone text DEFAULT NULL, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    bucket_start     timestamptz,
    total_errors     bigint,
    low_errors       bigint,
    medium_errors    bigint,
    high_errors      bigint,
    critical_errors  bigint,
    recovered_errors bigint,
    affected_users   bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    zone    text;
    bounds  record;
    aligned boolean;
    needed  constant text[] := '{total_errors, recovered_errors, users_sketch}';
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $6, $7);
    zone := analytics_internal.zone_of($1, $5);
    SELECT * INTO bounds FROM analytics_internal.finite_window($1, $2, bounds.window_start, bounds.window_end);
    IF bounds.window_start = bounds.window_end THEN
        PERFORM FROM analytics_internal.time_spans($4, zone, now(), now());
        RETURN;
    END IF;
    SELECT bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) INTO aligned
    FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH spans AS MATERIALIZED (
        SELECT * FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end)
    ), found AS (
        SELECT date_trunc($4, m.bucket, zone) AS bucket_start, m.*
        FROM (SELECT WHERE aligned) AS whole_hours
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, '1 hour', needed) AS m
        UNION ALL
        SELECT s.bucket_start, m.*
        FROM (SELECT WHERE NOT aligned) AS parts_of_hours
        CROSS JOIN spans AS s
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, s.span_start, s.span_end, NULL, needed) AS m
    ), merged AS (
        SELECT f.bucket_start, sum(f.total_errors)::bigint AS errors,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'low')::bigint AS low,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'medium')::bigint AS medium,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'high')::bigint AS high,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'critical')::bigint AS critical,
               sum(f.recovered_errors)::bigint AS recovered, analytics.rollup(f.users_sketch) AS users
        FROM found AS f GROUP BY f.bucket_start
    )
    SELECT s.bucket_start, coalesce(m.errors, 0), coalesce(m.low, 0), coalesce(m.medium, 0), coalesce(m.high, 0),
           coalesce(m.critical, 0), coalesce(m.recovered, 0), coalesce(analytics.approx_distinct(m.users), 0)
    FROM spans AS s LEFT JOIN merged AS m USING (bucket_start)
    ORDER BY s.bucket_start;
END
$$;
COMMENT ON FUNCTION analytics.error_timeline(uuid, uuid, text, text, text, timestamptz, timestamptz) IS
    'Errors of an agent (NULL: of the workspace) by hour, day, week or month (bucket) of a time zone (default: that of the workspace) in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), by severity; zeros where there were none. The first and the last bucket hold what of them lies in the window. Errors: 22023 unknown workspace, agent, timeframe, bucket or time zone, too many buckets, from_time not before to_time.';

CREATE FUNCTION analytics.error_patterns(
    workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d', max_rows integer DEFAULT 50,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    error_fingerprint    text,
    error_type           text,
    error_category       text,
    error_severity       text,
    message_pattern      text,
    total_errors         bigint,
    error_share          double precision,
    errors_per_day       double precision,
    affected_users       bigint,
    affected_agents      bigint,
    first_seen_at        timestamptz,
    last_seen_at         timestamptz,
    trend                text,
    trend_ratio          double precision,
    recovery_rate        double precision,
    avg_recovery_seconds double precision,
    recovery_attempts    bigint,
    example_error_id     uuid,
    example_message      text,
    suggested_fix        text
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 50
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
    middle timestamptz;
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    IF $4 < 1 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $4::text, 'it is below one', 'Give NULL to get all patterns.');
    END IF;
    SELECT f.window_start, f.window_end INTO bounds
    FROM analytics_internal.finite_window($1, $2, bounds.window_start, bounds.window_end) AS f;
    IF bounds.window_start = bounds.window_end THEN
        RETURN;
    END IF;
    -- What is still to come of the current hour has no errors, and is no part of the halves that are compared.
    middle := bounds.window_start + (least(bounds.window_end, greatest(now(), bounds.window_start)) - bounds.window_start) / 2;
    RETURN QUERY
    WITH patterns AS (
        SELECT e.error_fingerprint, min(e.error_type) AS error_type, min(e.error_category) AS error_category,
               max(array_position(ARRAY['low', 'medium', 'high', 'critical'], e.error_severity)) AS severity,
               count(*) AS errors, count(*) FILTER (WHERE e.occurred_at < middle) AS before,
               count(DISTINCT e.user_id) AS users, count(DISTINCT e.agent_id) AS agents, max(e.occurred_at) AS last_at,
               count(*) FILTER (WHERE e.auto_recovered) AS recovered, avg(e.recovery_time_seconds) AS recovery,
               sum(e.recovery_attempts) AS attempts
        FROM analytics.agent_errors AS e
        WHERE e.workspace_id = $1 AND ($2 IS NULL OR e.agent_id = $2)
          AND e.occurred_at >= bounds.window_start AND e.occurred_at < bounds.window_end
        GROUP BY e.error_fingerprint
    ), top AS MATERIALIZED (
        SELECT p.*, (p.errors / sum(p.errors) OVER ())::double precision AS share FROM patterns AS p
        ORDER BY p.errors DESC, p.last_at DESC, p.error_fingerprint LIMIT $4
    )
    SELECT t.error_fingerprint, t.error_type, t.error_category, (ARRAY['low', 'medium', 'high', 'critical'])[t.severity],
           analytics.message_pattern(x.error_message), t.errors, t.share,
           t.errors * 86400.0 / extract(epoch FROM bounds.window_end - bounds.window_start)::double precision,
           t.users, t.agents, f.first_at, t.last_at,
           CASE WHEN f.first_at >= middle THEN 'new'
                WHEN abs(2 * t.before - t.errors) < 1.96 * sqrt(t.errors) THEN 'steady'
                WHEN 2 * t.before < t.errors THEN 'rising' ELSE 'falling' END,
           (t.errors - t.before)::double precision / nullif(t.before, 0), t.recovered::double precision / t.errors,
           t.recovery, t.attempts, x.error_id, x.error_message, analytics_internal.suggested_fix(t.error_category)
    FROM top AS t
    -- Of the window or before it, of the agents that are asked about.
    CROSS JOIN LATERAL (
        SELECT e.occurred_at AS first_at FROM analytics.agent_errors AS e
        WHERE e.workspace_id = $1 AND e.error_fingerprint = t.error_fingerprint AND ($2 IS NULL OR e.agent_id = $2)
        ORDER BY e.occurred_at LIMIT 1
    ) AS f
    CROSS JOIN LATERAL (
        SELECT m.error_id, m.error_message FROM analytics.agent_errors_masked AS m
        WHERE m.workspace_id = $1 AND m.error_fingerprint = t.error_fingerprint AND ($2 IS NULL OR m.agent_id = $2)
          AND m.occurred_at = t.last_at
        ORDER BY m.error_id LIMIT 1
    ) AS x
    ORDER BY t.errors DESC, t.last_at DESC, t.error_fingerprint;
END
$$;
COMMENT ON FUNCTION analytics.error_patterns(uuid, uuid, text, integer, timestamptz, timestamptz) IS
    'What errors of an agent (NULL: of the workspace) have in common in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): one row per error_fingerprint (type, category and message but for ids, numbers and personal data), most frequent first, at most max_rows (default 50, NULL all). error_severity is the worst; first_seen_at may lie before the window; trend is new (first seen in the second half of the window so far), rising or falling (the halves differ by more than chance, 95 %) or steady, trend_ratio the second half over the first; recovery_rate 0..1; avg_recovery_seconds the mean time to recovery. The example is the last error, its message masked for readers who are not admin of the workspace. Reads the errors of the window by index. Errors: 22023 unknown workspace, agent or timeframe, max_rows below 1, from_time not before to_time.';

CREATE FUNCTION analytics.get_error(workspace_id uuid, error_id uuid)
RETURNS TABLE (
    error_fingerprint     text,
    agent_id              uuid,
    agent_name            text,
    occurred_at           timestamptz,
    error_type            text,
    error_category        text,
    error_severity        text,
    error_message         text,
    error_stack           text,
    error_context         jsonb,
    message_pattern       text,
    user_id               uuid,
    affected_users        integer,
    business_impact       text,
    auto_recovered        boolean,
    recovery_attempts     integer,
    recovery_time_seconds double precision,
    run_id                uuid,
    run_started_at        timestamptz,
    run_status            text,
    run_model_name        text,
    similar_errors        bigint,
    first_seen_at         timestamptz,
    last_seen_at          timestamptz,
    suggested_fix         text
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    SELECT e.error_fingerprint, e.agent_id, (SELECT a.name FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = e.agent_id),
           e.occurred_at, e.error_type, e.error_category, e.error_severity, e.error_message, e.error_stack, e.error_context,
           analytics.message_pattern(e.error_message), e.user_id, e.affected_users, e.business_impact, e.auto_recovered,
           e.recovery_attempts, e.recovery_time_seconds, e.agent_run_id, e.run_started_at, r.status, r.model_name,
           s.others - 1, s.first_at, s.last_at, analytics_internal.suggested_fix(e.error_category)
    FROM analytics.agent_errors_masked AS e
    LEFT JOIN analytics.agent_runs AS r
        ON r.workspace_id = $1 AND r.run_id = e.agent_run_id AND r.started_at = e.run_started_at
    CROSS JOIN LATERAL (
        SELECT count(*) AS others, min(o.occurred_at) AS first_at, max(o.occurred_at) AS last_at
        FROM analytics.agent_errors AS o WHERE o.workspace_id = $1 AND o.error_fingerprint = e.error_fingerprint
    ) AS s
    WHERE e.workspace_id = $1 AND e.error_id = $2;
    IF NOT FOUND THEN
        PERFORM analytics_internal.refuse_argument('error_id', $2::text, 'the workspace has no such error',
            'Give the error_id of a row of analytics.agent_errors, such as the example of error_patterns().');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.get_error(uuid, uuid) IS
    'One error with everything about it: its run, and how often errors of its fingerprint happened in the workspace. Message, stack and context are masked for readers who are not admin of the workspace. Errors: 22023 unknown workspace or error.';

CREATE FUNCTION analytics.new_errors(workspace_id uuid, since timestamptz, agent_id uuid DEFAULT NULL,
                                     quiet_period interval DEFAULT '7 days')
RETURNS TABLE (
    kind              text,
    error_fingerprint text,
    error_type        text,
    error_category    text,
    total_errors      bigint,
    affected_users    bigint,
    affected_agents   bigint,
    appeared_at       timestamptz,
    last_seen_at      timestamptz,
    previous_seen_at  timestamptz,
    example_error_id  uuid,
    example_message   text
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $3);
    IF $2 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('since', NULL, 'it is not a point in time', 'Give the time of the last release, say.');
    END IF;
    IF $4 IS NULL OR $4 < interval '0' THEN
        PERFORM analytics_internal.refuse_argument('quiet_period', $4::text, 'it is not a length of time', 'Give an interval such as ''7 days''.');
    END IF;
    RETURN QUERY
    WITH appeared AS (
        SELECT e.error_fingerprint, min(e.error_type) AS error_type, min(e.error_category) AS error_category, count(*) AS errors,
               count(DISTINCT e.user_id) AS users, count(DISTINCT e.agent_id) AS agents, min(e.occurred_at) AS first_at,
               max(e.occurred_at) AS last_at
        FROM analytics.agent_errors AS e
        WHERE e.workspace_id = $1 AND ($3 IS NULL OR e.agent_id = $3) AND e.occurred_at >= $2
        GROUP BY e.error_fingerprint
    )
    SELECT CASE WHEN b.last_before IS NULL THEN 'new' ELSE 'regressed' END, a.error_fingerprint, a.error_type, a.error_category,
           a.errors, a.users, a.agents, a.first_at, a.last_at, b.last_before, x.error_id, x.error_message
    FROM appeared AS a
    LEFT JOIN LATERAL (
        SELECT e.occurred_at AS last_before FROM analytics.agent_errors AS e
        WHERE e.workspace_id = $1 AND e.error_fingerprint = a.error_fingerprint AND ($3 IS NULL OR e.agent_id = $3)
          AND e.occurred_at < $2
        ORDER BY e.occurred_at DESC LIMIT 1
    ) AS b ON true
    CROSS JOIN LATERAL (
        SELECT m.error_id, m.error_message FROM analytics.agent_errors_masked AS m
        WHERE m.workspace_id = $1 AND m.error_fingerprint = a.error_fingerprint AND ($3 IS NULL OR m.agent_id = $3)
          AND m.occurred_at = a.first_at
        ORDER BY m.error_id LIMIT 1
    ) AS x
    WHERE b.last_before IS NULL OR a.first_at - b.last_before >= $4
    ORDER BY 1, a.errors DESC, a.error_fingerprint;
END
$$;
COMMENT ON FUNCTION analytics.new_errors(uuid, timestamptz, uuid, interval) IS
    'Errors of the workspace, or of one agent, that appeared since a time: kind new (their fingerprint was never seen before) or regressed (it was, and then not for at least quiet_period, default 7 days). The example is the first of them, its message masked for readers who are not admin of the workspace. Errors: 22023 unknown workspace or agent, since or quiet_period NULL, quiet_period below zero.';

CREATE FUNCTION analytics.error_budget(
    workspace_id uuid, agent_id uuid DEFAULT NULL, target_success_rate double precision DEFAULT 0.95,
    timeframe text DEFAULT '30d', from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    success_rate         double precision,
    finished_runs        bigint,
    unsuccessful_runs    bigint,
    allowed_runs         double precision,
    budget_remaining     double precision,
    burn_rate            double precision,
    burn_rate_1h         double precision,
    burn_rate_6h         double precision,
    burn_rate_24h        double precision,
    exhausted_in_hours   double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds  record;
    reached timestamptz;
    needed  constant text[] := '{total_runs, running_runs, queued_runs, successful_runs}';
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($4, $5, $6);
    IF $3 IS NULL OR NOT ($3 >= 0 AND $3 < 1) THEN
        PERFORM analytics_internal.refuse_argument('target_success_rate', $3::text, 'it lies outside 0 to 1, or leaves no room for failures',
            'Give a share such as 0.95 or 0.999.');
    END IF;
    reached := least(bounds.window_end, date_bin('1 hour', now(), 'epoch') + interval '1 hour');
    RETURN QUERY
    WITH whole AS (
        SELECT sum(m.total_runs - m.running_runs - m.queued_runs)::bigint AS finished, sum(m.successful_runs)::bigint AS successes
        FROM (SELECT WHERE $2 IS NOT NULL) AS one
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, NULL, needed) AS m
        UNION ALL
        SELECT sum(m.total_runs - m.running_runs - m.queued_runs)::bigint, sum(m.successful_runs)::bigint
        FROM (SELECT WHERE $2 IS NULL) AS everyone
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end, NULL, needed) AS m
    ), hours AS (
        SELECT m.bucket, m.total_runs - m.running_runs - m.queued_runs AS finished, m.successful_runs AS successes
        FROM (SELECT WHERE $2 IS NOT NULL) AS one
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, reached - interval '24 hours', reached, '1 hour', needed) AS m
        UNION ALL
        SELECT m.bucket, m.total_runs - m.running_runs - m.queued_runs, m.successful_runs
        FROM (SELECT WHERE $2 IS NULL) AS everyone
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, reached - interval '24 hours', reached, '1 hour', needed) AS m
    ), recent AS (
        SELECT sum(h.finished - h.successes) FILTER (WHERE h.bucket >= reached - interval '1 hour')::double precision
                   / nullif(sum(h.finished) FILTER (WHERE h.bucket >= reached - interval '1 hour'), 0)::double precision AS bad_1h,
               sum(h.finished - h.successes) FILTER (WHERE h.bucket >= reached - interval '6 hours')::double precision
                   / nullif(sum(h.finished) FILTER (WHERE h.bucket >= reached - interval '6 hours'), 0)::double precision AS bad_6h,
               sum(h.finished - h.successes)::double precision / nullif(sum(h.finished), 0)::double precision AS bad_24h,
               sum(h.finished - h.successes)::double precision / 24 AS bad_per_hour
        FROM hours AS h
    ), totals AS (
        SELECT coalesce(sum(w.finished), 0)::bigint AS finished, coalesce(sum(w.finished - w.successes), 0)::bigint AS bad FROM whole AS w
    )
    SELECT 1 - t.bad::double precision / nullif(t.finished, 0), t.finished, t.bad, (1 - $3) * t.finished,
           1 - t.bad / nullif((1 - $3) * t.finished, 0), t.bad::double precision / nullif(t.finished, 0) / (1 - $3),
           r.bad_1h / (1 - $3), r.bad_6h / (1 - $3), r.bad_24h / (1 - $3),
           CASE WHEN t.bad >= (1 - $3) * t.finished THEN CASE WHEN t.finished > 0 THEN 0.0 END
                ELSE ((1 - $3) * t.finished - t.bad) / nullif(r.bad_per_hour, 0) END
    FROM totals AS t CROSS JOIN recent AS r;
END
$$;
COMMENT ON FUNCTION analytics.error_budget(uuid, uuid, double precision, text, timestamptz, timestamptz) IS
    'How much of the failures that a target success rate (0 to below 1, default 0.95) allows an agent (NULL: the workspace) has used in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time). Every finished run that is not completed counts against it; allowed_runs is what the target allows, budget_remaining the share of it that is left (1 none used, below 0 overdrawn). burn_rate is the rate of such runs over the allowed one: 1 uses the budget up exactly; burn_rate_1h, _6h and _24h are those of the last clock hours up to the end of the window or now, NULL without finished runs. exhausted_in_hours: when the budget is used up if failures go on as in the last 24 hours; 0 when it is, NULL when there were none. Errors: 22023 unknown workspace, agent or timeframe, target outside 0 to 1, from_time not before to_time.';
