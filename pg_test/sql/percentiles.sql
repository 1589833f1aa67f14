-- Percentiles, sketches, distinct counts and statistics, as a user would type them. Exact answers are compared with
-- what Postgres says of the same rows; an error is followed by its SQLSTATE.
\set SHOW_CONTEXT never
\set sqlstate '\\echo :SQLSTATE'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
SET jit = off;
SET search_path = analytics, public;

------------------------------------------------------------------------------------------------------------------------
-- Exact: percentile() and percentiles(), the answers of percentile_cont
------------------------------------------------------------------------------------------------------------------------
CREATE TABLE public.latency (agent text, x double precision);
INSERT INTO public.latency VALUES
    ('a', 1), ('a', 4), ('a', 2), ('a', 3), ('b', 10), ('b', NULL), ('b', 20.5), ('c', NULL), ('c', NULL), ('d', -7);

SELECT percentile(x, 0.5), percentiles(x, ARRAY[0, 0.25, 0.5, 0.9, 1]) FROM latency;
SELECT agent, percentile(x, 0.5), percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS cont,
       percentile_discrete(x, 0.5), percentile_disc(0.5) WITHIN GROUP (ORDER BY x) AS disc
FROM latency GROUP BY agent ORDER BY agent;
SELECT agent, percentiles(x, '{0.9,0.1}'), percentile_cont('{0.9,0.1}'::float8[]) WITHIN GROUP (ORDER BY x) AS cont,
       percentiles_discrete(x, '{0.9,0.1}') AS discrete, percentile_disc('{0.9,0.1}'::float8[]) WITHIN GROUP (ORDER BY x) AS disc
FROM latency GROUP BY agent ORDER BY agent;

-- A NULL percentile gives NULL, in an array for its element; the order and repetitions of the array are kept.
SELECT percentile(x, NULL), percentile_discrete(x, NULL), percentiles(x, NULL), percentiles(x, '{}') AS none,
       percentiles(x, '{1,NULL,0,1}'), percentiles_discrete(x, '{1,NULL,0,1}'), percentiles(x, '{NULL}')
FROM latency;
-- An array of two dimensions is taken as flat, where percentile_cont keeps the dimensions.
SELECT percentiles(x, '{{0,0.25},{0.5,1}}'), percentile_cont('{{0,0.25},{0.5,1}}'::float8[]) WITHIN GROUP (ORDER BY x) AS cont
FROM latency WHERE agent = 'a';
-- No rows, or none with a value: NULL.
SELECT percentile(x, 0.5), percentiles(x, '{0.5}'), percentile_discrete(x, 0.5), percentiles_discrete(x, '{0.5}') FROM latency WHERE false;
SELECT percentile(x, 0.5), percentiles(x, '{0.5}') FROM latency WHERE agent = 'c';

-- Other numbers come by their own casts.
SELECT percentile(i, 0.5) AS int, percentile(i::smallint, 0.5) AS smallint, percentile(i::bigint, 0.5) AS bigint,
       percentile(i::real, 0.5) AS real, percentile(i::numeric / 10, 0.5) AS numeric, pg_typeof(percentile(i::numeric, 0.5))
FROM generate_series(1, 10) AS i;
SELECT percentiles(i, ARRAY[0.5, 0.99]) AS literals, percentiles(i, ARRAY[0.5, 0.99]::numeric[]) AS numeric,
       percentiles(i, ARRAY[0.5, 0.99]::real[]) AS real, percentiles(i, ARRAY[0, 1]) AS int
FROM generate_series(1, 10) AS i;

-- Intervals.
CREATE TABLE public.wait (w interval);
INSERT INTO public.wait VALUES ('1 min'), ('3 min'), (NULL), ('1 hour'), ('-2 days 03:00'), ('1 mon 2 days'), ('100 days');
SELECT p, percentile(w, p), percentile_cont(p) WITHIN GROUP (ORDER BY w) AS cont,
       percentile(w, p)::text = (percentile_cont(p) WITHIN GROUP (ORDER BY w))::text AS same
FROM wait CROSS JOIN unnest('{0,0.1,0.37,0.5,0.75,1}'::float8[]) AS p GROUP BY p ORDER BY p;
SELECT percentile(w, NULL), percentile(w, 0.5) FILTER (WHERE w IS NULL) AS no_value FROM wait;
SELECT percentile(w, 1.5) FROM wait; :sqlstate

-- Not a number is above everything; infinities are values. As percentile_cont, at every rank and between.
SELECT p, percentile(x, p), percentile(x, p) IS NOT DISTINCT FROM percentile_cont(p) WITHIN GROUP (ORDER BY x) AS as_cont,
       percentile_discrete(x, p) AS discrete, percentile_discrete(x, p) IS NOT DISTINCT FROM percentile_disc(p) WITHIN GROUP (ORDER BY x) AS as_disc
FROM unnest('{NaN,-Infinity,1,Infinity,2}'::float8[]) AS x CROSS JOIN unnest('{0,0.1,0.25,0.4,0.5,0.6,0.75,0.9,1}'::float8[]) AS p
GROUP BY p ORDER BY p;
SELECT percentile(x, 0.5) AS nan_only FROM unnest('{NaN,NaN}'::float8[]) AS x;
SELECT percentile(x, 0.5) AS between_infinities, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS cont FROM unnest('{-Infinity,Infinity}'::float8[]) AS x;
SELECT percentile(x, 0.5) AS beyond, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS cont FROM unnest('{-1.7e308,1.7e308}'::float8[]) AS x;
SELECT percentile(x, 0.25) AS subnormal, percentile_cont(0.25) WITHIN GROUP (ORDER BY x) AS cont FROM unnest('{5e-324,1e-323,2e-323}'::float8[]) AS x;

-- The same bits as Postgres on many groups: sizes 1 to 400, ties, all kinds of shares.
CREATE TABLE public.many AS
SELECT g, CASE g % 4
            WHEN 0 THEN sin(g * 7919.0 + i * 104729.0) * 1000
            WHEN 1 THEN round(cos(i * 31.0 + g)::numeric * 5)::float8
            WHEN 2 THEN exp(20 * sin(i * 12.9898 + g))
            ELSE -i / 7.0 END AS x
