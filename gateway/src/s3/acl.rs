//! Owns what an access control list is: who owns the resource, which permissions are granted to whom, what each of
//! them lets do ("Access control list (ACL) overview", the mapping to actions), and the bytes that it is kept as, in
//! an object's row or as a bucket's setting.
//!
//! Not here: what a request says of ACLs (`acl_asked`), whether they count (`ownership`, `public_access`), deciding
//! (`access_verdict`).

use bytes::Bytes;
use s3s::dto;

use super::limits::{GRANTS_MAX, PARTY_NAME_BYTES_MAX};
use super::refusal::{Outcome, Refusal};

/// An account as ACLs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Party {
    /// Its canonical id.
    pub(super) id: Box<str>,
    /// Its name, for display alone.
    pub(super) name: Box<str>,
}

/// The canonical id that Amazon S3 gives to what nobody has signed.
pub(super) const ANONYMOUS_ID: &str = "65a011a29cdf8ec533ec3d1ccaae921c";

impl Party {
    pub(super) fn new(id: &str, name: &str) -> Self {
        Self { id: id.into(), name: name.into() }
    }

    /// Whoever sends a request that nobody has signed: the owner of what it makes.
    pub(super) fn anonymous() -> Self {
        Self::new(ANONYMOUS_ID, "")
    }

    /// For XML.
    pub(super) fn dto(&self) -> dto::Owner {
        dto::Owner {
            display_name: Some(self.name.to_string()).filter(|name| !name.is_empty()),
            id: Some(self.id.to_string()),
        }
    }
}

/// To whom something is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Grantee {
    /// One account with all its users.
    Party(Party),
    /// Anybody, signed or not.
    AllUsers,
    /// Anybody who has signed, of any account.
    AuthenticatedUsers,
    /// Who delivers access logs; nobody here asks as that.
    LogDelivery,
}

const GROUPS: [(Grantee, &str); 3] = [
    (Grantee::AllUsers, "http://acs.amazonaws.com/groups/global/AllUsers"),
    (Grantee::AuthenticatedUsers, "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"),
    (Grantee::LogDelivery, "http://acs.amazonaws.com/groups/s3/LogDelivery"),
];

impl Grantee {
    /// The group of an URI.
    pub(super) fn group(uri: &str) -> Option<Self> {
        GROUPS.iter().find(|(_, of_group)| *of_group == uri).map(|(group, _)| group.clone())
    }

    fn uri(&self) -> Option<&'static str> {
        GROUPS.iter().find(|(group, _)| group == self).map(|(_, uri)| *uri)
    }

    /// Whether it is a group that strangers are in.
    fn is_public(&self) -> bool {
        matches!(self, Self::AllUsers | Self::AuthenticatedUsers)
    }
}

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// All of the others.
    FullControl,
    /// Listing a bucket, reading an object.
    Read,
    /// Making, replacing and deleting the objects of a bucket.
    Write,
    /// Reading the ACL.
    ReadAcp,
    /// Changing the ACL.
    WriteAcp,
}

const PERMISSIONS: [(Permission, &str); 5] = [
    (Permission::FullControl, "FULL_CONTROL"),
    (Permission::Read, "READ"),
    (Permission::Write, "WRITE"),
    (Permission::ReadAcp, "READ_ACP"),
    (Permission::WriteAcp, "WRITE_ACP"),
];

impl Permission {
    /// The permission of a name.
    pub(super) fn named(name: &str) -> Option<Self> {
        PERMISSIONS.iter().find(|(_, text)| *text == name).map(|(permission, _)| *permission)
    }

    fn name(self) -> &'static str {
        PERMISSIONS[self as usize].1
    }

    fn covers(self, wanted: Permission) -> bool {
        self == Self::FullControl || self == wanted
    }
}

/// Whose ACL speaks of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// The bucket's, for this.
    Bucket(Permission),
    /// The object's, for this.
    Object(Permission),
    /// None: such an action is its owner's, or granted by policies.
    None,
}

/// What an action asks of ACLs.
pub(super) fn asks(action: &str) -> Asks {
    use Permission::{Read, ReadAcp, Write, WriteAcp};
    match action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            Asks::Bucket(Read)
        }
        "s3:PutObject" | "s3:DeleteObject" => Asks::Bucket(Write),
        "s3:GetBucketAcl" => Asks::Bucket(ReadAcp),
        "s3:PutBucketAcl" => Asks::Bucket(WriteAcp),
        "s3:GetObject"
        | "s3:GetObjectVersion"
        | "s3:GetObjectTorrent"
        | "s3:GetObjectAttributes"
        | "s3:GetObjectVersionAttributes" => Asks::Object(Read),
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => Asks::Object(ReadAcp),
        "s3:PutObjectAcl" | "s3:PutObjectVersionAcl" => Asks::Object(WriteAcp),
        // Of an upload, whose list is its initiator's.
        "s3:AbortMultipartUpload" | "s3:ListMultipartUploadParts" => Asks::Object(Write),
        _ => Asks::None,
    }
}

