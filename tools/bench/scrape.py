#!/usr/bin/env python3
"""Whether scraping /metrics disturbs requests: p99 of GETs with and without a scrape each second.

The server has the largest number of series that can be configured of buckets, at least 50,000 in
all. It is asked as Prometheus asks it, by a process of its own under SCHED_IDLE: a Prometheus would
work on another machine, so here it gets only what server and load leave of the cores. Rounds with
and without scrapes are interleaved, so that what disturbs the machine disturbs both. Fails where
there are fewer series, or where the median of the rounds' p99 grows by more than `--growth` (10 %
unless told otherwise). See docs/BENCHMARKS.md.
"""

import argparse
import concurrent.futures
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from gate import Client
from servers import ACCESS_KEY, BUCKET, SECRET_KEY, Gateway, binary

SERIES_MIN = 50_000
BUCKETS = 10_000  # what a store may have; each has five series here
OBJECTS, OBJECT_BYTES = 1000, "4KiB"
SCRAPE_SECONDS = 1.0
# What Prometheus 2.42 sends.
ACCEPT = (
    "application/openmetrics-text;version=1.0.0,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
CREATORS = 32  # connections that create buckets
# A fork is there at once; another Python would start beside the round that is measured.
PROCESSES = multiprocessing.get_context("fork")


def loadgen(server: Gateway, command: str, *arguments: str) -> dict:
    """One run of the load generator; its report."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    }
    line = [binary("penstock-loadgen"), command, "-e", server.url, "-b", BUCKET, "-n", str(OBJECTS)]
    line += ["-s", OBJECT_BYTES, "--json", "-", *arguments]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{line}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def scrape(admin: int) -> tuple[bytes, float]:
    """What /metrics says, and the seconds that it took to get it."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept": ACCEPT})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status != 200 or not text.endswith(b"# EOF\n"):
        raise SystemExit(f"/metrics: {response.status}, {len(text)} bytes")
    return text, time.monotonic() - began


def series(text: bytes) -> int:
    """How many series there are in it."""
    return len(re.findall(rb"^[^#\n]", text, re.MULTILINE))


def scrape_until_ended(admin: int, ended, took) -> None:
    """The scraper's process: a scrape a second, and how long each took."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    times = []
    while not ended.wait(SCRAPE_SECONDS):
        times.append(scrape(admin)[1])
    took.put(times)


def ask(client: Client, method: str, path: str, expected: int) -> None:
    """One request, whose answer must be the expected one."""
    client.connection.request(method, client.signed(method, path, {}))
    response = client.connection.getresponse()
    got = response.read()
    if response.status != expected:
        raise SystemExit(f"{method} {path}: {response.status} {got.decode()}")


def create(server: Gateway, numbers: range) -> None:
    """Creates buckets on a connection of its own."""
    client = Client(server.port)
    for number in numbers:
        ask(client, "PUT", f"/tenant-{number:05}", 200)


def make_tenants(server: Gateway) -> None:
    """Buckets, each with requests that succeeded and one that did not."""
    # Many at a time, which share their flushes.
    with concurrent.futures.ThreadPoolExecutor(CREATORS) as creators:
        parts = [range(part, BUCKETS - 1, CREATORS) for part in range(CREATORS)]
        list(creators.map(lambda part: create(server, part), parts))
    client = Client(server.port)
    for number in range(BUCKETS - 1):
        ask(client, "HEAD", f"/tenant-{number:05}", 200)
        ask(client, "GET", f"/tenant-{number:05}/missing", 404)
        if number % 500 == 0:
            # A lane keeps so many newcomers apart until it is asked.
            scrape(server.admin)


class Scraper:
    """Scrapes once a second until its block ends."""

    def __init__(self, server: Gateway) -> None:
        self.ended, self.queue, self.took = PROCESSES.Event(), PROCESSES.Queue(), []
        arguments = (server.admin, self.ended, self.queue)
        self.process = PROCESSES.Process(target=scrape_until_ended, args=arguments)

    def __enter__(self):
        self.process.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.process.join()
        if self.process.exitcode != 0:
            raise SystemExit("scraping failed")
        self.took = self.queue.get()


def p99_microseconds(server: Gateway, options: argparse.Namespace) -> float:
    """The load of one round: a fixed rate, so that p99 is of the same work each time."""
    arguments = ["-c", str(options.connections), "--duration", f"{options.seconds}s"]
    arguments += ["--rate", str(options.rate), "--auth", "presigned"]
    report = loadgen(server, "get", *arguments)
    return float(report["operations"][0]["latency_us"]["p99"])


def measure(server: Gateway, options: argparse.Namespace) -> int:
    """All rounds; the exit status."""
    loadgen(server, "put", "-c", "16", "--create-bucket")
    make_tenants(server)
    text, took = scrape(server.admin)
    size = f"{series(text)} series, {len(text) >> 20} MiB"
    print(f"{size}, written in {took * 1000:.0f} ms on an idle server", flush=True)
    if series(text) < SERIES_MIN:
        print(f"fewer than {SERIES_MIN}: the bench does not measure what it should")
        return 1
    p99_microseconds(server, options)  # everything is warm after it
    without, with_scrapes, scrapes = [], [], []
    for number in range(options.rounds):
        without.append(p99_microseconds(server, options))
        with Scraper(server) as scraper:
            with_scrapes.append(p99_microseconds(server, options))
        scrapes += scraper.took
        print(
            f"round {number + 1}: p99 {without[-1]:.0f} µs without, {with_scrapes[-1]:.0f} µs with "
            f"{len(scraper.took)} scrapes",
            flush=True,
        )
    before, after = statistics.median(without), statistics.median(with_scrapes)
    growth = after / before - 1
    print(
        f"median p99: {before:.0f} µs without, {after:.0f} µs with ({growth:+.1%}); "
        f"a scrape took {statistics.median(scrapes) * 1000:.0f} ms (median), "
        f"{max(scrapes) * 1000:.0f} ms at most"
    )
    return 0 if growth <= options.growth else 1


def main() -> int:
    """Parses the options and runs the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of rounds (5)")
    parser.add_argument("--seconds", type=int, default=10, help="of each round (10)")
    parser.add_argument("--rate", type=int, default=2000, help="GETs a second (2000)")
    parser.add_argument("--connections", type=int, default=16, help="connections (16)")
    parser.add_argument("--growth", type=float, default=0.10, help="of p99 that is allowed (0.10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-scrape-") as folder:
        settings = {"PENSTOCK_METRICS_BUCKETS": str(BUCKETS)}
        path = pathlib.Path(folder)
        with Gateway(path, "512MiB", "1GiB", settings=settings) as server:
            return measure(server, options)


if __name__ == "__main__":
    sys.exit(main())
