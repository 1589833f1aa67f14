-- Nine constraints become one function: Postgres parses the CHECKs of a table anew for every statement that writes to
-- it, and theirs took as long as the rest of a single-row INSERT (docs/benchmarks.md).

ALTER TABLE analytics.agent_runs
    DROP CONSTRAINT agent_runs_status_check,
    DROP CONSTRAINT agent_runs_started_at_check,
    DROP CONSTRAINT agent_runs_completed_at_check,
    DROP CONSTRAINT agent_runs_runtime_check,
    DROP CONSTRAINT agent_runs_completed_runtime_check,
    DROP CONSTRAINT agent_runs_credits_check,
    DROP CONSTRAINT agent_runs_tokens_check,
    DROP CONSTRAINT agent_runs_concurrent_runs_check,
    DROP CONSTRAINT agent_runs_user_rating_check,
    ADD CONSTRAINT agent_runs_valid_check CHECK (analytics_internal.is_valid_run(
        status, started_at, completed_at, runtime_seconds, credits_consumed, tokens_used, prompt_tokens,
        completion_tokens, concurrent_runs, user_rating));
COMMENT ON CONSTRAINT agent_runs_valid_check ON analytics.agent_runs IS
    'status is queued, running, completed, failed, cancelled or timeout; a completed run has runtime_seconds; started_at is finite, completed_at not before it and not infinite; runtime_seconds and credits_consumed are finite and zero or more; tokens and concurrent_runs are zero or more; user_rating is 1 to 5. NULL where the column allows it.';
