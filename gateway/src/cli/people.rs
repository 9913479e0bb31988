//! The commands of keys, users, roles and policies.
//!
//! Owns: their arguments and help texts. Not here: what they do (`keys`, `users`).

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::flags::{switch, taking};
use crate::config::keys::{self, Key};

/// The keys of configuration that lead to the files.
const FILES: [&Key; 3] = [&keys::DATA, &keys::CREDENTIALS, &keys::USERS_FILE];

const KEYS_EXAMPLES: &str = "\
Examples:
  penstock key create --data ./data
  penstock key create --account lab --user ann --data ./data
  printf %s \"$SECRET\" | penstock key create --data ./data --id trainer --secret-stdin
  penstock key list --data ./data
  penstock key disable AKIA... --data ./data
  penstock key remove AKIA... --data ./data

Without --account and --user a key is of the root of the account penstock. To exchange one: create
the second, hand it out, disable the first, and remove it when nobody misses it. The running server
takes up changes within two seconds.";

const USERS_EXAMPLES: &str = "\
Examples:
  penstock user add lab --data ./data
      An account of its own: its root owns the buckets that it makes, and no policy of its own limits it.
  penstock user add ann --account lab --tag team=blue --data ./data
      A user of the account lab, who may do what policies say: see `penstock policy put`.
  penstock user list --data ./data
  penstock user show ann --account lab --data ./data
  penstock user disable ann --account lab --data ./data
  penstock user remove ann --account lab --data ./data

The running server takes up changes within two seconds; sessions of a disabled user end with it.";

const ROLES_EXAMPLES: &str = "\
Examples:
  penstock role add reader --file trust.json --data ./data
  penstock policy put read --role reader --file read.json --data ./data
  penstock role list --data ./data
  penstock role remove reader --data ./data

