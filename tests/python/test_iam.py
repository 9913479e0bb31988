"""Users, keys, policies and temporary credentials, through boto3's iam and sts clients and the commands."""

import contextlib
import datetime
import itertools
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

import boto3
import botocore
import botocore.config
import botocore.exceptions
import pytest

import gateway as gateway_module

TAKEN_UP_WITHIN_SECONDS = 10
_numbers = itertools.count()


def client(gateway, service, key=None, secret=None, token=None):
    """A client of a service with those credentials, or with the operator's."""
    return boto3.client(
        service,
        endpoint_url=gateway.endpoint,
        aws_access_key_id=key or gateway.access_key,
        aws_secret_access_key=secret or gateway.secret_key,
        aws_session_token=token,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(
            retries={"total_max_attempts": 1},
            signature_version="v4" if service != "s3" else "s3v4",
            s3={"addressing_style": "path"},
        ),
    )


def with_credentials(gateway, service, credentials):
    """A client with what STS has answered."""
    return client(
        gateway,
        service,
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
    )


def policy(actions, resources, effect="Allow", **more):
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": actions, "Resource": resources, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@contextlib.contextmanager
def refusal(status, code):
    """Exactly this error."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield caught
    response = caught.value.response
    got = (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"])
    assert got == (status, code), caught.value


def eventually(attempt):
    """Commands are taken up within two seconds."""
    deadline = time.monotonic() + TAKEN_UP_WITHIN_SECONDS
    while True:
        try:
            return attempt()
        except (botocore.exceptions.ClientError, AssertionError, pytest.fail.Exception):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@pytest.fixture
def iam(gateway):
    return client(gateway, "iam")


@pytest.fixture
def sts(gateway):
    return client(gateway, "sts")


@pytest.fixture
def user(iam):
    """A user of the operator's account, who goes with its keys and policies."""
    name = f"user-{os.getpid()}-{next(_numbers)}"
    iam.create_user(UserName=name)
    yield name
    for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    for one in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=one)
    iam.delete_user(UserName=name)


@pytest.fixture
def key(iam, user):
    return iam.create_access_key(UserName=user)["AccessKey"]


@pytest.fixture
def command(gateway):
    """Runs the binary's commands on the server's data directory."""
    if gateway.folder is None:
        pytest.skip("the server's data directory is elsewhere")

    def run(*arguments, text=None, status=0):
        done = subprocess.run(
            [gateway_module.binary(), *arguments, "--data", str(gateway.folder / "data")],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env={
                **{name: value for name, value in os.environ.items() if name[:9] != "PENSTOCK_"},
                # As the server has it: the last key of the file is then not the last there is.
                "PENSTOCK_ACCESS_KEY": gateway.access_key,
                "PENSTOCK_SECRET_KEY": gateway.secret_key,
            },
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


def printed_key(text):
    """The key that a command has printed."""
    values = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("AWS_"))
    return values["AWS_ACCESS_KEY_ID"], values["AWS_SECRET_ACCESS_KEY"]


@pytest.mark.promise("IAM-1")
def test_users_are_made_listed_and_removed(iam):
    name = f"ann-{os.getpid()}"
    made = iam.create_user(UserName=name, Path="/team/", Tags=[{"Key": "team", "Value": "blue"}])
    assert made["User"]["Arn"] == f"arn:aws:iam::000000000000:user/team/{name}"
    assert made["User"]["UserId"].startswith("AIDA")
    got = iam.get_user(UserName=name)["User"]
    assert got["Tags"] == [{"Key": "team", "Value": "blue"}]
    assert abs(got["CreateDate"] - datetime.datetime.now(datetime.timezone.utc)).seconds < 60
    assert name in [one["UserName"] for one in iam.list_users()["Users"]]
    assert name in [one["UserName"] for one in iam.list_users(PathPrefix="/team/")["Users"]]
    assert name not in [one["UserName"] for one in iam.list_users(PathPrefix="/x/")["Users"]]
    with refusal(409, "EntityAlreadyExists"):
        iam.create_user(UserName=name.upper())
    iam.delete_user(UserName=name)
    with refusal(404, "NoSuchEntity"):
        iam.get_user(UserName=name)
    with refusal(404, "NoSuchEntity"):
        iam.delete_user(UserName=name)
    with refusal(400, "ValidationError"):
        iam.create_user(UserName="a/b")


