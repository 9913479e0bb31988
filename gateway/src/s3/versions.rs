//! Owns what a version id means in buckets that have no versioning: `null` is the object, any other is none.

use super::refusal::{Outcome, Refusal};

/// The id of an object's only version.
pub(super) const NULL: &str = "null";

/// Whether an id means the object itself.
///
/// # Errors
/// NoSuchVersion for what could be an id of Amazon S3's (32 letters, digits, dots and underscores), InvalidArgument
/// for all else.
pub(super) fn check(id: Option<&str>) -> Outcome<()> {
    match id {
        None | Some(NULL) => Ok(()),
        Some("") => {
            Err(Refusal::InvalidArgument("Version id cannot be the empty string".to_owned()))
        }
        Some(id) => {
            let plausible = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
            if id.len() == 32 && id.bytes().all(plausible) {
                Err(Refusal::NoSuchVersion)
            } else {
                Err(Refusal::InvalidArgument("Invalid version id specified".to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_null_is_a_version() {
        assert!(check(None).is_ok() && check(Some("null")).is_ok());
        assert!(matches!(
            check(Some("3HL4kqtJvjVBH40Nrjfkd.n_L4kqtJvj")),
            Err(Refusal::NoSuchVersion)
        ));
        for id in ["", "1", "3HL4kqtJvjVBH40Nrjfkd-n_L4kqtJvj"] {
            assert!(matches!(check(Some(id)), Err(Refusal::InvalidArgument(_))), "{id}");
        }
    }
}
