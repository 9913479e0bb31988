//! Owns the execution of a subcommand: from its options to what is printed and the verdict.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::{
    AccessArgs, Command, CompareCommand, ComparedEndpoint, EndpointArgs, LoadArgs, ObjectArgs,
    OutputArgs, RdmaArgs, ReadArgs, WriteArgs,
};
use crate::client::{Client, Shared};
use crate::compare::Comparison;
use crate::cpu::Processes;
use crate::failure::Failure;
use crate::limits;
use crate::operation::{Plan, create_bucket};
use crate::probe;
use crate::progress::Progress;
use crate::report::Report;
use crate::run::{Ended, Interrupt, Load, RunError, run};
use crate::scenario::{Kind, Mix};
use crate::setup::{self, SetupError, Until};

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Success,
    /// Operations failed, or content was not as derived.
    Failure,
    Interrupted,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{0}")]
    Endpoints(String),
    #[error("the bucket \"{bucket}\" cannot be created: {failure}")]
    Bucket { bucket: String, failure: Failure },
    #[error("the figures cannot be written to {place}: {error}")]
    Output { place: String, error: io::Error },
}

/// Executes a subcommand.
pub(crate) async fn execute(command: &Command) -> Result<Verdict, CommandError> {
    let mut session =
        Session { progress: Progress::new(command.quiet()), interrupt: Interrupt::new()? };
    let output = match command {
        Command::Put(command) => &command.output,
        Command::Get(command) => &command.output,
        Command::Mixed(command) => &command.output,
        Command::Verify(command) => &command.output,
        Command::Compare(command) => return session.compare(command).await,
        Command::RdmaProbe(command) => {
            let findings = probe::probe(command).await?;
            print(command.json.as_ref(), &findings.text(), &findings)?;
            return Ok(session.verdict(findings.usable));
        }
    };
    let single = match command {
        Command::Compare(_) | Command::RdmaProbe(_) => unreachable!("they have returned"),
        Command::Put(command) => Single {
            name: "put",
            endpoint: &command.endpoint,
            access: &command.access,
            objects: &command.objects,
            mix: Mix::only(Kind::Put),
            read: None,
            write: Some(&command.write),
            verify: false,
            load: &command.load,
            rdma: &command.rdma,
            until: Until::EveryObject(command.objects.objects),
            create_bucket: command.create_bucket,
        },
        Command::Get(command) => Single {
            name: "get",
            endpoint: &command.endpoint,
            access: &command.access,
            objects: &command.objects,
            mix: Mix::only(Kind::Get),
            read: Some(&command.read),
            write: None,
            verify: command.read.verify,
            load: &command.load,
            rdma: &command.rdma,
            until: Until::Time,
            create_bucket: false,
        },
        Command::Mixed(command) => Single {
            name: "mixed",
            endpoint: &command.endpoint,
            access: &command.access,
            objects: &command.objects,
            mix: command.mix.clone(),
            read: Some(&command.read),
            write: Some(&command.write),
            verify: command.read.verify,
            load: &command.load,
            rdma: &command.rdma,
            until: Until::Time,
            create_bucket: false,
        },
        Command::Verify(command) => Single {
            name: "verify",
            endpoint: &command.endpoint,
            access: &command.access,
            objects: &command.objects,
            mix: Mix::only(Kind::Get),
            read: None,
            write: None,
            verify: true,
            load: &command.load,
            rdma: &command.rdma,
            until: Until::EveryObject(command.objects.objects),
            create_bucket: false,
        },
    };
    session.single(single, output).await
}

/// A subcommand on one endpoint.
struct Single<'a> {
    name: &'static str,
    endpoint: &'a EndpointArgs,
    access: &'a AccessArgs,
    objects: &'a ObjectArgs,
    mix: Mix,
    read: Option<&'a ReadArgs>,
    write: Option<&'a WriteArgs>,
    verify: bool,
    load: &'a LoadArgs,
    rdma: &'a RdmaArgs,
    until: Until,
    create_bucket: bool,
}

