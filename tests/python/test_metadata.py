"""What is kept beside an object's bytes: metadata, content headers, storage class, redirection."""

import pytest


def put(s3, bucket, key="k", **more):
    """An object with what is to be kept."""
    return s3.put_object(Bucket=bucket, Key=key, Body=b"x", **more)


@pytest.mark.promise("META-1")
def test_metadata_is_two_kilobytes_with_its_names(s3, bucket, refused):
    put(s3, bucket, Metadata={"a": "v" * 1023, "b": "v" * 1023})
    assert len(s3.head_object(Bucket=bucket, Key="k")["Metadata"]["a"]) == 1023
    with refused(400, "MetadataTooLarge"):
        put(s3, bucket, Metadata={"a": "v" * 1023, "b": "v" * 1024})


@pytest.mark.promise("META-3")
def test_content_headers_are_kept_as_they_came(s3, bucket):
    kept = {
        "CacheControl": "max-age=60, public",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "en, fr",
        "ContentType": "text/plain; charset=utf-8",
    }
    put(s3, bucket, **kept)
    for answer in (s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")):
        assert {name: answer[name] for name in kept} == kept
    put(s3, bucket)
    bare = s3.head_object(Bucket=bucket, Key="k")
    assert bare["ContentType"] == "binary/octet-stream"
    assert "CacheControl" not in bare


@pytest.mark.promise("META-5")
@pytest.mark.parametrize(
    "name",
    ["REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"],
)
def test_a_storage_class_is_kept_and_told(s3, bucket, name):
    put(s3, bucket, StorageClass=name)
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == name
    assert s3.get_object(Bucket=bucket, Key="k")["StorageClass"] == name
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert listed["StorageClass"] == name
    upload = s3.create_multipart_upload(Bucket=bucket, Key="u", StorageClass=name)["UploadId"]
    assert s3.list_parts(Bucket=bucket, Key="u", UploadId=upload)["StorageClass"] == name
    assert s3.list_multipart_uploads(Bucket=bucket)["Uploads"][0]["StorageClass"] == name
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="copy"), "STANDARD is not told"


@pytest.mark.promise("META-6")
def test_classes_that_would_be_restored_first_are_refused(s3, bucket, refused):
    for name in ("GLACIER", "DEEP_ARCHIVE", "NONE_SUCH"):
        with refused(400, "InvalidStorageClass"):
            put(s3, bucket, StorageClass=name)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.promise("META-7")
def test_a_redirection_is_kept_and_not_copied(s3, bucket, refused):
    put(s3, bucket, WebsiteRedirectLocation="/other")
    assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == "/other"
    source = {"Bucket": bucket, "Key": "k"}
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=source)
    assert "WebsiteRedirectLocation" not in s3.head_object(Bucket=bucket, Key="copy")
    place = "https://example.com/there"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, WebsiteRedirectLocation=place)
    assert s3.get_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == place
    with refused(400, "InvalidRedirectLocation"):
        put(s3, bucket, WebsiteRedirectLocation="elsewhere")


@pytest.mark.promise("META-8")
def test_a_copy_onto_itself_changes_something(s3, bucket, refused):
    put(s3, bucket, Metadata={"a": "1"}, ContentType="text/plain")
    source = {"Bucket": bucket, "Key": "k"}
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="k", CopySource=source)
    s3.copy_object(
        Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"}
    )
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"b": "2"} and head["ContentType"] == "binary/octet-stream"
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, StorageClass="STANDARD_IA")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"b": "2"} and head["StorageClass"] == "STANDARD_IA"


@pytest.mark.promise("META-9")
def test_names_in_listings_are_encoded_when_asked(s3, bucket):
    put(s3, bucket, "a+b c/ü")
    raw = {}


    def catch(response_dict, **_):
        raw["xml"] = response_dict["body"]

    s3.meta.events.register("before-parse.s3.ListObjectsV2", catch)
    s3.list_objects_v2(Bucket=bucket, EncodingType="url")
    s3.meta.events.unregister("before-parse.s3.ListObjectsV2", catch)
    assert b"a%2Bb" in raw["xml"] and b"%C3%BC" in raw["xml"]
