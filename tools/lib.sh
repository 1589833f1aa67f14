# shellcheck shell=bash disable=SC2034 # variables for the scripts that source this file
# Shared by every script in tools/: where things are, how to say things, how to run Postgres and cargo.
# Source it first:  . "$(dirname "$0")/lib.sh"

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TARGET=$ROOT/target # everything generated lives here
CLUSTERS=$TARGET/clusters # private database clusters
RESULTS=$TARGET/results # one file per test level: "passed failed skipped", and in `make test` the seconds that it took
TIMES=$RESULTS/times # one file per test level, of lines "seconds test"
VENV=$TARGET/venv
EXTENSION=shadower_analytics
ALL_VERSIONS="15 16 17 18"
CARGO_PGRX_VERSION=0.18.1 # the pgrx of Cargo.toml

cd "$ROOT"

say() { printf '  %s\n' "$*" >&2; }
heading() { printf '\n== %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

# A line a minute, until killed or orphaned.
tell_progress() { # tell_progress LOG [NAME]
  local started=$SECONDS nap next=60
  trap 'kill "$nap" 2>/dev/null; exit 0' TERM
  while kill -0 $$ 2>/dev/null; do
    sleep 5 >/dev/null 2>&1 &
    nap=$!
    wait "$nap"
    if ((SECONDS - started >= next)); then
      say "${2:+$2 }... $next s, now at: $(tail -n 1 "$1" 2>/dev/null | tr -d '\r' | cut -c 1-100)"
      next=$((next + 60))
    fi
  done
}

# Runs a long command with its output in a log, and shows that log only if it fails.
quietly() { # quietly LOGNAME MESSAGE COMMAND...
  local log=$TARGET/logs/$1.log message=$2 status=0 started=$SECONDS ticker=
  shift 2
  mkdir -p "$TARGET/logs"
  say "$message ..."
  tell_progress "$log" &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if [ "$status" != 0 ]; then
    tail -n 60 "$log" >&2
    say "that failed (exit code $status) after $((SECONDS - started)) s; the whole output is in ${log#"$ROOT"/}"
    return "$status"
  fi
  say "... done in $((SECONDS - started)) s"
}

# A target/ made by another user (root, usually) can't be built in: say so before cargo does it obscurely.
mkdir -p "$TARGET" 2>/dev/null || true
[ -w "$TARGET" ] || die "${TARGET} belongs to $(stat -c %U "$TARGET" 2>/dev/null || echo 'another user'); remove it, or clone afresh"

# ---------------------------------------------------------------------------------------------- Rust

# cargo may be missing from PATH (a fresh login shell), and with another HOME its rustup shim does not
# find its toolchains: look where rustup put them, beside the shim and in the real home.
find_rust() {
  local home shim
  home=$(getent passwd "$(id -u)" | cut -d: -f6)
  if ! command -v cargo >/dev/null; then
    for shim in "$HOME/.cargo/bin" "$home/.cargo/bin"; do
      if [ -x "$shim/cargo" ]; then
        PATH=$shim:$PATH
        break
      fi
    done
  fi
  command -v cargo >/dev/null || die "no cargo: install Rust with rustup, then try again"
  if ! cargo --version >/dev/null 2>&1 && [ -z "${RUSTUP_HOME:-}" ]; then
    shim=$(dirname "$(dirname "$(dirname "$(command -v cargo)")")")/.rustup
    for shim in "$shim" "$home/.rustup"; do
      if [ -d "$shim/toolchains" ]; then
        export RUSTUP_HOME=$shim
        break
      fi
    done
  fi
  cargo --version >/dev/null || die "cargo is there but does not run"
}

# The environment of every cargo run. It must be the same each time, or cargo rebuilds everything.
cargo_env() { # cargo_env PREFIX, as server_prefix prints it
  find_rust
  export CARGO_TARGET_DIR=$TARGET PGRX_HOME=$TARGET/pgrx
  export PATH=$TARGET/tools/bin:$PATH
  export CARGO_TERM_COLOR=never
  # Without it cargo-pgrx adds a linker flag in some commands only, and each switch rebuilds everything.
  # The flag is there for linkers that drop the SQL schema section, which thin LTO does not.
  export CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND=1
  if [ -n "${1:-}" ]; then export PGRX_PG_CONFIG_PATH=$1/bin/pg_config; fi
  mkdir -p "$PGRX_HOME"
  # pgrx's build script watches this file, and reruns each time where it is missing.
  [ -f "$PGRX_HOME/config.toml" ] || echo '[configs]' >"$PGRX_HOME/config.toml"
  if ! has_libclang; then
    # No libclang on this machine (and no way to install it): the Python wheel has one, but not the
    # compiler's own headers, which gcc has too.
    LIBCLANG_PATH=$(echo "$VENV"/lib/python3*/site-packages/clang/native)
    BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
    export LIBCLANG_PATH BINDGEN_EXTRA_CLANG_ARGS
  fi
}

has_libclang() {
  [ -z "${SHADOWER_NO_SYSTEM:-}" ] || return 1
  compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || ldconfig -p 2>/dev/null | grep -q 'libclang\.so'
}

# ------------------------------------------------------------------------------------------ Postgres

prefix_of() { echo "$TARGET/pg/$1"; } # prefix_of 15, or of a variant: 15-test

# The user that runs servers: Postgres refuses to run as root.
server_user() {
  if ! is_root; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# Runs a command as the server's user. It keeps the right to pass closed directories, because a clone
# may well be in root's home. Only capabilities that we have can be handed on (containers lack some).
as_server() {
  if ! is_root; then
    env -u RUST_BACKTRACE "$@"
    return
  fi
  local user caps="" effective bit
  user=$(server_user)
  effective=$((16#$(sed -n 's/^CapEff:\s*//p' /proc/self/status)))
  for bit in chown:0 dac_override:1 dac_read_search:2 fowner:3; do
    if ((effective >> ${bit#*:} & 1)); then caps+=",+${bit%:*}"; fi
  done
  caps=${caps#,}
  env -u RUST_BACKTRACE USER="$user" setpriv --reuid="$user" --regid="$(id -gn "$user")" --init-groups \
    --securebits=+no_setuid_fixup ${caps:+--inh-caps="$caps" --ambient-caps="$caps"} "$@"
}

# ------------------------------------------------------------------------------------------- results

# Each level of tests notes its counts; `make test` adds them up.
record() { # record LEVEL PASSED FAILED [SKIPPED]
  mkdir -p "$RESULTS"
  echo "$2 $3 ${4:-0}" >"$RESULTS/$1"
  say "$1: $2 passed, $3 failed$([ "${4:-0}" = 0 ] || echo ", $4 skipped")"
}
