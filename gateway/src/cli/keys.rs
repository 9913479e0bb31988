//! `penstock keys`: the credentials file by hand.

use std::io::Read;

use clap::ArgMatches;

use super::{FAILURE, MISUSE, SUCCESS, fail, show};
use crate::config::Plan;
use crate::credentials::file::{self, CredentialsError};
use crate::credentials::{AccessKey, Secret};
use crate::limits;

/// Adds a key and shows it, its secret this once.
pub fn add(plan: &Plan, matches: &ArgMatches) -> u8 {
    let id = matches.get_one::<String>("id").map(String::as_str);
    let key = match new_key(id, matches.get_flag("secret-stdin")) {
        Ok(key) => key,
        Err(error) => return fail(&error.to_string(), MISUSE),
    };
    let outcome = file::add(&plan.credentials, key.clone());
    if let Err(error) = outcome {
        return fail(&error.to_string(), FAILURE);
    }
    match matches.get_flag("secret-stdin") {
        true => show(&format!("added {}\n", key.id)),
        false => show(&format!(
            "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\n",
            key.id,
            key.secret.reveal()
        )),
    }
    SUCCESS
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

/// Lists ids with the day each was made.
pub fn list(plan: &Plan) -> u8 {
    let keys = match file::read(&plan.credentials) {
        Ok(keys) => keys.unwrap_or_default(),
        Err(error) => return fail(&error.to_string(), FAILURE),
    };
    for stored in keys {
        show(&format!("{}  made {}\n", stored.key.id, day(stored.created)));
    }
    SUCCESS
}

/// Removes a key.
pub fn remove(plan: &Plan, matches: &ArgMatches) -> u8 {
    let id = matches.get_one::<String>("id").map(String::as_str).unwrap_or_default();
    match file::remove(&plan.credentials, id) {
        Ok(()) => {
            show(&format!("removed {id}\n"));
            SUCCESS
        }
        Err(error) => fail(&error.to_string(), FAILURE),
    }
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
