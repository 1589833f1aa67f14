-- Leaderboards: achievements, and the ranks of each day.

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
