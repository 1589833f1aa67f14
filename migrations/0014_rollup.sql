-- Sources whose rows belong to users or to the workspace as a whole, and partitions of more than one table.

ALTER TABLE analytics_internal.rollup_changes RENAME COLUMN agent_id TO entity_id;
COMMENT ON COLUMN analytics_internal.rollup_changes.sources IS 'Which sources have changed there: the sum of their bits, which analytics_internal.sources() lists.';
COMMENT ON COLUMN analytics_internal.rollup_changes.entity_id IS 'Agent or user of the rows, as their source says; NULL for all of them, and where rows belong to the workspace as a whole.';
COMMENT ON COLUMN analytics_internal.rollup_changes.until IS 'End of a range, excluded; NULL for one hour.';

ALTER TABLE analytics_internal.rollup_partitions ADD COLUMN table_name text NOT NULL DEFAULT 'agent_runs';
COMMENT ON TABLE  analytics_internal.rollup_partitions IS 'Partitions of the raw tables as the rollups know them. Where the catalogue says otherwise, the range of the partition counts as changed.';
COMMENT ON COLUMN analytics_internal.rollup_partitions.table_name IS 'The table that it is a part of, in schema analytics.';
