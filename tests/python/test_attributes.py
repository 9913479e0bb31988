"""GetObjectAttributes, and what checksums promise of whole objects and of parts."""

import os

import pytest

from test_checksums import encoded

ALL = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
PART = 5 << 20


def attributes(s3, bucket, key="k", names=ALL, **more):
    """What is told."""
    return s3.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=names, **more)


def begin(s3, bucket, **more):
    """A new upload's id."""
    return s3.create_multipart_upload(Bucket=bucket, Key="k", **more)["UploadId"]


def send(s3, bucket, upload, bodies, algorithm):
    """Uploads the parts with checksums; gives the entries of the list."""
    field = f"Checksum{algorithm}"
    entries = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload,
            PartNumber=number,
            Body=body,
            **{field: encoded(algorithm, body)},
        )
        assert part[field] == encoded(algorithm, body)
        entries.append({"PartNumber": number, "ETag": part["ETag"], field: part[field]})
    return entries


def complete(s3, bucket, upload, entries, **more):
    """Completes with those entries."""
    return s3.complete_multipart_upload(
        Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={"Parts": entries}, **more
    )


@pytest.mark.promise("ATTR-1")
def test_an_object_in_one_piece(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"123", ChecksumAlgorithm="SHA256")
    told = attributes(s3, bucket)
    assert told["ETag"] == put["ETag"].strip('"'), "without quotes"
    assert told["ObjectSize"] == 3 and told["StorageClass"] == "STANDARD"
    assert told["Checksum"]["ChecksumSHA256"] == encoded("SHA256", b"123")
    assert told["Checksum"]["ChecksumType"] == "FULL_OBJECT"
    assert "ObjectParts" not in told and told["LastModified"]


@pytest.mark.promise("ATTR-2")
def test_only_what_is_asked_for_is_told(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"123")
    told = attributes(s3, bucket, names=["ObjectSize"])
    assert told["ObjectSize"] == 3
    assert not {"ETag", "Checksum", "StorageClass"} & told.keys()
    with refused(400, "InvalidArgument"):
        attributes(s3, bucket, names=["Owner"])
    with refused(404, "NoSuchKey"):
        attributes(s3, bucket, "missing")


@pytest.mark.promise("ATTR-3", "SUM-1")
@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32", "CRC32C"])
def test_composite_parts_and_their_pages(s3, bucket, algorithm):
    field = f"Checksum{algorithm}"
    bodies = [os.urandom(PART), os.urandom(PART), os.urandom(9)]
    upload = begin(s3, bucket, ChecksumAlgorithm=algorithm)
    entries = send(s3, bucket, upload, bodies, algorithm)
    done = complete(s3, bucket, upload, entries)
    assert done["ChecksumType"] == "COMPOSITE" and done[field].endswith("-3")
    told = attributes(s3, bucket)
    assert told["Checksum"][field] == done[field]
    parts = told["ObjectParts"]
    assert parts["TotalPartsCount"] == 3 and not parts["IsTruncated"]
    assert [part["Size"] for part in parts["Parts"]] == [PART, PART, 9]
    assert [part[field] for part in parts["Parts"]] == [entry[field] for entry in entries]
    page = attributes(s3, bucket, MaxParts=1, PartNumberMarker=1)["ObjectParts"]
    assert [part["PartNumber"] for part in page["Parts"]] == [2]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 2, 1)
    assert page["PartNumberMarker"] == 1
    last = attributes(s3, bucket, PartNumberMarker=2)["ObjectParts"]
    assert [part["PartNumber"] for part in last["Parts"]] == [3] and not last["IsTruncated"]


@pytest.mark.promise("SUM-2")
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_of_parts(s3, bucket, algorithm, refused):
    field = f"Checksum{algorithm}"
    bodies = [os.urandom(PART), os.urandom(11)]
    options = {"ChecksumAlgorithm": algorithm, "ChecksumType": "FULL_OBJECT"}
    upload = begin(s3, bucket, **options)
    entries = send(s3, bucket, upload, bodies, algorithm)
    whole = encoded(algorithm, b"".join(bodies))
    with refused(400, "BadDigest"):
        complete(s3, bucket, upload, entries, **{field: encoded(algorithm, b"x")})
    with refused(400, "InvalidRequest"):
        complete(s3, bucket, upload, entries, **{field: "bad"})
    with refused(400, "InvalidRequest"):
        complete(s3, bucket, upload, entries, MpuObjectSize=5)
    size = PART + 11
    done = complete(s3, bucket, upload, entries, MpuObjectSize=size, **{field: whole})
    assert (done[field], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[field], head["ChecksumType"]) == (whole, "FULL_OBJECT")