/// A permission and who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) grantee: Grantee,
    pub(super) permission: Permission,
}

/// An access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl {
    /// Whose the resource is.
    pub(super) owner: Party,
    /// Who may do what with it.
    pub(super) grants: Vec<Grant>,
}

impl Acl {
    /// Full control for the owner, nothing for others: what there is where nothing was said.
    pub(super) fn private(owner: Party) -> Self {
        let grant =
            Grant { grantee: Grantee::Party(owner.clone()), permission: Permission::FullControl };
        Self { owner, grants: vec![grant] }
    }

    /// Whether a caller of that account (none: nobody has signed) has a permission. The owner may always read and
    /// change the list itself. `ignore_public`: grants to groups of strangers do not count.
    pub(super) fn grants(
        &self,
        account: Option<&str>,
        wanted: Permission,
        ignore_public: bool,
    ) -> bool {
        let is_owner = account == Some(&*self.owner.id);
        if is_owner && matches!(wanted, Permission::ReadAcp | Permission::WriteAcp) {
            return true;
        }
        self.grants.iter().any(|grant| {
            grant.permission.covers(wanted)
                && match &grant.grantee {
                    Grantee::Party(party) => account == Some(&*party.id),
                    Grantee::AllUsers => !ignore_public,
                    Grantee::AuthenticatedUsers => !ignore_public && account.is_some(),
                    Grantee::LogDelivery => false,
                }
        })
    }

    /// Whether it grants anything to strangers.
    pub(super) fn is_public(&self) -> bool {
        self.grants.iter().any(|grant| grant.grantee.is_public())
    }

    /// Whether it grants anything to another than its owner.
    pub(super) fn is_shared(&self) -> bool {
        let is_owners = |grant: &Grant| match &grant.grantee {
            Grantee::Party(party) => party.id == self.owner.id,
            _ => false,
        };
        !self.grants.iter().all(is_owners)
    }

    /// Whether its owner has full control of the resource.
    pub(super) fn is_owners_in_full(&self) -> bool {
        use Permission::{Read, Write};
        [Read, Write].iter().all(|wanted| self.grants(Some(&self.owner.id), *wanted, true))
    }

    /// For XML.
    pub(super) fn dto_grants(&self) -> dto::Grants {
        let grantee = |grantee: &Grantee| match grantee {
            Grantee::Party(party) => dto::Grantee {
                display_name: Some(party.name.to_string()).filter(|name| !name.is_empty()),
                email_address: None,
                id: Some(party.id.to_string()),
                type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
                uri: None,
            },
            group => dto::Grantee {
                display_name: None,
                email_address: None,
                id: None,
                type_: dto::Type::from_static(dto::Type::GROUP),
                uri: group.uri().map(str::to_owned),
            },
        };
        let grants = self.grants.iter().map(|grant| dto::Grant {
            grantee: Some(grantee(&grant.grantee)),
            permission: Some(dto::Permission::from_static(grant.permission.name())),
        });
        grants.collect()
    }
}

const VERSION: u8 = 1;
/// Tags of grantees.
const PARTY: u8 = 0;
const ALL: u8 = 1;
const AUTHENTICATED: u8 = 2;
const LOGS: u8 = 3;

