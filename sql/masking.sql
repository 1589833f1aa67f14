-- Personal data in free text: how it is masked, and who sees it unmasked.

CREATE FUNCTION analytics.mask_text(content text, max_length integer DEFAULT 200) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1000
AS 'MODULE_PATHNAME', 'mask_text_wrapper';
COMMENT ON FUNCTION analytics.mask_text(text, integer) IS
    'The text with e-mail addresses, phone and card numbers, keys, tokens and passwords replaced by words such as [email], cut to max_length characters (default 200, the last an ellipsis), masked first and cut after. NULL for NULL. It knows forms, not meanings: a name stays. Errors: 22023 max_length outside 1 to 1000000.';
COMMENT ON FUNCTION analytics_internal.mask_json_text(text, integer) IS
    'mask_json() from text to text.';
COMMENT ON FUNCTION analytics_internal.reads_everything() IS
    'Whether row security lets the caller pass, as it does for the owner of the tables, superusers and roles with BYPASSRLS. Errors: 42501 it does not, and row_security is off.';

CREATE FUNCTION analytics.mask_json(document jsonb, max_length integer DEFAULT 200) RETURNS jsonb
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN analytics_internal.mask_json_text(document::text, max_length)::jsonb;
COMMENT ON FUNCTION analytics.mask_json(jsonb, integer) IS
    'The document with every key, string and number masked as by mask_text(), each cut to max_length characters (default 200); the value of a key such as password or api_key becomes [secret]. NULL for NULL. Errors: 22023 max_length outside 1 to 1000000.';

-- Free text and documents of people and programs. No level of access may read them from the tables, because a right on
-- a column cannot depend on the row; everybody reads TABLE_masked, where the level in the workspace decides.
CREATE FUNCTION analytics_internal.personal_columns() RETURNS TABLE (table_name text, column_name text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 9
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('agent_runs', 'error_message'), ('agent_runs', 'error_stack'), ('agent_runs', 'user_feedback'),
           ('agent_runs', 'metadata'),
           ('agent_errors', 'error_message'), ('agent_errors', 'error_stack'), ('agent_errors', 'error_context'),
           ('agent_user_feedback', 'comment'),
           ('execution_queue', 'metadata')
$$;
COMMENT ON FUNCTION analytics_internal.personal_columns() IS
    'Columns of tables in schema analytics that may hold personal data: no level of access reads them but through the view TABLE_masked.';

-- Functions rather than sub-selects, which each query on runs would plan for every partition and every text: enough for
-- the planner to think of so much work that it compiles it (jit), which takes seconds.
CREATE FUNCTION analytics_internal.run_text(workspace_id uuid, run_id uuid, started_at timestamptz, column_name text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED COST 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF $4 = 'error_message' THEN
        RETURN (SELECT t.error_message FROM analytics_internal.agent_runs_texts AS t
                WHERE t.workspace_id = $1 AND t.run_id = $2 AND t.started_at = $3);
    ELSIF $4 = 'error_stack' THEN
        RETURN (SELECT t.error_stack FROM analytics_internal.agent_runs_texts AS t
                WHERE t.workspace_id = $1 AND t.run_id = $2 AND t.started_at = $3);
    ELSIF $4 = 'user_feedback' THEN
        RETURN (SELECT t.user_feedback FROM analytics_internal.agent_runs_texts AS t
                WHERE t.workspace_id = $1 AND t.run_id = $2 AND t.started_at = $3);
    END IF;
    PERFORM analytics_internal.refuse_argument('column_name', $4, 'it is not a text of a run',
        'Use one of error_message, error_stack, user_feedback.');
END
$$;
COMMENT ON FUNCTION analytics_internal.run_text(uuid, uuid, timestamptz, text) IS
    'A text of a run (error_message, error_stack or user_feedback), masked where the reader is not admin of the workspace. NULL for a run that the reader does not see. Errors: 22023 another column.';

CREATE FUNCTION analytics_internal.run_metadata(workspace_id uuid, run_id uuid, started_at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED COST 100
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN (SELECT t.metadata FROM analytics_internal.agent_runs_texts AS t
            WHERE t.workspace_id = $1 AND t.run_id = $2 AND t.started_at = $3);
END
$$;
COMMENT ON FUNCTION analytics_internal.run_metadata(uuid, uuid, timestamptz) IS
    'The metadata of a run, masked where the reader is not admin of the workspace. NULL for a run that the reader does not see.';
