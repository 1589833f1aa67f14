-- Writers for applications. Each is one statement for the client, changes nothing when it is repeated, and keeps no
-- state in the session, so that it works through a transaction pooler. Plain INSERT and COPY do as well.

CREATE FUNCTION analytics_internal.is_valid_run(
    status text, started_at timestamptz, completed_at timestamptz, runtime_seconds double precision,
    credits_consumed numeric, tokens_used bigint, prompt_tokens bigint, completion_tokens bigint,
    concurrent_runs integer, user_rating smallint) RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'is_valid_run';
COMMENT ON FUNCTION analytics_internal.is_valid_run(text, timestamptz, timestamptz, double precision, numeric, bigint, bigint, bigint, integer, smallint) IS
    'CHECK constraint of analytics.agent_runs, whose comment has the rules: true, or raises 23514 with the column, its value, what is wrong with it and a hint. A NULL is not checked.';

CREATE FUNCTION analytics_internal.fill_run_started_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT r.started_at INTO NEW.run_started_at
    FROM analytics.agent_runs AS r
    WHERE r.workspace_id = NEW.workspace_id AND r.run_id = NEW.agent_run_id
    ORDER BY r.started_at DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'run "%" does not exist in workspace "%"', NEW.agent_run_id, NEW.workspace_id
            USING ERRCODE = 'foreign_key_violation',
                  HINT = 'Write the run first, or leave agent_run_id NULL.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION analytics_internal.fill_run_started_at() IS
    'Row trigger: fills run_started_at from the run that agent_run_id names; refuses an unknown run (23503).';

CREATE FUNCTION analytics.start_run(
    workspace_id    uuid,
    agent_id        uuid,
    run_id          uuid        DEFAULT NULL,
    started_at      timestamptz DEFAULT NULL,
    status          text        DEFAULT 'running',
    user_id         uuid        DEFAULT NULL,
    session_id      text        DEFAULT NULL,
    parent_run_id   uuid        DEFAULT NULL,
    agent_version   text        DEFAULT NULL,
    trigger_source  text        DEFAULT NULL,
    model_name      text        DEFAULT NULL,
    model_provider  text        DEFAULT NULL,
    concurrent_runs integer     DEFAULT NULL,
    metadata        jsonb       DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    new_run_id uuid := coalesce($3, gen_random_uuid());
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $5 IS NULL OR $5 NOT IN ('queued', 'running') THEN
        PERFORM analytics_internal.refuse_argument('status', $5, 'a run starts as queued or running',
            'Write a run that is over already with INSERT, or call finish_run() after start_run().');
    END IF;
    -- The key of a run holds its start, so a repeated call without one would be a second run. Only such a call has
    -- to look for the first, and to wait for it while it is being written.
    IF $3 IS NOT NULL AND $4 IS NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended($1::text || $3::text, 0));
        IF EXISTS (SELECT FROM analytics.agent_runs AS r WHERE r.workspace_id = $1 AND r.run_id = $3) THEN
            RETURN $3;
        END IF;
    END IF;
    INSERT INTO analytics.agent_runs (
        workspace_id, agent_id, run_id, started_at, status, user_id, session_id, parent_run_id, agent_version,
        trigger_source, model_name, model_provider, concurrent_runs, metadata)
    VALUES ($1, $2, new_run_id, coalesce($4, now()), $5, $6, $7, $8, $9, $10, $11, $12, $13, coalesce($14, '{}'))
    ON CONFLICT DO NOTHING;
    RETURN new_run_id;
END
$$;
COMMENT ON FUNCTION analytics.start_run(uuid, uuid, uuid, timestamptz, text, uuid, text, uuid, text, text, text, text, integer, jsonb) IS
    'Records that a run has started (status running) or waits (queued) and returns its run_id. Repeating it with the same run_id, without started_at or with the same one, changes nothing. run_id defaults to a new one, started_at to now. Errors: 22023 unknown workspace or status, 23514 a value out of bounds.';

