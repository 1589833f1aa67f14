-- Leaderboards: boards that are up to date, and their settings.

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
DECLARE
    by_what constant text := coalesce($4, analytics_internal.default_criteria($5));
BEGIN
    -- live_board() asks, too, but is not called at all where the entity is NULL.
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics.window_bounds($3);
    PERFORM analytics_internal.require_board($5, by_what);
    IF $6 IS NULL OR $6 < 0 THEN
        PERFORM analytics_internal.refuse_argument('neighbours', $6::text, 'it is not a number of neighbours',
            'Use zero or more on each side; 3 is the default.');
    END IF;
    IF $5 = 'agent' THEN
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    RETURN QUERY
    WITH board AS MATERIALIZED (
        SELECT b.* FROM analytics_internal.live_board($1, $5, $3, by_what) AS b
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
