-- Tokens: keys that verify and sign them, logins that refresh them, and what was revoked before its time.

CREATE TABLE analytics_internal.token_keys (
    name         text        NOT NULL,
    algorithm    text        NOT NULL,
    key_id       text,
    secret       text,
    public_key   text,
    jwks         jsonb,
    issuer       text,
    audience     text,
    issues       boolean     NOT NULL DEFAULT false,
    members_only boolean     NOT NULL DEFAULT false,
    created_by   text        NOT NULL DEFAULT current_user,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT token_keys_pkey PRIMARY KEY (name),
    CONSTRAINT token_keys_algorithm_check CHECK (
        algorithm IN ('HS256', 'RS256', 'ES256', 'JWKS')
        OR analytics_internal.refuse('algorithm', algorithm, 'it is not an algorithm of keys',
            'Use one of HS256, RS256, ES256, JWKS.')),
    CONSTRAINT token_keys_key_check CHECK (
        CASE algorithm WHEN 'HS256' THEN secret WHEN 'JWKS' THEN jwks::text ELSE public_key END IS NOT NULL
        AND num_nonnulls(secret, public_key, jwks) = 1
        OR analytics_internal.refuse('key', name, 'HS256 has a secret, RS256 and ES256 have a public key, JWKS has a document',
            'Use analytics.set_token_key().')),
    CONSTRAINT token_keys_issues_check CHECK (
        NOT issues OR algorithm = 'HS256'
        OR analytics_internal.refuse('issues', name, 'only HS256 keys sign tokens here', 'Use analytics.set_token_key().'))
);
-- Nobody but the owner: no policy lets anybody else see a row, not even a role that may read all data.
ALTER TABLE analytics_internal.token_keys ENABLE ROW LEVEL SECURITY;

COMMENT ON TABLE  analytics_internal.token_keys IS 'Keys of tokens, secrets among them: only the owner of the tables reads them. Written by set_token_key() and drop_token_key().';
COMMENT ON COLUMN analytics_internal.token_keys.name IS 'Name of the key, or of the set of keys.';
COMMENT ON COLUMN analytics_internal.token_keys.algorithm IS 'HS256, RS256, ES256, or JWKS, whose keys say it themselves.';
COMMENT ON COLUMN analytics_internal.token_keys.key_id IS 'kid of the tokens that the key verifies; NULL: any.';
COMMENT ON COLUMN analytics_internal.token_keys.secret IS 'Shared secret of HS256, 32 bytes or more.';
COMMENT ON COLUMN analytics_internal.token_keys.public_key IS 'Public key of RS256 or ES256, as PEM.';
COMMENT ON COLUMN analytics_internal.token_keys.jwks IS 'JWKS document with public keys.';
COMMENT ON COLUMN analytics_internal.token_keys.issuer IS 'iss of the tokens; NULL: any.';
COMMENT ON COLUMN analytics_internal.token_keys.audience IS 'aud that tokens must name; NULL: tokens must name none.';
COMMENT ON COLUMN analytics_internal.token_keys.issues IS 'Whether issue_token() signs with this key; the newest of several does.';
COMMENT ON COLUMN analytics_internal.token_keys.members_only IS 'Whether a token opens only workspaces in which workspace_members has the user.';
COMMENT ON COLUMN analytics_internal.token_keys.created_by IS 'Role that set the key.';
COMMENT ON COLUMN analytics_internal.token_keys.created_at IS 'When it was set.';

CREATE TABLE analytics_internal.token_roles (
    database_role text        NOT NULL,
    access_level  text        NOT NULL,
    CONSTRAINT token_roles_pkey PRIMARY KEY (database_role),
    CONSTRAINT token_roles_level_check CHECK (
        access_level IN ('viewer', 'member', 'admin', 'owner')
        OR analytics_internal.refuse('access_level', access_level, 'it is not a level of access',
            'Use one of viewer, member, admin, owner.'))
);

COMMENT ON TABLE  analytics_internal.token_roles IS 'Database roles of applications that say by tokens for whom they speak. Written by allow_tokens().';
COMMENT ON COLUMN analytics_internal.token_roles.database_role IS 'Name of the role.';
COMMENT ON COLUMN analytics_internal.token_roles.access_level IS 'Level whose object privileges the role has: the most that a token can give there.';

CREATE TABLE analytics_internal.token_families (
    family_id     uuid        NOT NULL DEFAULT gen_random_uuid(),
    user_id       uuid        NOT NULL,
    workspace_id  uuid,
    access_level  text,
    email         text,
    valid_for     interval    NOT NULL,
    created_by    text        NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoked_for   text,
    CONSTRAINT token_families_pkey PRIMARY KEY (family_id),
    CONSTRAINT token_families_revoked_check CHECK (
        (revoked_at IS NULL) = (revoked_for IS NULL)
        OR analytics_internal.refuse('revoked_for', coalesce(revoked_for, 'NULL'), 'revoked_at and revoked_for belong together',
            'Use analytics.logout().'))
);
ALTER TABLE analytics_internal.token_families ENABLE ROW LEVEL SECURITY;
-- For clean-up, and for the end of everything that a user has.
CREATE INDEX token_families_expires_at_idx ON analytics_internal.token_families (expires_at);

