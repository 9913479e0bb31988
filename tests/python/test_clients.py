"""Clients, unmodified, each in a session of its own: boto3's managed transfers, aws cli, s3cmd,
rclone, minio's library, s3fs (fsspec) and pyarrow. What single operations answer is tested elsewhere."""

import datetime
import filecmp
import hashlib
import io
import os
import shutil
import subprocess
import sys
import urllib.request

import boto3.s3.transfer
import minio
import minio.commonconfig
import minio.deleteobjects
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest
import s3fs

TIMEOUT_SECONDS = 300


def run(command, environment):
    """Runs a client to its end; its output on success."""
    program = os.path.join(os.path.dirname(sys.executable), command[0])
    if not os.path.exists(program):
        program = shutil.which(command[0])
    assert program, f"{command[0]} is not installed: tools/packages.sh test, tools/venv.sh"
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


def fetch(url, body=None):
    """What a program without a signature of its own gets from, or puts to, a presigned address."""
    request = urllib.request.Request(url, data=body, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        return response.read()


def test_boto3_transfers(s3, bucket, tmp_path):
    """The managed transfers: files in parallel parts, with metadata, copied and presigned."""
    config = boto3.s3.transfer.TransferConfig(
        multipart_threshold=8 << 20, multipart_chunksize=5 << 20, max_concurrency=4
    )
    path = tmp_path / "file"
    path.write_bytes(os.urandom(17_000_003))
    extra = {"ContentType": "application/x-test", "Metadata": {"shard": "7"}}
    s3.upload_file(str(path), bucket, "a b/ü+", ExtraArgs=extra, Config=config)
    head = s3.head_object(Bucket=bucket, Key="a b/ü+", ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["ContentType"]) == (17_000_003, "application/x-test")
    assert head["Metadata"] == {"shard": "7"}
    assert head["ETag"].endswith('-4"') and head["ChecksumType"] == "COMPOSITE"

    # In one request, which keeps what is beside the content, and in parts.
    source = {"Bucket": bucket, "Key": "a b/ü+"}
    s3.copy(source, bucket, "whole", Config=boto3.s3.transfer.TransferConfig(1 << 30))
    copied = s3.head_object(Bucket=bucket, Key="whole")
    assert (copied["ContentType"], copied["Metadata"]) == ("application/x-test", {"shard": "7"})
    s3.copy(source, bucket, "copy", Config=config)
    s3.download_file(bucket, "copy", str(tmp_path / "back"), Config=config)
    assert filecmp.cmp(path, tmp_path / "back", shallow=False)
    assert s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == 17_000_003

    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "signed"})
    fetch(url, b"by nobody in particular")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "signed"})
    assert fetch(url) == b"by nobody in particular"


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
    # Without this aws cli signs addresses by version 2 wherever the endpoint is not Amazon's own.
    run(["aws", "configure", "set", "default.s3.signature_version", "s3v4"], command_environment)
    url = run(["aws", "s3", "presign", f"s3://{bucket}/b"], command_environment).strip()
    assert fetch(url) == path.read_bytes()
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
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    assert "upload:" not in s3cmd("sync", f"{tree}/", f"s3://{bucket}/tree/")
    s3cmd("modify", "--add-header=x-amz-meta-shard:7", f"s3://{bucket}/tree/large")
    information = s3cmd("info", f"s3://{bucket}/tree/large")
    assert "20000001" in information and "x-amz-meta-shard: 7" in information
    s3cmd("mb", f"s3://{bucket}-two")
    s3cmd("mv", f"s3://{bucket}/tree/large", f"s3://{bucket}-two/moved")
    assert s3cmd("ls", f"s3://{bucket}-two").split()[2:] == ["20000001", f"s3://{bucket}-two/moved"]
    s3cmd("rb", "--recursive", f"s3://{bucket}-two")
    s3cmd("cp", f"s3://{bucket}/tree/empty", f"s3://{bucket}/copied")
    assert s3cmd("ls", f"s3://{bucket}/copied").split()[2] == "0"
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/")
    assert s3cmd("ls", "--recursive", f"s3://{bucket}") == ""