FROM generate_series(1, 400) AS g CROSS JOIN LATERAL generate_series(1, g) AS i;
SELECT count(*) AS groups,
       count(*) FILTER (WHERE ours = theirs) AS equal, count(*) FILTER (WHERE ours_discrete = theirs_discrete) AS equal_discrete
FROM (
    SELECT percentiles(x, '{0,0.01,0.123456789,0.25,0.5,0.75,0.95,0.99,0.999,1}') AS ours,
           percentile_cont('{0,0.01,0.123456789,0.25,0.5,0.75,0.95,0.99,0.999,1}'::float8[]) WITHIN GROUP (ORDER BY x) AS theirs,
           percentiles_discrete(x, '{0,0.01,0.123456789,0.25,0.5,0.75,0.95,0.99,0.999,1}') AS ours_discrete,
           percentile_disc('{0,0.01,0.123456789,0.25,0.5,0.75,0.95,0.99,0.999,1}'::float8[]) WITHIN GROUP (ORDER BY x) AS theirs_discrete
    FROM many GROUP BY g
) AS answers;

-- A percentile outside of 0 to 1 is refused, even when the group is small; and one that changes within a group.
SELECT percentile(x, 1.5) FROM latency; :sqlstate
SELECT percentile(x, -0.0001) FROM latency; :sqlstate
SELECT percentile(x, 'NaN') FROM latency; :sqlstate
SELECT percentile(x, 95) FROM latency; :sqlstate
SELECT percentile_discrete(x, 1.5) FROM latency; :sqlstate
SELECT percentiles(x, '{0.5,1.00001}') FROM latency; :sqlstate
SELECT percentiles_discrete(x, '{0.5,Infinity}') FROM latency; :sqlstate
SELECT percentile(x, CASE WHEN x > 3 THEN 0.5 ELSE 0.6 END) FROM latency; :sqlstate
SELECT percentiles(x, ARRAY[0.5, x]) FROM latency WHERE x BETWEEN 0 AND 1 OR x = 3; :sqlstate
SELECT percentile(x, CASE WHEN x > 3 THEN 0.5 END) FROM latency; :sqlstate
SELECT percentile('soon', 0.5); :sqlstate
SELECT percentile(agent, 0.5) FROM latency; :sqlstate
-- It may change from group to group.
SELECT agent, percentile(x, CASE agent WHEN 'a' THEN 0.75 ELSE 0.25 END) FROM latency GROUP BY agent ORDER BY agent;

------------------------------------------------------------------------------------------------------------------------
-- Where Postgres allows an aggregate
------------------------------------------------------------------------------------------------------------------------
SELECT percentile(x, 0.5) FILTER (WHERE agent = 'a') AS only_a, percentile(DISTINCT x, 0.5) AS distinct_values,
       percentile(x, 0.5 ORDER BY x DESC) AS ordered, percentile(x, 0.5) FILTER (WHERE false) AS nothing,
       num_vals(percentile_agg(DISTINCT x)) AS distinct_in_sketch, num_vals(percentile_agg(x) FILTER (WHERE x > 3)) AS above_3
FROM (SELECT * FROM latency UNION ALL SELECT 'a', 1 UNION ALL SELECT 'a', 1) AS twice;
SELECT agent, x > 2 AS above_2, count(x), percentile(x, 0.5), percentiles(x, '{0,1}'), approx_percentile(0.5, percentile_agg(x)) AS sketched
FROM latency GROUP BY ROLLUP (agent, x > 2) ORDER BY agent NULLS LAST, above_2 NULLS LAST;
SELECT agent, x > 2 AS above_2, percentile(x, 0.5), approx_distinct(distinct_agg(x)), mean(stats_agg(x))
FROM latency WHERE x IS NOT NULL GROUP BY CUBE (agent, x > 2) ORDER BY agent NULLS LAST, above_2 NULLS LAST;
SELECT agent, x > 2 AS above_2, percentile(x, 0.5) FROM latency WHERE x IS NOT NULL
GROUP BY GROUPING SETS ((agent), (x > 2), ()) ORDER BY agent NULLS LAST, above_2 NULLS LAST;
SELECT agent FROM latency GROUP BY agent HAVING percentile(x, 0.5) > 2 ORDER BY percentile(x, 0.5) DESC;

