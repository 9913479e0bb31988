"""HTTPS as boto3, aws cli and Python's own library see it: verified certificates, unsigned-payload
trailers, one store behind both doors."""

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

import boto3
import botocore
import botocore.config
import botocore.exceptions
import pytest

import gateway as gateway_module

TIMEOUT_SECONDS = 120


class Secure(gateway_module.Gateway):
    """A server of its own with HTTPS, and a certificate that it made itself."""

    def __init__(self, **more):
        self.more = more
        # The first two become those of the fixture's own addresses.
        self.secure_port = gateway_module.free_ports(3)[2]
        super().__init__()

    def _start(self):
        # What is not a flag of the fixture's server goes by the environment.
        variables = {
            "PENSTOCK_TLS_LISTEN": f"127.0.0.1:{self.secure_port}",
            "PENSTOCK_TLS_SELF_SIGNED": "on",
            **self.more,
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gateway_module, "MORE_ENVIRONMENT", variables)
            super()._start()

    @property
    def secure_endpoint(self):
        """The HTTPS endpoint."""
        return f"https://127.0.0.1:{self.secure_port}"

    @property
    def trusted(self):
        """The file that clients have to trust."""
        return str(self.folder / "data" / "tls" / "self-signed.crt")


@pytest.fixture(scope="module")
def secure():
    """The server of this module."""
    if os.environ.get("GATEWAY_TEST_ENDPOINT"):
        pytest.skip("the server is somebody else's")
    server = Secure()
    yield server
    log = server.log()
    assert server.stop() == 0, log[-5000:]
    assert "panicked" not in log, log


def client(secure, **options):
    """A boto3 client over HTTPS that verifies the server."""
    options = {"retries": {"total_max_attempts": 1}, **options}
    return boto3.client(
        "s3",
        endpoint_url=secure.secure_endpoint,
        aws_access_key_id=secure.access_key,
        aws_secret_access_key=secure.secret_key,
        region_name=gateway_module.REGION,
        verify=secure.trusted,
        config=botocore.config.Config(s3={"addressing_style": "path"}, **options),
    )


