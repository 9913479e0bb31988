"""States that a server could be in, made up, and a server that shows the console with them.

For what no machine without RDMA, broken drives and a year of uptime can show. The page's files are
the gateway's own, read from its source.
"""

import http.server
import json
import math
import pathlib
import random
import re
import threading
import time

FILES = pathlib.Path(__file__).resolve().parents[2] / "gateway" / "src" / "admin" / "console"
POLICY = re.search(
    r'const POLICY: &str = "(.*?)";', (FILES.parent / "answer.rs").read_text(), re.DOTALL
).group(1)
POLICY = re.sub(r"\\\n\s*", "", POLICY)
MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40
POINTS = 300


def history(busy: bool) -> dict:
    """Five minutes that look like a training job's reads, with a checkpoint in the middle."""
    chance = random.Random(7)
    second = time.time() % 100_000
    result = {name: [] for name in (
        "requests", "server_errors", "received_bytes", "sent_bytes", "rdma_bytes", "p50_seconds",
        "p99_seconds", "device_read_bytes", "device_written_bytes")}
    for point in range(POINTS):
        wave = 1 + 0.25 * math.sin((second + point) / 9) + chance.uniform(-0.08, 0.08)
        save = 1.0 if 120 < point < 165 else 0.04
        level = wave if busy else 0.0
        values = {
            "requests": 11_800 * level,
            "server_errors": 0.0,
            "received_bytes": 1.9 * GIB * save * level,
            "sent_bytes": 6.2 * GIB * level,
            "rdma_bytes": 4.1 * GIB * level,
            "p50_seconds": 0.00046 * level,
            "p99_seconds": (0.0041 + 0.011 * (save > 0.5)) * level,
            "device_read_bytes": 3.7 * GIB * level,
            "device_written_bytes": 2.0 * GIB * save * level,
        }
        for name, value in values.items():
            result[name].append(value)
    return {"interval_seconds": 1.0, "newest": time.time(), **result}


def request(number: int, **other) -> dict:
    """One request that has ended."""
    stages = {"parse": 0.00004, "auth": 0.00006, "index": 0.00002, "queue": 0.0031,
              "device": 0.1421 + 0.01 * number, "verify": 0.0007, "send": 0.0212}
    known = {
        "time": 1_760_000_000.0 - 7 * number, "id": f"8ZK4Q0W1N{number:07d}",
        "operation": "GetObject", "status": 200, "code": None, "bucket": "training-data",
        "key": f"imagenet%2Ftrain/shard-{number:05d}.tar", "user": "AKIATRAINER0000001",
        "client": f"10.20.0.{10 + number}", "seconds": sum(stages.values()),
        "first_byte_seconds": 0.0123, "received_bytes": 0, "sent_bytes": 64 * MIB,
        "stages": stages, "sources": {"device": 60 * MIB, "cache": 4 * MIB}, "delivery": "rdma",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736" if number == 0 else None,
    }
    return known | other


def tenant(name: str, share: float, errors: float = 0.0) -> dict:
    """A bucket, user or client with that share of the load."""
    return {"name": name, "requests": 11_800 * share, "errors": errors,
            "received_bytes": 80 * MIB * share, "sent_bytes": 6.2 * GIB * share}


def stages(busy: bool) -> list:
    """Where the time goes."""
    if not busy:
        return []
    table = [
        ("read", "parse", 0.01, 0.000009, 0.00003), ("read", "auth", 0.04, 0.00002, 0.00006),
        ("read", "index", 0.02, 0.000008, 0.00004), ("read", "queue", 0.06, 0.00002, 0.0011),
        ("read", "device", 0.53, 0.0003, 0.0031), ("read", "verify", 0.04, 0.00002, 0.00005),
        ("read", "send", 0.30, 0.00012, 0.0009),
        ("write", "auth", 0.01, 0.00003, 0.00007), ("write", "receive", 0.58, 0.004, 0.019),
        ("write", "queue", 0.02, 0.00002, 0.0006), ("write", "device", 0.22, 0.0016, 0.0071),
        ("write", "commit", 0.17, 0.0012, 0.0052),
        ("list", "auth", 0.08, 0.00002, 0.00006), ("list", "index", 0.71, 0.0004, 0.0021),
        ("list", "send", 0.21, 0.0001, 0.0003),
    ]
    return [
        {"group": group, "stage": stage, "share": share, "p50_seconds": p50, "p99_seconds": p99}
        for group, stage, share, p50, p99 in table
    ]