-- Window frames: growing, sliding, centred, whole.
SELECT i, x, percentile(x, 0.5) OVER (ORDER BY i) AS growing,
       percentiles(x, '{0,0.5,1}') OVER (ORDER BY i ROWS 2 PRECEDING) AS last_three,
       percentile(x, 1) OVER (ORDER BY i ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS around,
       percentile(x, 0.5) OVER (ORDER BY i ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING) AS before,
       percentile(x, 0.5) OVER () AS whole,
       approx_percentile(0.5, percentile_agg(x) OVER (ORDER BY i)) AS sketched,
       approx_distinct(distinct_agg(x) OVER (ORDER BY i)) AS distinct_so_far,
       round(stddev(stats_agg(x) OVER (ORDER BY i ROWS 2 PRECEDING))::numeric, 6) AS stddev_of_three
FROM (VALUES (1, 5.0), (2, 1), (3, NULL), (4, 9), (5, 9), (6, 2), (7, -3)) AS series (i, x) ORDER BY i;
-- The same as asking for each frame on its own.
SELECT count(*) AS frames, count(*) FILTER (WHERE framed IS DISTINCT FROM asked) AS different
FROM (SELECT percentile(x, 0.9) OVER (ORDER BY i ROWS BETWEEN 20 PRECEDING AND 5 FOLLOWING) AS framed,
             (SELECT percentile_cont(0.9) WITHIN GROUP (ORDER BY sin(j * j)) FROM generate_series(greatest(i - 20, 1), least(i + 5, 300)) AS j) AS asked
      FROM (SELECT i, sin(i * i) AS x FROM generate_series(1, 300) AS i) AS s) AS answers;

-- Groups by hashing and by sorting.
CREATE TABLE public.grouped AS SELECT g, sin(i * 7919.0 + g) AS x FROM generate_series(1, 50) AS g, generate_series(1, 400) AS i;
ANALYZE grouped;
SET max_parallel_workers_per_gather = 0;
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT g, percentile(x, 0.5) FROM grouped GROUP BY g;
CREATE TEMPORARY TABLE hashed AS
SELECT g, percentiles(x, '{0.1,0.9}') AS exact, percentile_agg(x) AS sketch, distinct_agg(x) AS kinds, stats_agg(x) AS stats FROM grouped GROUP BY g;
RESET enable_sort;
SET enable_hashagg = off;
EXPLAIN (COSTS OFF) SELECT g, percentile(x, 0.5) FROM grouped GROUP BY g;
CREATE TEMPORARY TABLE sorted AS
SELECT g, percentiles(x, '{0.1,0.9}') AS exact, percentile_agg(x) AS sketch, distinct_agg(x) AS kinds, stats_agg(x) AS stats FROM grouped GROUP BY g;
RESET enable_hashagg;
SELECT count(*) AS groups, bool_and(h.exact = s.exact) AS exact, bool_and(h.sketch = s.sketch) AS sketch,
       bool_and(h.kinds = s.kinds) AS kinds, bool_and(h.stats = s.stats) AS stats
FROM hashed AS h JOIN sorted AS s USING (g);
SELECT bool_and(h.exact = p.exact) AS as_percentile_cont
FROM hashed AS h JOIN (SELECT g, percentile_cont('{0.1,0.9}'::float8[]) WITHIN GROUP (ORDER BY x) AS exact FROM grouped GROUP BY g) AS p USING (g);
-- A hash aggregate that spills, because the memory for the values of its groups is counted.
SET work_mem = '64kB';
SET hash_mem_multiplier = 1;
SELECT count(*) AS groups, bool_and(s.exact = h.exact) AS exact, bool_and(s.sketch = h.sketch) AS sketch
FROM (SELECT g, percentiles(x, '{0.1,0.9}') AS exact, percentile_agg(x) AS sketch FROM grouped GROUP BY g) AS s JOIN hashed AS h USING (g);
RESET work_mem;
RESET hash_mem_multiplier;
RESET max_parallel_workers_per_gather;

-- Parallel: every worker keeps its own values or sketch, and the leader puts them together.
CREATE TABLE public.parallel AS
SELECT i % 7 AS g, exp(4 * sin(i * 12.9898)) AS x, i % 5000 AS k, make_interval(secs => i % 1000) AS w FROM generate_series(1, 60000) AS i;
ALTER TABLE parallel SET (parallel_workers = 2);
ANALYZE parallel;
SET max_parallel_workers_per_gather = 0;
CREATE TEMPORARY TABLE serial AS
SELECT percentile(x, 0.5) AS p, percentiles(x, '{0.05,0.95}') AS ps, percentile_discrete(x, 0.5) AS d, percentiles_discrete(x, '{0.3}') AS ds,
       percentile(w, 0.123) AS w, percentile_agg(x) AS sketch, percentile_agg(x, 0.05) AS coarse, distinct_agg(k) AS kinds, stats_agg(x) AS stats
FROM parallel;
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT percentile(x, 0.5), percentiles(x, '{0.05,0.95}'), percentile_agg(x), distinct_agg(k), stats_agg(x) FROM parallel;
EXPLAIN (COSTS OFF) SELECT percentile(w, 0.5), percentile_discrete(x, 0.5), percentiles_discrete(x, '{0.5}'), percentile_agg(x, 0.05) FROM parallel;
SELECT p.p = s.p AS percentile, p.ps = s.ps AS percentiles, p.d = s.d AS discrete, p.ds = s.ds AS several_discrete, p.w = s.w AS interval,
       p.sketch = s.sketch AS sketch, p.coarse = s.coarse AS coarse, p.kinds = s.kinds AS kinds, p.stats = s.stats AS stats
FROM (SELECT percentile(x, 0.5) AS p, percentiles(x, '{0.05,0.95}') AS ps, percentile_discrete(x, 0.5) AS d, percentiles_discrete(x, '{0.3}') AS ds,
             percentile(w, 0.123) AS w, percentile_agg(x) AS sketch, percentile_agg(x, 0.05) AS coarse, distinct_agg(k) AS kinds, stats_agg(x) AS stats
      FROM parallel) AS p CROSS JOIN serial AS s;
-- One worker finds other percentiles than the next: refused all the same.
SELECT percentile(x, CASE WHEN k % 2 = 0 THEN 0.1 ELSE 0.2 END) FROM parallel; :sqlstate
-- A group that no worker, or only one of them, sees.
SELECT percentile(x, 0.5) FROM parallel WHERE x < -1;
SELECT num_vals(percentile_agg(x)), percentile(x, 0.5) = min(x) AS only_one FROM parallel WHERE k = 17 AND g = 3 AND x IN (SELECT min(x) FROM parallel WHERE k = 17 AND g = 3);
-- Sketches are merged in parallel, too.
CREATE TABLE public.parts AS SELECT k, percentile_agg(x) AS sketch, distinct_agg(k) AS kinds, stats_agg(x) AS stats FROM parallel GROUP BY k;
ALTER TABLE parts SET (parallel_workers = 2);
ANALYZE parts;
EXPLAIN (COSTS OFF) SELECT rollup(sketch), rollup(kinds), rollup(stats) FROM parts;
SELECT (SELECT rollup(sketch) FROM parts) = sketch AS sketch, (SELECT rollup(kinds) FROM parts) = kinds AS kinds, (SELECT rollup(stats) FROM parts) = stats AS stats FROM serial;

-- A partial aggregate over each partition.
CREATE TABLE public.parted (month int, x double precision) PARTITION BY LIST (month);
CREATE TABLE public.parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE public.parted_2 PARTITION OF parted FOR VALUES IN (2);
CREATE TABLE public.parted_3 PARTITION OF parted FOR VALUES IN (3);
INSERT INTO parted SELECT i % 3 + 1, sin(i * 7919.0) FROM generate_series(1, 3000) AS i;
ANALYZE parted;
SET max_parallel_workers_per_gather = 0;
SET enable_partitionwise_aggregate = on;
EXPLAIN (COSTS OFF) SELECT percentile(x, 0.5), percentile_agg(x), distinct_agg(x), stats_agg(x) FROM parted;
EXPLAIN (COSTS OFF) SELECT x > 0, percentiles(x, '{0.5,0.9}') FROM parted GROUP BY x > 0;
CREATE TEMPORARY TABLE pieces AS SELECT percentiles(x, '{0.1,0.5,0.99}') AS exact, percentile_agg(x) AS sketch, distinct_agg(x) AS kinds, stats_agg(x) AS stats FROM parted;
RESET enable_partitionwise_aggregate;
SELECT a.exact = p.exact AS exact, a.sketch = p.sketch AS sketch, a.kinds = p.kinds AS kinds, a.stats = p.stats AS stats
FROM (SELECT percentiles(x, '{0.1,0.5,0.99}') AS exact, percentile_agg(x) AS sketch, distinct_agg(x) AS kinds, stats_agg(x) AS stats FROM parted) AS a CROSS JOIN pieces AS p;
RESET max_parallel_workers_per_gather;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

------------------------------------------------------------------------------------------------------------------------
-- Sketches
------------------------------------------------------------------------------------------------------------------------
-- Up to 250 values a sketch holds them, and every answer is exact.
CREATE TABLE public.small AS SELECT percentile_agg(i) AS sketch FROM generate_series(1, 250) AS i;
SELECT num_vals(sketch), error(sketch), approx_percentile(0.5, sketch), approx_percentile_array('{0,0.25,0.999,1}', sketch),
       approx_percentile_rank(100, sketch), sum(sketch), mean(sketch), min_val(sketch), max_val(sketch) FROM small;
SELECT stddev(sketch) = (SELECT stddev(i::float8) FROM generate_series(1, 250) AS i) AS sample,
       stddev(sketch, 'sample') = stddev(sketch) AS the_default,
       stddev(sketch, 'population') = (SELECT stddev_pop(i::float8) FROM generate_series(1, 250) AS i) AS population FROM small;
SELECT bool_and(approx_percentile(p / 1000.0, sketch) = (SELECT percentile_cont(p / 1000.0) WITHIN GROUP (ORDER BY i) FROM generate_series(1, 250) AS i)) AS as_percentile_cont
FROM small CROSS JOIN generate_series(0, 1000, 7) AS p;

-- One more, and percentiles are estimates within 1 %; count, sum, mean, deviation and extremes stay exact.
CREATE TABLE public.large AS SELECT percentile_agg(i) AS sketch FROM generate_series(1, 100000) AS i;
SELECT num_vals(sketch), round(error(sketch)::numeric, 4) AS error, round(approx_percentile(0.5, sketch)::numeric) AS median,
       sum(sketch), mean(sketch), min_val(sketch), max_val(sketch), round(stddev(sketch)::numeric, 6) AS stddev,
       approx_percentile_array('{0,1}', sketch) AS extremes, round(approx_percentile_rank(25000, sketch)::numeric, 2) AS rank FROM large;
SELECT error(percentile_agg(i)) > 0 AS an_estimate FROM generate_series(1, 251) AS i;
SELECT bool_and(abs(approx_percentile(p / 1000.0, sketch) - exact) <= error(sketch) * abs(exact)) AS within_error,
       bool_or(approx_percentile(p / 1000.0, sketch) <> exact) AS yet_estimated
FROM large CROSS JOIN LATERAL (SELECT p, 1 + p / 1000.0 * 99999 AS exact FROM generate_series(0, 1000) AS p) AS truth;
SELECT pg_column_size(sketch) < 2048 AS below_2_kb FROM large;

-- Any other relative error. One finer than the values allow within the bounded size becomes coarser, and error() says so.
SELECT asked, round(error(percentile_agg(i, asked))::numeric, 4) AS error_of_10000,
       round(error(percentile_agg(i, asked) FILTER (WHERE i BETWEEN 5000 AND 5300))::numeric, 4) AS error_of_301,
       abs(approx_percentile(0.99, percentile_agg(i, asked)) / 9900.01 - 1) <= error(percentile_agg(i, asked)) AS kept
FROM generate_series(1, 10000) AS i CROSS JOIN unnest('{0.0001,0.001,0.01,0.05,0.5}'::float8[]) AS asked GROUP BY asked ORDER BY asked;
SELECT percentile_agg(i, 0.01) = percentile_agg(i) AS the_default, percentile_agg(i, NULL) = percentile_agg(i) AS null_is_the_default,
       percentile_agg(i, 0.05) = percentile_agg(i) AS another FROM generate_series(1, 10) AS i;
SELECT percentile_agg(i, 0.6) FROM generate_series(1, 10) AS i; :sqlstate
SELECT percentile_agg(i, 0) FROM generate_series(1, 10) AS i; :sqlstate
SELECT percentile_agg(i, 'NaN') FROM generate_series(1, 10) AS i; :sqlstate
SELECT rollup(sketch) FROM (SELECT percentile_agg(i) AS sketch FROM generate_series(1, 10) AS i UNION ALL SELECT percentile_agg(i, 0.05) FROM generate_series(1, 10) AS i) AS s; :sqlstate

-- The sketch of all rows and the rollup of any parts of them are the same, byte for byte.
SELECT parts, (SELECT rollup(part) FROM (SELECT percentile_agg(i) AS part FROM generate_series(1, 100000) AS i GROUP BY i % parts) AS s) = sketch AS same
FROM large CROSS JOIN unnest('{1,2,10,300,5000}'::int[]) AS parts ORDER BY parts;
SELECT (SELECT percentile_agg(i) FROM generate_series(100000, 1, -1) AS i) = sketch AS backwards,
       (SELECT percentile_agg(i) FROM generate_series(1, 99999) AS i) = sketch AS one_less,
       (SELECT percentile_agg(i) FROM generate_series(1, 99999) AS i) <> sketch AS differs FROM large;
-- Hours to days, NULLs and empty hours included.
SELECT day, num_vals(rollup(hour)), approx_percentile(0.5, rollup(hour))
FROM (SELECT h / 24 AS day, h, percentile_agg(i) FILTER (WHERE h <> 30) AS hour FROM generate_series(0, 71) AS h, generate_series(1, h % 5) AS i GROUP BY h) AS hours
GROUP BY day ORDER BY day;
SELECT rollup(sketch) FILTER (WHERE false) IS NULL AS none FROM small;
SELECT (SELECT rollup(s) FROM (VALUES (small.sketch), (NULL)) AS v (s)) = small.sketch AS null_skipped,
       (SELECT rollup(s) FROM (VALUES (NULL::percentile_sketch)) AS v (s)) IS NULL AS nothing FROM small;

-- NULLs are skipped; nothing has no sketch, and NULL answers NULL.
SELECT percentile_agg(x) IS NULL AS no_values FROM latency WHERE agent = 'c';
SELECT percentile_agg(x) IS NULL AS no_rows FROM latency WHERE false;
SELECT num_vals(NULL::percentile_sketch), approx_percentile(0.5, NULL), approx_percentile_array('{0.5}', NULL), approx_percentile_rank(1, NULL),
       mean(NULL::percentile_sketch), error(NULL), stddev(NULL::percentile_sketch);
SELECT approx_percentile(NULL, sketch), approx_percentile_array(NULL, sketch), approx_percentile_array('{NULL,0.5}', sketch),
       approx_percentile_array('{}', sketch), approx_percentile_rank(NULL, sketch), stddev(sketch, NULL) FROM small;
SELECT stddev(percentile_agg(x)) AS of_one, stddev(percentile_agg(x), 'population') AS population FROM latency WHERE agent = 'd';
SELECT approx_percentile(1.01, sketch) FROM small; :sqlstate
SELECT approx_percentile('NaN', sketch) FROM large; :sqlstate
SELECT approx_percentile_array('{0.5,-1}', sketch) FROM small; :sqlstate
SELECT stddev(sketch, 'robust') FROM small; :sqlstate

-- Not a number is above everything, infinities are values; sum and mean follow Postgres.
CREATE TABLE public.strange AS
SELECT n, x FROM (VALUES (1, '{NaN,-Infinity,1,Infinity,2}'::float8[]), (2, '{Infinity,1}'), (3, '{-Infinity}'), (4, '{NaN}'), (5, '{-0}'), (6, '{-3,0,3}')) AS v (n, list), unnest(list) AS x;
SELECT n, num_vals(percentile_agg(x)) AS n_vals, approx_percentile_array('{0,0.25,0.5,0.75,1}', percentile_agg(x)) AS sketch,
       percentile_cont('{0,0.25,0.5,0.75,1}'::float8[]) WITHIN GROUP (ORDER BY x) AS cont FROM strange GROUP BY n ORDER BY n;
SELECT n, sum(percentile_agg(x)) AS sum, mean(percentile_agg(x)) AS mean, avg(x), stddev(percentile_agg(x)) AS stddev, stddev(x) AS postgres,
       min_val(percentile_agg(x)) AS min_val, min(x), max_val(percentile_agg(x)) AS max_val, max(x) FROM strange GROUP BY n ORDER BY n;
SELECT percentile_agg(-0.0::float8) = percentile_agg(0.0::float8) AS zero_has_no_sign;
-- In a large sketch as well.
SELECT approx_percentile_array('{0,0.0001,0.9999,1}', percentile_agg(x)), approx_percentile_rank('-Infinity', percentile_agg(x)) AS least,
       approx_percentile_rank('NaN', percentile_agg(x)) AS greatest, mean(percentile_agg(x)), num_vals(percentile_agg(x))
FROM (SELECT i::float8 AS x FROM generate_series(1, 1000) AS i UNION ALL SELECT unnest('{NaN,-Infinity,Infinity}'::float8[])) AS s;

-- Text and binary forms, and values so long that they are stored out of line.
CREATE TABLE public.stored (name text, sketch percentile_sketch, kinds distinct_sketch, stats stats_summary);
ALTER TABLE stored ALTER sketch SET STORAGE external, ALTER kinds SET STORAGE external;
INSERT INTO stored
SELECT 'n' || n, percentile_agg(i + 0.1), distinct_agg(i), stats_agg(i + 0.1)
FROM unnest('{1,10,250,251,5000}'::int[]) AS n CROSS JOIN LATERAL generate_series(1, n) AS i GROUP BY n;
INSERT INTO stored SELECT 'gaps', percentile_agg(x), distinct_agg(x), stats_agg(x) FROM (SELECT pow(1.5, i) * (i % 3 - 1) AS x FROM generate_series(-1000, 1000) AS i) AS wide;
INSERT INTO stored VALUES ('null', NULL, NULL, NULL);
SELECT pg_relation_size(reltoastrelid) > 0 AS toasted FROM pg_class WHERE oid = 'public.stored'::regclass;
SELECT name, sketch::text::percentile_sketch = sketch AS sketch, kinds::text::distinct_sketch = kinds AS kinds, stats::text::stats_summary = stats AS stats,
       sketch::bytea::text::percentile_sketch = sketch AS through_bytea, left(sketch::text, 8) AS text FROM stored ORDER BY name COLLATE "C";
SELECT name, num_vals(sketch), approx_percentile(0.5, sketch) = approx_percentile(0.5, sketch::text::percentile_sketch) AS median, approx_distinct(kinds), mean(stats) FROM stored WHERE name <> 'gaps' ORDER BY num_vals(sketch) NULLS LAST;
SET bytea_output = escape;
SELECT left(sketch::text, 8) AS the_same_text FROM stored WHERE name = 'n1';
RESET bytea_output;
CREATE FUNCTION public.through_binary() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    file constant text := current_setting('data_directory') || '/percentiles.copy';
BEGIN
    EXECUTE format('COPY public.stored TO %L (FORMAT binary)', file);
    CREATE TEMPORARY TABLE back (LIKE public.stored);
    EXECUTE format('COPY back FROM %L (FORMAT binary)', file);
END $$;
SELECT through_binary();
SELECT count(*) AS rows, bool_and(b.sketch IS NOT DISTINCT FROM s.sketch) AS sketch, bool_and(b.kinds IS NOT DISTINCT FROM s.kinds) AS kinds,
       bool_and(b.stats IS NOT DISTINCT FROM s.stats) AS stats FROM stored AS s JOIN back AS b USING (name);
SELECT rollup(sketch) IS NOT NULL AS sketches, approx_distinct(rollup(kinds)) > 5000 AS kinds, num_vals(rollup(stats)) AS stats FROM stored;
-- The operator is found when analytics is in the search path, or by its full name.
SET search_path = public;
SELECT sketch = sketch FROM stored; :sqlstate
SELECT bool_and(sketch OPERATOR(analytics.=) sketch) AS by_full_name, bool_and(sketch::bytea = sketch::bytea) AS by_bytes FROM stored;
SET search_path = analytics, public;

-- What this extension has not written is refused: nonsense, cut off, changed, another version, another type.
\set VERBOSITY terse
SELECT 'x'::percentile_sketch; :sqlstate
SELECT ''::percentile_sketch; :sqlstate
SELECT '\x'::percentile_sketch; :sqlstate
SELECT '\x0'::percentile_sketch; :sqlstate
SELECT '\xzz'::percentile_sketch; :sqlstate
SELECT '\xff'::percentile_sketch; :sqlstate
SELECT '\x02230000000105'::percentile_sketch; :sqlstate
SELECT 'deadbeef'::percentile_sketch; :sqlstate
SELECT 'deadbeef'::distinct_sketch; :sqlstate
SELECT '\x'::distinct_sketch; :sqlstate
SELECT 'deadbeef'::stats_summary; :sqlstate
SELECT '\x'::stats_summary; :sqlstate
SELECT kinds::text::percentile_sketch FROM stored WHERE name = 'n10'; :sqlstate
SELECT sketch::text::distinct_sketch FROM stored WHERE name = 'n10'; :sqlstate
SELECT sketch::text::stats_summary FROM stored WHERE name = 'n10'; :sqlstate
\set VERBOSITY default
CREATE FUNCTION public.attempt(kind regtype, content text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    back text;
BEGIN
    EXECUTE format('SELECT %L::%s::text', content, kind) INTO back;
    RETURN CASE WHEN back = content THEN 'accepted' ELSE 'CHANGED' END;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate;
END $$;
-- Every truncation of each of these is refused.
SELECT name, kind, attempt(kind::regtype, left(content, 2 + 2 * bytes)) AS outcome, count(*) > 0 AS tried
FROM (SELECT name, 'percentile_sketch' AS kind, sketch::text AS content FROM stored WHERE name IN ('n10', 'n251')
      UNION ALL SELECT name, 'distinct_sketch', kinds::text FROM stored WHERE name IN ('n1', 'n10')
      UNION ALL SELECT name, 'stats_summary', stats::text FROM stored WHERE name IN ('n10', 'gaps')) AS s,
     generate_series(0, length(content) / 2 - 2) AS bytes
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
-- One hexadecimal digit changed, anywhere: refused, or a value that might have been (a count or a number inside of it cannot
-- be told from a true one), which comes back as the same text. Nothing else, and no crash.
SELECT kind, bool_or(outcome = '22P03') AS refused, bool_or(outcome = 'accepted') AS accepted,
       array_agg(DISTINCT outcome) FILTER (WHERE outcome NOT IN ('22P03', 'accepted')) AS other
FROM (SELECT kind, attempt(kind::regtype, overlay(content PLACING translate(substr(content, digit, 1), '0123456789abcdef', '13254768a9cbed0f') FROM digit)) AS outcome
      FROM (SELECT 'percentile_sketch' AS kind, sketch::text AS content FROM stored WHERE name IN ('n10', 'n251')
            UNION ALL SELECT 'distinct_sketch', kinds::text FROM stored WHERE name IN ('n10', 'n250')
            UNION ALL SELECT 'stats_summary', stats::text FROM stored WHERE name IN ('n10', 'gaps')) AS s,
           generate_series(3, length(content)) AS digit) AS tried
GROUP BY kind ORDER BY kind;
-- Random bytes.
SELECT kind, array_agg(DISTINCT attempt(kind::regtype, head || left(string_agg, length))) AS outcomes
FROM (SELECT n, string_agg(md5(n || '/' || i), '') FROM generate_series(1, 200) AS n, generate_series(1, 8) AS i GROUP BY n) AS random,
     (VALUES ('percentile_sketch', '\x012300000'), ('distinct_sketch', '\x02010e0e0508000'), ('stats_summary', '\x010000000')) AS v (kind, head),
     unnest('{1,9,41,181}'::int[]) AS length
GROUP BY kind ORDER BY kind;

------------------------------------------------------------------------------------------------------------------------
-- Pictures and arrays
------------------------------------------------------------------------------------------------------------------------
SELECT bar.* FROM small, histogram(sketch, 5) AS bar;
SELECT count(*) AS ten_by_default, sum(count) FROM large, histogram(sketch);
SELECT bucket, lower, upper, count FROM (SELECT percentile_agg(x) AS sketch FROM strange WHERE n IN (1, 6)) AS s, histogram(sketch, 3);
SELECT count(*) AS constant FROM (SELECT percentile_agg(5) AS sketch FROM generate_series(1, 1000)) AS s, histogram(sketch, 7);
SELECT count(*) AS only_nan FROM (SELECT percentile_agg('NaN') AS sketch) AS s, histogram(sketch, 7);
SELECT count(*) AS no_sketch FROM histogram(NULL);
SELECT bar.* FROM small, histogram(sketch, 0) AS bar; :sqlstate
SELECT bar.* FROM small, histogram(sketch, -3) AS bar; :sqlstate
SELECT bar.* FROM small, histogram(sketch, 10001) AS bar; :sqlstate

SELECT '|' || sparkline('{1,2,3,4,5,6,7,8}') || '|' AS ramp, '|' || sparkline('{5,NULL,NaN,1,Infinity,3}') || '|' AS gaps,
       '|' || sparkline('{4,4,4}') || '|' AS constant, '|' || sparkline('{}') || '|' AS empty, '|' || sparkline('{NULL}') || '|' AS only_null, sparkline(NULL) IS NULL AS of_null;
SELECT sparkline(array_agg(count::float8 ORDER BY bucket)) AS distribution
FROM (SELECT percentile_agg(sqrt(-2 * ln((i - 0.5) / 1000)) * cos(i * 2.399963)) AS sketch FROM generate_series(1, 1000) AS i) AS s, histogram(sketch, 20);

SELECT calculate_percentiles('{4,1,3,2}', '{0,0.5,1}'), calculate_percentiles('{4,NULL,3,NULL}', '{0.5,NULL}') AS nulls,
       calculate_percentiles('{}', '{0.5}') AS no_values, calculate_percentiles('{NULL}', '{0.5}') AS null_values,
       calculate_percentiles('{1}', '{}') AS none, calculate_percentiles(NULL, '{0.5}') AS of_null, calculate_percentiles('{1}', NULL) AS null_asked,
       calculate_percentiles('{{1,2},{3,4}}', '{{0,1},{0.5,0.25}}') AS flat;
SELECT calculate_percentiles(ARRAY[1, 2, 3], ARRAY[0.5]) AS literals, calculate_percentiles(array_agg(x), '{0.1,0.9}') = percentiles(x, '{0.1,0.9}') AS as_aggregate FROM many;
SELECT calculate_percentiles('{1,2}', '{0.5,7}'); :sqlstate
SELECT calculate_percentiles('{}', '{7}'); :sqlstate
SELECT calculate_percentiles('{1,2}', '{NaN}'); :sqlstate

------------------------------------------------------------------------------------------------------------------------
-- Distinct counts
------------------------------------------------------------------------------------------------------------------------
SELECT n, approx_distinct(distinct_agg(i)) = n AS exact, abs(approx_distinct(distinct_agg(i)) / n::float8 - 1) < 0.03 AS close
FROM unnest('{1,2,7,8,100,1000,1500,20000,200000}'::int[]) AS n CROSS JOIN LATERAL (SELECT i FROM generate_series(1, n) AS i UNION ALL SELECT i FROM generate_series(1, least(n, 50)) AS i) AS twice
GROUP BY n ORDER BY n;
-- NULLs are not counted, and nothing has no sketch.
SELECT approx_distinct(distinct_agg(x)), approx_distinct(distinct_agg(agent)) AS agents, approx_distinct(distinct_agg(x) FILTER (WHERE agent = 'c')) AS none, approx_distinct(NULL) FROM latency;
-- A number counts the same in every integer type; so do the two floating-point types.
SELECT distinct_agg(i) = distinct_agg(i::smallint) AS smallint, distinct_agg(i) = distinct_agg(i::bigint) AS bigint,
       distinct_agg(i::real) = distinct_agg(i::float8) AS float, distinct_agg(i) = distinct_agg(i::float8) AS int_and_float FROM generate_series(-50, 50) AS i;
SELECT approx_distinct(distinct_agg(x)) AS zeros_and_nans FROM unnest('{0,-0,NaN,NaN}'::float8[]) AS x;
SELECT approx_distinct(distinct_agg(x::real)) AS zeros_and_nans FROM unnest('{0,-0,NaN,NaN}'::float8[]) AS x;
SELECT distinct_agg(t) = distinct_agg(t::varchar) AS varchar, distinct_agg(t) = distinct_agg(convert_to(t, 'UTF8')) AS bytea, approx_distinct(distinct_agg(t)) AS text
FROM unnest('{a,b,ä,日本,"",a}'::text[]) AS t;
SELECT approx_distinct(distinct_agg(v)) AS numeric FROM unnest('{1.0,1.00,1,2.50,2.5}'::numeric[]) AS v;
SELECT approx_distinct(distinct_agg(v)) AS uuid FROM unnest('{a0000000-0000-4000-8000-000000000001,A0000000-0000-4000-8000-000000000001,a0000000-0000-4000-8000-000000000002}'::uuid[]) AS v;
SELECT approx_distinct(distinct_agg(v)) AS bpchar FROM (VALUES ('a'::char(3)), ('a  '), ('b')) AS s (v);
SELECT approx_distinct(distinct_agg(v)) AS jsonb FROM (VALUES ('{"a":1,"b":2}'::jsonb), ('{"b":2,"a":1}'), ('{"a":1.0,"b":2}'), ('3')) AS s (v);
SELECT approx_distinct(distinct_agg(v)) AS arrays FROM (VALUES (ARRAY[1, 2]), (ARRAY[1, 2]), (ARRAY[2, 1]), (ARRAY[NULL]::int[])) AS s (v);
SELECT approx_distinct(distinct_agg(v)) AS booleans, approx_distinct(distinct_agg(v::text)) AS texts FROM unnest('{t,f,t,NULL}'::boolean[]) AS v;
SELECT approx_distinct(distinct_agg(v)) AS times, approx_distinct(distinct_agg(v::date)) AS dates, approx_distinct(distinct_agg(v::time)) AS times_of_day,
       approx_distinct(distinct_agg(v - '2025-01-01')) AS intervals
FROM unnest('{2025-01-01 00:00+00,2025-01-01 02:00+02,2025-01-01 06:00+00,2025-01-02 06:00+00}'::timestamptz[]) AS v;
SELECT approx_distinct(distinct_agg(v)) AS rows FROM (VALUES (ROW(1, 'a')), (ROW(1, 'a')), (ROW(2, 'a'))) AS s (v); :sqlstate
SELECT approx_distinct(distinct_agg(v)) AS ranges FROM (VALUES (int4range(1, 3)), ('[1,2]'), (int4range(1, 4))) AS s (v);
CREATE TYPE public.mood AS ENUM ('glad', 'sad');
SELECT approx_distinct(distinct_agg(v)) AS enum FROM unnest('{glad,sad,glad}'::mood[]) AS v;
CREATE DOMAIN public.positive AS int CHECK (VALUE > 0);
SELECT approx_distinct(distinct_agg(i::positive)) AS domain, distinct_agg(i::positive) = distinct_agg(i) AS as_integer FROM generate_series(1, 9) AS i;
-- What cannot be compared cannot be counted.
SELECT distinct_agg('{}'::json); :sqlstate
SELECT distinct_agg(point(1, 2)); :sqlstate
SELECT distinct_agg(ARRAY['{}'::json]); :sqlstate
SELECT distinct_agg(NULL); :sqlstate
-- Merging.
SELECT parts, (SELECT rollup(part) FROM (SELECT distinct_agg(i / 2) AS part FROM generate_series(1, 40000) AS i GROUP BY i % parts) AS s) = (SELECT distinct_agg(i / 2) FROM generate_series(1, 40000) AS i) AS same
FROM unnest('{1,2,40,3000}'::int[]) AS parts ORDER BY parts;
SELECT approx_distinct(rollup(kinds)) AS days FROM (SELECT distinct_agg(i) AS kinds FROM generate_series(1, 100) AS i UNION ALL SELECT distinct_agg(i) FROM generate_series(51, 150) AS i UNION ALL SELECT NULL) AS s;
SELECT rollup(kinds) IS NULL AS nothing FROM stored WHERE name = 'null';
SELECT max(pg_column_size(kinds)) < 8400 AS at_most_8_kb FROM (SELECT distinct_agg(i) AS kinds FROM generate_series(1, 200000) AS i) AS s;

------------------------------------------------------------------------------------------------------------------------
-- Statistics in one pass
------------------------------------------------------------------------------------------------------------------------
SELECT agent, num_vals(stats_agg(x)), sum(stats_agg(x)), mean(stats_agg(x)), avg(x), stddev(stats_agg(x)), stddev(x) AS postgres, variance(stats_agg(x)),
       min_val(stats_agg(x)), max_val(stats_agg(x)) FROM latency GROUP BY agent ORDER BY agent;
SELECT count(*) AS groups, bool_and(num_vals(s) = n) AS num_vals, bool_and(abs(sum(s) - total) <= 1e-9 * abs(total) + 1e-9) AS sum, bool_and(abs(mean(s) - average) <= 1e-9 * abs(average) + 1e-9) AS mean,
       bool_and(abs(stddev(s) - deviation) <= 1e-9 * deviation) AS stddev, bool_and(abs(stddev(s, 'population') - population) <= 1e-9 * population) AS population,
       bool_and(abs(variance(s) - var) <= 1e-9 * var) AS variance, bool_and(abs(variance(s, 'population') - var_population) <= 1e-9 * var_population) AS var_population,
       bool_and(min_val(s) = least AND max_val(s) = greatest) AS extremes
FROM (SELECT stats_agg(x) AS s, count(x) AS n, sum(x) AS total, avg(x) AS average, stddev(x) AS deviation, stddev_pop(x) AS population, variance(x) AS var, var_pop(x) AS var_population, min(x) AS least, max(x) AS greatest
      FROM many WHERE g > 1 GROUP BY g) AS both_ways;
-- Exact where doubles cancel: the true answers are 2 and 1.
SELECT sum(stats_agg(x)), sum(x) AS postgres FROM unnest('{1,1e100,1,-1e100}'::float8[]) AS x;
SELECT variance(stats_agg(x)), variance(x) AS postgres FROM unnest('{1e15,1000000000000001,1000000000000002}'::float8[]) AS x;
SELECT n, num_vals(stats_agg(x)) AS n_vals, sum(stats_agg(x)) AS sum, sum(x) AS postgres, mean(stats_agg(x)) AS mean, stddev(stats_agg(x)) AS stddev, stddev(x) AS postgres,
       min_val(stats_agg(x)) AS min_val, max_val(stats_agg(x)) AS max_val FROM strange GROUP BY n ORDER BY n;
-- Beyond the range of a double: infinity, where sum() is an error.
SELECT sum(stats_agg(x)), mean(stats_agg(x)) FROM unnest('{1.7e308,1.7e308}'::float8[]) AS x;
SELECT sum(x) FROM unnest('{1.7e308,1.7e308}'::float8[]) AS x; :sqlstate
SELECT num_vals(NULL::stats_summary), stddev(NULL::stats_summary), stats_agg(x) IS NULL AS nothing, stats_agg(x) FILTER (WHERE x > 0) IS NULL AS none FROM latency WHERE agent = 'c';
SELECT stddev(stats_agg(x), 'biased') FROM latency; :sqlstate
SELECT variance(stats_agg(x), '') FROM latency; :sqlstate
SELECT parts, (SELECT rollup(part) FROM (SELECT stats_agg(sin(i)) AS part FROM generate_series(1, 10000) AS i GROUP BY i % parts) AS s) = (SELECT stats_agg(sin(i)) FROM generate_series(1, 10000) AS i) AS same
FROM unnest('{1,2,40,3000}'::int[]) AS parts ORDER BY parts;

\set QUIET on
DROP TABLE public.latency, public.wait, public.many, public.grouped, public.parallel, public.parts, public.parted, public.small, public.large, public.strange, public.stored;
DROP FUNCTION public.through_binary(), public.attempt(regtype, text);
DROP TYPE public.mood, public.positive;
