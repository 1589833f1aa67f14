-- The lifecycle of agents: rules, events, approvals, versions, deployments, dependencies, health.

-- Rules. A workspace without rows has the default set of the library, analytics_internal.default_lifecycle_states().
CREATE TABLE analytics.lifecycle_states (
    workspace_id uuid    NOT NULL,
    state        text    NOT NULL,
    position     integer,
    terminal     boolean NOT NULL DEFAULT false,
    description  text,
    CONSTRAINT lifecycle_states_pkey PRIMARY KEY (workspace_id, state),
    CONSTRAINT lifecycle_states_position_key UNIQUE (workspace_id, position) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT lifecycle_states_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT lifecycle_states_state_check CHECK (
        state ~ '^[a-z][a-z0-9_]{0,62}$'
        OR analytics_internal.refuse('state', state, 'it is not a name of a state',
            'Use lower-case letters, digits and _, beginning with a letter, such as in_review.'))
);
COMMENT ON TABLE  analytics.lifecycle_states IS 'States of a workspace that has rules of its own; without rows the default set holds. Written by configure_lifecycle(), read whole with lifecycle_states_of().';
COMMENT ON COLUMN analytics.lifecycle_states.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.lifecycle_states.state IS 'Name of the state. Every set has draft, in which agents begin.';
COMMENT ON COLUMN analytics.lifecycle_states.position IS 'Place on the way from draft to the end, ascending; NULL beside the way, as paused.';
COMMENT ON COLUMN analytics.lifecycle_states.terminal IS 'Whether nothing needs to follow.';
COMMENT ON COLUMN analytics.lifecycle_states.description IS 'What the state means; NULL when nobody wrote it down.';

CREATE TABLE analytics.lifecycle_transitions (
    workspace_id       uuid     NOT NULL,
    from_state         text     NOT NULL,
    to_state           text     NOT NULL,
    access_level       text     NOT NULL DEFAULT 'admin',
    required_approvals integer  NOT NULL DEFAULT 0,
    cooldown           interval NOT NULL DEFAULT '0',
    reason_required    boolean  NOT NULL DEFAULT false,
    CONSTRAINT lifecycle_transitions_pkey PRIMARY KEY (workspace_id, from_state, to_state),
    CONSTRAINT lifecycle_transitions_from_fkey FOREIGN KEY (workspace_id, from_state)
        REFERENCES analytics.lifecycle_states (workspace_id, state) ON DELETE CASCADE,
    CONSTRAINT lifecycle_transitions_to_fkey FOREIGN KEY (workspace_id, to_state)
        REFERENCES analytics.lifecycle_states (workspace_id, state) ON DELETE CASCADE,
    CONSTRAINT lifecycle_transitions_states_check CHECK (
        from_state <> to_state
        OR analytics_internal.refuse('to_state', to_state, 'a transition leads to another state',
            'Leave this transition out.')),
    CONSTRAINT lifecycle_transitions_level_check CHECK (
        access_level IN ('member', 'admin', 'owner')
        OR analytics_internal.refuse('access_level', access_level, 'it is not a level that may move agents',
            'Use one of member, admin, owner.')),
    CONSTRAINT lifecycle_transitions_approvals_check CHECK (
        required_approvals BETWEEN 0 AND 10
        OR analytics_internal.refuse('required_approvals', required_approvals::text, 'it lies outside 0 to 10',
            'Use 0 for none, or the number of people who must agree.')),
    CONSTRAINT lifecycle_transitions_cooldown_check CHECK (
        cooldown >= interval '0'
        OR analytics_internal.refuse('cooldown', cooldown::text, 'it is negative',
            'Give the least time between two entries, such as 24 hours.'))
);
CREATE INDEX lifecycle_transitions_to_idx ON analytics.lifecycle_transitions (workspace_id, to_state);
COMMENT ON TABLE  analytics.lifecycle_transitions IS 'Allowed transitions of a workspace that has rules of its own.';
COMMENT ON COLUMN analytics.lifecycle_transitions.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.lifecycle_transitions.from_state IS 'State that is left.';
COMMENT ON COLUMN analytics.lifecycle_transitions.to_state IS 'State that is entered.';
COMMENT ON COLUMN analytics.lifecycle_transitions.access_level IS 'Least level that may do it: member, admin or owner.';
COMMENT ON COLUMN analytics.lifecycle_transitions.required_approvals IS 'How many others must approve; 0 is none.';
COMMENT ON COLUMN analytics.lifecycle_transitions.cooldown IS 'Least time since the agent last entered to_state.';
COMMENT ON COLUMN analytics.lifecycle_transitions.reason_required IS 'Whether a reason must be given.';

