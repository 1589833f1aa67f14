-- Made by tools/upgrade-script from the catalogues of both versions.

DROP FUNCTION analytics_internal.record_audit(pg_catalog.text,pg_catalog.uuid,pg_catalog.text,pg_catalog.jsonb,boolean);

DROP FUNCTION analytics_internal.replace_lifecycle(pg_catalog.uuid,pg_catalog.jsonb);

DROP FUNCTION analytics_internal.error_summary_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval);

DROP FUNCTION analytics_internal.user_usage_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval);

DROP FUNCTION analytics_internal.agent_model_usage_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval);

DROP FUNCTION analytics_internal.execution_metrics_buckets(pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval);

DROP FUNCTION analytics_internal.agent_performance_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval);

CREATE OR REPLACE FUNCTION analytics_internal.record_audit(action text, workspace_id uuid DEFAULT NULL::uuid, target text DEFAULT NULL::text, detail text DEFAULT NULL::text, refused boolean DEFAULT false)
 RETURNS void
 LANGUAGE c
 SET search_path TO 'pg_catalog', 'pg_temp'
AS 'shadower_analytics', $function$record_audit_text_wrapper$function$;

COMMENT ON FUNCTION analytics_internal.record_audit(pg_catalog.text,pg_catalog.uuid,pg_catalog.text,pg_catalog.text,boolean) IS 'Writes an entry of audit_log as the owner of the tables: action, workspace, target, detail, whether it was refused. In a read-only transaction, a line of the server''s log instead. Never give it a secret.';

CREATE OR REPLACE FUNCTION analytics_internal.replace_lifecycle(workspace_id uuid, rules text)
 RETURNS void
 LANGUAGE c
 SET search_path TO 'pg_catalog', 'pg_temp'
AS 'shadower_analytics', $function$replace_lifecycle_text_wrapper$function$;

COMMENT ON FUNCTION analytics_internal.replace_lifecycle(pg_catalog.uuid,pg_catalog.text) IS 'Checks that the caller is an owner of the workspace, then replaces its rules as the owner of the tables.';

CREATE OR REPLACE FUNCTION analytics.list_agents(workspace_id uuid, timeframe text DEFAULT '30d'::text, sort_by text DEFAULT 'total_runs'::text, descending boolean DEFAULT NULL::boolean, max_rows integer DEFAULT NULL::integer, after_agent uuid DEFAULT NULL::uuid, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(agent_id uuid, name text, agent_type text, lifecycle_state text, discovered boolean, total_runs bigint, successful_runs bigint, failed_runs bigint, timeout_runs bigint, cancelled_runs bigint, success_rate double precision, avg_runtime_seconds double precision, p50_runtime_seconds double precision, p95_runtime_seconds double precision, credits_consumed numeric, tokens_used numeric, unique_users bigint, avg_rating double precision, last_run_at timestamp with time zone, credits_per_run numeric, total_errors bigint, avg_feedback_rating double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $7, $8);
    IF $3 IS NULL OR $3 <> ALL (ARRAY['total_runs', 'success_rate', 'failed_runs', 'avg_runtime_seconds', 'p50_runtime_seconds',
            'p95_runtime_seconds', 'credits_consumed', 'credits_per_run', 'tokens_used', 'unique_users', 'avg_rating',
            'total_errors', 'last_run_at', 'name']) THEN
        PERFORM analytics_internal.refuse_argument('sort_by', $3, 'agents are not sorted by it',
            'Use total_runs, success_rate, failed_runs, avg_runtime_seconds, p50_runtime_seconds, p95_runtime_seconds, credits_consumed, credits_per_run, tokens_used, unique_users, avg_rating, total_errors, last_run_at or name.');
    END IF;
    IF $5 < 1 THEN
        PERFORM analytics_internal.refuse_argument('max_rows', $5::text, 'it is below one', 'Leave it out to get all agents.');
    END IF;
    IF $6 IS NOT NULL THEN
        PERFORM analytics_internal.require_agent($1, $6);
    END IF;
    RETURN QUERY
    WITH listed AS (
        SELECT
            a.agent_id, a.name, a.agent_type, a.lifecycle_state, a.discovered,
            coalesce(m.total_runs, 0) AS total_runs, coalesce(m.successful_runs, 0) AS successful_runs,
            coalesce(m.failed_runs, 0) AS failed_runs, coalesce(m.timeout_runs, 0) AS timeout_runs,
            coalesce(m.cancelled_runs, 0) AS cancelled_runs,
            m.successful_runs::double precision / nullif(m.total_runs - m.running_runs - m.queued_runs, 0) AS success_rate,
            analytics.mean(m.runtime_sketch) AS avg_runtime_seconds, p.at[1] AS p50_runtime_seconds,
            p.at[2] AS p95_runtime_seconds, coalesce(m.credits_consumed, 0) AS credits_consumed,
            coalesce(m.tokens_used, 0) AS tokens_used, coalesce(analytics.approx_distinct(m.users_sketch), 0) AS unique_users,
            m.sum_ratings::double precision / nullif(m.total_ratings, 0) AS avg_rating, m.last_run_at,
            m.credits_consumed / nullif(m.total_runs, 0) AS credits_per_run, coalesce(m.total_errors, 0) AS total_errors,
            m.sum_feedback_ratings::double precision / nullif(m.total_feedback, 0) AS avg_feedback_rating
        FROM analytics_internal.known_agents($1) AS a
        LEFT JOIN analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, columns =>
            '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, running_runs, queued_runs, runtime_sketch,
              credits_consumed, tokens_used, users_sketch, total_ratings, sum_ratings, last_run_at, total_errors, total_feedback,
              sum_feedback_ratings}') AS m
            USING (agent_id)
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch) AS p (at) ON true
    ), keyed AS (
        SELECT l.*, CASE $3
                WHEN 'total_runs' THEN l.total_runs WHEN 'success_rate' THEN l.success_rate WHEN 'failed_runs' THEN l.failed_runs
                WHEN 'avg_runtime_seconds' THEN l.avg_runtime_seconds WHEN 'p50_runtime_seconds' THEN l.p50_runtime_seconds
                WHEN 'p95_runtime_seconds' THEN l.p95_runtime_seconds WHEN 'credits_consumed' THEN l.credits_consumed
                WHEN 'credits_per_run' THEN l.credits_per_run WHEN 'tokens_used' THEN l.tokens_used
                WHEN 'unique_users' THEN l.unique_users WHEN 'avg_rating' THEN l.avg_rating
                WHEN 'total_errors' THEN l.total_errors WHEN 'last_run_at' THEN extract(epoch FROM l.last_run_at)
            END::double precision AS key
        FROM listed AS l
    ), placed AS (
        SELECT k.*, row_number() OVER (ORDER BY
                CASE WHEN $3 = 'name' AND $4 THEN k.name END DESC,
                CASE WHEN coalesce($4, true) THEN k.key END DESC NULLS LAST,
                CASE WHEN NOT coalesce($4, true) THEN k.key END ASC NULLS LAST,
                k.name, k.agent_id) AS place
        FROM keyed AS k
    )
    SELECT p.agent_id, p.name, p.agent_type, p.lifecycle_state, p.discovered, p.total_runs, p.successful_runs, p.failed_runs,
           p.timeout_runs, p.cancelled_runs, p.success_rate, p.avg_runtime_seconds, p.p50_runtime_seconds,
           p.p95_runtime_seconds, p.credits_consumed, p.tokens_used, p.unique_users, p.avg_rating, p.last_run_at,
           p.credits_per_run, p.total_errors, p.avg_feedback_rating
    FROM placed AS p
    WHERE $6 IS NULL OR p.place > (SELECT q.place FROM placed AS q WHERE q.agent_id = $6)
    ORDER BY p.place
    LIMIT $5;
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.finite_window(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone, OUT window_start timestamp with time zone, OUT window_end timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    hours record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    window_start := $3;
    window_end := $4;
    IF isfinite($3) AND isfinite($4) THEN
        RETURN;
    END IF;
    -- The days first: of the hours, only those of the first and the last day are read.
    SELECT min(m.bucket) AS first_day, max(m.bucket) AS last_day INTO hours
    FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4, '24 hours', '{}') AS m;
    IF hours.first_day IS NULL THEN
        window_end := window_start;
        RETURN;
    END IF;
    IF NOT isfinite($3) THEN
        SELECT min(m.bucket) INTO window_start
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.first_day, hours.first_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
    IF NOT isfinite($4) THEN
        SELECT greatest(max(m.bucket), date_bin('1 hour', now(), 'epoch')) + interval '1 hour' INTO window_end
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.last_day, hours.last_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_timeseries(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d'::text, bucket text DEFAULT 'day'::text, time_zone text DEFAULT NULL::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(bucket_start timestamp with time zone, total_runs bigint, successful_runs bigint, failed_runs bigint, timeout_runs bigint, cancelled_runs bigint, success_rate double precision, avg_runtime_seconds double precision, p50_runtime_seconds double precision, p95_runtime_seconds double precision, credits_consumed numeric, tokens_used numeric, unique_users bigint, avg_rating double precision, total_errors bigint)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    zone   text;
    bounds record;
    step   interval;
    needed constant text[] := '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, running_runs, queued_runs,
                                runtime_sketch, credits_consumed, tokens_used, users_sketch, total_ratings, sum_ratings, total_errors}';
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $6, $7);
    zone := analytics_internal.zone_of($1, $5);
    SELECT * INTO bounds FROM analytics_internal.finite_window($1, $2, bounds.window_start, bounds.window_end);
    IF NOT isfinite(bounds.window_start) THEN
        PERFORM FROM analytics_internal.time_spans($4, zone, now(), now());
        RETURN;
    END IF;
    -- Days of UTC and hours of UTC are at hand; other buckets are put together from hours, or asked for one by one.
    SELECT CASE WHEN bool_and(extract(epoch FROM s.bucket_start) % 86400 = 0) AND $4 <> 'hour' THEN interval '24 hours'
                WHEN bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) THEN interval '1 hour' END
    INTO step
    FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH spans AS MATERIALIZED (
        SELECT * FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end)
    ), found AS (
        SELECT date_trunc($4, m.bucket, zone) AS bucket_start, m.*
        FROM (SELECT WHERE step IS NOT NULL) AS aligned
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, step, needed) AS m
        UNION ALL
        SELECT s.bucket_start, m.*
        FROM (SELECT WHERE step IS NULL) AS unaligned
        CROSS JOIN spans AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, s.span_start, s.span_end, NULL, needed) AS m
    ), merged AS (
        SELECT f.bucket_start, sum(f.total_runs)::bigint AS total_runs, sum(f.successful_runs)::bigint AS successful_runs,
               sum(f.failed_runs)::bigint AS failed_runs, sum(f.timeout_runs)::bigint AS timeout_runs,
               sum(f.cancelled_runs)::bigint AS cancelled_runs,
               sum(f.total_runs - f.running_runs - f.queued_runs) AS finished_runs,
               analytics.rollup(f.runtime_sketch) AS runtime_sketch, sum(f.credits_consumed) AS credits_consumed,
               sum(f.tokens_used) AS tokens_used, analytics.rollup(f.users_sketch) AS users_sketch,
               sum(f.total_ratings) AS total_ratings, sum(f.sum_ratings) AS sum_ratings,
               sum(f.total_errors)::bigint AS total_errors
        FROM found AS f GROUP BY f.bucket_start
    )
    SELECT s.bucket_start, coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), coalesce(m.cancelled_runs, 0),
           m.successful_runs::double precision / nullif(m.finished_runs, 0)::double precision,
           analytics.mean(m.runtime_sketch), p.at[1], p.at[2], coalesce(m.credits_consumed, 0), coalesce(m.tokens_used, 0),
           coalesce(analytics.approx_distinct(m.users_sketch), 0),
           m.sum_ratings::double precision / nullif(m.total_ratings, 0)::double precision, coalesce(m.total_errors, 0)
    FROM spans AS s
    LEFT JOIN merged AS m USING (bucket_start)
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.runtime_sketch) AS p (at) ON true
    ORDER BY s.bucket_start;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_usage_pattern(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d'::text, time_zone text DEFAULT NULL::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(day_of_week integer, hour_of_day integer, total_runs bigint, successful_runs bigint, failed_runs bigint, timeout_runs bigint, success_rate double precision, avg_runtime_seconds double precision, credits_consumed numeric)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 168
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    zone   text;
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    zone := analytics_internal.zone_of($1, $4);
    RETURN QUERY
    WITH hours AS (
        SELECT extract(isodow FROM m.bucket AT TIME ZONE zone)::integer AS day, extract(hour FROM m.bucket AT TIME ZONE zone)::integer AS hour,
               sum(m.total_runs)::bigint AS total_runs, sum(m.successful_runs)::bigint AS successful_runs,
               sum(m.failed_runs)::bigint AS failed_runs, sum(m.timeout_runs)::bigint AS timeout_runs,
               sum(m.total_runs - m.running_runs - m.queued_runs) AS finished_runs,
               sum(analytics.sum(m.runtime_sketch)) / nullif(sum(analytics.num_vals(m.runtime_sketch)), 0)::double precision AS runtime,
               sum(m.credits_consumed) AS credits_consumed
        FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, '1 hour',
            '{total_runs, successful_runs, failed_runs, timeout_runs, running_runs, queued_runs, runtime_sketch, credits_consumed}') AS m
        GROUP BY 1, 2
    )
    SELECT d.day, h.hour, coalesce(m.total_runs, 0), coalesce(m.successful_runs, 0), coalesce(m.failed_runs, 0),
           coalesce(m.timeout_runs, 0), m.successful_runs::double precision / nullif(m.finished_runs, 0)::double precision,
           m.runtime, coalesce(m.credits_consumed, 0)
    FROM generate_series(1, 7) AS d (day) CROSS JOIN generate_series(0, 23) AS h (hour)
    LEFT JOIN hours AS m ON m.day = d.day AND m.hour = h.hour
    ORDER BY d.day, h.hour;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_runtime_histogram(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d'::text, buckets integer DEFAULT 10, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(bucket integer, lower_seconds double precision, upper_seconds double precision, run_count bigint)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 10
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $5, $6);
    IF $4 IS NULL OR $4 NOT BETWEEN 1 AND 10000 THEN
        PERFORM analytics_internal.refuse_argument('buckets', $4::text, 'it lies outside 1 to 10000', 'Ask for some ten or twenty.');
    END IF;
    RETURN QUERY
    SELECT h.bucket, h.lower, h.upper, h.count
    FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, NULL, '{runtime_sketch}') AS m
    CROSS JOIN LATERAL analytics.histogram(m.runtime_sketch, $4) AS h;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_resources(workspace_id uuid, only_agent uuid DEFAULT NULL::uuid, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(agent_id uuid, total_runs bigint, credits_consumed numeric, credits_per_run numeric, credits_per_success numeric, tokens_used numeric, prompt_tokens numeric, completion_tokens numeric, tokens_per_run double precision, credits_per_million_tokens double precision, credit_share double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    WITH used AS (
        SELECT m.agent_id, m.total_runs, m.credits_consumed, m.credits_consumed / nullif(m.total_runs, 0) AS per_run,
               m.credits_consumed / nullif(m.successful_runs, 0) AS per_success, m.tokens_used, m.prompt_tokens,
               m.completion_tokens, (m.tokens_used / nullif(m.total_runs, 0))::double precision AS tokens_per_run,
               (1e6 * m.credits_consumed / nullif(m.tokens_used, 0))::double precision AS per_million,
               (m.credits_consumed / nullif(sum(m.credits_consumed) OVER (), 0))::double precision AS share
        FROM analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
            '{total_runs, successful_runs, credits_consumed, tokens_used, prompt_tokens, completion_tokens}') AS m
        WHERE m.total_runs > 0
    )
    SELECT u.* FROM used AS u WHERE $2 IS NULL OR u.agent_id = $2
    UNION ALL
    SELECT $2, 0, 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL
    WHERE $2 IS NOT NULL AND NOT EXISTS (SELECT FROM used AS u WHERE u.agent_id = $2)
    ORDER BY 3 DESC, 1;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.model_usage(workspace_id uuid, agent_id uuid DEFAULT NULL::uuid, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(model_name text, model_provider text, total_calls bigint, successful_calls bigint, success_rate double precision, avg_runtime_seconds double precision, p50_runtime_seconds double precision, p95_runtime_seconds double precision, credits_consumed numeric, credit_share double precision, credits_per_run numeric, credits_per_success numeric, tokens_used numeric, prompt_tokens numeric, completion_tokens numeric, agent_count bigint)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 10
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    IF $2 IS NULL THEN
        PERFORM analytics_internal.require_workspace($1);
    ELSE
        PERFORM analytics_internal.require_agent($1, $2);
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    SELECT m.model_name, m.model_provider, m.calls, m.successes, m.successes::double precision / nullif(m.finished, 0),
           analytics.mean(m.sketch), p.at[1], p.at[2], m.credits,
           (m.credits / nullif(sum(m.credits) OVER (), 0))::double precision,
           m.credits / nullif(m.calls, 0), m.credits / nullif(m.successes, 0), m.tokens, m.prompt, m.completion, m.agents
    FROM (
        SELECT u.model_name, u.model_provider, u.total_calls AS calls, u.successful_calls AS successes, u.finished_calls AS finished,
               u.runtime_sketch AS sketch, u.credits_consumed AS credits, u.tokens_used AS tokens, u.prompt_tokens AS prompt,
               u.completion_tokens AS completion, u.agents
        FROM analytics_internal.agent_model_usage_buckets($1, $2, bounds.window_start, bounds.window_end, by_agent => false) AS u
    ) AS m
    LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.50, 0.95], m.sketch) AS p (at) ON true
    ORDER BY m.credits DESC, m.calls DESC, m.model_name, m.model_provider;
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.count_agents_transition(internal, uuid)
 RETURNS internal
 LANGUAGE c
 IMMUTABLE PARALLEL SAFE
