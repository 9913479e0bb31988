#!/usr/bin/env python3
"""Instructions per request of the release binary, held against tools/bench/baseline.json.

The server runs under callgrind with one lane and the blocking engine. For each operation the client
sends N requests and then 2N, one at a time on one connection; the difference over N is the cost of
a request, so start-up, timers and warming cancel out. Fails where an operation has grown by more
than 3 %, or where measuring requests (metrics.requests) adds more than 2 % to a GET of 4 KiB.
`--record` writes a new baseline. See docs/BENCHMARKS.md.
"""

import argparse
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

from servers import ACCESS_KEY, BUCKET, ROOT, SECRET_KEY, Gateway, program

BASELINE = pathlib.Path(__file__).with_name("baseline.json")
GROWTH_MAX = 0.03
# It administers: each second it looks at everything, which under valgrind is a second of 200 requests.
MAIN_THREAD = "-01"
# What metrics, stages and receipts may add to this operation: on against off, in one binary.
MEASURED = "GET 4 KiB"
MEASURING_MAX = 0.02
REGION = "us-east-1"
KIB, MIB = 1 << 10, 1 << 20

# Operation, N, and what one request is.
OPERATIONS = {
    "GET 4 KiB": (400, "GET", "small", b""),
    "GET 1 MiB": (40, "GET", "large", b""),
    "PUT 4 KiB": (200, "PUT", "written", b"p" * 4 * KIB),
    "LIST 100": (60, "GET", "", b""),
}


class Client:
    """One connection, presigned requests, one at a time."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.connection = http.client.HTTPConnection(self.host, timeout=600)

    def target(self, method: str, key: str, query: dict[str, str]) -> str:
        """A presigned request target in the bench's bucket."""
        return self.signed(method, f"/{BUCKET}" + (f"/{key}" if key else ""), query)

    def signed(self, method: str, path: str, query: dict[str, str]) -> str:
        """A presigned request target of that path, which needs no escapes."""
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        scope = f"{now[:8]}/{REGION}/s3/aws4_request"
        pairs = {
            **query,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{ACCESS_KEY}/{scope}",
            "X-Amz-Date": now,
            "X-Amz-Expires": "86400",
            "X-Amz-SignedHeaders": "host",
        }
        text = "&".join(
            f"{name}={urllib.parse.quote(value, safe='')}" for name, value in sorted(pairs.items())
        )
        canonical = f"{method}\n{path}\n{text}\nhost:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        key_bytes = f"AWS4{SECRET_KEY}".encode()
        for part in (now[:8], REGION, "s3", "aws4_request"):
            key_bytes = hmac.new(key_bytes, part.encode(), hashlib.sha256).digest()
        signature = hmac.new(key_bytes, to_sign.encode(), hashlib.sha256).hexdigest()
        return f"{path}?{text}&X-Amz-Signature={signature}"

    def send(self, method: str, target: str, body: bytes = b"") -> bytes:
        """One request; its body must come with 200."""
        self.connection.request(method, target, body or None)
        response = self.connection.getresponse()
        got = response.read()
        if response.status != 200:
            raise SystemExit(f"{method} {target}: {response.status} {got.decode()}")
        return got

    def repeat(self, count: int, method: str, key: str, body: bytes) -> None:
        """The same request, again and again."""
        query = {} if key else {"list-type": "2", "max-keys": "100"}
        target = self.target(method, key, query)
        for _ in range(count):
            self.send(method, target, body)


class Callgrind:
    """Counters of the running server, read by callgrind_control."""

    def __init__(self, folder: pathlib.Path, pid: int) -> None:
        self.folder, self.pid = folder, pid
        self.dumps = 0

    def take(self) -> int:
        """Instructions since the last call, but for the main thread; the counters start at zero again."""
        self.dumps += 1
        subprocess.run(
            ["callgrind_control", "-d", str(self.pid)],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=300,
        )
        paths = sorted(self.folder.glob(f"callgrind.out.{self.dumps}-*"))
        if len(paths) < 2:
            raise SystemExit(f"callgrind wrote {len(paths)} files of threads to {self.folder}")
        return sum(self.total(path) for path in paths if not path.name.endswith(MAIN_THREAD))

    @staticmethod
    def total(path: pathlib.Path) -> int:
        found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
        if found is None:
            raise SystemExit(f"{path} has no totals")
        return int(found[1])


