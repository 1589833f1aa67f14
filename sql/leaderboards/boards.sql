-- Leaderboards: writes the boards that are kept, where they differ.

-- Hash joins: the planner cannot know how many rows an array holds, and would merge on timeframe and criteria alone,
-- which makes pairs of all entities of a board.
CREATE FUNCTION analytics_internal.write_agent_boards(
    workspace_id uuid, numbers integer[], agents uuid[], counts bigint[], amounts double precision[], credits numeric[],
    minimum_runs integer, OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET enable_mergejoin = off
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
SET enable_mergejoin = off
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
