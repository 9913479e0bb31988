"""CORS: configurations, preflights and the headers of answers."""

import http.client

import pytest

from test_access import fetch

WILDCARDS = [
    ("*suffix", ["GET"]),
    ("start*end", ["GET"]),
    ("prefix*", ["GET"]),
    ("*.put", ["PUT"]),
]


def rule(origins, methods, **more):
    return {"AllowedOrigins": origins, "AllowedMethods": methods, **more}


def put(s3, bucket, *rules):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": list(rules)})


def asked(gateway, method, path, origin=None, announced=None, headers=None):
    """(status, headers in lower case) of a request that nobody signs."""
    sent = {"Origin": origin, "Access-Control-Request-Method": announced}
    sent["Access-Control-Request-Headers"] = headers
    connection = http.client.HTTPConnection(gateway.host, timeout=30)
    connection.request(
        method, path, headers={name: value for name, value in sent.items() if value}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    found = {name.lower(): value for name, value in response.getheaders()}
    return response.status, found, body


@pytest.fixture
def rules(s3, bucket):
    put(s3, bucket, *(rule([origin], methods) for origin, methods in WILDCARDS))
    return bucket


@pytest.mark.promise("CORS-1")
def test_a_configuration_is_kept_replaced_and_deleted(s3, bucket, refused):
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    full = rule(
        ["http://*.example"], ["GET", "PUT"], AllowedHeaders=["x-*"], ExposeHeaders=["ETag"],
        MaxAgeSeconds=30, ID="first",
    )
    put(s3, bucket, full)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [full]
    put(s3, bucket, rule(["*"], ["HEAD"]))
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule(["*"], ["HEAD"])]
    answer = s3.delete_bucket_cors(Bucket=bucket)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(404, "NoSuchCORSConfiguration"):
        s3.get_bucket_cors(Bucket=bucket)
    s3.delete_bucket_cors(Bucket=bucket)
    with refused(404, "NoSuchBucket"):
        put(s3, bucket + "-not", rule(["*"], ["GET"]))


@pytest.mark.promise("CORS-2")
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (rule(["*"], ["OPTIONS"]), "InvalidRequest"),
        (rule(["*"], ["get"]), "InvalidRequest"),
        (rule(["*a*"], ["GET"]), "InvalidRequest"),
        (rule(["*"], ["GET"], AllowedHeaders=["*-*"]), "InvalidRequest"),
        (rule(["*"], ["GET"], ExposeHeaders=["x-*"]), "InvalidRequest"),
        (rule(["*"], ["GET"], ID="i" * 256), "InvalidRequest"),
        (rule([], ["GET"]), "MalformedXML"),
    ],
)
def test_mistakes_are_refused(s3, bucket, refused, wrong, code):
    with refused(400, code):
        put(s3, bucket, wrong)


@pytest.mark.promise("CORS-2")
def test_a_hundred_rules_are_the_most(s3, bucket, refused):
    put(s3, bucket, *[rule(["*"], ["GET"])] * 100)
    with refused(400, "MalformedXML"):
        put(s3, bucket, *[rule(["*"], ["GET"])] * 101)


@pytest.mark.promise("CORS-3")
@pytest.mark.parametrize(
    ("method", "origin", "announced", "status", "allowed"),
    [
        ("GET", None, None, 200, None),
        ("GET", "foo.suffix", None, 200, "GET"),
        ("GET", "foo.bar", None, 200, None),
        ("GET", "foo.suffix.get", None, 200, None),
        ("GET", "startend", None, 200, "GET"),
        ("GET", "start1end", None, 200, "GET"),
        ("GET", "start12end", None, 200, "GET"),
        ("GET", "0start12end", None, 200, None),
        ("GET", "prefix", None, 200, "GET"),
        ("GET", "prefix.suffix", None, 200, "GET"),
        ("GET", "bla.prefix", None, 200, None),
        ("PUT", "foo.suffix", "GET", 403, "GET"),
        ("PUT", "foo.suffix", "PUT", 403, None),
        ("PUT", "foo.suffix", None, 403, None),
        ("PUT", "foo.put", None, 403, "PUT"),
        ("OPTIONS", None, None, 400, None),
        ("OPTIONS", "foo.suffix", None, 400, None),
        ("OPTIONS", "bla", None, 400, None),
        ("OPTIONS", "foo.suffix", "GET", 200, "GET"),
        ("OPTIONS", "foo.bar", "GET", 403, None),
        ("OPTIONS", "foo.suffix.get", "GET", 403, None),
        ("OPTIONS", "startend", "GET", 200, "GET"),
        ("OPTIONS", "foo.put", "PUT", 200, "PUT"),
        ("OPTIONS", "foo.put", "GET", 403, None),
    ],
)
def test_origins_and_methods(s3, gateway, rules, method, origin, announced, status, allowed):
    s3.put_object(Bucket=rules, Key="bar", Body=b"x", ACL="public-read")
    got, headers, _ = asked(gateway, method, f"/{rules}/bar", origin, announced)
    assert got == status
    expected = (origin, allowed) if allowed else (None, None)
    names = ("access-control-allow-origin", "access-control-allow-methods")
    assert tuple(headers.get(name) for name in names) == expected
    assert ("vary" in headers) == (origin is not None and status != 400)


