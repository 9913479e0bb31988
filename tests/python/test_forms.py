"""POST Object: browsers' forms, signed by SigV4 and as older tools sign them, and what their policies promise."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import xml.etree.ElementTree

import pytest
import urllib3

POOL = urllib3.PoolManager(retries=False)
DAY = datetime.timedelta(days=1)


def until(delta=DAY):
    """An expiration."""
    return (datetime.datetime.now(datetime.timezone.utc) + delta).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def post(gateway):
    """Posts fields and a file to a bucket; answers status, body, headers."""

    def send(bucket, fields, content=b"bar", name="foo.txt", host=None):
        parts = [*dict(fields).items(), ("file", (name, content, "text/plain"))]
        body, kind = urllib3.encode_multipart_formdata(parts)
        headers = {"content-type": kind}
        url = f"{gateway.endpoint}/{bucket}"
        if host:
            headers["host"], url = host, gateway.endpoint + "/"
        answer = POOL.request("POST", url, body=body, headers=headers, redirect=False)
        return answer.status, answer.data.decode(), answer.headers

    return send


def signed(gateway, document, **fields):
    """Fields with a policy that is signed as older tools do it."""
    text = document if isinstance(document, str) else json.dumps(document)
    policy = base64.b64encode(text.encode())
    digest = hmac.new(gateway.secret_key.encode(), policy, hashlib.sha1).digest()
    fields = {name.replace("_", "-"): value for name, value in fields.items()}
    return {
        **fields,
        "AWSAccessKeyId": gateway.access_key,
        "signature": base64.b64encode(digest).decode(),
        "policy": policy.decode(),
        "Content-Type": "text/plain",
    }


def document(bucket, *conditions, expiration=None):
    """A policy with the usual conditions, and more."""
    usual = [{"bucket": bucket}, ["starts-with", "$key", "foo"], {"acl": "private"}]
    usual += [["starts-with", "$Content-Type", "text/plain"], ["content-length-range", 0, 1 << 24]]
    return {"expiration": expiration or until(), "conditions": usual + list(conditions)}


def code(answer):
    """The status and the error's code."""
    status, body, _ = answer
    element = xml.etree.ElementTree.fromstring(body).find("Code") if body else None
    return status, element.text if element is not None else None


def read(s3, bucket, key="foo.txt"):
    """The object's bytes."""
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


