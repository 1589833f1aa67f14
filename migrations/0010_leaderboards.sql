-- Leaderboards: the boards as of their last refresh, who stood where on which day, achievements, and choices.
--
-- The boards have no foreign keys: millions of rows are written at once, and those of a workspace or an agent that is
-- gone go with the next refresh. The key begins like every question, so that it is the only index: rank is a part of it.

CREATE TABLE analytics.agent_leaderboard (
    workspace_id        uuid             NOT NULL,
    timeframe           text             NOT NULL,
    criteria            text             NOT NULL,
    agent_id            uuid             NOT NULL,
    rank                bigint           NOT NULL,
    previous_rank       bigint,
    rank_change         text             NOT NULL,
    score               double precision NOT NULL,
    percentile          double precision NOT NULL,
    badge               text,
    total_runs          bigint           NOT NULL,
    successful_runs     bigint           NOT NULL,
    success_rate        double precision,
    p50_runtime_seconds double precision,
    credits_consumed    numeric          NOT NULL,
    unique_users        bigint           NOT NULL,
    calculated_at       timestamptz      NOT NULL,
    CONSTRAINT agent_leaderboard_pkey PRIMARY KEY (workspace_id, timeframe, criteria, rank, agent_id)
);
COMMENT ON TABLE  analytics.agent_leaderboard IS 'Boards of the agents of each workspace, as of the last refresh_leaderboards() that found a change; rank_agents() is up to date at any time. One row per timeframe, criteria and agent.';
COMMENT ON COLUMN analytics.agent_leaderboard.workspace_id IS 'Workspace of the agents.';
COMMENT ON COLUMN analytics.agent_leaderboard.timeframe IS '24h, 7d, 30d, 90d or all.';
COMMENT ON COLUMN analytics.agent_leaderboard.criteria IS 'runs, success_rate, speed, efficiency or popularity.';
COMMENT ON COLUMN analytics.agent_leaderboard.agent_id IS 'The agent.';
COMMENT ON COLUMN analytics.agent_leaderboard.rank IS 'Competition rank: one more than the number of agents with a higher score. Equal scores have equal ranks.';
COMMENT ON COLUMN analytics.agent_leaderboard.previous_rank IS 'Rank on this board before it last changed; NULL when the agent was not on it.';
COMMENT ON COLUMN analytics.agent_leaderboard.rank_change IS 'up (the rank is a smaller number than before), down, same or new.';
COMMENT ON COLUMN analytics.agent_leaderboard.score IS 'What the board ranks by; its formula is in explain_score().';
COMMENT ON COLUMN analytics.agent_leaderboard.percentile IS 'Percentage of the other agents on the board with a lower score, plus half of those with the same one.';
COMMENT ON COLUMN analytics.agent_leaderboard.badge IS 'gold, silver or bronze for ranks 1 to 3 with a score above zero; NULL otherwise.';
COMMENT ON COLUMN analytics.agent_leaderboard.total_runs IS 'Runs that started in the timeframe.';
COMMENT ON COLUMN analytics.agent_leaderboard.successful_runs IS 'Those that completed.';
COMMENT ON COLUMN analytics.agent_leaderboard.success_rate IS 'Completed runs over finished ones, 0 to 1, the plain proportion; NULL when none has finished.';
COMMENT ON COLUMN analytics.agent_leaderboard.p50_runtime_seconds IS 'Median runtime in seconds; NULL without a runtime.';
COMMENT ON COLUMN analytics.agent_leaderboard.credits_consumed IS 'Credits of the runs.';
COMMENT ON COLUMN analytics.agent_leaderboard.unique_users IS 'Different users; an estimate above some 1,500.';
COMMENT ON COLUMN analytics.agent_leaderboard.calculated_at IS 'When this row was computed.';

