"""CopyObject: content, metadata, onto itself, across buckets."""

import os
import uuid

import pytest
from conftest import remove_bucket


@pytest.fixture
def source(s3, bucket):
    """An object with every kind of attribute."""
    body = os.urandom(200_000)
    s3.put_object(
        Bucket=bucket,
        Key="source",
        Body=body,
        ContentType="text/x-source",
        CacheControl="max-age=9",
        Metadata={"colour": "green"},
    )
    return {"Bucket": bucket, "Key": "source"}, body


def test_copies_content_and_metadata(s3, bucket, source):
    place, body = source
    answer = s3.copy_object(Bucket=bucket, Key="copy", CopySource=place)
    original = s3.head_object(**place)
    assert answer["CopyObjectResult"]["ETag"] == original["ETag"]
    assert answer["CopyObjectResult"]["LastModified"]
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == body
    assert got["ContentType"] == "text/x-source"
    assert got["CacheControl"] == "max-age=9"
    assert got["Metadata"] == {"colour": "green"}


def test_replaces_metadata(s3, bucket, source):
    place, body = source
    s3.copy_object(
        Bucket=bucket,
        Key="copy",
        CopySource=place,
        MetadataDirective="REPLACE",
        ContentType="text/x-copy",
        Metadata={"shape": "round"},
    )
    got = s3.get_object(Bucket=bucket, Key="copy")
    assert got["Body"].read() == body
    assert got["ContentType"] == "text/x-copy"
    assert got["Metadata"] == {"shape": "round"}
    assert "CacheControl" not in got


def test_metadata_of_the_request_is_ignored_with_the_copy_directive(s3, bucket, source):
    place, _ = source
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=place, Metadata={"shape": "round"})
    assert s3.head_object(Bucket=bucket, Key="copy")["Metadata"] == {"colour": "green"}


def test_onto_itself(s3, bucket, source, refused):
    place, body = source
    with refused(400, "InvalidRequest"):
        s3.copy_object(**place, CopySource=place)
    s3.copy_object(
        **place, CopySource=place, MetadataDirective="REPLACE", Metadata={"renewed": "yes"}
    )
    got = s3.get_object(**place)
    assert got["Body"].read() == body
    assert got["Metadata"] == {"renewed": "yes"}


def test_the_copy_outlives_the_source(s3, bucket, source):
    place, body = source
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=place)
    s3.delete_object(**place)
    for number in range(20):
        s3.put_object(Bucket=bucket, Key=f"filler-{number}", Body=os.urandom(200_000))
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == body


def test_across_buckets_and_keys_with_spaces(s3, bucket, source):
    place, body = source
    other = f"other-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=other)
    try:
        key = "with space/ü+%?&.bin"
        s3.copy_object(Bucket=other, Key=key, CopySource=place)
        s3.copy_object(Bucket=other, Key="again", CopySource={"Bucket": other, "Key": key})
        assert s3.get_object(Bucket=other, Key="again")["Body"].read() == body
    finally:
        remove_bucket(s3, other)


def test_copy_of_a_multipart_object(s3, bucket):
    parts = [os.urandom(5 << 20), os.urandom(3)]
    target = {"Bucket": bucket, "Key": "m"}
    upload = s3.create_multipart_upload(**target)["UploadId"]
    tags = [
        s3.upload_part(**target, UploadId=upload, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    s3.complete_multipart_upload(
        **target,
        UploadId=upload,
        MultipartUpload={
            "Parts": [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        },
    )
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=target)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"".join(parts)


def test_missing_source(s3, bucket, refused):
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=bucket, Key="x", CopySource={"Bucket": bucket, "Key": "absent"})
    with refused(404, "NoSuchBucket"):
        s3.copy_object(
            Bucket=bucket, Key="x", CopySource={"Bucket": "no-such-bucket-here", "Key": "a"}
        )
