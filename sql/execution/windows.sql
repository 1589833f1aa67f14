-- Execution: windows, and the buckets that they are cut into, down to the minute.

CREATE FUNCTION analytics_internal.series_spans(bucket text, time_zone text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (place bigint, bucket_start timestamptz, span_start timestamptz, span_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    -- No bucket is shorter; an hour may be cut by a change of clocks of half an hour.
    shortest constant interval := CASE $1 WHEN 'minute' THEN '1 minute' WHEN '5 minutes' THEN $1 WHEN '15 minutes' THEN $1
        WHEN 'hour' THEN '15 minutes' WHEN 'day' THEN '12 hours' WHEN 'week' THEN '3 days' WHEN 'month' THEN '14 days' END;
    last     constant timestamptz := $4 - interval '1 microsecond';
BEGIN
    IF shortest IS NULL THEN
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'it is not a length of buckets',
            'Use one of minute, 5 minutes, 15 minutes, hour, day, week, month.');
    END IF;
    IF $3 >= $4 THEN
        RETURN;
    END IF;
    IF extract(epoch FROM $4 - $3) / extract(epoch FROM shortest) > 400000 THEN
        PERFORM analytics_internal.refuse_argument('bucket', $1, 'the window has too many of them',
            'Ask for longer buckets or for a shorter window.');
    END IF;
    RETURN QUERY
    SELECT row_number() OVER (ORDER BY b.start), b.start, greatest(b.start, $3),
           least(lead(b.start, 1, $4) OVER (ORDER BY b.start), $4)
    FROM (
        SELECT CASE WHEN $1 LIKE '%minute%' THEN date_bin(shortest, t, 'epoch') ELSE date_trunc($1, t, $2) END
        FROM generate_series($3, last, shortest) AS t
        UNION
        SELECT CASE WHEN $1 LIKE '%minute%' THEN date_bin(shortest, last, 'epoch') ELSE date_trunc($1, last, $2) END
    ) AS b (start)
    ORDER BY b.start;
END
$$;
COMMENT ON FUNCTION analytics_internal.series_spans(text, text, timestamptz, timestamptz) IS
    'Minutes, 5 minutes, 15 minutes, hours, days, weeks (from Monday) or months of a time zone that a finite window touches, numbered from 1: where each begins, and the part of it that lies in the window. Days on which clocks change have 23 or 25 hours. Errors: 22023 unknown bucket, more than 100,000 hours or 400,000 others.';

CREATE FUNCTION analytics_internal.series_window(workspace_id uuid, from_time timestamptz, to_time timestamptz,
                                                 OUT window_start timestamptz, OUT window_end timestamptz)
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    days record;
BEGIN
    PERFORM analytics_internal.require_workspace($1);
    window_start := $2;
    window_end := $3;
    IF isfinite($2) AND isfinite($3) THEN
        RETURN;
    END IF;
    SELECT min(m.bucket) AS first, max(m.bucket) AS last INTO days
    FROM analytics_internal.execution_metrics_buckets($1, $2, $3, '24 hours') AS m;
    IF days.first IS NULL THEN
        window_start := now();
        window_end := window_start;
        RETURN;
    END IF;
    IF isfinite($2) IS NOT TRUE THEN
        SELECT min(m.bucket) INTO window_start
        FROM analytics_internal.execution_metrics_buckets($1, days.first, days.first + interval '24 hours', '1 hour') AS m;
    END IF;
    IF isfinite($3) IS NOT TRUE THEN
        SELECT greatest(max(m.bucket), date_bin('1 hour', now(), 'epoch')) + interval '1 hour' INTO window_end
        FROM analytics_internal.execution_metrics_buckets($1, days.last, days.last + interval '24 hours', '1 hour') AS m;
    END IF;
END
$$;
COMMENT ON FUNCTION analytics_internal.series_window(uuid, timestamptz, timestamptz) IS
    'A window whose missing bounds (NULL or infinite) are replaced: by the first hour of the workspace that has anything, and by the end of the current hour, or of the last that has anything where that is later. Empty (both bounds equal) without any.';
