-- The jobs of pg_cron.

CREATE FUNCTION analytics_internal.jobs()
RETURNS TABLE (job_name text, schedule text, command text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('analytics refresh',            '* * * * *',    'CALL analytics.refresh_all(materialized_views => false, triggered_by => ''cron'')'),
           ('analytics materialized views', '*/15 * * * *', 'SELECT analytics.refresh_materialized_views(triggered_by => ''cron'')'),
           ('analytics clean-up',           '0 3 * * *',    'CALL analytics.cleanup_old_data(triggered_by => ''cron'')'),
           ('analytics leaderboards',       '*/15 * * * *', 'SELECT analytics.refresh_leaderboards()'),
           ('analytics trends',             '*/15 * * * *', 'SELECT analytics.refresh_trends()'),
           ('analytics suggestions',        '0 4 * * *',    'SELECT analytics.refresh_suggestions()'),
           -- Of the day that ends: pg_cron counts in UTC unless told otherwise.
           ('analytics health',             '55 23 * * *',  'SELECT analytics.record_agent_health()')
$$;
COMMENT ON FUNCTION analytics_internal.jobs() IS 'The jobs of schedule(), with their defaults.';

CREATE FUNCTION analytics_internal.require_cron() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('cron.job') IS NULL THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add pg_cron to shared_preload_libraries, set cron.database_name to this database and run CREATE EXTENSION pg_cron; or call from your own scheduler: '
                         || (SELECT string_agg(j.command, '; ') FROM analytics_internal.jobs() AS j) || '.';
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.require_cron() IS 'Raises 55000, with what to do instead, unless pg_cron is here.';

-- A job of a superuser would run what the owner of the tables put beside our functions, with a superuser's rights.
CREATE FUNCTION analytics_internal.job_owner() RETURNS name
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tables_owner record;
BEGIN
    SELECT r.rolname AS name, r.rolcanlogin AS can_login INTO tables_owner
    FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
    WHERE c.oid = to_regclass('analytics.workspaces');
    IF tables_owner.name = current_user OR NOT (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user) THEN
        RETURN current_user;
    END IF;
    IF NOT tables_owner.can_login THEN
        RAISE EXCEPTION 'role "%" owns the tables and may not log in', tables_owner.name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('A superuser''s jobs run in its name: ALTER ROLE %I LOGIN; and try again.', tables_owner.name);
    END IF;
    RETURN tables_owner.name;
END
$$;
COMMENT ON FUNCTION analytics_internal.job_owner() IS
    'In whose name schedule() puts jobs into pg_cron: the caller; of a superuser, the owner of the tables. Errors: 55000 that role may not log in.';

CREATE FUNCTION analytics.schedule(
    refresh text DEFAULT NULL, materialized_views text DEFAULT NULL, clean_up text DEFAULT NULL, leaderboards text DEFAULT NULL,
    trends text DEFAULT NULL, suggestions text DEFAULT NULL, health text DEFAULT NULL)
RETURNS TABLE (job_name text, schedule text, command text)
LANGUAGE plpgsql ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    given constant jsonb := jsonb_build_object(
        'analytics refresh', $1, 'analytics materialized views', $2, 'analytics clean-up', $3, 'analytics leaderboards', $4,
        'analytics trends', $5, 'analytics suggestions', $6, 'analytics health', $7);
    job_owner name;
BEGIN
    PERFORM analytics_internal.require_schema();
    PERFORM analytics_internal.require_cron();
    job_owner := analytics_internal.job_owner();
    FOR job_name, schedule, command IN
        SELECT j.job_name, coalesce(given ->> j.job_name, j.schedule), j.command FROM analytics_internal.jobs() AS j
    LOOP
        IF job_owner = current_user THEN
            EXECUTE 'SELECT cron.schedule($1, $2, $3)' USING job_name, schedule, command;
        ELSE
            EXECUTE 'SELECT cron.schedule_in_database($1, $2, $3, current_database()::text, $4)'
                USING job_name, schedule, command, job_owner::text;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.schedule(text, text, text, text, text, text, text) IS
    'Puts refresh_all() (every minute; it makes partitions, too), refresh_materialized_views(), refresh_leaderboards() and refresh_trends() (every 15 minutes), cleanup_old_data() (daily at 03:00), refresh_suggestions() (daily at 04:00) and record_agent_health() (daily at 23:55) into pg_cron, in the caller''s name, or that of the owner of the tables when a superuser calls it; run again, it replaces them. Arguments are in crontab''s format, as pg_cron reads it; NULL is the default. One row per job. For the owner of the tables. Errors: 55000 pg_cron is not in this database, or the owner may not log in; those of cron.schedule().';

CREATE FUNCTION analytics.unschedule() RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed integer;
BEGIN
    PERFORM analytics_internal.require_cron();
    EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j
             WHERE j.username = analytics_internal.job_owner() AND j.jobname IN (SELECT n.job_name FROM analytics_internal.jobs() AS n)'
        INTO removed;
    RETURN removed;
END
$$;
COMMENT ON FUNCTION analytics.unschedule() IS
    'Takes the caller''s jobs of schedule() out of pg_cron again; returns how many there were. Errors: 55000 pg_cron is not in this database.';

CREATE FUNCTION analytics.schedule_status()
RETURNS TABLE (job_name text, schedule text, command text, active boolean, last_run_at timestamptz, last_status text,
               last_message text, last_duration_seconds double precision)
LANGUAGE plpgsql ROWS 7
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.require_cron();
    RETURN QUERY EXECUTE '
        SELECT j.jobname::text, j.schedule, j.command, j.active, r.start_time, r.status, r.return_message,
               extract(epoch FROM r.end_time - r.start_time)::double precision
        FROM cron.job AS j
        LEFT JOIN LATERAL (
            SELECT d.* FROM cron.job_run_details AS d WHERE d.jobid = j.jobid ORDER BY d.runid DESC LIMIT 1
        ) AS r ON true
        WHERE j.jobname IN (SELECT n.job_name FROM analytics_internal.jobs() AS n)
        ORDER BY j.jobid';
END
$$;
COMMENT ON FUNCTION analytics.schedule_status() IS
    'The jobs of schedule() that the caller may see, with their last run as pg_cron recorded it. Errors: 55000 pg_cron is not in this database.';
