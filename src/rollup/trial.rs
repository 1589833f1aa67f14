//! The engine with sources that it knows by their declaration alone, `declarations::trial`: visits of users, who have no
//! agent, and payments, which are nobody's. And whether the tables of migrations are those that are declared.

#[pgrx::pg_schema]
#[allow(clippy::expect_used)] // a test says what it expects
mod tests {
    use pgrx::pg_sys::panic::ErrorReportable;
    use pgrx::prelude::*;

    use crate::rollup::capture::write_to_log;
    use crate::rollup::declarations::{Entity, Level, ROLLUPS, Rollup};

    const WORKSPACE: &str = "00000000-0000-4000-8000-000000000001";

    /// What the migration of a capability would say, and `setup()`. Sessions that test at the same time wait there.
    const TABLES: &str = "
        SELECT analytics.setup();
        CREATE TABLE analytics.trial_visits (
            workspace_id uuid NOT NULL, user_id uuid NOT NULL, feature text, visited_at timestamptz NOT NULL
        ) PARTITION BY RANGE (visited_at);
        CREATE TABLE analytics.trial_visits_march PARTITION OF analytics.trial_visits
            FOR VALUES FROM ('2026-03-01 00:00+00') TO ('2026-04-01 00:00+00');
        CREATE TABLE analytics.trial_visits_rest PARTITION OF analytics.trial_visits DEFAULT;
        CREATE TABLE analytics.trial_payments (
            workspace_id uuid NOT NULL, paid_at timestamptz NOT NULL, amount numeric NOT NULL
        );
        CREATE TABLE analytics.trial_user_visits_hourly (
            workspace_id uuid, user_id uuid, feature text, bucket timestamptz, visits bigint, last_visit_at timestamptz,
            PRIMARY KEY (workspace_id, bucket, user_id, feature)
        );
        CREATE TABLE analytics.trial_user_visits_daily (LIKE analytics.trial_user_visits_hourly INCLUDING ALL);
        CREATE TABLE analytics.trial_income_daily (
            workspace_id uuid, bucket timestamptz, payments bigint, paid numeric, PRIMARY KEY (workspace_id, bucket)
        );
        SELECT analytics.setup();
        INSERT INTO analytics.workspaces (workspace_id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'Trial');
        SELECT * FROM analytics.refresh();";

    /// A visit every seven minutes, in turn of 23 users, into April.
    const VISITS: &str = "
        INSERT INTO analytics.trial_visits (workspace_id, user_id, feature, visited_at)
        SELECT '00000000-0000-4000-8000-000000000001', md5((n % 23)::text)::uuid, (ARRAY['search', NULL])[n % 2 + 1],
               timestamptz '2026-03-30 00:00+00' + n * interval '7 minutes'
        FROM generate_series(1, 1000) AS n";

    fn run(sql: &str) {
        Spi::run(sql).unwrap_or_report();
    }

    fn number(sql: &str) -> i64 {
        Spi::get_one(sql).unwrap_or_report().expect("a number")
    }

    fn prepare() {
        run(TABLES);
    }

    /// Batch after batch, until nothing is left.
    fn refresh() {
        let status = || {
            Spi::get_one::<String>(
                "SELECT string_agg(DISTINCT r.status, ' ') FROM analytics.refresh() AS r",
            )
        };
        loop {
            match status().unwrap_or_report().as_deref() {
                Some("clean") => return,
                other => assert_eq!(other, Some("refreshed")),
            }
        }
    }

    /// Rows of one question and not of the other.
    fn differences(one: &str, other: &str) -> i64 {
        number(&format!(
            "SELECT count(*) FROM ((({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one}))) AS d"
        ))
    }

