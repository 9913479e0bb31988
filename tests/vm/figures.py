#!/usr/bin/env python3
"""Operations a second and CPU an operation: pooled RDMA, RDMA by sessions, and HTTP, side by side.

    tests/vm/guest.sh --rdma --nvme 2 --memory 4096 --limit 1800 -- tests/vm/figures.py [ROUNDS]

Prints a Markdown table of medians. One server on two emulated drives; client and server in one guest;
the three ways take turns, round by round (`penstock-loadgen compare`). Run by hand: soft-RoCE does in
software what a network card does in hardware, in an emulated machine 6 to 30 times slower than its host,
so that these figures show what each way asks of both CPUs beside the others, and nothing of what real
cards deliver.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PENSTOCK = os.environ.get("GATEWAY_TEST_BIN", str(TARGET / "release/penstock"))
LOADGEN = os.environ.get("GATEWAY_TEST_LOADGEN", str(TARGET / "release/penstock-loadgen"))
LISTEN, ADMIN = "127.0.0.1:9000", "127.0.0.1:9001"
KEYS = {"PENSTOCK_ACCESS_KEY": "FIGURESACCESSKEY0001", "PENSTOCK_SECRET_KEY": "figures/secret+key0000000001"}
READY_LIMIT_S = 60

# Size, objects, requests of one way in one round, connections.
LOADS = [("4KiB", 64, 96, 1), ("4KiB", 64, 96, 8), ("1MiB", 16, 16, 1), ("1MiB", 16, 16, 8)]
WAYS = [("pooled", "rdma=pooled"), ("session", "rdma=session"), ("http", "rdma=off")]
COLUMNS = [
    ("operations/s", "requests_per_second", 1),
    ("MiB/s", "mib_per_second", 2),
    ("p50, ms", "latency_p50_us", 2),
    ("server CPU, µs/operation", "server_cpu_us_per_request", 0),
    ("client CPU, µs/operation", "client_cpu_us_per_request", 0),
]


def start(folder: str) -> subprocess.Popen:
    """A server on the guest's drives, ready."""
    drives = os.environ["GUEST_NVME"].split()
    devices = [word for drive in drives for word in ("--devices", drive)]
    data = f"{folder}/data"
    command = [PENSTOCK, "format", "--force", "--data", data, *devices]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    command = [PENSTOCK, "serve", "--data", data, *devices, "--memory", "1GiB"]
    command += ["--listen", LISTEN, "--admin-listen", ADMIN, "--rdma-mode", "on"]
    with open(f"{folder}/log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | KEYS)
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{ADMIN}/readyz", timeout=5):
                return server
        except OSError:
            time.sleep(0.1)
    sys.exit(f"the server is not ready:\n{pathlib.Path(folder, 'log').read_text()}")


def compare(folder: str, server: int, rounds: int, mix: str, load: tuple) -> dict:
    """The medians of one load: by way, by metric."""
    size, objects, requests, connections = load
    report = f"{folder}/report.json"
    ways = [f"{name}=http://{LISTEN},{way},pid={server}" for name, way in WAYS]
    command = [LOADGEN, "compare", *ways, "--bucket", "figures", "--mix", mix, "--prepare"]
    command += ["--size", size, "--objects", str(objects), "--requests", str(requests)]
    command += ["--connections", str(connections), "--rounds", str(rounds), "--quiet", "--json", report]
    command += ["--prefix", f"{mix}-{size}-{connections}/"]
    keys = {"AWS_ACCESS_KEY_ID": KEYS["PENSTOCK_ACCESS_KEY"]}
    keys["AWS_SECRET_ACCESS_KEY"] = KEYS["PENSTOCK_SECRET_KEY"]
    done = subprocess.run(command, env=os.environ | keys, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        log = pathlib.Path(folder, "log").read_text()
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}\n{log}")
    figures = json.loads(pathlib.Path(report).read_text())
    figures = figures.get("comparison", figures)
    rows: dict = {name: {} for name in figures["endpoints"]}
    for metric in figures["metrics"]:
        for name, value in zip(figures["endpoints"], metric["values"]):
            rows[name][metric["metric"]] = value
    return rows


def cell(spread: dict | None, key: str, decimals: int) -> str:
    """Median and ends."""
    if spread is None:
        return "-"
    scale = 1000 if key == "latency_p50_us" else 1
    median, low, high = (spread[end] / scale for end in ("median", "min", "max"))
    return f"{median:.{decimals}f} ({low:.{decimals}f} … {high:.{decimals}f})"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="figures-") as folder:
        server = start(folder)
        keys = os.environ | {
            "AWS_ACCESS_KEY_ID": KEYS["PENSTOCK_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": KEYS["PENSTOCK_SECRET_KEY"],
        }
        bucket = [LOADGEN, "put", "-e", f"http://{LISTEN}", "-b", "figures", "-n", "1", "-s", "1B"]
        subprocess.run([*bucket, "--create-bucket", "--quiet"], env=keys, check=True, capture_output=True)
        print(f"Medians of {rounds} interleaved rounds (least … most), soft-RoCE in an emulated guest.\n")
        print("| operation | size | connections | way |", *(f"{title} |" for title, _, _ in COLUMNS))
        print("|---|---|---|---|" + "---|" * len(COLUMNS))
        for mix in ("get", "put"):
            for load in LOADS:
                for way, values in compare(folder, server.pid, rounds, mix, load).items():
                    cells = [cell(values.get(key), key, digits) for _, key, digits in COLUMNS]
                    print(f"| {mix} | {load[0]} | {load[3]} | {way} |", *(f"{it} |" for it in cells))
                    sys.stdout.flush()
        server.terminate()
        server.wait(READY_LIMIT_S)


if __name__ == "__main__":
    main()
