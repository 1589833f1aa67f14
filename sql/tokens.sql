-- Tokens: their keys, logins that refresh them, and who the caller is. Verification is in src/tokens.

------------------------------------------------------------------------------------------------------------------------
-- Keys: for the owner of the tables, who alone may write and read token_keys
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics.set_token_key(
    name         text,
    algorithm    text    DEFAULT 'HS256',
    secret       text    DEFAULT NULL,
    public_key   text    DEFAULT NULL,
    jwks         jsonb   DEFAULT NULL,
    key_id       text    DEFAULT NULL,
    issuer       text    DEFAULT NULL,
    audience     text    DEFAULT NULL,
    issues       boolean DEFAULT false,
    members_only boolean DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;
COMMENT ON FUNCTION analytics.set_token_key(text, text, text, text, jsonb, text, text, text, boolean, boolean) IS
    'Adds or replaces a key that verifies tokens: HS256 with a secret of 32 bytes or more (left out: one is made), RS256 or ES256 with a public key in PEM, JWKS with a document. key_id, issuer and audience are the kid, iss and aud that tokens must have; NULL accepts any kid and iss, but no aud. issues: issue_token() signs with it. members_only (default: as issues): a token opens only workspaces in which workspace_members has the user. For the owner of the tables. Errors: 22023 weak or unusable key, unknown algorithm; 42501 not the owner.';

CREATE FUNCTION analytics.drop_token_key(name text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    DELETE FROM analytics_internal.token_keys AS k WHERE k.name = $1;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM analytics_internal.record_audit('drop_token_key', target => $1);
    RETURN true;
END
$$;
COMMENT ON FUNCTION analytics.drop_token_key(text) IS
    'Removes a key: tokens that it signed are refused from now on. False when there is none of that name. For the owner of the tables. Errors: 42501 not the owner.';

CREATE FUNCTION analytics.token_keys()
RETURNS TABLE (
    name         text,
    algorithm    text,
    key_id       text,
    issuer       text,
    audience     text,
    issues       boolean,
    members_only boolean,
    created_by   text,
    created_at   timestamptz
)
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    PERFORM analytics_internal.require_schema();
    RETURN QUERY
    SELECT k.name, k.algorithm, k.key_id, k.issuer, k.audience, k.issues, k.members_only, k.created_by, k.created_at
    FROM analytics_internal.token_keys AS k ORDER BY k.name;
END
$$;
COMMENT ON FUNCTION analytics.token_keys() IS
    'The keys that verify tokens, without the keys themselves. For the owner of the tables. Errors: 42501 not the owner.';

CREATE FUNCTION analytics.allow_tokens(database_role text, access_level text DEFAULT 'viewer') RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
$$;
COMMENT ON FUNCTION analytics.allow_tokens(text, text) IS
    'Gives an application''s role the object privileges of a level, and no rows: those come with authenticate(). NULL takes them away. For the owner of the tables. Errors: 42704 unknown role; 22023 unknown level, or a role that row security does not bind; 42501 not the owner.';

------------------------------------------------------------------------------------------------------------------------
-- Logins: these run as the owner of the tables (src/tokens/issue.rs)
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics_internal.workspaces_of_user(
    user_id uuid, workspace_id uuid, access_level text, OUT workspace_ids uuid[], OUT common_level text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH membership AS (
        SELECT m.workspace_id, analytics_internal.level_rank(m.access_level) AS level_rank, m.access_level
        FROM analytics.workspace_members AS m
        WHERE m.user_id = $1 AND ($2 IS NULL OR m.workspace_id = $2)
    ), chosen AS (
        SELECT coalesce($3, (array_agg(access_level ORDER BY level_rank))[1]) AS access_level FROM membership
    )
    SELECT array_agg(m.workspace_id ORDER BY m.workspace_id), min(c.access_level)
    FROM membership AS m CROSS JOIN chosen AS c
    WHERE m.level_rank >= analytics_internal.level_rank(c.access_level)
$$;
COMMENT ON FUNCTION analytics_internal.workspaces_of_user(uuid, uuid, text) IS
    'Workspaces of a user (of these, one), and the level that a token for them has: the one asked for, and only workspaces in which the user has it; or the least that the user has in any of them. NULL where there is none.';

CREATE FUNCTION analytics_internal.start_login(
    for_user uuid, for_workspace uuid, wanted_level text, for_email text, valid_for interval, refresh_for interval, created_by text)
RETURNS TABLE (family_id uuid, user_id uuid, workspace_id uuid, workspace_ids uuid[], access_level text, email text,
               valid_seconds bigint, expires_at timestamptz)
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    entitled record;
BEGIN
    IF $1 IS NULL THEN
        PERFORM analytics_internal.refuse_argument('user_id', NULL, 'it is not a user', 'Take a user_id from analytics.workspace_members.');
    END IF;
    IF $3 IS NOT NULL AND analytics_internal.level_rank($3) IS NULL THEN
        PERFORM analytics_internal.refuse_argument('access_level', $3, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.');
    END IF;
    IF $5 IS NULL OR $5 NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        PERFORM analytics_internal.refuse_argument('valid_for', $5::text, 'it lies outside 1 second to 1 day',
            'Use some minutes: whoever has the token can use it so long.');
    END IF;
    IF $6 IS NULL OR $6 NOT BETWEEN interval '1 second' AND interval '1 year' THEN
        PERFORM analytics_internal.refuse_argument('refresh_for', $6::text, 'it lies outside 1 second to 1 year',
            'Use some weeks: the user has to log in again after that.');
    END IF;
    SELECT * INTO entitled FROM analytics_internal.workspaces_of_user($1, $2, $3);
    IF entitled.workspace_ids IS NULL THEN
        PERFORM analytics_internal.refuse_argument('user_id', $1::text, 'the user is no member, or has not that level there',
            'Make the user a member: insert workspace_id, user_id and access_level into analytics.workspace_members.');
    END IF;
    RETURN QUERY
    INSERT INTO analytics_internal.token_families AS f
        (user_id, workspace_id, access_level, email, valid_for, created_by, expires_at)
    VALUES ($1, $2, $3, $4, $5, $7, now() + $6)
    RETURNING f.family_id, f.user_id, f.workspace_id, entitled.workspace_ids, entitled.common_level, f.email,
              extract(epoch FROM f.valid_for)::bigint, f.expires_at;
END
$$;
COMMENT ON FUNCTION analytics_internal.start_login(uuid, uuid, text, text, interval, interval, text) IS
    'Records a login of a user and says what its tokens may say. Errors: 22023 no member, unknown level, times out of range.';

-- The result says what happened: an error would roll back the revocation.
CREATE FUNCTION analytics_internal.continue_login(token_digest bytea)
RETURNS TABLE (status text, family_id uuid, user_id uuid, workspace_id uuid, workspace_ids uuid[], access_level text,
               email text, valid_seconds bigint, expires_at timestamptz)
LANGUAGE plpgsql ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    family   uuid;
    login    analytics_internal.token_families;
    entitled record;
    is_used  boolean;
    outcome  text;
BEGIN
    -- Of two sessions that use the token at once, the second waits here and finds it used.
    SELECT t.family_id, t.used_at IS NOT NULL INTO family, is_used
    FROM analytics_internal.refresh_tokens AS t WHERE t.token_digest = $1 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'unknown', NULL::uuid, NULL::uuid, NULL::uuid, NULL::uuid[], NULL::text, NULL::text,
                            NULL::bigint, NULL::timestamptz;
        RETURN;
    END IF;
    SELECT f.* INTO login FROM analytics_internal.token_families AS f WHERE f.family_id = family FOR UPDATE;
    SELECT * INTO entitled FROM analytics_internal.workspaces_of_user(login.user_id, login.workspace_id, login.access_level);
    outcome := CASE
        WHEN login.revoked_at IS NOT NULL THEN 'revoked'
        WHEN is_used THEN 'reused'
        WHEN login.expires_at <= clock_timestamp() THEN 'expired'
        WHEN entitled.workspace_ids IS NULL THEN 'no_access'
        ELSE 'refreshed' END;
    IF outcome IN ('reused', 'no_access') THEN
        -- Somebody has a copy, and nobody knows who: all tokens of the login end.
        UPDATE analytics_internal.token_families AS f SET revoked_at = clock_timestamp(), revoked_for = outcome
        WHERE f.family_id = family;
    ELSIF outcome = 'refreshed' THEN
        UPDATE analytics_internal.refresh_tokens AS t SET used_at = clock_timestamp() WHERE t.token_digest = $1;
    END IF;
    RETURN QUERY SELECT outcome, family, login.user_id, login.workspace_id, entitled.workspace_ids,
                        entitled.common_level, login.email, extract(epoch FROM login.valid_for)::bigint, login.expires_at;
END
$$;
COMMENT ON FUNCTION analytics_internal.continue_login(bytea) IS
    'Uses a refresh token up. status: refreshed; reused (the login is revoked now), revoked, expired, unknown, or no_access when the user is no member any more.';

CREATE FUNCTION analytics_internal.revoke_token(issuer text, token_id text, family_id uuid, expires_at timestamptz) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    is_new boolean;
BEGIN
    INSERT INTO analytics_internal.revoked_tokens (issuer, token_id, expires_at) VALUES ($1, $2, $4)
    ON CONFLICT DO NOTHING;
    is_new := FOUND;
    UPDATE analytics_internal.token_families AS f SET revoked_at = clock_timestamp(), revoked_for = 'logout'
    WHERE f.family_id = $3 AND f.revoked_at IS NULL;
    RETURN is_new OR FOUND;
END
$$;
COMMENT ON FUNCTION analytics_internal.revoke_token(text, text, uuid, timestamptz) IS
    'Revokes an access token and the login that it comes from; false when both were revoked before.';

CREATE FUNCTION analytics_internal.cleanup_tokens() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint;
    total   bigint;
BEGIN
    PERFORM analytics_internal.require_schema();
    -- A day longer than needed: clocks differ.
    DELETE FROM analytics_internal.revoked_tokens AS r WHERE r.expires_at < now() - interval '1 day';
    GET DIAGNOSTICS total = ROW_COUNT;
    DELETE FROM analytics_internal.token_families AS f WHERE f.expires_at < now() - f.valid_for - interval '1 day';
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN total + removed;
END
$$;
COMMENT ON FUNCTION analytics_internal.cleanup_tokens() IS 'What cleanup_tokens() does, as the owner of the tables.';

CREATE FUNCTION analytics.cleanup_tokens() RETURNS bigint
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'as_owner';
COMMENT ON FUNCTION analytics.cleanup_tokens() IS
    'Removes logins and revocations whose tokens have all expired, and returns how many; run it daily. For the owner of the tables. Errors: 42501 not the owner.';

------------------------------------------------------------------------------------------------------------------------
-- Who is it?
------------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION analytics.current_workspace_ids() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_schema();
    RETURN array(SELECT w.workspace_id FROM analytics.workspaces AS w ORDER BY w.workspace_id);
END
$$;
COMMENT ON FUNCTION analytics.current_workspace_ids() IS
    'Workspaces that the caller can read, by token, claims or role; empty when there is none.';

CREATE FUNCTION analytics.current_user_id() RETURNS uuid
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'current_user_id_wrapper';
COMMENT ON FUNCTION analytics.current_user_id() IS
    'The user whose token was given to authenticate(); NULL when none was. Errors: 28000 the token has expired.';

CREATE FUNCTION analytics.current_permissions() RETURNS text[]
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'current_permissions_wrapper';
COMMENT ON FUNCTION analytics.current_permissions() IS
    'What the caller may do in all workspaces that it can read, as words of level_permissions(); fewer when the token says so; empty when it can read none. Errors: 28000 the token has expired.';

CREATE FUNCTION analytics.authenticate(token text, scope text DEFAULT 'transaction')
RETURNS TABLE (user_id uuid, workspace_ids uuid[], access_level text, expires_at timestamptz)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'authenticate_wrapper';
COMMENT ON FUNCTION analytics.authenticate(text, text) IS
    'Verifies a JSON Web Token and makes the session speak for its user: row security shows the workspaces of the token from now on, and no others. scope: transaction (default) or session. Returns who it is. The identity ends with its scope, with a change of role, RESET ALL and DISCARD ALL; an expired one is an error at the next use. Errors: 28000 the token is refused, for whatever reason, and whoever was authenticated before no longer is; 22023 NULL or unknown scope.';

CREATE FUNCTION analytics.try_authenticate(token text, scope text DEFAULT 'transaction')
RETURNS TABLE (status text, user_id uuid, workspace_ids uuid[], access_level text, expires_at timestamptz)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'try_authenticate_wrapper';
COMMENT ON FUNCTION analytics.try_authenticate(text, text) IS
    'As authenticate(), but a refusal is a status instead of an error, and recorded in audit_log: accepted, not_trusted, expired, not_yet_valid, wrong_issuer, wrong_audience, invalid_claims, revoked, no_workspace, no_permission. Errors: 22023 NULL or unknown scope.';

CREATE FUNCTION analytics.logout(token text DEFAULT NULL) RETURNS boolean
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'logout_wrapper';
COMMENT ON FUNCTION analytics.logout(text) IS
    'Revokes a token, and all that come from the same login; NULL: the one of this session, whose identity ends. False when it was revoked or expired already. Errors: 28000 the token is refused, or nobody is authenticated.';

CREATE FUNCTION analytics.issue_token(
    user_id uuid, workspace_id uuid DEFAULT NULL, access_level text DEFAULT NULL, email text DEFAULT NULL,
    valid_for interval DEFAULT '15 minutes', refresh_for interval DEFAULT '30 days')
RETURNS TABLE (access_token text, refresh_token text, expires_at timestamptz, refresh_expires_at timestamptz)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'issue_token_wrapper';
COMMENT ON FUNCTION analytics.issue_token(uuid, uuid, text, text, interval, interval) IS
    'Tokens for a user who has proved to the caller who it is: an access token for authenticate() and a refresh token for refresh_token(). They open the workspaces of the user in workspace_members (only workspace_id, when given) at access_level, default the least that the user has there. valid_for: at most a day, default 15 minutes; refresh_for: at most a year, default 30 days. For the owner of the tables and roles with EXECUTE. Errors: 22023 no member or out of range, 55000 no key signs, 54000 too many workspaces for one token.';

CREATE FUNCTION analytics.refresh_token(refresh_token text)
RETURNS TABLE (
    status text, access_token text, refresh_token text, expires_at timestamptz, refresh_expires_at timestamptz
)
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'refresh_token_wrapper';
COMMENT ON FUNCTION analytics.refresh_token(text) IS
    'Exchanges a refresh token, once, for new tokens with what the user has now. status: refreshed; reused (somebody has a copy: the whole login is revoked), revoked, expired, unknown, no_access; the tokens are NULL then. COMMIT after every status: a rollback would undo the revocation.';
COMMENT ON FUNCTION analytics_internal.check_token_key(text, text, text, text) IS
    'Raises 22023 for a key that cannot verify tokens, or that is too weak.';
COMMENT ON FUNCTION analytics_internal.new_secret() IS
    'A secret of 256 random bits, as 64 hexadecimal digits.';

