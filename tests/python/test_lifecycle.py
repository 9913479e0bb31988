"""Lifecycle: configurations, the headers that speak of them, and what the background work deletes."""

import datetime
import email.utils
import time
import urllib.parse

import pytest

import gateway as gateway_module
from conftest import make_client

DAY_SECONDS = 2
WITHIN_SECONDS = 30


def rule(identifier="rule", status="Enabled", **more):
    return {"ID": identifier, "Status": status, **more}


def days(count, prefix="", **more):
    return rule(Filter={"Prefix": prefix}, Expiration={"Days": count}, **more)


def put(s3, bucket, *rules, **more):
    configuration = {"Rules": list(rules)}
    return s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=configuration, **more
    )


@pytest.fixture(scope="module")
def fast():
    """A client of a server whose days have two seconds."""
    server = gateway_module.Gateway({"PENSTOCK_LIFECYCLE_DAY": f"{DAY_SECONDS}s"})
    try:
        yield make_client(server)
    finally:
        log = server.log()
        assert server.stop() == 0, log
        assert "panicked" not in log, log


@pytest.fixture
def fast_bucket(fast, request):
    name = "life-" + str(abs(hash(request.node.name)))[:12]
    fast.create_bucket(Bucket=name)
    return name


def keys(s3, bucket):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def wait_for(what):
    deadline = time.monotonic() + WITHIN_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


@pytest.mark.promise("LIFE-1")
def test_a_configuration_is_kept_replaced_and_deleted(s3, bucket, refused):
    with refused(404, "NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    rules = [
        days(1, "a/"),
        rule("old", Prefix="b/", Expiration={"Days": 2}),
        rule(
            "and",
            "Disabled",
            Filter={"And": {"Prefix": "c", "Tags": [{"Key": "k", "Value": "v"}],
                            "ObjectSizeGreaterThan": 1, "ObjectSizeLessThan": 9}},
            Expiration={"Days": 3},
        ),
        rule("tag", Filter={"Tag": {"Key": "k", "Value": ""}}, Expiration={"Days": 3}),
        rule(
            "versions", Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": True},
            NoncurrentVersionExpiration={"NoncurrentDays": 4, "NewerNoncurrentVersions": 5},
            AbortIncompleteMultipartUpload={"DaysAfterInitiation": 6},
        ),
        rule(
            "moves", Filter={"Prefix": ""},
            Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"}],
            NoncurrentVersionTransitions=[{"NoncurrentDays": 30, "StorageClass": "GLACIER"}],
        ),
    ]
    put(s3, bucket, *rules)
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    date = datetime.datetime(2037, 9, 27, tzinfo=datetime.timezone.utc)
    put(s3, bucket, rule(Filter={"Prefix": ""}, Expiration={"Date": date}))
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [one["Expiration"]["Date"] for one in kept] == [date]
    answer = s3.delete_bucket_lifecycle(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


@pytest.mark.promise("LIFE-1")
def test_a_rule_without_an_id_gets_one(s3, bucket):
    nameless = [days(1, "a"), days(1, "b")]
    for one in nameless:
        del one["ID"]
    put(s3, bucket, *nameless)
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert len({one["ID"] for one in kept}) == 2 and all(one["ID"] for one in kept)


@pytest.mark.promise("LIFE-2")
def test_the_least_size_of_what_moves_is_kept(s3, bucket, refused):
    name = "TransitionDefaultMinimumObjectSize"
    put(s3, bucket, days(1))
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert kept[name] == "all_storage_classes_128K"
    answer = put(s3, bucket, days(1), **{name: "varies_by_storage_class"})
    assert answer[name] == "varies_by_storage_class"
    kept = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert kept[name] == "varies_by_storage_class"
    with refused(400, "InvalidRequest"):
        put(s3, bucket, days(1), **{name: "other"})


TAG = {"Key": "k", "Value": "v"}
NOON = datetime.datetime(2037, 9, 27, 12, tzinfo=datetime.timezone.utc)


@pytest.mark.promise("LIFE-3")
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (days(0), "InvalidArgument"),
        (days(-1), "InvalidArgument"),
        (days(1, status="enabled"), "MalformedXML"),
        (days(1, status="invalid"), "MalformedXML"),
        (days(1) | {"ID": "i" * 256}, "InvalidArgument"),
        (rule(Filter={"Prefix": ""}, Expiration={"Date": NOON}), "InvalidArgument"),
        (rule(Filter={"Prefix": ""}), "InvalidRequest"),
        (rule(Expiration={"Days": 1}), "MalformedXML"),
        (rule(Filter={"Prefix": ""}, Prefix="", Expiration={"Days": 1}), "MalformedXML"),
        (rule(Filter={"And": {"Prefix": "a"}}, Expiration={"Days": 1}), "MalformedXML"),
        (rule(Filter={"Prefix": ""}, Expiration={}), "MalformedXML"),
        (
            rule(Filter={"Prefix": ""}, Expiration={"Days": 1, "ExpiredObjectDeleteMarker": True}),
            "MalformedXML",
        ),
        (
            rule(Filter={"Tag": TAG}, Expiration={"ExpiredObjectDeleteMarker": True}),
            "InvalidRequest",
        ),
        (
            rule(Filter={"Tag": TAG}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
            "InvalidRequest",
        ),
        (
            rule(Filter={"Prefix": ""}, NoncurrentVersionExpiration={"NoncurrentDays": 0}),
            "InvalidArgument",
        ),
        (
            rule(Filter={"Prefix": ""}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0}),
            "InvalidArgument",
        ),
        (
            rule(Filter={"Prefix": ""}, Transitions=[{"Days": 1, "StorageClass": "STANDARD_IA"}]),
            "InvalidArgument",
        ),
        (
            rule(Filter={"Prefix": ""}, Transitions=[{"Days": 1, "StorageClass": "OTHER"}]),
            "MalformedXML",
        ),
    ],
)
def test_mistakes_are_refused(s3, bucket, refused, wrong, code):
    with refused(400, code):
        put(s3, bucket, wrong)