AS 'shadower_analytics', $function$count_agents_transition$function$;

COMMENT ON FUNCTION analytics_internal.count_agents_transition(pg_catalog.internal,pg_catalog.uuid) IS 'Part of the aggregate count_agents: remembers an id.';

CREATE OR REPLACE FUNCTION analytics_internal.count_agents_final(internal)
 RETURNS bigint
 LANGUAGE c
 IMMUTABLE PARALLEL SAFE
AS 'shadower_analytics', $function$count_agents_final$function$;

COMMENT ON FUNCTION analytics_internal.count_agents_final(pg_catalog.internal) IS 'Part of the aggregate count_agents: how many ids there are.';

CREATE OR REPLACE AGGREGATE analytics_internal.count_agents(agent_id uuid) (
    SFUNC = analytics_internal.count_agents_transition,
    STYPE = internal,
    SSPACE = 256,
    FINALFUNC = analytics_internal.count_agents_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE analytics_internal.count_agents(pg_catalog.uuid) IS 'As count(DISTINCT), by a hash table: rows need not be sorted for it. 0 for a group without ids. Memory: some 40 bytes for each id, outside of what work_mem counts.';

CREATE OR REPLACE FUNCTION analytics_internal.agent_performance_buckets(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT NULL::interval, columns text[] DEFAULT NULL::text[], by_agent boolean DEFAULT true)
 RETURNS TABLE(agent_id uuid, bucket timestamp with time zone, total_runs bigint, successful_runs bigint, failed_runs bigint, timeout_runs bigint, cancelled_runs bigint, running_runs bigint, queued_runs bigint, runtime_sketch analytics.percentile_sketch, credits_consumed numeric, tokens_used numeric, prompt_tokens numeric, completion_tokens numeric, users_sketch analytics.distinct_sketch, total_ratings bigint, sum_ratings bigint, first_run_at timestamp with time zone, last_run_at timestamp with time zone, concurrency_count bigint, sum_concurrent_runs bigint, max_concurrent_runs integer, total_errors bigint, total_feedback bigint, sum_feedback_ratings bigint, agents bigint)
 LANGUAGE c
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS 'shadower_analytics', $function$agent_performance_buckets$function$;

COMMENT ON FUNCTION analytics_internal.agent_performance_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval,pg_catalog.text[],boolean) IS 'What the agents of a workspace, or one of them, did from from_time to to_time (the end excluded; any times): one row per agent and step that has anything (whole hours; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since: always exact, runtime_sketch and users_sketch within their error. columns names those that are wanted (default: all): the others are NULL, and nothing is spent on them. Unless by_agent, one row for all agents, whose agent_id is NULL; agents is how many of them have any of what the first column counts. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole hours, a column that there is not.';

CREATE OR REPLACE FUNCTION analytics_internal.execution_metrics_buckets(workspace_id uuid, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT NULL::interval, columns text[] DEFAULT NULL::text[])
 RETURNS TABLE(bucket timestamp with time zone, total_runs bigint, successful_runs bigint, failed_runs bigint, timeout_runs bigint, cancelled_runs bigint, running_runs bigint, queued_runs bigint, peak_runs_per_minute bigint, runtime_sketch analytics.percentile_sketch, credits_consumed numeric, tokens_used numeric, prompt_tokens numeric, completion_tokens numeric, users_sketch analytics.distinct_sketch, total_ratings bigint, sum_ratings bigint, concurrency_count bigint, sum_concurrent_runs bigint, max_concurrent_runs integer, first_run_at timestamp with time zone, last_run_at timestamp with time zone, total_errors bigint, critical_errors bigint, total_feedback bigint, sum_feedback_ratings bigint, queue_arrivals bigint, queue_latency_sketch analytics.percentile_sketch, total_latency_sketch analytics.percentile_sketch, queue_departures bigint)
 LANGUAGE c
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS 'shadower_analytics', $function$execution_metrics_buckets$function$;

COMMENT ON FUNCTION analytics_internal.execution_metrics_buckets(pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval,pg_catalog.text[]) IS 'What a workspace executed from from_time to to_time (the end excluded; any times): one row per step that has anything (whole minutes; NULL: one row for the whole time, with a NULL bucket). From rollups, and from raw rows where these have changed since. columns as in agent_performance_buckets. Errors: 22023 unknown workspace, a time that is NULL, a step that is not of whole minutes, a column that there is not.';

CREATE OR REPLACE FUNCTION analytics_internal.agent_model_usage_buckets(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT NULL::interval, columns text[] DEFAULT NULL::text[], by_agent boolean DEFAULT true)
 RETURNS TABLE(agent_id uuid, model_name text, model_provider text, bucket timestamp with time zone, total_calls bigint, successful_calls bigint, failed_calls bigint, finished_calls bigint, credits_consumed numeric, tokens_used numeric, prompt_tokens numeric, completion_tokens numeric, runtime_sketch analytics.percentile_sketch, agents bigint)
 LANGUAGE c
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS 'shadower_analytics', $function$agent_model_usage_buckets$function$;

COMMENT ON FUNCTION analytics_internal.agent_model_usage_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval,pg_catalog.text[],boolean) IS 'Which models the agents of a workspace, or one of them, used from from_time to to_time: one row per agent, model, provider and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';

CREATE OR REPLACE FUNCTION analytics_internal.user_usage_buckets(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT NULL::interval, columns text[] DEFAULT NULL::text[], by_agent boolean DEFAULT true)
 RETURNS TABLE(agent_id uuid, user_id uuid, bucket timestamp with time zone, total_runs bigint, successful_runs bigint, failed_runs bigint, finished_runs bigint, runtime_stats analytics.stats_summary, credits_consumed numeric, tokens_used numeric, total_ratings bigint, sum_ratings bigint, first_run_at timestamp with time zone, last_run_at timestamp with time zone, agents bigint)
 LANGUAGE c
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS 'shadower_analytics', $function$user_usage_buckets$function$;

COMMENT ON FUNCTION analytics_internal.user_usage_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval,pg_catalog.text[],boolean) IS 'What the agents of a workspace, or one of them, did for each user from from_time to to_time: one row per agent, user and step (whole days; NULL: the whole time). From rollups of days; the parts of days at the edges of the window, and what has changed since, from raw rows. columns, by_agent, agents and errors: as agent_performance_buckets, the step being of whole days.';

CREATE OR REPLACE FUNCTION analytics_internal.error_summary_buckets(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT NULL::interval, columns text[] DEFAULT NULL::text[], by_agent boolean DEFAULT true)
 RETURNS TABLE(agent_id uuid, error_category text, error_severity text, bucket timestamp with time zone, total_errors bigint, recovered_errors bigint, recovery_attempts bigint, affected_users bigint, recovery_sketch analytics.percentile_sketch, users_sketch analytics.distinct_sketch, first_error_at timestamp with time zone, last_error_at timestamp with time zone, agents bigint)
 LANGUAGE c
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS 'shadower_analytics', $function$error_summary_buckets$function$;

COMMENT ON FUNCTION analytics_internal.error_summary_buckets(pg_catalog.uuid,pg_catalog.uuid,timestamp with time zone,timestamp with time zone,interval,pg_catalog.text[],boolean) IS 'Errors of the agents of a workspace, or of one of them, from from_time to to_time: one row per agent, category, severity and step (whole hours; NULL: the whole time). From rollups, and from raw rows where these have changed since. columns, by_agent, agents and errors: as agent_performance_buckets.';

