//! What can happen to an object that somebody wants to hear of, and its record as Amazon S3 writes it (user guide, "Event
//! message structure", versions 2.1 and 2.3; "Supported event types").

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

/// The kinds of events that happen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// PutObject, also one that appends.
    Put,
    /// An upload by a browser's form.
    Post,
    /// CopyObject, also RenameObject's new name.
    Copy,
    /// CompleteMultipartUpload.
    Complete,
    /// An object, or one version of it, is gone for good.
    Delete,
    /// A delete marker was made.
    MarkerMade,
    /// The lifecycle has deleted an object or a version.
    Expired,
    /// The lifecycle has made a delete marker.
    ExpiredMarkerMade,
    /// Tags were set.
    TaggingPut,
    /// Tags were removed.
    TaggingDelete,
    /// An access control list was set.
    AclPut,
}

impl EventKind {
    /// Its name, without `s3:`.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Put => "ObjectCreated:Put",
            EventKind::Post => "ObjectCreated:Post",
            EventKind::Copy => "ObjectCreated:Copy",
            EventKind::Complete => "ObjectCreated:CompleteMultipartUpload",
            EventKind::Delete => "ObjectRemoved:Delete",
            EventKind::MarkerMade => "ObjectRemoved:DeleteMarkerCreated",
            EventKind::Expired => "LifecycleExpiration:Delete",
            EventKind::ExpiredMarkerMade => "LifecycleExpiration:DeleteMarkerCreated",
            EventKind::TaggingPut => "ObjectTagging:Put",
            EventKind::TaggingDelete => "ObjectTagging:Delete",
            EventKind::AclPut => "ObjectAcl:Put",
        }
    }

    fn removes(self) -> bool {
        use EventKind::*;
        matches!(self, Delete | MarkerMade | Expired | ExpiredMarkerMade)
    }

    fn is_ordered(self) -> bool {
        use EventKind::*;
        matches!(self, Put | Post | Copy | Complete | Delete | MarkerMade)
    }

    fn version(self) -> &'static str {
        if self.is_ordered() { "2.1" } else { "2.3" }
    }
}

/// Something that has happened to an object.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// What.
    pub kind: EventKind,
    /// To which key.
    pub key: &'a [u8],
    /// Bytes of its content, where an object was made or stays.
    pub size: Option<u64>,
    /// Its entity tag without quotes, likewise.
    pub entity_tag: Option<&'a str>,
    /// Its version, where the bucket has versions.
    pub version: Option<&'a str>,
    /// The number of its row in the index, or of its marker's: later ones are larger.
    pub row: u64,
}

/// Who did it, by which request. The lifecycle has none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Doer<'a> {
    /// The access key or user that signed; none of anonymous requests.
    pub principal: Option<&'a str>,
    /// Where the request came from.
    pub peer: Option<IpAddr>,
    /// Its identifier.
    pub request: Option<&'a str>,
}

/// Where it happened.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The endpoint's region.
    pub region: &'a str,
    /// `x-amz-id-2`.
    pub host: &'a str,
    /// The bucket's name.
    pub bucket: &'a str,
    /// The canonical id of its owner.
    pub owner: &'a str,
    /// When, in ISO 8601 with milliseconds.
    pub time: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "Records")]
    records: [Record<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'a str,
    event_source: &'a str,
    aws_region: &'a str,
    event_time: &'a str,
    event_name: &'a str,
    user_identity: Identity<'a>,
    request_parameters: RequestParameters,
    response_elements: ResponseElements<'a>,
    s3: Entity<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    principal_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestParameters {
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: String,
}

#[derive(Serialize)]
struct ResponseElements<'a> {
    #[serde(rename = "x-amz-request-id")]
    request_id: &'a str,
    #[serde(rename = "x-amz-id-2")]
    host_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entity<'a> {
    s3_schema_version: &'a str,
    configuration_id: &'a str,
    bucket: BucketEntity<'a>,
    object: ObjectEntity<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BucketEntity<'a> {
    name: &'a str,
    owner_identity: Identity<'a>,
    arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectEntity<'a> {
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequencer: Option<String>,
}

/// The message to one destination; `configuration` is the ID of what names it.
pub fn message(
    event: &Event<'_>,
    doer: &Doer<'_>,
    place: &Place<'_>,
    configuration: &str,
) -> Vec<u8> {
    let kind = event.kind;
    let object = ObjectEntity {
        key: form_encoded(event.key),
        size: event.size.filter(|_| !kind.removes()),
        e_tag: event.entity_tag.filter(|_| !kind.removes() || kind == EventKind::MarkerMade),
        version_id: event.version,
        sequencer: kind.is_ordered().then(|| sequencer(event)),
    };
    let source = doer.peer.map_or_else(|| "127.0.0.1".to_owned(), |peer| peer.to_string());
    let record = Record {
        event_version: kind.version(),
        event_source: "aws:s3",
        aws_region: place.region,
        event_time: place.time,
        event_name: kind.name(),
        user_identity: Identity { principal_id: doer.principal.unwrap_or(ANONYMOUS) },
        request_parameters: RequestParameters { source_ip_address: source },
        response_elements: ResponseElements {
            request_id: doer.request.unwrap_or_default(),
            host_id: place.host,
        },
        s3: Entity {
            s3_schema_version: "1.0",
            configuration_id: configuration,
            bucket: BucketEntity {
                name: place.bucket,
                owner_identity: Identity { principal_id: place.owner },
                arn: format!("arn:aws:s3:::{}", place.bucket),
            },
            object,
        },
    };
    // Nothing in it can fail: there are no maps, and all text is UTF-8.
    serde_json::to_vec(&Message { records: [record] }).unwrap_or_default()
}

