//! Owns: HTTP exchanges as text, as they went over the wire, for a reader and for checks of their
//! form.

use std::cell::RefCell;
use std::rc::Rc;

use crate::http::Response;
use crate::sign::Request;

/// A request, and its answer where one came.
pub type Exchange = (Request, Option<Response>);

/// Exchanges in their order. Clones are the same transcript.
#[derive(Debug, Clone, Default)]
pub struct Transcript(Rc<RefCell<Vec<Exchange>>>);

impl Transcript {
    /// Adds a request, and its answer where one came.
    pub fn add(&self, request: &Request, answer: Option<&Response>) {
        self.0.borrow_mut().push((request.clone(), answer.cloned()));
    }

    /// All so far.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.0.borrow().clone()
    }

    /// Text: lines of requests after `> `, of answers after `< `. Bodies are not shown.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (request, answer) in self.0.borrow().iter() {
            let head = request.head_bytes();
            for line in String::from_utf8_lossy(&head).trim_end().lines() {
                text.push_str(&format!("> {line}\n"));
            }
            let Some(answer) = answer else {
                text.push_str("< (no answer)\n");
                continue;
            };
            text.push_str(&format!("< HTTP/1.1 {}\n", answer.status));
            for (name, value) in &answer.headers {
                text.push_str(&format!("< {name}: {value}\n"));
            }
        }
        text
    }
}
