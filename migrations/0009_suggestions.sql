-- Errors that are the same, rules for suggestions, and what became of each suggestion.

-- Computed when a row is written: reading it needs no right on the message, and no time.
ALTER TABLE analytics.agent_errors ADD COLUMN error_fingerprint text NOT NULL
    GENERATED ALWAYS AS (analytics_internal.error_fingerprint(error_type, error_category, error_message)) STORED;
COMMENT ON COLUMN analytics.agent_errors.error_fingerprint IS 'The same for errors of one type, category and message but for ids, numbers and personal data: 16 hexadecimal digits; message_pattern() says what of a message counts. Computed by the database.';
SELECT analytics_internal.hide_values('analytics.agent_errors', 'error_fingerprint');
-- When an error was first and last seen, whenever that was.
CREATE INDEX agent_errors_fingerprint_idx ON analytics.agent_errors (workspace_id, error_fingerprint, occurred_at);

-- Of the whole installation: rules name measures, and hold nothing of any workspace.
CREATE TABLE analytics.suggestion_rules (
    rule_name       text             NOT NULL PRIMARY KEY,
    suggestion_type text             NOT NULL,
    metric          text             NOT NULL,
    divided_by      text,
    operator        text             NOT NULL,
    threshold       double precision NOT NULL,
    guard_metric    text,
    guard_operator  text,
    guard_threshold double precision,
    min_runs        bigint           NOT NULL DEFAULT 50,
    title           text             NOT NULL,
    description     text             NOT NULL,
    impact          text             NOT NULL,
    effort_level    text             NOT NULL DEFAULT 'medium',
    priority        smallint         NOT NULL DEFAULT 5,
    enabled         boolean          NOT NULL DEFAULT true,
    CONSTRAINT suggestion_rules_type_check CHECK (
        suggestion_type IN ('performance', 'cost', 'reliability', 'user_experience')
        OR analytics_internal.refuse('suggestion_type', suggestion_type, 'it is not a type of suggestion',
            'Use one of performance, cost, reliability, user_experience.')),
    CONSTRAINT suggestion_rules_metric_check CHECK (
        coalesce(metric = ANY (analytics_internal.suggestion_metrics())
            AND (divided_by IS NULL OR divided_by = ANY (analytics_internal.suggestion_metrics()))
            AND (guard_metric IS NULL OR guard_metric = ANY (analytics_internal.suggestion_metrics())), true)
        OR analytics_internal.refuse('metric', concat_ws(', ', metric, divided_by, guard_metric), 'it is not a measure of agents',
            'SELECT unnest(analytics_internal.suggestion_metrics()) lists the measures.')),
    CONSTRAINT suggestion_rules_operator_check CHECK (
        coalesce(operator IN ('>', '>=', '<', '<=') AND coalesce(guard_operator IN ('>', '>=', '<', '<='), true), true)
        OR analytics_internal.refuse('operator', concat_ws(', ', operator, guard_operator), 'it is not a comparison',
            'Use one of >, >=, <, <=.')),
    CONSTRAINT suggestion_rules_guard_check CHECK (
        num_nulls(guard_metric, guard_operator, guard_threshold) IN (0, 3)
        OR analytics_internal.refuse('guard_metric', concat_ws(', ', guard_metric, guard_operator, guard_threshold),
            'a guard has a measure, a comparison and a threshold', 'Give all three, or none.')),
    CONSTRAINT suggestion_rules_threshold_check CHECK (
        coalesce(threshold > '-Infinity' AND threshold < 'Infinity', true)
        OR analytics_internal.refuse('threshold', threshold::text, 'it is not a number', 'Give a finite number.')),
    CONSTRAINT suggestion_rules_effort_check CHECK (
        effort_level IN ('low', 'medium', 'high')
        OR analytics_internal.refuse('effort_level', effort_level, 'it is not a level of effort',
            'Use one of low, medium, high.')),
    CONSTRAINT suggestion_rules_priority_check CHECK (
        priority BETWEEN 1 AND 10
        OR analytics_internal.refuse('priority', priority::text, 'a priority lies between 1 and 10',
            'Use 1 (least urgent) to 10 (most urgent).'))
);
COMMENT ON TABLE  analytics.suggestion_rules IS 'Rules that refresh_suggestions() applies to every agent: a measure, perhaps divided by another, against a threshold. Change, add or disable rules as you like; setup() leaves them alone. For the owner of the tables.';
COMMENT ON COLUMN analytics.suggestion_rules.rule_name IS 'Name of the rule.';
COMMENT ON COLUMN analytics.suggestion_rules.suggestion_type IS 'What it is about: performance, cost, reliability or user_experience.';
COMMENT ON COLUMN analytics.suggestion_rules.metric IS 'Measure that is compared, one of analytics_internal.suggestion_metrics(); docs/suggestions.md defines each.';
COMMENT ON COLUMN analytics.suggestion_rules.divided_by IS 'Measure that metric is divided by; NULL for metric itself.';
COMMENT ON COLUMN analytics.suggestion_rules.operator IS 'Comparison with the threshold: >, >=, < or <=.';
COMMENT ON COLUMN analytics.suggestion_rules.threshold IS 'Where the rule begins to hold, in the unit of the measure.';
COMMENT ON COLUMN analytics.suggestion_rules.guard_metric IS 'A second measure that has to hold as well; NULL for none.';
COMMENT ON COLUMN analytics.suggestion_rules.guard_operator IS 'Comparison of the second measure; NULL for none.';
COMMENT ON COLUMN analytics.suggestion_rules.guard_threshold IS 'Threshold of the second measure; NULL for none.';
COMMENT ON COLUMN analytics.suggestion_rules.min_runs IS 'Runs in the 30 days below which the rule says nothing.';
COMMENT ON COLUMN analytics.suggestion_rules.title IS 'The suggestion in one line.';
COMMENT ON COLUMN analytics.suggestion_rules.description IS 'Why, and what to do. {measure} is replaced by its value, {measure%} by its value in percent.';
COMMENT ON COLUMN analytics.suggestion_rules.impact IS 'Expected effect, with figures in the same way.';
COMMENT ON COLUMN analytics.suggestion_rules.effort_level IS 'low, medium or high.';
COMMENT ON COLUMN analytics.suggestion_rules.priority IS '1 (least urgent) to 10 (most urgent).';
COMMENT ON COLUMN analytics.suggestion_rules.enabled IS 'Whether the rule is applied. Suggestions of a disabled rule are archived.';

