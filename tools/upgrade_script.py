"""Prints the SQL that makes the extension of one database equal to that of another.

tools/upgrade-script runs it on the members of both, as tools/upgrade_members.sql gives them. Routines, aggregates and
comments are compared; what else differs has to be written by hand, and it says so.
"""

import json
import sys
from pathlib import Path

ROUTINES = ("function", "procedure", "aggregate")
FINALIZE = Path("sql/finalize.sql")


def quoted(text: str | None) -> str:
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def kind_of(member: dict) -> str:
    return member["type"].upper()


def create(member: dict) -> str:
    if member["aggregate"]:
        return create_aggregate(member)
    definition = member["definition"].rstrip()
    return definition.replace("$libdir/shadower_analytics", "MODULE_PATHNAME") + ";"


def create_aggregate(member: dict) -> str:
    aggregate = member["aggregate"]
    if aggregate["kind"] != "n" or aggregate["moving"]:
        sys.exit(f"write {member['identity']} by hand: it is no plain aggregate")
    options = {
        "SFUNC": aggregate["transition"], "STYPE": aggregate["state"], "SSPACE": aggregate["space"] or None,
        "FINALFUNC": aggregate["final"], "COMBINEFUNC": aggregate["combine"], "SERIALFUNC": aggregate["serial"],
        "DESERIALFUNC": aggregate["deserial"],
        "INITCOND": None if aggregate["initial"] is None else quoted(aggregate["initial"]),
        "PARALLEL": {"s": "SAFE", "r": "RESTRICTED", "u": None}[aggregate["parallel"]],
        "FINALFUNC_MODIFY": {"r": None, "s": "SHAREABLE", "w": "READ_WRITE"}[aggregate["final_modify"]],
    }  # fmt: skip
    given = ",\n".join(f"    {name} = {value}" for name, value in options.items() if value is not None)
    name = member["identity"].partition("(")[0]
    return f"CREATE OR REPLACE AGGREGATE {name}({aggregate['arguments']}) (\n{given}\n);"


def comment(member: dict) -> str:
    return f"COMMENT ON {kind_of(member)} {member['identity']} IS {quoted(member['comment'])};"


def same(old: dict, new: dict) -> bool:
    return old["definition"] == new["definition"] and old["aggregate"] == new["aggregate"]


def main() -> None:
    old, new = (
        {(member["type"], member["identity"]): member for member in json.loads(Path(name).read_text())}
        for name in sys.argv[1:3]
    )
    by_hand = [key for key in old.keys() ^ new.keys() if key[0] not in ROUTINES]
    if by_hand:
        sys.exit(f"write by hand: {sorted(by_hand)}")

    def reshaped(key: tuple) -> bool:
        return key in old and key in new and old[key]["shape"] != new[key]["shape"]

    statements = []
    # In the reverse order of their creation: what uses something goes before it.
    for key, member in reversed(old.items()):
        if key not in new or reshaped(key):
            statements.append(f"DROP {kind_of(member)} {member['identity']};")
    for key, member in new.items():
        is_new = key not in old or reshaped(key)
        if key[0] in ROUTINES and (is_new or not same(old[key], member)):
            statements.append(create(member))
        if (is_new and member["comment"]) or (not is_new and old[key]["comment"] != member["comment"]):
            statements.append(comment(member))
    print("-- Made by tools/upgrade-script from the catalogues of both versions.\n")
    print("\n\n".join(statements))
    print()
    print(FINALIZE.read_text(), end="")


main()
