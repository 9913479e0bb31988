"""A server under load with Debian's Prometheus beside it, for the tests of boards and rules.

Owns the run: it starts both, loads the server with everything that a board asks about and leaves
Prometheus full of figures. What is asked of it is in test_dashboards.py. Everything listens on
127.0.0.1 and ends with the run.
"""

import concurrent.futures
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions
import yaml

import gateway

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "dashboards" / "prometheus"
BUCKET = "observed"
READY_WITHIN_SECONDS = 60
PREDICTED_WITHIN_SECONDS = 120
# Twice the rules' shortest window of rates would be 10 s; the boards' own is four scrapes or more.
SCRAPE_EVERY_SECONDS = 1
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Observed:
    """The server, Prometheus and what they wrote."""

    def __init__(self) -> None:
        self.folder = pathlib.Path(
            tempfile.mkdtemp(prefix="penstock-observed-", dir=os.environ.get("GATEWAY_TEST_DIR"))
        )
        self.processes: list[subprocess.Popen] = []
        self.collector = Collector()
        port, admin, prometheus, secure = gateway.free_ports(4)
        self.secure = f"127.0.0.1:{secure}"
        self.endpoint = f"http://127.0.0.1:{port}"
        self.admin = f"127.0.0.1:{admin}"
        self.prometheus = f"http://127.0.0.1:{prometheus}"
        try:
            self.server = self._serve(port)
            self._scrape(prometheus)
        except BaseException:
            self.stop()
            raise

    def _serve(self, port: int) -> subprocess.Popen:
        """The server: little memory, so that reads are cold and blocks are evicted."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
        environment = {
            **outside,
            "PENSTOCK_ACCESS_KEY": gateway.ACCESS_KEY,
            "PENSTOCK_SECRET_KEY": gateway.SECRET_KEY,
            "PENSTOCK_EXTENT_FILE": "2GiB",
            "PENSTOCK_PUBLIC_READ": BUCKET,
            "PENSTOCK_ACCESS_LOG_FILE": str(self.folder / "access.log"),
            "PENSTOCK_TRACE_ENDPOINT": self.collector.endpoint,
            "PENSTOCK_TRACE_SAMPLE": "10",
        }
        command = [gateway.binary(), "serve", "--data", str(self.folder / "data")]
        command += ["--listen", f"127.0.0.1:{port}", "--admin-listen", self.admin]
        command += ["--memory", "256M", "--lanes", "2"]
        command += ["--tls-listen", self.secure, "--tls-self-signed", "on"]
        server = self._start("server", command, environment)
        self._until(f"http://{self.admin}/readyz", server, "server")
        return server

    def _scrape(self, port: int) -> None:
        """Prometheus with the rules as they are, but worked out each second: a run is short."""
        rules = []
        for name in ("penstock.rules.yml", "penstock.alerts.yml"):
            content = yaml.safe_load((RULES / name).read_text())
            for group in content["groups"]:
                group["interval"] = f"{SCRAPE_EVERY_SECONDS}s"
            rules.append(str(self.folder / name))
            (self.folder / name).write_text(yaml.safe_dump(content))
        period = f"{SCRAPE_EVERY_SECONDS}s"
        settings = {
            "global": {"scrape_interval": period, "scrape_timeout": period, "evaluation_interval": period},
            "rule_files": rules,
            "scrape_configs": [
                {"job_name": "penstock", "static_configs": [{"targets": [self.admin]}]},
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        command = ["prometheus", f"--config.file={self.folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self.folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        command += ["--enable-feature=exemplar-storage"]
        process = self._start("prometheus", command, dict(os.environ))
        self._until(f"{self.prometheus}/-/ready", process, "prometheus")

    def _start(self, name: str, command: list[str], environment: dict) -> subprocess.Popen:
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def _until(self, url: str, process: subprocess.Popen, name: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not gateway.answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not become ready:\n{self.log(name)}")
            time.sleep(0.05)

    def log(self, name: str) -> str:
        """What a process has written."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        """Ends everything that was started, the server in order."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(gateway.EXIT_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.collector.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path: str, **parameters) -> object:
        """What Prometheus answers to a request of its API."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}?{query}", timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise ValueError(f"{parameters}: {error.read().decode()}") from error
        assert answer["status"] == "success", answer
        return answer["data"]

    def exposition(self, accept: str = "text/plain") -> tuple[str, str]:
        """The server's metrics and their content type."""
        request = urllib.request.Request(f"http://{self.admin}/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.read().decode(), response.headers["Content-Type"]


class Collector:
    """Takes spans by OTLP over HTTP and counts the posts, so that traces have somewhere to go."""

    def __init__(self) -> None:
        collector = self
        self.posts = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802: the name is http.server's
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                collector.posts += 1
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()


class Load:
    """Everything that a server can be asked for in a minute or two."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.host = observed.endpoint.removeprefix("http://")
        self.s3 = self._client(gateway.SECRET_KEY)

    def _client(self, secret: str):
        return boto3.client(
            "s3",
            endpoint_url=self.observed.endpoint,
            aws_access_key_id=gateway.ACCESS_KEY,
            aws_secret_access_key=secret,
            region_name=gateway.REGION,
            config=botocore.config.Config(
                signature_version="s3v4", retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
            ),
        )

    def run(self) -> None:
        """All of it, one after the other but for what has to meet."""
        self.generate("put", "-n", "400", "-s", "4KiB", "-c", "8", "--create-bucket")
        # More than the memory holds, so that later reads are cold and turn the cache over.
        self.generate("put", "-n", "400", "-s", "1MiB", "-c", "4", "--prefix", "large/")
        self.generate("put", "-n", "2", "-s", "20MiB", "--part-size", "8MiB", "--prefix", "parts/")
        self.generate("get", "-n", "400", "-s", "1MiB", "-c", "8", "--prefix", "large/", "--requests", "800")
        self.generate("get", "-n", "400", "-s", "4KiB", "-c", "8", "--duration", "5s")
        self.herd()
        self.operations()
        self.mistakes()
        self.bad_manners()
        self.generate("mixed", "-n", "400", "-s", "4KiB", "-c", "8", "--duration", "8s")
        self.fill()
        # The last of it is scraped, and the rules have worked with it.
        time.sleep(3 * SCRAPE_EVERY_SECONDS)

    def generate(self, *arguments: str) -> None:
        """Runs the load generator; it has to succeed."""
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": gateway.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": gateway.SECRET_KEY,
        }
        command = [generator(), arguments[0], "-e", self.observed.endpoint, "-b", BUCKET, *arguments[1:]]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"

    def herd(self) -> None:
        """Many readers of one cold object at once, until some of them have shared a read."""
        for _ in range(10):
            # What was written first has left the cache after the others were read.
            self.generate("get", "-n", "400", "-s", "1MiB", "-c", "8", "--prefix", "large/", "--requests", "400")
            self.generate("get", "-n", "1", "-s", "20MiB", "-c", "32", "--prefix", "parts/", "--requests", "32")
            text, _ = self.observed.exposition()
            if float(re.search(r"^penstock_store_cache_joins_total (\S+)", text, re.MULTILINE)[1]) > 0:
                return
        raise AssertionError("no read was ever joined")

    def fill(self) -> None:
        """Goes on writing until the server says when it will be full, which takes it a minute."""
        deadline = time.monotonic() + PREDICTED_WITHIN_SECONDS
        number = 0
        while "\npenstock_store_full_in_seconds " not in self.observed.exposition()[0]:
            assert time.monotonic() < deadline, "the server does not say when it will be full"
            self.s3.put_object(Bucket=BUCKET, Key=f"filling-{number}", Body=b"f" * 1_000_000)
            number += 1
            time.sleep(SCRAPE_EVERY_SECONDS)

    def operations(self) -> None:
        """Each operation of S3 that is there, once or more."""
        s3, named = self.s3, {"Bucket": BUCKET}
        s3.list_buckets()
        s3.head_bucket(**named)
        s3.get_bucket_location(**named)
        s3.list_objects(**named)
        s3.list_objects_v2(**named)
        s3.put_object(**named, Key="copied", Body=b"x" * 200_000)
        s3.copy_object(**named, Key="copy", CopySource=f"{BUCKET}/copied")
        upload = {**named, "Key": "upload"}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        s3.upload_part_copy(**upload, PartNumber=1, CopySource=f"{BUCKET}/copied")
        s3.list_multipart_uploads(**named)
        s3.list_parts(**upload)
        s3.abort_multipart_upload(**upload)
        s3.delete_object(**named, Key="copy")
        s3.delete_objects(**named, Delete={"Objects": [{"Key": "copied"}]})
        s3.create_bucket(Bucket="observed-too")
        s3.put_object(Bucket="observed-too", Key="a", Body=b"a")
        s3.get_object(Bucket="observed-too", Key="a")["Body"].read()
        # Overwriting makes work for what frees space in the background.
        for _ in range(20):
            s3.put_object(**named, Key="overwritten", Body=b"y" * 300_000)
        # Nobody's request, of a bucket that anybody may read.
        for _ in range(20):
            urllib.request.urlopen(f"{self.observed.endpoint}/{BUCKET}/overwritten", timeout=30).read()

    def mistakes(self) -> None:
        """Answers of 4xx and 5xx beside finished uploads, over several scrapes so that all of them
        have a rate."""
        stranger = self._client("wrong" + gateway.SECRET_KEY)
        for number in range(4):
            self.upload_in_parts(f"in-parts-{number}")
            for call, parameters in (
                (self.s3.get_object, {"Bucket": BUCKET, "Key": "nowhere"}),
                (self.s3.head_object, {"Bucket": BUCKET, "Key": "nowhere"}),
                (self.s3.list_objects_v2, {"Bucket": "no-such-bucket-here"}),
                (stranger.list_objects_v2, {"Bucket": BUCKET}),
                (self.s3.get_object_torrent, {"Bucket": BUCKET, "Key": "nowhere"}),
            ):
                with contextlib.suppress(botocore.exceptions.ClientError):
                    call(**parameters)
            self.too_large()
            self.secured()
            time.sleep(1.5 * SCRAPE_EVERY_SECONDS)

    def upload_in_parts(self, key: str) -> None:
        """An upload of one part, from beginning to end."""
        upload = {"Bucket": BUCKET, "Key": key}
        upload["UploadId"] = self.s3.create_multipart_upload(**upload)["UploadId"]
        tag = self.s3.upload_part(**upload, PartNumber=1, Body=b"z" * 100_000)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
        self.s3.complete_multipart_upload(**upload, MultipartUpload=parts)

    def secured(self) -> None:
        """The same object by TLS, and a client that trusts nobody."""
        url = f"https://{self.observed.secure}/{BUCKET}/overwritten"
        trusted = ssl.create_default_context(
            cafile=str(self.observed.folder / "data" / "tls" / "self-signed.crt")
        )
        urllib.request.urlopen(url, timeout=30, context=trusted).read()
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=30, context=ssl.create_default_context())

    def too_large(self) -> None:
        """A write for which there is no space: 507, before the body is asked for."""
        url = f"{self.observed.endpoint}/{BUCKET}/too-large"
        request = botocore.awsrequest.AWSRequest("PUT", url, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
        credentials = botocore.credentials.Credentials(gateway.ACCESS_KEY, gateway.SECRET_KEY)
        signer = botocore.auth.S3SigV4Auth(credentials, "s3", gateway.REGION)
        request.context["payload_signing_enabled"] = False
        signer.add_auth(request)
        connection = http.client.HTTPConnection(self.host, timeout=30)
        headers = {**dict(request.headers), "Content-Length": str(4 << 30), "Expect": "100-continue"}
        connection.putrequest("PUT", f"/{BUCKET}/too-large")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 507, (answer.status, answer.read())
        connection.close()

    def bad_manners(self) -> None:
        """What is no request, and a client that goes away in the middle of its answer."""
        address = ("127.0.0.1", int(self.host.rpartition(":")[2]))
        for _ in range(3):
            for opening in (b"\x01\x02 this is not HTTP\r\n\r\n", b"\x16\x03\x01\x02\x00 this is TLS"):
                with socket.create_connection(address, 10) as stranger:
                    stranger.sendall(opening)
                    stranger.recv(1024)
            with socket.create_connection(address, 10) as leaver:
                leaver.sendall(f"GET /{BUCKET}/large/0000000001 HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                leaver.recv(1024)
            time.sleep(SCRAPE_EVERY_SECONDS)


def generator() -> str:
    """The load generator: GATEWAY_TEST_LOADGEN, or the release build."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(os.environ.get("GATEWAY_TEST_LOADGEN", target / "release" / "penstock-loadgen"))
    if not path.is_file():
        raise RuntimeError(f"{path} is missing: cargo build --release -p loadgen")
    return str(path)


def everything_at_once(calls) -> list:
    """The results of calls, made side by side."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda call: call(), calls))
