//! Owns [`Capabilities`]: what a server can do, as words in one header.

use std::fmt;

use super::{Fault, WireError, header};
use crate::limits::CAPABILITIES_BYTES_MAX;

/// The value of `x-amz-rdma-capabilities`: words with commas between them. Words that are not known are for others and
/// are passed over, so that a server may learn new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `hipobj-rc-v2`: sessions of three requests.
    pub sessions: bool,
    /// `pooled-rc`: connections that are used for many objects.
    pub pooled: bool,
    /// `mp`: targets may be parts.
    pub parts: bool,
    /// `armed`: a PUT's receive was posted before PREPARE was answered, so the client may write at once.
    pub armed: bool,
    /// `off`: RDMA is switched off, whatever else is said.
    pub off: bool,
}

impl Capabilities {
    /// Words of letters, digits, `-`, `_` and `.`, in any order, with white space around them as HTTP's lists have it.
    ///
    /// # Errors
    /// More than [`CAPABILITIES_BYTES_MAX`] bytes, or another character.
    pub fn parse(text: &str) -> Result<Capabilities, WireError> {
        let refuse = |why| WireError::new("capability", text, why).in_header(header::CAPABILITIES);
        if text.len() > CAPABILITIES_BYTES_MAX {
            return Err(refuse(Fault::TooLong { limit: CAPABILITIES_BYTES_MAX }));
        }
        let mut capabilities = Capabilities::default();
        for word in text.split(',') {
            let word = word.trim_matches([' ', '\t']);
            if !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                return Err(refuse(Fault::Character));
            }
            let known = capabilities.words_mut().into_iter().find(|(name, _)| *name == word);
            if let Some((_, has)) = known {
                *has = true;
            }
        }
        Ok(capabilities)
    }

    fn words_mut(&mut self) -> [(&'static str, &mut bool); 5] {
        [
            ("hipobj-rc-v2", &mut self.sessions),
            ("pooled-rc", &mut self.pooled),
            ("mp", &mut self.parts),
            ("armed", &mut self.armed),
            ("off", &mut self.off),
        ]
    }
}

/// The words in a fixed order; nothing where there is none.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = *self;
        let mut comma = "";
        for (word, _) in words.words_mut().into_iter().filter(|(_, has)| **has) {
            write!(f, "{comma}{word}")?;
            comma = ",";
        }
        Ok(())
    }
}
