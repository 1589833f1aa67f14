-- Guards and transitions: metrics of an agent against thresholds, allowed transitions, proposals.

CREATE FUNCTION analytics_internal.run_measures(workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (agent_id uuid, total_runs bigint, finished_runs bigint, successful_runs bigint, failed_runs bigint,
               p95_runtime_seconds double precision, credits_consumed numeric, avg_rating double precision,
               unique_users bigint, last_run_at timestamptz)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT b.agent_id, b.total_runs, b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, b.successful_runs,
           b.failed_runs + b.timeout_runs, analytics.approx_percentile(0.95, b.runtime_sketch), b.credits_consumed,
           b.sum_ratings::double precision / nullif(b.total_ratings, 0), analytics.approx_distinct(b.users_sketch), b.last_run_at
    FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4, NULL,
        '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, runtime_sketch, credits_consumed, total_ratings,
          sum_ratings, users_sketch, last_run_at}') AS b
    WHERE b.total_runs > 0
$$;
COMMENT ON FUNCTION analytics_internal.run_measures(uuid, uuid, timestamptz, timestamptz) IS
    'What the lifecycle wants to know about the runs of each agent (or of one) in a time: one row per agent that has any. From rollups, exact but for p95_runtime_seconds (1 %) and many unique_users.';

-- Agent and state have no name here: PL/pgSQL allows no argument with the name of a result column.
CREATE FUNCTION analytics_internal.evaluate_guards(
    workspace_id uuid, uuid DEFAULT NULL, text DEFAULT NULL, keeping boolean DEFAULT false)
RETURNS TABLE (agent_id uuid, from_state text, to_state text, metric text, timeframe text, comparison text,
               threshold double precision, value double precision, passes boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- The query asks, too, but not before it has looked whether there are agents.
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    WITH agents AS MATERIALIZED (
        SELECT a.agent_id, a.lifecycle_state, a.owner_id,
               coalesce((SELECT e.occurred_at FROM analytics.agent_lifecycle_events AS e
                         WHERE e.workspace_id = $1 AND e.agent_id = a.agent_id ORDER BY e.sequence DESC LIMIT 1),
                        a.created_at) AS since
        FROM analytics.agents AS a
        WHERE a.workspace_id = $1 AND ($2 IS NULL OR a.agent_id = $2)
    ), wanted AS MATERIALIZED (
        -- To leave a state: its own guards. To keep it: those by which it is entered from the state before it on the way,
        -- as far as they can cease to hold.
        SELECT CASE WHEN $4 THEN g.to_state ELSE g.from_state END AS agent_state, g.*
        FROM analytics_internal.guards_of($1) AS g
        WHERE ($3 IS NULL OR g.to_state = $3)
          AND (NOT $4 OR g.metric NOT IN ('minimum_runs', 'hours_in_state')
                     AND g.from_state = (SELECT b.state FROM analytics_internal.states_of($1) AS b
                                         WHERE b.place < (SELECT t.place FROM analytics_internal.states_of($1) AS t
                                                               WHERE t.state = g.to_state)
                                         ORDER BY b.place DESC LIMIT 1))
          AND EXISTS (SELECT FROM agents AS a WHERE a.lifecycle_state = CASE WHEN $4 THEN g.to_state ELSE g.from_state END)
    ), measured AS MATERIALIZED (
        SELECT t.timeframe, m.*
        FROM (SELECT DISTINCT w.timeframe FROM wanted AS w
              WHERE w.metric IN ('minimum_runs', 'success_rate', 'p95_runtime_seconds', 'cost_per_run', 'error_budget', 'avg_rating')
             ) AS t
        CROSS JOIN LATERAL analytics.window_bounds(t.timeframe) AS b
        CROSS JOIN LATERAL analytics_internal.run_measures($1, $2, b.window_start, b.window_end) AS m
    ), critical AS MATERIALIZED (
        SELECT t.timeframe, x.agent_id, sum(x.total_errors - x.recovered_errors) AS errors
        FROM (SELECT DISTINCT w.timeframe FROM wanted AS w WHERE w.metric = 'open_critical_errors') AS t
        CROSS JOIN LATERAL analytics.window_bounds(t.timeframe) AS b
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, b.window_start, b.window_end, NULL,
            '{total_errors, recovered_errors}') AS x
        WHERE x.error_severity = 'critical'
        GROUP BY t.timeframe, x.agent_id
    ), healthy AS MATERIALIZED (
        SELECT h.agent_id, h.score
        FROM (SELECT FROM wanted AS w WHERE w.metric = 'health_score' LIMIT 1) AS t
        CROSS JOIN LATERAL analytics.agent_health($1, $2) AS h
    ), found AS (
        SELECT a.agent_id, w.from_state, w.to_state, w.metric, w.timeframe, w.comparison, w.threshold,
               CASE w.metric
                   WHEN 'minimum_runs' THEN coalesce(m.total_runs, 0)
                   WHEN 'success_rate' THEN m.successful_runs::double precision / nullif(m.finished_runs, 0)
                   WHEN 'error_budget' THEN m.failed_runs::double precision / nullif(m.finished_runs, 0)
                   WHEN 'p95_runtime_seconds' THEN m.p95_runtime_seconds
                   WHEN 'cost_per_run' THEN m.credits_consumed::double precision / nullif(m.total_runs, 0)
                   WHEN 'avg_rating' THEN m.avg_rating
                   WHEN 'open_critical_errors' THEN coalesce(c.errors, 0)
                   WHEN 'hours_in_state' THEN extract(epoch FROM clock_timestamp() - a.since)::double precision / 3600
                   WHEN 'health_score' THEN h.score
                   WHEN 'owner_present' THEN (a.owner_id IS NOT NULL)::integer
               END AS value
        FROM agents AS a
        JOIN wanted AS w ON w.agent_state = a.lifecycle_state
        LEFT JOIN measured AS m ON m.agent_id = a.agent_id AND m.timeframe = w.timeframe
        LEFT JOIN critical AS c ON c.agent_id = a.agent_id AND c.timeframe = w.timeframe
        LEFT JOIN healthy AS h ON h.agent_id = a.agent_id
    )
    SELECT f.agent_id, f.from_state, f.to_state, f.metric, f.timeframe, f.comparison, f.threshold, f.value,
           coalesce(CASE WHEN f.metric = 'owner_present' THEN f.value = 1
                         WHEN f.comparison = '>=' THEN f.value >= f.threshold
                         ELSE f.value <= f.threshold END, false)
    FROM found AS f;
