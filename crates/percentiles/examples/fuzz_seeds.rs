//! Writes valid stored forms as the first inputs of the fuzz target: `fuzz_seeds DIRECTORY`.

use percentiles::{DistinctSketch, PercentileSketch, Stats};
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "corpus".into());
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    for (name, seed) in seeds() {
        std::fs::write(directory.join(name), seed)?;
    }
    Ok(())
}

fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for count in [0_u32, 1, 3, 250, 251, 400, 5000] {
        for (kind, scale) in [("even", 0.0), ("exponential", 0.01), ("wide", 0.3)] {
            let value = |i: u32| match scale {
                0.0 => f64::from(i) - 1000.0,
                _ => {
                    (f64::from(i % 2000) * scale).exp()
                        * if i.is_multiple_of(3) { -1.0 } else { 1.0 }
                }
            };
            let values: Vec<f64> = (0..count)
                .map(value)
                .chain([f64::NAN, f64::INFINITY])
                .collect();
            seeds.extend(stored(&format!("{kind}-{count}"), &values));
        }
        let mut distinct = DistinctSketch::new().unwrap_or_else(|error| unreachable!("{error}"));
        (0..u64::from(count)).for_each(|value| distinct.insert_u64(value));
        seeds.push((
            format!("distinct-{count}"),
            prefixed(2, &distinct.to_bytes()),
        ));
    }
    seeds
}

fn stored(name: &str, values: &[f64]) -> [(String, Vec<u8>); 2] {
    let mut sketch = PercentileSketch::default();
    let mut stats = Stats::new();
    for &x in values {
        sketch.insert(x);
        stats.add(x);
    }
    [
        (format!("sketch-{name}"), prefixed(0, &sketch.to_bytes())),
        (format!("stats-{name}"), prefixed(1, &stats.to_bytes())),
    ]
}

/// The first byte of an input tells the fuzz target which decoder is meant.
fn prefixed(choice: u8, bytes: &[u8]) -> Vec<u8> {
    [&[choice], bytes].concat()
}
