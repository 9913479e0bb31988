"""Objects: put, get, head, delete; metadata, content headers, overrides."""

import datetime
import hashlib
import os

import pytest


@pytest.mark.parametrize(
    "size", [0, 1, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_048_576, 5_000_011]
)
def test_round_trip(s3, bucket, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body)
    tag = f'"{hashlib.md5(body).hexdigest()}"'
    assert put["ETag"] == tag
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == body
    assert got["ContentLength"] == size
    assert got["ETag"] == tag
    assert got["AcceptRanges"] == "bytes"
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["ContentLength"] == size
    assert head["ETag"] == tag
    age = datetime.datetime.now(datetime.timezone.utc) - head["LastModified"]
    assert abs(age) < datetime.timedelta(minutes=5)


def test_overwrite_replaces_everything(s3, bucket):
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"first", ContentType="text/one", Metadata={"a": "1"}
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"the second")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"the second"
    assert got["Metadata"] == {}
    assert got["ContentType"] == "binary/octet-stream"
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == 10


def test_missing_key(s3, bucket, refused):
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="absent")
    with refused(404, "404"):
        s3.head_object(Bucket=bucket, Key="absent")


def test_delete_is_idempotent(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(2):
        deleted = s3.delete_object(Bucket=bucket, Key="k")
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="k")


def test_delete_objects(s3, bucket):
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"x")
    wanted = [{"Key": f"k{number}"} for number in range(4)] + [{"Key": "absent"}]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert sorted(item["Key"] for item in answer["Deleted"]) == sorted(w["Key"] for w in wanted)
    assert "Errors" not in answer
    left = s3.list_objects_v2(Bucket=bucket)
    assert [item["Key"] for item in left["Contents"]] == ["k4"]


def test_delete_objects_quiet_says_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}], "Quiet": True})
    assert "Deleted" not in answer
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_delete_a_thousand_at_once(s3, bucket):
    keys = [f"many/{number:04}" for number in range(1000)]
    for key in keys[::10]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(answer["Deleted"]) == 1000
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_user_metadata(s3, bucket):
    metadata = {"colour": "blue", "empty": "", "spaces": "a  b", "punctuation": 'a=b;c,d:e/f"g"'}
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata)
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == metadata
    assert s3.get_object(Bucket=bucket, Key="k")["Metadata"] == metadata


def test_metadata_names_are_lower_case(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"CamelCase": "Value"})
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"camelcase": "Value"}


@pytest.mark.promise("META-2")
def test_encoded_words_in_metadata_stay_as_they_are(s3, bucket):
    """SDKs that allow other than ASCII send RFC 2047 words; S3 gives back what it was given. Raw
    UTF-8 is a case of the Rust tests: boto3 cannot sign it."""
    word = "=?UTF-8?B?WsO8cmljaA==?="
    s3.put_object(Bucket=bucket, Key="word", Body=b"x", Metadata={"place": word})
    assert s3.head_object(Bucket=bucket, Key="word")["Metadata"]["place"] == word


CONTENT_HEADERS = {
    "ContentType": "text/html; charset=utf-8",
    "ContentDisposition": 'attachment; filename="a b.html"',
    "ContentEncoding": "gzip",
    "ContentLanguage": "de, en",
    "CacheControl": "max-age=60, private",
    "Expires": datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc),
}


def test_content_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **CONTENT_HEADERS)
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        for name, value in CONTENT_HEADERS.items():
            assert answer[name] == value, name


@pytest.mark.promise("META-10")
def test_response_overrides(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **CONTENT_HEADERS)
    expires = datetime.datetime(2040, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    got = s3.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="application/json",
        ResponseContentDisposition="inline",
        ResponseContentEncoding="identity",
        ResponseContentLanguage="fr",
        ResponseCacheControl="no-store",
        ResponseExpires=expires,
    )
    assert got["ContentType"] == "application/json"
    assert got["ContentDisposition"] == "inline"
    assert got["ContentEncoding"] == "identity"
    assert got["ContentLanguage"] == "fr"
    assert got["CacheControl"] == "no-store"
    assert got["Expires"] == expires
    assert s3.head_object(Bucket=bucket, Key="k")["ContentType"] == CONTENT_HEADERS["ContentType"]


@pytest.mark.promise("META-4")
def test_aws_chunked_is_not_kept_as_an_encoding(new_client, bucket):
    client = new_client(request_checksum_calculation="when_supported")
    client.put_object(Bucket=bucket, Key="plain", Body=b"x" * 100_000)
    assert "ContentEncoding" not in client.head_object(Bucket=bucket, Key="plain")
    client.put_object(Bucket=bucket, Key="gzip", Body=b"x" * 100_000, ContentEncoding="gzip")
    assert client.head_object(Bucket=bucket, Key="gzip")["ContentEncoding"] == "gzip"


def test_storage_class_standard(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", StorageClass="STANDARD")
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["StorageClass"] == "STANDARD"


def test_every_answer_carries_a_request_id(s3, bucket):
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ResponseMetadata"]["HTTPHeaders"]
    second = s3.get_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPHeaders"]
    assert first["x-amz-request-id"]
    assert first["x-amz-request-id"] != second["x-amz-request-id"]


def test_an_empty_object_does_not_stall_its_connection(new_client, bucket):
    """botocore sends `Expect: 100-continue` with every PUT, also with an empty one, and takes the
    next answer on the connection wrongly when it gets a final answer without `100 Continue`
    before it. So the gateway must say 100 or close the connection."""
    client = new_client(max_pool_connections=1, read_timeout=10)
    bodies = [b"a", b"", b"after the empty one", b"", b""]
    # One PUT right after the other: a request without Expect between them would hide the fault.
    for number, body in enumerate(bodies):
        client.put_object(Bucket=bucket, Key=f"k{number}", Body=body)
    for number, body in enumerate(bodies):
        assert client.get_object(Bucket=bucket, Key=f"k{number}")["Body"].read() == body
