"""Server-side encryption: SSE-S3, SSE-KMS with a local ring, SSE-C; every promise of docs/SEMANTICS.md, SSE-."""

import base64
import hashlib
import json
import os
import subprocess
import urllib.request

import botocore.exceptions
import pytest

import gateway as gateway_module

MINIMUM = 5 << 20
CHUNK = 65_520
KEY_A = bytes(range(32))
KEY_B = bytes(range(32, 64))
ARN = gateway_module.KMS_ARN


def owned(key=KEY_A):
    """Parameters of SSE-C."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def source_owned(key=KEY_A):
    """The same of the source of a copy."""
    return {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}


MASTER = {"ServerSideEncryption": "AES256"}
KMS = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "testkey-1"}
# How it is asked for, what reading needs.
SCHEMES = {
    "SSE-S3": (MASTER, {}),
    "SSE-KMS": (KMS, {}),
    "SSE-C": (owned(), owned()),
}
schemes = pytest.mark.parametrize(("asked", "reading"), SCHEMES.values(), ids=SCHEMES)


def shown(answer):
    """What an answer says of encryption."""
    names = (
        "ServerSideEncryption",
        "SSEKMSKeyId",
        "BucketKeyEnabled",
        "SSECustomerAlgorithm",
        "SSECustomerKeyMD5",
    )
    return {name: answer[name] for name in names if answer.get(name)}


def expected(asked):
    """What answers are to say."""
    if "SSECustomerKey" not in asked:
        return asked
    md5 = base64.b64encode(hashlib.md5(asked["SSECustomerKey"]).digest()).decode()
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": md5}


def get(s3, bucket, key="k", **options):
    """An object's bytes."""
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


class Raw:
    """Headers that the client is made to send, whatever its model says."""

    def __init__(self, s3, operation, headers):
        self.events, self.name = s3.meta.events, f"before-call.s3.{operation}"
        self.add = lambda params, **_: params["headers"].update(headers)

    def __enter__(self):
        self.events.register(self.name, self.add)

    def __exit__(self, *_):
        self.events.unregister(self.name, self.add)


@pytest.mark.promise("SSE-1", "SSE-2", "SSE-3")
@schemes
@pytest.mark.parametrize("size", [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1_000_003])
def test_what_is_put_is_got(s3, bucket, asked, reading, size):
    body = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, **asked)
    assert shown(put) == expected(asked)
    got = s3.get_object(Bucket=bucket, Key="k", **reading)
    assert got["Body"].read() == body
    head = s3.head_object(Bucket=bucket, Key="k", **reading)
    for answer in (got, head):
        assert shown(answer) == expected(asked)
        assert answer["ContentLength"] == size
        assert answer["ETag"] == put["ETag"]
    [listed] = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["Size"], listed["ETag"]) == (size, put["ETag"])


@pytest.mark.promise("SSE-4")
def test_tags_are_the_md5_under_sse_s3_alone(s3, bucket):
    body = b"content"
    md5 = f'"{hashlib.md5(body).hexdigest()}"'
    tags = {
        name: s3.put_object(Bucket=bucket, Key="k", Body=body, **asked)["ETag"]
        for name, (asked, _) in SCHEMES.items()
    }
    assert tags["SSE-S3"] == md5
    assert md5 not in (tags["SSE-KMS"], tags["SSE-C"])
    again = s3.put_object(Bucket=bucket, Key="k", Body=body, **owned())["ETag"]
    assert again != tags["SSE-C"]


@pytest.mark.promise("SSE-5")
@schemes
def test_ranges_are_those_of_the_content(s3, bucket, asked, reading):
    body = os.urandom(5 * CHUNK + 77)
    s3.put_object(Bucket=bucket, Key="k", Body=body, **asked)
    size = len(body)
    for first, last in [
        (0, 0),
        (CHUNK - 1, CHUNK),
        (CHUNK, 2 * CHUNK - 1),
        (1, size - 2),
        (size - 1, size - 1),
        (3 * CHUNK + 5, 4 * CHUNK + 6),
    ]:
        got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={first}-{last}", **reading)
        assert got["ContentRange"] == f"bytes {first}-{last}/{size}"
        assert got["Body"].read() == body[first : last + 1]
    assert get(s3, bucket, Range="bytes=-9", **reading) == body[-9:]
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={size}-", **reading)
    assert caught.value.response["Error"]["Code"] == "InvalidRange"


