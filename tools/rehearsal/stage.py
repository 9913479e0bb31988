"""What a fault is played on: the real server, the real Prometheus with the rules of dashboards/, load.

Everything listens on ports of its own on 127.0.0.1, lives in one temporary folder, and is ended by
its process id when the block ends.
"""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
ACCESS_KEY = "REHEARSALKEY00000001"
SECRET_KEY = "rehearsal/secret+key0000000000000000000001"
BUCKET = "rehearsal"
# Debian's Prometheus and strace; apt-get install prometheus strace.
NEEDED = ("prometheus", "strace")
READY_WITHIN_SECONDS = 120
EXIT_WITHIN_SECONDS = 30
# As dashboards/prometheus.yml has it.
SCRAPE_SECONDS = 5
# Grafana's $__rate_interval: four scrapes.
RATE_INTERVAL = f"{4 * SCRAPE_SECONDS}s"


def binary(name: str) -> str:
    """A binary of this repository: the one given by the environment, else the release build."""
    given = {"penstock": "GATEWAY_TEST_BIN", "penstock-loadgen": "GATEWAY_TEST_LOADGEN"}[name]
    path = pathlib.Path(os.environ.get(given, TARGET / "release" / name))
    if not path.is_file():
        raise SystemExit(f"{path} is missing: make build, or set {given}")
    return str(path)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(port: int, path: str) -> tuple[int, str]:
    """Status and body of a GET; (0, "") where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""


def wait_until(what: str, seconds: float, true) -> None:
    """Asks `true` five times a second until it says so."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.2)


