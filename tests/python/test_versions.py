"""Versioning: ids, delete markers, suspended buckets, listings of versions, and operations on one
version (the S3 guide's "Retaining multiple versions of objects with S3 Versioning")."""

import collections
import re
import urllib.request

import botocore.exceptions
import pytest

ENABLED = {"Status": "Enabled"}
SUSPENDED = {"Status": "Suspended"}
NOBODYS = "3HL4kqtJvjVBH40Nrjfkd.n_L4kqtJvj"


@pytest.fixture
def versioned(s3, bucket):
    """A bucket whose versioning is enabled."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=ENABLED)
    return bucket


def put(s3, bucket, key="k", body=b"", **more):
    """The version id of a new version."""
    return s3.put_object(Bucket=bucket, Key=key, Body=body, **more).get("VersionId")


def entries(s3, bucket, **more):
    """(key, id, is latest, is marker) of all pages together, in the listing's order by key."""
    found = collections.defaultdict(list)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, **more):
        for kind, marker in (("Versions", False), ("DeleteMarkers", True)):
            for item in page.get(kind, []):
                entry = (item["Key"], item["VersionId"], item["IsLatest"], marker)
                found[item["Key"]].append((item["LastModified"], entry))
    return [entry for key in sorted(found) for _, entry in found[key]]


def ids(s3, bucket, **more):
    """The ids of all versions and markers."""
    return {entry[1] for entry in entries(s3, bucket, **more)}


