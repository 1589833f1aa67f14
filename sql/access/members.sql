-- Access: who is a member of which workspace, and the object privileges that follow.

-- Row triggers of the tables that say who has access.
CREATE FUNCTION analytics_internal.forget_access() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'forget_access';
COMMENT ON FUNCTION analytics_internal.forget_access() IS
    'Row trigger of workspace_members and trusted_gateways: makes all backends forget who has access.';

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
