-- The lifecycle of agents, as a user would type it. A statement that must fail is followed by :refused, see setup.sql.
\set SHOW_CONTEXT never
\set refused '\\echo :SQLSTATE \\\\ CALL regress.nothing_changed();'
\set sqlstate '\\echo :SQLSTATE'
\setenv PGTZ UTC
\setenv PGDATESTYLE ISO
\c -
\set life 'e0000000-0000-4000-8000-000000000001'
\set bot  'e0000000-0000-4000-8000-0000000000a1'
\set aide 'e0000000-0000-4000-8000-0000000000a2'
\set owner 'e0000000-0000-4000-8000-0000000000b1'
INSERT INTO analytics.workspaces (workspace_id, name) VALUES (:'life', 'Life');
SET search_path = analytics, public;

------------------------------------------------------------------------------------------------------------------------
-- Time in state
------------------------------------------------------------------------------------------------------------------------
CREATE TABLE public.lamp (id integer, at timestamptz, state text, n bigint);
INSERT INTO lamp VALUES
    (1, '2026-01-01 10:00', 'on', 1), (1, '2026-01-01 11:00', 'off', 2), (1, '2026-01-01 11:30', 'off', 3),
    (1, '2026-01-01 12:00', 'on', 4), (2, '2026-01-01 10:00', 'off', 1), (2, NULL, 'on', 2), (2, '2026-01-01 10:00', NULL, 3);
SELECT id, duration_in(s, 'on', to_time => '2026-01-01 15:00') AS on_, duration_in(s, 'off', to_time => '2026-01-01 15:00') AS off_,
       duration_in(s, 'broken', to_time => '2026-01-01 15:00') AS broken, num_entries(s, 'off') AS offs, num_entries(s, 'broken') AS broken,
       state_at(s, '2026-01-01 11:10') AS at_11_10, state_at(s, '2025-01-01') AS before, first_time(s), last_time(s)
FROM (SELECT id, state_agg(at, state) AS s FROM lamp GROUP BY id) AS l ORDER BY id;
-- The open state counts to to_time, which is now unless it is given; NULL is the last observation.
SELECT duration_in(s, 'on', to_time => NULL) AS to_the_last, duration_in(s, 'on') = now() - '2026-01-01 12:00' + interval '1 hour' AS to_now,
       duration_in(s, 'on', '2026-01-01 10:30', '2026-01-01 12:15') AS clipped,
       duration_in(s, 'on', '2026-01-01 12:15', '2026-01-01 10:30') AS nothing
