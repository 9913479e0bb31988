"""RenameObject, and conditions on the destination of a copy."""

import os
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import urllib3

import gateway as gateway_module

POOL = urllib3.PoolManager(retries=False)


@pytest.fixture
def rename(gateway):
    """Sends a rename that is signed by hand, for SDKs rename in directory buckets only."""

    def send(bucket, source, key, **headers):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if source is not None:
            names["x-amz-rename-source"] = urllib.parse.quote(source)
        url = f"{gateway.endpoint}/{bucket}/{urllib.parse.quote(key)}?renameObject="
        request = botocore.awsrequest.AWSRequest("PUT", url, headers=names, data=b"")
        request.headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        keys = botocore.credentials.Credentials(gateway.access_key, gateway.secret_key)
        botocore.auth.S3SigV4Auth(keys, "s3", gateway_module.REGION).add_auth(request)
        answer = POOL.request("PUT", url, headers=dict(request.headers.items()), body=b"")
        return answer.status, answer.data.decode()

    return send


def keys(s3, bucket):
    """All keys."""
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


@pytest.mark.promise("REN-1")
@pytest.mark.parametrize("size", [3, 3_000_000])
def test_an_object_gets_another_key_with_all_that_it_has(s3, bucket, rename, size):
    body = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="a b", Body=body, Metadata={"m": "1"}, Tagging="t=1")
    before = s3.head_object(Bucket=bucket, Key="a b")
    assert rename(bucket, "a b", "dir/c+d") == (200, "")
    assert keys(s3, bucket) == ["dir/c+d"]
    after = s3.get_object(Bucket=bucket, Key="dir/c+d")
    assert after["Body"].read() == body
    for name in ("ETag", "LastModified", "Metadata"):
        assert after[name] == before[name]
    assert after["TagCount"] == 1


@pytest.mark.promise("REN-2")
def test_what_has_the_key_is_replaced(s3, bucket, rename):
    s3.put_object(Bucket=bucket, Key="a", Body=b"new")
    s3.put_object(Bucket=bucket, Key="b", Body=b"old")
    assert rename(bucket, "a", "b")[0] == 200
    assert keys(s3, bucket) == ["b"]
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"new"


@pytest.mark.promise("REN-3")
def test_what_cannot_be_renamed(s3, bucket, rename):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    for source, status, code in [
        ("missing", 404, "NoSuchKey"),
        (None, 400, "InvalidRequest"),
        ("b", 400, "InvalidRequest"),
    ]:
        answer = rename(bucket, source, "b")
        assert answer[0] == status and f"<Code>{code}</Code>" in answer[1], answer
    assert keys(s3, bucket) == ["a"]


@pytest.mark.promise("REN-4")
def test_conditions_on_both_sides(s3, bucket, rename):
    a = s3.put_object(Bucket=bucket, Key="a", Body=b"a")["ETag"]
    b = s3.put_object(Bucket=bucket, Key="b", Body=b"b")["ETag"]
    for headers in [
        {"if_none_match": "*"},
        {"if_match": a},
        {"x_amz_rename_source_if_match": b},
        {"x_amz_rename_source_if_none_match": a},
        {"if_unmodified_since": "Thu, 01 Jan 2015 00:00:00 GMT"},
        {"x_amz_rename_source_if_unmodified_since": "Thu, 01 Jan 2015 00:00:00 GMT"},
    ]:
        status, text = rename(bucket, "a", "b", **headers)
        assert status == 412 and "PreconditionFailed" in text, headers
    assert rename(bucket, "a", "new", if_match=a)[0] == 412, "there is nothing to match"
    headers = {"if_match": b, "x_amz_rename_source_if_match": a}
    assert rename(bucket, "a", "b", **headers)[0] == 200
    assert rename(bucket, "b", "c", if_none_match="*")[0] == 200
    assert keys(s3, bucket) == ["c"]


@pytest.mark.promise("COND-40")
def test_a_copy_has_conditions_on_its_destination(s3, bucket, refused):
    tag = s3.put_object(Bucket=bucket, Key="a", Body=b"a")["ETag"]
    old = s3.put_object(Bucket=bucket, Key="b", Body=b"b")["ETag"]

    def copy(**headers):
        def add(request, **_):
            for name, value in headers.items():
                request.headers[name.replace("_", "-")] = value

        s3.meta.events.register("before-sign.s3.CopyObject", add)
        try:
            s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})
        finally:
            s3.meta.events.unregister("before-sign.s3.CopyObject", add)

    with refused(412, "PreconditionFailed"):
        copy(if_none_match="*")
    with refused(412, "PreconditionFailed"):
        copy(if_match=tag)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"b"
    copy(if_match=old)
    assert s3.get_object(Bucket=bucket, Key="b")["Body"].read() == b"a"