CREATE OR REPLACE FUNCTION analytics.error_summary(workspace_id uuid, agent_id uuid DEFAULT NULL::uuid, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(error_category text, error_severity text, total_errors bigint, error_share double precision, recovered_errors bigint, recovery_rate double precision, avg_recovery_seconds double precision, p95_recovery_seconds double precision, recovery_attempts bigint, affected_users bigint, affected_agents bigint, first_error_at timestamp with time zone, last_error_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 20
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    RETURN QUERY
    SELECT e.error_category, e.error_severity, e.total_errors, (e.total_errors / sum(e.total_errors) OVER ())::double precision,
           e.recovered_errors, e.recovered_errors::double precision / e.total_errors, analytics.mean(e.recovery_sketch),
           analytics.approx_percentile(0.95, e.recovery_sketch), e.recovery_attempts,
           coalesce(analytics.approx_distinct(e.users_sketch), 0), e.agents, e.first_error_at, e.last_error_at
    FROM analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, by_agent => false) AS e
    ORDER BY e.total_errors DESC, e.error_category, e.error_severity;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.error_timeline(workspace_id uuid, agent_id uuid DEFAULT NULL::uuid, timeframe text DEFAULT '30d'::text, bucket text DEFAULT 'day'::text, time_zone text DEFAULT NULL::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(bucket_start timestamp with time zone, total_errors bigint, low_errors bigint, medium_errors bigint, high_errors bigint, critical_errors bigint, recovered_errors bigint, affected_users bigint)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    zone    text;
    bounds  record;
    aligned boolean;
    needed  constant text[] := '{total_errors, recovered_errors, users_sketch}';
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $6, $7);
    zone := analytics_internal.zone_of($1, $5);
    SELECT * INTO bounds FROM analytics_internal.finite_window($1, $2, bounds.window_start, bounds.window_end);
    IF NOT isfinite(bounds.window_start) THEN
        PERFORM FROM analytics_internal.time_spans($4, zone, now(), now());
        RETURN;
    END IF;
    SELECT bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) INTO aligned
    FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH spans AS MATERIALIZED (
        SELECT * FROM analytics_internal.time_spans($4, zone, bounds.window_start, bounds.window_end)
    ), found AS (
        SELECT date_trunc($4, m.bucket, zone) AS bucket_start, m.*
        FROM (SELECT WHERE aligned) AS whole_hours
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, '1 hour', needed) AS m
        UNION ALL
        SELECT s.bucket_start, m.*
        FROM (SELECT WHERE NOT aligned) AS parts_of_hours
        CROSS JOIN spans AS s
        CROSS JOIN LATERAL analytics_internal.error_summary_buckets($1, $2, s.span_start, s.span_end, NULL, needed) AS m
    ), merged AS (
        SELECT f.bucket_start, sum(f.total_errors)::bigint AS errors,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'low')::bigint AS low,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'medium')::bigint AS medium,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'high')::bigint AS high,
               sum(f.total_errors) FILTER (WHERE f.error_severity = 'critical')::bigint AS critical,
               sum(f.recovered_errors)::bigint AS recovered, analytics.rollup(f.users_sketch) AS users
        FROM found AS f GROUP BY f.bucket_start
    )
    SELECT s.bucket_start, coalesce(m.errors, 0), coalesce(m.low, 0), coalesce(m.medium, 0), coalesce(m.high, 0),
           coalesce(m.critical, 0), coalesce(m.recovered, 0), coalesce(analytics.approx_distinct(m.users), 0)
    FROM spans AS s LEFT JOIN merged AS m USING (bucket_start)
    ORDER BY s.bucket_start;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.error_budget(workspace_id uuid, agent_id uuid DEFAULT NULL::uuid, target_success_rate double precision DEFAULT 0.95, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(success_rate double precision, finished_runs bigint, unsuccessful_runs bigint, allowed_runs double precision, budget_remaining double precision, burn_rate double precision, burn_rate_1h double precision, burn_rate_6h double precision, burn_rate_24h double precision, exhausted_in_hours double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 1
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    bounds  record;
    reached timestamptz;
    needed  constant text[] := '{total_runs, running_runs, queued_runs, successful_runs}';
BEGIN
    PERFORM analytics_internal.require_agent_or_all($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($4, $5, $6);
    IF $3 IS NULL OR NOT ($3 >= 0 AND $3 < 1) THEN
        PERFORM analytics_internal.refuse_argument('target_success_rate', $3::text, 'it lies outside 0 to 1, or leaves no room for failures',
            'Give a share such as 0.95 or 0.999.');
    END IF;
    reached := least(bounds.window_end, date_bin('1 hour', now(), 'epoch') + interval '1 hour');
    RETURN QUERY
    WITH whole AS (
        SELECT sum(m.total_runs - m.running_runs - m.queued_runs)::bigint AS finished, sum(m.successful_runs)::bigint AS successes
        FROM (SELECT WHERE $2 IS NOT NULL) AS one
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, NULL, needed) AS m
        UNION ALL
        SELECT sum(m.total_runs - m.running_runs - m.queued_runs)::bigint, sum(m.successful_runs)::bigint
        FROM (SELECT WHERE $2 IS NULL) AS everyone
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, bounds.window_start, bounds.window_end, NULL, needed) AS m
    ), hours AS (
        SELECT m.bucket, m.total_runs - m.running_runs - m.queued_runs AS finished, m.successful_runs AS successes
        FROM (SELECT WHERE $2 IS NOT NULL) AS one
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, $2, reached - interval '24 hours', reached, '1 hour', needed) AS m
        UNION ALL
        SELECT m.bucket, m.total_runs - m.running_runs - m.queued_runs, m.successful_runs
        FROM (SELECT WHERE $2 IS NULL) AS everyone
        CROSS JOIN LATERAL analytics_internal.execution_metrics_buckets($1, reached - interval '24 hours', reached, '1 hour', needed) AS m
    ), recent AS (
        SELECT sum(h.finished - h.successes) FILTER (WHERE h.bucket >= reached - interval '1 hour')::double precision
                   / nullif(sum(h.finished) FILTER (WHERE h.bucket >= reached - interval '1 hour'), 0)::double precision AS bad_1h,
               sum(h.finished - h.successes) FILTER (WHERE h.bucket >= reached - interval '6 hours')::double precision
                   / nullif(sum(h.finished) FILTER (WHERE h.bucket >= reached - interval '6 hours'), 0)::double precision AS bad_6h,
               sum(h.finished - h.successes)::double precision / nullif(sum(h.finished), 0)::double precision AS bad_24h,
               sum(h.finished - h.successes)::double precision / 24 AS bad_per_hour
        FROM hours AS h
    ), totals AS (
        SELECT coalesce(sum(w.finished), 0)::bigint AS finished, coalesce(sum(w.finished - w.successes), 0)::bigint AS bad FROM whole AS w
    )
    SELECT 1 - t.bad::double precision / nullif(t.finished, 0), t.finished, t.bad, (1 - $3) * t.finished,
           1 - t.bad / nullif((1 - $3) * t.finished, 0), t.bad::double precision / nullif(t.finished, 0) / (1 - $3),
           r.bad_1h / (1 - $3), r.bad_6h / (1 - $3), r.bad_24h / (1 - $3),
           CASE WHEN t.bad >= (1 - $3) * t.finished THEN CASE WHEN t.finished > 0 THEN 0.0 END
                ELSE ((1 - $3) * t.finished - t.bad) / nullif(r.bad_per_hour, 0) END
    FROM totals AS t CROSS JOIN recent AS r;
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.agent_differences(workspace_id uuid, agent_id uuid, from_time timestamp with time zone, to_time timestamp with time zone, other_from timestamp with time zone, other_to timestamp with time zone, with_workspace boolean)
 RETURNS TABLE(metric text, compared_with text, value double precision, reference double precision, difference double precision, relative_difference double precision, difference_low double precision, difference_high double precision, test text, p_value double precision, effect_size double precision, verdict text, rank bigint, ranked_agents bigint, percentile double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 20
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    needed constant text[] := '{total_runs, successful_runs, running_runs, queued_runs, runtime_sketch, credits_consumed, tokens_used,
                                users_sketch, total_ratings, sum_ratings, total_errors}';
BEGIN
    RETURN QUERY
    WITH agents AS MATERIALIZED (
        SELECT m.agent_id, m.total_runs, m.total_runs - m.running_runs - m.queued_runs AS finished_runs,
               m.successful_runs, m.runtime_sketch, m.credits_consumed, m.tokens_used, m.total_ratings, m.sum_ratings,
               m.total_errors, coalesce(analytics.approx_distinct(m.users_sketch), 0)::double precision AS users
        FROM analytics_internal.agent_performance_buckets($1, CASE WHEN NOT $7 THEN $2 END, $3, $4, NULL, needed) AS m
        WHERE m.total_runs > 0
    ), subjects AS MATERIALIZED (
        SELECT 'agent' AS subject, a.*, a.total_runs::double precision AS runs FROM agents AS a
        UNION ALL
        SELECT 'workspace', NULL, sum(a.total_runs)::bigint, sum(a.finished_runs)::bigint, sum(a.successful_runs)::bigint,
               analytics.rollup(a.runtime_sketch), sum(a.credits_consumed), sum(a.tokens_used), sum(a.total_ratings)::bigint,
               sum(a.sum_ratings)::bigint, sum(a.total_errors)::bigint, avg(a.users), avg(a.total_runs)::double precision
        FROM agents AS a WHERE a.agent_id <> $2 HAVING count(*) > 0
        UNION ALL
        SELECT 'previous_period', NULL, m.total_runs, m.total_runs - m.running_runs - m.queued_runs, m.successful_runs,
               m.runtime_sketch, m.credits_consumed, m.tokens_used, m.total_ratings, m.sum_ratings, m.total_errors,
               coalesce(analytics.approx_distinct(m.users_sketch), 0), m.total_runs
        -- An empty window where there is none before.
        FROM analytics_internal.agent_performance_buckets($1, $2, coalesce($5, $3), coalesce($6, $3), NULL, needed) AS m
        WHERE m.total_runs > 0
    ), measures AS MATERIALIZED (
        SELECT s.subject, s.agent_id, v.place, v.metric, v.better, v.value
        FROM subjects AS s
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95], s.runtime_sketch) AS p (at) ON true
        -- Whether more is better (1), worse (-1) or neither (0).
        CROSS JOIN LATERAL (VALUES
            (1, 'total_runs', 0, s.runs),
            (2, 'success_rate', 1, s.successful_runs::double precision / nullif(s.finished_runs, 0)),
            (3, 'avg_runtime_seconds', -1, analytics.mean(s.runtime_sketch)),
            (4, 'p50_runtime_seconds', -1, p.at[1]),
            (5, 'p95_runtime_seconds', -1, p.at[2]),
            (6, 'credits_per_run', -1, (s.credits_consumed / nullif(s.total_runs, 0))::double precision),
            (7, 'tokens_per_run', -1, (s.tokens_used / nullif(s.total_runs, 0))::double precision),
            (8, 'errors_per_run', -1, s.total_errors::double precision / nullif(s.total_runs, 0)),
            (9, 'avg_rating', 1, s.sum_ratings::double precision / nullif(s.total_ratings, 0)),
            (10, 'unique_users', 0, s.users)
        ) AS v (place, metric, better, value)
    ), ranks AS MATERIALIZED (
        SELECT m.agent_id, m.metric,
               rank() OVER best AS rank, count(*) OVER (PARTITION BY m.metric) AS agents,
               -- Of the other agents, those that are worse.
               (count(*) OVER (PARTITION BY m.metric) - count(*) OVER (best RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
               ::double precision / nullif(count(*) OVER (PARTITION BY m.metric) - 1, 0) AS percentile
        FROM measures AS m WHERE m.subject = 'agent' AND m.value IS NOT NULL AND $7
        WINDOW best AS (PARTITION BY m.metric ORDER BY m.value * CASE m.better WHEN -1 THEN 1 ELSE -1 END)
    )
    SELECT mine.metric, other.subject, mine.value, other.value, mine.value - other.value,
           (mine.value - other.value) / nullif(abs(other.value), 0),
           CASE WHEN t.name <> 'Mann-Whitney' THEN t.difference_low END,
           CASE WHEN t.name <> 'Mann-Whitney' THEN t.difference_high END,
           CASE WHEN t.p_value IS NOT NULL THEN t.name END, t.p_value, t.effect_size,
           CASE WHEN t.p_value IS NULL THEN 'not tested'
                WHEN t.p_value >= 0.05 THEN 'not significant'
                WHEN t.effect_size * mine.better > 0 THEN 'better' ELSE 'worse' END,
           r.rank, r.agents, r.percentile
    FROM measures AS mine
    JOIN measures AS other ON other.metric = mine.metric AND other.subject <> 'agent'
    JOIN subjects AS a ON a.subject = 'agent' AND a.agent_id = $2
    JOIN subjects AS b ON b.subject = other.subject
    LEFT JOIN ranks AS r ON r.agent_id = $2 AND r.metric = mine.metric AND other.subject = 'workspace'
    LEFT JOIN LATERAL (
        SELECT 'two-proportion z' AS name, z.*
        FROM analytics.two_proportion_test(a.successful_runs, a.finished_runs, b.successful_runs, b.finished_runs) AS z
        WHERE mine.metric = 'success_rate'
        UNION ALL
        SELECT 'Welch', z.*
        FROM analytics.welch_test(analytics.mean(a.runtime_sketch), analytics.stddev(a.runtime_sketch), analytics.num_vals(a.runtime_sketch),
                                  analytics.mean(b.runtime_sketch), analytics.stddev(b.runtime_sketch), analytics.num_vals(b.runtime_sketch)) AS z
        WHERE mine.metric = 'avg_runtime_seconds'
        UNION ALL
        SELECT 'Mann-Whitney', z.* FROM analytics_internal.rank_test(a.runtime_sketch::bytea, b.runtime_sketch::bytea) AS z
        WHERE mine.metric = 'p50_runtime_seconds'
    ) AS t ON true
    WHERE mine.subject = 'agent' AND mine.agent_id = $2
    ORDER BY other.subject DESC, mine.place;
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.agent_measures(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone)
 RETURNS TABLE(agent_id uuid, measures jsonb)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    earlier constant timestamptz := $3 - ($4 - $3);
BEGIN
    RETURN QUERY
    WITH now_ AS MATERIALIZED (
        SELECT m.*, m.total_runs - m.running_runs - m.queued_runs AS finished_runs, p.at AS percentiles
        FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4) AS m
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95, 0.99], m.runtime_sketch) AS p (at) ON true
    ), before AS MATERIALIZED (
        SELECT m.*, m.total_runs - m.running_runs - m.queued_runs AS finished_runs,
               analytics.approx_percentile(0.95, m.runtime_sketch) AS p95
        FROM analytics_internal.agent_performance_buckets($1, $2, earlier, $3, NULL,
            '{total_runs, running_runs, queued_runs, successful_runs, runtime_sketch, credits_consumed, sum_ratings, total_ratings}') AS m
    ), workspace AS (
        SELECT (m.credits_consumed / nullif(m.total_runs, 0))::double precision AS credits_per_run
        FROM analytics_internal.execution_metrics_buckets($1, $3, $4, NULL, '{total_runs, credits_consumed}') AS m
    ), errors AS (
        SELECT e.agent_id, sum(e.total_errors) AS total, sum(e.total_errors) FILTER (WHERE e.error_severity = 'critical') AS critical,
               sum(e.recovered_errors) AS recovered, sum(e.recovery_attempts) AS attempts,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'rate_limit') AS rate_limit,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'validation') AS validation,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'auth') AS auth,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'network') AS network,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'model_error') AS model,
               sum(e.total_errors) FILTER (WHERE e.error_category = 'resource') AS resource
        FROM analytics_internal.error_summary_buckets($1, $2, $3, $4, NULL,
            '{total_errors, recovered_errors, recovery_attempts}') AS e
        GROUP BY e.agent_id
    ), timeouts AS (
        SELECT DISTINCT ON (n.agent_id) n.agent_id, h.hour, h.runs, n.timeout_runs
        FROM now_ AS n
        CROSS JOIN LATERAL (
            SELECT extract(hour FROM m.bucket AT TIME ZONE 'UTC') AS hour, sum(m.timeout_runs) AS runs
            FROM analytics_internal.agent_performance_buckets($1, n.agent_id, $3, $4, '1 hour', '{timeout_runs}') AS m
            GROUP BY 1
        ) AS h
        WHERE n.timeout_runs >= 10
        ORDER BY n.agent_id, h.runs DESC, h.hour
    ), models AS MATERIALIZED (
        SELECT u.agent_id, u.model_name, sum(u.finished_calls)::bigint AS finished, sum(u.successful_calls)::bigint AS successes,
               sum(u.credits_consumed) AS credits
        FROM analytics_internal.agent_model_usage_buckets($1, $2, $3, $4, NULL,
            '{finished_calls, successful_calls, credits_consumed}') AS u
        GROUP BY u.agent_id, u.model_name
    ), cheapest AS (
        -- The model whose success costs least, against all others of the agent together.
        SELECT DISTINCT ON (c.agent_id) c.agent_id,
               (1 - (c.credits / c.successes) / (o.credits / o.successes))::double precision AS saving,
               (o.credits - o.successes * (c.credits / c.successes))::double precision AS credits
        FROM models AS c
        CROSS JOIN LATERAL (
            SELECT sum(m.finished)::bigint AS finished, sum(m.successes)::bigint AS successes, sum(m.credits) AS credits
            FROM models AS m WHERE m.agent_id = c.agent_id AND m.model_name <> c.model_name
        ) AS o
        CROSS JOIN LATERAL analytics.two_proportion_test(c.successes, c.finished, o.successes, o.finished) AS t
        WHERE c.finished >= 30 AND c.successes > 0 AND o.finished >= 30 AND o.successes > 0 AND o.credits > 0
          AND c.model_name <> 'unknown' AND (t.difference >= 0 OR t.p_value >= 0.05)
        ORDER BY c.agent_id, c.credits / c.successes, c.model_name
    ), figures AS (
        SELECT n.agent_id, n.total_runs, n.finished_runs, n.successful_runs, n.finished_runs - n.successful_runs AS unsuccessful_runs,
            n.timeout_runs, n.cancelled_runs,
            n.successful_runs::double precision / nullif(n.finished_runs, 0) AS success_rate,
            (n.failed_runs + n.timeout_runs)::double precision / nullif(n.finished_runs, 0) AS failure_rate,
            n.timeout_runs::double precision / nullif(n.finished_runs, 0) AS timeout_rate,
            n.cancelled_runs::double precision / nullif(n.finished_runs, 0) AS cancel_rate,
            analytics.mean(n.runtime_sketch) AS avg_runtime_seconds, n.percentiles[1] AS p50_runtime_seconds,
            n.percentiles[2] AS p95_runtime_seconds, n.percentiles[3] AS p99_runtime_seconds,
            n.percentiles[2] / nullif(n.percentiles[1], 0) AS p95_to_p50,
            n.credits_consumed::double precision AS credits_consumed,
            (n.credits_consumed / nullif(n.total_runs, 0))::double precision AS credits_per_run,
            (n.credits_consumed / nullif(n.successful_runs, 0))::double precision AS credits_per_success,
            w.credits_per_run AS workspace_credits_per_run,
            n.credits_consumed::double precision - 2 * w.credits_per_run * n.total_runs AS excess_credits,
            n.credits_consumed::double precision * (n.finished_runs - n.successful_runs) / nullif(n.finished_runs, 0) AS wasted_credits,
            (n.tokens_used / nullif(n.total_runs, 0))::double precision AS tokens_per_run,
            (n.prompt_tokens / nullif(n.total_runs, 0))::double precision AS prompt_tokens_per_run,
            (n.completion_tokens / nullif(n.total_runs, 0))::double precision AS completion_tokens_per_run,
            (n.prompt_tokens / 2)::double precision AS half_prompt_tokens,
            coalesce(analytics.approx_distinct(n.users_sketch), 0) AS unique_users,
            n.sum_ratings::double precision / nullif(n.total_ratings, 0) AS avg_rating, n.total_ratings,
            n.sum_feedback_ratings::double precision / nullif(n.total_feedback, 0) AS avg_feedback_rating,
            n.total_errors, coalesce(e.critical, 0) AS critical_errors, coalesce(e.recovered, 0) AS recovered_errors,
            coalesce(e.total - e.recovered, 0) AS unrecovered_errors, (e.recovered / e.total)::double precision AS recovery_rate,
            coalesce(e.attempts, 0) AS recovery_attempts, (e.attempts / e.total)::double precision AS attempts_per_error,
            coalesce(e.rate_limit, 0) AS rate_limit_errors, coalesce(e.validation, 0) AS validation_errors,
            coalesce(e.auth, 0) AS auth_errors, coalesce(e.network, 0) AS network_errors, coalesce(e.model, 0) AS model_errors,
            coalesce(e.resource, 0) AS resource_errors,
            n.total_errors::double precision / nullif(n.total_runs, 0) AS errors_per_run,
            (t.runs / t.timeout_runs)::double precision AS timeout_peak_share, t.hour AS timeout_peak_hour, t.runs AS timeout_peak_runs,
            c.saving AS cheaper_model_saving, c.credits AS cheaper_model_credits,
            coalesce(b.total_runs, 0) AS previous_total_runs,
            b.successful_runs::double precision / nullif(b.finished_runs, 0) AS previous_success_rate,
            b.p95 AS previous_p95_runtime_seconds,
            (b.credits_consumed / nullif(b.total_runs, 0))::double precision AS previous_credits_per_run,
            b.sum_ratings::double precision / nullif(b.total_ratings, 0) AS previous_avg_rating,
            z.difference AS success_rate_change, z.p_value AS success_rate_change_p,
            n.sum_ratings::double precision / nullif(n.total_ratings, 0) - b.sum_ratings::double precision / nullif(b.total_ratings, 0) AS rating_change,
            n.percentiles[2] - b.p95 AS p95_increase_seconds,
            (n.credits_consumed - n.total_runs * (b.credits_consumed / nullif(b.total_runs, 0)))::double precision AS cost_increase_credits,
            -z.difference * n.finished_runs AS lost_successes
        FROM now_ AS n
        CROSS JOIN workspace AS w
        LEFT JOIN before AS b USING (agent_id)
        LEFT JOIN errors AS e USING (agent_id)
        LEFT JOIN timeouts AS t USING (agent_id)
        LEFT JOIN cheapest AS c USING (agent_id)
        CROSS JOIN LATERAL analytics.two_proportion_test(n.successful_runs, n.finished_runs, b.successful_runs, b.finished_runs) AS z
    )
    SELECT f.agent_id, to_jsonb(f) - 'agent_id' FROM figures AS f
    UNION ALL
    -- Who did something before and nothing since.
    SELECT b.agent_id, jsonb_build_object('total_runs', 0, 'previous_total_runs', b.total_runs)
    FROM before AS b WHERE NOT EXISTS (SELECT FROM now_ AS n WHERE n.agent_id = b.agent_id);
