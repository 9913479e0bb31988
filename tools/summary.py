#!/usr/bin/env python3
"""Adds up a test run: steps, JUnit reports, doc tests, recorded skips.

Writes RESULTS/summary.txt, whose last line is `N passed, N failed, N skipped`, prints it, and ends
with 1 when anything failed. A step counts as one check where it brings no report of its own, and
also when it failed although its report shows no failure (it did not build, or it timed out).
"""

import pathlib
import re
import sys
import xml.etree.ElementTree


class Totals:
    """The three numbers, and the names behind two of them."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self.skipped: list[str] = []

    def add_junit(self, path: pathlib.Path) -> int:
        """Adds a JUnit report; gives its number of failures."""
        failures = 0
        for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
            name = f"{case.get('classname', '')} {case.get('name', '')}".strip()
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
                failures += 1
            elif skip is not None:
                self.skipped.append(f"{name}: {skip.get('message', 'no reason given')}")
            else:
                self.passed += 1
        return failures

    def add_doc_tests(self, path: pathlib.Path) -> int:
        """Adds the output of `cargo test --doc`; gives its number of failures."""
        failures = 0
        for line in path.read_text(errors="replace").splitlines():
            found = re.match(r"test result: .* (\d+) passed; (\d+) failed; (\d+) ignored", line)
            if found:
                self.passed += int(found[1])
                failures += int(found[2])
            found = re.match(r"test (.+) \.\.\. (FAILED|ignored)", line)
            if found and found[2] == "FAILED":
                self.failed.append(f"doc test {found[1]}")
            elif found:
                self.skipped.append(f"doc test {found[1]}: marked as ignored")
        return failures

    def add_runtime_skips(self, path: pathlib.Path) -> None:
        """Tests that ended early because the machine lacks something: the runner took them for
        passed."""
        for line in path.read_text().splitlines():
            self.skipped.append(line.removeprefix("SKIPPED "))
            self.passed -= 1


def main() -> int:
    results = pathlib.Path(sys.argv[1])
    totals = Totals()
    for line in (results / "steps.tsv").read_text().splitlines():
        name, status, _ = line.split("\t")
        report, doc_tests = results / f"{name}.xml", results / f"{name}.txt"
        if report.exists():
            failures = totals.add_junit(report)
        elif doc_tests.exists():
            failures = totals.add_doc_tests(doc_tests)
        else:
            failures = 0
            totals.passed += int(status == "0")
        if status != "0" and failures == 0:
            totals.failed.append(f"step {name} (status {status})")
    skips = results / "skipped.txt"
    if skips.exists():
        totals.add_runtime_skips(skips)
    lines = [f"FAILED {name}" for name in totals.failed]
    lines += [f"SKIPPED {name}" for name in totals.skipped]
    lines.append(
        f"{totals.passed} passed, {len(totals.failed)} failed, {len(totals.skipped)} skipped"
    )
    text = "\n".join(lines) + "\n"
    (results / "summary.txt").write_text(text)
    print(text, end="")
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