@pytest.mark.promise("SSE-6")
@schemes
def test_checksums_are_of_the_content(s3, new_client, bucket, asked, reading):
    body = os.urandom(70_000)
    sha = base64.b64encode(hashlib.sha256(body).digest()).decode()
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumSHA256=sha, **asked)
    assert put["ChecksumSHA256"] == sha
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **reading)
    assert head["ChecksumSHA256"] == sha
    # Without any of the client's, it is CRC-64/NVME of the content, not of what is stored.
    silent = new_client(request_checksum_calculation="when_required")
    plain = silent.put_object(Bucket=bucket, Key="plain", Body=body)
    sealed = silent.put_object(Bucket=bucket, Key="k", Body=body, **asked)
    assert sealed["ChecksumCRC64NVME"] == plain["ChecksumCRC64NVME"]
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **reading)
    assert head["ChecksumCRC64NVME"] == plain["ChecksumCRC64NVME"]
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.put_object(Bucket=bucket, Key="bad", Body=body, ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==", **asked)
    assert caught.value.response["Error"]["Code"] == "BadDigest"
    assert [it["Key"] for it in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["k", "plain"]


@pytest.mark.promise("SSE-7")
def test_the_store_has_no_plaintext(gateway, s3, bucket):
    if gateway.folder is None:
        pytest.skip("the store is elsewhere")
    secret = b"this must not be on the disk " * 100_000
    s3.put_object(Bucket=bucket, Key="k", Body=secret, **owned())
    s3.put_object(Bucket=bucket, Key="small", Body=secret[:300], **MASTER)
    data = gateway.folder / "data"
    found = subprocess.run(["grep", "-rlaF", "this must not be", data], capture_output=True)
    assert found.returncode == 1, found.stdout
    keys = data / "encryption.toml"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert "made an encryption key" in gateway.log()


# === Keys of clients ===


@pytest.mark.promise("SSE-8")
def test_an_object_needs_its_key(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"content", **owned())
    with refused(400, "InvalidRequest") as caught:
        s3.get_object(Bucket=bucket, Key="k")
    assert "stored using a form of Server Side Encryption" in str(caught.value)
    with refused(400, "400"):
        s3.head_object(Bucket=bucket, Key="k")
    with refused(400, "InvalidRequest"):
        s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["ObjectSize"])
    with refused(400, "InvalidRequest"):
        s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"})


@pytest.mark.promise("SSE-9")
def test_another_key_is_denied(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"content", **owned())
    for key in (KEY_B, b"short"):
        with refused(403, "AccessDenied") as caught:
            s3.get_object(Bucket=bucket, Key="k", **owned(key))
        assert "must provide the correct secret key" in str(caught.value)
        with refused(403, "403"):
            s3.head_object(Bucket=bucket, Key="k", **owned(key))
    with refused(403, "AccessDenied"):
        s3.copy_object(
            Bucket=bucket,
            Key="c",
            CopySource={"Bucket": bucket, "Key": "k"},
            **source_owned(KEY_B),
        )


@pytest.mark.promise("SSE-10")
def test_a_key_that_is_not_needed_is_refused(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="plain", Body=b"content")
    s3.put_object(Bucket=bucket, Key="master", Body=b"content", **MASTER)
    for key in ("plain", "master"):
        with refused(400, "InvalidRequest") as caught:
            s3.get_object(Bucket=bucket, Key=key, **owned())
        assert "not applicable to this object" in str(caught.value)
        with refused(400, "InvalidRequest"):
            s3.copy_object(
                Bucket=bucket,
                Key="c",
                CopySource={"Bucket": bucket, "Key": key},
                **source_owned(),
            )


CUSTOMER = "x-amz-server-side-encryption-customer-"
GOOD = {
    f"{CUSTOMER}algorithm": "AES256",
    f"{CUSTOMER}key": base64.b64encode(KEY_A).decode(),
    f"{CUSTOMER}key-MD5": base64.b64encode(hashlib.md5(KEY_A).digest()).decode(),
}
SHORT = base64.b64encode(b"short").decode()
SHORT_MD5 = base64.b64encode(hashlib.md5(b"short").digest()).decode()


@pytest.mark.promise("SSE-11")
@pytest.mark.parametrize(
    ("changed", "code", "says"),
    [
        ({f"{CUSTOMER}algorithm": None}, "InvalidArgument", "valid encryption algorithm"),
        ({f"{CUSTOMER}algorithm": "AES192"}, "InvalidEncryptionAlgorithmError", "AES256"),
        ({f"{CUSTOMER}key": None}, "InvalidArgument", "appropriate secret key"),
        ({f"{CUSTOMER}key-MD5": None}, "InvalidArgument", "client calculated MD5"),
        ({f"{CUSTOMER}key-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, "InvalidArgument", "did not match"),
        (
            {f"{CUSTOMER}key": SHORT, f"{CUSTOMER}key-MD5": SHORT_MD5},
            "InvalidArgument",
            "secret key was invalid",
        ),
        ({"x-amz-server-side-encryption": "AES256"}, "InvalidArgument", "incompatible"),
        ({"x-amz-server-side-encryption": "aws:kms"}, "InvalidArgument", "incompatible"),
    ],
)
def test_headers_of_a_clients_key_are_checked(s3, bucket, refused, changed, code, says):
    headers = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}
    with Raw(s3, "PutObject", headers), refused(400, code) as caught:
        s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    assert says in str(caught.value)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


# === SSE-KMS ===


@pytest.mark.promise("SSE-12")
def test_kms_keys_are_named_in_several_ways(s3, bucket, refused):
    for named, told in [
        ("testkey-1", "testkey-1"),
        (ARN, ARN),
        (ARN.rpartition("/")[2], ARN),
        ("alias/testkey-2", "testkey-2"),
    ]:
        put = s3.put_object(
            Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=named
        )
        assert put["SSEKMSKeyId"] == told
        assert get(s3, bucket) == b"x"
    with refused(400, "KMS.NotFoundException"):
        s3.put_object(
            Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="nobody"
        )


@pytest.mark.promise("SSE-13")
def test_kms_without_a_name_is_the_default_key(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    assert shown(put) == {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "aws/s3"}
    assert get(s3, bucket) == b"x"


@pytest.mark.promise("SSE-14")
def test_context_and_bucket_key(s3, bucket, refused):
    context = base64.b64encode(json.dumps({"team": "training"}).encode()).decode()
    put = s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        SSEKMSEncryptionContext=context,
        BucketKeyEnabled=True,
        **KMS,
    )
    assert put["BucketKeyEnabled"] is True
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["BucketKeyEnabled"] is True
    assert "x-amz-server-side-encryption-context" not in got["ResponseMetadata"]["HTTPHeaders"]
    for bad in ("no base64!", base64.b64encode(b"[]").decode()):
        with refused(400, "InvalidArgument"):
            s3.put_object(Bucket=bucket, Key="k", Body=b"x", SSEKMSEncryptionContext=bad, **KMS)


@pytest.mark.promise("SSE-15")
@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"x-amz-server-side-encryption": "aes:kms"}, 400, "InvalidArgument"),
        ({"x-amz-server-side-encryption": ""}, 400, "InvalidArgument"),
        ({"x-amz-server-side-encryption": "aws:kms:dsse"}, 501, "NotImplemented"),
        ({"x-amz-server-side-encryption-aws-kms-key-id": "testkey-1"}, 400, "InvalidArgument"),
        (
            {
                "x-amz-server-side-encryption": "AES256",
                "x-amz-server-side-encryption-aws-kms-key-id": "testkey-1",
            },
            400,
            "InvalidArgument",
        ),
    ],
)
def test_methods_are_checked(s3, bucket, refused, headers, status, code):
    with Raw(s3, "PutObject", headers), refused(status, code):
        s3.put_object(Bucket=bucket, Key="k", Body=b"content")