/// What all runs of a process share.
struct Session {
    progress: Progress,
    interrupt: Interrupt,
}

impl Session {
    async fn single(
        &mut self,
        single: Single<'_>,
        output: &OutputArgs,
    ) -> Result<Verdict, CommandError> {
        let at = single.endpoint;
        let endpoint = setup::endpoint(&at.endpoint, &at.bucket, single.access, single.load)?;
        let scenario = setup::scenario(single.objects, single.mix, single.read)?;
        let sizes_max = single.objects.size.max();
        let load = setup::load(single.load, single.objects.seed, single.until)?;
        let rdma = setup::rdma(single.rdma.rdma, single.rdma)?;
        let plan = setup::plan(endpoint, scenario, sizes_max, single.verify, single.write, rdma)?;
        let servers = at.server_pid.clone().unwrap_or_default();
        if single.create_bucket {
            make_bucket(&plan).await?;
        }
        let report = self.measure(single.name, &plan, &load, &servers).await?;
        print(output.json.as_ref(), &report.table(), &report)?;
        Ok(self.verdict(report.is_success()))
    }

    async fn measure(
        &mut self,
        name: &str,
        plan: &Arc<Plan>,
        load: &Load,
        servers: &Processes,
    ) -> Result<Report, CommandError> {
        let outcome = run(plan, load, servers, &mut self.progress, &mut self.interrupt).await?;
        Ok(Report::new(name, plan, load, &outcome))
    }

    async fn compare(&mut self, command: &CompareCommand) -> Result<Verdict, CommandError> {
        let contenders = contenders(command)?;
        let load = setup::load(&command.load, command.objects.seed, Until::Time)?;
        if command.prepare {
            self.prepare(command, &contenders).await?;
        }
        let mut runs: Vec<Vec<Report>> = vec![Vec::new(); contenders.len()];
        'rounds: for round in 1..=command.rounds {
            for (contender, runs) in contenders.iter().zip(&mut runs) {
                let rounds = command.rounds;
                self.progress.label = format!("{} {round}/{rounds}  ", contender.name);
                let servers = &contender.servers;
                let report = self.measure("compare", &contender.plan, &load, servers).await?;
                if report.ended == Ended::Interrupted {
                    break 'rounds;
                }
                runs.push(report);
            }
        }
        self.progress.clear();
        // After an interrupt, the rounds that every endpoint has completed.
        let complete = runs.iter().map(Vec::len).min().unwrap_or(0);
        runs.iter_mut().for_each(|runs| runs.truncate(complete));
        if complete == 0 {
            eprintln!("interrupted before the first round was complete");
            return Ok(Verdict::Interrupted);
        }
        let names: Vec<String> = contenders.iter().map(|one| one.name.clone()).collect();
        let comparison = Comparison::new(&names, runs);
        print(command.output.json.as_ref(), &comparison.table(), &comparison)?;
        Ok(self.verdict(comparison.is_success()))
    }

    /// Writes every object once to every endpoint.
    async fn prepare(
        &mut self,
        command: &CompareCommand,
        contenders: &[Contender],
    ) -> Result<(), CommandError> {
        for contender in contenders {
            let one = &contender.parsed;
            let endpoint =
                setup::endpoint(&one.url, contender.bucket(command), &one.access, &command.load)?;
            let scenario = setup::scenario(&command.objects, Mix::only(Kind::Put), None)?;
            let sizes_max = command.objects.size.max();
            // By HTTP, whatever the rounds go by: the bytes are the same.
            let write = Some(&command.write);
            let plan = setup::plan(endpoint, scenario, sizes_max, false, write, None)?;
            let until = Until::EveryObject(command.objects.objects);
            let mut load = setup::load(&command.load, command.objects.seed, until)?;
            load.rate = None;
            load.duration = None;
            load.requests = Some(command.objects.objects);
            load.warmup = std::time::Duration::ZERO;
            self.progress.label = format!("{} prepare  ", contender.name);
            let servers = Processes::default();
            let report = self.measure("put", &plan, &load, &servers).await?;
            if !report.is_success() {
                let name = &contender.name;
                let table = report.table();
                return Err(CommandError::Endpoints(format!("{name}: preparing failed\n{table}")));
            }
        }
        Ok(())
    }

    fn verdict(&self, success: bool) -> Verdict {
        match (self.interrupt.seen, success) {
            (true, _) => Verdict::Interrupted,
            (false, true) => Verdict::Success,
            (false, false) => Verdict::Failure,
        }
    }
}

