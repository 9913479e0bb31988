"""ACLs, ownership, Public Access Block and bucket policies, with accounts, users and strangers."""

import json
import uuid

import botocore.exceptions
import pytest

import people
from conftest import remove_bucket
from people import policy

ALL = "http://acs.amazonaws.com/groups/global/AllUsers"
SIGNED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


@pytest.fixture(scope="session")
def lab(gateway):
    """The root of an account of its own."""
    return people.Person(gateway, "lab").wait()


@pytest.fixture(scope="session")
def ann(gateway, lab):
    """A user of the account lab, who may do everything that lab may."""
    person = people.Person(gateway, "ann", "lab")
    person.allow({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    return person.wait()


@pytest.fixture(scope="session")
def bob(gateway, lab):
    """A user of the account lab, whom no policy allows anything."""
    return people.Person(gateway, "bob", "lab").wait()


@pytest.fixture(scope="session")
def nobody(gateway):
    """A client that does not sign."""
    return people.client(gateway)


@pytest.fixture
def labs(lab):
    """A bucket of the account lab."""
    name = f"labs-{uuid.uuid4().hex[:12]}"
    lab.client.create_bucket(Bucket=name)
    yield name
    lab.client.delete_bucket_policy(Bucket=name)
    lab.client.delete_bucket_ownership_controls(Bucket=name)
    lab.client.put_bucket_acl(Bucket=name, ACL="private")
    remove_bucket(lab.client, name)


def denied(call, **more):
    """Expects 403 AccessDenied."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**more)
    response = caught.value.response
    status, code = response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]
    # HEAD has no document.
    assert (status, code) in {(403, "AccessDenied"), (403, "403")}, caught.value


def granted(answer):
    """The grants of an answer, as pairs."""
    return sorted(
        (grant["Grantee"].get("ID") or grant["Grantee"]["URI"], grant["Permission"])
        for grant in answer["Grants"]
    )


# === Ownership of buckets ===


@pytest.mark.promise("OWN-1")
def test_buckets_are_their_accounts(s3, bucket, lab, ann, bob, labs):
    listed = lab.client.list_buckets()
    assert listed["Owner"] == {"ID": lab.id, "DisplayName": "lab"}
    names = [item["Name"] for item in listed["Buckets"]]
    assert labs in names and bucket not in names
    assert labs not in [item["Name"] for item in s3.list_buckets()["Buckets"]]
    assert labs in [item["Name"] for item in ann.client.list_buckets()["Buckets"]]
    denied(bob.client.list_buckets)


@pytest.mark.promise("OWN-2")
def test_a_name_is_taken_by_another_or_by_oneself(s3, lab, labs, refused):
    with refused(409, "BucketAlreadyExists"):
        s3.create_bucket(Bucket=labs)
    with refused(409, "BucketAlreadyOwnedByYou"):
        lab.client.create_bucket(Bucket=labs)


@pytest.mark.promise("OWN-3")
def test_anothers_bucket_is_closed(s3, lab, labs, nobody, bob):
    lab.client.put_object(Bucket=labs, Key="k", Body=b"x")
    for client in (s3, nobody, bob.client):
        denied(client.list_objects_v2, Bucket=labs)
        denied(client.head_bucket, Bucket=labs)
        denied(client.get_object, Bucket=labs, Key="k")
        denied(client.get_object, Bucket=labs, Key="absent")
        denied(client.head_object, Bucket=labs, Key="k")
        denied(client.put_object, Bucket=labs, Key="k", Body=b"y")
        denied(client.delete_object, Bucket=labs, Key="k")
        denied(client.delete_bucket, Bucket=labs)
        denied(client.get_bucket_acl, Bucket=labs)
        denied(client.get_object_acl, Bucket=labs, Key="k")
        denied(client.create_multipart_upload, Bucket=labs, Key="m")
    assert lab.client.get_object(Bucket=labs, Key="k")["Body"].read() == b"x"


@pytest.mark.promise("OWN-4")
def test_the_expected_owner_is_an_account_number(lab, labs):
    assert lab.client.head_bucket(Bucket=labs, ExpectedBucketOwner=lab.number)
    denied(lab.client.list_objects_v2, Bucket=labs, ExpectedBucketOwner="000000000000")


@pytest.mark.promise("OWN-5")
def test_the_default_has_no_controls(lab, labs, refused):
    with refused(404, "OwnershipControlsNotFoundError"):
        lab.client.get_bucket_ownership_controls(Bucket=labs)
    for rule in ("BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"):
        controls = {"Rules": [{"ObjectOwnership": rule}]}
        lab.client.put_bucket_ownership_controls(Bucket=labs, OwnershipControls=controls)
        answer = lab.client.get_bucket_ownership_controls(Bucket=labs)
        assert answer["OwnershipControls"] == controls
    lab.client.delete_bucket_ownership_controls(Bucket=labs)
    with refused(404, "OwnershipControlsNotFoundError"):
        lab.client.get_bucket_ownership_controls(Bucket=labs)


@pytest.mark.promise("OWN-6")
def test_with_the_owner_enforced_there_are_no_acls(s3, lab, labs, refused):
    lab.client.put_object(Bucket=labs, Key="k", Body=b"x", ACL="public-read")
    controls = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    lab.client.put_bucket_ownership_controls(Bucket=labs, OwnershipControls=controls)
    denied(s3.get_object, Bucket=labs, Key="k")
    for call, more in (
        (lab.client.put_bucket_acl, {"ACL": "public-read"}),
        (lab.client.put_object_acl, {"Key": "k", "ACL": "public-read"}),
        (lab.client.put_object, {"Key": "n", "Body": b"", "ACL": "public-read"}),
    ):
        with refused(400, "AccessControlListNotSupported"):
            call(Bucket=labs, **more)
    lab.client.put_object(Bucket=labs, Key="n", Body=b"", ACL="bucket-owner-full-control")
    answer = lab.client.get_object_acl(Bucket=labs, Key="k")
    assert granted(answer) == [(lab.id, "FULL_CONTROL")]
    lab.client.delete_bucket_ownership_controls(Bucket=labs)
    assert s3.get_object(Bucket=labs, Key="k")["Body"].read() == b"x"


@pytest.mark.promise("OWN-7")
def test_a_shared_acl_and_an_enforced_owner_exclude_each_other(lab, labs, refused):
    lab.client.put_bucket_acl(Bucket=labs, ACL="public-read")
    controls = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    with refused(400, "InvalidBucketAclWithObjectOwnership"):
        lab.client.put_bucket_ownership_controls(Bucket=labs, OwnershipControls=controls)
    with refused(400, "InvalidBucketAclWithObjectOwnership"):
        lab.client.create_bucket(
            Bucket=f"both-{uuid.uuid4().hex[:12]}", ACL="public-read", ObjectOwnership="BucketOwnerEnforced"
        )


@pytest.mark.promise("OWN-8", "OWN-9")
def test_an_upload_belongs_to_its_writer_or_is_given_away(s3, lab, labs):
    lab.client.put_bucket_acl(Bucket=labs, ACL="public-read-write")
    s3.put_object(Bucket=labs, Key="writers", Body=b"w")
    denied(lab.client.get_object, Bucket=labs, Key="writers")
    denied(lab.client.head_object, Bucket=labs, Key="writers")
    denied(lab.client.get_object_acl, Bucket=labs, Key="writers")
    denied(lab.client.copy_object, Bucket=labs, Key="copy", CopySource=f"{labs}/writers")
    assert s3.get_object(Bucket=labs, Key="writers")["Body"].read() == b"w"
    owners = {i["Key"]: i["Owner"]["ID"] for i in lab.client.list_objects(Bucket=labs)["Contents"]}
    assert owners == {"writers": "penstock"}
    s3.put_object(Bucket=labs, Key="shared", Body=b"s", ACL="bucket-owner-full-control")
    assert lab.client.get_object(Bucket=labs, Key="shared")["Body"].read() == b"s"
    assert s3.get_object_acl(Bucket=labs, Key="shared")["Owner"]["ID"] == "penstock"
    controls = {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    lab.client.put_bucket_ownership_controls(Bucket=labs, OwnershipControls=controls)
    s3.put_object(Bucket=labs, Key="given", Body=b"g", ACL="bucket-owner-full-control")
    assert lab.client.get_object_acl(Bucket=labs, Key="given")["Owner"]["ID"] == lab.id
    denied(s3.get_object_acl, Bucket=labs, Key="given")
    s3.put_object(Bucket=labs, Key="kept", Body=b"k")
    assert s3.get_object_acl(Bucket=labs, Key="kept")["Owner"]["ID"] == "penstock"
    # Its bucket's owner may delete it all the same.
    lab.client.delete_object(Bucket=labs, Key="kept")


# === ACLs ===


@pytest.mark.promise("ACL-1", "ACL-2")
def test_canned_acls_are_those_of_the_table(s3, bucket, nobody, lab):
    own = ("penstock", "FULL_CONTROL")
    tables = {
        "private": [own],
        "public-read": [own, (ALL, "READ")],
        "public-read-write": [own, (ALL, "READ"), (ALL, "WRITE")],
        "authenticated-read": [own, (SIGNED, "READ")],
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    for name, grants in tables.items():
        s3.put_bucket_acl(Bucket=bucket, ACL=name)
        s3.put_object_acl(Bucket=bucket, Key="k", ACL=name)
        assert granted(s3.get_bucket_acl(Bucket=bucket)) == sorted(grants), name
        assert granted(s3.get_object_acl(Bucket=bucket, Key="k")) == sorted(grants), name
        for client, reads in (
            (nobody, name.startswith("public")),
            (lab.client, name != "private"),
        ):
            if reads:
                assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x", name
                assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1, name
                client.head_bucket(Bucket=bucket)
            else:
                denied(client.get_object, Bucket=bucket, Key="k")
                denied(client.list_objects_v2, Bucket=bucket)


@pytest.mark.promise("ACL-3")
def test_acls_are_set_while_something_is_made(s3, nobody):
    name = f"made-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, ACL="public-read-write")
    nobody.put_object(Bucket=name, Key="theirs", Body=b"x")
    s3.put_object(Bucket=name, Key="open", Body=b"open", ACL="public-read")
    s3.put_object(Bucket=name, Key="closed", Body=b"closed")
    assert nobody.get_object(Bucket=name, Key="open")["Body"].read() == b"open"
    denied(nobody.get_object, Bucket=name, Key="closed")
    s3.copy_object(Bucket=name, Key="copy", CopySource=f"{name}/closed", ACL="public-read")
    assert nobody.get_object(Bucket=name, Key="copy")["Body"].read() == b"closed"
    s3.copy_object(Bucket=name, Key="plain", CopySource=f"{name}/open")
    denied(nobody.get_object, Bucket=name, Key="plain")
    upload = s3.create_multipart_upload(Bucket=name, Key="parts", ACL="public-read")["UploadId"]
    part = s3.upload_part(Bucket=name, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=name, Key="parts", UploadId=upload, MultipartUpload=parts)
    assert nobody.get_object(Bucket=name, Key="parts")["Body"].read() == b"part"
    # What is put anew is private again.
    s3.put_object(Bucket=name, Key="open", Body=b"new")
    denied(nobody.get_object, Bucket=name, Key="open")
    remove_bucket(s3, name)


@pytest.mark.promise("ACL-4")
def test_grants_in_headers_and_documents(s3, bucket, lab, nobody, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", GrantRead=f"id={lab.id}")
    assert granted(s3.get_object_acl(Bucket=bucket, Key="k")) == [(lab.id, "READ")]
    assert lab.client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    denied(lab.client.get_object_acl, Bucket=bucket, Key="k")
    denied(nobody.get_object, Bucket=bucket, Key="k")
    owner = {"ID": "penstock", "DisplayName": "penstock"}
    document = {
        "Owner": owner,
        "Grants": [
            {"Grantee": {"Type": "CanonicalUser", "ID": lab.id}, "Permission": "WRITE"},
            {"Grantee": {"Type": "Group", "URI": ALL}, "Permission": "READ_ACP"},
            {"Grantee": {"Type": "CanonicalUser", "ID": "penstock"}, "Permission": "FULL_CONTROL"},
        ],
    }
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy=document)
    lab.client.put_object(Bucket=bucket, Key="labs", Body=b"y")
    denied(lab.client.list_objects_v2, Bucket=bucket)
    assert len(nobody.get_bucket_acl(Bucket=bucket)["Grants"]) == 3
    for change in (
        {"Grants": [{"Grantee": {"Type": "CanonicalUser", "ID": "0" * 64}, "Permission": "READ"}]},
        {"Grants": [{"Grantee": {"Type": "Group", "URI": "http://x/"}, "Permission": "READ"}]},
    ):
        with refused(400, "InvalidArgument"):
            s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy={"Owner": owner, **change})
    with refused(400, "UnresolvableGrantByEmailAddress"):
        s3.put_bucket_acl(Bucket=bucket, GrantRead='emailAddress="nobody@example.com"')
    with refused(400, "InvalidRequest"):
        s3.put_bucket_acl(Bucket=bucket, ACL="private", GrantRead=f"id={lab.id}")
    with refused(400, "InvalidArgument"):
        s3.put_bucket_acl(Bucket=bucket, ACL="everything")
    with refused(400, "MissingSecurityHeader"):
        s3.put_bucket_acl(Bucket=bucket)
    denied(
        s3.put_bucket_acl,
        Bucket=bucket,
        AccessControlPolicy={"Owner": {"ID": lab.id}, "Grants": document["Grants"]},
    )


@pytest.mark.promise("ACL-5")
def test_an_owner_without_grants_can_mend_the_acl(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    owner = {"ID": "penstock", "DisplayName": "penstock"}
    s3.put_bucket_acl(Bucket=bucket, AccessControlPolicy={"Owner": owner, "Grants": []})
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    denied(s3.put_object, Bucket=bucket, Key="n", Body=b"")
    denied(s3.list_objects_v2, Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"] == []
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.promise("ACL-6")
def test_a_user_needs_policies_beside_the_acl(s3, bucket, lab, ann, bob):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", GrantRead=f"id={lab.id}")
    assert ann.client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    denied(bob.client.get_object, Bucket=bucket, Key="k")


@pytest.mark.promise("ACL-7")
def test_absence_is_told_to_those_who_may_list(s3, bucket, lab, nobody, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    denied(nobody.get_object, Bucket=bucket, Key="absent")
    denied(nobody.head_object, Bucket=bucket, Key="absent")
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    with refused(404, "NoSuchKey"):
        nobody.get_object(Bucket=bucket, Key="absent")
    with refused(404, "NoSuchKey"):
        lab.client.get_object(Bucket=bucket, Key="absent")


@pytest.mark.promise("ACL-8")
def test_who_begins_an_upload_may_end_it(s3, lab, labs, nobody):
    lab.client.put_bucket_acl(Bucket=labs, ACL="public-read-write")
    upload = s3.create_multipart_upload(Bucket=labs, Key="m")["UploadId"]
    place = {"Bucket": labs, "Key": "m", "UploadId": upload}
    s3.upload_part(**place, PartNumber=1, Body=b"part")
    parts = s3.list_parts(**place)
    assert parts["Initiator"]["ID"] == parts["Owner"]["ID"] == "penstock"
    [listed] = lab.client.list_multipart_uploads(Bucket=labs)["Uploads"]
    assert listed["Initiator"]["ID"] == "penstock"
    denied(nobody.list_parts, **place)
    denied(nobody.abort_multipart_upload, **place)
    s3.abort_multipart_upload(**place)
    upload = s3.create_multipart_upload(Bucket=labs, Key="m")["UploadId"]
    lab.client.abort_multipart_upload(Bucket=labs, Key="m", UploadId=upload)


# === Public Access Block ===

NONE = {
    "BlockPublicAcls": False,
    "IgnorePublicAcls": False,
    "BlockPublicPolicy": False,
    "RestrictPublicBuckets": False,
}


def block(client, name, **switches):
    """Sets the block."""
    client.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration={**NONE, **switches}
    )


@pytest.mark.promise("PAB-1")
def test_a_block_is_set_shown_and_deleted(s3, bucket, refused):
    with refused(404, "NoSuchPublicAccessBlockConfiguration"):
        s3.get_public_access_block(Bucket=bucket)
    block(s3, bucket, BlockPublicAcls=True, RestrictPublicBuckets=True)
    answer = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert answer == {**NONE, "BlockPublicAcls": True, "RestrictPublicBuckets": True}
    s3.delete_public_access_block(Bucket=bucket)
    with refused(404, "NoSuchPublicAccessBlockConfiguration"):
        s3.get_public_access_block(Bucket=bucket)


@pytest.mark.promise("PAB-2")
def test_public_acls_are_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    block(s3, bucket, BlockPublicAcls=True)
    for name in ("public-read", "public-read-write", "authenticated-read"):
        denied(s3.put_bucket_acl, Bucket=bucket, ACL=name)
        denied(s3.put_object_acl, Bucket=bucket, Key="k", ACL=name)
        denied(s3.put_object, Bucket=bucket, Key="n", Body=b"", ACL=name)
    denied(s3.put_object, Bucket=bucket, Key="n", Body=b"", GrantRead=f'uri="{ALL}"')
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


@pytest.mark.promise("PAB-3")
def test_public_acls_are_ignored(s3, bucket, nobody, lab):
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    block(s3, bucket, IgnorePublicAcls=True)
    for client in (nobody, lab.client):
        denied(client.get_object, Bucket=bucket, Key="k")
        denied(client.list_objects_v2, Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    block(s3, bucket)
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def anyone(bucket, *actions, effect="Allow", **more):
    """A statement for anyone about a bucket and its objects."""
    resource = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Effect": effect, "Principal": "*", "Action": list(actions), "Resource": resource, **more}


@pytest.mark.promise("PAB-4")
def test_public_policies_are_refused(s3, bucket, lab):
    block(s3, bucket, BlockPublicPolicy=True)
    denied(s3.put_bucket_policy, Bucket=bucket, Policy=policy(anyone(bucket, "s3:GetObject")))
    statement = {**anyone(bucket, "s3:GetObject"), "Principal": {"AWS": lab.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))


@pytest.mark.promise("PAB-5")
def test_a_public_policy_lets_only_the_account_in(s3, bucket, nobody, lab):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(anyone(bucket, "s3:GetObject")))
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    block(s3, bucket, RestrictPublicBuckets=True)
    denied(nobody.get_object, Bucket=bucket, Key="k")
    denied(lab.client.get_object, Bucket=bucket, Key="k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


# === Bucket policies ===


@pytest.mark.promise("POL-BUCKET-1")
def test_a_policy_is_shown_as_it_was_set(s3, bucket, refused):
    with refused(404, "NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)
    text = policy(anyone(bucket, "s3:GetObject"))
    assert s3.put_bucket_policy(Bucket=bucket, Policy=text)["ResponseMetadata"]["HTTPStatusCode"] == 204
    answer = s3.get_bucket_policy(Bucket=bucket)
    assert answer["Policy"] == text
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/json"
    s3.delete_bucket_policy(Bucket=bucket)
    with refused(404, "NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)
    assert s3.delete_bucket_policy(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.promise("POL-BUCKET-2")
def test_what_is_no_policy_is_refused(s3, bucket, refused):
    for text in (
        "{",
        policy({"Effect": "Allow"}),
        policy(anyone("another", "s3:GetObject")),
        policy({**anyone(bucket, "s3:GetObject"), "Principal": {"AWS": "arn:aws:iam::123456789012:root"}}),
        policy(anyone(bucket, "s3:GetObject", Sid="x" * 21_000)),
    ):
        with refused(400, "MalformedPolicy"):
            s3.put_bucket_policy(Bucket=bucket, Policy=text)


@pytest.mark.promise("POL-BUCKET-3")
def test_anyone_may_exactly_what_is_granted(s3, bucket, nobody):
    s3.put_object(Bucket=bucket, Key="open/k", Body=b"x")
    s3.put_object(Bucket=bucket, Key="closed/k", Body=b"x")
    statement = anyone(bucket, "s3:GetObject")
    statement["Resource"] = f"arn:aws:s3:::{bucket}/open/*"
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    assert nobody.get_object(Bucket=bucket, Key="open/k")["Body"].read() == b"x"
    denied(nobody.get_object, Bucket=bucket, Key="closed/k")
    denied(nobody.list_objects_v2, Bucket=bucket)
    denied(nobody.put_object, Bucket=bucket, Key="open/k", Body=b"y")
    denied(nobody.get_object_acl, Bucket=bucket, Key="open/k")


@pytest.mark.promise("POL-BUCKET-4")
def test_a_denial_wins_also_over_the_root(s3, bucket, lab):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(anyone(bucket, "s3:GetObject", "s3:*Policy", effect="Deny")))
    denied(s3.get_object, Bucket=bucket, Key="k")
    denied(s3.head_object, Bucket=bucket, Key="k")
    denied(s3.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/k")
    denied(lab.client.get_object, Bucket=bucket, Key="k")
    # The root of the bucket's account can always mend the policy.
    assert s3.get_bucket_policy(Bucket=bucket)
    s3.delete_bucket_policy(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


@pytest.mark.promise("POL-BUCKET-5")
def test_policies_of_another_account_are_for_its_owner_alone(s3, bucket, lab, refused):
    statement = {**anyone(bucket, "s3:*"), "Principal": {"AWS": lab.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    lab.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    for call, more in (
        (lab.client.get_bucket_policy, {}),
        (lab.client.put_bucket_policy, {"Policy": "{}"}),
        (lab.client.delete_bucket_policy, {}),
    ):
        with refused(405, "MethodNotAllowed"):
            call(Bucket=bucket, **more)


@pytest.mark.promise("POL-BUCKET-6")
def test_users_are_let_in_by_either_side_within_an_account(lab, labs, ann, bob):
    lab.client.put_object(Bucket=labs, Key="k", Body=b"x")
    assert ann.client.get_object(Bucket=labs, Key="k")["Body"].read() == b"x"
    denied(bob.client.get_object, Bucket=labs, Key="k")
    statement = {**anyone(labs, "s3:GetObject"), "Principal": {"AWS": bob.arn}}
    deny = {**anyone(labs, "s3:PutObject", effect="Deny"), "Principal": {"AWS": ann.arn}}
    lab.client.put_bucket_policy(Bucket=labs, Policy=policy(statement, deny))
    assert bob.client.get_object(Bucket=labs, Key="k")["Body"].read() == b"x"
    denied(bob.client.put_object, Bucket=labs, Key="k", Body=b"y")
    denied(ann.client.put_object, Bucket=labs, Key="k", Body=b"y")
    assert ann.client.get_object(Bucket=labs, Key="k")["Body"].read() == b"x"


@pytest.mark.promise("POL-BUCKET-7")
def test_both_sides_are_asked_between_accounts(s3, bucket, lab, ann, bob):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    statement = {**anyone(bucket, "s3:GetObject"), "Principal": {"AWS": lab.number}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    for person in (lab, ann):
        assert person.client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
        denied(person.client.put_object, Bucket=bucket, Key="k", Body=b"y")
    denied(bob.client.get_object, Bucket=bucket, Key="k")


@pytest.mark.promise("POL-BUCKET-8")
def test_conditions_are_asked_of_the_request(s3, bucket, lab, refused):
    s3.put_object(Bucket=bucket, Key="a/k", Body=b"x", Tagging="shared=yes")
    s3.put_object(Bucket=bucket, Key="b/k", Body=b"x", Tagging="shared=no")
    principal = {"Principal": {"AWS": lab.arn}}
    statements = [
        {**anyone(bucket, "s3:ListBucket", Condition={"StringEquals": {"s3:prefix": "a/"}}), **principal},
        {
            **anyone(bucket, "s3:GetObject", Condition={"StringEquals": {"s3:ExistingObjectTag/shared": "yes"}}),
            **principal,
        },
        {
            **anyone(bucket, "s3:PutObject", "s3:PutObjectTagging",
                     Condition={"StringEquals": {"s3:RequestObjectTag/team": "lab"}}),
            **principal,
        },
        {
            **anyone(bucket, "s3:PutObjectAcl", Condition={"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"}}),
            **principal,
        },
        {**anyone(bucket, "s3:DeleteObject", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}), **principal},
        {**anyone(bucket, "s3:DeleteObjectTagging", Condition={"Bool": {"aws:SecureTransport": "true"}}), **principal},
    ]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))
    client = lab.client
    assert client.list_objects_v2(Bucket=bucket, Prefix="a/")["KeyCount"] == 1
    denied(client.list_objects_v2, Bucket=bucket)
    denied(client.list_objects_v2, Bucket=bucket, Prefix="b/")
    assert client.get_object(Bucket=bucket, Key="a/k")["Body"].read() == b"x"
    denied(client.get_object, Bucket=bucket, Key="b/k")
    denied(client.put_object, Bucket=bucket, Key="n", Body=b"")
    denied(client.put_object, Bucket=bucket, Key="n", Body=b"", Tagging="team=other")
    client.put_object(Bucket=bucket, Key="n", Body=b"", Tagging="team=lab")
    denied(client.put_object, Bucket=bucket, Key="n", Body=b"", Tagging="team=lab", ACL="public-read")
    client.put_object(Bucket=bucket, Key="n", Body=b"", Tagging="team=lab", ACL="bucket-owner-full-control")
    tags = lambda value: {"TagSet": [{"Key": "team", "Value": value}]}
    denied(client.put_object_tagging, Bucket=bucket, Key="n", Tagging=tags("other"))
    client.put_object_tagging(Bucket=bucket, Key="n", Tagging=tags("lab"))
    denied(client.delete_object_tagging, Bucket=bucket, Key="n")
    client.delete_object(Bucket=bucket, Key="n")


@pytest.mark.promise("POL-BUCKET-9")
def test_each_key_of_a_deletion_is_asked_for(s3, bucket, lab):
    for key in ("a/1", "a/2", "b/1"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    statement = {**anyone(bucket, "s3:DeleteObject"), "Principal": {"AWS": lab.arn}}
    statement["Resource"] = f"arn:aws:s3:::{bucket}/a/*"
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    objects = [{"Key": key} for key in ("a/1", "b/1", "a/2")]
    answer = lab.client.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert sorted(item["Key"] for item in answer["Deleted"]) == ["a/1", "a/2"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("b/1", "AccessDenied")]
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["b/1"]


@pytest.mark.promise("POL-BUCKET-10")
def test_both_sides_of_a_copy_are_asked_for(s3, bucket, lab, labs):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    denied(lab.client.copy_object, Bucket=labs, Key="c", CopySource=f"{bucket}/k")
    denied(lab.client.copy_object, Bucket=labs, Key="c", CopySource=f"{bucket}/absent")
    statement = {**anyone(bucket, "s3:GetObject"), "Principal": {"AWS": lab.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    lab.client.copy_object(Bucket=labs, Key="c", CopySource=f"{bucket}/k")
    assert lab.client.get_object(Bucket=labs, Key="c")["Body"].read() == b"x"
    denied(lab.client.copy_object, Bucket=bucket, Key="c", CopySource=f"{bucket}/k")
    upload = lab.client.create_multipart_upload(Bucket=labs, Key="m")["UploadId"]
    part = {"Bucket": labs, "Key": "m", "UploadId": upload, "PartNumber": 1}
    lab.client.upload_part_copy(**part, CopySource=f"{bucket}/k")
    s3.delete_bucket_policy(Bucket=bucket)
    denied(lab.client.upload_part_copy, **part, CopySource=f"{bucket}/k")


@pytest.mark.promise("POL-BUCKET-11")
def test_the_status_tells_whether_strangers_are_let_in(s3, bucket, lab):
    def is_public():
        return s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]

    assert not is_public()
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(anyone(bucket, "s3:GetObject")))
    assert is_public()
    condition = {"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(anyone(bucket, "s3:GetObject", Condition=condition)))
    assert not is_public()
    statement = {**anyone(bucket, "s3:GetObject"), "Principal": {"AWS": lab.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    assert not is_public()
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read")
    assert is_public()


@pytest.mark.promise("POL-BUCKET-12")
def test_public_reading_is_a_statement_of_the_policy(gateway, s3, bucket, nobody, lab):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    own = {**anyone(bucket, "s3:ListBucket"), "Principal": {"AWS": lab.arn}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(own))
    lab._command("bucket", "public-read", bucket, "on")
    assert nobody.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    statements = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert [statement.get("Sid") for statement in statements] == [None, "PenstockPublicRead"]
    lab._command("bucket", "public-read", bucket, "off")
    denied(nobody.get_object, Bucket=bucket, Key="k")
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"] == [own]
