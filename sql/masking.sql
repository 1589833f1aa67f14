-- Personal data in free text: what it is masked to, and who meets it unmasked.

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
