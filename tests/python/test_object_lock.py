"""Object lock: retention, legal hold, defaults, and what they forbid (the S3 guide's "Locking
objects with Object Lock")."""

import base64
import datetime
import hashlib
import json
import time
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import remove_bucket

UTC = datetime.timezone.utc


def days(count):
    """That many days from now, to the second."""
    return (datetime.datetime.now(UTC) + datetime.timedelta(days=count)).replace(microsecond=0)


def rule(mode="GOVERNANCE", **period):
    """A configuration with a default retention."""
    default = {"Mode": mode, **period}
    return {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": default}}


@pytest.fixture
def locking(s3):
    """A bucket that locks objects. No test leaves a lock in it that cannot be bypassed."""
    name = f"test-lock-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    yield name
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        for item in page.get("Versions", []):
            named = {"Bucket": name, "Key": item["Key"], "VersionId": item["VersionId"]}
            s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **named)
            s3.delete_object(BypassGovernanceRetention=True, **named)
    remove_bucket(s3, name)


def put(s3, bucket, **more):
    """The version id of a new object `k`."""
    return s3.put_object(Bucket=bucket, Key="k", Body=b"content", **more)["VersionId"]


@pytest.mark.promise("LOCK-1")
def test_a_bucket_made_for_locks_is_versioned_for_good(s3, locking, refused):
    assert s3.get_bucket_versioning(Bucket=locking)["Status"] == "Enabled"
    configuration = s3.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"]
    assert configuration == {"ObjectLockEnabled": "Enabled"}
    with refused(409, "InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=locking, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.promise("LOCK-2")
@pytest.mark.parametrize(
    "default", [{"mode": "GOVERNANCE", "Days": 1}, {"mode": "COMPLIANCE", "Years": 1}]
)
def test_a_default_is_kept(s3, locking, default):
    s3.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=rule(**default))
    got = s3.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"]
    assert got == rule(**default)
    enabled = {"ObjectLockEnabled": "Enabled"}
    s3.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=enabled)
    got = s3.get_object_lock_configuration(Bucket=locking)["ObjectLockConfiguration"]
    assert got == enabled


@pytest.mark.promise("LOCK-3")
@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        (rule(Days=1, Years=1), "MalformedXML"),
        (rule(), "MalformedXML"),
        (rule(Days=0), "InvalidRetentionPeriod"),
        (rule(Years=-1), "InvalidRetentionPeriod"),
        (rule(Days=36501), "InvalidRetentionPeriod"),
        (rule("abc", Days=1), "MalformedXML"),
        (rule("governance", Days=1), "MalformedXML"),
        ({**rule(Days=1), "ObjectLockEnabled": "Disabled"}, "MalformedXML"),
    ],
)
def test_what_is_no_configuration_is_refused(s3, locking, refused, configuration, code):
    with refused(400, code):
        s3.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=configuration)


