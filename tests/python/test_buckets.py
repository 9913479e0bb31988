"""Buckets: create, list, head, location, delete."""

import datetime

import pytest


def test_create_list_head_delete(s3, refused):
    name = "lifecycle-of-a-bucket"
    created = s3.create_bucket(Bucket=name)
    assert created["Location"] == f"/{name}"
    listed = {item["Name"]: item["CreationDate"] for item in s3.list_buckets()["Buckets"]}
    age = datetime.datetime.now(datetime.timezone.utc) - listed[name]
    assert abs(age) < datetime.timedelta(minutes=5)
    assert s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.delete_bucket(Bucket=name)["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "404"):
        s3.head_bucket(Bucket=name)
    with refused(404, "NoSuchBucket"):
        s3.delete_bucket(Bucket=name)


def test_list_buckets_is_sorted_and_owned(s3, bucket):
    answer = s3.list_buckets()
    names = [item["Name"] for item in answer["Buckets"]]
    assert names == sorted(names)
    assert bucket in names
    assert answer["Owner"]["ID"]


def test_creating_twice_is_the_owners_conflict(s3, bucket, refused):
    # us-east-1 alone answers 200 to the owner for legacy reasons; everywhere else it is 409
    # BucketAlreadyOwnedByYou. Both leave the bucket as it was.
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    try:
        s3.create_bucket(Bucket=bucket)
    except s3.exceptions.BucketAlreadyOwnedByYou as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"x"


def test_location_of_us_east_1_is_empty(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None


def test_a_bucket_with_objects_or_uploads_stays(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="a")
    assert s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_new_bucket_of_an_old_name_is_empty(s3, bucket):
    s3.put_object(Bucket=bucket, Key="old", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="old")
    s3.delete_bucket(Bucket=bucket)
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize(
    "name", ["abc", "a" * 63, "with-dash", "with.dot", "0digits9", "1.2.3", "a-b.c-d"]
)
def test_valid_names(s3, name):
    s3.create_bucket(Bucket=name)
    assert name in [item["Name"] for item in s3.list_buckets()["Buckets"]]
    s3.delete_bucket(Bucket=name)


def test_missing_bucket_everywhere(s3, refused):
    name = "no-such-bucket-at-all"
    with refused(404, "NoSuchBucket"):
        s3.get_object(Bucket=name, Key="a")
    with refused(404, "NoSuchBucket"):
        s3.put_object(Bucket=name, Key="a", Body=b"")
    with refused(404, "NoSuchBucket"):
        s3.delete_object(Bucket=name, Key="a")
    with refused(404, "NoSuchBucket"):
        s3.list_objects(Bucket=name)
    with refused(404, "NoSuchBucket"):
        s3.list_objects_v2(Bucket=name)
    with refused(404, "NoSuchBucket"):
        s3.list_multipart_uploads(Bucket=name)
    with refused(404, "NoSuchBucket"):
        s3.create_multipart_upload(Bucket=name, Key="a")
    with refused(404, "NoSuchBucket"):
        s3.get_bucket_location(Bucket=name)
    with refused(404, "404"):
        s3.head_object(Bucket=name, Key="a")
