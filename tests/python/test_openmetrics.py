"""The exposition in OpenMetrics' form, read by the strict parser of Prometheus's Python client: it
says what the older form says, and has exemplars of traced requests."""

import os
import signal
import subprocess
import time
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import gateway as gateway_module
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
# What Prometheus 2.42 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    """A server that traces every request, after some requests: S3 endpoint and admin endpoint.

    Nobody listens where the spans go: exemplars do not depend on it."""
    folder = tmp_path_factory.mktemp("openmetrics")
    port, admin, nobody = gateway_module.free_ports(3)
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    environment = {
        **outside,
        "PENSTOCK_ACCESS_KEY": gateway_module.ACCESS_KEY,
        "PENSTOCK_SECRET_KEY": gateway_module.SECRET_KEY,
        "PENSTOCK_EXTENT_FILE": "1GiB",
        "PENSTOCK_TRACE_ENDPOINT": f"http://127.0.0.1:{nobody}",
        "PENSTOCK_TRACE_SAMPLE": "1",
    }
    command = [gateway_module.binary(), "serve", "--data", str(folder / "data")]
    command += ["--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"]
    command += ["--memory", "256M"]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + gateway_module.READY_WITHIN_SECONDS
        while not gateway_module.answers(f"http://127.0.0.1:{admin}/readyz"):
            alive = process.poll() is None and time.monotonic() < deadline
            assert alive, (folder / "log").read_text()
            time.sleep(0.05)
        use(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{admin}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(gateway_module.EXIT_WITHIN_SECONDS)


def use(endpoint):
    """A few requests of several kinds and outcomes."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=gateway_module.ACCESS_KEY,
        aws_secret_access_key=gateway_module.SECRET_KEY,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket="measured")
    for number in range(20):
        client.put_object(Bucket="measured", Key=str(number), Body=b"x" * 100_000)
        client.get_object(Bucket="measured", Key=str(number))["Body"].read()
    with pytest.raises(botocore.exceptions.ClientError):
        client.get_object(Bucket="measured", Key="none")


def scrape(admin, accept):
    """The text of /metrics, and its type."""
    request = urllib.request.Request(f"{admin}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode(), response.headers["Content-Type"]


def series(families):
    """What there is of each metric; bounds as numbers, since the two forms write them differently."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = float(labels["le"])
            found[sample.name, tuple(sorted(labels.items()))] = sample.value
    return found


def test_the_strict_parser_takes_it_and_finds_what_the_older_form_says(traced):
    text, kind = scrape(traced, OPEN_METRICS)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("# EOF\n")
    families = list(parse_open(text))
    older, kind = scrape(traced, "text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    here, there = series(families), series(parse_text(older))
    assert here.keys() == there.keys()
    # What nothing happened to in between is the same in both.
    for name in ["penstock_requests_total", "penstock_request_duration_seconds_bucket"]:
        rows = {key: value for key, value in here.items() if key[0] == name}
        assert rows
        assert rows == {key: there[key] for key in rows}
    units = {family.name: family.unit for family in families}
    assert units["penstock_request_duration_seconds"] == "seconds"
    assert units["penstock_sent_body_bytes"] == "bytes"


def test_traced_requests_are_exemplars_of_their_buckets(traced):
    text, _ = scrape(traced, PROMETHEUS)
    families = {family.name: family for family in parse_open(text)}
    for name in ["penstock_request_duration_seconds", "penstock_request_first_byte_seconds"]:
        found = []
        for sample in families[name].samples:
            if sample.exemplar is None:
                continue
            assert sample.name == f"{name}_bucket"
            assert sample.exemplar.value <= float(sample.labels["le"])
            assert len(sample.exemplar.labels["trace_id"]) == 32
            assert len(sample.exemplar.labels["span_id"]) == 16
            assert abs(float(sample.exemplar.timestamp) - time.time()) < 300
            found.append(sample.labels["operation"])
        assert {"GetObject", "PutObject", "CreateBucket"} <= set(found)
    others = [
        sample
        for name, family in families.items()
        if name not in ("penstock_request_duration_seconds", "penstock_request_first_byte_seconds")
        for sample in family.samples
    ]
    assert not any(sample.exemplar for sample in others)
