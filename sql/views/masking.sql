-- The tables with free text, for every reader. Readers who bypass row security, and admins and owners of the row's
-- workspace, see the original texts; everybody else sees them masked.
--
-- TABLE_texts, in analytics_internal, reads its table with the rights of the view's owner, because readers have no
-- rights on the texts. It filters the rows that a reader may see itself, and security_barrier keeps the reader's own
-- conditions, such as a function in WHERE, away from unmasked texts. TABLE_masked reads the table with the rights of
-- the reader, like every other view, and looks texts up row by row: only the selected ones, after ORDER BY and LIMIT.
-- The texts of runs come from functions (sql/masking.sql), because runs have partitions.

CREATE OR REPLACE VIEW analytics_internal.agent_runs_texts WITH (security_barrier = true) AS
SELECT
    t.workspace_id,
    t.run_id,
    t.started_at,
    CASE WHEN t.unmasked THEN t.error_message ELSE analytics.mask_text(t.error_message) END AS error_message,
    CASE WHEN t.unmasked THEN t.error_stack ELSE analytics.mask_text(t.error_stack) END AS error_stack,
    CASE WHEN t.unmasked THEN t.user_feedback ELSE analytics.mask_text(t.user_feedback) END AS user_feedback,
    CASE WHEN t.unmasked THEN t.metadata ELSE analytics.mask_json(t.metadata) END AS metadata
FROM (
    SELECT r.workspace_id, r.run_id, r.started_at, r.error_message, r.error_stack, r.user_feedback, r.metadata,
           (SELECT analytics_internal.reads_everything())
           OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('admin'))) AS unmasked
    FROM analytics.agent_runs AS r
    WHERE (SELECT analytics_internal.reads_everything())
       OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')))
) AS t;

COMMENT ON VIEW analytics_internal.agent_runs_texts IS 'The texts of agent_runs, masked where the reader is not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.workspace_id IS 'Part of the key of the run.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.run_id IS 'Part of the key of the run.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.started_at IS 'Part of the key of the run.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.error_message IS 'Message of that error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.error_stack IS 'Stack trace of that error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.user_feedback IS 'What the user wrote about the run; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_runs_texts.metadata IS 'Anything else the application wants to keep about the run; texts in it masked for readers who are not admin of the workspace.';

CREATE OR REPLACE VIEW analytics.agent_runs_masked WITH (security_invoker = true) AS
SELECT
    r.workspace_id,
    r.run_id,
    r.agent_id,
    r.user_id,
    r.session_id,
    r.parent_run_id,
    r.agent_version,
    r.status,
    r.trigger_source,
    r.started_at,
    r.completed_at,
    r.runtime_seconds,
    r.credits_consumed,
    r.tokens_used,
    r.prompt_tokens,
    r.completion_tokens,
    r.model_name,
    r.model_provider,
    r.concurrent_runs,
    r.error_type,
    analytics_internal.run_text(r.workspace_id, r.run_id, r.started_at, 'error_message') AS error_message,
    analytics_internal.run_text(r.workspace_id, r.run_id, r.started_at, 'error_stack') AS error_stack,
    r.user_rating,
    analytics_internal.run_text(r.workspace_id, r.run_id, r.started_at, 'user_feedback') AS user_feedback,
    analytics_internal.run_metadata(r.workspace_id, r.run_id, r.started_at) AS metadata,
    r.created_at
FROM analytics.agent_runs AS r;