END
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_analytics(workspace_id uuid, agent_id uuid, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    bounds     record;
    earlier    timestamptz;
    first_day  timestamptz;
    end_of_day timestamptz;
BEGIN
    PERFORM analytics_internal.require_agent($1, $2);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($3, $4, $5);
    IF isfinite(bounds.window_start) AND isfinite(bounds.window_end) THEN
        earlier := bounds.window_start - (bounds.window_end - bounds.window_start);
    END IF;
    -- Users are kept by day: whole days are answered without a look at raw runs.
    first_day := date_bin('24 hours', bounds.window_start, 'epoch');
    end_of_day := CASE WHEN isfinite(bounds.window_end) THEN date_bin('24 hours', bounds.window_end - interval '1 microsecond', 'epoch') + interval '24 hours'
                       ELSE bounds.window_end END;
    RETURN (
        WITH days AS MATERIALIZED (
            SELECT m.* FROM analytics_internal.agent_performance_buckets($1, $2, bounds.window_start, bounds.window_end, '24 hours') AS m
        ), total AS MATERIALIZED (
            SELECT coalesce(sum(d.total_runs), 0)::bigint AS total_runs, coalesce(sum(d.successful_runs), 0)::bigint AS successful_runs,
                   coalesce(sum(d.failed_runs), 0)::bigint AS failed_runs, coalesce(sum(d.timeout_runs), 0)::bigint AS timeout_runs,
                   coalesce(sum(d.cancelled_runs), 0)::bigint AS cancelled_runs, coalesce(sum(d.running_runs), 0)::bigint AS running_runs,
                   coalesce(sum(d.queued_runs), 0)::bigint AS queued_runs, analytics.rollup(d.runtime_sketch) AS runtime_sketch,
                   coalesce(sum(d.credits_consumed), 0) AS credits_consumed, coalesce(sum(d.tokens_used), 0) AS tokens_used,
                   coalesce(sum(d.prompt_tokens), 0) AS prompt_tokens, coalesce(sum(d.completion_tokens), 0) AS completion_tokens,
                   analytics.rollup(d.users_sketch) AS users_sketch, coalesce(sum(d.total_ratings), 0)::bigint AS total_ratings,
                   coalesce(sum(d.sum_ratings), 0)::bigint AS sum_ratings, coalesce(sum(d.total_feedback), 0)::bigint AS total_feedback,
                   coalesce(sum(d.sum_feedback_ratings), 0)::bigint AS sum_feedback_ratings,
                   coalesce(sum(d.total_errors), 0)::bigint AS total_errors, min(d.first_run_at) AS first_run_at,
                   max(d.last_run_at) AS last_run_at,
                   sum(d.sum_concurrent_runs)::double precision / nullif(sum(d.concurrency_count), 0)::double precision AS avg_concurrent_runs,
                   max(d.max_concurrent_runs) AS max_concurrent_runs
            FROM days AS d
        ), models AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'model_name', u.model_name, 'model_provider', u.model_provider, 'total_calls', u.total_calls,
                'success_rate', u.successful_calls::double precision / nullif(u.finished_calls, 0),
                'p50_runtime_seconds', analytics.approx_percentile(0.5, u.runtime_sketch),
                'credits_consumed', u.credits_consumed, 'credits_per_run', u.credits_consumed / nullif(u.total_calls, 0),
                'credits_per_success', u.credits_consumed / nullif(u.successful_calls, 0), 'tokens_used', u.tokens_used)
                ORDER BY u.credits_consumed DESC, u.model_name, u.model_provider), '[]') AS list
            FROM analytics_internal.agent_model_usage_buckets($1, $2, bounds.window_start, bounds.window_end, NULL,
                '{total_calls, successful_calls, finished_calls, credits_consumed, tokens_used, runtime_sketch}') AS u
        ), errors AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'error_category', e.error_category, 'error_severity', e.error_severity, 'total_errors', e.total_errors,
                'recovery_rate', e.recovered_errors::double precision / nullif(e.total_errors, 0),
                'avg_recovery_seconds', analytics.mean(e.recovery_sketch), 'last_error_at', e.last_error_at)
                ORDER BY e.total_errors DESC, e.error_category, e.error_severity), '[]') AS list,
                sum(e.recovered_errors)::double precision / nullif(sum(e.total_errors), 0)::double precision AS recovery_rate,
                analytics.mean(analytics.rollup(e.recovery_sketch)) AS avg_recovery_seconds,
                coalesce(sum(e.total_errors) FILTER (WHERE e.error_severity = 'critical'), 0) AS critical_errors
            FROM analytics_internal.error_summary_buckets($1, $2, bounds.window_start, bounds.window_end, NULL,
                '{total_errors, recovered_errors, recovery_sketch, last_error_at}') AS e
        ), users AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'user_id', u.user_id, 'total_runs', u.total_runs, 'success_rate', u.successful_runs::double precision / nullif(u.finished_runs, 0),
                'credits_consumed', u.credits_consumed, 'last_run_at', u.last_run_at)
                ORDER BY u.total_runs DESC, u.credits_consumed DESC, u.user_id), '[]') AS list
            FROM (
                SELECT t.* FROM analytics_internal.user_usage_buckets($1, $2, first_day, end_of_day, NULL,
                    '{total_runs, successful_runs, finished_runs, credits_consumed, last_run_at}') AS t
                ORDER BY t.total_runs DESC, t.credits_consumed DESC, t.user_id LIMIT 10
            ) AS u
        ), comparison AS (
            SELECT coalesce(jsonb_agg(to_jsonb(c)), '[]') AS list
            FROM analytics_internal.agent_differences($1, $2, bounds.window_start, bounds.window_end, earlier,
                     CASE WHEN earlier IS NOT NULL THEN bounds.window_start END, true) AS c
        ), suggestions AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'suggestion_id', s.suggestion_id, 'suggestion_type', s.suggestion_type, 'title', s.title, 'description', s.description,
                'estimated_impact', s.estimated_impact, 'effort_level', s.effort_level, 'priority', s.priority)
                ORDER BY s.priority DESC, s.title, s.suggestion_id), '[]') AS list
            FROM analytics.agent_optimization_suggestions AS s
            WHERE s.workspace_id = $1 AND s.agent_id = $2 AND s.status = 'active'
        ), trend AS (
            SELECT coalesce(jsonb_agg(jsonb_build_object(
                'day', d.bucket, 'total_runs', d.total_runs,
                'success_rate', d.successful_runs::double precision / nullif(d.total_runs - d.running_runs - d.queued_runs, 0),
                'p50_runtime_seconds', p.at[1], 'p95_runtime_seconds', p.at[2],
                'credits_consumed', d.credits_consumed, 'total_errors', d.total_errors) ORDER BY d.bucket), '[]') AS list
            FROM days AS d
            LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.95], d.runtime_sketch) AS p (at) ON true
        )
        SELECT jsonb_build_object(
            -- Agents that wait to be registered are rare, and dearer to find.
            'agent', coalesce(
                (SELECT jsonb_build_object('agent_id', a.agent_id, 'name', a.name, 'agent_type', a.agent_type,
                                           'lifecycle_state', a.lifecycle_state)
                 FROM analytics.agents AS a WHERE a.workspace_id = $1 AND a.agent_id = $2),
                (SELECT jsonb_build_object('agent_id', a.agent_id, 'name', a.name, 'agent_type', a.agent_type,
                                           'lifecycle_state', a.lifecycle_state)
                 FROM analytics_internal.known_agents($1) AS a WHERE a.agent_id = $2)),
            'window', jsonb_build_object('timeframe', CASE WHEN $4 IS NULL AND $5 IS NULL THEN $3 END,
                                         'window_start', nullif(bounds.window_start, '-infinity'),
                                         'window_end', nullif(bounds.window_end, 'infinity')),
            'performance', jsonb_build_object(
                'total_runs', t.total_runs, 'successful_runs', t.successful_runs, 'failed_runs', t.failed_runs,
                'timeout_runs', t.timeout_runs, 'cancelled_runs', t.cancelled_runs, 'running_runs', t.running_runs,
                'queued_runs', t.queued_runs,
                'success_rate', t.successful_runs::double precision / nullif(t.total_runs - t.running_runs - t.queued_runs, 0),
                'avg_runtime_seconds', analytics.mean(t.runtime_sketch), 'p50_runtime_seconds', p.at[1],
                'p75_runtime_seconds', p.at[2], 'p90_runtime_seconds', p.at[3], 'p95_runtime_seconds', p.at[4],
                'p99_runtime_seconds', p.at[5], 'min_runtime_seconds', analytics.min_val(t.runtime_sketch),
                'max_runtime_seconds', analytics.max_val(t.runtime_sketch),
                'stddev_runtime_seconds', analytics.stddev(t.runtime_sketch),
                'throughput_per_hour', t.total_runs / analytics_internal.hours_between(t.first_run_at, least(bounds.window_end, now())),
                'avg_concurrent_runs', t.avg_concurrent_runs, 'max_concurrent_runs', t.max_concurrent_runs,
                'first_run_at', t.first_run_at, 'last_run_at', t.last_run_at),
            'resources', jsonb_build_object(
                'credits_consumed', t.credits_consumed, 'credits_per_run', t.credits_consumed / nullif(t.total_runs, 0),
                'credits_per_success', t.credits_consumed / nullif(t.successful_runs, 0), 'tokens_used', t.tokens_used,
                'prompt_tokens', t.prompt_tokens, 'completion_tokens', t.completion_tokens,
                'tokens_per_run', (t.tokens_used / nullif(t.total_runs, 0))::double precision, 'models', m.list),
            'errors', jsonb_build_object(
                'total_errors', t.total_errors, 'errors_per_run', t.total_errors::double precision / nullif(t.total_runs, 0),
                'critical_errors', e.critical_errors, 'recovery_rate', e.recovery_rate,
                'avg_recovery_seconds', e.avg_recovery_seconds, 'by_category', e.list),
            'users', jsonb_build_object(
                'unique_users', coalesce(analytics.approx_distinct(t.users_sketch), 0),
                'avg_rating', t.sum_ratings::double precision / nullif(t.total_ratings, 0), 'total_ratings', t.total_ratings,
                'avg_feedback_rating', t.sum_feedback_ratings::double precision / nullif(t.total_feedback, 0),
                'total_feedback', t.total_feedback, 'top_users_from', nullif(first_day, '-infinity'), 'top_users', u.list),
            'comparison', c.list,
            'suggestions', s.list,
            'trend', r.list)
        FROM total AS t
        LEFT JOIN LATERAL analytics.approx_percentile_array(ARRAY[0.5, 0.75, 0.9, 0.95, 0.99], t.runtime_sketch) AS p (at) ON true
        CROSS JOIN models AS m CROSS JOIN errors AS e CROSS JOIN users AS u CROSS JOIN comparison AS c
        CROSS JOIN suggestions AS s CROSS JOIN trend AS r
    );
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.seconds_long(seconds double precision)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN make_interval(secs => CASE WHEN (seconds > ('1000000000'::numeric)::double precision) THEN ('1000000000'::numeric)::double precision ELSE seconds END);

