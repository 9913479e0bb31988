"""Event notifications: configurations, records, delivery to files and webhooks."""

import http.server
import json
import threading
import time
import urllib.parse

import pytest

import gateway as gateway_module
from conftest import make_client

WITHIN_SECONDS = 30
ARN = "arn:penstock:events:::"


class Hook:
    """A webhook that keeps what it is sent; it answers with `status`."""

    def __init__(self):
        hook = self
        self.status = 200
        self.received = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if hook.status == 200:
                    hook.received.append((self.path, json.loads(body)))
                self.send_response(hook.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/hook?token=1"


@pytest.fixture(scope="module")
def hook():
    hook = Hook()
    yield hook
    hook.server.shutdown()


@pytest.fixture(scope="module")
def told(hook, tmp_path_factory):
    """A server whose events go to a file and a webhook: its client, and the file."""
    path = tmp_path_factory.mktemp("events") / "events.jsonl"
    server = gateway_module.Gateway(
        {
            "PENSTOCK_EVENTS_TARGETS": f"file=file:{path},hook={hook.url}",
            "PENSTOCK_LIFECYCLE_DAY": "1s",
        }
    )
    try:
        yield make_client(server), path
    finally:
        log = server.log()
        assert server.stop() == 0, log
        assert "panicked" not in log, log


@pytest.fixture
def named(told, request):
    """A bucket without notifications."""
    name = "events-" + str(abs(hash(request.node.name)))[:12]
    told[0].create_bucket(Bucket=name)
    return name


def configuration(events, target="file", filters=None, kind="Queue"):
    one = {f"{kind}Arn": ARN + target, "Events": events, "Id": "the id"}
    if kind == "LambdaFunction":
        one = {"LambdaFunctionArn": ARN + target, "Events": events, "Id": "the id"}
    if filters:
        rules = [{"Name": name, "Value": value} for name, value in filters.items()]
        one["Filter"] = {"Key": {"FilterRules": rules}}
    return {f"{kind}Configurations": [one]}


def put(s3, bucket, configuration, **more):
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=configuration, **more
    )