@pytest.mark.promise("IAM-2")
def test_keys_are_made_disabled_and_removed_without_a_restart(gateway, iam, user):
    first = iam.create_access_key(UserName=user)["AccessKey"]
    second = iam.create_access_key(UserName=user)["AccessKey"]
    whoami = lambda one: client(
        gateway, "sts", one["AccessKeyId"], one["SecretAccessKey"]
    ).get_caller_identity()["Arn"]
    assert whoami(first) == whoami(second) == f"arn:aws:iam::000000000000:user/{user}"
    listed = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert {one["AccessKeyId"]: one["Status"] for one in listed} == {
        first["AccessKeyId"]: "Active",
        second["AccessKeyId"]: "Active",
    }
    iam.update_access_key(UserName=user, AccessKeyId=first["AccessKeyId"], Status="Inactive")
    with refusal(403, "InvalidClientTokenId"):
        whoami(first)
    with refusal(403, "InvalidAccessKeyId"):
        client(gateway, "s3", first["AccessKeyId"], first["SecretAccessKey"]).list_buckets()
    iam.update_access_key(UserName=user, AccessKeyId=first["AccessKeyId"], Status="Active")
    assert whoami(first) == whoami(second)
    with refusal(409, "DeleteConflict"):
        iam.delete_user(UserName=user)
    iam.delete_access_key(UserName=user, AccessKeyId=first["AccessKeyId"])
    with refusal(403, "InvalidClientTokenId"):
        whoami(first)
    with refusal(404, "NoSuchEntity"):
        iam.delete_access_key(UserName=user, AccessKeyId=first["AccessKeyId"])


@pytest.mark.promise("IAM-3", "POL-1")
def test_a_user_may_do_what_its_policies_say(gateway, s3, iam, bucket, user, key):
    of_user = client(gateway, "s3", key["AccessKeyId"], key["SecretAccessKey"])
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"a")
    with refusal(403, "AccessDenied"):
        of_user.get_object(Bucket=bucket, Key="in/a")
    document = policy("s3:GetObject", f"arn:aws:s3:::{bucket}/in/*")
    iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=document)
    assert of_user.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"a"
    with refusal(403, "AccessDenied"):
        of_user.put_object(Bucket=bucket, Key="in/a", Body=b"b")
    with refusal(403, "AccessDenied"):
        of_user.list_objects_v2(Bucket=bucket)
    assert iam.list_user_policies(UserName=user)["PolicyNames"] == ["read"]
    got = iam.get_user_policy(UserName=user, PolicyName="read")["PolicyDocument"]
    assert got == json.loads(document)
    denied = policy("s3:*", f"arn:aws:s3:::{bucket}/in/*", effect="Deny")
    iam.put_user_policy(UserName=user, PolicyName="deny", PolicyDocument=denied)
    with refusal(403, "AccessDenied"):
        of_user.get_object(Bucket=bucket, Key="in/a")
    iam.delete_user_policy(UserName=user, PolicyName="deny")
    assert of_user.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"a"


@pytest.mark.promise("POL-2")
def test_a_text_that_is_no_policy_is_refused_with_its_place(iam, user):
    for text, said in [
        ('{"Statement": []}', "empty"),
        ('{"Statement": {"Effect": "Allow", "Action": "s3:*"}}', "Missing required field Resource"),
        (policy("s3:*", "*", effect="Perhaps"), "Invalid effect : Perhaps (Statement[0])"),
        (policy("s3:*", "bucket"), "Policy has invalid resource"),
        (policy("s3:*", "*", Condition={"StringIs": {"aws:x": "y"}}), "StringIs"),
    ]:
        with refusal(400, "MalformedPolicyDocument") as caught:
            iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=text)
        assert said in caught.value.response["Error"]["Message"]


