-- Leaderboards: which boards have changed, and their refresh.

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
                   count(a.agent_id), count(a.agent_id) FILTER (WHERE f.first_run_at >= coalesce(b.window_start, '-infinity')),
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
