-- Rollups computed anew without need, and compared with what raw rows say.

CREATE FUNCTION analytics.rebuild_rollup(
    rollup text, from_time timestamptz DEFAULT '-infinity', to_time timestamptz DEFAULT 'infinity') RETURNS bigint
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'rebuild_rollup_wrapper';
COMMENT ON FUNCTION analytics.rebuild_rollup(text, timestamptz, timestamptz) IS
    'Computes the days of a rollup (one of those that rollup_status() lists) from from_time to to_time (default: all time) anew from raw rows, whether or not they have changed; what is older than what is kept stays. In this transaction; waits for another session that refreshes. Returns the number of rows written and removed. For the owner of the tables. Errors: 22023 unknown rollup, or a time that is NULL.';

CREATE FUNCTION analytics.verify_rollups(sample integer DEFAULT 1000)
RETURNS TABLE (object text, workspace_id uuid, entity_id uuid, bucket timestamptz, expected jsonb, stored jsonb)
LANGUAGE c STRICT
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'verify_rollups_wrapper';
COMMENT ON FUNCTION analytics.verify_rollups(integer) IS
    'Computes a random sample of hours and days (default 1,000 of each table; 1 to 1,000,000) anew and compares them with what the rollups hold. One row per row that differs: object, workspace_id, entity_id (its agent or user), bucket, expected and stored (NULL where there is no row). No rows when all is well. What has changed since the last refresh is left out. For the owner of the tables. Errors: 22023 sample out of range.';