FROM (SELECT state_agg(at, state) AS s FROM lamp WHERE id = 1) AS l;
SELECT v.* FROM (SELECT state_agg(at, state) AS s FROM lamp WHERE id = 1) AS l, into_values(s, to_time => '2026-01-01 15:00') AS v;
SELECT v.* FROM (SELECT state_agg(at, state) AS s FROM lamp WHERE id = 1) AS l, state_timeline(s, to_time => '2026-01-01 15:00') AS v;
SELECT v.* FROM (SELECT state_agg(at, state) AS s FROM lamp WHERE id = 1) AS l, state_periods(s, 'on', to_time => '2026-01-01 15:00') AS v;
-- Durations of more than a day are shown as the difference of two times is.
SELECT duration_in(s, 'a', to_time => '2026-03-01') AS ours, '2026-03-01'::timestamptz - '2026-01-01 06:00' AS postgres
FROM (SELECT state_agg('2026-01-01 06:00', 'a') AS s) AS l;
-- Several states at one instant: the name decides, or the sequence; the others lasted no time, but were entered.
CREATE TABLE public.tie AS
SELECT * FROM (VALUES ('2026-01-01 10:00'::timestamptz, 'zero', 1), ('2026-01-01 10:00', 'one', 2), ('2026-01-01 12:00', 'two', 3)) AS t (at, state, n);
SELECT v.* FROM (SELECT state_agg(at, state) AS s FROM tie) AS l, state_timeline(s, to_time => '2026-01-01 13:00') AS v;
SELECT v.* FROM (SELECT state_agg(at, state, n) AS s FROM tie) AS l, state_timeline(s, to_time => '2026-01-01 13:00') AS v;
SELECT v.* FROM (SELECT state_agg(at, state, n) AS s FROM tie) AS l, into_values(s, to_time => '2026-01-01 13:00') AS v;
-- Merging: the same bytes, whether the parts overlap or not.
SELECT rollup(p.s) = (SELECT state_agg(at, state) FROM lamp) AS same
FROM (SELECT state_agg(at, state) AS s FROM lamp GROUP BY n % 2) AS p;
SELECT rollup(p.s) = (SELECT state_agg(at, state, n) FROM tie) AS same FROM (SELECT state_agg(at, state, n) AS s FROM tie GROUP BY n) AS p;
-- Nothing gives NULL, or no row.
SELECT state_agg(at, state) IS NULL AS no_rows, rollup(state_agg) IS NULL AS no_summaries, duration_in(NULL, 'x') IS NULL AS no_summary
FROM (SELECT at, state, NULL::state_summary AS state_agg FROM lamp WHERE false) AS l GROUP BY at, state HAVING false;
SELECT state_agg(at, state) IS NULL AS no_rows FROM lamp WHERE false;
SELECT * FROM state_timeline(NULL);
-- The text form is that of bytea; what was not written here is refused.
SELECT state_agg('2026-01-01', 'a')::text AS text, state_agg('2026-01-01', 'a')::text::state_summary = state_agg('2026-01-01', 'a') AS same;
SELECT '\x0102'::state_summary; :sqlstate
SELECT 'lamp'::state_summary; :sqlstate
SELECT state_agg('infinity', 'a'); :sqlstate
SELECT duration_in(state_agg('2026-01-01', 'a'), 'a', to_time => 'infinity'); :sqlstate
-- Every entity of a table.
SELECT * FROM state_durations('lamp', 'id', 'at', 'state', to_time => '2026-01-01 15:00') ORDER BY entity, state;
SELECT * FROM state_durations('lamp', 'id', 'when', 'state'); :sqlstate


------------------------------------------------------------------------------------------------------------------------
-- Survival
------------------------------------------------------------------------------------------------------------------------
SELECT time, at_risk, events, censored, round(survival::numeric, 6) AS survival, round(std_err::numeric, 6) AS std_err,
       round(ci_low::numeric, 6) AS ci_low, round(ci_high::numeric, 6) AS ci_high
FROM kaplan_meier('{6,7,10,15,19,25}', '{t,f,t,t,f,t}');
SELECT survival_median('{6,7,10,15,19,25}', '{t,f,t,t,f,t}') AS median, survival_median('{1,2}', '{f,f}') IS NULL AS none;
SELECT round(statistic::numeric, 9) AS statistic, degrees_of_freedom, round(p_value::numeric, 9) AS p_value
FROM log_rank_test('{1,2,3,4,5,6}', '{t,t,t,t,t,t}', '{a,a,a,b,b,b}');
SELECT * FROM kaplan_meier('{1,-1}', '{t,t}'); :sqlstate
SELECT * FROM kaplan_meier('{1}', '{t,t}'); :sqlstate
SELECT * FROM kaplan_meier('{1}', '{t}', 1); :sqlstate
SELECT * FROM log_rank_test('{1,2}', '{t,t}', '{a,a}'); :sqlstate
SELECT * FROM log_rank_test('{1,2}', '{f,f}', '{a,b}'); :sqlstate

------------------------------------------------------------------------------------------------------------------------
-- Rules
------------------------------------------------------------------------------------------------------------------------
INSERT INTO agents (workspace_id, agent_id, name, agent_type, created_at) VALUES
    (:'life', :'bot', 'Bot', 'assistant', '2026-01-01'), (:'life', :'aide', 'Aide', 'assistant', '2026-01-01');
SELECT * FROM lifecycle_states_of(:'life');
SELECT from_state, to_state, access_level, reason_required, guards FROM lifecycle_rules(:'life');
CALL regress.watch();
SELECT * FROM lifecycle_rules('00000000-0000-4000-8000-000000000000'); :refused
SELECT configure_lifecycle(:'life', '[]'); :refused
SELECT configure_lifecycle(:'life', '{"states": [], "transitions": [], "more": 1}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "draft"}], "transitions": []}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "live", "terminal": true}], "transitions": []}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "Draft"}], "transitions": []}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "draft"}, {"state": "live", "terminal": true}, {"state": "lost", "terminal": true}],
    "transitions": [{"from": "draft", "to": "live"}]}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "draft"}, {"state": "live", "terminal": true}],
    "transitions": [{"from": "draft", "to": "live", "guards": [{"metric": "beauty", "threshold": 1}]}]}'); :refused
