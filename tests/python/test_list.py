"""ListObjects and ListObjectsV2: order, prefix, delimiter, pages, encodings."""

import urllib.parse

import botocore.handlers
import pytest

KEYS = sorted(
    [
        "a",
        "a/",
        "a/b/c",
        "a/b/d",
        "a/x",
        "b",
        "b/1",
        "b/2",
        "c d/e+f",
        "photos/2026/cat.jpg",
        "photos/2026/dog.jpg",
        "photos/index",
        "z",
        "ä",
        "日本/語",
        "\U0001f600",
    ],
    key=lambda key: key.encode(),
)


@pytest.fixture
def filled(s3, bucket):
    """A bucket with all of KEYS."""
    for key in KEYS:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return bucket


def model(prefix="", delimiter="", after=""):
    """What a listing must give: keys and common prefixes in byte order."""
    entries = []
    for key in KEYS:
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        rest = key[len(prefix) :]
        if delimiter and delimiter in rest:
            common = prefix + rest[: rest.index(delimiter) + len(delimiter)]
            if common.encode() > after.encode() or not after.startswith(common):
                if ("prefix", common) not in entries:
                    entries.append(("prefix", common))
        else:
            entries.append(("key", key))
    return entries


def entries_of(page):
    """Keys and prefixes of a page, merged in byte order."""
    entries = [("key", item["Key"]) for item in page.get("Contents", [])]
    entries += [("prefix", item["Prefix"]) for item in page.get("CommonPrefixes", [])]
    return sorted(entries, key=lambda entry: entry[1].encode())


CASES = [
    ("", ""),
    ("", "/"),
    ("a", "/"),
    ("a/", "/"),
    ("a/b/", "/"),
    ("photos/", "/"),
    ("photos/2026/", "/"),
    ("photos", ""),
    ("nothing", "/"),
    ("", "b"),
    ("", "photos"),
    ("", "2026/"),
    ("ä", ""),
    ("日", "/"),
    ("c d/", "+"),
]


@pytest.mark.parametrize("prefix,delimiter", CASES)
def test_v2(s3, filled, prefix, delimiter):
    page = s3.list_objects_v2(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
    assert entries_of(page) == model(prefix, delimiter)
    assert page["KeyCount"] == len(model(prefix, delimiter))
    assert page["IsTruncated"] is False
    assert page["Prefix"] == prefix
    assert page["Name"] == filled
    assert page["MaxKeys"] == 1000


@pytest.mark.parametrize("prefix,delimiter", CASES)
def test_v1(s3, filled, prefix, delimiter):
    page = s3.list_objects(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
    assert entries_of(page) == model(prefix, delimiter)
    assert page["IsTruncated"] is False


@pytest.mark.parametrize("prefix,delimiter", CASES)
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_v2_pages(s3, filled, prefix, delimiter, size):
    entries, token = [], {}
    while True:
        page = s3.list_objects_v2(
            Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, **token
        )
        got = entries_of(page)
        assert len(got) == page["KeyCount"] <= size
        entries += got
        if not page["IsTruncated"]:
            assert "NextContinuationToken" not in page
            break
        assert len(got) == size, "a truncated page must be full"
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert entries == model(prefix, delimiter)


@pytest.mark.parametrize("prefix,delimiter", CASES)
@pytest.mark.parametrize("size", [1, 2, 5])
def test_v1_pages(s3, filled, prefix, delimiter, size):
    entries, marker = [], {}
    while True:
        page = s3.list_objects(
            Bucket=filled, Prefix=prefix, Delimiter=delimiter, MaxKeys=size, **marker
        )
        got = entries_of(page)
        entries += got
        if not page["IsTruncated"]:
            break
        # NextMarker is given with a delimiter alone; without, the last key is the marker.
        if delimiter:
            following = page["NextMarker"]
        else:
            following = page["Contents"][-1]["Key"]
        marker = {"Marker": following}
    assert entries == model(prefix, delimiter)


def test_start_after(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, StartAfter="b")
    assert entries_of(page) == model(after="b")
    assert page["StartAfter"] == "b"
    page = s3.list_objects_v2(Bucket=filled, StartAfter="between keys")
    assert entries_of(page) == model(after="between keys")
    page = s3.list_objects_v2(Bucket=filled, StartAfter="a/b", Prefix="a/", Delimiter="/")
    assert [entry[1] for entry in entries_of(page)] == ["a/b/", "a/x"]


def test_a_marker_inside_a_prefix(s3, filled):
    # Keys of the prefix are left behind the marker, so the prefix is still to come.
    page = s3.list_objects(Bucket=filled, Delimiter="/", Marker="photos/2026/cat.jpg")
    assert ("prefix", "photos/") in entries_of(page)
    # The prefix itself as the marker: everything below it has been listed.
    page = s3.list_objects(Bucket=filled, Delimiter="/", Marker="photos/")
    assert ("prefix", "photos/") not in entries_of(page)


def test_max_keys_zero(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert page["KeyCount"] == 0
    assert page["IsTruncated"] is False
    assert "Contents" not in page


def test_max_keys_over_a_thousand_is_a_thousand(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, MaxKeys=5000)
    assert page["MaxKeys"] == 1000
    assert page["KeyCount"] == len(KEYS)


def test_more_than_a_page(s3, bucket):
    keys = [f"n/{number:05}" for number in range(1003)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    first = s3.list_objects_v2(Bucket=bucket)
    assert first["KeyCount"] == 1000
    assert first["IsTruncated"] is True
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == keys
    pages = s3.get_paginator("list_objects").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 17}
    )
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == keys


def test_entries_carry_everything(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"12345")
    item = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert item["ETag"] == put["ETag"]
    assert item["Size"] == 5
    assert item["StorageClass"] == "STANDARD"
    assert item["LastModified"]
    assert "Owner" not in item
    owned = s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]
    assert owned["Owner"]["ID"]
    assert s3.list_objects(Bucket=bucket)["Contents"][0]["Owner"]["ID"]


def test_encoding_type_url(s3, new_client, bucket):
    """boto3 asks for it and decodes by itself, so the raw answer is looked at."""
    keys = ["a b", "c+d", "e/f", "g%20h", "tab\there", "line\nbreak", "ü"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    client = new_client()
    client.meta.events.unregister(
        "before-parameter-build.s3.ListObjectsV2",
        botocore.handlers.set_list_objects_encoding_type_url,
    )
    page = client.list_objects_v2(Bucket=bucket, EncodingType="url")
    assert page["EncodingType"] == "url"
    raw = [item["Key"] for item in page["Contents"]]
    assert all("\n" not in key and "\t" not in key and " " not in key for key in raw)
    decoded = sorted(urllib.parse.unquote_plus(key) for key in raw)
    # A plus sign in a key must come as %2B, else it would be read as a space.
    assert decoded == sorted(keys)


def test_an_unknown_token_is_refused(s3, filled, refused):
    with refused(400, "InvalidArgument"):
        s3.list_objects_v2(Bucket=filled, ContinuationToken="no such token")
