#!/usr/bin/env python3
"""Generates SigV4 vectors with botocore, the reference that most S3 clients share.

Usage: sigv4_vectors.py > gateway/src/auth/fixtures/botocore.json    (needs: pip install botocore)

Requests are captured as they would go on the wire (nothing is sent), with the clock and the random
ids fixed, so that the output changes only when botocore does. Two kinds:
client  - what botocore's S3 client makes of operations on awkward keys and parameters
signer  - what botocore's signer makes of requests that no client makes: repeated headers, odd queries
"""

import datetime
import io
import json
import sys
from urllib.parse import urlsplit

import botocore
import botocore.auth
import botocore.exceptions
import botocore.parsers
import botocore.session
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime.datetime(2026, 3, 1, 12, 30, 45)

KEYS = [
    "plain", "a/b/c.txt", "//double//slash//", "/leading", "trailing/", ".", "..", "a/./b/../c", "../../etc",
    "%2F", "a%2fb", "%", "100% of it", "with space", "two  spaces", "plus+plus", "eq=eq", "am&p", "q?m", "ha#sh",
    "semi;colon", "co:lon", "at@", "com,ma", "do$llar", "(paren)[brack]{brace}", "ex!cl*st'qu\"dq", "til~de", "ba\\ck",
    "^caret|pipe`tick", "<lt>gt", "umläut/ß", "日本語/キー", "🚀", "e\u0301 combining", "tab\there", "new\nline",
    "x" * 1000, "-._~", "a=b&c=d", "?list-type=2", "X-Amz-Signature=0",
]

captured = []


class Raw(io.BytesIO):
    def stream(self, **_):
        yield self.read()


def text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def client(scheme, style="path"):
    session = botocore.session.Session()
    session.set_credentials(ACCESS_KEY, SECRET_KEY)
    config = Config(signature_version="s3v4", retries={"max_attempts": 0}, s3={"addressing_style": style})
    made = session.create_client(
        "s3", region_name="eu-central-1", endpoint_url=f"{scheme}://127.0.0.1:9000", config=config,
    )

    def answer(request, **_):
        captured.append(request)
        return AWSResponse(request.url, 200, {}, Raw(b""))

    made.meta.events.register("before-send.s3.*", answer)
    return made


def vector(name, method, url, headers, body=b""):
    split = urlsplit(url)
    target = split.path + ("?" + split.query if split.query else "")
    headers = [[key.lower(), text(value)] for key, value in headers]
    if not any(key == "host" for key, _ in headers):
        headers.append(["host", split.netloc])
    return {"name": name, "method": method, "target": target, "headers": headers, "body": body.hex()}


def from_client(name, call, *arguments, **parameters):
    captured.clear()
    try:
        call(*arguments, **parameters)
    except (botocore.exceptions.ClientError, botocore.parsers.ResponseParserError):
        pass  # The answer is empty; the request is what is wanted.
    request = captured[0]
    body = request.body
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    return vector(name, request.method, request.url, request.headers.items(), body or b"")


def client_vectors():
    http, https = client("http"), client("https")
    out = []
    for key in KEYS:
        out.append(from_client(f"get {key!r}", http.get_object, Bucket="bucket", Key=key))
        out.append(from_client(
            f"list {key!r}", http.list_objects_v2, Bucket="bucket", Prefix=key, Delimiter="/", StartAfter=key,
            ContinuationToken=key,
        ))
        if "\n" not in key and "\t" not in key:
            url = http.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key}, ExpiresIn=600)
            out.append(vector(f"presigned get {key!r}", "GET", url, []))
        url = http.generate_presigned_url(
            "get_object", ExpiresIn=600,
            Params={"Bucket": "bucket", "Key": "k", "ResponseContentType": key, "ResponseCacheControl": "a, b"},
        )
        out.append(vector(f"presigned override {key!r}", "GET", url, []))
    for algorithm in ["CRC32", "SHA1", "SHA256"]:
        for scheme, made in [("http", http), ("https", https)]:
            for size in [0, 5, 3_000]:
                out.append(from_client(
                    f"put {algorithm} {scheme} {size}", made.put_object, Bucket="bucket", Key="k", Body=io.BytesIO(b"x" * size),
                    ChecksumAlgorithm=algorithm,
                ))
    out.append(from_client(
        "put metadata", http.put_object, Bucket="bucket", Key="k", Body=b"hello",
        Metadata={"a": "  outer  inner  ", "b": "tab\tin", "empty": "", "z-z": "x;y=z,w"}, ContentType="text/plain; charset=utf-8",
        CacheControl="no-cache", ContentEncoding="gzip", ContentMD5="XUFAKrxLKna5cZ2REBfFkg==",
    ))
    out.append(from_client(
        "put gzip chunked", https.put_object, Bucket="bucket", Key="k", Body=io.BytesIO(b"zipped"), ContentEncoding="gzip",
    ))
    out.append(from_client(
        "delete many", http.delete_objects, Bucket="bucket", Delete={"Objects": [{"Key": key} for key in KEYS if key.isprintable()]},
    ))
    out.append(from_client("copy", http.copy_object, Bucket="bucket", Key="b", CopySource={"Bucket": "bucket", "Key": "ä b+c"}))
    out.append(from_client("upload part", http.upload_part, Bucket="bucket", Key="k", UploadId="u+/=", PartNumber=7, Body=b"part"))
    out.append(from_client("create upload", http.create_multipart_upload, Bucket="bucket", Key="k", ChecksumAlgorithm="CRC64NVME"))
    out.append(from_client(
        "complete", http.complete_multipart_upload, Bucket="bucket", Key="k", UploadId="u", ChecksumCRC32="AAAAAA==-2",
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "\"e\""}, {"PartNumber": 2, "ETag": "\"f\""}]},
    ))
    out.append(from_client("lifecycle", http.get_bucket_lifecycle_configuration, Bucket="bucket"))
    out.append(from_client("buckets", http.list_buckets))
    out.append(from_client("head range", http.head_object, Bucket="bucket", Key="k", Range="bytes=0-9", IfMatch="\"e\""))
    for operation, parameters in [
        ("put_object", {"ContentType": "text/plain"}),
        ("put_object", {"Metadata": {"one": "two  three"}}),
        ("put_object", {"ContentMD5": "XUFAKrxLKna5cZ2REBfFkg=="}),
        ("put_object", {"ChecksumAlgorithm": "SHA256"}),
        ("upload_part", {"UploadId": "u/=", "PartNumber": 3}),
        ("delete_object", {}),
    ]:
        url = http.generate_presigned_url(operation, Params={"Bucket": "bucket", "Key": "k y", **parameters}, ExpiresIn=604800)
        signed = {"ContentType": ["content-type", "text/plain"], "ContentMD5": ["content-md5", "XUFAKrxLKna5cZ2REBfFkg=="]}
        headers = [signed[name] for name in parameters if name in signed]
        if "Metadata" in parameters and "x-amz-meta-one=" not in url:
            headers.append(["x-amz-meta-one", "two  three"])
        if "ChecksumAlgorithm" in parameters:
            headers.append(["x-amz-sdk-checksum-algorithm", "SHA256"])
        method = "DELETE" if operation.startswith("delete") else "PUT"
        out.append(vector(f"presigned {operation} {sorted(parameters)}", method, url, headers))
    virtual = client("http", style="virtual")
    virtual_url = virtual.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a b"})
    out.append(vector("presigned virtual host", "GET", virtual_url, []))
    return out


