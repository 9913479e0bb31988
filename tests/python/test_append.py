"""Appending with x-amz-write-offset-bytes, an addition of S3 Express One Zone, here in every bucket."""

import concurrent.futures
import os

import botocore.exceptions
import pytest

from test_checksums import encoded


def append(s3, bucket, offset, body, key="k", **more):
    """One piece more."""
    return s3.put_object(Bucket=bucket, Key=key, Body=body, WriteOffsetBytes=offset, **more)


def read(s3, bucket, key="k"):
    """All of it."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.promise("APPEND-1")
@pytest.mark.parametrize("sizes", [[3, 4], [70_000, 1, 3_000_000], [5, 200_000, 5]])
def test_pieces_follow_each_other(s3, bucket, sizes):
    pieces = [os.urandom(size) for size in sizes]
    tags = set()
    offset = 0
    for piece in pieces:
        answer = append(s3, bucket, offset, piece)
        if offset:
            assert answer["Size"] == offset + len(piece)
        tags.add(answer["ETag"])
        offset += len(piece)
    assert read(s3, bucket) == b"".join(pieces)
    assert len(tags) == len(pieces), "each length has a tag of its own"
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"] == answer["ETag"]
    ranged = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={sizes[0] - 1}-{sizes[0]}")
    assert ranged["Body"].read() == pieces[0][-1:] + pieces[1][:1]


@pytest.mark.promise("APPEND-2")
def test_nothing_is_appended_to_another_size(s3, bucket, refused):
    with refused(400, "InvalidWriteOffset"):
        append(s3, bucket, 1, b"x")
    append(s3, bucket, 0, b"abc")
    for offset in (0, 2, 4):
        with refused(400, "InvalidWriteOffset"):
            append(s3, bucket, offset, b"x")
    assert read(s3, bucket) == b"abc"


@pytest.mark.promise("APPEND-3")
def test_one_of_those_who_append_at_once_wins(s3, bucket):
    append(s3, bucket, 0, b"start")

    def attempt(number):
        try:
            append(s3, bucket, 5, f"{number:02}".encode() * 40_000)
            return number
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidWriteOffset"
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        won = [number for number in pool.map(attempt, range(16)) if number is not None]
    assert len(won) == 1
    assert read(s3, bucket) == b"start" + f"{won[0]:02}".encode() * 40_000


@pytest.mark.promise("APPEND-4")
def test_what_is_kept_beside_stays_and_is_not_given_again(s3, bucket, refused):
    append(s3, bucket, 0, b"a", Metadata={"m": "1"}, ContentType="text/plain", Tagging="t=1")
    append(s3, bucket, 1, b"b")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["Metadata"], head["ContentType"]) == ({"m": "1"}, "text/plain")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    with refused(400, "InvalidRequest"):
        append(s3, bucket, 2, b"c", Metadata={"m": "2"})
    with refused(400, "InvalidRequest"):
        append(s3, bucket, 2, b"")
    assert read(s3, bucket) == b"ab"


@pytest.mark.promise("APPEND-5")
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_crc_is_that_of_the_whole(s3, bucket, algorithm, refused):
    first, second = os.urandom(100_000), os.urandom(7)
    field = f"Checksum{algorithm}"
    append(s3, bucket, 0, first, **{field: encoded(algorithm, first)})
    answer = append(s3, bucket, len(first), second, **{field: encoded(algorithm, second)})
    whole = encoded(algorithm, first + second)
    assert answer[f"Checksum{algorithm}"] == whole
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (whole, "FULL_OBJECT")
    if algorithm != "CRC64NVME":
        with refused(400, "InvalidRequest"):
            append(s3, bucket, len(first) + 7, b"x", ChecksumAlgorithm="SHA256")


@pytest.mark.promise("APPEND-6")
def test_a_bad_piece_leaves_the_object_as_it_was(s3, bucket, refused):
    append(s3, bucket, 0, b"abc")
    with refused(400, "BadDigest"):
        append(s3, bucket, 3, b"def", ChecksumCRC32="AAAAAA==")
    assert read(s3, bucket) == b"abc"


@pytest.mark.promise("APPEND-7")
def test_conditions_hold_beside_the_offset(s3, bucket, refused):
    tag = append(s3, bucket, 0, b"abc")["ETag"]
    with refused(412, "PreconditionFailed"):
        append(s3, bucket, 3, b"def", IfMatch='"other"')
    append(s3, bucket, 3, b"def", IfMatch=tag)
    assert read(s3, bucket) == b"abcdef"


@pytest.mark.promise("APPEND-1")
def test_a_multipart_object_and_a_copy_are_appended_to(s3, bucket):
    piece = os.urandom(5 << 20)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=piece)
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    append(s3, bucket, len(piece), b"tail", key="copy")
    assert read(s3, bucket, "copy") == piece + b"tail"
    assert read(s3, bucket) == piece