@pytest.mark.promise("SSE-16")
def test_reading_does_not_choose(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"content", **MASTER)
    s3.put_object(Bucket=bucket, Key="plain", Body=b"content")
    for key in ("k", "plain"):
        headers = {"x-amz-server-side-encryption": "AES256"}
        with Raw(s3, "GetObject", headers), refused(400, "InvalidArgument"):
            s3.get_object(Bucket=bucket, Key=key)
        with Raw(s3, "HeadObject", headers), refused(400, "400"):
            s3.head_object(Bucket=bucket, Key=key)


# === Copies ===

SOURCES = {
    "plain": ({}, {}),
    "SSE-S3": (MASTER, {}),
    "SSE-KMS": (KMS, {}),
    "SSE-C": (owned(), source_owned()),
}
TARGETS = {
    "nothing": ({}, {}),
    "SSE-S3": (MASTER, {}),
    "SSE-KMS": ({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "testkey-2"}, {}),
    "SSE-C": (owned(KEY_B), owned(KEY_B)),
}


@pytest.mark.promise("SSE-17", "SSE-18")
@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_copies_between_all(s3, bucket, source, target, size):
    body = os.urandom(size)
    asked, opening = SOURCES[source]
    wanted, reading = TARGETS[target]
    s3.put_object(Bucket=bucket, Key="k", Body=body, **asked)
    copied = s3.copy_object(
        Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}, **opening, **wanted
    )
    # What was encrypted stays so.
    told = expected(wanted) if wanted or source == "plain" else MASTER
    assert shown(copied) == told
    got = s3.get_object(Bucket=bucket, Key="c", **reading)
    assert got["Body"].read() == body
    assert shown(got) == told
    assert got["ContentLength"] == size
    assert got["ETag"] == copied["CopyObjectResult"]["ETag"]


