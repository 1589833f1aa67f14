-- What foreign keys look up when an agent, a version or a deployment is removed: without these, each removed row would
-- read all rows of the workspace.
CREATE INDEX lifecycle_requests_agent_idx ON analytics.lifecycle_requests (workspace_id, agent_id);
CREATE INDEX agent_deployments_version_idx ON analytics.agent_deployments (workspace_id, agent_id, version);
CREATE INDEX agent_deployments_rollback_idx ON analytics.agent_deployments (workspace_id, rollback_of) WHERE rollback_of IS NOT NULL;

-- A key, which replication and editors of tables need, and which finds the approvals of a request.
ALTER TABLE analytics.lifecycle_approvals
    ADD COLUMN approval_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD CONSTRAINT lifecycle_approvals_pkey PRIMARY KEY (workspace_id, request_id, approval_id);
COMMENT ON COLUMN analytics.lifecycle_approvals.approval_id IS 'Key of the decision within its request.';
