-- The audit log: who reads it is decided by row security, who writes it by src/audit.rs.

CREATE FUNCTION analytics_internal.keep_audit_log() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'keep_audit_log';
COMMENT ON FUNCTION analytics_internal.keep_audit_log() IS
    'Statement trigger of audit_log: refuses UPDATE, DELETE and TRUNCATE (42501), also to the owner, except for cleanup_audit_log().';

CREATE FUNCTION analytics_internal.require_keep(keep interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF keep < interval '1 day' THEN
        PERFORM analytics_internal.refuse_argument('keep', keep::text, 'it is less than a day', 'Keep entries for a day or more.');
    END IF;
    RETURN keep;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_keep(interval) IS
    'Gives the interval back, or raises 22023 when it is less than a day. NULL for NULL.';

ALTER FUNCTION analytics_internal.record_audit(text, uuid, text, text, boolean) SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION analytics_internal.record_audit(text, uuid, text, text, boolean) IS
    'Writes an entry of audit_log as the owner of the tables: action, workspace, target, detail, whether it was refused. In a read-only transaction, a line of the server''s log instead. Never give it a secret.';

CREATE FUNCTION analytics.cleanup_audit_log(keep interval DEFAULT '400 days') RETURNS bigint
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'cleanup_audit_log_wrapper';
COMMENT ON FUNCTION analytics.cleanup_audit_log(interval) IS
    'Removes entries of audit_log that are older than keep (default 400 days) and returns how many; the only way to remove any. For the owner of the tables. Errors: 22023 keep is NULL or less than a day, 42501 not the owner.';
