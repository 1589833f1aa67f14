//! A checksum of a whole small workload: whoever changes what is generated raises `GENERATOR_VERSION`.
//! (It is taken of the `Debug` form, so the renaming of a field changes it too; that alone is no
//! new version.)
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use workload::{GENERATOR_VERSION, Params, Workload};

/// FNV-1a, 64 bits.
fn checksum(text: &str, hash: u64) -> u64 {
    text.bytes().fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[test]
fn a_small_workload_never_changes() {
    let workload = Workload::new(Params {
        runs: 20_000,
        ..Params::default()
    })
    .unwrap();
    // The offset basis of FNV.
    let mut hash = 0xCBF2_9CE4_8422_2325;
    for run in workload.runs(0) {
        hash = checksum(&format!("{run:?}\n"), hash);
    }
    for agent in workload.agents() {
        hash = checksum(&format!("{agent:?}\n"), hash);
    }
    for incident in workload.incidents() {
        hash = checksum(&format!("{incident:?}\n"), hash);
    }
    assert_eq!(
        (GENERATOR_VERSION, format!("{hash:016x}").as_str()),
        (1, "2a241b4f95f81a40")
    );
}