    /// By the hour and by the day, each user and all of them, one user, and a window that cuts hours.
    fn assert_visits_are_exact() {
        for (step, user, from, to) in [
            ("1 hour", "NULL", "-infinity", "infinity"),
            ("24 hours", "NULL", "-infinity", "infinity"),
            (
                "1 hour",
                "md5('7')::uuid",
                "2026-03-30 05:17+00",
                "2026-04-02 11:05+00",
            ),
        ] {
            let raw = format!(
                "FROM analytics.trial_visits WHERE visited_at >= '{from}' AND visited_at < '{to}'
                     AND ({user} IS NULL OR user_id = {user})"
            );
            let bucket = format!("date_bin('{step}', visited_at, 'epoch')");
            let read = |by_user: bool| {
                format!(
                    "analytics_internal.trial_user_visits_buckets('{WORKSPACE}', {user}, '{from}', '{to}', '{step}',
                         by_user => {by_user})"
                )
            };
            let each = format!(
                "SELECT user_id, coalesce(feature, 'none'), {bucket}, count(*), max(visited_at), 1 {raw} GROUP BY 1, 2, 3"
            );
            assert_eq!(
                differences(&each, &format!("SELECT * FROM {}", read(true))),
                0,
                "{each}"
            );
            let all = format!(
                "SELECT NULL::uuid, coalesce(feature, 'none'), {bucket}, count(*), max(visited_at), count(DISTINCT user_id)
                 {raw} GROUP BY 2, 3"
            );
            assert_eq!(
                differences(&all, &format!("SELECT * FROM {}", read(false))),
                0,
                "{all}"
            );
        }
    }

    #[pg_test]
    fn users_are_captured_refreshed_and_read() {
        prepare();
        run(VISITS);
        assert_visits_are_exact();
        write_to_log();
        let logged = "SELECT count(*) FROM analytics_internal.rollup_changes
                      WHERE sources = 1 << 30 AND entity_id = md5('7')::uuid AND until IS NULL";
        assert_eq!(
            number(logged),
            number(
                "SELECT count(DISTINCT date_trunc('hour', visited_at)) FROM analytics.trial_visits
                    WHERE user_id = md5('7')::uuid"
            )
        );
        refresh();
        assert_eq!(
            number("SELECT count(*) FROM analytics_internal.rollup_changes"),
            0
        );
        let stored = "SELECT user_id, feature, bucket, visits, last_visit_at FROM analytics.trial_user_visits_hourly";
        let raw = "SELECT user_id, coalesce(feature, 'none'), date_trunc('hour', visited_at), count(*), max(visited_at)
                   FROM analytics.trial_visits GROUP BY 1, 2, 3";
        assert_eq!(differences(stored, raw), 0);
        assert_visits_are_exact();

        run("UPDATE analytics.trial_visits SET user_id = md5('7')::uuid WHERE user_id = md5('8')::uuid;
             DELETE FROM analytics.trial_visits WHERE visited_at < '2026-03-30 06:30+00'");
        assert_visits_are_exact();
        refresh();
        assert_visits_are_exact();
        assert_eq!(differences(stored, raw), 0);
        assert_eq!(number("SELECT count(*) FROM analytics.verify_rollups()"), 0);
    }

    #[pg_test]
    fn partitions_of_users_are_watched() {
        prepare();
        run(VISITS);
        refresh();
        run("ALTER TABLE analytics.trial_visits DETACH PARTITION analytics.trial_visits_march");
        assert_visits_are_exact();
        refresh();
        assert_visits_are_exact();
        run("TRUNCATE analytics.trial_visits");
        assert_visits_are_exact();
        refresh();
        assert_eq!(
            number("SELECT count(*) FROM analytics.trial_user_visits_daily"),
            0
        );
    }

    #[pg_test]
    fn rows_of_nobody_are_captured_refreshed_and_read() {
        prepare();
        let raw = "SELECT date_bin('24 hours', paid_at, 'epoch'), count(*), sum(amount) FROM analytics.trial_payments GROUP BY 1";
        let read = format!(
            "SELECT * FROM analytics_internal.trial_income_buckets('{WORKSPACE}', '-infinity', 'infinity', '24 hours')"
        );
        for change in [
            "INSERT INTO analytics.trial_payments
             SELECT '00000000-0000-4000-8000-000000000001', timestamptz '2026-03-30 00:00+00' + n * interval '1 hour', n
             FROM generate_series(1, 100) AS n",
            "UPDATE analytics.trial_payments SET amount = 2 * amount WHERE amount < 30",
            "DELETE FROM analytics.trial_payments WHERE amount > 90",
        ] {
            run(change);
            assert_eq!(differences(raw, &read), 0, "{change}");
            refresh();
            assert_eq!(differences(raw, &read), 0, "{change}");
            let stored = "SELECT bucket, payments, paid FROM analytics.trial_income_daily";
            assert_eq!(differences(raw, stored), 0, "{change}");
        }
    }

    #[pg_test(
        error = "visited_at \"2026-01-01T00:00:00+00:00\" is not allowed: rows before 2026-02-01T00:00:00+00:00 are no longer kept"
    )]
    fn rows_below_the_floor_are_refused() {
        prepare();
        run("SELECT analytics.set_retention('trial_visits', interval '30 days');
             UPDATE analytics_internal.retention SET floor = '2026-02-01 00:00+00';
             INSERT INTO analytics.trial_visits VALUES ('00000000-0000-4000-8000-000000000001', md5('7')::uuid, NULL, '2026-01-01 00:00+00')");
    }

    #[pg_test]
    fn old_rows_of_users_are_removed() {
        prepare();
        run(VISITS);
        refresh();
        let removed =
            "SELECT analytics_internal.remove_rows('trial_visits', '2026-04-01 00:00+00', 10000)";
        assert_eq!(
            number(removed),
            number(
                "SELECT sum(visits)::bigint FROM analytics.trial_user_visits_hourly
                                            WHERE bucket < '2026-04-01 00:00+00'"
            )
        );
        assert_eq!(
            number("SELECT count(*) FROM analytics.trial_visits_march"),
            0
        );
    }

    /// The plan of what a refresh computes for changed buckets.
    fn plan(rollup: &Rollup, level: Level) -> String {
        run(
            "ANALYZE analytics.trial_visits; SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL jit = off",
        );
        run(&format!(
            "PREPARE look (uuid[], uuid[], timestamptz[], integer[], timestamptz[], timestamptz) AS {}",
            rollup.refresh_keys(level, false)
        ));
        let explain = "EXPLAIN EXECUTE look('{}', '{}', '{}', '{}', '{}', now())";
        Spi::connect(|client| {
            let rows = client.select(explain, None, &[]).unwrap_or_report();
            rows.filter_map(|row| row.get::<String>(1).unwrap_or_report())
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    #[pg_test]
    fn users_are_looked_up_by_their_index() {
        prepare();
        run(
            "INSERT INTO analytics.trial_visits (workspace_id, user_id, visited_at)
             SELECT '00000000-0000-4000-8000-000000000001', md5((n % 997)::text)::uuid,
                    timestamptz '2026-03-01 00:00+00' + n * interval '1 minute'
             FROM generate_series(1, 40000) AS n",
        );
        let rollup = ROLLUPS
            .iter()
            .find(|rollup| rollup.entity == Some(Entity::User))
            .expect("there is one");
        let plan = plan(rollup, rollup.base);
        assert!(
            plan.contains("trial_visits_march_workspace_id_user_id_visited_at_idx"),
            "{plan}"
        );
        assert!(!plan.contains("Seq Scan on trial_visits_march"), "{plan}");
    }

    #[pg_test]
    fn setup_makes_triggers_and_indexes_once() {
        prepare();
        let made = "SELECT count(*) FROM (
                        SELECT t.oid FROM pg_trigger AS t
                        WHERE t.tgfoid = 'analytics_internal.capture_changes'::regproc AND t.tgenabled = 'A'
                        UNION ALL SELECT i.indexrelid FROM pg_index AS i
                        WHERE i.indrelid::regclass::text ~ '^analytics\\.(trial|agent_|execution_queue)') AS m";
        let before = number(made);
        run("SELECT analytics.setup()");
        assert_eq!(number(made), before);
        let everything = "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'analytics.workspaces'::regclass
                          AND tgname = 'capture_truncate' AND tgargs = convert_to(((1 << 29) + (1 << 30) + 31)::text, 'UTF8') || '\\x00'";
        assert_eq!(number(everything), 1);
    }

    #[pg_test]
    fn tables_are_as_declared() {
        prepare();
        for rollup in ROLLUPS {
            for level in rollup.levels() {
                let entity = rollup.entity.map(|entity| (entity.id(), "uuid"));
                let dimensions = rollup
                    .dimensions
                    .iter()
                    .map(|dimension| (dimension.name, dimension.kind));
                let columns = rollup.columns().map(|column| (column.name, column.kind));
                let mut declared: Vec<String> =
                    [("workspace_id", "uuid"), ("bucket", "timestamptz")]
                        .into_iter()
                        .chain(entity)
                        .chain(dimensions)
                        .chain(columns)
                        .map(|(name, kind)| format!("{name} {kind}"))
                        .chain(
                            rollup
                                .derived
                                .iter()
                                .map(|(name, _)| format!("{name} derived")),
                        )
                        .collect();
                declared.sort();
                let derived: Vec<&str> = rollup.derived.iter().map(|(name, _)| *name).collect();
                let found: Option<Vec<String>> = Spi::get_one_with_args(
                    "SELECT array_agg(a.attname || ' ' || CASE
                                WHEN a.attname = ANY ($2) THEN 'derived'
                                WHEN a.atttypid = 'timestamptz'::regtype THEN 'timestamptz'
                                ELSE format_type(a.atttypid, a.atttypmod) END)
                     FROM pg_attribute AS a
                     WHERE a.attrelid = format('analytics.%I', $1)::regclass AND a.attnum > 0 AND NOT a.attisdropped",
                    &[level.table.into(), derived.into()],
                )
                .unwrap_or_report();
                let mut found = found.unwrap_or_default();
                found.sort();
                assert_eq!(found, declared, "{}", level.table);
            }
        }
    }

    #[pg_test]
    fn the_key_of_a_rollup_is_of_its_sources() {
        for rollup in ROLLUPS.iter().filter(|rollup| rollup.entity.is_some()) {
            for part in rollup.parts {
                assert_eq!(part.source.entity, rollup.entity, "{}", rollup.name);
            }
        }
    }
}