CREATE OR REPLACE FUNCTION analytics_internal.active_agents(workspace_id uuid, from_time timestamp with time zone, to_time timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT coalesce(sum(p.agents), 0)::bigint
    FROM analytics_internal.agent_performance_buckets($1, NULL, $2, $3, NULL, '{agents}', by_agent => false) AS p
$function$;

COMMENT ON FUNCTION analytics_internal.active_agents(pg_catalog.uuid,timestamp with time zone,timestamp with time zone) IS 'Number of agents of a workspace with a run in a window. Errors: 22023 unknown workspace.';

CREATE OR REPLACE FUNCTION analytics.workspace_activity(workspace_id uuid, timeframe text DEFAULT '30d'::text, bucket text DEFAULT 'day'::text, time_zone text DEFAULT NULL::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(bucket_start timestamp with time zone, active_agents bigint, active_users bigint, total_runs bigint, success_rate double precision, credits_consumed numeric, tokens_used numeric, total_errors bigint)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
    zone   text;
    step   interval;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $3 IS NULL OR $3 NOT IN ('hour', 'day', 'week', 'month') THEN
        PERFORM analytics_internal.refuse_argument('bucket', $3, 'it is not a length of buckets',
            'Use one of hour, day, week, month.');
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $5, $6);
    zone := analytics_internal.zone_of($1, $4);
    SELECT * INTO bounds FROM analytics_internal.series_window($1, bounds.window_start, bounds.window_end);
    -- Agents of several steps cannot be added up: a step must be a bucket, or each bucket is asked for.
    SELECT CASE WHEN $3 = 'day' AND bool_and(extract(epoch FROM s.bucket_start) % 86400 = 0) THEN interval '24 hours'
                WHEN $3 = 'hour' AND bool_and(extract(epoch FROM s.bucket_start) % 3600 = 0) THEN interval '1 hour' END
    INTO step
    FROM analytics_internal.series_spans($3, zone, bounds.window_start, bounds.window_end) AS s;
    RETURN QUERY
    WITH series AS MATERIALIZED (
        SELECT * FROM analytics_internal.execution_series($1, $3, zone, bounds.window_start, bounds.window_end)
    ), active AS (
        SELECT date_trunc($3, m.bucket, zone) AS bucket_start, m.agents
        FROM (SELECT WHERE step IS NOT NULL) AS aligned
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, step,
            '{agents}', by_agent => false) AS m
        UNION ALL
        SELECT s.bucket_start, m.agents
        FROM (SELECT WHERE step IS NULL) AS unaligned
        CROSS JOIN series AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, s.span_start, s.span_end, NULL,
            '{agents}', by_agent => false) AS m
    )
    SELECT s.bucket_start, coalesce(a.agents, 0), coalesce(analytics.approx_distinct(s.users_sketch), 0), s.total_runs,
           s.successful_runs::double precision / nullif(s.total_runs - s.running_runs - s.queued_runs, 0),
           s.credits_consumed, s.tokens_used, s.total_errors
    FROM series AS s
    LEFT JOIN active AS a USING (bucket_start)
    ORDER BY s.place;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.workspace_users(workspace_id uuid, timeframe text DEFAULT '30d'::text, max_users integer DEFAULT 100, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS TABLE(user_id uuid, total_runs bigint, successful_runs bigint, failed_runs bigint, success_rate double precision, avg_runtime_seconds double precision, credits_consumed numeric, tokens_used numeric, agents_used bigint, avg_rating double precision, first_run_at timestamp with time zone, last_run_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_generic_plan'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $3 < 0 THEN
        PERFORM analytics_internal.refuse_argument('max_users', $3::text, 'it is below zero',
            'Give how many users to list, or NULL for all.');
    END IF;
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $4, $5);
    RETURN QUERY
    SELECT m.user_id, m.total_runs, m.successful_runs, m.failed_runs, m.successful_runs::double precision / nullif(m.finished_runs, 0),
           analytics.mean(m.runtime_stats), m.credits_consumed, m.tokens_used, m.agents,
           m.sum_ratings::double precision / nullif(m.total_ratings, 0), m.first_run_at, m.last_run_at
    FROM analytics_internal.user_usage_buckets($1, NULL, bounds.window_start, bounds.window_end, by_agent => false) AS m
    ORDER BY m.total_runs DESC, m.user_id
    LIMIT $3;
END
$function$;

CREATE OR REPLACE FUNCTION analytics.workspace_analytics(workspace_id uuid, timeframe text DEFAULT '30d'::text, from_time timestamp with time zone DEFAULT NULL::timestamp with time zone, to_time timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
AS $function$
#variable_conflict use_column
DECLARE
    bounds record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    SELECT * INTO bounds FROM analytics_internal.resolve_window($2, $3, $4);
    RETURN jsonb_build_object(
        'workspace_id', $1,
        'summary', (SELECT to_jsonb(s) FROM analytics.workspace_summary($1, $2, $3, $4) AS s),
        'health', (SELECT jsonb_build_object('score', max(h.score) FILTER (WHERE h.component = 'overall'),
                       'reason', max(h.reason) FILTER (WHERE h.component = 'overall'),
                       'components', jsonb_object_agg(h.component, to_jsonb(h) - 'component') FILTER (WHERE h.component <> 'overall'))
                   FROM analytics.workspace_health($1, $2, $3, $4) AS h),
        'daily', (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.bucket_start), '[]')
                  FROM analytics.workspace_activity($1, $2, 'day', NULL, $3, $4) AS a),
        'top_agents', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('agent_id', t.agent_id, 'name', t.name, 'total_runs', t.total_runs,
                       'success_rate', t.success_rate, 'credits_consumed', t.credits_consumed)
                       ORDER BY t.total_runs DESC, t.agent_id), '[]')
            FROM (
                SELECT p.agent_id, k.name, p.total_runs, p.credits_consumed,
                       p.successful_runs::double precision / nullif(p.total_runs - p.running_runs - p.queued_runs, 0) AS success_rate
                FROM analytics_internal.agent_performance_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
                    '{total_runs, successful_runs, running_runs, queued_runs, credits_consumed}') AS p
                JOIN analytics_internal.known_agents($1) AS k USING (agent_id)
                WHERE p.total_runs > 0
                ORDER BY p.total_runs DESC, p.agent_id LIMIT 5
            ) AS t),
        'top_users', (SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY u.total_runs DESC, u.user_id), '[]')
                      FROM analytics.workspace_users($1, $2, 5, $3, $4) AS u),
        'errors', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('error_category', e.error_category, 'total_errors', e.total,
                       'recovery_rate', e.recovered::double precision / e.total) ORDER BY e.total DESC, e.error_category), '[]')
            FROM (
                SELECT b.error_category, sum(b.total_errors)::bigint AS total, sum(b.recovered_errors)::bigint AS recovered
                FROM analytics_internal.error_summary_buckets($1, NULL, bounds.window_start, bounds.window_end, NULL,
                    '{total_errors, recovered_errors}', by_agent => false) AS b
                GROUP BY b.error_category
            ) AS e WHERE e.total > 0));
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.level_privileges()
 RETURNS TABLE(access_level text, privilege text, object_type text, object_name text)
 LANGUAGE sql
 STABLE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT 'viewer', 'USAGE', 'SCHEMA', s FROM unnest(ARRAY['analytics', 'analytics_internal']) AS s
    UNION ALL
    -- Every table that row security shows in part, but for personal data, and every view over them; partitions are read
    -- through their parents.
    SELECT CASE WHEN c.relname IN ('workspace_members', 'audit_log') THEN 'admin' ELSE 'viewer' END,
           'SELECT' || coalesce(' (' || impersonal.columns || ')', ''), 'TABLE', c.oid::regclass::text
    FROM pg_class AS c
    LEFT JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          AND (c.relname, a.attname) NOT IN (SELECT p.table_name, p.column_name FROM analytics_internal.personal_columns() AS p)
    ) AS impersonal (columns)
        ON c.relnamespace = 'analytics'::regnamespace
       AND c.relname IN (SELECT p.table_name FROM analytics_internal.personal_columns() AS p)
    WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
      AND NOT c.relispartition
      AND (c.relkind IN ('r', 'p') AND c.relrowsecurity
               AND EXISTS (SELECT FROM pg_policy AS y WHERE y.polrelid = c.oid AND y.polcmd = 'r')
           OR c.relkind = 'v' AND 'security_invoker=true' = ANY (c.reloptions)
           OR c.relkind = 'v' AND c.relnamespace = 'analytics_internal'::regnamespace
               AND c.relname IN (SELECT p.table_name || '_texts' FROM analytics_internal.personal_columns() AS p)
           OR c.relkind = 'v' AND c.relnamespace = 'analytics'::regnamespace
               AND c.relname IN (SELECT v.name FROM analytics_internal.summaries() AS v))
    UNION ALL
    -- By columns: who may update a whole table may also keep everybody out of it, and no row changes its workspace or key.
    SELECT v.access_level,
           v.privilege || CASE v.privilege WHEN 'UPDATE' THEN ' (' || u.columns || ')' ELSE '' END,
           'TABLE', v.object_name
    FROM (VALUES
        ('member', 'INSERT', 'analytics.agent_runs'),
        ('member', 'UPDATE', 'analytics.agent_runs'),
        ('member', 'INSERT', 'analytics.agent_errors'),
        ('member', 'INSERT', 'analytics.agent_user_feedback'),
        ('member', 'INSERT', 'analytics.execution_queue'),
        ('member', 'UPDATE', 'analytics.execution_queue'),
        ('admin',  'INSERT', 'analytics.agents'),
        ('admin',  'UPDATE', 'analytics.agents'),
        ('admin',  'UPDATE', 'analytics.agent_optimization_suggestions'),
        ('admin',  'INSERT', 'analytics.leaderboard_settings'),
        ('admin',  'UPDATE', 'analytics.leaderboard_settings'),
        ('member', 'INSERT', 'analytics.agent_versions'),
        ('admin',  'UPDATE', 'analytics.agent_versions'),
        ('admin',  'INSERT', 'analytics.agent_version_aliases'),
        ('admin',  'UPDATE', 'analytics.agent_version_aliases'),
        ('admin',  'INSERT', 'analytics.agent_deployments'),
        ('admin',  'UPDATE', 'analytics.agent_deployments'),
        ('admin',  'INSERT', 'analytics.agent_dependencies'),
        ('admin',  'UPDATE', 'analytics.agent_dependencies'),
        ('admin',  'INSERT', 'analytics.agent_health_daily'),
        ('admin',  'UPDATE', 'analytics.agent_health_daily'),
        ('admin',  'INSERT', 'analytics.anomaly_rules'),
        ('admin',  'UPDATE', 'analytics.anomaly_rules'),
        ('admin',  'UPDATE', 'analytics.anomaly_detections'),
        ('owner',  'UPDATE', 'analytics.workspaces')
    ) AS v (access_level, privilege, object_name)
    JOIN pg_class AS c ON c.oid = to_regclass(v.object_name) AND c.relrowsecurity
    CROSS JOIN LATERAL (
        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
        FROM pg_attribute AS a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
          AND (v.object_name, a.attname) <> ('analytics.workspaces', 'plan')
          AND NOT EXISTS (SELECT FROM pg_index AS i
                          WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey))
    ) AS u (columns)
    UNION ALL
    -- The mark of a member, good for nothing else; see is_member_role().
    SELECT 'viewer', 'REFERENCES (member_id)', 'TABLE', 'analytics.workspace_members'
    WHERE to_regclass('analytics.workspace_members') IS NOT NULL
    UNION ALL
    -- Functions and aggregates of the API, but for those that belong to the owner of the tables.
    SELECT CASE
               WHEN p.proname IN ('start_run', 'finish_run', 'record_error', 'record_feedback') THEN 'member'
               WHEN p.proname IN ('access_report', 'set_leaderboard_options', 'implement_suggestion', 'dismiss_suggestion')
                   THEN 'admin'
               WHEN p.proname IN ('transition_agent', 'request_transition', 'approve_transition', 'reject_transition',
                                  'register_version') THEN 'member'
               WHEN p.proname IN ('set_version_alias', 'deploy_version', 'finish_deployment', 'rollback_deployment',
                                  'record_agent_health') THEN 'admin'
               WHEN p.proname IN ('configure_lifecycle') THEN 'owner'
               WHEN p.proname IN ('watch_metric', 'acknowledge_anomaly') THEN 'admin'
               WHEN p.proname IN ('grant_access', 'revoke_access') THEN 'owner'
               ELSE 'viewer' END,
           'EXECUTE', 'ROUTINE', p.oid::regprocedure::text
    FROM pg_proc AS p
    WHERE p.pronamespace = 'analytics'::regnamespace
      AND p.proname NOT IN ('setup', 'ensure_partitions', 'generate_demo_data', 'set_role_limits', 'trust_gateway',
                            'set_token_key', 'drop_token_key', 'token_keys', 'allow_tokens', 'issue_token',
                            'cleanup_tokens', 'cleanup_audit_log',
                            'refresh', 'refresh_all', 'refresh_materialized_views', 'refresh_agent_analytics_summary',
                            'refresh_progress', 'rollup_status', 'rebuild_rollup', 'verify_rollups',
                            'set_retention', 'cleanup_old_data', 'schedule', 'unschedule', 'schedule_status',
                            'refresh_leaderboards', 'refresh_suggestions', 'refresh_trends')
      AND EXISTS (SELECT FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                    AND e.extname = 'shadower_analytics')
    UNION ALL
    -- What those call, and what CHECK constraints call.
    SELECT CASE p.proname WHEN 'change_member' THEN 'owner' WHEN 'replace_lifecycle' THEN 'owner'
                          WHEN 'decide_suggestion' THEN 'admin' ELSE 'viewer' END,
           'EXECUTE', 'ROUTINE', p.oid::regprocedure::text
    FROM pg_proc AS p
    WHERE p.pronamespace = 'analytics_internal'::regnamespace
      AND p.proname IN ('refuse', 'refuse_argument', 'require_schema', 'require_workspace', 'require_agent',
                        'known_agents', 'hours_between', 'resolve_window', 'is_time_zone', 'is_valid_run',
                        'sketch_histogram', 'level_rank', 'require_level', 'change_member', 'reads_everything',
                        'mask_json_text', 'run_text', 'run_metadata', 'series_spans', 'series_window', 'trend_window',
                        'execution_series', 'describe_seconds', 'concurrency', 'seconds_long', 'score_between',
                        'active_agents', 'zone_of', 'time_spans', 'finite_window', 'agent_differences', 'rank_test',
                        'require_agent_or_all', 'suggested_fix', 'error_fingerprint', 'agent_measures',
                        'decide_suggestion', 'count_agents', 'agent_performance_buckets', 'execution_metrics_buckets',
                        'agent_model_usage_buckets', 'user_usage_buckets', 'error_summary_buckets', 'require_board',
                        'board_standings', 'board_terms', 'timeframe_number', 'board_slices', 'float_amount',
                        'agent_inputs', 'user_inputs', 'minimum_runs_of', 'default_criteria', 'live_board',
                        'workspace_board', 'explain_workspace', 'state_rows', 'state_totals', 'compare_means',
                        'compare_shares', 'health_of', 'states_of', 'transitions_of', 'guards_of', 'lifecycle_metrics',
                        'default_lifecycle_states', 'default_lifecycle_transitions', 'default_lifecycle_guards',
                        'run_measures', 'evaluate_guards', 'require_version', 'require_window', 'judged_deployments',
                        'moves', 'check_dependencies', 'replace_lifecycle')
    UNION ALL
    SELECT 'viewer', 'USAGE', 'TYPE', t.oid::regtype::text
    FROM pg_type AS t
    WHERE t.typnamespace = 'analytics'::regnamespace
      AND t.typname IN ('percentile_sketch', 'distinct_sketch', 'stats_summary', 'state_summary')
