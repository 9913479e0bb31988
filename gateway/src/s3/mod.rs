//! The S3 operations, between s3s, which reads requests and writes answers, and the store.
//!
//! In the order a request travels: `service` takes it from the door, with `aside` (headers that s3s must not see),
//! `documents` (XML bodies) and `names` (addressing); `access` lets it in, with `features` (what is not here), `actions` (what an operation needs),
//! `access_verdict` and `access_facts` (who may); `settings` is what buckets say of all that, set and shown by
//! `acl_operations`, `policy_operations`, `ownership` and `public_access`;
//! `operations` is the table of operations, one file each; they share `condition`, `range`, `versions`, `created`
//! (what is kept beside the bytes: `attributes` with `storage_class` and `redirect`, `tags`), `checksum`, `entity_tag`, `intake` (bytes in), `stream` (bytes out), `by_rdma` (bytes that are in no
//! body), `describe`
//! (headers out), `source` (copies), `page` (listings) and `listings` (their memory). What cannot be done is a `refusal`.
//!
//! Not here: signatures and framing (`crate::auth`, `crate::body`), what a client is told (`crate::rescue`).

mod access;
mod access_facts;
mod access_verdict;
mod acl;
mod acl_asked;
mod acl_operations;
mod actions;
mod aside;
mod beyond;
mod documents;
mod features;
mod names;
mod operations;
mod ownership;
mod policy_operations;
mod public_access;
mod service;
mod settings;

mod append;
pub mod background;
mod bucket;
mod bucket_tagging;
mod complete;
mod copy;
mod cors;
mod delete;
mod encryption_default;
mod form;
mod form_policy;
mod form_reader;
mod get;
mod head;
mod lifecycle;
mod list;
mod list_versions;
mod lock;
mod lock_operations;
mod notification;
mod object_attributes;
mod parts;
mod put;
mod rename;
mod session;
mod tagging;
mod unsupported;
mod uploads;
mod versioning;

mod attributes;
mod by_rdma;
mod checksum;
mod condition;
mod created;
mod describe;
mod encryption;
mod entity_tag;
mod http_date;
mod intake;
mod kept;
mod listings;
mod page;
mod range;
mod redirect;
mod source;
mod storage_class;
mod stream;
mod tags;
mod versions;

pub mod limits;
pub mod refusal;

#[cfg(test)]
mod tests;

pub use access_facts::Presigned;
pub use cors::{Cors, CrossOrigin, OriginVerdict};
pub use form::FormRefusal;
pub use names::bucket_name_is_valid;
pub use policy_operations::set_public_read;
pub use service::{S3Settings, Service, service};