/// Whom Amazon S3 names for requests that nobody signed.
const ANONYMOUS: &str = "Anonymous";

/// The message that tells a destination that it was named.
pub fn test_message(place: &Place<'_>, request: &str) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Test<'a> {
        service: &'a str,
        event: &'a str,
        time: &'a str,
        bucket: &'a str,
        request_id: &'a str,
        host_id: &'a str,
    }
    let test = Test {
        service: "Amazon S3",
        event: "s3:TestEvent",
        time: place.time,
        bucket: place.bucket,
        request_id: request,
        host_id: place.host,
    };
    serde_json::to_vec(&test).unwrap_or_default()
}

/// Orders the events of one key, as text: the row that was made or removed, then which of both.
fn sequencer(event: &Event<'_>) -> String {
    let removed = u8::from(event.kind == EventKind::Delete);
    format!("{:016X}{removed:02X}", event.row)
}

/// A key as `application/x-www-form-urlencoded` has it, but for slashes.
fn form_encoded(key: &[u8]) -> String {
    let mut encoded = String::with_capacity(key.len() + 16);
    for byte in key {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'*' | b'_' | b'/' => {
                encoded.push(char::from(*byte));
            }
            b' ' => encoded.push('+'),
            other => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const PLACE: Place<'_> = Place {
        region: "eu-1",
        host: "host",
        bucket: "photos",
        owner: "owner",
        time: "2026-01-02T03:04:05.678Z",
    };

    fn event(kind: EventKind, row: u64) -> Event<'static> {
        Event {
            kind,
            key: "red flower/ü+.jpg".as_bytes(),
            size: Some(7),
            entity_tag: Some("etag"),
            version: Some("v1"),
            row,
        }
    }

    #[test]
    fn the_record_is_amazons() {
        let doer = Doer {
            principal: Some("AKIA"),
            peer: Some([192, 0, 2, 1].into()),
            request: Some("REQ"),
        };
        let message = message(&event(EventKind::Put, 255), &doer, &PLACE, "config");
        let message: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!(
            message,
            json!({"Records": [{
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "awsRegion": "eu-1",
                "eventTime": "2026-01-02T03:04:05.678Z",
                "eventName": "ObjectCreated:Put",
                "userIdentity": {"principalId": "AKIA"},
                "requestParameters": {"sourceIPAddress": "192.0.2.1"},
                "responseElements": {"x-amz-request-id": "REQ", "x-amz-id-2": "host"},
                "s3": {
                    "s3SchemaVersion": "1.0",
                    "configurationId": "config",
                    "bucket": {
                        "name": "photos",
                        "ownerIdentity": {"principalId": "owner"},
                        "arn": "arn:aws:s3:::photos"
                    },
                    "object": {
                        "key": "red+flower/%C3%BC%2B.jpg",
                        "size": 7,
                        "eTag": "etag",
                        "versionId": "v1",
                        "sequencer": "00000000000000FF00"
                    }
                }
            }]})
        );
    }

    #[test]
    fn what_is_gone_has_no_size() {
        let message = message(&event(EventKind::Delete, 1), &Doer::default(), &PLACE, "c");
        let message: Value = serde_json::from_slice(&message).unwrap();
        let record = &message["Records"][0];
        assert!(record["s3"]["object"].get("size").is_none());
        assert_eq!(record["userIdentity"]["principalId"], "Anonymous");
        let expired = serde_json::from_slice::<Value>(&super::message(
            &event(EventKind::Expired, 1),
            &Doer::default(),
            &PLACE,
            "c",
        ));
        let expired = expired.unwrap();
        assert_eq!(expired["Records"][0]["eventVersion"], "2.3");
        assert!(expired["Records"][0]["s3"]["object"].get("sequencer").is_none());
    }

    #[test]
    fn sequencers_order_the_events_of_a_key() {
        let order = [
            sequencer(&event(EventKind::Put, 9)),
            sequencer(&event(EventKind::Delete, 9)),
            sequencer(&event(EventKind::Put, 16)),
            sequencer(&event(EventKind::MarkerMade, 4096)),
        ];
        assert!(order.is_sorted());
    }

    #[test]
    fn the_test_is_amazons() {
        let test: Value = serde_json::from_slice(&test_message(&PLACE, "REQ")).unwrap();
        assert_eq!(
            test,
            json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-01-02T03:04:05.678Z",
                   "Bucket": "photos", "RequestId": "REQ", "HostId": "host"})
        );
    }
}
