"""Conditional requests: reads by tag and date, writes by tag (RFC 9110 section 13, S3 pages of
GetObject, PutObject, CompleteMultipartUpload, CopyObject)."""

import concurrent.futures
import datetime

import pytest

NOW = datetime.datetime.now(datetime.timezone.utc)
PAST, FUTURE = NOW - datetime.timedelta(days=1), NOW + datetime.timedelta(days=1)
OTHER = '"00000000000000000000000000000000"'


@pytest.fixture
def tag(s3, bucket):
    """The tag of an object `k`."""
    return s3.put_object(Bucket=bucket, Key="k", Body=b"content")["ETag"]


def read(s3, bucket, **conditions):
    """GetObject's outcome; HeadObject must give the same."""
    outcomes = []
    for operation in (s3.get_object, s3.head_object):
        try:
            answer = operation(Bucket=bucket, Key="k", **conditions)
            outcomes.append(answer["ResponseMetadata"]["HTTPStatusCode"])
        except s3.exceptions.ClientError as error:
            outcomes.append(error.response["ResponseMetadata"]["HTTPStatusCode"])
    assert outcomes[0] == outcomes[1], outcomes
    return outcomes[0]


@pytest.mark.promise("COND-12")
def test_if_match(s3, bucket, tag):
    assert read(s3, bucket, IfMatch=tag) == 200
    assert read(s3, bucket, IfMatch=tag.strip('"')) == 200
    assert read(s3, bucket, IfMatch=OTHER) == 412
    assert read(s3, bucket, IfMatch="*") == 200
    assert read(s3, bucket, IfMatch=f"{OTHER}, {tag}") == 200


@pytest.mark.promise("COND-12")
def test_if_none_match(s3, bucket, tag):
    assert read(s3, bucket, IfNoneMatch=OTHER) == 200
    assert read(s3, bucket, IfNoneMatch=tag) == 304
    assert read(s3, bucket, IfNoneMatch="*") == 304
    assert read(s3, bucket, IfNoneMatch=f"{OTHER}, {tag}") == 304


@pytest.mark.promise("COND-12")
def test_dates(s3, bucket, tag):
    assert read(s3, bucket, IfModifiedSince=PAST) == 200
    assert read(s3, bucket, IfUnmodifiedSince=PAST) == 412
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert read(s3, bucket, IfModifiedSince=modified) == 304
    assert read(s3, bucket, IfUnmodifiedSince=modified) == 200
    assert read(s3, bucket, IfUnmodifiedSince=FUTURE) == 200


@pytest.mark.promise("COND-12")
def test_tags_win_over_dates(s3, bucket, tag):
    # "If-Match true and If-Unmodified-Since false: 200"; "If-None-Match false and
    # If-Modified-Since true: 304" (GetObject, Additional considerations).
    assert read(s3, bucket, IfMatch=tag, IfUnmodifiedSince=PAST) == 200
    assert read(s3, bucket, IfNoneMatch=tag, IfModifiedSince=PAST) == 304


def test_not_modified_carries_the_tag(s3, bucket, tag):
    with pytest.raises(s3.exceptions.ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", IfNoneMatch=tag)
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["etag"] == tag


def test_conditions_with_a_range(s3, bucket, tag, refused):
    got = s3.get_object(Bucket=bucket, Key="k", IfMatch=tag, Range="bytes=0-2")
    assert got["Body"].read() == b"con"
    with refused(412, "PreconditionFailed"):
        s3.get_object(Bucket=bucket, Key="k", IfMatch=OTHER, Range="bytes=0-2")


@pytest.mark.promise("COND-8")
def test_put_only_if_absent(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"
    s3.delete_object(Bucket=bucket, Key="k")
    s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfNoneMatch="*")


@pytest.mark.promise("COND-9")
def test_put_only_if_unchanged(s3, bucket, tag, refused):
    second = s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfMatch=tag)["ETag"]
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"third", IfMatch=tag)
    s3.put_object(Bucket=bucket, Key="k", Body=b"fourth", IfMatch=second)
    with refused(404, "NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="absent", Body=b"x", IfMatch=tag)


@pytest.mark.promise("COND-10")
def test_of_many_creators_one_wins(s3, bucket):
    def create(number):
        try:
            s3.put_object(Bucket=bucket, Key="raced", Body=str(number).encode(), IfNoneMatch="*")
            return number
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] in (
                "PreconditionFailed",
                "ConditionalRequestConflict",
            )
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(create, range(48)) if number is not None]
    assert len(winners) == 1
    assert s3.get_object(Bucket=bucket, Key="raced")["Body"].read() == str(winners[0]).encode()


