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
