//! Owns: reading `strace -f -yy` output and the order that it must show: data made durable, then
//! the index made durable, then the response.
//!
//! The position of a line in the trace is its time. A call that another thread interrupts is two
//! lines, `<unfinished ...>` and `<... resumed>`: it starts at the first and ends at the second.
//!
//! Not here: starting strace, which `tests/durable_order.rs` does.

use std::collections::HashMap;

/// One finished system call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Thread that made it.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// What `-yy` says about its first argument: a path or a socket.
    pub target: String,
    /// Everything between the parentheses.
    pub arguments: String,
    /// The result, as text.
    pub result: String,
    /// Line of its start.
    pub start: usize,
    /// Line of its end.
    pub end: usize,
}

/// What happened to one store, in the words of the promise.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    /// Part of a request arrived on this socket.
    Received(String),
    /// The extents were made durable.
    DataDurable,
    /// The index was made durable.
    IndexDurable,
    /// A 200 to a write left on this socket.
    Acknowledged(String),
}

/// Which files and sockets are which.
#[derive(Debug, Clone)]
pub struct Names {
    /// Paths of the devices or extent files.
    pub data: Vec<String>,
    /// Path of LMDB's data file.
    pub index: String,
    /// `127.0.0.1:PORT` of the S3 endpoint.
    pub endpoint: String,
}

/// Parses a whole trace.
pub fn parse(trace: &str) -> Vec<Call> {
    let mut unfinished: HashMap<(u32, String), (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, rest)) = split_thread(line) else {
            continue;
        };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, tail)) = resumed.split_once(" resumed>") else {
                continue;
            };
            let Some((start, head)) = unfinished.remove(&(thread, name.to_owned())) else {
                continue;
            };
            calls.extend(call(thread, &format!("{head}{tail}"), start, at));
        } else if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            let name = head.split('(').next().unwrap_or_default().to_owned();
            unfinished.insert((thread, name), (at, head.trim_end().to_owned()));
        } else {
            calls.extend(call(thread, rest, at, at));
        }
    }
    calls
}

/// Checks that between the last byte of every write request and the 200 that answers it the data
/// was made durable, and after that the index. Gives the number of acknowledgements checked.
///
/// `stored_in_extents` is false for objects small enough to live in the index, which need the index
/// sync alone.
///
/// # Errors
/// The first acknowledgement without the two flushes in their order, in words.
pub fn check_order(
    calls: &[Call],
    names: &Names,
    stored_in_extents: bool,
) -> Result<usize, String> {
    let mut events: Vec<(usize, usize, Event)> =
        calls.iter().filter_map(|call| Some((call.start, call.end, event(call, names)?))).collect();
    events.sort_by_key(|(start, end, _)| (*start, *end));
    let mut received: HashMap<&str, usize> = HashMap::new();
    let mut acknowledged = 0;
    for (start, end, event) in &events {
        match event {
            Event::Received(socket) => {
                received.insert(socket, *end);
            }
            Event::Acknowledged(socket) => {
                let Some(request) = received.get(socket.as_str()) else {
                    return Err(format!("line {start}: a response on {socket} without a request"));
                };
                flushed_between(&events, *request, *start, stored_in_extents)
                    .map_err(|what| format!("line {start}, 200 on {socket}: {what}"))?;
                acknowledged += 1;
            }
            Event::DataDurable | Event::IndexDurable => {}
        }
    }
    Ok(acknowledged)
}

fn flushed_between(
    events: &[(usize, usize, Event)],
    request: usize,
    response: usize,
    stored_in_extents: bool,
) -> Result<(), String> {
    let within = |wanted: &Event, after: usize| {
        events
            .iter()
            .filter(|(start, end, event)| event == wanted && *start > after && *end < response)
            .map(|(_, end, _)| *end)
            .min()
    };
    let data = if stored_in_extents {
        within(&Event::DataDurable, request)
            .ok_or(format!("no data flush since the request ended at line {request}"))?
    } else {
        request
    };
    within(&Event::IndexDurable, data)
        .map(|_| ())
        .ok_or(format!("no index flush between the data flush at line {data} and the response"))
}