COMMENT ON TABLE  analytics_internal.token_families IS 'Logins by issue_token(): all tokens that come from one of them by refreshing end together.';
COMMENT ON COLUMN analytics_internal.token_families.family_id IS 'Key of the login; sid of its tokens.';
COMMENT ON COLUMN analytics_internal.token_families.user_id IS 'The user, as in the other tables.';
COMMENT ON COLUMN analytics_internal.token_families.workspace_id IS 'The only workspace that its tokens open; NULL: all of the user.';
COMMENT ON COLUMN analytics_internal.token_families.access_level IS 'Level that was asked for; NULL: the least that the user has in these workspaces.';
COMMENT ON COLUMN analytics_internal.token_families.email IS 'email of its tokens; NULL: none.';
COMMENT ON COLUMN analytics_internal.token_families.valid_for IS 'How long each access token is valid.';
COMMENT ON COLUMN analytics_internal.token_families.created_by IS 'Role that issued the first token.';
COMMENT ON COLUMN analytics_internal.token_families.created_at IS 'When it was issued.';
COMMENT ON COLUMN analytics_internal.token_families.expires_at IS 'When the last refresh token ends; refreshing does not move it.';
COMMENT ON COLUMN analytics_internal.token_families.revoked_at IS 'When it was revoked; NULL: it was not.';
COMMENT ON COLUMN analytics_internal.token_families.revoked_for IS 'Why: logout, reused or no_access; NULL: it was not.';

CREATE TABLE analytics_internal.refresh_tokens (
    token_digest bytea       NOT NULL,
    family_id    uuid        NOT NULL,
    issued_at    timestamptz NOT NULL DEFAULT now(),
    used_at      timestamptz,
    CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_digest),
    CONSTRAINT refresh_tokens_family_fkey FOREIGN KEY (family_id)
        REFERENCES analytics_internal.token_families (family_id) ON DELETE CASCADE,
    CONSTRAINT refresh_tokens_digest_check CHECK (
        length(token_digest) = 32
        OR analytics_internal.refuse('token_digest', length(token_digest)::text, 'it is not a SHA-256', 'Use analytics.issue_token().'))
);
ALTER TABLE analytics_internal.refresh_tokens ENABLE ROW LEVEL SECURITY;
CREATE INDEX refresh_tokens_family_idx ON analytics_internal.refresh_tokens (family_id);

COMMENT ON TABLE  analytics_internal.refresh_tokens IS 'Refresh tokens, by their SHA-256: the tokens themselves are nowhere.';
COMMENT ON COLUMN analytics_internal.refresh_tokens.token_digest IS 'SHA-256 of the token.';
COMMENT ON COLUMN analytics_internal.refresh_tokens.family_id IS 'Login that it belongs to.';
COMMENT ON COLUMN analytics_internal.refresh_tokens.issued_at IS 'When it was issued.';
COMMENT ON COLUMN analytics_internal.refresh_tokens.used_at IS 'When it was exchanged for its successor; NULL: not yet.';

CREATE TABLE analytics_internal.revoked_tokens (
    issuer     text        NOT NULL,
    token_id   text        NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (issuer, token_id)
);
ALTER TABLE analytics_internal.revoked_tokens ENABLE ROW LEVEL SECURITY;
CREATE INDEX revoked_tokens_expires_at_idx ON analytics_internal.revoked_tokens (expires_at);

COMMENT ON TABLE  analytics_internal.revoked_tokens IS 'Access tokens that were revoked before they expired, by logout().';
COMMENT ON COLUMN analytics_internal.revoked_tokens.issuer IS 'iss of the token; empty: it has none.';
COMMENT ON COLUMN analytics_internal.revoked_tokens.token_id IS 'jti of the token; sha256: and a digest of what was signed where it has none.';
COMMENT ON COLUMN analytics_internal.revoked_tokens.expires_at IS 'When the token would have ended; the row is of no use after that.';
COMMENT ON COLUMN analytics_internal.revoked_tokens.revoked_at IS 'When it was revoked.';

-- Not even in the statistics of Postgres.
SELECT analytics_internal.hide_values('analytics_internal.token_keys',
    'name', 'algorithm', 'key_id', 'secret', 'public_key', 'jwks', 'issuer', 'audience', 'created_by');
SELECT analytics_internal.hide_values('analytics_internal.token_families', 'email', 'created_by', 'revoked_for');
SELECT analytics_internal.hide_values('analytics_internal.refresh_tokens', 'token_digest');
SELECT analytics_internal.hide_values('analytics_internal.revoked_tokens', 'issuer', 'token_id');