impl Acl {
    /// A version byte, the owner, a count and that many grants: permission, kind of grantee, account. An account is
    /// its id and its name, each after its length.
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(64 + self.grants.len() * 96);
        bytes.push(VERSION);
        write_party(&mut bytes, &self.owner);
        let count = self.grants.len().min(GRANTS_MAX);
        bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
        for grant in &self.grants[..count] {
            bytes.push(grant.permission as u8);
            match &grant.grantee {
                Grantee::Party(party) => {
                    bytes.push(PARTY);
                    write_party(&mut bytes, party);
                }
                Grantee::AllUsers => bytes.push(ALL),
                Grantee::AuthenticatedUsers => bytes.push(AUTHENTICATED),
                Grantee::LogDelivery => bytes.push(LOGS),
            }
        }
        bytes.into()
    }

    /// The list in those bytes.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode(bytes: &[u8]) -> Outcome<Self> {
        Self::read(bytes).ok_or(Refusal::Damaged("access control list"))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let owner = read_party(&mut rest)?;
        let count = usize::from(read_byte(&mut rest)?);
        let mut grants = Vec::with_capacity(count.min(GRANTS_MAX));
        for _ in 0..count {
            let permission = usize::from(read_byte(&mut rest)?);
            let permission = PERMISSIONS.get(permission)?.0;
            let grantee = match read_byte(&mut rest)? {
                PARTY => Grantee::Party(read_party(&mut rest)?),
                ALL => Grantee::AllUsers,
                AUTHENTICATED => Grantee::AuthenticatedUsers,
                LOGS => Grantee::LogDelivery,
                _ => return None,
            };
            grants.push(Grant { grantee, permission });
        }
        rest.is_empty().then_some(Self { owner, grants })
    }

    /// The owner alone, without reading the grants: for listings.
    ///
    /// # Errors
    /// Damaged.
    pub(super) fn decode_owner(bytes: &[u8]) -> Outcome<Party> {
        let owner = bytes.strip_prefix(&[VERSION]).and_then(|mut rest| read_party(&mut rest));
        owner.ok_or(Refusal::Damaged("access control list"))
    }
}

/// Writes an account: its id and its name, which is cut to [`PARTY_NAME_BYTES_MAX`].
pub(super) fn write_party(bytes: &mut Vec<u8>, party: &Party) {
    for text in [&party.id, &party.name] {
        let mut end = text.len().min(PARTY_NAME_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        bytes.push(u8::try_from(end).unwrap_or(0));
        bytes.extend_from_slice(&text.as_bytes()[..end]);
    }
}

/// Reads what [`write_party`] has written.
pub(super) fn read_party(rest: &mut &[u8]) -> Option<Party> {
    let id = read_text(rest)?;
    Some(Party { id: id.into(), name: read_text(rest)?.into() })
}

fn read_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(read_byte(rest)?);
    let (text, after) = rest.split_at_checked(length)?;
    *rest = after;
    std::str::from_utf8(text).ok()
}

fn read_byte(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(grants: &[(Grantee, Permission)]) -> Acl {
        let grants = grants.iter().map(|(grantee, permission)| Grant {
            grantee: grantee.clone(),
            permission: *permission,
        });
        Acl { owner: Party::new("owner", "Owner"), grants: grants.collect() }
    }

    #[test]
    fn a_list_survives_its_bytes_and_damage_is_seen() {
        let other = Grantee::Party(Party::new("other", "ö"));
        let list = acl(&[
            (other, Permission::WriteAcp),
            (Grantee::AllUsers, Permission::Read),
            (Grantee::LogDelivery, Permission::Write),
        ]);
        let bytes = list.encode();
        assert_eq!(Acl::decode(&bytes).unwrap(), list);
        assert_eq!(Acl::decode_owner(&bytes).unwrap(), list.owner);
        for end in 0..bytes.len() {
            assert!(Acl::decode(&bytes[..end]).is_err(), "{end}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(Acl::decode(&longer).is_err());
    }

    #[test]
    fn permissions_are_each_grantees_own() {
        use Permission::{FullControl, Read, ReadAcp, Write};
        let private = Acl::private(Party::new("owner", ""));
        assert!(private.grants(Some("owner"), Write, false) && private.is_owners_in_full());
        assert!(!private.grants(Some("other"), Read, false) && !private.is_shared());
        let public = acl(&[(Grantee::AllUsers, Read)]);
        assert!(public.grants(None, Read, false) && public.is_public() && public.is_shared());
        assert!(!public.grants(None, Read, true), "public grants are ignored");
        assert!(!public.grants(None, Write, false));
        assert!(public.grants(Some("owner"), ReadAcp, false), "an owner can always mend it");
        assert!(!public.is_owners_in_full());
        let signed = acl(&[(Grantee::AuthenticatedUsers, FullControl)]);
        assert!(signed.grants(Some("other"), Write, false) && !signed.grants(None, Read, false));
        let named = acl(&[(Grantee::Party(Party::new("other", "")), Write)]);
        assert!(named.grants(Some("other"), Write, true) && !named.is_public());
    }

    #[test]
    fn a_long_name_is_cut_between_letters() {
        let list = Acl::private(Party::new("id", &"ü".repeat(200)));
        let name = Acl::decode(&list.encode()).unwrap().owner.name;
        assert!(name.len() <= PARTY_NAME_BYTES_MAX && name.chars().all(|it| it == 'ü'));
    }

    #[test]
    fn every_permission_has_its_place_in_the_table() {
        for (permission, name) in PERMISSIONS {
            assert_eq!((permission.name(), Permission::named(name)), (name, Some(permission)));
        }
    }
}