@pytest.mark.promise("LIFE-3")
def test_ids_are_unique_and_rules_bounded(s3, bucket, refused):
    with refused(400, "InvalidArgument"):
        put(s3, bucket, days(1, "a"), days(1, "b"))
    with refused(400, "InvalidRequest"):
        put(s3, bucket, *[days(1, str(number)) | {"ID": str(number)} for number in range(1001)])


@pytest.mark.promise("LIFE-4")
def test_answers_say_when_an_object_expires(s3, bucket):
    put(s3, bucket, days(5, "a") | {"ID": "the rule/1"}, days(3, "ab") | {"ID": "sooner"})
    upload = {"Bucket": bucket, "Key": "ae"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = {"PartNumber": 1, "ETag": s3.upload_part(PartNumber=1, Body=b"x", **upload)["ETag"]}
    answers = [
        s3.complete_multipart_upload(MultipartUpload={"Parts": [part]}, **upload),
        s3.put_object(Bucket=bucket, Key="ac", Body=b"x"),
        s3.head_object(Bucket=bucket, Key="ac"),
        s3.get_object(Bucket=bucket, Key="ac"),
        s3.copy_object(Bucket=bucket, Key="ad", CopySource=f"{bucket}/ac"),
    ]
    for answer in answers:
        date, name = answer["Expiration"].split(", rule-id=")
        assert urllib.parse.unquote(name.strip('"')) == "the rule/1"
        at = email.utils.parsedate_to_datetime(date.removeprefix('expiry-date="').rstrip('"'))
        assert (at.hour, at.minute, at.second) == (0, 0, 0), "midnight"
        left = at - datetime.datetime.now(datetime.timezone.utc)
        assert datetime.timedelta(days=5) <= left <= datetime.timedelta(days=6)
    assert "sooner" in s3.put_object(Bucket=bucket, Key="ab", Body=b"x")["Expiration"]
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="b", Body=b"x")