@pytest.mark.promise("TLS-1", "TLS-13")
def test_boto3_verifies_and_uploads_with_trailers(secure):
    s3 = client(secure)
    s3.create_bucket(Bucket="over-tls")
    seen = []
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: seen.append(dict(request.headers)))
    body = os.urandom(3_000_001)
    answer = s3.put_object(Bucket="over-tls", Key="a", Body=body)
    # What the SDK does over TLS alone: the body is not signed, and its checksum comes after it.
    payload = seen[0]["X-Amz-Content-SHA256"]
    assert payload in (b"STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert answer["ChecksumCRC32"] or answer["ChecksumCRC64NVME"]
    got = s3.get_object(Bucket="over-tls", Key="a", ChecksumMode="ENABLED")
    assert got["Body"].read() == body
    assert "aws-chunked" not in got.get("ContentEncoding", "")


@pytest.mark.promise("TLS-13")
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_every_checksum_comes_as_a_trailer(secure, algorithm):
    s3 = client(secure)
    s3.create_bucket(Bucket=f"trailers-{algorithm.lower()}")
    body = os.urandom(200_001)
    named = {"Bucket": f"trailers-{algorithm.lower()}", "Key": "a"}
    s3.put_object(**named, Body=body, ChecksumAlgorithm=algorithm)
    head = s3.head_object(**named, ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"]


@pytest.mark.promise("TLS-13")
def test_a_wrong_trailer_leaves_nothing(secure):
    """By hand: a chunked body whose checksum is another's."""
    s3 = client(secure)
    s3.create_bucket(Bucket="wrong-trailer")
    url = s3.generate_presigned_url("put_object", {"Bucket": "wrong-trailer", "Key": "a"})
    target = urllib.parse.urlsplit(url)
    connection = http.client.HTTPSConnection(
        target.netloc, context=ssl.create_default_context(cafile=secure.trusted), timeout=30
    )
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    connection.request(
        "PUT",
        f"{target.path}?{target.query}",
        body,
        {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-trailer": "x-amz-checksum-crc32",
            "x-amz-decoded-content-length": "5",
            "content-encoding": "aws-chunked",
        },
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status in (400, 403), text
    assert s3.list_objects_v2(Bucket="wrong-trailer")["KeyCount"] == 0


@pytest.mark.promise("TLS-1")
def test_boto3_refuses_a_certificate_that_it_was_not_told_to_trust(secure):
    s3 = boto3.client(
        "s3",
        endpoint_url=secure.secure_endpoint,
        aws_access_key_id=secure.access_key,
        aws_secret_access_key=secure.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(botocore.exceptions.SSLError):
        s3.list_buckets()


@pytest.mark.promise("TLS-1")
def test_both_doors_lead_to_one_store(secure):
    over_tls = client(secure)
    plain = boto3.client(
        "s3",
        endpoint_url=secure.endpoint,
        aws_access_key_id=secure.access_key,
        aws_secret_access_key=secure.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    over_tls.create_bucket(Bucket="two-doors")
    over_tls.put_object(Bucket="two-doors", Key="a", Body=b"by tls")
    assert plain.get_object(Bucket="two-doors", Key="a")["Body"].read() == b"by tls"


@pytest.mark.promise("TLS-1")
def test_aws_cli_over_https(secure, tmp_path):
    program = os.path.join(os.path.dirname(sys.executable), "aws")
    if not os.path.exists(program):
        pytest.skip("aws is not installed")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": secure.access_key,
        "AWS_SECRET_ACCESS_KEY": secure.secret_key,
        "AWS_DEFAULT_REGION": gateway_module.REGION,
        "AWS_ENDPOINT_URL": secure.secure_endpoint,
        "AWS_CA_BUNDLE": secure.trusted,
        "AWS_MAX_ATTEMPTS": "1",
    }
    source = tmp_path / "source"
    source.write_bytes(os.urandom(20_000_001))

    def aws(*arguments):
        done = subprocess.run(
            [program, "s3", *arguments],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    aws("mb", "s3://by-cli")
    aws("cp", str(source), "s3://by-cli/large")
    aws("cp", "s3://by-cli/large", str(tmp_path / "back"))
    digest = hashlib.sha256((tmp_path / "back").read_bytes()).digest()
    assert digest == hashlib.sha256(source.read_bytes()).digest()
    assert "large" in aws("ls", "s3://by-cli")


@pytest.mark.promise("TLS-8")
def test_boto3_is_told_that_it_speaks_the_wrong_protocol(secure):
    s3 = boto3.client(
        "s3",
        endpoint_url=secure.secure_endpoint.replace("https://", "http://"),
        aws_access_key_id=secure.access_key,
        aws_secret_access_key=secure.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        s3.list_buckets()
    assert caught.value.response["Error"]["Code"] == "InvalidRequest"
    assert "https://" in caught.value.response["Error"]["Message"]


@pytest.mark.promise("TLS-4", "TLS-6")
def test_sessions_are_resumed_also_after_certificates_were_read_again(secure):
    """Python keeps the session of a connection and offers it to the next one."""
    context = ssl.create_default_context(cafile=secure.trusted)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def shake(session):
        with socket.create_connection(("127.0.0.1", secure.secure_port), timeout=30) as bare:
            with context.wrap_socket(bare, server_hostname="127.0.0.1", session=session) as stream:
                return stream.session, stream.session_reused

    session, reused = shake(None)
    assert not reused
    assert shake(session)[1]
    secure.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while not re.search("certificates of S3 read again", secure.log()):
        assert time.monotonic() < deadline, secure.log()
        time.sleep(0.05)
    assert shake(session)[1]


@pytest.mark.promise("TLS-16")
def test_a_bucket_policy_can_demand_tls(secure):
    over_tls = client(secure)
    over_tls.create_bucket(Bucket="tls-alone")
    over_tls.put_object(Bucket="tls-alone", Key="a", Body=b"a")
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::tls-alone/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    over_tls.put_bucket_policy(Bucket="tls-alone", Policy=json.dumps(policy))
    assert over_tls.get_object(Bucket="tls-alone", Key="a")["Body"].read() == b"a"
    plain = boto3.client(
        "s3",
        endpoint_url=secure.endpoint,
        aws_access_key_id=secure.access_key,
        aws_secret_access_key=secure.secret_key,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(s3={"addressing_style": "path"}),
    )
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        plain.get_object(Bucket="tls-alone", Key="a")
    assert caught.value.response["Error"]["Code"] == "AccessDenied"


def openssl(*arguments):
    """Runs openssl; it has to succeed."""
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    """An authority and certificates of two clients, made by openssl: one file each with its key."""
    folder = tmp_path_factory.mktemp("identities")
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca, ca_key = str(folder / "ca.pem"), str(folder / "ca.key")
    openssl("req", "-x509", *ec, "-subj", "/CN=authority", "-keyout", ca_key, "-out", ca)
    # Without extensions it would be of version 1, which nobody believes any more.
    extensions = folder / "extensions"
    extensions.write_text("basicConstraints=CA:FALSE\n")
    made = {"ca": ca}
    for name in ("loader", "stranger"):
        key, asked, signed = (str(folder / f"{name}.{kind}") for kind in ("key", "csr", "pem"))
        openssl("req", "-new", *ec[:5], "-subj", f"/O=Example/CN={name}", "-keyout", key, "-out", asked)
        openssl("x509", "-req", "-in", asked, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
                "-days", "2", "-extfile", str(extensions), "-out", signed)
        made[name] = (signed, key)
    return made


@pytest.mark.promise("TLS-7")
def test_an_unsigned_request_is_its_certificates_users(identities, tmp_path):
    """The user has no key at all: the certificate of the connection is how it is known."""
    if os.environ.get("GATEWAY_TEST_ENDPOINT"):
        pytest.skip("the server is somebody else's")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::certified/*"}],
    }
    users = tmp_path / "users.json"
    entry = {"name": "loader", "certificates": ["training"], "policies": {"read": json.dumps(policy)}}
    users.write_text(json.dumps({"user": [entry]}))
    users.chmod(0o600)
    server = Secure(
        PENSTOCK_TLS_CLIENT_CA=identities["ca"],
        PENSTOCK_TLS_CLIENT_USERS="CN:loader=training,CN:*",
        PENSTOCK_USERS_FILE=str(users),
    )
    try:
        root = client(server)
        root.create_bucket(Bucket="certified")
        root.put_object(Bucket="certified", Key="a", Body=b"a")

        def outcome(who, operation, **named):
            shown = {"client_cert": identities[who]} if who else {}
            s3 = client(server, signature_version=botocore.UNSIGNED, **shown)
            try:
                getattr(s3, operation)(Bucket="certified", Key="a", **named)
            except botocore.exceptions.ClientError as error:
                return error.response["Error"]["Code"]
            return "done"

        assert outcome("loader", "get_object") == "done"
        assert outcome("loader", "put_object", Body=b"b") == "AccessDenied"
        # Verified, and nobody's.
        assert outcome("stranger", "get_object") == "AccessDenied"
        assert outcome(None, "get_object") == "AccessDenied"
        # Who signs is who has signed, whatever certificate the connection has.
        s3 = client(server, client_cert=identities["stranger"])
        assert s3.get_object(Bucket="certified", Key="a")["Body"].read() == b"a"
    finally:
        log = server.log()
        assert server.stop() == 0, log[-5000:]
