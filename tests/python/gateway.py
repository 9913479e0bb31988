"""Starts the real server for the client tests and ends it again."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ACCESS_KEY = "TESTACCESSKEY0000001"
SECRET_KEY = "test/secret+key000000000000000000000000001"
REGION = "us-east-1"
DOMAIN = "s3.penstock.test"
# Settings of a server that is not like the others.
MORE_ENVIRONMENT: dict[str, str] = {}
READY_WITHIN_SECONDS = 60
EXIT_WITHIN_SECONDS = 40
# Below the kernel's ephemeral range and beside the ports of the Rust tests (20000 to 29999).
FIRST_PORT, LAST_PORT = 30_000, 32_000


class Gateway:
    """One server on an empty store, or one that GATEWAY_TEST_ENDPOINT names. `settings`: further
    environment variables."""

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self.settings = settings or {}
        self.endpoint = os.environ.get("GATEWAY_TEST_ENDPOINT", "")
        self.access_key = os.environ.get("GATEWAY_TEST_ACCESS_KEY", ACCESS_KEY)
        self.secret_key = os.environ.get("GATEWAY_TEST_SECRET_KEY", SECRET_KEY)
        self.admin = os.environ.get("GATEWAY_TEST_ADMIN", "")
        self.process = None
        self.folder = None
        if not self.endpoint:
            self._start()

    @property
    def host(self) -> str:
        """HOST:PORT of the endpoint."""
        return self.endpoint.removeprefix("http://")

    @property
    def port(self) -> int:
        """Port of the endpoint."""
        return int(self.host.rpartition(":")[2])

    def _start(self) -> None:
        self.folder = pathlib.Path(
            tempfile.mkdtemp(prefix="penstock-python-", dir=os.environ.get("GATEWAY_TEST_DIR"))
        )
        port, admin = free_ports(2)
        self.endpoint = f"http://127.0.0.1:{port}"
        self.admin = f"http://127.0.0.1:{admin}"
        # The server reads every variable that starts with PENSTOCK_, and refuses unknown ones.
        outside = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
        environment = {
            **outside,
            "PENSTOCK_ACCESS_KEY": self.access_key,
            "PENSTOCK_SECRET_KEY": self.secret_key,
            "PENSTOCK_DOMAINS": DOMAIN,
            "PENSTOCK_EXTENT_FILE": "4GiB",
            **MORE_ENVIRONMENT,
            **self.settings,
        }
        command = [binary(), "serve", "--data", str(self.folder / "data")]
        command += ["--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"]
        command += ["--memory", "512M"]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not answers(f"http://127.0.0.1:{admin}/readyz"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = self.log()
                self.stop()
                raise RuntimeError(f"the server did not become ready:\n{log}")
            time.sleep(0.05)

    def token(self) -> str:
        """The token that the server has left in its data directory."""
        return json.loads((self.folder / "data" / "admin.json").read_text())["token"]

    def log(self) -> str:
        """What the server has written."""
        return (self.folder / "log").read_text(errors="replace") if self.folder else ""

    def stop(self) -> int:
        """Ends the server in order; gives its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(EXIT_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.process = None
        return status


def binary() -> str:
    """The binary under test: GATEWAY_TEST_BIN, or the release build."""
    root = pathlib.Path(__file__).resolve().parents[2]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    path = pathlib.Path(os.environ.get("GATEWAY_TEST_BIN", target / "release" / "penstock"))
    if not path.is_file():
        raise RuntimeError(f"{path} is missing: cargo build --release -p gateway")
    return str(path)


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; chosen by process id, so that two runs do not meet."""
    span = LAST_PORT - FIRST_PORT
    found = []
    for step in range(span):
        port = FIRST_PORT + (os.getpid() * 7 + step) % span
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports in {FIRST_PORT}..{LAST_PORT}")
