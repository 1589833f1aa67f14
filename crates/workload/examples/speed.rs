//! Prints how many runs a second one core generates: `cargo run --release --example speed [runs]`.

use std::time::Instant;

use workload::{ParamError, Params, Workload};

fn main() -> Result<(), ParamError> {
    let runs = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(5_000_000);
    let begun = Instant::now();
    let workload = Workload::new(Params {
        runs,
        ..Params::default()
    })?;
    println!("ready after {:?}", begun.elapsed());
    let begun = Instant::now();
    let (mut count, mut errors, mut feedback) = (0_u64, 0_u64, 0_u64);
    for run in (0..workload.chunk_count()).flat_map(|chunk| workload.runs(chunk)) {
        count += 1;
        errors += u64::from(run.error.is_some());
        feedback += u64::from(run.feedback.is_some());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} runs ({errors} errors, {feedback} feedback) in {seconds:.2} s");
    println!("{:.0} runs/s", count as f64 / seconds);
    Ok(())
}
