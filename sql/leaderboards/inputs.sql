-- Leaderboards: what is compared.
--
-- Inputs come from the rollups, with the raw rows of what has changed since. Scores and ranks are computed in Rust
-- (src/leaderboards/), for the live boards and for the kept ones alike: the two cannot differ for the same window.

CREATE FUNCTION analytics.rank_scores(
    boards text[], entities uuid[], scores double precision[], ranking text DEFAULT 'competition')
RETURNS TABLE (
    board text, entity_id uuid, score double precision, rank bigint, percentile double precision, board_size bigint
)
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'rank_scores_wrapper';
COMMENT ON FUNCTION analytics.rank_scores(text[], uuid[], double precision[], text) IS
    'Ranks any scores on any boards in one pass: three arrays that were aggregated from the same rows. Per row: board, entity_id, score, rank (the highest score first; ranking => competition 1 1 3, dense 1 1 2, ordinal 1 2 3 with ties by entity_id), percentile (percentage of the others on the board with a lower score, plus half of those with the same one; 50 for one alone), board_size. Rows with a NULL are left out. Errors: 22023 unknown ranking, NaN or infinite score, arrays of different lengths.';

CREATE FUNCTION analytics.wilson_lower_bound(successes bigint, trials bigint) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'wilson_lower_bound_wrapper';
COMMENT ON FUNCTION analytics.wilson_lower_bound(bigint, bigint) IS
    'Success rate that so many successes of so many trials support: lower bound of the Wilson score interval at 95 % (two-sided), 0 to 1; 0 without a trial. NULL for NULL. Errors: 22023 unless 0 <= successes <= trials.';
COMMENT ON FUNCTION analytics_internal.require_board(text, text) IS
    'Raises 22023, with the valid words in the hint, for what is not a board (agent, user, workspace) or not a criterion of it.';
COMMENT ON FUNCTION analytics_internal.board_standings(text, integer[], uuid[], bigint[], double precision[], text, integer, text) IS
    'Scores and ranks the rows that the arrays hold, on the board of each timeframe and criterion (NULL: all). row_number is the place of a row in the arrays.';
COMMENT ON FUNCTION analytics_internal.board_terms(text, uuid, text, integer[], uuid[], bigint[], double precision[]) IS
    'The quantities that went into the score of one entity, the score last.';

