-- Comparison: is a difference more than chance? The tests are in src/comparison.rs.

ALTER FUNCTION analytics_internal.rank_test(bytea, bytea) ROWS 1;

CREATE FUNCTION analytics.two_proportion_test(
    successes_a bigint, total_a bigint, successes_b bigint, total_b bigint)
RETURNS TABLE (
    difference double precision, difference_low double precision, difference_high double precision,
    statistic double precision, p_value double precision, effect_size double precision
)
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10 ROWS 1
AS 'MODULE_PATHNAME', 'two_proportion_test_wrapper';
COMMENT ON FUNCTION analytics.two_proportion_test(bigint, bigint, bigint, bigint) IS
    'Do two shares differ? Two-proportion z-test, two-sided: difference (first less second) with its 95 % interval (Newcombe), statistic z, p_value, effect_size (Cohen''s h). All NULL for a NULL argument or an empty group. Errors: 22023 a number below zero, more successes than trials.';

CREATE FUNCTION analytics.welch_test(
    mean_a double precision, stddev_a double precision, total_a bigint, mean_b double precision,
    stddev_b double precision, total_b bigint)
RETURNS TABLE (
    difference double precision, difference_low double precision, difference_high double precision,
    statistic double precision, p_value double precision, effect_size double precision
)
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10 ROWS 1
AS 'MODULE_PATHNAME', 'welch_test_wrapper';
COMMENT ON FUNCTION analytics.welch_test(double precision, double precision, bigint, double precision, double precision, bigint) IS
    'Do two means differ, whatever the variances? Welch''s t-test, two-sided, from mean, standard deviation (of a sample) and count of each group: difference (first less second) with its 95 % interval, statistic t, p_value, effect_size (Cohen''s d). All NULL for a NULL argument or a group of fewer than two. Errors: 22023 a number below zero.';
COMMENT ON FUNCTION analytics_internal.rank_test(bytea, bytea) IS 'The row of mann_whitney_test(), from the bytes of sketches.';