def state(kind: str) -> dict:
    """The whole document; `kind` is idle, load or fault."""
    busy = {"idle": False, "load": True, "fault": True}[kind]
    on = 1.0 if busy else 0.0
    past = history(busy)
    drives = [
        {"device": f"/dev/nvme{number}n1", "state": "ok", "reads": 14_900 * on, "writes": 310 * on,
         "read_bytes": 0.93 * GIB * on, "written_bytes": 84 * MIB * on,
         "read_p99_seconds": 0.0011 if busy else None, "write_p99_seconds": 0.0007 if busy else None,
         "in_flight": 21 if busy else 0, "errors": 0, "wear": 0.03 + number / 100}
        for number in range(4)
    ]
    document = {
        "version": "0.1.0", "now": time.time(), "uptime_seconds": 273_840.0 + time.time() % 1000,
        "ready": True, "reasons": [], "warnings": [], "draining": False,
        "rates": {
            "window_seconds": 10.0, "requests": past["requests"][-1], "server_errors": 0.0,
            "client_errors": 0.6 * on, "received_bytes": past["received_bytes"][-1],
            "sent_bytes": past["sent_bytes"][-1], "rdma_bytes": past["rdma_bytes"][-1],
            "p50_seconds": 0.00046 if busy else None, "p99_seconds": 0.0041 if busy else None,
            "first_byte_p99_seconds": 0.0029 if busy else None, "in_flight": 84 if busy else 0,
            "connections": 512 if busy else 3, "connections_limit": 16_384, "cpu": 5.3 * on,
            "resident_bytes": 9 * GIB,
        },
        "history": past,
        "operations": [
            {"operation": "GetObject", "per_second": 11_400.0 * on, "requests": 812_338_104,
             "errors": 12, "in_flight": 71 if busy else 0, "p50_seconds": 0.00045 if busy else None,
             "p99_seconds": 0.0040 if busy else None},
            {"operation": "UploadPart", "per_second": 240.0 * on, "requests": 4_218_339,
             "errors": 0, "in_flight": 13 if busy else 0, "p50_seconds": 0.0072 if busy else None,
             "p99_seconds": 0.031 if busy else None},
            {"operation": "ListObjectsV2", "per_second": 2.1 * on, "requests": 88_121, "errors": 3,
             "in_flight": 0, "p50_seconds": 0.0006 if busy else None,
             "p99_seconds": 0.0024 if busy else None},
        ],
        "stages": stages(busy),
        "paths": [
            {"source": "device", "delivery": "rdma", "bytes": 410 * TIB, "per_second": 2.4 * GIB * on},
            {"source": "cache", "delivery": "rdma", "bytes": 122 * TIB, "per_second": 1.7 * GIB * on},
            {"source": "cache", "delivery": "socket", "bytes": 61 * TIB, "per_second": 0.8 * GIB * on},
            {"source": "device", "delivery": "socket", "bytes": 90 * TIB, "per_second": 1.3 * GIB * on},
        ],
        "copied": [
            {"path": "socket_send", "bytes": 151 * TIB, "per_second": 2.1 * GIB * on},
            {"path": "socket_receive", "bytes": 33 * TIB, "per_second": 80 * MIB * on},
            {"path": "frame", "bytes": 33 * TIB, "per_second": 80 * MIB * on},
        ],
        "lanes": [
            {"lane": lane, "busy": (0.58 + 0.05 * math.sin(lane * 3 + time.time() / 5)) * on,
             "requests": 1475.0 * on, "wakeups": 9_120.0 * on + 4, "submissions": 7_600.0 * on,
             "connections": 64 if busy else 0}
            for lane in range(8)
        ],
        "devices": drives,
        "memory": {
            "arena_bytes": 8 * GIB, "arena_free_bytes": 610 * MIB if busy else 5 * GIB,
            "cache_bytes": 6 * GIB if busy else 3 * GIB, "cache_hit_ratio": 0.42 if busy else None,
            "evictions": 31_000.0 * on, "read_reserved_bytes": 900 * MIB if busy else 0,
            "read_share_bytes": 4 * GIB, "write_reserved_bytes": 210 * MIB if busy else 0,
            "write_share_bytes": 2 * GIB, "waiting": 0,
        },
        "capacity": {
            "bytes": 28 * TIB, "free_bytes": 11 * TIB, "longest_free_run_bytes": 3 * TIB,
            "index_bytes": 41 * GIB, "index_limit_bytes": 256 * GIB,
            "full_in_seconds": 1_814_400.0 if busy else None, "read_only": False,
        },
        "commit": {"queued": 3 if busy else 0, "mutations": 251.0 * on,
                   "batch": 6.4 if busy else None, "p99_seconds": 0.0052 if busy else None},
        "rdma": {"enabled": True, "up": True, "device": "mlx5_0", "peers": 128 if busy else 0,
                 "transfers": 4_400.0 * on, "bytes": 4.1 * GIB * on,
                 "declines": {"unsupported_token": 214, "no_memory": 9}},
        "buckets": [tenant("training-data", 0.81 * on), tenant("checkpoints", 0.17 * on),
                    tenant("models", 0.015 * on, 0.6 * on), tenant("other", 0.005 * on)],
        "users": [tenant("AKIATRAINER0000001", 0.98 * on), tenant("AKIAEVALUATION0002", 0.015 * on),
                  tenant("anonymous", 0.005 * on, 0.6 * on)],
        "clients": [tenant(f"10.20.0.{10 + number}", on / 8) for number in range(8)],
        "errors": [request(90 + number, operation="GetObject", status=404, code="NoSuchKey",
                           bucket="models", key=f"llama%2Fmissing-{number}.safetensors", stages={
                               "auth": 0.00005, "index": 0.00002}, seconds=0.0001, sent_bytes=311,
                           sources={}, delivery="socket") for number in range(6)],
        "slow": [request(number) for number in range(12)],
        "background": [
            {"job": "reclaim", "about": "Gives the space of deleted objects back", "pending": busy,
             "items": 48_112, "per_second": 3.2 * on},
            {"job": "uploads", "about": "Removes uploads that were given up", "pending": False,
             "items": 12, "per_second": 0.0},
        ],
        "configuration": [
            {"name": "data", "value": "/srv/penstock", "source": "flag"},
            {"name": "devices", "value": ", ".join(one["device"] for one in drives), "source": "file"},
            {"name": "memory", "value": "8GiB", "source": "default"},
            {"name": "lanes", "value": "8", "source": "default"},
            {"name": "listen", "value": "0.0.0.0:9000", "source": "file"},
            {"name": "admin_listen", "value": "127.0.0.1:9001", "source": "default"},
            {"name": "secret_key", "value": "(secret)", "source": "environment"},
            {"name": "rdma.mode", "value": "on", "source": "file"},
        ],
    }
    if kind == "fault":
        fault(document)
    return document


