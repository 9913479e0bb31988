"""Presigned URLs, virtual hosts, wrong credentials, anonymous requests, error bodies."""

import re
import time
import urllib.error
import urllib.request

import boto3
import botocore
import botocore.config
import pytest

import gateway as gateway_module


def lowered(headers):
    """Header names as they are compared: without regard to case."""
    return {name.lower(): value for name, value in headers.items()}


def fetch(url, method="GET", data=None, headers=None):
    """(status, headers, body) without raising for statuses."""
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, lowered(response.headers), response.read()
    except urllib.error.HTTPError as error:
        return error.code, lowered(error.headers), error.read()


@pytest.mark.parametrize("key", ["plain", "with space+plus/ü?.txt"])
def test_presigned_get(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=b"presigned")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key})
    assert fetch(url)[::2] == (200, b"presigned")


def test_presigned_get_with_overrides_and_range(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    url = s3.generate_presigned_url(
        "get_object",
        Params={"Bucket": bucket, "Key": "k", "ResponseContentType": "text/x-other"},
    )
    status, headers, body = fetch(url, headers={"Range": "bytes=2-4"})
    assert (status, body) == (206, b"234")
    assert headers["content-type"] == "text/x-other"


def test_presigned_put(s3, bucket):
    url = s3.generate_presigned_url(
        "put_object", Params={"Bucket": bucket, "Key": "up", "ContentType": "text/plain"}
    )
    status, headers, _ = fetch(url, "PUT", b"uploaded", {"Content-Type": "text/plain"})
    assert status == 200
    assert headers["etag"]
    assert s3.get_object(Bucket=bucket, Key="up")["Body"].read() == b"uploaded"


def test_presigned_head_and_delete(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    place = {"Bucket": bucket, "Key": "k"}
    assert fetch(s3.generate_presigned_url("head_object", Params=place), "HEAD")[0] == 200
    assert fetch(s3.generate_presigned_url("delete_object", Params=place), "DELETE")[0] == 204
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_presigned_expires(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=1
    )
    time.sleep(2.5)
    status, _, body = fetch(url)
    assert status == 403
    assert b"<Code>AccessDenied</Code>" in body
    assert b"expired" in body


def test_virtual_host_style(gateway, every_name_is_local, s3, bucket):
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{gateway_module.DOMAIN}:{gateway.port}",
        aws_access_key_id=gateway.access_key,
        aws_secret_access_key=gateway.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "virtual"}, retries={"total_max_attempts": 1}
        ),
    )
    hosts = []
    client.meta.events.register(
        "before-send.s3", lambda request, **_: hosts.append(request.url.split("/")[2])
    )
    client.put_object(Bucket=bucket, Key="by/host name", Body=b"virtual")
    assert hosts == [f"{bucket}.{gateway_module.DOMAIN}:{gateway.port}"]
    assert s3.get_object(Bucket=bucket, Key="by/host name")["Body"].read() == b"virtual"
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": "by/host name"}
    )
    assert fetch(url)[::2] == (200, b"virtual")
    client.delete_object(Bucket=bucket, Key="by/host name")


def other_client(gateway, access_key, secret_key):
    """A client with other credentials."""
    return boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )


def test_wrong_credentials(gateway, bucket, refused):
    with refused(403, "InvalidAccessKeyId"):
        other_client(gateway, "UNKNOWNKEY0000000000", "x").list_objects_v2(Bucket=bucket)
    with refused(403, "SignatureDoesNotMatch"):
        other_client(gateway, gateway.access_key, "wrong").list_objects_v2(Bucket=bucket)


def test_anonymous_is_denied(gateway, bucket, s3, refused):
    anonymous = boto3.client(
        "s3",
        endpoint_url=gateway.endpoint,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(
            signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}
        ),
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for call in (
        lambda: anonymous.get_object(Bucket=bucket, Key="k"),
        lambda: anonymous.get_object(Bucket=bucket, Key="absent"),
        lambda: anonymous.put_object(Bucket=bucket, Key="new", Body=b"x"),
        lambda: anonymous.delete_object(Bucket=bucket, Key="k"),
        lambda: anonymous.list_objects_v2(Bucket=bucket),
        anonymous.list_buckets,
    ):
        with refused(403, "AccessDenied"):
            call()
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_error_body(gateway, s3, bucket):
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "absent"})
    status, headers, body = fetch(url)
    text = body.decode()
    assert status == 404
    assert headers["content-type"].startswith("application/xml")
    assert text.startswith("<?xml")
    assert re.search("<Error>.*<Code>NoSuchKey</Code>", text, re.DOTALL)
    assert re.search("<Message>.+</Message>", text)
    identity = re.search("<RequestId>(.+)</RequestId>", text)
    assert identity is not None
    assert headers["x-amz-request-id"] == identity[1]


NOT_THERE = {
    "put website": (
        "put_bucket_website",
        {"WebsiteConfiguration": {"IndexDocument": {"Suffix": "index.html"}}},
    ),
    "put requester pays": (
        "put_bucket_request_payment",
        {"RequestPaymentConfiguration": {"Payer": "Requester"}},
    ),
    "torrent": ("get_object_torrent", {"Key": "k"}),
    "restore": ("restore_object", {"Key": "k", "RestoreRequest": {"Days": 1}}),
    "select": (
        "select_object_content",
        {
            "Key": "k",
            "Expression": "select * from s3object",
            "ExpressionType": "SQL",
            "InputSerialization": {"CSV": {}},
            "OutputSerialization": {"CSV": {}},
        },
    ),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_says_so(s3, bucket, refused, name):
    s3.put_object(Bucket=bucket, Key="k", Body=b"untouched")
    operation, parameters = NOT_THERE[name]
    with refused(501, "NotImplemented"):
        getattr(s3, operation)(Bucket=bucket, **parameters)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"untouched"