@pytest.mark.promise("LOCK-4")
def test_locks_can_be_enabled_later_where_there_are_versions(s3, bucket, refused):
    def enable():
        s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=rule(Days=1))

    with refused(404, "ObjectLockConfigurationNotFoundError"):
        s3.get_object_lock_configuration(Bucket=bucket)
    with refused(409, "InvalidBucketState"):
        enable()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    with refused(409, "InvalidBucketState"):
        enable()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    enable()
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == rule(
        Days=1
    )
    with refused(409, "InvalidBucketState"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


@pytest.mark.promise("LOCK-5")
def test_a_bucket_without_locks_takes_none(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k")
    named = {"Bucket": bucket, "Key": "k"}
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": days(1)}
    for operation, more in (
        (s3.put_object_retention, {"Retention": retention}),
        (s3.get_object_retention, {}),
        (s3.put_object_legal_hold, {"LegalHold": {"Status": "ON"}}),
        (s3.get_object_legal_hold, {}),
        (s3.put_object, {"ObjectLockLegalHoldStatus": "ON"}),
        (
            s3.put_object,
            {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": days(1)},
        ),
    ):
        with refused(400, "InvalidRequest"):
            operation(**named, **more)


@pytest.mark.promise("LOCK-6")
def test_a_retention_is_kept_and_shown(s3, locking):
    id = put(s3, locking)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": days(1)}
    s3.put_object_retention(Bucket=locking, Key="k", Retention=retention)
    assert s3.get_object_retention(Bucket=locking, Key="k")["Retention"] == retention
    assert (
        s3.get_object_retention(Bucket=locking, Key="k", VersionId=id)["Retention"] == retention
    )
    for operation in (s3.head_object, s3.get_object):
        got = operation(Bucket=locking, Key="k")
        assert got["ObjectLockMode"] == "GOVERNANCE"
        assert got["ObjectLockRetainUntilDate"] == retention["RetainUntilDate"]
        assert "ObjectLockLegalHoldStatus" not in got


@pytest.mark.promise("LOCK-7")
def test_what_is_no_retention_is_refused(s3, locking, refused):
    put(s3, locking)

    def retain(**retention):
        s3.put_object_retention(Bucket=locking, Key="k", Retention=retention)

    for mode in ("governance", "abc"):
        with refused(400, "MalformedXML"):
            retain(Mode=mode, RetainUntilDate=days(1))
    with refused(400, "MalformedXML"):
        retain(Mode="GOVERNANCE")
    with refused(400, "MalformedXML"):
        retain(RetainUntilDate=days(1))
    with refused(400, "InvalidArgument"):
        retain(Mode="GOVERNANCE", RetainUntilDate=days(-1))
    with refused(404, "NoSuchObjectLockConfiguration"):
        s3.get_object_retention(Bucket=locking, Key="k")
    with refused(404, "NoSuchKey"):
        s3.get_object_retention(Bucket=locking, Key="never")


@pytest.mark.promise("LOCK-8")
def test_a_retention_grows_but_shrinks_only_by_a_bypass(s3, locking, refused):
    put(s3, locking)

    def retain(count, mode="GOVERNANCE", **more):
        s3.put_object_retention(
            Bucket=locking,
            Key="k",
            Retention={"Mode": mode, "RetainUntilDate": days(count)},
            **more,
        )

    retain(2)
    retain(3)
    with refused(403, "AccessDenied"):
        retain(1)
    with refused(403, "AccessDenied"):
        retain(4, "COMPLIANCE")
    retain(1, BypassGovernanceRetention=True)
    with refused(403, "AccessDenied"):
        s3.put_object_retention(Bucket=locking, Key="k", Retention={})
    s3.put_object_retention(
        Bucket=locking, Key="k", Retention={}, BypassGovernanceRetention=True
    )
    with refused(404, "NoSuchObjectLockConfiguration"):
        s3.get_object_retention(Bucket=locking, Key="k")


@pytest.mark.promise("LOCK-9")
def test_governance_holds_a_version_unless_it_is_bypassed(s3, locking):
    id = put(s3, locking, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=days(1))
    named = {"Bucket": locking, "Key": "k", "VersionId": id}
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.delete_object(**named)
    error = caught.value.response["Error"]
    assert error["Code"] == "AccessDenied"
    assert error["Message"].endswith("because object protected by object lock.")
    # A marker covers it; it does not go.
    marker = s3.delete_object(Bucket=locking, Key="k")
    assert marker["DeleteMarker"] is True
    assert s3.get_object(**named)["Body"].read() == b"content"
    # Nor does a new version touch it.
    put(s3, locking)
    assert s3.delete_object(BypassGovernanceRetention=True, **named)["VersionId"] == id


@pytest.mark.promise("LOCK-10")
def test_compliance_holds_a_version_from_everybody_until_it_ends(s3, locking, refused):
    end = datetime.datetime.now(UTC) + datetime.timedelta(seconds=4)
    id = put(s3, locking, ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=end)
    named = {"Bucket": locking, "Key": "k", "VersionId": id, "BypassGovernanceRetention": True}
    with refused(403, "AccessDenied"):
        s3.delete_object(**named)
    with refused(403, "AccessDenied"):
        retention = {"Mode": "GOVERNANCE", "RetainUntilDate": days(1)}
        s3.put_object_retention(Retention=retention, **named)
    while datetime.datetime.now(UTC) < end + datetime.timedelta(seconds=1):
        time.sleep(0.2)
    s3.delete_object(**named)


@pytest.mark.promise("LOCK-11")
def test_a_legal_hold_holds_until_it_is_lifted(s3, locking, refused):
    id = put(s3, locking, ObjectLockLegalHoldStatus="ON")
    named = {"Bucket": locking, "Key": "k", "VersionId": id}

    def status():
        return s3.get_object_legal_hold(**named)["LegalHold"]["Status"]

    assert status() == "ON"
    assert s3.head_object(**named)["ObjectLockLegalHoldStatus"] == "ON"
    with refused(403, "AccessDenied"):
        s3.delete_object(BypassGovernanceRetention=True, **named)
    s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **named)
    assert status() == "OFF"
    s3.put_object_legal_hold(LegalHold={"Status": "ON"}, **named)
    assert status() == "ON"
    with refused(400, "MalformedXML"):
        s3.put_object_legal_hold(LegalHold={"Status": "abc"}, **named)
    s3.put_object_legal_hold(LegalHold={"Status": "OFF"}, **named)
    s3.delete_object(**named)


@pytest.mark.promise("LOCK-12")
def test_delete_objects_keeps_what_is_locked(s3, locking):
    locked = put(s3, locking, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=days(1))
    free = put(s3, locking)

    def delete(**more):
        objects = [{"Key": "k", "VersionId": id} for id in (locked, free)]
        return s3.delete_objects(Bucket=locking, Delete={"Objects": objects}, **more)

    answer = delete()
    assert [item["VersionId"] for item in answer["Deleted"]] == [free]
    [error] = answer["Errors"]
    assert (error["Key"], error["VersionId"], error["Code"]) == ("k", locked, "AccessDenied")
    assert len(delete(BypassGovernanceRetention=True)["Deleted"]) == 2


@pytest.mark.promise("LOCK-13")
def test_a_default_retention_is_every_new_objects(s3, locking):
    s3.put_object_lock_configuration(Bucket=locking, ObjectLockConfiguration=rule(Days=1))
    source = {"Bucket": locking, "Key": "k"}
    put(s3, locking)
    s3.copy_object(Bucket=locking, Key="copy", CopySource=source)
    upload = s3.create_multipart_upload(Bucket=locking, Key="m")["UploadId"]
    named = {"Bucket": locking, "Key": "m", "UploadId": upload}
    part = s3.upload_part(PartNumber=1, Body=b"x", **named)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(MultipartUpload=parts, **named)
    for key in ("k", "copy", "m"):
        got = s3.get_object_retention(Bucket=locking, Key=key)["Retention"]
        assert got["Mode"] == "GOVERNANCE"
        assert abs(got["RetainUntilDate"] - days(1)) < datetime.timedelta(minutes=5)
    longer = days(7)
    put(s3, locking, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=longer)
    got = s3.get_object_retention(Bucket=locking, Key="k")["Retention"]
    assert got["RetainUntilDate"] == longer


@pytest.mark.promise("LOCK-14")
def test_headers_lock_what_is_copied_and_uploaded(s3, locking):
    put(s3, locking, ObjectLockLegalHoldStatus="ON")
    lock = {
        "ObjectLockMode": "GOVERNANCE",
        "ObjectLockRetainUntilDate": days(3),
        "ObjectLockLegalHoldStatus": "ON",
    }
    source = {"Bucket": locking, "Key": "k"}
    # A copy has no lock of its source's.
    s3.copy_object(Bucket=locking, Key="plain", CopySource=source)
    s3.copy_object(Bucket=locking, Key="copy", CopySource=source, **lock)
    upload = s3.create_multipart_upload(Bucket=locking, Key="m", **lock)["UploadId"]
    named = {"Bucket": locking, "Key": "m", "UploadId": upload}
    part = s3.upload_part(PartNumber=1, Body=b"x", **named)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    s3.complete_multipart_upload(MultipartUpload=parts, **named)
    for key in ("copy", "m"):
        head = s3.head_object(Bucket=locking, Key=key)
        assert {name: head[name] for name in lock} == lock
    head = s3.head_object(Bucket=locking, Key="plain")
    assert not [name for name in head if name.startswith("ObjectLock")]


@pytest.mark.promise("LOCK-15")
def test_headers_of_half_a_lock_are_refused(s3, locking, refused):
    for lock in (
        {"ObjectLockMode": "GOVERNANCE"},
        {"ObjectLockRetainUntilDate": days(1)},
        {"ObjectLockMode": "abc", "ObjectLockRetainUntilDate": days(1)},
        {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": days(-1)},
        {"ObjectLockLegalHoldStatus": "abc"},
    ):
        with refused(400, "InvalidArgument"):
            put(s3, locking, **lock)
    assert "Versions" not in s3.list_object_versions(Bucket=locking)


@pytest.mark.promise("LOCK-16")
def test_a_locked_upload_is_vouched_for(s3, locking):
    url = s3.generate_presigned_url(
        "put_object",
        Params={"Bucket": locking, "Key": "k", "ObjectLockLegalHoldStatus": "ON"},
    )

    def upload(**headers):
        headers = {"x-amz-object-lock-legal-hold": "ON", **headers}
        request = urllib.request.Request(url, data=b"x", method="PUT", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.status

    with pytest.raises(urllib.error.HTTPError) as caught:
        upload()
    assert caught.value.code == 400
    assert b"Content-MD5 OR x-amz-checksum-" in caught.value.read()
    digest = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert upload(**{"Content-MD5": digest}) == 200


@pytest.mark.promise("LOCK-17")
def test_a_policy_decides_who_bypasses(s3, locking, refused):
    id = put(s3, locking, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=days(1))
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:BypassGovernanceRetention",
                "Resource": f"arn:aws:s3:::{locking}/*",
            }
        ],
    }
    named = {"Bucket": locking, "Key": "k", "VersionId": id}
    s3.put_bucket_policy(Bucket=locking, Policy=json.dumps(policy))
    with refused(403, "AccessDenied"):
        s3.delete_object(BypassGovernanceRetention=True, **named)
    answer = s3.delete_objects(
        Bucket=locking,
        Delete={"Objects": [{"Key": "k", "VersionId": id}]},
        BypassGovernanceRetention=True,
    )
    assert [error["Code"] for error in answer["Errors"]] == ["AccessDenied"]
    s3.delete_bucket_policy(Bucket=locking)
    s3.delete_object(BypassGovernanceRetention=True, **named)