@pytest.mark.promise("POL-3")
def test_variables_and_conditions_are_the_requests(gateway, s3, iam, bucket, user, key):
    document = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": ["s3:PutObject", "s3:GetObject"],
                    "Resource": f"arn:aws:s3:::{bucket}/home/${{aws:username}}/*",
                },
                {
                    "Effect": "Allow",
                    "Action": "s3:ListBucket",
                    "Resource": f"arn:aws:s3:::{bucket}",
                    "Condition": {"StringLike": {"s3:prefix": "home/${aws:username}/*"}},
                },
                {
                    "Effect": "Deny",
                    "Action": "s3:*",
                    "Resource": "*",
                    "Condition": {"NotIpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1"]}},
                },
            ],
        }
    )
    iam.put_user_policy(UserName=user, PolicyName="home", PolicyDocument=document)
    of_user = client(gateway, "s3", key["AccessKeyId"], key["SecretAccessKey"])
    of_user.put_object(Bucket=bucket, Key=f"home/{user}/a", Body=b"a")
    listed = of_user.list_objects_v2(Bucket=bucket, Prefix=f"home/{user}/")
    assert listed["KeyCount"] == 1
    with refusal(403, "AccessDenied"):
        of_user.put_object(Bucket=bucket, Key="home/other/a", Body=b"a")
    with refusal(403, "AccessDenied"):
        of_user.list_objects_v2(Bucket=bucket)


@pytest.mark.promise("IAM-4")
def test_the_api_is_the_roots_and_whom_policies_let(gateway, iam, user, key):
    of_user = client(gateway, "iam", key["AccessKeyId"], key["SecretAccessKey"])
    with refusal(403, "AccessDenied") as caught:
        of_user.list_users()
    assert "is not authorized to perform: iam:ListUsers" in str(caught.value)
    document = policy(["iam:ListUsers", "iam:GetUser"], "*")
    iam.put_user_policy(UserName=user, PolicyName="look", PolicyDocument=document)
    assert user in [one["UserName"] for one in of_user.list_users()["Users"]]
    assert of_user.get_user()["User"]["UserName"] == user
    with refusal(403, "AccessDenied"):
        of_user.create_user(UserName="another")
    assert iam.get_user()["User"]["Arn"] == "arn:aws:iam::000000000000:root"


