"""What pm4py says about a log of states: read as JSON from stdin, [[case, state, time], ...], answered as JSON in the
file that is named.

A program of its own, in a venv of its own, because pm4py's licence (AGPL) is not that of the tests.
"""

import json
import sys
from pathlib import Path

import pandas
import pm4py

rows = json.load(sys.stdin)
log = pandas.DataFrame(rows, columns=["case:concept:name", "concept:name", "time:timestamp"])
log["time:timestamp"] = pandas.to_datetime(log["time:timestamp"])
counts, _, _ = pm4py.discover_dfg(log)
times, _, _ = pm4py.discover_performance_dfg(log)
answer = {
    "edges": [[*edge, count, times[edge]["mean"], times[edge]["median"]] for edge, count in counts.items()],
    "variants": [[list(path), count] for path, count in pm4py.get_variants(log).items()],
}
# Not on stdout, where pm4py greets.
Path(sys.argv[1]).write_text(json.dumps(answer))
