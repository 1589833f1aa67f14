-- Agents, what they did, what went wrong, what people said about it, and what could be better.
-- {{partition by month of started_at}} is replaced by setup() according to its option "partitioning".

CREATE TABLE analytics.agents (
    workspace_id    uuid        NOT NULL,
    agent_id        uuid        NOT NULL DEFAULT gen_random_uuid(),
    name            text        NOT NULL,
    agent_type      text        NOT NULL DEFAULT 'unknown',
    description     text,
    owner_id        uuid,
    lifecycle_state text        NOT NULL DEFAULT 'draft',
    discovered      boolean     NOT NULL DEFAULT false,
    metadata        jsonb       NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agents_pkey PRIMARY KEY (workspace_id, agent_id),
    CONSTRAINT agents_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT agents_name_check CHECK (
        btrim(name, E' \t\r\n\f') <> ''
        OR analytics_internal.refuse('name', name, 'it is empty', 'Give the agent a name that people recognise.')),
    CONSTRAINT agents_lifecycle_state_check CHECK (
        lifecycle_state IN ('draft', 'testing', 'staging', 'production', 'paused', 'deprecated', 'archived')
        OR analytics_internal.refuse('lifecycle_state', lifecycle_state, 'it is not a state of the lifecycle',
            'Use one of draft, testing, staging, production, paused, deprecated, archived.'))
);
COMMENT ON TABLE  analytics.agents IS 'Agents of each workspace. An agent that sends its first run unannounced is registered here and marked as discovered.';
COMMENT ON COLUMN analytics.agents.workspace_id IS 'Workspace that the agent belongs to.';
COMMENT ON COLUMN analytics.agents.agent_id IS 'Key of the agent within its workspace; analytics.agent_id(workspace_id, name) derives one from a name.';
COMMENT ON COLUMN analytics.agents.name IS 'Name for people; a discovered agent is called by its id until somebody names it.';
COMMENT ON COLUMN analytics.agents.agent_type IS 'Kind of agent, free text such as assistant, extractor, coder.';
COMMENT ON COLUMN analytics.agents.description IS 'What the agent is for.';
COMMENT ON COLUMN analytics.agents.owner_id IS 'User who answers for the agent.';
COMMENT ON COLUMN analytics.agents.lifecycle_state IS 'Current state: draft, testing, staging, production, paused, deprecated or archived.';
COMMENT ON COLUMN analytics.agents.discovered IS 'True when the agent was registered by its first run rather than by a person.';
COMMENT ON COLUMN analytics.agents.metadata IS 'Anything else the application wants to keep about the agent.';
COMMENT ON COLUMN analytics.agents.created_at IS 'When the agent was registered.';
COMMENT ON COLUMN analytics.agents.updated_at IS 'When the application last changed this row.';