@pytest.mark.promise("IAM-5")
def test_what_is_signed_wrongly_or_not_at_all_is_refused(gateway):
    with refusal(403, "SignatureDoesNotMatch"):
        client(gateway, "iam", secret="wrong" * 8).list_users()
    with refusal(403, "InvalidClientTokenId"):
        client(gateway, "sts", key="AKIANOBODY").get_caller_identity()
    form = b"Action=ListUsers&Version=2010-05-08"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = urllib.request.Request(gateway.endpoint + "/", data=form, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    body = caught.value.read().decode()
    assert caught.value.code == 403 and "<Code>MissingAuthenticationToken</Code>" in body
    large = urllib.request.Request(
        gateway.endpoint + "/", data=b"Action=ListUsers&X=" + b"x" * (1 << 17), headers=headers
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(large)
    assert caught.value.code == 413


@pytest.mark.promise("STS-1")
def test_everybody_learns_who_it_is(sts, gateway, user, key):
    root = sts.get_caller_identity()
    assert (root["Account"], root["Arn"]) == ("000000000000", "arn:aws:iam::000000000000:root")
    mine = client(gateway, "sts", key["AccessKeyId"], key["SecretAccessKey"]).get_caller_identity()
    assert mine["Arn"].endswith(f":user/{user}") and mine["UserId"].startswith("AIDA")


@pytest.mark.promise("STS-2", "STS-3", "STS-4")
def test_session_tokens_are_the_users_and_end_with_its_key(gateway, iam, bucket, user, key):
    document = policy("s3:*", [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])
    iam.put_user_policy(UserName=user, PolicyName="all", PolicyDocument=document)
    of_user = client(gateway, "sts", key["AccessKeyId"], key["SecretAccessKey"])
    credentials = of_user.get_session_token(DurationSeconds=900)["Credentials"]
    assert credentials["AccessKeyId"].startswith("ASIA")
    left = credentials["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
    assert 800 < left.total_seconds() <= 900
    temporary = with_credentials(gateway, "s3", credentials)
    temporary.put_object(Bucket=bucket, Key="a", Body=b"a")
    # Presigned, the token goes along in the query.
    url = temporary.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a"})
    assert "X-Amz-Security-Token=" in url
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"a"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url.replace("X-Amz-Security-Token=", "X-Amz-Security-Token=A"))
    assert caught.value.code in (400, 403)
    with refusal(400, "InvalidToken"):
        bent = dict(credentials, SessionToken=credentials["SessionToken"][:-4] + "AAAA")
        with_credentials(gateway, "s3", bent).list_objects_v2(Bucket=bucket)
    with refusal(403, "InvalidAccessKeyId"):
        client(
            gateway, "s3", credentials["AccessKeyId"], credentials["SecretAccessKey"]
        ).list_objects_v2(Bucket=bucket)
    with refusal(403, "SignatureDoesNotMatch"):
        with_credentials(
            gateway, "s3", dict(credentials, SecretAccessKey="wrong" * 8)
        ).list_objects_v2(Bucket=bucket)
    with refusal(403, "AccessDenied"):
        with_credentials(gateway, "iam", credentials).list_users()
    with refusal(403, "AccessDenied"):
        with_credentials(gateway, "sts", credentials).get_session_token()
    with refusal(400, "ValidationError"):
        of_user.get_session_token(DurationSeconds=129_601)
    iam.update_access_key(UserName=user, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with refusal(400, "InvalidToken"):
        temporary.get_object(Bucket=bucket, Key="a")


@pytest.mark.promise("STS-5", "STS-6", "STS-7", "IAM-7")
def test_roles_are_assumed_by_whom_they_trust(gateway, command, sts, s3, bucket, user, key):
    role = f"role-{os.getpid()}"
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {"sts:ExternalId": "known"}},
        },
    }
    command("role", "add", role, text=json.dumps(trust))
    reading = policy(["s3:GetObject", "s3:ListBucket"], "*")
    command("policy", "put", "read", "--role", role, text=reading)
    s3.put_object(Bucket=bucket, Key="a/1", Body=b"1")
    s3.put_object(Bucket=bucket, Key="b/1", Body=b"1")
    arn = f"arn:aws:iam::000000000000:role/{role}"
    asked = {"RoleArn": arn, "RoleSessionName": "night", "ExternalId": "known"}
    answer = eventually(lambda: sts.assume_role(**asked))
    session = f"arn:aws:sts::000000000000:assumed-role/{role}/night"
    assert answer["AssumedRoleUser"]["Arn"] == session
    identity = with_credentials(gateway, "sts", answer["Credentials"]).get_caller_identity()
    assert identity["Arn"] == session and identity["UserId"].endswith(":night")
    reader = with_credentials(gateway, "s3", answer["Credentials"])
    assert reader.get_object(Bucket=bucket, Key="b/1")["Body"].read() == b"1"
    with refusal(403, "AccessDenied"):
        reader.put_object(Bucket=bucket, Key="b/1", Body=b"2")
    # The session's policy takes away.
    narrow = policy("s3:*", f"arn:aws:s3:::{bucket}/a/*")
    limited = sts.assume_role(**asked, Policy=narrow, Tags=[{"Key": "team", "Value": "x"}])
    narrowed = with_credentials(gateway, "s3", limited["Credentials"])
    assert narrowed.get_object(Bucket=bucket, Key="a/1")["Body"].read() == b"1"
    for attempt in (
        lambda: narrowed.get_object(Bucket=bucket, Key="b/1"),
        lambda: narrowed.put_object(Bucket=bucket, Key="a/1", Body=b"2"),
        lambda: sts.assume_role(RoleArn=arn, RoleSessionName="night"),
        lambda: sts.assume_role(**dict(asked, RoleArn=arn + "x")),
        # The account is trusted; its user needs the account's consent.
        lambda: client(
            gateway, "sts", key["AccessKeyId"], key["SecretAccessKey"]
        ).assume_role(**asked),
    ):
        with refusal(403, "AccessDenied"):
            attempt()
    with refusal(400, "MalformedPolicyDocument"):
        sts.assume_role(**asked, Policy="{}")
    with refusal(400, "ValidationError"):
        sts.assume_role(**asked, DurationSeconds=3601)
    command("role", "remove", role)

    def ended():
        with refusal(400, "InvalidToken"):
            reader.get_object(Bucket=bucket, Key="b/1")

    eventually(ended)