COMMENT ON VIEW analytics.agent_runs_masked IS 'One row per run, as agent_runs; personal data in its texts is masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_runs_masked.workspace_id IS 'Workspace that the run belongs to.';
COMMENT ON COLUMN analytics.agent_runs_masked.run_id IS 'Key of the run within its workspace; chosen by the writer so that a repeated insert changes nothing (ON CONFLICT DO NOTHING).';
COMMENT ON COLUMN analytics.agent_runs_masked.agent_id IS 'Agent that ran; a new one is registered on first sight.';
COMMENT ON COLUMN analytics.agent_runs_masked.user_id IS 'User for whom the agent ran; NULL when nobody asked.';
COMMENT ON COLUMN analytics.agent_runs_masked.session_id IS 'Conversation, job or trace that the run belongs to, as the application names it.';
COMMENT ON COLUMN analytics.agent_runs_masked.parent_run_id IS 'Run that started this one (a sub-agent) or that this one repeats (a retry).';
COMMENT ON COLUMN analytics.agent_runs_masked.agent_version IS 'Version of the agent, for example 1.4.0.';
COMMENT ON COLUMN analytics.agent_runs_masked.status IS 'queued and running are live; completed, failed, cancelled and timeout are final.';
COMMENT ON COLUMN analytics.agent_runs_masked.trigger_source IS 'What started the run, free text such as user, api, schedule, webhook, agent.';
COMMENT ON COLUMN analytics.agent_runs_masked.started_at IS 'When the run started, or when it was queued while it has not started; decides the partition and the bucket.';
COMMENT ON COLUMN analytics.agent_runs_masked.completed_at IS 'When the run reached its final status; NULL while it is live or not known.';
COMMENT ON COLUMN analytics.agent_runs_masked.runtime_seconds IS 'Duration in seconds; NULL while it is live or not known; never NULL when completed.';
COMMENT ON COLUMN analytics.agent_runs_masked.credits_consumed IS 'Cost in credits, exact decimal.';
COMMENT ON COLUMN analytics.agent_runs_masked.tokens_used IS 'All tokens of the run; NULL is unknown, which is not zero.';
COMMENT ON COLUMN analytics.agent_runs_masked.prompt_tokens IS 'Tokens sent to the model; NULL is unknown.';
COMMENT ON COLUMN analytics.agent_runs_masked.completion_tokens IS 'Tokens received from the model; NULL is unknown.';
COMMENT ON COLUMN analytics.agent_runs_masked.model_name IS 'Model that answered, as its provider names it.';
COMMENT ON COLUMN analytics.agent_runs_masked.model_provider IS 'Provider of the model.';
COMMENT ON COLUMN analytics.agent_runs_masked.concurrent_runs IS 'Runs of the workspace that were under way when this one started, this one included, as the application counts them.';
COMMENT ON COLUMN analytics.agent_runs_masked.error_type IS 'Kind of error that ended the run, as the application names it.';
COMMENT ON COLUMN analytics.agent_runs_masked.error_message IS 'Message of that error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_runs_masked.error_stack IS 'Stack trace of that error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_runs_masked.user_rating IS 'Rating of the run by its user, 1 (worst) to 5 (best).';
COMMENT ON COLUMN analytics.agent_runs_masked.user_feedback IS 'What the user wrote about the run; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_runs_masked.metadata IS 'Anything else the application wants to keep about the run; texts in it masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_runs_masked.created_at IS 'When the row was written; later than started_at for data that arrives late.';

CREATE OR REPLACE VIEW analytics_internal.agent_errors_texts WITH (security_barrier = true) AS
SELECT
    t.workspace_id,
    t.error_id,
    CASE WHEN t.unmasked THEN t.error_message ELSE analytics.mask_text(t.error_message) END AS error_message,
    CASE WHEN t.unmasked THEN t.error_stack ELSE analytics.mask_text(t.error_stack) END AS error_stack,
    CASE WHEN t.unmasked THEN t.error_context ELSE analytics.mask_json(t.error_context) END AS error_context
FROM (
    SELECT r.workspace_id, r.error_id, r.error_message, r.error_stack, r.error_context,
           (SELECT analytics_internal.reads_everything())
           OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('admin'))) AS unmasked
    FROM analytics.agent_errors AS r
    WHERE (SELECT analytics_internal.reads_everything())
       OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')))
) AS t;

COMMENT ON VIEW analytics_internal.agent_errors_texts IS 'The texts of agent_errors, masked where the reader is not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_errors_texts.workspace_id IS 'Part of the key of the error.';
COMMENT ON COLUMN analytics_internal.agent_errors_texts.error_id IS 'Part of the key of the error.';
COMMENT ON COLUMN analytics_internal.agent_errors_texts.error_message IS 'Message of the error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_errors_texts.error_stack IS 'Stack trace of the error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_errors_texts.error_context IS 'Whatever helps to understand the error: inputs, settings, ids; texts in it masked for readers who are not admin of the workspace.';

CREATE OR REPLACE VIEW analytics.agent_errors_masked WITH (security_invoker = true) AS
SELECT
    r.workspace_id,
    r.error_id,
    r.agent_id,
    r.agent_run_id,
    r.run_started_at,
    r.user_id,
    r.error_type,
    r.error_category,
    r.error_severity,
    (SELECT t.error_message FROM analytics_internal.agent_errors_texts AS t
     WHERE t.workspace_id = r.workspace_id AND t.error_id = r.error_id) AS error_message,
    (SELECT t.error_stack FROM analytics_internal.agent_errors_texts AS t
     WHERE t.workspace_id = r.workspace_id AND t.error_id = r.error_id) AS error_stack,
    (SELECT t.error_context FROM analytics_internal.agent_errors_texts AS t
     WHERE t.workspace_id = r.workspace_id AND t.error_id = r.error_id) AS error_context,
    r.auto_recovered,
    r.recovery_attempts,
    r.recovery_time_seconds,
    r.affected_users,
    r.business_impact,
    r.occurred_at,
    r.created_at,
    r.error_fingerprint
