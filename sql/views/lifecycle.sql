-- The lifecycle of agents in flat rows, for BI tools.

CREATE OR REPLACE VIEW analytics.agent_state_periods WITH (security_invoker = true) AS
SELECT
    p.workspace_id,
    p.agent_id,
    a.name AS agent_name,
    p.sequence,
    p.state,
    p.started_at,
    p.ended_at,
    extract(epoch FROM coalesce(p.ended_at, now()) - p.started_at)::double precision AS duration_seconds,
    p.ended_at IS NULL AS is_current,
    p.next_state
FROM (
    SELECT e.workspace_id, e.agent_id, e.sequence, e.to_state AS state, e.occurred_at AS started_at,
           lead(e.occurred_at) OVER agent AS ended_at, lead(e.to_state) OVER agent AS next_state
    FROM analytics.agent_lifecycle_events AS e
    WINDOW agent AS (PARTITION BY e.workspace_id, e.agent_id ORDER BY e.sequence)
) AS p
JOIN analytics.agents AS a USING (workspace_id, agent_id);
COMMENT ON VIEW analytics.agent_state_periods IS 'One row per stay of an agent in a state.';
COMMENT ON COLUMN analytics.agent_state_periods.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_state_periods.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_state_periods.agent_name IS 'Name of the agent.';
COMMENT ON COLUMN analytics.agent_state_periods.sequence IS 'Number of the event that began the stay.';
COMMENT ON COLUMN analytics.agent_state_periods.state IS 'The state.';
COMMENT ON COLUMN analytics.agent_state_periods.started_at IS 'When it was entered.';
COMMENT ON COLUMN analytics.agent_state_periods.ended_at IS 'When it was left; NULL for the current state.';
COMMENT ON COLUMN analytics.agent_state_periods.duration_seconds IS 'Seconds in the state, to now for the current one.';
COMMENT ON COLUMN analytics.agent_state_periods.is_current IS 'Whether the agent is in it.';
COMMENT ON COLUMN analytics.agent_state_periods.next_state IS 'State that followed; NULL for the current state.';

CREATE OR REPLACE VIEW analytics.agent_lifecycle_status WITH (security_invoker = true) AS
SELECT
    a.workspace_id,
    a.agent_id,
    a.name AS agent_name,
    a.agent_type,
    a.owner_id,
    a.lifecycle_state,
    e.occurred_at AS state_since,
    extract(epoch FROM now() - e.occurred_at)::double precision AS seconds_in_state,
    e.sequence AS event_count,
    v.version AS stable_version,
    d.version AS deployed_version,
    d.status AS deployment_status,
    d.started_at AS deployed_at,
    h.score AS health_score,
    h.day AS health_day
FROM analytics.agents AS a
LEFT JOIN LATERAL (
    SELECT l.occurred_at, l.sequence FROM analytics.agent_lifecycle_events AS l
    WHERE l.workspace_id = a.workspace_id AND l.agent_id = a.agent_id ORDER BY l.sequence DESC LIMIT 1
) AS e ON true
LEFT JOIN analytics.agent_version_aliases AS v
    ON v.workspace_id = a.workspace_id AND v.agent_id = a.agent_id AND v.alias = 'stable'
LEFT JOIN LATERAL (
    SELECT y.version, y.status, y.started_at FROM analytics.agent_deployments AS y
    WHERE y.workspace_id = a.workspace_id AND y.agent_id = a.agent_id AND y.environment = 'production'
    ORDER BY y.started_at DESC, y.deployment_id LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT x.score, x.day FROM analytics.agent_health_daily AS x
    WHERE x.workspace_id = a.workspace_id AND x.agent_id = a.agent_id ORDER BY x.day DESC LIMIT 1
) AS h ON true;
COMMENT ON VIEW analytics.agent_lifecycle_status IS 'One row per agent: where it stands.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.agent_name IS 'Name of the agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.agent_type IS 'Kind of agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.owner_id IS 'User who answers for it; NULL for nobody.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.lifecycle_state IS 'Its state.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.state_since IS 'When it entered the state.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.seconds_in_state IS 'Seconds since then.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.event_count IS 'Number of its events.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.stable_version IS 'Version with the alias stable; NULL for none.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.deployed_version IS 'Version of the last deployment to production; NULL for none.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.deployment_status IS 'Status of that deployment.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.deployed_at IS 'When it started.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.health_score IS 'Last stored health score, 0 to 100; NULL for none.';
COMMENT ON COLUMN analytics.agent_lifecycle_status.health_day IS 'Day of that score.';

CREATE OR REPLACE VIEW analytics.agent_lifecycle_history WITH (security_invoker = true) AS
SELECT h.workspace_id, h.agent_id, a.name AS agent_name, h.occurred_at, h.event_type, h.from_state, h.to_state,
       h.version, h.actor_role, h.detail
FROM (
    SELECT e.workspace_id, e.agent_id, e.occurred_at,
           CASE e.event_type WHEN 'registered' THEN 'registered' ELSE 'state_change' END AS event_type,
           e.from_state, e.to_state, e.version, e.actor_role, e.reason AS detail
    FROM analytics.agent_lifecycle_events AS e
    UNION ALL
    SELECT v.workspace_id, v.agent_id, v.registered_at AS occurred_at, 'version_release' AS event_type,
           NULL AS from_state, NULL AS to_state, v.version, v.registered_by AS actor_role, v.changelog AS detail
    FROM analytics.agent_versions AS v
    UNION ALL
    SELECT d.workspace_id, d.agent_id, d.started_at AS occurred_at,
           CASE WHEN d.rollback_of IS NULL THEN 'deployment' ELSE 'rollback' END AS event_type,
           NULL AS from_state, d.environment AS to_state, d.version, d.deployed_by AS actor_role,
           concat_ws(', ', d.strategy, d.status, d.cause) AS detail
    FROM analytics.agent_deployments AS d
) AS h
JOIN analytics.agents AS a USING (workspace_id, agent_id);
COMMENT ON VIEW analytics.agent_lifecycle_history IS 'Everything that happened to an agent, one row per event: changes of state, versions, deployments, rollbacks.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.agent_name IS 'Name of the agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.occurred_at IS 'When it happened.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.event_type IS 'registered, state_change, version_release, deployment or rollback.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.from_state IS 'State that was left; NULL for what is no change of state.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.to_state IS 'State that was entered, or environment of a deployment.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.version IS 'Version that it concerns; NULL when nobody said.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.actor_role IS 'Database role that did it.';
COMMENT ON COLUMN analytics.agent_lifecycle_history.detail IS 'Reason, changelog, or how the deployment went.';
