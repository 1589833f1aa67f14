-- Who may see and do what: members of workspaces, and row security on every table that holds rows of a workspace.

CREATE TABLE analytics.workspace_members (
    workspace_id  uuid        NOT NULL,
    member_id     uuid        NOT NULL DEFAULT gen_random_uuid(),
    database_role text,
    user_id       uuid,
    access_level  text        NOT NULL,
    granted_by    text        NOT NULL DEFAULT current_user,
    granted_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workspace_members_pkey PRIMARY KEY (workspace_id, member_id),
    CONSTRAINT workspace_members_role_key UNIQUE (workspace_id, database_role),
    CONSTRAINT workspace_members_user_key UNIQUE (workspace_id, user_id),
    CONSTRAINT workspace_members_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT workspace_members_member_check CHECK (
        num_nonnulls(database_role, user_id) > 0
        OR analytics_internal.refuse('member', 'NULL', 'a member is a database role, a person, or both',
            'Give database_role or user_id.')),
    CONSTRAINT workspace_members_level_check CHECK (
        access_level IN ('viewer', 'member', 'admin', 'owner')
        OR analytics_internal.refuse('access_level', access_level, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.'))
);
-- Which workspaces a database role may see is asked by every statement, for all workspaces at once.
CREATE INDEX workspace_members_role_idx ON analytics.workspace_members (database_role) WHERE database_role IS NOT NULL;

COMMENT ON TABLE  analytics.workspace_members IS 'Database roles and people of each workspace, with their level. Written by grant_access() and revoke_access().';
COMMENT ON COLUMN analytics.workspace_members.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.workspace_members.member_id IS 'Key of the membership within its workspace.';
COMMENT ON COLUMN analytics.workspace_members.database_role IS 'Name of a database role; its own members have its access too. NULL for a person who does not connect by a role of their own.';
COMMENT ON COLUMN analytics.workspace_members.user_id IS 'The person, as user_id in the other tables; NULL for a role that is not one person.';
COMMENT ON COLUMN analytics.workspace_members.access_level IS 'viewer, member, admin or owner.';
COMMENT ON COLUMN analytics.workspace_members.granted_by IS 'Role that granted the access.';
COMMENT ON COLUMN analytics.workspace_members.granted_at IS 'When it was granted.';

CREATE TABLE analytics_internal.trusted_gateways (
    database_role text        NOT NULL PRIMARY KEY,
    access_level  text        NOT NULL,
    declared_by   text        NOT NULL DEFAULT current_user,
    declared_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT trusted_gateways_level_check CHECK (
        access_level IN ('viewer', 'member', 'admin', 'owner')
        OR analytics_internal.refuse('access_level', access_level, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.'))
);
COMMENT ON TABLE  analytics_internal.trusted_gateways IS 'Database roles whose request.jwt.claims are believed. Written by trust_gateway().';
COMMENT ON COLUMN analytics_internal.trusted_gateways.database_role IS 'Name of the role that the gateway switches to.';
COMMENT ON COLUMN analytics_internal.trusted_gateways.access_level IS 'The most that claims can give: viewer, member, admin or owner. The role has the object privileges of this level.';
COMMENT ON COLUMN analytics_internal.trusted_gateways.declared_by IS 'Role that declared it.';
COMMENT ON COLUMN analytics_internal.trusted_gateways.declared_at IS 'When it was declared.';

-- Backends remember who has access. Row triggers, and always: replication brings changes, too. TRUNCATE needs none.
CREATE TRIGGER forget_access AFTER INSERT OR UPDATE OR DELETE ON analytics.workspace_members
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.forget_access();
CREATE TRIGGER forget_access AFTER INSERT OR UPDATE OR DELETE ON analytics_internal.trusted_gateways
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.forget_access();
ALTER TABLE analytics.workspace_members ENABLE ALWAYS TRIGGER forget_access;
ALTER TABLE analytics_internal.trusted_gateways ENABLE ALWAYS TRIGGER forget_access;

-- Free text and documents. Words that many rows share, such as a status or a model, stay visible to ANALYZE.
SELECT analytics_internal.hide_values('analytics.workspaces', 'name', 'metadata');
SELECT analytics_internal.hide_values('analytics.workspace_members', 'database_role', 'granted_by');
SELECT analytics_internal.hide_values('analytics.agents', 'name', 'description', 'metadata');
SELECT analytics_internal.hide_values('analytics.agent_runs',
    'session_id', 'error_message', 'error_stack', 'user_feedback', 'metadata');
SELECT analytics_internal.hide_values('analytics.agent_errors', 'error_message', 'error_stack', 'error_context');
SELECT analytics_internal.hide_values('analytics.agent_user_feedback', 'comment');
SELECT analytics_internal.hide_values('analytics.execution_queue', 'metadata');
SELECT analytics_internal.hide_values('analytics.agent_optimization_suggestions',
    'title', 'description', 'estimated_impact', 'baseline_metrics', 'post_implementation_metrics');

-- Table, and the least level that may read, insert and update; NULL where only the owner of the tables may.
SELECT analytics_internal.protect_table('analytics.workspaces',                     'viewer', NULL,     'owner');
SELECT analytics_internal.protect_table('analytics.workspace_members',              'admin',  NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.agents',                         'viewer', 'admin',  'admin');
SELECT analytics_internal.protect_table('analytics.agent_runs',                     'viewer', 'member', 'member');
SELECT analytics_internal.protect_table('analytics.agent_errors',                   'viewer', 'member', NULL);
SELECT analytics_internal.protect_table('analytics.agent_user_feedback',            'viewer', 'member', NULL);
SELECT analytics_internal.protect_table('analytics.execution_queue',                'viewer', 'member', 'member');
SELECT analytics_internal.protect_table('analytics.agent_optimization_suggestions', 'viewer', NULL,     'admin');
SELECT analytics_internal.protect_table('analytics_internal.agent_discoveries',     'viewer', NULL,     NULL);
