//! The log: on standard error, in the form and at the level that the configuration says, and its last
//! lines in memory.

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::Plan;
use crate::config::plan::LogFormat;
use crate::recent_log;

/// Starts logging for the whole process. A second call is without effect.
///
/// s3s is silent, whatever the configuration asks for: it logs every error response at its highest
/// level, the request's body included, and below it whole requests with the keys of clients in them.
/// What deserves a line there has one in `rescue`.
pub(super) fn start(plan: &Plan) {
    // The level has been checked with the configuration.
    let filter = EnvFilter::try_new(&plan.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    // A layer of its own: in one filter, a more specific directive would win.
    let silent = filter_fn(|metadata| !is_of_s3s(metadata.target()));
    let written = fmt::layer().with_writer(std::io::stderr);
    let written = match plan.log_format {
        LogFormat::Text => written.with_ansi(is_terminal()).boxed(),
        LogFormat::Json => written.json().boxed(),
    };
    // Kept first: the layers share what a span's fields look like, and the first one decides, so
    // that no terminal's colours get into what is kept.
    let kept = fmt::layer().with_ansi(false).with_writer(&recent_log::PROCESS);
    let subscriber =
        tracing_subscriber::registry().with(silent).with(filter).with(kept).with(written);
    if subscriber.try_init().is_ok() {
        std::panic::set_hook(Box::new(report_panic));
    }
}

fn is_of_s3s(target: &str) -> bool {
    target == "s3s" || target.starts_with("s3s::")
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// A panic is one line in the log; who catches it says what it ended.
fn report_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(place, message, "panic: a defect, please report it");
}
