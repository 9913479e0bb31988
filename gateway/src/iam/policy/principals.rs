//! Owns: the `Principal` element: whom a statement is for.

use super::json::Json;
use super::{Kind, Malformed};
use crate::iam::principal::{Caller, PrincipalKind};

/// S3's sentence for a principal that it does not know.
pub(crate) const INVALID_PRINCIPAL: &str = "Invalid principal in policy";

/// Whom a statement is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    /// `NotPrincipal`.
    negated: bool,
    list: Box<[Named]>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Everybody, signed or not.
    Any,
    /// An account, by its number: it decides itself whom of its users it lets.
    Account(Box<str>),
    /// The same by its canonical id.
    Canonical(Box<str>),
    /// `arn:aws:iam::NUMBER:user/NAME`.
    User(Box<str>),
    /// `arn:aws:iam::NUMBER:role/NAME`: any session of the role.
    Role(Box<str>),
    /// `arn:aws:sts::NUMBER:assumed-role/ROLE/SESSION`.
    Session(Box<str>),
    /// A service, or a federation: there are none here.
    Nobody,
}

/// How near a statement has come to the caller: what else has to agree depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    /// It names the caller's account, which decides on its users by their policies.
    Account,
    /// It names the role, whose session may be limited by its own policy.
    Role,
    /// It names the caller itself, or everybody.
    Caller,
}

impl Principals {
    /// Reads `Principal` or `NotPrincipal`.
    pub(super) fn parse(json: &Json, negated: bool, place: &str) -> Result<Principals, Malformed> {
        let invalid = |place: &str| Malformed::at(INVALID_PRINCIPAL, place);
        let list = match json {
            Json::Text(text) if text == "*" => vec![Named::Any],
            Json::Object(kinds) if !kinds.is_empty() => {
                let mut list = Vec::new();
                for (kind, names) in kinds {
                    let place = format!("{place}.{kind}");
                    let names = match names {
                        Json::List(names) if !names.is_empty() => names.as_slice(),
                        Json::List(_) => return Err(invalid(&place)),
                        one => std::slice::from_ref(one),
                    };
                    for name in names {
                        let Json::Text(name) = name else { return Err(invalid(&place)) };
                        list.push(
                            Named::parse(kind, name)
                                .ok_or_else(|| invalid(&format!("{place}: \"{name}\"")))?,
                        );
                    }
                }
                list
            }
            _ => return Err(invalid(place)),
        };
        Ok(Principals { negated, list: list.into() })
    }

    /// How near it is to the caller; none when it is not for it.
    pub(super) fn nearness(&self, caller: &Caller) -> Option<Nearness> {
        if self.negated {
            let excepted = self.list.iter().any(|named| named.excepts(caller));
            return (!excepted).then_some(Nearness::Caller);
        }
        self.list.iter().filter_map(|named| named.nearness(caller)).max()
    }

    /// Whether it is for everybody.
    pub(super) fn is_everybody(&self) -> bool {
        self.negated || self.list.contains(&Named::Any)
    }

    /// Those that it names.
    pub(super) fn named(&self) -> &[Named] {
        &self.list
    }
}

impl Named {
    fn parse(kind: &str, name: &str) -> Option<Named> {
        match kind {
            "AWS" if name == "*" => Some(Named::Any),
            "AWS" if is_number(name) => Some(Named::Account(name.into())),
            "AWS" => Named::of_arn(name),
            "CanonicalUser" if !name.is_empty() && !name.contains('*') => {
                Some(Named::Canonical(name.into()))
            }
            "Service" | "Federated" if !name.is_empty() => Some(Named::Nobody),
            _ => None,
        }
    }

    fn of_arn(arn: &str) -> Option<Named> {
        let mut parts = arn.splitn(6, ':');
        let head = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let (number, resource) = (parts.next()?, parts.next()?);
        if !is_number(number) || arn.contains(['*', '?']) {
            return None;
        }
        match (head, resource.split_once('/')) {
            (["arn", "aws", "iam", ""], None) if resource == "root" => {
                Some(Named::Account(number.into()))
            }
            (["arn", "aws", "iam", ""], Some(("user", name))) if !name.is_empty() => {
                Some(Named::User(arn.into()))
            }
            (["arn", "aws", "iam", ""], Some(("role", name))) if !name.is_empty() => {
                Some(Named::Role(arn.into()))
            }
            (["arn", "aws", "sts", ""], Some(("assumed-role", name)))
                if name
                    .split_once('/')
                    .is_some_and(|(role, session)| !role.is_empty() && !session.is_empty()) =>
            {
                Some(Named::Session(arn.into()))
            }
            _ => None,
        }
    }

    fn nearness(&self, caller: &Caller) -> Option<Nearness> {
        if *self == Named::Any {
            return Some(Nearness::Caller);
        }
        let principal = caller.principal()?;
        let of_account = |fits: bool| {
            let near = match principal.kind {
                PrincipalKind::Root => Nearness::Caller,
                PrincipalKind::User | PrincipalKind::AssumedRole => Nearness::Account,
            };
            fits.then_some(near)
        };
        let kind = principal.kind;
        match self {
            Named::Account(number) => of_account(*number == principal.account.number),
            Named::Canonical(id) => of_account(*id == principal.account.canonical_id),
            Named::User(arn) => {
                (kind == PrincipalKind::User && *arn == principal.arn).then_some(Nearness::Caller)
            }
            Named::Role(arn) => (kind == PrincipalKind::AssumedRole
                && *arn == principal.issuer_arn)
                .then_some(Nearness::Role),
            Named::Session(arn) => (kind == PrincipalKind::AssumedRole && *arn == principal.arn)
                .then_some(Nearness::Caller),
            Named::Any | Named::Nobody => None,
        }
    }

    /// Whether `NotPrincipal` excepts the caller by this name: an account's excepts its root alone.
    fn excepts(&self, caller: &Caller) -> bool {
        let near = self.nearness(caller);
        match self {
            Named::Account(_) | Named::Canonical(_) => near == Some(Nearness::Caller),
            _ => near.is_some(),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Kind {
    /// Whether its statements name principals.
    pub(super) fn has_principals(self) -> bool {
        matches!(self, Kind::Bucket | Kind::Trust)
    }

    /// Whether its statements name resources.
    pub(super) fn has_resources(self) -> bool {
        matches!(self, Kind::Bucket | Kind::Identity)
    }
}
