//! Owns what a request says of an ACL, in one of three forms of which it may use one: a canned ACL by name, grants in
//! headers, a document ("Canned ACL", PutBucketAcl, PutObjectAcl).

use http::HeaderMap;
use s3s::dto;

use super::acl::{Acl, Grant, Grantee, Party, Permission};
use super::limits::GRANTS_MAX;
use super::refusal::{AccessRefusal, Outcome, Refusal};

/// Who has accounts here.
pub(super) trait Directory {
    /// The account of a canonical id.
    fn by_id(&self, id: &str) -> Option<Party>;
    /// The account of an e-mail address.
    fn by_email(&self, address: &str) -> Option<Party>;
}

/// Whose resource the ACL is for.
#[derive(Clone, Copy)]
pub(super) enum For<'a> {
    /// A bucket with its owner.
    Bucket(&'a Party),
    /// An object with its owner and its bucket's.
    Object(&'a Party, &'a Party),
}

impl<'a> For<'a> {
    fn owner(self) -> &'a Party {
        match self {
            For::Bucket(owner) | For::Object(owner, _) => owner,
        }
    }
}

/// The account of Amazon EC2, which `aws-exec-read` lets read; nobody here asks as that.
const EC2_ID: &str = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c";

const GRANT_HEADERS: [(&str, Permission); 5] = [
    ("x-amz-grant-full-control", Permission::FullControl),
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
];

/// What the headers say; none where they say nothing.
///
/// # Errors
/// InvalidArgument for what is no canned ACL, no grantee or nobody's id; InvalidRequest for both forms at once;
/// UnresolvableGrantByEmailAddress.
pub(super) fn of_headers(
    headers: &HeaderMap,
    resource: For<'_>,
    directory: &dyn Directory,
) -> Outcome<Option<Acl>> {
    let canned_name = headers.get("x-amz-acl");
    let mut grants = Vec::new();
    let mut said = false;
    for (name, permission) in GRANT_HEADERS {
        for value in headers.get_all(name) {
            said = true;
            let text = value.to_str().map_err(|_| invalid("a grant header is not ASCII"))?;
            for grantee in split(text) {
                grants.push(Grant { grantee: grantee_of(grantee, directory)?, permission });
            }
        }
    }
    if grants.len() > GRANTS_MAX {
        return Err(too_many());
    }
    match canned_name {
        None if said => Ok(Some(Acl { owner: resource.owner().clone(), grants })),
        None => Ok(None),
        Some(_) if said => Err(Refusal::InvalidRequest(
            "Specifying both Canned ACLs and Header Grants is not allowed".to_owned(),
        )),
        Some(name) => canned(name.to_str().unwrap_or_default(), resource).map(Some),
    }
}

/// The ACL of a name.
fn canned(name: &str, resource: For<'_>) -> Outcome<Acl> {
    use Permission::{FullControl, Read, ReadAcp, Write};
    let mut acl = Acl::private(resource.owner().clone());
    let mut grant = |grantee, permission| acl.grants.push(Grant { grantee, permission });
    match (name, resource) {
        ("private", _) => {}
        ("public-read", _) => grant(Grantee::AllUsers, Read),
        ("public-read-write", _) => {
            grant(Grantee::AllUsers, Read);
            grant(Grantee::AllUsers, Write);
        }
        ("authenticated-read", _) => grant(Grantee::AuthenticatedUsers, Read),
        ("aws-exec-read", _) => grant(Grantee::Party(Party::new(EC2_ID, "")), Read),
        ("log-delivery-write", For::Bucket(_)) => {
            grant(Grantee::LogDelivery, Write);
            grant(Grantee::LogDelivery, ReadAcp);
        }
        ("bucket-owner-read", For::Object(owner, of_bucket)) => {
            if owner.id != of_bucket.id {
                grant(Grantee::Party(of_bucket.clone()), Read);
            }
        }
        ("bucket-owner-full-control", For::Object(owner, of_bucket)) => {
            if owner.id != of_bucket.id {
                grant(Grantee::Party(of_bucket.clone()), FullControl);
            }
        }
        // "If you specify this canned ACL when creating a bucket, Amazon S3 ignores it."
        ("bucket-owner-read" | "bucket-owner-full-control", For::Bucket(_)) => {}
        _ => return Err(invalid("x-amz-acl is none of the canned ACLs")),
    }
    Ok(acl)
}

/// The grantees of a header: `id="…", uri="…"`. None of the values has a comma, quoted or not.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|grantee| !grantee.is_empty())
}

fn grantee_of(text: &str, directory: &dyn Directory) -> Outcome<Grantee> {
    let malformed = || invalid("a grantee is id=, uri= or emailAddress= with its value");
    let (kind, value) = text.split_once('=').ok_or_else(malformed)?;
    let value = value.trim().trim_matches('"');
    if kind.trim().eq_ignore_ascii_case("id") {
        by_id(value, directory)
    } else if kind.trim().eq_ignore_ascii_case("uri") {
        by_uri(value)
    } else if kind.trim().eq_ignore_ascii_case("emailAddress") {
        by_email(value, directory)
    } else {
        Err(malformed())
    }
}

fn by_id(id: &str, directory: &dyn Directory) -> Outcome<Grantee> {
    let party = directory.by_id(id).ok_or_else(|| invalid("Invalid id"))?;
    Ok(Grantee::Party(party))
}

fn by_uri(uri: &str) -> Outcome<Grantee> {
    Grantee::group(uri).ok_or_else(|| invalid("Invalid group uri"))
}

