//! Who there is and what each may do: accounts, their users, roles and keys, and the policies that speak of them.
//!
//! `principal` is what a verified request is from; `Iam` knows everyone who may sign; `policy` is the language of
//! policies; `decide` puts those of the caller, of its session and of the bucket together.
//!
//! Not here: signatures (`auth`), which action an operation is (`s3::actions`), and the settings of buckets.

mod change;
mod decide;
mod directory;
pub mod policy;
mod principal;
pub mod query;
mod registry;
mod sealing;

pub use change::{Change, ChangeError, Changed, Holder, check_tags};
pub use decide::{BucketSide, Decision, Why, decide};
pub use directory::{Directory, Known, Role};
pub use principal::{Account, Caller, Express, Principal, PrincipalKind, Session};
pub use registry::{Iam, Issued, LaneKeys, Places};

/// `2013-05-24T00:00:00Z` of so many seconds after 1970.
pub(crate) fn moment(seconds: u64) -> String {
    crate::auth::display_moment(i64::try_from(seconds).unwrap_or(i64::MAX))
}
