#!/usr/bin/env python3
"""Whether a page of a listing costs what the page has, not what the bucket has.

Two servers, one with 10,000 keys and one with 1,000,000 (`--keys`), are asked for the same pages of
1,000 entries in turn: at the start, in the middle and at the end, with and without delimiter, of
objects and of versions, and all of it again while others write to the bucket. Fails where a page of
the larger bucket takes more than `--growth` times (2) the time of the smaller one. Times are lower
quartiles: what disturbs a machine only ever adds to them. See docs/BENCHMARKS.md.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from gate import Client
from servers import TARGET, Gateway

PLAIN, VERSIONED = "listed", "listed-versions"
BELOW = 4  # keys below each prefix
PAGE = 1_000
SMALL = 10_000
WRITERS = 2


def filler() -> str:
    """The program that fills the index."""
    given = os.environ.get("GATEWAY_TEST_FILL_INDEX")
    path = pathlib.Path(given or TARGET / "release" / "examples" / "fill_index")
    if not path.is_file():
        raise SystemExit(f"{path} is missing: cargo build --release -p datapath --example fill_index")
    return str(path)


def prefix(number: int) -> str:
    """The prefix of this number, as examples/fill_index.rs has it."""
    return f"prefix-{number:06}/"


class Filled:
    """A server whose buckets have so many keys."""

    def __init__(self, folder: pathlib.Path, keys: int, below: int = BELOW) -> None:
        self.folder, self.keys, self.below = folder, keys, below
        folder.mkdir()
        with self.serve() as server:
            client = Client(server.port)
            for bucket in (PLAIN, VERSIONED):
                client.send("PUT", client.signed("PUT", f"/{bucket}", {}))
        began = time.monotonic()
        line = [filler(), str(folder / "data" / "index"), PLAIN, VERSIONED, str(keys), str(below)]
        subprocess.run(line, check=True, timeout=1800)
        print(f"{keys} keys filled in {time.monotonic() - began:.1f} s", flush=True)

    def serve(self) -> Gateway:
        """The server."""
        return Gateway(self.folder, "512MiB", "64MiB")

    def query(self, kind: str, where: str, delimiter: bool) -> tuple[str, dict[str, str]]:
        """Bucket and query of a page that is full."""
        keys = self.keys if kind == "objects" else self.keys // 2
        prefixes = keys // self.below
        if delimiter:
            after = {"middle": prefix((prefixes - PAGE) // 2), "end": prefix(prefixes - PAGE - 1)}
        else:
            # A page of versions has those of some 480 keys.
            behind = PAGE if kind == "objects" else PAGE // 2
            at = {"middle": keys // 2, "end": keys - behind - 1}
            after = {where: f"{prefix(n // self.below)}key-{n:08}" for where, n in at.items()}
        query = {"max-keys": str(PAGE)}
        if delimiter:
            query["delimiter"] = "/"
        if kind == "objects":
            query["list-type"] = "2"
            if where in after:
                query["start-after"] = after[where]
            return PLAIN, query
        query["versions"] = ""
        if where in after:
            query["key-marker"] = after[where]
        return VERSIONED, query


class Asker:
    """One connection to one of the servers."""

    def __init__(self, filled: Filled, server: Gateway) -> None:
        self.filled, self.client = filled, Client(server.port)

    def milliseconds(self, page: tuple[str, str, bool]) -> float:
        """How long one page took; it must be full."""
        bucket, query = self.filled.query(*page)
        target = self.client.signed("GET", f"/{bucket}", query)
        began = time.perf_counter()
        body = self.client.send("GET", target)
        took = (time.perf_counter() - began) * 1000
        entries = sum(body.count(b"<" + tag) for tag in (b"Contents>", b"CommonPrefixes>"))
        entries += body.count(b"<Version>") + body.count(b"<DeleteMarker>")
        if entries != PAGE:
            raise SystemExit(f"{page}: {entries} entries instead of {PAGE}: {body[:300]!r}")
        return took


class Writers:
    """Puts and deletes objects in both buckets until its block ends, below keys of their own."""

    def __init__(self, servers: list[Gateway]) -> None:
        self.ended, self.failure, self.written = threading.Event(), None, [0] * len(servers) * WRITERS
        self.threads = [
            threading.Thread(target=self.run, args=(server, number))
            for number, server in enumerate(list(servers) * WRITERS)
        ]

    def run(self, server: Gateway, number: int) -> None:
        """A thread. Its keys lie behind all that is listed, in pages that the listings share."""
        try:
            client = Client(server.port)
            while not self.ended.is_set():
                for bucket in (PLAIN, VERSIONED):
                    path = f"/{bucket}/zzz-{number}-{self.written[number] % 1000}"
                    client.send("PUT", client.signed("PUT", path, {}), b"x")
                    self.written[number] += 1
        except (OSError, http.client.HTTPException, SystemExit) as failure:
            self.failure = failure

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise SystemExit(f"writing failed: {self.failure}")


def measure(askers: list[Asker], options: argparse.Namespace, label: str) -> list[dict]:
    """Times of all pages, the servers in turn."""
    rows = []
    for kind in options.kinds:
        for delimiter in (False, True):
            for where in ("start", "middle", "end"):
                page = (kind, where, delimiter)
                for asker in askers:
                    asker.milliseconds(page)
                times = [[], []]
                for _ in range(options.rounds):
                    for asker, took in zip(askers, times):
                        took.append(asker.milliseconds(page))
                small, large = (statistics.quantiles(took, n=4)[0] for took in times)
                row = {"load": label, "kind": kind, "delimiter": delimiter, "where": where}
                rows.append({**row, "small_ms": small, "large_ms": large, "ratio": large / small})
                print(
                    f"{label:6} {kind:8} {'/' if delimiter else ' '} {where:6} "
                    f"{small:8.2f} ms {large:8.2f} ms  x {large / small:.2f}",
                    flush=True,
                )
    return rows


def main() -> int:
    """Fills, measures, judges; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the larger bucket")
    parser.add_argument("--deep", action="store_true", help="as many prefixes in both, not keys below")
    parser.add_argument("--rounds", type=int, default=25, help="times that each page is asked for")
    kinds = ("objects", "versions")
    parser.add_argument("--kinds", nargs="+", choices=kinds, default=kinds, help="what is listed")
    parser.add_argument("--growth", type=float, default=2.0, help="most that a page may grow by")
    parser.add_argument("--folder", type=pathlib.Path, help="where the stores are to lie")
    parser.add_argument("--output", type=pathlib.Path, help="where the table is to go, as JSON")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        below = BELOW * options.keys // SMALL if options.deep else BELOW
        sizes = [Filled(folder / "small", SMALL), Filled(folder / "large", options.keys, below)]
        servers = [stack.enter_context(filled.serve()) for filled in sizes]
        askers = [Asker(*pair) for pair in zip(sizes, servers)]
        rows = measure(askers, options, "idle")
        with Writers(servers) as writers:
            rows += measure(askers, options, "writes")
        print(f"{sum(writers.written)} writes meanwhile")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(rows, indent=2) + "\n")
    worst = max(rows, key=lambda row: row["ratio"])
    print(f"the worst page grows {worst['ratio']:.2f}-fold with {options.keys // SMALL} times the keys")
    if worst["ratio"] > options.growth:
        print(f"that is more than {options.growth}: {worst}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