@pytest.mark.promise("STS-8")
def test_identities_of_others_are_not_taken(gateway, sts):
    unsigned = boto3.client(
        "sts",
        endpoint_url=gateway.endpoint,
        region_name=gateway_module.REGION,
        config=botocore.config.Config(
            signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}
        ),
    )
    with refusal(501, "NotImplemented") as caught:
        unsigned.assume_role_with_web_identity(
            RoleArn="arn:aws:iam::000000000000:role/x",
            RoleSessionName="xx",
            WebIdentityToken="token",
        )
    assert "AssumeRole or GetSessionToken" in str(caught.value)
    with refusal(501, "NotImplemented"):
        sts.get_federation_token(Name="xx")


@pytest.mark.promise("STS-9")
def test_sessions_of_express_are_for_one_bucket(gateway, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"a")
    readable = s3.create_session(Bucket=bucket, SessionMode="ReadOnly")["Credentials"]
    reader = with_credentials(gateway, "s3", readable)
    assert reader.get_object(Bucket=bucket, Key="a")["Body"].read() == b"a"
    assert reader.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    for attempt in (
        lambda: reader.put_object(Bucket=bucket, Key="a", Body=b"b"),
        lambda: reader.list_buckets(),
        lambda: reader.create_session(Bucket=bucket),
        lambda: reader.get_bucket_acl(Bucket=bucket),
    ):
        with refusal(403, "AccessDenied"):
            attempt()
    writable = with_credentials(gateway, "s3", s3.create_session(Bucket=bucket)["Credentials"])
    writable.put_object(Bucket=bucket, Key="a", Body=b"b")
    writable.delete_object(Bucket=bucket, Key="a")
    with refusal(404, "NoSuchBucket"):
        s3.create_session(Bucket=bucket + "-absent")


@pytest.mark.promise("IAM-6", "POL-4")
def test_accounts_own_what_they_make(gateway, command, s3, bucket):
    name = f"lab-{os.getpid()}"
    said = command("user", "add", name, "--email", f"{name}@example.com")
    access, secret = printed_key(said)
    of_lab = client(gateway, "s3", access, secret)
    identity = eventually(lambda: client(gateway, "sts", access, secret).get_caller_identity())
    assert identity["Arn"] == f"arn:aws:iam::{identity['Account']}:root"
    assert f"number {identity['Account']}" in said
    own = f"{name}-bucket"
    of_lab.create_bucket(Bucket=own)
    owner = of_lab.list_buckets()["Owner"]
    assert len(owner["ID"]) == 64 and own in [it["Name"] for it in of_lab.list_buckets()["Buckets"]]
    assert own not in [it["Name"] for it in s3.list_buckets()["Buckets"]]
    with refusal(403, "AccessDenied"):
        of_lab.list_objects_v2(Bucket=bucket)
    with refusal(403, "AccessDenied"):
        s3.list_objects_v2(Bucket=own)
    # Between accounts both must agree: the bucket's policy, and for a user its own.
    letting = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": identity["Arn"]},
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
        },
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(letting))
    assert of_lab.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    person = printed_key(command("user", "add", "ann", "--account", name))
    of_ann = client(gateway, "s3", *person)
    arn = lambda: client(gateway, "sts", *person).get_caller_identity()["Arn"]
    assert eventually(arn) == f"arn:aws:iam::{identity['Account']}:user/ann"
    with refusal(403, "AccessDenied"):
        of_ann.list_objects_v2(Bucket=bucket)
    listing = policy("s3:ListBucket", "*")
    command("policy", "put", "list", "--account", name, "--user", "ann", text=listing)
    assert eventually(lambda: of_ann.list_objects_v2(Bucket=bucket))["KeyCount"] == 0
    s3.delete_bucket_policy(Bucket=bucket)
    of_lab.delete_bucket(Bucket=own)
    command("user", "disable", "ann", "--account", name)

    def locked_out():
        with refusal(403, "InvalidAccessKeyId"):
            of_ann.list_buckets()

    eventually(locked_out)
    assert "state: disabled" in command("user", "show", "ann", "--account", name)
    command("user", "remove", name, status=1)
    command("user", "remove", "ann", "--account", name)
    command("user", "remove", name)
    assert name not in command("user", "list")