def signer_vectors():
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    out = []
    headers = [
        [["x-amz-meta-a", "1"], ["x-amz-meta-a", "2"], ["X-Amz-Meta-A", "0"]],
        [["x-amz-meta-a", " lead"], ["x-amz-meta-b", "trail "], ["x-amz-meta-c", "a   b"], ["x-amz-meta-d", "a\tb"]],
        [["x-amz-meta-empty", ""], ["x-amz-meta-zz", ","], ["range", "bytes=1-2"]],
        [["x-amz-meta-quote", "\"a  b\""], ["accept", "a"], ["accept", "b"]],
    ]
    queries = [
        "a", "a=", "a=1&a=2", "a=2&a=1", "a-=1&a=1", "b=1&A=2&a=3", "lifecycle", "uploads&prefix=%2Fa%20b", "z=%3D%26&y=%2B",
        "a=~~", "marker=%E6%97%A5", "acl&a.b=1&a_b=2&a-b=3", "%C3%BC=1&u=2",
    ]
    for at, extra in enumerate(headers):
        request = AWSRequest("GET", "http://127.0.0.1:9000/bucket/key")
        for name, value in extra:
            request.headers.add_header(name, value)
        S3SigV4Auth(credentials, "s3", "r").add_auth(request)
        out.append(vector(f"headers {at}", "GET", request.url, request.headers.items()))
        request = AWSRequest("PUT", "http://127.0.0.1:9000/bucket/key")
        for name, value in extra:
            request.headers.add_header(name, value)
        S3SigV4QueryAuth(credentials, "s3", "r", expires=60).add_auth(request)
        out.append(vector(f"presigned headers {at}", "PUT", request.url, request.headers.items()))
    for query in queries:
        request = AWSRequest("GET", f"http://127.0.0.1:9000/bucket?{query}")
        S3SigV4Auth(credentials, "s3", "r").add_auth(request)
        out.append(vector(f"query {query!r}", "GET", request.url, request.headers.items()))
    for path in ["/", "//", "//b//k", "/b/.", "/b/..", "/b/../c", "/b/./c", "/b/%2F", "/b/a%2Fb", "/b/%25", "/b/%E6%97%A5", "/b/~-._"]:
        request = AWSRequest("GET", f"http://127.0.0.1:9000{path}")
        S3SigV4Auth(credentials, "s3", "r").add_auth(request)
        out.append(vector(f"path {path!r}", "GET", request.url, request.headers.items()))
    # A Date header in place of x-amz-date: botocore signs what it then writes there.
    request = AWSRequest("GET", "http://127.0.0.1:9000/bucket/key")
    request.headers["Date"] = "Sun, 01 Mar 2026 12:30:45 GMT"
    S3SigV4Auth(credentials, "s3", "r").add_auth(request)
    out.append(vector("date header", "GET", request.url, request.headers.items()))
    return out


def main():
    botocore.auth.get_current_datetime = lambda: NOW
    vectors = client_vectors() + signer_vectors()
    # What differs from run to run or machine to machine; botocore signs none of it.
    vary = {"amz-sdk-invocation-id", "amz-sdk-request", "user-agent"}
    for entry in vectors:
        entry["headers"] = [pair for pair in entry["headers"] if pair[0] not in vary]
    document = {
        "botocore": botocore.__version__,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "now": int(NOW.replace(tzinfo=datetime.timezone.utc).timestamp()),
    }
    # One vector a line, so that differences can be read.
    head = json.dumps(document)[:-1]
    lines = ",\n".join(json.dumps(entry) for entry in vectors)
    sys.stdout.write(f'{head}, "vectors": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
