-- What is running and what waits to run, now: few rows among many, whenever they started. The status decides, and with it
-- the index of failed runs, so that an update of the status was no HOT update before.
CREATE INDEX agent_runs_live_idx ON analytics.agent_runs (workspace_id, started_at)
    WHERE status IN ('queued', 'running');
