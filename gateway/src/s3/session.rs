//! CreateSession of S3 Express: temporary credentials for one bucket, to read or to read and write.
//!
//! Any bucket has them here. Not here: tokens (`crate::iam`), and what a session may do (`crate::iam::decide`).

use s3s::dto::{self, CreateSessionInput, CreateSessionOutput, SessionCredentials, SessionMode};
use s3s::{S3Request, S3Response};

use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use crate::iam::{Caller, Iam};

/// See the module.
pub(super) async fn create_session(
    operations: &Operations,
    mut request: S3Request<CreateSessionInput>,
) -> Outcome<S3Response<CreateSessionOutput>> {
    let input = request.input;
    operations.bucket_for(&mut request.extensions, &input.bucket)?;
    let read_only = match input.session_mode.as_ref().map(SessionMode::as_str) {
        None | Some("ReadWrite") => false,
        Some("ReadOnly") => true,
        Some(other) => {
            let why =
                format!("x-amz-create-session-mode must be ReadOnly or ReadWrite, not {other:.64}");
            return Err(Refusal::InvalidArgument(why));
        }
    };
    if input.server_side_encryption.is_some() || input.ssekms_key_id.is_some() {
        let what = "encryption by session: the bucket's default, or each request's, holds";
        return Err(Refusal::NotImplemented(what.to_owned()));
    }
    let caller = request.extensions.get::<Caller>().and_then(Caller::principal).cloned();
    let Some(principal) = caller else {
        return Err(Refusal::AccessDenied("CreateSession must be signed."));
    };
    let iam = operations.settings().shared_directory();
    // A new key of the seal waits for the disk.
    let issued = tokio::task::spawn_blocking(move || {
        Iam::create_session(&iam, &principal, &input.bucket, read_only)
    });
    let issued = match issued.await {
        Ok(Ok(issued)) => issued,
        Ok(Err(problem)) => {
            tracing::error!(%problem, "a session could not be issued");
            return Err(Refusal::Busy("sessions; the server's log says why"));
        }
        Err(_) => return Err(Refusal::Busy("sessions")),
    };
    let expires = std::time::Duration::from_secs(u64::try_from(issued.expires).unwrap_or(0));
    let credentials = SessionCredentials {
        access_key_id: issued.access_key,
        secret_access_key: issued.secret.reveal().to_string(),
        session_token: issued.token,
        expiration: dto::Timestamp::from(std::time::UNIX_EPOCH + expires),
    };
    Ok(S3Response::new(CreateSessionOutput { credentials, ..CreateSessionOutput::default() }))
}