CREATE TABLE analytics.user_leaderboard (
    workspace_id     uuid             NOT NULL,
    timeframe        text             NOT NULL,
    criteria         text             NOT NULL,
    user_id          uuid             NOT NULL,
    rank             bigint           NOT NULL,
    previous_rank    bigint,
    rank_change      text             NOT NULL,
    score            double precision NOT NULL,
    percentile       double precision NOT NULL,
    achievements     jsonb            NOT NULL,
    total_runs       bigint           NOT NULL,
    successful_runs  bigint           NOT NULL,
    success_rate     double precision,
    credits_consumed numeric          NOT NULL,
    credits_saved    double precision NOT NULL,
    calculated_at    timestamptz      NOT NULL,
    CONSTRAINT user_leaderboard_pkey PRIMARY KEY (workspace_id, timeframe, criteria, rank, user_id)
);
COMMENT ON TABLE  analytics.user_leaderboard IS 'Boards of the users of each workspace, as of the last refresh_leaderboards() that found a change; rank_users() is up to date at any time. One row per timeframe, criteria and user.';
COMMENT ON COLUMN analytics.user_leaderboard.workspace_id IS 'Workspace in which the users work.';
COMMENT ON COLUMN analytics.user_leaderboard.timeframe IS '24h, 7d, 30d, 90d or all.';
COMMENT ON COLUMN analytics.user_leaderboard.criteria IS 'activity, efficiency, contribution or savings.';
COMMENT ON COLUMN analytics.user_leaderboard.user_id IS 'The user.';
COMMENT ON COLUMN analytics.user_leaderboard.rank IS 'Competition rank: one more than the number of users with a higher score. Equal scores have equal ranks.';
COMMENT ON COLUMN analytics.user_leaderboard.previous_rank IS 'Rank on this board before it last changed; NULL when the user was not on it.';
COMMENT ON COLUMN analytics.user_leaderboard.rank_change IS 'up (the rank is a smaller number than before), down, same or new.';
COMMENT ON COLUMN analytics.user_leaderboard.score IS 'What the board ranks by; its formula is in explain_score().';
COMMENT ON COLUMN analytics.user_leaderboard.percentile IS 'Percentage of the other users on the board with a lower score, plus half of those with the same one.';
COMMENT ON COLUMN analytics.user_leaderboard.achievements IS 'Array of the achievements that the user had: objects with achievement, title and achieved_on, the earliest first.';
COMMENT ON COLUMN analytics.user_leaderboard.total_runs IS 'Runs of the user that started in the timeframe.';
COMMENT ON COLUMN analytics.user_leaderboard.successful_runs IS 'Those that completed.';
COMMENT ON COLUMN analytics.user_leaderboard.success_rate IS 'Completed runs over finished ones, 0 to 1, the plain proportion; NULL when none has finished.';
COMMENT ON COLUMN analytics.user_leaderboard.credits_consumed IS 'Credits of the runs.';
COMMENT ON COLUMN analytics.user_leaderboard.credits_saved IS 'Credits that the same runs would have cost at the average price of each agent, less what they did cost.';
COMMENT ON COLUMN analytics.user_leaderboard.calculated_at IS 'When this row was computed.';

CREATE TABLE analytics.workspace_leaderboard (
    workspace_id     uuid             NOT NULL,
    timeframe        text             NOT NULL,
    criteria         text             NOT NULL,
    rank             bigint           NOT NULL,
    previous_rank    bigint,
    rank_change      text             NOT NULL,
    score            double precision NOT NULL,
    percentile       double precision NOT NULL,
    tier             text             NOT NULL,
    board_size       bigint           NOT NULL,
    total_runs       bigint           NOT NULL,
    successful_runs  bigint           NOT NULL,
    success_rate     double precision,
    credits_consumed numeric          NOT NULL,
    active_agents    bigint           NOT NULL,
    calculated_at    timestamptz      NOT NULL,
    CONSTRAINT workspace_leaderboard_pkey PRIMARY KEY (workspace_id, timeframe, criteria)
);
COMMENT ON TABLE  analytics.workspace_leaderboard IS 'Boards of all workspaces, as of the last refresh_leaderboards() that found a change. Whoever reads it sees the rows of their own workspaces; rank_workspaces() shows whole boards, the others without a name.';
COMMENT ON COLUMN analytics.workspace_leaderboard.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.workspace_leaderboard.timeframe IS '24h, 7d, 30d, 90d or all.';
COMMENT ON COLUMN analytics.workspace_leaderboard.criteria IS 'activity, efficiency, growth or innovation.';
COMMENT ON COLUMN analytics.workspace_leaderboard.rank IS 'Competition rank: one more than the number of workspaces with a higher score. Equal scores have equal ranks.';
COMMENT ON COLUMN analytics.workspace_leaderboard.previous_rank IS 'Rank on this board before it last changed; NULL when the workspace was not on it.';
COMMENT ON COLUMN analytics.workspace_leaderboard.rank_change IS 'up (the rank is a smaller number than before), down, same or new.';
COMMENT ON COLUMN analytics.workspace_leaderboard.score IS 'What the board ranks by; its formula is in explain_score().';
COMMENT ON COLUMN analytics.workspace_leaderboard.percentile IS 'Percentage of the other workspaces on the board with a lower score, plus half of those with the same one.';
COMMENT ON COLUMN analytics.workspace_leaderboard.tier IS 'By percentile: platinum from 95, gold from 80, silver from 60, else bronze.';
COMMENT ON COLUMN analytics.workspace_leaderboard.board_size IS 'Workspaces on the board.';
COMMENT ON COLUMN analytics.workspace_leaderboard.total_runs IS 'Runs that started in the timeframe.';
COMMENT ON COLUMN analytics.workspace_leaderboard.successful_runs IS 'Those that completed.';
COMMENT ON COLUMN analytics.workspace_leaderboard.success_rate IS 'Completed runs over finished ones, 0 to 1, the plain proportion; NULL when none has finished.';
COMMENT ON COLUMN analytics.workspace_leaderboard.credits_consumed IS 'Credits of the runs.';
COMMENT ON COLUMN analytics.workspace_leaderboard.active_agents IS 'Agents that ran in the timeframe.';
COMMENT ON COLUMN analytics.workspace_leaderboard.calculated_at IS 'When this row was computed.';