END
$$;
COMMENT ON FUNCTION analytics_internal.evaluate_guards(uuid, uuid, text, boolean) IS
    'What the guards find, for every agent or one, in one pass: those of the transitions out of its state (or to one state); with keeping, those by which its state is entered, as far as they can cease to hold. A value that is not known (no runs) does not pass.';

CREATE FUNCTION analytics.transition_agent(
    workspace_id uuid, agent_id uuid, to_state text, reason text DEFAULT NULL, dry_run boolean DEFAULT false,
    force boolean DEFAULT false, from_state text DEFAULT NULL, idempotency_key text DEFAULT NULL,
    version text DEFAULT NULL)
RETURNS TABLE (
    sequence bigint, from_state text, to_state text, occurred_at timestamptz, allowed boolean, forced boolean,
    repeated boolean, guards jsonb, problems text[]
)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'transition_agent_wrapper';
COMMENT ON FUNCTION analytics.transition_agent(uuid, uuid, text, text, boolean, boolean, text, text, text) IS
    'Moves an agent to another state in one atomic step, by the rules of its workspace. dry_run: says what would happen and changes nothing. force: passes over guards, approvals and cooldown, for owners with a reason, and is recorded. from_state: the state that the caller believes it to be in. idempotency_key: a second call with it gives the first one''s event. version: what is moved. Returns the event: sequence (NULL for a dry run), from_state, to_state, occurred_at, allowed, forced, repeated, guards (what each condition found), problems. Sends a notification on channel analytics_lifecycle_ followed by the 32 hexadecimal digits of the workspace. Errors: 55000 no such transition from its state, a guard, approval or cooldown that stops it, a clock that went backwards; 40001 another session moved it meanwhile, or it is not in from_state; 22023 unknown workspace, agent or state, a reason that is missing, a key that was used for another transition; 42501 a level that is missing.';

CREATE FUNCTION analytics.request_transition(workspace_id uuid, agent_id uuid, to_state text, reason text)
RETURNS uuid
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'request_transition_wrapper';
COMMENT ON FUNCTION analytics.request_transition(uuid, uuid, text, text) IS
    'Asks for a transition that needs approvals, and returns the id of the request. For members. Errors: 55000 no such transition, or one that needs no approval; 23505 asked for already; 22023 no reason, unknown agent.';

