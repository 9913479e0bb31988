//! Owns: whom a request is from, as everything behind verification sees it.
//! Not here: how it was found out (`auth`), and who there is (`directory`).

use std::sync::Arc;

use super::policy::Policy;
use super::sealing::Claims;

/// Whom a request is from. In the extensions of every request behind the door.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody signed it.
    Anonymous,
    /// The holder of a key.
    Principal(Arc<Principal>),
}

impl Caller {
    /// The principal, of a signed request.
    pub fn principal(&self) -> Option<&Arc<Principal>> {
        match self {
            Caller::Anonymous => None,
            Caller::Principal(principal) => Some(principal),
        }
    }

    /// The account, of a signed request.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.principal().map(|principal| &principal.account)
    }

    /// Whether it is the root of the account with that canonical id, under no session's policy.
    pub fn is_root_of(&self, canonical_id: &str) -> bool {
        self.principal().is_some_and(|principal| {
            principal.kind == PrincipalKind::Root
                && *principal.account.canonical_id == *canonical_id
                && principal.session.as_ref().is_none_or(Session::is_unlimited)
        })
    }
}

/// What owns buckets and objects, and has users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name in ACLs: 64 hexadecimal digits; `penstock` for the account of that name, which
    /// owned everything before there were others.
    pub canonical_id: Box<str>,
    /// Its number in ARNs, 12 digits.
    pub number: Box<str>,
    /// Its name for people, which ACLs show.
    pub name: Box<str>,
}

impl Account {
    /// The name and the canonical id of the account that every store has.
    pub const PENSTOCK: &'static str = "penstock";
    /// Its number.
    pub const PENSTOCK_NUMBER: &'static str = "000000000000";

    /// The account that every store has; keys without another belong to it.
    pub fn penstock() -> Account {
        Account {
            canonical_id: Account::PENSTOCK.into(),
            number: Account::PENSTOCK_NUMBER.into(),
            name: Account::PENSTOCK.into(),
        }
    }
}

/// What kind a principal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The account itself: no policy of its own limits it.
    Root,
    /// A user of an account, who may do what policies say.
    User,
    /// A session of a role.
    AssumedRole,
}

/// Who signs with a key. Made once when the key is read, or once a session, and shared by all requests.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The id of the key.
    pub access_key: Arc<str>,
    /// Whose it is.
    pub account: Arc<Account>,
    /// Root, user or role.
    pub kind: PrincipalKind,
    /// The name of the user, or of the role; none for the root of the account.
    pub user: Option<Box<str>>,
    /// What policies call it: `arn:aws:iam::NUMBER:root`, `arn:aws:iam::NUMBER:user/NAME` or
    /// `arn:aws:sts::NUMBER:assumed-role/ROLE/SESSION`.
    pub arn: Box<str>,
    /// `arn:aws:iam::NUMBER:role/NAME` of a role's session, the same as `arn` else.
    pub issuer_arn: Box<str>,
    /// `aws:userid`: the account's number, a user's id, or a role's with the session's name.
    pub id: Box<str>,
    /// `aws:PrincipalTag/…`, of the user or role and of the session, which goes before.
    pub tags: Box<[(Box<str>, Box<str>)]>,
    /// Policies of the user or role.
    pub policies: Arc<[Policy]>,
    /// What temporary credentials add.
    pub session: Option<Session>,
    /// Distinguishes this secret of the key from every other: the first bytes of a digest.
    pub fingerprint: [u8; 8],
}

impl Principal {
    /// The root of the account `penstock` with that key.
    pub fn operator(access_key: Arc<str>) -> Principal {
        let account = Arc::new(Account::penstock());
        Principal::root(access_key, account, [0; 8])
    }

    /// The root of an account.
    pub fn root(access_key: Arc<str>, account: Arc<Account>, fingerprint: [u8; 8]) -> Principal {
        let arn: Box<str> = format!("arn:aws:iam::{}:root", account.number).into();
        Principal {
            access_key,
            kind: PrincipalKind::Root,
            user: None,
            issuer_arn: arn.clone(),
            arn,
            id: account.number.clone(),
            tags: Box::default(),
            policies: Arc::default(),
            session: None,
            fingerprint,
            account,
        }
    }

    /// The value of a tag; names of tags are compared without case, as condition keys are.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let found = self.tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }
}

/// What temporary credentials add to whom they are of.
#[derive(Debug, Clone)]
pub struct Session {
    /// When they were issued, seconds since 1970.
    pub issued: i64,
    /// When they end, seconds since 1970.
    pub expires: i64,
    /// The name that AssumeRole gave the session.
    pub name: Option<Box<str>>,
    /// What the session is limited to, beside what its principal may.
    pub policy: Option<Policy>,
    /// The bucket that CreateSession made it for.
    pub express: Option<Express>,
    /// What its token says, for sessions that are made of it.
    pub(crate) claims: Claims,
}

impl Session {
    /// Whether it may do all that its principal may.
    pub fn is_unlimited(&self) -> bool {
        self.policy.is_none() && self.express.is_none()
    }
}

/// A session of S3 Express: one bucket alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Express {
    /// The bucket.
    pub bucket: Box<str>,
    /// Whether it may only read.
    pub read_only: bool,
}

#[cfg(test)]
impl From<&crate::auth::Identity> for Caller {
    /// The root of `penstock` with that key, for tests that do not verify.
    fn from(identity: &crate::auth::Identity) -> Caller {
        match identity {
            crate::auth::Identity::Anonymous => Caller::Anonymous,
            crate::auth::Identity::Key(key) => {
                Caller::Principal(Arc::new(Principal::operator(key.clone())))
            }
        }
    }
}