/// One endpoint of a comparison.
struct Contender {
    name: String,
    parsed: ComparedEndpoint,
    servers: Processes,
    plan: Arc<Plan>,
}

impl Contender {
    fn bucket<'a>(&'a self, command: &'a CompareCommand) -> &'a str {
        self.parsed.bucket.as_deref().unwrap_or(&command.bucket)
    }
}

fn contenders(command: &CompareCommand) -> Result<Vec<Contender>, CommandError> {
    let wrong = CommandError::Endpoints;
    let (endpoints, rounds) = (&command.endpoints, command.rounds);
    if endpoints.len() > limits::ENDPOINTS_MAX {
        return Err(wrong(format!("at most {} endpoints", limits::ENDPOINTS_MAX)));
    }
    if !(1..=limits::ROUNDS_MAX).contains(&rounds) {
        return Err(wrong(format!("--rounds must be from 1 to {}", limits::ROUNDS_MAX)));
    }
    let mut contenders: Vec<Contender> = Vec::new();
    for text in endpoints {
        let parsed =
            ComparedEndpoint::parse(text, &command.access, command.rdma.rdma).map_err(wrong)?;
        if contenders.iter().any(|earlier| earlier.name == parsed.name) {
            return Err(wrong(format!("two endpoints are named \"{}\"", parsed.name)));
        }
        let bucket = parsed.bucket.as_deref().unwrap_or(&command.bucket);
        let endpoint = setup::endpoint(&parsed.url, bucket, &parsed.access, &command.load)?;
        let scenario = setup::scenario(&command.objects, command.mix.clone(), Some(&command.read))?;
        let sizes_max = command.objects.size.max();
        let verify = command.read.verify;
        let rdma = setup::rdma(parsed.rdma, &command.rdma)?;
        let plan = setup::plan(endpoint, scenario, sizes_max, verify, Some(&command.write), rdma)?;
        contenders.push(Contender {
            name: parsed.name.clone(),
            servers: parsed.servers.clone(),
            parsed,
            plan,
        });
    }
    Ok(contenders)
}

async fn make_bucket(plan: &Arc<Plan>) -> Result<(), CommandError> {
    let mut clients = Client::several(&plan.endpoint, 1, &Shared::new());
    let failed = |failure| CommandError::Bucket { bucket: plan.endpoint.bucket.clone(), failure };
    match clients.first_mut() {
        Some(client) => create_bucket(client, plan).await.map_err(failed),
        None => Ok(()),
    }
}

/// The table to standard output and the JSON to where it is wanted.
fn print(
    json: Option<&PathBuf>,
    table: &str,
    figures: &impl Serialize,
) -> Result<(), CommandError> {
    let Some(path) = json else {
        return written("standard output", io::stdout().write_all(table.as_bytes()));
    };
    let mut json = serde_json::to_string_pretty(figures).map_err(|error| CommandError::Output {
        place: path.display().to_string(),
        error: error.into(),
    })?;
    json.push('\n');
    if path.as_os_str() == "-" {
        eprint!("{table}");
        return written("standard output", io::stdout().write_all(json.as_bytes()));
    }
    written("standard output", io::stdout().write_all(table.as_bytes()))?;
    written(&path.display().to_string(), fs::write(path, json))
}

fn written(place: &str, result: io::Result<()>) -> Result<(), CommandError> {
    result.map_err(|error| CommandError::Output { place: place.to_owned(), error })
}