CREATE TABLE analytics.lifecycle_guards (
    workspace_id uuid             NOT NULL,
    from_state   text             NOT NULL,
    to_state     text             NOT NULL,
    metric       text             NOT NULL,
    timeframe    text             NOT NULL DEFAULT '30d',
    threshold    double precision,
    CONSTRAINT lifecycle_guards_pkey PRIMARY KEY (workspace_id, from_state, to_state, metric, timeframe),
    CONSTRAINT lifecycle_guards_transition_fkey FOREIGN KEY (workspace_id, from_state, to_state)
        REFERENCES analytics.lifecycle_transitions (workspace_id, from_state, to_state) ON DELETE CASCADE,
    CONSTRAINT lifecycle_guards_metric_check CHECK (
        metric IN ('minimum_runs', 'success_rate', 'p95_runtime_seconds', 'cost_per_run', 'error_budget', 'avg_rating',
                   'owner_present', 'open_critical_errors', 'hours_in_state', 'health_score')
        OR analytics_internal.refuse('metric', metric, 'it is not a metric of guards',
            'Use one of minimum_runs, success_rate, p95_runtime_seconds, cost_per_run, error_budget, avg_rating, owner_present, open_critical_errors, hours_in_state, health_score.')),
    CONSTRAINT lifecycle_guards_timeframe_check CHECK (
        timeframe IN ('24h', '7d', '30d', '90d', 'all')
        OR analytics_internal.refuse('timeframe', timeframe, 'it is not a timeframe', 'Use one of 24h, 7d, 30d, 90d, all.')),
    CONSTRAINT lifecycle_guards_threshold_check CHECK (
        CASE WHEN metric = 'owner_present' THEN threshold IS NULL
             ELSE threshold IS NOT NULL AND threshold >= 0 AND threshold < 'Infinity' END
        OR analytics_internal.refuse('threshold', coalesce(threshold::text, 'NULL'), 'it does not fit the metric',
            'Give a number of zero or more; owner_present has none.'))
);
COMMENT ON TABLE  analytics.lifecycle_guards IS 'What must hold for a transition, in a workspace that has rules of its own.';
COMMENT ON COLUMN analytics.lifecycle_guards.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.lifecycle_guards.from_state IS 'State that is left.';
COMMENT ON COLUMN analytics.lifecycle_guards.to_state IS 'State that is entered.';
COMMENT ON COLUMN analytics.lifecycle_guards.metric IS 'minimum_runs (at least), success_rate (at least, 0..1), p95_runtime_seconds (at most), cost_per_run (credits, at most), error_budget (share of finished runs that failed or timed out, at most), avg_rating (at least), owner_present, open_critical_errors (at most), hours_in_state (at least), health_score (0..100, at least).';
COMMENT ON COLUMN analytics.lifecycle_guards.timeframe IS '24h, 7d, 30d, 90d or all: the runs that are looked at.';
COMMENT ON COLUMN analytics.lifecycle_guards.threshold IS 'What the metric must reach or stay within; NULL for owner_present.';

-- Checked when the transaction ends, so that rows may come in any order.
CREATE CONSTRAINT TRIGGER validate_lifecycle AFTER INSERT OR UPDATE OR DELETE ON analytics.lifecycle_states
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION analytics_internal.validate_lifecycle_row();
CREATE CONSTRAINT TRIGGER validate_lifecycle AFTER INSERT OR UPDATE OR DELETE ON analytics.lifecycle_transitions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION analytics_internal.validate_lifecycle_row();

