-- Health of agents, candidates for retirement, and everything about the lifecycle of one agent.

-- -------------------------------------------------------------------------------------------------------------- health

CREATE FUNCTION analytics.agent_health(workspace_id uuid, agent_id uuid DEFAULT NULL)
RETURNS TABLE (agent_id uuid, agent_name text, lifecycle_state text, score double precision, performance double precision,
               reliability double precision, usage double precision, maintenance double precision, cost double precision,
               trend double precision, reasons text[], recommendations text[])
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_agent_or_all($1, $2);

    WITH recent AS MATERIALIZED (
        SELECT b.* FROM analytics.window_bounds('7d') AS b
    ), agents AS MATERIALIZED (
        SELECT a.agent_id, a.name, a.lifecycle_state, a.owner_id, a.created_at FROM analytics.agents AS a WHERE a.workspace_id = $1
    ), now_measures AS MATERIALIZED (
        SELECT m.*, m.successful_runs::double precision / nullif(m.finished_runs, 0) AS success_rate,
               m.credits_consumed::double precision / nullif(m.total_runs, 0) AS cost_per_run
        FROM recent AS b
        CROSS JOIN LATERAL analytics_internal.run_measures($1, NULL, b.window_start, b.window_end) AS m
    ), past_measures AS MATERIALIZED (
        SELECT m.*, m.successful_runs::double precision / nullif(m.finished_runs, 0) AS success_rate,
               m.credits_consumed::double precision / nullif(m.total_runs, 0) AS cost_per_run
        FROM recent AS b
        CROSS JOIN LATERAL analytics_internal.run_measures($1, $2, b.window_start - interval '720 hours', b.window_start) AS m
    ), peers AS MATERIALIZED (
        SELECT a.lifecycle_state, analytics.percentile(m.total_runs::double precision, 0.5) AS runs,
               analytics.percentile(m.p95_runtime_seconds, 0.5) AS runtime, analytics.percentile(m.cost_per_run, 0.5) AS cost
        FROM agents AS a JOIN now_measures AS m ON m.agent_id = a.agent_id GROUP BY a.lifecycle_state
    ), critical AS MATERIALIZED (
        SELECT x.agent_id, sum(x.total_errors - x.recovered_errors)::double precision AS errors
        FROM recent AS b
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, b.window_start, b.window_end, NULL,
            '{total_errors, recovered_errors}') AS x
        WHERE x.error_severity = 'critical' GROUP BY x.agent_id
    )
    SELECT a.agent_id, a.name, a.lifecycle_state, h.score, h.performance, h.reliability, h.usage, h.maintenance, h.cost,
           h.score - before.score, h.reasons, h.recommendations
    FROM agents AS a
    LEFT JOIN now_measures AS m ON m.agent_id = a.agent_id
    LEFT JOIN past_measures AS p ON p.agent_id = a.agent_id
    LEFT JOIN peers AS o ON o.lifecycle_state = a.lifecycle_state
    LEFT JOIN critical AS c ON c.agent_id = a.agent_id
    LEFT JOIN LATERAL (SELECT d.score FROM analytics.agent_health_daily AS d
                       WHERE d.workspace_id = $1 AND d.agent_id = a.agent_id AND d.day <= (now() AT TIME ZONE 'UTC')::date - 7
                       ORDER BY d.day DESC LIMIT 1) AS before ON true
    CROSS JOIN LATERAL (
        SELECT greatest(a.created_at,
            (SELECT e.occurred_at FROM analytics.agent_lifecycle_events AS e WHERE e.workspace_id = $1 AND e.agent_id = a.agent_id
             ORDER BY e.sequence DESC LIMIT 1),
            (SELECT max(v.registered_at) FROM analytics.agent_versions AS v WHERE v.workspace_id = $1 AND v.agent_id = a.agent_id),
            (SELECT max(d.started_at) FROM analytics.agent_deployments AS d WHERE d.workspace_id = $1 AND d.agent_id = a.agent_id)) AS at
    ) AS changed
    CROSS JOIN LATERAL analytics_internal.health_of(
        coalesce(m.total_runs, 0), p.total_runs * 7.0 / 30, o.runs, m.success_rate, p.success_rate,
        m.p95_runtime_seconds, p.p95_runtime_seconds, o.runtime, m.cost_per_run, p.cost_per_run, o.cost, m.avg_rating,
        c.errors, extract(epoch FROM now() - changed.at)::double precision / 86400, a.owner_id IS NOT NULL) AS h
    WHERE $2 IS NULL OR a.agent_id = $2
    ORDER BY h.score NULLS LAST, a.name, a.agent_id
