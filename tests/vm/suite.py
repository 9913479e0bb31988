#!/usr/bin/env python3
"""Runs the tests that need a guest, and writes a JUnit report: suite.py REPORT [NEXTEST-FILTER...]

The tests are the targets guest_* of penstock-tests (tests/vm/*.rs) and `verbs` of the crate rdma.
They are built and listed here, on the host, and run in two boots: all of one guest in the first,
with soft-RoCE and two NVMe drives (the second one with sectors of 4096 bytes); those of guest_pair*
in the second, with a second guest on a link. Where no guest can be had, every test is reported as
skipped, with the reason.

Not here: what a guest is (guest.sh), and the loop over the tests inside it (inside.sh).
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# Bounds. Emulation is 6 to 30 times slower than the host, so these are what a busy machine needs,
# not what is expected: docs/TESTS.md has times measured.
TEST_LIMIT_S = 180
ALONE_LIMIT_S = 900
PAIR_LIMIT_S = 420
PREPARATION_LIMIT_S = 300
# GATEWAY_TEST_FULL: objects of 1 GiB.
FULL_TIMES = 6 if "GATEWAY_TEST_FULL" in os.environ else 1

# Of each guest: a client's buffer of 1 GiB, as much for a server's session, and the server. The
# host gives only what is touched.
MEMORY_MIB = 4096

# A failing test's output in the report.
OUTPUT_CHARACTERS_MAX = 20_000

# Variables that the tests know.
PASSED = ("GATEWAY_TEST_BIN", "GATEWAY_TEST_LOADGEN", "GATEWAY_TEST_SEED", "GATEWAY_TEST_FULL")

MARK = "\x1e"


@dataclasses.dataclass
class Test:
    """One test, and what became of it."""

    binary: str
    name: str
    path: str
    folder: str
    pair: bool
    outcome: str = "not run"
    output: str = ""
    seconds: float = 0.0

    def title(self) -> str:
        return f"{self.binary} {self.name}"


def list_tests(filters: list[str]) -> list[Test]:
    """Builds the test binaries and asks them what is in them."""
    command = ["cargo", "nextest", "list", "--locked", "--message-format", "json"]
    command += ["-p", "penstock-tests", "-p", "rdma", "--ignore-default-filter", *filters]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    tests = []
    for suite in json.loads(listed.stdout)["rust-suites"].values():
        binary = suite["binary-name"]
        if suite["kind"] != "test":
            continue
        if not binary.startswith("guest_") and (suite["package-name"], binary) != ("rdma", "verbs"):
            continue
        for name, case in suite["testcases"].items():
            if case["filter-match"]["status"] != "matches" or case["ignored"]:
                continue
            pair = binary.startswith("guest_pair")
            tests.append(Test(binary, name, suite["binary-path"], suite["cwd"], pair))
    return tests


def preparation() -> str | None:
    """Packages and kernel; the reason when they cannot be had."""
    for command in ([ROOT / "tools/packages.sh", "guest"], [HERE / "kernel.sh"]):
        began = time.monotonic()
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PREPARATION_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{command[0].name} took over {PREPARATION_LIMIT_S} s"
        if done.returncode != 0:
            lines = done.stdout.strip().splitlines() or ["no output"]
            return f"{command[0].name}: {lines[-1]}"
        print(f"guest: {command[0].name} took {time.monotonic() - began:.1f} s", flush=True)
    return None


def run(tests: list[Test], options: list[str], limit: int) -> None:
    """One boot."""
    if not tests:
        return
    with tempfile.NamedTemporaryFile("w", prefix="guest-list-", dir=list_folder()) as plan:
        for number, test in enumerate(tests):
            plan.write("\t".join([str(number), test.folder, test.path, test.name]) + "\n")
        plan.flush()
        command = [HERE / "guest.sh", "--verbose", "--limit", str(limit * FULL_TIMES), *options]
        command += ["--env", "RUST_BACKTRACE=1", "--env", "GATEWAY_TEST_SKIPPED=/dev/null"]
        for name in PASSED:
            command += ["--env", name] if name in os.environ else []
        command += ["--share", results_folder(), "--env", f"GUEST_RESULTS={results_folder()}"]
        command += ["--", HERE / "inside.sh", plan.name, str(TEST_LIMIT_S * FULL_TIMES)]
        guest = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace")
        follow(guest.stdout, tests)
        status = guest.wait()
    for test in tests:
        if test.outcome in ("not run", "running"):
            test.output += f"\n{test.outcome} when the guest ended with status {status}"
            test.outcome = "failed"


def list_folder() -> pathlib.Path:
    """Where a guest finds the list: it sees the host's files, but /tmp may be another mount."""
    folder = ROOT / "target"
    folder.mkdir(exist_ok=True)
    return folder


