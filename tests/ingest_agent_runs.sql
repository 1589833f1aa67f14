-- Loads ../shared/data/agent_runs/agent_runs.csv.gz as a user would; docs/ingest.md explains each step.
--   gunzip -c agent_runs.csv.gz | psql --set workspace=UUID --file tests/ingest_agent_runs.sql
-- It can be run again, with the same file or with a longer one: rows that are there already are left alone.

CREATE TEMPORARY TABLE imported (
    run_id            uuid,
    session_id        text,
    agent             text,
    model             text,
    task              text,
    attempt           integer,
    started_at        timestamptz,
    started_offset_s  double precision,
    elapsed_s         double precision,
    total_elapsed_s   double precision,
    prompt_tokens     bigint,
    completion_tokens bigint,
    success           boolean,
    status            text
);
\copy imported FROM pstdin WITH (FORMAT csv, HEADER)

INSERT INTO analytics.agents (workspace_id, agent_id, name, agent_type)
SELECT DISTINCT :'workspace'::uuid, analytics.agent_id(:'workspace', agent), agent, 'coding'
FROM imported
ON CONFLICT DO NOTHING;

INSERT INTO analytics.agent_runs (
    workspace_id, agent_id, run_id, session_id, status, started_at, completed_at, runtime_seconds,
    tokens_used, prompt_tokens, completion_tokens, model_name, error_type, metadata)
SELECT
    :'workspace',
    analytics.agent_id(:'workspace', i.agent),
    i.run_id,
    i.session_id,
    CASE
        WHEN i.status IN ('resolved', 'resolved_despite_timeout') THEN 'completed'
        WHEN i.status IN ('agent_timeout', 'test_timeout') THEN 'timeout'
        WHEN i.status IN ('failed_tests', 'parse_error', 'unknown_agent_error', 'agent_installation_failed') THEN 'failed'
        ELSE i.status  -- a status that we do not know is refused, not guessed
    END,
    -- Without a time: the earliest start of its job, or the day that the name of the job begins with.
    coalesce(
        i.started_at,
        min(i.started_at) OVER job,
        to_timestamp(substring(i.session_id FROM '^\d{8}') || '+00', 'YYYYMMDDTZH')),
    i.started_at + make_interval(secs => i.elapsed_s),
    i.elapsed_s,
    i.prompt_tokens + i.completion_tokens,
    i.prompt_tokens,
    i.completion_tokens,
    nullif(i.model, '(not stated)'),
    CASE WHEN i.status NOT LIKE 'resolved%' THEN i.status END,
    jsonb_build_object('task', i.task, 'attempt', i.attempt)
        || CASE WHEN i.started_at IS NULL THEN '{"time_known": false}' ELSE '{}' END::jsonb
FROM imported AS i
WINDOW job AS (PARTITION BY i.session_id)
ON CONFLICT DO NOTHING;