@pytest.mark.promise("SSE-19")
def test_a_copy_onto_itself_changes_the_encryption(s3, bucket):
    body = os.urandom(100_000)
    s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"a": "1"})
    where = {"Bucket": bucket, "Key": "k", "CopySource": {"Bucket": bucket, "Key": "k"}}
    s3.copy_object(**where, **MASTER)
    assert get(s3, bucket) == body
    s3.copy_object(**where, **owned())
    got = s3.get_object(Bucket=bucket, Key="k", **owned())
    assert (got["Body"].read(), got["Metadata"]) == (body, {"a": "1"})
    s3.copy_object(**where, **source_owned(), **owned(KEY_B))
    assert get(s3, bucket, **owned(KEY_B)) == body
    s3.copy_object(**where, **source_owned(KEY_B), **KMS)
    assert get(s3, bucket) == body


@pytest.mark.promise("SSE-20")
def test_a_copy_keeps_the_checksum_of_the_content(s3, bucket):
    body = os.urandom(80_000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=body, ChecksumAlgorithm="SHA1", **MASTER)
    for wanted in (KMS, owned()):
        copied = s3.copy_object(
            Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "k"}, **wanted
        )
        assert copied["CopyObjectResult"]["ChecksumSHA1"] == put["ChecksumSHA1"]


# === Uploads in parts ===


class Upload:
    """One upload of the key `m`."""

    def __init__(self, s3, bucket, asked, part_options):
        self.s3, self.target, self.options = s3, {"Bucket": bucket, "Key": "m"}, part_options
        self.begun = s3.create_multipart_upload(**self.target, **asked)
        self.target["UploadId"] = self.begun["UploadId"]
        self.parts = []

    def part(self, number, body):
        """UploadPart."""
        done = self.s3.upload_part(**self.target, PartNumber=number, Body=body, **self.options)
        self.parts.append({"PartNumber": number, "ETag": done["ETag"]})
        return done

    def copy(self, number, source, **options):
        """UploadPartCopy."""
        done = self.s3.upload_part_copy(
            **self.target, PartNumber=number, CopySource=source, **options, **self.options
        )
        self.parts.append({"PartNumber": number, "ETag": done["CopyPartResult"]["ETag"]})
        return done

    def complete(self, **options):
        """CompleteMultipartUpload."""
        return self.s3.complete_multipart_upload(
            **self.target, MultipartUpload={"Parts": self.parts}, **options
        )


@pytest.mark.promise("SSE-21", "SSE-22")
@schemes
def test_parts_are_encrypted_by_what_the_upload_began_with(s3, bucket, asked, reading):
    # Sizes that no chunk divides, and a number left out.
    bodies = {1: os.urandom(MINIMUM + 1), 2: os.urandom(MINIMUM + 1), 5: os.urandom(777)}
    upload = Upload(s3, bucket, asked, reading)
    assert shown(upload.begun) == expected(asked)
    upload.part(2, os.urandom(MINIMUM))
    upload.parts.clear()
    for number, body in bodies.items():
        assert shown(upload.part(number, body)) == expected(asked)
    listed = s3.list_parts(**upload.target)["Parts"]
    assert [part["Size"] for part in listed] == [len(body) for body in bodies.values()]
    done = upload.complete()
    assert shown(done) == ({} if reading else asked)
    body = b"".join(bodies.values())
    assert get(s3, bucket, "m", **reading) == body
    head = s3.head_object(Bucket=bucket, Key="m", **reading)
    assert (head["ContentLength"], head["ETag"]) == (len(body), done["ETag"])
    assert done["ETag"].endswith('-3"')
    assert shown(head) == expected(asked)
    assert s3.list_objects_v2(Bucket=bucket)["Contents"][0]["Size"] == len(body)
    edge = MINIMUM + 1
    for first, last in [
        (edge - 1, edge),
        (edge - CHUNK, edge + CHUNK),
        (2 * edge - 5, len(body) - 1),
        (0, 2 * edge),
    ]:
        got = get(s3, bucket, "m", Range=f"bytes={first}-{last}", **reading)
        assert got == body[first : last + 1]
    for number, part in bodies.items():
        got = s3.get_object(Bucket=bucket, Key="m", PartNumber=number, **reading)
        assert got["Body"].read() == part
        assert got["PartsCount"] == 3
        assert got["ContentLength"] == len(part)
    attributes = s3.get_object_attributes(
        Bucket=bucket,
        Key="m",
        ObjectAttributes=["ObjectSize", "ObjectParts"],
        **raw_key(reading),
    )
    assert attributes["ObjectSize"] == len(body)
    sizes = [part["Size"] for part in attributes["ObjectParts"]["Parts"]]
    assert sizes == [len(part) for part in bodies.values()]