-- No key at all: two writers that meet the same new agent must never wait for each other.
CREATE TABLE analytics_internal.agent_discoveries (
    workspace_id  uuid        NOT NULL,
    agent_id      uuid        NOT NULL,
    discovered_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE  analytics_internal.agent_discoveries IS 'Agents met while another transaction was registering them; register_discovered_agents() moves them to analytics.agents.';
COMMENT ON COLUMN analytics_internal.agent_discoveries.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics_internal.agent_discoveries.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics_internal.agent_discoveries.discovered_at IS 'Start of the transaction that met it.';

CREATE TABLE analytics.agent_runs (
    workspace_id      uuid             NOT NULL,
    run_id            uuid             NOT NULL DEFAULT gen_random_uuid(),
    agent_id          uuid             NOT NULL,
    user_id           uuid,
    session_id        text,
    parent_run_id     uuid,
    agent_version     text,
    status            text             NOT NULL,
    trigger_source    text,
    started_at        timestamptz      NOT NULL DEFAULT now(),
    completed_at      timestamptz,
    runtime_seconds   double precision,
    credits_consumed  numeric          NOT NULL DEFAULT 0,
    tokens_used       bigint,
    prompt_tokens     bigint,
    completion_tokens bigint,
    model_name        text,
    model_provider    text,
    concurrent_runs   integer,
    error_type        text,
    error_message     text,
    error_stack       text,
    user_rating       smallint,
    user_feedback     text,
    metadata          jsonb            NOT NULL DEFAULT '{}',
    created_at        timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT agent_runs_pkey PRIMARY KEY (workspace_id, run_id, started_at),
    CONSTRAINT agent_runs_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT agent_runs_status_check CHECK (
        status IN ('queued', 'running', 'completed', 'failed', 'cancelled', 'timeout')
        OR analytics_internal.refuse('status', status, 'it is not a status of a run',
            'Use one of queued, running, completed, failed, cancelled, timeout.')),
    CONSTRAINT agent_runs_started_at_check CHECK (
        isfinite(started_at)
        OR analytics_internal.refuse('started_at', started_at::text, 'it is not a point in time',
            'Give the time at which the run started.')),
    CONSTRAINT agent_runs_completed_at_check CHECK (
        (completed_at >= started_at AND completed_at < 'infinity')
        OR analytics_internal.refuse('completed_at', completed_at::text, 'it lies before started_at or never comes',
            'A run cannot finish before it starts: check the clocks and the time zones of the writer.')),
    CONSTRAINT agent_runs_runtime_check CHECK (
        (runtime_seconds >= 0 AND runtime_seconds < 'Infinity')
        OR analytics_internal.refuse('runtime_seconds', runtime_seconds::text, 'it is negative or not a number',
            'Give the duration in seconds, or NULL when it is not known.')),
    CONSTRAINT agent_runs_completed_runtime_check CHECK (
        status <> 'completed' OR runtime_seconds IS NOT NULL
        OR analytics_internal.refuse('runtime_seconds', 'NULL', 'a completed run has a runtime',
            'Give runtime_seconds, or call analytics.finish_run(), which measures it.')),
    CONSTRAINT agent_runs_credits_check CHECK (
        (credits_consumed >= 0 AND credits_consumed < 'Infinity')
        OR analytics_internal.refuse('credits_consumed', credits_consumed::text, 'it is negative or not a number',
            'Give the credits that the run consumed, zero or more.')),
    CONSTRAINT agent_runs_tokens_check CHECK (
        (least(tokens_used, prompt_tokens, completion_tokens) >= 0)
        OR analytics_internal.refuse('tokens', least(tokens_used, prompt_tokens, completion_tokens)::text, 'it is below zero',
            'Give tokens as zero or more, or NULL when they are not known.')),
    CONSTRAINT agent_runs_concurrent_runs_check CHECK (
        concurrent_runs >= 0
        OR analytics_internal.refuse('concurrent_runs', concurrent_runs::text, 'it is below zero',
            'Give the number of runs that were under way at the start.')),
    CONSTRAINT agent_runs_user_rating_check CHECK (
        user_rating BETWEEN 1 AND 5
        OR analytics_internal.refuse('user_rating', user_rating::text, 'a rating lies between 1 and 5',
            'Use 1 (worst) to 5 (best), or NULL for no rating.'))
) {{partition by month of started_at}};

CREATE INDEX agent_runs_agent_idx ON analytics.agent_runs (workspace_id, agent_id, started_at DESC);
CREATE INDEX agent_runs_time_idx ON analytics.agent_runs (workspace_id, started_at DESC);
CREATE INDEX agent_runs_failed_idx ON analytics.agent_runs (workspace_id, started_at DESC)
    WHERE status IN ('failed', 'timeout');
-- Maintenance reads ranges of time across workspaces; runs arrive nearly in order, so a BRIN costs almost nothing.
CREATE INDEX agent_runs_brin_idx ON analytics.agent_runs USING brin (started_at) WITH (pages_per_range = 32);

COMMENT ON TABLE  analytics.agent_runs IS 'One row per run of an agent. Partitioned by month of started_at unless setup() was told otherwise.';
COMMENT ON COLUMN analytics.agent_runs.workspace_id IS 'Workspace that the run belongs to.';
COMMENT ON COLUMN analytics.agent_runs.run_id IS 'Key of the run within its workspace; chosen by the writer so that a repeated insert changes nothing (ON CONFLICT DO NOTHING).';
COMMENT ON COLUMN analytics.agent_runs.agent_id IS 'Agent that ran; a new one is registered on first sight.';
COMMENT ON COLUMN analytics.agent_runs.user_id IS 'User for whom the agent ran; NULL when nobody asked.';
COMMENT ON COLUMN analytics.agent_runs.session_id IS 'Conversation, job or trace that the run belongs to, as the application names it.';
COMMENT ON COLUMN analytics.agent_runs.parent_run_id IS 'Run that started this one (a sub-agent) or that this one repeats (a retry).';
COMMENT ON COLUMN analytics.agent_runs.agent_version IS 'Version of the agent, for example 1.4.0.';
COMMENT ON COLUMN analytics.agent_runs.status IS 'queued and running are live; completed, failed, cancelled and timeout are final.';
COMMENT ON COLUMN analytics.agent_runs.trigger_source IS 'What started the run, free text such as user, api, schedule, webhook, agent.';
COMMENT ON COLUMN analytics.agent_runs.started_at IS 'When the run started, or when it was queued while it has not started; decides the partition and the bucket.';
COMMENT ON COLUMN analytics.agent_runs.completed_at IS 'When the run reached its final status; NULL while it is live or not known.';
COMMENT ON COLUMN analytics.agent_runs.runtime_seconds IS 'Duration in seconds; NULL while it is live or not known; never NULL when completed.';
COMMENT ON COLUMN analytics.agent_runs.credits_consumed IS 'Cost in credits, exact decimal.';
COMMENT ON COLUMN analytics.agent_runs.tokens_used IS 'All tokens of the run; NULL is unknown, which is not zero.';
COMMENT ON COLUMN analytics.agent_runs.prompt_tokens IS 'Tokens sent to the model; NULL is unknown.';
COMMENT ON COLUMN analytics.agent_runs.completion_tokens IS 'Tokens received from the model; NULL is unknown.';
COMMENT ON COLUMN analytics.agent_runs.model_name IS 'Model that answered, as its provider names it.';
COMMENT ON COLUMN analytics.agent_runs.model_provider IS 'Provider of the model.';
COMMENT ON COLUMN analytics.agent_runs.concurrent_runs IS 'Runs of the workspace that were under way when this one started, this one included, as the application counts them.';
COMMENT ON COLUMN analytics.agent_runs.error_type IS 'Kind of error that ended the run, as the application names it.';
COMMENT ON COLUMN analytics.agent_runs.error_message IS 'Message of that error.';
COMMENT ON COLUMN analytics.agent_runs.error_stack IS 'Stack trace of that error.';
COMMENT ON COLUMN analytics.agent_runs.user_rating IS 'Rating of the run by its user, 1 (worst) to 5 (best).';
COMMENT ON COLUMN analytics.agent_runs.user_feedback IS 'What the user wrote about the run.';
COMMENT ON COLUMN analytics.agent_runs.metadata IS 'Anything else the application wants to keep about the run.';
COMMENT ON COLUMN analytics.agent_runs.created_at IS 'When the row was written; later than started_at for data that arrives late.';

CREATE TABLE analytics.agent_errors (
    workspace_id          uuid             NOT NULL,
    error_id              uuid             NOT NULL DEFAULT gen_random_uuid(),
    agent_id              uuid             NOT NULL,
    agent_run_id          uuid,
    run_started_at        timestamptz,
    user_id               uuid,
    error_type            text             NOT NULL,
    error_category        text             NOT NULL DEFAULT 'unknown',
    error_severity        text             NOT NULL DEFAULT 'medium',
    error_message         text,
    error_stack           text,
    error_context         jsonb            NOT NULL DEFAULT '{}',
    auto_recovered        boolean          NOT NULL DEFAULT false,
    recovery_attempts     integer          NOT NULL DEFAULT 0,
    recovery_time_seconds double precision,
    affected_users        integer          NOT NULL DEFAULT 0,
    business_impact       text,
    occurred_at           timestamptz      NOT NULL DEFAULT now(),
    created_at            timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT agent_errors_pkey PRIMARY KEY (workspace_id, error_id),
    CONSTRAINT agent_errors_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT agent_errors_run_fkey FOREIGN KEY (workspace_id, agent_run_id, run_started_at)
        REFERENCES analytics.agent_runs (workspace_id, run_id, started_at) ON DELETE CASCADE,
    CONSTRAINT agent_errors_run_check CHECK (
        (agent_run_id IS NULL) = (run_started_at IS NULL)
        OR analytics_internal.refuse('agent_run_id', coalesce(agent_run_id::text, 'NULL'),
            'a run is named by agent_run_id and run_started_at together',
            'Give agent_run_id alone: run_started_at is then filled in.')),
    CONSTRAINT agent_errors_occurred_at_check CHECK (
        isfinite(occurred_at)
        OR analytics_internal.refuse('occurred_at', occurred_at::text, 'it is not a point in time',
            'Give the time at which the error happened.')),
    CONSTRAINT agent_errors_category_check CHECK (
        error_category IN ('timeout', 'rate_limit', 'validation', 'model_error', 'network', 'auth', 'resource', 'user_error', 'unknown')
        OR analytics_internal.refuse('error_category', error_category, 'it is not a category of errors',
            'Use one of timeout, rate_limit, validation, model_error, network, auth, resource, user_error, unknown.')),
    CONSTRAINT agent_errors_severity_check CHECK (
        error_severity IN ('low', 'medium', 'high', 'critical')
        OR analytics_internal.refuse('error_severity', error_severity, 'it is not a severity',
            'Use one of low, medium, high, critical.')),
    CONSTRAINT agent_errors_impact_check CHECK (
        business_impact IN ('low', 'medium', 'high')
        OR analytics_internal.refuse('business_impact', business_impact, 'it is not an impact',
            'Use one of low, medium, high, or NULL when it is not known.')),
    CONSTRAINT agent_errors_recovery_check CHECK (
        (recovery_attempts >= 0 AND affected_users >= 0
         AND (recovery_time_seconds IS NULL OR (recovery_time_seconds >= 0 AND recovery_time_seconds < 'Infinity')))
        OR analytics_internal.refuse('recovery', concat_ws(', ', recovery_attempts, affected_users, recovery_time_seconds),
            'recovery_attempts, affected_users and recovery_time_seconds are zero or more',
            'Check the values that the writer computes.'))
);
CREATE INDEX agent_errors_run_idx ON analytics.agent_errors (workspace_id, agent_run_id, run_started_at);
CREATE INDEX agent_errors_agent_idx ON analytics.agent_errors (workspace_id, agent_id, occurred_at DESC);
CREATE INDEX agent_errors_time_idx ON analytics.agent_errors (workspace_id, occurred_at DESC);

COMMENT ON TABLE  analytics.agent_errors IS 'Errors met by agents, within a run or outside of one.';
COMMENT ON COLUMN analytics.agent_errors.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_errors.error_id IS 'Key of the error within its workspace; chosen by the writer so that a repeated insert changes nothing.';
COMMENT ON COLUMN analytics.agent_errors.agent_id IS 'Agent that met the error.';
COMMENT ON COLUMN analytics.agent_errors.agent_run_id IS 'Run in which it happened; NULL outside of a run.';
COMMENT ON COLUMN analytics.agent_errors.run_started_at IS 'Start of that run; filled in when the writer leaves it out.';
COMMENT ON COLUMN analytics.agent_errors.user_id IS 'User who was affected first.';
COMMENT ON COLUMN analytics.agent_errors.error_type IS 'Kind of error as the application names it, such as TimeoutError.';
COMMENT ON COLUMN analytics.agent_errors.error_category IS 'timeout, rate_limit, validation, model_error, network, auth, resource, user_error or unknown.';
COMMENT ON COLUMN analytics.agent_errors.error_severity IS 'low, medium, high or critical.';
COMMENT ON COLUMN analytics.agent_errors.error_message IS 'Message of the error.';
COMMENT ON COLUMN analytics.agent_errors.error_stack IS 'Stack trace of the error.';
COMMENT ON COLUMN analytics.agent_errors.error_context IS 'Whatever helps to understand the error: inputs, settings, ids.';
COMMENT ON COLUMN analytics.agent_errors.auto_recovered IS 'True when the agent went on without a person.';
COMMENT ON COLUMN analytics.agent_errors.recovery_attempts IS 'How often recovery was tried.';
COMMENT ON COLUMN analytics.agent_errors.recovery_time_seconds IS 'Seconds from the error to recovery; NULL while not recovered or not known.';
COMMENT ON COLUMN analytics.agent_errors.affected_users IS 'Number of users who noticed.';
COMMENT ON COLUMN analytics.agent_errors.business_impact IS 'low, medium or high; NULL when nobody judged it.';
COMMENT ON COLUMN analytics.agent_errors.occurred_at IS 'When the error happened.';
COMMENT ON COLUMN analytics.agent_errors.created_at IS 'When the row was written.';

CREATE TABLE analytics.agent_user_feedback (
    workspace_id      uuid             NOT NULL,
    feedback_id       uuid             NOT NULL DEFAULT gen_random_uuid(),
    agent_id          uuid             NOT NULL,
    agent_run_id      uuid,
    run_started_at    timestamptz,
    user_id           uuid,
    rating            smallint         NOT NULL,
    comment           text,
    feedback_category text             NOT NULL DEFAULT 'other',
    sentiment         text,
    sentiment_score   double precision,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT agent_user_feedback_pkey PRIMARY KEY (workspace_id, feedback_id),
    CONSTRAINT agent_user_feedback_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT agent_user_feedback_run_fkey FOREIGN KEY (workspace_id, agent_run_id, run_started_at)
        REFERENCES analytics.agent_runs (workspace_id, run_id, started_at) ON DELETE CASCADE,
    CONSTRAINT agent_user_feedback_run_check CHECK (
        (agent_run_id IS NULL) = (run_started_at IS NULL)
        OR analytics_internal.refuse('agent_run_id', coalesce(agent_run_id::text, 'NULL'),
            'a run is named by agent_run_id and run_started_at together',
            'Give agent_run_id alone: run_started_at is then filled in.')),
    CONSTRAINT agent_user_feedback_created_at_check CHECK (
        isfinite(created_at)
        OR analytics_internal.refuse('created_at', created_at::text, 'it is not a point in time',
            'Give the time at which the feedback was given.')),
    CONSTRAINT agent_user_feedback_rating_check CHECK (
        rating BETWEEN 1 AND 5
        OR analytics_internal.refuse('rating', rating::text, 'a rating lies between 1 and 5',
            'Use 1 (worst) to 5 (best).')),
    CONSTRAINT agent_user_feedback_category_check CHECK (
        feedback_category IN ('speed', 'accuracy', 'reliability', 'usability', 'cost', 'documentation', 'other')
        OR analytics_internal.refuse('feedback_category', feedback_category, 'it is not a category of feedback',
            'Use one of speed, accuracy, reliability, usability, cost, documentation, other.')),
    CONSTRAINT agent_user_feedback_sentiment_check CHECK (
        sentiment IN ('positive', 'neutral', 'negative')
        OR analytics_internal.refuse('sentiment', sentiment, 'it is not a sentiment',
            'Use one of positive, neutral, negative, or NULL when it is not known.')),
    CONSTRAINT agent_user_feedback_score_check CHECK (
        sentiment_score BETWEEN -1 AND 1
        OR analytics_internal.refuse('sentiment_score', sentiment_score::text, 'it lies outside -1 to 1',
            'Use -1 (negative) to 1 (positive).'))
);
CREATE INDEX agent_user_feedback_run_idx ON analytics.agent_user_feedback (workspace_id, agent_run_id, run_started_at);
CREATE INDEX agent_user_feedback_agent_idx ON analytics.agent_user_feedback (workspace_id, agent_id, created_at DESC);

COMMENT ON TABLE  analytics.agent_user_feedback IS 'Ratings and comments of users, about a run or about an agent as a whole.';
COMMENT ON COLUMN analytics.agent_user_feedback.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_user_feedback.feedback_id IS 'Key of the feedback within its workspace.';
COMMENT ON COLUMN analytics.agent_user_feedback.agent_id IS 'Agent that is rated.';
COMMENT ON COLUMN analytics.agent_user_feedback.agent_run_id IS 'Run that is rated; NULL when the agent as a whole is meant.';
COMMENT ON COLUMN analytics.agent_user_feedback.run_started_at IS 'Start of that run; filled in when the writer leaves it out.';
COMMENT ON COLUMN analytics.agent_user_feedback.user_id IS 'User who rates.';
COMMENT ON COLUMN analytics.agent_user_feedback.rating IS '1 (worst) to 5 (best).';
COMMENT ON COLUMN analytics.agent_user_feedback.comment IS 'What the user wrote.';
COMMENT ON COLUMN analytics.agent_user_feedback.feedback_category IS 'speed, accuracy, reliability, usability, cost, documentation or other.';
COMMENT ON COLUMN analytics.agent_user_feedback.sentiment IS 'positive, neutral or negative; NULL when not judged.';
COMMENT ON COLUMN analytics.agent_user_feedback.sentiment_score IS '-1 (negative) to 1 (positive); NULL when not judged.';
COMMENT ON COLUMN analytics.agent_user_feedback.created_at IS 'When the feedback was given.';

CREATE TABLE analytics.agent_optimization_suggestions (
    workspace_id                uuid        NOT NULL,
    suggestion_id               uuid        NOT NULL DEFAULT gen_random_uuid(),
    agent_id                    uuid        NOT NULL,
    suggestion_type             text        NOT NULL,
    title                       text        NOT NULL,
    description                 text,
    estimated_impact            text,
    effort_level                text        NOT NULL DEFAULT 'medium',
    priority                    smallint    NOT NULL DEFAULT 5,
    status                      text        NOT NULL DEFAULT 'active',
    baseline_metrics            jsonb       NOT NULL DEFAULT '{}',
    post_implementation_metrics jsonb,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    implemented_at              timestamptz,
    dismissed_at                timestamptz,
    CONSTRAINT agent_optimization_suggestions_pkey PRIMARY KEY (workspace_id, suggestion_id),
    CONSTRAINT agent_optimization_suggestions_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON DELETE CASCADE,
    CONSTRAINT agent_optimization_suggestions_type_check CHECK (
        suggestion_type IN ('performance', 'cost', 'reliability', 'user_experience')
        OR analytics_internal.refuse('suggestion_type', suggestion_type, 'it is not a type of suggestion',
            'Use one of performance, cost, reliability, user_experience.')),
    CONSTRAINT agent_optimization_suggestions_effort_check CHECK (
        effort_level IN ('low', 'medium', 'high')
        OR analytics_internal.refuse('effort_level', effort_level, 'it is not a level of effort',
            'Use one of low, medium, high.')),
    CONSTRAINT agent_optimization_suggestions_priority_check CHECK (
        priority BETWEEN 1 AND 10
        OR analytics_internal.refuse('priority', priority::text, 'a priority lies between 1 and 10',
            'Use 1 (least urgent) to 10 (most urgent).')),
    CONSTRAINT agent_optimization_suggestions_status_check CHECK (
        status IN ('active', 'implemented', 'dismissed', 'archived')
        OR analytics_internal.refuse('status', status, 'it is not a status of a suggestion',
            'Use one of active, implemented, dismissed, archived.'))
);
CREATE INDEX agent_optimization_suggestions_agent_idx
    ON analytics.agent_optimization_suggestions (workspace_id, agent_id, status);

COMMENT ON TABLE  analytics.agent_optimization_suggestions IS 'What could be better about an agent, with its measured effect once it was done.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.suggestion_id IS 'Key of the suggestion within its workspace.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.agent_id IS 'Agent that could be better.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.suggestion_type IS 'performance, cost, reliability or user_experience.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.title IS 'The suggestion in one line.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.description IS 'Why, and what to do.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.estimated_impact IS 'Expected effect in words, with its figures.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.effort_level IS 'low, medium or high.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.priority IS '1 (least urgent) to 10 (most urgent).';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.status IS 'active, implemented, dismissed or archived.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.baseline_metrics IS 'Metrics of the agent when the suggestion was made.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.post_implementation_metrics IS 'The same metrics after it was implemented; NULL before.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.created_at IS 'When the suggestion was made.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.updated_at IS 'When it last changed.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.implemented_at IS 'When it was implemented; NULL otherwise.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.dismissed_at IS 'When it was dismissed; NULL otherwise.';

-- The digits put this trigger before the foreign key's, so that its error, which has a hint, comes first.
CREATE TRIGGER "00_admit_agent" AFTER INSERT OR UPDATE OF workspace_id, agent_id ON analytics.agent_runs
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.admit_agent();
CREATE TRIGGER "00_admit_agent" AFTER INSERT OR UPDATE OF workspace_id, agent_id ON analytics.agent_errors
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.admit_agent();
CREATE TRIGGER "00_admit_agent" AFTER INSERT OR UPDATE OF workspace_id, agent_id ON analytics.agent_user_feedback
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.admit_agent();

CREATE TRIGGER fill_run_started_at BEFORE INSERT OR UPDATE ON analytics.agent_errors
    FOR EACH ROW WHEN (NEW.agent_run_id IS NOT NULL AND NEW.run_started_at IS NULL)
    EXECUTE FUNCTION analytics_internal.fill_run_started_at();
CREATE TRIGGER fill_run_started_at BEFORE INSERT OR UPDATE ON analytics.agent_user_feedback
    FOR EACH ROW WHEN (NEW.agent_run_id IS NOT NULL AND NEW.run_started_at IS NULL)
    EXECUTE FUNCTION analytics_internal.fill_run_started_at();

-- Backends remember which workspaces and agents they have seen; these two make them forget.
CREATE TRIGGER forget_admitted AFTER UPDATE OR DELETE OR TRUNCATE ON analytics.agents
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.forget_admitted();
CREATE TRIGGER forget_admitted AFTER UPDATE OR DELETE OR TRUNCATE ON analytics.workspaces
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.forget_admitted();
