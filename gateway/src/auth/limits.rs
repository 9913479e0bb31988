//! Owns: every bound of request verification.
//! Not here: the bounds on a request's head (the door's) and on bodies (`body::limits`).

/// Headers one signature may cover. AWS states no number; the door admits fewer header fields than
/// this, so only a list of names that are not in the request can pass it.
pub const SIGNED_HEADERS_MAX: usize = 256;

/// Query parameters of one request. S3's busiest request (a presigned UploadPart with response
/// overrides and checksums) has about 20.
pub const QUERY_PARAMETERS_MAX: usize = 256;

/// Bytes of an access key id. AWS states 16 to 128.
pub const ACCESS_KEY_BYTES_MAX: usize = 128;

/// Signing keys held by one verifier: 64 sets of 4, about 80 KiB. A key serves one (access key,
/// date, region, service), so this holds a day of 256 busy clients.
pub const SIGNING_KEY_SETS: usize = 64;

/// Signing keys of one set; the oldest gives way.
pub const SIGNING_KEY_WAYS: usize = 4;

/// Seconds that a request's clock may differ from ours, either way (AWS: 15 minutes).
pub const CLOCK_SKEW_SECONDS_MAX: i64 = 15 * 60;

/// Seconds that a presigned request may stay valid (AWS: seven days).
pub const EXPIRES_SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// Bytes of canonical text that a thread keeps from one request to the next. A usual request
/// needs under 1 KiB; what an unusual one needed beyond this goes back to the allocator.
pub const SCRATCH_KEPT_BYTES_MAX: usize = 16 * 1024;

const _: () = assert!(SIGNING_KEY_SETS.is_power_of_two());
const _: () = assert!(SIGNING_KEY_WAYS > 0 && SIGNING_KEY_WAYS <= u8::MAX as usize);
