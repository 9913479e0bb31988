//! Commands, flags and their help.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs;
use std::process::ExitCode;

use super::*;

/// Notes which store command came with which plan.
#[derive(Default)]
struct Noted(RefCell<Vec<(String, Option<Plan>)>>);

impl Noted {
    fn note(&self, what: &str, plan: &Plan) -> u8 {
        self.0.borrow_mut().push((what.to_owned(), Some(plan.clone())));
        SUCCESS
    }
}

impl StoreCommands for Noted {
    fn serve(&self, plan: &Plan, _: &Machine) -> u8 {
        self.note("serve", plan)
    }

    fn format(&self, plan: &Plan, force: bool) -> u8 {
        self.note(if force { "format --force" } else { "format" }, plan)
    }

    fn check(&self, plan: &Plan) -> u8 {
        self.note("check", plan);
        FAILURE
    }
}

fn run_with(noted: &Noted, line: &str, environment: &[(&str, &str)]) -> ExitCode {
    let arguments = std::iter::once("penstock").chain(line.split_whitespace()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    run(arguments, environment, noted)
}

fn code(line: &str) -> ExitCode {
    run_with(&Noted::default(), line, &[])
}

#[test]
fn the_tree_is_sound() {
    command().debug_assert();
}

#[test]
fn store_commands_get_the_plan_and_their_code_is_the_exit_code() {
    let noted = Noted::default();
    let serve = "serve --data /d --memory 512M --listen 0.0.0.0:1 --listen [::]:2";
    assert_eq!(run_with(&noted, serve, &[("PENSTOCK_LANES", "3")]), ExitCode::SUCCESS);
    assert_eq!(run_with(&noted, "format --data /d --force", &[]), ExitCode::SUCCESS);
    assert_eq!(run_with(&noted, "check --data /d", &[]), ExitCode::from(FAILURE));
    let noted = noted.0.into_inner();
    let names: Vec<_> = noted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["serve", "format --force", "check"]);
    let plan = noted[0].1.as_ref().unwrap();
    assert_eq!((plan.memory_bytes, plan.lanes, plan.listen.len()), (512 << 20, 3, 2));
}

#[test]
fn wrong_commands_and_configurations_are_misuse() {
    for line in ["", "swerve", "serve --dta /d", "serve", "serve --data /d --memory much", "keys"] {
        assert_eq!(code(line), ExitCode::from(MISUSE), "{line}");
    }
    let noted = Noted::default();
    let unknown = [("PENSTOCK_DATTA", "/d")];
    assert_eq!(run_with(&noted, "serve --data /d", &unknown), ExitCode::from(MISUSE));
    assert!(noted.0.borrow().is_empty());
}

#[test]
fn secrets_have_no_flag() {
    assert_eq!(code("serve --data /d --secret-key hush-hush"), ExitCode::from(MISUSE));
}

#[test]
fn the_configuration_prints_before_there_is_a_data_directory() {
    assert_eq!(code("config print"), ExitCode::SUCCESS);
    assert_eq!(code("config print --json --data /d"), ExitCode::SUCCESS);
    assert_eq!(code("config print --lanes many"), ExitCode::from(MISUSE));
}

#[test]
fn every_key_is_in_the_help_of_serve() {
    let mut command = command();
    let serve = command.find_subcommand_mut("serve").unwrap();
    let help = serve.render_help().to_string();
    for key in config::keys::KEYS.iter().filter(|key| key.places == config::keys::Places::All) {
        assert!(help.contains(&format!("--{}", key.flag())), "{}", key.name);
        assert!(help.contains(&key.environment()), "{}", key.name);
    }
    assert!(help.contains("Examples:"));
}

#[test]
fn keys_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display();
    assert_eq!(code(&format!("keys add --data {data}")), ExitCode::SUCCESS);
    assert_eq!(code(&format!("keys add --id trainer --data {data}")), ExitCode::SUCCESS);
    assert_eq!(code(&format!("keys add --id trainer --data {data}")), ExitCode::from(FAILURE));
    assert_eq!(code(&format!("keys add --id a/b --data {data}")), ExitCode::from(MISUSE));
    assert_eq!(code(&format!("keys list --data {data}")), ExitCode::SUCCESS);
    assert_eq!(code(&format!("keys remove trainer --data {data}")), ExitCode::SUCCESS);
    let text = fs::read_to_string(folder.path().join("credentials")).unwrap();
    assert_eq!(text.matches("[[key]]").count(), 1);
    assert!(!text.contains("trainer"));
}

#[test]
fn orders_need_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("bucket public-read models on --data {}", folder.path().display());
    assert_eq!(code(&line), ExitCode::from(FAILURE));
}

