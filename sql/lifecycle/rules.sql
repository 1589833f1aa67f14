-- Rules: states, transitions and guards of a workspace.

COMMENT ON FUNCTION analytics_internal.default_lifecycle_states() IS 'States of a workspace without rules of its own.';
COMMENT ON FUNCTION analytics_internal.default_lifecycle_transitions() IS 'Transitions of a workspace without rules of its own: level admin, no approvals, no cooldown.';
COMMENT ON FUNCTION analytics_internal.default_lifecycle_guards() IS 'Guards of a workspace without rules of its own.';
COMMENT ON FUNCTION analytics_internal.lifecycle_metrics() IS 'Vocabulary of guards with how each is compared: >=, <=, or NULL where there is no threshold.';
COMMENT ON FUNCTION analytics_internal.validate_lifecycle(uuid) IS
    'Raises 23514 when a state of a workspace cannot be reached from draft or cannot be left and is not terminal, 23503 when an agent is in a state that is not there.';
COMMENT ON FUNCTION analytics_internal.replace_lifecycle(uuid, text) IS
    'Checks that the caller is an owner of the workspace, then replaces its rules as the owner of the tables.';
ALTER FUNCTION analytics_internal.validate_lifecycle(uuid) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION analytics_internal.replace_lifecycle(uuid, text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION analytics_internal.check_dependencies(uuid) SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION analytics_internal.register_lifecycle() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'register_lifecycle';
COMMENT ON FUNCTION analytics_internal.register_lifecycle() IS
    'Row trigger of agents: refuses a state that the workspace does not have (23514) and writes the first event of a new agent.';
CREATE FUNCTION analytics_internal.keep_lifecycle() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'keep_lifecycle';
COMMENT ON FUNCTION analytics_internal.keep_lifecycle() IS
    'Row trigger of agents: refuses a state that is set by UPDATE (55000), except once for an agent that its first run registered.';
ALTER FUNCTION analytics_internal.register_lifecycle() SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION analytics_internal.keep_lifecycle() SET search_path = pg_catalog, pg_temp;

CREATE FUNCTION analytics_internal.validate_lifecycle_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM analytics_internal.validate_lifecycle(OLD.workspace_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM analytics_internal.validate_lifecycle(NEW.workspace_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION analytics_internal.validate_lifecycle_row() IS
    'Deferred row trigger of lifecycle_states and lifecycle_transitions: the rules must make sense when the transaction ends.';

CREATE FUNCTION analytics_internal.keep_lifecycle_events() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The events go with their agent, and follow a change of its key: when that is done, the old key is gone.
    IF NOT EXISTS (SELECT FROM analytics.agents AS a
                   WHERE a.workspace_id = OLD.workspace_id AND a.agent_id = OLD.agent_id) THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        OLD.workspace_id := NEW.workspace_id;
        OLD.agent_id := NEW.agent_id;
        IF OLD IS NOT DISTINCT FROM NEW THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'agent_lifecycle_events is append-only'
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'What happened stays. analytics.transition_agent() adds to it; the events go when their agent is deleted.';
END
$$;
COMMENT ON FUNCTION analytics_internal.keep_lifecycle_events() IS
    'Row trigger of agent_lifecycle_events: refuses UPDATE and DELETE (42501), also to the owner, but for those that follow the agent.';

CREATE FUNCTION analytics_internal.check_dependency_circles() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspace uuid;
BEGIN
    FOR workspace IN SELECT DISTINCT c.workspace_id FROM changed AS c ORDER BY 1 LOOP
        -- Two halves of a circle cannot be written at once.
        PERFORM pg_advisory_xact_lock(hashtextextended('shadower_analytics dependencies ' || workspace, 0));
        PERFORM analytics_internal.check_dependencies(workspace);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION analytics_internal.check_dependency_circles() IS
    'Statement trigger of agent_dependencies: refuses circles (23514).';

CREATE FUNCTION analytics_internal.states_of(workspace_id uuid)
RETURNS TABLE (state text, place integer, terminal boolean, description text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_workspace($1);
    SELECT s.state, s.position, s.terminal, s.description
    FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1
    UNION ALL
    SELECT d.state, d."position", d.terminal, d.description
    FROM analytics_internal.default_lifecycle_states() AS d
    WHERE NOT EXISTS (SELECT FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1)
$$;
COMMENT ON FUNCTION analytics_internal.states_of(uuid) IS 'States of a workspace, its own or the default ones. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics_internal.transitions_of(workspace_id uuid)
RETURNS TABLE (from_state text, to_state text, access_level text, required_approvals integer, cooldown interval, reason_required boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 15
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_workspace($1);
    SELECT t.from_state, t.to_state, t.access_level, t.required_approvals, t.cooldown, t.reason_required
    FROM analytics.lifecycle_transitions AS t WHERE t.workspace_id = $1
    UNION ALL
    SELECT d.from_state, d.to_state, 'admin', 0, interval '0', d.reason_required
    FROM analytics_internal.default_lifecycle_transitions() AS d
    WHERE NOT EXISTS (SELECT FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1)
$$;
COMMENT ON FUNCTION analytics_internal.transitions_of(uuid) IS 'Transitions of a workspace, its own or the default ones. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics_internal.guards_of(workspace_id uuid)
RETURNS TABLE (from_state text, to_state text, metric text, comparison text, threshold double precision, timeframe text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_workspace($1);
    SELECT g.from_state, g.to_state, g.metric, m.comparison, g.threshold, g.timeframe
    FROM (
        SELECT o.from_state, o.to_state, o.metric, o.threshold, o.timeframe
        FROM analytics.lifecycle_guards AS o WHERE o.workspace_id = $1
        UNION ALL
        SELECT d.from_state, d.to_state, d.metric, d.threshold, d.timeframe
        FROM analytics_internal.default_lifecycle_guards() AS d
        WHERE NOT EXISTS (SELECT FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1)
    ) AS g
    JOIN analytics_internal.lifecycle_metrics() AS m ON m.metric = g.metric
$$;
COMMENT ON FUNCTION analytics_internal.guards_of(uuid) IS 'Guards of a workspace, its own or the default ones. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.lifecycle_states_of(workspace_id uuid)
RETURNS TABLE (state text, place integer, terminal boolean, description text, agents bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    SELECT s.state, s.place, s.terminal, s.description,
           (SELECT count(*) FROM analytics_internal.known_agents($1) AS a WHERE a.lifecycle_state = s.state)
    FROM analytics_internal.states_of($1) AS s ORDER BY s.place NULLS LAST, s.state;
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_states_of(uuid) IS
    'The states that an agent of a workspace can have, in the order of the way from draft to the end, those beside the way last, with the number of agents in each. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.lifecycle_rules(workspace_id uuid)
RETURNS TABLE (from_state text, to_state text, access_level text, required_approvals integer, cooldown interval,
               reason_required boolean, guards text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 15
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    SELECT t.from_state, t.to_state, t.access_level, t.required_approvals, t.cooldown, t.reason_required,
           ARRAY(SELECT concat_ws(' ', g.metric || CASE WHEN g.metric IN ('owner_present', 'hours_in_state', 'health_score') THEN ''
                                                        ELSE ' (' || g.timeframe || ')' END, g.comparison, g.threshold)
                 FROM analytics_internal.guards_of($1) AS g
                 WHERE g.from_state = t.from_state AND g.to_state = t.to_state ORDER BY g.metric, g.timeframe)
    FROM analytics_internal.transitions_of($1) AS t
    LEFT JOIN analytics_internal.states_of($1) AS f ON f.state = t.from_state
    LEFT JOIN analytics_internal.states_of($1) AS o ON o.state = t.to_state
    ORDER BY f.place NULLS LAST, t.from_state, o.place NULLS LAST, t.to_state;
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_rules(uuid) IS
    'The transitions that a workspace allows, with what each asks for. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.lifecycle_config(workspace_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN jsonb_build_object(
        'states', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('state', s.state, 'position', s.place,
                       'terminal', s.terminal, 'description', s.description)) ORDER BY s.place NULLS LAST, s.state)
                   FROM analytics_internal.states_of($1) AS s),
        'transitions', (SELECT jsonb_agg(jsonb_build_object('from', t.from_state, 'to', t.to_state,
                       'access_level', t.access_level, 'required_approvals', t.required_approvals,
                       'cooldown', t.cooldown, 'reason_required', t.reason_required,
                       'guards', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('metric', g.metric,
                                      'threshold', g.threshold, 'timeframe', g.timeframe)) ORDER BY g.metric, g.timeframe), '[]')
                                  FROM analytics_internal.guards_of($1) AS g
                                  WHERE g.from_state = t.from_state AND g.to_state = t.to_state))
                       ORDER BY t.from_state, t.to_state)
                   FROM analytics_internal.transitions_of($1) AS t));
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_config(uuid) IS
    'The rules of a workspace as a document that configure_lifecycle() takes. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.configure_lifecycle(workspace_id uuid, rules jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_level($1, 'owner');
    IF $2 IS NOT NULL AND (jsonb_typeof($2) <> 'object' OR jsonb_typeof($2 -> 'states') IS DISTINCT FROM 'array'
                           OR jsonb_typeof($2 -> 'transitions') IS DISTINCT FROM 'array'
                           OR $2 - ARRAY['states', 'transitions'] <> '{}') THEN
        PERFORM analytics_internal.refuse_argument('rules', left($2::text, 100), 'it is not an object of states and transitions',
            'Change what analytics.lifecycle_config() gives; NULL brings the default rules back.');
    END IF;
    PERFORM analytics_internal.replace_lifecycle($1, $2::text);