SELECT configure_lifecycle(:'life', '{"states": [{"state": "draft"}, {"state": "live", "terminal": true}],
    "transitions": [{"from": "draft", "to": "live", "guards": [{"metric": "success_rate"}]}]}'); :refused
-- By hand, for the owner of the tables: looked at when the transaction ends.
BEGIN;
INSERT INTO lifecycle_states (workspace_id, state) VALUES (:'life', 'draft');
COMMIT; :refused

------------------------------------------------------------------------------------------------------------------------
-- Transitions
------------------------------------------------------------------------------------------------------------------------
SELECT sequence, from_state, to_state, allowed, forced, repeated, guards, problems FROM transition_agent(:'life', :'bot', 'testing');
SELECT lifecycle_state FROM agents WHERE agent_id = :'bot';
CALL regress.watch();
SELECT * FROM transition_agent(:'life', :'bot', 'testing'); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'production'); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'retired'); :refused
SELECT * FROM transition_agent(:'life', :'bot', NULL); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'archived'); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'archived', '  '); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'staging', from_state => 'draft'); :refused
SELECT * FROM transition_agent(:'life', 'e0000000-0000-4000-8000-0000000000ff', 'testing'); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'staging', force => true); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'draft', idempotency_key => ''); :refused
-- Guards: what is needed, and what was found.
SELECT * FROM transition_agent(:'life', :'bot', 'staging'); :refused
SELECT sequence, allowed, problems FROM transition_agent(:'life', :'bot', 'staging', dry_run => true);
SELECT * FROM explain_transition(:'life', :'bot', 'staging');
SELECT * FROM explain_transition(:'life', :'bot', 'production');
SELECT to_state, guards_pass, failing, reason_required FROM allowed_transitions(:'life', :'bot');
CALL regress.nothing_changed();
INSERT INTO agent_runs (workspace_id, agent_id, status, runtime_seconds, started_at, credits_consumed)
SELECT :'life', :'bot', CASE WHEN i <= 60 THEN 'completed' ELSE 'failed' END, i, now() - interval '2 hours' - i * interval '1 minute', 0.5
FROM generate_series(1, 64) AS i;
SELECT * FROM explain_transition(:'life', :'bot', 'staging');
SELECT agent_name, proposal, from_state, to_state, reasons FROM propose_transitions(:'life');
SELECT sequence, from_state, to_state, allowed, guards FROM transition_agent(:'life', :'bot', 'staging', idempotency_key => 'k1');
-- The same call again: the same event, and nothing more.
CALL regress.watch();
SELECT sequence, from_state, to_state, repeated FROM transition_agent(:'life', :'bot', 'staging', idempotency_key => 'k1');
SELECT * FROM transition_agent(:'life', :'bot', 'testing', idempotency_key => 'k1'); :refused
SELECT * FROM transition_agent(:'life', :'bot', 'production', version => '1.0.0'); :refused
SELECT * FROM explain_transition(:'life', :'bot', 'production');
CALL regress.nothing_changed();
-- By force, with a reason, recorded.
SELECT sequence, from_state, to_state, allowed, forced, problems
FROM transition_agent(:'life', :'bot', 'production', 'the customer waits', force => true, version => '1.0.0');
SELECT sequence, event_type, from_state, to_state, actor_role, reason, forced, version FROM agent_lifecycle_events
WHERE agent_id = :'bot' ORDER BY sequence;
-- Its guards do not hold: out of production with it.
SELECT agent_name, proposal, from_state, to_state, reasons FROM propose_transitions(:'life');