def records(told, bucket, count):
    """The records of a bucket in the file, when there are so many."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        lines = [json.loads(line) for line in told[1].read_text().splitlines()]
        found = [record for line in lines for record in line.get("Records", [])]
        found = [one for one in found if one["s3"]["bucket"]["name"] == bucket]
        if len(found) >= count:
            assert len(found) == count
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.promise("EVENT-1")
def test_a_configuration_is_kept_replaced_and_ended(told, named):
    s3 = told[0]
    keys = ("QueueConfigurations", "TopicConfigurations", "LambdaFunctionConfigurations")

    def kept():
        answer = s3.get_bucket_notification_configuration(Bucket=named)
        return {key: answer[key] for key in keys if key in answer}

    assert kept() == {}
    filters = {"Prefix": "a/", "Suffix": ".jpg"}
    for kind in ("Queue", "Topic", "LambdaFunction"):
        wanted = configuration(["s3:ObjectCreated:*"], "file", filters, kind)
        put(s3, named, wanted)
        assert kept() == wanted
    put(s3, named, {})
    assert kept() == {}


@pytest.mark.promise("EVENT-2")
@pytest.mark.parametrize(
    "wrong",
    [
        configuration(["s3:ObjectCreated:Other"]),
        configuration(["s3:ObjectCreated:*"], "absent"),
        configuration(["s3:ObjectCreated:*"], filters={"Infix": "a"}),
        {
            "QueueConfigurations": [
                {"QueueArn": ARN + "file", "Events": ["s3:ObjectCreated:*"]},
                {"QueueArn": ARN + "hook", "Events": ["s3:ObjectCreated:Put"]},
            ]
        },
        {"QueueConfigurations": [{"QueueArn": "arn:aws:sqs:us-east-1:1:q", "Events": ["s3:ObjectCreated:*"]}]},
    ],
)
def test_mistakes_are_refused(told, named, refused, wrong):
    with refused(400, "InvalidArgument"):
        put(told[0], named, wrong)


@pytest.mark.promise("EVENT-3")
def test_a_named_destination_is_told_so(told, named):
    put(told[0], named, configuration(["s3:ObjectCreated:*"]))
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        lines = [json.loads(line) for line in told[1].read_text().splitlines()]
        tests = [one for one in lines if one.get("Bucket") == named]
        if tests:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (test,) = tests
    assert (test["Service"], test["Event"]) == ("Amazon S3", "s3:TestEvent")
    assert set(test) == {"Service", "Event", "Time", "Bucket", "RequestId", "HostId"}


@pytest.mark.promise("EVENT-4")
def test_a_record_is_amazons(told, named):
    s3 = told[0]
    put(s3, named, configuration(["s3:ObjectCreated:Put"]))
    key = "red flower/ü+.jpg"
    answer = s3.put_object(Bucket=named, Key=key, Body=b"12345")
    (record,) = records(told, named, 1)
    assert record["eventVersion"] == "2.1" and record["eventSource"] == "aws:s3"
    assert record["awsRegion"] == gateway_module.REGION
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["userIdentity"]["principalId"]
    assert record["requestParameters"] == {"sourceIPAddress": "127.0.0.1"}
    metadata = answer["ResponseMetadata"]
    assert record["responseElements"] == {
        "x-amz-request-id": metadata["RequestId"], "x-amz-id-2": metadata["HostId"],
    }
    assert record["s3"]["s3SchemaVersion"] == "1.0"
    assert record["s3"]["configurationId"] == "the id"
    assert record["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{named}"
    entity = record["s3"]["object"]
    assert urllib.parse.unquote_plus(entity["key"]) == key and " " not in entity["key"]
    assert (entity["size"], entity["eTag"]) == (5, answer["ETag"].strip('"'))
    assert entity["sequencer"] and "versionId" not in entity


@pytest.mark.promise("EVENT-5")
def test_what_happens_has_its_name_and_its_order(told, named):
    s3 = told[0]
    put(s3, named, configuration(["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]))
    s3.put_object(Bucket=named, Key="k", Body=b"x")
    s3.copy_object(Bucket=named, Key="k2", CopySource=f"{named}/k")
    upload = s3.create_multipart_upload(Bucket=named, Key="k3")["UploadId"]
    part = s3.upload_part(Bucket=named, Key="k3", UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=named, Key="k3", UploadId=upload, MultipartUpload=parts)
    s3.put_object_tagging(Bucket=named, Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.delete_object_tagging(Bucket=named, Key="k")
    s3.delete_object(Bucket=named, Key="k")
    s3.delete_object(Bucket=named, Key="absent")
    s3.delete_objects(Bucket=named, Delete={"Objects": [{"Key": "k2"}, {"Key": "k3"}]})
    found = records(told, named, 8)
    assert [(one["eventName"], one["s3"]["object"]["key"]) for one in found] == [
        ("ObjectCreated:Put", "k"),
        ("ObjectCreated:Copy", "k2"),
        ("ObjectCreated:CompleteMultipartUpload", "k3"),
        ("ObjectTagging:Put", "k"),
        ("ObjectTagging:Delete", "k"),
        ("ObjectRemoved:Delete", "k"),
        ("ObjectRemoved:Delete", "k2"),
        ("ObjectRemoved:Delete", "k3"),
    ]
    for key in ("k", "k2", "k3"):
        order = [
            one["s3"]["object"]["sequencer"]
            for one in found
            if one["s3"]["object"]["key"] == key and "Tagging" not in one["eventName"]
        ]
        assert len(order) == 2 and order[0] < order[1]


@pytest.mark.promise("EVENT-6")
def test_only_what_is_wanted_is_told(told, named):
    s3 = told[0]
    filters = {"Prefix": "a/", "Suffix": ".jpg"}
    put(s3, named, configuration(["s3:ObjectCreated:Put"], "file", filters))
    for key in ("a/1.png", "b/1.jpg", "a/1.jpg"):
        s3.put_object(Bucket=named, Key=key, Body=b"x")
    s3.delete_object(Bucket=named, Key="a/1.jpg")
    s3.put_object(Bucket=named, Key="a/2.jpg", Body=b"x")
    found = records(told, named, 2)
    assert [one["s3"]["object"]["key"] for one in found] == ["a/1.jpg", "a/2.jpg"]


@pytest.mark.promise("EVENT-5")
def test_what_the_lifecycle_deletes_is_told(told, named):
    s3 = told[0]
    put(s3, named, configuration(["s3:LifecycleExpiration:*"]))
    s3.put_object(Bucket=named, Key="k", Body=b"x")
    rule = {"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(
        Bucket=named, LifecycleConfiguration={"Rules": [rule]}
    )
    (record,) = records(told, named, 1)
    assert record["eventName"] == "LifecycleExpiration:Delete"
    assert record["eventVersion"] == "2.3" and record["s3"]["object"]["key"] == "k"


@pytest.mark.promise("EVENT-5")
def test_versions_are_named(told, named):
    s3 = told[0]
    s3.put_bucket_versioning(Bucket=named, VersioningConfiguration={"Status": "Enabled"})
    put(s3, named, configuration(["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]))
    version = s3.put_object(Bucket=named, Key="k", Body=b"x")["VersionId"]
    marker = s3.delete_object(Bucket=named, Key="k")["VersionId"]
    s3.delete_object(Bucket=named, Key="k", VersionId=version)
    found = records(told, named, 3)
    assert [(one["eventName"], one["s3"]["object"]["versionId"]) for one in found] == [
        ("ObjectCreated:Put", version),
        ("ObjectRemoved:DeleteMarkerCreated", marker),
        ("ObjectRemoved:Delete", version),
    ]


@pytest.mark.promise("EVENT-7")
def test_a_webhook_that_fails_is_told_later(told, hook, named):
    s3 = told[0]
    hook.status = 503
    try:
        put(s3, named, configuration(["s3:ObjectCreated:*"], "hook"))
        begun = time.monotonic()
        for number in range(5):
            s3.put_object(Bucket=named, Key=f"k{number}", Body=b"x")
        assert time.monotonic() - begun < 5, "no request waits for the target"
        time.sleep(0.5)
    finally:
        hook.status = 200
    deadline = time.monotonic() + WITHIN_SECONDS

    def keys():
        found = [body["Records"][0] for _, body in hook.received if "Records" in body]
        found = [one for one in found if one["s3"]["bucket"]["name"] == named]
        return [one["s3"]["object"]["key"] for one in found]

    while len(keys()) < 5:
        assert time.monotonic() < deadline, keys()
        time.sleep(0.05)
    assert keys() == [f"k{number}" for number in range(5)], "in order, once each"
    assert {path for path, _ in hook.received} == {"/hook?token=1"}
