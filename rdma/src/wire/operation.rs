//! Owns [`Operation`].

use std::fmt;

use super::{Fault, WireError, header};

/// Which way an object's bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To the client.
    Get,
    /// From the client: an object or a part of an upload.
    Put,
}

impl Operation {
    /// `GET` or `PUT`, in any case.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Operation, WireError> {
        if text.eq_ignore_ascii_case("GET") {
            Ok(Operation::Get)
        } else if text.eq_ignore_ascii_case("PUT") {
            Ok(Operation::Put)
        } else {
            let why = Fault::Word { expected: "GET or PUT" };
            Err(WireError::new("operation", text, why).in_header(header::OP))
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Get => "GET",
            Operation::Put => "PUT",
        })
    }
}