CREATE FUNCTION analytics_internal.timeframe_number(timeframe text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_position(ARRAY['24h', '7d', '30d', '90d', 'all'], timeframe);
COMMENT ON FUNCTION analytics_internal.timeframe_number(text) IS
    '1 to 5 for 24h, 7d, 30d, 90d and all; NULL for anything else.';

-- Windows overlap; slices do not, so that each rollup row is read once for all timeframes.
CREATE FUNCTION analytics_internal.board_slices(timeframe text, as_of timestamptz)
RETURNS TABLE (from_time timestamptz, to_time timestamptz, timeframes integer[])
LANGUAGE sql STABLE PARALLEL SAFE ROWS 6
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.window_start, b.window_end, ARRAY[analytics_internal.timeframe_number($1)]
    FROM analytics.window_bounds($1, $2) AS b WHERE $1 IS NOT NULL
    UNION ALL
    SELECT s.from_time, s.to_time, s.timeframes
    FROM analytics.window_bounds('24h', $2) AS b
    CROSS JOIN LATERAL (VALUES
        (b.window_start,                          b.window_end,                             '{1,2,3,4,5}'::integer[]),
        (b.window_end - interval '168 hours',     b.window_start,                           '{2,3,4,5}'),
        (b.window_end - interval '720 hours',     b.window_end - interval '168 hours',      '{3,4,5}'),
        (b.window_end - interval '2160 hours',    b.window_end - interval '720 hours',      '{4,5}'),
        (NULL,                                    b.window_end - interval '2160 hours',     '{5}'),
        -- A clock ahead of ours.
        (b.window_end,                            NULL,                                     '{5}')
    ) AS s (from_time, to_time, timeframes)
    WHERE $1 IS NULL
$$;
COMMENT ON FUNCTION analytics_internal.board_slices(text, timestamptz) IS
    'Pieces of time that do not overlap, with the numbers of the timeframes that each belongs to: one piece for one timeframe, six for all five (NULL). A piece without a begin or an end has NULL there.';

CREATE FUNCTION analytics_internal.float_amount(amount numeric) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN greatest(least(amount, 1e150), 0)::double precision;
COMMENT ON FUNCTION analytics_internal.float_amount(numeric) IS
    'An amount as a double, which has less room: at most 1e150. NULL for NULL.';

CREATE FUNCTION analytics_internal.agent_inputs(workspace_id uuid, timeframe text, as_of timestamptz)
RETURNS TABLE (
    timeframe_number integer,
    agent_id         uuid,
    total_runs       bigint,
    finished_runs    bigint,
    successful_runs  bigint,
    timed_runs       bigint,
    unique_users     bigint,
    total_seconds    double precision,
    median_seconds   double precision,
    credits_consumed numeric,
    first_run_at     timestamptz
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH slices AS MATERIALIZED (
        SELECT s.timeframes[1] AS number, b.agent_id,
               sum(b.total_runs) AS total,
               sum(b.total_runs - b.running_runs - b.queued_runs) AS finished,
               sum(b.successful_runs) AS successful,
               analytics.rollup(b.runtime_sketch) AS runtimes,
               analytics.rollup(b.users_sketch) AS users,
               sum(b.credits_consumed) AS credits,
               min(b.first_run_at) AS first_run
        FROM analytics_internal.board_slices($2, $3) AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, s.from_time, s.to_time, NULL,
            '{total_runs, successful_runs, running_runs, queued_runs, runtime_sketch, credits_consumed, users_sketch, first_run_at}') AS b
        WHERE b.total_runs > 0
        GROUP BY s.timeframes[1], b.agent_id
    )
    -- A timeframe is the shorter ones and a slice: each sketch is merged once, and not once for each timeframe.
    SELECT m.number, m.agent_id, m.total::bigint, m.finished::bigint, m.successful::bigint,
           coalesce(analytics.num_vals(m.runtimes), 0), coalesce(analytics.approx_distinct(m.users), 0),
           coalesce(analytics.sum(m.runtimes), 0), analytics.approx_percentile(0.5, m.runtimes),
           m.credits, m.first_run
    FROM (
        SELECT n.number, a.agent_id, sum(s.total) OVER so_far AS total, sum(s.finished) OVER so_far AS finished,
               sum(s.successful) OVER so_far AS successful, analytics.rollup(s.runtimes) OVER so_far AS runtimes,
               analytics.rollup(s.users) OVER so_far AS users, sum(s.credits) OVER so_far AS credits,
               min(s.first_run) OVER so_far AS first_run
        FROM (SELECT DISTINCT s.agent_id FROM slices AS s) AS a
        CROSS JOIN LATERAL generate_series(coalesce(analytics_internal.timeframe_number($2), 1),
                                           coalesce(analytics_internal.timeframe_number($2), 5)) AS n (number)
        LEFT JOIN slices AS s ON s.agent_id = a.agent_id AND s.number = n.number
        WINDOW so_far AS (PARTITION BY a.agent_id ORDER BY n.number)
    ) AS m
    WHERE m.total > 0
$$;
COMMENT ON FUNCTION analytics_internal.agent_inputs(uuid, text, timestamptz) IS
    'What the agents of a workspace did in a timeframe, or in each of the five (NULL): one row per timeframe and agent with a run. Seconds and medians of runtimes; median_seconds and first_run_at may be NULL.';

CREATE FUNCTION analytics_internal.user_inputs(workspace_id uuid, timeframe text, as_of timestamptz)
RETURNS TABLE (
    timeframe_number integer,
    user_id          uuid,
    total_runs       bigint,
    finished_runs    bigint,
    successful_runs  bigint,
    credits_consumed numeric,
    expected_credits numeric
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.number, p.user_id, sum(p.total)::bigint, sum(p.finished)::bigint, sum(p.successful)::bigint,
           sum(p.credits), sum(p.total * p.price)
    FROM (
        SELECT n.number, b.user_id,
               sum(b.total_runs) AS total,
               sum(b.finished_runs) AS finished,
               sum(b.successful_runs) AS successful,
               sum(b.credits_consumed) AS credits,
               sum(sum(b.credits_consumed)) OVER of_agent / sum(sum(b.total_runs)) OVER of_agent AS price
        FROM analytics_internal.board_slices($2, $3) AS s
        CROSS JOIN LATERAL analytics_internal.user_usage_buckets($1, NULL, s.from_time, s.to_time, NULL,
            '{total_runs, successful_runs, finished_runs, credits_consumed}') AS b
        CROSS JOIN LATERAL unnest(s.timeframes) AS n (number)
        WHERE b.total_runs > 0
        GROUP BY n.number, b.agent_id, b.user_id
        WINDOW of_agent AS (PARTITION BY n.number, b.agent_id)
    ) AS p
    GROUP BY p.number, p.user_id
$$;
COMMENT ON FUNCTION analytics_internal.user_inputs(uuid, text, timestamptz) IS
    'What the users of a workspace did in a timeframe, or in each of the five (NULL): one row per timeframe and user with a run. expected_credits are what the same runs would have cost at the average price of each agent, over all users.';

CREATE FUNCTION analytics_internal.growth_inputs(workspace_id uuid, timeframe text, as_of timestamptz)
RETURNS TABLE (timeframe_number integer, current_runs bigint, previous_runs bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.number, coalesce(c.total_runs, 0), coalesce(p.total_runs, 0)
    FROM (VALUES (1, '24 hours'::interval), (2, '168 hours'), (3, '720 hours'), (4, '2160 hours'), (5, '2160 hours'))
         AS t (number, span)
    CROSS JOIN LATERAL analytics.window_bounds('24h', $3) AS b
    LEFT JOIN LATERAL analytics_internal.execution_metrics_buckets(
        $1, b.window_end - t.span, b.window_end, NULL, '{total_runs}') AS c ON true
    LEFT JOIN LATERAL analytics_internal.execution_metrics_buckets(
        $1, b.window_end - 2 * t.span, b.window_end - t.span, NULL, '{total_runs}') AS p ON true
    WHERE $2 IS NULL OR t.number = analytics_internal.timeframe_number($2)
$$;
COMMENT ON FUNCTION analytics_internal.growth_inputs(uuid, text, timestamptz) IS
    'Runs of a workspace in a timeframe and in the time of the same length before it, or in each of the five (NULL). For all, which has no time before it, the last 90 days count.';

-- Of agents whose inputs are there already: the refresh has them.
CREATE FUNCTION analytics_internal.workspace_inputs_of(workspace_id uuid, timeframe text, as_of timestamptz)
RETURNS TABLE (
    timeframe_number integer,
    total_runs       bigint,
    finished_runs    bigint,
    successful_runs  bigint,
    timed_runs       bigint,
    current_runs     bigint,
    previous_runs    bigint,
    active_agents    bigint,
    new_agents       bigint,
    total_seconds    double precision,
    credits_consumed numeric
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    WITH agents AS MATERIALIZED (
        SELECT i.* FROM analytics_internal.agent_inputs($1, $2, $3) AS i
    ), first_runs AS (
        SELECT i.agent_id, i.first_run_at FROM agents AS i WHERE $2 IS NULL AND i.timeframe_number = 5
        UNION ALL
        SELECT i.agent_id, i.first_run_at FROM analytics_internal.agent_inputs($1, 'all', $3) AS i
        WHERE $2 IS NOT NULL
    )
    SELECT g.timeframe_number, coalesce(sum(a.total_runs), 0)::bigint, coalesce(sum(a.finished_runs), 0)::bigint,
           coalesce(sum(a.successful_runs), 0)::bigint, coalesce(sum(a.timed_runs), 0)::bigint,
           g.current_runs, g.previous_runs, count(a.agent_id),
           count(a.agent_id) FILTER (WHERE f.first_run_at >= coalesce(b.window_start, '-infinity')),
           coalesce(analytics.sum(analytics.stats_agg(a.total_seconds)), 0), coalesce(sum(a.credits_consumed), 0)
    FROM analytics_internal.growth_inputs($1, $2, $3) AS g
    CROSS JOIN LATERAL analytics.window_bounds(
        (ARRAY['24h', '7d', '30d', '90d', 'all'])[g.timeframe_number], $3) AS b
    LEFT JOIN agents AS a USING (timeframe_number)
    LEFT JOIN first_runs AS f USING (agent_id)
    GROUP BY g.timeframe_number, g.current_runs, g.previous_runs
$$;
COMMENT ON FUNCTION analytics_internal.workspace_inputs_of(uuid, text, timestamptz) IS
    'What a workspace did in a timeframe, or in each of the five (NULL): the columns of the table workspace_inputs.';

CREATE FUNCTION analytics_internal.minimum_runs_of(workspace_id uuid, minimum_runs integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce($2, s.minimum_runs, 1)
    FROM analytics.workspaces AS w LEFT JOIN analytics.leaderboard_settings AS s USING (workspace_id)
    WHERE w.workspace_id = $1
$$;
COMMENT ON FUNCTION analytics_internal.minimum_runs_of(uuid, integer) IS
    'Least number of runs behind an estimate: the one that was asked for, else that of the workspace, else 1. NULL for a workspace that the caller does not see.';
