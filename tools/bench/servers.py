"""The servers that the benches measure: this gateway, and nginx with the same files.

Both listen on ports of their own on 127.0.0.1 and are ended by their process ids.
"""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
ACCESS_KEY = "BENCHACCESSKEY000001"
SECRET_KEY = "bench/secret+key00000000000000000000000001"
BUCKET = "bench"
READY_WITHIN_SECONDS = 120
EXIT_WITHIN_SECONDS = 60


def binary(name: str) -> str:
    """A release binary of this repository."""
    given = {"penstock": "GATEWAY_TEST_BIN", "penstock-loadgen": "GATEWAY_TEST_LOADGEN"}[name]
    path = pathlib.Path(os.environ.get(given, TARGET / "release" / name))
    if not path.is_file():
        raise SystemExit(f"{path} is missing: cargo build --release -p gateway -p loadgen")
    return str(path)


def program(name: str) -> str | None:
    """A program of the system, also where Debian puts servers."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(core: int | None) -> list[str]:
    """Puts a command on one core, where there are several."""
    taskset = program("taskset")
    return [taskset, "-c", str(core)] if core is not None and taskset else []


class Process:
    """A child that is ended when its block ends."""

    def __init__(self, command, environment, log: pathlib.Path) -> None:
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self.child.pid

    def wait_for(self, port: int, path: str) -> None:
        """Waits until a GET gives any answer below 500."""
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", path)
                if connection.getresponse().status < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if self.child.poll() is not None or time.monotonic() > deadline:
                log = self.log.read_text(errors="replace")
                self.stop()
                raise SystemExit(f"{self.child.args} is not ready:\n{log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for who does not listen."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(EXIT_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Gateway(Process):
    """`penstock serve` with one lane, on a store in `folder`."""

    def __init__(
        self,
        folder: pathlib.Path,
        memory: str,
        extent_file: str,
        launcher: list[str] | None = None,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.port, self.admin = free_port(), free_port()
        # The server reads every variable that starts with PENSTOCK_, and refuses unknown ones.
        outside = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
        environment = {
            **outside,
            "PENSTOCK_ACCESS_KEY": ACCESS_KEY,
            "PENSTOCK_SECRET_KEY": SECRET_KEY,
            "PENSTOCK_PUBLIC_READ": BUCKET,
            "PENSTOCK_EXTENT_FILE": extent_file,
            "PENSTOCK_LANES": "1",
            **(settings or {}),
        }
        command = (launcher or []) + [binary("penstock"), "serve"]
        command += ["--data", str(folder / "data"), "--listen", f"127.0.0.1:{self.port}"]
        command += ["--admin-listen", f"127.0.0.1:{self.admin}", "--memory", memory]
        super().__init__(command, environment, folder / "penstock.log")
        self.wait_for(self.admin, "/readyz")

    @property
    def url(self) -> str:
        """S3 endpoint."""
        return f"http://127.0.0.1:{self.port}"


NGINX_CONFIGURATION = """
daemon off;
worker_processes 1;
{affinity}
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    open_file_cache max=20000 inactive=300s;
    open_file_cache_valid 300s;
    types {{ }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    server {{ listen 127.0.0.1:{port} reuseport; root {folder}/files; }}
}}
"""


class Nginx(Process):
    """Debian's nginx: one worker, sendfile, keep-alive, open files kept open."""

    def __init__(self, folder: pathlib.Path, core: int | None) -> None:
        nginx = program("nginx")
        if nginx is None:
            raise SystemExit("nginx is missing: tools/packages.sh bench")
        self.port = free_port()
        (folder / "files").mkdir(exist_ok=True)
        configuration = folder / "nginx.conf"
        affinity = "" if core is None else f"worker_cpu_affinity {1 << core:b};"
        # As root the workers would run as another user, who may not read the files.
        user = "user root;" if os.geteuid() == 0 else ""
        configuration.write_text(
            user + NGINX_CONFIGURATION.format(folder=folder, port=self.port, affinity=affinity)
        )
        command = [nginx, "-c", str(configuration), "-p", str(folder)]
        super().__init__(command, dict(os.environ), folder / "nginx.log")
        self.wait_for(self.port, "/")

    @property
    def url(self) -> str:
        """Endpoint of the same shape as the gateway's."""
        return f"http://127.0.0.1:{self.port}"
