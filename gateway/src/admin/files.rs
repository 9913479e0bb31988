//! Tokens and certificates of the administration address, as files have them.
//!
//! Owns: reading them, at the start and when they have changed. Tokens stand one on a line, `#`
//! begins a comment. Their file may be read by its owner and its group alone: the group is for a
//! scraper that shows the same token.
//! Limits: `ADMIN_TOKENS_MAX`, `CONFIGURATION_FILE_BYTES_MAX` of each file, `ADMIN_FILES_POLL`.
//! Not here: who may do what with a token (`access.rs`), how TLS is spoken (`tls.rs`).

use std::path::Path;

use tokio_rustls::TlsAcceptor;

use super::pass::Token;
use super::tls;
use crate::config::AdminPlan;
use crate::credentials::file::Stamp;
use crate::limits;
use crate::tls::pem::{FileError, Source};

/// What the files have.
pub struct Contents {
    /// Tokens; none without a file of them.
    pub tokens: Vec<Token>,
    /// Speaks TLS; `None` for plain HTTP.
    pub tls: Option<TlsAcceptor>,
}

impl Contents {
    /// Reads all files.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn read(plan: &AdminPlan) -> Result<Contents, FileError> {
        let tokens = plan.token_file.as_deref().map(read_tokens).transpose()?.unwrap_or_default();
        let tls = plan.tls.as_ref().map(tls::acceptor).transpose()?;
        Ok(Contents { tokens, tls })
    }
}

fn read_tokens(path: &Path) -> Result<Vec<Token>, FileError> {
    let source = Source { key: "admin.token_file", path };
    let text = String::from_utf8(source.read_secret()?)
        .map_err(|_| source.unusable("not text; write one token a line".into()))?;
    let lines = text.lines().map(str::trim).enumerate();
    let tokens = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let place = number + 1;
            Token::from_text(line).map_err(|problem| {
                let remedy = "write for example what `openssl rand -hex 32` prints";
                source.unusable(format!("the token on line {place} {problem}; {remedy}"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let most = limits::ADMIN_TOKENS_MAX;
    match tokens.len() {
        0 => Err(source.unusable("no token in it; write at least one, on a line".into())),
        many if many > most => {
            Err(source.unusable(format!("{many} tokens, at most {most} are allowed")))
        }
        _ => Ok(tokens),
    }
}

/// Looks whether the files have changed.
#[derive(Debug)]
pub struct FileWatch {
    plan: AdminPlan,
    stamps: Vec<Option<Stamp>>,
}

impl FileWatch {
    /// Of the present state, which has to be read after this.
    pub fn new(plan: AdminPlan) -> FileWatch {
        let stamps = stamps(&plan);
        FileWatch { plan, stamps }
    }

    /// What the files have now, when one has changed since the last look. Files that cannot be used
    /// leave all as it is: locking everybody out is the worse mistake, and the log says what is
    /// wrong. A certificate is looked at again when its key has followed.
    pub fn look(&mut self) -> Option<Contents> {
        let present = stamps(&self.plan);
        if present == self.stamps {
            return None;
        }
        self.stamps = present;
        match Contents::read(&self.plan) {
            Ok(contents) => {
                tracing::info!("tokens and certificates of the administration read again");
                Some(contents)
            }
            Err(error) => {
                tracing::error!(%error, "the old tokens and certificates stay valid");
                None
            }
        }
    }
}

fn stamps(plan: &AdminPlan) -> Vec<Option<Stamp>> {
    let tls = plan.tls.iter();
    let tls = tls.flat_map(|it| [Some(&it.certificate), Some(&it.key), it.client_ca.as_ref()]);
    tls.chain([plan.token_file.as_ref()]).flatten().map(|path| Stamp::of(path)).collect()
}
