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