$$;
COMMENT ON FUNCTION analytics.agent_health(uuid, uuid) IS
    'Health of the agents of a workspace, or of one, worst first: score 0 to 100 from performance (weight .25), reliability (.25), usage (.20), maintenance (.15) and cost (.15), each compared with the agents in the same state, with the agent''s own 30 days before, or with a fixed scale; a component without data is NULL and the weights of the others grow. trend: points since the stored score of a week or more ago. reasons and recommendations say what is poor. Formulas: docs/lifecycle_health.md. Errors: 22023 unknown workspace or agent.';

CREATE FUNCTION analytics_internal.record_agent_health(workspace_id uuid) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    recorded bigint;
BEGIN
    IF $1 IS NULL THEN
        PERFORM analytics_internal.require_schema();
    ELSE
        PERFORM analytics_internal.require_level($1, 'admin');
    END IF;
    INSERT INTO analytics.agent_health_daily AS d
        (workspace_id, agent_id, day, lifecycle_state, score, performance, reliability, usage, maintenance, cost, reasons, recommendations)
    SELECT w.workspace_id, h.agent_id, (now() AT TIME ZONE 'UTC')::date, h.lifecycle_state, h.score, h.performance, h.reliability,
           h.usage, h.maintenance, h.cost, h.reasons, h.recommendations
    FROM analytics.workspaces AS w CROSS JOIN LATERAL analytics.agent_health(w.workspace_id) AS h
    WHERE w.workspace_id = $1
       OR $1 IS NULL AND (analytics_internal.reads_everything()
                          OR w.workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces('admin'))))
    ON CONFLICT (workspace_id, agent_id, day) DO UPDATE SET
        lifecycle_state = excluded.lifecycle_state, score = excluded.score, performance = excluded.performance,
        reliability = excluded.reliability, usage = excluded.usage, maintenance = excluded.maintenance, cost = excluded.cost,
        reasons = excluded.reasons, recommendations = excluded.recommendations, computed_at = excluded.computed_at;
    GET DIAGNOSTICS recorded = ROW_COUNT;
    RETURN recorded;
END
$$;
COMMENT ON FUNCTION analytics_internal.record_agent_health(uuid) IS 'What record_agent_health() does, as the owner of the tables.';

