-- Agents: what they consume.

CREATE FUNCTION analytics.agent_resources(workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d',
                                          from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    agent_id            uuid,
    total_runs          bigint,
    credits_consumed    numeric,
    credits_per_run     numeric,
    credits_per_success numeric,
    tokens_used         numeric,
    prompt_tokens       numeric,
    completion_tokens   numeric,
    tokens_per_run      double precision,
    credits_per_million_tokens double precision,
    credit_share        double precision
)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_agent_or_all($1, $2);

    WITH used AS (
        SELECT m.agent_id, m.total_runs, m.credits_consumed, m.credits_consumed / nullif(m.total_runs, 0) AS per_run,
               m.credits_consumed / nullif(m.successful_runs, 0) AS per_success, m.tokens_used, m.prompt_tokens,
               m.completion_tokens, (m.tokens_used / nullif(m.total_runs, 0))::double precision AS tokens_per_run,
               (1e6 * m.credits_consumed / nullif(m.tokens_used, 0))::double precision AS per_million,
               (m.credits_consumed / nullif(sum(m.credits_consumed) OVER (), 0))::double precision AS share
        FROM analytics_internal.resolve_window($3, $4, $5) AS b
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, b.window_start, b.window_end, NULL,
            '{total_runs, successful_runs, credits_consumed, tokens_used, prompt_tokens, completion_tokens}') AS m
        WHERE m.total_runs > 0
    )
    SELECT u.* FROM used AS u WHERE $2 IS NULL OR u.agent_id = $2
    UNION ALL
    SELECT $2, 0, 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL
    WHERE $2 IS NOT NULL AND NOT EXISTS (SELECT FROM used AS u WHERE u.agent_id = $2)
    ORDER BY 3 DESC, 1
$$;
COMMENT ON FUNCTION analytics.agent_resources(uuid, uuid, text, timestamptz, timestamptz) IS
    'What an agent (NULL: each agent of the workspace that ran, dearest first) consumed in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time): credits, tokens, both per run, credits per success (all credits over successful runs) and per million tokens, and credit_share, its share (0..1) of the workspace''s credits. Tokens that are not known count as zero. One row of zeros and NULLs for an agent without runs. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';

CREATE FUNCTION analytics.model_usage(workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d',
                                      from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL)
RETURNS TABLE (
    model_name          text,
    model_provider      text,
    total_calls         bigint,
    successful_calls    bigint,
    success_rate        double precision,
    avg_runtime_seconds double precision,
    p50_runtime_seconds double precision,
    p95_runtime_seconds double precision,
    credits_consumed    numeric,
    credit_share        double precision,
    credits_per_run     numeric,
    credits_per_success numeric,
    tokens_used         numeric,
    prompt_tokens       numeric,
    completion_tokens   numeric,
    agent_count         bigint
)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    SELECT m.model_name, m.model_provider, m.calls, m.successes, m.successes::double precision / nullif(m.finished, 0),
           analytics.mean(m.sketch), p.at[1], p.at[2], m.credits,
           (m.credits / nullif(sum(m.credits) OVER (), 0))::double precision,
           m.credits / nullif(m.calls, 0), m.credits / nullif(m.successes, 0), m.tokens, m.prompt, m.completion, m.agents
    FROM (
        SELECT u.model_name, u.model_provider, u.total_calls AS calls, u.successful_calls AS successes, u.finished_calls AS finished,
               u.runtime_sketch AS sketch, u.credits_consumed AS credits, u.tokens_used AS tokens, u.prompt_tokens AS prompt,
               u.completion_tokens AS completion, u.agents
        FROM analytics_internal.agent_model_usage_buckets($1, $2, bounds.window_start, bounds.window_end, by_agent => false) AS u
    ) AS m
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.sketch) AS p (at) ON true
    ORDER BY m.credits DESC, m.calls DESC, m.model_name, m.model_provider;
END
$$;
COMMENT ON FUNCTION analytics.model_usage(uuid, uuid, text, timestamptz, timestamptz) IS
    'Which models an agent (NULL: the workspace) used in a window (timeframe 24h, 7d, 30d, 90d, all, or from_time to to_time), dearest first: runs that used it, success rate (0..1, of finished ones), runtimes in seconds, credits and their share (0..1), per run and per success, tokens, and by how many agents. unknown where a run does not say. Errors: 22023 unknown workspace, agent or timeframe, from_time not before to_time.';