-- The history stays as it is, and the state is that of its last event.
CALL regress.watch();
UPDATE agents SET lifecycle_state = 'draft' WHERE agent_id = :'bot'; :refused
UPDATE agent_lifecycle_events SET to_state = 'draft'; :refused
DELETE FROM agent_lifecycle_events; :refused
INSERT INTO agents (workspace_id, name, lifecycle_state) VALUES (:'life', 'New', 'retired'); :refused
-- A clock that goes backwards.
BEGIN;
INSERT INTO agent_lifecycle_events (workspace_id, agent_id, sequence, event_type, to_state, occurred_at, actor_role)
VALUES (:'life', :'aide', 2, 'registered', 'draft', now() + interval '1 day', 'me');
SELECT * FROM transition_agent(:'life', :'aide', 'testing'); :sqlstate
ROLLBACK;
CALL regress.nothing_changed();
-- An agent that its first run registered may be told once where it stands.
INSERT INTO agent_runs (workspace_id, agent_id, status) VALUES (:'life', 'e0000000-0000-4000-8000-0000000000a9', 'running');
UPDATE agents SET name = 'Found', lifecycle_state = 'production' WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a9';
CALL regress.watch();
UPDATE agents SET lifecycle_state = 'draft' WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a9'; :refused
SELECT sequence, event_type, from_state, to_state FROM agent_lifecycle_events WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a9' ORDER BY sequence;
-- It goes with its history; a new key takes the history along.
BEGIN;
UPDATE agents SET agent_id = 'e0000000-0000-4000-8000-0000000000a8' WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a9';
SELECT count(*) AS moved FROM agent_lifecycle_events WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a8';
DELETE FROM agents WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a8';
SELECT count(*) AS gone FROM agent_lifecycle_events WHERE agent_id = 'e0000000-0000-4000-8000-0000000000a8';
ROLLBACK;

------------------------------------------------------------------------------------------------------------------------
-- Rules of its own: another state, approvals, a cooldown
------------------------------------------------------------------------------------------------------------------------
SELECT configure_lifecycle(:'life', '{
  "states": [{"state": "draft", "position": 1}, {"state": "review", "position": 2}, {"state": "production", "position": 3},
             {"state": "archived", "position": 4, "terminal": true}],
  "transitions": [
    {"from": "draft", "to": "review"},
    {"from": "review", "to": "draft", "cooldown": "1 day"},
    {"from": "review", "to": "production", "required_approvals": 2, "guards": [{"metric": "owner_present"}]},
    {"from": "production", "to": "archived", "access_level": "owner", "reason_required": true}]}');
