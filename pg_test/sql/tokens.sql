-- Tokens: keys, what a session sees with one, and what is refused. (More of both, with tokens of every make, is in
-- tests/test_tokens.py.)
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000001'
\set blue   'a0000000-0000-4000-8000-000000000002'
\set ann    'd0000000-0000-4000-8000-000000000001'
SET client_min_messages = warning;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme'), (:'blue', 'Blue');
INSERT INTO analytics.workspace_members (workspace_id, user_id, access_level) VALUES (:'acme', :'ann', 'admin'), (:'blue', :'ann', 'viewer');
CREATE ROLE regress_app;

------------------------------------------------------------------------------------------------------------------------
-- Keys
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.set_token_key('login', 'HS256', 'an-example-secret-of-32-bytes-or-more!', issuer => 'https://login.example.com', audience => 'analytics');
SELECT analytics.set_token_key('here', issuer => 'here', audience => 'analytics', issues => true);
SELECT name, algorithm, key_id, issuer, audience, issues, members_only FROM analytics.token_keys();
CALL regress.watch();
SELECT analytics.set_token_key('x', secret => 'short'); :refused
SELECT analytics.set_token_key('x', 'HS512', secret => 'an-example-secret-of-32-bytes-or-more!'); :refused
SELECT analytics.set_token_key('x', 'none'); :refused
SELECT analytics.set_token_key('x', 'RS256', public_key => 'x'); :refused
SELECT analytics.set_token_key('x', 'RS256', public_key => '-----BEGIN PRIVATE KEY-----'); :refused
SELECT analytics.set_token_key('x', 'JWKS', jwks => '{"keys": []}'); :refused
SELECT analytics.set_token_key('x', 'JWKS', jwks => '{"keys": [{"kty": "oct", "k": "AAAA"}]}'); :refused
SELECT analytics.set_token_key('x', 'JWKS', jwks => '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'); :refused
SELECT analytics.set_token_key('x', 'ES256', public_key => 'x', issues => true); :refused
SELECT analytics.set_token_key(NULL); :refused
SELECT analytics.drop_token_key('x');
SELECT analytics.allow_tokens('regress_app', 'king'); :refused
SELECT analytics.allow_tokens('regress_nobody'); :refused
SELECT analytics.allow_tokens(NULL); :refused
SELECT analytics.allow_tokens(current_user); :refused

------------------------------------------------------------------------------------------------------------------------
-- An identity
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.allow_tokens('regress_app', 'member');
-- {"sub": ann, "workspaces": [acme], "role": "member", "exp": 2100, "iss": ..., "aud": "analytics"}
\set token 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJlbWFpbCI6ImFubkBleGFtcGxlLmNvbSIsIndvcmtzcGFjZUlkIjoiYTAwMDAwMDAtMDAwMC00MDAwLTgwMDAtMDAwMDAwMDAwMDAxIiwid29ya3NwYWNlcyI6WyJhMDAwMDAwMC0wMDAwLTQwMDAtODAwMC0wMDAwMDAwMDAwMDEiXSwicm9sZSI6Im1lbWJlciIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjo0MTAyNDQ0ODAwLCJqdGkiOiJleGFtcGxlLTEiLCJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwiYXVkIjoiYW5hbHl0aWNzIn0.-9oHEYP4bvBUGnpXSpi7bBCyv6taiFGDdCkE_3rwrY0'
SET ROLE regress_app;
SELECT name FROM analytics.workspaces;
BEGIN;
SELECT * FROM analytics.authenticate(:'token');
SELECT name FROM analytics.workspaces;
SELECT analytics.current_user_id(), analytics.current_workspace_ids(), analytics.current_permissions();
COMMIT;
SELECT name FROM analytics.workspaces;
SELECT access_level FROM analytics.authenticate(:'token', 'session');
SELECT name FROM analytics.workspaces;
-- What is refused leaves nobody.
SELECT analytics.authenticate('eyJhbGciOiJub25lIn0.e30.', 'session'); \echo :SQLSTATE
SELECT name FROM analytics.workspaces;
SELECT * FROM analytics.try_authenticate(:'token' || 'x', 'session');
SELECT analytics.authenticate(NULL); \echo :SQLSTATE
SELECT analytics.authenticate(:'token', 'forever'); \echo :SQLSTATE
SELECT analytics.issue_token(:'ann'); \echo :SQLSTATE
SELECT analytics.set_token_key('mine'); \echo :SQLSTATE
SELECT * FROM analytics_internal.token_keys; \echo :SQLSTATE
SELECT analytics.logout(); \echo :SQLSTATE
SELECT analytics.logout(:'token');
SELECT analytics.authenticate(:'token'); \echo :SQLSTATE
RESET ROLE;

------------------------------------------------------------------------------------------------------------------------
-- Tokens of our own
------------------------------------------------------------------------------------------------------------------------
SELECT access_token, refresh_token FROM analytics.issue_token(:'ann') \gset first_
SELECT access_token, refresh_token FROM analytics.issue_token(:'ann', :'acme') \gset acme_
SET ROLE regress_app;
SELECT workspace_ids, access_level FROM analytics.authenticate(:'first_access_token');
SELECT workspace_ids, access_level FROM analytics.authenticate(:'acme_access_token');
SELECT status, refresh_token FROM analytics.refresh_token(:'first_refresh_token') \gset next_
\echo :next_status
SELECT * FROM analytics.refresh_token(:'first_refresh_token');
SELECT * FROM analytics.refresh_token(:'next_refresh_token');
SELECT * FROM analytics.refresh_token('nonsense');
SELECT analytics.authenticate(:'first_access_token'); \echo :SQLSTATE
SELECT workspace_ids FROM analytics.authenticate(:'acme_access_token');
RESET ROLE;
SELECT analytics.issue_token(NULL); \echo :SQLSTATE
SELECT analytics.issue_token(gen_random_uuid(), valid_for => '2 days'); \echo :SQLSTATE
SELECT analytics.issue_token(:'ann', access_level => 'owner'); \echo :SQLSTATE

------------------------------------------------------------------------------------------------------------------------
-- The record
------------------------------------------------------------------------------------------------------------------------
SELECT a.action, a.outcome, w.name AS workspace, a.target, a.database_role = 'regress_app' AS by_app, a.detail - 'token_id' AS detail
FROM analytics.audit_log AS a LEFT JOIN analytics.workspaces AS w USING (workspace_id)
WHERE a.action IN ('authenticate', 'refresh_token', 'issue_token', 'logout', 'allow_tokens') ORDER BY a.occurred_at;
CALL regress.watch();
UPDATE analytics.audit_log SET action = 'x'; :refused
DELETE FROM analytics.audit_log; :refused
TRUNCATE analytics.audit_log; :refused
SELECT analytics.cleanup_audit_log('1 hour'); :refused
SELECT analytics.cleanup_tokens();

SELECT analytics.allow_tokens('regress_app', NULL);
DROP ROLE regress_app;
DELETE FROM analytics.workspaces WHERE workspace_id IN (:'acme', :'blue');
DELETE FROM analytics_internal.token_keys;
DELETE FROM analytics_internal.token_families;
