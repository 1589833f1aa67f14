-- Access: levels of database roles, what they see and may do, and everything that is refused.
\set SHOW_CONTEXT never
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set blue   'a0000000-0000-4000-8000-000000000002'
\set nobody 'a0000000-0000-4000-8000-0000000000ff'
\set bot    'c0000000-0000-4000-8000-000000000001'
\set alice  'd0000000-0000-4000-8000-000000000001'
SET client_min_messages = warning;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme'), (:'blue', 'Blue');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Acme bot'), (:'blue', :'bot', 'Blue bot');
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, runtime_seconds, error_message) VALUES
    (:'acme', :'bot', 'completed', 1, NULL), (:'acme', :'bot', 'failed', NULL, 'of Acme'), (:'blue', :'bot', 'failed', NULL, 'of Blue');
CREATE ROLE regress_viewer;
CREATE ROLE regress_member;
CREATE ROLE regress_admin;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_analysts;
CREATE ROLE regress_analyst IN ROLE regress_analysts;
CREATE ROLE regress_stranger;

------------------------------------------------------------------------------------------------------------------------
-- Levels
------------------------------------------------------------------------------------------------------------------------
SELECT level, analytics.level_permissions(level) AS permissions
FROM unnest(ARRAY['viewer', 'member', 'admin', 'owner', 'king', NULL]) AS level;
SELECT analytics.grant_access('regress_viewer', :'acme');
SELECT analytics.grant_access('regress_member', :'acme', 'member');
SELECT analytics.grant_access('regress_admin', :'acme', access_level => 'admin');
SELECT analytics.grant_access('regress_owner', :'acme', 'owner', user_id => :'alice');
SELECT analytics.grant_access('regress_analysts', :'acme');
SELECT analytics.grant_access('regress_analysts', :'blue');
SELECT workspace_name, database_role, user_id, access_level, permissions, can_login, role_exists, granted_by
FROM analytics.access_report();
SELECT database_role, access_level FROM analytics.access_report(:'blue');

-- A viewer reads.
SET ROLE regress_viewer;
SELECT name FROM analytics.workspaces;
SELECT workspace_name, agent_name, status, error_message FROM analytics.agent_run_details ORDER BY status;
SELECT name, total_runs, failed_runs FROM analytics.list_agents(:'acme');
SELECT * FROM analytics.accessible_workspaces();
SELECT * FROM analytics.accessible_workspaces('member');
SELECT analytics.start_run(:'acme', :'bot'); \echo :SQLSTATE
INSERT INTO analytics.agent_runs (workspace_id, agent_id, status) VALUES (:'acme', :'bot', 'running'); \echo :SQLSTATE
UPDATE analytics.agent_runs SET user_rating = 1; \echo :SQLSTATE
SELECT * FROM analytics.access_report(); \echo :SQLSTATE

-- A member writes as well.
SET ROLE regress_member;
SELECT analytics.start_run(:'acme', :'bot', 'e0000000-0000-4000-8000-000000000001');
SELECT analytics.finish_run(:'acme', 'e0000000-0000-4000-8000-000000000001', runtime_seconds => 2);
SELECT analytics.record_error(:'acme', :'bot', 'TimeoutError') IS NOT NULL AS recorded;
SELECT analytics.record_feedback(:'acme', :'bot', 5) IS NOT NULL AS recorded;
-- An agent that is new is registered, though a member may not write agents.
SELECT analytics.start_run(:'acme', 'c0000000-0000-4000-8000-000000000002') IS NOT NULL AS started;
SELECT name, discovered FROM analytics.agents ORDER BY agent_id;
UPDATE analytics.agents SET name = 'x'; \echo :SQLSTATE
DELETE FROM analytics.agent_runs; \echo :SQLSTATE

-- An admin manages agents and sees who has access.
SET ROLE regress_admin;
UPDATE analytics.agents SET agent_type = 'assistant' WHERE agent_id = :'bot' RETURNING name, agent_type;
SELECT workspace_name, database_role, access_level FROM analytics.access_report();
SELECT analytics.grant_access('regress_stranger', :'acme'); \echo :SQLSTATE
UPDATE analytics.workspaces SET name = 'x'; \echo :SQLSTATE

