//! Prints nanoseconds a value of everything that stands on a hot path; see `main` for the cases.
//!
//! `cargo run --release -p percentiles --example bench [values]`

use percentiles::exact::percentiles_cont;
use percentiles::{PercentileSketch, Stats};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PERCENTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(10_000_000);
    let lognormal = lognormal(count, 1.0);
    let heavy = pareto(count);
    let discrete: Vec<f64> = lognormal.iter().map(|x| (x * 10.0).round()).collect();
    let sorted = sorted(&lognormal);

    println!("{count} values, best of 3, ns a value");
    for (name, values) in [
        ("lognormal", &lognormal),
        ("Pareto", &heavy),
        ("rounded to tenths", &discrete),
        ("sorted", &sorted),
    ] {
        report(&format!("exact, 5 percentiles, {name}"), count, || {
            let mut values = values.clone();
            timed(|| percentiles_cont(&mut values, &PERCENTILES))
        });
    }
    report("exact, 1 percentile, lognormal", count, || {
        let mut values = lognormal.clone();
        timed(|| percentiles_cont(&mut values, &[0.5]))
    });
    for group in [10_000, 1000, 250, 128, 50] {
        report(
            &format!("exact, 5 percentiles, groups of {group}"),
            count,
            || {
                let mut values = lognormal.clone();
                timed(|| {
                    for group in values.chunks_mut(group) {
                        black_box(percentiles_cont(group, &PERCENTILES).ok());
                    }
                })
            },
        );
    }
    report("sort_unstable_by(total_cmp), lognormal", count, || {
        let mut values = lognormal.clone();
        timed(|| values.sort_unstable_by(f64::total_cmp))
    });
    for (name, values) in [("lognormal", &lognormal), ("Pareto", &heavy)] {
        report(&format!("sketch insert, {name}"), count, || {
            timed(|| sketch_of(values))
        });
    }
    report("stats add, lognormal", count, || {
        timed(|| stats_of(&lognormal))
    });
    report("sketch insert, groups of 50, to bytes", count, || {
        timed(|| stored_groups(&lognormal, 50).len())
    });
    report_merges(&lognormal, 50);
    report_merges(&lognormal, 10_000);
    report_sizes(&lognormal, &heavy);
}

fn report(name: &str, count: usize, mut run: impl FnMut() -> Duration) {
    let best = (0..3).map(|_| run()).min().unwrap_or_default();
    let per_value = best.as_nanos() as f64 / count as f64;
    println!(
        "{per_value:9.2}  {:8.1} ms  {name}",
        best.as_secs_f64() * 1e3
    );
}

fn report_merges(values: &[f64], group: usize) {
    let stored = stored_groups(values, group);
    let bytes: usize = stored.iter().map(Vec::len).sum();
    let best = (0..3)
        .map(|_| {
            timed(|| {
                let mut total = PercentileSketch::default();
                for bytes in &stored {
                    let _ = black_box(total.merge_bytes(bytes));
                }
                total.count()
            })
        })
        .min()
        .unwrap_or_default();
    println!(
        "merge_bytes of sketches of {group} values ({} bytes each): {:.0} ns a sketch, {:.2} million/s",
        bytes / stored.len().max(1),
        best.as_nanos() as f64 / stored.len() as f64,
        stored.len() as f64 / best.as_secs_f64() / 1e6,
    );
}

fn report_sizes(lognormal: &[f64], heavy: &[f64]) {
    for (name, values) in [("lognormal", lognormal), ("Pareto", heavy)] {
        for count in [50, 250, 251, 10_000, 1_000_000, values.len()] {
            let sketch = sketch_of(&values[..count.min(values.len())]);
            println!(
                "{name}: {count} values, {} bytes, error {:.4}",
                sketch.to_bytes().len(),
                sketch.error()
            );
        }
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    black_box(run());
    start.elapsed()
}

fn sketch_of(values: &[f64]) -> PercentileSketch {
    let mut sketch = PercentileSketch::default();
    for &x in values {
        sketch.insert(x);
    }
    sketch
}

fn stats_of(values: &[f64]) -> Stats {
    let mut stats = Stats::new();
    for &x in values {
        stats.add(x);
    }
    stats
}

fn stored_groups(values: &[f64], group: usize) -> Vec<Vec<u8>> {
    values
        .chunks(group)
        .map(|values| sketch_of(values).to_bytes())
        .collect()
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// Evenly distributed in `0..1`, never 0 (splitmix64, Steele et al. 2014).
fn uniform() -> impl FnMut() -> f64 {
    let mut state = 42_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

fn lognormal(count: usize, sigma: f64) -> Vec<f64> {
    let mut next = uniform();
    // Box and Muller 1958
    let mut normal = move || {
        let (u, v) = (next(), next());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    };
    (0..count).map(|_| (sigma * normal()).exp()).collect()
}

fn pareto(count: usize) -> Vec<f64> {
    let mut next = uniform();
    (0..count).map(|_| 1.0 / next()).collect()
}