@pytest.mark.promise("FORM-1")
@pytest.mark.parametrize("size", [0, 3, 65_535, 65_536, 70_000, 3_000_000])
def test_a_form_of_the_sdk_becomes_an_object(s3, bucket, post, size):
    made = s3.generate_presigned_post(
        bucket,
        "foo.txt",
        Fields={"Content-Type": "text/css", "x-amz-meta-a": "1"},
        Conditions=[{"Content-Type": "text/css"}, {"x-amz-meta-a": "1"}],
    )
    content = os.urandom(size)
    status, body, headers = post(bucket, made["fields"], content)
    assert (status, body) == (204, "")
    got = s3.get_object(Bucket=bucket, Key="foo.txt")
    assert got["Body"].read() == content
    assert (got["ContentType"], got["Metadata"]) == ("text/css", {"a": "1"})
    assert headers["etag"] == got["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert headers["location"].endswith(f"/{bucket}/foo.txt")


@pytest.mark.promise("FORM-2")
def test_an_older_signature(s3, gateway, bucket, post):
    fields = signed(gateway, document(bucket), key="foo.txt", acl="private")
    assert post(bucket, fields)[0] == 204
    assert read(s3, bucket) == b"bar"
    wrong = {**fields, "signature": fields["signature"][::-1]}
    assert code(post(bucket, wrong)) == (403, "SignatureDoesNotMatch")
    unknown = {**fields, "AWSAccessKeyId": "foo"}
    assert code(post(bucket, unknown)) == (403, "InvalidAccessKeyId")
    for name in ("signature", "AWSAccessKeyId", "policy", "key"):
        less = {other: value for other, value in fields.items() if other != name}
        assert code(post(bucket, less)) == (400, "InvalidArgument"), name


@pytest.mark.promise("FORM-3")
def test_every_field_is_covered(s3, gateway, bucket, post):
    ignored = signed(gateway, document(bucket), key="foo.txt", acl="private", x_ignore_foo="bar")
    assert post(bucket, ignored)[0] == 204
    extra = signed(gateway, document(bucket), key="foo.txt", acl="private", x_amz_meta_foo="bar")
    assert code(post(bucket, extra)) == (403, "AccessDenied")
    policy = document(bucket, ["starts-with", "$x-amz-meta-foo", "bar"])
    for value, status in [("barclamp", 204), ("foobar", 403)]:
        fields = signed(gateway, policy, key="foo.txt", acl="private", x_amz_meta_foo=value)
        assert post(bucket, fields)[0] == status
    missing = signed(gateway, policy, key="foo.txt", acl="private")
    assert code(post(bucket, missing)) == (403, "AccessDenied")
    assert s3.head_object(Bucket=bucket, Key="foo.txt")["Metadata"] == {"foo": "barclamp"}


@pytest.mark.promise("FORM-4")
def test_names_have_no_case_and_values_do(s3, gateway, bucket, post):
    policy = {
        "expiration": until(),
        "conditions": [
            {"bUcKeT": bucket},
            ["StArTs-WiTh", "$KeY", "foo"],
            {"AcL": "private"},
            ["StArTs-WiTh", "$CoNtEnT-TyPe", "text/plain"],
        ],
    }
    fields = signed(gateway, policy, kEy="foo.txt", aCl="private")
    assert post(bucket, fields)[0] == 204
    fields = signed(gateway, policy, kEy="Foo.txt", aCl="private")
    assert code(post(bucket, fields)) == (403, "AccessDenied")


@pytest.mark.promise("FORM-5")
def test_policies_that_are_none(gateway, bucket, post):
    good = document(bucket)
    bad = [
        "nonsense",
        {"expiration": good["expiration"]},
        {"conditions": good["conditions"]},
        {"EXPIRATION": good["expiration"], "conditions": good["conditions"]},
        {"expiration": good["expiration"], "CONDITIONS": good["conditions"]},
        {"expiration": "tomorrow", "conditions": good["conditions"]},
        document(bucket, {}),
        document(bucket, ["content-length-range", 0]),
        document(bucket, ["content-length-range", -1, 0]),
        document(bucket, ["like", "$key", "foo"]),
    ]
    for policy in bad:
        fields = signed(gateway, policy, key="foo.txt", acl="private")
        assert code(post(bucket, fields)) == (400, "InvalidPolicyDocument"), policy
    expired = signed(gateway, document(bucket, expiration=until(-DAY)), key="foo.txt", acl="private")
    status, body, _ = post(bucket, expired)
    assert status == 403 and "Policy expired" in body
    other = signed(gateway, document("another-bucket"), key="foo.txt", acl="private")
    assert code(post(bucket, other)) == (403, "AccessDenied")


@pytest.mark.promise("FORM-6")
@pytest.mark.parametrize("size", [3, 200_000])
def test_sizes_are_within_the_policys_range(s3, gateway, bucket, post, size):
    for low, high, expected in [
        (0, size - 1, (400, "EntityTooLarge")),
        (size + 1, size + 9, (400, "EntityTooSmall")),
    ]:
        policy = document(bucket, ["content-length-range", low, high])
        fields = signed(gateway, policy, key="foo.txt", acl="private")
        assert code(post(bucket, fields, b"x" * size)) == expected
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    policy = document(bucket, ["content-length-range", size, size])
    fields = signed(gateway, policy, key="foo.txt", acl="private")
    assert post(bucket, fields, b"x" * size)[0] == 204


@pytest.mark.promise("FORM-7")
def test_the_files_name_stands_for_a_variable(s3, gateway, bucket, post):
    fields = signed(gateway, document(bucket), key="foo/${filename}", acl="private")
    assert post(bucket, fields, name="C:\\dir\\b c.txt")[0] == 204
    assert read(s3, bucket, "foo/b c.txt") == b"bar"


@pytest.mark.promise("FORM-8")
def test_what_is_answered(s3, gateway, bucket, post):
    for asked, status in [("200", 200), ("201", 201), ("204", 204), ("404", 204)]:
        policy = document(bucket, ["eq", "$success_action_status", asked])
        fields = signed(gateway, policy, key="foo.txt", acl="private")
        answer = post(bucket, {**fields, "success_action_status": asked})
        assert answer[0] == status
        if status == 201:
            told = xml.etree.ElementTree.fromstring(answer[1])
            assert told.find("Key").text == "foo.txt" and told.find("Bucket").text == bucket
            assert told.find("ETag").text == answer[2]["etag"]
        else:
            assert answer[1] == ""
    address = "http://localhost:9999/done?a=b"
    policy = document(bucket, ["eq", "$success_action_redirect", address])
    fields = signed(gateway, policy, key="foo.txt", acl="private")
    status, _, headers = post(bucket, {**fields, "success_action_redirect": address})
    tag = s3.head_object(Bucket=bucket, Key="foo.txt")["ETag"].strip('"')
    assert status == 303
    assert headers["location"] == f"{address}&bucket={bucket}&key=foo.txt&etag=%22{tag}%22"


@pytest.mark.promise("FORM-9")
def test_tags_class_and_checksum_come_with_a_form(s3, gateway, bucket, post):
    more = [
        ["starts-with", "$tagging", ""],
        {"x-amz-storage-class": "STANDARD_IA"},
        ["starts-with", "$x-amz-checksum-sha256", ""],
    ]
    digest = base64.b64encode(hashlib.sha256(b"bar").digest()).decode()
    tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    fields = signed(
        gateway,
        document(bucket, *more),
        key="foo.txt",
        acl="private",
        tagging=tags,
        x_amz_storage_class="STANDARD_IA",
        x_amz_checksum_sha256=digest,
    )
    status, _, headers = post(bucket, fields)
    assert (status, headers["x-amz-checksum-sha256"]) == (204, digest)
    told = s3.get_object_tagging(Bucket=bucket, Key="foo.txt")["TagSet"]
    assert told == [{"Key": "a", "Value": "1"}]
    head = s3.head_object(Bucket=bucket, Key="foo.txt", ChecksumMode="ENABLED")
    assert (head["StorageClass"], head["ChecksumSHA256"]) == ("STANDARD_IA", digest)
    assert code(post(bucket, fields, b"other")) == (400, "BadDigest")
    assert read(s3, bucket) == b"bar"


@pytest.mark.promise("FORM-10")
def test_forms_of_strangers_and_what_is_no_form(s3, gateway, bucket, post):
    assert code(post(bucket, {"key": "foo.txt"})) == (403, "AccessDenied")
    assert code(post("no-such-bucket-here", {"key": "foo.txt"})) == (404, "NoSuchBucket")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    url = f"{gateway.endpoint}/{bucket}"
    for body, expected in [
        (b"", "MalformedPOSTRequest"),
        (b"--x--\r\n", "IncorrectNumberOfFilesInPostRequest"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 30_000, "MaxPostPreDataLengthExceeded"),
        (b"--x\r\nnonsense\r\n\r\na\r\n--x--\r\n", "MalformedPOSTRequest"),
    ]:
        answer = POOL.request("POST", url, body=body, headers=headers)
        assert code((answer.status, answer.data.decode(), None)) == (400, expected)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@pytest.mark.promise("FORM-11")
def test_the_host_may_name_the_bucket(s3, gateway, bucket, post):
    made = s3.generate_presigned_post(bucket, "foo.txt")
    host = f"{bucket}.s3.penstock.test:{gateway.port}"
    assert post(bucket, made["fields"], host=host)[0] == 204
    assert read(s3, bucket) == b"bar"
