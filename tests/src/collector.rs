//! Owns: an OpenTelemetry collector as far as tests need one: it takes spans by OTLP over HTTP and
//! keeps them, or refuses them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use crate::limits;

/// A collector on a port of its own, for the life of the test.
#[derive(Debug)]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

/// What has come so far.
#[derive(Debug, Default, Clone)]
pub struct Received {
    /// Request lines.
    pub targets: Vec<String>,
    /// Bodies as they came.
    pub bodies: Vec<Vec<u8>>,
    /// Spans of all of them.
    pub spans: Vec<Span>,
    /// Attributes of resources, as text.
    pub resources: Vec<(String, String)>,
}

impl Collector {
    /// Starts one that answers with this status line, such as `200 OK`.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let received = Arc::new(Mutex::new(Received::default()));
        let kept = received.clone();
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in between has sent nothing.
                let _ = converse(stream, status, &kept);
            }
        });
        Self { address, received }
    }

    /// `trace.endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has come so far.
    pub fn received(&self) -> Received {
        self.received.lock().expect("no test panics with it").clone()
    }

    /// Waits for so many spans.
    ///
    /// # Panics
    /// When they do not come in time.
    pub fn wait_for(&self, spans: usize) -> Vec<Span> {
        let deadline = Instant::now() + limits::EXIT_WITHIN;
        loop {
            let present = self.received().spans;
            if present.len() >= spans {
                return present;
            }
            assert!(Instant::now() < deadline, "{} spans, not {spans}", present.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One request of a connection, which ends with the answer.
fn converse(stream: TcpStream, status: &str, received: &Mutex<Received>) -> io::Result<()> {
    stream.set_read_timeout(Some(limits::SOCKET_WITHIN))?;
    let mut reader = BufReader::new(stream);
    let (mut target, mut length) = (String::new(), 0);
    reader.read_line(&mut target)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        match line.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            None if line.is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request = ExportTraceServiceRequest::decode(&body[..]).map_err(io::Error::other)?;
    {
        let mut received = received.lock().expect("no test panics with it");
        received.targets.push(target.trim().to_owned());
        received.bodies.push(body);
        if status.starts_with('2') {
            for group in request.resource_spans {
                let attributes = group.resource.map(|it| it.attributes).unwrap_or_default();
                received.resources = attributes
                    .iter()
                    .map(|it| {
                        (it.key.clone(), text(it.value.as_ref().and_then(|it| it.value.as_ref())))
                    })
                    .collect();
                received.spans.extend(group.scope_spans.into_iter().flat_map(|it| it.spans));
            }
        }
    }
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    reader.get_mut().write_all(answer.as_bytes())
}

/// An attribute of a span, as text; nothing where it has none of that name.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|it| it.key == name)?;
    Some(text(found.value.as_ref()?.value.as_ref()))
}

/// Bytes of an identifier in hexadecimal digits.
pub fn hexadecimal(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    }
}
