#!/usr/bin/env python3
"""What a request costs the server, beside nginx serving the same files.

Server CPU per request (4 KiB) and per GiB (1 MiB, 64 MiB), from the page cache or the gateway's own
(hot) and from the disk (cold), anonymous and presigned. Rounds are interleaved, so that what
disturbs the machine disturbs all; the table gives medians and spread. See docs/BENCHMARKS.md.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request

from servers import (
    ACCESS_KEY,
    BUCKET,
    ROOT,
    SECRET_KEY,
    Gateway,
    Nginx,
    binary,
    pinned,
    program,
)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclasses.dataclass
class Size:
    """One object size and how it is read."""

    name: str
    label: str
    object_bytes: int
    hot_objects: int
    cold_objects: int
    connections: int
    per_gib: bool

    @property
    def prefix(self) -> str:
        """What its keys start with."""
        return f"{self.name}/"


SIZES = [
    Size("4KiB", "4 KiB", 4 * KIB, 1000, 8000, 16, False),
    Size("1MiB", "1 MiB", MIB, 128, 768, 4, True),
    Size("64MiB", "64 MiB", 64 * MIB, 8, 16, 4, True),
]
HOT_MEMORY, COLD_MEMORY = "2GiB", "256MiB"
CONTENDERS = ["nginx", "penstock", "penstock presigned"]


class Bench:
    """One run of everything."""

    def __init__(self, options: argparse.Namespace, folder: pathlib.Path) -> None:
        self.options = options
        self.folder = folder
        self.rows: list[dict] = []
        # One core for the server and one for the load, where there are two.
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.client_core = (cores[0], cores[1]) if len(cores) > 1 else (None,) * 2

    def gateway(self, memory: str) -> Gateway:
        """The gateway on the bench's store, bound to the server's core."""
        return Gateway(self.folder, memory, self.options.extent_file, pinned(self.server_core))

    def loadgen(self, *arguments: str) -> dict:
        """Runs the load generator; its JSON."""
        path = self.folder / "loadgen.json"
        command = pinned(self.client_core) + [binary("penstock-loadgen"), *arguments]
        command += ["--json", str(path), "--quiet"]
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
        return json.loads(path.read_text())

    def prepare(self) -> None:
        """Stores every object in the gateway and the same bytes as nginx's files."""
        with self.gateway(HOT_MEMORY) as gateway:
            for size in self.options.sizes:
                count = max(size.hot_objects, size.cold_objects)
                print(f"storing {count} objects of {size.label}", flush=True)
                self.loadgen(
                    *("put", "-e", gateway.url, "-b", BUCKET, "--create-bucket"),
                    *("-n", str(count), "-s", size.name, "--prefix", size.prefix, "-c", "4"),
                )
                target = self.folder / "files" / BUCKET / size.name
                target.mkdir(parents=True)
                for number in range(count):
                    url = f"{gateway.url}/{BUCKET}/{size.prefix}{number:010}"
                    with urllib.request.urlopen(url, timeout=120) as got:
                        with open(target / f"{number:010}", "wb") as file:
                            shutil.copyfileobj(got, file, MIB)
        os.sync()

    def hot(self) -> None:
        """Everything from memory: one run of `compare` for each size."""
        with self.gateway(HOT_MEMORY) as gateway, Nginx(self.folder, self.server_core) as nginx:
            for size in self.options.sizes:
                # Twice over everything: the first pass fetches, the second makes it stay.
                for url in (gateway.url, nginx.url):
                    for _ in range(2):
                        self.read_once(url, size, size.hot_objects, "anonymous", None)
                print(f"hot, {size.label}", flush=True)
                compared = self.loadgen(
                    "compare",
                    f"nginx={nginx.url},auth=anonymous,pid={nginx.pid}+",
                    f"penstock={gateway.url},auth=anonymous,pid={gateway.pid}",
                    f"penstock-presigned={gateway.url},auth=presigned,pid={gateway.pid}",
                    *("-b", BUCKET, "-n", str(size.hot_objects), "-s", size.name),
                    *("--prefix", size.prefix, "-c", str(size.connections)),
                    *("--rounds", str(self.options.rounds)),
                    *("--duration", self.options.duration, "--warmup", "500ms"),
                )
                for name, runs in zip(CONTENDERS, compared["runs"], strict=True):
                    self.add("hot", size, name, runs)

    def cold(self) -> None:
        """Everything from the disk: each object once a round, by servers that remember nothing."""
        if os.geteuid() != 0:
            print("cold: not root, so the page cache cannot be dropped; left out")
            return
        runs: dict[tuple[str, str], list] = {}
        for number in range(self.options.rounds):
            for size in self.options.sizes:
                print(f"cold, {size.label}, round {number + 1}", flush=True)
                for name in CONTENDERS:
                    run = self.cold_round(size, name)
                    runs.setdefault((size.name, name), []).append(run)
        for size in self.options.sizes:
            for name in CONTENDERS:
                self.add("cold", size, name, runs[size.name, name])

    def cold_round(self, size: Size, name: str) -> dict:
        """One pass over all objects of a size."""
        os.sync()
        pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n")
        if name == "nginx":
            with Nginx(self.folder, self.server_core) as nginx:
                return self.read_once(
                    nginx.url, size, size.cold_objects, "anonymous", f"{nginx.pid}+"
                )
        # A new process has an empty cache, and O_DIRECT keeps the page cache out of it.
        with self.gateway(COLD_MEMORY) as gateway:
            auth = "presigned" if name.endswith("presigned") else "anonymous"
            return self.read_once(gateway.url, size, size.cold_objects, auth, str(gateway.pid))

    def read_once(self, url: str, size: Size, count: int, auth: str, pid: str | None) -> dict:
        """Reads `count` objects once each."""
        return self.loadgen(
            *("get", "-e", url, "-b", BUCKET, "-n", str(count), "-s", size.name),
            *("--prefix", size.prefix, "-c", str(size.connections), "--auth", auth),
            *("--order", "sequential", "--requests", str(count)),
            *(("--server-pid", pid) if pid else ()),
        )

    def add(self, state: str, size: Size, name: str, runs: list[dict]) -> None:
        """One row: a contender at one size."""
        key = "s_per_gib" if size.per_gib else "us_per_request"
        values = [run["server_cpu"][key] for run in runs]
        self.rows.append(
            {
                "state": state,
                "size": size.label,
                "server": name,
                "unit": "CPU-s/GiB" if size.per_gib else "CPU-µs/request",
                "median": statistics.median(values),
                "lowest": min(values),
                "highest": max(values),
                "values": values,
                "requests_per_second": statistics.median(
                    run["total"]["requests_per_second"] for run in runs
                ),
                "mib_per_second": statistics.median(run["total"]["mib_per_second"] for run in runs),
                "server_cores": statistics.median(run["server_cpu"]["cores"] for run in runs),
                "client_cores": statistics.median(run["client_cpu"]["cores"] for run in runs),
                "errors": sum(run["total"]["errors"] for run in runs),
            }
        )

    def finish(self) -> None:
        """Ratios to nginx, and what limited each row."""
        nginx = {(row["state"], row["size"]): row for row in self.rows if row["server"] == "nginx"}
        for row in self.rows:
            base = nginx[row["state"], row["size"]]
            row["ratio"] = row["median"] / base["median"]
            rounds = zip(row["values"], base["values"], strict=True)
            row["ratios"] = [mine / theirs for mine, theirs in rounds]
            row["limited_by"] = limit(row)


