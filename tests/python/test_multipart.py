"""Multipart uploads in all their forms."""

import concurrent.futures
import hashlib
import os

MINIMUM = 5 << 20


def tag_of(*parts):
    """S3's entity tag of a multipart object: MD5 of the parts' MD5s, and their number."""
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f'"{hashlib.md5(digests).hexdigest()}-{len(parts)}"'


class Upload:
    """One upload of the key `m`."""

    def __init__(self, s3, bucket, key="m", **options):
        self.s3, self.target = s3, {"Bucket": bucket, "Key": key}
        self.id = s3.create_multipart_upload(**self.target, **options)["UploadId"]

    def part(self, number, body):
        """UploadPart; gives the part's tag."""
        return self.s3.upload_part(**self.target, UploadId=self.id, PartNumber=number, Body=body)[
            "ETag"
        ]

    def complete(self, parts):
        """CompleteMultipartUpload with (number, tag) pairs."""
        listed = [{"PartNumber": number, "ETag": tag} for number, tag in parts]
        return self.s3.complete_multipart_upload(
            **self.target, UploadId=self.id, MultipartUpload={"Parts": listed}
        )

    def abort(self):
        """AbortMultipartUpload."""
        return self.s3.abort_multipart_upload(**self.target, UploadId=self.id)

    def content(self):
        """The object as it is now."""
        return self.s3.get_object(**self.target)["Body"].read()


def test_parts_make_the_object(s3, bucket):
    bodies = [os.urandom(MINIMUM), os.urandom(MINIMUM + 12_345), os.urandom(777)]
    upload = Upload(s3, bucket, ContentType="a/b", Metadata={"colour": "red"})
    tags = [upload.part(number, body) for number, body in enumerate(bodies, 1)]
    assert tags == [f'"{hashlib.md5(body).hexdigest()}"' for body in bodies]
    done = upload.complete(list(enumerate(tags, 1)))
    assert done["ETag"] == tag_of(*bodies)
    assert done["Bucket"] == bucket
    assert done["Key"] == "m"
    assert upload.content() == b"".join(bodies)
    head = s3.head_object(Bucket=bucket, Key="m")
    assert head["ContentType"] == "a/b"
    assert head["Metadata"] == {"colour": "red"}
    assert head["ETag"] == tag_of(*bodies)
    assert head["ContentLength"] == sum(map(len, bodies))


def test_out_of_order_with_gaps_and_overwritten(s3, bucket):
    bodies = {10_000: os.urandom(99), 7: os.urandom(MINIMUM), 2: os.urandom(MINIMUM)}
    upload = Upload(s3, bucket)
    upload.part(7, os.urandom(MINIMUM + 1))
    tags = {number: upload.part(number, body) for number, body in bodies.items()}
    upload.part(500, b"never listed")
    upload.complete(sorted(tags.items()))
    assert upload.content() == bodies[2] + bodies[7] + bodies[10_000]


def test_parallel_parts(s3, bucket):
    bodies = {number: os.urandom(MINIMUM + number) for number in range(1, 13)}
    upload = Upload(s3, bucket)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tags = dict(
            zip(bodies, pool.map(lambda item: upload.part(*item), bodies.items()), strict=True)
        )
    upload.complete(sorted(tags.items()))
    assert upload.content() == b"".join(bodies[number] for number in sorted(bodies))


def test_nothing_is_visible_before_completion(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="m", Body=b"before")
    upload = Upload(s3, bucket)
    tag = upload.part(1, b"after")
    assert upload.content() == b"before"
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["m"]
    upload.complete([(1, tag)])
    assert upload.content() == b"after"
    with refused(404, "NoSuchUpload"):
        upload.part(2, b"late")


def test_a_completed_upload_is_gone(s3, bucket, refused):
    upload = Upload(s3, bucket)
    tag = upload.part(1, b"x")
    upload.complete([(1, tag)])
    with refused(404, "NoSuchUpload"):
        upload.abort()
    with refused(404, "NoSuchUpload"):
        s3.list_parts(**upload.target, UploadId=upload.id)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_abort(s3, bucket, refused):
    upload = Upload(s3, bucket)
    upload.part(1, os.urandom(MINIMUM))
    assert upload.abort()["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchUpload"):
        upload.part(2, b"x")
    with refused(404, "NoSuchUpload"):
        upload.complete([(1, '"x"')])
    with refused(404, "NoSuchKey"):
        s3.get_object(Bucket=bucket, Key="m")


def test_two_uploads_of_one_key(s3, bucket):
    first, second = Upload(s3, bucket), Upload(s3, bucket)
    assert first.id != second.id
    one, two = first.part(1, b"first"), second.part(1, b"second")
    second.complete([(1, two)])
    assert first.content() == b"second"
    first.complete([(1, one)])
    assert first.content() == b"first"


def test_small_parts_are_refused(s3, bucket, refused):
    upload = Upload(s3, bucket)
    tags = [(1, upload.part(1, b"small")), (2, upload.part(2, b"last"))]
    with refused(400, "EntityTooSmall"):
        upload.complete(tags)
    # The upload is still there and can be put right.
    tags[0] = (1, upload.part(1, b"s" * MINIMUM))
    upload.complete(tags)
    assert upload.content() == b"s" * MINIMUM + b"last"


def test_wrong_order(s3, bucket, refused):
    upload = Upload(s3, bucket)
    one, two = upload.part(1, b"a" * MINIMUM), upload.part(2, b"b" * MINIMUM)
    with refused(400, "InvalidPartOrder"):
        upload.complete([(2, two), (1, one)])
    with refused(400, "InvalidPartOrder"):
        upload.complete([(1, one), (1, one)])
    upload.abort()