$function$;

CREATE OR REPLACE FUNCTION analytics.trust_gateway(database_role text, access_level text DEFAULT 'viewer'::text, trusted boolean DEFAULT true)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    gateway pg_roles;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $2 IS NULL OR analytics_internal.level_rank($2) IS NULL THEN
        PERFORM analytics_internal.refuse_argument('access_level', $2, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.');
    END IF;
    IF $3 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('trusted', NULL, 'it is neither true nor false',
            'Use true to trust the role, false to end it.');
    END IF;
    SELECT * INTO gateway FROM pg_roles AS r WHERE r.rolname = $1;
    IF NOT FOUND AND $3 THEN
        RAISE EXCEPTION 'role "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'Create it with CREATE ROLE first.';
    END IF;
    IF $3 AND (gateway.rolsuper OR gateway.rolbypassrls
               OR pg_has_role(gateway.oid, (SELECT c.relowner FROM pg_class AS c
                                            WHERE c.oid = 'analytics.workspace_members'::regclass), 'MEMBER')) THEN
        PERFORM analytics_internal.refuse_argument('database_role', $1, 'row security does not bind it',
            'Use a role that is no superuser, has no BYPASSRLS and is no member of the owner of the tables.');
    END IF;

    PERFORM analytics_internal.lock_schema();
    PERFORM analytics_internal.forget_namesake($1);
    IF $3 THEN
        INSERT INTO analytics_internal.trusted_gateways AS g (database_role, access_level) VALUES ($1, $2)
        ON CONFLICT (database_role) DO UPDATE SET
            access_level = excluded.access_level, declared_by = excluded.declared_by, declared_at = excluded.declared_at;
    ELSE
        DELETE FROM analytics_internal.trusted_gateways AS g WHERE g.database_role = $1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    IF gateway.oid IS NOT NULL THEN
        PERFORM analytics_internal.regrant($1);
    END IF;
    PERFORM analytics_internal.record_audit('trust_gateway', target => $1,
        detail => jsonb_build_object('level', $2, 'trusted', $3)::text);
END
$function$;

CREATE OR REPLACE FUNCTION analytics.set_role_limits(database_role text, statement_timeout interval DEFAULT '00:00:30'::interval, connection_limit integer DEFAULT NULL::integer, work_mem_megabytes integer DEFAULT NULL::integer)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    milliseconds constant numeric := round(extract(epoch FROM statement_timeout) * 1000);
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) THEN
        RAISE EXCEPTION 'role "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'Create it with CREATE ROLE first.';
    END IF;
    IF milliseconds NOT BETWEEN 0 AND 2147483647 THEN
        PERFORM analytics_internal.refuse_argument('statement_timeout', statement_timeout::text,
            'it lies outside 0 to 24 days', 'Use 30 seconds for dashboards; 0 is no limit; NULL leaves it as it is.');
    END IF;
    IF connection_limit < -1 THEN
        PERFORM analytics_internal.refuse_argument('connection_limit', connection_limit::text,
            'it is below -1', 'Use -1 for no limit; NULL leaves it as it is.');
    END IF;
    IF work_mem_megabytes NOT BETWEEN 1 AND 2097151 THEN
        PERFORM analytics_internal.refuse_argument('work_mem_megabytes', work_mem_megabytes::text,
            'it lies outside 1 to 2097151', 'Use some ten megabytes; NULL leaves it as it is.');
    END IF;
    IF milliseconds IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', $1, milliseconds || 'ms');
    END IF;
    IF work_mem_megabytes IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I SET work_mem = %L', $1, work_mem_megabytes || 'MB');
    END IF;
    IF connection_limit IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', $1, connection_limit);
    END IF;
    PERFORM analytics_internal.record_audit('set_role_limits', target => $1, detail => jsonb_build_object(
        'statement_timeout', statement_timeout, 'connection_limit', connection_limit,
        'work_mem_megabytes', work_mem_megabytes)::text);
END
$function$;

