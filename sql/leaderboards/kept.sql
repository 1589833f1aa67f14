-- Leaderboards: the boards that are kept, with the history of ranks and achievements.

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

CREATE FUNCTION analytics_internal.refresh_leaderboards(history_days integer)
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
COMMENT ON FUNCTION analytics_internal.refresh_leaderboards(integer) IS 'What refresh_leaderboards() does, as the owner of the tables.';

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
LANGUAGE c ROWS 3
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.refresh_leaderboards(integer) IS
    'Computes the boards of the workspaces whose runs, window or choices have changed since their last refresh, writes those that differ, awards achievements, and keeps the ranks of the day; those older than history_days (default 180) go. It is cheaper after refresh(), and as exact without. One row per table: status (refreshed; clean: nothing differed; locked: another session is at it, nothing was done), workspace_count workspaces that were looked at, board_count boards of theirs, changed_count boards that differed, written_count and removed_count rows, duration_seconds. For the owner of the tables. Errors: 22023 history_days below 1, 55000 setup() has not run.';