A role is taken on by STS AssumeRole, by whom its trust policy names. trust.json may be
  {\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\",
   \"Principal\": {\"AWS\": \"arn:aws:iam::000000000000:root\"}, \"Action\": \"sts:AssumeRole\"}}";

const POLICIES_EXAMPLES: &str = "\
Examples:
  penstock policy put read --account lab --user ann --file read.json --data ./data
  penstock policy get read --account lab --user ann --data ./data
  penstock policy remove read --account lab --user ann --data ./data
  penstock policy check --file read.json
  penstock policy check --bucket models --file bucket-policy.json

Policies are IAM's JSON. read.json may be
  {\"Version\": \"2012-10-17\", \"Statement\": {\"Effect\": \"Allow\",
   \"Action\": [\"s3:GetObject\", \"s3:ListBucket\"],
   \"Resource\": [\"arn:aws:s3:::models\", \"arn:aws:s3:::models/*\"]}}
A bucket's own policy is set by S3's PutBucketPolicy.";

fn value(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).help(help)
}

fn name(placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new("name").required(true).value_name(placeholder).help(help)
}

fn account() -> Arg {
    value("account", "ACCOUNT", "The account [default: penstock]")
}

fn file(help: &'static str) -> Arg {
    Arg::new("file")
        .long("file")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help(help)
}

fn group(name: &'static str, about: &'static str, examples: &'static str) -> Command {
    Command::new(name).about(about).after_help(examples).subcommand_required(true)
}

/// `penstock key`, also as `keys`, with `add` for `create`.
pub(super) fn keys() -> Command {
    let id = || Arg::new("id").required(true).value_name("ID").help("Its id");
    let user = || value("user", "USER", "The user of the account [default: its root]");
    let one = |name, about| taking(Command::new(name).about(about).arg(id()), &FILES);
    group("key", "Makes, lists, disables and removes access keys", KEYS_EXAMPLES)
        .alias("keys")
        .subcommand(taking(
            Command::new("create")
                .alias("add")
                .about("Makes an access key")
                .arg(account())
                .arg(user())
                .arg(value("id", "ID", "Its id [default: a new one]"))
                .arg(
                    switch(
                        "secret-stdin",
                        "Reads its secret from standard input [default: a new one]",
                    )
                    .requires("id"),
                ),
            &FILES,
        ))
        .subcommand(taking(
            Command::new("list")
                .about("Lists all, without secrets")
                .arg(value("account", "ACCOUNT", "Only those of this account"))
                .arg(value("user", "USER", "Only those of users of this name")),
            &FILES,
        ))
        .subcommand(one("disable", "Accepts an access key no more"))
        .subcommand(one("enable", "Accepts an access key again"))
        .subcommand(one("remove", "Removes an access key"))
}

/// `penstock user`.
pub(super) fn users() -> Command {
    let of = || {
        let help = "The account whose user NAME is [default: NAME is an account]";
        value("account", "ACCOUNT", help)
    };
    let one = |verb, about| {
        let named = name("NAME", "The user or account");
        taking(Command::new(verb).about(about).arg(named).arg(of()), &FILES)
    };
    group("user", "Makes, lists, disables and removes users and accounts", USERS_EXAMPLES)
        .subcommand(taking(
            Command::new("add")
                .about("Makes a user with an access key: an account of its own, or within one")
                .arg(name("NAME", "1 to 64 letters, digits and _+=,.@-"))
                .arg(of())
                .arg(
                    value("path", "PATH", "Its path, such as /team/ [default: /]")
                        .requires("account"),
                )
                .arg(
                    value("email", "ADDRESS", "By which ACLs may name the account")
                        .conflicts_with("account"),
                )
                .arg(
                    value(
                        "tag",
                        "KEY=VALUE",
                        "A tag, for conditions of policies. May be repeated.",
                    )
                    .action(ArgAction::Append),
                )
                .arg(switch("no-key", "Makes no access key")),
            &FILES,
        ))
        .subcommand(taking(
            Command::new("list").about("Lists accounts and users").arg(value(
                "account",
                "ACCOUNT",
                "Only this account",
            )),
            &FILES,
        ))
        .subcommand(one("show", "Shows one, without secrets"))
        .subcommand(one("disable", "Lets a user in no more; its sessions end"))
        .subcommand(one("enable", "Lets a user in again"))
        .subcommand(one("remove", "Removes a user with its keys and policies"))
}

/// `penstock role`.
pub(super) fn roles() -> Command {
    group("role", "Makes, lists and removes roles", ROLES_EXAMPLES)
        .subcommand(taking(
            Command::new("add")
                .about("Makes a role")
                .arg(name("ROLE", "1 to 64 letters, digits and _+=,.@-"))
                .arg(account())
                .arg(file("Its trust policy in JSON [default: standard input]"))
                .arg(value("max-session", "TIME", "Its longest session, 1h to 12h [default: 1h]")),
            &FILES,
        ))
        .subcommand(taking(Command::new("list").about("Lists all"), &FILES))
        .subcommand(taking(
            Command::new("remove")
                .about("Removes a role; its sessions end")
                .arg(name("ROLE", "The role"))
                .arg(account()),
            &FILES,
        ))
}

/// `penstock policy`.
pub(super) fn policies() -> Command {
    let of = |command: Command| {
        let user = value("user", "USER", "The user whose it is")
            .required_unless_present("role")
            .conflicts_with("role");
        let named = name("POLICY", "Its name");
        taking(
            command.arg(named).arg(account()).arg(user).arg(value(
                "role",
                "ROLE",
                "The role whose it is",
            )),
            &FILES,
        )
    };
    group("policy", "Sets, shows and checks policies of users and roles", POLICIES_EXAMPLES)
        .subcommand(of(Command::new("put")
            .about("Sets a policy of a user or role")
            .arg(file("The policy in JSON [default: standard input]"))))
        .subcommand(of(Command::new("get").about("Prints a policy of a user or role")))
        .subcommand(of(Command::new("remove").about("Removes a policy of a user or role")))
        .subcommand(
            Command::new("check")
                .about("Says whether a text is a policy, and what is wrong where")
                .arg(file("The policy in JSON [default: standard input]"))
                .arg(
                    value("bucket", "BUCKET", "As the policy of this bucket")
                        .conflicts_with("trust"),
                )
                .arg(switch("trust", "As the trust policy of a role")),
        )
}
