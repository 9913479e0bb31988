//! Owns: everyone that there is, worked out of the files once when they change.
//! Not here: what is asked of it on every request (`iam`), and where it is written down (`credentials`).

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::change::Holder;
use super::policy::{Kind, Policy};
use super::principal::{Account, Principal, PrincipalKind};
use crate::credentials::document::{AccountEntry, Document, KeyEntry, RoleEntry, UserEntry};
use crate::credentials::{AccessKey, Secret, id_of};

/// What verification needs of a key, in one look: the secret and whose it is.
#[derive(Debug, Clone)]
pub struct Known {
    /// To check the signature with.
    pub secret: Secret,
    /// Who has signed, if it is right.
    pub principal: Arc<Principal>,
}

/// The name of an account, and of a user or role in it.
type Place = (Box<str>, Box<str>);

/// Everyone that there is.
#[derive(Debug, Default)]
pub struct Directory {
    keys: BTreeMap<Arc<str>, Known>,
    accounts: BTreeMap<Box<str>, Held>,
    users: BTreeMap<Place, Member>,
    roles: BTreeMap<Place, Role>,
    certificates: BTreeMap<Box<str>, Arc<Principal>>,
    /// What the credentials file holds.
    pub stored: Document,
    /// What the file of users holds.
    pub declared: Document,
}

#[derive(Debug)]
struct Held {
    account: Arc<Account>,
    email: Option<Box<str>>,
    disabled: bool,
}

/// A user, without a key.
#[derive(Debug)]
struct Member {
    principal: Arc<Principal>,
    disabled: bool,
}

/// A role.
#[derive(Debug)]
pub struct Role {
    /// Its sessions are made of it.
    pub principal: Arc<Principal>,
    /// Who may take it on.
    pub trust: Policy,
    /// Seconds that a session may last, at most.
    pub max_session: u64,
    /// Nobody takes it on.
    pub disabled: bool,
}

impl Directory {
    /// Works it out. A key of the environment is the root's of `penstock`.
    ///
    /// # Errors
    /// What does not go together.
    pub fn of(
        stored: Document,
        declared: Document,
        environment: Option<&AccessKey>,
    ) -> Result<Directory, String> {
        let mut directory = Directory::default();
        directory.hold(Account::penstock(), None, false)?;
        for document in [&declared, &stored] {
            for entry in &document.accounts {
                directory.add_account(entry)?;
            }
        }
        for document in [&declared, &stored] {
            for entry in &document.users {
                directory.add_user(entry)?;
            }
            for entry in &document.roles {
                directory.add_role(entry)?;
            }
        }
        for document in [&declared, &stored] {
            for entry in &document.accounts {
                directory.add_certificates_of_root(entry)?;
            }
            for entry in &document.keys {
                directory.add_key(entry)?;
            }
        }
        if let Some(key) = environment {
            let root = directory.root(Account::PENSTOCK, &key.id, fingerprint(&key.secret));
            let principal = root.ok_or("there is no account penstock")?;
            let known = Known { secret: key.secret.clone(), principal: Arc::new(principal) };
            directory.keys.insert(key.id.clone(), known);
        }
        (directory.stored, directory.declared) = (stored, declared);
        Ok(directory)
    }

    /// These keys alone, as roots of `penstock`. Of two with the same id the later one holds.
    pub fn of_keys(keys: impl IntoIterator<Item = AccessKey>) -> Directory {
        let account = Arc::new(Account::penstock());
        let known = |key: AccessKey| {
            let print = fingerprint(&key.secret);
            let principal = Principal::root(key.id.clone(), account.clone(), print);
            (key.id, Known { secret: key.secret, principal: Arc::new(principal) })
        };
        let keys = keys.into_iter().map(known).collect();
        let held = Held { account: account.clone(), email: None, disabled: false };
        let accounts = BTreeMap::from([(account.name.clone(), held)]);
        Directory { keys, accounts, ..Directory::default() }
    }

    fn hold(
        &mut self,
        account: Account,
        email: Option<&str>,
        disabled: bool,
    ) -> Result<(), String> {
        for other in self.accounts.values() {
            let other = &other.account;
            if other.name == account.name {
                return Err(format!("the account {:?} is there twice", account.name));
            }
            if other.number == account.number || other.canonical_id == account.canonical_id {
                return Err(format!(
                    "the accounts {:?} and {:?} have the same number or canonical id",
                    account.name, other.name
                ));
            }
        }
        let held = Held { account: Arc::new(account), email: email.map(Box::from), disabled };
        self.accounts.insert(held.account.name.clone(), held);
        Ok(())
    }

    fn add_account(&mut self, entry: &AccountEntry) -> Result<(), String> {
        let account = Account {
            canonical_id: match &entry.canonical_id {
                Some(id) => id.as_str().into(),
                None => canonical_id(&entry.name).into(),
            },
            number: match &entry.number {
                Some(number) => number.as_str().into(),
                None => account_number(&entry.name).into(),
            },
            name: entry.name.as_str().into(),
        };
        self.hold(account, entry.email.as_deref(), entry.disabled)
    }

