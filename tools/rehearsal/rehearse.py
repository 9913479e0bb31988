#!/usr/bin/env python3
"""The fault rehearsal: each fault is done to the real server, and it is timed until the alerts fire
and the panels show it that are said to.

Prometheus scrapes every 5 s and evaluates every 15 s, as dashboards/prometheus.yml and the rules
have it. Nothing may fire before the fault. Writes a report in Markdown with what `penstock top`
showed, and ends with 1 when anything that should have shown a fault did not.

Needs prometheus and strace (root, or ptrace allowed), and the binaries of `make build`.
"""

import argparse
import pathlib
import signal
import sys
import tempfile
import time

from faults import FAULTS, QUIET_SECONDS, SETTLE_SECONDS, STANDARD, Fault
from stage import RATE_INTERVAL, SCRAPE_SECONDS, Boards, Stage, missing_programs

# What the rates of `penstock top` are over: a frame taken earlier would show the quiet before.
TOP_WINDOW_SECONDS = 10


class Watch:
    """What has shown a fault so far, with seconds since it began."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.before: list[str] = []
        self.pending: dict[str, float] = {}
        self.firing: dict[str, float] = {}
        self.shown: dict[tuple[str, str], tuple[float, float]] = {}
        self.frame = ""

    def look_before(self, stage: Stage, boards: Boards) -> None:
        """Notes what shows a fault that is not there yet: it would prove nothing later."""
        self.before = [name for name, state in stage.alerts().items() if state == "firing"]
        for board, title, least in self.fault.panels:
            value = boards.value(stage, board, title)
            if value is not None and value >= least:
                self.before.append(f"{board}: {title} ({value:.3g})")

    def look(self, stage: Stage, boards: Boards, seconds: float) -> None:
        """Asks Prometheus once."""
        for name, state in stage.alerts().items():
            if name in self.before:
                continue
            self.pending.setdefault(name, seconds)
            if state == "firing":
                self.firing.setdefault(name, seconds)
        for board, title, least in self.fault.panels:
            value = boards.value(stage, board, title)
            if value is None:
                continue
            place = (board, title)
            if value >= least and place not in self.shown:
                self.shown[place] = (seconds, value)

    def first(self) -> float:
        """When anything showed it first."""
        shown = [after for after, _ in self.shown.values()]
        return min([*shown, *self.firing.values()], default=float("inf"))

    def missing(self) -> list[str]:
        """What should have shown it and has not."""
        alerts = [name for name in self.fault.alerts if name not in self.firing]
        panels = [
            f"{board}: {title}"
            for board, title, _ in self.fault.panels
            if (board, title) not in self.shown
        ]
        return alerts + panels


def rehearse(fault: Fault, boards: Boards, folder: pathlib.Path) -> Watch:
    """One fault from a quiet server to the last alert."""
    watch = Watch(fault)
    with Stage(folder, {**STANDARD, **fault.settings}) as stage:
        fault.prepare(stage)
        time.sleep(SETTLE_SECONDS)
        stage.start_prometheus()
        time.sleep(QUIET_SECONDS)
        watch.look_before(stage, boards)
        began = time.monotonic()
        fault.strike(stage)
        while watch.missing() and time.monotonic() - began < fault.seconds:
            seconds = time.monotonic() - began
            watch.look(stage, boards, seconds)
            if not watch.frame and seconds > watch.first() + TOP_WINDOW_SECONDS:
                watch.frame = frame(stage, fault.view)
            time.sleep(1)
        watch.frame = watch.frame or frame(stage, fault.view)
    return watch


def frame(stage: Stage, view: str) -> str:
    """What `penstock top` shows now, or what it says instead."""
    done = stage.command("top", "--once", "--view", view, "--size", "100x24")
    return done.stdout.rstrip() or done.stderr.rstrip()


def report(watches: list[Watch]) -> str:
    """The whole report."""
    lines = [
        "# Fault rehearsal",
        "",
        f"Prometheus scrapes every {SCRAPE_SECONDS} s, rules are evaluated every 15 s, panels' rates are over "
        f"{RATE_INTERVAL}. Seconds count from the fault; a load of {QUIET_SECONDS} s went before.",
        "",
        "| fault | alert fires (pending) | panel shows it | missing |",
        "|---|---|---|---|",
    ]
    for watch in watches:
        alerts = [
            f"{name} {watch.firing[name]:.0f} s ({watch.pending[name]:.0f} s)"
            for name in watch.fault.alerts
            if name in watch.firing
        ]
        panels = [
            f"{board}: {title} {after:.0f} s ({value:.3g})"
            for (board, title), (after, value) in watch.shown.items()
        ]
        missing = ", ".join(watch.missing()) or "nothing"
        cells = [watch.fault.name, "<br>".join(alerts), "<br>".join(panels), missing]
        lines.append("| " + " | ".join(cells) + " |")
    for watch in watches:
        also = [name for name in watch.firing if name not in watch.fault.alerts]
        lines += ["", f"## {watch.fault.name}", "", f"{watch.fault.what[0].upper()}{watch.fault.what[1:]}.", ""]
        lines.append(f"Shown before the fault: {', '.join(watch.before) or 'nothing'}.")
        lines.append(f"Fired as well: {', '.join(also) or 'nothing'}.")
        lines += ["", f"`penstock top`, view {watch.fault.view}:", "", "```", watch.frame, "```"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", action="append", choices=names, help="only this fault; repeatable")
    parser.add_argument("--output", type=pathlib.Path, help="file for the report")
    parser.add_argument("--folder", type=pathlib.Path, help="where stores and logs go and stay")
    arguments = parser.parse_args()
    if missing := missing_programs():
        parser.error(f"not installed: {', '.join(missing)}")
    boards = Boards()
    chosen = [fault for fault in FAULTS if arguments.only is None or fault.name in arguments.only]
    unknown = [
        f"{board}: {title}"
        for fault in chosen
        for board, title, _ in fault.panels
        if (board, title) not in boards.panels
    ]
    if unknown:
        parser.error(f"no such panel: {', '.join(unknown)}")
    # So that a stage is cleared also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    watches = []
    for fault in chosen:
        print(f"{fault.name}: {fault.what}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="penstock-rehearsal-") as temporary:
            folder = pathlib.Path(temporary)
            if arguments.folder is not None:
                folder = arguments.folder / fault.name.replace(" ", "-")
                folder.mkdir(parents=True)
            watches.append(rehearse(fault, boards, folder.resolve()))
        text = report(watches)
        if arguments.output is not None:
            arguments.output.write_text(text)
    print(report(watches))
    wrong = [watch for watch in watches if watch.missing() or watch.before]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