class Stage:
    """One server with its Prometheus, and everything that is done to them."""

    def __init__(self, folder: pathlib.Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.children: list[subprocess.Popen] = []
        self.s3, self.admin, self.prometheus = free_port(), free_port(), free_port()
        self.server = self.start_server()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The last one first: strace lets go of the server before the server is asked to stop.
        for child in reversed(self.children):
            self.end(child)

    def run(self, name: str, command: list[str], environment=None) -> subprocess.Popen:
        """Starts a child whose output goes to a file of the folder."""
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                command,
                env=environment or outside(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.children.append(child)
        return child

    def end(self, child: subprocess.Popen) -> None:
        """SIGTERM, and SIGKILL for who does not listen."""
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(EXIT_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if child in self.children:
            self.children.remove(child)

    # ----- the server -------------------------------------------------------------------------

    def start_server(self) -> subprocess.Popen:
        """`penstock serve`, ready. The same store each time."""
        settings = {f"PENSTOCK_{name}": value for name, value in self.settings.items()}
        environment = {
            **outside(),
            "PENSTOCK_ACCESS_KEY": ACCESS_KEY,
            "PENSTOCK_SECRET_KEY": SECRET_KEY,
            **settings,
        }
        command = [binary("penstock"), "serve", "--data", str(self.folder / "data")]
        command += ["--listen", f"127.0.0.1:{self.s3}", "--admin-listen", f"127.0.0.1:{self.admin}"]
        child = self.run("server", command, environment)

        def ready() -> bool:
            if child.poll() is not None:
                log = (self.folder / "server.log").read_text(errors="replace")
                raise SystemExit(f"the server ended at its start:\n{log}")
            return fetch(self.admin, "/readyz")[0] == 200

        wait_until("the server is ready", READY_WITHIN_SECONDS, ready)
        return child

    def restart_server(self) -> None:
        """Ends it and starts it again: its memory is cold then."""
        self.end(self.server)
        self.server = self.start_server()

    def inject(self, fault: str) -> subprocess.Popen:
        """Attaches strace to all threads of the server, with this `-e inject=`."""
        call = fault.split(":")[0]
        command = ["strace", "-f", "-qq", "-p", str(self.server.pid), "-o", "/dev/null"]
        return self.run("strace", command + ["-e", f"trace={call}", "-e", f"inject={fault}"])

    def command(self, *arguments: str) -> subprocess.CompletedProcess:
        """A `penstock` command about this server, to its end."""
        command = [binary("penstock"), *arguments, "--data", str(self.folder / "data")]
        return subprocess.run(
            command, env=outside(), capture_output=True, text=True, timeout=60, check=False
        )

    # ----- load -------------------------------------------------------------------------------

    def load(self, *arguments: str, key=(ACCESS_KEY, SECRET_KEY)) -> subprocess.Popen:
        """`penstock-loadgen` that runs beside; give it an end of its own (--duration)."""
        environment = {
            **outside(),
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.s3}",
        }
        command = [binary("penstock-loadgen"), *arguments, "-b", BUCKET, "--quiet"]
        return self.run("loadgen", command, environment)

    def load_to_end(self, *arguments: str, seconds: float = 180) -> None:
        """The same until it has ended well."""
        child = self.load(*arguments)
        if child.wait(seconds) != 0:
            log = (self.folder / "loadgen.log").read_text(errors="replace")
            raise SystemExit(f"loadgen {' '.join(arguments)}:\n{log}")
        self.children.remove(child)

    # ----- Prometheus -------------------------------------------------------------------------

    def start_prometheus(self) -> None:
        """Debian's Prometheus with the rules as they are shipped."""
        rules = ROOT / "dashboards" / "prometheus"
        configuration = {
            "global": {
                "scrape_interval": f"{SCRAPE_SECONDS}s",
                "scrape_timeout": f"{SCRAPE_SECONDS}s",
                "evaluation_interval": "15s",
            },
            "rule_files": [str(rules / "penstock.rules.yml"), str(rules / "penstock.alerts.yml")],
            "scrape_configs": [
                {
                    "job_name": "penstock",
                    "static_configs": [{"targets": [f"127.0.0.1:{self.admin}"]}],
                }
            ],
        }
        path = self.folder / "prometheus.yml"
        # JSON is YAML.
        path.write_text(json.dumps(configuration))
        command = ["prometheus", f"--config.file={path}", "--log.level=warn"]
        command += [f"--storage.tsdb.path={self.folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{self.prometheus}"]
        self.run("prometheus", command)
        wait_until(
            "Prometheus has scraped",
            READY_WITHIN_SECONDS,
            lambda: any(value == 1 for value in self.query("up")),
        )

    def query(self, expression: str) -> list[float]:
        """The values of an instant query; none where it fails."""
        text = urllib.parse.urlencode({"query": expression})
        status, body = fetch(self.prometheus, f"/api/v1/query?{text}")
        if status != 200:
            return []
        result = json.loads(body)["data"]
        samples = [result] if result["resultType"] == "scalar" else result["result"]
        values = [float(sample["value"][1]) for sample in samples]
        return [value for value in values if value == value]

    def alerts(self) -> dict[str, str]:
        """Alerts that are pending or firing."""
        status, body = fetch(self.prometheus, "/api/v1/alerts")
        found: dict[str, str] = {}
        if status == 200:
            for alert in json.loads(body)["data"]["alerts"]:
                name = alert["labels"]["alertname"]
                if found.get(name) != "firing":
                    found[name] = alert["state"]
        return found


def outside() -> dict[str, str]:
    """The environment without settings: the server refuses those that it does not know."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}


def missing_programs() -> list[str]:
    """What has to be installed first."""
    return [name for name in NEEDED if shutil.which(name) is None]


class Boards:
    """The queries of the boards' panels, by board and title."""

    def __init__(self) -> None:
        self.panels: dict[tuple[str, str], list[str]] = {}
        for path in sorted((ROOT / "dashboards" / "grafana").glob("*.json")):
            for panel in json.loads(path.read_text())["panels"]:
                queries = [target["expr"] for target in panel.get("targets", [])]
                if queries:
                    self.panels[(path.stem, panel["title"])] = [filled(query) for query in queries]

    def value(self, stage: Stage, board: str, title: str) -> float | None:
        """The largest value that the panel shows now."""
        values = [value for query in self.panels[(board, title)] for value in stage.query(query)]
        return max(values, default=None)


def filled(query: str) -> str:
    """The query with Grafana's variables at "all"."""
    for name in ("job", "instance", "device", "user", "bucket"):
        query = query.replace(f"${name}", ".*")
    for name in ("$__rate_interval", "$__interval", "$__range"):
        query = query.replace(name, RATE_INTERVAL)
    return query
