//! Owns: what a client can learn before it sends an upload without a body.
//!
//! Two ways, both signed as S3's requests are:
//!
//! - every successful `HEAD /bucket` has the header `x-amz-rdma-capabilities`: words, separated by commas.
//!   `hipobj-rc-v2`: sessions of three requests. `pooled-rc`: connections for many objects. `mp`: parts of uploads as
//!   targets. `armed`: after PREPARE the client may write at once, without the pause of 100 ms that other servers need.
//!   `off` alone: there is no RDMA here, and every token is declined. A server that does not know RDMA has no such
//!   header, and is to be sent no upload without a body: it would store an object of 0 bytes.
//! - `GET /.s3rdma-rc/capabilities` answers a JSON document, with everything that a person would ask:
//!
//! ```json
//! {"enabled":true,"capabilities":"hipobj-rc-v2,pooled-rc,mp,armed","protocols":["hipobj-rc-v2","pooled-rc"],
//!  "device":"mlx5_0","port":1,"link_layer":"Ethernet","gid":"::ffff:10.0.0.1","path_mtu":4096,
//!  "message_bytes_max":1073741824,
//!  "limits":{"transfer_bytes":2147483647,"upload_bytes":268435456,"sessions":1024,"sessions_per_user":64,
//!            "connections":1024,"connections_per_user":64}}
//! {"enabled":false,"capabilities":"off","protocols":[],"reason":"there is no RDMA device: …"}
//! ```
//!
//! In the hipobj-rc-v2 protocol the header has one word at a time, as its clients know them: `armed` in PREPARE's
//! answer, `mp` in the last one.

use http::HeaderValue;
use rdma::fabric::FabricFacts;
use rdma::server::Settings;
use rdma::wire::Capabilities;
use serde::Serialize;

/// What the fabric can do, in words.
pub fn of(facts: Option<&FabricFacts>) -> Capabilities {
    match facts {
        Some(facts) => Capabilities {
            // Its uploads end in a WRITE WITH IMMEDIATE, which iWARP has not.
            sessions: facts.immediate,
            pooled: true,
            parts: true,
            armed: facts.immediate,
            off: false,
        },
        None => Capabilities { off: true, ..Capabilities::default() },
    }
}

/// In PREPARE's answer: the receive is posted already.
pub const ARMED: HeaderValue = HeaderValue::from_static("armed");

/// In a transfer's answer: parts of uploads may be targets.
pub const PARTS: HeaderValue = HeaderValue::from_static("mp");

/// The document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    enabled: bool,
    capabilities: String,
    protocols: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_layer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<Limits>,
}

#[derive(Debug, Serialize)]
struct Limits {
    transfer_bytes: u64,
    upload_bytes: u64,
    sessions: usize,
    sessions_per_user: usize,
    connections: usize,
    connections_per_user: usize,
}

/// The document's text where there is a fabric, or why there is none.
pub fn document(state: Result<(&FabricFacts, &Settings), &str>) -> String {
    let capabilities = of(state.ok().map(|(facts, _)| facts));
    let protocols = [(capabilities.sessions, "hipobj-rc-v2"), (capabilities.pooled, "pooled-rc")];
    let mut document = Document {
        enabled: state.is_ok(),
        capabilities: capabilities.to_string(),
        protocols: protocols.into_iter().filter(|it| it.0).map(|it| it.1).collect(),
        reason: state.err(),
        device: None,
        port: None,
        link_layer: None,
        gid: None,
        path_mtu: None,
        message_bytes_max: None,
        limits: None,
    };
    if let Ok((facts, settings)) = state {
        let transfer_bytes = settings.transfer_bytes_max.min(facts.message_bytes_max);
        document.device = Some(&facts.device);
        document.port = Some(facts.port);
        document.link_layer = Some(facts.link_layer);
        document.gid = Some(facts.gid.to_string());
        document.path_mtu = Some(facts.path_mtu.bytes());
        document.message_bytes_max = Some(facts.message_bytes_max);
        document.limits = Some(Limits {
            transfer_bytes,
            upload_bytes: transfer_bytes.min(settings.staging_bytes_of_one()),
            sessions: settings.sessions_max,
            sessions_per_user: settings.sessions_per_principal,
            connections: settings.connections_max,
            connections_per_user: settings.connections_per_principal,
        });
    }
    // A structure of numbers and texts always has a form.
    serde_json::to_string(&document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdma::fabric::{Gid, Mtu};

    fn facts(immediate: bool) -> FabricFacts {
        FabricFacts {
            kind: "loopback",
            device: "mlx5_0".into(),
            port: 1,
            link_layer: "Ethernet",
            lid: 0,
            gid: Gid::from_ipv4([10, 0, 0, 1].into()),
            path_mtu: Mtu::B4096,
            message_bytes_max: 1 << 30,
            immediate,
            registered_bytes: 0,
            regions: 0,
        }
    }

    #[test]
    fn the_words_are_what_the_fabric_can_do() {
        assert_eq!(of(Some(&facts(true))).to_string(), "hipobj-rc-v2,pooled-rc,mp,armed");
        assert_eq!(of(Some(&facts(false))).to_string(), "pooled-rc,mp");
        assert_eq!(of(None).to_string(), "off");
    }

    #[test]
    fn the_document_says_what_a_person_would_ask() {
        let settings = Settings { staging_bytes: 64 << 20, ..Settings::default() };
        let facts = facts(true);
        let on: serde_json::Value =
            serde_json::from_str(&document(Ok((&facts, &settings)))).unwrap();
        assert_eq!(on["enabled"], true);
        assert_eq!(on["protocols"], serde_json::json!(["hipobj-rc-v2", "pooled-rc"]));
        assert_eq!((&on["device"], &on["gid"]), (&"mlx5_0".into(), &"::ffff:10.0.0.1".into()));
        assert_eq!((&on["path_mtu"], &on["port"]), (&4096.into(), &1.into()));
        assert_eq!(on["limits"]["upload_bytes"], 64 << 20);
        assert_eq!(on["limits"]["transfer_bytes"], 1 << 30);
        assert!(on.get("reason").is_none());
        let off: serde_json::Value =
            serde_json::from_str(&document(Err("there is no device"))).unwrap();
        let expected = serde_json::json!({
            "enabled": false, "capabilities": "off", "protocols": [], "reason": "there is no device"
        });
        assert_eq!(off, expected);
    }
}
