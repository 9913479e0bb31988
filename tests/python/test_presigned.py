"""Presigned requests: what may stand in the query, and what is signed."""

import base64
import hashlib
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
import urllib3

import gateway as gateway_module

POOL = urllib3.PoolManager(retries=False)


@pytest.fixture
def presign(gateway):
    """A presigned URL whose signature covers those headers and has those parameters."""

    def make(method, bucket, key, headers=None, parameters=None):
        query = urllib.parse.urlencode(parameters or {})
        url = f"{gateway.endpoint}/{bucket}/{key}" + (f"?{query}" if query else "")
        request = botocore.awsrequest.AWSRequest(method, url, headers=headers or {})
        keys = botocore.credentials.Credentials(gateway.access_key, gateway.secret_key)
        signer = botocore.auth.S3SigV4QueryAuth(keys, "s3", gateway_module.REGION, expires=60)
        signer.add_auth(request)
        return request.url

    return make


def code(answer):
    """The status and whether something is said."""
    text = answer.data.decode()
    found = text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else ""
    return answer.status, found


@pytest.mark.promise("SUM-10")
@pytest.mark.parametrize("spelling", ["x-amz-checksum-sha256", "X-Amz-Checksum-Sha256"])
def test_a_checksum_stands_in_the_query(s3, bucket, presign, spelling):
    digest = base64.b64encode(hashlib.sha256(b"abc").digest()).decode()
    parameters = {spelling: digest, "x-amz-sdk-checksum-algorithm": "SHA256"}
    url = presign("PUT", bucket, "k", parameters=parameters)
    assert code(POOL.request("PUT", url, body=b"abd")) == (400, "BadDigest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert code(POOL.request("PUT", url, body=b"abc")) == (200, "")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == digest


@pytest.mark.promise("SUM-10")
def test_metadata_tags_and_class_stand_in_the_query(s3, bucket, presign):
    parameters = {
        "x-amz-meta-colour": "blue green",
        "x-amz-tagging": "a=1&b=2",
        "x-amz-storage-class": "STANDARD_IA",
    }
    url = presign("PUT", bucket, "k", parameters=parameters)
    assert code(POOL.request("PUT", url, body=b"abc")) == (200, "")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["Metadata"], head["StorageClass"]) == ({"colour": "blue green"}, "STANDARD_IA")
    tags = s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]


@pytest.mark.promise("SUM-11")
def test_all_signed_headers_are_there_as_they_were_signed(s3, bucket, presign):
    headers = {
        "content-type": "text/plain",
        "cache-control": "no-cache",
        "x-amz-meta-a": "1",
        "if-none-match": "*",
        "content-md5": base64.b64encode(hashlib.md5(b"abc").digest()).decode(),
    }
    url = presign("PUT", bucket, "k", headers)
    signed = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-SignedHeaders"][0]
    assert set(headers) - {"x-amz-meta-a"} <= set(signed.split(";")), signed
    for name in ("content-type", "cache-control"):
        less = {other: value for other, value in headers.items() if other != name}
        assert POOL.request("PUT", url, body=b"abc", headers=less).status == 403, name
        other = {**headers, name: "text/html"}
        assert code(POOL.request("PUT", url, body=b"abc", headers=other))[0] == 403, name
    assert code(POOL.request("PUT", url, body=b"abd", headers=headers)) == (400, "BadDigest")
    assert code(POOL.request("PUT", url, body=b"abc", headers=headers)) == (200, "")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["CacheControl"]) == ("text/plain", "no-cache")
    assert head["Metadata"] == {"a": "1"}
    again = POOL.request("PUT", url, body=b"abc", headers=headers)
    assert code(again) == (412, "PreconditionFailed")