@pytest.mark.promise("COND-10")
def test_a_counter_by_if_match_loses_no_step(s3, bucket):
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")

    def step(_):
        while True:
            got = s3.get_object(Bucket=bucket, Key="counter")
            value = int(got["Body"].read()) + 1
            try:
                s3.put_object(
                    Bucket=bucket, Key="counter", Body=str(value).encode(), IfMatch=got["ETag"]
                )
                return
            except s3.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in (
                    "PreconditionFailed",
                    "ConditionalRequestConflict",
                )

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(step, range(40)))
    assert s3.get_object(Bucket=bucket, Key="counter")["Body"].read() == b"40"


@pytest.mark.promise("COND-3")
def test_complete_only_if_absent(s3, bucket, refused):
    def upload(**conditions):
        made = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="m", UploadId=made, PartNumber=1, Body=b"part")[
            "ETag"
        ]
        s3.complete_multipart_upload(
            Bucket=bucket,
            Key="m",
            UploadId=made,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
            **conditions,
        )

    upload(IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        upload(IfNoneMatch="*")
    upload()


@pytest.mark.promise("COND-11")
def test_copy_conditions(s3, bucket, tag, refused):
    source = {"Bucket": bucket, "Key": "k"}

    def copy(**conditions):
        return s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **conditions)

    copy(CopySourceIfMatch=tag)
    copy(CopySourceIfNoneMatch=OTHER)
    copy(CopySourceIfModifiedSince=PAST)
    copy(CopySourceIfUnmodifiedSince=FUTURE)
    with refused(412, "PreconditionFailed"):
        copy(CopySourceIfMatch=OTHER)
    with refused(412, "PreconditionFailed"):
        copy(CopySourceIfNoneMatch=tag)
    with refused(412, "PreconditionFailed"):
        copy(CopySourceIfUnmodifiedSince=PAST)
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    with refused(412, "PreconditionFailed"):
        copy(CopySourceIfModifiedSince=modified)
    copy(CopySourceIfMatch=tag, CopySourceIfUnmodifiedSince=PAST)


@pytest.mark.promise("COND-1")
def test_a_condition_on_writing_is_one_of_two(s3, bucket, tag, refused):
    with refused(501, "NotImplemented"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch=tag)
    with refused(400, "InvalidRequest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfNoneMatch="*", IfMatch=tag)
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", IfMatch=OTHER)
    with refused(404, "NoSuchKey"):
        s3.put_object(Bucket=bucket, Key="absent", Body=b"x", IfMatch="*")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"


@pytest.mark.promise("COND-2")
def test_a_marker_is_absent_to_conditions(s3, bucket, refused):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["ETag"]
    s3.delete_object(Bucket=bucket, Key="k")
    for condition in (tag, "*"):
        with refused(404, "NoSuchKey"):
            s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=condition)
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfNoneMatch="*")
    # What an older version has does not count.
    with refused(412, "PreconditionFailed"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=tag)