def test_rclone(gateway, command_environment, bucket, tree, tmp_path):
    """rclone, which checks what it copies by MD5: of large files by that in their metadata."""
    environment = {
        **command_environment,
        "RCLONE_CONFIG_GATE_TYPE": "s3",
        "RCLONE_CONFIG_GATE_PROVIDER": "Other",
        "RCLONE_CONFIG_GATE_ENV_AUTH": "true",
        "RCLONE_CONFIG_GATE_ENDPOINT": gateway.endpoint,
        "RCLONE_CONFIG_GATE_REGION": "us-east-1",
        "RCLONE_CONFIG_GATE_CHUNK_SIZE": "5Mi",
        "RCLONE_CONFIG_GATE_UPLOAD_CUTOFF": "8Mi",
        "RCLONE_RETRIES": "1",
        "RCLONE_LOW_LEVEL_RETRIES": "1",
    }

    def rclone(*arguments):
        return run(["rclone", *arguments], environment)

    rclone("sync", str(tree), f"gate:{bucket}/tree")
    rclone("check", "--download", str(tree), f"gate:{bucket}/tree")
    rclone("check", str(tree), f"gate:{bucket}/tree")
    assert len(rclone("lsf", "-R", "--files-only", f"gate:{bucket}").splitlines()) == 62
    assert "Transferred" not in rclone("sync", "-v", str(tree), f"gate:{bucket}/tree")
    rclone("copy", f"gate:{bucket}/tree", str(tmp_path / "back"))
    assert same(tree, tmp_path / "back")
    # On the server's side: a move is a copy and a deletion, and keeps the file's time.
    rclone("moveto", f"gate:{bucket}/tree/large", f"gate:{bucket}/moved")
    assert rclone("lsf", "--format", "ps", f"gate:{bucket}").split() == ["moved;20000001", "tree/;0"]
    moved = rclone("lsf", "--format", "t", f"gate:{bucket}/moved").strip()
    modified = datetime.datetime.fromtimestamp((tree / "large").stat().st_mtime)
    assert moved == modified.strftime("%Y-%m-%d %H:%M:%S")
    assert fetch(rclone("link", f"gate:{bucket}/moved").strip()) == (tree / "large").read_bytes()
    rclone("mkdir", f"gate:{bucket}-two")
    rclone("copy", f"gate:{bucket}/tree/empty", f"gate:{bucket}-two")
    rclone("purge", f"gate:{bucket}-two")
    assert f"{bucket}-two" not in rclone("lsf", "gate:")
    rclone("delete", f"gate:{bucket}")
    assert rclone("lsf", "-R", "--files-only", f"gate:{bucket}") == ""


def test_minio_library(gateway, bucket, tmp_path):
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
    source = minio.commonconfig.CopySource(bucket, "small/ü b")
    client.copy_object(bucket, "copy", source)
    assert client.stat_object(bucket, "copy").metadata["x-amz-meta-a"] == "1"
    # Composed of an object of three parts and a small one, by UploadPartCopy.
    sources = [minio.commonconfig.ComposeSource(bucket, name) for name in ("large", "copy")]
    client.compose_object(bucket, "composed", sources)
    client.fget_object(bucket, "composed", str(tmp_path / "composed"))
    assert (tmp_path / "composed").read_bytes() == large + body
    fetch(client.presigned_put_object(bucket, "signed"), b"signed")
    assert fetch(client.presigned_get_object(bucket, "signed")) == b"signed"
    tags = minio.commonconfig.Tags.new_object_tags()
    tags["team"] = "blue"
    client.set_object_tags(bucket, "copy", tags)
    assert client.get_object_tags(bucket, "copy") == {"team": "blue"}
    names = [minio.deleteobjects.DeleteObject(name) for name in ("copy", "composed", "signed")]
    assert list(client.remove_objects(bucket, names)) == []
    client.make_bucket(f"{bucket}-two")
    client.remove_bucket(f"{bucket}-two")
    assert not client.bucket_exists(f"{bucket}-two")
    client.remove_object(bucket, "large")
    with pytest.raises(minio.error.S3Error) as caught:
        client.stat_object(bucket, "large")
    assert caught.value.code == "NoSuchKey"