CREATE FUNCTION analytics.record_agent_health(workspace_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.record_agent_health(uuid) IS
    'Stores the health of today (UTC) of every agent of a workspace, or of all workspaces when it is NULL; a second call on a day replaces the first. Returns the number of agents. Call it daily. For admins; without a workspace, what the caller administers. Errors: 22023 unknown workspace, 42501 no admin.';

-- ---------------------------------------------------------------------------------------------------------- retirement

CREATE FUNCTION analytics.retirement_candidates(
    workspace_id uuid, high_idle_days integer DEFAULT 90, high_max_runs bigint DEFAULT 10,
    medium_idle_days integer DEFAULT 60, medium_max_runs bigint DEFAULT 50, low_idle_days integer DEFAULT 30)
RETURNS TABLE (agent_id uuid, agent_name text, lifecycle_state text, priority text, idle_days double precision, last_used_at timestamptz,
               runs_30d bigint, users_90d bigint, dependents bigint, dependent_names text[], has_owner boolean,
               replacement_agent_id uuid, replacement_name text, similarity double precision, reasons text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    month_bounds   record;
    quarter_bounds record;
    all_bounds     record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF num_nulls($2, $3, $4, $5, $6) > 0 OR least($2, $4, $6) < 0 OR $2 < $4 OR $4 < $6 THEN
        PERFORM analytics_internal.refuse_argument('high_idle_days', concat_ws(', ', $2, $4, $6), 'days of idleness fall from high to low',
            'Use for example 90, 60, 30.');
    END IF;
    SELECT * INTO month_bounds FROM analytics.window_bounds('30d');
    SELECT * INTO quarter_bounds FROM analytics.window_bounds('90d');
    SELECT * INTO all_bounds FROM analytics.window_bounds('all');
    RETURN QUERY
    WITH ever AS MATERIALIZED (
        SELECT m.agent_id, m.last_run_at, m.total_runs FROM analytics_internal.run_measures($1, NULL, all_bounds.window_start, all_bounds.window_end) AS m
    ), month AS MATERIALIZED (
        SELECT m.agent_id, m.total_runs FROM analytics_internal.run_measures($1, NULL, month_bounds.window_start, month_bounds.window_end) AS m
    ), quarter AS MATERIALIZED (
        SELECT m.agent_id, m.unique_users FROM analytics_internal.run_measures($1, NULL, quarter_bounds.window_start, quarter_bounds.window_end) AS m
    ), agents AS MATERIALIZED (
        SELECT a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.owner_id, a.description, e.last_run_at,
               extract(epoch FROM now() - coalesce(e.last_run_at, a.created_at))::double precision / 86400 AS idle,
               coalesce(m.total_runs, 0) AS runs, coalesce(q.unique_users, 0) AS users, s.terminal,
               ARRAY(SELECT v.capability FROM (SELECT DISTINCT unnest(x.capabilities) FROM analytics.agent_versions AS x
                                               WHERE x.workspace_id = $1 AND x.agent_id = a.agent_id) AS v (capability) ORDER BY 1) AS capabilities
        FROM analytics.agents AS a
        LEFT JOIN analytics_internal.states_of($1) AS s ON s.state = a.lifecycle_state
        LEFT JOIN ever AS e ON e.agent_id = a.agent_id
        LEFT JOIN month AS m ON m.agent_id = a.agent_id
        LEFT JOIN quarter AS q ON q.agent_id = a.agent_id
        WHERE a.workspace_id = $1
    ), judged AS (
        SELECT a.*, CASE WHEN a.idle > $2 AND a.runs < $3 THEN 'high' WHEN a.idle > $4 AND a.runs < $5 THEN 'medium'
                         WHEN a.idle > $6 THEN 'low' END AS priority
        FROM agents AS a WHERE NOT coalesce(a.terminal, false) AND a.lifecycle_state <> 'draft'
    )
    SELECT j.agent_id, j.name, j.lifecycle_state, j.priority, j.idle, j.last_run_at, j.runs, j.users,
           coalesce(d.dependents, 0), coalesce(d.names, '{}'), j.owner_id IS NOT NULL, r.agent_id, r.name, r.similarity,
           array_remove(ARRAY[
               CASE WHEN j.last_run_at IS NULL THEN 'it never ran' ELSE format('unused for %s days', floor(j.idle)) END,
               format('%s runs in 30 days', j.runs),
               CASE WHEN d.dependents > 0 THEN format('%s agents depend on it', d.dependents) END,
               CASE WHEN j.owner_id IS NULL THEN 'nobody answers for it' END], NULL)
    FROM judged AS j
    LEFT JOIN LATERAL (
        SELECT count(*) AS dependents, array_agg(o.name ORDER BY o.name) AS names
        FROM analytics.agent_dependencies AS x JOIN analytics.agents AS o ON o.workspace_id = $1 AND o.agent_id = x.agent_id
        WHERE x.workspace_id = $1 AND x.depends_on_agent_id = j.agent_id AND x.ended_at IS NULL
    ) AS d ON true
    LEFT JOIN LATERAL (
        SELECT c.agent_id, c.name,
               (0.5 * (c.agent_type = j.agent_type)::integer
                + 0.5 * CASE WHEN k.both_ = 0 THEN 0 ELSE k.common::double precision / k.both_ END) AS similarity
        FROM agents AS c
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE u.n = 2) AS common, count(*) AS both_
            FROM (SELECT t.capability, count(*) AS n FROM (SELECT unnest(c.capabilities) UNION ALL SELECT unnest(j.capabilities)) AS t (capability)
                  GROUP BY t.capability) AS u
        ) AS k
        WHERE c.agent_id <> j.agent_id AND c.lifecycle_state = 'production' AND c.idle < $6
          AND (c.agent_type = j.agent_type AND j.agent_type <> 'unknown' OR k.common > 0)
        ORDER BY 3 DESC, c.runs DESC, c.agent_id LIMIT 1
    ) AS r ON true
    WHERE j.priority IS NOT NULL
    ORDER BY array_position(ARRAY['high', 'medium', 'low'], j.priority), j.idle DESC, j.name, j.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.retirement_candidates(uuid, integer, bigint, integer, bigint, integer) IS
    'Agents that might go, most urgent first; drafts and agents in a terminal state apart. priority: high when unused for more than high_idle_days (90) with fewer than high_max_runs (10) runs in 30 days, medium when over 60 days with fewer than 50, else low when over low_idle_days (30). With its last use, users of the last 90 days who would be hit, agents that depend on it, and the agent in production that is most like it: similarity 0 to 1, half for the same agent_type, half for the share of capabilities in common. Errors: 22023 unknown workspace, days that do not fall from high to low.';