@pytest.mark.promise("COND-3")
def test_completing_only_if_unchanged(s3, bucket, refused):
    def upload(**condition):
        named = {"Bucket": bucket, "Key": "m"}
        named["UploadId"] = s3.create_multipart_upload(**named)["UploadId"]
        part = s3.upload_part(PartNumber=1, Body=b"part", **named)["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        return s3.complete_multipart_upload(MultipartUpload=parts, **named, **condition)["ETag"]

    with refused(404, "NoSuchKey"):
        upload(IfMatch=OTHER)
    first = upload(IfNoneMatch="*")
    with refused(412, "PreconditionFailed"):
        upload(IfMatch=OTHER)
    upload(IfMatch=first)


@pytest.mark.promise("COND-4")
def test_copying_onto_a_key_only_if_as_expected(s3, bucket, tag, refused):
    source = {"Bucket": bucket, "Key": "k"}

    def copy(**headers):
        def add(request, **_):
            for name, value in headers.items():
                request.headers[name] = value

        # Older botocore knows no conditions on a copy's destination.
        event = "before-sign.s3.CopyObject"
        s3.meta.events.register(event, add)
        try:
            return s3.copy_object(Bucket=bucket, Key="to", CopySource=source)
        finally:
            s3.meta.events.unregister(event, add)

    with refused(404, "NoSuchKey"):
        copy(**{"If-Match": tag})
    copy(**{"If-None-Match": "*"})
    with refused(412, "PreconditionFailed"):
        copy(**{"If-None-Match": "*"})
    with refused(412, "PreconditionFailed"):
        copy(**{"If-Match": OTHER})
    copy(**{"If-Match": tag})


@pytest.mark.promise("COND-5")
def test_deleting_only_if_as_expected(s3, bucket, tag, refused):
    named = {"Bucket": bucket, "Key": "k"}
    modified = s3.head_object(**named)["LastModified"]
    for condition in (
        {"IfMatch": OTHER},
        {"IfMatchSize": 8},
        {"IfMatchLastModifiedTime": PAST},
        {"IfMatch": tag, "IfMatchSize": 8},
    ):
        with refused(412, "PreconditionFailed"):
            s3.delete_object(**named, **condition)
    s3.delete_object(**named, IfMatch=tag, IfMatchSize=7, IfMatchLastModifiedTime=modified)
    with refused(404, "NoSuchKey"):
        s3.delete_object(**named, IfMatch="*")
    s3.delete_object(**named)
    # The size is that of the content, also where more is stored.
    s3.put_object(**named, Body=b"content", ServerSideEncryption="AES256")
    with refused(412, "PreconditionFailed"):
        s3.delete_object(**named, IfMatchSize=8)
    s3.delete_object(**named, IfMatchSize=7)


@pytest.mark.promise("COND-6")
def test_deleting_many_each_only_if_as_expected(s3, bucket):
    objects = []
    for key, change in (
        ("same", {}),
        ("tag", {"ETag": OTHER}),
        ("size", {"Size": 8}),
        ("date", {"LastModifiedTime": PAST}),
    ):
        made = s3.put_object(Bucket=bucket, Key=key, Body=b"content")
        modified = s3.head_object(Bucket=bucket, Key=key)["LastModified"]
        entry = {"Key": key, "ETag": made["ETag"], "Size": 7, "LastModifiedTime": modified}
        objects.append({**entry, **change})
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [item["Key"] for item in answer["Deleted"]] == ["same"]
    refusals = {error["Key"]: error["Code"] for error in answer["Errors"]}
    assert refusals == dict.fromkeys(("tag", "size", "date"), "PreconditionFailed")
    left = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in left] == ["date", "size", "tag"]


@pytest.mark.promise("COND-7")
def test_deleting_a_version_only_if_it_is_the_expected_one(s3, bucket, refused):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    named = {"Bucket": bucket, "Key": "k"}
    with refused(412, "PreconditionFailed"):
        s3.delete_object(**named, VersionId=old["VersionId"], IfMatch=new["ETag"])
    s3.delete_object(**named, VersionId=old["VersionId"], IfMatch=old["ETag"])
    with refused(412, "PreconditionFailed"):
        s3.delete_object(**named, IfMatch=old["ETag"])
    assert s3.delete_object(**named, IfMatch=new["ETag"])["DeleteMarker"] is True