@pytest.mark.promise("LIFE-4")
def test_tags_and_sizes_count_for_the_answer(s3, bucket):
    conditions = {"Tags": [TAG], "ObjectSizeGreaterThan": 2}
    put(s3, bucket, rule(Filter={"And": conditions}, Expiration={"Days": 1}))
    for key, body, tagging, expected in (
        ("a", b"xxx", "k=v", True), ("b", b"xx", "k=v", False), ("c", b"xxx", "k=w", False)
    ):
        answer = s3.put_object(Bucket=bucket, Key=key, Body=body, Tagging=tagging)
        assert ("Expiration" in answer) == expected, key


@pytest.mark.promise("LIFE-5")
def test_uploads_say_when_they_are_aborted(s3, bucket):
    abort = {"DaysAfterInitiation": 3}
    put(s3, bucket, rule("ends", Filter={"Prefix": "u"}, AbortIncompleteMultipartUpload=abort))
    answer = s3.create_multipart_upload(Bucket=bucket, Key="u1")
    assert answer["AbortRuleId"] == "ends"
    left = answer["AbortDate"] - datetime.datetime.now(datetime.timezone.utc)
    assert datetime.timedelta(days=3) <= left <= datetime.timedelta(days=4)
    listed = s3.list_parts(Bucket=bucket, Key="u1", UploadId=answer["UploadId"])
    assert (listed["AbortRuleId"], listed["AbortDate"]) == ("ends", answer["AbortDate"])
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=bucket, Key="v")


@pytest.mark.promise("LIFE-6")
def test_objects_expire_after_their_days(fast, fast_bucket):
    for key in ("soon/1", "soon/2", "late/1", "keep/1"):
        fast.put_object(Bucket=fast_bucket, Key=key, Body=b"x")
    put(
        fast, fast_bucket, days(1, "soon/") | {"ID": "a"}, days(4, "late/") | {"ID": "b"},
        days(1, "keep/") | {"ID": "c", "Status": "Disabled"},
    )
    wait_for(lambda: keys(fast, fast_bucket) == ["keep/1", "late/1"])
    wait_for(lambda: keys(fast, fast_bucket) == ["keep/1"])


@pytest.mark.promise("LIFE-6")
def test_objects_expire_at_a_date(fast, fast_bucket):
    fast.put_object(Bucket=fast_bucket, Key="past/1", Body=b"x")
    fast.put_object(Bucket=fast_bucket, Key="future/1", Body=b"x")
    past = datetime.datetime(2017, 9, 27, tzinfo=datetime.timezone.utc)
    future = datetime.datetime(2037, 9, 27, tzinfo=datetime.timezone.utc)
    put(
        fast, fast_bucket,
        rule("a", Filter={"Prefix": "past/"}, Expiration={"Date": past}),
        rule("b", Filter={"Prefix": "future/"}, Expiration={"Date": future}),
    )
    wait_for(lambda: keys(fast, fast_bucket) == ["future/1"])


@pytest.mark.promise("LIFE-7")
def test_only_what_a_filter_takes_expires(fast, fast_bucket):
    for key, size, tagging in (
        ("a", 10, "k=v&x=y"), ("b", 10, "k=w"), ("c", 9, "k=v&x=y"), ("d", 10, "k=v"),
    ):
        fast.put_object(Bucket=fast_bucket, Key=key, Body=b"x" * size, Tagging=tagging)
    tags = [TAG, {"Key": "x", "Value": "y"}]
    conditions = {"Tags": tags, "ObjectSizeGreaterThan": 9, "ObjectSizeLessThan": 11}
    put(fast, fast_bucket, rule(Filter={"And": conditions}, Expiration={"Days": 1}))
    wait_for(lambda: keys(fast, fast_bucket) == ["b", "c", "d"])
    time.sleep(DAY_SECONDS)
    assert keys(fast, fast_bucket) == ["b", "c", "d"]


@pytest.mark.promise("LIFE-8")
def test_what_is_put_again_begins_anew(fast, fast_bucket):
    put(fast, fast_bucket, days(2))
    deadline = time.monotonic() + 4 * DAY_SECONDS
    while time.monotonic() < deadline:
        fast.put_object(Bucket=fast_bucket, Key="k", Body=b"x")
        time.sleep(0.2)
        assert keys(fast, fast_bucket) == ["k"]
    wait_for(lambda: not keys(fast, fast_bucket))


