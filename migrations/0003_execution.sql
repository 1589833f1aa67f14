-- Work that waits for an agent, and how long it waited.

CREATE TABLE analytics.execution_queue (
    workspace_id              uuid             NOT NULL,
    queue_id                  uuid             NOT NULL DEFAULT gen_random_uuid(),
    agent_id                  uuid             NOT NULL,
    run_id                    uuid,
    user_id                   uuid,
    status                    text             NOT NULL DEFAULT 'queued',
    priority                  integer          NOT NULL DEFAULT 0,
    queued_at                 timestamptz      NOT NULL DEFAULT now(),
    started_at                timestamptz,
    completed_at              timestamptz,
    estimated_wait_seconds    double precision,
    estimated_runtime_seconds double precision,
    metadata                  jsonb            NOT NULL DEFAULT '{}',
    CONSTRAINT execution_queue_pkey PRIMARY KEY (workspace_id, queue_id),
    CONSTRAINT execution_queue_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT execution_queue_status_check CHECK (
        status IN ('queued', 'processing', 'completed', 'cancelled', 'failed')
        OR analytics_internal.refuse('status', status, 'it is not a status of the queue',
            'Use one of queued, processing, completed, cancelled, failed.')),
    CONSTRAINT execution_queue_times_check CHECK (
        ((started_at IS NULL OR started_at >= queued_at)
         AND (completed_at IS NULL OR completed_at >= coalesce(started_at, queued_at))
         AND queued_at > '-infinity' AND coalesce(completed_at, started_at, queued_at) < 'infinity')
        OR analytics_internal.refuse('queued_at', queued_at::text,
            'work is queued, then started, then completed, each at a point in time',
            'Check the clocks and the time zones of the writer.')),
    CONSTRAINT execution_queue_estimates_check CHECK (
        coalesce(least(estimated_wait_seconds, estimated_runtime_seconds) >= 0
                 AND greatest(estimated_wait_seconds, estimated_runtime_seconds) < 'Infinity', true)
        OR analytics_internal.refuse('estimates', concat_ws(', ', estimated_wait_seconds, estimated_runtime_seconds),
            'an estimate is zero or more seconds', 'Give seconds, or NULL when there is no estimate.'))
);
CREATE INDEX execution_queue_time_idx ON analytics.execution_queue (workspace_id, queued_at DESC);
-- The next work to take, and how deep the queue is: only the live rows, which are few.
CREATE INDEX execution_queue_live_idx ON analytics.execution_queue (workspace_id, priority DESC, queued_at)
    WHERE status IN ('queued', 'processing');

CREATE TRIGGER "00_admit_agent" AFTER INSERT OR UPDATE OF workspace_id, agent_id ON analytics.execution_queue
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.admit_agent();

COMMENT ON TABLE  analytics.execution_queue IS 'Work that waits for an agent or that one has taken from the queue.';
COMMENT ON COLUMN analytics.execution_queue.workspace_id IS 'Workspace of the work.';
COMMENT ON COLUMN analytics.execution_queue.queue_id IS 'Key of the entry within its workspace.';
COMMENT ON COLUMN analytics.execution_queue.agent_id IS 'Agent that shall do the work.';
COMMENT ON COLUMN analytics.execution_queue.run_id IS 'Run that does the work; NULL until one has started.';
COMMENT ON COLUMN analytics.execution_queue.user_id IS 'User who waits.';
COMMENT ON COLUMN analytics.execution_queue.status IS 'queued, processing, completed, cancelled or failed.';
COMMENT ON COLUMN analytics.execution_queue.priority IS 'Higher goes first.';
COMMENT ON COLUMN analytics.execution_queue.queued_at IS 'When the work was queued.';
COMMENT ON COLUMN analytics.execution_queue.started_at IS 'When an agent took it; NULL while it waits.';
COMMENT ON COLUMN analytics.execution_queue.completed_at IS 'When it ended; NULL before.';
COMMENT ON COLUMN analytics.execution_queue.estimated_wait_seconds IS 'Expected seconds in the queue, as the application estimated.';
COMMENT ON COLUMN analytics.execution_queue.estimated_runtime_seconds IS 'Expected seconds of work, as the application estimated.';
COMMENT ON COLUMN analytics.execution_queue.metadata IS 'Anything else the application wants to keep about the work.';
