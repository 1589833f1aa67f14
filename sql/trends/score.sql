-- Trends: anomaly_score, which judges each value by those before it.

CREATE FUNCTION analytics_internal.anomaly_score_transition(internal, double precision) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_transition';
COMMENT ON FUNCTION analytics_internal.anomaly_score_transition(internal, double precision) IS 'Part of the aggregate anomaly_score: judges a value, then learns from it.';
CREATE FUNCTION analytics_internal.anomaly_score_seasonal_transition(internal, double precision, integer) RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_seasonal_transition';
COMMENT ON FUNCTION analytics_internal.anomaly_score_seasonal_transition(internal, double precision, integer) IS 'Part of the aggregate anomaly_score with a period: judges a value, then learns from it.';
CREATE FUNCTION analytics_internal.anomaly_score_final(internal) RETURNS double precision
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'anomaly_score_final';
COMMENT ON FUNCTION analytics_internal.anomaly_score_final(internal) IS 'Part of the aggregate anomaly_score: the score of the last value.';

CREATE AGGREGATE analytics.anomaly_score(value double precision) (
    SFUNC = analytics_internal.anomaly_score_transition, STYPE = internal, SSPACE = 2560,
    FINALFUNC = analytics_internal.anomaly_score_final, FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.anomaly_score(double precision) IS
    'anomaly_score(value) OVER (PARTITION BY ... ORDER BY ts): score of each value from the values before it, 0 to 1: 0.5 is expected once in 1,000 usual values, 1 once in a million. One pass, some 2.5 kB a partition. 0 for the first 32 values; NULL for NULL, NaN, infinities and magnitudes above 1e150, which teach nothing.';
CREATE AGGREGATE analytics.anomaly_score(value double precision, period integer) (
    SFUNC = analytics_internal.anomaly_score_seasonal_transition, STYPE = internal, SSPACE = 8192,
    FINALFUNC = analytics_internal.anomaly_score_final, FINALFUNC_MODIFY = READ_ONLY,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.anomaly_score(double precision, integer) IS
    'The same for a series that repeats every period values (2 to 10,080, such as 24 for hours of a day): what a season does is no anomaly. Learns the profile from the first three seasons; 16 bytes more for each value of a period. Errors: 22023 period out of range.';