@pytest.mark.promise("SUM-3")
def test_which_types_there_are(s3, bucket, refused):
    for algorithm, kind in [("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("SHA256", "FULL_OBJECT")]:
        with refused(400, "InvalidRequest"):
            begin(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType=kind)
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC64NVME")
    assert created["ChecksumType"] == "FULL_OBJECT"
    created = s3.create_multipart_upload(Bucket=bucket, Key="k", ChecksumAlgorithm="CRC32")
    assert (created["ChecksumAlgorithm"], created["ChecksumType"]) == ("CRC32", "COMPOSITE")


@pytest.mark.promise("SUM-4")
def test_a_composite_list_names_each_checksum(s3, bucket, refused):
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    [entry] = send(s3, bucket, upload, [b"x"], "SHA256")
    bare = {name: entry[name] for name in ("PartNumber", "ETag")}
    with refused(400, "InvalidRequest"):
        complete(s3, bucket, upload, [bare])
    with refused(400, "InvalidPart"):
        complete(s3, bucket, upload, [{**bare, "ChecksumSHA256": encoded("SHA256", b"y")}])
    complete(s3, bucket, upload, [entry])


@pytest.mark.promise("SUM-5")
def test_checksums_are_told_of_wholes_and_parts_when_asked(s3, bucket):
    bodies = [os.urandom(PART), b"tail"]
    upload = begin(s3, bucket, ChecksumAlgorithm="CRC32")
    complete(s3, bucket, upload, send(s3, bucket, upload, bodies, "CRC32"))
    plain = s3.head_object(Bucket=bucket, Key="k")
    assert "ChecksumCRC32" not in plain, "not without x-amz-checksum-mode"
    part = s3.head_object(Bucket=bucket, Key="k", PartNumber=2, ChecksumMode="ENABLED")
    assert part["ChecksumCRC32"] == encoded("CRC32", b"tail") and part["PartsCount"] == 2
    ranged = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-3", ChecksumMode="ENABLED")
    assert "ChecksumCRC32" not in ranged and ranged["Body"].read() == bodies[0][:4]


@pytest.mark.promise("SUM-6")
def test_a_copy_keeps_the_checksum_or_gets_another(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"abc", ChecksumAlgorithm="SHA1")
    source = {"Bucket": bucket, "Key": "k"}
    kept = s3.copy_object(Bucket=bucket, Key="c", CopySource=source)["CopyObjectResult"]
    assert kept["ChecksumSHA1"] == encoded("SHA1", b"abc")
    other = s3.copy_object(Bucket=bucket, Key="d", CopySource=source, ChecksumAlgorithm="SHA256")
    assert other["CopyObjectResult"]["ChecksumSHA256"] == encoded("SHA256", b"abc")
    head = s3.head_object(Bucket=bucket, Key="d", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == encoded("SHA256", b"abc") and "ChecksumSHA1" not in head


@pytest.mark.promise("SUM-7")
def test_a_bad_checksum_leaves_nothing(s3, bucket, refused):
    with refused(400, "BadDigest"):
        s3.put_object(Bucket=bucket, Key="new", Body=b"abc", ChecksumCRC32="AAAAAA==")
    with refused(400, "BadDigest"):
        s3.put_object(Bucket=bucket, Key="new", Body=b"abc", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    with refused(400, "InvalidDigest"):
        s3.put_object(Bucket=bucket, Key="new", Body=b"abc", ContentMD5="short")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.promise("SUM-8")
@pytest.mark.parametrize("name", ["sha512", "md5", "xxhash64", "xxhash3", "xxhash128"])
def test_algorithms_that_are_not_here_are_refused_by_name(new_client, bucket, refused, name):
    client = new_client(request_checksum_calculation="when_required")
    header = f"x-amz-checksum-{name}"
    client.meta.events.register(
        "before-call.s3.PutObject", lambda params, **_: params["headers"].__setitem__(header, "AA==")
    )
    with refused(501, "NotImplemented") as caught:
        client.put_object(Bucket=bucket, Key="k", Body=b"abc")
    assert header in caught.value.response["Error"]["Message"]
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.promise("SUM-9")
def test_small_last_parts_are_copied_in_ranges(s3, bucket):
    source = os.urandom(PART + 100)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = begin(s3, bucket)
    entries = []
    for number, span in [(1, (0, PART - 1)), (2, (PART, PART + 99))]:
        copied = s3.upload_part_copy(
            Bucket=bucket,
            Key="k",
            UploadId=upload,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=f"bytes={span[0]}-{span[1]}",
        )
        entries.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    complete(s3, bucket, upload, entries)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == source
