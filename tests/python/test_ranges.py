"""Ranges in all three forms, and single parts (GetObject, RFC 9110 section 14)."""

import os

import pytest

SIZE = 300_001


@pytest.fixture(scope="module")
def body():
    """Content that spans several blocks and ends inside one."""
    return os.urandom(SIZE)


@pytest.fixture
def key(s3, bucket, body):
    """An object of that content."""
    s3.put_object(Bucket=bucket, Key="ranged", Body=body)
    return "ranged"


@pytest.mark.parametrize(
    "first,last",
    [
        (0, 0),
        (0, 99),
        (1, 1),
        (511, 512),
        (4095, 4096),
        (65_535, 65_536),
        (65_536, 131_071),
        (100_000, 200_000),
        (SIZE - 1, SIZE - 1),
        (0, SIZE - 1),
    ],
)
def test_first_to_last(s3, bucket, key, body, first, last):
    got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-{last}")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{last}/{SIZE}"
    assert got["ContentLength"] == last - first + 1
    assert got["Body"].read() == body[first : last + 1]


def test_an_end_behind_the_object_is_cut(s3, bucket, key, body):
    got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=299990-{10**15}")
    assert got["ContentRange"] == f"bytes 299990-{SIZE - 1}/{SIZE}"
    assert got["Body"].read() == body[299_990:]


@pytest.mark.parametrize("first", [0, 1, 65_536, 299_999, SIZE - 1])
def test_from_first(s3, bucket, key, body, first):
    got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={first}-")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{SIZE - 1}/{SIZE}"
    assert got["Body"].read() == body[first:]


@pytest.mark.parametrize("count", [1, 100, 65_536, SIZE, SIZE + 1, 10**15])
def test_last_bytes(s3, bucket, key, body, count):
    got = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{count}")
    first = max(0, SIZE - count)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {first}-{SIZE - 1}/{SIZE}"
    assert got["Body"].read() == body[first:]


@pytest.mark.parametrize("text", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 9}", "bytes=-0"])
def test_unsatisfiable(s3, bucket, key, refused, text):
    with refused(416, "InvalidRange") as caught:
        s3.get_object(Bucket=bucket, Key=key, Range=text)
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers.get("content-range", f"bytes */{SIZE}") == f"bytes */{SIZE}"


def test_every_range_of_an_empty_object_is_unsatisfiable(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    for text in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        with refused(416, "InvalidRange"):
            s3.get_object(Bucket=bucket, Key="empty", Range=text)


@pytest.mark.parametrize("text", ["bytes=a-b", "bytes=9-1", "lines=1-2", "0-5", "bytes="])
def test_what_is_no_range_is_ignored(s3, bucket, key, body, text):
    got = s3.get_object(Bucket=bucket, Key=key, Range=text)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert got["Body"].read() == body


def test_head_with_a_range(s3, bucket, key):
    head = s3.head_object(Bucket=bucket, Key=key, Range="bytes=10-19")
    assert head["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert head["ContentLength"] == 10


def test_part_one_of_a_single_piece(s3, bucket, key, body):
    got = s3.get_object(Bucket=bucket, Key=key, PartNumber=1)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes 0-{SIZE - 1}/{SIZE}"
    assert got["Body"].read() == body


def test_parts_of_a_multipart_object(s3, bucket, refused):
    parts = [os.urandom(5 << 20), os.urandom(5 << 20), os.urandom(1234)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    tags = [
        s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=number, Body=part)
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="parts",
        UploadId=upload,
        MultipartUpload={
            "Parts": [{"PartNumber": n, "ETag": tag["ETag"]} for n, tag in enumerate(tags, 1)]
        },
    )
    total = sum(map(len, parts))
    first = 0
    for number, part in enumerate(parts, 1):
        got = s3.get_object(Bucket=bucket, Key="parts", PartNumber=number)
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert got["ContentRange"] == f"bytes {first}-{first + len(part) - 1}/{total}"
        assert got["PartsCount"] == 3
        assert got["Body"].read() == part
        head = s3.head_object(Bucket=bucket, Key="parts", PartNumber=number)
        assert head["ContentLength"] == len(part)
        assert head["PartsCount"] == 3
        first += len(part)
    with refused(416, "InvalidPartNumber"):
        s3.get_object(Bucket=bucket, Key="parts", PartNumber=4)
    across = s3.get_object(
        Bucket=bucket, Key="parts", Range=f"bytes={(5 << 20) - 7}-{(5 << 20) + 6}"
    )
    assert across["Body"].read() == parts[0][-7:] + parts[1][:7]
