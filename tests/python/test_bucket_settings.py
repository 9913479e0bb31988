"""Tags and default encryption of buckets; configurations that no bucket has."""

from xml.etree import ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import gateway as gateway_module
from test_access import fetch

@pytest.mark.promise("BTAG-1")
def test_tags_are_kept_replaced_and_deleted(s3, bucket, refused):
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)
    for tags in ([{"Key": "Hello", "Value": "World"}], [{"Key": "a", "Value": ""}, {"Key": "ü b", "Value": "1=+-@"}]):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
        assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    answer = s3.delete_bucket_tagging(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchTagSet"):
        s3.get_bucket_tagging(Bucket=bucket)


@pytest.mark.promise("BTAG-2")
@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([{"Key": "k" * 129, "Value": "v"}], "InvalidTag"),
        ([{"Key": "k", "Value": "v" * 257}], "InvalidTag"),
        ([{"Key": "aws:k", "Value": "v"}], "InvalidTag"),
        ([{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}], "InvalidTag"),
        ([{"Key": str(number), "Value": ""} for number in range(51)], "BadRequest"),
    ],
)
def test_mistakes_in_tags_are_refused(s3, bucket, refused, tags, code):
    with refused(400, code):
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})


@pytest.mark.promise("OPS-1")
def test_the_default_encryption_is_kept_and_deleted(s3, bucket, refused):
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    default = {"SSEAlgorithm": "AES256"}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": False}]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)
    kept = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    assert kept == rules
    s3.delete_bucket_encryption(Bucket=bucket)
    with refused(404, "ServerSideEncryptionConfigurationNotFoundError"):
        s3.get_bucket_encryption(Bucket=bucket)
    default["KMSMasterKeyID"] = "k"
    with refused(400, "InvalidArgument"):
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=rules)


@pytest.mark.promise("OPS-2")
@pytest.mark.parametrize(
    ("operation", "more", "code"),
    [
        ("get_bucket_website", {}, "NoSuchWebsiteConfiguration"),
        ("get_bucket_replication", {}, "ReplicationConfigurationNotFoundError"),
        ("get_bucket_analytics_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("get_bucket_inventory_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("get_bucket_metrics_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("get_bucket_intelligent_tiering_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("delete_bucket_analytics_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("delete_bucket_inventory_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("delete_bucket_metrics_configuration", {"Id": "i"}, "NoSuchConfiguration"),
        ("delete_bucket_intelligent_tiering_configuration", {"Id": "i"}, "NoSuchConfiguration"),
    ],
)
def test_what_no_bucket_has_is_not_there(s3, bucket, refused, operation, more, code):
    with refused(404, code):
        getattr(s3, operation)(Bucket=bucket, **more)
    with refused(404, "NoSuchBucket"):
        getattr(s3, operation)(Bucket=bucket + "-not", **more)


@pytest.mark.promise("OPS-3")
def test_what_is_the_same_for_all_buckets(s3, bucket):
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    for kind in ("analytics", "inventory", "metrics", "intelligent_tiering"):
        page = getattr(s3, f"list_bucket_{kind}_configurations")(Bucket=bucket)
        assert page["IsTruncated"] is False
    for kind in ("website", "replication"):
        answer = getattr(s3, f"delete_bucket_{kind}")(Bucket=bucket)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.promise("OPS-4")
def test_what_would_not_be_kept_is_not_taken(s3, bucket, refused):
    pay = {"Payer": "BucketOwner"}
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration=pay)
    s3.put_bucket_accelerate_configuration(
        Bucket=bucket, AccelerateConfiguration={"Status": "Suspended"}
    )
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    with refused(501, "NotImplemented"):
        pay = {"Payer": "Requester"}
        s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration=pay)
    with refused(501, "NotImplemented"):
        s3.put_bucket_accelerate_configuration(
            Bucket=bucket, AccelerateConfiguration={"Status": "Enabled"}
        )
    with refused(501, "NotImplemented"):
        status = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "l/"}}
        s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=status)
    with refused(501, "NotImplemented"):
        s3.put_bucket_website(
            Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}}
        )
    with refused(501, "NotImplemented"):
        s3.select_object_content(
            Bucket=bucket, Key="k", Expression="select 1", ExpressionType="SQL",
            InputSerialization={"CSV": {}}, OutputSerialization={"CSV": {}},
        )


@pytest.mark.promise("OPS-5")
@pytest.mark.parametrize(
    ("query", "element", "code"),
    [
        ("requestPayment", "RequestPaymentConfiguration", None),
        ("logging", "BucketLoggingStatus", None),
        ("accelerate", "AccelerateConfiguration", None),
        ("notification", "NotificationConfiguration", None),
        ("tagging", "Error", "NoSuchTagSet"),
        ("cors", "Error", "NoSuchCORSConfiguration"),
        ("lifecycle", "Error", "NoSuchLifecycleConfiguration"),
        ("website", "Error", "NoSuchWebsiteConfiguration"),
    ],
)
def test_documents_are_amazons(s3, gateway, bucket, query, element, code):
    request = AWSRequest("GET", f"{gateway.endpoint}/{bucket}?{query}")
    credentials = Credentials(gateway.access_key, gateway.secret_key)
    S3SigV4Auth(credentials, "s3", gateway_module.REGION).add_auth(request)
    status, headers, body = fetch(request.url, headers=dict(request.headers.items()))
    root = ElementTree.fromstring(body)
    assert headers["content-type"] == "application/xml"
    assert headers["x-amz-request-id"] and headers["x-amz-id-2"]
    if code is None:
        assert status == 200
        assert root.tag == f"{{http://s3.amazonaws.com/doc/2006-03-01/}}{element}"
    else:
        assert status == 404 and root.tag == "Error"
        assert root.findtext("Code") == code and root.findtext("Message")
        assert root.findtext("RequestId") == headers["x-amz-request-id"]
        assert root.findtext("HostId") == headers["x-amz-id-2"]
        assert root.findtext("Resource") == f"/{bucket}"