-- One row for a board and a day: an array is a tenth of the size of as many rows.
CREATE TABLE analytics.leaderboard_history (
    workspace_id uuid               NOT NULL,
    board        text               NOT NULL,
    timeframe    text               NOT NULL,
    criteria     text               NOT NULL,
    captured_on  date               NOT NULL,
    board_size   bigint             NOT NULL,
    entity_ids   uuid[]             NOT NULL,
    ranks        bigint[]           NOT NULL,
    scores       double precision[] NOT NULL,
    CONSTRAINT leaderboard_history_pkey PRIMARY KEY (workspace_id, board, timeframe, criteria, captured_on)
);
COMMENT ON TABLE  analytics.leaderboard_history IS 'Boards at the end of each UTC day on which they changed; rank_history() reads it.';
COMMENT ON COLUMN analytics.leaderboard_history.workspace_id IS 'Workspace whose board it is; of the boards of workspaces, each has its own row.';
COMMENT ON COLUMN analytics.leaderboard_history.board IS 'agent, user or workspace.';
COMMENT ON COLUMN analytics.leaderboard_history.timeframe IS '24h, 7d, 30d, 90d or all.';
COMMENT ON COLUMN analytics.leaderboard_history.criteria IS 'What the board ranks by.';
COMMENT ON COLUMN analytics.leaderboard_history.captured_on IS 'UTC day.';
COMMENT ON COLUMN analytics.leaderboard_history.board_size IS 'Entities on the board.';
COMMENT ON COLUMN analytics.leaderboard_history.entity_ids IS 'Agents or users in the order of the board; for a workspace only itself.';
COMMENT ON COLUMN analytics.leaderboard_history.ranks IS 'Their ranks, in the same order.';
COMMENT ON COLUMN analytics.leaderboard_history.scores IS 'Their scores, in the same order.';

CREATE TABLE analytics.leaderboard_settings (
    workspace_id uuid        NOT NULL,
    minimum_runs integer     NOT NULL DEFAULT 1,
    shows_name   boolean     NOT NULL DEFAULT false,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT leaderboard_settings_pkey PRIMARY KEY (workspace_id),
    CONSTRAINT leaderboard_settings_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE,
    CONSTRAINT leaderboard_settings_minimum_check CHECK (
        minimum_runs >= 0
        OR analytics_internal.refuse('minimum_runs', minimum_runs::text, 'it is below zero',
            'Give the least number of runs that an estimate must rest on; 1 is the default.'))
);
COMMENT ON TABLE  analytics.leaderboard_settings IS 'Choices of a workspace about its boards; one without a row has the defaults. Written by set_leaderboard_options().';
COMMENT ON COLUMN analytics.leaderboard_settings.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics.leaderboard_settings.minimum_runs IS 'Least number of runs behind a success rate, a speed or an efficiency; who has fewer is not on that board.';
COMMENT ON COLUMN analytics.leaderboard_settings.shows_name IS 'Whether other workspaces see the name of this one on the boards of workspaces.';
COMMENT ON COLUMN analytics.leaderboard_settings.updated_at IS 'When it was chosen.';

