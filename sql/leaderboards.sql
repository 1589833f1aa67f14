-- Leaderboards: what is compared, boards that are up to date, and boards that are kept.
--
-- Inputs come from the rollups, with the raw rows of what has changed since. Scores and ranks are computed in Rust
-- (src/leaderboards/), for the live boards and for the kept ones alike: the two cannot differ for the same window.

COMMENT ON FUNCTION analytics.rank_scores(text[], uuid[], double precision[], text) IS
    'Ranks any scores on any boards in one pass: three arrays that were aggregated from the same rows. Per row: board, entity_id, score, rank (the highest score first; ranking => competition 1 1 3, dense 1 1 2, ordinal 1 2 3 with ties by entity_id), percentile (percentage of the others on the board with a lower score, plus half of those with the same one; 50 for one alone), board_size. Rows with a NULL are left out. Errors: 22023 unknown ranking, NaN or infinite score, arrays of different lengths.';
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
        ('-infinity',                             b.window_end - interval '2160 hours',     '{5}'),
        -- A clock ahead of ours.
        (b.window_end,                            'infinity',                               '{5}')
    ) AS s (from_time, to_time, timeframes)
    WHERE $1 IS NULL
$$;
COMMENT ON FUNCTION analytics_internal.board_slices(text, timestamptz) IS
    'Pieces of time that do not overlap, with the numbers of the timeframes that each belongs to: one piece for one timeframe, six for all five (NULL).';

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
           count(a.agent_id) FILTER (WHERE f.first_run_at >= b.window_start),
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

CREATE FUNCTION analytics_internal.minimum_runs_of(workspace_id uuid, asked integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce($2, s.minimum_runs, 1)
    FROM analytics.workspaces AS w LEFT JOIN analytics.leaderboard_settings AS s USING (workspace_id)
    WHERE w.workspace_id = $1
$$;
COMMENT ON FUNCTION analytics_internal.minimum_runs_of(uuid, integer) IS
    'Least number of runs behind an estimate: the one that was asked for, else that of the workspace, else 1. NULL for a workspace that the caller does not see.';

CREATE FUNCTION analytics.rank_agents(
    workspace_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT 'success_rate',
    minimum_runs integer DEFAULT NULL, ranking text DEFAULT 'competition')
RETURNS TABLE (
    rank                bigint,
    agent_id            uuid,
    agent_name          text,
    score               double precision,
    percentile          double precision,
    badge               text,
    total_runs          bigint,
    successful_runs     bigint,
    success_rate        double precision,
    p50_runtime_seconds double precision,
    credits_consumed    numeric,
    unique_users        bigint,
    board_size          bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($2);
    PERFORM analytics_internal.require_board('agent', $3);
    RETURN QUERY
    WITH inputs AS MATERIALIZED (
        SELECT i.* FROM analytics_internal.agent_inputs($1, $2, now()) AS i
    ), arrays AS (
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.agent_id), '{}') AS agents,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.unique_users]), '{}') AS counts,
               coalesce(array_agg(ARRAY[i.total_seconds, coalesce(i.median_seconds, 0),
                                        analytics_internal.float_amount(i.credits_consumed)]), '{}') AS amounts
        FROM inputs AS i
    )
    SELECT s.rank, s.entity_id, coalesce(k.name, s.entity_id::text), s.score, s.percentile, s.award, i.total_runs,
           i.successful_runs, i.successful_runs::double precision / nullif(i.finished_runs, 0), i.median_seconds,
           i.credits_consumed, i.unique_users, s.board_size
    FROM arrays AS a
    CROSS JOIN LATERAL analytics_internal.board_standings('agent', a.numbers, a.agents, a.counts, a.amounts, $3,
        analytics_internal.minimum_runs_of($1, $4), $5) AS s
    JOIN inputs AS i ON i.agent_id = s.entity_id
    LEFT JOIN analytics_internal.known_agents($1) AS k ON k.agent_id = s.entity_id
    ORDER BY s.rank, s.entity_id;
END
$$;
COMMENT ON FUNCTION analytics.rank_agents(uuid, text, text, integer, text) IS
    'The agents of a workspace with a run in a timeframe (24h, 7d, 30d, 90d, all), by runs, success_rate, speed, efficiency or popularity, the best first, as of now. A condition or a LIMIT on the result leaves ranks as they are. minimum_runs: least number of runs behind an estimate (NULL: as set_leaderboard_options() says, else 1); ranking: competition (1 1 3), dense (1 1 2) or ordinal (1 2 3). Columns as in agent_leaderboard; board_size is the number of agents on the board. Errors: 22023 unknown workspace, timeframe, criteria or ranking.';

CREATE FUNCTION analytics.rank_users(
    workspace_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT 'activity',
    minimum_runs integer DEFAULT NULL, ranking text DEFAULT 'competition')
RETURNS TABLE (
    rank             bigint,
    user_id          uuid,
    score            double precision,
    percentile       double precision,
    total_runs       bigint,
    successful_runs  bigint,
    success_rate     double precision,
    credits_consumed numeric,
    credits_saved    double precision,
    achievements     bigint,
    board_size       bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($2);
    PERFORM analytics_internal.require_board('user', $3);
    RETURN QUERY
    WITH inputs AS MATERIALIZED (
        SELECT i.* FROM analytics_internal.user_inputs($1, $2, now()) AS i
    ), arrays AS (
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.user_id), '{}') AS users,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs]), '{}') AS counts,
               coalesce(array_agg(ARRAY[analytics_internal.float_amount(i.credits_consumed),
                                        analytics_internal.float_amount(i.expected_credits)]), '{}') AS amounts
        FROM inputs AS i
    )
    SELECT s.rank, s.entity_id, s.score, s.percentile, i.total_runs, i.successful_runs,
           i.successful_runs::double precision / nullif(i.finished_runs, 0), i.credits_consumed,
           analytics_internal.float_amount(i.expected_credits) - analytics_internal.float_amount(i.credits_consumed),
           (SELECT count(*) FROM analytics.user_achievements AS h WHERE h.workspace_id = $1 AND h.user_id = s.entity_id),
           s.board_size
    FROM arrays AS a
    CROSS JOIN LATERAL analytics_internal.board_standings('user', a.numbers, a.users, a.counts, a.amounts, $3,
        analytics_internal.minimum_runs_of($1, $4), $5) AS s
    JOIN inputs AS i ON i.user_id = s.entity_id
    ORDER BY s.rank, s.entity_id;
END
$$;
COMMENT ON FUNCTION analytics.rank_users(uuid, text, text, integer, text) IS
    'The users of a workspace with a run in a timeframe (24h, 7d, 30d, 90d, all), by activity, efficiency, contribution or savings, the best first, as of now; minimum_runs and ranking as in rank_agents. credits_saved: what the same runs would have cost at the average price of each agent, less what they did cost; achievements: how many were awarded by the last refresh_leaderboards(). Errors: 22023 unknown workspace, timeframe, criteria or ranking.';