END
$$;
COMMENT ON FUNCTION analytics.configure_lifecycle(uuid, jsonb) IS
    'Replaces the states, transitions and guards of a workspace by those of a document like that of lifecycle_config(); NULL brings the default ones back. For owners of the workspace. Errors: 22023 not such a document, 23514 a value that is not allowed, a state that cannot be reached or left, 23503 an agent is in a state that would go, 42501 not an owner.';

-- Runs as the owner of the tables (src/lifecycle/rules.rs), after the caller was checked and the rules were locked.
CREATE FUNCTION analytics_internal.apply_lifecycle(workspace_id uuid, rules jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM analytics.lifecycle_states AS s WHERE s.workspace_id = $1;
    INSERT INTO analytics.lifecycle_states (workspace_id, state, "position", terminal, description)
    SELECT $1, r.item ->> 'state', (r.item ->> 'position')::integer, coalesce((r.item ->> 'terminal')::boolean, false), r.item ->> 'description'
    FROM jsonb_array_elements($2 -> 'states') AS r (item);
    INSERT INTO analytics.lifecycle_transitions
        (workspace_id, from_state, to_state, access_level, required_approvals, cooldown, reason_required)
    SELECT $1, r."from", r."to", coalesce(r.access_level, 'admin'), coalesce(r.required_approvals, 0),
           coalesce(r.cooldown, '0'), coalesce(r.reason_required, false)
    FROM jsonb_to_recordset($2 -> 'transitions') AS r ("from" text, "to" text, access_level text,
             required_approvals integer, cooldown interval, reason_required boolean);
    INSERT INTO analytics.lifecycle_guards (workspace_id, from_state, to_state, metric, timeframe, threshold)
    SELECT $1, t.rule ->> 'from', t.rule ->> 'to', g.metric, coalesce(g.timeframe, '30d'), g.threshold
    FROM jsonb_array_elements($2 -> 'transitions') AS t (rule)
    CROSS JOIN LATERAL jsonb_to_recordset(coalesce(t.rule -> 'guards', '[]')) AS g (metric text, timeframe text, threshold double precision);
    PERFORM analytics_internal.validate_lifecycle($1);
    -- The deferred triggers look now, with the rights of this function's caller and not with those of whoever commits.
    SET CONSTRAINTS analytics.validate_lifecycle IMMEDIATE;
    SET CONSTRAINTS analytics.validate_lifecycle DEFERRED;
END
$$;
COMMENT ON FUNCTION analytics_internal.apply_lifecycle(uuid, jsonb) IS
    'Writes the rules of configure_lifecycle(). The caller was checked before.';
