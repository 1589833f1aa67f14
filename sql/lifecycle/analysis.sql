-- Analysis: survival, and what the history of transitions tells.

-- ------------------------------------------------------------------------------------------------------------ survival

CREATE FUNCTION analytics.kaplan_meier(
    durations double precision[], observed boolean[], confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    "time" double precision, at_risk bigint, events bigint, censored bigint, survival double precision,
    std_err double precision, ci_low double precision, ci_high double precision
)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'kaplan_meier_wrapper';
COMMENT ON FUNCTION analytics.kaplan_meier(double precision[], boolean[], double precision) IS
    'Kaplan-Meier estimate from durations (any unit, zero or more) and whether each ended then (true) or was still going on (false): one row at 0 and one per distinct duration, with the number at risk, events, censored, the share that lasts longer, its standard error (Greenwood), and the log-log confidence interval. Pairs with a NULL are left out. Errors: 22023 a duration or confidence out of range, arrays of different lengths.';

CREATE FUNCTION analytics.survival_median(durations double precision[], observed boolean[]) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'survival_median_wrapper';
COMMENT ON FUNCTION analytics.survival_median(double precision[], boolean[]) IS
    'Median of durations of which some are still going on, by Kaplan-Meier: the first that at most half outlast. NULL where more than half do throughout. Errors as kaplan_meier().';

CREATE FUNCTION analytics.log_rank_test(durations double precision[], observed boolean[], groups text[])
RETURNS TABLE (statistic double precision, degrees_of_freedom integer, p_value double precision)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'log_rank_test_wrapper';
COMMENT ON FUNCTION analytics.log_rank_test(double precision[], boolean[], text[]) IS
    'Log-rank test of two or more groups of durations, of which some are still going on: chi-squared statistic, degrees of freedom, and the probability of such a difference when the groups last equally long. Rows with a NULL are left out. Errors: 22023 fewer than two groups, groups without events at common times, a bad duration, arrays of different lengths.';
COMMENT ON FUNCTION analytics_internal.compare_means(double precision, double precision, double precision, double precision, double precision, double precision) IS
    'Two samples by count, mean and variance (n - 1): difference (second less first), Hedges'' g, p-value of Welch''s t test (two-sided). NULL where it cannot be known.';
COMMENT ON FUNCTION analytics_internal.compare_shares(bigint, bigint, bigint, bigint) IS
    'Successes and trials of two samples: difference (second less first), Cohen''s h, two-sided p-value of the z test, or of Fisher''s exact test where an expected count is below 5.';
COMMENT ON FUNCTION analytics_internal.health_of(double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, double precision, boolean) IS
    'Health from facts: recent, past and peer runs, success rate, past success rate, runtime, past, peers, cost, past, peers, rating, critical errors, days since a change, has an owner. See docs/lifecycle.md.';
COMMENT ON FUNCTION analytics_internal.check_dependencies(uuid) IS
    'Raises 23514 when the dependencies of a workspace form a circle, and names the agents in it.';

-- --------------------------------------------------------------------------------------------- analysis of transitions

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
    WHERE m.left_at IS NULL OR m.left_at >= coalesce($2, '-infinity')
$$;
COMMENT ON FUNCTION analytics_internal.moves(uuid, timestamptz) IS
    'Stays of agents in states that ended at or after a time (NULL: at any) or have not ended: with the state that followed, how it was entered, seconds (to now for those that have not ended).';

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
        SELECT m.*, ln(greatest(m.dwell_seconds, 1)) AS log_dwell FROM analytics_internal.moves($1, NULL) AS m WHERE m.next_type = 'transition'
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
        WHERE m.left_at >= coalesce(bounds.window_start, '-infinity')
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
          FROM analytics_internal.moves($1, NULL) AS m WHERE m.state = $2) AS d
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
        FROM analytics_internal.moves($1, NULL) AS m
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
