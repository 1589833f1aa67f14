-- Agent runs with the names of things beside their ids: one flat row per run for BI tools and for people.

CREATE OR REPLACE VIEW analytics.agent_run_details WITH (security_invoker = true) AS
SELECT
    r.workspace_id,
    w.name AS workspace_name,
    r.agent_id,
    a.name AS agent_name,
    a.agent_type,
    a.lifecycle_state,
    r.run_id,
    r.parent_run_id,
    r.session_id,
    r.user_id,
    r.agent_version,
    r.status,
    r.trigger_source,
    r.started_at,
    r.completed_at,
    r.runtime_seconds,
    r.credits_consumed,
    coalesce(r.tokens_used, r.prompt_tokens + r.completion_tokens) AS tokens_used,
    r.prompt_tokens,
    r.completion_tokens,
    r.model_name,
    r.model_provider,
    r.error_type,
    analytics_internal.run_text(r.workspace_id, r.run_id, r.started_at, 'error_message') AS error_message,
    r.user_rating
FROM analytics.agent_runs AS r
JOIN analytics.workspaces AS w USING (workspace_id)
LEFT JOIN analytics.agents AS a USING (workspace_id, agent_id);

COMMENT ON VIEW analytics.agent_run_details IS 'One row per run with the names of its workspace and agent: the flat form for BI tools.';
COMMENT ON COLUMN analytics.agent_run_details.workspace_id IS 'Workspace that the run belongs to.';
COMMENT ON COLUMN analytics.agent_run_details.workspace_name IS 'Name of the workspace.';
COMMENT ON COLUMN analytics.agent_run_details.agent_id IS 'Agent that ran.';
COMMENT ON COLUMN analytics.agent_run_details.agent_name IS 'Name of the agent; its id until somebody names it.';
COMMENT ON COLUMN analytics.agent_run_details.agent_type IS 'Kind of agent.';
COMMENT ON COLUMN analytics.agent_run_details.lifecycle_state IS 'State of the agent now, not at the time of the run.';
COMMENT ON COLUMN analytics.agent_run_details.run_id IS 'Key of the run within its workspace.';
COMMENT ON COLUMN analytics.agent_run_details.parent_run_id IS 'Run that started this one or that this one repeats.';
COMMENT ON COLUMN analytics.agent_run_details.session_id IS 'Conversation, job or trace that the run belongs to.';
COMMENT ON COLUMN analytics.agent_run_details.user_id IS 'User for whom the agent ran.';
COMMENT ON COLUMN analytics.agent_run_details.agent_version IS 'Version of the agent.';
COMMENT ON COLUMN analytics.agent_run_details.status IS 'queued, running, completed, failed, cancelled or timeout.';
COMMENT ON COLUMN analytics.agent_run_details.trigger_source IS 'What started the run.';
COMMENT ON COLUMN analytics.agent_run_details.started_at IS 'When the run started.';
COMMENT ON COLUMN analytics.agent_run_details.completed_at IS 'When the run ended; NULL while it is live.';
COMMENT ON COLUMN analytics.agent_run_details.runtime_seconds IS 'Duration in seconds.';
COMMENT ON COLUMN analytics.agent_run_details.credits_consumed IS 'Cost in credits.';
COMMENT ON COLUMN analytics.agent_run_details.tokens_used IS 'All tokens of the run: as reported, else prompt + completion; NULL is unknown.';
COMMENT ON COLUMN analytics.agent_run_details.prompt_tokens IS 'Tokens sent to the model.';
COMMENT ON COLUMN analytics.agent_run_details.completion_tokens IS 'Tokens received from the model.';
COMMENT ON COLUMN analytics.agent_run_details.model_name IS 'Model that answered.';
COMMENT ON COLUMN analytics.agent_run_details.model_provider IS 'Provider of the model.';
COMMENT ON COLUMN analytics.agent_run_details.error_type IS 'Kind of error that ended the run.';
COMMENT ON COLUMN analytics.agent_run_details.error_message IS 'Message of that error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_run_details.user_rating IS 'Rating of the run by its user, 1 to 5.';