SELECT from_state, to_state, access_level, required_approvals, cooldown, guards FROM lifecycle_rules(:'life');
SELECT configure_lifecycle(:'life', lifecycle_config(:'life'));
SELECT action, detail FROM audit_log WHERE action = 'configure_lifecycle' AND workspace_id = :'life' ORDER BY occurred_at;
SELECT to_state FROM transition_agent(:'life', :'aide', 'review');
CALL regress.watch();
-- A state with an agent in it cannot go.
SELECT configure_lifecycle(:'life', NULL); :refused
SELECT * FROM transition_agent(:'life', :'aide', 'production'); :refused
SELECT request_transition(:'life', :'aide', 'production', ''); :refused
SELECT request_transition(:'life', :'aide', 'draft', 'because'); :refused
SELECT request_transition(:'life', :'aide', 'archived', 'because'); :refused
SELECT approve_transition(:'life', 'e0000000-0000-4000-8000-0000000000ff'); :refused
SELECT request_transition(:'life', :'aide', 'production', 'it is ready') AS request \gset
CALL regress.watch();
SELECT request_transition(:'life', :'aide', 'production', 'once more'); :refused
SELECT * FROM approve_transition(:'life', :'request'); :refused
RESET search_path;
CREATE ROLE regress_first; CREATE ROLE regress_second;
SELECT analytics.grant_access('regress_first', :'life', 'admin'), analytics.grant_access('regress_second', :'life', 'admin');
SET ROLE regress_first;
SELECT * FROM analytics.approve_transition(:'life', :'request', 'looks good');
SELECT * FROM analytics.approve_transition(:'life', :'request'); :sqlstate
SET ROLE regress_second;
-- The last approval carries it out, if the guards hold.
SELECT * FROM analytics.approve_transition(:'life', :'request'); :sqlstate
UPDATE analytics.agents SET owner_id = :'owner' WHERE workspace_id = :'life' AND agent_id = :'aide';
SELECT * FROM analytics.approve_transition(:'life', :'request');
SELECT * FROM analytics.reject_transition(:'life', :'request', 'no'); :sqlstate
SELECT * FROM analytics.transition_agent(:'life', :'aide', 'archived', 'enough'); :sqlstate
SELECT * FROM analytics.transition_agent(:'life', :'bot', 'archived', 'enough', force => true); :sqlstate
SELECT analytics.configure_lifecycle(:'life', NULL); :sqlstate
RESET ROLE;
SELECT status, requested_by, closed_at IS NOT NULL AS closed FROM analytics.lifecycle_requests;
SELECT decided_by, decision, comment FROM analytics.lifecycle_approvals ORDER BY decided_at;
SELECT sequence, to_state, reason, actor_role, guards FROM analytics.agent_lifecycle_events WHERE agent_id = :'aide' ORDER BY sequence;
-- Not back to a state that was entered less than a day ago.
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'life', 'e0000000-0000-4000-8000-0000000000a3', 'Coder');
SELECT to_state FROM analytics.transition_agent(:'life', 'e0000000-0000-4000-8000-0000000000a3', 'review');
SELECT to_state FROM analytics.transition_agent(:'life', 'e0000000-0000-4000-8000-0000000000a3', 'draft');
SELECT to_state FROM analytics.transition_agent(:'life', 'e0000000-0000-4000-8000-0000000000a3', 'review');
\set VERBOSITY sqlstate
SELECT * FROM analytics.transition_agent(:'life', 'e0000000-0000-4000-8000-0000000000a3', 'draft');
\set VERBOSITY default
-- Who asked may take it back.
SELECT analytics.request_transition(:'life', 'e0000000-0000-4000-8000-0000000000a3', 'production', 'soon') AS request \gset
SELECT * FROM analytics.reject_transition(:'life', :'request', NULL); :sqlstate
SELECT * FROM analytics.reject_transition(:'life', :'request', 'not yet');
DELETE FROM analytics.agents WHERE agent_id IN ('e0000000-0000-4000-8000-0000000000a3', 'e0000000-0000-4000-8000-0000000000a9');
SELECT analytics.configure_lifecycle(:'life', NULL);
SELECT count(*) AS own_states FROM analytics.lifecycle_states;
SELECT analytics.revoke_access('regress_first', :'life'), analytics.revoke_access('regress_second', :'life');
DROP ROLE regress_first, regress_second;
SET search_path = analytics, public;

------------------------------------------------------------------------------------------------------------------------
-- Versions and deployments
------------------------------------------------------------------------------------------------------------------------
SELECT register_version(:'life', :'bot', v, '{chat,search}', 'more of it', 'sha256:' || v, '{"tools": 4}')
FROM unnest(ARRAY['1.0.0', '1.1.0', '2.0.0-rc.1']) AS v;
CALL regress.watch();
SELECT register_version(:'life', :'bot', '1.0.0'); :refused
SELECT register_version(:'life', :'bot', '1.0'); :refused
SELECT register_version(:'life', :'bot', NULL); :refused
SELECT register_version(:'life', :'bot', '3.0.0', complexity => '{"tools": "many"}'); :refused
SELECT deploy_version(:'life', :'bot', '9.9.9'); :refused
SELECT deploy_version(:'life', :'bot', '1.0.0', strategy => 'hope'); :refused
SELECT deploy_version(:'life', :'bot', '1.0.0', rollout_share => 0); :refused
SELECT set_version_alias(:'life', :'bot', 'stable', '9.9.9'); :refused
SELECT finish_deployment(:'life', 'e0000000-0000-4000-8000-0000000000ff'); :refused
SELECT deploy_version(:'life', :'bot', '1.0.0') AS first \gset
SELECT deploy_version(:'life', :'bot', '1.1.0'); :sqlstate
SELECT finish_deployment(:'life', :'first', 'perhaps'); :sqlstate
SELECT finish_deployment(:'life', :'first');
SELECT finish_deployment(:'life', :'first'); :sqlstate
SELECT rollback_deployment(:'life', :'first', 'errors'); :sqlstate
SELECT deploy_version(:'life', :'bot', '1.1.0', strategy => 'canary', rollout_share => 0.1) AS second \gset
SELECT finish_deployment(:'life', :'second');
SELECT alias, version FROM agent_version_aliases;
SELECT rollback_deployment(:'life', :'second', '') ; :sqlstate
SELECT rollback_deployment(:'life', :'second', 'errors') IS NOT NULL AS rolled_back;
SELECT rollback_deployment(:'life', :'second', 'errors'); :sqlstate
SELECT version, strategy, rollout_share, status, rollback_of IS NOT NULL AS is_rollback, cause FROM agent_deployments ORDER BY started_at, status;
SELECT alias, version FROM agent_version_aliases;
SELECT agent_name, deployments, rollbacks, failed_deployments, change_failure_rate, deployments_per_week > 0 AS per_week,
       median_lead_time_seconds >= 0 AS lead, median_restore_seconds >= 0 AS restore