@pytest.mark.promise("IAM-7")
def test_commands_say_what_is_wrong(command):
    said = command("user", "add", "a/b", "--account", "penstock", status=2)
    assert "characters besides letters" in said
    assert "account with name nowhere" in command(
        "user", "add", "x", "--account", "nowhere", status=1
    )
    assert "user with name nobody" in command("user", "disable", "nobody", "--account", "penstock", status=1)
    checked = subprocess.run(
        [gateway_module.binary(), "policy", "check", "--bucket", "models"],
        input=policy("s3:GetObject", "arn:aws:s3:::other/*", Principal="*"),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 1 and "Policy has invalid resource" in checked.stderr


class Declared(gateway_module.Gateway):
    """A server of its own with a file of users."""

    def __init__(self, users):
        self.users = users
        super().__init__()

    def _start(self):
        with pytest.MonkeyPatch.context() as patch:
            start = subprocess.Popen

            def with_users(command, env, **options):
                return start(command, env={**env, "PENSTOCK_USERS_FILE": str(self.users)}, **options)

            patch.setattr(gateway_module.subprocess, "Popen", with_users)
            super()._start()


@pytest.mark.promise("IAM-8")
def test_a_file_of_users_is_followed(tmp_path):
    if os.environ.get("GATEWAY_TEST_ENDPOINT"):
        pytest.skip("the server is elsewhere")
    users = tmp_path / "users.json"
    everything = json.loads(policy("s3:*", "*"))
    document = {
        "account": [{"name": "lab", "number": "123456789012"}],
        "user": [{"name": "ann", "account": "lab", "policies": {"all": json.dumps(everything)}}],
        "key": [{"id": "ANNSKEY", "secret": "annssecret", "account": "lab", "user": "ann"}],
    }
    users.write_text(json.dumps(document))
    users.chmod(0o600)
    server = Declared(users)
    try:
        ann = client(server, "sts", "ANNSKEY", "annssecret")
        assert ann.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/ann"
        client(server, "s3", "ANNSKEY", "annssecret").create_bucket(Bucket="lab-bucket")
        root = client(server, "iam")
        with refusal(404, "NoSuchEntity"):
            root.get_user(UserName="ann")
        document["key"][0]["disabled"] = True
        document["key"].append({"id": "NEWKEY", "secret": "newsecret", "account": "lab"})
        beside = tmp_path / "new.json"
        beside.write_text(json.dumps(document))
        beside.chmod(0o600)
        beside.rename(users)
        of_lab = client(server, "sts", "NEWKEY", "newsecret")
        identity = eventually(of_lab.get_caller_identity)
        assert identity["Arn"] == "arn:aws:iam::123456789012:root"
        with refusal(403, "InvalidClientTokenId"):
            ann.get_caller_identity()
        with refusal(400, "UnmodifiableEntity"):
            client(server, "iam", "NEWKEY", "newsecret").put_user_policy(
                UserName="ann", PolicyName="x", PolicyDocument=json.dumps(everything)
            )
    finally:
        log = server.log()
        assert server.stop() == 0, log