-- Read with the rights of the owner of the tables, by workspace_board() in src/leaderboards/workspaces.rs, which says
-- nothing of foreign workspaces but their place.
CREATE FUNCTION analytics_internal.workspace_board_rows(timeframe text, criteria text, ranking text)
RETURNS TABLE (
    rank             bigint,
    workspace_id     uuid,
    name             text,
    shows_name       boolean,
    score            double precision,
    percentile       double precision,
    tier             text,
    total_runs       bigint,
    success_rate     double precision,
    active_agents    bigint,
    board_size       bigint
)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    WITH inputs AS MATERIALIZED (
        SELECT w.workspace_id, w.name, i.*
        FROM analytics.workspaces AS w
        CROSS JOIN LATERAL analytics_internal.workspace_inputs_of(w.workspace_id, $1, now()) AS i
    ), arrays AS (
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.workspace_id), '{}') AS workspaces,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.current_runs,
                                        i.previous_runs, i.active_agents, i.new_agents]), '{}') AS counts,
               coalesce(array_agg(ARRAY[i.total_seconds, analytics_internal.float_amount(i.credits_consumed)]), '{}') AS amounts
        FROM inputs AS i
    )
    SELECT s.rank, s.entity_id, i.name, coalesce(o.shows_name, false), s.score, s.percentile, s.award, i.total_runs,
           i.successful_runs::double precision / nullif(i.finished_runs, 0), i.active_agents, s.board_size
    FROM arrays AS a
    CROSS JOIN LATERAL analytics_internal.board_standings('workspace', a.numbers, a.workspaces, a.counts, a.amounts,
        $2, 1, $3) AS s
    JOIN inputs AS i ON i.workspace_id = s.entity_id
    LEFT JOIN analytics.leaderboard_settings AS o ON o.workspace_id = s.entity_id
    ORDER BY s.rank, s.entity_id
$$;
COMMENT ON FUNCTION analytics_internal.workspace_board_rows(text, text, text) IS
    'A board of all workspaces, as of now, for the owner of the tables.';

CREATE FUNCTION analytics_internal.workspace_board_terms(workspace_id uuid, timeframe text, criteria text)
RETURNS TABLE (step integer, term text, value double precision, meaning text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.step, t.term, t.value, t.meaning
    FROM (
        SELECT array_agg(i.timeframe_number) AS numbers, array_agg(w.workspace_id) AS workspaces,
               array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.current_runs,
                               i.previous_runs, i.active_agents, i.new_agents]) AS counts,
               array_agg(ARRAY[i.total_seconds, analytics_internal.float_amount(i.credits_consumed)]) AS amounts
        FROM analytics.workspaces AS w
        CROSS JOIN LATERAL analytics_internal.workspace_inputs_of(w.workspace_id, $2, now()) AS i
    ) AS a
    CROSS JOIN LATERAL analytics_internal.board_terms('workspace', $1, $3, a.numbers, a.workspaces, a.counts, a.amounts) AS t
$$;
COMMENT ON FUNCTION analytics_internal.workspace_board_terms(uuid, text, text) IS
    'How the score of a workspace comes about, for the owner of the tables.';

