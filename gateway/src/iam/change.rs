//! Owns: changes of accounts, users, roles, keys and policies, as the commands and the API of IAM make them.
//! Limits: `ACCESS_KEYS_PER_USER_MAX`, `POLICIES_PER_PRINCIPAL_MAX`, `PRINCIPAL_TAGS_MAX`.
//! Not here: the file (`credentials`), and who may make them.

use std::collections::BTreeMap;

use super::directory::Directory;
use super::policy::{Kind, Malformed, Policy};
use super::principal::Account;
use crate::credentials::document::{
    AccountEntry, Document, KeyEntry, RoleEntry, UserEntry, check_name, check_path,
};
use crate::credentials::file::{self, CredentialsError};
use crate::credentials::{AccessKey, unique_id};
use crate::limits;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Something of that kind and name is there.
    #[error("{0} with name {1} already exists.")]
    Exists(&'static str, String),
    /// Nothing of that kind and name is there.
    #[error("The {0} with name {1} cannot be found.")]
    Unknown(&'static str, String),
    /// It is in the file of users, which is not written here.
    #[error("The {0} {1} is defined in the file of users; change it there.")]
    Declared(&'static str, String),
    /// Something hangs on it.
    #[error("{0}")]
    Conflict(String),
    /// There is as much of it as may be.
    #[error("{0}")]
    Limit(String),
    /// A value that can't be.
    #[error("{0}")]
    Invalid(String),
    /// A policy that is none.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The file.
    #[error("{0}")]
    File(#[from] CredentialsError),
}

impl From<getrandom::Error> for ChangeError {
    fn from(error: getrandom::Error) -> ChangeError {
        ChangeError::File(error.into())
    }
}

/// The result of a change.
pub type Changed<T> = Result<T, ChangeError>;

/// Whose policies or keys: of a user or a role of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A user.
    User(&'a str),
    /// A role.
    Role(&'a str),
}

impl Holder<'_> {
    fn kind(self) -> &'static str {
        match self {
            Holder::User(_) => "user",
            Holder::Role(_) => "role",
        }
    }

    fn name(self) -> String {
        match self {
            Holder::User(name) | Holder::Role(name) => name.to_owned(),
        }
    }
}

/// The credentials file while it is changed, and everyone that there is.
pub struct Change<'a> {
    document: &'a mut Document,
    present: &'a Directory,
}

fn invalid(problem: &'static str) -> ChangeError {
    ChangeError::Invalid(problem.to_owned())
}

impl<'a> Change<'a> {
    /// Of that file.
    pub fn new(document: &'a mut Document, present: &'a Directory) -> Change<'a> {
        Change { document, present }
    }

    /// Makes an account.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn add_account(&mut self, name: &str, email: Option<&str>) -> Changed<AccountEntry> {
        check_name(name).map_err(invalid)?;
        if self.present.accounts().any(|account| *account.name == *name) {
            return Err(ChangeError::Exists("Account", name.to_owned()));
        }
        // Random, so that one that is made anew under a name has not what the old one had.
        let mut random = [0u8; 40];
        getrandom::fill(&mut random)?;
        let mut number = [0; 8];
        number.copy_from_slice(&random[32..]);
        let number = u64::from_be_bytes(number) % 900_000_000_000 + 100_000_000_000;
        let id = hex_simd::encode_to_string(&random[..32], hex_simd::AsciiCase::Lower);
        let entry = AccountEntry {
            name: name.to_owned(),
            number: Some(number.to_string()),
            canonical_id: Some(id),
            email: email.map(str::to_owned),
            created: file::now(),
            ..AccountEntry::default()
        };
        self.document.accounts.push(entry.clone());
        Ok(entry)
    }

    /// Removes an account with its own keys; not while it has users or roles.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn remove_account(&mut self, name: &str) -> Changed<()> {
        self.account_mut(name)?;
        let users = self.present.user_entries().filter(|it| it.account == name).count();
        let roles = self.present.role_entries().filter(|it| it.account == name).count();
        if users + roles > 0 {
            return Err(ChangeError::Conflict(format!(
                "The account {name} has {users} users and {roles} roles; remove them first."
            )));
        }
        self.document.accounts.retain(|it| it.name != name);
        self.document.keys.retain(|it| it.account != name);
        Ok(())
    }

    fn account_mut(&mut self, name: &str) -> Changed<&mut AccountEntry> {
        if name == Account::PENSTOCK {
            let why = "The account penstock is always there; disable or remove its keys instead.";
            return Err(invalid(why));
        }
        if self.present.declared.accounts.iter().any(|it| it.name == name) {
            return Err(ChangeError::Declared("account", name.to_owned()));
        }
        let found = self.document.accounts.iter_mut().find(|it| it.name == name);
        found.ok_or_else(|| ChangeError::Unknown("account", name.to_owned()))
    }

    /// Makes a user in an account.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn add_user(
        &mut self,
        account: &str,
        name: &str,
        path: &str,
        tags: BTreeMap<String, String>,
    ) -> Changed<UserEntry> {
        check_name(name).map_err(invalid)?;
        check_path(path).map_err(invalid)?;
        check_tags(&tags)?;
        self.check_account(account)?;
        // As IAM has it, names differ by more than case.
        let same = |it: &&UserEntry| it.account == account && it.name.eq_ignore_ascii_case(name);
        if self.present.user_entries().any(|it| same(&it)) {
            return Err(ChangeError::Exists("User", name.to_owned()));
        }
        let entry = UserEntry {
            name: name.to_owned(),
            account: account.to_owned(),
            path: path.to_owned(),
            id: Some(unique_id("AIDA")?),
            created: file::now(),
            tags,
            ..UserEntry::default()
        };
        self.document.users.push(entry.clone());
        Ok(entry)
    }

    fn check_account(&self, name: &str) -> Changed<()> {
        let there = self.present.accounts().any(|account| *account.name == *name);
        there.then_some(()).ok_or_else(|| ChangeError::Unknown("account", name.to_owned()))
    }

    fn user_mut(&mut self, account: &str, name: &str) -> Changed<&mut UserEntry> {
        let same = |it: &&UserEntry| it.account == account && it.name == name;
        if self.present.declared.users.iter().any(|it| same(&it)) {
            return Err(ChangeError::Declared("user", name.to_owned()));
        }
        let mut users = self.document.users.iter_mut();
        let found = users.find(|it| it.account == account && it.name == name);
        found.ok_or_else(|| ChangeError::Unknown("user", name.to_owned()))
    }

    /// Removes a user. With `whole` its keys and policies go too; else it must have none, as IAM wants.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn remove_user(&mut self, account: &str, name: &str, whole: bool) -> Changed<()> {
        let policies = self.user_mut(account, name)?.policies.len();
        let of_user = |key: &KeyEntry| key.account == account && key.user.as_deref() == Some(name);
        if !whole && policies > 0 {
            let why = "Cannot delete entity, must delete policies first.";
            return Err(ChangeError::Conflict(why.to_owned()));
        }
        if !whole && self.present.key_entries().any(of_user) {
            let why = "Cannot delete entity, must delete access keys first.";
            return Err(ChangeError::Conflict(why.to_owned()));
        }
        self.document.users.retain(|it| it.account != account || it.name != name);
        self.document.keys.retain(|key| !of_user(key));
        Ok(())
    }

    /// Lets an account (no user) or a user in, or not.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn set_disabled(&mut self, account: &str, user: Option<&str>, off: bool) -> Changed<()> {
        match user {
            Some(name) => self.user_mut(account, name)?.disabled = off,
            None => self.account_mut(account)?.disabled = off,
        }
        Ok(())
    }

    /// Adds a key of the account's root (no user) or of a user.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn add_key(
        &mut self,
        account: &str,
        user: Option<&str>,
        key: &AccessKey,
    ) -> Changed<KeyEntry> {
        self.check_account(account)?;
        if let Some(name) = user
            && !self.present.user_entries().any(|it| it.account == account && it.name == name)
        {
            return Err(ChangeError::Unknown("user", name.to_owned()));
        }
        if self.present.key_entries().any(|it| *it.id == *key.id) {
            return Err(ChangeError::Exists("Access key", key.id.to_string()));
        }
        let mine = |it: &&KeyEntry| it.account == account && it.user.as_deref() == user;
        let most = limits::ACCESS_KEYS_PER_USER_MAX;
        if user.is_some() && self.present.key_entries().filter(mine).count() >= most {
            let why = format!("Cannot exceed quota for AccessKeysPerUser: {most}");
            return Err(ChangeError::Limit(why));
        }
        let entry = KeyEntry::new(key, account, user, file::now());
        self.document.keys.push(entry.clone());
        Ok(entry)
    }

    fn key_at(&self, id: &str) -> Changed<usize> {
        if self.present.declared.keys.iter().any(|key| key.id == id) {
            return Err(ChangeError::Declared("access key", id.to_owned()));
        }
        let at = self.document.keys.iter().position(|key| key.id == id);
        at.ok_or_else(|| ChangeError::Unknown("Access Key", id.to_owned()))
    }

    /// Accepts a key, or not.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn set_key(&mut self, id: &str, disabled: bool) -> Changed<()> {
        let at = self.key_at(id)?;
        self.document.keys[at].disabled = disabled;
        Ok(())
    }

    /// Removes a key.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn remove_key(&mut self, id: &str) -> Changed<()> {
        let at = self.key_at(id)?;
        self.document.keys.remove(at);
        Ok(())
    }

    /// Makes a role.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn add_role(
        &mut self,
        account: &str,
        name: &str,
        trust: &str,
        max_session: u64,
    ) -> Changed<RoleEntry> {
        check_name(name).map_err(invalid)?;
        self.check_account(account)?;
        if !(3_600..=43_200).contains(&max_session) {
            return Err(invalid("A role's longest session is of 3600 to 43200 seconds."));
        }
        Policy::parse(trust.as_bytes(), Kind::Trust)?;
        if self.present.role_entries().any(|it| it.account == account && it.name == name) {
            return Err(ChangeError::Exists("Role", name.to_owned()));
        }
        let entry = RoleEntry {
            name: name.to_owned(),
            account: account.to_owned(),
            path: "/".to_owned(),
            id: Some(unique_id("AROA")?),
            created: file::now(),
            max_session,
            trust: trust.to_owned(),
            ..RoleEntry::default()
        };
        self.document.roles.push(entry.clone());
        Ok(entry)
    }

    fn role_mut(&mut self, account: &str, name: &str) -> Changed<&mut RoleEntry> {
        let declared = &self.present.declared.roles;
        if declared.iter().any(|it| it.account == account && it.name == name) {
            return Err(ChangeError::Declared("role", name.to_owned()));
        }
        let mut roles = self.document.roles.iter_mut();
        let found = roles.find(|it| it.account == account && it.name == name);
        found.ok_or_else(|| ChangeError::Unknown("role", name.to_owned()))
    }

    /// Removes a role. Its sessions end.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn remove_role(&mut self, account: &str, name: &str) -> Changed<()> {
        self.role_mut(account, name)?;
        self.document.roles.retain(|it| it.account != account || it.name != name);
        Ok(())
    }

    fn policies_mut(
        &mut self,
        account: &str,
        holder: Holder<'_>,
    ) -> Changed<&mut BTreeMap<String, String>> {
        match holder {
            Holder::User(name) => Ok(&mut self.user_mut(account, name)?.policies),
            Holder::Role(name) => Ok(&mut self.role_mut(account, name)?.policies),
        }
    }

    /// Sets a policy of a user or role, in JSON.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn put_policy(
        &mut self,
        account: &str,
        holder: Holder<'_>,
        name: &str,
        text: &str,
    ) -> Changed<()> {
        if name.len() > 128 || check_name(name.get(..name.len().min(64)).unwrap_or("")).is_err() {
            return Err(invalid("A policy's name has 1 to 128 letters, digits and _+=,.@-."));
        }
        let policies = self.policies_mut(account, holder)?;
        Policy::parse(text.as_bytes(), Kind::Identity)?;
        let most = limits::POLICIES_PER_PRINCIPAL_MAX;
        if policies.len() >= most && !policies.contains_key(name) {
            let why = format!("A {} has at most {most} policies.", holder.kind());
            return Err(ChangeError::Limit(why));
        }
        policies.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    /// Removes a policy of a user or role.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub fn remove_policy(&mut self, account: &str, holder: Holder<'_>, name: &str) -> Changed<()> {
        let removed = self.policies_mut(account, holder)?.remove(name);
        let unknown =
            || ChangeError::Unknown(holder.kind(), format!("{} and policy {name}", holder.name()));
        removed.map(|_| ()).ok_or_else(unknown)
    }
}

