//! CORS at the door: preflights, which nobody signs and no operation sees, and the headers that every answer to a script of
//! another origin has, also one that is an error.
//!
//! Not here: the rules (`s3/cors.rs`).

use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};

use super::{Backend, Door, Refused};
use crate::record::Account;
use crate::s3::{CrossOrigin, OriginVerdict};

impl<B: Backend> Door<B> {
    /// Answers `OPTIONS`: 200 without a body where a rule of the bucket allows what is announced. Its headers come with
    /// those of every answer.
    ///
    /// # Errors
    /// 400 for what is no preflight, 403 for what is not allowed.
    pub(super) fn preflight(
        &self,
        parts: &Parts,
        account: &Account,
        asked: Option<&CrossOrigin>,
    ) -> Result<Response<s3s::Body>, Refused> {
        let asked = asked.ok_or_else(|| {
            bad_request("Insufficient information. Origin request header needed.".to_owned())
        })?;
        if !asked.names_method() {
            let announced = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD);
            let named = announced.map_or(Some("null"), |value| value.to_str().ok());
            let named: String = named.unwrap_or_default().chars().take(64).collect();
            return Err(bad_request(format!("Invalid Access-Control-Request-Method: {named}")));
        }
        let mut headers = HeaderMap::new();
        let verdict = match account.bucket() {
            Some(bucket) => self.backend.cross_origin(bucket, asked, &mut headers),
            None => OriginVerdict::NoRules,
        };
        let message = match verdict {
            OriginVerdict::Allowed => {
                let mut response = Response::new(s3s::Body::empty());
                *response.headers_mut() = headers;
                return Ok(response);
            }
            OriginVerdict::NoBucket => "CORSResponse: Bucket not found",
            OriginVerdict::NoRules => "CORSResponse: CORS is not enabled for this bucket.",
            OriginVerdict::Refused => {
                "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
                 method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
                 resource's CORS spec."
            }
        };
        let mut refused = Refused::new(StatusCode::FORBIDDEN, "AccessForbidden", message);
        let resource = if account.key().is_some() { "OBJECT" } else { "BUCKET" };
        let method = asked.method().unwrap_or_default().to_owned();
        refused.further.push(("Method".into(), method));
        refused.further.push(("ResourceType".into(), resource.to_owned()));
        // Only that the answer depends on the origin.
        refused.headers = (!headers.is_empty()).then(|| Box::new(headers));
        Err(refused)
    }

    /// Adds what a browser is to know to an answer; a preflight's has it already.
    pub(super) fn tell_origin(
        &self,
        asked: &CrossOrigin,
        account: &Account,
        method: &Method,
        answer: &mut HeaderMap,
    ) {
        if let (true, Some(bucket)) = (*method != Method::OPTIONS, account.bucket()) {
            self.backend.cross_origin(bucket, asked, answer);
        }
    }
}

fn bad_request(message: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}