FROM deployment_metrics(:'life');
SELECT sum(deployments) AS deployments, sum(failed_deployments) AS failed, bool_and(risk BETWEEN 0.2 AND 0.8) AS drawn_to_the_middle FROM deployment_risk(:'life');
SELECT cause, rollbacks, share, agents, median_seconds_to_rollback >= 0 AS seconds FROM rollback_analysis(:'life');
SELECT * FROM deployment_metrics(:'life', failure_window => '0'); :sqlstate
-- Two versions, by their runs.
INSERT INTO agent_runs (workspace_id, agent_id, agent_version, status, runtime_seconds, credits_consumed, user_rating, started_at)
SELECT :'life', :'bot', v, CASE WHEN i % 10 < bad THEN 'failed' ELSE 'completed' END, 10 * slow + i % 7, 0.25 * slow, 3 + i % 2, now() - interval '3 hours'
FROM (VALUES ('1.0.0', 1, 1), ('1.1.0', 4, 2)) AS t (v, bad, slow), generate_series(1, 50) AS i;
SELECT metric, runs_a, runs_b, round(value_a::numeric, 4) AS a, round(value_b::numeric, 4) AS b, round(difference::numeric, 4) AS difference,
       round(effect_size::numeric, 3) AS effect, p_value < 0.05 AS significant, verdict
FROM compare_versions(:'life', :'bot', '1.0.0', '1.1.0');
SELECT * FROM compare_versions(:'life', :'bot', '1.0.0', '1.0.0'); :sqlstate

------------------------------------------------------------------------------------------------------------------------
-- Analysis, on a history that is written by hand
------------------------------------------------------------------------------------------------------------------------
\set past 'e0000000-0000-4000-8000-000000000002'
INSERT INTO workspaces (workspace_id, name) VALUES (:'past', 'Past');
INSERT INTO agents (workspace_id, agent_id, name, created_at)
SELECT :'past', agent_id(:'past', 'a' || i), 'a' || i, '2026-01-01'::timestamptz FROM generate_series(1, 4) AS i;
INSERT INTO agent_lifecycle_events (workspace_id, agent_id, sequence, event_type, from_state, to_state, occurred_at, actor_role)
SELECT :'past', agent_id(:'past', a), n, 'transition', f, t, '2026-01-01'::timestamptz + d * interval '1 day', 'me'
FROM (VALUES ('a1', 2, 'draft', 'testing', 1), ('a1', 3, 'testing', 'staging', 3), ('a1', 4, 'staging', 'production', 10),
             ('a2', 2, 'draft', 'testing', 2), ('a2', 3, 'testing', 'draft', 3), ('a2', 4, 'draft', 'testing', 5), ('a2', 5, 'testing', 'staging', 6),
             ('a3', 2, 'draft', 'testing', 4)) AS e (a, n, f, t, d);
SELECT * FROM transition_matrix(:'past');
SELECT from_state, to_state, transitions, agents, mean_seconds / 86400 AS mean_days, median_seconds / 86400 AS median_days,
       round((p90_seconds / 86400)::numeric, 2) AS p90_days FROM lifecycle_flow(:'past');
