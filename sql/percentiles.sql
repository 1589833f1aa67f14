-- Percentiles, sketches, distinct counts and statistics: the SQL of src/percentiles/.
-- Aggregates work on internal states that live in the memory of the aggregate; sketches are values that can be stored.

CREATE TYPE analytics.percentile_sketch;
CREATE FUNCTION analytics_internal.percentile_sketch_in(cstring) RETURNS analytics.percentile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_in';
CREATE FUNCTION analytics_internal.percentile_sketch_out(analytics.percentile_sketch) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_out';
CREATE FUNCTION analytics_internal.percentile_sketch_recv(internal) RETURNS analytics.percentile_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_recv';
CREATE FUNCTION analytics_internal.percentile_sketch_send(analytics.percentile_sketch) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_send';
CREATE TYPE analytics.percentile_sketch (
    INPUT   = analytics_internal.percentile_sketch_in,
    OUTPUT  = analytics_internal.percentile_sketch_out,
    RECEIVE = analytics_internal.percentile_sketch_recv,
    SEND    = analytics_internal.percentile_sketch_send,
    STORAGE = extended
);
COMMENT ON TYPE analytics.percentile_sketch IS 'Distribution of doubles that merges: exact up to 250 values, beyond with a guaranteed relative error (1 % unless asked otherwise), at most 6 kB and below 2 kB for ordinary data. Made by percentile_agg(), read by approx_percentile() and others, merged by rollup(). Equal content has equal bytes, whatever the order of rows and merges.';
COMMENT ON FUNCTION analytics_internal.percentile_sketch_in(cstring) IS 'Reads the text form, that of bytea; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.percentile_sketch_out(analytics.percentile_sketch) IS 'Writes the text form: \x and hexadecimal digits.';
COMMENT ON FUNCTION analytics_internal.percentile_sketch_recv(internal) IS 'Reads the binary form; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.percentile_sketch_send(analytics.percentile_sketch) IS 'Writes the binary form: the stored bytes.';

