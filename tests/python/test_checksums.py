"""Content-MD5 and the five checksum algorithms, in headers and in trailers.

The expected values are worked out here, bit by bit where Python has no function for them."""

import base64
import hashlib
import io
import os
import zlib

import botocore.exceptions
import pytest


def crc_reflected(polynomial, width, data):
    """A reflected CRC with all ones before and after, as CRC32C and CRC-64/NVME are."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (polynomial if value & 1 else 0)
        table.append(value)
    mask = (1 << width) - 1
    value = mask
    for byte in data:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return (value ^ mask).to_bytes(width // 8, "big")


def crc32c(data):
    """CRC-32/ISCSI."""
    return crc_reflected(0x82F63B78, 32, data)


def crc64nvme(data):
    """CRC-64/NVME."""
    return crc_reflected(0x9A6C9329AC4BC9B5, 64, data)


ALGORITHMS = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": crc32c,
    "CRC64NVME": crc64nvme,
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
FIELD = "Checksum{}"
BODY = os.urandom(150_001)


def encoded(algorithm, data):
    """The value as S3 carries it."""
    return base64.b64encode(ALGORITHMS[algorithm](data)).decode()


def test_the_known_answers():
    assert crc32c(b"123456789").hex() == "e3069283"
    assert crc64nvme(b"123456789").hex() == "ae8b14860a799888"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_header(s3, bucket, algorithm):
    field, value = FIELD.format(algorithm), encoded(algorithm, BODY)
    put = s3.put_object(Bucket=bucket, Key="k", Body=BODY, **{field: value})
    assert put[field] == value
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[field] == value
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert field not in s3.head_object(Bucket=bucket, Key="k")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_header(s3, bucket, algorithm, refused):
    field, value = FIELD.format(algorithm), encoded(algorithm, b"another body")
    with refused(400, "BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=BODY, **{field: value})
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_chosen_by_the_sdk(s3, bucket, algorithm):
    field, value = FIELD.format(algorithm), encoded(algorithm, BODY)
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(BODY), ChecksumAlgorithm=algorithm)
    assert put[field] == value
    assert s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[field] == value
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


def trailer_put(gateway, bucket, algorithm, value, body=BODY, chunk=8192):
    """A PUT in unsigned chunks with a trailer, put together here: (status, headers, text)."""
    import http.client

    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    name = f"x-amz-checksum-{algorithm.lower()}"
    wire = b"".join(
        f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        for piece in (body[at : at + chunk] for at in range(0, len(body), chunk))
    )
    wire += f"0\r\n{name}:{value}\r\n\r\n".encode()
    headers = {
        "Host": gateway.host,
        "Content-Encoding": "aws-chunked",
        "Content-Length": str(len(wire)),
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": str(len(body)),
        "x-amz-trailer": name,
    }
    url = f"{gateway.endpoint}/{bucket}/trailer"
    request = botocore.awsrequest.AWSRequest("PUT", url, headers=headers, data=b"")
    request.context["payload_signing_enabled"] = False
    credentials = botocore.credentials.Credentials(gateway.access_key, gateway.secret_key)
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1")
    signer.payload = lambda _: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    signer.add_auth(request)
    connection = http.client.HTTPConnection(gateway.host, timeout=60)
    connection.request("PUT", f"/{bucket}/trailer", wire, dict(request.headers.items()))
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, {key.lower(): value for key, value in response.getheaders()}, text


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_trailer(s3, gateway, bucket, algorithm):
    value = encoded(algorithm, BODY)
    status, headers, text = trailer_put(gateway, bucket, algorithm, value)
    assert status == 200, text
    assert headers[f"x-amz-checksum-{algorithm.lower()}"] == value
    got = s3.get_object(Bucket=bucket, Key="trailer", ChecksumMode="ENABLED")
    assert got[FIELD.format(algorithm)] == value
    assert s3.get_object(Bucket=bucket, Key="trailer")["Body"].read() == BODY


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_wrong_trailer(s3, gateway, bucket, algorithm):
    status, _, text = trailer_put(gateway, bucket, algorithm, encoded(algorithm, b"other"))
    assert status == 400
    assert "<Code>BadDigest</Code>" in text
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_content_md5(s3, bucket, refused):
    right = base64.b64encode(hashlib.md5(BODY).digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ContentMD5=right)
    with refused(400, "BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"changed", ContentMD5=wrong)
    with refused(400, "InvalidDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"changed", ContentMD5="no base64!")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == BODY


def test_the_default_checksum_is_crc64nvme(new_client, bucket):
    """S3 works CRC64NVME out itself when the client sends no checksum."""
    client = new_client(request_checksum_calculation="when_required")
    client.put_object(Bucket=bucket, Key="k", Body=BODY)
    head = client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == encoded("CRC64NVME", BODY)
    assert head["ChecksumType"] == "FULL_OBJECT"


def test_no_checksum_of_a_range(s3, bucket):
    """The stored checksum is that of the whole object: given with a part of it, SDKs would take
    it for the part's."""
    s3.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm="SHA256")
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-99", ChecksumMode="ENABLED")
    assert got["Body"].read() == BODY[:100]
    assert "ChecksumSHA256" not in got


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_multipart(s3, bucket, algorithm):
    """CRC64NVME covers the whole object; SHA1 and SHA256 are composed of the parts'; CRC32 and
    CRC32C are composed unless asked otherwise (CreateMultipartUpload, ChecksumType)."""
    field = FIELD.format(algorithm)
    bodies = [os.urandom(5 << 20), os.urandom(1000)]
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m", ChecksumAlgorithm=algorithm)
    assert upload["ChecksumAlgorithm"] == algorithm
    parts = []
    for number, body in enumerate(bodies, 1):
        digest = encoded(algorithm, body)
        part = s3.upload_part(
            Bucket=bucket,
            Key="m",
            UploadId=upload["UploadId"],
            PartNumber=number,
            Body=body,
            **{field: digest},
        )
        assert part[field] == digest
        parts.append({"PartNumber": number, "ETag": part["ETag"], field: digest})
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}
    )
    if algorithm == "CRC64NVME":
        expected, kind = encoded(algorithm, b"".join(bodies)), "FULL_OBJECT"
    else:
        digests = b"".join(ALGORITHMS[algorithm](body) for body in bodies)
        expected, kind = f"{encoded(algorithm, digests)}-2", "COMPOSITE"
    assert done[field] == expected
    assert done["ChecksumType"] == kind
    head = s3.head_object(Bucket=bucket, Key="m", ChecksumMode="ENABLED")
    assert head[field] == expected
    assert head["ChecksumType"] == kind


