//! Writes the SQL that follows from declarations in `src/`, so that it is said once.
//!
//! pgrx takes SQL as a literal and nothing else. So each text becomes a Rust file in Cargo's output folder, with the
//! literal in it, and `src/lib.rs` includes it. In the install script it is text like any other.

use std::error::Error;
use std::path::Path;

#[allow(dead_code, unused_imports)] // the library uses the rest
#[path = "src/rollup/declarations/mod.rs"]
mod declarations;
#[path = "build/rollup.rs"]
mod rollup;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=src/rollup/declarations");
    write("rollup_declared", &["setup", "percentiles"], &rollup::sql())
}

/// A text of the install script: its name, and what comes before it.
fn write(name: &str, after: &[&str], sql: &str) -> Result<(), Box<dyn Error>> {
    let rust = format!("extension_sql!({sql:?}, name = {name:?}, requires = {after:?});\n");
    let folder = std::env::var("OUT_DIR")?;
    std::fs::write(Path::new(&folder).join(format!("{name}.rs")), rust)?;
    Ok(())
}
