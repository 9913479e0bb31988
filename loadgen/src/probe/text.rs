//! Owns how the findings are told to people.

use std::fmt::Write as _;

use super::Findings;
use super::local::{Device, Local};
use super::server::Server;
use super::trip::Trip;
use crate::quantity::{bytes_exact, microseconds};

impl Findings {
    /// All of it; the verdict last.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "this machine")?;
        self.local.write(text)?;
        writeln!(text, "\n{}", self.endpoint)?;
        self.server.write(text)?;
        if !self.trips.is_empty() {
            let bucket = self.bucket.as_deref().unwrap_or_default();
            writeln!(text, "\nan object there and back, in the bucket {bucket}")?;
        }
        for trip in &self.trips {
            trip.write(text)?;
        }
        writeln!(text)?;
        for problem in &self.problems {
            writeln!(text, "! {problem}")?;
        }
        match (self.usable, &self.bucket) {
            (false, _) => writeln!(text, "RDMA is not usable here."),
            (true, Some(_)) => writeln!(text, "RDMA is usable."),
            (true, None) => {
                writeln!(text, "RDMA should be usable; name a bucket with -b to have it tried.")
            }
        }
    }
}

impl Local {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        if self.devices.is_empty() {
            writeln!(text, "  no RDMA device")?;
        }
        for device in &self.devices {
            device.write(text)?;
        }
        let limit = self.memory_lock_bytes.map_or("no limit".to_owned(), bytes_exact);
        writeln!(text, "  memory that may be locked: {limit}")?;
        if let Some(chosen) = &self.chosen {
            let sessions = match chosen.immediate {
                true => "",
                false => "; no WRITE WITH IMMEDIATE, so no sessions",
            };
            writeln!(
                text,
                "  used: {} port {}, {}, GID {}, path MTU {}, messages of up to {}{sessions}",
                chosen.device,
                chosen.port,
                chosen.link_layer,
                chosen.gid,
                chosen.path_mtu,
                bytes_exact(chosen.message_bytes_max)
            )?;
        }
        Ok(())
    }
}

impl Device {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let firmware = match self.firmware.as_str() {
            "" => String::new(),
            version => format!(", firmware {version}"),
        };
        let iwarp = if self.iwarp { ", iWARP" } else { "" };
        writeln!(text, "  {}{firmware}{iwarp}", self.name)?;
        if let Some(error) = &self.error {
            writeln!(text, "    cannot be opened: {error}")?;
        }
        for port in &self.ports {
            let mtu = port.active_mtu.map_or("unknown".to_owned(), |mtu| mtu.to_string());
            writeln!(
                text,
                "    port {}: {}, {}, active MTU {mtu}",
                port.number, port.state, port.link_layer
            )?;
            for gid in &port.gids {
                let interface = gid.interface.as_deref().unwrap_or("-");
                writeln!(
                    text,
                    "      GID {:<3} {}  {}  {interface}",
                    gid.index, gid.gid, gid.kind
                )?;
            }
        }
        Ok(())
    }
}

impl Server {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        if let Some(words) = &self.header {
            writeln!(text, "  the bucket says: {words}")?;
        }
        let Some(document) = &self.document else {
            return match self.header {
                Some(_) => Ok(()),
                None => writeln!(text, "  says nothing of RDMA"),
            };
        };
        if !document.enabled {
            let reason = document.reason.as_deref().unwrap_or("no reason given");
            return writeln!(text, "  RDMA is off: {reason}");
        }
        writeln!(text, "  protocols: {}", document.capabilities)?;
        let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        writeln!(
            text,
            "  device {} port {}, {}, GID {}, path MTU {}, messages of up to {}",
            or_unknown(document.device.clone()),
            or_unknown(document.port.map(|port| port.to_string())),
            or_unknown(document.link_layer.clone()),
            or_unknown(document.gid.clone()),
            or_unknown(document.path_mtu.map(|mtu| mtu.to_string())),
            or_unknown(document.message_bytes_max.map(bytes_exact))
        )?;
        if let Some(limits) = document.limits.as_ref().and_then(|limits| limits.as_object()) {
            let limits = limits.iter().map(|(name, value)| format!("{name} {value}"));
            writeln!(text, "  limits: {}", limits.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

impl Trip {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        write!(text, "  {:<8}{}", self.protocol, bytes_exact(self.bytes))?;
        if let Some(us) = self.connect_us {
            write!(text, "  connect {}", microseconds(us))?;
        }
        for (name, step) in [("PUT", &self.put), ("GET", &self.get)] {
            if let Some(step) = step {
                let path = if step.by_rdma { "RDMA" } else { "HTTP" };
                write!(text, "  {name} {} by {path}", microseconds(step.us))?;
            }
        }
        match (&self.error, self.is_good()) {
            (Some(error), _) => writeln!(text, "  failed: {error}"),
            (None, true) => writeln!(text, "  the same bytes"),
            (None, false) => writeln!(text, "  declined"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trip::Step;
    use super::*;

    fn trip(by_rdma: bool) -> Trip {
        let decline = (!by_rdma).then(|| "declined with reply 501".to_owned());
        let step = || Some(Step { us: 1500.0, by_rdma, decline: decline.clone() });
        Trip {
            protocol: "pooled",
            key: "k".to_owned(),
            bytes: 65_536,
            connect_us: Some(250.0),
            put: step(),
            get: step(),
            error: None,
        }
    }

    fn findings(trips: Vec<Trip>) -> Findings {
        Findings {
            endpoint: "http://10.0.0.1:9000".to_owned(),
            bucket: Some("bench".to_owned()),
            usable: trips.iter().any(Trip::is_good),
            problems: trips.iter().filter_map(Trip::problem).collect(),
            local: Local::default(),
            server: Server::default(),
            trips,
        }
    }

    #[test]
    fn the_verdict_comes_last_with_what_is_in_the_way_before_it() {
        let good = findings(vec![trip(true)]).text();
        assert!(good.contains("64 KiB  connect 250 µs  PUT 1.50 ms by RDMA"), "{good}");
        assert!(good.ends_with("RDMA is usable.\n") && !good.contains('!'), "{good}");
        let bad = findings(vec![trip(false)]).text();
        let end = "! pooled protocol: PUT went by HTTP: declined with reply 501\nRDMA is not usable here.\n";
        assert!(bad.ends_with(end), "{bad}");
    }

    #[test]
    fn json_has_the_verdict_and_the_steps() {
        let json = serde_json::to_value(findings(vec![trip(true)])).expect("JSON");
        assert_eq!(json["usable"], true);
        assert_eq!(json["trips"][0]["put"]["us"], 1500.0);
        assert!(json["local"]["chosen"].is_null());
    }
}