-- An owner gives and takes access.
SET ROLE regress_owner;
UPDATE analytics.workspaces SET name = 'Acme Corporation' RETURNING name;
UPDATE analytics.workspaces SET plan = 'enterprise'; \echo :SQLSTATE
SELECT analytics.grant_access('regress_stranger', :'acme');
SELECT database_role, granted_by FROM analytics.access_report(:'acme') WHERE database_role = 'regress_stranger';
SELECT analytics.revoke_access('regress_stranger', :'acme');
SELECT analytics.revoke_access('regress_stranger', :'acme');

-- Whoever inherits from a role has its access.
SET ROLE regress_analyst;
SELECT name FROM analytics.workspaces ORDER BY name;

-- Without a level there is nothing.
SET ROLE regress_stranger;
SELECT * FROM analytics.workspaces; \echo :SQLSTATE
RESET ROLE;

------------------------------------------------------------------------------------------------------------------------
-- Another workspace is as good as none
------------------------------------------------------------------------------------------------------------------------
SET ROLE regress_owner;
SELECT * FROM analytics.list_agents(:'blue'); \echo :SQLSTATE
SELECT * FROM analytics.list_agents(:'nobody'); \echo :SQLSTATE
SELECT analytics.start_run(:'blue', :'bot'); \echo :SQLSTATE
SELECT * FROM analytics.access_report(:'blue'); \echo :SQLSTATE
SELECT analytics.grant_access('regress_owner', :'blue', 'owner'); \echo :SQLSTATE
SELECT analytics.revoke_access('regress_analysts', :'blue'); \echo :SQLSTATE
INSERT INTO analytics.agents (workspace_id, name) VALUES (:'blue', 'x'); \echo :SQLSTATE
UPDATE analytics.agents SET workspace_id = :'blue'; \echo :SQLSTATE
SET row_security = off;
SELECT * FROM analytics.agents; \echo :SQLSTATE
RESET row_security;
-- An operator that the caller prefers decides nothing.
RESET ROLE;
CREATE SCHEMA regress_evil AUTHORIZATION regress_owner;
SET ROLE regress_owner;
CREATE FUNCTION regress_evil.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR regress_evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = regress_evil.yes);
SET search_path = regress_evil, pg_catalog;
SELECT analytics_internal.change_member(:'blue', 'regress_owner', 'owner', NULL); \echo :SQLSTATE
RESET search_path;
RESET ROLE;
DROP SCHEMA regress_evil CASCADE;

------------------------------------------------------------------------------------------------------------------------
-- Bad input
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.grant_access('regress_viewer', :'acme', 'king'); \echo :SQLSTATE
SELECT analytics.grant_access('regress_viewer', :'acme', NULL); \echo :SQLSTATE
SELECT analytics.grant_access('regress_nemo', :'acme'); \echo :SQLSTATE
SELECT analytics.grant_access(NULL, :'acme'); \echo :SQLSTATE
SELECT analytics.grant_access('public', :'acme'); \echo :SQLSTATE
SELECT analytics.grant_access('regress_viewer', :'nobody'); \echo :SQLSTATE
SELECT analytics.grant_access('regress_viewer', NULL); \echo :SQLSTATE
SELECT analytics.grant_access(current_user::text, :'acme') ; \echo :SQLSTATE
SELECT analytics.grant_access('regress_viewer', :'acme', user_id => :'alice'); \echo :SQLSTATE
SELECT analytics.revoke_access('regress_viewer', :'nobody'); \echo :SQLSTATE
SELECT analytics.revoke_access(NULL, :'acme'); \echo :SQLSTATE
SELECT analytics.access_report(:'nobody'); \echo :SQLSTATE
SELECT analytics.accessible_workspaces('king'); \echo :SQLSTATE
-- The last owner stays one.
SELECT analytics.grant_access('regress_owner', :'acme', 'admin'); \echo :SQLSTATE
SELECT analytics.revoke_access('regress_owner', :'acme'); \echo :SQLSTATE
INSERT INTO analytics.workspace_members (workspace_id, database_role, access_level) VALUES (:'acme', 'regress_stranger', 'king'); \echo :SQLSTATE
INSERT INTO analytics.workspace_members (workspace_id, access_level) VALUES (:'acme', 'viewer'); \echo :SQLSTATE