/// `penstock LINE --admin` of a server with these documents, which is asked so often.
fn code_asking(line: &str, documents: Vec<(&'static str, u16, String)>, asked: usize) -> ExitCode {
    let (address, served) = fixture::serve(documents, asked);
    let outcome = code(&format!("{line} --admin {address}"));
    served.join().unwrap();
    outcome
}

#[test]
fn the_status_of_a_server_is_its_exit_code() {
    let document = |ready| {
        let state = crate::admin::state::State { ready, ..fixture::state() };
        vec![("/api/v1/state", 200, serde_json::to_string(&state).unwrap())]
    };
    for line in ["status", "status --json", "status --slow"] {
        assert_eq!(code_asking(line, document(true), 1), ExitCode::SUCCESS, "{line}");
        assert_eq!(code_asking(line, document(false), 1), ExitCode::from(FAILURE), "{line}");
    }
    let folder = tempfile::tempdir().unwrap();
    let nobody = format!("status --data {}", folder.path().display());
    assert_eq!(code(&nobody), ExitCode::from(MISUSE));
}

#[test]
fn an_old_server_is_judged_by_its_readiness_alone() {
    let ready = |status, ready| {
        vec![("/readyz", status, format!("{{\"ready\":{ready},\"reasons\":[\"draining\"]}}"))]
    };
    assert_eq!(code_asking("status", ready(200, true), 2), ExitCode::SUCCESS);
    assert_eq!(code_asking("status", ready(503, false), 2), ExitCode::from(FAILURE));
    assert_eq!(code_asking("status --json", ready(200, true), 1), ExitCode::from(MISUSE));
    assert_eq!(code_asking("top --once", ready(200, true), 1), ExitCode::from(MISUSE));
    let refused = vec![("/api/v1/state", 401, "a token is needed\n".to_owned())];
    assert_eq!(code_asking("status", refused, 1), ExitCode::from(MISUSE));
    let unreadable = vec![("/api/v1/state", 200, "{\"version\":7}".to_owned())];
    assert_eq!(code_asking("status", unreadable, 1), ExitCode::from(MISUSE));
}

#[test]
fn one_frame_of_top_needs_no_terminal() {
    let document = || {
        let text = serde_json::to_string(&fixture::state()).unwrap();
        vec![("/api/v1/state", 200, text)]
    };
    for line in ["top --once", "top --once --view requests --size 120x40"] {
        assert_eq!(code_asking(line, document(), 1), ExitCode::SUCCESS, "{line}");
    }
    for line in ["top --size 80x24", "top --once --view none", "top --once --interval 1ms"] {
        let line = format!("{line} --admin 127.0.0.1:1");
        assert_eq!(code(&line), ExitCode::from(MISUSE), "{line}");
    }
}

#[test]
fn a_bundle_is_made_with_and_without_a_server_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.tar.gz");
    let output = format!("debug bundle --output {}", file.display());
    let line = format!("{output} --data {}", folder.path().display());
    assert_eq!(code(&line), ExitCode::SUCCESS);
    assert_eq!(code(&line), ExitCode::from(MISUSE), "there is one already");
    fs::remove_file(&file).unwrap();
    let documents = vec![
        ("/metrics", 200, "up 1\n".to_owned()),
        ("/readyz", 503, "{}".to_owned()),
        ("/api/v1/state", 200, serde_json::to_string(&fixture::state()).unwrap()),
    ];
    assert_eq!(code_asking(&output, documents, 4), ExitCode::SUCCESS);
    let unpacked = flate2::read::GzDecoder::new(fs::File::open(&file).unwrap());
    let mut archive = tar::Archive::new(unpacked);
    let mut names = Vec::new();
    let mut page = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let name: std::path::PathBuf = path.components().skip(1).collect();
        if name.ends_with("README.txt") {
            std::io::Read::read_to_string(&mut entry, &mut page).unwrap();
        }
        names.push(name.display().to_string());
    }
    for expected in [
        "README.txt",
        "server/metrics.txt",
        "server/readyz.json",
        "server/state.json",
        "server/configuration.txt",
        "command/configuration.txt",
        "machine/mounts.txt",
        "machine/io-uring-probe.txt",
    ] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    assert!(
        page.contains("server/log.txt") && page.contains("missing: the server has no"),
        "{page}"
    );
}

#[test]
fn days_are_days() {
    for (seconds, expected) in [
        (0, "1970-01-01"),
        (951_782_399, "2000-02-28"),
        (951_782_400, "2000-02-29"),
        (951_868_800, "2000-03-01"),
        (1_767_225_599, "2025-12-31"),
        (4_107_542_400, "2100-03-01"),
    ] {
        assert_eq!(keys::day(seconds), expected);
    }
}
