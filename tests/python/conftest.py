"""Fixtures: one server for the whole run, one client, one fresh bucket for each test."""

import contextlib
import itertools
import os
import socket
import uuid

import boto3
import botocore.config
import botocore.exceptions
import pytest

import gateway as gateway_module

_numbers = itertools.count()


@pytest.fixture(scope="session")
def gateway():
    """The server under test."""
    try:
        server = gateway_module.Gateway()
    except RuntimeError as error:
        pytest.exit(str(error), returncode=1)
    try:
        yield server
    finally:
        log = server.log()
        status = server.stop()
        assert "panicked" not in log, f"something panicked:\n{log}"
        assert status == 0, f"the server ended with {status}:\n{log[-5000:]}"


def make_client(gateway, **options):
    """A boto3 client that never retries, so that every answer is seen."""
    config = {
        "signature_version": "s3v4",
        "retries": {"total_max_attempts": 1},
        "s3": {"addressing_style": "path"},
        "read_timeout": 120,
        "max_pool_connections": 32,
    }
    config.update(options)
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(**config),
    )


@pytest.fixture(scope="session")
def s3(gateway):
    """A boto3 client in path style."""
    return make_client(gateway)


@pytest.fixture(scope="session")
def new_client(gateway):
    """Makes clients with other options of botocore's Config."""
    return lambda **options: make_client(gateway, **options)


@pytest.fixture
def bucket(s3):
    """The name of a new, empty bucket; it is removed after the test."""
    name = f"test-{uuid.uuid4().hex[:12]}-{next(_numbers)}"
    s3.create_bucket(Bucket=name)
    yield name
    remove_bucket(s3, name)


def remove_bucket(s3, name):
    """Removes a bucket with everything in it."""
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=name):
        for upload in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        items = page.get("Versions", []) + page.get("DeleteMarkers", [])
        items = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in items]
        # XML 1.0 cannot carry most control characters, so DeleteObjects cannot name these keys.
        for item in items:
            if min(item["Key"]) < " ":
                s3.delete_object(Bucket=name, **item)
        items = [item for item in items if min(item["Key"]) >= " "]
        if items:
            deleted = s3.delete_objects(Bucket=name, Delete={"Objects": items, "Quiet": True})
            assert "Errors" not in deleted, deleted["Errors"]
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def refused():
    """`with refused(404, "NoSuchKey"):` expects exactly this S3 error."""

    @contextlib.contextmanager
    def expect(status, code):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            yield caught
        response = caught.value.response
        got = (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])
        assert got == (status, code), caught.value

    return expect


@pytest.fixture
def every_name_is_local(monkeypatch):
    """Names below the test domain resolve to the server: virtual-host style without DNS."""
    real = socket.getaddrinfo

    def resolve(host, *arguments, **options):
        name = host.decode() if isinstance(host, bytes) else host
        if name and name.endswith(gateway_module.DOMAIN):
            name = "127.0.0.1"
        return real(name, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
def command_environment(gateway, tmp_path):
    """Environment of command-line clients: the credentials, and a home of their own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": gateway.access_key,
        "AWS_SECRET_ACCESS_KEY": gateway.secret_key,
        "AWS_DEFAULT_REGION": gateway_module.REGION,
        "AWS_ENDPOINT_URL": gateway.endpoint,
        "AWS_MAX_ATTEMPTS": "1",
    }
