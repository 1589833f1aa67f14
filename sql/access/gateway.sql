-- Access: roles that speak for many users, as PostgREST's and Supabase's do.

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
