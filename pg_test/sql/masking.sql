-- Masking: what becomes of personal data in texts, and who meets which.
\set SHOW_CONTEXT never
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set acme   'a0000000-0000-4000-8000-000000000011'
\set blue   'a0000000-0000-4000-8000-000000000012'
\set bot    'c0000000-0000-4000-8000-000000000011'
\set run    'e0000000-0000-4000-8000-000000000011'

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
SELECT analytics.mask_text('ann@example.com or +49 30 1234567, card 4111 1111 1111 1111') AS masked;
SELECT analytics.mask_text('password=hunter2, key sk-abcdefghijklmnop1234, Bearer abc123def456') AS masked;
SELECT analytics.mask_text('run 3f2504e0-4f89-41d3-9a0c-0305e82c3301 of 2024-01-15 10:20:30: 15000 tokens, v1.2.3') AS unchanged;
SELECT analytics.mask_text('to ann@example.com and others', 11) AS masked, length(analytics.mask_text(repeat('x', 1000))) AS length;
SELECT analytics.mask_text(content => NULL) IS NULL AND analytics.mask_text('x', NULL) IS NULL AND analytics.mask_json(NULL) IS NULL AS nulls;
SELECT analytics.mask_json('{"to": "ann@example.com", "password": "x", "n": [1, 1e30, true, null], "long": "abcdefghij"}', 8) AS masked;
SELECT jsonb_array_length(analytics.mask_json((repeat('[', 5000) || repeat(']', 5000))::jsonb)) AS deep;
SELECT analytics.mask_text('x', 0); \echo :SQLSTATE
SELECT analytics.mask_text('x', 1000001); \echo :SQLSTATE
SELECT analytics.mask_json('{}', -1); \echo :SQLSTATE

------------------------------------------------------------------------------------------------------------------------
-- Readers
------------------------------------------------------------------------------------------------------------------------
SET client_min_messages = warning;
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'acme', 'Acme'), (:'blue', 'Blue');
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'acme', :'bot', 'Acme bot'), (:'blue', :'bot', 'Blue bot');
INSERT INTO analytics.agent_runs (workspace_id, run_id, agent_id, status, started_at, error_message, error_stack, user_feedback, metadata)
SELECT w::uuid, :'run', :'bot', 'failed', '2026-01-15 10:00+00', 'mail to ann@example.com failed', 'at ann@example.com', 'call +49 30 1234567', '{"to": "ann@example.com", "n": 1}'
FROM unnest(ARRAY[:'acme', :'blue']) AS w;
INSERT INTO analytics.agent_errors (workspace_id, agent_id, error_type, error_message) VALUES (:'acme', :'bot', 'MailError', 'to ann@example.com');
INSERT INTO analytics.agent_user_feedback (workspace_id, agent_id, rating, comment) VALUES (:'acme', :'bot', 1, 'I am ann@example.com');
INSERT INTO analytics.execution_queue (workspace_id, agent_id, metadata) VALUES (:'acme', :'bot', '{"to": "ann@example.com"}');
CREATE ROLE regress_mask;
-- Admin of one workspace, viewer of the other.
SELECT analytics.grant_access('regress_mask', :'acme', 'admin');
SELECT analytics.grant_access('regress_mask', :'blue', 'viewer');
SET ROLE regress_mask;
SELECT workspace_id, error_message, error_stack, user_feedback, metadata FROM analytics.agent_runs_masked ORDER BY 1;
SELECT workspace_name, error_message FROM analytics.agent_run_details WHERE run_id = :'run' ORDER BY 1;
SELECT error_message, metadata FROM analytics.agent_runs; \echo :SQLSTATE
SELECT * FROM analytics.agent_errors; \echo :SQLSTATE
SELECT count(*) FROM analytics.agent_errors WHERE error_message LIKE '%ann%'; \echo :SQLSTATE
RESET ROLE;
-- Viewer of both.
SELECT analytics.grant_access('regress_mask', :'acme', 'viewer');
SET ROLE regress_mask;
SELECT error_message FROM analytics.agent_errors_masked;
SELECT comment FROM analytics.agent_user_feedback_masked;
SELECT metadata FROM analytics.execution_queue_masked;
SELECT count(*) FROM analytics.agent_errors_masked WHERE error_message LIKE '%ann%';
SET row_security = off;
SELECT comment FROM analytics.agent_user_feedback_masked; \echo :SQLSTATE
SELECT comment FROM analytics_internal.agent_user_feedback_texts; \echo :SQLSTATE
RESET row_security;
RESET ROLE;
-- The owner of the tables reads what was written.
SELECT error_message FROM analytics.agent_errors_masked WHERE workspace_id = :'acme';

SELECT analytics.revoke_access('regress_mask', :'acme');
SELECT analytics.revoke_access('regress_mask', :'blue');
DROP OWNED BY regress_mask;
DROP ROLE regress_mask;
DELETE FROM analytics.workspaces WHERE workspace_id IN (:'acme', :'blue');
