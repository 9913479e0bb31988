//! `penstock encryption`: the key file by hand.

use std::io::Read;

use clap::ArgMatches;

use super::keys::day;
use super::{FAILURE, MISUSE, SUCCESS, fail, show};
use crate::config::Plan;
use crate::crypt::SealingKey;
use crate::crypt::file::{self, Kind, check_name, parse_key};
use crate::crypt::ring::RingKey;

/// Bytes of a key in base64 with the end of its line, and one to see that there are more.
const KEY_TEXT_BYTES_MAX: u64 = 47;

/// Adds a key, which seals from then on, and shows its id.
pub(super) fn add(plan: &Plan, matches: &ArgMatches) -> u8 {
    let kind = match matches.get_one::<String>("kms").map(|name| check_name(name)) {
        None => Kind::Master,
        Some(Ok(name)) => Kind::Kms(name.into()),
        Some(Err(problem)) => return fail(&format!("the KMS key's {problem}"), MISUSE),
    };
    let key = match new_key(matches.get_flag("key-stdin")) {
        Ok(key) => RingKey::new(kind, key),
        Err(problem) => return fail(&problem, MISUSE),
    };
    match file::add(&plan.encryption.key_file, &key) {
        Ok(()) => {
            let path = plan.encryption.key_file.display();
            show(&format!("added {} {} to {path}; keep a copy of the file\n", key.kind, key.id));
            SUCCESS
        }
        Err(error) => fail(&error.to_string(), FAILURE),
    }
}

fn new_key(from_stdin: bool) -> Result<SealingKey, String> {
    if !from_stdin {
        return SealingKey::generate().map_err(|error| error.to_string());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(KEY_TEXT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|error| format!("the key could not be read: {error}"))?;
    parse_key(&text).map_err(|problem| format!("standard input: {problem}"))
}

/// Lists ids with the day each was made, oldest first.
pub(super) fn list(plan: &Plan) -> u8 {
    match file::read_entries(&plan.encryption.key_file) {
        Ok(keys) => {
            for (key, created) in keys {
                show(&format!("{}  {}  made {}\n", key.id, key.kind, day(created)));
            }
            SUCCESS
        }
        Err(error) => fail(&error.to_string(), FAILURE),
    }
}