FROM analytics.agent_errors AS r;

COMMENT ON VIEW analytics.agent_errors_masked IS 'Errors met by agents, as agent_errors; personal data in its texts is masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_errors_masked.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_id IS 'Key of the error within its workspace; chosen by the writer so that a repeated insert changes nothing.';
COMMENT ON COLUMN analytics.agent_errors_masked.agent_id IS 'Agent that met the error.';
COMMENT ON COLUMN analytics.agent_errors_masked.agent_run_id IS 'Run in which it happened; NULL outside of a run.';
COMMENT ON COLUMN analytics.agent_errors_masked.run_started_at IS 'Start of that run; filled in when the writer leaves it out.';
COMMENT ON COLUMN analytics.agent_errors_masked.user_id IS 'User who was affected first.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_type IS 'Kind of error as the application names it, such as TimeoutError.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_category IS 'timeout, rate_limit, validation, model_error, network, auth, resource, user_error or unknown.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_severity IS 'low, medium, high or critical.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_message IS 'Message of the error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_stack IS 'Stack trace of the error; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_context IS 'Whatever helps to understand the error: inputs, settings, ids; texts in it masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_errors_masked.auto_recovered IS 'True when the agent went on without a person.';
COMMENT ON COLUMN analytics.agent_errors_masked.recovery_attempts IS 'How often recovery was tried.';
COMMENT ON COLUMN analytics.agent_errors_masked.recovery_time_seconds IS 'Seconds from the error to recovery; NULL while not recovered or not known.';
COMMENT ON COLUMN analytics.agent_errors_masked.affected_users IS 'Number of users who noticed.';
COMMENT ON COLUMN analytics.agent_errors_masked.business_impact IS 'low, medium or high; NULL when nobody judged it.';
COMMENT ON COLUMN analytics.agent_errors_masked.occurred_at IS 'When the error happened.';
COMMENT ON COLUMN analytics.agent_errors_masked.created_at IS 'When the row was written.';
COMMENT ON COLUMN analytics.agent_errors_masked.error_fingerprint IS 'The same for errors of one type, category and message but for ids, numbers and personal data.';

CREATE OR REPLACE VIEW analytics_internal.agent_user_feedback_texts WITH (security_barrier = true) AS
SELECT
    t.workspace_id,
    t.feedback_id,
    CASE WHEN t.unmasked THEN t.comment ELSE analytics.mask_text(t.comment) END AS comment
FROM (
    SELECT r.workspace_id, r.feedback_id, r.comment,
           (SELECT analytics_internal.reads_everything())
           OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('admin'))) AS unmasked
    FROM analytics.agent_user_feedback AS r
    WHERE (SELECT analytics_internal.reads_everything())
       OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')))
) AS t;

COMMENT ON VIEW analytics_internal.agent_user_feedback_texts IS 'The texts of agent_user_feedback, masked where the reader is not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.agent_user_feedback_texts.workspace_id IS 'Part of the key of the feedback.';
COMMENT ON COLUMN analytics_internal.agent_user_feedback_texts.feedback_id IS 'Part of the key of the feedback.';
COMMENT ON COLUMN analytics_internal.agent_user_feedback_texts.comment IS 'What the user wrote; masked and cut to 200 characters for readers who are not admin of the workspace.';

CREATE OR REPLACE VIEW analytics.agent_user_feedback_masked WITH (security_invoker = true) AS
SELECT
    r.workspace_id,
    r.feedback_id,
    r.agent_id,
    r.agent_run_id,
    r.run_started_at,
    r.user_id,
    r.rating,
    (SELECT t.comment FROM analytics_internal.agent_user_feedback_texts AS t
     WHERE t.workspace_id = r.workspace_id AND t.feedback_id = r.feedback_id) AS comment,
    r.feedback_category,
    r.sentiment,
    r.sentiment_score,
    r.created_at
FROM analytics.agent_user_feedback AS r;

