//! Owns: the XML of IAM and STS: results, and errors as theirs are.

use std::borrow::Cow;

use http::{HeaderValue, Response, StatusCode, header};
use s3s::Body;

use super::sts;
use crate::door::ErrorCode;
use crate::iam::change::ChangeError;

/// Why an action was not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

impl Failure {
    pub(super) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Failure {
        Failure { status, code: code.into(), message: message.into() }
    }

    /// 400 `ValidationError`.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, "ValidationError", message)
    }

    /// 403 `AccessDenied`.
    pub(super) fn denied(message: impl Into<Cow<'static, str>>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    /// 404 `NoSuchEntity`.
    pub(super) fn absent(kind: &str, name: &str) -> Failure {
        let message = format!("The {kind} with name {name} cannot be found.");
        Failure::new(StatusCode::NOT_FOUND, "NoSuchEntity", message)
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Failure {
        let (status, code) = match &error {
            ChangeError::Exists(..) => (StatusCode::CONFLICT, "EntityAlreadyExists"),
            ChangeError::Unknown(..) => (StatusCode::NOT_FOUND, "NoSuchEntity"),
            ChangeError::Declared(..) => (StatusCode::BAD_REQUEST, "UnmodifiableEntity"),
            ChangeError::Conflict(_) => (StatusCode::CONFLICT, "DeleteConflict"),
            ChangeError::Limit(_) => (StatusCode::CONFLICT, "LimitExceeded"),
            ChangeError::Invalid(_) => (StatusCode::BAD_REQUEST, "ValidationError"),
            ChangeError::Malformed(_) => (StatusCode::BAD_REQUEST, "MalformedPolicyDocument"),
            ChangeError::File(problem) => {
                tracing::error!(%problem, "users could not be changed");
                let message = "The users could not be changed; the server's log says why.";
                return Failure::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceFailure", message);
            }
        };
        Failure::new(status, code, error.to_string())
    }
}

/// Writes an element whose content is text.
pub(super) fn element(xml: &mut String, name: &str, text: &str) {
    for piece in ["<", name, ">"] {
        xml.push_str(piece);
    }
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '\r' => xml.push_str("&#xD;"),
            // XML 1.0, 2.2: these have no form at all.
            '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                xml.push('\u{FFFD}');
            }
            other => xml.push(other),
        }
    }
    for piece in ["</", name, ">"] {
        xml.push_str(piece);
    }
}

/// The response to an action.
pub(super) fn write(action: &str, outcome: Result<String, Failure>, id: &str) -> Response<Body> {
    let namespace = match sts::is_action(action) {
        true => "https://sts.amazonaws.com/doc/2011-06-15/",
        false => "https://iam.amazonaws.com/doc/2010-05-08/",
    };
    let mut xml = String::with_capacity(1_024);
    let mut status = StatusCode::OK;
    let mut code = None;
    match outcome {
        Ok(result) => {
            for piece in ["<", action, "Response xmlns=\"", namespace, "\">"] {
                xml.push_str(piece);
            }
            if !result.is_empty() {
                for piece in ["<", action, "Result>", &result, "</", action, "Result>"] {
                    xml.push_str(piece);
                }
            }
            xml.push_str("<ResponseMetadata>");
            element(&mut xml, "RequestId", id);
            for piece in ["</ResponseMetadata></", action, "Response>"] {
                xml.push_str(piece);
            }
        }
        Err(failure) => {
            status = failure.status;
            let whose = if status.is_server_error() { "Receiver" } else { "Sender" };
            for piece in ["<ErrorResponse xmlns=\"", namespace, "\"><Error>"] {
                xml.push_str(piece);
            }
            element(&mut xml, "Type", whose);
            element(&mut xml, "Code", &failure.code);
            element(&mut xml, "Message", &failure.message);
            xml.push_str("</Error>");
            element(&mut xml, "RequestId", id);
            xml.push_str("</ErrorResponse>");
            code = Some(ErrorCode(failure.code));
        }
    }
    let mut response = Response::new(Body::from(xml));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", value);
    }
    if let Some(code) = code {
        response.extensions_mut().insert(code);
    }
    response
}
