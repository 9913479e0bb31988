//! The commands that need the store: `serve`, `format`, `check`.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use datapath::arena::{Locking, PageKind};
use datapath::{CheckProgress, CheckReport, Store, StoreOptions, StorePlan};

use super::Gateway;
use super::figures::StoreFigures;
use crate::admin::control::End;
use crate::cli::{self, StoreCommands};
use crate::config::amount::print_bytes;
use crate::config::{EncryptionPlan, Machine, Plan, Preference};
use crate::crypt::Crypt;
use crate::crypt::ring::Keys;
use crate::door::request_id;
use crate::iam::Iam;
use crate::lifecycle;
use crate::limits;
use crate::metrics::{Figure, Figures, Many};
use crate::notify::{self, Notifier};
use crate::rdma::figures::RdmaFigures;
use crate::rdma::open as rdma_open;
use crate::rdma::process::{Rdma, Rules};
use crate::s3::{self, S3Settings};
use crate::serve::{self, Behind};

/// The commands over the real store.
#[derive(Debug, Clone, Copy)]
pub struct Commands;

impl StoreCommands for Commands {
    fn serve(&self, plan: &Plan, machine: &Machine) -> u8 {
        let outcome = serve::run(plan, machine.cores, |plan, _, keys| open(plan, keys));
        match outcome {
            Ok(End::Drained) => cli::SUCCESS,
            Ok(end @ (End::LaneFailed(_) | End::Impatient)) => {
                cli::fail(&end.to_string(), cli::FAILURE)
            }
            Err(problem) => cli::fail(&problem, cli::FAILURE),
        }
    }

    fn format(&self, plan: &Plan, force: bool) -> u8 {
        match Store::format(&options(plan, 0), force) {
            Ok(report) => {
                let mut text = format!("made store {}\n", report.store);
                for device in &report.devices {
                    let (path, size) = (device.path.display(), print_bytes(device.bytes));
                    text += &format!("  {path}: {size}, held {}\n", device.replaced);
                }
                cli::show(&text);
                cli::SUCCESS
            }
            Err(error) => cli::fail(&error.to_string(), cli::FAILURE),
        }
    }

    fn check(&self, plan: &Plan) -> u8 {
        let mut shown = ProgressLine::new();
        let outcome = Store::check(&options(plan, 0), &mut |progress| shown.at(progress));
        shown.end();
        match outcome {
            Ok(report) => {
                cli::show(&describe(&report));
                if report.finding_count == 0 { cli::SUCCESS } else { cli::FAILURE }
            }
            Err(error) => cli::fail(&format!("the check could not run: {error}"), cli::MISUSE),
        }
    }
}

fn options(plan: &Plan, staging_bytes: u64) -> StoreOptions {
    StoreOptions {
        data_dir: plan.data.clone(),
        devices: plan.devices.clone(),
        extent_file_bytes: plan.extent_file_bytes,
        index_map_bytes: plan.index_map_bytes,
        memory_bytes: plan.memory_bytes,
        memory_elsewhere: memory_elsewhere(plan, staging_bytes),
        lanes: plan.lanes,
        connections_max: plan.limits.connections,
        create: true,
        huge_pages: plan.huge_pages != Preference::Off,
        lock_memory: plan.lock_memory != Preference::Off,
    }
}

/// What requests take beside the store's frames.
fn memory_elsewhere(plan: &Plan, staging_bytes: u64) -> Vec<(String, u64)> {
    let connections = plan.limits.connections;
    let each = limits::CONNECTION_BYTES;
    let mut elsewhere = vec![
        (format!("{connections} connections × {} KiB", each >> 10), connections as u64 * each),
        ("XML documents".to_owned(), s3::limits::DOCUMENTS_BYTES_MAX as u64),
        ("listings".to_owned(), s3::limits::listings_bytes(plan.memory_bytes) as u64),
        ("decrypted bytes".to_owned(), limits::decrypted_bytes(plan.memory_bytes) as u64),
    ];
    let targets = plan.events.targets.len() as u64;
    if targets > 0 {
        let each = plan.events.queue_bytes as u64;
        elsewhere.push((format!("events for {targets} target(s)"), targets * each));
    }
    if staging_bytes > 0 {
        elsewhere.push(("RDMA uploads".to_owned(), staging_bytes));
    }
    elsewhere
}