-- What happened.
CREATE TABLE analytics.agent_lifecycle_events (
    workspace_id    uuid        NOT NULL,
    agent_id        uuid        NOT NULL,
    sequence        bigint      NOT NULL,
    event_type      text        NOT NULL,
    from_state      text,
    to_state        text        NOT NULL,
    occurred_at     timestamptz NOT NULL,
    actor_role      text        NOT NULL,
    actor_user_id   uuid,
    reason          text,
    forced          boolean     NOT NULL DEFAULT false,
    guards          jsonb       NOT NULL DEFAULT '[]',
    idempotency_key text,
    version         text,
    CONSTRAINT agent_lifecycle_events_pkey PRIMARY KEY (workspace_id, agent_id, sequence),
    CONSTRAINT agent_lifecycle_events_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT agent_lifecycle_events_type_check CHECK (
        event_type IN ('registered', 'transition')
        OR analytics_internal.refuse('event_type', event_type, 'it is not a type of event',
            'Use one of registered, transition.')),
    CONSTRAINT agent_lifecycle_events_from_check CHECK (
        event_type <> 'transition' OR from_state IS NOT NULL
        OR analytics_internal.refuse('from_state', 'NULL', 'a transition leaves a state', 'Give the state that is left.'))
);
CREATE UNIQUE INDEX agent_lifecycle_events_key_idx
    ON analytics.agent_lifecycle_events (workspace_id, agent_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX agent_lifecycle_events_time_idx ON analytics.agent_lifecycle_events (workspace_id, occurred_at DESC);
COMMENT ON TABLE  analytics.agent_lifecycle_events IS 'Every state that an agent entered. Append-only: rows go with their agent alone. The state of an agent is to_state of its last event.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.sequence IS 'Number of the event among those of its agent, from 1, without gaps.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.event_type IS 'registered: somebody said where the agent stands; transition: it was moved by the rules.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.from_state IS 'State that was left; NULL for the first event.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.to_state IS 'State that was entered.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.occurred_at IS 'When; never before the event that precedes it.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.actor_role IS 'Database role that did it.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.actor_user_id IS 'Person for whom the session spoke; NULL when only the role is known.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.reason IS 'Why; NULL when nobody said.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.forced IS 'Whether an owner passed over guards, approvals and cooldown.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.guards IS 'What the guards found: an array of objects with check, value, threshold, passes.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.idempotency_key IS 'Key of the caller by which a repeated call is known; NULL for none.';
COMMENT ON COLUMN analytics.agent_lifecycle_events.version IS 'Version of the agent that was moved; NULL when nobody said.';

CREATE TRIGGER "00_append_only" BEFORE UPDATE OR DELETE ON analytics.agent_lifecycle_events
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.keep_lifecycle_events();

-- Agents that are there begin their history with the state they have.
INSERT INTO analytics.agent_lifecycle_events
    (workspace_id, agent_id, sequence, event_type, to_state, occurred_at, actor_role)
SELECT a.workspace_id, a.agent_id, 1, 'registered', a.lifecycle_state,
       CASE WHEN isfinite(a.created_at) THEN least(a.created_at, now()) ELSE now() END, current_user
FROM analytics.agents AS a;

-- The states of a workspace may be its own: triggers say which there are.
ALTER TABLE analytics.agents DROP CONSTRAINT agents_lifecycle_state_check;
COMMENT ON COLUMN analytics.agents.lifecycle_state IS 'Current state, that of the last event of the agent: draft, testing, staging, production, paused, deprecated or archived, or a state of the workspace''s own. Changed by transition_agent() only.';
CREATE TRIGGER register_lifecycle AFTER INSERT ON analytics.agents
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.register_lifecycle();
CREATE TRIGGER keep_lifecycle AFTER UPDATE OF lifecycle_state ON analytics.agents
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.keep_lifecycle();
-- A change of state is no reason for all backends to forget which agents there are.
DROP TRIGGER forget_admitted ON analytics.agents;
CREATE TRIGGER forget_admitted AFTER UPDATE OF workspace_id, agent_id OR DELETE OR TRUNCATE ON analytics.agents
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.forget_admitted();

-- Consent.
CREATE TABLE analytics.lifecycle_requests (
    workspace_id       uuid        NOT NULL,
    request_id         uuid        NOT NULL DEFAULT gen_random_uuid(),
    agent_id           uuid        NOT NULL,
    from_state         text        NOT NULL,
    to_state           text        NOT NULL,
    reason             text        NOT NULL,
    status             text        NOT NULL DEFAULT 'pending',
    required_approvals integer     NOT NULL,
    access_level       text        NOT NULL,
    requested_by       text        NOT NULL,
    requested_user_id  uuid,
    requested_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at          timestamptz,
    CONSTRAINT lifecycle_requests_pkey PRIMARY KEY (workspace_id, request_id),
    CONSTRAINT lifecycle_requests_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT lifecycle_requests_status_check CHECK (
        status IN ('pending', 'approved', 'done', 'rejected', 'superseded')
        OR analytics_internal.refuse('status', status, 'it is not a status of a request',
            'Use one of pending, approved, done, rejected, superseded.'))
);
CREATE UNIQUE INDEX lifecycle_requests_open_idx ON analytics.lifecycle_requests (workspace_id, agent_id, to_state)
    WHERE status IN ('pending', 'approved');
COMMENT ON TABLE  analytics.lifecycle_requests IS 'Transitions that were asked for. Written by request_transition(), approve_transition() and reject_transition().';
COMMENT ON COLUMN analytics.lifecycle_requests.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.lifecycle_requests.request_id IS 'Key of the request within its workspace.';
COMMENT ON COLUMN analytics.lifecycle_requests.agent_id IS 'Agent that shall move.';
COMMENT ON COLUMN analytics.lifecycle_requests.from_state IS 'State of the agent when it was asked for.';
COMMENT ON COLUMN analytics.lifecycle_requests.to_state IS 'State that it shall enter.';
COMMENT ON COLUMN analytics.lifecycle_requests.reason IS 'Why.';
COMMENT ON COLUMN analytics.lifecycle_requests.status IS 'pending; done: approved and carried out; approved: within the transaction that carries it out; rejected; superseded: the agent went elsewhere meanwhile.';
COMMENT ON COLUMN analytics.lifecycle_requests.required_approvals IS 'How many approvals the rules asked for.';
COMMENT ON COLUMN analytics.lifecycle_requests.access_level IS 'Least level of those who approve.';
COMMENT ON COLUMN analytics.lifecycle_requests.requested_by IS 'Database role that asked.';
COMMENT ON COLUMN analytics.lifecycle_requests.requested_user_id IS 'Person for whom the session spoke; NULL when only the role is known.';
COMMENT ON COLUMN analytics.lifecycle_requests.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN analytics.lifecycle_requests.closed_at IS 'When it was done, rejected or superseded; NULL before.';

CREATE TABLE analytics.lifecycle_approvals (
    workspace_id    uuid        NOT NULL,
    request_id      uuid        NOT NULL,
    decided_by      text        NOT NULL,
    decided_user_id uuid,
    decision        text        NOT NULL,
    comment         text,
    decided_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT lifecycle_approvals_request_fkey FOREIGN KEY (workspace_id, request_id)
        REFERENCES analytics.lifecycle_requests (workspace_id, request_id) ON DELETE CASCADE,
    CONSTRAINT lifecycle_approvals_decision_check CHECK (
        decision IN ('approved', 'rejected')
        OR analytics_internal.refuse('decision', decision, 'it is not a decision', 'Use one of approved, rejected.'))
);
-- Somebody known by name decides once, also through another role.
CREATE UNIQUE INDEX lifecycle_approvals_role_idx ON analytics.lifecycle_approvals (workspace_id, request_id, decided_by)
    WHERE decided_user_id IS NULL;
CREATE UNIQUE INDEX lifecycle_approvals_user_idx ON analytics.lifecycle_approvals (workspace_id, request_id, decided_user_id)
    WHERE decided_user_id IS NOT NULL;
COMMENT ON TABLE  analytics.lifecycle_approvals IS 'Who approved or rejected a request.';
COMMENT ON COLUMN analytics.lifecycle_approvals.workspace_id IS 'Workspace of the request.';
COMMENT ON COLUMN analytics.lifecycle_approvals.request_id IS 'The request.';
COMMENT ON COLUMN analytics.lifecycle_approvals.decided_by IS 'Database role that decided.';
COMMENT ON COLUMN analytics.lifecycle_approvals.decided_user_id IS 'Person for whom the session spoke; NULL when only the role is known.';
COMMENT ON COLUMN analytics.lifecycle_approvals.decision IS 'approved or rejected.';
COMMENT ON COLUMN analytics.lifecycle_approvals.comment IS 'What was said about it.';
COMMENT ON COLUMN analytics.lifecycle_approvals.decided_at IS 'When it was decided.';

-- Versions.
CREATE TABLE analytics.agent_versions (
    workspace_id  uuid        NOT NULL,
    agent_id      uuid        NOT NULL,
    version       text        NOT NULL,
    capabilities  text[]      NOT NULL DEFAULT '{}',
    changelog     text,
    config_hash   text,
    complexity    jsonb       NOT NULL DEFAULT '{}',
    registered_by text        NOT NULL DEFAULT current_user,
    registered_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_versions_pkey PRIMARY KEY (workspace_id, agent_id, version),
    CONSTRAINT agent_versions_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT agent_versions_version_check CHECK (
        version ~ '^(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$'
        OR analytics_internal.refuse('version', version, 'it is not a semantic version',
            'Use three numbers with points between them, such as 1.4.0 or 2.0.0-rc.1.')),
    CONSTRAINT agent_versions_complexity_check CHECK (
        jsonb_typeof(complexity) = 'object' AND NOT jsonb_path_exists(complexity, '$.* ? (@.type() <> "number")')
        OR analytics_internal.refuse('complexity', complexity::text, 'it is not an object of numbers',
            'Give names and numbers, such as {"tools": 4, "prompt_tokens": 1800}.'))
);
COMMENT ON TABLE  analytics.agent_versions IS 'Versions of agents. Written by register_version().';
COMMENT ON COLUMN analytics.agent_versions.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_versions.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_versions.version IS 'Semantic version, such as 1.4.0; the runs of the version name it in agent_version.';
COMMENT ON COLUMN analytics.agent_versions.capabilities IS 'What it can do, as words.';
COMMENT ON COLUMN analytics.agent_versions.changelog IS 'What is new.';
COMMENT ON COLUMN analytics.agent_versions.config_hash IS 'Hash of its prompts and settings, by which an unchanged version is known.';
COMMENT ON COLUMN analytics.agent_versions.complexity IS 'Numbers that the team finds worth comparing, such as tools or prompt_tokens.';
COMMENT ON COLUMN analytics.agent_versions.registered_by IS 'Database role that registered it.';
COMMENT ON COLUMN analytics.agent_versions.registered_at IS 'When it was registered; lead times begin here.';

CREATE TABLE analytics.agent_version_aliases (
    workspace_id uuid        NOT NULL,
    agent_id     uuid        NOT NULL,
    alias        text        NOT NULL,
    version      text        NOT NULL,
    set_by       text        NOT NULL DEFAULT current_user,
    set_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT agent_version_aliases_pkey PRIMARY KEY (workspace_id, agent_id, alias),
    CONSTRAINT agent_version_aliases_version_fkey FOREIGN KEY (workspace_id, agent_id, version)
        REFERENCES analytics.agent_versions (workspace_id, agent_id, version) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT agent_version_aliases_alias_check CHECK (
        alias ~ '^[a-z][a-z0-9_-]{0,62}$'
        OR analytics_internal.refuse('alias', alias, 'it is not a name of an alias',
            'Use lower-case letters, digits, _ and -, such as stable or canary.'))
);
COMMENT ON TABLE  analytics.agent_version_aliases IS 'Names that point to versions, apart from states. Written by set_version_alias() and by finish_deployment(), which moves stable.';
COMMENT ON COLUMN analytics.agent_version_aliases.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_version_aliases.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_version_aliases.alias IS 'Name, such as stable or canary.';
COMMENT ON COLUMN analytics.agent_version_aliases.version IS 'Version that it points to.';
COMMENT ON COLUMN analytics.agent_version_aliases.set_by IS 'Database role that set it.';
COMMENT ON COLUMN analytics.agent_version_aliases.set_at IS 'When it was set.';

CREATE TABLE analytics.agent_deployments (
    workspace_id  uuid             NOT NULL,
    deployment_id uuid             NOT NULL DEFAULT gen_random_uuid(),
    agent_id      uuid             NOT NULL,
    version       text             NOT NULL,
    environment   text             NOT NULL DEFAULT 'production',
    strategy      text             NOT NULL DEFAULT 'direct',
    rollout_share double precision NOT NULL DEFAULT 1,
    status        text             NOT NULL DEFAULT 'in_progress',
    started_at    timestamptz      NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    rollback_of   uuid,
    rolled_back_at timestamptz,
    cause         text,
    deployed_by   text             NOT NULL DEFAULT current_user,
    CONSTRAINT agent_deployments_pkey PRIMARY KEY (workspace_id, deployment_id),
    CONSTRAINT agent_deployments_version_fkey FOREIGN KEY (workspace_id, agent_id, version)
        REFERENCES analytics.agent_versions (workspace_id, agent_id, version) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT agent_deployments_rollback_fkey FOREIGN KEY (workspace_id, rollback_of)
        REFERENCES analytics.agent_deployments (workspace_id, deployment_id) ON DELETE CASCADE,
    CONSTRAINT agent_deployments_environment_check CHECK (
        environment ~ '^[a-z][a-z0-9_-]{0,62}$'
        OR analytics_internal.refuse('environment', environment, 'it is not a name of an environment',
            'Use lower-case letters, digits, _ and -, such as production or staging.')),
    CONSTRAINT agent_deployments_strategy_check CHECK (
        strategy IN ('direct', 'canary', 'blue_green', 'rolling')
        OR analytics_internal.refuse('strategy', strategy, 'it is not a strategy of deployment',
            'Use one of direct, canary, blue_green, rolling.')),
    CONSTRAINT agent_deployments_share_check CHECK (
        rollout_share > 0 AND rollout_share <= 1
        OR analytics_internal.refuse('rollout_share', rollout_share::text, 'it is not a share of the traffic',
            'Use a number above 0 and up to 1, such as 0.1 for 10 %.')),
    CONSTRAINT agent_deployments_status_check CHECK (
        status IN ('in_progress', 'succeeded', 'failed', 'rolled_back')
        OR analytics_internal.refuse('status', status, 'it is not a status of a deployment',
            'Use one of in_progress, succeeded, failed, rolled_back.')),
    CONSTRAINT agent_deployments_times_check CHECK (
        (isfinite(started_at) AND (finished_at IS NULL OR finished_at >= started_at AND finished_at < 'infinity'))
        OR analytics_internal.refuse('finished_at', coalesce(finished_at::text, 'NULL'), 'it lies before started_at',
            'A deployment cannot finish before it starts: check the clock.')),
    CONSTRAINT agent_deployments_finished_check CHECK (
        (status = 'in_progress') = (finished_at IS NULL)
        OR analytics_internal.refuse('finished_at', coalesce(finished_at::text, 'NULL'),
            'a deployment has it when it is no longer in progress', 'Call analytics.finish_deployment().'))
);
CREATE INDEX agent_deployments_agent_idx ON analytics.agent_deployments (workspace_id, agent_id, environment, started_at DESC);
CREATE INDEX agent_deployments_time_idx ON analytics.agent_deployments (workspace_id, started_at DESC);
-- Two roll-outs of one agent at once would each take the other's errors for its own.
CREATE UNIQUE INDEX agent_deployments_open_idx ON analytics.agent_deployments (workspace_id, agent_id, environment)
    WHERE status = 'in_progress';
COMMENT ON TABLE  analytics.agent_deployments IS 'Deployments of versions. Written by deploy_version(), finish_deployment() and rollback_deployment().';
COMMENT ON COLUMN analytics.agent_deployments.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_deployments.deployment_id IS 'Key of the deployment within its workspace.';
COMMENT ON COLUMN analytics.agent_deployments.agent_id IS 'Agent that is deployed.';
COMMENT ON COLUMN analytics.agent_deployments.version IS 'Version that is deployed.';
COMMENT ON COLUMN analytics.agent_deployments.environment IS 'Where, such as production or staging.';
COMMENT ON COLUMN analytics.agent_deployments.strategy IS 'direct, canary, blue_green or rolling.';
COMMENT ON COLUMN analytics.agent_deployments.rollout_share IS 'Share of the traffic that it gets, above 0 and up to 1.';
COMMENT ON COLUMN analytics.agent_deployments.status IS 'in_progress, succeeded, failed, or rolled_back.';
COMMENT ON COLUMN analytics.agent_deployments.started_at IS 'When it started.';
COMMENT ON COLUMN analytics.agent_deployments.finished_at IS 'When it succeeded or failed; NULL while in progress.';
COMMENT ON COLUMN analytics.agent_deployments.rollback_of IS 'Deployment that this one undoes; NULL for an ordinary one.';
COMMENT ON COLUMN analytics.agent_deployments.rolled_back_at IS 'When it was undone; NULL when it was not.';
COMMENT ON COLUMN analytics.agent_deployments.cause IS 'Why it failed or was rolled back, as a word that can be counted, such as errors, latency, cost.';
COMMENT ON COLUMN analytics.agent_deployments.deployed_by IS 'Database role that deployed.';

CREATE TABLE analytics.agent_dependencies (
    workspace_id        uuid        NOT NULL,
    agent_id            uuid        NOT NULL,
    depends_on_agent_id uuid        NOT NULL,
    dependency_type     text        NOT NULL DEFAULT 'calls',
    created_at          timestamptz NOT NULL DEFAULT now(),
    ended_at            timestamptz,
    CONSTRAINT agent_dependencies_pkey PRIMARY KEY (workspace_id, agent_id, depends_on_agent_id),
    CONSTRAINT agent_dependencies_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT agent_dependencies_target_fkey FOREIGN KEY (workspace_id, depends_on_agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE
);
CREATE INDEX agent_dependencies_target_idx ON analytics.agent_dependencies (workspace_id, depends_on_agent_id);
COMMENT ON TABLE  analytics.agent_dependencies IS 'Which agent needs which other. Circles are refused.';
COMMENT ON COLUMN analytics.agent_dependencies.workspace_id IS 'Workspace of both agents.';
COMMENT ON COLUMN analytics.agent_dependencies.agent_id IS 'Agent that needs the other.';
COMMENT ON COLUMN analytics.agent_dependencies.depends_on_agent_id IS 'Agent that is needed.';
COMMENT ON COLUMN analytics.agent_dependencies.dependency_type IS 'Kind of need, free text such as calls or reads.';
COMMENT ON COLUMN analytics.agent_dependencies.created_at IS 'Since when.';
COMMENT ON COLUMN analytics.agent_dependencies.ended_at IS 'When the need ended; NULL while it lasts.';

CREATE TRIGGER refuse_circles AFTER INSERT ON analytics.agent_dependencies
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.check_dependency_circles();
CREATE TRIGGER refuse_circles_update AFTER UPDATE ON analytics.agent_dependencies
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.check_dependency_circles();

CREATE TABLE analytics.agent_health_daily (
    workspace_id    uuid             NOT NULL,
    agent_id        uuid             NOT NULL,
    day             date             NOT NULL,
    lifecycle_state text             NOT NULL,
    score           double precision,
    performance     double precision,
    reliability     double precision,
    usage           double precision,
    maintenance     double precision,
    cost            double precision,
    reasons         text[]           NOT NULL DEFAULT '{}',
    recommendations text[]           NOT NULL DEFAULT '{}',
    computed_at     timestamptz      NOT NULL DEFAULT now(),
    CONSTRAINT agent_health_daily_pkey PRIMARY KEY (workspace_id, agent_id, day),
    CONSTRAINT agent_health_daily_agent_fkey FOREIGN KEY (workspace_id, agent_id)
        REFERENCES analytics.agents (workspace_id, agent_id) ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE  analytics.agent_health_daily IS 'Health of agents, one row per agent and day (UTC). Written by record_agent_health().';
COMMENT ON COLUMN analytics.agent_health_daily.workspace_id IS 'Workspace of the agent.';
COMMENT ON COLUMN analytics.agent_health_daily.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_health_daily.day IS 'The day, in UTC.';
COMMENT ON COLUMN analytics.agent_health_daily.lifecycle_state IS 'State of the agent then.';
COMMENT ON COLUMN analytics.agent_health_daily.score IS '0 to 100; NULL when nothing was known.';
COMMENT ON COLUMN analytics.agent_health_daily.performance IS 'Component with weight 0.25, 0 to 100; NULL when nothing was known.';
COMMENT ON COLUMN analytics.agent_health_daily.reliability IS 'Component with weight 0.25.';
COMMENT ON COLUMN analytics.agent_health_daily.usage IS 'Component with weight 0.20.';
COMMENT ON COLUMN analytics.agent_health_daily.maintenance IS 'Component with weight 0.15.';
COMMENT ON COLUMN analytics.agent_health_daily.cost IS 'Component with weight 0.15.';
COMMENT ON COLUMN analytics.agent_health_daily.reasons IS 'What was poor, in words.';
COMMENT ON COLUMN analytics.agent_health_daily.recommendations IS 'What to do about it.';
COMMENT ON COLUMN analytics.agent_health_daily.computed_at IS 'When it was computed.';

SELECT analytics_internal.protect_table('analytics.lifecycle_states',       'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.lifecycle_transitions',  'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.lifecycle_guards',       'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.agent_lifecycle_events', 'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.lifecycle_requests',     'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.lifecycle_approvals',    'viewer', NULL,     NULL);
SELECT analytics_internal.protect_table('analytics.agent_versions',         'viewer', 'member', 'admin');
SELECT analytics_internal.protect_table('analytics.agent_version_aliases',  'viewer', 'admin',  'admin');
SELECT analytics_internal.protect_table('analytics.agent_deployments',      'viewer', 'admin',  'admin');
SELECT analytics_internal.protect_table('analytics.agent_dependencies',     'viewer', 'admin',  'admin');
SELECT analytics_internal.protect_table('analytics.agent_health_daily',     'viewer', 'admin',  'admin');

SELECT analytics_internal.hide_values('analytics.lifecycle_states', 'description');
SELECT analytics_internal.hide_values('analytics.agent_lifecycle_events', 'actor_role', 'reason', 'guards', 'idempotency_key');
SELECT analytics_internal.hide_values('analytics.lifecycle_requests', 'reason', 'requested_by');
SELECT analytics_internal.hide_values('analytics.lifecycle_approvals', 'decided_by', 'comment');
SELECT analytics_internal.hide_values('analytics.agent_versions', 'capabilities', 'changelog', 'config_hash', 'complexity', 'registered_by');
SELECT analytics_internal.hide_values('analytics.agent_version_aliases', 'set_by');
SELECT analytics_internal.hide_values('analytics.agent_deployments', 'cause', 'deployed_by');
SELECT analytics_internal.hide_values('analytics.agent_health_daily', 'reasons', 'recommendations');