ALTER FUNCTION analytics_internal.workspace_board(text, text, text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION analytics_internal.workspace_board(text, text, text) ROWS 100;
COMMENT ON FUNCTION analytics_internal.workspace_board(text, text, text) IS
    'A board of all workspaces as the caller may see it: without id, name and measures of those that the caller has no access to, unless they show their name.';
ALTER FUNCTION analytics_internal.explain_workspace(uuid, text, text) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.explain_workspace(uuid, text, text) IS
    'How the score of a workspace that the caller has access to comes about. Errors: 22023 or 42501 for another one.';

CREATE FUNCTION analytics.rank_workspaces(
    workspace_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT 'activity', ranking text DEFAULT 'competition')
RETURNS TABLE (
    rank           bigint,
    is_own         boolean,
    workspace      uuid,
    workspace_name text,
    score          double precision,
    percentile     double precision,
    tier           text,
    total_runs     bigint,
    success_rate   double precision,
    active_agents  bigint,
    board_size     bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($2);
    PERFORM analytics_internal.require_board('workspace', $3);
    RETURN QUERY
    SELECT b.rank, coalesce(b.workspace_id = $1, false), b.workspace_id, b.workspace_name, b.score, b.percentile, b.tier,
           b.total_runs, b.success_rate, b.active_agents, b.board_size
    FROM analytics_internal.workspace_board($2, $3, $4) AS b;
END
$$;
COMMENT ON FUNCTION analytics.rank_workspaces(uuid, text, text, text) IS
    'All workspaces with a run, by activity, efficiency, growth or innovation in a timeframe (24h, 7d, 30d, 90d, all), the best first, as of now. Asked for one of the caller''s workspaces, whose row has is_own. Workspaces that the caller has no access to have rank, score, percentile and tier (platinum from percentile 95, gold from 80, silver from 60, else bronze), and NULL for the rest, unless their admins show them: set_leaderboard_options(). Errors: 22023 unknown workspace, timeframe, criteria or ranking.';

CREATE FUNCTION analytics_internal.default_criteria(board text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE board WHEN 'agent' THEN 'success_rate' ELSE 'activity' END;
COMMENT ON FUNCTION analytics_internal.default_criteria(text) IS
    'What a board ranks by when nobody says: success_rate for agents, activity for users and workspaces.';

CREATE FUNCTION analytics_internal.live_board(workspace_id uuid, board text, timeframe text, criteria text)
RETURNS TABLE (
    place      bigint,
    rank        bigint,
    entity_id   uuid,
    entity_name text,
    score       double precision,
    percentile  double precision,
    award       text,
    board_size  bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($3);
    PERFORM analytics_internal.require_board($2, $4);
    IF $2 = 'agent' THEN
        RETURN QUERY
        SELECT row_number() OVER (ORDER BY r.rank, r.agent_id), r.rank, r.agent_id, r.agent_name, r.score, r.percentile,
               r.badge, r.board_size
        FROM analytics.rank_agents($1, $3, $4) AS r;
    ELSIF $2 = 'user' THEN
        RETURN QUERY
        SELECT row_number() OVER (ORDER BY r.rank, r.user_id), r.rank, r.user_id, r.user_id::text, r.score, r.percentile,
               NULL::text, r.board_size
        FROM analytics.rank_users($1, $3, $4) AS r;
    ELSE
        RETURN QUERY
        SELECT row_number() OVER (), r.rank, r.workspace, r.workspace_name, r.score, r.percentile, r.tier, r.board_size
        FROM analytics.rank_workspaces($1, $3, $4) AS r;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.live_board(uuid, text, text, text) IS
    'A board of agents, users or workspaces with the columns that all have, as of now; award is the badge of an agent or the tier of a workspace. Errors: 22023 unknown workspace, board, timeframe or criteria.';

CREATE FUNCTION analytics.leaderboard_around(
    workspace_id uuid, entity_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT NULL,
    board text DEFAULT 'agent', neighbours integer DEFAULT 3)
RETURNS TABLE (
    rank        bigint,
    is_asked    boolean,
    entity      uuid,
    entity_name text,
    score       double precision,
    percentile  double precision,
    award       text,
    board_size  bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $6 IS NULL OR $6 < 0 THEN
        PERFORM analytics_internal.refuse_argument('neighbours', $6::text, 'it is not a number of neighbours',
            'Use zero or more on each side; 3 is the default.');
    END IF;
    IF $5 = 'agent' THEN
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    RETURN QUERY
    WITH board AS MATERIALIZED (
        SELECT b.* FROM analytics_internal.live_board($1, $5, $3, coalesce($4, analytics_internal.default_criteria($5))) AS b
    )
    SELECT b.rank, b.place = me.place, b.entity_id, b.entity_name, b.score, b.percentile, b.award, b.board_size
    FROM board AS me JOIN board AS b ON b.place BETWEEN me.place - $6 AND me.place + $6
    WHERE me.entity_id = $2
    ORDER BY b.place;
END
$$;
COMMENT ON FUNCTION analytics.leaderboard_around(uuid, uuid, text, text, text, integer) IS
    'The place of an agent, a user or a workspace on a board as of now, and its neighbours: so many on each side, fewer at the ends. board is agent, user or workspace; criteria NULL is success_rate for agents and activity for the others. Ranks are those of the whole board. No rows when the entity is not on the board. Errors: 22023 unknown workspace, agent, board, timeframe, criteria, or a negative number.';

CREATE FUNCTION analytics.my_rank(
    workspace_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT 'activity', user_id uuid DEFAULT NULL)
RETURNS TABLE (
    rank             bigint,
    board_size       bigint,
    score            double precision,
    percentile       double precision,
    total_runs       bigint,
    successful_runs  bigint,
    success_rate     double precision,
    credits_consumed numeric,
    credits_saved    double precision,
    achievements     bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    me constant uuid := coalesce($4, analytics.current_user_id());
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF me IS NULL THEN
        PERFORM analytics_internal.refuse_argument('user_id', NULL, 'this session speaks for no user',
            'Authenticate with a token, or give the id of a user.');
    END IF;
    RETURN QUERY
    SELECT r.rank, r.board_size, r.score, r.percentile, r.total_runs, r.successful_runs, r.success_rate,
           r.credits_consumed, r.credits_saved, r.achievements
    FROM analytics.rank_users($1, $2, $3) AS r WHERE r.user_id = me;
END
$$;
COMMENT ON FUNCTION analytics.my_rank(uuid, text, text, uuid) IS
    'Where a user stands on a board of users as of now: the user of this session (current_user_id()), or user_id. No row for who is not on the board. Errors: 22023 unknown workspace, timeframe or criteria, or no user.';

CREATE FUNCTION analytics.rank_history(
    workspace_id uuid, entity_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT NULL,
    board text DEFAULT 'agent', days integer DEFAULT 30)
RETURNS TABLE (
    captured_on date,
    rank        bigint,
    board_size  bigint,
    score       double precision
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 30
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    by_what constant text := coalesce($4, analytics_internal.default_criteria($5));
    today   constant date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($3);
    PERFORM analytics_internal.require_board($5, by_what);
    IF $5 = 'agent' THEN
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    IF $6 IS NULL OR $6 < 1 THEN
        PERFORM analytics_internal.refuse_argument('days', $6::text, 'it is not a number of days',
            'Use one or more; 30 is the default.');
    END IF;
    RETURN QUERY
    -- The board as it was when the time began, and as it was on each day on which it changed.
    WITH boards AS MATERIALIZED (
        SELECT h.captured_on, h.board_size, p.place, h.ranks[p.place] AS rank, h.scores[p.place] AS score
        FROM analytics.leaderboard_history AS h
        CROSS JOIN LATERAL (SELECT array_position(h.entity_ids, $2)) AS p (place)
        WHERE h.workspace_id = $1 AND h.board = $5 AND h.timeframe = $3 AND h.criteria = by_what
          AND h.captured_on >= coalesce((
                  SELECT max(e.captured_on) FROM analytics.leaderboard_history AS e
                  WHERE e.workspace_id = $1 AND e.board = $5 AND e.timeframe = $3 AND e.criteria = by_what
                    AND e.captured_on <= today - $6 + 1), today - $6 + 1)
    ), spans AS (
        SELECT b.*, lead(b.captured_on) OVER (ORDER BY b.captured_on) AS until FROM boards AS b
    )
    SELECT d.day::date, s.rank, s.board_size, s.score
    FROM spans AS s
    CROSS JOIN LATERAL generate_series(
        greatest(s.captured_on, today - $6 + 1)::timestamp,
        (coalesce(s.until, greatest(today, s.captured_on) + 1) - 1)::timestamp, interval '1 day') AS d (day)
    WHERE s.place IS NOT NULL
    ORDER BY d.day;
END
$$;
COMMENT ON FUNCTION analytics.rank_history(uuid, uuid, text, text, text, integer) IS
    'Rank of an agent, a user or a workspace at the end of each of the last days (UTC, today included), from what refresh_leaderboards() has kept: a day without a change repeats the day before it; days when the entity was not on the board are left out. board and criteria as in leaderboard_around(). Errors: 22023 unknown workspace, agent, board, timeframe or criteria, or no number of days.';

CREATE FUNCTION analytics.rank_sparkline(
    workspace_id uuid, entity_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT NULL,
    board text DEFAULT 'agent', days integer DEFAULT 30) RETURNS text
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics.sparkline(array_agg(-h.rank::double precision ORDER BY h.captured_on))
    FROM analytics.rank_history($1, $2, $3, $4, $5, $6) AS h
$$;
COMMENT ON FUNCTION analytics.rank_sparkline(uuid, uuid, text, text, text, integer) IS
    'rank_history() as one line of block characters, a day each; the better the rank, the higher. NULL without history. Errors as there.';

CREATE FUNCTION analytics.explain_score(
    workspace_id uuid, entity_id uuid, timeframe text DEFAULT '30d', criteria text DEFAULT NULL,
    board text DEFAULT 'agent')
RETURNS TABLE (step integer, term text, value double precision, meaning text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    by_what constant text := coalesce($4, analytics_internal.default_criteria($5));
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($3);
    PERFORM analytics_internal.require_board($5, by_what);
    IF $5 = 'agent' THEN
        PERFORM analytics_internal.require_agent($1, $2);
        RETURN QUERY
        SELECT t.step, t.term, t.value, t.meaning
        FROM (
            SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.agent_id), '{}') AS agents,
                   coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.unique_users]), '{}') AS counts,
                   coalesce(array_agg(ARRAY[i.total_seconds, coalesce(i.median_seconds, 0),
                                            analytics_internal.float_amount(i.credits_consumed)]), '{}') AS amounts
            FROM analytics_internal.agent_inputs($1, $3, now()) AS i
        ) AS a
        CROSS JOIN LATERAL analytics_internal.board_terms($5, $2, by_what, a.numbers, a.agents, a.counts, a.amounts) AS t;
    ELSIF $5 = 'user' THEN
        RETURN QUERY
        SELECT t.step, t.term, t.value, t.meaning
        FROM (
            SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.user_id), '{}') AS users,
                   coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs]), '{}') AS counts,
                   coalesce(array_agg(ARRAY[analytics_internal.float_amount(i.credits_consumed),
                                            analytics_internal.float_amount(i.expected_credits)]), '{}') AS amounts
            FROM analytics_internal.user_inputs($1, $3, now()) AS i
        ) AS a
        CROSS JOIN LATERAL analytics_internal.board_terms($5, $2, by_what, a.numbers, a.users, a.counts, a.amounts) AS t
        WHERE $2 IS NOT NULL;
    ELSE
        RETURN QUERY SELECT t.step, t.term, t.value, t.meaning FROM analytics_internal.explain_workspace($2, $3, by_what) AS t;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.explain_score(uuid, uuid, text, text, text) IS
    'How the score of an agent, a user or a workspace on a board came about, as of now: the quantities that went into it, each with its value and what it is; the last is the score, with its formula. board and criteria as in leaderboard_around(). No rows for who has nothing to be ranked by. Errors: 22023 unknown workspace, agent, board, timeframe or criteria.';

