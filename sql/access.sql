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

-- Row triggers of the tables that say who has access.
CREATE FUNCTION analytics_internal.forget_access() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_access';
COMMENT ON FUNCTION analytics_internal.forget_access() IS
    'Row trigger of workspace_members and trusted_gateways: makes all backends forget who has access.';

-- One predicate everywhere. The sub-select makes it an InitPlan, which runs once per statement and not once per row.
CREATE FUNCTION analytics_internal.protect_table(
    protected regclass, read_level text, insert_level text, update_level text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    predicate constant text :=
        'workspace_id = ANY (ARRAY(SELECT analytics.accessible_workspaces(%L)))';
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', protected);
    EXECUTE format('CREATE POLICY workspace_read ON %s FOR SELECT USING (%s)', protected, format(predicate, read_level));
    IF insert_level IS NOT NULL THEN
        EXECUTE format('CREATE POLICY workspace_insert ON %s FOR INSERT WITH CHECK (%s)',
            protected, format(predicate, insert_level));
    END IF;
    IF update_level IS NOT NULL THEN
        EXECUTE format('CREATE POLICY workspace_update ON %s FOR UPDATE USING (%s) WITH CHECK (%2$s)',
            protected, format(predicate, update_level));
    END IF;
    PERFORM analytics_internal.protect_partition(i.inhrelid) FROM pg_inherits AS i WHERE i.inhparent = protected;
END
$$;
COMMENT ON FUNCTION analytics_internal.protect_table(regclass, text, text, text) IS
    'Turns row security on for a table with a workspace_id and for its partitions: least levels for reading, inserting and updating; NULL where only the owner of the table may.';

-- Through the table its policies count alone. Without policies of its own a partition shows nothing to whoever may read
-- it directly, as pg_read_all_data may.
CREATE FUNCTION analytics_internal.protect_partition(partition regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden name;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', partition);
    FOR hidden IN
        SELECT a.attname FROM pg_inherits AS i JOIN pg_attribute AS a ON a.attrelid = i.inhparent
        WHERE i.inhrelid = partition AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget = 0
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', partition, hidden);
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.protect_partition(regclass) IS
    'Turns row security on for an attached partition, without policies, and hides the same columns from ANALYZE as in its table.';

-- The estimates of EXPLAIN come from statistics over all workspaces: a tenant who asks often enough can read values out
-- of them.
CREATE FUNCTION analytics_internal.hide_values(relation regclass, VARIADIC columns name[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hidden name;
BEGIN
    FOREACH hidden IN ARRAY columns LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS 0', relation, hidden);
    END LOOP;
    PERFORM analytics_internal.drop_statistics(a.attrelid, a.attnum)
    FROM pg_attribute AS a
    WHERE a.attname = ANY (columns)
      AND a.attrelid IN (SELECT relation UNION ALL SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = relation);
END
$$;
COMMENT ON FUNCTION analytics_internal.hide_values(regclass, name[]) IS
    'Makes ANALYZE pass over columns whose values are nobody else''s business, in a table and its partitions, and removes the statistics that are there.';

ALTER FUNCTION analytics_internal.drop_statistics(oid, smallint) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.drop_statistics(oid, smallint) IS
    'Removes the statistics of a column, by number, of a table that the caller owns. Errors: 42501 not the owner.';

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
                          WHEN 'decide_suggestion' THEN 'admin' WHEN 'record_agent_health' THEN 'admin' ELSE 'viewer' END,
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
                        'moves', 'check_dependencies', 'replace_lifecycle', 'record_agent_health')
    UNION ALL
    SELECT 'viewer', 'USAGE', 'TYPE', t.oid::regtype::text
    FROM pg_type AS t
    WHERE t.typnamespace = 'analytics'::regnamespace
      AND t.typname IN ('percentile_sketch', 'distinct_sketch', 'stats_summary', 'state_summary')
$$;
COMMENT ON FUNCTION analytics_internal.level_privileges() IS
    'Object privileges of each level of access: access_level, privilege, object_type, object_name. A level has those of the levels below it.';

-- The privileges of the highest level that a role has anywhere; none where it has none. Row security decides for each
-- workspace what a privilege is worth there. Privileges that no level lists are somebody else's gift and stay.
CREATE FUNCTION analytics_internal.regrant(database_role text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    highest   integer;
    statement text;
BEGIN
    SELECT coalesce(max(analytics_internal.level_rank(h.access_level)), 0) INTO highest
    FROM (
        SELECT m.access_level FROM analytics.workspace_members AS m WHERE m.database_role = $1
        UNION ALL
        SELECT g.access_level FROM analytics_internal.trusted_gateways AS g WHERE g.database_role = $1
        UNION ALL
        SELECT t.access_level FROM analytics_internal.token_roles AS t WHERE t.database_role = $1
    ) AS h;

    -- Revoking comes first: what is taken from a whole table is taken from its columns, too.
    FOR statement IN
        SELECT format(CASE WHEN min(p.rank) > highest THEN 'REVOKE %s ON %s %s FROM %I' ELSE 'GRANT %s ON %s %s TO %I' END,
                      p.privilege, p.object_type, p.object_name, $1)
        FROM (SELECT l.*, analytics_internal.level_rank(l.access_level) AS rank
              FROM analytics_internal.level_privileges() AS l) AS p
        GROUP BY p.privilege, p.object_type, p.object_name
        ORDER BY min(p.rank) <= highest
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics_internal.regrant(text) IS
    'Gives a database role the object privileges of its highest level, none where it has no level any more. Touches only privileges that level_privileges() lists.';

-- A role of the same name that was made after a member was dropped is another one. The grants went with the first
-- (DROP ROLE insists on it), so whoever lacks the mark is no member. Nothing but regrant() gives the mark: a privilege
-- on one column is in no GRANT ... ON ALL TABLES.
CREATE FUNCTION analytics_internal.is_member_role(member_role oid) RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS mark
                   WHERE a.attrelid = 'analytics.workspace_members'::regclass AND a.attname = 'member_id'
                     AND mark.grantee = member_role AND mark.privilege_type = 'REFERENCES')
$$;
COMMENT ON FUNCTION analytics_internal.is_member_role(oid) IS
    'Whether a role bears the mark of grant_access(), trust_gateway() or allow_tokens(). False for a new role that has the name of a dropped member.';

CREATE FUNCTION analytics_internal.forget_namesake(database_role text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM analytics.workspace_members AS m
    WHERE m.database_role = $1
      AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $1 AND analytics_internal.is_member_role(r.oid));
    DELETE FROM analytics_internal.trusted_gateways AS g
    WHERE g.database_role = $1
      AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $1 AND analytics_internal.is_member_role(r.oid));
    DELETE FROM analytics_internal.token_roles AS t
    WHERE t.database_role = $1
      AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $1 AND analytics_internal.is_member_role(r.oid))
$$;
COMMENT ON FUNCTION analytics_internal.forget_namesake(text) IS
    'Removes what a dropped role of this name had. Nothing happens when the role is a member.';

CREATE FUNCTION analytics_internal.regrant_all() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT analytics_internal.regrant(m.database_role)
    FROM (SELECT database_role FROM analytics.workspace_members WHERE database_role IS NOT NULL
          UNION SELECT database_role FROM analytics_internal.trusted_gateways
          UNION SELECT database_role FROM analytics_internal.token_roles) AS m
    JOIN pg_roles AS r ON r.rolname = m.database_role
    WHERE analytics_internal.is_member_role(r.oid)
$$;
COMMENT ON FUNCTION analytics_internal.regrant_all() IS
    'Gives every member, every trusted gateway and every role of tokens the object privileges of its level; called by setup(), which may have made new objects.';

CREATE FUNCTION analytics.grant_access(
    database_role text, workspace_id uuid, access_level text DEFAULT 'viewer', user_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_level($2, 'owner');
    IF $3 IS NULL OR analytics_internal.level_rank($3) IS NULL THEN
        PERFORM analytics_internal.refuse_argument('access_level', $3, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.');
    END IF;
    IF $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) THEN
        RAISE EXCEPTION 'role "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'Create it with CREATE ROLE first.';
    END IF;
    PERFORM analytics_internal.change_member($2, $1, $3, $4);
END
$$;
COMMENT ON FUNCTION analytics.grant_access(text, uuid, text, uuid) IS
    'Gives a database role a level in a workspace: viewer (reads), member (reads, exports, writes runs), admin (also manages alerts and reports and moves agents), owner (also manages members). Replaces the level it had there; user_id says which person the role is. For the owner of the tables and for owners of the workspace. Errors: 22023 unknown level or workspace, 42704 unknown role, 42501 not an owner, 55000 the last owner would lose that level.';

CREATE FUNCTION analytics.revoke_access(database_role text, workspace_id uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_level($2, 'owner');
    IF $1 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('database_role', NULL, 'it is not the name of a role',
            'Take a name from analytics.access_report().');
    END IF;
    PERFORM analytics_internal.change_member($2, $1, NULL, NULL);
END
$$;
COMMENT ON FUNCTION analytics.revoke_access(text, uuid) IS
    'Takes a database role''s access to a workspace away, and its object privileges with its last workspace. Nothing happens when it had none. For the owner of the tables and for owners of the workspace. Errors: 22023 unknown workspace or no role, 42501 not an owner, 55000 the last owner would go.';

-- Runs as the owner of the tables (src/access.rs), after the caller was checked.
CREATE FUNCTION analytics_internal.apply_member_change(
    workspace_id uuid, database_role text, access_level text, user_id uuid, granted_by text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    -- One change at a time: two owners cannot demote each other at once, and two GRANTs on one object would be an error.
    PERFORM analytics_internal.lock_schema();

    -- Its privileges would be cut down to those of a level, and every question about access with them.
    IF $3 IS NOT NULL AND $2 = (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c
                                WHERE c.oid = 'analytics.workspace_members'::regclass) THEN
        PERFORM analytics_internal.refuse_argument('database_role', $2, 'it owns the tables and sees everything',
            'Give access to another role.');
    END IF;

    PERFORM analytics_internal.forget_namesake($2);

    IF $3 IS DISTINCT FROM 'owner'
       AND EXISTS (SELECT FROM analytics.workspace_members AS m
                   WHERE m.workspace_id = $1 AND m.database_role = $2 AND m.access_level = 'owner')
       AND NOT EXISTS (SELECT FROM analytics.workspace_members AS m
                       JOIN pg_roles AS r ON r.rolname = m.database_role
                       WHERE m.workspace_id = $1 AND m.database_role <> $2 AND m.access_level = 'owner'
                         AND analytics_internal.is_member_role(r.oid)) THEN
        RAISE EXCEPTION 'role "%" is the last owner of workspace "%"', $2, $1
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Make another role an owner first.';
    END IF;

    IF $3 IS NULL THEN
        DELETE FROM analytics.workspace_members AS m WHERE m.workspace_id = $1 AND m.database_role = $2;
        IF NOT FOUND THEN
            RETURN;  -- what the role has, it has from somebody else
        END IF;
    ELSE
        INSERT INTO analytics.workspace_members AS m (workspace_id, database_role, access_level, user_id, granted_by)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (workspace_id, database_role) DO UPDATE SET
            access_level = excluded.access_level,
            user_id      = coalesce(excluded.user_id, m.user_id),
            granted_by   = excluded.granted_by,
            granted_at   = now();
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = $2) THEN
        PERFORM analytics_internal.regrant($2);
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.apply_member_change(uuid, text, text, uuid, text) IS
    'Writes a change of a membership (NULL level: ends it) and adjusts the role''s object privileges. The caller was checked before.';

-- For the owner of the tables, who alone may write trusted_gateways.
CREATE FUNCTION analytics.trust_gateway(
    database_role text, access_level text DEFAULT 'viewer', trusted boolean DEFAULT true) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;
COMMENT ON FUNCTION analytics.trust_gateway(text, text, boolean) IS
    'Declares that a database role is used by a gateway that verifies tokens (PostgREST, Supabase): while it is the current role, the claims in request.jwt.claims decide which workspaces it sees, at most at access_level, and memberships of the role do not count. Without claims it sees nothing. trusted => false ends it. For the owner of the tables. Errors: 22023 unknown level, or a role that row security does not bind, 42704 unknown role, 42501 not the owner.';

CREATE FUNCTION analytics.access_report(workspace_id uuid DEFAULT NULL)
RETURNS TABLE (
    workspace      uuid,
    workspace_name text,
    database_role  text,
    user_id        uuid,
    access_level   text,
    permissions    text[],
    can_login      boolean,
    role_exists    boolean,
    granted_by     text,
    granted_at     timestamptz
)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $1 IS NULL THEN
        PERFORM analytics_internal.require_schema();
    ELSE
        PERFORM analytics_internal.require_level($1, 'admin');
    END IF;
    RETURN QUERY
    SELECT m.workspace_id, w.name, m.database_role, m.user_id, m.access_level,
           analytics.level_permissions(m.access_level), coalesce(r.rolcanlogin, false), r.rolname IS NOT NULL,
           m.granted_by, m.granted_at
    FROM analytics.workspace_members AS m
    JOIN analytics.workspaces AS w USING (workspace_id)
    LEFT JOIN pg_roles AS r ON r.rolname = m.database_role
    WHERE $1 IS NULL OR m.workspace_id = $1
    ORDER BY w.name, m.workspace_id, analytics_internal.level_rank(m.access_level) DESC, m.database_role;
END
$$;
COMMENT ON FUNCTION analytics.access_report(uuid) IS
    'Who has access to a workspace, or to all that one administers when workspace_id is NULL: role, person, level, permissions, whether the role may log in and still exists. Errors: 22023 unknown workspace, 42501 not an admin of it.';

CREATE FUNCTION analytics.set_role_limits(
    database_role text, statement_timeout interval DEFAULT '30 seconds', connection_limit integer DEFAULT NULL,
    work_mem_megabytes integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;
COMMENT ON FUNCTION analytics.set_role_limits(text, interval, integer, integer) IS
    'Limits what a role can take: statement_timeout (default 30 seconds, 0 is none), connection_limit (-1 is none), work_mem_megabytes; NULL leaves a limit as it is. They hold from the role''s next session. Needs the right to alter the role. Errors: 42704 unknown role, 22023 out of range, 42501 not allowed.';

CREATE FUNCTION analytics.accessible_workspaces(minimum_level text DEFAULT 'viewer') RETURNS SETOF uuid
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED ROWS 5
AS 'MODULE_PATHNAME', 'accessible_workspaces_wrapper';
COMMENT ON FUNCTION analytics.accessible_workspaces(text) IS
    'Workspaces in which the current role has at least a level: viewer (default), member, admin or owner. Row security asks it once per statement. No rows for a role without access; the owner of the tables and superusers pass row security by. Errors: 22023 unknown level.';
COMMENT ON FUNCTION analytics_internal.require_level(uuid, text) IS
    'Raises 42501 unless the current role has at least a level in a workspace or owns the tables; 22023 for a workspace that its owner does not find.';
ALTER FUNCTION analytics_internal.require_level(uuid, text) SET search_path = pg_catalog, pg_temp;
ALTER FUNCTION analytics_internal.change_member(uuid, text, text, uuid) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.change_member(uuid, text, text, uuid) IS
    'Checks that the caller is an owner of the workspace or of the tables, then writes the change as the owner of the tables.';