@pytest.mark.promise("LIFE-9")
def test_uploads_are_aborted(fast, fast_bucket):
    for key in ("a/1", "b/1"):
        fast.create_multipart_upload(Bucket=fast_bucket, Key=key)
    abort = {"DaysAfterInitiation": 1}
    put(fast, fast_bucket, rule(Filter={"Prefix": "a/"}, AbortIncompleteMultipartUpload=abort))

    def uploads():
        page = fast.list_multipart_uploads(Bucket=fast_bucket)
        return [one["Key"] for one in page.get("Uploads", [])]

    wait_for(lambda: uploads() == ["b/1"])


def versioned(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def versions(s3, bucket):
    """(key, kind, latest) of every version and marker."""
    page = s3.list_object_versions(Bucket=bucket)
    found = [(one["Key"], "object", one["IsLatest"]) for one in page.get("Versions", [])]
    found += [(one["Key"], "marker", one["IsLatest"]) for one in page.get("DeleteMarkers", [])]
    return sorted(found)


@pytest.mark.promise("LIFE-10")
def test_a_versioned_object_expires_behind_a_marker(fast, fast_bucket):
    versioned(fast, fast_bucket)
    fast.put_object(Bucket=fast_bucket, Key="k", Body=b"x")
    put(fast, fast_bucket, days(1))
    expected = [("k", "marker", True), ("k", "object", False)]
    wait_for(lambda: versions(fast, fast_bucket) == expected)
    time.sleep(2 * DAY_SECONDS)
    assert versions(fast, fast_bucket) == expected, "it covers something"


@pytest.mark.promise("LIFE-11")
def test_replaced_versions_expire(fast, fast_bucket):
    versioned(fast, fast_bucket)
    for body in (b"1", b"2", b"3", b"4"):
        fast.put_object(Bucket=fast_bucket, Key="k", Body=body)
    expiration = {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}
    put(fast, fast_bucket, rule(Filter={"Prefix": ""}, NoncurrentVersionExpiration=expiration))
    wait_for(lambda: len(versions(fast, fast_bucket)) == 3)
    time.sleep(DAY_SECONDS)
    assert len(versions(fast, fast_bucket)) == 3
    put(
        fast, fast_bucket,
        rule(Filter={"Prefix": ""}, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    )
    wait_for(lambda: versions(fast, fast_bucket) == [("k", "object", True)])
    assert fast.get_object(Bucket=fast_bucket, Key="k")["Body"].read() == b"4"


@pytest.mark.promise("LIFE-12")
def test_lone_markers_go(fast, fast_bucket):
    versioned(fast, fast_bucket)
    kept = fast.put_object(Bucket=fast_bucket, Key="covers", Body=b"x")
    fast.delete_object(Bucket=fast_bucket, Key="covers")
    fast.delete_object(Bucket=fast_bucket, Key="alone")
    put(
        fast, fast_bucket,
        rule(Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": True}),
    )
    wait_for(lambda: [one[0] for one in versions(fast, fast_bucket)] == ["covers", "covers"])
    fast.delete_object(Bucket=fast_bucket, Key="covers", VersionId=kept["VersionId"])
    wait_for(lambda: versions(fast, fast_bucket) == [])


@pytest.mark.promise("LIFE-13")
def test_locked_versions_stay(fast):
    name = "life-locked"
    fast.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=12)
    fast.put_object(
        Bucket=name, Key="k", Body=b"1", ObjectLockMode="COMPLIANCE",
        ObjectLockRetainUntilDate=until,
    )
    fast.put_object(Bucket=name, Key="k", Body=b"2")
    put(
        fast, name,
        rule(Filter={"Prefix": ""}, NoncurrentVersionExpiration={"NoncurrentDays": 1}),
    )
    time.sleep(3 * DAY_SECONDS)
    assert len(versions(fast, name)) == 2
    wait_for(lambda: len(versions(fast, name)) == 1)