    fn held(&self, account: &str, of: &str) -> Result<&Held, String> {
        let absent = || format!("{of} is of the account {account:?}, which is not there");
        self.accounts.get(account).ok_or_else(absent)
    }

    fn add_user(&mut self, entry: &UserEntry) -> Result<(), String> {
        let of = format!("the user {:?}", entry.name);
        let held = self.held(&entry.account, &of)?;
        let account = held.account.clone();
        let arn = format!("arn:aws:iam::{}:user{}{}", account.number, entry.path, entry.name);
        let principal = Arc::new(Principal {
            kind: PrincipalKind::User,
            user: Some(entry.name.as_str().into()),
            issuer_arn: arn.as_str().into(),
            arn: arn.into(),
            id: user_id(entry).into(),
            tags: entry.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
            policies: policies(&of, &entry.policies)?,
            ..Principal::root("".into(), account, [0; 8])
        });
        let disabled = entry.disabled || held.disabled;
        if !disabled {
            self.add_certificates(&entry.certificates, &principal)?;
        }
        let place = place(&entry.account, &entry.name);
        match self.users.insert(place, Member { principal, disabled }) {
            None => Ok(()),
            Some(_) => Err(format!("{of} of {:?} is there twice", entry.account)),
        }
    }

    fn add_role(&mut self, entry: &RoleEntry) -> Result<(), String> {
        let of = format!("the role {:?}", entry.name);
        let held = self.held(&entry.account, &of)?;
        let account = held.account.clone();
        let arn = format!("arn:aws:iam::{}:role{}{}", account.number, entry.path, entry.name);
        let trust = Policy::parse(entry.trust.as_bytes(), Kind::Trust)
            .map_err(|malformed| format!("{of}: its trust policy: {malformed}"))?;
        let principal = Principal {
            kind: PrincipalKind::AssumedRole,
            user: Some(entry.name.as_str().into()),
            issuer_arn: arn.as_str().into(),
            arn: arn.into(),
            id: role_id(entry).into(),
            tags: entry.tags.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect(),
            policies: policies(&of, &entry.policies)?,
            ..Principal::root("".into(), account, [0; 8])
        };
        let disabled = entry.disabled || held.disabled;
        let role = Role {
            principal: Arc::new(principal),
            trust,
            max_session: entry.max_session,
            disabled,
        };
        match self.roles.insert(place(&entry.account, &entry.name), role) {
            None => Ok(()),
            Some(_) => Err(format!("{of} of {:?} is there twice", entry.account)),
        }
    }

    fn add_key(&mut self, entry: &KeyEntry) -> Result<(), String> {
        if self.keys.contains_key(entry.id.as_str()) {
            return Err(format!("the key {:?} is there twice", entry.id));
        }
        let key = entry.key();
        let print = fingerprint(&key.secret);
        let Some(held) = self.accounts.get(entry.account.as_str()) else {
            tracing::warn!(key = entry.id, account = entry.account, "a key of no account is left");
            return Ok(());
        };
        let principal = match &entry.user {
            None if held.disabled => return Ok(()),
            None => self.root(&entry.account, &key.id, print),
            Some(user) => match self.users.get(&place(&entry.account, user)) {
                None => {
                    tracing::warn!(key = entry.id, user, "a key of no user is left");
                    return Ok(());
                }
                Some(member) if member.disabled => return Ok(()),
                Some(member) => Some(Principal {
                    access_key: key.id.clone(),
                    fingerprint: print,
                    ..Principal::clone(&member.principal)
                }),
            },
        };
        if let Some(principal) = principal.filter(|_| !entry.disabled) {
            let known = Known { secret: key.secret, principal: Arc::new(principal) };
            self.keys.insert(key.id, known);
        }
        Ok(())
    }

    fn add_certificates_of_root(&mut self, entry: &AccountEntry) -> Result<(), String> {
        match self.root(&entry.name, "", [0; 8]).filter(|_| !entry.disabled) {
            Some(root) => self.add_certificates(&entry.certificates, &Arc::new(root)),
            None => Ok(()),
        }
    }

    fn add_certificates(
        &mut self,
        names: &[String],
        principal: &Arc<Principal>,
    ) -> Result<(), String> {
        for name in names {
            let named = Principal {
                access_key: format!("certificate:{name}").into(),
                ..Principal::clone(principal)
            };
            if self.certificates.insert(name.as_str().into(), Arc::new(named)).is_some() {
                return Err(format!("the certificate {name:?} stands for two"));
            }
        }
        Ok(())
    }

    fn root(&self, account: &str, key: &str, fingerprint: [u8; 8]) -> Option<Principal> {
        let held = self.accounts.get(account)?;
        Some(Principal::root(key.into(), held.account.clone(), fingerprint))
    }