fn by_email(address: &str, directory: &dyn Directory) -> Outcome<Grantee> {
    let party = directory.by_email(address);
    party.map(Grantee::Party).ok_or(Refusal::Access(AccessRefusal::UnresolvableEmail))
}

/// What a document says. Its owner is the resource's, whom nobody can change by an ACL.
///
/// # Errors
/// MalformedACLError where something is missing or unknown, AccessDenied for another owner, and those of grantees.
pub(super) fn of_document(
    document: dto::AccessControlPolicy,
    resource: For<'_>,
    directory: &dyn Directory,
) -> Outcome<Acl> {
    let owner = document.owner.and_then(|owner| owner.id).ok_or_else(|| malformed("Owner"))?;
    if *owner != *resource.owner().id {
        return Err(Refusal::AccessDenied("the owner of a resource cannot be changed by its ACL"));
    }
    let mut grants = Vec::new();
    for grant in document.grants.unwrap_or_default() {
        let permission = grant.permission.ok_or_else(|| malformed("Permission"))?;
        let permission =
            Permission::named(permission.as_str()).ok_or_else(|| malformed("Permission"))?;
        let grantee = grant.grantee.ok_or_else(|| malformed("Grantee"))?;
        let grantee = match (grantee.id, grantee.uri, grantee.email_address) {
            (Some(id), _, _) => by_id(&id, directory)?,
            (None, Some(uri), _) => by_uri(&uri)?,
            (None, None, Some(address)) => by_email(&address, directory)?,
            (None, None, None) => return Err(malformed("Grantee")),
        };
        grants.push(Grant { grantee, permission });
    }
    if grants.len() > GRANTS_MAX {
        return Err(too_many());
    }
    Ok(Acl { owner: resource.owner().clone(), grants })
}

fn malformed(what: &'static str) -> Refusal {
    Refusal::Access(AccessRefusal::MalformedAcl(what))
}

fn too_many() -> Refusal {
    Refusal::InvalidRequest(format!("an ACL has at most {GRANTS_MAX} grants"))
}

fn invalid(why: &str) -> Refusal {
    Refusal::InvalidArgument(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    struct Two;

    impl Directory for Two {
        fn by_id(&self, id: &str) -> Option<Party> {
            matches!(id, "owner" | "other").then(|| Party::new(id, id))
        }

        fn by_email(&self, address: &str) -> Option<Party> {
            (address == "other@example.com").then(|| Party::new("other", "other"))
        }
    }

    fn said(pairs: &[(&'static str, &'static str)]) -> Outcome<Option<Acl>> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let (owner, bucket) = (Party::new("owner", "owner"), Party::new("other", "other"));
        of_headers(&headers, For::Object(&owner, &bucket), &Two)
    }

    #[test]
    fn canned_acls_are_those_of_the_table() {
        let grants = |name| said(&[("x-amz-acl", name)]).unwrap().unwrap().grants.len();
        assert_eq!(grants("private"), 1);
        assert_eq!(grants("public-read"), 2);
        assert_eq!(grants("public-read-write"), 3);
        assert_eq!(grants("bucket-owner-full-control"), 2);
        assert!(said(&[]).unwrap().is_none());
        for name in ["public", "log-delivery-write", ""] {
            let refused = said(&[("x-amz-acl", name)]);
            assert!(matches!(refused, Err(Refusal::InvalidArgument(_))), "{name}");
        }
    }

    #[test]
    fn grants_in_headers_are_all_there_is() {
        let pairs = [
            (
                "x-amz-grant-read",
                "id=\"other\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"",
            ),
            ("x-amz-grant-write-acp", "emailAddress=other@example.com"),
        ];
        let acl = said(&pairs).unwrap().unwrap();
        assert_eq!(acl.grants.len(), 3);
        assert!(!acl.grants(Some("owner"), Permission::Read, true), "nothing for its owner");
        for (value, fits) in [("id=nobody", false), ("uri=x", false), ("other", false), ("", true)]
        {
            assert_eq!(said(&[("x-amz-grant-read", value)]).is_ok(), fits, "{value}");
        }
        let unknown = said(&[("x-amz-grant-read", "emailAddress=\"x@example.com\"")]);
        assert!(matches!(unknown, Err(Refusal::Access(AccessRefusal::UnresolvableEmail))));
        let both = said(&[("x-amz-grant-read", "id=other"), ("x-amz-acl", "private")]);
        assert!(matches!(both, Err(Refusal::InvalidRequest(_))));
    }

    #[test]
    fn a_document_keeps_its_owner() {
        let owner = Party::new("owner", "owner");
        let document = |owner: &str, permission: &str| dto::AccessControlPolicy {
            owner: Some(dto::Owner { id: Some(owner.to_owned()), display_name: None }),
            grants: Some(vec![dto::Grant {
                grantee: Some(dto::Grantee {
                    display_name: None,
                    email_address: None,
                    id: Some("other".to_owned()),
                    type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
                    uri: None,
                }),
                permission: Some(dto::Permission::from(permission.to_owned())),
            }]),
        };
        let read = |given| of_document(given, For::Bucket(&owner), &Two);
        assert_eq!(read(document("owner", "READ")).unwrap().grants.len(), 1);
        assert!(matches!(read(document("other", "READ")), Err(Refusal::AccessDenied(_))));
        let unknown = read(document("owner", "ALL"));
        assert!(matches!(unknown, Err(Refusal::Access(AccessRefusal::MalformedAcl(_)))));
    }
}