CREATE FUNCTION analytics.mann_whitney_test(sketch_a analytics.percentile_sketch, sketch_b analytics.percentile_sketch)
RETURNS TABLE (difference double precision, difference_low double precision, difference_high double precision,
               statistic double precision, p_value double precision, effect_size double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.rank_test($1::bytea, $2::bytea) $$;
COMMENT ON FUNCTION analytics.mann_whitney_test(analytics.percentile_sketch, analytics.percentile_sketch) IS
    'Do values of one sketch tend to be greater than those of another? Mann-Whitney U test, two-sided, normal approximation with correction for ties and continuity: difference is the probability that a value of the first is greater than one of the second (ties count half) less 0.5, with its 95 % interval; statistic z, p_value, effect_size (rank-biserial correlation, -1 to 1). Exact while the sketches are; beyond, values within the relative error of a sketch count as ties. All NULL for NULL. Errors: none.';

CREATE FUNCTION analytics_internal.agent_differences(
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz,
    other_from_time timestamptz, other_to_time timestamptz, with_workspace boolean)
RETURNS TABLE (
    metric              text,
    compared_with       text,
    value               double precision,
    reference           double precision,
    difference          double precision,
    relative_difference double precision,
    difference_low      double precision,
    difference_high     double precision,
    test                text,
    p_value             double precision,
    effect_size         double precision,
    verdict             text,
    rank                bigint,
    ranked_agents       bigint,
    percentile          double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    needed constant text[] := '{total_runs, successful_runs, running_runs, queued_runs, runtime_sketch, credits_consumed, tokens_used,
                                users_sketch, total_ratings, sum_ratings, total_errors}';
BEGIN
    RETURN QUERY
    WITH agents AS MATERIALIZED (
        SELECT m.agent_id, m.total_runs, m.total_runs - m.running_runs - m.queued_runs AS finished_runs,
               m.successful_runs, m.runtime_sketch, m.credits_consumed, m.tokens_used, m.total_ratings, m.sum_ratings,
               m.total_errors, coalesce(analytics.approx_distinct(m.users_sketch), 0)::double precision AS users
        FROM analytics_internal.agent_performance_buckets($1, CASE WHEN NOT $7 THEN $2 END, $3, $4, NULL, needed) AS m
        WHERE m.total_runs > 0
    ), subjects AS MATERIALIZED (
        SELECT 'agent' AS subject, a.*, a.total_runs::double precision AS runs FROM agents AS a
        UNION ALL
        SELECT 'workspace', NULL, sum(a.total_runs)::bigint, sum(a.finished_runs)::bigint, sum(a.successful_runs)::bigint,
               analytics.rollup(a.runtime_sketch), sum(a.credits_consumed), sum(a.tokens_used), sum(a.total_ratings)::bigint,
               sum(a.sum_ratings)::bigint, sum(a.total_errors)::bigint, avg(a.users), avg(a.total_runs)::double precision
        FROM agents AS a WHERE a.agent_id <> $2 HAVING count(*) > 0
        UNION ALL
        SELECT 'previous_period', NULL, m.total_runs, m.total_runs - m.running_runs - m.queued_runs, m.successful_runs,
               m.runtime_sketch, m.credits_consumed, m.tokens_used, m.total_ratings, m.sum_ratings, m.total_errors,
               coalesce(analytics.approx_distinct(m.users_sketch), 0), m.total_runs
        FROM analytics_internal.agent_performance_buckets($1, $2, $5, $6, NULL, needed) AS m
        WHERE m.total_runs > 0 AND $5 IS NOT NULL
    ), measures AS MATERIALIZED (
        SELECT s.subject, s.agent_id, v.place, v.metric, v.better, v.value
        FROM subjects AS s
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95], s.runtime_sketch) AS p (at) ON true
        -- Whether more is better (1), worse (-1) or neither (0).
        CROSS JOIN LATERAL (VALUES
            (1, 'total_runs', 0, s.runs),
            (2, 'success_rate', 1, s.successful_runs::double precision / nullif(s.finished_runs, 0)),
            (3, 'avg_runtime_seconds', -1, analytics.mean(s.runtime_sketch)),
            (4, 'p50_runtime_seconds', -1, p.at[1]),
            (5, 'p95_runtime_seconds', -1, p.at[2]),
            (6, 'credits_per_run', -1, (s.credits_consumed / nullif(s.total_runs, 0))::double precision),
            (7, 'tokens_per_run', -1, (s.tokens_used / nullif(s.total_runs, 0))::double precision),
            (8, 'errors_per_run', -1, s.total_errors::double precision / nullif(s.total_runs, 0)),
            (9, 'avg_rating', 1, s.sum_ratings::double precision / nullif(s.total_ratings, 0)),
            (10, 'unique_users', 0, s.users)
        ) AS v (place, metric, better, value)
    ), ranks AS MATERIALIZED (
        SELECT m.agent_id, m.metric,
               rank() OVER best AS rank, count(*) OVER (PARTITION BY m.metric) AS agents,
               -- Of the other agents, those that are worse.
               (count(*) OVER (PARTITION BY m.metric) - count(*) OVER (best RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
               ::double precision / nullif(count(*) OVER (PARTITION BY m.metric) - 1, 0) AS percentile
        FROM measures AS m WHERE m.subject = 'agent' AND m.value IS NOT NULL AND $7
        WINDOW best AS (PARTITION BY m.metric ORDER BY m.value * CASE m.better WHEN -1 THEN 1 ELSE -1 END)
    )
    SELECT mine.metric, other.subject, mine.value, other.value, mine.value - other.value,
           (mine.value - other.value) / nullif(abs(other.value), 0),
           CASE WHEN t.name <> 'Mann-Whitney' THEN t.difference_low END,
           CASE WHEN t.name <> 'Mann-Whitney' THEN t.difference_high END,
           CASE WHEN t.p_value IS NOT NULL THEN t.name END, t.p_value, t.effect_size,
           CASE WHEN t.p_value IS NULL THEN 'not tested'
                WHEN t.p_value >= 0.05 THEN 'not significant'
                WHEN t.effect_size * mine.better > 0 THEN 'better' ELSE 'worse' END,
           r.rank, r.agents, r.percentile
    FROM measures AS mine
    JOIN measures AS other ON other.metric = mine.metric AND other.subject <> 'agent'
    JOIN subjects AS a ON a.subject = 'agent' AND a.agent_id = $2
    JOIN subjects AS b ON b.subject = other.subject
    LEFT JOIN ranks AS r ON r.agent_id = $2 AND r.metric = mine.metric AND other.subject = 'workspace'
    LEFT JOIN LATERAL (
        SELECT 'two-proportion z' AS name, z.*
        FROM analytics.two_proportion_test(a.successful_runs, a.finished_runs, b.successful_runs, b.finished_runs) AS z
        WHERE mine.metric = 'success_rate'
        UNION ALL
        SELECT 'Welch', z.*
        FROM analytics.welch_test(analytics.mean(a.runtime_sketch), analytics.stddev(a.runtime_sketch), analytics.num_vals(a.runtime_sketch),
                                  analytics.mean(b.runtime_sketch), analytics.stddev(b.runtime_sketch), analytics.num_vals(b.runtime_sketch)) AS z
        WHERE mine.metric = 'avg_runtime_seconds'
        UNION ALL
        SELECT 'Mann-Whitney', z.* FROM analytics_internal.rank_test(a.runtime_sketch::bytea, b.runtime_sketch::bytea) AS z
        WHERE mine.metric = 'p50_runtime_seconds'
    ) AS t ON true
    WHERE mine.subject = 'agent' AND mine.agent_id = $2
    ORDER BY other.subject DESC, mine.place;
END
$$;
COMMENT ON FUNCTION analytics_internal.agent_differences(uuid, uuid, timestamptz, timestamptz, timestamptz, timestamptz, boolean) IS
    'The rows of agent_comparison(): an agent from from_time to to_time (NULL: no bound) against the other agents of that time, if with_workspace, and against itself from other_from_time to other_to_time, unless other_from_time is NULL. The caller has checked the arguments.';

CREATE FUNCTION analytics.agent_comparison(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d',
                                           from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    metric              text,
    compared_with       text,
    value               double precision,
    reference           double precision,
    difference          double precision,
    relative_difference double precision,
    difference_low      double precision,
    difference_high     double precision,
    test                text,
    p_value             double precision,
    effect_size         double precision,
    verdict             text,
    rank                bigint,
    ranked_agents       bigint,
    percentile          double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds  record;
    -- NULL where the window has no bound.
    earlier timestamptz;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    earlier := bounds.window_start - (bounds.window_end - bounds.window_start);
    RETURN QUERY
    SELECT d.* FROM analytics_internal.agent_differences(
        $1, $2, bounds.window_start, bounds.window_end, earlier, bounds.window_start, true) AS d;
END
$$;
COMMENT ON FUNCTION analytics.agent_comparison(uuid, uuid, text, timestamptz, timestamptz) IS
    'How an agent compares in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): one row per metric against the other agents of the workspace (compared_with workspace: rates over all their runs, means per agent for total_runs and unique_users) and against itself in the period of equal length before (previous_period). value less reference is the difference; difference_low and difference_high its 95 % interval where the test gives one; test two-proportion z (success_rate), Welch (avg_runtime_seconds) or Mann-Whitney (p50_runtime_seconds), with p_value and effect_size; verdict better or worse where p_value is below 0.05, not significant, or not tested. rank among ranked_agents (1 is best; most for total_runs and unique_users), percentile the share of the other agents that are worse, 0 to 1. No row without runs on both sides. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';