def raw_key(options):
    """SSE-C for operations whose keys boto3 sends as they are."""
    if "SSECustomerKey" not in options:
        return options
    return {
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": GOOD[f"{CUSTOMER}key"],
        "SSECustomerKeyMD5": GOOD[f"{CUSTOMER}key-MD5"],
    }


@pytest.mark.promise("SSE-23")
def test_parts_need_the_uploads_key(s3, bucket, refused):
    upload = Upload(s3, bucket, owned(), {})
    with refused(400, "InvalidRequest") as caught:
        upload.part(1, b"x")
    assert "multipart upload initiate requested encryption" in str(caught.value)
    upload.options = owned(KEY_B)
    with refused(400, "InvalidRequest") as caught:
        upload.part(1, b"x")
    assert "did not match the ones used originally" in str(caught.value)
    upload.options = owned()
    upload.part(1, b"content")
    with refused(400, "InvalidRequest"):
        upload.complete(**owned(KEY_B))
    upload.complete(**owned())
    assert get(s3, bucket, "m", **owned()) == b"content"
    plain = Upload(s3, bucket, {}, owned())
    with refused(400, "InvalidRequest"):
        plain.part(1, b"x")
    s3.abort_multipart_upload(**plain.target)


@pytest.mark.promise("SSE-24")
@pytest.mark.parametrize("target", ["plain", "SSE-S3", "SSE-KMS", "SSE-C"])
@pytest.mark.parametrize("source", SOURCES)
def test_parts_are_copied_between_all(s3, bucket, source, target):
    body = os.urandom(MINIMUM + 2 * CHUNK)
    asked, opening = SOURCES[source]
    wanted, reading = ({}, {}) if target == "plain" else TARGETS[target]
    s3.put_object(Bucket=bucket, Key="k", Body=body, **asked)
    upload = Upload(s3, bucket, wanted, reading)
    where = {"Bucket": bucket, "Key": "k"}
    first = CHUNK - 3
    upload.copy(1, where, CopySourceRange=f"bytes={first}-{first + MINIMUM}", **opening)
    upload.copy(2, where, CopySourceRange="bytes=7-7", **opening)
    upload.complete()
    assert get(s3, bucket, "m", **reading) == body[first : first + MINIMUM + 1] + body[7:8]


@pytest.mark.promise("SSE-25")
@schemes
def test_a_multipart_object_is_copied(s3, bucket, asked, reading):
    upload = Upload(s3, bucket, asked, reading)
    bodies = [os.urandom(MINIMUM), os.urandom(99)]
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    upload.complete()
    opening = source_owned() if reading else {}
    for wanted, opened in ((MASTER, {}), (KMS, {}), (owned(KEY_B), owned(KEY_B))):
        s3.copy_object(
            Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "m"}, **opening, **wanted
        )
        assert get(s3, bucket, "c", **opened) == b"".join(bodies)
        edge = get(s3, bucket, "c", Range=f"bytes={MINIMUM - 2}-{MINIMUM + 1}", **opened)
        assert edge == b"".join(bodies)[MINIMUM - 2 : MINIMUM + 2]


