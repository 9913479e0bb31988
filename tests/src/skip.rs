//! Owns: how a test says that this machine lacks what it needs. The runner knows only passed and
//! failed, so a skipped test leaves a line in a file that the closing summary subtracts from the
//! passed ones and shows by name.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Records that `name` did not run and why. The caller returns right after.
///
/// # Panics
/// When the record cannot be written: a skip that nobody sees would count as passed.
pub fn skip(name: &str, reason: &str) {
    println!("SKIPPED {name}: {reason}");
    let path = record();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).expect("the folder of the skip record can be made");
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("skip record {}: {error}", path.display()));
    writeln!(file, "SKIPPED {name}: {reason}").expect("the skip record can be written");
}

/// True when a program of this name is on the search path.
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

fn record() -> PathBuf {
    std::env::var_os("GATEWAY_TEST_SKIPPED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-results/skipped.txt"),
        PathBuf::from,
    )
}
