//! Commands and flags.
//!
//! Owns: which command takes which keys, and the help texts. A key's flag, help and default come
//! from the table of keys.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::top::View;
use super::{people, server};
use crate::config::Given;
use crate::config::keys::{
    self, CONFIG_FILE_VARIABLE, Default as Standard, KEYS, Key, Places, Shape,
};

const ABOUT: &str = "S3 object storage from NVMe: one process, one command.";

const ROOT_EXAMPLES: &str = "\
Examples:
  penstock serve --data ./data
      Serves S3 on 127.0.0.1:9000. The first start makes the store and an access key.
  penstock serve --data /srv/penstock --listen 0.0.0.0:9000 --memory 16GiB
      Serves the network.
  penstock config print
      Shows every setting, its value and where it comes from.

Settings come from flags, then PENSTOCK_ variables, then the file of --config, then defaults.";

const SERVE_EXAMPLES: &str = "\
Examples:
  penstock serve --data ./data
  penstock serve --data ./data --memory 512M --listen 0.0.0.0:9000 --listen [::]:9000
  penstock serve --config /etc/penstock.toml
  PENSTOCK_ACCESS_KEY=admin PENSTOCK_SECRET_KEY=at-least-eight penstock serve --data ./data

A configuration file in TOML has the same names:
  data = \"/srv/penstock\"
  devices = [\"/dev/nvme0n1\", \"/dev/nvme1n1\"]
  listen = [\"0.0.0.0:9000\"]
  [limits]
  idle_time = \"5m\"

Signals: SIGTERM or SIGINT drains and stops (a second one stops at once), SIGHUP reads the
credentials again.";

const FORMAT_EXAMPLES: &str = "\
Examples:
  penstock format --data /srv/penstock --devices /dev/nvme0n1 --devices /dev/nvme1n1
  penstock format --data ./data --extent-file 64GiB

A device that holds anything, or a store that is there already, is refused without --force.
Without --devices `serve` does this by itself at the first start.";

const CHECK_EXAMPLES: &str = "\
Examples:
  penstock check --data ./data

Reads the whole store while no server runs on it and changes nothing.
Exit code: 0 when all is consistent, 1 when there are findings, 2 when it could not run.";

const BUCKET_EXAMPLES: &str = "\
Examples:
  penstock bucket public-read models on --data ./data
  penstock bucket public-read models off --data ./data

Asks the server that runs on the data directory. The setting belongs to the bucket and goes with
it. Buckets can also be listed as public_read in the configuration.";

const BUNDLE_EXAMPLES: &str = "\
Examples:
  penstock debug bundle --data ./data
  penstock debug bundle --data ./data --output case-17.tar.gz
  penstock debug bundle --admin store-1:9001 --token-file ./token

An archive for support: the server's state, metrics, settings and last log lines, and what the
machine says of itself. No secrets and no stored bytes; buckets, keys and clients of slow and failed
requests are named. Also made when no server runs.";

const STATUS_EXAMPLES: &str = "\
Examples:
  penstock status --data ./data
  penstock status --data ./data --json
  penstock status --data ./data --slow
  penstock status --admin store-1:9001 --token-file ./token

Exit code: 0 when it is ready, 1 when it is not, 2 when none runs or none can be asked.";

const TOP_EXAMPLES: &str = "\
Examples:
  penstock top --data ./data
  penstock top --data ./data --view drives
  penstock top --data ./data --once --view requests --size 120x40 >top.txt
  penstock top --admin store-1:9001 --token-file ./token --interval 5s

Keys: 1 to 6 or Tab choose a view, arrows scroll, s slow requests, e errors, p pauses, q quits.";

/// The command tree.
pub(super) fn command() -> Command {
    let all: Vec<&Key> = KEYS.iter().copied().filter(|key| key.places == Places::All).collect();
    let store = [&keys::DATA, &keys::DEVICES, &keys::EXTENT_FILE, &keys::INDEX_MAP, &keys::MEMORY];
    Command::new("penstock")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(ROOT_EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(taking(
            Command::new("serve").about("Serves S3").after_help(SERVE_EXAMPLES),
            &all,
        ))
        .subcommand(
            taking(
                Command::new("format").about("Makes a store").after_help(FORMAT_EXAMPLES),
                &store,
            )
            .arg(switch("force", "Overwrites what is on the devices")),
        )
        .subcommand(taking(
            Command::new("check").about("Checks a store offline").after_help(CHECK_EXAMPLES),
            &store,
        ))
        .subcommand(people::keys())
        .subcommand(people::users())
        .subcommand(people::roles())
        .subcommand(people::policies())
        .subcommand(config_command(&all))
        .subcommand(bucket_command())
        .subcommand(status_command())
        .subcommand(top_command())
        .subcommand(debug_command())
}

fn status_command() -> Command {
    let command = Command::new("status")
        .about("Says how the running server is")
        .after_help(STATUS_EXAMPLES)
        .args(server::flags())
        .arg(switch("json", "Prints the whole state as JSON").conflicts_with("slow"))
        .arg(switch("slow", "Prints the slowest requests of the last minutes"));
    taking(command, &[&keys::DATA])
}

fn top_command() -> Command {
    let option = |name, value| Arg::new(name).long(name).value_name(value);
    let views = PossibleValuesParser::new(View::ALL.map(View::name));
    let command = Command::new("top")
        .about("Shows the running server live in the terminal")
        .after_help(TOP_EXAMPLES)
        .args(server::flags())
        .arg(option("interval", "TIME").help("Time between two looks [default: 1s]"))
        .arg(option("view", "VIEW").value_parser(views).help("The view to begin with"))
        .arg(switch("once", "Prints one frame as plain text"))
        .arg(
            option("size", "COLUMNSxROWS")
                .requires("once")
                .help("Size of that frame [default: 80x24]"),
        );
    taking(command, &[&keys::DATA])
}

fn debug_command() -> Command {
    Command::new("debug")
        .about("For those who look into the server itself")
        .subcommand_required(true)
        .subcommand(Command::new("metrics").about("Prints the table of metrics as Markdown"))
        .subcommand(bundle_command())
}

fn bundle_command() -> Command {
    let output = Arg::new("output")
        .long("output")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("The file to make [default: penstock-bundle-TIME.tar.gz in the working directory]");
    let command = Command::new("bundle")
        .about("Collects what support asks for into one archive")
        .after_help(BUNDLE_EXAMPLES)
        .args(server::flags())
        .arg(output);
    taking(command, &[&keys::DATA])
}

fn config_command(all: &[&'static Key]) -> Command {
    Command::new("config").about("Shows the configuration").subcommand_required(true).subcommand(
        taking(
            Command::new("print").about("Prints every key with its value, default and source"),
            all,
        )
        .arg(switch("json", "Prints JSON")),
    )
}

fn bucket_command() -> Command {
    let name = Arg::new("bucket").required(true).value_name("BUCKET").help("The bucket");
    let state = Arg::new("state")
        .required(true)
        .value_name("on|off")
        .value_parser(PossibleValuesParser::new(["on", "off"]))
        .help("Whether anybody may read its objects");
    Command::new("bucket")
        .about("Changes a bucket's settings")
        .after_help(BUCKET_EXAMPLES)
        .subcommand_required(true)
        .subcommand(taking(
            Command::new("public-read")
                .about("Lets anybody read a bucket's objects, or not")
                .arg(name)
                .arg(state)
                .args(server::flags()),
            &[&keys::DATA],
        ))
}

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// The command with `--config` and the flags of those keys.
pub(super) fn taking(command: Command, keys: &[&'static Key]) -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(format!("Reads settings from this TOML file [env: {CONFIG_FILE_VARIABLE}]"));
    keys.iter().fold(command.arg(config), |command, key| command.arg(flag(key)))
}

/// clap wants names that live as long as the process; the tree is built once in it.
fn kept(name: String) -> &'static str {
    name.leak()
}

fn flag(key: &'static Key) -> Arg {
    let action = if key.several { ArgAction::Append } else { ArgAction::Set };
    let default = match key.default {
        Standard::Is(text) | Standard::WorkedOut(text) | Standard::Nothing(text) => text,
    };
    let repeated = if key.several { " May be repeated." } else { "" };
    let choices = match key.shape {
        Shape::Choice(words) => format!(" One of {}.", words.join(", ")),
        _ => String::new(),
    };
    let help = format!(
        "{}{choices}{repeated} [env: {}] [default: {default}]",
        key.help,
        key.environment()
    );
    Arg::new(key.name)
        .long(kept(key.flag()))
        .value_name(key.shape.placeholder())
        .action(action)
        // Values are checked with those of the other sources, all at once.
        .allow_hyphen_values(true)
        .help(help)
}

/// What the arguments and the environment come to.
pub(super) fn given(matches: &ArgMatches, environment: Vec<(OsString, OsString)>) -> Given {
    let written = |key: &'static Key| -> Option<(&'static Key, Vec<String>)> {
        let values = matches.try_get_many::<String>(key.name).ok()??;
        Some((key, values.cloned().collect()))
    };
    let file = matches.try_get_one::<PathBuf>("config").ok().flatten().cloned();
    let flags = KEYS.iter().copied().filter_map(written).collect();
    Given { file, flags, environment }
}
