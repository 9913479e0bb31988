//! `penstock key`: access keys by hand.

use std::io::Read;

use clap::ArgMatches;

use super::users::changed;
use super::{FAILURE, MISUSE, SUCCESS, fail, show};
use crate::config::Plan;
use crate::credentials::file::CredentialsError;
use crate::credentials::{AccessKey, Secret};
use crate::iam::{Account, Places};
use crate::limits;

/// Where everyone is written down.
pub(super) fn places(plan: &Plan) -> Places {
    Places {
        credentials: plan.credentials.clone(),
        users: plan.users_file.clone(),
        environment_key: plan.environment_key.clone(),
    }
}

/// A new key, as a shell or a file of variables takes it.
pub(super) fn say_key(key: &AccessKey) -> String {
    format!("AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n", key.id, key.secret.reveal())
}

/// Whose keys: of an account's root, or with --user of a user of it.
fn whose(matches: &ArgMatches) -> (Option<&str>, Option<&str>) {
    let text = |name| matches.get_one::<String>(name).map(String::as_str);
    (text("account"), text("user"))
}

/// Adds a key and shows it, its secret this once.
pub fn add(plan: &Plan, matches: &ArgMatches) -> u8 {
    let id = matches.get_one::<String>("id").map(String::as_str);
    let given = matches.get_flag("secret-stdin");
    let key = match new_key(id, given) {
        Ok(key) => key,
        Err(error) => return fail(&error.to_string(), MISUSE),
    };
    let (account, user) = whose(matches);
    changed(plan, |it| {
        it.add_key(account.unwrap_or(Account::PENSTOCK), user, &key)?;
        Ok(if given { format!("added {}\n", key.id) } else { say_key(&key) })
    })
}

fn new_key(id: Option<&str>, from_stdin: bool) -> Result<AccessKey, CredentialsError> {
    let mut key = AccessKey::generate()?;
    if let Some(id) = id {
        let unusable = |problem| CredentialsError::Unusable(format!("the id {id:?} {problem}"));
        AccessKey::check_id(id).map_err(unusable)?;
        key.id = id.into();
    }
    if from_stdin {
        let mut text = String::new();
        let most = limits::SECRET_CHARS_MAX as u64 + 3;
        let unusable = |problem: &str| CredentialsError::Unusable(format!("the secret {problem}"));
        std::io::stdin()
            .take(most)
            .read_to_string(&mut text)
            .map_err(|error| unusable(&format!("could not be read: {error}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        key.secret =
            Secret::from_text(text).map_err(|problem| unusable(&format!("is {problem}")))?;
    }
    Ok(key)
}

/// Lists ids with whose each is and the day it was made.
pub fn list(plan: &Plan, matches: &ArgMatches) -> u8 {
    let directory = match places(plan).read() {
        Ok(directory) => directory,
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    let (account, user) = whose(matches);
    for key in directory.key_entries() {
        let other = account.is_some_and(|name| key.account != name)
            || user.is_some_and(|name| key.user.as_deref() != Some(name));
        if other {
            continue;
        }
        let of = key.user.as_deref().unwrap_or("root");
        let state = if key.disabled { "  disabled" } else { "" };
        let made = day(key.created);
        show(&format!("{}  made {made}  {} of {}{state}\n", key.id, of, key.account));
    }
    SUCCESS
}

/// Removes a key.
pub fn remove(plan: &Plan, matches: &ArgMatches) -> u8 {
    let id = matches.get_one::<String>("id").map(String::as_str).unwrap_or_default();
    changed(plan, |it| it.remove_key(id).map(|()| format!("removed {id}\n")))
}

/// Accepts a key, or not.
pub fn set_disabled(plan: &Plan, matches: &ArgMatches, off: bool) -> u8 {
    let id = matches.get_one::<String>("id").map(String::as_str).unwrap_or_default();
    let word = if off { "disabled" } else { "enabled" };
    changed(plan, |it| it.set_key(id, off).map(|()| format!("{word} {id}\n")))
}

/// The day in UTC of so many seconds after 1970 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
pub(super) fn day(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