def test_full_object_crc32_of_parts(s3, bucket):
    bodies = [os.urandom(5 << 20), os.urandom(777)]
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="m", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        part = s3.upload_part(
            Bucket=bucket,
            Key="m",
            UploadId=upload,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm="CRC32",
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="m", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert done["ChecksumCRC32"] == encoded("CRC32", b"".join(bodies))
    assert done["ChecksumType"] == "FULL_OBJECT"


def test_a_wrong_part_is_not_kept(s3, bucket, refused):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    with refused(400, "BadDigest"):
        s3.upload_part(
            Bucket=bucket,
            Key="m",
            UploadId=upload,
            PartNumber=1,
            Body=b"x",
            ChecksumCRC32=encoded("CRC32", b"y"),
        )
    assert "Parts" not in s3.list_parts(Bucket=bucket, Key="m", UploadId=upload)
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)


def test_a_download_is_checked_by_the_sdk(new_client, bucket):
    """boto3 verifies what the server sends: proves that the header is that of these bytes."""
    client = new_client(response_checksum_validation="when_supported")
    client.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm="CRC32")
    got = client.get_object(Bucket=bucket, Key="k")
    assert got["ChecksumCRC32"] == encoded("CRC32", BODY)
    try:
        assert got["Body"].read() == BODY
    except botocore.exceptions.FlexibleChecksumError as error:
        pytest.fail(str(error))