SELECT path, agents, share, median_seconds / 86400 AS days FROM lifecycle_variants(:'past');
SELECT state, agents, conversion_from_start AS from_start, round(conversion_from_previous::numeric, 2) AS from_previous, median_seconds_from_start / 86400 AS days
FROM promotion_funnel(:'past');
SELECT agent_name, from_state, back_to, seconds_there / 86400 AS days FROM lifecycle_bounce_backs(:'past');
SELECT seconds / 86400 AS days, at_risk, events, censored, survival FROM state_survival(:'past', 'draft') WHERE events > 0;
SELECT * FROM state_survival(:'past', 'nowhere'); :sqlstate
SELECT lifecycle_mermaid(:'past');
SELECT agent_name, state, started_at, ended_at, duration_seconds, next_state FROM agent_state_periods
WHERE workspace_id = :'past' AND agent_name = 'a1' AND NOT is_current ORDER BY sequence;
SELECT count(*) AS anomalous FROM anomalous_transitions(:'past', 'all');
-- The time in all states adds up to the time that has passed.
SELECT bool_and(abs(d.seconds - extract(epoch FROM now() - '2026-01-01')) < 0.001) AS adds_up
FROM (SELECT sum(p.duration_seconds) AS seconds FROM agent_state_periods AS p WHERE p.workspace_id = :'past' GROUP BY p.agent_id) AS d;

------------------------------------------------------------------------------------------------------------------------
-- Dependencies, health, retirement, the whole picture
------------------------------------------------------------------------------------------------------------------------
INSERT INTO agent_dependencies (workspace_id, agent_id, depends_on_agent_id)
SELECT :'past', agent_id(:'past', a), agent_id(:'past', b) FROM (VALUES ('a1', 'a2'), ('a2', 'a3')) AS d (a, b);
CALL regress.watch();
INSERT INTO agent_dependencies (workspace_id, agent_id, depends_on_agent_id)
VALUES (:'past', agent_id(:'past', 'a3'), agent_id(:'past', 'a1')); :refused
INSERT INTO agent_dependencies (workspace_id, agent_id, depends_on_agent_id)
VALUES (:'past', agent_id(:'past', 'a4'), agent_id(:'past', 'a4')); :refused
INSERT INTO agent_dependencies (workspace_id, agent_id, depends_on_agent_id)
VALUES (:'past', agent_id(:'past', 'a4'), agent_id(:'past', 'a5')); :sqlstate

SELECT agent_name, lifecycle_state, round(score::numeric, 1) AS score, round(performance::numeric, 1) AS performance,
       round(reliability::numeric, 1) AS reliability, round(usage::numeric, 1) AS usage, round(maintenance::numeric, 1) AS maintenance,
       round(cost::numeric, 1) AS cost, trend, reasons
FROM agent_health(:'life') ORDER BY agent_name;
SELECT record_agent_health(:'life') AS recorded, record_agent_health(:'life') AS again;
SELECT count(*) AS stored FROM agent_health_daily;

UPDATE agents SET created_at = now() - interval '100 days' WHERE workspace_id = :'past';
BEGIN;
INSERT INTO agents (workspace_id, agent_id, name, lifecycle_state, created_at)
VALUES (:'past', agent_id(:'past', 'old'), 'old', 'production', now() - interval '100 days');
INSERT INTO agent_dependencies (workspace_id, agent_id, depends_on_agent_id) VALUES (:'past', agent_id(:'past', 'a1'), agent_id(:'past', 'old'));
SELECT agent_name, priority, round(idle_days) AS idle, dependents, dependent_names, has_owner, reasons FROM retirement_candidates(:'past');
SELECT count(*) FILTER (WHERE priority = 'low') AS low FROM retirement_candidates(:'past', 365, 10, 200, 50, 30);
SELECT * FROM retirement_candidates(:'past', 30, 10, 60); :sqlstate
ROLLBACK;

SELECT jsonb_object_agg(key, CASE jsonb_typeof(value) WHEN 'array' THEN jsonb_array_length(value) || ' items' ELSE jsonb_typeof(value) END)
FROM jsonb_each(agent_lifecycle(:'life', :'bot'));
SELECT agent_name, lifecycle_state, event_count, stable_version, deployed_version, health_score IS NOT NULL AS healthy
FROM agent_lifecycle_status WHERE workspace_id = :'life' ORDER BY agent_name;
SELECT event_type, from_state, to_state, version FROM agent_lifecycle_history WHERE agent_id = :'bot' ORDER BY occurred_at, event_type, version;
SELECT agent_lifecycle(:'life', NULL); :sqlstate
DELETE FROM workspaces WHERE workspace_id IN (:'life', :'past');
SELECT count(*) AS left_over FROM agent_lifecycle_events WHERE workspace_id IN (:'life', :'past');
DROP TABLE public.lamp, public.tie;
