-- Agents: their runs, one by one.

-- Apart from agent_executions(), because only PL/pgSQL makes plans for the arguments of a call, and it allows no
-- argument with the name of a result column.
CREATE FUNCTION analytics_internal.page_of_runs(
    workspace_id uuid, uuid, timeframe text, text, text, uuid, max_rows integer, after_started_at timestamptz,
    after_run_id uuid, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (
    run_id           uuid,
    agent_id         uuid,
    user_id          uuid,
    status           text,
    started_at       timestamptz,
    completed_at     timestamptz,
    runtime_seconds  double precision,
    credits_consumed numeric,
    tokens_used      bigint,
    model_name       text,
    model_provider   text,
    agent_version    text,
    trigger_source   text,
    parent_run_id    uuid,
    error_type       text,
    error_message    text,
    user_rating      smallint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 50
SET search_path = pg_catalog, pg_temp
-- Which of the conditions count is known when the plan is made for the arguments.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $10, $11);
    IF $4 <> ALL (ARRAY['queued', 'running', 'completed', 'failed', 'cancelled', 'timeout']) THEN
        PERFORM analytics_internal.refuse_argument('status', $4, 'it is not a status of a run',
            'Use one of queued, running, completed, failed, cancelled, timeout.');
    END IF;
    IF $7 IS NULL OR $7 NOT BETWEEN 1 AND 1000 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $7::text, 'a page has 1 to 1000 rows',
            'Read on with after_started_at and after_run_id, from the last row of a page.');
    END IF;
    RETURN QUERY
    SELECT r.run_id, r.agent_id, r.user_id, r.status, r.started_at, r.completed_at, r.runtime_seconds, r.credits_consumed,
           coalesce(r.tokens_used, r.prompt_tokens + r.completion_tokens), r.model_name, r.model_provider, r.agent_version,
           r.trigger_source, r.parent_run_id, r.error_type, r.error_message, r.user_rating
    FROM analytics.agent_runs_masked AS r
    WHERE r.workspace_id = $1
      AND ($2 IS NULL OR r.agent_id = $2)
      AND r.started_at >= coalesce(bounds.window_start, '-infinity') AND r.started_at < coalesce(bounds.window_end, 'infinity')
      AND ($8 IS NULL OR r.started_at <= $8)
      AND ($8 IS NULL OR r.started_at < $8 OR r.run_id < $9)
      AND ($4 IS NULL OR r.status = $4)
      AND ($5 IS NULL OR r.model_name = $5)
      AND ($6 IS NULL OR r.user_id = $6)
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT $7;
END
$$;
COMMENT ON FUNCTION analytics_internal.page_of_runs(uuid, uuid, text, text, text, uuid, integer, timestamptz, uuid, timestamptz, timestamptz) IS
    'What agent_executions() gives. Arguments without a name: agent, status, model and user.';

CREATE FUNCTION analytics.agent_executions(
    workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d', status text DEFAULT NULL,
    model_name text DEFAULT NULL, user_id uuid DEFAULT NULL, max_rows integer DEFAULT 50,
    after_started_at timestamptz DEFAULT NULL, after_run_id uuid DEFAULT NULL,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    run_id           uuid,
    agent_id         uuid,
    user_id          uuid,
    status           text,
    started_at       timestamptz,
    completed_at     timestamptz,
    runtime_seconds  double precision,
    credits_consumed numeric,
    tokens_used      bigint,
    model_name       text,
    model_provider   text,
    agent_version    text,
    trigger_source   text,
    parent_run_id    uuid,
    error_type       text,
    error_message    text,
    user_rating      smallint
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 50
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM analytics_internal.page_of_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
$$;
COMMENT ON FUNCTION analytics.agent_executions(uuid, uuid, text, text, text, uuid, integer, timestamptz, uuid, timestamptz, timestamptz) IS
    'Runs of an agent (NULL: of the workspace) in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), newest first: a page of max_rows (1 to 1000, default 50). The next page: after_started_at and after_run_id, the started_at and run_id of the last row. status, model_name and user_id keep those runs alone. error_message is masked for readers who are not admin of the workspace. Reads raw runs by index, from the newest until the page is full: a filter that few runs pass reads the window. Errors: 22023 unknown workspace, agent, timeframe or status, max_rows outside 1 to 1000, from_time not before to_time.';