COMMENT ON VIEW analytics.agent_user_feedback_masked IS 'Ratings and comments of users, as agent_user_feedback; personal data in its texts is masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.feedback_id IS 'Key of the feedback within its workspace.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.agent_id IS 'Agent that is rated.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.agent_run_id IS 'Run that is rated; NULL when the agent as a whole is meant.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.run_started_at IS 'Start of that run; filled in when the writer leaves it out.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.user_id IS 'User who rates.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.rating IS '1 (worst) to 5 (best).';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.comment IS 'What the user wrote; masked and cut to 200 characters for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.feedback_category IS 'speed, accuracy, reliability, usability, cost, documentation or other.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.sentiment IS 'positive, neutral or negative; NULL when not judged.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.sentiment_score IS '-1 (negative) to 1 (positive); NULL when not judged.';
COMMENT ON COLUMN analytics.agent_user_feedback_masked.created_at IS 'When the feedback was given.';

CREATE OR REPLACE VIEW analytics_internal.execution_queue_texts WITH (security_barrier = true) AS
SELECT
    t.workspace_id,
    t.queue_id,
    CASE WHEN t.unmasked THEN t.metadata ELSE analytics.mask_json(t.metadata) END AS metadata
FROM (
    SELECT r.workspace_id, r.queue_id, r.metadata,
           (SELECT analytics_internal.reads_everything())
           OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('admin'))) AS unmasked
    FROM analytics.execution_queue AS r
    WHERE (SELECT analytics_internal.reads_everything())
       OR r.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('viewer')))
) AS t;

COMMENT ON VIEW analytics_internal.execution_queue_texts IS 'The texts of execution_queue, masked where the reader is not admin of the workspace.';
COMMENT ON COLUMN analytics_internal.execution_queue_texts.workspace_id IS 'Part of the key of the queue entry.';
COMMENT ON COLUMN analytics_internal.execution_queue_texts.queue_id IS 'Part of the key of the queue entry.';
COMMENT ON COLUMN analytics_internal.execution_queue_texts.metadata IS 'Anything else the application wants to keep about the work; texts in it masked for readers who are not admin of the workspace.';

CREATE OR REPLACE VIEW analytics.execution_queue_masked WITH (security_invoker = true) AS
SELECT
    r.workspace_id,
    r.queue_id,
    r.agent_id,
    r.run_id,
    r.user_id,
    r.status,
    r.priority,
    r.queued_at,
    r.started_at,
    r.completed_at,
    r.estimated_wait_seconds,
    r.estimated_runtime_seconds,
    (SELECT t.metadata FROM analytics_internal.execution_queue_texts AS t
     WHERE t.workspace_id = r.workspace_id AND t.queue_id = r.queue_id) AS metadata
FROM analytics.execution_queue AS r;

COMMENT ON VIEW analytics.execution_queue_masked IS 'Work that waits for an agent, as execution_queue; personal data in its texts is masked for readers who are not admin of the workspace.';
COMMENT ON COLUMN analytics.execution_queue_masked.workspace_id IS 'Workspace of the work.';
COMMENT ON COLUMN analytics.execution_queue_masked.queue_id IS 'Key of the entry within its workspace.';
COMMENT ON COLUMN analytics.execution_queue_masked.agent_id IS 'Agent that shall do the work.';
COMMENT ON COLUMN analytics.execution_queue_masked.run_id IS 'Run that does the work; NULL until one has started.';
COMMENT ON COLUMN analytics.execution_queue_masked.user_id IS 'User who waits.';
COMMENT ON COLUMN analytics.execution_queue_masked.status IS 'queued, processing, completed, cancelled or failed.';
COMMENT ON COLUMN analytics.execution_queue_masked.priority IS 'Higher goes first.';
COMMENT ON COLUMN analytics.execution_queue_masked.queued_at IS 'When the work was queued.';
COMMENT ON COLUMN analytics.execution_queue_masked.started_at IS 'When an agent took it; NULL while it waits.';
COMMENT ON COLUMN analytics.execution_queue_masked.completed_at IS 'When it ended; NULL before.';
COMMENT ON COLUMN analytics.execution_queue_masked.estimated_wait_seconds IS 'Expected seconds in the queue, as the application estimated.';
COMMENT ON COLUMN analytics.execution_queue_masked.estimated_runtime_seconds IS 'Expected seconds of work, as the application estimated.';
COMMENT ON COLUMN analytics.execution_queue_masked.metadata IS 'Anything else the application wants to keep about the work; texts in it masked for readers who are not admin of the workspace.';
