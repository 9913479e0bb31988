"""Other clients, unmodified: aws cli, s3cmd, minio's library."""

import filecmp
import hashlib
import io
import os
import shutil
import subprocess
import sys

import pytest

TIMEOUT_SECONDS = 300


def run(command, environment):
    """Runs a client to its end; its output on success."""
    program = os.path.join(os.path.dirname(sys.executable), command[0])
    if not os.path.exists(program):
        program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [program, *command[1:]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path):
    """A small tree of files of many sizes, one large enough for multipart."""
    root = tmp_path / "tree"
    for number in range(60):
        path = root / f"folder {number % 7}" / f"file-{number}+ü.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 1009))
    (root / "large").write_bytes(os.urandom(20_000_001))
    (root / "empty").write_bytes(b"")
    return root


def same(first, second):
    """Whether two trees are equal, byte for byte."""
    compared = filecmp.dircmp(first, second)
    if compared.left_only or compared.right_only or compared.funny_files:
        return False
    _, different, broken = filecmp.cmpfiles(first, second, compared.common_files, shallow=False)
    if different or broken:
        return False
    return all(same(first / name, second / name) for name in compared.common_dirs)


def test_aws_cli_sync(command_environment, bucket, tree, tmp_path):
    run(["aws", "s3", "sync", str(tree), f"s3://{bucket}/tree"], command_environment)
    listed = run(["aws", "s3", "ls", "--recursive", f"s3://{bucket}"], command_environment)
    assert len(listed.splitlines()) == 62
    run(["aws", "s3", "sync", f"s3://{bucket}/tree", str(tmp_path / "back")], command_environment)
    assert same(tree, tmp_path / "back")
    again = run(["aws", "s3", "sync", str(tree), f"s3://{bucket}/tree"], command_environment)
    assert again == "", "a second sync of the same tree has nothing to do"


def test_aws_cli_commands(command_environment, bucket, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(9_000_000))
    run(["aws", "s3", "cp", str(path), f"s3://{bucket}/a"], command_environment)
    run(["aws", "s3", "mv", f"s3://{bucket}/a", f"s3://{bucket}/b"], command_environment)
    run(["aws", "s3", "cp", f"s3://{bucket}/b", str(tmp_path / "back")], command_environment)
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    run(["aws", "s3", "rm", "--recursive", f"s3://{bucket}"], command_environment)
    assert run(["aws", "s3", "ls", f"s3://{bucket}"], command_environment) == ""
    run(["aws", "s3", "mb", f"s3://{bucket}-two"], command_environment)
    assert f"{bucket}-two" in run(["aws", "s3", "ls"], command_environment)
    run(["aws", "s3", "rb", f"s3://{bucket}-two"], command_environment)


def test_aws_cli_streams(command_environment, bucket, tmp_path):
    """`aws s3 cp -` sends parts whose size it does not know before."""
    body = os.urandom(12_000_000)
    program = os.path.join(os.path.dirname(sys.executable), "aws")
    if not os.path.exists(program):
        pytest.skip("aws is not installed")
    subprocess.run(
        [program, "s3", "cp", "-", f"s3://{bucket}/streamed"],
        input=body,
        env=command_environment,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    got = subprocess.run(
        [program, "s3", "cp", f"s3://{bucket}/streamed", "-"],
        env=command_environment,
        timeout=TIMEOUT_SECONDS,
        check=True,
        stdout=subprocess.PIPE,
    )
    assert hashlib.sha256(got.stdout).digest() == hashlib.sha256(body).digest()


def test_s3cmd(gateway, command_environment, bucket, tree, tmp_path):
    options = [
        f"--access_key={gateway.access_key}",
        f"--secret_key={gateway.secret_key}",
        f"--host={gateway.host}",
        f"--host-bucket={gateway.host}",
        "--no-ssl",
        "--region=us-east-1",
        "--no-progress",
        "--multipart-chunk-size-mb=5",
    ]

    def s3cmd(*arguments):
        return run(["s3cmd", *options, *arguments], command_environment)

    s3cmd("put", "--recursive", f"{tree}/", f"s3://{bucket}/tree/")
    listed = s3cmd("ls", "--recursive", f"s3://{bucket}")
    assert len(listed.splitlines()) == 62
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("get", "--recursive", f"s3://{bucket}/tree/", f"{back}/")
    assert same(tree, back)
    s3cmd("cp", f"s3://{bucket}/tree/empty", f"s3://{bucket}/copied")
    assert s3cmd("ls", f"s3://{bucket}/copied").split()[2] == "0"
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/")
    assert s3cmd("ls", "--recursive", f"s3://{bucket}") == ""


def test_minio_library(gateway, bucket, tmp_path):
    minio = pytest.importorskip("minio")
    client = minio.Minio(
        gateway.host,
        access_key=gateway.access_key,
        secret_key=gateway.secret_key,
        region="us-east-1",
        secure=False,
    )
    assert client.bucket_exists(bucket)
    body = os.urandom(300_000)
    client.put_object(bucket, "small/ü b", io.BytesIO(body), len(body), metadata={"a": "1"})
    large = os.urandom(15_000_000)
    client.put_object(bucket, "large", io.BytesIO(large), -1, part_size=5 << 20)
    for key, expected in (("small/ü b", body), ("large", large)):
        response = client.get_object(bucket, key)
        try:
            assert response.read() == expected
        finally:
            response.close()
            response.release_conn()
    assert client.stat_object(bucket, "small/ü b").metadata["x-amz-meta-a"] == "1"
    assert [item.object_name for item in client.list_objects(bucket, recursive=True)] == [
        "large",
        "small/ü b",
    ]
    assert [item.object_name for item in client.list_objects(bucket)] == ["large", "small/"]
    client.remove_object(bucket, "large")
    with pytest.raises(minio.error.S3Error) as caught:
        client.stat_object(bucket, "large")
    assert caught.value.code == "NoSuchKey"