def limit(row: dict) -> str:
    """What the run was waiting for, by who was busy."""
    if row["server_cores"] >= 0.9:
        return "server's core"
    if row["client_cores"] >= 0.9:
        return "client's core"
    if row["state"] == "cold":
        return "disk"
    return "neither core full: shared machine"


def table(rows: list[dict]) -> str:
    """The rows as Markdown."""
    lines = [
        "| | size | server | server CPU (lowest … highest) | × nginx (lowest … highest) "
        "| requests/s | MiB/s | cores: server, client | limited by |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        digits = 3 if row["unit"].endswith("GiB") else 1
        cpu = f"{row['median']:.{digits}f} {row['unit']}"
        spread = f"{row['lowest']:.{digits}f} … {row['highest']:.{digits}f}"
        ratio = f"{row['ratio']:.2f} ({min(row['ratios']):.2f} … {max(row['ratios']):.2f})"
        if row["server"] == "nginx":
            ratio = "1"
        lines.append(
            f"| {row['state']} | {row['size']} | {row['server']} | {cpu} ({spread}) | {ratio} "
            f"| {row['requests_per_second']:.0f} | {row['mib_per_second']:.0f} "
            f"| {row['server_cores']:.2f}, {row['client_cores']:.2f} | {row['limited_by']} |"
        )
    return "\n".join(lines) + "\n"


def machine() -> dict:
    """Where this was measured."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    nginx = subprocess.run([program("nginx"), "-v"], capture_output=True, text=True, check=False)
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "nginx": nginx.stderr.strip(),
        "commit": commit.stdout.strip(),
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each kind (default 5)")
    parser.add_argument("--duration", default="3s", help="length of a hot round (default 3s)")
    parser.add_argument("--sizes", default="4KiB,1MiB,64MiB", help="which sizes")
    parser.add_argument("--hot-only", action="store_true", help="leave the cold rounds out")
    parser.add_argument("--folder", type=pathlib.Path, help="where stores and files go")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target" / "bench")
    parser.add_argument(
        "--smoke", action="store_true", help="one short round of small data: does the bench work?"
    )
    options = parser.parse_args()
    wanted = options.sizes.split(",")
    options.sizes = [size for size in SIZES if size.name in wanted]
    options.extent_file = "6GiB"
    if options.smoke:
        options.rounds, options.duration, options.hot_only = 1, "500ms", True
        options.extent_file = "1GiB"
        small = [dataclasses.replace(size, hot_objects=4, cold_objects=4) for size in SIZES[:2]]
        options.sizes = small
    return options


def main() -> None:
    """Runs the bench and writes bench.json and bench.md."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=options.folder) as name:
        # nginx's worker must be able to enter.
        os.chmod(name, 0o755)
        bench = Bench(options, pathlib.Path(name))
        bench.prepare()
        bench.hot()
        if not options.hot_only:
            bench.cold()
        bench.finish()
    where = machine()
    text = (
        "# Server CPU beside nginx\n\n"
        f"{where['cores']} cores of {where['cpu']}, Linux {where['kernel']}, {where['nginx']}, "
        f"penstock {where['commit']}. Medians of {options.rounds} interleaved rounds, "
        "one nginx worker, one lane, loopback, HTTP/1.1 with keep-alive.\n\n" + table(bench.rows)
    )
    (options.out / "bench.md").write_text(text)
    (options.out / "bench.json").write_text(
        json.dumps({"machine": where, "rows": bench.rows}, indent=1, ensure_ascii=False) + "\n"
    )
    print(text)
    if any(row["errors"] for row in bench.rows):
        sys.exit("some requests failed: the figures mean nothing")


if __name__ == "__main__":
    main()
