#!/usr/bin/env python3
"""Writes the Grafana boards of `boards/` to `grafana/`; with --check only says what differs.

Every query is checked against docs/METRICS.md first, so that a metric which is renamed takes its
panels with it or fails here. Needs Python 3.11 and nothing else.
"""

import json
import pathlib
import sys

import boards
import catalogue

FOLDER = pathlib.Path(__file__).resolve().parent / "grafana"


def text(board) -> str:
    """The file of a board."""
    return json.dumps(board.json(), indent=1, ensure_ascii=False) + "\n"


def faults() -> list[str]:
    """What is wrong with the boards' panels, as sentences."""
    found = []
    for board in boards.ALL:
        titles = set()
        for panel in board.panels():
            place = f"{board.uid}: {panel.title}"
            if panel.title in titles:
                found.append(f"{place}: two panels of this title")
            titles.add(panel.title)
            if not panel.unit:
                found.append(f"{place}: no unit")
            if len(panel.about.split()) < 12:
                found.append(f"{place}: its description does not say what to do when it looks bad")
            for query in panel.queries:
                if panel.kind == "timeseries" and not query.legend:
                    found.append(f"{place}: a query without legend")
                expr = query.expr.replace("[R]", "[5m]")
                found += [f"{place}: {fault}" for fault in catalogue.faults(expr, query.legend)]
    return found


def main() -> int:
    """Writes or checks; 1 when something is wrong."""
    found = faults()
    wanted = {f"{board.uid}.json": text(board) for board in boards.ALL}
    present = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if "--check" in sys.argv[1:]:
        for name in sorted(wanted.keys() | present.keys()):
            if wanted.get(name) != present.get(name):
                found.append(f"grafana/{name} differs from what dashboards/build.py writes: run it")
    elif not found:
        FOLDER.mkdir(exist_ok=True)
        for name in present.keys() - wanted.keys():
            (FOLDER / name).unlink()
        for name, content in wanted.items():
            (FOLDER / name).write_text(content)
        panels = sum(len(board.panels()) for board in boards.ALL)
        print(f"{len(wanted)} boards, {panels} panels")
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
