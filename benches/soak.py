"""Mixed load for a long time: does a server stay as it is?

Writers, readers, transitions, a refresh each second, leaderboards each minute. Every half minute it notes how much memory
each backend holds for itself, how large the log of changes and the catalogues are, and how late the rollups are; the
table compares the first and the last quarter of the time.

    SOAK_MINUTES=60 tools/bench soak        (default: 10)
"""

import os
import random
import statistics
import threading
import time
from collections import defaultdict
from pathlib import Path

from common import Table, connect, install

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
AGENTS = 50
W = "'00000000-0000-4000-8000-000000000001'"
EVERY = 30 if MINUTES >= 5 else 5  # seconds between samples

READS = [
    f"SELECT * FROM analytics.list_agents({W}, '24h')",
    f"SELECT analytics.agent_analytics({W}, {{agent}}, '7d')",
    f"SELECT * FROM analytics.workspace_activity({W}, '7d', 'hour')",
    f"SELECT * FROM analytics.execution_latency({W}, '24h')",
    f"SELECT * FROM analytics.rank_agents({W}, '7d')",
    f"SELECT * FROM analytics.detect_metric_anomalies({W}, 'runs', '7d')",
    f"SELECT * FROM analytics.error_patterns({W}, NULL, '7d', 10)",
]
SIZES = {
    "log of changes, kB": "SELECT pg_total_relation_size('analytics_internal.rollup_changes') / 1024",
    "catalogues, kB": "SELECT sum(pg_total_relation_size(c.oid)) / 1024 FROM pg_class AS c"
    " WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared",
    "lag of the rollups, s": "SELECT max(lag_seconds) FROM analytics.rollup_status()",
    "dead rows of hourly rollups, share": "SELECT sum(n_dead_tup)::float8 / greatest(sum(n_live_tup), 1)"
    " FROM pg_stat_user_tables WHERE relname ~ '_(hourly|daily|minute)$'",
}

# What autovacuum had to do, and left; partitions as one.
CHURN = """
    SELECT coalesce(p.inhparent::regclass, s.relid::regclass)::text AS name, sum(n_tup_upd + n_tup_del) AS changed,
           sum(n_tup_hot_upd)::float8 / nullif(sum(n_tup_upd), 0) AS hot, sum(n_live_tup) AS live, sum(n_dead_tup) AS dead,
           sum(autovacuum_count) AS vacuums, (sum(pg_relation_size(s.relid)) / 1024)::bigint AS heap
    FROM pg_stat_user_tables AS s LEFT JOIN pg_inherits AS p ON p.inhrelid = s.relid
    GROUP BY 1 HAVING sum(n_tup_upd + n_tup_del) > 100 ORDER BY 2 DESC LIMIT 15"""


def agent(rng: random.Random) -> str:
    return f"md5('{rng.randrange(AGENTS)}')::uuid"


def write(db, rng: random.Random) -> None:
    (run,) = db.execute(f"SELECT analytics.start_run({W}, {agent(rng)}, user_id => {agent(rng)})").fetchone()
    status = "failed" if rng.random() < 0.1 else "completed"
    db.execute(
        "SELECT analytics.finish_run(workspace_id => " + W + ", run_id => %s, status => %s, runtime_seconds => %s,"
        " error_type => %s, error_message => %s)",
        [run, status, rng.lognormvariate(2, 1), *(("Timeout", "no answer") if status == "failed" else (None, None))],
    )  # fmt: skip
    time.sleep(0.002)


def read(db, rng: random.Random) -> None:
    db.execute(rng.choice(READS).format(agent=agent(rng))).fetchall()
    time.sleep(0.02)


def refresh(db, _rng: random.Random) -> None:
    db.execute("SELECT * FROM analytics.refresh()")
    time.sleep(1)


def rank(db, _rng: random.Random) -> None:
    db.execute("SELECT * FROM analytics.refresh_leaderboards()")
    db.execute("SELECT * FROM analytics.refresh_materialized_views()")
    time.sleep(60)


def move(db, rng: random.Random) -> None:
    """To and fro."""
    key = agent(rng)
    (state,) = db.execute(f"SELECT lifecycle_state FROM analytics.agents WHERE agent_id = {key}").fetchone()
    to = "draft" if state == "testing" else "testing"
    db.execute(f"SELECT analytics.transition_agent({W}, {key}, '{to}', 'soak', force => true)")
    time.sleep(0.1)


def work(action, seed: int, stop: threading.Event, done: dict, pids: dict, failures: list) -> None:
    try:
        db, rng = connect(), random.Random(seed)
        pids[db.info.backend_pid] = action.__name__
        while not stop.is_set():
            action(db, rng)
            done[action.__name__] += 1
    except Exception as error:
        failures.append(f"{action.__name__}: {error}")
        stop.set()


def own_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def main() -> None:
    db = install()
    db.execute(f"INSERT INTO analytics.workspaces (workspace_id, name) VALUES ({W}, 'soak')")
    db.execute(
        "INSERT INTO analytics.agent_runs (workspace_id, agent_id, status, started_at, runtime_seconds)"
        f" SELECT {W}, md5((n % {AGENTS})::text)::uuid, 'completed', now() - n * interval '30 seconds', n % 100"
        " FROM generate_series(1, 20000) AS n"
    )
    stop, done, pids, failures = threading.Event(), defaultdict(int), {}, []
    actions = [write, write, read, read, refresh, rank, move]
    threads = [
        threading.Thread(target=work, args=(action, seed, stop, done, pids, failures))
        for seed, action in enumerate(actions)
    ]
    for thread in threads:
        thread.start()
    samples: dict[str, list[float]] = defaultdict(list)
    end = time.monotonic() + 60 * MINUTES
    while time.monotonic() < end and not stop.wait(EVERY):
        for pid, kind in list(pids.items()):
            samples[f"memory of the backend that does {kind}, kB ({pid})"].append(own_memory(pid))
        for name, query in SIZES.items():
            samples[name].append(float(db.execute(query).fetchone()[0] or 0))
    stop.set()
    for thread in threads:
        thread.join()

    table = Table(
        f"{MINUTES:g} minutes of mixed load: " + ", ".join(f"{n:,} x {what}" for what, n in done.items())
    )
    for name, values in samples.items():
        quarter = max(1, len(values) // 4)
        first, last = statistics.mean(values[:quarter]), statistics.mean(values[-quarter:])
        table.figure(name, f"{first:,.1f} to {last:,.1f}", "highest", f"{max(values):,.1f}")
    for name, changed, hot, live, dead, vacuums, heap in db.execute(CHURN).fetchall():
        kept = f"{live:,} live and {dead:,} dead rows in {heap:,} kB"
        done = f"{changed:,} changed, {hot or 0:.0%} in their page; vacuumed {vacuums} times"
        table.figure(name, kept, "", done)
    differences = db.execute("SELECT count(*) FROM analytics.verify_rollups()").fetchone()[0]
    table.figure("rows of rollups that differ from raw rows", f"{differences}")
    table.show()
    if failures or differences:
        raise SystemExit("\n".join(failures) or "rollups differ")


if __name__ == "__main__":
    main()
