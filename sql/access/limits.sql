-- Access: limits of roles.

CREATE FUNCTION analytics.set_role_limits(
    database_role text, statement_timeout interval DEFAULT '30 seconds', connection_limit integer DEFAULT NULL,
    work_mem_megabytes integer DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    milliseconds constant numeric := round(extract(epoch FROM statement_timeout) * 1000);
BEGIN
    PERFORM analytics_internal.require_schema();
    IF $1 IS NULL OR NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) THEN
        RAISE EXCEPTION 'role "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'Create it with CREATE ROLE first.';
    END IF;
    IF milliseconds NOT BETWEEN 0 AND 2147483647 THEN
        PERFORM analytics_internal.refuse_argument('statement_timeout', statement_timeout::text,
            'it lies outside 0 to 24 days', 'Use 30 seconds for dashboards; 0 is no limit; NULL leaves it as it is.');
    END IF;
    IF connection_limit < -1 THEN
        PERFORM analytics_internal.refuse_argument('connection_limit', connection_limit::text,
            'it is below -1', 'Use -1 for no limit; NULL leaves it as it is.');
    END IF;
    IF work_mem_megabytes NOT BETWEEN 1 AND 2097151 THEN
        PERFORM analytics_internal.refuse_argument('work_mem_megabytes', work_mem_megabytes::text,
            'it lies outside 1 to 2097151', 'Use some ten megabytes; NULL leaves it as it is.');
    END IF;
    IF milliseconds IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', $1, milliseconds || 'ms');
    END IF;
    IF work_mem_megabytes IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I SET work_mem = %L', $1, work_mem_megabytes || 'MB');
    END IF;
    IF connection_limit IS NOT NULL THEN
        EXECUTE format('ALTER ROLE %I CONNECTION LIMIT %s', $1, connection_limit);
    END IF;
    PERFORM analytics_internal.record_audit('set_role_limits', target => $1, detail => jsonb_build_object(
        'statement_timeout', statement_timeout, 'connection_limit', connection_limit,
        'work_mem_megabytes', work_mem_megabytes)::text);
END
$$;
COMMENT ON FUNCTION analytics.set_role_limits(text, interval, integer, integer) IS
    'Limits what a role can take: statement_timeout (default 30 seconds, 0 is none), connection_limit (-1 is none), work_mem_megabytes; NULL leaves a limit as it is. They hold from the role''s next session. Needs the right to alter the role. Errors: 42704 unknown role, 22023 out of range, 42501 not allowed.';
