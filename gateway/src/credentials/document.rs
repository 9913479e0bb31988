//! Owns: what the credentials file and the file of users hold, as they write it.
//! Limits: `ACCESS_KEYS_MAX`, `PRINCIPALS_MAX`.
//! Not here: what of it holds now (`iam::directory`), and changing it (`iam::change`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AccessKey;
use crate::auth::Secret;
use crate::iam::Account;
use crate::limits;

/// A file's contents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// `[[account]]`.
    #[serde(default, rename = "account", skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountEntry>,
    /// `[[user]]`.
    #[serde(default, rename = "user", skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<UserEntry>,
    /// `[[role]]`.
    #[serde(default, rename = "role", skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleEntry>,
    /// `[[key]]`.
    #[serde(default, rename = "key", skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyEntry>,
}

/// An account. `penstock` is always there and has no entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountEntry {
    /// Unique; what ACLs show.
    pub name: String,
    /// 12 digits; worked out of the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// 64 hexadecimal digits; worked out of the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canonical_id: Option<String>,
    /// By which ACLs may name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Nobody of it is let in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Names of client certificates that stand for its root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

/// A user within an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// Unique in its account.
    pub name: String,
    /// Its account.
    #[serde(default = "penstock")]
    pub account: String,
    /// `/` or `/division/team/`.
    #[serde(default = "slash", skip_serializing_if = "is_slash")]
    pub path: String,
    /// `AIDA…`; worked out of the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// It is not let in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Names of client certificates that stand for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its policies, in JSON, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, String>,
}

/// A role: whom it trusts may take on its policies for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleEntry {
    /// Unique in its account.
    pub name: String,
    /// Its account.
    #[serde(default = "penstock")]
    pub account: String,
    /// `/` or `/division/team/`.
    #[serde(default = "slash", skip_serializing_if = "is_slash")]
    pub path: String,
    /// `AROA…`; worked out of the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Nobody takes it on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    /// Seconds that one session may last, at most.
    #[serde(default = "hour")]
    pub max_session: u64,
    /// Who may take it on, in JSON.
    pub trust: String,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Its policies, in JSON, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub policies: BTreeMap<String, String>,
}

/// An access key.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Unique.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// Whose it is: the account's root's, unless there is a user.
    #[serde(default = "penstock", skip_serializing_if = "is_penstock")]
    pub account: String,
    /// The user of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It is not accepted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
}

impl std::fmt::Debug for KeyEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("KeyEntry").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyEntry {
    /// A key of an account, or of a user of it.
    pub fn new(key: &AccessKey, account: &str, user: Option<&str>, created: u64) -> KeyEntry {
        KeyEntry {
            id: key.id.to_string(),
            secret: key.secret.reveal().to_string(),
            account: account.to_owned(),
            user: user.map(str::to_owned),
            disabled: false,
            created,
        }
    }

    /// The key.
    pub fn key(&self) -> AccessKey {
        AccessKey { id: self.id.as_str().into(), secret: Secret::new(self.secret.as_str()) }
    }
}

impl Document {
    /// Looks at the form of everything in it.
    ///
    /// # Errors
    /// What is wrong with which entry; secrets are not quoted.
    pub fn check(&self) -> Result<(), String> {
        let principals = self.accounts.len() + self.users.len() + self.roles.len();
        if self.keys.len() > limits::ACCESS_KEYS_MAX {
            return Err(format!("more than {} keys", limits::ACCESS_KEYS_MAX));
        }
        if principals > limits::PRINCIPALS_MAX {
            let most = limits::PRINCIPALS_MAX;
            return Err(format!("more than {most} accounts, users and roles"));
        }
        for (index, key) in self.keys.iter().enumerate() {
            let at = |problem| format!("key {}: {problem}", index + 1);
            AccessKey::check_id(&key.id).map_err(|problem| at(format!("id {problem}")))?;
            Secret::from_text(&key.secret).map_err(|problem| at(format!("secret {problem}")))?;
        }
        for account in &self.accounts {
            let at = |problem: &str| format!("account {:?}: {problem}", account.name);
            check_name(&account.name).map_err(at)?;
            if account.name == Account::PENSTOCK {
                return Err(at("is always there and needs no entry"));
            }
            let number = account.number.as_deref();
            if number.is_some_and(|text| text.len() != 12 || !text.bytes().all(digit)) {
                return Err(at("its number has not 12 digits"));
            }
            let id = account.canonical_id.as_deref();
            if id.is_some_and(|text| text.is_empty() || !text.bytes().all(plain)) {
                return Err(at(
                    "its canonical_id has characters besides letters, digits, _, - and .",
                ));
            }
        }
        let users = self.users.iter().map(|it| ("user", &it.name, &it.path));
        let roles = self.roles.iter().map(|it| ("role", &it.name, &it.path));
        for (kind, name, path) in users.chain(roles) {
            let at = |problem: &str| format!("{kind} {name:?}: {problem}");
            check_name(name).map_err(at)?;
            check_path(path).map_err(at)?;
        }
        Ok(())
    }
}

fn digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Names of users as IAM has them: 1 to 64 letters, digits and `_+=,.@-`.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    match name.len() {
        0 => Err("the name is empty"),
        65.. => Err("the name is longer than 64 characters"),
        _ if !name.bytes().all(allowed) => {
            Err("the name has characters besides letters, digits and _+=,.@-")
        }
        _ => Ok(()),
    }
}

/// Paths of users as IAM has them: `/`, or printable text between slashes.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &str) -> Result<(), &'static str> {
    let bounded = path.starts_with('/') && path.ends_with('/') && path.len() <= 512;
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"*?:".contains(&byte));
    if bounded && printable { Ok(()) } else { Err("the path must begin and end with /") }
}

fn penstock() -> String {
    Account::PENSTOCK.to_owned()
}

fn is_penstock(name: &str) -> bool {
    name == Account::PENSTOCK
}

fn slash() -> String {
    "/".to_owned()
}

fn is_slash(path: &str) -> bool {
    path == "/"
}

fn hour() -> u64 {
    3_600
}

fn is_false(value: &bool) -> bool {
    !value
}