fn open(plan: &Plan, keys: Arc<Iam>) -> Result<Behind<Gateway>, String> {
    let crypt = crypt(plan)?;
    let expected = rdma_open::expect(&plan.rdma)?;
    let staging_bytes = expected.staging_bytes(&plan.rdma);
    let store = Store::open(&options(plan, staging_bytes)).map_err(|error| error.to_string())?;
    insist(plan, store.plan())?;
    let handle = store.handle();
    let opened = rdma_open::open(&plan.rdma, expected, None, handle.arena(), plan.lanes)?;
    let introduction = format!("{}\n{}", store.plan().to_string().trim_end(), opened.introduction);
    let watched = Arc::new(StoreFigures::new(handle.clone()).asking_drives());
    let rules = Rules::from(&plan.rdma);
    let rdma = Rdma::new(opened.state, rules, keys.clone(), plan.lanes, plan.drain_deadline);
    let (notifier, events) = notifier(plan)?;
    let (lifecycle, lifecycle_ends) =
        lifecycle::Worker::start(handle.clone(), plan.lanes, &plan.lifecycle, notifier.clone())?;
    let figures = Together(vec![
        watched.clone(),
        Arc::new(RdmaFigures::new(rdma.clone())),
        lifecycle,
        notifier.clone(),
    ]);
    let gateway = Gateway {
        store: handle,
        keys: keys.clone(),
        settings: Arc::new(
            S3Settings::new(&plan.region, &plan.domains, plan.public_read.clone())
                .with_defaults(plan.bucket_defaults)
                .with_directory(keys.clone())
                .with_listings(s3::limits::listings_bytes(plan.memory_bytes))
                .with_encryption(crypt)
                .with_lifecycle(plan.lifecycle.calendar)
                .with_notifier(notifier),
        ),
        rdma,
    };
    Ok(Behind {
        application: Arc::new(gateway),
        introduction,
        figures: Arc::new(figures),
        health: watched,
        close: Box::new(move || {
            lifecycle_ends.close();
            events.close();
            store.close();
        }),
    })
}

/// What encrypts and decrypts. A key file that cannot be read is found here and not by the first client.
fn crypt(plan: &Plan) -> Result<Crypt, String> {
    let EncryptionPlan { key_file, given, customer_keys_over_http } = &plan.encryption;
    let keys = Keys::open(key_file, given.clone()).map_err(|error| error.to_string())?;
    let bytes = limits::decrypted_bytes(plan.memory_bytes);
    Ok(Crypt::new(keys, *customer_keys_over_http, bytes))
}

/// Who can be told of events, and what ends them.
fn notifier(plan: &Plan) -> Result<(Arc<Notifier>, notify::Closing), String> {
    let host = request_id::host_id().map_err(|error| format!("no random numbers: {error}"))?;
    let host = host.to_str().unwrap_or_default();
    let (notifier, closing) = Notifier::start(&plan.events, &plan.region, host, &plan.data)?;
    Ok((Arc::new(notifier), closing))
}

/// Figures of several parts.
struct Together(Vec<Arc<dyn Figures>>);

impl Figures for Together {
    fn figures(&self) -> Vec<Figure> {
        self.0.iter().flat_map(|part| part.figures()).collect()
    }

    fn many(&self) -> Vec<Many> {
        self.0.iter().flat_map(|part| part.many()).collect()
    }
}

/// What the configuration insists on is there.
fn insist(plan: &Plan, got: &StorePlan) -> Result<(), String> {
    if plan.huge_pages == Preference::On && got.mapping.pages != PageKind::Huge {
        return Err(format!("huge_pages = on, but the arena has {}", got.mapping));
    }
    if plan.lock_memory == Preference::On && got.mapping.locking != Locking::Locked {
        return Err(format!("lock_memory = on, but the arena has {}", got.mapping));
    }
    Ok(())
}

fn describe(report: &CheckReport) -> String {
    let mut text = format!(
        "{} buckets, {} objects and {} older versions of {}, {} delete markers, {} uploads, {} extents \
         of {}; {} verified\n",
        report.buckets,
        report.objects,
        report.versions,
        print_bytes(report.object_bytes),
        report.markers,
        report.uploads,
        report.extents,
        print_bytes(report.extent_bytes),
        print_bytes(report.verified_bytes),
    );
    for finding in &report.findings {
        text += &format!("finding: {finding}\n");
    }
    let more = report.finding_count.saturating_sub(report.findings.len() as u64);
    if more > 0 {
        text += &format!("and {more} more\n");
    }
    text += &match report.finding_count {
        0 => "consistent\n".to_owned(),
        count => format!("{count} finding(s)\n"),
    };
    text
}

/// Progress on standard error: one line rewritten on a terminal, a line now and then elsewhere.
struct ProgressLine {
    terminal: bool,
    last: Instant,
    written: bool,
}

impl ProgressLine {
    fn new() -> ProgressLine {
        let terminal = std::io::stderr().is_terminal();
        ProgressLine { terminal, last: Instant::now(), written: false }
    }

    fn at(&mut self, progress: CheckProgress) {
        let pause = match self.terminal {
            true => Duration::from_millis(200),
            false => Duration::from_secs(5),
        };
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let CheckProgress { what, done, total, verified_bytes } = progress;
        let verified = print_bytes(verified_bytes >> 20 << 20);
        let line = format!("checking {what}: {done} of {total}, {verified} of data verified");
        // Progress that cannot be shown is no reason to stop.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r\x1b[K{line}"),
            false => writeln!(std::io::stderr(), "{line}"),
        };
        self.written = true;
    }

    fn end(&self) {
        if self.terminal && self.written {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_everything_and_its_verdict() {
        let mut report = CheckReport { objects: 3, object_bytes: 1 << 20, ..Default::default() };
        let text = describe(&report);
        assert!(
            text.contains("3 objects and 0 older versions of 1MiB")
                && text.ends_with("consistent\n"),
            "{text}"
        );
        report.findings = vec!["extent 7 overlaps".into()];
        report.finding_count = 3;
        let text = describe(&report);
        assert!(text.contains("finding: extent 7 overlaps\nand 2 more\n3 finding(s)\n"), "{text}");
    }
}
