-- Who did what to access. No foreign key: what happened in a workspace outlives the workspace.

CREATE TABLE analytics.audit_log (
    workspace_id   uuid,
    audit_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    occurred_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    action         text        NOT NULL,
    outcome        text        NOT NULL,
    target         text,
    database_role  text        NOT NULL,
    session_role   text        NOT NULL,
    user_id        uuid,
    client_address inet,
    detail         jsonb       NOT NULL DEFAULT '{}',
    CONSTRAINT audit_log_outcome_check CHECK (
        outcome IN ('success', 'refused')
        OR analytics_internal.refuse('outcome', outcome, 'it is not an outcome', 'Use one of success, refused.'))
);
CREATE INDEX audit_log_workspace_idx ON analytics.audit_log (workspace_id, occurred_at DESC);
CREATE INDEX audit_log_time_idx ON analytics.audit_log USING brin (occurred_at);

COMMENT ON TABLE  analytics.audit_log IS 'Authentications, refusals, changes of access and of settings. Append-only: only cleanup_audit_log() removes rows. Admins of a workspace read theirs.';
COMMENT ON COLUMN analytics.audit_log.workspace_id IS 'Workspace that it concerns; NULL: no single one, and only the owner of the tables reads it.';
COMMENT ON COLUMN analytics.audit_log.audit_id IS 'Key of the entry.';
COMMENT ON COLUMN analytics.audit_log.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.audit_log.action IS 'What was done or tried, such as authenticate, grant_access, set_token_key.';
COMMENT ON COLUMN analytics.audit_log.outcome IS 'success or refused.';
COMMENT ON COLUMN analytics.audit_log.target IS 'What it was done to: the name of a role or a key; NULL: nothing in particular.';
COMMENT ON COLUMN analytics.audit_log.database_role IS 'Role that did it.';
COMMENT ON COLUMN analytics.audit_log.session_role IS 'Role that logged in.';
COMMENT ON COLUMN analytics.audit_log.user_id IS 'User, when a token says who; NULL otherwise.';
COMMENT ON COLUMN analytics.audit_log.client_address IS 'Address of the client; NULL over a Unix socket.';
COMMENT ON COLUMN analytics.audit_log.detail IS 'More about it. Never a secret or a token.';

CREATE TRIGGER "00_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON analytics.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.keep_audit_log();
-- Also while a replica applies changes.
ALTER TABLE analytics.audit_log ENABLE ALWAYS TRIGGER "00_append_only";

SELECT analytics_internal.protect_table('analytics.audit_log', 'admin', NULL, NULL);
SELECT analytics_internal.hide_values('analytics.audit_log', 'target', 'database_role', 'session_role', 'detail');