def test_wrong_or_missing_parts(s3, bucket, refused):
    upload = Upload(s3, bucket)
    tag = upload.part(1, b"x")
    with refused(400, "InvalidPart"):
        upload.complete([(1, '"00000000000000000000000000000000"')])
    with refused(400, "InvalidPart"):
        upload.complete([(1, tag), (2, tag)])
    upload.complete([(1, tag)])


def test_tags_without_quotes_are_taken(s3, bucket):
    upload = Upload(s3, bucket)
    tag = upload.part(1, b"x")
    upload.complete([(1, tag.strip('"'))])
    assert upload.content() == b"x"


def test_completing_a_replaced_part_by_its_old_tag(s3, bucket, refused):
    upload = Upload(s3, bucket)
    old = upload.part(1, b"old")
    new = upload.part(1, b"new")
    with refused(400, "InvalidPart"):
        upload.complete([(1, old)])
    upload.complete([(1, new)])
    assert upload.content() == b"new"


def test_empty_part(s3, bucket):
    upload = Upload(s3, bucket)
    tag = upload.part(1, b"")
    done = upload.complete([(1, tag)])
    assert done["ETag"] == tag_of(b"")
    assert upload.content() == b""


def test_list_parts_pages(s3, bucket):
    upload = Upload(s3, bucket)
    numbers = [1, 2, 3, 5, 8, 13, 10_000]
    for number in numbers:
        upload.part(number, b"x" * number)
    whole = s3.list_parts(**upload.target, UploadId=upload.id)
    assert [part["PartNumber"] for part in whole["Parts"]] == numbers
    assert [part["Size"] for part in whole["Parts"]] == numbers
    assert whole["IsTruncated"] is False
    assert whole["MaxParts"] == 1000
    assert whole["StorageClass"] == "STANDARD"
    seen, marker = [], 0
    while True:
        page = s3.list_parts(
            **upload.target, UploadId=upload.id, MaxParts=3, PartNumberMarker=marker
        )
        seen += [part["PartNumber"] for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        assert len(page["Parts"]) == 3
        marker = page["NextPartNumberMarker"]
    assert seen == numbers
    upload.abort()


def test_list_uploads_pages(s3, bucket):
    keys = ["a", "a", "b/1", "b/2", "c", "d/x"]
    uploads = [Upload(s3, bucket, key) for key in keys]
    expected = sorted((upload.target["Key"], upload.id) for upload in uploads)
    whole = s3.list_multipart_uploads(Bucket=bucket)
    assert sorted((item["Key"], item["UploadId"]) for item in whole["Uploads"]) == expected
    assert [item["Key"] for item in whole["Uploads"]] == keys
    assert all(item["Initiated"] for item in whole["Uploads"])
    seen, markers = [], {}
    while True:
        page = s3.list_multipart_uploads(Bucket=bucket, MaxUploads=1, **markers)
        seen += [(item["Key"], item["UploadId"]) for item in page["Uploads"]]
        if not page["IsTruncated"]:
            break
        markers = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }
    assert sorted(seen) == expected
    assert len(seen) == len(expected)


def test_list_uploads_by_prefix_and_delimiter(s3, bucket):
    for key in ["a", "b/1", "b/2", "b/c/3", "d"]:
        Upload(s3, bucket, key)
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/")
    assert [item["Key"] for item in page["Uploads"]] == ["b/1", "b/2", "b/c/3"]
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [item["Key"] for item in page["Uploads"]] == ["a", "d"]
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["b/"]
    page = s3.list_multipart_uploads(Bucket=bucket, Prefix="b/", Delimiter="/")
    assert [item["Key"] for item in page["Uploads"]] == ["b/1", "b/2"]
    assert [item["Prefix"] for item in page["CommonPrefixes"]] == ["b/c/"]
    page = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="b/2")
    assert [item["Key"] for item in page["Uploads"]] == ["b/c/3", "d"]


def test_upload_part_copy(s3, bucket, refused):
    source = os.urandom(3 * MINIMUM)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = Upload(s3, bucket)

    def copy(number, **options):
        answer = s3.upload_part_copy(
            **upload.target,
            UploadId=upload.id,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            **options,
        )
        return number, answer["CopyPartResult"]["ETag"]

    first, last = 1000, MINIMUM + 4321
    parts = [
        copy(1, CopySourceRange=f"bytes={first}-{last}"),
        (2, upload.part(2, b"p" * MINIMUM)),
        copy(3),
    ]
    assert parts[0][1] == f'"{hashlib.md5(source[first : last + 1]).hexdigest()}"'
    with refused(400, "InvalidArgument"):
        copy(4, CopySourceRange="bytes=5-")
    upload.complete(parts)
    assert upload.content() == source[first : last + 1] + b"p" * MINIMUM + source
    # The source may go; what was copied stays.
    s3.delete_object(Bucket=bucket, Key="source")
    assert upload.content() == source[first : last + 1] + b"p" * MINIMUM + source


def test_boto3_transfer(s3, bucket, tmp_path):
    """The transfer manager's own way: parallel parts up, parallel ranges down."""
    from boto3.s3.transfer import TransferConfig

    path = tmp_path / "file"
    path.write_bytes(os.urandom(40_000_003))
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    s3.upload_file(str(path), bucket, "transferred", Config=config)
    s3.download_file(bucket, "transferred", str(tmp_path / "back"), Config=config)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert s3.head_object(Bucket=bucket, Key="transferred")["ETag"].endswith('-5"')