------------------------------------------------------------------------------------------------------------------------
-- Limits of a role
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.set_role_limits('regress_viewer');
SELECT analytics.set_role_limits('regress_viewer', '2 min', 5, 64);
SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = 'regress_viewer';
SELECT analytics.set_role_limits('regress_viewer', NULL, -1);
SELECT analytics.set_role_limits('regress_viewer', '0');
SELECT rolconnlimit, rolconfig FROM pg_roles WHERE rolname = 'regress_viewer';
SELECT analytics.set_role_limits('regress_nemo'); \echo :SQLSTATE
SELECT analytics.set_role_limits(NULL); \echo :SQLSTATE
SELECT analytics.set_role_limits('regress_viewer', '-1 s'); \echo :SQLSTATE
SELECT analytics.set_role_limits('regress_viewer', '25 days'); \echo :SQLSTATE
SELECT analytics.set_role_limits('regress_viewer', connection_limit => -2); \echo :SQLSTATE
SELECT analytics.set_role_limits('regress_viewer', work_mem_megabytes => 0); \echo :SQLSTATE

------------------------------------------------------------------------------------------------------------------------
-- Gateways: claims count for the roles that were declared
------------------------------------------------------------------------------------------------------------------------
CREATE ROLE regress_web;
SELECT analytics.trust_gateway('regress_web', 'member');
SELECT database_role, access_level, declared_by FROM analytics_internal.trusted_gateways;
SET ROLE regress_web;
SELECT name FROM analytics.workspaces;
SET request.jwt.claims = '{"workspaces": ["a0000000-0000-4000-8000-000000000001"], "role": "owner", "exp": 4102444800}';
SELECT name FROM analytics.workspaces;
SELECT * FROM analytics.accessible_workspaces('member');
SELECT * FROM analytics.accessible_workspaces('admin');
SELECT analytics.start_run(:'acme', :'bot') IS NOT NULL AS started;
SELECT * FROM analytics.list_agents(:'blue'); \echo :SQLSTATE
SET request.jwt.claims = '{"workspaces": ["a0000000-0000-4000-8000-000000000001"], "exp": 946684800}';
SELECT name FROM analytics.workspaces; \echo :SQLSTATE
SET request.jwt.claims = '{"workspaces": "all"}';
SELECT name FROM analytics.workspaces; \echo :SQLSTATE
SET request.jwt.claims = '{"access_level": "king"}';
SELECT name FROM analytics.workspaces; \echo :SQLSTATE
-- Others may write what they like.
SET ROLE regress_analyst;
SET request.jwt.claims = '{"workspaces": ["a0000000-0000-4000-8000-000000000001"], "role": "owner"}';
SELECT * FROM analytics.accessible_workspaces('owner');
RESET request.jwt.claims;
RESET ROLE;
SELECT analytics.trust_gateway('regress_web', 'king'); \echo :SQLSTATE
SELECT analytics.trust_gateway('regress_web', NULL); \echo :SQLSTATE
SELECT analytics.trust_gateway('regress_web', trusted => NULL); \echo :SQLSTATE
SELECT analytics.trust_gateway('regress_nemo'); \echo :SQLSTATE
SELECT analytics.trust_gateway('postgres'); \echo :SQLSTATE
INSERT INTO analytics_internal.trusted_gateways (database_role, access_level) VALUES ('regress_web2', 'king'); \echo :SQLSTATE
SELECT analytics.trust_gateway('regress_web', trusted => false);
SELECT has_schema_privilege('regress_web', 'analytics', 'USAGE') AS may_enter;
DROP ROLE regress_web;

------------------------------------------------------------------------------------------------------------------------
-- The end of access, and of roles
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.revoke_access('regress_viewer', :'acme');
SELECT has_schema_privilege('regress_viewer', 'analytics', 'USAGE') AS may_enter;
-- Of two workspaces, the other remains.
SELECT analytics.revoke_access('regress_analysts', :'acme');
SET ROLE regress_analyst;
SELECT name FROM analytics.workspaces;
RESET ROLE;
-- A role that was dropped is shown until its membership is revoked; one of the same name is another role.
DROP OWNED BY regress_member;
DROP ROLE regress_member;
SELECT database_role, role_exists FROM analytics.access_report(:'acme') WHERE NOT role_exists;
CREATE ROLE regress_member IN ROLE regress_analysts;
SET ROLE regress_member;
SELECT name FROM analytics.workspaces;
RESET ROLE;
SELECT analytics.revoke_access('regress_member', :'acme');

DELETE FROM analytics.workspaces;
DROP OWNED BY regress_admin, regress_owner, regress_analysts;
DROP ROLE regress_viewer, regress_member, regress_admin, regress_owner, regress_analyst, regress_analysts, regress_stranger;