def fault(document: dict) -> None:
    """Breaks what can break."""
    drives = document["devices"]
    drives[1].update(state="suspect", errors=3, read_p99_seconds=0.81)
    drives[2].update(state="failed", errors=41)
    document.update(ready=False, reasons=["/dev/nvme2n1 has failed: a flush failed; replace it"])
    document["rates"].update(server_errors=310.0, p99_seconds=1.9)
    document["capacity"].update(read_only=True, free_bytes=900 * GIB, full_in_seconds=5_400.0)
    document["memory"].update(waiting=17)
    document["rdma"].update(up=False)
    document["lanes"][3]["busy"] = 0.98
    document["history"]["server_errors"][-60:] = [310.0] * 60
    document["errors"][0].update(status=500, code="InternalError",
                                 key="<img src=x onerror=alert(1)>%00%2F%C3%BC")
    document["errors"][1].update(status=0, code=None)


class Model:
    """Serves the page, and the state of the kind that `kind` says now; none when it is broken."""

    def __init__(self, kind: str = "load", token: str | None = None) -> None:
        self.kind, self.token, self.asked, self.orders = kind, token, 0, []
        self.served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self.served.server_port}"
        threading.Thread(target=self.served.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answers no more."""
        self.served.shutdown()
        self.served.server_close()

    def _handler(model):
        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def close(self):
                """No answer: the connection ends."""
                self.close_connection = True

            def known(self):
                return self.headers["Authorization"] == f"Bearer {model.token}"

            def do_HEAD(self):
                self.do_GET()

            def do_GET(self):
                if self.path == "/api/v1/state":
                    model.asked += 1
                    if model.token and not self.known():
                        return self.answer(401, "text/plain", b"a token is needed\n")
                    if model.kind == "broken":
                        return self.close()
                    return self.answer(200, "application/json", json.dumps(state(model.kind)).encode())
                if self.path == "/api/v1/log":
                    if not self.known():
                        return self.answer(401, "text/plain", b"a token is needed\n")
                    return self.answer(200, "text/plain", b"INFO serving\nWARN slow\n")
                name = "console.html" if self.path == "/" else pathlib.PurePosixPath(self.path).name
                kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
                file = FILES / name
                if not file.is_file() or file.suffix[1:] not in kinds:
                    return self.answer(404, "text/plain", b"nothing here\n")
                return self.answer(200, kinds[file.suffix[1:]] + "; charset=utf-8", file.read_bytes())

            def do_PUT(self):
                if not self.known():
                    return self.answer(401, "text/plain", b"a token is needed\n")
                model.orders.append(self.path)
                if "missing" in self.path:
                    return self.answer(404, "text/plain", b"there is no bucket missing\n")
                return self.answer(200, "application/json", b"{}\n")

            def log_message(self, *_):
                pass

        return Handler


if __name__ == "__main__":
    import sys

    model = Model(*sys.argv[1:])
    print(model.address, flush=True)
    threading.Event().wait()
