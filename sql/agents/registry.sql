-- Agents: who they are. The first row that names an agent registers it.

CREATE FUNCTION analytics_internal.admit_agent() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'admit_agent';
COMMENT ON FUNCTION analytics_internal.admit_agent() IS
    'Row trigger of every table that names an agent: refuses an unknown workspace (23503) and registers an agent on first sight, without waiting for other writers.';

CREATE FUNCTION analytics_internal.forget_admitted() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_admitted';
COMMENT ON FUNCTION analytics_internal.forget_admitted() IS
    'Statement trigger of workspaces and agents: makes all backends forget which of them they have seen.';

CREATE FUNCTION analytics_internal.register_discovered_agents() RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH seen AS (
        DELETE FROM analytics_internal.agent_discoveries RETURNING workspace_id, agent_id, discovered_at
    ), registered AS (
        INSERT INTO analytics.agents (workspace_id, agent_id, name, discovered, created_at)
        SELECT s.workspace_id, s.agent_id, s.agent_id::text, true, min(s.discovered_at)
        FROM seen AS s JOIN analytics.workspaces AS w USING (workspace_id)
        GROUP BY s.workspace_id, s.agent_id
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM registered
$$;
COMMENT ON FUNCTION analytics_internal.register_discovered_agents() IS
    'Registers the agents that were met while another transaction was registering them; returns how many were new.';

CREATE FUNCTION analytics.agent_id(workspace_id uuid, agent_name text) RETURNS uuid
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'agent_id_wrapper';
COMMENT ON FUNCTION analytics.agent_id(uuid, text) IS
    'Id for an agent that is known by its name only: the version 5 UUID (RFC 9562) of the name in the name space of the workspace. The same name always gives the same id. NULL for NULL.';

CREATE FUNCTION analytics_internal.known_agents(workspace_id uuid)
RETURNS TABLE (agent_id uuid, name text, agent_type text, lifecycle_state text, discovered boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered
    FROM analytics.agents AS a WHERE a.workspace_id = $1
    UNION ALL
    SELECT DISTINCT d.agent_id, d.agent_id::text, 'unknown', 'draft', true
    FROM analytics_internal.agent_discoveries AS d
    WHERE d.workspace_id = $1
      AND NOT EXISTS (SELECT FROM analytics.agents AS a
                      WHERE a.workspace_id = d.workspace_id AND a.agent_id = d.agent_id)
$$;
COMMENT ON FUNCTION analytics_internal.known_agents(uuid) IS
    'Agents of a workspace, those included that wait in agent_discoveries.';
