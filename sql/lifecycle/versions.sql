-- Versions and deployments.

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
          AND r.started_at >= coalesce(bounds.window_start, '-infinity') AND r.started_at < coalesce(bounds.window_end, 'infinity')
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
    workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz, failure_window interval, environment text)
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
      AND d.started_at >= coalesce($3, '-infinity') AND d.started_at < coalesce($4, 'infinity')
$$;
COMMENT ON FUNCTION analytics_internal.judged_deployments(uuid, uuid, timestamptz, timestamptz, interval, text) IS
    'Deployments to an environment that started in a time (NULL: no bound), with what became of them. failed: status failed, rolled back within the window, or a critical error of the agent within the window (production). lead_seconds: from registering the version to the end of its first deployment there. restore_seconds: from the start of one that failed to the end of the next that succeeded.';

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
    workspace_id uuid, agent_id uuid DEFAULT NULL, timeframe text DEFAULT '30d', failure_window interval DEFAULT '1 day',
    environment text DEFAULT 'production')
RETURNS TABLE (agent_id uuid, agent_name text, deployments bigint, deployments_per_week double precision,
               median_lead_time_seconds double precision, failed_deployments bigint, rollbacks bigint, change_failure_rate double precision,
               median_restore_seconds double precision, failure_rate_after double precision)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.require_agent_or_all($1, $2);
    SELECT analytics_internal.require_window($4);

    WITH bounds AS MATERIALIZED (
        SELECT b.* FROM analytics.window_bounds($3) AS b
    )
    SELECT j.agent_id, a.name, count(*) FILTER (WHERE NOT j.is_rollback),
           count(*) FILTER (WHERE NOT j.is_rollback) * 168.0::double precision
               / greatest(analytics_internal.hours_between(
                     coalesce((SELECT b.window_start FROM bounds AS b), min(j.started_at)),
                     least((SELECT b.window_end FROM bounds AS b), now())), 168),
           analytics.percentile(j.lead_seconds, 0.5),
           count(*) FILTER (WHERE NOT j.is_rollback AND j.failed), count(*) FILTER (WHERE j.is_rollback),
           count(*) FILTER (WHERE NOT j.is_rollback AND j.failed)::double precision / nullif(count(*) FILTER (WHERE NOT j.is_rollback), 0),
           analytics.percentile(j.restore_seconds, 0.5) FILTER (WHERE NOT j.is_rollback),
           sum(j.failures_after) FILTER (WHERE NOT j.is_rollback)::double precision
               / nullif(sum(j.runs_after) FILTER (WHERE NOT j.is_rollback), 0)::double precision
    FROM bounds AS b
    CROSS JOIN LATERAL analytics_internal.judged_deployments($1, $2, b.window_start, b.window_end, $4, $5) AS j
    LEFT JOIN analytics.agents AS a ON a.workspace_id = $1 AND a.agent_id = j.agent_id
    GROUP BY GROUPING SETS ((), (j.agent_id, a.name))
    HAVING $2 IS NULL OR j.agent_id IS NOT NULL
    ORDER BY j.agent_id IS NOT NULL, a.name, j.agent_id
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
      AND d.started_at >= coalesce(bounds.window_start, '-infinity') AND d.started_at < coalesce(bounds.window_end, 'infinity')
    GROUP BY d.cause ORDER BY 2 DESC, 1;
END
$$;
COMMENT ON FUNCTION analytics.rollback_analysis(uuid, text, text) IS
    'Deployments that were rolled back, by cause: how many, their share, of how many agents, median seconds from start to rollback, failed runs over finished ones in between. Errors: 22023 unknown workspace or timeframe.';
