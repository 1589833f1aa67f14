-- The tenants, and the two small tables of machinery that every capability shares.

CREATE TABLE analytics.workspaces (
    workspace_id uuid        NOT NULL DEFAULT gen_random_uuid(),
    name         text        NOT NULL,
    plan         text        NOT NULL DEFAULT 'free',
    time_zone    text        NOT NULL DEFAULT 'UTC',
    metadata     jsonb       NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workspaces_pkey PRIMARY KEY (workspace_id),
    CONSTRAINT workspaces_name_check CHECK (
        btrim(name, E' \t\r\n\f') <> ''
        OR analytics_internal.refuse('name', name, 'it is empty', 'Give the workspace a name that people recognise.')),
    CONSTRAINT workspaces_plan_check CHECK (
        btrim(plan, E' \t\r\n\f') <> ''
        OR analytics_internal.refuse('plan', plan, 'it is empty', 'Use a word such as free, pro or enterprise.')),
    CONSTRAINT workspaces_time_zone_check CHECK (
        analytics_internal.is_time_zone(time_zone)
        OR analytics_internal.refuse('time_zone', time_zone, 'Postgres does not know it',
            'Use a name from pg_timezone_names, such as Europe/Madrid or UTC.'))
);
COMMENT ON TABLE  analytics.workspaces IS 'Tenants: everything else belongs to exactly one workspace and is deleted with it.';
COMMENT ON COLUMN analytics.workspaces.workspace_id IS 'Key of the workspace; leads the key of every other table.';
COMMENT ON COLUMN analytics.workspaces.name IS 'Name for people; need not be unique.';
COMMENT ON COLUMN analytics.workspaces.plan IS 'Commercial plan, free text such as free, pro, enterprise.';
COMMENT ON COLUMN analytics.workspaces.time_zone IS 'IANA time zone in which this workspace reads its days; storage and buckets are UTC.';
COMMENT ON COLUMN analytics.workspaces.metadata IS 'Anything else the application wants to keep about the workspace.';
COMMENT ON COLUMN analytics.workspaces.created_at IS 'When the workspace was created.';
COMMENT ON COLUMN analytics.workspaces.updated_at IS 'When the application last changed this row.';

CREATE TABLE analytics_internal.settings (
    name  text  NOT NULL PRIMARY KEY,
    value jsonb NOT NULL
);
COMMENT ON TABLE  analytics_internal.settings IS 'Choices made at setup() that later calls must respect.';
COMMENT ON COLUMN analytics_internal.settings.name IS 'Name of the choice, such as partitioning.';
COMMENT ON COLUMN analytics_internal.settings.value IS 'The choice.';