@pytest.mark.promise("SSE-26")
@schemes
def test_checksums_of_parts_are_of_the_content(s3, bucket, asked, reading):
    bodies = [os.urandom(MINIMUM), os.urandom(1234)]
    sums = []
    for options, part_options in (({}, {}), (asked, reading)):
        begun = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT", **options}
        upload = Upload(s3, bucket, begun, part_options)
        for number, body in enumerate(bodies, 1):
            done = s3.upload_part(
                **upload.target,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm="CRC32",
                **part_options,
            )
            checksum = done["ChecksumCRC32"]
            upload.parts.append({"PartNumber": number, "ETag": done["ETag"], "ChecksumCRC32": checksum})
        sums.append(upload.complete(**part_options)["ChecksumCRC32"])
    assert sums[0] == sums[1]
    head = s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED", **reading)
    assert head["ChecksumCRC32"] == sums[0]


@pytest.mark.promise("SSE-26")
def test_a_checksummed_upload_is_completed_with_its_key(s3, bucket, refused):
    upload = Upload(s3, bucket, {"ChecksumAlgorithm": "CRC32", **owned()}, owned())
    done = s3.upload_part(
        **upload.target, PartNumber=1, Body=b"x", ChecksumAlgorithm="CRC32", **owned()
    )
    checksum = done["ChecksumCRC32"]
    upload.parts = [{"PartNumber": 1, "ETag": done["ETag"], "ChecksumCRC32": checksum}]
    with refused(400, "InvalidArgument"):
        upload.complete()
    upload.complete(**owned())


# === Buckets' defaults ===


def default(method, **more):
    """A bucket's configuration."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": method, **more}}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


@pytest.mark.promise("SSE-28")
@pytest.mark.parametrize("asked", [MASTER, KMS], ids=["SSE-S3", "SSE-KMS"])
def test_a_bucket_has_a_default(s3, bucket, asked):
    s3.put_object(Bucket=bucket, Key="before", Body=b"before")
    more = {"KMSMasterKeyID": asked["SSEKMSKeyId"]} if "SSEKMSKeyId" in asked else {}
    s3.put_bucket_encryption(Bucket=bucket, **default(asked["ServerSideEncryption"], **more))
    assert shown(s3.head_object(Bucket=bucket, Key="before")) == {}
    body = os.urandom(100_000)
    assert shown(s3.put_object(Bucket=bucket, Key="k", Body=body)) == asked
    assert shown(s3.head_object(Bucket=bucket, Key="k")) == asked
    assert get(s3, bucket) == body
    copied = s3.copy_object(
        Bucket=bucket, Key="before", CopySource={"Bucket": bucket, "Key": "before"}
    )
    assert shown(copied) == asked
    assert get(s3, bucket, "before") == b"before"
    upload = Upload(s3, bucket, {}, {})
    assert shown(upload.begun) == asked
    upload.part(1, body)
    assert shown(upload.complete()) == asked
    assert get(s3, bucket, "m") == body
    other = owned() if asked is MASTER else MASTER
    assert shown(s3.put_object(Bucket=bucket, Key="k", Body=body, **other)) == expected(other)
    form = s3.generate_presigned_post(bucket, "form")
    address, fields = form["url"], form["fields"]
    answer = requests_post(address, fields, b"from a form")
    assert answer.status == 204
    assert answer.headers["x-amz-server-side-encryption"] == asked["ServerSideEncryption"]
    assert get(s3, bucket, "form") == b"from a form"
    s3.delete_bucket_encryption(Bucket=bucket)
    assert shown(s3.put_object(Bucket=bucket, Key="k", Body=body)) == {}


def requests_post(address, fields, content):
    """A browser's form with a file; gives the answer."""
    mark = "x-of-the-form"
    lines = b""
    for name, value in fields.items():
        head = f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        lines += f"{head}{value}\r\n".encode()
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = lines + head.encode() + content + f"\r\n--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        return answer


# === Keys of the server ===


@pytest.mark.promise("SSE-27")
def test_a_new_key_seals_and_the_old_open(gateway, s3, bucket):
    if gateway.folder is None:
        pytest.skip("the store is elsewhere")
    s3.put_object(Bucket=bucket, Key="old", Body=b"old", **MASTER)
    path = gateway.folder / "data" / "encryption.toml"
    before = path.read_text().count("kind = \"master\"")
    outside = {k: v for k, v in os.environ.items() if not k.startswith("PENSTOCK_")}
    command = [gateway_module.binary(), "encryption", "add", "--data", str(path.parent)]
    said = subprocess.run(command, env=outside, capture_output=True, text=True, check=True)
    assert "master key" in said.stdout
    assert path.read_text().count("kind = \"master\"") == before + 1
    s3.put_object(Bucket=bucket, Key="new", Body=b"new", **MASTER)
    assert (get(s3, bucket, "old"), get(s3, bucket, "new")) == (b"old", b"new")