def measure(
    folder: pathlib.Path, names: list[str], further: dict[str, str] | None = None
) -> dict[str, float]:
    """Instructions per request of these operations, with further settings."""
    launcher = [
        *(program("setarch"), "--addr-no-randomize"),
        *("valgrind", "--tool=callgrind", "--fair-sched=yes", "--quiet"),
        "--separate-threads=yes",
        f"--callgrind-out-file={folder}/callgrind.out",
    ]
    settings = {
        "PENSTOCK_IO_ENGINE": "blocking",
        "PENSTOCK_HUGE_PAGES": "off",
        "PENSTOCK_LOCK_MEMORY": "off",
        "PENSTOCK_PIN_LANES": "off",
        "PENSTOCK_INDEX_MAP": "1GiB",
        **(further or {}),
    }
    counts = {}
    with Gateway(folder, "256MiB", "256MiB", launcher, settings) as gateway:
        client = Client(gateway.port)
        connection = Client(gateway.port)
        create(connection)
        for key, size in (("small", 4 * KIB), ("large", MIB)):
            client.send("PUT", client.target("PUT", key, {}), b"x" * size)
        for number in range(100):
            client.send("PUT", client.target("PUT", f"listed/{number:03}", {}), b"x")
        callgrind = Callgrind(folder, gateway.pid)
        for name in names:
            count, method, key, body = OPERATIONS[name]
            client.repeat(max(10, count // 4), method, key, body)
            callgrind.take()
            client.repeat(count, method, key, body)
            once = callgrind.take()
            client.repeat(2 * count, method, key, body)
            twice = callgrind.take()
            counts[name] = (twice - once) / count
            told = "".join(f" ({key}={value})" for key, value in (further or {}).items())
            print(f"{name}{told}: {counts[name]:,.0f} instructions", flush=True)
    return counts


def create(client: Client) -> None:
    """Makes the bucket."""
    client.send("PUT", client.target("PUT", "", {}))


def skip(reason: str) -> None:
    """Says that this machine cannot run the gate, where the summary of a test run sees it."""
    line = f"SKIPPED bench-gate: {reason}"
    print(line)
    record = os.environ.get("GATEWAY_TEST_SKIPPED")
    if record:
        with open(record, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def toolchain() -> dict[str, str]:
    """What the counts depend on besides the source."""
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    valgrind = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True)
    return {"rustc": rustc.stdout.strip(), "valgrind": valgrind.stdout.strip()}


def judge(counts: dict[str, float], baseline: dict) -> list[dict]:
    """Each operation beside its baseline."""
    rows = []
    for name, count in counts.items():
        recorded = baseline["instructions"].get(name)
        growth = None if recorded is None else count / recorded - 1
        rows.append(
            {
                "operation": name,
                "instructions": round(count),
                "baseline": recorded,
                "growth": growth,
                "fails": growth is None or growth > GROWTH_MAX,
            }
        )
    return rows


def judge_measuring(measured: float, unmeasured: float) -> dict:
    """What measuring requests adds to one."""
    growth = measured / unmeasured - 1
    return {
        "operation": f"{MEASURED}, measured",
        "instructions": round(measured),
        "unmeasured": round(unmeasured),
        "growth": growth,
        "fails": growth > MEASURING_MAX,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write a new baseline")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "bench-gate")
    options = parser.parse_args()
    for needed in ("valgrind", "callgrind_control", "setarch"):
        if program(needed) is None:
            skip(f"{needed} is not installed")
            return 0
    if not options.record and not BASELINE.exists():
        skip(f"no baseline: {BASELINE.name} is written by --record")
        return 0
    with tempfile.TemporaryDirectory(prefix="penstock-gate-") as name:
        folder = pathlib.Path(name)
        (folder / "on").mkdir()
        (folder / "off").mkdir()
        counts = measure(folder / "on", list(OPERATIONS))
        off = {"PENSTOCK_METRICS_REQUESTS": "off"}
        unmeasured = measure(folder / "off", [MEASURED], off)[MEASURED]
    measuring = judge_measuring(counts[MEASURED], unmeasured)
    tools = toolchain()
    if options.record:
        recorded = {"toolchain": tools, "instructions": {k: round(v) for k, v in counts.items()}}
        BASELINE.write_text(json.dumps(recorded, indent=2) + "\n")
        print(f"recorded in {BASELINE}")
        return 0
    baseline = json.loads(BASELINE.read_text())
    rows = judge(counts, baseline)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"toolchain": tools, "rows": rows, "measuring": measuring}
    (options.out / "gate.json").write_text(json.dumps(result, indent=1))
    for row in rows:
        grown = "no baseline" if row["growth"] is None else f"{row['growth']:+.2%}"
        verdict = "FAILS" if row["fails"] else "holds"
        print(f"{row['operation']:<10} {row['instructions']:>12,} {grown:>12}  {verdict}")
    verdict = "FAILS" if measuring["fails"] else "holds"
    print(
        f"measuring: {MEASURED} {measuring['instructions']:,} on, {measuring['unmeasured']:,} off, "
        f"{measuring['growth']:+.2%} of at most {MEASURING_MAX:.0%}  {verdict}"
    )
    if baseline["toolchain"] != tools:
        print(f"note: recorded with {baseline['toolchain']}, measured with {tools}")
    return int(measuring["fails"] or any(row["fails"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