/// Whether tags may be a principal's.
///
/// # Errors
/// [`ChangeError::Invalid`].
pub fn check_tags(tags: &BTreeMap<String, String>) -> Changed<()> {
    if tags.len() > limits::PRINCIPAL_TAGS_MAX {
        return Err(invalid("There are at most 50 tags."));
    }
    let fits = |(key, value): (&String, &String)| {
        (1..=128).contains(&key.chars().count()) && value.chars().count() <= 256
    };
    if !tags.iter().all(fits) {
        return Err(invalid("A tag's key has 1 to 128 characters, its value at most 256."));
    }
    let mut keys: Vec<String> = tags.keys().map(|key| key.to_lowercase()).collect();
    keys.sort_unstable();
    keys.dedup();
    if keys.len() != tags.len() {
        return Err(invalid(
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::Places;

    const ALLOW: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

    struct Bench {
        _folder: tempfile::TempDir,
        places: Places,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            let credentials = folder.path().join("credentials");
            file::open(&credentials, true).unwrap();
            let places = Places { credentials, users: None, environment_key: None };
            Bench { _folder: folder, places }
        }

        fn change<T>(&self, change: impl FnOnce(&mut Change<'_>) -> Changed<T>) -> Changed<T> {
            self.places.change(|document, present| change(&mut Change::new(document, present)))
        }
    }

    #[test]
    fn users_have_keys_and_policies_and_go_with_them() {
        let bench = Bench::new();
        let key = AccessKey::generate().unwrap();
        bench.change(|it| it.add_user("penstock", "ann", "/", BTreeMap::new())).unwrap();
        bench.change(|it| it.add_key("penstock", Some("ann"), &key)).unwrap();
        let holder = Holder::User("ann");
        bench.change(|it| it.put_policy("penstock", holder, "all", ALLOW)).unwrap();
        let known = bench.places.read().unwrap().known(&key.id).unwrap().clone();
        assert_eq!(&*known.principal.arn, "arn:aws:iam::000000000000:user/ann");
        assert_eq!(known.principal.policies.len(), 1);
        let refused = bench.change(|it| it.remove_user("penstock", "ann", false));
        assert!(matches!(refused, Err(ChangeError::Conflict(_))));
        bench.change(|it| it.set_disabled("penstock", Some("ann"), true)).unwrap();
        assert!(bench.places.read().unwrap().known(&key.id).is_none(), "a disabled user's key");
        bench.change(|it| it.set_disabled("penstock", Some("ann"), false)).unwrap();
        bench.change(|it| it.set_key(&key.id, true)).unwrap();
        assert!(bench.places.read().unwrap().known(&key.id).is_none(), "a disabled key");
        bench.change(|it| it.remove_user("penstock", "ann", true)).unwrap();
        let left = bench.places.read().unwrap();
        assert!(left.users().next().is_none() && left.stored.keys.len() == 1);
    }

    #[test]
    fn what_can_not_be_is_refused_and_changes_nothing() {
        let bench = Bench::new();
        bench.change(|it| it.add_user("penstock", "ann", "/", BTreeMap::new())).unwrap();
        let before = file::read(&bench.places.credentials).unwrap();
        let holder = Holder::User("ann");
        type Attempt = fn(&mut Change<'_>) -> Changed<()>;
        let attempts: [(&str, Attempt); 10] = [
            ("already exists", |it| it.add_user("penstock", "ANN", "/", BTreeMap::new()).map(drop)),
            ("characters besides", |it| {
                it.add_user("penstock", "a/b", "/", BTreeMap::new()).map(drop)
            }),
            ("begin and end", |it| it.add_user("penstock", "b", "x", BTreeMap::new()).map(drop)),
            ("account with name nowhere", |it| {
                it.add_user("nowhere", "b", "/", BTreeMap::new()).map(drop)
            }),
            ("user with name bob", |it| it.set_disabled("penstock", Some("bob"), true)),
            ("always there", |it| it.set_disabled("penstock", None, true)),
            ("Access Key with name AKIANONE", |it| it.remove_key("AKIANONE")),
            ("Missing required field Statement", |it| {
                it.put_policy("penstock", Holder::User("ann"), "p", "{}")
            }),
            ("1 to 128", |it| it.put_policy("penstock", Holder::User("ann"), "", ALLOW)),
            ("policy p", |it| it.remove_policy("penstock", Holder::User("ann"), "p")),
        ];
        for (expected, attempt) in attempts {
            let error = bench.change(attempt).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, not {expected}");
        }
        for number in 0..limits::ACCESS_KEYS_PER_USER_MAX {
            let key =
                AccessKey { id: format!("KEY{number}").into(), ..AccessKey::generate().unwrap() };
            bench.change(|it| it.add_key("penstock", Some("ann"), &key)).unwrap();
        }
        let one_more = AccessKey::generate().unwrap();
        let refused = bench.change(|it| it.add_key("penstock", Some("ann"), &one_more));
        assert!(matches!(refused, Err(ChangeError::Limit(_))));
        let after = file::read(&bench.places.credentials).unwrap();
        assert_eq!(before.unwrap().users, after.unwrap().users);
        bench.change(|it| it.put_policy("penstock", holder, "p", ALLOW)).unwrap();
    }

    #[test]
    fn the_last_key_stays() {
        let bench = Bench::new();
        let id = bench.places.read().unwrap().ids().next().unwrap().to_string();
        let removed = bench.change(|it| it.remove_key(&id)).unwrap_err().to_string();
        let disabled = bench.change(|it| it.set_key(&id, true)).unwrap_err().to_string();
        assert!(removed.contains("last access key") && disabled == removed, "{removed}");
    }

    #[test]
    fn accounts_differ_and_made_anew_they_are_others() {
        let bench = Bench::new();
        let first = bench.change(|it| it.add_account("ann", Some("ann@example.com"))).unwrap();
        let directory = bench.places.read().unwrap();
        let account = directory.account("ann").unwrap();
        assert_eq!((account.number.len(), account.canonical_id.len()), (12, 64));
        assert!(directory.account_by_email("ANN@example.com").is_some());
        bench.change(|it| it.add_role("ann", "r", &trust(), 3_600)).unwrap();
        assert!(bench.change(|it| it.remove_account("ann")).is_err(), "it has a role");
        bench.change(|it| it.remove_role("ann", "r")).unwrap();
        bench.change(|it| it.remove_account("ann")).unwrap();
        let second = bench.change(|it| it.add_account("ann", None)).unwrap();
        assert!(first.number != second.number && first.canonical_id != second.canonical_id);
    }

    fn trust() -> String {
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#.to_owned()
    }

    #[test]
    fn what_the_file_of_users_defines_is_changed_there() {
        let mut bench = Bench::new();
        let users = bench.places.credentials.with_file_name("users.json");
        let text = serde_json::json!({
            "account": [{"name": "lab", "number": "123456789012"}],
            "user": [{"name": "ann", "account": "lab", "policies": {"all": ALLOW}}],
            "key": [{"id": "ANNSKEY", "secret": "annssecret", "account": "lab", "user": "ann"}],
        });
        std::fs::write(&users, text.to_string()).unwrap();
        std::fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o640))
            .unwrap();
        bench.places.users = Some(users.clone());
        let directory = bench.places.read().unwrap();
        let known = directory.known("ANNSKEY").unwrap();
        assert_eq!(&*known.principal.arn, "arn:aws:iam::123456789012:user/ann");
        let declared = bench.change(|it| it.remove_user("lab", "ann", true)).unwrap_err();
        assert!(declared.to_string().contains("change it there"), "{declared}");
        let key = AccessKey::generate().unwrap();
        bench.change(|it| it.add_key("lab", Some("ann"), &key)).unwrap();
        assert!(bench.places.read().unwrap().known(&key.id).is_some(), "a key for such a user");
        std::fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert!(bench.places.read().is_err(), "secrets that all users of the machine can read");
    }
}
