//! What `setup()` runs, compiled into the library: the numbered migrations, each once and in order, and the views,
//! each time. A landed migration is never edited; its checksum is how a database notices.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// One numbered file of `migrations/`.
pub struct Migration {
    pub version: i32,
    pub name: &'static str,
    pub sql: &'static str,
}

/// One file of `sql/views/`.
pub struct View {
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $number:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $number, "_", $name, ".sql")),
        }
    };
}

macro_rules! view {
    ($name:literal) => {
        View {
            name: $name,
            sql: include_str!(concat!("../sql/views/", $name, ".sql")),
        }
    };
}

pub const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001", "workspaces"),
    migration!(2, "0002", "agents"),
    migration!(3, "0003", "execution"),
    migration!(4, "0004", "ingest"),
    migration!(5, "0005", "access"),
    migration!(6, "0006", "tokens"),
    migration!(7, "0007", "audit"),
    migration!(8, "0008", "rollup"),
    migration!(9, "0009", "suggestions"),
    migration!(10, "0010", "leaderboards"),
    migration!(11, "0011", "lifecycle"),
    migration!(12, "0012", "trends"),
    migration!(13, "0013", "execution"),
    migration!(14, "0014", "rollup"),
    migration!(15, "0015", "lifecycle"),
];

/// In the order in which they are made: those of agents read those of masking.
pub const VIEWS: &[View] = &[
    view!("masking"),
    view!("agents"),
    view!("rollup"),
    view!("bi"),
    view!("lifecycle"),
];

/// The schema version that this library needs.
pub fn newest_version() -> i32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Migration {
    /// SHA-256 of the file as it was written, in hexadecimal.
    pub fn checksum(&self) -> String {
        let digest = Sha256::digest(self.sql);
        digest.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The SQL to run, with its one placeholder replaced.
    pub fn sql_for(&self, partitioned: bool) -> String {
        let clause = if partitioned {
            "PARTITION BY RANGE (started_at)"
        } else {
            ""
        };
        self.sql
            .replace(" {{partition by month of started_at}}", clause)
    }
}

#[cfg(any(test, feature = "pg_test"))]
#[pgrx::pg_schema]
#[allow(clippy::expect_used)] // a test says what it expects
mod tests {
    use super::{MIGRATIONS, VIEWS};
    use pgrx::prelude::*;

    fn sql_files(folder: &str) -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder is part of the source")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| {
                std::path::Path::new(name)
                    .extension()
                    .is_some_and(|e| e == "sql")
            })
            .collect();
        names.sort();
        names
    }

    #[pg_test]
    fn every_migration_file_is_compiled_in() {
        let compiled: Vec<String> = MIGRATIONS
            .iter()
            .map(|m| format!("{:04}_{}.sql", m.version, m.name))
            .collect();
        assert_eq!(sql_files("migrations"), compiled);
    }

    #[pg_test]
    fn every_view_file_is_compiled_in() {
        let mut compiled: Vec<String> = VIEWS
            .iter()
            .map(|view| format!("{}.sql", view.name))
            .collect();
        compiled.sort();
        assert_eq!(sql_files("sql/views"), compiled);
    }
}