def error_of(operation, **arguments):
    """(status, code, headers) of a refusal."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        operation(**arguments)
    answer = caught.value.response
    metadata = answer["ResponseMetadata"]
    return metadata["HTTPStatusCode"], answer["Error"]["Code"], metadata["HTTPHeaders"]


@pytest.mark.promise("VER-1")
def test_a_bucket_has_no_versioning_until_it_is_enabled(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    for status in ("Suspended", "Enabled", "Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.promise("VER-2")
def test_what_is_no_configuration_is_refused(s3, bucket, refused):
    def configure(**configuration):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=configuration)

    with refused(400, "IllegalVersioningConfigurationException"):
        configure()
    with refused(400, "MalformedXML"):
        configure(Status="Off")
    with refused(501, "NotImplemented"):
        configure(Status="Enabled", MFADelete="Enabled")
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    configure(Status="Enabled", MFADelete="Disabled")


@pytest.mark.promise("VER-3")
def test_a_bucket_that_was_never_versioned_tells_no_ids(s3, bucket):
    answers = [
        s3.put_object(Bucket=bucket, Key="k", Body=b"a"),
        s3.get_object(Bucket=bucket, Key="k"),
        s3.get_object(Bucket=bucket, Key="k", VersionId="null"),
        s3.head_object(Bucket=bucket, Key="k"),
        s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}),
        s3.delete_object(Bucket=bucket, Key="k"),
    ]
    for answer in answers:
        names = answer["ResponseMetadata"]["HTTPHeaders"]
        assert not [name for name in names if "version-id" in name or "delete-marker" in name]
    listed = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [(item["Key"], item["VersionId"], item["IsLatest"]) for item in listed] == [
        ("c", "null", True)
    ]


@pytest.mark.promise("VER-4")
def test_every_put_makes_a_version_of_its_own(s3, versioned):
    made = [put(s3, versioned, body=bytes([i])) for i in range(5)]
    assert len(set(made)) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9._]{32}", id) for id in made)
    current = s3.get_object(Bucket=versioned, Key="k")
    assert (current["Body"].read(), current["VersionId"]) == (b"\x04", made[4])
    for i, id in enumerate(made):
        got = s3.get_object(Bucket=versioned, Key="k", VersionId=id)
        assert (got["Body"].read(), got["VersionId"]) == (bytes([i]), id)
        head = s3.head_object(Bucket=versioned, Key="k", VersionId=id)
        assert (head["VersionId"], head["ETag"]) == (id, got["ETag"])


@pytest.mark.promise("VER-5")
def test_an_object_of_before_is_the_null_version(s3, bucket):
    assert put(s3, bucket, body=b"before") is None
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=ENABLED)
    assert s3.get_object(Bucket=bucket, Key="k")["VersionId"] == "null"
    later = put(s3, bucket, body=b"later")
    null = s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert (null["Body"].read(), null["VersionId"]) == (b"before", "null")
    assert ids(s3, bucket) == {"null", later}
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert ids(s3, bucket) == {later}


@pytest.mark.promise("VER-6")
def test_a_delete_makes_a_marker(s3, versioned, refused):
    made = put(s3, versioned, body=b"kept")
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert deleted["DeleteMarker"] is True and deleted["VersionId"] != made
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=versioned, Key="k")
    assert "Contents" not in s3.list_objects_v2(Bucket=versioned)
    assert s3.get_object(Bucket=versioned, Key="k", VersionId=made)["Body"].read() == b"kept"
    assert entries(s3, versioned) == [
        ("k", made, False, False),
        ("k", deleted["VersionId"], True, True),
    ]
    again = s3.delete_object(Bucket=versioned, Key="k")
    assert again["DeleteMarker"] is True and again["VersionId"] != deleted["VersionId"]
    absent = s3.delete_object(Bucket=versioned, Key="never")
    assert absent["DeleteMarker"] is True


@pytest.mark.promise("VER-7")
def test_deleting_a_marker_brings_the_object_back(s3, versioned):
    made = put(s3, versioned, body=b"kept")
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    removed = s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)
    assert removed["DeleteMarker"] is True and removed["VersionId"] == marker
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == made


@pytest.mark.promise("VER-8")
def test_deleting_a_version_is_for_good_and_uncovers_the_one_before(s3, versioned):
    first, second = put(s3, versioned, body=b"1"), put(s3, versioned, body=b"2")
    removed = s3.delete_object(Bucket=versioned, Key="k", VersionId=second)
    assert removed["VersionId"] == second and "DeleteMarker" not in removed
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == first
    # It is not there any more, which is no error.
    assert s3.delete_object(Bucket=versioned, Key="k", VersionId=second)["VersionId"] == second
    s3.delete_object(Bucket=versioned, Key="k", VersionId=first)
    assert entries(s3, versioned) == []


@pytest.mark.promise("VER-9")
def test_reading_a_key_whose_latest_version_is_a_marker(s3, versioned):
    put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for operation, code in ((s3.get_object, "NoSuchKey"), (s3.head_object, "404")):
        status, got, headers = error_of(operation, Bucket=versioned, Key="k")
        assert (status, got) == (404, code)
        assert headers["x-amz-delete-marker"] == "true"
        assert headers["x-amz-version-id"] == marker


@pytest.mark.promise("VER-10")
def test_a_marker_has_no_content(s3, versioned):
    put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    for operation, code in ((s3.get_object, "MethodNotAllowed"), (s3.head_object, "405")):
        status, got, headers = error_of(operation, Bucket=versioned, Key="k", VersionId=marker)
        assert (status, got) == (405, code)
        assert headers["allow"] == "DELETE"
        assert headers["x-amz-delete-marker"] == "true"
        assert headers["x-amz-version-id"] == marker
        assert headers["last-modified"].endswith(" GMT")
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    for operation, more in (
        (s3.get_object_tagging, {}),
        (s3.put_object_tagging, {"Tagging": tags}),
        (s3.get_object_acl, {}),
    ):
        more = {"Bucket": versioned, "Key": "k", "VersionId": marker, **more}
        assert error_of(operation, **more)[:2] == (405, "MethodNotAllowed")


@pytest.mark.promise("VER-11")
def test_ids_of_nobody_and_no_ids(s3, versioned):
    put(s3, versioned)
    arguments = {"Bucket": versioned, "Key": "k"}
    assert error_of(s3.get_object, VersionId=NOBODYS, **arguments)[:2] == (404, "NoSuchVersion")
    assert error_of(s3.head_object, VersionId=NOBODYS, **arguments)[0] == 404
    for operation in (s3.get_object, s3.delete_object, s3.get_object_tagging, s3.get_object_acl):
        assert error_of(operation, VersionId="x", **arguments)[:2] == (400, "InvalidArgument")
    assert s3.delete_object(VersionId=NOBODYS, **arguments)["VersionId"] == NOBODYS
    assert error_of(s3.get_object_tagging, VersionId=NOBODYS, **arguments)[1] == "NoSuchVersion"
    assert error_of(s3.get_object, VersionId="null", **arguments)[1] == "NoSuchVersion"


@pytest.mark.promise("VER-12")
def test_a_suspended_bucket_replaces_the_null_version_alone(s3, versioned):
    kept = put(s3, versioned, body=b"kept")
    s3.put_bucket_versioning(Bucket=versioned, VersioningConfiguration=SUSPENDED)
    assert put(s3, versioned, body=b"one") is None
    assert put(s3, versioned, body=b"two") is None
    current = s3.get_object(Bucket=versioned, Key="k")
    assert (current["Body"].read(), current["VersionId"]) == (b"two", "null")
    assert ids(s3, versioned) == {kept, "null"}
    deleted = s3.delete_object(Bucket=versioned, Key="k")
    assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
    assert entries(s3, versioned) == [("k", kept, False, False), ("k", "null", True, True)]
    s3.delete_object(Bucket=versioned, Key="k", VersionId="null")
    assert s3.get_object(Bucket=versioned, Key="k")["VersionId"] == kept


@pytest.mark.promise("VER-13")
def test_copies_of_a_version(s3, versioned):
    first, second = put(s3, versioned, body=b"1"), put(s3, versioned, body=b"2")

    def copy(**source):
        return s3.copy_object(
            Bucket=versioned, Key="copy", CopySource={"Bucket": versioned, "Key": "k", **source}
        )

    old = copy(VersionId=first)
    assert old["CopySourceVersionId"] == first
    got = s3.get_object(Bucket=versioned, Key="copy")
    assert (got["Body"].read(), got["VersionId"]) == (b"1", old["VersionId"])
    assert copy()["CopySourceVersionId"] == second
    # An old version becomes the latest by being copied onto its own key.
    restored = s3.copy_object(
        Bucket=versioned,
        Key="k",
        CopySource={"Bucket": versioned, "Key": "k", "VersionId": first},
    )
    assert s3.get_object(Bucket=versioned, Key="k")["Body"].read() == b"1"
    assert ids(s3, versioned, Prefix="k") == {first, second, restored["VersionId"]}


@pytest.mark.promise("VER-14")
def test_a_marker_cannot_be_copied(s3, versioned, refused):
    put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    source = {"Bucket": versioned, "Key": "k"}
    with refused(404, "NoSuchKey"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource=source)
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={**source, "VersionId": marker})
    with refused(404, "NoSuchVersion"):
        s3.copy_object(Bucket=versioned, Key="c", CopySource={**source, "VersionId": NOBODYS})


@pytest.mark.promise("VER-15")
def test_parts_and_their_upload_tell_versions(s3, versioned):
    source = put(s3, versioned, body=b"part")
    put(s3, versioned, body=b"newer")
    upload = s3.create_multipart_upload(Bucket=versioned, Key="m")["UploadId"]
    part = s3.upload_part_copy(
        Bucket=versioned,
        Key="m",
        UploadId=upload,
        PartNumber=1,
        CopySource={"Bucket": versioned, "Key": "k", "VersionId": source},
    )
    assert part["CopySourceVersionId"] == source
    completed = s3.complete_multipart_upload(
        Bucket=versioned,
        Key="m",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]},
    )
    got = s3.get_object(Bucket=versioned, Key="m")
    assert (got["Body"].read(), got["VersionId"]) == (b"part", completed["VersionId"])


@pytest.mark.promise("VER-16")
def test_tags_of_a_version(s3, versioned):
    first, second = put(s3, versioned), put(s3, versioned)

    def tag(value, **more):
        return s3.put_object_tagging(
            Bucket=versioned,
            Key="k",
            Tagging={"TagSet": [{"Key": "of", "Value": value}]},
            **more,
        )

    assert tag("first", VersionId=first)["VersionId"] == first
    assert tag("second")["VersionId"] == second
    for id in (first, second):
        got = s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=id)
        assert got["VersionId"] == id
        assert got["TagSet"] == [{"Key": "of", "Value": "first" if id == first else "second"}]
    s3.delete_object_tagging(Bucket=versioned, Key="k", VersionId=first)
    assert s3.get_object_tagging(Bucket=versioned, Key="k", VersionId=first)["TagSet"] == []
    assert s3.get_object_tagging(Bucket=versioned, Key="k")["TagSet"]


@pytest.mark.promise("VER-17")
def test_acls_and_attributes_of_a_version(s3, versioned):
    first, second = put(s3, versioned, body=b"1"), put(s3, versioned, body=b"22")
    s3.put_object_acl(Bucket=versioned, Key="k", VersionId=first, ACL="public-read")
    acl = s3.get_object_acl(Bucket=versioned, Key="k", VersionId=first)
    assert len(acl["Grants"]) == 2
    assert acl["ResponseMetadata"]["HTTPHeaders"]["x-amz-version-id"] == first
    assert len(s3.get_object_acl(Bucket=versioned, Key="k")["Grants"]) == 1
    for id, size in ((first, 1), (second, 2)):
        got = s3.get_object_attributes(
            Bucket=versioned, Key="k", VersionId=id, ObjectAttributes=["ObjectSize"]
        )
        assert (got["VersionId"], got["ObjectSize"]) == (id, size)


@pytest.mark.promise("VER-18")
def test_delete_objects_tells_markers_and_versions(s3, versioned):
    first = put(s3, versioned, "a")
    marker = s3.delete_object(Bucket=versioned, Key="b")["VersionId"]
    deleted = s3.delete_objects(
        Bucket=versioned,
        Delete={
            "Objects": [
                {"Key": "a", "VersionId": first},
                {"Key": "b", "VersionId": marker},
                {"Key": "c"},
                {"Key": "d", "VersionId": "null"},
            ]
        },
    )["Deleted"]
    by_key = {item["Key"]: item for item in deleted}
    assert by_key["a"] == {"Key": "a", "VersionId": first}
    assert by_key["b"] == {
        "Key": "b",
        "VersionId": marker,
        "DeleteMarker": True,
        "DeleteMarkerVersionId": marker,
    }
    made = by_key["c"].pop("DeleteMarkerVersionId")
    assert by_key["c"] == {"Key": "c", "DeleteMarker": True}
    assert by_key["d"] == {"Key": "d", "VersionId": "null"}
    assert ids(s3, versioned) == {made}


@pytest.mark.promise("VER-19")
def test_delete_objects_has_bounds_and_errors_of_its_own(s3, bucket, refused):
    put(s3, bucket, "a")

    def delete(*objects, **more):
        return s3.delete_objects(Bucket=bucket, Delete={"Objects": list(objects), **more})

    answer = delete({"Key": "a"}, {"Key": "never"}, {"Key": "x", "VersionId": "x"})
    assert [item["Key"] for item in answer["Deleted"]] == ["a", "never"]
    assert [(e["Key"], e["Code"], e["VersionId"]) for e in answer["Errors"]] == [
        ("x", "NoSuchVersion", "x")
    ]
    quiet = delete({"Key": "a"}, {"Key": "x", "VersionId": "x"}, Quiet=True)
    assert "Deleted" not in quiet and len(quiet["Errors"]) == 1
    assert len(delete(*({"Key": str(i)} for i in range(1000)))["Deleted"]) == 1000
    with refused(400, "MalformedXML"):
        delete(*({"Key": str(i)} for i in range(1001)))


@pytest.mark.promise("VER-20")
def test_versions_are_listed_by_key_and_newest_first(s3, versioned):
    made = {key: [put(s3, versioned, key) for _ in range(3)] for key in ("b", "a", "c")}
    listed = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert [item["Key"] for item in listed] == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
    for key, expected in made.items():
        of_key = [item for item in listed if item["Key"] == key]
        assert [item["VersionId"] for item in of_key] == expected[::-1]
        assert [item["IsLatest"] for item in of_key] == [True, False, False]
    item = listed[0]
    assert item["Size"] == 0 and item["StorageClass"] == "STANDARD" and item["ETag"]
    assert item["Owner"]["ID"] == s3.list_buckets()["Owner"]["ID"]
    marker = s3.delete_object(Bucket=versioned, Key="a")["VersionId"]
    [listed] = s3.list_object_versions(Bucket=versioned)["DeleteMarkers"]
    assert (listed["VersionId"], listed["IsLatest"]) == (marker, True)
    assert listed["Owner"]["ID"] == item["Owner"]["ID"]


@pytest.mark.promise("VER-21")
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_of_versions_are_the_whole(s3, versioned, size):
    for round in range(3):
        for key in ("a", "b/1", "b/2", "c"):
            put(s3, versioned, key)
        s3.delete_object(Bucket=versioned, Key="b/1")
    whole = s3.list_object_versions(Bucket=versioned)
    assert whole["IsTruncated"] is False and "NextKeyMarker" not in whole

    def pages(**more):
        found, markers, arguments = [], [], dict(more)
        while True:
            page = s3.list_object_versions(Bucket=versioned, MaxKeys=size, **arguments)
            some = page.get("Versions", []) + page.get("DeleteMarkers", [])
            some += page.get("CommonPrefixes", [])
            assert len(some) <= size
            found += page.get("Versions", [])
            markers += page.get("DeleteMarkers", []) + page.get("CommonPrefixes", [])
            if not page["IsTruncated"]:
                return found, markers
            arguments["KeyMarker"] = page["NextKeyMarker"]
            arguments.pop("VersionIdMarker", None)
            if "NextVersionIdMarker" in page:
                arguments["VersionIdMarker"] = page["NextVersionIdMarker"]

    assert pages() == (whole["Versions"], whole["DeleteMarkers"])
    rolled = s3.list_object_versions(Bucket=versioned, Delimiter="/")
    assert rolled["CommonPrefixes"] == [{"Prefix": "b/"}]
    assert {item["Key"] for item in rolled["Versions"]} == {"a", "c"}
    assert pages(Delimiter="/") == (rolled["Versions"], rolled["CommonPrefixes"])
    below = s3.list_object_versions(Bucket=versioned, Prefix="b/")
    assert pages(Prefix="b/") == (below["Versions"], below["DeleteMarkers"])


@pytest.mark.promise("VER-22")
def test_a_version_marker_needs_a_key_marker(s3, versioned, refused):
    first, second = put(s3, versioned), put(s3, versioned)
    with refused(400, "InvalidArgument"):
        s3.list_object_versions(Bucket=versioned, VersionIdMarker=second)
    with refused(400, "InvalidArgument"):
        s3.list_object_versions(Bucket=versioned, KeyMarker="k", VersionIdMarker="x")
    after = s3.list_object_versions(Bucket=versioned, KeyMarker="k", VersionIdMarker=second)
    assert [(it["VersionId"], it["IsLatest"]) for it in after["Versions"]] == [(first, False)]
    assert "Versions" not in s3.list_object_versions(Bucket=versioned, KeyMarker="k")


@pytest.mark.promise("VER-23")
def test_names_of_versions_are_encoded_where_asked(s3, versioned):
    put(s3, versioned, "a b+c/é")
    # botocore asks for encoded names by itself and decodes them.
    [item] = s3.list_object_versions(Bucket=versioned)["Versions"]
    assert item["Key"] == "a b+c/é"
    url = s3.generate_presigned_url(
        "list_object_versions", Params={"Bucket": versioned, "EncodingType": "url"}
    )
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    [name] = re.findall("<Key>(.*?)</Key>", text)
    # `+` for the space would be read as a plus by half of all clients.
    assert name == "a%20b%2Bc/%C3%A9"
    assert "<EncodingType>url</EncodingType>" in text


@pytest.mark.promise("VER-24")
def test_a_bucket_with_versions_or_markers_is_not_empty(s3, versioned, refused):
    made = put(s3, versioned)
    marker = s3.delete_object(Bucket=versioned, Key="k")["VersionId"]
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=versioned)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=made)
    with refused(409, "BucketNotEmpty"):
        s3.delete_bucket(Bucket=versioned)
    s3.delete_object(Bucket=versioned, Key="k", VersionId=marker)


@pytest.mark.promise("VER-25")
@pytest.mark.parametrize("key", ["_testobj", "_", ":", " "])
def test_keys_with_special_names_have_versions_too(s3, versioned, key):
    made = [put(s3, versioned, key, str(i).encode()) for i in range(3)]
    for i, id in enumerate(made):
        assert s3.get_object(Bucket=versioned, Key=key, VersionId=id)["Body"].read() == b"%d" % i
        s3.delete_object(Bucket=versioned, Key=key, VersionId=id)
    assert entries(s3, versioned) == []