CREATE FUNCTION analytics_internal.percentile_sketch_eq(analytics.percentile_sketch, analytics.percentile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_eq';
CREATE FUNCTION analytics_internal.percentile_sketch_ne(analytics.percentile_sketch, analytics.percentile_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_ne';
CREATE OPERATOR analytics.= (
    LEFTARG = analytics.percentile_sketch, RIGHTARG = analytics.percentile_sketch, FUNCTION = analytics_internal.percentile_sketch_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.percentile_sketch, RIGHTARG = analytics.percentile_sketch, FUNCTION = analytics_internal.percentile_sketch_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON FUNCTION analytics_internal.percentile_sketch_eq(analytics.percentile_sketch, analytics.percentile_sketch) IS 'Whether two values hold the same: equal content has equal bytes.';
COMMENT ON FUNCTION analytics_internal.percentile_sketch_ne(analytics.percentile_sketch, analytics.percentile_sketch) IS 'Whether two values differ.';
COMMENT ON OPERATOR analytics.= (analytics.percentile_sketch, analytics.percentile_sketch) IS 'equal content';
COMMENT ON OPERATOR analytics.<> (analytics.percentile_sketch, analytics.percentile_sketch) IS 'different content';

-- The same bytes under another name: for storing, sending and comparing elsewhere. The way back is the input function.
CREATE CAST (analytics.percentile_sketch AS bytea) WITHOUT FUNCTION;
COMMENT ON CAST (analytics.percentile_sketch AS bytea) IS 'the stored bytes';

CREATE TYPE analytics.distinct_sketch;
CREATE FUNCTION analytics_internal.distinct_sketch_in(cstring) RETURNS analytics.distinct_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_sketch_in';
CREATE FUNCTION analytics_internal.distinct_sketch_out(analytics.distinct_sketch) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_out';
CREATE FUNCTION analytics_internal.distinct_sketch_recv(internal) RETURNS analytics.distinct_sketch
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_sketch_recv';
CREATE FUNCTION analytics_internal.distinct_sketch_send(analytics.distinct_sketch) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_send';
CREATE TYPE analytics.distinct_sketch (
    INPUT   = analytics_internal.distinct_sketch_in,
    OUTPUT  = analytics_internal.distinct_sketch_out,
    RECEIVE = analytics_internal.distinct_sketch_recv,
    SEND    = analytics_internal.distinct_sketch_send,
    STORAGE = extended
);
COMMENT ON TYPE analytics.distinct_sketch IS 'Count of distinct values that merges: exact up to some 1,500 values, beyond with a standard error of 0.81 %, at most 8.3 kB. Stored as Apache DataSketches store it (HLL_4, compact, lg_k 14). Made by distinct_agg(), read by approx_distinct(), merged by rollup().';
COMMENT ON FUNCTION analytics_internal.distinct_sketch_in(cstring) IS 'Reads the text form, that of bytea; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.distinct_sketch_out(analytics.distinct_sketch) IS 'Writes the text form: \x and hexadecimal digits.';
COMMENT ON FUNCTION analytics_internal.distinct_sketch_recv(internal) IS 'Reads the binary form; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.distinct_sketch_send(analytics.distinct_sketch) IS 'Writes the binary form: the stored bytes.';

CREATE FUNCTION analytics_internal.distinct_sketch_eq(analytics.distinct_sketch, analytics.distinct_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_eq';
CREATE FUNCTION analytics_internal.distinct_sketch_ne(analytics.distinct_sketch, analytics.distinct_sketch) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_ne';
CREATE OPERATOR analytics.= (
    LEFTARG = analytics.distinct_sketch, RIGHTARG = analytics.distinct_sketch, FUNCTION = analytics_internal.distinct_sketch_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.distinct_sketch, RIGHTARG = analytics.distinct_sketch, FUNCTION = analytics_internal.distinct_sketch_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON FUNCTION analytics_internal.distinct_sketch_eq(analytics.distinct_sketch, analytics.distinct_sketch) IS 'Whether two values hold the same: equal content has equal bytes.';
COMMENT ON FUNCTION analytics_internal.distinct_sketch_ne(analytics.distinct_sketch, analytics.distinct_sketch) IS 'Whether two values differ.';
COMMENT ON OPERATOR analytics.= (analytics.distinct_sketch, analytics.distinct_sketch) IS 'equal content';
COMMENT ON OPERATOR analytics.<> (analytics.distinct_sketch, analytics.distinct_sketch) IS 'different content';

-- The same bytes under another name: for storing, sending and comparing elsewhere. The way back is the input function.
CREATE CAST (analytics.distinct_sketch AS bytea) WITHOUT FUNCTION;
COMMENT ON CAST (analytics.distinct_sketch AS bytea) IS 'the stored bytes';

CREATE TYPE analytics.stats_summary;
CREATE FUNCTION analytics_internal.stats_summary_in(cstring) RETURNS analytics.stats_summary
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_in';
CREATE FUNCTION analytics_internal.stats_summary_out(analytics.stats_summary) RETURNS cstring
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_out';
CREATE FUNCTION analytics_internal.stats_summary_recv(internal) RETURNS analytics.stats_summary
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_recv';
CREATE FUNCTION analytics_internal.stats_summary_send(analytics.stats_summary) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_send';
CREATE TYPE analytics.stats_summary (
    INPUT   = analytics_internal.stats_summary_in,
    OUTPUT  = analytics_internal.stats_summary_out,
    RECEIVE = analytics_internal.stats_summary_recv,
    SEND    = analytics_internal.stats_summary_send,
    STORAGE = extended
);
COMMENT ON TYPE analytics.stats_summary IS 'Count, sum, mean, variance, least and greatest value of doubles, kept without rounding, so that it merges in any order to the same bytes. Made by stats_agg(), merged by rollup().';
COMMENT ON FUNCTION analytics_internal.stats_summary_in(cstring) IS 'Reads the text form, that of bytea; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.stats_summary_out(analytics.stats_summary) IS 'Writes the text form: \x and hexadecimal digits.';
COMMENT ON FUNCTION analytics_internal.stats_summary_recv(internal) IS 'Reads the binary form; refuses what this extension has not written (22P03).';
COMMENT ON FUNCTION analytics_internal.stats_summary_send(analytics.stats_summary) IS 'Writes the binary form: the stored bytes.';

CREATE FUNCTION analytics_internal.stats_summary_eq(analytics.stats_summary, analytics.stats_summary) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_eq';
CREATE FUNCTION analytics_internal.stats_summary_ne(analytics.stats_summary, analytics.stats_summary) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stored_ne';
CREATE OPERATOR analytics.= (
    LEFTARG = analytics.stats_summary, RIGHTARG = analytics.stats_summary, FUNCTION = analytics_internal.stats_summary_eq,
    COMMUTATOR = OPERATOR(analytics.=), NEGATOR = OPERATOR(analytics.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
CREATE OPERATOR analytics.<> (
    LEFTARG = analytics.stats_summary, RIGHTARG = analytics.stats_summary, FUNCTION = analytics_internal.stats_summary_ne,
    COMMUTATOR = OPERATOR(analytics.<>), NEGATOR = OPERATOR(analytics.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON FUNCTION analytics_internal.stats_summary_eq(analytics.stats_summary, analytics.stats_summary) IS 'Whether two values hold the same: equal content has equal bytes.';
COMMENT ON FUNCTION analytics_internal.stats_summary_ne(analytics.stats_summary, analytics.stats_summary) IS 'Whether two values differ.';
COMMENT ON OPERATOR analytics.= (analytics.stats_summary, analytics.stats_summary) IS 'equal content';
COMMENT ON OPERATOR analytics.<> (analytics.stats_summary, analytics.stats_summary) IS 'different content';

-- The same bytes under another name: for storing, sending and comparing elsewhere. The way back is the input function.
CREATE CAST (analytics.stats_summary AS bytea) WITHOUT FUNCTION;
COMMENT ON CAST (analytics.stats_summary AS bytea) IS 'the stored bytes';

-- Exact percentiles: the transition keeps the values, the end selects.
CREATE FUNCTION analytics_internal.percentile_transition(internal, double precision, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_transition';
COMMENT ON FUNCTION analytics_internal.percentile_transition(internal, double precision, double precision) IS 'Part of the aggregate percentile: keeps a value.';
CREATE FUNCTION analytics_internal.percentile_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_combine';
COMMENT ON FUNCTION analytics_internal.percentile_combine(internal, internal) IS 'Part of the aggregates percentile and percentiles: puts the values of two workers together.';
CREATE FUNCTION analytics_internal.percentile_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_serialize';
COMMENT ON FUNCTION analytics_internal.percentile_serialize(internal) IS 'Part of the aggregates percentile and percentiles: hands the values of a worker on.';
CREATE FUNCTION analytics_internal.percentile_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_deserialize';
COMMENT ON FUNCTION analytics_internal.percentile_deserialize(bytea, internal) IS 'Part of the aggregates percentile and percentiles: takes the values of a worker.';
CREATE FUNCTION analytics_internal.percentile_interval_transition(internal, interval, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_interval_transition';
COMMENT ON FUNCTION analytics_internal.percentile_interval_transition(internal, interval, double precision) IS 'Part of the aggregate percentile: keeps a value.';
CREATE FUNCTION analytics_internal.percentile_interval_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_interval_combine';
COMMENT ON FUNCTION analytics_internal.percentile_interval_combine(internal, internal) IS 'Part of the aggregates percentile and percentiles: puts the values of two workers together.';
CREATE FUNCTION analytics_internal.percentile_interval_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_interval_serialize';
COMMENT ON FUNCTION analytics_internal.percentile_interval_serialize(internal) IS 'Part of the aggregates percentile and percentiles: hands the values of a worker on.';
CREATE FUNCTION analytics_internal.percentile_interval_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_interval_deserialize';
COMMENT ON FUNCTION analytics_internal.percentile_interval_deserialize(bytea, internal) IS 'Part of the aggregates percentile and percentiles: takes the values of a worker.';
CREATE FUNCTION analytics_internal.percentiles_transition(internal, double precision, double precision[]) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentiles_transition';
COMMENT ON FUNCTION analytics_internal.percentiles_transition(internal, double precision, double precision[]) IS 'Part of the aggregate percentiles: keeps a value.';
CREATE FUNCTION analytics_internal.percentile_final(internal) RETURNS double precision
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_final';
COMMENT ON FUNCTION analytics_internal.percentile_final(internal) IS 'Part of the aggregate percentile: selects the answer.';
CREATE FUNCTION analytics_internal.percentiles_final(internal) RETURNS double precision[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentiles_final';
COMMENT ON FUNCTION analytics_internal.percentiles_final(internal) IS 'Part of the aggregate percentiles: selects the answers.';
CREATE FUNCTION analytics_internal.percentile_discrete_final(internal) RETURNS double precision
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_discrete_final';
COMMENT ON FUNCTION analytics_internal.percentile_discrete_final(internal) IS 'Part of the aggregate percentile_discrete: selects the answer.';
CREATE FUNCTION analytics_internal.percentiles_discrete_final(internal) RETURNS double precision[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentiles_discrete_final';
COMMENT ON FUNCTION analytics_internal.percentiles_discrete_final(internal) IS 'Part of the aggregate percentiles_discrete: selects the answers.';
CREATE FUNCTION analytics_internal.percentile_interval_final(internal) RETURNS interval
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_interval_final';
COMMENT ON FUNCTION analytics_internal.percentile_interval_final(internal) IS 'Part of the aggregate percentile of intervals: selects the answer.';

CREATE AGGREGATE analytics.percentile(value double precision, p double precision) (
    SFUNC = analytics_internal.percentile_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = analytics_internal.percentile_final,
    COMBINEFUNC = analytics_internal.percentile_combine, SERIALFUNC = analytics_internal.percentile_serialize, DESERIALFUNC = analytics_internal.percentile_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentile(double precision, double precision) IS 'Exact percentile, the same bits as percentile_cont(p) WITHIN GROUP (ORDER BY value), by selection instead of sorting, and in parallel. A group needs one and the same p in all of its rows (22023 otherwise); p outside 0..1 or NaN raises 22023. NULLs are skipped, NaN sorts above infinity. NULL for a group without values and for p NULL. Memory: 8 bytes a value, within the aggregate, not within work_mem.';

CREATE AGGREGATE analytics.percentiles(value double precision, p double precision[]) (
    SFUNC = analytics_internal.percentiles_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = analytics_internal.percentiles_final,
    COMBINEFUNC = analytics_internal.percentile_combine, SERIALFUNC = analytics_internal.percentile_serialize, DESERIALFUNC = analytics_internal.percentile_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles(double precision, double precision[]) IS 'Several exact percentiles at once, as percentile_cont with an array: one answer per element of p, NULL for an element that is NULL; an array of several dimensions is taken as flat. A group needs one and the same p in all of its rows (22023 otherwise); p outside 0..1 or NaN raises 22023. NULLs are skipped, NaN sorts above infinity. NULL for a group without values and for p NULL. Memory: 8 bytes a value, within the aggregate, not within work_mem.';

CREATE AGGREGATE analytics.percentile_discrete(value double precision, p double precision) (
    SFUNC = analytics_internal.percentile_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = analytics_internal.percentile_discrete_final,
    COMBINEFUNC = analytics_internal.percentile_combine, SERIALFUNC = analytics_internal.percentile_serialize, DESERIALFUNC = analytics_internal.percentile_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentile_discrete(double precision, double precision) IS 'Exact percentile without interpolation, the same value as percentile_disc(p) WITHIN GROUP (ORDER BY value). A group needs one and the same p in all of its rows (22023 otherwise); p outside 0..1 or NaN raises 22023. NULLs are skipped, NaN sorts above infinity. NULL for a group without values and for p NULL. Memory: 8 bytes a value, within the aggregate, not within work_mem.';

CREATE AGGREGATE analytics.percentiles_discrete(value double precision, p double precision[]) (
    SFUNC = analytics_internal.percentiles_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = analytics_internal.percentiles_discrete_final,
    COMBINEFUNC = analytics_internal.percentile_combine, SERIALFUNC = analytics_internal.percentile_serialize, DESERIALFUNC = analytics_internal.percentile_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentiles_discrete(double precision, double precision[]) IS 'Several exact percentiles without interpolation, as percentile_disc with an array. A group needs one and the same p in all of its rows (22023 otherwise); p outside 0..1 or NaN raises 22023. NULLs are skipped, NaN sorts above infinity. NULL for a group without values and for p NULL. Memory: 8 bytes a value, within the aggregate, not within work_mem.';

CREATE AGGREGATE analytics.percentile(value interval, p double precision) (
    SFUNC = analytics_internal.percentile_interval_transition, STYPE = internal, SSPACE = 1024,
    FINALFUNC = analytics_internal.percentile_interval_final,
    COMBINEFUNC = analytics_internal.percentile_interval_combine, SERIALFUNC = analytics_internal.percentile_interval_serialize, DESERIALFUNC = analytics_internal.percentile_interval_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentile(interval, double precision) IS 'Exact percentile of intervals, as percentile_cont(p) WITHIN GROUP (ORDER BY value). A group needs one and the same p in all of its rows (22023 otherwise); p outside 0..1 or NaN raises 22023. NULLs are skipped, NULL for a group without values and for p NULL. Memory: 16 bytes a value, within the aggregate, not within work_mem.';

-- Sketches.
CREATE FUNCTION analytics_internal.percentile_agg_transition(internal, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_transition';
COMMENT ON FUNCTION analytics_internal.percentile_agg_transition(internal, double precision) IS 'Part of the aggregate percentile_agg: counts a value.';
CREATE FUNCTION analytics_internal.percentile_agg_error_transition(internal, double precision, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_error_transition';
COMMENT ON FUNCTION analytics_internal.percentile_agg_error_transition(internal, double precision, double precision) IS 'Part of the aggregate percentile_agg with a relative error: counts a value.';
CREATE FUNCTION analytics_internal.percentile_agg_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_combine';
COMMENT ON FUNCTION analytics_internal.percentile_agg_combine(internal, internal) IS 'Part of the aggregates percentile_agg and rollup: merges two states.';
CREATE FUNCTION analytics_internal.percentile_agg_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_serialize';
COMMENT ON FUNCTION analytics_internal.percentile_agg_serialize(internal) IS 'Part of the aggregates percentile_agg and rollup: hands the state of a worker on.';
CREATE FUNCTION analytics_internal.percentile_agg_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_deserialize';
COMMENT ON FUNCTION analytics_internal.percentile_agg_deserialize(bytea, internal) IS 'Part of the aggregates percentile_agg and rollup: takes the state of a worker.';
CREATE FUNCTION analytics_internal.percentile_agg_final(internal) RETURNS analytics.percentile_sketch
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_agg_serialize';
COMMENT ON FUNCTION analytics_internal.percentile_agg_final(internal) IS 'Part of the aggregates percentile_agg and rollup: the sketch as a value.';
CREATE FUNCTION analytics_internal.percentile_rollup_transition(internal, analytics.percentile_sketch) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_rollup_transition';
COMMENT ON FUNCTION analytics_internal.percentile_rollup_transition(internal, analytics.percentile_sketch) IS 'Part of the aggregate rollup: merges a sketch.';

CREATE AGGREGATE analytics.percentile_agg(value double precision) (
    SFUNC = analytics_internal.percentile_agg_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.percentile_agg_final,
    COMBINEFUNC = analytics_internal.percentile_agg_combine, SERIALFUNC = analytics_internal.percentile_agg_serialize, DESERIALFUNC = analytics_internal.percentile_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentile_agg(double precision) IS 'Percentile sketch of a group with a guaranteed relative error of 1 %. NULLs are skipped; infinities and NaN are counted and sort as in Postgres. NULL for a group without values. Memory: some 5 kB a group, at most 128 kB, outside of what work_mem counts.';

CREATE AGGREGATE analytics.percentile_agg(value double precision, relative_error double precision) (
    SFUNC = analytics_internal.percentile_agg_error_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.percentile_agg_final,
    COMBINEFUNC = analytics_internal.percentile_agg_combine, SERIALFUNC = analytics_internal.percentile_agg_serialize, DESERIALFUNC = analytics_internal.percentile_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.percentile_agg(double precision, double precision) IS 'Percentile sketch of a group with a guaranteed relative error of your choice, 0.0001 to 0.5 (22023 otherwise; NULL is the default, 0.01), which the first row of the group decides. Only sketches of the same relative error can be merged.';

CREATE AGGREGATE analytics.rollup(sketch analytics.percentile_sketch) (
    SFUNC = analytics_internal.percentile_rollup_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.percentile_agg_final,
    COMBINEFUNC = analytics_internal.percentile_agg_combine, SERIALFUNC = analytics_internal.percentile_agg_serialize, DESERIALFUNC = analytics_internal.percentile_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.rollup(analytics.percentile_sketch) IS 'Merges percentile sketches: the result is the sketch of all their values together, byte for byte, in any order. NULLs are skipped; NULL for a group without sketches. Errors: 22023 sketches of different relative errors.';
CREATE FUNCTION analytics.approx_percentile(p double precision, sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'approx_percentile';
COMMENT ON FUNCTION analytics.approx_percentile(double precision, analytics.percentile_sketch) IS 'Percentile from a sketch: as percentile_cont while the sketch is exact, then within error(sketch) of it, relative. NULL for NULL. Errors: 22023 p outside 0..1.';
CREATE FUNCTION analytics.approx_percentile_array(p double precision[], sketch analytics.percentile_sketch) RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'approx_percentile_array';
COMMENT ON FUNCTION analytics.approx_percentile_array(double precision[], analytics.percentile_sketch) IS 'Several percentiles from a sketch, one per element of p, NULL for an element that is NULL. Errors: 22023 p outside 0..1.';
CREATE FUNCTION analytics.approx_percentile_rank(value double precision, sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'approx_percentile_rank';
COMMENT ON FUNCTION analytics.approx_percentile_rank(double precision, analytics.percentile_sketch) IS 'Share (0..1) of the values of a sketch that are at most value: exact while the sketch is, then with a value within error(sketch), relative, of the one given. NULL for NULL.';
CREATE FUNCTION analytics.num_vals(sketch analytics.percentile_sketch) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_num_vals';
COMMENT ON FUNCTION analytics.num_vals(analytics.percentile_sketch) IS 'Number of values in a sketch.';
CREATE FUNCTION analytics.mean(sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_mean';
COMMENT ON FUNCTION analytics.mean(analytics.percentile_sketch) IS 'Arithmetic mean of the values of a sketch, from their exact sum.';
CREATE FUNCTION analytics.sum(sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_sum';
COMMENT ON FUNCTION analytics.sum(analytics.percentile_sketch) IS 'Sum of the values of a sketch, exact before it is rounded once, so that it depends on no order.';
CREATE FUNCTION analytics.stddev(sketch analytics.percentile_sketch, method text DEFAULT 'sample') RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_stddev';
COMMENT ON FUNCTION analytics.stddev(analytics.percentile_sketch, text) IS 'Standard deviation of the values of a sketch, sample (n - 1, the default) or population (n); exact before it is rounded. NULL for a sample of one value. Errors: 22023 unknown method.';
CREATE FUNCTION analytics.min_val(sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_min_val';
COMMENT ON FUNCTION analytics.min_val(analytics.percentile_sketch) IS 'Least value in a sketch, exact.';
CREATE FUNCTION analytics.max_val(sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_max_val';
COMMENT ON FUNCTION analytics.max_val(analytics.percentile_sketch) IS 'Greatest value in a sketch, exact.';
CREATE FUNCTION analytics.error(sketch analytics.percentile_sketch) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'percentile_sketch_error';
COMMENT ON FUNCTION analytics.error(analytics.percentile_sketch) IS 'Guaranteed relative error of the percentiles of a sketch: 0 while it is exact, then what it was made with, and about twice that for each halving of its buckets when the values span too many octaves.';

CREATE FUNCTION analytics.histogram(sketch analytics.percentile_sketch, buckets integer DEFAULT 10)
RETURNS TABLE (bucket integer, lower double precision, upper double precision, count bigint)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$ SELECT * FROM analytics_internal.sketch_histogram($1::bytea, $2) $$;
COMMENT ON FUNCTION analytics.histogram(analytics.percentile_sketch, integer) IS
    'Buckets of equal width between the least and the greatest finite value of a sketch: bucket (from 1), lower and upper bound, count. The counts add up to the finite values; exact while the sketch is. Errors: 22023 buckets outside 1 to 10000.';
COMMENT ON FUNCTION analytics_internal.sketch_histogram(bytea, integer) IS
    'The rows of histogram(), from the bytes of a sketch.';

CREATE FUNCTION analytics.sparkline("values" double precision[]) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'sparkline_wrapper';
COMMENT ON FUNCTION analytics.sparkline(double precision[]) IS
    'A series as one line of block characters, the least value lowest and the greatest highest; a gap for NULL, NaN and infinity, the middle for a constant series. For psql and chat.';

CREATE FUNCTION analytics.calculate_percentiles("values" double precision[], percentiles double precision[])
RETURNS double precision[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'calculate_percentiles_wrapper';
COMMENT ON FUNCTION analytics.calculate_percentiles(double precision[], double precision[]) IS
    'Exact percentiles of an array, as percentile_cont: (values, percentiles). NULL among the values is skipped, NULL among the percentiles gives NULL; NULL when there is no value. Errors: 22023 a percentile outside 0..1.';

-- Distinct counts.
CREATE FUNCTION analytics_internal.distinct_agg_transition(internal, anyelement) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_agg_transition';
COMMENT ON FUNCTION analytics_internal.distinct_agg_transition(internal, anyelement) IS 'Part of the aggregate distinct_agg: counts a value.';
CREATE FUNCTION analytics_internal.distinct_agg_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_agg_combine';
COMMENT ON FUNCTION analytics_internal.distinct_agg_combine(internal, internal) IS 'Part of the aggregates distinct_agg and rollup: merges two states.';
CREATE FUNCTION analytics_internal.distinct_agg_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_agg_serialize';
COMMENT ON FUNCTION analytics_internal.distinct_agg_serialize(internal) IS 'Part of the aggregates distinct_agg and rollup: hands the state of a worker on.';
CREATE FUNCTION analytics_internal.distinct_agg_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_agg_deserialize';
COMMENT ON FUNCTION analytics_internal.distinct_agg_deserialize(bytea, internal) IS 'Part of the aggregates distinct_agg and rollup: takes the state of a worker.';
CREATE FUNCTION analytics_internal.distinct_agg_final(internal) RETURNS analytics.distinct_sketch
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_agg_serialize';
COMMENT ON FUNCTION analytics_internal.distinct_agg_final(internal) IS 'Part of the aggregates distinct_agg and rollup: the sketch as a value.';
CREATE FUNCTION analytics_internal.distinct_rollup_transition(internal, analytics.distinct_sketch) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'distinct_rollup_transition';
COMMENT ON FUNCTION analytics_internal.distinct_rollup_transition(internal, analytics.distinct_sketch) IS 'Part of the aggregate rollup: merges a sketch.';

CREATE AGGREGATE analytics.distinct_agg(value anyelement) (
    SFUNC = analytics_internal.distinct_agg_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.distinct_agg_final,
    COMBINEFUNC = analytics_internal.distinct_agg_combine, SERIALFUNC = analytics_internal.distinct_agg_serialize, DESERIALFUNC = analytics_internal.distinct_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.distinct_agg(anyelement) IS 'Distinct-count sketch of a group. Integers, doubles, text, bytea and uuid are counted as the Apache DataSketches libraries count them, other types by the hash of their equality (42883 where there is none). NULLs are skipped; NULL for a group without values. Memory: at most 20 kB a group, outside of what work_mem counts.';

CREATE AGGREGATE analytics.rollup(sketch analytics.distinct_sketch) (
    SFUNC = analytics_internal.distinct_rollup_transition, STYPE = internal, SSPACE = 2048,
    FINALFUNC = analytics_internal.distinct_agg_final,
    COMBINEFUNC = analytics_internal.distinct_agg_combine, SERIALFUNC = analytics_internal.distinct_agg_serialize, DESERIALFUNC = analytics_internal.distinct_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.rollup(analytics.distinct_sketch) IS 'Merges distinct-count sketches: the result is the sketch of all their values together. NULLs are skipped; NULL for a group without sketches.';
CREATE FUNCTION analytics.approx_distinct(sketch analytics.distinct_sketch) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'approx_distinct';
COMMENT ON FUNCTION analytics.approx_distinct(analytics.distinct_sketch) IS 'Number of distinct values in a sketch: exact up to some 1,500 (unless two hashes meet, once in 40,000 sketches of 100 values), then with a standard error of 0.81 %.';

-- Statistics in one pass.
CREATE FUNCTION analytics_internal.stats_agg_transition(internal, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_agg_transition';
COMMENT ON FUNCTION analytics_internal.stats_agg_transition(internal, double precision) IS 'Part of the aggregate stats_agg: takes a value in.';
CREATE FUNCTION analytics_internal.stats_agg_combine(internal, internal) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_agg_combine';
COMMENT ON FUNCTION analytics_internal.stats_agg_combine(internal, internal) IS 'Part of the aggregates stats_agg and rollup: merges two states.';
CREATE FUNCTION analytics_internal.stats_agg_serialize(internal) RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_agg_serialize';
COMMENT ON FUNCTION analytics_internal.stats_agg_serialize(internal) IS 'Part of the aggregates stats_agg and rollup: hands the state of a worker on.';
CREATE FUNCTION analytics_internal.stats_agg_deserialize(bytea, internal) RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_agg_deserialize';
COMMENT ON FUNCTION analytics_internal.stats_agg_deserialize(bytea, internal) IS 'Part of the aggregates stats_agg and rollup: takes the state of a worker.';
CREATE FUNCTION analytics_internal.stats_agg_final(internal) RETURNS analytics.stats_summary
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_agg_serialize';
COMMENT ON FUNCTION analytics_internal.stats_agg_final(internal) IS 'Part of the aggregates stats_agg and rollup: the summary as a value.';
CREATE FUNCTION analytics_internal.stats_rollup_transition(internal, analytics.stats_summary) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_rollup_transition';
COMMENT ON FUNCTION analytics_internal.stats_rollup_transition(internal, analytics.stats_summary) IS 'Part of the aggregate rollup: merges a summary.';

CREATE AGGREGATE analytics.stats_agg(value double precision) (
    SFUNC = analytics_internal.stats_agg_transition, STYPE = internal, SSPACE = 1536,
    FINALFUNC = analytics_internal.stats_agg_final,
    COMBINEFUNC = analytics_internal.stats_agg_combine, SERIALFUNC = analytics_internal.stats_agg_serialize, DESERIALFUNC = analytics_internal.stats_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.stats_agg(double precision) IS 'Count, sum, mean, variance and extremes of a group in one pass. NULLs are skipped; NaN and infinities follow avg() and stddev(). NULL for a group without values.';

CREATE AGGREGATE analytics.rollup(summary analytics.stats_summary) (
    SFUNC = analytics_internal.stats_rollup_transition, STYPE = internal, SSPACE = 1536,
    FINALFUNC = analytics_internal.stats_agg_final,
    COMBINEFUNC = analytics_internal.stats_agg_combine, SERIALFUNC = analytics_internal.stats_agg_serialize, DESERIALFUNC = analytics_internal.stats_agg_deserialize,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.rollup(analytics.stats_summary) IS 'Merges summaries: the result is the summary of all their values together, byte for byte, in any order. NULLs are skipped; NULL for a group without summaries.';
CREATE FUNCTION analytics.num_vals(summary analytics.stats_summary) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_num_vals';
COMMENT ON FUNCTION analytics.num_vals(analytics.stats_summary) IS 'Number of values in a summary.';
CREATE FUNCTION analytics.sum(summary analytics.stats_summary) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_sum';
COMMENT ON FUNCTION analytics.sum(analytics.stats_summary) IS 'Sum of the values of a summary, exact before it is rounded once.';
CREATE FUNCTION analytics.mean(summary analytics.stats_summary) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_mean';
COMMENT ON FUNCTION analytics.mean(analytics.stats_summary) IS 'Arithmetic mean of the values of a summary, from their exact sum.';
CREATE FUNCTION analytics.stddev(summary analytics.stats_summary, method text DEFAULT 'sample') RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_stddev';
COMMENT ON FUNCTION analytics.stddev(analytics.stats_summary, text) IS 'Standard deviation of the values of a summary, sample (n - 1, the default) or population (n). NULL for a sample of one value. Errors: 22023 unknown method.';
CREATE FUNCTION analytics.variance(summary analytics.stats_summary, method text DEFAULT 'sample') RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_variance';
COMMENT ON FUNCTION analytics.variance(analytics.stats_summary, text) IS 'Variance of the values of a summary, sample (n - 1, the default) or population (n). NULL for a sample of one value. Errors: 22023 unknown method.';
CREATE FUNCTION analytics.min_val(summary analytics.stats_summary) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_min_val';
COMMENT ON FUNCTION analytics.min_val(analytics.stats_summary) IS 'Least value in a summary.';
CREATE FUNCTION analytics.max_val(summary analytics.stats_summary) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'stats_summary_max_val';
COMMENT ON FUNCTION analytics.max_val(analytics.stats_summary) IS 'Greatest value in a summary.';
