-- Windows of time: what a timeframe, from_time and to_time ask for, cut into buckets of a time zone.

CREATE FUNCTION analytics.window_bounds(timeframe text DEFAULT '30d', as_of timestamptz DEFAULT now(),
                                        OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF as_of IS NULL OR NOT isfinite(as_of) THEN
        PERFORM analytics_internal.refuse_argument('as_of', as_of::text, 'it is not a point in time',
            'Leave it out to get the time of now.');
    END IF;
    IF timeframe = 'all' THEN
        RETURN;
    END IF;
    window_end := date_bin('1 hour', as_of, 'epoch') + interval '1 hour';
    window_start := CASE timeframe
        WHEN '24h' THEN window_end - interval '24 hours'
        WHEN '7d'  THEN window_end - interval '168 hours'
        WHEN '30d' THEN window_end - interval '720 hours'
        WHEN '90d' THEN window_end - interval '2160 hours' END;
    IF window_start IS NULL THEN
        PERFORM analytics_internal.refuse_argument('timeframe', timeframe, 'it is not a timeframe',
            'Use one of 24h, 7d, 30d, 90d, all.');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.window_bounds(text, timestamptz) IS
    'Bounds of a timeframe (24h, 7d, 30d, 90d, all): whole UTC hours that end with the hour of as_of (default now), window_start included, window_end excluded; both NULL for all, which has no bounds. Errors: 22023 unknown timeframe, as_of that is not a point in time.';

-- What every function that takes a timeframe does with its arguments.
CREATE FUNCTION analytics_internal.resolve_window(timeframe text, from_time timestamptz, to_time timestamptz,
                                                  OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named record;
BEGIN
    SELECT * INTO named FROM analytics.window_bounds(timeframe);
    window_end := coalesce(to_time, CASE WHEN from_time IS NULL THEN named.window_end
        -- From a time to now, also where the timeframe is all.
        ELSE date_bin('1 hour', now(), 'epoch') + interval '1 hour' END, 'infinity');
    window_start := coalesce(from_time, CASE WHEN to_time IS NULL THEN named.window_start
        ELSE to_time - (named.window_end - named.window_start) END, '-infinity');
    IF window_start >= window_end THEN
        PERFORM analytics_internal.refuse_argument('from_time', window_start::text,
            'it does not lie before the end of the window, ' || window_end, 'Give a from_time that is before to_time.');
    END IF;
    -- Not every client can read an infinite time.
    window_start := nullif(window_start, '-infinity');
    window_end := nullif(window_end, 'infinity');
END
$$;
COMMENT ON FUNCTION analytics_internal.resolve_window(text, timestamptz, timestamptz) IS
    'The window that a timeframe (24h, 7d, 30d, 90d, all), from_time and to_time ask for; window_start included, window_end excluded. from_time and to_time go before the timeframe: without from_time the window has the length of the timeframe and ends with to_time, without to_time it ends with the current hour; without both it is window_bounds(timeframe). NULL where it has no bound. Errors: 22023 unknown timeframe, from_time that is not before the end.';

CREATE FUNCTION analytics_internal.hours_between(from_time timestamptz, to_time timestamptz) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN greatest(extract(epoch FROM to_time - from_time)::double precision / 3600, 1.0);
COMMENT ON FUNCTION analytics_internal.hours_between(timestamptz, timestamptz) IS
    'Hours from one time to another, at least one, so that a rate per hour of a short time is not inflated. NULL for NULL.';

CREATE FUNCTION analytics_internal.zone_of(workspace_id uuid, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $2 IS NULL THEN
        RETURN (SELECT w.time_zone FROM analytics.workspaces AS w WHERE w.workspace_id = $1);
    END IF;
    IF NOT analytics_internal.is_time_zone($2) THEN
        PERFORM analytics_internal.refuse_argument('time_zone', $2, 'it is not a time zone',
            'Use a name such as Europe/Berlin from pg_timezone_names, or leave it out for that of the workspace.');
    END IF;
    RETURN $2;
END
$$;
COMMENT ON FUNCTION analytics_internal.zone_of(uuid, text) IS
    'The time zone that is asked for, or that of the workspace for NULL. Errors: 22023 not a time zone.';

CREATE FUNCTION analytics_internal.time_spans(bucket text, time_zone text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (bucket_start timestamptz, span_start timestamptz, span_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF $1 IN ('hour', 'day', 'week', 'month') THEN
        RETURN QUERY
        SELECT s.bucket_start, s.span_start, s.span_end FROM analytics_internal.series_spans($1, $2, $3, $4) AS s;
    ELSE
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'it is not a length of buckets',
            'Use one of hour, day, week, month.');
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.time_spans(text, text, timestamptz, timestamptz) IS
    'The buckets of series_spans() that are no shorter than an hour, as rollups of agents have them. Errors: 22023 unknown bucket, too many of them.';

CREATE FUNCTION analytics_internal.finite_window(workspace_id uuid, agent_id uuid, from_time timestamptz, to_time timestamptz,
                                                 OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    hours record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    window_start := $3;
    window_end := $4;
    IF isfinite($3) AND isfinite($4) THEN
        RETURN;
    END IF;
    -- The days first: of the hours, only those of the first and the last day are read.
    SELECT min(m.bucket) AS first_day, max(m.bucket) AS last_day INTO hours
    FROM analytics_internal.agent_performance_buckets($1, $2, $3, $4, '24 hours', '{}') AS m;
    IF hours.first_day IS NULL THEN
        window_start := now();
        window_end := window_start;
        RETURN;
    END IF;
    IF isfinite($3) IS NOT TRUE THEN
        SELECT min(m.bucket) INTO window_start
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.first_day, hours.first_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
    IF isfinite($4) IS NOT TRUE THEN
        SELECT greatest(max(m.bucket), date_bin('1 hour', now(), 'epoch')) + interval '1 hour' INTO window_end
        FROM analytics_internal.agent_performance_buckets($1, $2, hours.last_day, hours.last_day + interval '24 hours', '1 hour', '{}') AS m;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.finite_window(uuid, uuid, timestamptz, timestamptz) IS
    'A window whose missing bounds (NULL or infinite) are replaced: by the hour of the first run, error or feedback of the agent (NULL: of any), and by the end of the current hour, or of the last of them where that is later. Empty (both bounds equal) without any.';