    /// The secret of that id with its principal, when it is a valid key.
    pub fn known(&self, id: &str) -> Option<&Known> {
        self.keys.get(id)
    }

    /// The ids of all valid keys, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.keys()
    }

    /// Whom a client certificate of that name stands for.
    pub fn of_certificate(&self, name: &str) -> Option<&Arc<Principal>> {
        self.certificates.get(name)
    }

    /// The account of a name, if it is let in.
    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(name).filter(|held| !held.disabled).map(|held| &held.account)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values().map(|held| &held.account)
    }

    /// Seconds since 1970 at which an account was made; 0 where nobody has written it down.
    pub fn account_created(&self, name: &str) -> u64 {
        let mut accounts = self.declared.accounts.iter().chain(&self.stored.accounts);
        accounts.find(|it| it.name == name).map_or(0, |it| it.created)
    }

    /// The account of a canonical id.
    pub fn account_by_id(&self, canonical_id: &str) -> Option<&Arc<Account>> {
        self.accounts().find(|account| *account.canonical_id == *canonical_id)
    }

    /// The account with that e-mail address.
    pub fn account_by_email(&self, email: &str) -> Option<&Arc<Account>> {
        let same = |held: &&Held| {
            held.email.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(email))
        };
        self.accounts.values().find(same).map(|held| &held.account)
    }

    /// A user that is let in, without a key.
    pub fn user(&self, account: &str, name: &str) -> Option<&Arc<Principal>> {
        let member = self.users.get(&place(account, name)).filter(|member| !member.disabled);
        member.map(|member| &member.principal)
    }

    /// All users, also those that are not let in.
    pub fn users(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.users.values().map(|member| &member.principal)
    }

    /// A role.
    pub fn role(&self, account: &str, name: &str) -> Option<&Role> {
        self.roles.get(&place(account, name))
    }

    /// Users as the files write them.
    pub fn user_entries(&self) -> impl Iterator<Item = &UserEntry> {
        self.declared.users.iter().chain(&self.stored.users)
    }

    /// Roles as the files write them.
    pub fn role_entries(&self) -> impl Iterator<Item = &RoleEntry> {
        self.declared.roles.iter().chain(&self.stored.roles)
    }

    /// Keys as the files write them, also those that are not valid.
    pub fn key_entries(&self) -> impl Iterator<Item = &KeyEntry> {
        self.declared.keys.iter().chain(&self.stored.keys)
    }

    /// The policies of a user or role as the files write them.
    pub fn policies_of(
        &self,
        account: &str,
        holder: Holder<'_>,
    ) -> Option<&BTreeMap<String, String>> {
        match holder {
            Holder::User(name) => {
                let mut users = self.user_entries();
                users.find(|it| it.account == account && it.name == name).map(|it| &it.policies)
            }
            Holder::Role(name) => {
                let mut roles = self.role_entries();
                roles.find(|it| it.account == account && it.name == name).map(|it| &it.policies)
            }
        }
    }

    /// All roles.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.values()
    }
}

fn place(account: &str, name: &str) -> Place {
    (account.into(), name.into())
}

fn policies(of: &str, texts: &BTreeMap<String, String>) -> Result<Arc<[Policy]>, String> {
    let parse = |(name, text): (&String, &String)| {
        Policy::parse(text.as_bytes(), Kind::Identity)
            .map_err(|malformed| format!("{of}: its policy {name:?}: {malformed}"))
    };
    texts.iter().map(parse).collect()
}

fn digest(of: &str, name: &str) -> [u8; 32] {
    Sha256::new().chain_update(of).chain_update(name).finalize().into()
}

/// The canonical id of an account that states none.
fn canonical_id(name: &str) -> String {
    hex_simd::encode_to_string(digest("penstock canonical id\n", name), hex_simd::AsciiCase::Lower)
}

/// The number of an account that states none.
fn account_number(name: &str) -> String {
    let digest = digest("penstock account number\n", name);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    format!("{:012}", u64::from_be_bytes(first) % 1_000_000_000_000)
}

/// The unique id of a user.
pub(super) fn user_id(entry: &UserEntry) -> String {
    let of =
        || id_of("AIDA", &digest(&format!("penstock user\n{}/", entry.account), &entry.name)[..17]);
    entry.id.clone().unwrap_or_else(of)
}

/// The unique id of a role.
fn role_id(entry: &RoleEntry) -> String {
    let of =
        || id_of("AROA", &digest(&format!("penstock role\n{}/", entry.account), &entry.name)[..17]);
    entry.id.clone().unwrap_or_else(of)
}

/// Enough that two secrets of one key differ, too few to learn anything of one.
pub(super) fn fingerprint(secret: &Secret) -> [u8; 8] {
    let digest = digest("penstock key\n", &secret.reveal());
    let mut print = [0; 8];
    print.copy_from_slice(&digest[..8]);
    print
}
