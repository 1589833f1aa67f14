-- Who may see and do what. A database role gets a level in a workspace; its object privileges follow from its highest
-- level, the rows it meets from row security, in every statement and whatever it types.

CREATE FUNCTION analytics_internal.level_rank(access_level text) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN array_position(ARRAY['viewer', 'member', 'admin', 'owner'], access_level);
COMMENT ON FUNCTION analytics_internal.level_rank(text) IS
    'Rank of a level: viewer 1, member 2, admin 3, owner 4; NULL for anything else.';

CREATE FUNCTION analytics.level_permissions(access_level text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (ARRAY['view_analytics', 'export', 'write_runs', 'manage_alerts', 'manage_reports', 'transition_agents', 'manage_members'])
       [1 : CASE access_level WHEN 'viewer' THEN 1 WHEN 'member' THEN 3 WHEN 'admin' THEN 6 WHEN 'owner' THEN 7 END];
COMMENT ON FUNCTION analytics.level_permissions(text) IS
    'What a level of access permits, as words. Empty or NULL for an unknown level.';

-- What each level may touch, level by level; a level has what the levels below it have.
CREATE FUNCTION analytics_internal.level_privileges()
RETURNS TABLE (access_level text, privilege text, object_type text, object_name text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
                        'moves', 'check_dependencies', 'replace_lifecycle', 'page_of_runs', 'record_agent_health')
    UNION ALL
    SELECT 'viewer', 'USAGE', 'TYPE', t.oid::regtype::text
    FROM pg_type AS t
    WHERE t.typnamespace = 'analytics'::regnamespace
      AND t.typname IN ('percentile_sketch', 'distinct_sketch', 'stats_summary', 'state_summary')
$$;
COMMENT ON FUNCTION analytics_internal.level_privileges() IS
    'Object privileges of each level of access: access_level, privilege, object_type, object_name. A level has those of the levels below it.';
