-- What reads need besides the functions that follow from the declarations.

CREATE FUNCTION analytics_internal.count_agents_transition(internal, uuid) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_transition';
COMMENT ON FUNCTION analytics_internal.count_agents_transition(internal, uuid) IS 'Part of the aggregate count_agents: remembers an id.';
CREATE FUNCTION analytics_internal.count_agents_final(internal) RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'count_agents_final';
COMMENT ON FUNCTION analytics_internal.count_agents_final(internal) IS 'Part of the aggregate count_agents: how many ids there are.';

CREATE AGGREGATE analytics_internal.count_agents(agent_id uuid) (
    SFUNC = analytics_internal.count_agents_transition, STYPE = internal, SSPACE = 256,
    FINALFUNC = analytics_internal.count_agents_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics_internal.count_agents(uuid) IS
    'As count(DISTINCT), by a hash table: rows need not be sorted for it. 0 for a group without ids. Memory: some 40 bytes for each id, outside of what work_mem counts.';
