//! Owns: a request as statements look at it: its resource as an ARN, and every condition key, those that
//! come from the caller included.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Context, Request, Values};
use crate::iam::principal::{Caller, Principal, PrincipalKind};

/// What statements are asked.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) caller: &'a Caller,
    pub(super) action: &'a str,
    /// The resource's ARN.
    pub(super) arn: &'a str,
    /// The bucket's name.
    pub(super) bucket: &'a str,
    pub(super) context: &'a dyn Context,
}

/// An ARN of S3 that is written without the allocator: prefix, bucket, slash and key take 1,101 bytes.
pub(super) struct Name {
    buffer: [u8; NAME_BYTES],
    length: usize,
    long: String,
}

const NAME_BYTES: usize = 1_120;

impl Name {
    pub(super) fn of(request: &Request<'_>) -> Name {
        let mut name = Name { buffer: [0; NAME_BYTES], length: 0, long: String::new() };
        let resource = request.resource;
        let (slash, key) = match resource.key {
            Some(key) => ("/", key),
            None => ("", ""),
        };
        let pieces = ["arn:aws:s3:::", resource.bucket, slash, key];
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if length > NAME_BYTES {
            name.long = pieces.concat();
            return name;
        }
        for piece in pieces {
            name.buffer[name.length..name.length + piece.len()].copy_from_slice(piece.as_bytes());
            name.length += piece.len();
        }
        name
    }

    pub(super) fn text(&self) -> &str {
        if !self.long.is_empty() {
            return &self.long;
        }
        // Texts one after the other are a text.
        std::str::from_utf8(&self.buffer[..self.length]).unwrap_or_default()
    }
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &Request<'a>, arn: &'a str) -> Asked<'a> {
        Asked {
            caller: request.caller,
            action: request.action,
            arn,
            bucket: request.resource.bucket,
            context: request.context,
        }
    }

    /// Whether it is an action of S3 Express.
    pub(super) fn is_express(&self) -> bool {
        self.action.starts_with("s3express:")
    }

    /// The one value of a variable.
    pub(super) fn variable(&self, key: &str) -> Option<Cow<'a, str>> {
        match self.value(key)? {
            Values::One(value) => Some(value),
            Values::Many(_) => None,
        }
    }

    /// The values of a condition key.
    pub(super) fn value(&self, key: &str) -> Option<Values<'a>> {
        let name = key.get(..4).filter(|vendor| vendor.eq_ignore_ascii_case("aws:"));
        let Some(name) = name.and_then(|_| key.get(4..)) else { return self.context.value(key) };
        if let Some(value) = self.of_caller(name) {
            return value.map(Values::One);
        }
        self.context.value(key).or_else(|| of_clock(name))
    }

    /// A key that the caller alone decides; `Some(None)` when it has none.
    fn of_caller(&self, name: &str) -> Option<Option<Cow<'a, str>>> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let principal = self.caller.principal();
        if name.len() > 13 && name.is_char_boundary(13) {
            let (start, tag) = name.split_at(13);
            if start.eq_ignore_ascii_case("PrincipalTag/") {
                return Some(principal.and_then(|it| it.tag(tag)).map(Cow::Borrowed));
            }
        }
        let of = |value: fn(&Principal) -> &str| {
            Some(principal.map(|principal| Cow::Borrowed(value(principal))))
        };
        match () {
            () if is("username") => Some(
                principal
                    .filter(|it| it.kind == PrincipalKind::User)
                    .and_then(|it| it.user.as_deref())
                    .map(Cow::Borrowed),
            ),
            () if is("userid") && principal.is_none() => Some(Some("anonymous".into())),
            () if is("userid") => of(|it| &it.id),
            () if is("PrincipalArn") => of(|it| &it.issuer_arn),
            () if is("PrincipalAccount") => of(|it| &it.account.number),
            () if is("PrincipalType") => Some(Some(Cow::Borrowed(match principal {
                None => "Anonymous",
                Some(it) => match it.kind {
                    PrincipalKind::Root => "Account",
                    PrincipalKind::User => "User",
                    PrincipalKind::AssumedRole => "AssumedRole",
                },
            }))),
            () if is("PrincipalIsAWSService") => Some(Some("false".into())),
            // There is no second factor here, and only sessions say so.
            () if is("MultiFactorAuthPresent") => {
                Some(principal.and_then(|it| it.session.as_ref()).map(|_| "false".into()))
            }
            () if is("TokenIssueTime") => Some(
                principal
                    .and_then(|it| it.session.as_ref())
                    .map(|session| session.issued.to_string().into()),
            ),
            () => None,
        }
    }
}

/// The moment, where the context has none.
fn of_clock(name: &str) -> Option<Values<'static>> {
    let now = ["CurrentTime", "EpochTime"].iter().any(|key| key.eq_ignore_ascii_case(name));
    now.then(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Values::One(since.as_secs().to_string().into())
    })
}