CREATE FUNCTION analytics.finish_run(
    workspace_id      uuid,
    run_id            uuid,
    status            text             DEFAULT 'completed',
    completed_at      timestamptz      DEFAULT NULL,
    runtime_seconds   double precision DEFAULT NULL,
    credits_consumed  numeric          DEFAULT NULL,
    tokens_used       bigint           DEFAULT NULL,
    prompt_tokens     bigint           DEFAULT NULL,
    completion_tokens bigint           DEFAULT NULL,
    model_name        text             DEFAULT NULL,
    model_provider    text             DEFAULT NULL,
    error_type        text             DEFAULT NULL,
    error_message     text             DEFAULT NULL,
    error_stack       text             DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $3 IS NULL OR $3 NOT IN ('completed', 'failed', 'cancelled', 'timeout') THEN
        PERFORM analytics_internal.refuse_argument('status', $3, 'a run ends as completed, failed, cancelled or timeout',
            'Use one of these.');
    END IF;
    -- By themselves and only where they are given, because who writes a run may not read its texts.
    IF $13 IS NOT NULL THEN
        UPDATE analytics.agent_runs AS r SET error_message = $13
        WHERE r.workspace_id = $1 AND r.run_id = $2 AND r.status IN ('queued', 'running');
    END IF;
    IF $14 IS NOT NULL THEN
        UPDATE analytics.agent_runs AS r SET error_stack = $14
        WHERE r.workspace_id = $1 AND r.run_id = $2 AND r.status IN ('queued', 'running');
    END IF;
    UPDATE analytics.agent_runs AS r SET
        status            = $3,
        completed_at      = coalesce($4, now()),
        -- An infinite time shall meet the constraint, with its hint: no time can be subtracted from it before 17.
        runtime_seconds   = coalesce($5, CASE WHEN isfinite(coalesce($4, now()))
            THEN extract(epoch FROM coalesce($4, now()) - r.started_at)::double precision END),
        credits_consumed  = coalesce($6, r.credits_consumed),
        tokens_used       = coalesce($7, r.tokens_used, $8 + $9),
        prompt_tokens     = coalesce($8, r.prompt_tokens),
        completion_tokens = coalesce($9, r.completion_tokens),
        model_name        = coalesce($10, r.model_name),
        model_provider    = coalesce($11, r.model_provider),
        error_type        = coalesce($12, r.error_type)
    WHERE r.workspace_id = $1 AND r.run_id = $2 AND r.status IN ('queued', 'running');
    IF FOUND THEN
        RETURN true;
    END IF;
    IF NOT EXISTS (SELECT FROM analytics.agent_runs AS r WHERE r.workspace_id = $1 AND r.run_id = $2) THEN
        PERFORM analytics_internal.require_workspace($1);
        PERFORM analytics_internal.refuse_argument('run_id', $2::text, 'there is no such run in this workspace',
            'Call start_run() first, and check that it was committed.');
    END IF;
    RETURN false;
END
$$;
COMMENT ON FUNCTION analytics.finish_run(uuid, uuid, text, timestamptz, double precision, numeric, bigint, bigint, bigint, text, text, text, text, text) IS
    'Records the end of a run: status completed, failed, cancelled or timeout. completed_at defaults to now, runtime_seconds to the time since started_at, tokens_used to prompt + completion; other arguments keep what is there when NULL. Returns true, or false when the run had ended before, which is then left as it was. Errors: 22023 unknown workspace, run or status, 23514 a value out of bounds.';

CREATE FUNCTION analytics.record_error(
    workspace_id          uuid,
    agent_id              uuid,
    error_type            text,
    error_message         text             DEFAULT NULL,
    error_category        text             DEFAULT 'unknown',
    error_severity        text             DEFAULT 'medium',
    agent_run_id          uuid             DEFAULT NULL,
    error_id              uuid             DEFAULT NULL,
    occurred_at           timestamptz      DEFAULT NULL,
    user_id               uuid             DEFAULT NULL,
    error_stack           text             DEFAULT NULL,
    error_context         jsonb            DEFAULT '{}',
    auto_recovered        boolean          DEFAULT false,
    recovery_attempts     integer          DEFAULT 0,
    recovery_time_seconds double precision DEFAULT NULL,
    affected_users        integer          DEFAULT 0,
    business_impact       text             DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- For the foreign key to the partitioned runs: one plan that prunes when it runs costs a tenth of a plan per row.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    new_error_id uuid := coalesce($8, gen_random_uuid());
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    INSERT INTO analytics.agent_errors (
        workspace_id, agent_id, error_type, error_message, error_category, error_severity, agent_run_id, error_id,
        occurred_at, user_id, error_stack, error_context, auto_recovered, recovery_attempts, recovery_time_seconds,
        affected_users, business_impact)
    VALUES ($1, $2, $3, $4, $5, $6, $7, new_error_id, coalesce($9, now()), $10, $11, coalesce($12, '{}'), $13, $14, $15,
            $16, $17)
    ON CONFLICT DO NOTHING;
    RETURN new_error_id;
END
$$;
COMMENT ON FUNCTION analytics.record_error(uuid, uuid, text, text, text, text, uuid, uuid, timestamptz, uuid, text, jsonb, boolean, integer, double precision, integer, text) IS
    'Records an error of an agent, in a run (agent_run_id) or outside of one, and returns its error_id. Repeating it with the same error_id changes nothing. Errors: 22023 unknown workspace, 23503 unknown run, 23514 a value out of bounds.';

CREATE FUNCTION analytics.record_feedback(
    workspace_id      uuid,
    agent_id          uuid,
    rating            integer,
    comment           text             DEFAULT NULL,
    feedback_category text             DEFAULT 'other',
    agent_run_id      uuid             DEFAULT NULL,
    user_id           uuid             DEFAULT NULL,
    feedback_id       uuid             DEFAULT NULL,
    sentiment         text             DEFAULT NULL,
    sentiment_score   double precision DEFAULT NULL,
    created_at        timestamptz      DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- For the foreign key to the partitioned runs: one plan that prunes when it runs costs a tenth of a plan per row.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    new_feedback_id uuid := coalesce($8, gen_random_uuid());
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    -- The constraint says the same, but the cast to smallint comes before it.
    IF $3 IS NULL OR $3 NOT BETWEEN 1 AND 5 THEN
        PERFORM analytics_internal.refuse('rating', coalesce($3::text, 'NULL'), 'a rating lies between 1 and 5',
            'Use 1 (worst) to 5 (best).');
    END IF;
    INSERT INTO analytics.agent_user_feedback (
        workspace_id, agent_id, rating, comment, feedback_category, agent_run_id, user_id, feedback_id, sentiment,
        sentiment_score, created_at)
    VALUES ($1, $2, $3::smallint, $4, $5, $6, $7, new_feedback_id, $9, $10, coalesce($11, now()))
    ON CONFLICT DO NOTHING;
    RETURN new_feedback_id;
END
$$;
COMMENT ON FUNCTION analytics.record_feedback(uuid, uuid, integer, text, text, uuid, uuid, uuid, text, double precision, timestamptz) IS
    'Records a rating, 1 (worst) to 5 (best), of a run (agent_run_id) or of an agent as a whole, and returns its feedback_id. Repeating it with the same feedback_id changes nothing. Errors: 22023 unknown workspace, 23503 unknown run, 23514 a value out of bounds.';