CREATE TABLE analytics_internal.achievement_rules (
    achievement text    NOT NULL,
    title       text    NOT NULL,
    description text    NOT NULL,
    measure     text    NOT NULL,
    threshold   numeric NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    CONSTRAINT achievement_rules_pkey PRIMARY KEY (achievement),
    CONSTRAINT achievement_rules_measure_check CHECK (
        measure IN ('runs', 'successes', 'active_days', 'streak_days', 'agents', 'saved_credits')
        OR analytics_internal.refuse('measure', measure, 'nothing of that name is measured',
            'Use one of runs, successes, active_days, streak_days, agents, saved_credits.')),
    CONSTRAINT achievement_rules_threshold_check CHECK (
        threshold > 0 AND threshold < 'Infinity'
        OR analytics_internal.refuse('threshold', threshold::text, 'it is not a number above zero',
            'Give what a user must have reached, such as 100 runs.'))
);
COMMENT ON TABLE  analytics_internal.achievement_rules IS 'What users are given achievements for, in every workspace. The owner of the tables adds rows and switches them off.';
COMMENT ON COLUMN analytics_internal.achievement_rules.achievement IS 'Key, such as ten_day_streak.';
COMMENT ON COLUMN analytics_internal.achievement_rules.title IS 'Name for people.';
COMMENT ON COLUMN analytics_internal.achievement_rules.description IS 'What it is for.';
COMMENT ON COLUMN analytics_internal.achievement_rules.measure IS 'What is counted, over all time: runs, successes, active_days (UTC days with a run), streak_days (such days in a row), agents (different ones), saved_credits (as in the criterion savings, day by day).';
COMMENT ON COLUMN analytics_internal.achievement_rules.threshold IS 'How much of it is needed.';
COMMENT ON COLUMN analytics_internal.achievement_rules.is_active IS 'Whether it is still given.';
INSERT INTO analytics_internal.achievement_rules (achievement, title, description, measure, threshold) VALUES
    ('first_run',           'First run',            'Started a run.',                                    'runs',          1),
    ('first_100_runs',      'First 100 runs',       'Started 100 runs.',                                 'runs',          100),
    ('first_1000_runs',     'First 1,000 runs',     'Started 1,000 runs.',                               'runs',          1000),
    ('hundred_successes',   '100 successes',        '100 runs completed.',                               'successes',     100),
    ('ten_day_streak',      'Ten-day streak',       'A run on ten days in a row.',                       'streak_days',   10),
    ('thirty_active_days',  '30 active days',       'A run on 30 days.',                                 'active_days',   30),
    ('explorer',            'Explorer',             'Used five different agents.',                       'agents',        5),
    ('cost_saver',          'Cost saver',           'Saved 100 credits against the average of the day.', 'saved_credits', 100);

CREATE TABLE analytics.user_achievements (
    workspace_id uuid        NOT NULL,
    user_id      uuid        NOT NULL,
    achievement  text        NOT NULL,
    title        text        NOT NULL,
    achieved_on  date        NOT NULL,
    awarded_at   timestamptz NOT NULL,
    CONSTRAINT user_achievements_pkey PRIMARY KEY (workspace_id, user_id, achievement),
    CONSTRAINT user_achievements_workspace_id_fkey FOREIGN KEY (workspace_id)
        REFERENCES analytics.workspaces (workspace_id) ON DELETE CASCADE
);
COMMENT ON TABLE  analytics.user_achievements IS 'Achievements of users, each awarded once and kept, by refresh_leaderboards().';
COMMENT ON COLUMN analytics.user_achievements.workspace_id IS 'Workspace in which it was achieved.';
COMMENT ON COLUMN analytics.user_achievements.user_id IS 'The user.';
COMMENT ON COLUMN analytics.user_achievements.achievement IS 'Which: a key of analytics_internal.achievement_rules.';
COMMENT ON COLUMN analytics.user_achievements.title IS 'Its name for people, as the rule had it.';
COMMENT ON COLUMN analytics.user_achievements.achieved_on IS 'UTC day on which the threshold was reached.';
COMMENT ON COLUMN analytics.user_achievements.awarded_at IS 'When it was noticed.';

CREATE TABLE analytics_internal.leaderboard_state (
    workspace_id uuid        NOT NULL,
    window_end   timestamptz NOT NULL,
    minimum_runs integer     NOT NULL,
    refreshed_at timestamptz NOT NULL,
    CONSTRAINT leaderboard_state_pkey PRIMARY KEY (workspace_id)
);
COMMENT ON TABLE  analytics_internal.leaderboard_state IS 'What the boards of each workspace were computed from.';
COMMENT ON COLUMN analytics_internal.leaderboard_state.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics_internal.leaderboard_state.window_end IS 'End of the windows.';
COMMENT ON COLUMN analytics_internal.leaderboard_state.minimum_runs IS 'The setting of the same name.';
COMMENT ON COLUMN analytics_internal.leaderboard_state.refreshed_at IS 'When they were computed.';