def results_folder() -> pathlib.Path:
    """Where tests leave texts for whoever reads the results: the one folder that guests write."""
    folder = ROOT / "target" / "test-results" / "guest"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def follow(lines, tests: list[Test]) -> None:
    """Reads what inside.sh writes, and says each result as it comes."""
    current = None
    for line in lines:
        if not line.startswith(MARK):
            if current is not None:
                current.output += line
            continue
        word, number, *rest = line[1:].rstrip("\n").split("\t")
        if word == "begin":
            current = tests[int(number)]
            current.outcome = "running"
            continue
        test, current = tests[int(number)], None
        test.seconds = int(rest[1]) / 1000
        skipped = re.search(r"^SKIPPED .*?: (.*)$", test.output, re.MULTILINE)
        if rest[0] != "0":
            test.outcome = "failed"
            if rest[0] in ("124", "137"):
                test.output += f"\nit had not ended after {TEST_LIMIT_S * FULL_TIMES} s"
        elif skipped:
            test.outcome, test.output = "skipped", skipped[1]
        elif "\ntest result: ok. 1 passed" not in test.output:
            test.outcome = "failed"
            test.output += "\nthe test binary ended with 0 and ran no test"
        else:
            test.outcome = "passed"
        print(f"{test.outcome:>8} [{test.seconds:7.3f}s] {test.title()}", flush=True)
        if test.outcome == "failed":
            print(test.output, flush=True)


def write_report(path: pathlib.Path, tests: list[Test]) -> None:
    """JUnit, as nextest writes it: what tools/summary.py reads."""
    suite = xml.etree.ElementTree.Element("testsuite", name="guest", tests=str(len(tests)))
    for test in tests:
        case = xml.etree.ElementTree.SubElement(suite, "testcase")
        case.set("classname", f"guest::{test.binary}")
        case.set("name", test.name)
        case.set("time", f"{test.seconds:.3f}")
        if test.outcome == "skipped":
            xml.etree.ElementTree.SubElement(case, "skipped", message=test.output)
        elif test.outcome != "passed":
            failure = xml.etree.ElementTree.SubElement(case, "failure", message=test.outcome)
            shown = test.output[-OUTPUT_CHARACTERS_MAX:]
            # XML takes no control characters.
            failure.text = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]", "?", shown)
    path.parent.mkdir(parents=True, exist_ok=True)
    xml.etree.ElementTree.ElementTree(suite).write(path, encoding="unicode")


def main() -> int:
    report = pathlib.Path(sys.argv[1])
    tests = list_tests(sys.argv[2:])
    if not tests:
        print("guest: no test matches", file=sys.stderr)
        return 2
    reason = preparation()
    if reason is None:
        guest = ["--rdma", "--nvme-sectors", "512,4096", "--memory", str(MEMORY_MIB)]
        run([test for test in tests if not test.pair], guest, ALONE_LIMIT_S)
        pair = [*guest, "--cpus", "1", "--peer", f"exec {HERE / 'peer.sh'}"]
        run([test for test in tests if test.pair], pair, PAIR_LIMIT_S)
    else:
        print(f"guest: all tests are skipped: {reason}", flush=True)
        for test in tests:
            test.outcome, test.output = "skipped", f"no guest: {reason}"
    write_report(report, tests)
    counted = {outcome: 0 for outcome in ("passed", "failed", "skipped")}
    for test in tests:
        counted[test.outcome] += 1
    print("guest:", ", ".join(f"{number} {outcome}" for outcome, number in counted.items()))
    return 1 if counted["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
