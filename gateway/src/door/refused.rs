//! A request that is answered before it becomes an S3 operation.
//!
//! Owns: S3's error document.
//! Not here: which failure of the store is which code (`rescue`).

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::outgoing::Content;
use super::request_id::RequestId;

/// What a refused client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// S3's error code.
    pub code: Cow<'static, str>,
    /// The HTTP status.
    pub status: StatusCode,
    /// One or two sentences for people.
    pub message: Cow<'static, str>,
    /// Further elements of the document, such as `StringToSign`; names are XML names.
    pub further: Vec<(Cow<'static, str>, String)>,
    /// Headers of the response beside those of every one. Boxed: few refusals have any.
    pub headers: Option<Box<HeaderMap>>,
}

/// S3's code of an error, in the extensions of a response that is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(pub Cow<'static, str>);

impl ErrorCode {
    /// The one that an error's document names.
    pub fn of(document: &[u8]) -> Option<ErrorCode> {
        let (_, rest) = std::str::from_utf8(document).ok()?.split_once("<Code>")?;
        let (code, _) = rest.split_once("</Code>")?;
        Some(ErrorCode(code.to_owned().into()))
    }
}

impl Refused {
    /// A refusal without further elements.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Refused {
        Refused {
            code: code.into(),
            status,
            message: message.into(),
            further: Vec::new(),
            headers: None,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Refused {
        self.headers.get_or_insert_default().insert(name, value);
        self
    }

    /// A defect of ours.
    pub fn internal() -> Refused {
        Refused::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error. Please try again.",
        )
    }

    /// The response. `resource` is the path as the client sent it. A response to HEAD has the
    /// status alone.
    pub(super) fn response(
        &self,
        resource: &str,
        id: &RequestId,
        host_id: &HeaderValue,
        head_only: bool,
    ) -> Response<Content> {
        let content = match head_only {
            true => Content::Empty,
            false => Content::Whole(Some(self.document(resource, id, host_id))),
        };
        let mut response = Response::new(content);
        *response.status_mut() = self.status;
        response.extensions_mut().insert(ErrorCode(self.code.clone()));
        let xml = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(header::CONTENT_TYPE, xml);
        if let Some(headers) = &self.headers {
            response.headers_mut().extend(headers.as_ref().clone());
        }
        response
    }

    fn document(&self, resource: &str, id: &RequestId, host_id: &HeaderValue) -> Bytes {
        let mut xml = String::with_capacity(512);
        xml.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        element(&mut xml, "Code", &self.code);
        element(&mut xml, "Message", &self.message);
        for (name, value) in &self.further {
            element(&mut xml, name, value);
        }
        close(&mut xml, resource, id, host_id);
        Bytes::from(xml)
    }
}

/// Adds to the error document of an operation what only the door knows, as S3 has it.
pub(super) fn identify(
    mut response: Response<s3s::Body>,
    resource: &str,
    id: &RequestId,
    host_id: &HeaderValue,
) -> Response<s3s::Body> {
    if response.status().as_u16() < 400 {
        return response;
    }
    let document = response.body().bytes();
    let document = document.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    if let Some(open) = document.and_then(|document| document.strip_suffix(END)) {
        let mut xml = String::with_capacity(open.len() + 256);
        xml.push_str(open);
        if !open.contains("<Message>") {
            element(&mut xml, "Message", message_of(open));
        }
        close(&mut xml, resource, id, host_id);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = s3s::Body::from(xml);
    }
    response
}

/// What s3s leaves unsaid: the sentence for a name that it refuses by itself.
fn message_of(document: &str) -> &'static str {
    if document.contains("<Code>InvalidBucketName<") {
        "The specified bucket is not valid."
    } else if document.contains("<Code>KeyTooLongError<") {
        "Your key is too long."
    } else {
        "The request can't be carried out."
    }
}

const END: &str = "</Error>";

fn close(xml: &mut String, resource: &str, id: &RequestId, host_id: &HeaderValue) {
    element(xml, "Resource", resource);
    element(xml, "RequestId", id.as_str());
    element(xml, "HostId", host_id.to_str().unwrap_or_default());
    xml.push_str(END);
}

fn element(xml: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(xml, "<{name}>");
    for character in value.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\'' => xml.push_str("&apos;"),
            '\r' => xml.push_str("&#13;"),
            // XML 1.0, 2.2: these have no form at all, escaped or not.
            '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {
                xml.push('\u{FFFD}');
            }
            other => xml.push(other),
        }
    }
    let _ = write!(xml, "</{name}>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::request_id::RequestIds;

    fn text(refused: &Refused, resource: &str) -> String {
        let id = RequestIds::new().unwrap().next();
        let host_id = HeaderValue::from_static("host/id+=");
        let bytes = refused.document(resource, &id, &host_id);
        String::from_utf8(bytes.to_vec()).unwrap().replace(id.as_str(), "ID")
    }

    #[test]
    fn the_document_is_s3s() {
        let mut refused = Refused::new(StatusCode::FORBIDDEN, "AccessDenied", "No.");
        refused.further.push(("Detail".into(), "more".into()));
        assert_eq!(
            text(&refused, "/bucket/key"),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code>\
             <Message>No.</Message><Detail>more</Detail><Resource>/bucket/key</Resource>\
             <RequestId>ID</RequestId><HostId>host/id+=</HostId></Error>"
        );
    }

    #[test]
    fn what_a_client_sends_cannot_become_markup() {
        let refused = Refused::internal();
        let shown = text(&refused, "/<a href=\"x\">&'\u{1}\r\u{FFFF}é");
        assert!(shown.contains("/&lt;a href=&quot;x&quot;&gt;&amp;&apos;\u{FFFD}&#13;\u{FFFD}é<"));
    }

    #[test]
    fn its_headers_go_along() {
        let id = RequestIds::new().unwrap().next();
        let host_id = HeaderValue::from_static("h");
        let refused = Refused::internal()
            .with_header(header::ALLOW, HeaderValue::from_static("GET"))
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"));
        let response = refused.response("/", &id, &host_id, false);
        assert_eq!(
            (&response.headers()["allow"], &response.headers()["retry-after"]),
            (&HeaderValue::from_static("GET"), &HeaderValue::from_static("1"))
        );
        assert_eq!(response.headers()["content-type"], "application/xml");
    }

    #[test]
    fn a_head_request_gets_the_status_alone() {
        let id = RequestIds::new().unwrap().next();
        let host_id = HeaderValue::from_static("h");
        let response = Refused::internal().response("/", &id, &host_id, true);
        assert_eq!(response.status(), 500);
        assert!(matches!(response.body(), Content::Empty));
    }
}