def test_s3fs(gateway, bucket, tree, tmp_path):
    """fsspec's file system over S3, as dask, pandas and data loaders open it."""
    files = s3fs.S3FileSystem(
        key=gateway.access_key,
        secret=gateway.secret_key,
        endpoint_url=gateway.endpoint,
        client_kwargs={"region_name": "us-east-1"},
        config_kwargs={"signature_version": "s3v4"},  # of addresses: version 2 elsewise
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    files.mkdir(f"{bucket}-two")
    assert f"{bucket}-two" in files.ls("")
    files.rmdir(f"{bucket}-two")

    files.put(str(tree), f"{bucket}/tree", recursive=True)
    assert len(files.find(bucket)) == 62
    assert files.info(f"{bucket}/tree/large")["size"] == 20_000_001
    names = [f"{bucket}/tree/folder 1/file-{number}+ü.bin" for number in (1, 15)]
    assert sorted(files.glob(f"{bucket}/tree/folder 1/file-1*")) == names
    files.get(f"{bucket}/tree", str(tmp_path / "back"), recursive=True)
    assert same(tree, tmp_path / "back")

    body = os.urandom(12_000_000)
    with files.open(f"{bucket}/written", "wb", block_size=5 << 20) as stream:
        for start in range(0, len(body), 1 << 20):
            stream.write(body[start : start + (1 << 20)])
    with files.open(f"{bucket}/written", "rb", block_size=1 << 20) as stream:
        stream.seek(7_654_321)
        assert stream.read(100_000) == body[7_654_321:7_754_321]
    assert files.cat_file(f"{bucket}/written", start=5, end=25) == body[5:25]
    files.setxattr(f"{bucket}/written", shard="7")
    assert files.metadata(f"{bucket}/written") == {"shard": "7"}
    with files.open(f"{bucket}/written", "ab") as stream:
        stream.write(b"and more")
    assert files.cat_file(f"{bucket}/written") == body + b"and more"

    files.copy(f"{bucket}/written", f"{bucket}/copied")
    files.mv(f"{bucket}/copied", f"{bucket}/moved")
    assert files.exists(f"{bucket}/moved") and not files.exists(f"{bucket}/copied")
    assert fetch(files.sign(f"{bucket}/moved")) == body + b"and more"
    files.rm(f"{bucket}/tree", recursive=True)
    assert sorted(files.ls(bucket)) == [f"{bucket}/moved", f"{bucket}/written"]
    with pytest.raises(FileNotFoundError):
        files.cat_file(f"{bucket}/tree/large")


def test_pyarrow(gateway, bucket):
    """Arrow's own client, written in C++: files, folders, and a partitioned data set of Parquet."""
    files = pyarrow.fs.S3FileSystem(
        access_key=gateway.access_key,
        secret_key=gateway.secret_key,
        endpoint_override=gateway.host,
        scheme="http",
        region="us-east-1",
        allow_bucket_creation=True,
        allow_bucket_deletion=True,
    )
    files.create_dir(f"{bucket}-two/folder")
    assert files.get_file_info(f"{bucket}-two/folder").type == pyarrow.fs.FileType.Directory
    files.delete_dir(f"{bucket}-two")

    body = os.urandom(23_000_000)
    with files.open_output_stream(f"{bucket}/large", metadata={"Content-Type": "a/b"}) as stream:
        stream.write(body)
    with files.open_input_stream(f"{bucket}/large") as stream:
        assert stream.metadata()["Content-Type"] == b"a/b"
        assert stream.read() == body
    with files.open_input_file(f"{bucket}/large") as stream:
        assert stream.size() == len(body)
        assert stream.read_at(50_000, 12_345_678) == body[12_345_678:12_395_678]
    files.copy_file(f"{bucket}/large", f"{bucket}/copied")
    files.move(f"{bucket}/copied", f"{bucket}/moved")
    assert files.get_file_info(f"{bucket}/moved").size == len(body)
    assert files.get_file_info(f"{bucket}/copied").type == pyarrow.fs.FileType.NotFound

    table = pyarrow.table({"day": ["mon", "tue"] * 50_000, "value": range(100_000)})
    pyarrow.dataset.write_dataset(
        table, f"{bucket}/table", filesystem=files, format="parquet",
        partitioning=["day"], partitioning_flavor="hive",
    )  # fmt: skip
    read = pyarrow.dataset.dataset(f"{bucket}/table", filesystem=files, partitioning="hive")
    assert sorted(name.split("/")[2] for name in read.files) == ["day=mon", "day=tue"]
    rows = read.to_table(columns=["value"], filter=pyarrow.dataset.field("day") == "tue")
    assert sorted(rows["value"].to_pylist()) == list(range(1, 100_000, 2))
    pyarrow.parquet.write_table(table, f"{bucket}/one.parquet", filesystem=files)
    assert pyarrow.parquet.read_table(f"{bucket}/one.parquet", filesystem=files).equals(table)
    files.delete_dir_contents(bucket)
    selector = pyarrow.fs.FileSelector(bucket, recursive=True)
    assert files.get_file_info(selector) == []