CREATE FUNCTION analytics.set_leaderboard_options(
    workspace_id uuid, minimum_runs integer DEFAULT NULL, show_name boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_level($1, 'admin');
    INSERT INTO analytics.leaderboard_settings AS s (workspace_id, minimum_runs, shows_name)
    VALUES ($1, coalesce($2, 1), coalesce($3, false))
    ON CONFLICT (workspace_id) DO UPDATE SET
        minimum_runs = coalesce($2, s.minimum_runs), shows_name = coalesce($3, s.shows_name), updated_at = now();
END
$$;
COMMENT ON FUNCTION analytics.set_leaderboard_options(uuid, integer, boolean) IS
    'Choices of a workspace about its boards: minimum_runs, the least number of runs behind a success rate, a speed or an efficiency (1 unless set), and show_name, whether other workspaces see its name, id and measures on the boards of workspaces (no unless set). NULL leaves a choice as it is. For admins. Errors: 22023 unknown workspace, 42501 not an admin, 23514 minimum_runs below zero.';

------------------------------------------------------------------------------------------------------------------------
-- The boards that are kept
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics_internal.note_board_changes() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO analytics_internal.leaderboard_changes (workspace_id)
        SELECT s.workspace_id FROM analytics_internal.leaderboard_state AS s;
    ELSE
        INSERT INTO analytics_internal.leaderboard_changes (workspace_id)
        SELECT DISTINCT c.workspace_id FROM changed_rows AS c;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION analytics_internal.note_board_changes() IS
    'Statement trigger of the daily rollups: notes whose boards have to be computed anew.';

-- Whether anything has entered or left a window, or the time before it, when its end moves.
CREATE FUNCTION analytics_internal.window_has_moved(workspace_id uuid, old_end timestamptz, new_end timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM unnest(ARRAY[0, 24, 48, 168, 336, 720, 1440, 2160, 4320]) AS t (hours)
        JOIN analytics.agent_performance_hourly AS h
          ON h.workspace_id = $1
         AND h.bucket >= least($2, $3) - make_interval(hours => t.hours)
         AND h.bucket < greatest($2, $3) - make_interval(hours => t.hours))
$$;
COMMENT ON FUNCTION analytics_internal.window_has_moved(uuid, timestamptz, timestamptz) IS
    'Whether an hour of a workspace that has runs enters or leaves a timeframe, or the one before it, when the end of the windows moves.';

-- Hash joins: the planner cannot know how many rows an array holds.
CREATE FUNCTION analytics_internal.write_agent_boards(
    workspace_id uuid, numbers integer[], agents uuid[], counts bigint[], amounts double precision[], credits numeric[],
    minimum_runs integer, OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
    WITH fresh AS MATERIALIZED (
        SELECT (ARRAY['24h', '7d', '30d', '90d', 'all'])[s.timeframe_number] AS timeframe, s.criteria,
               s.entity_id AS agent_id, s.rank, s.score, s.percentile, s.award AS badge,
               $4[s.row_number][1] AS total_runs, $4[s.row_number][3] AS successful_runs,
               $4[s.row_number][3]::double precision / nullif($4[s.row_number][2], 0) AS success_rate,
               CASE WHEN $4[s.row_number][4] > 0 THEN $5[s.row_number][2] END AS p50_runtime_seconds,
               $6[s.row_number] AS credits_consumed, $4[s.row_number][5] AS unique_users
        FROM analytics_internal.board_standings('agent', $2, $3, $4, $5, NULL, $7) AS s
    ), compared AS MATERIALIZED (
        SELECT coalesce(f.timeframe, o.timeframe) AS timeframe, coalesce(f.criteria, o.criteria) AS criteria,
               coalesce(f.agent_id, o.agent_id) AS agent_id, f.rank, f.score, f.percentile, f.badge, f.total_runs,
               f.successful_runs, f.success_rate, f.p50_runtime_seconds, f.credits_consumed, f.unique_users,
               o.rank AS old_rank,
               ROW(f.rank, f.score, f.percentile, f.badge, f.total_runs, f.successful_runs, f.success_rate,
                   f.p50_runtime_seconds, f.credits_consumed, f.unique_users)
               IS DISTINCT FROM
               ROW(o.rank, o.score, o.percentile, o.badge, o.total_runs, o.successful_runs, o.success_rate,
                   o.p50_runtime_seconds, o.credits_consumed, o.unique_users) AS differs
        FROM fresh AS f
        FULL JOIN (SELECT l.* FROM analytics.agent_leaderboard AS l WHERE l.workspace_id = $1) AS o
            ON o.timeframe = f.timeframe AND o.criteria = f.criteria AND o.agent_id = f.agent_id
    ), boards AS MATERIALIZED (
        SELECT c.timeframe, c.criteria, bool_or(c.differs) AS differs FROM compared AS c GROUP BY c.timeframe, c.criteria
    ), changed AS MATERIALIZED (
        SELECT c.*, CASE WHEN c.old_rank IS NULL THEN 'new' WHEN c.rank < c.old_rank THEN 'up'
                         WHEN c.rank > c.old_rank THEN 'down' ELSE 'same' END AS rank_change
        FROM compared AS c JOIN boards AS b USING (timeframe, criteria) WHERE b.differs
    ), removed AS (
        DELETE FROM analytics.agent_leaderboard AS l USING changed AS c
        WHERE c.rank IS NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.agent_id = c.agent_id
        RETURNING 1
    ), updated AS (
        UPDATE analytics.agent_leaderboard AS l SET
            rank = c.rank, previous_rank = c.old_rank, rank_change = c.rank_change, score = c.score,
            percentile = c.percentile, badge = c.badge, total_runs = c.total_runs, successful_runs = c.successful_runs,
            success_rate = c.success_rate, p50_runtime_seconds = c.p50_runtime_seconds,
            credits_consumed = c.credits_consumed, unique_users = c.unique_users, calculated_at = now()
        FROM changed AS c
        WHERE c.rank IS NOT NULL AND c.old_rank IS NOT NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.agent_id = c.agent_id
          AND (c.differs OR l.previous_rank IS DISTINCT FROM c.old_rank OR l.rank_change <> c.rank_change)
        RETURNING 1
    ), added AS (
        INSERT INTO analytics.agent_leaderboard (
            workspace_id, timeframe, criteria, agent_id, rank, previous_rank, rank_change, score, percentile, badge,
            total_runs, successful_runs, success_rate, p50_runtime_seconds, credits_consumed, unique_users, calculated_at)
        SELECT $1, c.timeframe, c.criteria, c.agent_id, c.rank, NULL, c.rank_change, c.score, c.percentile, c.badge,
               c.total_runs, c.successful_runs, c.success_rate, c.p50_runtime_seconds, c.credits_consumed,
               c.unique_users, now()
        FROM changed AS c WHERE c.old_rank IS NULL
        RETURNING 1
    )
    SELECT (SELECT coalesce(array_agg(b.timeframe || ' ' || b.criteria), '{}') FROM boards AS b WHERE b.differs),
           (SELECT count(*) FROM boards),
           (SELECT count(*) FROM updated) + (SELECT count(*) FROM added), (SELECT count(*) FROM removed)
$$;
COMMENT ON FUNCTION analytics_internal.write_agent_boards(uuid, integer[], uuid[], bigint[], double precision[], numeric[], integer) IS
    'Ranks the agents of a workspace and writes the boards that differ from what is there.';

CREATE FUNCTION analytics_internal.write_user_boards(
    workspace_id uuid, numbers integer[], users uuid[], counts bigint[], amounts double precision[], credits numeric[],
    minimum_runs integer, OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
    WITH achieved AS MATERIALIZED (
        SELECT h.user_id, jsonb_agg(jsonb_build_object('achievement', h.achievement, 'title', h.title,
                                                       'achieved_on', h.achieved_on)
                                    ORDER BY h.achieved_on, h.achievement) AS achievements
        FROM analytics.user_achievements AS h WHERE h.workspace_id = $1 GROUP BY h.user_id
    ), fresh AS MATERIALIZED (
        SELECT (ARRAY['24h', '7d', '30d', '90d', 'all'])[s.timeframe_number] AS timeframe, s.criteria,
               s.entity_id AS user_id, s.rank, s.score, s.percentile, coalesce(h.achievements, '[]') AS achievements,
               $4[s.row_number][1] AS total_runs, $4[s.row_number][3] AS successful_runs,
               $4[s.row_number][3]::double precision / nullif($4[s.row_number][2], 0) AS success_rate,
               $6[s.row_number] AS credits_consumed, $5[s.row_number][2] - $5[s.row_number][1] AS credits_saved
        FROM analytics_internal.board_standings('user', $2, $3, $4, $5, NULL, $7) AS s
        LEFT JOIN achieved AS h ON h.user_id = s.entity_id
    ), compared AS MATERIALIZED (
        SELECT coalesce(f.timeframe, o.timeframe) AS timeframe, coalesce(f.criteria, o.criteria) AS criteria,
               coalesce(f.user_id, o.user_id) AS user_id, f.rank, f.score, f.percentile, f.achievements, f.total_runs,
               f.successful_runs, f.success_rate, f.credits_consumed, f.credits_saved, o.rank AS old_rank,
               ROW(f.rank, f.score, f.percentile, f.achievements, f.total_runs, f.successful_runs, f.success_rate,
                   f.credits_consumed, f.credits_saved)
               IS DISTINCT FROM
               ROW(o.rank, o.score, o.percentile, o.achievements, o.total_runs, o.successful_runs, o.success_rate,
                   o.credits_consumed, o.credits_saved) AS differs
        FROM fresh AS f
        FULL JOIN (SELECT l.* FROM analytics.user_leaderboard AS l WHERE l.workspace_id = $1) AS o
            ON o.timeframe = f.timeframe AND o.criteria = f.criteria AND o.user_id = f.user_id
    ), boards AS MATERIALIZED (
        SELECT c.timeframe, c.criteria, bool_or(c.differs) AS differs FROM compared AS c GROUP BY c.timeframe, c.criteria
    ), changed AS MATERIALIZED (
        SELECT c.*, CASE WHEN c.old_rank IS NULL THEN 'new' WHEN c.rank < c.old_rank THEN 'up'
                         WHEN c.rank > c.old_rank THEN 'down' ELSE 'same' END AS rank_change
        FROM compared AS c JOIN boards AS b USING (timeframe, criteria) WHERE b.differs
    ), removed AS (
        DELETE FROM analytics.user_leaderboard AS l USING changed AS c
        WHERE c.rank IS NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.user_id = c.user_id
        RETURNING 1
    ), updated AS (
        UPDATE analytics.user_leaderboard AS l SET
            rank = c.rank, previous_rank = c.old_rank, rank_change = c.rank_change, score = c.score,
            percentile = c.percentile, achievements = c.achievements, total_runs = c.total_runs,
            successful_runs = c.successful_runs, success_rate = c.success_rate, credits_consumed = c.credits_consumed,
            credits_saved = c.credits_saved, calculated_at = now()
        FROM changed AS c
        WHERE c.rank IS NOT NULL AND c.old_rank IS NOT NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.user_id = c.user_id
          AND (c.differs OR l.previous_rank IS DISTINCT FROM c.old_rank OR l.rank_change <> c.rank_change)
        RETURNING 1
    ), added AS (
        INSERT INTO analytics.user_leaderboard (
            workspace_id, timeframe, criteria, user_id, rank, previous_rank, rank_change, score, percentile, achievements,
            total_runs, successful_runs, success_rate, credits_consumed, credits_saved, calculated_at)
        SELECT $1, c.timeframe, c.criteria, c.user_id, c.rank, NULL, c.rank_change, c.score, c.percentile, c.achievements,
               c.total_runs, c.successful_runs, c.success_rate, c.credits_consumed, c.credits_saved, now()
        FROM changed AS c WHERE c.old_rank IS NULL
        RETURNING 1
    )
    SELECT (SELECT coalesce(array_agg(b.timeframe || ' ' || b.criteria), '{}') FROM boards AS b WHERE b.differs),
           (SELECT count(*) FROM boards),
           (SELECT count(*) FROM updated) + (SELECT count(*) FROM added), (SELECT count(*) FROM removed)
$$;
COMMENT ON FUNCTION analytics_internal.write_user_boards(uuid, integer[], uuid[], bigint[], double precision[], numeric[], integer) IS
    'Ranks the users of a workspace and writes the boards that differ from what is there.';

CREATE FUNCTION analytics_internal.write_workspace_boards(
    OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH arrays AS (
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.workspace_id), '{}') AS workspaces,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.current_runs,
                                        i.previous_runs, i.active_agents, i.new_agents]), '{}') AS counts,
               coalesce(array_agg(ARRAY[i.total_seconds, analytics_internal.float_amount(i.credits_consumed)]), '{}') AS amounts
        FROM analytics_internal.workspace_inputs AS i
    ), fresh AS MATERIALIZED (
        SELECT (ARRAY['24h', '7d', '30d', '90d', 'all'])[s.timeframe_number] AS timeframe, s.criteria,
               s.entity_id AS workspace_id, s.rank, s.score, s.percentile, s.award AS tier, s.board_size, i.total_runs,
               i.successful_runs, i.successful_runs::double precision / nullif(i.finished_runs, 0) AS success_rate,
               i.credits_consumed, i.active_agents
        FROM arrays AS a
        CROSS JOIN LATERAL analytics_internal.board_standings('workspace', a.numbers, a.workspaces, a.counts, a.amounts, NULL, 1) AS s
        JOIN analytics_internal.workspace_inputs AS i
            ON i.workspace_id = s.entity_id AND i.timeframe_number = s.timeframe_number
    ), compared AS MATERIALIZED (
        SELECT coalesce(f.timeframe, o.timeframe) AS timeframe, coalesce(f.criteria, o.criteria) AS criteria,
               coalesce(f.workspace_id, o.workspace_id) AS workspace_id, f.rank, f.score, f.percentile, f.tier,
               f.board_size, f.total_runs, f.successful_runs, f.success_rate, f.credits_consumed, f.active_agents,
               o.rank AS old_rank,
               ROW(f.rank, f.score, f.percentile, f.tier, f.board_size, f.total_runs, f.successful_runs, f.success_rate,
                   f.credits_consumed, f.active_agents)
               IS DISTINCT FROM
               ROW(o.rank, o.score, o.percentile, o.tier, o.board_size, o.total_runs, o.successful_runs, o.success_rate,
                   o.credits_consumed, o.active_agents) AS differs
        FROM fresh AS f FULL JOIN analytics.workspace_leaderboard AS o
            ON o.timeframe = f.timeframe AND o.criteria = f.criteria AND o.workspace_id = f.workspace_id
    ), boards AS MATERIALIZED (
        SELECT c.timeframe, c.criteria, bool_or(c.differs) AS differs FROM compared AS c GROUP BY c.timeframe, c.criteria
    ), changed AS MATERIALIZED (
        SELECT c.*, CASE WHEN c.old_rank IS NULL THEN 'new' WHEN c.rank < c.old_rank THEN 'up'
                         WHEN c.rank > c.old_rank THEN 'down' ELSE 'same' END AS rank_change
        FROM compared AS c JOIN boards AS b USING (timeframe, criteria) WHERE b.differs
    ), removed AS (
        DELETE FROM analytics.workspace_leaderboard AS l USING changed AS c
        WHERE c.rank IS NULL AND l.workspace_id = c.workspace_id AND l.timeframe = c.timeframe AND l.criteria = c.criteria
        RETURNING 1
    ), written AS (
        INSERT INTO analytics.workspace_leaderboard AS l (
            workspace_id, timeframe, criteria, rank, previous_rank, rank_change, score, percentile, tier, board_size,
            total_runs, successful_runs, success_rate, credits_consumed, active_agents, calculated_at)
        SELECT c.workspace_id, c.timeframe, c.criteria, c.rank, c.old_rank, c.rank_change, c.score, c.percentile, c.tier,
               c.board_size, c.total_runs, c.successful_runs, c.success_rate, c.credits_consumed, c.active_agents, now()
        FROM changed AS c WHERE c.rank IS NOT NULL
        ON CONFLICT (workspace_id, timeframe, criteria) DO UPDATE SET
            rank = excluded.rank, previous_rank = excluded.previous_rank, rank_change = excluded.rank_change,
            score = excluded.score, percentile = excluded.percentile, tier = excluded.tier,
            board_size = excluded.board_size, total_runs = excluded.total_runs,
            successful_runs = excluded.successful_runs, success_rate = excluded.success_rate,
            credits_consumed = excluded.credits_consumed, active_agents = excluded.active_agents,
            calculated_at = excluded.calculated_at
        WHERE (l.rank, l.score, l.percentile, l.tier, l.board_size, l.total_runs, l.successful_runs, l.success_rate,
               l.credits_consumed, l.active_agents, l.previous_rank, l.rank_change)
              IS DISTINCT FROM
              (excluded.rank, excluded.score, excluded.percentile, excluded.tier, excluded.board_size, excluded.total_runs,
               excluded.successful_runs, excluded.success_rate, excluded.credits_consumed, excluded.active_agents,
               excluded.previous_rank, excluded.rank_change)
        RETURNING 1
    )
    SELECT (SELECT coalesce(array_agg(b.timeframe || ' ' || b.criteria), '{}') FROM boards AS b WHERE b.differs),
           (SELECT count(*) FROM boards), (SELECT count(*) FROM written), (SELECT count(*) FROM removed)
