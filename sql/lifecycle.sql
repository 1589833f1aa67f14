-- The lifecycle of agents: time in state, rules, guarded transitions, versions, deployments, analysis, health, retirement.
-- The code is in src/lifecycle/, the tables are those of migrations/0011_lifecycle.sql.

------------------------------------------------------------------------------------------------------------------------
-- Time in state
------------------------------------------------------------------------------------------------------------------------
CREATE TYPE analytics.state_summary;
CREATE FUNCTION analytics_internal.state_summary_in(cstring) RETURNS analytics.state_summary
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_summary_in';
CREATE FUNCTION analytics_internal.state_summary_out(analytics.state_summary) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_out';
CREATE FUNCTION analytics_internal.state_summary_recv(internal) RETURNS analytics.state_summary
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_summary_recv';
CREATE FUNCTION analytics_internal.state_summary_send(analytics.state_summary) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_send';
CREATE TYPE analytics.state_summary (
    INPUT   = analytics_internal.state_summary_in,
    OUTPUT  = analytics_internal.state_summary_out,
    RECEIVE = analytics_internal.state_summary_recv,
    SEND    = analytics_internal.state_summary_send,
    STORAGE = extended
);
COMMENT ON TYPE analytics.state_summary IS 'Who was in which state, from when to when: every observation, some six bytes each. Made by state_agg(), read by duration_in(), state_timeline() and others, merged by rollup(). Equal content has equal bytes, whatever the order of rows and merges.';
COMMENT ON FUNCTION analytics_internal.state_summary_in(cstring) IS 'Reads the text form, that of bytea; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.state_summary_out(analytics.state_summary) IS 'Writes the text form: \x and hexadecimal digits.';
COMMENT ON FUNCTION analytics_internal.state_summary_recv(internal) IS 'Reads the binary form; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.state_summary_send(analytics.state_summary) IS 'Writes the binary form: the stored bytes.';

