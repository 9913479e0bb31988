"""Keys that break servers: each must be stored, listed, read and deleted under its own name."""

import pytest

KEYS = {
    "unicode": "日本語/ключ/🚰",
    "combining": "e\u0301 is not \u00e9",
    "composed": "\u00e9",
    "spaces": " leading and trailing ",
    "plus": "a+b c%20d",
    "percent": "100%/%2F%25",
    "double slash": "a//b///c",
    "leading slash": "/absolute",
    "trailing slash": "folder/",
    "only slashes": "///",
    "dot": ".",
    "dot dot": "..",
    "dots inside": "a/../b/./c",
    "hidden": ".hipobj-rc/prepare",
    "query characters": "a?b=c&d#e",
    "xml characters": "<Key>&amp;\"'</Key>",
    "control characters": "a\x01b\x1fc\x7f",
    "newline": "a\nb\r\nc\td",
    "1024 bytes": "k" * 1024,
    "1024 bytes of 4-byte characters": "🚰" * 256,
    "one byte": "x",
    "tilde and friends": "~!@$^*()_-={}[]|;:,.",
    "backslash": "a\\b",
    "quotes": "\"'`",
    "end of unicode": "\U0010fffd\uffef",
}


@pytest.mark.parametrize("name", KEYS)
def test_round_trip(s3, bucket, name):
    key, body = KEYS[name], name.encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body
    listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in listed] == [key]
    s3.copy_object(Bucket=bucket, Key="copy of it", CopySource={"Bucket": bucket, "Key": key})
    assert s3.get_object(Bucket=bucket, Key="copy of it")["Body"].read() == body
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "copy of it"}]})
    s3.delete_object(Bucket=bucket, Key=key)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_all_at_once_are_distinct(s3, bucket):
    for name, key in KEYS.items():
        s3.put_object(Bucket=bucket, Key=key, Body=name.encode())
    for name, key in KEYS.items():
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == name.encode(), name
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(KEYS.values(), key=lambda key: key.encode())


def test_keys_that_are_prefixes_of_each_other(s3, bucket):
    keys = ["a" * length for length in range(1, 60)]
    for key in reversed(keys):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == keys


def test_too_long(s3, bucket, refused):
    with refused(400, "KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key="k" * 1025, Body=b"")
    with refused(400, "KeyTooLongError"):
        s3.put_object(Bucket=bucket, Key="🚰" * 256 + "x", Body=b"")


@pytest.mark.parametrize("name", ["unicode", "xml characters", "newline", "percent", "spaces"])
def test_delete_objects_takes_them(s3, bucket, name):
    s3.put_object(Bucket=bucket, Key=KEYS[name], Body=b"")
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": KEYS[name]}]})
    assert "Errors" not in answer
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("name", ["unicode", "double slash", "dots inside", "plus"])
def test_multipart_under_them(s3, bucket, name):
    target = {"Bucket": bucket, "Key": KEYS[name]}
    upload = s3.create_multipart_upload(**target)
    assert upload["Key"] == KEYS[name]
    tag = s3.upload_part(**target, UploadId=upload["UploadId"], PartNumber=1, Body=b"x")["ETag"]
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [item["Key"] for item in listed] == [KEYS[name]]
    done = s3.complete_multipart_upload(
        **target,
        UploadId=upload["UploadId"],
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]},
    )
    assert done["Key"] == KEYS[name]
    assert s3.get_object(**target)["Body"].read() == b"x"