CREATE FUNCTION analytics.approve_transition(workspace_id uuid, request_id uuid, comment text DEFAULT NULL)
RETURNS TABLE (status text, approvals integer, required_approvals integer, sequence bigint)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'approve_transition_wrapper';
COMMENT ON FUNCTION analytics.approve_transition(uuid, uuid, text) IS
    'Approves a request; the last approval that is needed carries the transition out, if its guards hold (else nothing is recorded). Nobody approves what they asked for, nor twice. Returns status (pending or done), approvals, required_approvals, sequence of the event. Errors: 42501 own request or missing level, 23505 decided already, 55000 not pending or a guard, 40001 the agent was moved meanwhile, 22023 unknown request.';

CREATE FUNCTION analytics.reject_transition(workspace_id uuid, request_id uuid, comment text)
RETURNS TABLE (status text, approvals integer, required_approvals integer, sequence bigint)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'reject_transition_wrapper';
COMMENT ON FUNCTION analytics.reject_transition(uuid, uuid, text) IS
    'Rejects a request, with a comment that says why; who asked may take it back so. Returns as approve_transition(). Errors: 42501 missing level, 23505 decided already, 55000 not pending, 22023 no comment or unknown request.';

CREATE FUNCTION analytics.explain_transition(workspace_id uuid, agent_id uuid, to_state text)
RETURNS TABLE (condition text, needed text, found text, passes boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 8
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    standing record;
    rule     record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT a.name, a.lifecycle_state INTO standing
    FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = $2;
    IF $3 IS NULL OR NOT EXISTS (SELECT FROM analytics_internal.states_of($1) AS s WHERE s.state = $3) THEN
        PERFORM analytics_internal.refuse_argument('to_state', $3, 'it is not a state of the lifecycle',
            'Use a state from analytics.lifecycle_states_of().');
    END IF;
    SELECT t.* INTO rule FROM analytics_internal.transitions_of($1) AS t
    WHERE t.from_state = standing.lifecycle_state AND t.to_state = $3;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'transition', (SELECT 'one of ' || string_agg(t.to_state, ', ' ORDER BY t.to_state)
                                           FROM analytics_internal.transitions_of($1) AS t
                                           WHERE t.from_state = standing.lifecycle_state),
                            format('%s -> %s', standing.lifecycle_state, $3), false;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT 'level', rule.access_level,
           CASE WHEN analytics_internal.reads_everything() THEN 'owner of the tables'
                ELSE (SELECT l.level FROM unnest(ARRAY['owner', 'admin', 'member', 'viewer']) WITH ORDINALITY AS l (level, place)
                      WHERE $1 = ANY (ARRAY(SELECT analytics.accessible_workspaces(l.level))) ORDER BY l.place LIMIT 1) END,
           analytics_internal.reads_everything() OR $1 = ANY (ARRAY(SELECT analytics.accessible_workspaces(rule.access_level)))
    UNION ALL
    SELECT 'approvals', rule.required_approvals::text,
           (SELECT count(*) FROM analytics.lifecycle_approvals AS p JOIN analytics.lifecycle_requests AS r USING (workspace_id, request_id)
            WHERE r.workspace_id = $1 AND r.agent_id = $2 AND r.to_state = $3 AND r.status = 'pending' AND p.decision = 'approved')::text,
           false
    WHERE rule.required_approvals > 0
    UNION ALL
    SELECT 'cooldown', rule.cooldown::text, 'entered ' || e.last::text, e.last + rule.cooldown <= clock_timestamp()
    FROM (SELECT max(l.occurred_at) AS last FROM analytics.agent_lifecycle_events AS l
          WHERE l.workspace_id = $1 AND l.agent_id = $2 AND l.to_state = $3 AND l.event_type = 'transition') AS e
    WHERE rule.cooldown > interval '0' AND e.last IS NOT NULL
    UNION ALL
    SELECT 'reason', 'a sentence', NULL, NULL WHERE rule.reason_required
    UNION ALL
    (SELECT g.metric || CASE WHEN g.metric IN ('owner_present', 'hours_in_state', 'health_score') THEN '' ELSE ' (' || g.timeframe || ')' END,
            coalesce(g.comparison || ' ' || g.threshold, 'yes'),
            CASE WHEN g.metric = 'owner_present' THEN CASE WHEN g.value = 1 THEN 'yes' ELSE 'no' END
                 ELSE coalesce(trim_scale(round(g.value::numeric, 4))::text, 'not known') END, g.passes
     FROM analytics_internal.evaluate_guards($1, $2, $3) AS g
     WHERE g.to_state = $3 ORDER BY g.metric, g.timeframe);
END
$$;
COMMENT ON FUNCTION analytics.explain_transition(uuid, uuid, text) IS
    'One row per condition of a transition of an agent from its present state: what is needed, what was found, whether it passes (NULL for the reason, which comes with the call). One row that does not pass when there is no such transition. Errors: 22023 unknown workspace, agent or state.';

CREATE FUNCTION analytics.allowed_transitions(workspace_id uuid, agent_id uuid)
RETURNS TABLE (to_state text, guards_pass boolean, failing text[], access_level text, required_approvals integer, reason_required boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 4
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    RETURN QUERY
    SELECT t.to_state, coalesce(g.passes, true), coalesce(g.failing, '{}'), t.access_level, t.required_approvals, t.reason_required
    FROM analytics_internal.known_agents($1) AS a
    JOIN analytics_internal.transitions_of($1) AS t ON t.from_state = a.lifecycle_state
    LEFT JOIN analytics_internal.states_of($1) AS s ON s.state = t.to_state
    LEFT JOIN (SELECT e.to_state, bool_and(e.passes) AS passes, array_agg(e.metric ORDER BY e.metric) FILTER (WHERE NOT e.passes) AS failing
               FROM analytics_internal.evaluate_guards($1, $2) AS e GROUP BY e.to_state) AS g ON g.to_state = t.to_state
    WHERE a.agent_id = $2
    ORDER BY s.place NULLS LAST, t.to_state;
END
$$;
COMMENT ON FUNCTION analytics.allowed_transitions(uuid, uuid) IS
    'Where an agent can go from its present state, whether the guards pass now, and which do not. Errors: 22023 unknown workspace or agent.';

CREATE FUNCTION analytics.propose_transitions(workspace_id uuid)
RETURNS TABLE (agent_id uuid, agent_name text, proposal text, from_state text, to_state text, reasons text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    WITH way AS MATERIALIZED (
        SELECT s.state, lead(s.state) OVER w AS following, lag(s.state) OVER w AS preceding
        FROM analytics_internal.states_of($1) AS s WHERE s.place IS NOT NULL
        WINDOW w AS (ORDER BY s.place)
    ), allowed AS MATERIALIZED (
        SELECT t.from_state, t.to_state, t.reason_required FROM analytics_internal.transitions_of($1) AS t
    ), promotion AS MATERIALIZED (
        SELECT e.agent_id, e.from_state, e.to_state, array_agg(
                   e.metric || coalesce(' ' || trim_scale(round(e.value::numeric, 4)), '') || coalesce(' ' || e.comparison || ' ' || e.threshold, '')
                   ORDER BY e.metric, e.timeframe) AS reasons
        FROM analytics_internal.evaluate_guards($1) AS e
        JOIN way AS w ON w.state = e.from_state AND w.following = e.to_state
        JOIN allowed AS t ON t.from_state = e.from_state AND t.to_state = e.to_state
        GROUP BY e.agent_id, e.from_state, e.to_state
        HAVING bool_and(e.passes)
    ), demotion AS MATERIALIZED (
        SELECT e.agent_id, w.state AS from_state, w.preceding AS to_state, array_agg(
                   e.metric || coalesce(' ' || trim_scale(round(e.value::numeric, 4)), '') || coalesce(' not ' || e.comparison || ' ' || e.threshold, '')
                   ORDER BY e.metric, e.timeframe) AS reasons
        FROM analytics_internal.evaluate_guards($1, keeping => true) AS e
        JOIN way AS w ON w.state = e.to_state
        JOIN allowed AS t ON t.from_state = w.state AND t.to_state = w.preceding
        -- Nothing known is no reason to take an agent out of production.
        WHERE NOT e.passes AND e.value IS NOT NULL
        GROUP BY e.agent_id, w.state, w.preceding
    )
    SELECT p.agent_id, a.name, p.proposal, p.from_state, p.to_state, p.reasons
    FROM (SELECT d.agent_id, 'demotion' AS proposal, d.from_state, d.to_state, d.reasons FROM demotion AS d
          UNION ALL
          SELECT u.agent_id, 'promotion', u.from_state, u.to_state, u.reasons FROM promotion AS u) AS p
    JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = p.agent_id
    ORDER BY p.proposal, a.name, p.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.propose_transitions(uuid) IS
    'Agents that could move: promotion to the next state on the way when that transition has guards and all of them pass; demotion to the one before when a guard by which the present state is entered no longer holds (those of the number of runs and of the time in state apart). Errors: 22023 unknown workspace.';
