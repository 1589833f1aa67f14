//! Prints how many texts a second one core masks: `cargo run --release --example speed`.

use std::hint::black_box;
use std::time::Instant;

use masking::mask;

const PLAIN: &str = "TimeoutError: the model did not answer within 30 s (attempt 3 of 3, run 3f2504e0-4f89-41d3-9a0c-0305e82c3301, 15000 tokens)";
const SECRET: &str = "could not connect to postgres://ann:s3cr3t@db:5432/x: ann.lee@example.com, +49 30 1234567, Bearer abc123def456";

fn main() {
    let stack = "  File \"/usr/lib/python3/agents/execution.py\", line 1234, in run_step\n    raise TimeoutError(message)\n".repeat(100);
    for (name, text) in [
        ("plain", PLAIN),
        ("with secrets", SECRET),
        ("10 KB", &stack),
    ] {
        for max_chars in [200, 100_000] {
            let rounds = 2_000_000 / text.len();
            let begun = Instant::now();
            for _ in 0..rounds {
                black_box(mask(black_box(text), max_chars));
            }
            let seconds = begun.elapsed().as_secs_f64();
            let texts = rounds as f64 / seconds;
            println!(
                "{name}, cut to {max_chars}: {texts:.0} texts/s, {:.1} MB/s",
                texts * text.len() as f64 / 1e6
            );
        }
    }
}