$$;
COMMENT ON FUNCTION analytics_internal.write_workspace_boards() IS
    'Ranks all workspaces and writes the boards that differ from what is there.';

CREATE FUNCTION analytics_internal.award_achievements(workspace_id uuid) RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH usage AS MATERIALIZED (
        SELECT b.user_id, b.agent_id, b.bucket, b.total_runs, b.successful_runs, b.credits_consumed,
               b.total_runs * (sum(b.credits_consumed) OVER on_day / sum(b.total_runs) OVER on_day) - b.credits_consumed AS saved,
               (row_number() OVER (PARTITION BY b.user_id, b.agent_id ORDER BY b.bucket) = 1)::integer AS first_use
        FROM analytics_internal.user_usage_buckets($1, NULL, '-infinity', 'infinity', interval '1 day',
            '{total_runs, successful_runs, credits_consumed}') AS b
        WHERE b.total_runs > 0
        WINDOW on_day AS (PARTITION BY b.agent_id, b.bucket)
    ), days AS (
        SELECT u.user_id, (u.bucket AT TIME ZONE 'UTC')::date AS day, sum(u.total_runs) AS runs,
               sum(u.successful_runs) AS successes, sum(u.saved) AS saved, sum(u.first_use) AS agents,
               (u.bucket AT TIME ZONE 'UTC')::date
                   - row_number() OVER (PARTITION BY u.user_id ORDER BY u.bucket)::integer AS streak
        FROM usage AS u GROUP BY u.user_id, u.bucket
    ), reached AS (
        SELECT d.user_id, d.day, m.measure, m.value
        FROM (
            SELECT d.*, sum(d.runs) OVER so_far AS all_runs, sum(d.successes) OVER so_far AS all_successes,
                   sum(d.saved) OVER so_far AS all_saved, sum(d.agents) OVER so_far AS all_agents,
                   row_number() OVER so_far AS active_days,
                   row_number() OVER (PARTITION BY d.user_id, d.streak ORDER BY d.day) AS streak_days
            FROM days AS d
            WINDOW so_far AS (PARTITION BY d.user_id ORDER BY d.day)
        ) AS d
        CROSS JOIN LATERAL (VALUES
            ('runs', d.all_runs), ('successes', d.all_successes), ('active_days', d.active_days::numeric),
            ('streak_days', d.streak_days::numeric), ('agents', d.all_agents), ('saved_credits', d.all_saved)
        ) AS m (measure, value)
    ), awarded AS (
        INSERT INTO analytics.user_achievements (workspace_id, user_id, achievement, title, achieved_on, awarded_at)
        SELECT $1, c.user_id, r.achievement, r.title, min(c.day), now()
        FROM analytics_internal.achievement_rules AS r
        JOIN reached AS c ON c.measure = r.measure AND c.value >= r.threshold
        WHERE r.is_active
        GROUP BY c.user_id, r.achievement, r.title
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM awarded
$$;
COMMENT ON FUNCTION analytics_internal.award_achievements(uuid) IS
    'Awards what the users of a workspace have achieved and have not been awarded yet, with the UTC day on which the threshold was reached; returns how many.';

CREATE FUNCTION analytics_internal.keep_ranks(workspace_id uuid, board text, changed_boards text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $2 = 'workspace' THEN
        INSERT INTO analytics.leaderboard_history AS h (
            workspace_id, board, timeframe, criteria, captured_on, board_size, entity_ids, ranks, scores)
        SELECT l.workspace_id, $2, l.timeframe, l.criteria, (now() AT TIME ZONE 'UTC')::date, l.board_size,
               ARRAY[l.workspace_id], ARRAY[l.rank], ARRAY[l.score]
        FROM analytics.workspace_leaderboard AS l WHERE l.timeframe || ' ' || l.criteria = ANY ($3)
        ON CONFLICT (workspace_id, board, timeframe, criteria, captured_on) DO UPDATE SET
            board_size = excluded.board_size, entity_ids = excluded.entity_ids, ranks = excluded.ranks,
            scores = excluded.scores;
        RETURN;
    END IF;
    INSERT INTO analytics.leaderboard_history AS h (
        workspace_id, board, timeframe, criteria, captured_on, board_size, entity_ids, ranks, scores)
    SELECT $1, $2, split_part(c.name, ' ', 1), split_part(c.name, ' ', 2), (now() AT TIME ZONE 'UTC')::date,
           count(e.entity_id), coalesce(array_agg(e.entity_id) FILTER (WHERE e.entity_id IS NOT NULL), '{}'),
           coalesce(array_agg(e.rank) FILTER (WHERE e.entity_id IS NOT NULL), '{}'),
           coalesce(array_agg(e.score) FILTER (WHERE e.entity_id IS NOT NULL), '{}')
    FROM unnest($3) AS c (name)
    LEFT JOIN LATERAL (
        SELECT l.agent_id AS entity_id, l.rank, l.score FROM analytics.agent_leaderboard AS l
        WHERE $2 = 'agent' AND l.workspace_id = $1
          AND l.timeframe = split_part(c.name, ' ', 1) AND l.criteria = split_part(c.name, ' ', 2)
        UNION ALL
        SELECT l.user_id, l.rank, l.score FROM analytics.user_leaderboard AS l
        WHERE $2 = 'user' AND l.workspace_id = $1
          AND l.timeframe = split_part(c.name, ' ', 1) AND l.criteria = split_part(c.name, ' ', 2)
        ORDER BY rank, entity_id
    ) AS e ON true
    GROUP BY c.name
    ON CONFLICT (workspace_id, board, timeframe, criteria, captured_on) DO UPDATE SET
        board_size = excluded.board_size, entity_ids = excluded.entity_ids, ranks = excluded.ranks,
        scores = excluded.scores;
END
$$;
COMMENT ON FUNCTION analytics_internal.keep_ranks(uuid, text, text[]) IS
    'Keeps the ranks of boards that have changed as those of today.';

CREATE FUNCTION analytics_internal.refresh_boards(as_of timestamptz, history_days integer)
RETURNS TABLE (
    board            text,
    status           text,
    workspace_count  bigint,
    board_count      bigint,
    changed_count    bigint,
    written_count    bigint,
    removed_count    bigint,
    duration_seconds double precision
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    names    constant text[] := ARRAY['agent_leaderboard', 'user_leaderboard', 'workspace_leaderboard'];
    new_end  timestamptz;
    changed  uuid[];
    gone     uuid[];
    due      record;
    began    timestamptz;
    done     record;
    boards   bigint[] := '{0,0,0}';
    differ   bigint[] := '{0,0,0}';
    written  bigint[] := '{0,0,0}';
    removed  bigint[] := '{0,0,0}';
    seconds  double precision[] := '{0,0,0}';
    visited  bigint := 0;
    inputs   record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('shadower_analytics leaderboards', 0)) THEN
        RETURN QUERY SELECT n, 'locked', 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::double precision
                     FROM unnest(names) AS n;
        RETURN;
    END IF;
    SELECT b.window_end INTO new_end FROM analytics.window_bounds('24h', $1) AS b;

    -- First what is to be done, then, with a later snapshot, the doing: what is noted in between is seen by the next.
    WITH taken AS (DELETE FROM analytics_internal.leaderboard_changes AS c RETURNING c.workspace_id)
    SELECT coalesce(array_agg(DISTINCT t.workspace_id), '{}') INTO changed FROM taken AS t;
    SELECT coalesce(array_agg(s.workspace_id), '{}') INTO gone
    FROM analytics_internal.leaderboard_state AS s
    WHERE NOT EXISTS (SELECT FROM analytics.workspaces AS w WHERE w.workspace_id = s.workspace_id);
    IF gone <> '{}' THEN
        DELETE FROM analytics.agent_leaderboard AS l WHERE l.workspace_id = ANY (gone);
        DELETE FROM analytics.user_leaderboard AS l WHERE l.workspace_id = ANY (gone);
        DELETE FROM analytics.workspace_leaderboard AS l WHERE l.workspace_id = ANY (gone);
        DELETE FROM analytics.leaderboard_history AS h WHERE h.workspace_id = ANY (gone);
        DELETE FROM analytics_internal.workspace_inputs AS i WHERE i.workspace_id = ANY (gone);
        DELETE FROM analytics_internal.leaderboard_state AS s WHERE s.workspace_id = ANY (gone);
    END IF;

    FOR due IN
        SELECT w.workspace_id, coalesce(o.minimum_runs, 1) AS minimum_runs,
               s.workspace_id IS NULL OR w.workspace_id = ANY (changed) OR n.is_pending AS has_news
        FROM analytics.workspaces AS w
        LEFT JOIN analytics_internal.leaderboard_state AS s USING (workspace_id)
        LEFT JOIN analytics.leaderboard_settings AS o USING (workspace_id)
        -- What the rollups have still to take in is in the boards already.
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM analytics_internal.rollup_changes AS c
                           WHERE c.workspace_id = w.workspace_id AND c.sources & 1 <> 0)
                OR EXISTS (SELECT FROM analytics_internal.rollup_changes AS c
                           WHERE c.workspace_id IS NULL AND c.sources & 1 <> 0)
        ) AS n (is_pending)
        WHERE s.workspace_id IS NULL OR n.is_pending OR s.minimum_runs <> coalesce(o.minimum_runs, 1)
           OR w.workspace_id = ANY (changed)
           OR s.window_end <> new_end
              AND analytics_internal.window_has_moved(w.workspace_id, s.window_end, new_end)
        ORDER BY w.workspace_id
    LOOP
        visited := visited + 1;
        began := clock_timestamp();
        WITH agents AS MATERIALIZED (
            SELECT i.* FROM analytics_internal.agent_inputs(due.workspace_id, NULL, $1) AS i
        ), kept AS (
            INSERT INTO analytics_internal.workspace_inputs AS k (
                workspace_id, timeframe_number, total_runs, finished_runs, successful_runs, timed_runs, current_runs,
                previous_runs, active_agents, new_agents, total_seconds, credits_consumed)
            SELECT due.workspace_id, g.timeframe_number, coalesce(sum(a.total_runs), 0), coalesce(sum(a.finished_runs), 0),
                   coalesce(sum(a.successful_runs), 0), coalesce(sum(a.timed_runs), 0), g.current_runs, g.previous_runs,
                   count(a.agent_id), count(a.agent_id) FILTER (WHERE f.first_run_at >= b.window_start),
                   coalesce(analytics.sum(analytics.stats_agg(a.total_seconds)), 0), coalesce(sum(a.credits_consumed), 0)
            FROM analytics_internal.growth_inputs(due.workspace_id, NULL, $1) AS g
            CROSS JOIN LATERAL analytics.window_bounds(
                (ARRAY['24h', '7d', '30d', '90d', 'all'])[g.timeframe_number], $1) AS b
            LEFT JOIN agents AS a USING (timeframe_number)
            LEFT JOIN agents AS f ON f.agent_id = a.agent_id AND f.timeframe_number = 5
            GROUP BY g.timeframe_number, g.current_runs, g.previous_runs
            ON CONFLICT (workspace_id, timeframe_number) DO UPDATE SET
                total_runs = excluded.total_runs, finished_runs = excluded.finished_runs,
                successful_runs = excluded.successful_runs, timed_runs = excluded.timed_runs,
                current_runs = excluded.current_runs, previous_runs = excluded.previous_runs,
                active_agents = excluded.active_agents, new_agents = excluded.new_agents,
                total_seconds = excluded.total_seconds, credits_consumed = excluded.credits_consumed
        )
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.agent_id), '{}') AS entities,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs, i.timed_runs, i.unique_users]), '{}') AS counts,
               coalesce(array_agg(ARRAY[i.total_seconds, coalesce(i.median_seconds, 0),
                                        analytics_internal.float_amount(i.credits_consumed)]), '{}') AS amounts,
               coalesce(array_agg(i.credits_consumed), '{}') AS credits
        INTO inputs FROM agents AS i;
        SELECT * INTO done FROM analytics_internal.write_agent_boards(
            due.workspace_id, inputs.numbers, inputs.entities, inputs.counts, inputs.amounts, inputs.credits, due.minimum_runs);
        PERFORM analytics_internal.keep_ranks(due.workspace_id, 'agent', done.changed_boards);
        boards[1] := boards[1] + done.board_count;
        differ[1] := differ[1] + cardinality(done.changed_boards);
        written[1] := written[1] + done.written_count;
        removed[1] := removed[1] + done.removed_count;
        seconds[1] := seconds[1] + extract(epoch FROM clock_timestamp() - began);

        began := clock_timestamp();
        -- A window that moves achieves nothing.
        IF due.has_news THEN
            PERFORM analytics_internal.award_achievements(due.workspace_id);
        END IF;
        SELECT coalesce(array_agg(i.timeframe_number), '{}') AS numbers, coalesce(array_agg(i.user_id), '{}') AS entities,
               coalesce(array_agg(ARRAY[i.total_runs, i.finished_runs, i.successful_runs]), '{}') AS counts,
               coalesce(array_agg(ARRAY[analytics_internal.float_amount(i.credits_consumed),
                                        analytics_internal.float_amount(i.expected_credits)]), '{}') AS amounts,
               coalesce(array_agg(i.credits_consumed), '{}') AS credits
        INTO inputs FROM analytics_internal.user_inputs(due.workspace_id, NULL, $1) AS i;
        SELECT * INTO done FROM analytics_internal.write_user_boards(
            due.workspace_id, inputs.numbers, inputs.entities, inputs.counts, inputs.amounts, inputs.credits, due.minimum_runs);
        PERFORM analytics_internal.keep_ranks(due.workspace_id, 'user', done.changed_boards);
        boards[2] := boards[2] + done.board_count;
        differ[2] := differ[2] + cardinality(done.changed_boards);
        written[2] := written[2] + done.written_count;
        removed[2] := removed[2] + done.removed_count;
        seconds[2] := seconds[2] + extract(epoch FROM clock_timestamp() - began);

        INSERT INTO analytics_internal.leaderboard_state (workspace_id, window_end, minimum_runs, refreshed_at)
        VALUES (due.workspace_id, new_end, due.minimum_runs, now())
        ON CONFLICT (workspace_id) DO UPDATE SET
            window_end = excluded.window_end, minimum_runs = excluded.minimum_runs, refreshed_at = excluded.refreshed_at;
    END LOOP;

    IF visited > 0 OR gone <> '{}' THEN
        began := clock_timestamp();
        SELECT * INTO done FROM analytics_internal.write_workspace_boards();
        PERFORM analytics_internal.keep_ranks(NULL, 'workspace', done.changed_boards);
        boards[3] := done.board_count;
        differ[3] := cardinality(done.changed_boards);
        written[3] := done.written_count;
        removed[3] := done.removed_count;
        seconds[3] := extract(epoch FROM clock_timestamp() - began);
    END IF;
    DELETE FROM analytics.leaderboard_history AS h WHERE h.captured_on < (now() AT TIME ZONE 'UTC')::date - $2;

    RETURN QUERY
    SELECT n.name, CASE WHEN differ[n.number] + removed[n.number] > 0 THEN 'refreshed' ELSE 'clean' END, visited,
           boards[n.number], differ[n.number], written[n.number], removed[n.number], seconds[n.number]
    FROM unnest(names) WITH ORDINALITY AS n (name, number) ORDER BY n.number;
