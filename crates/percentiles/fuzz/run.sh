#!/bin/sh
# Fuzzes the decoders for SECONDS (600) on the stable toolchain: libFuzzer with coverage feedback, no
# sanitizer (the crate has no unsafe code), debug assertions and overflow checks on.
# With cargo-fuzz on a nightly toolchain, `cargo fuzz run decode` does the same with one.
set -eu
cd "$(dirname "$0")"
seconds=${1:-600}
host=$(rustc -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-target}/fuzz
cargo run --quiet --manifest-path ../Cargo.toml --example fuzz_seeds -- "$PWD/corpus/decode"
CARGO_TARGET_DIR=$target RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
  -Ccodegen-units=1 -Clink-dead-code" \
  cargo build --quiet --release --target "$host"
mkdir -p artifacts
exec "$target/$host/release/decode" -max_total_time="$seconds" -max_len=9000 -timeout=10 \
  -rss_limit_mb=1024 -artifact_prefix=artifacts/ -print_final_stats=1 corpus/decode