-- No key: whoever writes rollups must not wait for whoever refreshes boards.
CREATE TABLE analytics_internal.leaderboard_changes (
    workspace_id uuid NOT NULL
);
-- So that rows can be removed where a publication has all tables.
ALTER TABLE analytics_internal.leaderboard_changes REPLICA IDENTITY FULL;
COMMENT ON TABLE  analytics_internal.leaderboard_changes IS 'Workspaces whose rollups have changed since their boards were computed. Written by triggers of the daily rollups, removed by refresh_leaderboards().';
COMMENT ON COLUMN analytics_internal.leaderboard_changes.workspace_id IS 'The workspace.';

-- What the boards of workspaces compare, so that a change of one workspace does not read all others.
CREATE TABLE analytics_internal.workspace_inputs (
    workspace_id     uuid             NOT NULL,
    timeframe_number integer          NOT NULL,
    total_runs       bigint           NOT NULL,
    finished_runs    bigint           NOT NULL,
    successful_runs  bigint           NOT NULL,
    timed_runs       bigint           NOT NULL,
    current_runs     bigint           NOT NULL,
    previous_runs    bigint           NOT NULL,
    active_agents    bigint           NOT NULL,
    new_agents       bigint           NOT NULL,
    total_seconds    double precision NOT NULL,
    credits_consumed numeric          NOT NULL,
    CONSTRAINT workspace_inputs_pkey PRIMARY KEY (workspace_id, timeframe_number)
);
COMMENT ON TABLE  analytics_internal.workspace_inputs IS 'What each workspace did in each timeframe, as of the last refresh of its boards.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.workspace_id IS 'The workspace.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.timeframe_number IS '1 to 5 for 24h, 7d, 30d, 90d and all.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.total_runs IS 'Runs that started.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.finished_runs IS 'Runs that completed, failed, timed out or were cancelled.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.successful_runs IS 'Runs that completed.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.timed_runs IS 'Runs with a runtime.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.current_runs IS 'Runs of the timeframe; for all, of the last 90 days.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.previous_runs IS 'Runs in the time of the same length before that.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.active_agents IS 'Agents with a run.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.new_agents IS 'Those that had none before.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.total_seconds IS 'Sum of the runtimes in seconds.';
COMMENT ON COLUMN analytics_internal.workspace_inputs.credits_consumed IS 'Credits of the runs.';

CREATE TRIGGER note_inserted AFTER INSERT ON analytics.agent_performance_daily REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_updated AFTER UPDATE ON analytics.agent_performance_daily REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_deleted AFTER DELETE ON analytics.agent_performance_daily REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_inserted AFTER INSERT ON analytics.user_usage_daily REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_updated AFTER UPDATE ON analytics.user_usage_daily REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_deleted AFTER DELETE ON analytics.user_usage_daily REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_truncated AFTER TRUNCATE ON analytics.agent_performance_daily
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();
CREATE TRIGGER note_truncated AFTER TRUNCATE ON analytics.user_usage_daily
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.note_board_changes();

SELECT analytics_internal.hide_values('analytics.user_achievements', 'title');
SELECT analytics_internal.hide_values('analytics.user_leaderboard', 'achievements');
SELECT analytics_internal.protect_table('analytics.agent_leaderboard',     'viewer', NULL,    NULL);
SELECT analytics_internal.protect_table('analytics.user_leaderboard',      'viewer', NULL,    NULL);
SELECT analytics_internal.protect_table('analytics.workspace_leaderboard', 'viewer', NULL,    NULL);
SELECT analytics_internal.protect_table('analytics.leaderboard_history',   'viewer', NULL,    NULL);
SELECT analytics_internal.protect_table('analytics.leaderboard_settings',  'viewer', 'admin', 'admin');
SELECT analytics_internal.protect_table('analytics.user_achievements',     'viewer', NULL,    NULL);

-- Nobody's but the owner's.
ALTER TABLE analytics_internal.leaderboard_state ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics_internal.leaderboard_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics_internal.workspace_inputs ENABLE ROW LEVEL SECURITY;