END
$$;
COMMENT ON FUNCTION analytics_internal.refresh_boards(timestamptz, integer) IS
    'What refresh_leaderboards() does, for windows that end with the hour of as_of.';

CREATE FUNCTION analytics.refresh_leaderboards(history_days integer DEFAULT 180)
RETURNS TABLE (
    board            text,
    status           text,
    workspace_count  bigint,
    board_count      bigint,
    changed_count    bigint,
    written_count    bigint,
    removed_count    bigint,
    duration_seconds double precision
)
LANGUAGE plpgsql ROWS 3
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $1 IS NULL OR $1 < 1 THEN
        PERFORM analytics_internal.refuse_argument('history_days', $1::text, 'it is not a number of days',
            'Use one or more; 180 is the default.');
    END IF;
    RETURN QUERY SELECT r.* FROM analytics_internal.refresh_boards(now(), $1) AS r;
END
$$;
COMMENT ON FUNCTION analytics.refresh_leaderboards(integer) IS
    'Computes the boards of the workspaces whose runs, window or choices have changed since their last refresh, writes those that differ, awards achievements, and keeps the ranks of the day; those older than history_days (default 180) go. It is cheaper after refresh(), and as exact without. One row per table: status (refreshed; clean: nothing differed; locked: another session is at it, nothing was done), workspace_count workspaces that were looked at, board_count boards of theirs, changed_count boards that differed, written_count and removed_count rows, duration_seconds. For the owner of the tables. Errors: 22023 history_days below 1, 55000 setup() has not run.';
