#!/usr/bin/env python3
"""What TLS costs the server, beside plain HTTP from the same server in the same run.

CPU per GiB (1 MiB objects) and per request (4 KiB), by kept connections, of plain HTTP, of TLS in the
server's own memory and, where the kernel has it, of the kernel's TLS; and CPU per handshake, full and
resumed. The load is h2load, which shares no code with the server. Rounds are interleaved, so that what
disturbs the machine disturbs all; the table gives medians with the spread, and the ratio to plain
within each round. See docs/BENCHMARKS.md.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import ssl
import statistics
import subprocess
import tempfile
import urllib.request

from servers import BUCKET, ROOT, Gateway, binary, free_port, pinned, program

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
TICKS = os.sysconf("SC_CLK_TCK")
OBJECTS = 16
ACCESS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
H2LOAD_SECONDS = 300


class Secure(Gateway):
    """The gateway with HTTPS beside HTTP, encrypted by itself or by the kernel."""

    def __init__(self, folder: pathlib.Path, kernel: str, launcher: list[str]) -> None:
        self.secure_port = free_port()
        self.trusted = folder / "data" / "tls" / "self-signed.crt"
        settings = {
            "PENSTOCK_TLS_LISTEN": f"127.0.0.1:{self.secure_port}",
            "PENSTOCK_TLS_SELF_SIGNED": "on",
            "PENSTOCK_TLS_KERNEL": kernel,
        }
        super().__init__(folder, "1GiB", "2GiB", launcher, settings)

    @property
    def secure_url(self) -> str:
        """The HTTPS endpoint."""
        return f"https://127.0.0.1:{self.secure_port}"

    def seconds(self) -> float:
        """CPU time so far, user and kernel. The kernel's work for a socket is its caller's."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def load(core: int | None, url: str, requests: int, connections: int) -> None:
    """That many requests by HTTP/1.1; all have to succeed."""
    command = pinned(core) + [program("h2load"), "--h1", "-n", str(requests), "-c", str(connections), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=H2LOAD_SECONDS, check=False)
    if done.returncode != 0 or f"{requests} succeeded" not in done.stdout:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")


def handshakes(server: Secure, count: int, resume: bool) -> None:
    """Connections that do nothing but shake hands, on one session or each on its own."""
    context = ssl.create_default_context(cafile=str(server.trusted))
    # Of 1.2 the ticket comes within the handshake, so that nothing has to be read for it.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.secure_port)) as bare:
            with context.wrap_socket(bare, server_hostname="127.0.0.1", session=session) as stream:
                if resume:
                    session = session or stream.session


class Bench:
    """One run of everything."""

    def __init__(self, options: argparse.Namespace, folder: pathlib.Path) -> None:
        self.options, self.folder = options, folder
        self.rows: dict[tuple[str, str], list[float]] = {}
        cores = sorted(os.sched_getaffinity(0))
        self.server_core, self.client_core = (cores[0], cores[1]) if len(cores) > 1 else (None,) * 2

    def server(self, kernel: str) -> Secure:
        """The gateway on the bench's store, bound to the server's core."""
        return Secure(self.folder, kernel, pinned(self.server_core))

    def prepare(self) -> bool:
        """Stores the objects; says whether the kernel has TLS."""
        with self.server("auto") as server:
            for size, label in ((MIB, "1MiB"), (4 * KIB, "4KiB")):
                command = [binary("penstock-loadgen"), "put", "-e", server.url, "-b", BUCKET]
                command += ["--create-bucket", "-n", str(OBJECTS), "-s", label, "--prefix", f"{size}/"]
                keys = dict(zip(ACCESS, ("BENCHACCESSKEY000001", "bench/secret+key00000000000000000000000001")))
                done = subprocess.run(
                    [*command, "--quiet"], env={**os.environ, **keys}, capture_output=True, text=True, check=False
                )
                if done.returncode != 0:
                    raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin}/metrics") as answer:
                text = answer.read().decode()
            return re.search(r"^penstock_tls_kernel 1$", text, re.MULTILINE) is not None

    def measure(self, what: str, who: str, server: Secure, work, share: float) -> None:
        """CPU seconds of that work, by `share`, which is requests or GiB."""
        before = server.seconds()
        work()
        spent = server.seconds() - before
        self.rows.setdefault((what, who), []).append(spent / share)

    def run(self) -> None:
        """All rounds."""
        kernels = {"TLS": "off"}
        if self.prepare():
            kernels["kTLS"] = "on"
        else:
            print("kTLS: this kernel has none (modprobe tls); left out")
        options = self.options
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            for who, kernel in kernels.items():
                with self.server(kernel) as server:
                    self.round(server, who, options)

    def round(self, server: Secure, who: str, options: argparse.Namespace) -> None:
        """Plain and TLS, one right after the other."""
        for what, size, count, connections, share in (
            ("CPU s per GiB", MIB, options.large, 4, options.large * MIB / GIB),
            ("CPU µs per request", 4 * KIB, options.small, 16, options.small / 1e6),
        ):
            path = f"/{BUCKET}/{size}/{0:010}"
            load(self.client_core, server.url + path, 64, connections)
            for name, url in (("plain beside " + who, server.url), (who, server.secure_url)):
                work = lambda url=url: load(self.client_core, url + path, count, connections)  # noqa: E731
                self.measure(what, name, server, work, share)
        for what, resume in (("CPU µs per handshake", False), ("CPU µs per resumption", True)):
            work = lambda resume=resume: handshakes(server, options.handshakes, resume)  # noqa: E731
            self.measure(what, who, server, work, options.handshakes / 1e6)

    def table(self) -> str:
        """As Markdown."""
        lines = ["| | who | median | least | most | to plain |", "|---|---|---|---|---|---|"]
        for (what, who), values in self.rows.items():
            plain = self.rows.get((what, "plain beside " + who))
            ratio = ""
            if plain:
                ratio = f"{statistics.median(a / b for a, b in zip(values, plain, strict=True) if b):.2f}"
            shown = [f"{value:.3g}" for value in (statistics.median(values), min(values), max(values))]
            lines.append(f"| {what} | {who} | {' | '.join(shown)} | {ratio} |")
        return "\n".join(lines) + "\n"


def main() -> None:
    """Reads the command line, runs, prints and keeps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=4096, help="requests of 1 MiB a round")
    parser.add_argument("--small", type=int, default=50_000, help="requests of 4 KiB a round")
    parser.add_argument("--handshakes", type=int, default=1000)
    parser.add_argument("--smoke", action="store_true", help="does it work at all?")
    options = parser.parse_args()
    if options.smoke:
        options.rounds, options.large, options.small, options.handshakes = 1, 64, 500, 50
    if program("h2load") is None:
        raise SystemExit("h2load is missing: tools/packages.sh bench")
    with tempfile.TemporaryDirectory(prefix="penstock-bench-tls-") as folder:
        bench = Bench(options, pathlib.Path(folder))
        bench.run()
    table = bench.table()
    print(table)
    if not options.smoke:
        results = ROOT / "target" / "bench"
        results.mkdir(parents=True, exist_ok=True)
        (results / "tls.md").write_text(table)
        rows = {f"{what}, {who}": values for (what, who), values in bench.rows.items()}
        (results / "tls.json").write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