fn event(call: &Call, names: &Names) -> Option<Event> {
    let ours = |target: &str| {
        target.starts_with("TCP") && target.contains(&format!("[{}->", names.endpoint))
    };
    match call.name.as_str() {
        "fdatasync" | "fsync" if call.result == "0" => {
            if names.data.contains(&call.target) {
                Some(Event::DataDurable)
            } else if call.target == names.index {
                Some(Event::IndexDurable)
            } else {
                None
            }
        }
        "read" | "recvfrom" | "recvmsg" | "readv" if ours(&call.target) => {
            let got: i64 = call.result.split(' ').next()?.parse().ok()?;
            (got > 0).then(|| Event::Received(call.target.clone()))
        }
        "write" | "writev" | "sendto" | "sendmsg" if ours(&call.target) => call
            .arguments
            .contains("HTTP/1.1 200")
            .then(|| Event::Acknowledged(call.target.clone())),
        _ => None,
    }
}

fn split_thread(line: &str) -> Option<(u32, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    Some((thread.parse().ok()?, rest.trim_start()))
}

fn call(thread: u32, text: &str, start: usize, end: usize) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    Some(Call {
        thread,
        name: name.to_owned(),
        target: target(arguments),
        arguments: arguments.to_owned(),
        result: result.trim().to_owned(),
        start,
        end,
    })
}

/// `12</path>, …` gives `/path`; a socket's `->` does not end its name.
fn target(arguments: &str) -> String {
    let Some((descriptor, rest)) = arguments.split_once('<') else {
        return String::new();
    };
    if descriptor.is_empty() || !descriptor.bytes().all(|byte| byte.is_ascii_digit()) {
        return String::new();
    }
    let end = rest
        .match_indices('>')
        .map(|(at, _)| at)
        .find(|&at| at == 0 || rest.as_bytes()[at - 1] != b'-')
        .unwrap_or(rest.len());
    rest[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = r#"10 recvfrom(20<TCP:[127.0.0.1:9000->127.0.0.1:4000]>, "PUT /b/k HTTP/1.1\r\n"..., 8192, 0, NULL, NULL) = 900
11 fdatasync(7</store/extents>) = 0
11 writev(8</store/index/data.mdb>, [...], 3) = 12288
11 fdatasync(8</store/index/data.mdb> <unfinished ...>
10 recvfrom(21<TCP:[127.0.0.1:9000->127.0.0.1:4001]>, 0x1, 8192, 0, NULL, NULL) = -1 EAGAIN (x)
11 <... fdatasync resumed>) = 0
10 writev(20<TCP:[127.0.0.1:9000->127.0.0.1:4000]>, [{iov_base="HTTP/1.1 200 OK\r\n"..., iov_len=100}], 1) = 100
"#;

    fn names() -> Names {
        Names {
            data: vec!["/store/extents".to_owned()],
            index: "/store/index/data.mdb".to_owned(),
            endpoint: "127.0.0.1:9000".to_owned(),
        }
    }

    fn without(needle: &str) -> String {
        TRACE
            .lines()
            .filter(|line| !line.contains(needle))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn the_right_order_passes() {
        let calls = parse(TRACE);
        assert_eq!(calls.len(), 6);
        assert_eq!(calls[4].target, "/store/index/data.mdb");
        assert_eq!((calls[4].start, calls[4].end), (3, 5));
        assert_eq!(check_order(&calls, &names(), true), Ok(1));
    }

    #[test]
    fn a_missing_flush_fails() {
        let data = check_order(&parse(&without("fdatasync(7")), &names(), true);
        assert!(data.expect_err("must fail").contains("no data flush"));
        let doctored = without("fdatasync(8").replace("11 <... fdatasync resumed>) = 0\n", "");
        let index = check_order(&parse(&doctored), &names(), true);
        assert!(index.expect_err("must fail").contains("no index flush"));
    }

    #[test]
    fn flushes_in_the_wrong_order_fail() {
        let lines: Vec<&str> = TRACE.lines().collect();
        let swapped = [0, 2, 3, 5, 1, 6].map(|at| lines[at]).join("\n");
        let outcome = check_order(&parse(&swapped), &names(), true);
        assert!(outcome.expect_err("must fail").contains("no index flush"));
    }

    #[test]
    fn a_flush_that_failed_does_not_count() {
        let failed = TRACE.replace("extents>) = 0", "extents>) = -1 EIO (Input/output error)");
        assert!(check_order(&parse(&failed), &names(), true).is_err());
    }
}
