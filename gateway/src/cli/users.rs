//! `penstock user`, `penstock role` and `penstock policy`: accounts, users, roles and their policies by hand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;

use clap::ArgMatches;

use super::keys::{day, places, say_key};
use super::{FAILURE, MISUSE, SUCCESS, fail, show};
use crate::config::Plan;
use crate::config::amount::parse_time;
use crate::credentials::AccessKey;
use crate::credentials::document::UserEntry;
use crate::iam::policy::{BUCKET_POLICY_BYTES_MAX, Kind, Policy};
use crate::iam::{Account, Change, ChangeError, Changed, Directory, Holder};

fn text<'m>(matches: &'m ArgMatches, name: &str) -> Option<&'m str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

/// The account and the user of it: NAME is an account's root, unless --account names another.
fn addressed(matches: &ArgMatches) -> (&str, Option<&str>) {
    let name = text(matches, "name").unwrap_or_default();
    match text(matches, "account") {
        Some(account) => (account, Some(name)),
        None => (name, None),
    }
}

/// Makes a change and says what came of it.
pub(super) fn changed(plan: &Plan, change: impl FnOnce(&mut Change<'_>) -> Changed<String>) -> u8 {
    let outcome =
        places(plan).change(|document, present| change(&mut Change::new(document, present)));
    match outcome {
        Ok(said) => {
            show(&said);
            SUCCESS
        }
        Err(error) => {
            let invalid = matches!(error, ChangeError::Invalid(_) | ChangeError::Malformed(_));
            fail(&error.to_string(), if invalid { MISUSE } else { FAILURE })
        }
    }
}

/// Makes a user: an account of its own, or a user of the one that --account names, and a key.
pub(super) fn add(plan: &Plan, matches: &ArgMatches) -> u8 {
    let mut tags = BTreeMap::new();
    for tag in matches.get_many::<String>("tag").into_iter().flatten() {
        let Some((key, value)) = tag.split_once('=') else {
            return fail(&format!("--tag {tag:?} is not KEY=VALUE"), MISUSE);
        };
        tags.insert(key.to_owned(), value.to_owned());
    }
    let key = match AccessKey::generate() {
        Ok(key) => key,
        Err(error) => return fail(&format!("no random numbers: {error}"), FAILURE),
    };
    let (account, user) = addressed(matches);
    let mut said = String::new();
    let outcome = changed(plan, |it| {
        match user {
            None => {
                if !tags.is_empty() {
                    let why = "an account's root has no tags; --account makes a user that has";
                    return Err(ChangeError::Invalid(why.to_owned()));
                }
                let entry = it.add_account(account, text(matches, "email"))?;
                let number = entry.number.unwrap_or_default();
                let _ = writeln!(said, "account {account}, number {number}");
                let _ = writeln!(said, "canonical id {}", entry.canonical_id.unwrap_or_default());
            }
            Some(name) => {
                let path = text(matches, "path").unwrap_or("/");
                it.add_user(account, name, path, tags.clone())?;
                let _ =
                    writeln!(said, "user {name} of the account {account}; it may do nothing yet");
            }
        }
        Ok(std::mem::take(&mut said))
    });
    if outcome != SUCCESS || matches.get_flag("no-key") {
        return outcome;
    }
    changed(plan, |it| it.add_key(account, user, &key).map(|_| say_key(&key)))
}

/// Lists accounts and users.
pub(super) fn list(plan: &Plan, matches: &ArgMatches) -> u8 {
    let directory = match places(plan).read() {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    let only = text(matches, "account");
    let mut out = String::new();
    for account in directory.accounts().filter(|it| only.is_none_or(|name| *it.name == *name)) {
        let state = match directory.account(&account.name) {
            Some(_) => "",
            None => "  disabled",
        };
        let keys = count_keys(&directory, &account.name, None);
        let _ = writeln!(out, "{}  root  {}  {keys} keys{state}", account.name, account.number);
        for user in directory.user_entries().filter(|it| it.account == *account.name) {
            let state = if user.disabled { "  disabled" } else { "" };
            let keys = count_keys(&directory, &account.name, Some(&user.name));
            let policies = user.policies.len();
            let _ = writeln!(
                out,
                "{}  user {}  {policies} policies  {keys} keys{state}",
                account.name, user.name
            );
        }
    }
    show(&out);
    SUCCESS
}

fn count_keys(directory: &Directory, account: &str, user: Option<&str>) -> usize {
    directory
        .key_entries()
        .filter(|key| key.account == account && key.user.as_deref() == user)
        .count()
}

/// Shows one user or account, without secrets.
pub(super) fn show_one(plan: &Plan, matches: &ArgMatches) -> u8 {
    let directory = match places(plan).read() {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    let (account, user) = addressed(matches);
    let Some(held) = directory.accounts().find(|it| *it.name == *account) else {
        return fail(&format!("there is no account {account:?}; `penstock user list`"), FAILURE);
    };
    let mut out = format!(
        "account: {account}\nnumber: {}\ncanonical id: {}\n",
        held.number, held.canonical_id
    );
    match user {
        None => {
            let _ = writeln!(out, "arn: arn:aws:iam::{}:root", held.number);
        }
        Some(name) => {
            let mut users = directory.user_entries();
            match users.find(|it| it.account == account && it.name == name) {
                Some(entry) => describe(&mut out, &held.number, entry),
                None => {
                    return fail(&format!("the account {account} has no user {name:?}"), FAILURE);
                }
            }
        }
    }
    let mine = directory.key_entries().filter(|it| it.account == account);
    for key in mine.filter(|it| it.user.as_deref() == user) {
        let state = if key.disabled { "  disabled" } else { "" };
        let _ = writeln!(out, "key: {}  made {}{state}", key.id, day(key.created));
    }
    show(&out);
    SUCCESS
}

fn describe(out: &mut String, number: &str, entry: &UserEntry) {
    let _ = writeln!(out, "arn: arn:aws:iam::{number}:user{}{}", entry.path, entry.name);
    let _ = writeln!(out, "state: {}", if entry.disabled { "disabled" } else { "enabled" });
    let _ = writeln!(out, "made: {}", day(entry.created));
    for (key, value) in &entry.tags {
        let _ = writeln!(out, "tag: {key}={value}");
    }
    for name in entry.policies.keys() {
        let _ = writeln!(out, "policy: {name}");
    }
}

/// Lets a user or account in, or not.
pub(super) fn set_disabled(plan: &Plan, matches: &ArgMatches, off: bool) -> u8 {
    let (account, user) = addressed(matches);
    let word = if off { "disabled" } else { "enabled" };
    changed(plan, |it| {
        it.set_disabled(account, user, off)?;
        Ok(format!("{word} {}\n", user.unwrap_or(account)))
    })
}

/// Removes a user or account with its keys.
pub(super) fn remove(plan: &Plan, matches: &ArgMatches) -> u8 {
    let (account, user) = addressed(matches);
    changed(plan, |it| {
        match user {
            Some(name) => it.remove_user(account, name, true)?,
            None => it.remove_account(account)?,
        }
        Ok(format!("removed {}\n", user.unwrap_or(account)))
    })
}

/// The text of the file that an argument names; of standard input for `-`.
fn text_of(path: &PathBuf) -> Result<String, String> {
    let mut text = String::new();
    let read = |file: &mut dyn Read, text: &mut String| {
        // One more than any policy has, so that one that is too long is seen.
        file.take(BUCKET_POLICY_BYTES_MAX as u64 + 1).read_to_string(text)
    };
    let outcome = match path.as_os_str() == "-" {
        true => read(&mut std::io::stdin(), &mut text),
        false => std::fs::File::open(path).and_then(|mut file| read(&mut file, &mut text)),
    };
    outcome.map(|_| text).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn file_of(matches: &ArgMatches) -> Result<String, String> {
    let path = matches.get_one::<PathBuf>("file");
    text_of(path.unwrap_or(&PathBuf::from("-")))
}

/// Whose policy: --user or --role, of --account.
fn holder(matches: &ArgMatches) -> (&str, Holder<'_>) {
    let account = text(matches, "account").unwrap_or(Account::PENSTOCK);
    match text(matches, "role") {
        Some(role) => (account, Holder::Role(role)),
        None => (account, Holder::User(text(matches, "user").unwrap_or_default())),
    }
}

/// Sets a policy of a user or role.
pub(super) fn put_policy(plan: &Plan, matches: &ArgMatches) -> u8 {
    let policy = match file_of(matches) {
        Ok(text) => text,
        Err(problem) => return fail(&problem, MISUSE),
    };
    let (account, holder) = holder(matches);
    let name = text(matches, "name").unwrap_or_default();
    changed(plan, |it| {
        it.put_policy(account, holder, name, &policy)?;
        Ok(format!("set {name}\n"))
    })
}

/// Prints a policy of a user or role.
pub(super) fn get_policy(plan: &Plan, matches: &ArgMatches) -> u8 {
    let directory = match places(plan).read() {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    let (account, holder) = holder(matches);
    let name = text(matches, "name").unwrap_or_default();
    match directory.policies_of(account, holder).and_then(|policies| policies.get(name)) {
        Some(policy) => {
            show(&format!("{}\n", policy.trim_end()));
            SUCCESS
        }
        None => {
            fail(&format!("there is no such policy {name:?}; see `penstock user show`"), FAILURE)
        }
    }
}

/// Removes a policy of a user or role.
pub(super) fn remove_policy(plan: &Plan, matches: &ArgMatches) -> u8 {
    let (account, holder) = holder(matches);
    let name = text(matches, "name").unwrap_or_default();
    changed(plan, |it| {
        it.remove_policy(account, holder, name)?;
        Ok(format!("removed {name}\n"))
    })
}

/// Says whether a text is a policy.
pub(super) fn check_policy(matches: &ArgMatches) -> u8 {
    let policy = match file_of(matches) {
        Ok(text) => text,
        Err(problem) => return fail(&problem, MISUSE),
    };
    let bucket = text(matches, "bucket");
    let kind = match (bucket, matches.get_flag("trust")) {
        (Some(_), _) => Kind::Bucket,
        (None, true) => Kind::Trust,
        (None, false) => Kind::Identity,
    };
    let outcome = Policy::parse(policy.as_bytes(), kind).and_then(|policy| {
        bucket.map_or(Ok(()), |bucket| policy.check_bucket(bucket))?;
        Ok(policy)
    });
    match outcome {
        Ok(policy) if policy.is_public() => {
            show("a policy; it lets the world in\n");
            SUCCESS
        }
        Ok(_) => {
            show("a policy\n");
            SUCCESS
        }
        Err(malformed) => fail(&format!("not a policy: {malformed}"), FAILURE),
    }
}

/// Makes a role.
pub(super) fn add_role(plan: &Plan, matches: &ArgMatches) -> u8 {
    let trust = match file_of(matches) {
        Ok(text) => text,
        Err(problem) => return fail(&problem, MISUSE),
    };
    let longest = match parse_time(text(matches, "max-session").unwrap_or("1h")) {
        Ok(time) => time.as_secs(),
        Err(problem) => return fail(&format!("--max-session: {problem}"), MISUSE),
    };
    let account = text(matches, "account").unwrap_or(Account::PENSTOCK);
    let name = text(matches, "name").unwrap_or_default();
    changed(plan, |it| {
        it.add_role(account, name, &trust, longest)?;
        Ok(format!("role {name} of the account {account}; it may do nothing yet\n"))
    })
}

/// Lists roles.
pub(super) fn list_roles(plan: &Plan) -> u8 {
    let directory = match places(plan).read() {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    let mut out = String::new();
    for role in directory.roles() {
        let state = if role.disabled { "  disabled" } else { "" };
        let policies = role.principal.policies.len();
        let longest = role.max_session;
        let _ = writeln!(
            out,
            "{}  {policies} policies  sessions of {longest} s at most{state}",
            role.principal.arn
        );
    }
    show(&out);
    SUCCESS
}

/// Removes a role; its sessions end.
pub(super) fn remove_role(plan: &Plan, matches: &ArgMatches) -> u8 {
    let account = text(matches, "account").unwrap_or(Account::PENSTOCK);
    let name = text(matches, "name").unwrap_or_default();
    changed(plan, |it| {
        it.remove_role(account, name)?;
        Ok(format!("removed {name}\n"))
    })
}
