-- Time in state: the aggregate state_agg and its accessors.

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

CREATE FUNCTION analytics.duration_in(summary analytics.state_summary, state text, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT now()) RETURNS interval
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'state_duration_in';
COMMENT ON FUNCTION analytics.duration_in(analytics.state_summary, text, timestamptz, timestamptz) IS 'Time in a state from from_time (NULL: the first observation) to to_time (default now; NULL: the last observation), the open state included. Zero for a state that does not occur; NULL for no summary or no state. Errors: 22023 to_time is infinite.';
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

CREATE FUNCTION analytics.into_values(summary analytics.state_summary, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT now())
RETURNS TABLE (state text, duration interval, entries bigint)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.state_totals($1::bytea, $2, $3) WHERE $1 IS NOT NULL $$;
COMMENT ON FUNCTION analytics.into_values(analytics.state_summary, timestamptz, timestamptz) IS 'One row per state, by name: time in it and how often it was entered, from from_time (NULL: the first observation) to to_time (default now; NULL: the last observation). The durations add up to the time that is looked at. Errors: 22023 to_time is infinite.';
CREATE FUNCTION analytics.state_timeline(summary analytics.state_summary, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT now())
RETURNS TABLE (state text, start_time timestamptz, end_time timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.state_rows($1::bytea, $2, $3) WHERE $1 IS NOT NULL $$;
COMMENT ON FUNCTION analytics.state_timeline(analytics.state_summary, timestamptz, timestamptz) IS 'One row per stay in a state, in order; the bounds are those of into_values(). A state that lasted no time has a row, too.';
CREATE FUNCTION analytics.state_periods(summary analytics.state_summary, state text, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT now())
RETURNS TABLE (start_time timestamptz, end_time timestamptz)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.start_time, r.end_time FROM analytics_internal.state_rows($1::bytea, $3, $4) AS r WHERE $1 IS NOT NULL AND r.state = $2 $$;
COMMENT ON FUNCTION analytics.state_periods(analytics.state_summary, text, timestamptz, timestamptz) IS 'The stays in one state, in order; as state_timeline().';
COMMENT ON FUNCTION analytics_internal.state_rows(bytea, timestamptz, timestamptz) IS 'The rows of state_timeline(), from the bytes of a summary.';
COMMENT ON FUNCTION analytics_internal.state_totals(bytea, timestamptz, timestamptz) IS 'The rows of into_values(), from the bytes of a summary.';

CREATE FUNCTION analytics.state_durations(
    relation regclass, entity_column name, time_column name, state_column name,
    from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT now(), sequence_column name DEFAULT NULL)
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
    'Time in state of every entity in a table of (entity, time, state), with any names: one row per entity and state. Reads with the rights of the caller. from_time and to_time as in into_values(). Errors: 22023 an argument is NULL, 42703 no such column.';