CREATE FUNCTION analytics_internal.state_summary_eq(analytics.state_summary, analytics.state_summary) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_eq';
CREATE FUNCTION analytics_internal.state_summary_ne(analytics.state_summary, analytics.state_summary) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_ne';
CREATE OPERATOR analytics.= (
    LEFTARG = analytics.state_summary, RIGHTARG = analytics.state_summary, FUNCTION = analytics_internal.state_summary_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.state_summary, RIGHTARG = analytics.state_summary, FUNCTION = analytics_internal.state_summary_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON FUNCTION analytics_internal.state_summary_eq(analytics.state_summary, analytics.state_summary) IS 'Whether two values hold the same: equal content has equal bytes.';
COMMENT ON FUNCTION analytics_internal.state_summary_ne(analytics.state_summary, analytics.state_summary) IS 'Whether two values differ.';
COMMENT ON OPERATOR analytics.= (analytics.state_summary, analytics.state_summary) IS 'equal content';
COMMENT ON OPERATOR analytics.<> (analytics.state_summary, analytics.state_summary) IS 'different content';
CREATE CAST (analytics.state_summary AS bytea) WITHOUT FUNCTION;
COMMENT ON CAST (analytics.state_summary AS bytea) IS 'the stored bytes';

CREATE FUNCTION analytics_internal.state_agg_transition(internal, timestamptz, text) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_transition';
COMMENT ON FUNCTION analytics_internal.state_agg_transition(internal, timestamptz, text) IS 'Part of the aggregate state_agg: keeps an observation.';
CREATE FUNCTION analytics_internal.state_agg_transition(internal, timestamptz, text, bigint) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_sequence_transition';
COMMENT ON FUNCTION analytics_internal.state_agg_transition(internal, timestamptz, text, bigint) IS 'Part of the aggregate state_agg: keeps an observation with its sequence number.';
CREATE FUNCTION analytics_internal.state_agg_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_combine';
COMMENT ON FUNCTION analytics_internal.state_agg_combine(internal, internal) IS 'Part of the aggregates state_agg and rollup: merges two states.';
CREATE FUNCTION analytics_internal.state_agg_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_serialize';
COMMENT ON FUNCTION analytics_internal.state_agg_serialize(internal) IS 'Part of the aggregates state_agg and rollup: hands the state of a worker on.';
CREATE FUNCTION analytics_internal.state_agg_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_deserialize';
COMMENT ON FUNCTION analytics_internal.state_agg_deserialize(bytea, internal) IS 'Part of the aggregates state_agg and rollup: takes the state of a worker.';
CREATE FUNCTION analytics_internal.state_agg_final(internal) RETURNS analytics.state_summary
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_agg_serialize';
COMMENT ON FUNCTION analytics_internal.state_agg_final(internal) IS 'Part of the aggregates state_agg and rollup: the summary as a value.';
CREATE FUNCTION analytics_internal.state_rollup_transition(internal, analytics.state_summary) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_rollup_transition';
COMMENT ON FUNCTION analytics_internal.state_rollup_transition(internal, analytics.state_summary) IS 'Part of the aggregate rollup: merges a summary.';

CREATE AGGREGATE analytics.state_agg(ts timestamptz, state text) (
    SFUNC = analytics_internal.state_agg_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.state_agg_final,
    COMBINEFUNC = analytics_internal.state_agg_combine, SERIALFUNC = analytics_internal.state_agg_serialize, DESERIALFUNC = analytics_internal.state_agg_deserialize,
    PARALLEL = SAFE
);
CREATE AGGREGATE analytics.state_agg(ts timestamptz, state text, sequence bigint) (
    SFUNC = analytics_internal.state_agg_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.state_agg_final,
    COMBINEFUNC = analytics_internal.state_agg_combine, SERIALFUNC = analytics_internal.state_agg_serialize, DESERIALFUNC = analytics_internal.state_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.state_agg(timestamptz, text) IS 'Summary of the states of one thing: it is in a state from ts on, until another is observed. Rows in any order; a row whose time or state is NULL is skipped; of several states at one instant the one whose name sorts last (by bytes) holds from then on, the others lasted no time. NULL for a group without rows. Errors: 22023 infinite time.';
COMMENT ON AGGREGATE analytics.state_agg(timestamptz, text, bigint) IS 'As state_agg(ts, state); of several states at one instant the one with the greatest sequence number holds from then on, NULL before every number.';

CREATE AGGREGATE analytics.rollup(summary analytics.state_summary) (
    SFUNC = analytics_internal.state_rollup_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.state_agg_final,
    COMBINEFUNC = analytics_internal.state_agg_combine, SERIALFUNC = analytics_internal.state_agg_serialize, DESERIALFUNC = analytics_internal.state_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.rollup(analytics.state_summary) IS 'Merges state summaries, also those that overlap in time: the result is the summary of all their observations together, byte for byte. NULLs are skipped; NULL for a group without summaries.';

CREATE FUNCTION analytics.duration_in(summary analytics.state_summary, state text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT now()) RETURNS interval
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_duration_in';
COMMENT ON FUNCTION analytics.duration_in(analytics.state_summary, text, timestamptz, timestamptz) IS 'Time in a state from since (NULL: the first observation) to until (default now; NULL: the last observation), the open state included. Zero for a state that does not occur; NULL for no summary or no state. Errors: 22023 until is infinite.';
CREATE FUNCTION analytics.num_entries(summary analytics.state_summary, state text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_num_entries';
COMMENT ON FUNCTION analytics.num_entries(analytics.state_summary, text) IS 'How often a state was entered. Observations that repeat the state are no entries.';
CREATE FUNCTION analytics.state_at(summary analytics.state_summary, ts timestamptz) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_at';
COMMENT ON FUNCTION analytics.state_at(analytics.state_summary, timestamptz) IS 'The state at a time; NULL before the first observation.';
CREATE FUNCTION analytics.first_time(summary analytics.state_summary) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_first_time';
COMMENT ON FUNCTION analytics.first_time(analytics.state_summary) IS 'Time of the first observation.';
CREATE FUNCTION analytics.last_time(summary analytics.state_summary) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_last_time';
COMMENT ON FUNCTION analytics.last_time(analytics.state_summary) IS 'Time of the last observation.';

CREATE FUNCTION analytics.into_values(summary analytics.state_summary, since timestamptz DEFAULT NULL, until timestamptz DEFAULT now())
RETURNS TABLE (state text, duration interval, entries bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.state_totals($1::bytea, $2, $3) WHERE $1 IS NOT NULL $$;
COMMENT ON FUNCTION analytics.into_values(analytics.state_summary, timestamptz, timestamptz) IS 'One row per state, by name: time in it and how often it was entered, from since (NULL: the first observation) to until (default now; NULL: the last observation). The durations add up to the time that is looked at. Errors: 22023 until is infinite.';
CREATE FUNCTION analytics.state_timeline(summary analytics.state_summary, since timestamptz DEFAULT NULL, until timestamptz DEFAULT now())
RETURNS TABLE (state text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.state_rows($1::bytea, $2, $3) WHERE $1 IS NOT NULL $$;
COMMENT ON FUNCTION analytics.state_timeline(analytics.state_summary, timestamptz, timestamptz) IS 'One row per stay in a state, in order; the bounds are those of into_values(). A state that lasted no time has a row, too.';
CREATE FUNCTION analytics.state_periods(summary analytics.state_summary, state text, since timestamptz DEFAULT NULL, until timestamptz DEFAULT now())
RETURNS TABLE (start_time timestamptz, end_time timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.start_time, r.end_time FROM analytics_internal.state_rows($1::bytea, $3, $4) AS r WHERE $1 IS NOT NULL AND r.state = $2 $$;
COMMENT ON FUNCTION analytics.state_periods(analytics.state_summary, text, timestamptz, timestamptz) IS 'The stays in one state, in order; as state_timeline().';
COMMENT ON FUNCTION analytics_internal.state_rows(bytea, timestamptz, timestamptz) IS 'The rows of state_timeline(), from the bytes of a summary.';
COMMENT ON FUNCTION analytics_internal.state_totals(bytea, timestamptz, timestamptz) IS 'The rows of into_values(), from the bytes of a summary.';

CREATE FUNCTION analytics.state_durations(
    relation regclass, entity_column name, time_column name, state_column name,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT now(), sequence_column name DEFAULT NULL)
RETURNS TABLE (entity text, state text, duration interval, entries bigint, current_state text)
LANGUAGE plpgsql VOLATILE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nulls($1, $2, $3, $4) > 0 THEN
        PERFORM analytics_internal.refuse_argument('an argument', NULL, 'a table and three of its columns are needed',
            'Give the table, and the names of the columns of the thing, the time and the state.');
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT g.entity, v.state, v.duration, v.entries, analytics.state_at(g.summary, coalesce($2, ''infinity''))'
        ' FROM (SELECT t.%I::text AS entity, analytics.state_agg(t.%I::timestamptz, t.%I::text%s) AS summary FROM %s AS t GROUP BY t.%1$I) AS g'
        ' CROSS JOIN LATERAL analytics.into_values(g.summary, $1, $2) AS v',
        $2, $3, $4, CASE WHEN $7 IS NULL THEN '' ELSE format(', t.%I::bigint', $7) END, $1)
    USING $5, $6;
END
$$;
COMMENT ON FUNCTION analytics.state_durations(regclass, name, name, name, timestamptz, timestamptz, name) IS
    'Time in state of every entity in a table of (entity, time, state), with any names: one row per entity and state. Reads with the rights of the caller. since, until as in into_values(). Errors: 22023 an argument is NULL, 42703 no such column.';

------------------------------------------------------------------------------------------------------------------------
-- Survival
------------------------------------------------------------------------------------------------------------------------
COMMENT ON FUNCTION analytics.kaplan_meier(double precision[], boolean[], double precision) IS
    'Kaplan-Meier estimate from durations (any unit, zero or more) and whether each ended then (true) or was still going on (false): one row at 0 and one per distinct duration, with the number at risk, events, censored, the share that lasts longer, its standard error (Greenwood), and the log-log confidence interval. Pairs with a NULL are left out. Errors: 22023 a duration or confidence out of range, arrays of different lengths.';
COMMENT ON FUNCTION analytics.survival_median(double precision[], boolean[]) IS
    'Median of durations of which some are still going on, by Kaplan-Meier: the first that at most half outlast. NULL where more than half do throughout. Errors as kaplan_meier().';
COMMENT ON FUNCTION analytics.log_rank_test(double precision[], boolean[], text[]) IS
    'Log-rank test of two or more groups of durations, of which some are still going on: chi-squared statistic, degrees of freedom, and the probability of such a difference when the groups last equally long. Rows with a NULL are left out. Errors: 22023 fewer than two groups, groups without events at common times, a bad duration, arrays of different lengths.';
COMMENT ON FUNCTION analytics_internal.compare_means(double precision, double precision, double precision, double precision, double precision, double precision) IS
    'Two samples by count, mean and variance (n - 1): difference (second less first), Hedges'' g, p-value of Welch''s t test (two-sided). NULL where it cannot be known.';
COMMENT ON FUNCTION analytics_internal.compare_shares(bigint, bigint, bigint, bigint) IS
    'Successes and trials of two samples: difference (second less first), Cohen''s h, two-sided p-value of the z test, or of Fisher''s exact test where an expected count is below 5.';
COMMENT ON FUNCTION analytics_internal.health_of IS
    'Health from facts: recent, past and peer runs, success rate, past success rate, runtime, past, peers, cost, past, peers, rating, critical errors, days since a change, has an owner. See docs/lifecycle.md.';
COMMENT ON FUNCTION analytics_internal.check_dependencies(uuid) IS
    'Raises 23514 when the dependencies of a workspace form a circle, and names the agents in it.';

------------------------------------------------------------------------------------------------------------------------
-- Rules
------------------------------------------------------------------------------------------------------------------------
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

------------------------------------------------------------------------------------------------------------------------
-- Guards and transitions
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics_internal.run_measures(workspace_id uuid, only_agent uuid, from_time timestamptz, to_time timestamptz)
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

CREATE FUNCTION analytics_internal.evaluate_guards(
    workspace_id uuid, only_agent uuid DEFAULT NULL, only_to text DEFAULT NULL, keeping boolean DEFAULT false)
RETURNS TABLE (agent_id uuid, from_state text, to_state text, metric text, timeframe text, comparison text,
               threshold double precision, value double precision, passes boolean)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
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

ALTER FUNCTION analytics.transition_agent(uuid, uuid, text, text, boolean, boolean, text, text, text) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics.transition_agent(uuid, uuid, text, text, boolean, boolean, text, text, text) IS
    'Moves an agent to another state in one atomic step, by the rules of its workspace. dry_run: says what would happen and changes nothing. force: passes over guards, approvals and cooldown, for owners with a reason, and is recorded. from_state: the state that the caller believes it to be in. idempotency_key: a second call with it gives the first one''s event. version: what is moved. Returns the event: sequence (NULL for a dry run), from_state, to_state, occurred_at, allowed, forced, repeated, guards (what each condition found), problems. Sends a notification on channel analytics_lifecycle_ followed by the 32 hexadecimal digits of the workspace. Errors: 55000 no such transition from its state, a guard, approval or cooldown that stops it, a clock that went backwards; 40001 another session moved it meanwhile, or it is not in from_state; 22023 unknown workspace, agent or state, a reason that is missing, a key that was used for another transition; 42501 a level that is missing.';
ALTER FUNCTION analytics.request_transition(uuid, uuid, text, text) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics.request_transition(uuid, uuid, text, text) IS
    'Asks for a transition that needs approvals, and returns the id of the request. For members. Errors: 55000 no such transition, or one that needs no approval; 23505 asked for already; 22023 no reason, unknown agent.';
ALTER FUNCTION analytics.approve_transition(uuid, uuid, text) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics.approve_transition(uuid, uuid, text) IS
    'Approves a request; the last approval that is needed carries the transition out, if its guards hold (else nothing is recorded). Nobody approves what they asked for, nor twice. Returns status (pending or done), approvals, required_approvals, sequence of the event. Errors: 42501 own request or missing level, 23505 decided already, 55000 not pending or a guard, 40001 the agent was moved meanwhile, 22023 unknown request.';
ALTER FUNCTION analytics.reject_transition(uuid, uuid, text) SET search_path = pg_catalog, pg_temp;
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

------------------------------------------------------------------------------------------------------------------------
-- Versions and deployments
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics.register_version(
    workspace_id uuid, agent_id uuid, version text, capabilities text[] DEFAULT '{}', changelog text DEFAULT NULL,
    config_hash text DEFAULT NULL, complexity jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    PERFORM analytics_internal.require_level($1, 'member');
    IF $3 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('version', NULL, 'it is not a semantic version',
            'Use three numbers with points between them, such as 1.4.0 or 2.0.0-rc.1.');
    END IF;
    INSERT INTO analytics.agent_versions (workspace_id, agent_id, version, capabilities, changelog, config_hash, complexity)
    VALUES ($1, $2, $3, coalesce($4, '{}'), $5, $6, coalesce($7, '{}'))
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'version "%" of the agent exists already', $3
            USING ERRCODE = 'unique_violation', HINT = 'A version does not change: register a new one.';
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.register_version(uuid, uuid, text, text[], text, text, jsonb) IS
    'Registers a version of an agent: semantic version, capabilities as words, changelog, hash of prompts and settings, numbers that describe its complexity. For members. Errors: 23505 exists already, 23514 not a semantic version, complexity not numbers, 22023 unknown agent, 42501 no member.';

CREATE FUNCTION analytics_internal.require_version(workspace_id uuid, agent_id uuid, version text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    IF $3 IS NULL OR NOT EXISTS (SELECT FROM analytics.agent_versions AS v
                                 WHERE v.workspace_id = $1 AND v.agent_id = $2 AND v.version = $3) THEN
        PERFORM analytics_internal.refuse_argument('version', $3, 'the agent has no such version',
            'Register it with analytics.register_version(), or take one from analytics.agent_versions.');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_version(uuid, uuid, text) IS
    'As require_agent, and raises 22023 when the version is NULL or unknown.';

CREATE FUNCTION analytics.set_version_alias(workspace_id uuid, agent_id uuid, alias text, version text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_version($1, $2, $4);
    PERFORM analytics_internal.require_level($1, 'admin');
    IF $3 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('alias', NULL, 'it is not a name', 'Use a name such as stable or canary.');
    END IF;
    INSERT INTO analytics.agent_version_aliases AS a (workspace_id, agent_id, alias, version) VALUES ($1, $2, $3, $4)
    ON CONFLICT (workspace_id, agent_id, alias) DO UPDATE SET version = excluded.version, set_by = excluded.set_by, set_at = excluded.set_at;
END
$$;
COMMENT ON FUNCTION analytics.set_version_alias(uuid, uuid, text, text) IS
    'Points a name such as stable or canary to a version of an agent. For admins. Errors: 22023 unknown agent or version, 23514 not a name, 42501 no admin.';

CREATE FUNCTION analytics.deploy_version(
    workspace_id uuid, agent_id uuid, version text, environment text DEFAULT 'production', strategy text DEFAULT 'direct',
    rollout_share double precision DEFAULT 1) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    deployment uuid;
BEGIN
    PERFORM analytics_internal.require_version($1, $2, $3);
    PERFORM analytics_internal.require_level($1, 'admin');
    INSERT INTO analytics.agent_deployments (workspace_id, agent_id, version, environment, strategy, rollout_share, started_at)
    VALUES ($1, $2, $3, coalesce($4, 'production'), coalesce($5, 'direct'), coalesce($6, 1), clock_timestamp())
    ON CONFLICT DO NOTHING
    RETURNING deployment_id INTO deployment;
    IF deployment IS NULL THEN
        RAISE EXCEPTION 'a deployment of the agent to % is in progress', coalesce($4, 'production')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Finish it with analytics.finish_deployment() first.';
    END IF;
    RETURN deployment;
END
$$;
COMMENT ON FUNCTION analytics.deploy_version(uuid, uuid, text, text, text, double precision) IS
    'Starts a deployment of a version to an environment (default production): strategy direct (default), canary, blue_green or rolling, rollout_share of the traffic above 0 and up to 1. Returns its id. For admins. Errors: 22023 unknown agent or version, 23514 a value that is not allowed, 55000 another is in progress there, 42501 no admin.';

CREATE FUNCTION analytics.finish_deployment(
    workspace_id uuid, deployment_id uuid, status text DEFAULT 'succeeded', cause text DEFAULT NULL,
    rollout_share double precision DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    deployment record;
BEGIN
    PERFORM analytics_internal.require_level($1, 'admin');
    IF $3 IS NULL OR $3 NOT IN ('succeeded', 'failed') THEN
        PERFORM analytics_internal.refuse_argument('status', $3, 'it is not how a deployment can finish',
            'Use succeeded or failed; analytics.rollback_deployment() undoes one.');
    END IF;
    SELECT d.* INTO deployment FROM analytics.agent_deployments AS d
    WHERE d.workspace_id = $1 AND d.deployment_id = $2 FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM analytics_internal.refuse_argument('deployment_id', $2::text, 'there is no such deployment in the workspace',
            'Take one from analytics.agent_deployments.');
    END IF;
    IF deployment.status <> 'in_progress' THEN
        RAISE EXCEPTION 'the deployment has % already', replace(deployment.status, 'rolled_back', 'been rolled back')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only a deployment in progress can be finished.';
    END IF;
    UPDATE analytics.agent_deployments AS d
    SET status = $3, finished_at = greatest(clock_timestamp(), d.started_at), cause = $4,
        rollout_share = coalesce($5, CASE WHEN $3 = 'succeeded' THEN 1 ELSE d.rollout_share END)
    WHERE d.workspace_id = $1 AND d.deployment_id = $2;
    IF $3 = 'succeeded' AND deployment.environment = 'production' THEN
        PERFORM analytics.set_version_alias($1, deployment.agent_id, 'stable', deployment.version);
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.finish_deployment(uuid, uuid, text, text, double precision) IS
    'Ends a deployment: succeeded (its share becomes 1 unless told otherwise; in production the alias stable follows it) or failed, with a cause. For admins. Errors: 22023 unknown deployment or status, 55000 not in progress, 42501 no admin.';

CREATE FUNCTION analytics.rollback_deployment(workspace_id uuid, deployment_id uuid, cause text, to_version text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    deployment record;
    target     text := $4;
    undoing    uuid := gen_random_uuid();
    moment     timestamptz := clock_timestamp();
BEGIN
    PERFORM analytics_internal.require_level($1, 'admin');
    IF $3 IS NULL OR btrim($3) = '' THEN
        PERFORM analytics_internal.refuse_argument('cause', $3, 'it is empty',
            'Use a word that can be counted, such as errors, latency, cost, quality.');
    END IF;
    SELECT d.* INTO deployment FROM analytics.agent_deployments AS d
    WHERE d.workspace_id = $1 AND d.deployment_id = $2 FOR UPDATE;
    IF NOT FOUND THEN
        PERFORM analytics_internal.refuse_argument('deployment_id', $2::text, 'there is no such deployment in the workspace',
            'Take one from analytics.agent_deployments.');
    END IF;
    IF deployment.status = 'rolled_back' THEN
        RAISE EXCEPTION 'the deployment has been rolled back already'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Roll back the deployment that is in force.';
    END IF;
    IF target IS NULL THEN
        SELECT d.version INTO target FROM analytics.agent_deployments AS d
        WHERE d.workspace_id = $1 AND d.agent_id = deployment.agent_id AND d.environment = deployment.environment
          AND d.status = 'succeeded' AND d.started_at < deployment.started_at AND d.version <> deployment.version
        ORDER BY d.started_at DESC, d.deployment_id LIMIT 1;
        IF target IS NULL THEN
            RAISE EXCEPTION 'there is no earlier version to go back to'
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Name one: to_version => ''1.3.0''.';
        END IF;
    ELSE
        PERFORM analytics_internal.require_version($1, deployment.agent_id, target);
    END IF;
    moment := greatest(moment, deployment.started_at);
    UPDATE analytics.agent_deployments AS d
    SET status = 'rolled_back', cause = btrim($3), rolled_back_at = moment, finished_at = coalesce(d.finished_at, moment)
    WHERE d.workspace_id = $1 AND d.deployment_id = $2;
    INSERT INTO analytics.agent_deployments
        (workspace_id, deployment_id, agent_id, version, environment, strategy, status, started_at, finished_at, rollback_of, cause)
    VALUES ($1, undoing, deployment.agent_id, target, deployment.environment, 'direct', 'succeeded', moment, moment, $2, btrim($3));
    IF deployment.environment = 'production' THEN
        PERFORM analytics.set_version_alias($1, deployment.agent_id, 'stable', target);
    END IF;
    RETURN undoing;
END
$$;
COMMENT ON FUNCTION analytics.rollback_deployment(uuid, uuid, text, text) IS
    'Undoes a deployment: marks it as rolled back, with a cause, and records the deployment of the version before it (or of to_version), whose id it returns; in production the alias stable goes back, too. For admins. Errors: 22023 unknown deployment or version, no cause; 55000 rolled back already, nothing to go back to; 42501 no admin.';

CREATE FUNCTION analytics.compare_versions(workspace_id uuid, agent_id uuid, version_a text, version_b text, timeframe text DEFAULT '30d')
RETURNS TABLE (metric text, runs_a bigint, runs_b bigint, value_a double precision, value_b double precision,
               difference double precision, effect_size double precision, p_value double precision, verdict text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 4
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics.window_bounds($5);
    IF $3 IS NULL OR $4 IS NULL OR $3 = $4 THEN
        PERFORM analytics_internal.refuse_argument('version_b', $4, 'two different versions are compared',
            'Take two from analytics.agent_versions, or from agent_version of the runs.');
    END IF;
    RETURN QUERY
    WITH runs AS (
        SELECT r.agent_version = $4 AS b, r.status, r.credits_consumed::double precision AS credits,
               CASE WHEN r.runtime_seconds > 0 THEN ln(r.runtime_seconds) END AS log_runtime, r.user_rating::double precision AS rating
        FROM analytics.agent_runs AS r
        WHERE r.workspace_id = $1 AND r.agent_id = $2 AND r.agent_version IN ($3, $4)
          AND r.started_at >= bounds.window_start AND r.started_at < bounds.window_end
          AND r.status NOT IN ('queued', 'running')
    ), sums AS (
        SELECT 'runtime_seconds' AS metric, count(log_runtime) FILTER (WHERE NOT b) AS na, count(log_runtime) FILTER (WHERE b) AS nb,
               avg(log_runtime) FILTER (WHERE NOT b) AS ma, avg(log_runtime) FILTER (WHERE b) AS mb,
               var_samp(log_runtime) FILTER (WHERE NOT b) AS va, var_samp(log_runtime) FILTER (WHERE b) AS vb FROM runs
        UNION ALL
        SELECT 'cost_per_run', count(credits) FILTER (WHERE NOT b), count(credits) FILTER (WHERE b),
               avg(credits) FILTER (WHERE NOT b), avg(credits) FILTER (WHERE b),
               var_samp(credits) FILTER (WHERE NOT b), var_samp(credits) FILTER (WHERE b) FROM runs
        UNION ALL
        SELECT 'avg_rating', count(rating) FILTER (WHERE NOT b), count(rating) FILTER (WHERE b),
               avg(rating) FILTER (WHERE NOT b), avg(rating) FILTER (WHERE b),
               var_samp(rating) FILTER (WHERE NOT b), var_samp(rating) FILTER (WHERE b) FROM runs
    ), shares AS (
        SELECT count(*) FILTER (WHERE NOT b) AS na, count(*) FILTER (WHERE b) AS nb,
               count(*) FILTER (WHERE NOT b AND status = 'completed') AS sa, count(*) FILTER (WHERE b AND status = 'completed') AS sb FROM runs
    ), compared AS (
        SELECT 1 AS place, 'success_rate' AS metric, s.na, s.nb, s.sa::double precision / nullif(s.na, 0) AS value_a,
               s.sb::double precision / nullif(s.nb, 0) AS value_b, c.difference, c.effect_size, c.p_value, true AS more_is_better
        FROM shares AS s CROSS JOIN LATERAL analytics_internal.compare_shares(s.sa, s.na, s.sb, s.nb) AS c
        UNION ALL
        SELECT CASE s.metric WHEN 'runtime_seconds' THEN 2 WHEN 'cost_per_run' THEN 3 ELSE 4 END, s.metric, s.na, s.nb,
               CASE s.metric WHEN 'runtime_seconds' THEN exp(s.ma) ELSE s.ma END,
               CASE s.metric WHEN 'runtime_seconds' THEN exp(s.mb) ELSE s.mb END,
               CASE s.metric WHEN 'runtime_seconds' THEN exp(s.mb) - exp(s.ma) ELSE s.mb - s.ma END,
               c.effect_size, c.p_value, s.metric = 'avg_rating'
        FROM sums AS s CROSS JOIN LATERAL analytics_internal.compare_means(s.na, s.ma, s.va, s.nb, s.mb, s.vb) AS c
    )
    SELECT c.metric, c.na, c.nb, c.value_a, c.value_b, c.difference, c.effect_size, c.p_value,
           CASE WHEN c.p_value IS NULL THEN 'not known'
                WHEN c.p_value >= 0.05 THEN 'no difference shown'
                WHEN (c.difference > 0) = c.more_is_better THEN 'b is better' ELSE 'a is better' END
    FROM compared AS c ORDER BY c.place;
END
$$;
COMMENT ON FUNCTION analytics.compare_versions(uuid, uuid, text, text, text) IS
    'Finished runs of two versions of an agent in a timeframe: success_rate (z test or Fisher''s, Cohen''s h), runtime_seconds (geometric means; Welch''s t test and Hedges'' g on logarithms), cost_per_run and avg_rating (means; Welch''s t test, Hedges'' g). difference is b less a; p_value is two-sided and not corrected for the four questions; the verdict speaks of p below 0.05. Errors: 22023 unknown workspace, agent or timeframe, twice the same version.';

CREATE FUNCTION analytics_internal.judged_deployments(
    workspace_id uuid, only_agent uuid, from_time timestamptz, to_time timestamptz, failure_window interval, environment text)
RETURNS TABLE (deployment_id uuid, agent_id uuid, version text, strategy text, status text, started_at timestamptz, finished_at timestamptz,
               rolled_back_at timestamptz, is_rollback boolean, cause text, failed boolean, lead_seconds double precision,
               restore_seconds double precision, runs_after bigint, failures_after bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.deployment_id, d.agent_id, d.version, d.strategy, d.status, d.started_at, d.finished_at, d.rolled_back_at,
           d.rollback_of IS NOT NULL, d.cause, j.failed,
           CASE WHEN d.rollback_of IS NULL AND d.status <> 'failed' AND NOT EXISTS (
                    SELECT FROM analytics.agent_deployments AS e
                    WHERE e.workspace_id = $1 AND e.agent_id = d.agent_id AND e.environment = d.environment AND e.version = d.version
                      AND e.started_at < d.started_at AND e.status <> 'failed')
                THEN extract(epoch FROM d.finished_at - v.registered_at)::double precision END,
           CASE WHEN j.failed THEN (
               SELECT extract(epoch FROM min(n.finished_at) - d.started_at)::double precision FROM analytics.agent_deployments AS n
               WHERE n.workspace_id = $1 AND n.agent_id = d.agent_id AND n.environment = d.environment
                 AND n.deployment_id <> d.deployment_id AND n.finished_at >= d.started_at AND n.status = 'succeeded') END,
           a.runs, a.failures
    FROM analytics.agent_deployments AS d
    JOIN analytics.agent_versions AS v ON v.workspace_id = $1 AND v.agent_id = d.agent_id AND v.version = d.version
    CROSS JOIN LATERAL (
        SELECT d.status = 'failed' OR coalesce(d.rolled_back_at <= d.started_at + $5, false)
            OR EXISTS (SELECT FROM analytics.agent_errors AS x
                       WHERE x.workspace_id = $1 AND x.agent_id = d.agent_id AND x.error_severity = 'critical'
                         AND x.occurred_at >= d.started_at AND x.occurred_at < d.started_at + $5
                         AND d.environment = 'production') AS failed
    ) AS j
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs, count(*) FILTER (WHERE r.status IN ('failed', 'timeout')) AS failures
        FROM analytics.agent_runs AS r
        WHERE r.workspace_id = $1 AND r.agent_id = d.agent_id AND r.started_at >= d.started_at AND r.started_at < d.started_at + $5
          AND r.status NOT IN ('queued', 'running')
    ) AS a
    WHERE d.workspace_id = $1 AND ($2 IS NULL OR d.agent_id = $2) AND d.environment = $6
      AND d.started_at >= $3 AND d.started_at < $4
$$;
COMMENT ON FUNCTION analytics_internal.judged_deployments(uuid, uuid, timestamptz, timestamptz, interval, text) IS
    'Deployments to an environment with what became of them. failed: status failed, rolled back within the window, or a critical error of the agent within the window (production). lead_seconds: from registering the version to the end of its first deployment there. restore_seconds: from the start of one that failed to the end of the next that succeeded.';

CREATE FUNCTION analytics_internal.require_window(failure_window interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF $1 IS NULL OR $1 <= interval '0' THEN
        PERFORM analytics_internal.refuse_argument('failure_window', $1::text, 'it is no time', 'Use an interval such as 1 hour or 1 day.');
    END IF;
    RETURN $1;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_window(interval) IS 'Gives the interval back, or raises 22023 when it is NULL or not positive.';

CREATE FUNCTION analytics.deployment_metrics(
    workspace_id uuid, only_agent uuid DEFAULT NULL, timeframe text DEFAULT '30d', failure_window interval DEFAULT '1 day',
    environment text DEFAULT 'production')
RETURNS TABLE (agent_id uuid, agent_name text, deployments bigint, deployments_per_week double precision,
               median_lead_time_seconds double precision, failed_deployments bigint, rollbacks bigint, change_failure_rate double precision,
               median_restore_seconds double precision, failure_rate_after double precision)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    PERFORM analytics_internal.require_window($4);
    SELECT * INTO bounds FROM analytics.window_bounds($3);
    RETURN QUERY
    SELECT j.agent_id, a.name, count(*) FILTER (WHERE NOT j.is_rollback),
           count(*) FILTER (WHERE NOT j.is_rollback) * 168.0::double precision
               / greatest(analytics_internal.hours_between(
                     CASE WHEN $3 = 'all' THEN min(j.started_at) ELSE bounds.window_start END, least(bounds.window_end, now())), 168),
           analytics.percentile(j.lead_seconds, 0.5),
           count(*) FILTER (WHERE NOT j.is_rollback AND j.failed), count(*) FILTER (WHERE j.is_rollback),
           count(*) FILTER (WHERE NOT j.is_rollback AND j.failed)::double precision / nullif(count(*) FILTER (WHERE NOT j.is_rollback), 0),
           analytics.percentile(j.restore_seconds, 0.5) FILTER (WHERE NOT j.is_rollback),
           sum(j.failures_after) FILTER (WHERE NOT j.is_rollback)::double precision
               / nullif(sum(j.runs_after) FILTER (WHERE NOT j.is_rollback), 0)::double precision
    FROM analytics_internal.judged_deployments($1, $2, bounds.window_start, bounds.window_end, $4, $5) AS j
    LEFT JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = j.agent_id
    GROUP BY GROUPING SETS ((), (j.agent_id, a.name))
    HAVING $2 IS NULL OR j.agent_id IS NOT NULL
    ORDER BY j.agent_id IS NOT NULL, a.name, j.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.deployment_metrics(uuid, uuid, text, interval, text) IS
    'The four DORA measures of deployments to an environment (default production) that started in a timeframe: per agent, and in a first row without agent for the whole workspace. deployments and their number per week (rollbacks apart; a shorter time counts as a week); median_lead_time_seconds from registering a version to the end of its first deployment there; change_failure_rate: share that failed, were rolled back within failure_window (default 1 day), or in production were followed by a critical error of the agent within it; median_restore_seconds from the start of one that failed to the end of the next that succeeded. failure_rate_after: failed runs over finished ones within failure_window after the starts. NULL where there is nothing to measure. Errors: 22023 unknown workspace, agent or timeframe, failure_window not positive.';

CREATE FUNCTION analytics.deployment_risk(workspace_id uuid, timeframe text DEFAULT 'all', failure_window interval DEFAULT '1 day', environment text DEFAULT 'production')
RETURNS TABLE (weekday integer, hour integer, deployments bigint, failed_deployments bigint, failure_rate double precision, risk double precision)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 168
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    PERFORM analytics_internal.require_window($3);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT extract(isodow FROM d.started_at AT TIME ZONE w.time_zone)::integer AS weekday,
               extract(hour FROM d.started_at AT TIME ZONE w.time_zone)::integer AS hour, d.failed
        FROM analytics_internal.judged_deployments($1, NULL, bounds.window_start, bounds.window_end, $3, $4) AS d
        JOIN analytics.workspaces AS w ON w.workspace_id = $1
        WHERE NOT d.is_rollback
    )
    SELECT j.weekday, j.hour, count(*), count(*) FILTER (WHERE j.failed),
           count(*) FILTER (WHERE j.failed)::double precision / count(*),
           -- As if 4 deployments with the rate of the whole had been there before.
           (count(*) FILTER (WHERE j.failed) + 4 * (SELECT avg(x.failed::integer) FROM judged AS x))::double precision / (count(*) + 4)
    FROM judged AS j GROUP BY j.weekday, j.hour ORDER BY j.weekday, j.hour;
END
$$;
COMMENT ON FUNCTION analytics.deployment_risk(uuid, text, interval, text) IS
    'Deployments by hour of the week in the time zone of the workspace: weekday 1 (Monday) to 7, hour 0 to 23, how many, how many failed (as in deployment_metrics()), and risk: the rate drawn to that of all by as much as four deployments weigh, so that a single one says little. Hours without deployments have no row. Errors: 22023 unknown workspace or timeframe, failure_window not positive.';

CREATE FUNCTION analytics.rollback_analysis(workspace_id uuid, timeframe text DEFAULT '90d', environment text DEFAULT 'production')
RETURNS TABLE (cause text, rollbacks bigint, share double precision, agents bigint, median_seconds_to_rollback double precision,
               failure_rate_before_rollback double precision, last_rollback_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    SELECT d.cause, count(*), count(*)::double precision / sum(count(*)) OVER ()::double precision, count(DISTINCT d.agent_id),
           analytics.percentile(extract(epoch FROM d.rolled_back_at - d.started_at)::double precision, 0.5),
           sum(r.failures)::double precision / nullif(sum(r.runs), 0)::double precision, max(d.rolled_back_at)
    FROM analytics.agent_deployments AS d
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs, count(*) FILTER (WHERE x.status IN ('failed', 'timeout')) AS failures
        FROM analytics.agent_runs AS x
        WHERE x.workspace_id = $1 AND x.agent_id = d.agent_id AND x.started_at >= d.started_at AND x.started_at < d.rolled_back_at
          AND x.status NOT IN ('queued', 'running')
    ) AS r
    WHERE d.workspace_id = $1 AND d.environment = $3 AND d.status = 'rolled_back'
      AND d.started_at >= bounds.window_start AND d.started_at < bounds.window_end
    GROUP BY d.cause ORDER BY 2 DESC, 1;
END
$$;
COMMENT ON FUNCTION analytics.rollback_analysis(uuid, text, text) IS
    'Deployments that were rolled back, by cause: how many, their share, of how many agents, median seconds from start to rollback, failed runs over finished ones in between. Errors: 22023 unknown workspace or timeframe.';

------------------------------------------------------------------------------------------------------------------------
-- Analysis of transitions
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics_internal.moves(workspace_id uuid, from_time timestamptz)
RETURNS TABLE (agent_id uuid, sequence bigint, state text, entered_at timestamptz, left_at timestamptz, next_state text,
               next_type text, dwell_seconds double precision, forced boolean)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.* FROM (
        SELECT e.agent_id, e.sequence, e.to_state, e.occurred_at, lead(e.occurred_at) OVER agent AS left_at,
               lead(e.to_state) OVER agent, lead(e.event_type) OVER agent,
               extract(epoch FROM coalesce(lead(e.occurred_at) OVER agent, now()) - e.occurred_at)::double precision,
               lead(e.forced) OVER agent
        FROM analytics.agent_lifecycle_events AS e
        WHERE e.workspace_id = $1
        WINDOW agent AS (PARTITION BY e.agent_id ORDER BY e.sequence)
    ) AS m
    WHERE m.left_at IS NULL OR m.left_at >= $2
$$;
COMMENT ON FUNCTION analytics_internal.moves(uuid, timestamptz) IS
    'Stays of agents in states that ended at or after a time or have not ended: with the state that followed, how it was entered, seconds (to now for those that have not ended).';

CREATE FUNCTION analytics.transition_matrix(workspace_id uuid, timeframe text DEFAULT 'all')
RETURNS TABLE (from_state text, to_state text, transitions bigint, probability double precision, still_there bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    WITH moves AS MATERIALIZED (SELECT * FROM analytics_internal.moves($1, bounds.window_start))
    SELECT m.state, m.next_state, count(*) FILTER (WHERE m.next_type = 'transition'),
           count(*) FILTER (WHERE m.next_type = 'transition')::double precision
               / nullif(sum(count(*) FILTER (WHERE m.next_type = 'transition')) OVER (PARTITION BY m.state), 0)::double precision,
           (SELECT count(*) FROM moves AS c WHERE c.state = m.state AND c.left_at IS NULL)
    FROM moves AS m
    WHERE m.next_type = 'transition'
       OR m.next_state IS NULL AND NOT EXISTS (SELECT FROM moves AS o WHERE o.state = m.state AND o.next_type = 'transition')
    GROUP BY m.state, m.next_state
    ORDER BY m.state, 3 DESC, m.next_state;
END
$$;
COMMENT ON FUNCTION analytics.transition_matrix(uuid, text) IS
    'How often agents went from each state to each other in a timeframe, and with which probability among those that left; still_there: agents that are in from_state now, which have not left and are in no probability. A state that nobody left has a row without to_state. What was registered rather than moved does not count. Errors: 22023 unknown workspace or timeframe.';

CREATE FUNCTION analytics.lifecycle_flow(workspace_id uuid, timeframe text DEFAULT 'all')
RETURNS TABLE (from_state text, to_state text, transitions bigint, agents bigint, mean_seconds double precision,
               median_seconds double precision, p90_seconds double precision, forced_transitions bigint)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    SELECT m.state, m.next_state, count(*), count(DISTINCT m.agent_id), avg(m.dwell_seconds),
           analytics.percentile(m.dwell_seconds, 0.5), analytics.percentile(m.dwell_seconds, 0.9), count(*) FILTER (WHERE m.forced)
    FROM analytics_internal.moves($1, bounds.window_start) AS m
    WHERE m.next_type = 'transition'
    GROUP BY m.state, m.next_state ORDER BY count(*) DESC, m.state, m.next_state;
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_flow(uuid, text) IS
    'The directly-follows graph: one row per edge that was used in a timeframe, with the transitions, the agents, and the seconds that agents had been in from_state (mean, median, 90th percentile). Errors: 22023 unknown workspace or timeframe.';

CREATE FUNCTION analytics.lifecycle_variants(workspace_id uuid)
RETURNS TABLE (path text[], agents bigint, share double precision, median_seconds double precision, example_agent_id uuid)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    SELECT p.path, count(*), count(*)::double precision / sum(count(*)) OVER ()::double precision,
           analytics.percentile(p.seconds, 0.5), (array_agg(p.agent_id ORDER BY p.agent_id))[1]
    FROM (SELECT e.agent_id, array_agg(e.to_state ORDER BY e.sequence) AS path,
                 extract(epoch FROM max(e.occurred_at) - min(e.occurred_at))::double precision AS seconds
          FROM analytics.agent_lifecycle_events AS e WHERE e.workspace_id = $1 GROUP BY e.agent_id) AS p
    GROUP BY p.path ORDER BY count(*) DESC, p.path;
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_variants(uuid) IS
    'The paths that agents have gone so far, most frequent first: their states in order, how many agents, their share, median seconds from the first event to the last. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.promotion_funnel(workspace_id uuid)
RETURNS TABLE (place integer, state text, agents bigint, conversion_from_start double precision,
               conversion_from_previous double precision, median_seconds_from_start double precision)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    RETURN QUERY
    WITH way AS MATERIALIZED (
        SELECT s.place, s.state FROM analytics_internal.states_of($1) AS s WHERE s.place IS NOT NULL
    ), first AS MATERIALIZED (
        SELECT e.agent_id, w.place, min(e.occurred_at) AS at,
               min(min(e.occurred_at)) OVER (PARTITION BY e.agent_id) AS began
        FROM analytics.agent_lifecycle_events AS e JOIN way AS w ON w.state = e.to_state
        WHERE e.workspace_id = $1 GROUP BY e.agent_id, w.place
    ), reached AS (
        -- Who was seen further on came by, although nobody saw it.
        SELECT w.place, w.state, count(DISTINCT f.agent_id) FILTER (WHERE f.place >= w.place) AS agents,
               analytics.percentile(extract(epoch FROM f.at - f.began)::double precision, 0.5)
                   FILTER (WHERE f.place = w.place AND f.at > f.began) AS seconds
        FROM way AS w LEFT JOIN first AS f ON f.place >= w.place GROUP BY w.place, w.state
    )
    SELECT r.place, r.state, r.agents, r.agents::double precision / nullif(first_value(r.agents) OVER w, 0),
           r.agents::double precision / nullif(lag(r.agents) OVER w, 0), r.seconds
    FROM reached AS r WINDOW w AS (ORDER BY r.place) ORDER BY r.place;
END
$$;
COMMENT ON FUNCTION analytics.promotion_funnel(uuid) IS
    'How many agents have come how far on the way: per state the agents that reached it or a later one, the shares of the first and of the state before, and the median seconds from the first event of an agent to the first time there, of those that came from somewhere. Errors: 22023 unknown workspace.';

CREATE FUNCTION analytics.lifecycle_bounce_backs(workspace_id uuid, timeframe text DEFAULT 'all')
RETURNS TABLE (agent_id uuid, agent_name text, from_state text, back_to text, occurred_at timestamptz, seconds_there double precision, reason text)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN QUERY
    SELECT m.agent_id, a.name, m.state, m.next_state, m.left_at, m.dwell_seconds, e.reason
    FROM analytics_internal.moves($1, bounds.window_start) AS m
    JOIN analytics_internal.states_of($1) AS f ON f.state = m.state
    JOIN analytics_internal.states_of($1) AS t ON t.state = m.next_state AND t.place < f.place
    JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = m.agent_id
    JOIN analytics.agent_lifecycle_events AS e ON e.workspace_id = $1 AND e.agent_id = m.agent_id AND e.sequence = m.sequence + 1
    WHERE m.next_type = 'transition'
    ORDER BY m.left_at DESC, m.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_bounce_backs(uuid, text) IS
    'Transitions back on the way, newest first: from where to where, seconds in the state that was left, reason. Errors: 22023 unknown workspace or timeframe.';

CREATE FUNCTION analytics.anomalous_transitions(
    workspace_id uuid, timeframe text DEFAULT '90d', max_probability double precision DEFAULT 0.05, min_deviations double precision DEFAULT 3.5)
RETURNS TABLE (agent_id uuid, agent_name text, sequence bigint, from_state text, to_state text, occurred_at timestamptz,
               probability double precision, dwell_seconds double precision, deviations double precision, reasons text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    IF $3 IS NULL OR $3 NOT BETWEEN 0 AND 1 THEN
        PERFORM analytics_internal.refuse_argument('max_probability', $3::text, 'it lies outside 0 to 1', 'Use a share such as 0.05.');
    END IF;
    RETURN QUERY
    WITH moves AS MATERIALIZED (
        SELECT m.*, ln(greatest(m.dwell_seconds, 1)) AS log_dwell FROM analytics_internal.moves($1, '-infinity') AS m WHERE m.next_type = 'transition'
    ), edges AS MATERIALIZED (
        SELECT m.state, m.next_state, count(*) AS n, sum(count(*)) OVER (PARTITION BY m.state) AS of_all, analytics.percentile(m.log_dwell, 0.5) AS middle
        FROM moves AS m GROUP BY m.state, m.next_state
    ), spreads AS MATERIALIZED (
        SELECT m.state, m.next_state, 1.4826 * analytics.percentile(abs(m.log_dwell - e.middle), 0.5) AS spread
        FROM moves AS m JOIN edges AS e USING (state, next_state) GROUP BY m.state, m.next_state
    ), judged AS (
        SELECT m.*, e.n::double precision / e.of_all::double precision AS p, e.of_all,
               -- A spread is known from ten on; it is never taken for less than a tenth (of a logarithm).
               CASE WHEN e.n >= 10 THEN (m.log_dwell - e.middle) / greatest(s.spread, 0.1) END AS z
        FROM moves AS m JOIN edges AS e USING (state, next_state) JOIN spreads AS s USING (state, next_state)
        WHERE m.left_at >= bounds.window_start
    )
    SELECT j.agent_id, a.name, j.sequence + 1, j.state, j.next_state, j.left_at, j.p, j.dwell_seconds, j.z,
           array_remove(ARRAY[CASE WHEN j.p <= $3 AND j.of_all >= 20 THEN 'improbable transition' END,
                              CASE WHEN j.z >= $4 THEN 'stayed unusually long' WHEN j.z <= -$4 THEN 'stayed unusually short' END], NULL)
    FROM judged AS j JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = j.agent_id
    WHERE j.p <= $3 AND j.of_all >= 20 OR abs(j.z) >= $4
    ORDER BY j.left_at DESC, j.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.anomalous_transitions(uuid, text, double precision, double precision) IS
    'Transitions in a timeframe that are rare or came at an unusual time, judged by all transitions of the workspace: edges with a probability of at most max_probability among 20 or more out of the state, and stays whose logarithm lies min_deviations robust standard deviations (from the median absolute deviation) from the median of 10 or more on that edge. Errors: 22023 unknown workspace or timeframe, max_probability outside 0..1.';

CREATE FUNCTION analytics.state_survival(workspace_id uuid, state text, confidence double precision DEFAULT 0.95, to_state text DEFAULT NULL)
RETURNS TABLE (seconds double precision, at_risk bigint, events bigint, censored bigint, survival double precision,
               std_err double precision, ci_low double precision, ci_high double precision)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $2 IS NULL OR NOT EXISTS (SELECT FROM analytics_internal.states_of($1) AS s WHERE s.state = $2) THEN
        PERFORM analytics_internal.refuse_argument('state', $2, 'it is not a state of the lifecycle',
            'Use a state from analytics.lifecycle_states_of().');
    END IF;
    RETURN QUERY
    SELECT k.*
    FROM (SELECT coalesce(array_agg(m.dwell_seconds), '{}') AS durations,
                 coalesce(array_agg(m.left_at IS NOT NULL AND ($4 IS NULL OR m.next_state = $4)), '{}') AS observed
          FROM analytics_internal.moves($1, '-infinity') AS m WHERE m.state = $2) AS d
    CROSS JOIN LATERAL analytics.kaplan_meier(d.durations, d.observed, $3) AS k;
END
$$;
COMMENT ON FUNCTION analytics.state_survival(uuid, text, double precision, text) IS
    'How long agents stay in a state, by Kaplan-Meier over all stays; those that have not ended are censored now, and with to_state those that led elsewhere are censored when they ended. Columns as kaplan_meier(), time in seconds. Errors: 22023 unknown workspace or state, confidence out of range.';

CREATE FUNCTION analytics.state_survival_test(workspace_id uuid, state text, group_by text DEFAULT 'agent_type')
RETURNS TABLE (statistic double precision, degrees_of_freedom integer, p_value double precision, groups jsonb)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $3 IS NULL OR $3 NOT IN ('agent_type', 'owner', 'forced') THEN
        PERFORM analytics_internal.refuse_argument('group_by', $3, 'it is not a way to group agents',
            'Use agent_type, owner (has one or not) or forced (entered by force or not).');
    END IF;
    RETURN QUERY
    WITH stays AS MATERIALIZED (
        SELECT m.dwell_seconds, m.left_at IS NOT NULL AS ended,
               CASE $3 WHEN 'agent_type' THEN a.agent_type WHEN 'owner' THEN CASE WHEN a.owner_id IS NULL THEN 'no owner' ELSE 'owner' END
                       ELSE CASE WHEN e.forced THEN 'forced' ELSE 'not forced' END END AS name
        FROM analytics_internal.moves($1, '-infinity') AS m
        JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = m.agent_id
        JOIN analytics.agent_lifecycle_events AS e ON e.workspace_id = $1 AND e.agent_id = m.agent_id AND e.sequence = m.sequence
        WHERE m.state = $2
    )
    SELECT t.statistic, t.degrees_of_freedom, t.p_value,
           (SELECT jsonb_object_agg(g.name, jsonb_build_object('stays', g.n, 'ended', g.ended, 'median_seconds', g.middle))
            FROM (SELECT s.name, count(*) AS n, count(*) FILTER (WHERE s.ended) AS ended,
                         analytics.survival_median(array_agg(s.dwell_seconds), array_agg(s.ended)) AS middle
                  FROM stays AS s GROUP BY s.name) AS g)
    FROM (SELECT coalesce(array_agg(s.dwell_seconds), '{}') AS durations, coalesce(array_agg(s.ended), '{}') AS ended,
                 coalesce(array_agg(s.name), '{}') AS names FROM stays AS s) AS d
    CROSS JOIN LATERAL analytics.log_rank_test(d.durations, d.ended, d.names) AS t;
END
$$;
COMMENT ON FUNCTION analytics.state_survival_test(uuid, text, text) IS
    'Whether groups of agents stay equally long in a state: log-rank test by agent_type, owner (has one or not), or forced (the stay was entered by force or not), with stays, ended stays and median seconds of each group. Errors: 22023 unknown workspace or grouping, fewer than two groups that can be compared.';

CREATE FUNCTION analytics.lifecycle_mermaid(workspace_id uuid, timeframe text DEFAULT 'all') RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics.window_bounds($2);
    RETURN (
        WITH moves AS MATERIALIZED (SELECT * FROM analytics_internal.moves($1, bounds.window_start)),
        lines AS (
            SELECT 0 AS part, 0 AS place, '' AS name, 'stateDiagram-v2' AS line
            UNION ALL
            SELECT 1, coalesce(s.place, 1000), s.state,
                   format('    %s : %s (%s)', s.state, s.state, (SELECT count(*) FROM moves AS m WHERE m.state = s.state AND m.left_at IS NULL))
            FROM analytics_internal.states_of($1) AS s
            UNION ALL
            SELECT 2, 0, '', '    [*] --> draft'
            UNION ALL
            SELECT 3, coalesce(f.place, 1000), t.from_state || ' ' || t.to_state,
                   format('    %s --> %s', t.from_state, t.to_state)
                   || coalesce(' : ' || nullif((SELECT count(*) FROM moves AS m WHERE m.state = t.from_state AND m.next_state = t.to_state
                                                AND m.next_type = 'transition'), 0), '')
            FROM analytics_internal.transitions_of($1) AS t JOIN analytics_internal.states_of($1) AS f ON f.state = t.from_state
            UNION ALL
            SELECT 4, coalesce(s.place, 1000), s.state, format('    %s --> [*]', s.state)
            FROM analytics_internal.states_of($1) AS s WHERE s.terminal
        )
        SELECT string_agg(l.line, E'\n' ORDER BY l.part, l.place, l.name) FROM lines AS l);
END
$$;
COMMENT ON FUNCTION analytics.lifecycle_mermaid(uuid, text) IS
    'The states and transitions of a workspace as a Mermaid state diagram, with the agents in each state now and the transitions in a timeframe. Errors: 22023 unknown workspace or timeframe.';

------------------------------------------------------------------------------------------------------------------------
-- Health
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics.agent_health(workspace_id uuid, only_agent uuid DEFAULT NULL)
RETURNS TABLE (agent_id uuid, agent_name text, lifecycle_state text, score double precision, performance double precision,
               reliability double precision, usage double precision, maintenance double precision, cost double precision,
               trend double precision, reasons text[], recommendations text[])
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    recent record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO recent FROM analytics.window_bounds('7d');
    RETURN QUERY
    WITH agents AS MATERIALIZED (
        SELECT a.agent_id, a.name, a.lifecycle_state, a.owner_id, a.created_at FROM analytics.agents AS a WHERE a.workspace_id = $1
    ), now_measures AS MATERIALIZED (
        SELECT m.*, m.successful_runs::double precision / nullif(m.finished_runs, 0) AS success_rate,
               m.credits_consumed::double precision / nullif(m.total_runs, 0) AS cost_per_run
        FROM analytics_internal.run_measures($1, NULL, recent.window_start, recent.window_end) AS m
    ), past_measures AS MATERIALIZED (
        SELECT m.*, m.successful_runs::double precision / nullif(m.finished_runs, 0) AS success_rate,
               m.credits_consumed::double precision / nullif(m.total_runs, 0) AS cost_per_run
        FROM analytics_internal.run_measures($1, $2, recent.window_start - interval '720 hours', recent.window_start) AS m
    ), peers AS MATERIALIZED (
        SELECT a.lifecycle_state, analytics.percentile(m.total_runs::double precision, 0.5) AS runs,
               analytics.percentile(m.p95_runtime_seconds, 0.5) AS runtime, analytics.percentile(m.cost_per_run, 0.5) AS cost
        FROM agents AS a JOIN now_measures AS m ON m.agent_id = a.agent_id GROUP BY a.lifecycle_state
    ), critical AS MATERIALIZED (
        SELECT x.agent_id, sum(x.total_errors - x.recovered_errors)::double precision AS errors
        FROM analytics_internal.error_summary_buckets($1, $2, recent.window_start, recent.window_end, NULL,
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
    ORDER BY h.score NULLS LAST, a.name, a.agent_id;
END
$$;
COMMENT ON FUNCTION analytics.agent_health(uuid, uuid) IS
    'Health of the agents of a workspace, or of one, worst first: score 0 to 100 from performance (weight .25), reliability (.25), usage (.20), maintenance (.15) and cost (.15), each compared with the agents in the same state, with the agent''s own 30 days before, or with a fixed scale; a component without data is NULL and the weights of the others grow. trend: points since the stored score of a week or more ago. reasons and recommendations say what is poor. Formulas: docs/lifecycle_health.md. Errors: 22023 unknown workspace or agent.';

CREATE FUNCTION analytics.record_agent_health(workspace_id uuid DEFAULT NULL) RETURNS bigint
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
COMMENT ON FUNCTION analytics.record_agent_health(uuid) IS
    'Stores the health of today (UTC) of every agent of a workspace, or of all workspaces when it is NULL; a second call on a day replaces the first. Returns the number of agents. Call it daily. For admins; without a workspace, what the caller administers. Errors: 22023 unknown workspace, 42501 no admin.';

------------------------------------------------------------------------------------------------------------------------
-- Retirement
------------------------------------------------------------------------------------------------------------------------
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

------------------------------------------------------------------------------------------------------------------------
-- The whole picture
------------------------------------------------------------------------------------------------------------------------
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