@pytest.mark.promise("CORS-3")
def test_any_origin_is_a_star_without_credentials(s3, gateway, bucket):
    put(s3, bucket, rule(["*"], ["GET"], ExposeHeaders=["x-amz-meta-a", "ETag"]))
    status, headers, _ = asked(gateway, "GET", f"/{bucket}", "http://example.origin")
    assert status == 403, "errors have the headers too"
    assert headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in headers
    assert headers["access-control-expose-headers"] == "x-amz-meta-a, ETag"


@pytest.mark.promise("CORS-4")
def test_a_preflight_names_what_is_allowed(s3, gateway, bucket):
    put(
        s3, bucket,
        rule(["http://a"], ["PUT", "GET"], AllowedHeaders=["x-amz-*"], MaxAgeSeconds=3000),
    )
    status, headers, body = asked(
        gateway, "OPTIONS", f"/{bucket}/k", "http://a", "PUT", "X-Amz-Date, x-amz-meta-b"
    )
    assert (status, body) == (200, b"")
    assert headers["access-control-allow-origin"] == "http://a"
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["access-control-allow-methods"] == "PUT, GET"
    assert headers["access-control-allow-headers"] == "x-amz-date, x-amz-meta-b"
    assert headers["access-control-max-age"] == "3000"
    varies = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"
    assert headers["vary"] == varies
    assert headers["x-amz-request-id"] and headers["x-amz-id-2"]
    status, headers, _ = asked(gateway, "OPTIONS", f"/{bucket}/k", "http://a", "PUT", "range")
    assert status == 403 and "access-control-allow-origin" not in headers


@pytest.mark.promise("CORS-4")
def test_the_first_rule_that_allows_all_counts(s3, gateway, bucket):
    put(
        s3, bucket,
        rule(["http://a"], ["GET"], MaxAgeSeconds=1),
        rule(["*"], ["GET"], AllowedHeaders=["*"], MaxAgeSeconds=2),
        rule(["http://a"], ["GET"], AllowedHeaders=["*"], MaxAgeSeconds=3),
    )
    for headers, age in ((None, "1"), ("x-any", "2")):
        _, found, _ = asked(gateway, "OPTIONS", f"/{bucket}", "http://a", "GET", headers)
        assert found["access-control-max-age"] == age


@pytest.mark.promise("CORS-5")
def test_refused_preflights_say_why(s3, gateway, bucket):
    path = f"/{bucket}/k"
    status, _, body = asked(gateway, "OPTIONS", path, "http://a", "GET")
    assert status == 403 and b"<Code>AccessForbidden</Code>" in body
    assert b"CORSResponse: CORS is not enabled for this bucket." in body
    status, _, body = asked(gateway, "OPTIONS", f"/{bucket}-not/k", "http://a", "GET")
    assert status == 403 and b"CORSResponse: Bucket not found" in body
    put(s3, bucket, rule(["http://b"], ["GET"]))
    status, _, body = asked(gateway, "OPTIONS", path, "http://a", "GET")
    assert status == 403 and b"<Method>GET</Method><ResourceType>OBJECT</ResourceType>" in body
    status, _, body = asked(gateway, "OPTIONS", path, "http://a", "PATCH")
    assert status == 400 and b"<Code>BadRequest</Code>" in body
    assert b"Invalid Access-Control-Request-Method: PATCH" in body
    status, _, body = asked(gateway, "OPTIONS", path)
    assert status == 400 and b"Insufficient information. Origin request header needed." in body


@pytest.mark.promise("CORS-3")
def test_presigned_requests_have_the_headers(s3, bucket):
    put(s3, bucket, rule(["example"], ["PUT", "GET"]))
    parameters = {"Bucket": bucket, "Key": "k"}
    url = s3.generate_presigned_url("put_object", Params=parameters)
    status, headers, _ = fetch(url, "PUT", b"x", {"Origin": "example"})
    assert (status, headers["access-control-allow-origin"]) == (200, "example")
    url = s3.generate_presigned_url("get_object", Params=parameters)
    status, headers, _ = fetch(url, headers={"Origin": "example"})
    assert (status, headers["access-control-allow-origin"]) == (200, "example")
    broken = url.replace("Signature=", "Signature=0")
    status, headers, _ = fetch(broken, headers={"Origin": "example"})
    assert (status, headers["access-control-allow-origin"]) == (403, "example")