ALTER TABLE analytics.agent_optimization_suggestions
    ADD COLUMN rule_name       text,
    ADD COLUMN metric_value    double precision,
    ADD COLUMN threshold       double precision,
    ADD COLUMN closed_at       timestamptz;
COMMENT ON COLUMN analytics.agent_optimization_suggestions.rule_name IS 'Rule of suggestion_rules that made it; NULL when a person did.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.metric_value IS 'Value of the rule''s measure when it last held.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.threshold IS 'What the value was compared with.';
COMMENT ON COLUMN analytics.agent_optimization_suggestions.closed_at IS 'When the rule stopped to hold and the suggestion was archived; NULL otherwise.';
-- At most one open suggestion of a rule and agent.
CREATE UNIQUE INDEX agent_optimization_suggestions_rule_key
    ON analytics.agent_optimization_suggestions (workspace_id, agent_id, rule_name) WHERE status = 'active';

INSERT INTO analytics.suggestion_rules
    (rule_name, suggestion_type, metric, divided_by, operator, threshold, guard_metric, guard_operator, guard_threshold,
     min_runs, title, description, impact, effort_level, priority)
VALUES
    ('high_failure_rate', 'reliability', 'failure_rate', NULL, '>', 0.05, NULL, NULL, NULL, 50,
     'Reduce failures', '{failure_rate%} of the finished runs failed or timed out. error_patterns() shows what they have in common.',
     'Up to {unsuccessful_runs} more runs in 30 days end well; about {wasted_credits} credits go into runs that do not.', 'medium', 8),
    ('high_cost_per_run', 'cost', 'credits_per_run', 'workspace_credits_per_run', '>', 2, NULL, NULL, NULL, 50,
     'Bring the cost of a run down', 'A run costs {credits_per_run} credits, while the workspace''s mean is {workspace_credits_per_run}. Look at prompts, models and retries.',
     'At twice the mean of the workspace, 30 days would cost {excess_credits} credits less.', 'medium', 7),
    ('slow_tail', 'performance', 'p95_runtime_seconds', 'p50_runtime_seconds', '>', 5, NULL, NULL, NULL, 50,
     'Tame the slowest runs', 'One run in twenty takes more than {p95_runtime_seconds} s, while the median is {p50_runtime_seconds} s. Large inputs, retries and queues make such tails: set a limit, or split the work.',
     'Runs above the 95th percentile take {p95_to_p50} times the median.', 'medium', 5),
    ('slower_than_before', 'performance', 'p95_runtime_seconds', 'previous_p95_runtime_seconds', '>', 1.5, 'previous_total_runs', '>=', 50, 50,
     'Find out what made runs slower', 'The 95th percentile went from {previous_p95_runtime_seconds} s to {p95_runtime_seconds} s within 30 days. Compare versions and models.',
     'Back at the old pace, one run in twenty ends {p95_increase_seconds} s earlier or more.', 'medium', 6),
    ('timeouts', 'reliability', 'timeout_rate', NULL, '>', 0.03, NULL, NULL, NULL, 50,
     'Reduce timeouts', '{timeout_rate%} of the finished runs hit their time limit. Raise the limit where results are still wanted, or make the work smaller.',
     'Up to {timeout_runs} more runs in 30 days end well.', 'medium', 6),
    ('timeouts_at_one_hour', 'reliability', 'timeout_peak_share', NULL, '>', 0.3, 'timeout_runs', '>=', 10, 50,
     'Move work out of the hour of timeouts', '{timeout_peak_share%} of the timeouts start in the hour from {timeout_peak_hour}:00 UTC. Something else runs then: move jobs, or add capacity.',
     'About {timeout_peak_runs} timeouts in 30 days are of that hour.', 'low', 6),
    ('useless_retries', 'cost', 'recovery_attempts', 'total_errors', '>', 2, 'recovery_rate', '<', 0.5, 50,
     'Stop retries that do not help', 'Each error is retried {attempts_per_error} times, and {recovery_rate%} of them recover. Give up earlier, or retry only what is temporary (rate limits, network).',
     '{recovery_attempts} retries in 30 days for {recovered_errors} recoveries.', 'low', 6),
    ('errors_stay', 'reliability', 'recovery_rate', NULL, '<', 0.2, 'total_errors', '>=', 20, 50,
     'Recover from errors automatically', 'Only {recovery_rate%} of {total_errors} errors were recovered without a person. Retry what is temporary, and give the agent a way round the rest.',
     '{unrecovered_errors} errors in 30 days waited for a person or were given up.', 'high', 5),
    ('rate_limits', 'reliability', 'rate_limit_errors', 'total_errors', '>', 0.2, 'rate_limit_errors', '>=', 10, 50,
     'Stay below the rate limit', '{rate_limit_errors} of {total_errors} errors are rate limits. Spread the load, queue, or ask the provider for more.',
     '{rate_limit_errors} errors in 30 days.', 'low', 7),
    ('bad_input', 'user_experience', 'validation_errors', 'total_errors', '>', 0.3, 'validation_errors', '>=', 20, 50,
     'Check inputs before the run', '{validation_errors} of {total_errors} errors are of validation. Check what users and other agents send before a run is paid for.',
     '{validation_errors} errors in 30 days.', 'low', 5),
    ('expired_credentials', 'reliability', 'auth_errors', NULL, '>=', 10, NULL, NULL, NULL, 1,
     'Renew credentials', '{auth_errors} errors are of authentication. A key or token has expired, or lacks a right.',
     '{auth_errors} errors in 30 days.', 'low', 9),
    ('critical_errors', 'reliability', 'critical_errors', NULL, '>=', 1, NULL, NULL, NULL, 1,
     'Look at critical errors', 'Errors of severity critical happened in the last 30 days. error_patterns() shows them, get_error() one of them.',
     'Critical errors in 30 days: {critical_errors}.', 'medium', 10),
    ('cheaper_model', 'cost', 'cheaper_model_saving', NULL, '>', 0.2, NULL, NULL, NULL, 50,
     'Use the cheaper model for more', 'A success costs {cheaper_model_saving%} less with the cheapest of the models in use, and its success rate is not significantly lower. model_usage() compares the models.',
     'About {cheaper_model_credits} credits in 30 days.', 'low', 8),
    ('growing_cost', 'cost', 'credits_per_run', 'previous_credits_per_run', '>', 1.3, 'previous_total_runs', '>=', 50, 50,
     'Find out what made runs dearer', 'A run cost {previous_credits_per_run} credits in the 30 days before, and {credits_per_run} now. Compare models and tokens per run.',
     'At the old price, 30 days cost {cost_increase_credits} credits less.', 'medium', 6),
    ('long_prompts', 'cost', 'prompt_tokens_per_run', 'completion_tokens_per_run', '>', 30, 'prompt_tokens_per_run', '>', 20000, 50,
     'Shorten prompts', 'A run sends {prompt_tokens_per_run} tokens and receives {completion_tokens_per_run}. Cache what repeats, retrieve less, summarise history.',
     'Half the prompt is {half_prompt_tokens} tokens less in 30 days.', 'medium', 5),
    ('feedback_falls', 'user_experience', 'rating_change', NULL, '<', -0.5, 'success_rate_change', '>', -0.02, 50,
     'Ask users what became worse', 'Ratings went from {previous_avg_rating} to {avg_rating}, while as many runs succeed as before: the answers got worse, not the runs. Read the comments, compare versions.',
     '{total_ratings} ratings in 30 days.', 'medium', 7),
    ('low_ratings', 'user_experience', 'avg_rating', NULL, '<', 3, 'total_ratings', '>=', 20, 50,
     'Improve what users rate low', 'Users rate the agent {avg_rating} of 5. Read the comments in agent_user_feedback_masked.',
     '{total_ratings} ratings in 30 days.', 'high', 6),
    ('cancelled_by_users', 'user_experience', 'cancel_rate', NULL, '>', 0.1, NULL, NULL, NULL, 50,
     'Find out why runs are cancelled', '{cancel_rate%} of the finished runs were cancelled. People who wait too long or see a wrong start give up: show progress, and ask.',
     '{cancelled_runs} runs in 30 days were given up.', 'medium', 4),
    ('success_falls', 'reliability', 'success_rate_change', NULL, '<', -0.05, 'success_rate_change_p', '<', 0.01, 50,
     'Find out what made runs fail', 'The success rate went from {previous_success_rate%} to {success_rate%} within 30 days, which is not chance. new_errors() shows what is new.',
     'At the old rate, {lost_successes} more runs in 30 days end well.', 'medium', 9),
    ('hardly_used', 'cost', 'total_runs', 'previous_total_runs', '<', 0.2, 'previous_total_runs', '>=', 100, 1,
     'Retire the agent, or tell users about it', '{total_runs} runs in 30 days, after {previous_total_runs} in the 30 days before.',
     'An agent less to look after.', 'low', 3);
