"""Tags of objects: their rules, and the operations that set, show and remove them."""

import pytest

TEN = [{"Key": f"key{number}", "Value": f"value{number}"} for number in range(10)]


def tags_of(s3, bucket, key="k", **more):
    """The tag set as it is answered."""
    return s3.get_object_tagging(Bucket=bucket, Key=key, **more)["TagSet"]


def tag(s3, bucket, tags, key="k"):
    """Sets the tags of a key."""
    return s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})


@pytest.mark.promise("TAG-1")
def test_tags_are_set_and_come_back_in_order(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert tags_of(s3, bucket) == []
    before = s3.head_object(Bucket=bucket, Key="k")
    tags = [{"Key": "z", "Value": "1"}, {"Key": "a", "Value": ""}]
    assert tag(s3, bucket, tags)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert tags_of(s3, bucket) == tags
    after = s3.head_object(Bucket=bucket, Key="k")
    assert (before["ETag"], before["LastModified"]) == (after["ETag"], after["LastModified"])


@pytest.mark.promise("TAG-2")
def test_setting_replaces_all_and_deleting_removes_all(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tag(s3, bucket, TEN)
    tag(s3, bucket, [{"Key": "only", "Value": "one"}])
    assert tags_of(s3, bucket) == [{"Key": "only", "Value": "one"}]
    deleted = s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(s3, bucket) == []
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.promise("TAG-3")
@pytest.mark.parametrize(
    "tags",
    [
        TEN + [{"Key": "eleventh", "Value": ""}],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
        [{"Key": "aws:mine", "Value": "1"}],
        [{"Key": "k!", "Value": "1"}],
        [{"Key": "k", "Value": "a?b"}],
    ],
)
def test_bad_tags_are_refused(s3, bucket, refused, tags):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="kept=1")
    with refused(400, "InvalidTag"):
        tag(s3, bucket, tags)
    assert tags_of(s3, bucket) == [{"Key": "kept", "Value": "1"}]


@pytest.mark.promise("TAG-3")
def test_the_largest_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tags = [{"Key": f"{number}" + "k" * 127, "Value": "v" * 256} for number in range(10)]
    tag(s3, bucket, tags)
    assert tags_of(s3, bucket) == tags
    strange = [{"Key": "é и 漢", "Value": "+-=._:/@ 9"}]
    tag(s3, bucket, strange)
    assert tags_of(s3, bucket) == strange


@pytest.mark.promise("TAG-4")
def test_tags_come_with_a_put(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="foo=bar&bar&a%20b=c%2Bd")
    expected = [
        {"Key": "foo", "Value": "bar"},
        {"Key": "bar", "Value": ""},
        {"Key": "a b", "Value": "c+d"},
    ]
    assert tags_of(s3, bucket) == expected
    s3.put_object(Bucket=bucket, Key="k", Body=b"y")
    assert tags_of(s3, bucket) == [], "a put without tags makes an object without tags"
    with refused(400, "InvalidArgument"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"z", Tagging="a=1&a=2")
    with refused(400, "InvalidTag"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"z", Tagging="&".join("abcdefghijk"))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"y"


@pytest.mark.promise("TAG-4")
def test_tags_come_with_an_upload(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", Tagging="a=1&b=2")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="k",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert tags_of(s3, bucket) == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]


@pytest.mark.promise("TAG-5")
def test_the_number_of_tags_is_told_where_there_are_any(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert "TagCount" not in s3.get_object(Bucket=bucket, Key="k")
    tag(s3, bucket, TEN)
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 10
    headers = s3.head_object(Bucket=bucket, Key="k")["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-tagging-count"] == "10"


@pytest.mark.promise("TAG-6")
def test_a_copy_takes_tags_over_or_has_its_own(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="from=source")
    source = {"Bucket": bucket, "Key": "k"}
    copied = [{"Key": "from", "Value": "source"}]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert tags_of(s3, bucket, "copy") == copied
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Tagging="own=1")
    assert tags_of(s3, bucket, "copy") == copied, "without REPLACE the header does not count"
    options = {"TaggingDirective": "REPLACE", "Tagging": "own=1"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, **options)
    assert tags_of(s3, bucket, "copy") == [{"Key": "own", "Value": "1"}]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="REPLACE")
    assert tags_of(s3, bucket, "copy") == []
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, **options)
    assert tags_of(s3, bucket) == [{"Key": "own", "Value": "1"}], "onto itself, with other tags"
    with refused(400, "InvalidArgument"):
        s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, TaggingDirective="KEEP")


@pytest.mark.promise("TAG-7")
def test_what_is_not_there_has_no_tags(s3, bucket, refused):
    for act in (s3.get_object_tagging, s3.delete_object_tagging):
        with refused(404, "NoSuchKey"):
            act(Bucket=bucket, Key="missing")
    with refused(404, "NoSuchKey"):
        tag(s3, bucket, TEN, "missing")
    with refused(404, "NoSuchBucket"):
        s3.get_object_tagging(Bucket="no-such-bucket-here", Key="k")