CREATE OR REPLACE FUNCTION analytics.metric_series(workspace_id uuid, metric text, from_time timestamp with time zone, to_time timestamp with time zone, step interval DEFAULT '01:00:00'::interval, agent_id uuid DEFAULT NULL::uuid, user_id uuid DEFAULT NULL::uuid, model_name text DEFAULT NULL::text)
 RETURNS TABLE(ts timestamp with time zone, value double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    metric_kind text := (SELECT m.kind FROM analytics.trend_metrics() AS m WHERE m.metric = $2);
    needed constant text[] := CASE
        WHEN $2 = 'runs' THEN '{total_runs}'
        WHEN $2 = 'failed_runs' THEN '{failed_runs, timeout_runs}'
        WHEN $2 IN ('success_rate', 'failure_rate') THEN '{successful_runs, failed_runs, timeout_runs, cancelled_runs}'
        WHEN $2 IN ('avg_runtime', 'p50_runtime', 'p95_runtime') THEN '{runtime_sketch}'
        WHEN $2 = 'credits' THEN '{credits_consumed}'
        WHEN $2 = 'tokens' THEN '{tokens_used}'
        WHEN $2 = 'errors' THEN '{total_errors}'
        WHEN $2 = 'active_users' THEN '{users_sketch}'
        WHEN $2 = 'avg_rating' THEN '{sum_ratings, total_ratings}'
        WHEN $2 = 'queue_latency' THEN '{queue_latency_sketch}' END;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    IF $6 IS NOT NULL THEN
        PERFORM analytics_internal.require_agent($1, $6);
    END IF;
    IF metric_kind IS NULL THEN
        PERFORM analytics_internal.refuse_argument('metric', $2, 'it is not a metric', 'Use a name from analytics.trend_metrics().');
    END IF;
    IF $3 IS NULL OR $4 IS NULL OR NOT isfinite($4) THEN
        PERFORM analytics_internal.refuse_argument('to_time', $4::text, 'the end of the series is not a point in time', 'Give both ends; the start may be -infinity.');
    END IF;
    IF $5 IS NULL OR $5 NOT IN ('1 hour', '1 day') THEN
        PERFORM analytics_internal.refuse_argument('step', $5::text, 'it is not a step', 'Use 1 hour or 1 day.');
    END IF;
    IF $7 IS NOT NULL AND $8 IS NOT NULL THEN
        PERFORM analytics_internal.refuse_argument('model_name', $8, 'a series is of a user or of a model', 'Leave one of user_id and model_name out.');
    END IF;
    IF $7 IS NOT NULL AND $5 <> '1 day' THEN
        PERFORM analytics_internal.refuse_argument('step', $5::text, 'users are counted by days', 'Use step => ''1 day''.');
    END IF;
    IF ($7 IS NOT NULL AND $2 IN ('p50_runtime', 'p95_runtime', 'errors', 'active_users', 'queue_latency'))
       OR ($8 IS NOT NULL AND $2 IN ('errors', 'active_users', 'avg_rating', 'queue_latency'))
       OR ($6 IS NOT NULL AND $2 = 'queue_latency') THEN
        PERFORM analytics_internal.refuse_argument('metric', $2, 'it is not known of what the series is narrowed to', 'See analytics.trend_metrics() for what is.');
    END IF;

    RETURN QUERY
    WITH measured AS (
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'          THEN b.total_runs
                   WHEN 'failed_runs'   THEN b.failed_runs + b.timeout_runs
                   WHEN 'success_rate'  THEN b.successful_runs::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'failure_rate'  THEN (b.failed_runs + b.timeout_runs)::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'avg_runtime'   THEN analytics.mean(b.runtime_sketch)
                   WHEN 'p50_runtime'   THEN analytics.approx_percentile(0.5, b.runtime_sketch)
                   WHEN 'p95_runtime'   THEN analytics.approx_percentile(0.95, b.runtime_sketch)
                   WHEN 'credits'       THEN b.credits_consumed
                   WHEN 'tokens'        THEN b.tokens_used
                   WHEN 'errors'        THEN b.total_errors
                   WHEN 'active_users'  THEN analytics.approx_distinct(b.users_sketch)
                   WHEN 'avg_rating'    THEN b.sum_ratings::double precision / nullif(b.total_ratings, 0)
                   WHEN 'queue_latency' THEN analytics.approx_percentile(0.5, b.queue_latency_sketch)
               END::double precision AS value
        FROM analytics_internal.execution_metrics_buckets($1, $3, $4, $5, needed) AS b
        WHERE $6 IS NULL AND $7 IS NULL AND $8 IS NULL
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN b.total_runs
                   WHEN 'failed_runs'  THEN b.failed_runs + b.timeout_runs
                   WHEN 'success_rate' THEN b.successful_runs::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'failure_rate' THEN (b.failed_runs + b.timeout_runs)::double precision / nullif(b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(b.runtime_sketch)
                   WHEN 'p50_runtime'  THEN analytics.approx_percentile(0.5, b.runtime_sketch)
                   WHEN 'p95_runtime'  THEN analytics.approx_percentile(0.95, b.runtime_sketch)
                   WHEN 'credits'      THEN b.credits_consumed
                   WHEN 'tokens'       THEN b.tokens_used
                   WHEN 'errors'       THEN b.total_errors
                   WHEN 'active_users' THEN analytics.approx_distinct(b.users_sketch)
                   WHEN 'avg_rating'   THEN b.sum_ratings::double precision / nullif(b.total_ratings, 0)
               END::double precision
        FROM analytics_internal.agent_performance_buckets($1, $6, $3, $4, $5, needed) AS b
        WHERE $6 IS NOT NULL AND $7 IS NULL AND $8 IS NULL
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN sum(b.total_runs)
                   WHEN 'failed_runs'  THEN sum(b.failed_runs)
                   WHEN 'success_rate' THEN sum(b.successful_runs)::double precision / nullif(sum(b.finished_runs), 0)
                   WHEN 'failure_rate' THEN sum(b.failed_runs)::double precision / nullif(sum(b.finished_runs), 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(analytics.rollup(b.runtime_stats))
                   WHEN 'credits'      THEN sum(b.credits_consumed)
                   WHEN 'tokens'       THEN sum(b.tokens_used)
                   WHEN 'avg_rating'   THEN sum(b.sum_ratings)::double precision / nullif(sum(b.total_ratings), 0)
               END::double precision
        FROM analytics_internal.user_usage_buckets($1, $6, $3, $4, $5) AS b
        WHERE $7 IS NOT NULL AND b.user_id = $7
        GROUP BY b.bucket
        UNION ALL
        SELECT b.bucket,
               CASE $2
                   WHEN 'runs'         THEN sum(b.total_calls)
                   WHEN 'failed_runs'  THEN sum(b.failed_calls)
                   WHEN 'success_rate' THEN sum(b.successful_calls)::double precision / nullif(sum(b.finished_calls), 0)
                   WHEN 'failure_rate' THEN sum(b.failed_calls)::double precision / nullif(sum(b.finished_calls), 0)
                   WHEN 'avg_runtime'  THEN analytics.mean(analytics.rollup(b.runtime_sketch))
                   WHEN 'p50_runtime'  THEN analytics.approx_percentile(0.5, analytics.rollup(b.runtime_sketch))
                   WHEN 'p95_runtime'  THEN analytics.approx_percentile(0.95, analytics.rollup(b.runtime_sketch))
                   WHEN 'credits'      THEN sum(b.credits_consumed)
                   WHEN 'tokens'       THEN sum(b.tokens_used)
               END::double precision
        FROM analytics_internal.agent_model_usage_buckets($1, $6, $3, $4, $5) AS b
        WHERE $8 IS NOT NULL AND b.model_name = $8
        GROUP BY b.bucket
    )
    SELECT g.ts, CASE WHEN metric_kind IN ('count', 'amount') THEN coalesce(m.value, 0) ELSE m.value END
    -- From the first bucket that has anything: before it there is nothing to compare with.
    FROM generate_series((SELECT min(x.bucket) FROM measured AS x), date_bin($5, $4, 'epoch') - $5, $5) AS g (ts)
    LEFT JOIN measured AS m ON m.bucket = g.ts
    ORDER BY g.ts;
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.agent_inputs(workspace_id uuid, timeframe text, as_of timestamp with time zone)
 RETURNS TABLE(timeframe_number integer, agent_id uuid, total_runs bigint, finished_runs bigint, successful_runs bigint, timed_runs bigint, unique_users bigint, total_seconds double precision, median_seconds double precision, credits_consumed numeric, first_run_at timestamp with time zone)
 LANGUAGE sql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    WITH slices AS MATERIALIZED (
        SELECT s.timeframes[1] AS number, b.agent_id,
               sum(b.total_runs) AS total,
               sum(b.total_runs - b.running_runs - b.queued_runs) AS finished,
               sum(b.successful_runs) AS successful,
               analytics.rollup(b.runtime_sketch) AS runtimes,
               analytics.rollup(b.users_sketch) AS users,
               sum(b.credits_consumed) AS credits,
               min(b.first_run_at) AS first_run
        FROM analytics_internal.board_slices($2, $3) AS s
        CROSS JOIN LATERAL analytics_internal.agent_performance_buckets($1, NULL, s.from_time, s.to_time, NULL,
            '{total_runs, successful_runs, running_runs, queued_runs, runtime_sketch, credits_consumed, users_sketch, first_run_at}') AS b
        WHERE b.total_runs > 0
        GROUP BY s.timeframes[1], b.agent_id
    )
    -- A timeframe is the shorter ones and a slice: each sketch is merged once, and not once for each timeframe.
    SELECT m.number, m.agent_id, m.total::bigint, m.finished::bigint, m.successful::bigint,
           coalesce(analytics.num_vals(m.runtimes), 0), coalesce(analytics.approx_distinct(m.users), 0),
           coalesce(analytics.sum(m.runtimes), 0), analytics.approx_percentile(0.5, m.runtimes),
           m.credits, m.first_run
    FROM (
        SELECT n.number, a.agent_id, sum(s.total) OVER so_far AS total, sum(s.finished) OVER so_far AS finished,
               sum(s.successful) OVER so_far AS successful, analytics.rollup(s.runtimes) OVER so_far AS runtimes,
               analytics.rollup(s.users) OVER so_far AS users, sum(s.credits) OVER so_far AS credits,
               min(s.first_run) OVER so_far AS first_run
        FROM (SELECT DISTINCT s.agent_id FROM slices AS s) AS a
        CROSS JOIN LATERAL generate_series(coalesce(analytics_internal.timeframe_number($2), 1),
                                           coalesce(analytics_internal.timeframe_number($2), 5)) AS n (number)
        LEFT JOIN slices AS s ON s.agent_id = a.agent_id AND s.number = n.number
        WINDOW so_far AS (PARTITION BY a.agent_id ORDER BY n.number)
    ) AS m
    WHERE m.total > 0
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.user_inputs(workspace_id uuid, timeframe text, as_of timestamp with time zone)
 RETURNS TABLE(timeframe_number integer, user_id uuid, total_runs bigint, finished_runs bigint, successful_runs bigint, credits_consumed numeric, expected_credits numeric)
 LANGUAGE sql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT p.number, p.user_id, sum(p.total)::bigint, sum(p.finished)::bigint, sum(p.successful)::bigint,
           sum(p.credits), sum(p.total * p.price)
    FROM (
        SELECT n.number, b.user_id,
               sum(b.total_runs) AS total,
               sum(b.finished_runs) AS finished,
               sum(b.successful_runs) AS successful,
               sum(b.credits_consumed) AS credits,
               sum(sum(b.credits_consumed)) OVER of_agent / sum(sum(b.total_runs)) OVER of_agent AS price
        FROM analytics_internal.board_slices($2, $3) AS s
        CROSS JOIN LATERAL analytics_internal.user_usage_buckets($1, NULL, s.from_time, s.to_time, NULL,
            '{total_runs, successful_runs, finished_runs, credits_consumed}') AS b
        CROSS JOIN LATERAL unnest(s.timeframes) AS n (number)
        WHERE b.total_runs > 0
        GROUP BY n.number, b.agent_id, b.user_id
        WINDOW of_agent AS (PARTITION BY n.number, b.agent_id)
    ) AS p
    GROUP BY p.number, p.user_id
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.growth_inputs(workspace_id uuid, timeframe text, as_of timestamp with time zone)
 RETURNS TABLE(timeframe_number integer, current_runs bigint, previous_runs bigint)
 LANGUAGE sql
 STABLE PARALLEL RESTRICTED ROWS 5
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT t.number, coalesce(c.total_runs, 0), coalesce(p.total_runs, 0)
    FROM (VALUES (1, '24 hours'::interval), (2, '168 hours'), (3, '720 hours'), (4, '2160 hours'), (5, '2160 hours'))
         AS t (number, span)
    CROSS JOIN LATERAL analytics.window_bounds('24h', $3) AS b
    LEFT JOIN LATERAL analytics_internal.execution_metrics_buckets(
        $1, b.window_end - t.span, b.window_end, NULL, '{total_runs}') AS c ON true
    LEFT JOIN LATERAL analytics_internal.execution_metrics_buckets(
        $1, b.window_end - 2 * t.span, b.window_end - t.span, NULL, '{total_runs}') AS p ON true
    WHERE $2 IS NULL OR t.number = analytics_internal.timeframe_number($2)
$function$;

CREATE OR REPLACE FUNCTION analytics.configure_lifecycle(workspace_id uuid, rules jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.run_measures(workspace_id uuid, only_agent uuid, from_time timestamp with time zone, to_time timestamp with time zone)
 RETURNS TABLE(agent_id uuid, total_runs bigint, finished_runs bigint, successful_runs bigint, failed_runs bigint, p95_runtime_seconds double precision, credits_consumed numeric, avg_rating double precision, unique_users bigint, last_run_at timestamp with time zone)
 LANGUAGE sql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT b.agent_id, b.total_runs, b.successful_runs + b.failed_runs + b.timeout_runs + b.cancelled_runs, b.successful_runs,
           b.failed_runs + b.timeout_runs, analytics.approx_percentile(0.95, b.runtime_sketch), b.credits_consumed,
           b.sum_ratings::double precision / nullif(b.total_ratings, 0), analytics.approx_distinct(b.users_sketch), b.last_run_at
    FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4, NULL,
        '{total_runs, successful_runs, failed_runs, timeout_runs, cancelled_runs, runtime_sketch, credits_consumed, total_ratings,
          sum_ratings, users_sketch, last_run_at}') AS b
    WHERE b.total_runs > 0
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.evaluate_guards(workspace_id uuid, only_agent uuid DEFAULT NULL::uuid, only_to text DEFAULT NULL::text, keeping boolean DEFAULT false)
 RETURNS TABLE(agent_id uuid, from_state text, to_state text, metric text, timeframe text, comparison text, threshold double precision, value double precision, passes boolean)
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION analytics.agent_health(workspace_id uuid, only_agent uuid DEFAULT NULL::uuid)
 RETURNS TABLE(agent_id uuid, agent_name text, lifecycle_state text, score double precision, performance double precision, reliability double precision, usage double precision, maintenance double precision, cost double precision, trend double precision, reasons text[], recommendations text[])
 LANGUAGE plpgsql
 STABLE PARALLEL RESTRICTED ROWS 100
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION analytics.set_token_key(name text, algorithm text DEFAULT 'HS256'::text, secret text DEFAULT NULL::text, public_key text DEFAULT NULL::text, jwks jsonb DEFAULT NULL::jsonb, key_id text DEFAULT NULL::text, issuer text DEFAULT NULL::text, audience text DEFAULT NULL::text, issues boolean DEFAULT false, members_only boolean DEFAULT NULL::boolean)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    given constant text := CASE WHEN num_nonnulls($3, $4, $5) = 0 AND $2 = 'HS256'
                                THEN analytics_internal.new_secret() ELSE $3 END;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF nullif($1, '') IS NULL THEN
        PERFORM analytics_internal.refuse_argument('name', $1, 'it is not a name', 'Name the key, for example after its issuer.');
    END IF;
    IF $2 IS NULL OR $2 NOT IN ('HS256', 'RS256', 'ES256', 'JWKS') THEN
        PERFORM analytics_internal.refuse_argument('algorithm', $2, 'it is not an algorithm of keys',
            'Use one of HS256, RS256, ES256, JWKS.');
    END IF;
    IF coalesce($9, false) AND $2 <> 'HS256' THEN
        PERFORM analytics_internal.refuse_argument('issues', 'true', 'only HS256 keys sign tokens here',
            'Leave issues out: whoever has the private key issues the tokens.');
    END IF;
    PERFORM analytics_internal.check_token_key($2, given, $4, $5::text);
    INSERT INTO analytics_internal.token_keys AS k
        (name, algorithm, key_id, secret, public_key, jwks, issuer, audience, issues, members_only)
    VALUES ($1, $2, $6, given, $4, $5, $7, $8, coalesce($9, false), coalesce($10, $9, false))
    ON CONFLICT (name) DO UPDATE SET
        algorithm = excluded.algorithm, key_id = excluded.key_id, secret = excluded.secret,
        public_key = excluded.public_key, jwks = excluded.jwks, issuer = excluded.issuer, audience = excluded.audience,
        issues = excluded.issues, members_only = excluded.members_only,
        created_by = excluded.created_by, created_at = excluded.created_at;
    PERFORM analytics_internal.record_audit('set_token_key', target => $1, detail => jsonb_build_object(
        'algorithm', $2, 'key_id', $6, 'issuer', $7, 'audience', $8, 'issues', coalesce($9, false))::text);
END
$function$;

CREATE OR REPLACE FUNCTION analytics.allow_tokens(database_role text, access_level text DEFAULT 'viewer'::text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
#variable_conflict use_column
DECLARE
    application pg_roles;
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $2 IS NOT NULL AND analytics_internal.level_rank($2) IS NULL THEN
        PERFORM analytics_internal.refuse_argument('access_level', $2, 'it is not a level of access',
            'Use one of viewer, member, admin, owner; NULL takes it away.');
    END IF;
    SELECT * INTO application FROM pg_roles AS r WHERE r.rolname = $1;
    IF NOT FOUND AND ($1 IS NULL OR $2 IS NOT NULL) THEN
        RAISE EXCEPTION 'role "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'Create it with CREATE ROLE first.';
    END IF;
    IF $2 IS NOT NULL AND (application.rolsuper OR application.rolbypassrls
               OR pg_has_role(application.oid, (SELECT c.relowner FROM pg_class AS c
                                                WHERE c.oid = 'analytics.workspace_members'::regclass), 'MEMBER')) THEN
        PERFORM analytics_internal.refuse_argument('database_role', $1, 'row security does not bind it',
            'Use a role that is no superuser, has no BYPASSRLS and is no member of the owner of the tables.');
    END IF;

    PERFORM analytics_internal.lock_schema();
    PERFORM analytics_internal.forget_namesake($1);
    IF $2 IS NULL THEN
        DELETE FROM analytics_internal.token_roles AS r WHERE r.database_role = $1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    ELSE
        INSERT INTO analytics_internal.token_roles AS r (database_role, access_level) VALUES ($1, $2)
        ON CONFLICT (database_role) DO UPDATE SET access_level = excluded.access_level;
    END IF;
    IF application.oid IS NOT NULL THEN
        PERFORM analytics_internal.regrant($1);
    END IF;
    PERFORM analytics_internal.record_audit('allow_tokens', target => $1, detail => jsonb_build_object('level', $2)::text);
END
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.write_agent_boards(workspace_id uuid, numbers integer[], agents uuid[], counts bigint[], amounts double precision[], credits numeric[], minimum_runs integer, OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
 RETURNS record
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_nestloop TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
    WITH fresh AS MATERIALIZED (
        SELECT (ARRAY['24h', '7d', '30d', '90d', 'all'])[s.timeframe_number] AS timeframe, s.criteria,
               s.entity_id AS agent_id, s.rank, s.score, s.percentile, s.award AS badge,
               $4[s.row_number][1] AS total_runs, $4[s.row_number][3] AS successful_runs,
               $4[s.row_number][3]::double precision / nullif($4[s.row_number][2], 0) AS success_rate,
               CASE WHEN $4[s.row_number][4] > 0 THEN $5[s.row_number][2] END AS p50_runtime_seconds,
               $6[s.row_number] AS credits_consumed, $4[s.row_number][5] AS unique_users
        FROM analytics_internal.board_standings('agent', $2, $3, $4, $5, NULL, $7) AS s
    ), compared AS MATERIALIZED (
        SELECT coalesce(f.timeframe, o.timeframe) AS timeframe, coalesce(f.criteria, o.criteria) AS criteria,
               coalesce(f.agent_id, o.agent_id) AS agent_id, f.rank, f.score, f.percentile, f.badge, f.total_runs,
               f.successful_runs, f.success_rate, f.p50_runtime_seconds, f.credits_consumed, f.unique_users,
               o.rank AS old_rank,
               ROW(f.rank, f.score, f.percentile, f.badge, f.total_runs, f.successful_runs, f.success_rate,
                   f.p50_runtime_seconds, f.credits_consumed, f.unique_users)
               IS DISTINCT FROM
               ROW(o.rank, o.score, o.percentile, o.badge, o.total_runs, o.successful_runs, o.success_rate,
                   o.p50_runtime_seconds, o.credits_consumed, o.unique_users) AS differs
        FROM fresh AS f
        FULL JOIN (SELECT l.* FROM analytics.agent_leaderboard AS l WHERE l.workspace_id = $1) AS o
            ON o.timeframe = f.timeframe AND o.criteria = f.criteria AND o.agent_id = f.agent_id
    ), boards AS MATERIALIZED (
        SELECT c.timeframe, c.criteria, bool_or(c.differs) AS differs FROM compared AS c GROUP BY c.timeframe, c.criteria
    ), changed AS MATERIALIZED (
        SELECT c.*, CASE WHEN c.old_rank IS NULL THEN 'new' WHEN c.rank < c.old_rank THEN 'up'
                         WHEN c.rank > c.old_rank THEN 'down' ELSE 'same' END AS rank_change
        FROM compared AS c JOIN boards AS b USING (timeframe, criteria) WHERE b.differs
    ), removed AS (
        DELETE FROM analytics.agent_leaderboard AS l USING changed AS c
        WHERE c.rank IS NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.agent_id = c.agent_id
        RETURNING 1
    ), updated AS (
        UPDATE analytics.agent_leaderboard AS l SET
            rank = c.rank, previous_rank = c.old_rank, rank_change = c.rank_change, score = c.score,
            percentile = c.percentile, badge = c.badge, total_runs = c.total_runs, successful_runs = c.successful_runs,
            success_rate = c.success_rate, p50_runtime_seconds = c.p50_runtime_seconds,
            credits_consumed = c.credits_consumed, unique_users = c.unique_users, calculated_at = now()
        FROM changed AS c
        WHERE c.rank IS NOT NULL AND c.old_rank IS NOT NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.agent_id = c.agent_id
          AND (c.differs OR l.previous_rank IS DISTINCT FROM c.old_rank OR l.rank_change <> c.rank_change)
        RETURNING 1
    ), added AS (
        INSERT INTO analytics.agent_leaderboard (
            workspace_id, timeframe, criteria, agent_id, rank, previous_rank, rank_change, score, percentile, badge,
            total_runs, successful_runs, success_rate, p50_runtime_seconds, credits_consumed, unique_users, calculated_at)
        SELECT $1, c.timeframe, c.criteria, c.agent_id, c.rank, NULL, c.rank_change, c.score, c.percentile, c.badge,
               c.total_runs, c.successful_runs, c.success_rate, c.p50_runtime_seconds, c.credits_consumed,
               c.unique_users, now()
        FROM changed AS c WHERE c.old_rank IS NULL
        RETURNING 1
    )
    SELECT (SELECT coalesce(array_agg(b.timeframe || ' ' || b.criteria), '{}') FROM boards AS b WHERE b.differs),
           (SELECT count(*) FROM boards),
           (SELECT count(*) FROM updated) + (SELECT count(*) FROM added), (SELECT count(*) FROM removed)
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.write_user_boards(workspace_id uuid, numbers integer[], users uuid[], counts bigint[], amounts double precision[], credits numeric[], minimum_runs integer, OUT changed_boards text[], OUT board_count bigint, OUT written_count bigint, OUT removed_count bigint)
 RETURNS record
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_nestloop TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
    WITH achieved AS MATERIALIZED (
        SELECT h.user_id, jsonb_agg(jsonb_build_object('achievement', h.achievement, 'title', h.title,
                                                       'achieved_on', h.achieved_on)
                                    ORDER BY h.achieved_on, h.achievement) AS achievements
        FROM analytics.user_achievements AS h WHERE h.workspace_id = $1 GROUP BY h.user_id
    ), fresh AS MATERIALIZED (
        SELECT (ARRAY['24h', '7d', '30d', '90d', 'all'])[s.timeframe_number] AS timeframe, s.criteria,
               s.entity_id AS user_id, s.rank, s.score, s.percentile, coalesce(h.achievements, '[]') AS achievements,
               $4[s.row_number][1] AS total_runs, $4[s.row_number][3] AS successful_runs,
               $4[s.row_number][3]::double precision / nullif($4[s.row_number][2], 0) AS success_rate,
               $6[s.row_number] AS credits_consumed, $5[s.row_number][2] - $5[s.row_number][1] AS credits_saved
        FROM analytics_internal.board_standings('user', $2, $3, $4, $5, NULL, $7) AS s
        LEFT JOIN achieved AS h ON h.user_id = s.entity_id
    ), compared AS MATERIALIZED (
        SELECT coalesce(f.timeframe, o.timeframe) AS timeframe, coalesce(f.criteria, o.criteria) AS criteria,
               coalesce(f.user_id, o.user_id) AS user_id, f.rank, f.score, f.percentile, f.achievements, f.total_runs,
               f.successful_runs, f.success_rate, f.credits_consumed, f.credits_saved, o.rank AS old_rank,
               ROW(f.rank, f.score, f.percentile, f.achievements, f.total_runs, f.successful_runs, f.success_rate,
                   f.credits_consumed, f.credits_saved)
               IS DISTINCT FROM
               ROW(o.rank, o.score, o.percentile, o.achievements, o.total_runs, o.successful_runs, o.success_rate,
                   o.credits_consumed, o.credits_saved) AS differs
        FROM fresh AS f
        FULL JOIN (SELECT l.* FROM analytics.user_leaderboard AS l WHERE l.workspace_id = $1) AS o
            ON o.timeframe = f.timeframe AND o.criteria = f.criteria AND o.user_id = f.user_id
    ), boards AS MATERIALIZED (
        SELECT c.timeframe, c.criteria, bool_or(c.differs) AS differs FROM compared AS c GROUP BY c.timeframe, c.criteria
    ), changed AS MATERIALIZED (
        SELECT c.*, CASE WHEN c.old_rank IS NULL THEN 'new' WHEN c.rank < c.old_rank THEN 'up'
                         WHEN c.rank > c.old_rank THEN 'down' ELSE 'same' END AS rank_change
        FROM compared AS c JOIN boards AS b USING (timeframe, criteria) WHERE b.differs
    ), removed AS (
        DELETE FROM analytics.user_leaderboard AS l USING changed AS c
        WHERE c.rank IS NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.user_id = c.user_id
        RETURNING 1
    ), updated AS (
        UPDATE analytics.user_leaderboard AS l SET
            rank = c.rank, previous_rank = c.old_rank, rank_change = c.rank_change, score = c.score,
            percentile = c.percentile, achievements = c.achievements, total_runs = c.total_runs,
            successful_runs = c.successful_runs, success_rate = c.success_rate, credits_consumed = c.credits_consumed,
            credits_saved = c.credits_saved, calculated_at = now()
        FROM changed AS c
        WHERE c.rank IS NOT NULL AND c.old_rank IS NOT NULL AND l.workspace_id = $1
          AND l.timeframe = c.timeframe AND l.criteria = c.criteria AND l.user_id = c.user_id
          AND (c.differs OR l.previous_rank IS DISTINCT FROM c.old_rank OR l.rank_change <> c.rank_change)
        RETURNING 1
    ), added AS (
        INSERT INTO analytics.user_leaderboard (
            workspace_id, timeframe, criteria, user_id, rank, previous_rank, rank_change, score, percentile, achievements,
            total_runs, successful_runs, success_rate, credits_consumed, credits_saved, calculated_at)
        SELECT $1, c.timeframe, c.criteria, c.user_id, c.rank, NULL, c.rank_change, c.score, c.percentile, c.achievements,
               c.total_runs, c.successful_runs, c.success_rate, c.credits_consumed, c.credits_saved, now()
        FROM changed AS c WHERE c.old_rank IS NULL
        RETURNING 1
    )
    SELECT (SELECT coalesce(array_agg(b.timeframe || ' ' || b.criteria), '{}') FROM boards AS b WHERE b.differs),
           (SELECT count(*) FROM boards),
           (SELECT count(*) FROM updated) + (SELECT count(*) FROM added), (SELECT count(*) FROM removed)
$function$;

CREATE OR REPLACE FUNCTION analytics_internal.award_achievements(workspace_id uuid)
 RETURNS bigint
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET jit TO 'off'
AS $function$
    WITH usage AS MATERIALIZED (
        SELECT b.user_id, b.agent_id, b.bucket, b.total_runs, b.successful_runs, b.credits_consumed,
               b.total_runs * (sum(b.credits_consumed) OVER on_day / sum(b.total_runs) OVER on_day) - b.credits_consumed AS saved,
               (row_number() OVER (PARTITION BY b.user_id, b.agent_id ORDER BY b.bucket) = 1)::integer AS first_use
        FROM analytics_internal.user_usage_buckets($1, NULL, '-infinity', 'infinity', interval '1 day',
            '{total_runs, successful_runs, credits_consumed}') AS b
        WHERE b.total_runs > 0
        WINDOW on_day AS (PARTITION BY b.agent_id, b.bucket)
    ), days AS (
        SELECT u.user_id, (u.bucket AT TIME ZONE 'UTC')::date AS day, sum(u.total_runs) AS runs,
               sum(u.successful_runs) AS successes, sum(u.saved) AS saved, sum(u.first_use) AS agents,
               (u.bucket AT TIME ZONE 'UTC')::date
                   - row_number() OVER (PARTITION BY u.user_id ORDER BY u.bucket)::integer AS streak
        FROM usage AS u GROUP BY u.user_id, u.bucket
    ), reached AS (
        SELECT d.user_id, d.day, m.measure, m.value
        FROM (
            SELECT d.*, sum(d.runs) OVER so_far AS all_runs, sum(d.successes) OVER so_far AS all_successes,
                   sum(d.saved) OVER so_far AS all_saved, sum(d.agents) OVER so_far AS all_agents,
                   row_number() OVER so_far AS active_days,
                   row_number() OVER (PARTITION BY d.user_id, d.streak ORDER BY d.day) AS streak_days
            FROM days AS d
            WINDOW so_far AS (PARTITION BY d.user_id ORDER BY d.day)
        ) AS d
        CROSS JOIN LATERAL (VALUES
            ('runs', d.all_runs), ('successes', d.all_successes), ('active_days', d.active_days::numeric),
            ('streak_days', d.streak_days::numeric), ('agents', d.all_agents), ('saved_credits', d.all_saved)
        ) AS m (measure, value)
    ), awarded AS (
        INSERT INTO analytics.user_achievements (workspace_id, user_id, achievement, title, achieved_on, awarded_at)
        SELECT $1, c.user_id, r.achievement, r.title, min(c.day), now()
        FROM analytics_internal.achievement_rules AS r
        JOIN reached AS c ON c.measure = r.measure AND c.value >= r.threshold
        WHERE r.is_active
        GROUP BY c.user_id, r.achievement, r.title
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM awarded
$function$;

-- Runs last. In a trusted extension everything so far belongs to the bootstrap superuser: hand it to the role that
-- creates the extension, so that no function of ours runs with more rights than that role has. PUBLIC gets nothing.
DO $finalize$
DECLARE
    member record;
BEGIN
    FOR member IN
        SELECT d.classid, d.objid, i.type, i.identity
        FROM pg_catalog.pg_depend AS d
        JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadower_analytics'
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) AS i
        WHERE d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND d.deptype = 'e'
          AND i.type IN ('function', 'procedure', 'aggregate', 'type', 'schema', 'operator')
          -- The array type of a type follows the type; nobody may alter it alone.
          AND NOT (i.type = 'type' AND i.identity LIKE '%[]')
    LOOP
        IF member.type IN ('function', 'procedure', 'aggregate') THEN
            EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', member.identity);
            EXECUTE pg_catalog.format('ALTER ROUTINE %s OWNER TO @extowner@', member.identity);
        ELSIF member.type = 'type' THEN
            EXECUTE pg_catalog.format('REVOKE ALL ON TYPE %s FROM PUBLIC', member.identity);
            EXECUTE pg_catalog.format('ALTER TYPE %s OWNER TO @extowner@', member.identity);
        ELSE
            EXECUTE pg_catalog.format('ALTER %s %s OWNER TO @extowner@', member.type, member.identity);
        END IF;
    END LOOP;
END
$finalize$;
