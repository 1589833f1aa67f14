-- A workload to try things on: deterministic, of any size, with a known truth.

CREATE FUNCTION analytics.generate_demo_data(
    runs       bigint      DEFAULT 100000,
    seed       bigint      DEFAULT 42,
    workspaces integer     DEFAULT 3,
    agents     integer     DEFAULT 24,
    users      integer     DEFAULT 40,
    days       integer     DEFAULT 90,
    as_of      timestamptz DEFAULT now()
) RETURNS TABLE (table_name text, inserted_count bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- A chunk of runs passes through memory rather than through a temporary file.
SET work_mem = '64MB'
-- The foreign key of errors and feedback to the partitioned runs: 30 us a row with one plan that prunes when it runs,
-- 300 us with a plan made for each row, which is what the planner would choose.
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    -- Runs of a chunk in crate workload.
    chunk_size constant bigint := 65536;
    chunks     constant bigint := (greatest($1, 1) - 1) / chunk_size + 1;
    started    constant timestamptz := clock_timestamp();
    counts     bigint[] := ARRAY[0, 0, 0, 0, 0, 0];
    inserted   bigint;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF num_nulls($1, $2, $3, $4, $5, $6, $7) > 0 THEN
        PERFORM analytics_internal.refuse_argument('an argument', NULL, 'every argument needs a value',
            'Leave it out to get its default.');
    END IF;

    INSERT INTO analytics.workspaces (workspace_id, name, plan, time_zone)
    SELECT w.workspace_id, w.name, w.plan, w.time_zone
    FROM analytics_internal.demo_workspaces($1, $2, $3, $4, $5, $6, $7) AS w
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    counts[1] := inserted;

    INSERT INTO analytics.agents (workspace_id, agent_id, name, agent_type, owner_id, lifecycle_state, created_at)
    SELECT a.workspace_id, a.agent_id, a.name, a.agent_type, a.owner_id, a.lifecycle_state, a.created_at
    FROM analytics_internal.demo_agents($1, $2, $3, $4, $5, $6, $7) AS a
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    counts[2] := inserted;

    -- What lies outside of the times that months are made for goes to the default partition.
    PERFORM analytics.ensure_partitions(
        since => least(greatest($7 - make_interval(days => $6 + 1), '2000-01-01 00:00+00'), now()));

    FOR chunk IN 0 .. chunks - 1 LOOP
        INSERT INTO analytics.agent_runs (
            workspace_id, run_id, agent_id, user_id, session_id, parent_run_id, agent_version, status, trigger_source,
            started_at, completed_at, runtime_seconds, credits_consumed, tokens_used, prompt_tokens, completion_tokens,
            model_name, model_provider, concurrent_runs, error_type, error_message, error_stack, user_rating,
            user_feedback)
        SELECT
            r.workspace_id, r.run_id, r.agent_id, r.user_id, r.session_id, r.parent_run_id, r.agent_version, r.status,
            r.trigger_source, r.started_at, r.completed_at, r.runtime_seconds, r.credits_micros * 0.000001,
            r.tokens_used, r.prompt_tokens, r.completion_tokens, r.model_name, r.model_provider, r.concurrent_runs,
            r.error_type, r.error_message, r.error_stack, r.user_rating, r.user_feedback
        FROM analytics_internal.demo_runs($1, $2, $3, $4, $5, $6, $7, chunk) AS r
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        counts[3] := counts[3] + inserted;

        INSERT INTO analytics.agent_errors (
            workspace_id, error_id, agent_id, agent_run_id, run_started_at, user_id, error_type, error_category,
            error_severity, error_message, error_stack, auto_recovered, recovery_attempts, recovery_time_seconds,
            affected_users, business_impact, occurred_at)
        SELECT
            e.workspace_id, e.error_id, e.agent_id, e.error_id, e.run_started_at, e.user_id, e.error_type,
            e.error_category, e.error_severity, e.error_message, e.error_stack, e.auto_recovered, e.recovery_attempts,
            e.recovery_time_seconds, e.affected_users, e.business_impact, e.occurred_at
        FROM analytics_internal.demo_errors($1, $2, $3, $4, $5, $6, $7, chunk) AS e
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        counts[4] := counts[4] + inserted;

        INSERT INTO analytics.agent_user_feedback (
            workspace_id, feedback_id, agent_id, agent_run_id, run_started_at, user_id, rating, comment,
            feedback_category, sentiment, sentiment_score, created_at)
        SELECT
            f.workspace_id, f.feedback_id, f.agent_id, f.feedback_id, f.run_started_at, f.user_id, f.rating, f.comment,
            f.feedback_category, f.sentiment, f.sentiment_score, f.created_at
        FROM analytics_internal.demo_feedback($1, $2, $3, $4, $5, $6, $7, chunk) AS f
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        counts[5] := counts[5] + inserted;

        INSERT INTO analytics.execution_queue (
            workspace_id, queue_id, agent_id, run_id, user_id, status, priority, queued_at, started_at, completed_at)
        SELECT
            q.workspace_id, q.queue_id, q.agent_id, CASE WHEN q.status <> 'queued' THEN q.queue_id END, q.user_id,
            q.status, q.priority, q.queued_at, q.started_at, q.completed_at
        FROM analytics_internal.demo_queue($1, $2, $3, $4, $5, $6, $7, chunk) AS q
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS inserted = ROW_COUNT;
        counts[6] := counts[6] + inserted;

        IF chunk % 16 = 15 THEN
            RAISE NOTICE '% of % runs after % s', (chunk + 1) * chunk_size, $1,
                round(extract(epoch FROM clock_timestamp() - started));
        END IF;
    END LOOP;

    RETURN QUERY
    SELECT t.name, counts[t.place]
    FROM unnest(ARRAY['workspaces', 'agents', 'agent_runs', 'agent_errors', 'agent_user_feedback', 'execution_queue'])
        WITH ORDINALITY AS t (name, place);
END
$$;
COMMENT ON FUNCTION analytics.generate_demo_data(bigint, bigint, integer, integer, integer, integer, timestamptz) IS
    'Fills the tables with a synthetic workload: runs (1 to 100 million) of agents in workspaces, each with so many users, over the given days before as_of (floored to the hour). The same arguments always give the same rows, so a second call adds nothing. Returns the rows inserted per table. docs/demo.md lists what is true of the data; analytics_internal.demo_agents() and demo_incidents() give it as rows. Errors: 22023 argument out of range.';
COMMENT ON FUNCTION analytics_internal.demo_workspaces(bigint, bigint, integer, integer, integer, integer, timestamptz) IS 'Workspaces of a demo workload: (runs, seed, workspaces, agents, users, days, as_of).';
COMMENT ON FUNCTION analytics_internal.demo_agents(bigint, bigint, integer, integer, integer, integer, timestamptz) IS 'Agents of a demo workload with their true rates and medians outside incidents: (runs, seed, workspaces, agents, users, days, as_of).';
COMMENT ON FUNCTION analytics_internal.demo_incidents(bigint, bigint, integer, integer, integer, integer, timestamptz) IS 'Incidents of a demo workload: (runs, seed, workspaces, agents, users, days, as_of).';
COMMENT ON FUNCTION analytics_internal.demo_runs(bigint, bigint, integer, integer, integer, integer, timestamptz, bigint) IS
    'One chunk of 65,536 runs of a demo workload: (runs, seed, workspaces, agents, users, days, as_of, chunk from 0).';
COMMENT ON FUNCTION analytics_internal.demo_errors(bigint, bigint, integer, integer, integer, integer, timestamptz, bigint) IS
    'Errors of one chunk of runs of a demo workload; arguments as demo_runs.';
COMMENT ON FUNCTION analytics_internal.demo_feedback(bigint, bigint, integer, integer, integer, integer, timestamptz, bigint) IS
    'Feedback on one chunk of runs of a demo workload; arguments as demo_runs.';
COMMENT ON FUNCTION analytics_internal.demo_queue(bigint, bigint, integer, integer, integer, integer, timestamptz, bigint) IS
    'Queue entries of one chunk of runs of a demo workload; arguments as demo_runs.';