-- --------------------------------------------------------------------------------------------------- the whole picture

CREATE FUNCTION analytics.agent_lifecycle(workspace_id uuid, agent_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    RETURN (
        SELECT jsonb_build_object(
            'agent', jsonb_build_object('agent_id', $2, 'name', a.name, 'agent_type', a.agent_type, 'state', a.lifecycle_state,
                'since', (SELECT max(p.started_at) FROM analytics.agent_state_periods AS p WHERE p.workspace_id = $1 AND p.agent_id = $2)),
            'timeline', (SELECT coalesce(jsonb_agg(jsonb_build_object('sequence', e.sequence, 'event_type', e.event_type, 'from', e.from_state,
                             'to', e.to_state, 'occurred_at', e.occurred_at, 'actor', e.actor_role, 'reason', e.reason,
                             'forced', e.forced, 'version', e.version) ORDER BY e.sequence), '[]')
                         FROM analytics.agent_lifecycle_events AS e WHERE e.workspace_id = $1 AND e.agent_id = $2),
            'durations', (SELECT coalesce(jsonb_object_agg(d.state, jsonb_build_object('seconds', d.seconds, 'entries', d.entries)), '{}')
                          FROM (SELECT p.state, sum(p.duration_seconds) AS seconds, count(*) AS entries
                                FROM analytics.agent_state_periods AS p WHERE p.workspace_id = $1 AND p.agent_id = $2 GROUP BY p.state) AS d),
            'versions', (SELECT coalesce(jsonb_agg(jsonb_build_object('version', v.version, 'registered_at', v.registered_at, 'capabilities', v.capabilities,
                             'changelog', v.changelog, 'config_hash', v.config_hash, 'complexity', v.complexity,
                             'aliases', ARRAY(SELECT l.alias FROM analytics.agent_version_aliases AS l
                                              WHERE l.workspace_id = $1 AND l.agent_id = $2 AND l.version = v.version ORDER BY 1))
                             ORDER BY v.registered_at, v.version), '[]')
                         FROM analytics.agent_versions AS v WHERE v.workspace_id = $1 AND v.agent_id = $2),
            'deployments', (SELECT coalesce(jsonb_agg(jsonb_build_object('deployment_id', d.deployment_id, 'version', d.version, 'environment', d.environment,
                                'strategy', d.strategy, 'rollout_share', d.rollout_share, 'status', d.status, 'started_at', d.started_at,
                                'finished_at', d.finished_at, 'rollback_of', d.rollback_of, 'cause', d.cause) ORDER BY d.started_at, d.deployment_id), '[]')
                            FROM analytics.agent_deployments AS d WHERE d.workspace_id = $1 AND d.agent_id = $2),
            'health', (SELECT to_jsonb(h) - 'agent_id' - 'agent_name' FROM analytics.agent_health($1, $2) AS h),
            'health_history', (SELECT coalesce(jsonb_agg(jsonb_build_object('day', h.day, 'score', h.score) ORDER BY h.day), '[]')
                               FROM analytics.agent_health_daily AS h WHERE h.workspace_id = $1 AND h.agent_id = $2),
            'depends_on', (SELECT coalesce(jsonb_agg(x.depends_on_agent_id ORDER BY x.depends_on_agent_id), '[]') FROM analytics.agent_dependencies AS x
                           WHERE x.workspace_id = $1 AND x.agent_id = $2 AND x.ended_at IS NULL),
            'dependents', (SELECT coalesce(jsonb_agg(x.agent_id ORDER BY x.agent_id), '[]') FROM analytics.agent_dependencies AS x
                           WHERE x.workspace_id = $1 AND x.depends_on_agent_id = $2 AND x.ended_at IS NULL),
            'next_steps', (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM analytics.allowed_transitions($1, $2) AS t))
        FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = $2);
END
$$;
COMMENT ON FUNCTION analytics.agent_lifecycle(uuid, uuid) IS
    'Everything about the life of an agent as one document: agent, timeline, durations, versions, deployments, health, health_history, depends_on, dependents, next_steps. Its relational forms are the views agent_lifecycle_history, agent_state_periods and agent_lifecycle_status. Errors: 22023 unknown workspace or agent.';
