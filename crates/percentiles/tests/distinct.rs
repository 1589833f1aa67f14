//! Stored distinct sketches that nobody has written.

#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::needless_for_each,
    clippy::trivially_copy_pass_by_ref,
    reason = "tests: inputs are known, and references are to be short"
)]

use percentiles::DistinctSketch;
use proptest::prelude::*;

fn stored(count: u64) -> Vec<u8> {
    let mut sketch = DistinctSketch::new().unwrap();
    (0..count).for_each(|value| sketch.insert_u64(value));
    sketch.to_bytes()
}

proptest! {
    #[test]
    fn corrupt_bytes_are_refused_or_canonical(
        count in prop::sample::select(vec![0, 1, 7, 8, 24, 25, 300, 1536, 1537, 30_000]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = stored(count);
        prop_assert!(DistinctSketch::from_bytes(&bytes[..length.index(bytes.len())]).is_err());
        for (at, byte) in changes {
            // Half of the changes hit the header, where all rules are.
            let at = at.index(if byte % 2 == 0 { bytes.len() } else { bytes.len().min(48) });
            bytes[at] = byte;
        }
        if let Ok(sketch) = DistinctSketch::from_bytes(&bytes) {
            prop_assert_eq!(sketch.to_bytes(), bytes);
            let mut other = DistinctSketch::from_bytes(&stored(2000)).unwrap();
            other.merge(&sketch);
            let _ = other.estimate();
        }
    }
}
