//! The command line: a file per command. Only this module prints; stdout is data, stderr is messages.
//!
//! Exit codes, everywhere: 0 done; 1 findings (a manifest is invalid, a service is not steady, a name does not exist);
//! 2 could not run (bad usage, no engine, no Longshore running, a folder that belongs to somebody else).
//! `exec` passes the command's own code through, `run-task --wait` the essential container's; 125 there is a task that did not
//! start. With `--exit-code`, `plan` and `diff` exit as `diff` programs of other tools do: 0 nothing, 2 something, 1 anything wrong.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod apply;
mod client_common;
mod completions;
mod describe;
mod diff;
mod doctor;
mod down;
mod drain;
mod edit;
mod events;
mod exec;
mod explain;
mod get;
pub mod globals;
mod init;
mod live;
mod logging;
mod logs;
pub mod output;
mod plan;
mod preview;
mod rollout;
mod run;
mod run_task;
mod scale;
mod schema;
mod services;
mod set_image;
mod simulate;
mod start;
mod state;
mod stop;
mod subject;
mod validate;

pub use globals::Globals;

/// How a command ended when it did not simply succeed.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 1: the command ran and has findings; the text, if any, is for stderr.
    Findings(String),
    /// Exit code 2: the command could not run.
    CouldNotRun(String),
    /// Another exit code, passed through from a command inside a container.
    Code(u8),
}

/// What every command returns.
pub type CommandResult = Result<(), Failure>;

impl Failure {
    /// Exit code 2 with this message.
    pub fn could_not_run(message: impl std::fmt::Display) -> Self {
        Self::CouldNotRun(message.to_string())
    }

    /// Exit code 1 with this message.
    pub fn findings(message: impl std::fmt::Display) -> Self {
        Self::Findings(message.to_string())
    }
}

/// Amazon ECS's model on plain Docker, from a folder of manifests.
#[derive(Debug, Parser)]
#[command(
    name = "longshore",
    version,
    propagate_version = true,
    max_term_width = 110
)]
#[command(
    after_help = "Start with `longshore init`, then `longshore run`. Exit codes: 0 done, 1 findings, 2 could not run."
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write three commented manifests that work
    Init(init::InitArgs),
    /// Check manifests; change nothing
    Validate(validate::ValidateArgs),
    /// Show what `run` would do; change nothing
    Plan(plan::PlanArgs),
    /// Show how a service differs from what the folder says; change nothing
    Diff(diff::DiffArgs),
    /// Try a folder in virtual time: does it converge, what does it promise, what if an instance dies
    Simulate(simulate::SimulateArgs),
    /// Keep containers at what a folder of manifests declares, until stopped
    Run(run::RunArgs),
    /// Converge once: exit 0 when every service is steady
    Apply(apply::ApplyArgs),
    /// List clusters, services, tasks, task definitions, deployments or container instances
    Get(get::GetArgs),
    /// Show one thing at length: conditions, deployments, tasks, events
    Describe(describe::DescribeArgs),
    /// Show what services said about themselves
    Events(events::EventsArgs),
    /// Show the output of tasks
    Logs(logs::LogsArgs),
    /// Follow, list, pause, restart or undo the rollouts of a service
    Rollout(rollout::RolloutArgs),
    /// Try again what failed, and start at once what is held back
    Retry(rollout::FollowArgs),
    /// Do nothing at all about a service, until it is resumed
    Suspend(rollout::AskArgs),
    /// Keep a suspended service at what the folder says again
    Resume(rollout::FollowArgs),
    /// Run a command in a container of a task
    Exec(exec::ExecArgs),
    /// Run a task once
    RunTask(run_task::RunTaskArgs),
    /// Stop a task; its service, if it has one, starts another
    Stop(stop::StopArgs),
    /// Write another image into a manifest, comments kept: what a CI job runs after a build
    SetImage(set_image::SetImageArgs),
    /// Let container instances take no new tasks, and move those of services away
    Drain(drain::DrainArgs),
    /// Let container instances take tasks again
    Activate(drain::DrainArgs),
    /// Say which line to edit to change a service's desired count, or write it there
    Scale(scale::ScaleArgs),
    /// Stop and remove everything that this folder's Longshore created, and nothing else
    Down(down::DownArgs),
    /// Print the JSON Schema of a kind
    Schema(schema::SchemaArgs),
    /// Explain a diagnostic's code
    Explain(explain::ExplainArgs),
    /// Look for what could keep Longshore from working here
    Doctor(doctor::DoctorArgs),
    /// Back up or dump the state
    State(state::StateArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Parses the process' arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    logging::init(&cli.globals);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let result = runtime.block_on(dispatch(cli));
    // A thread that still reads standard input must not keep the process.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Findings(message)) => {
            if !message.is_empty() {
                eprintln!("{message}");
            }
            ExitCode::from(1)
        }
        Err(Failure::CouldNotRun(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Code(code)) => ExitCode::from(code),
    }
}

async fn dispatch(cli: Cli) -> CommandResult {
    let globals = cli.globals;
    match cli.command {
        Command::Init(args) => init::run(&args),
        Command::Validate(args) => validate::run(&args, &globals),
        Command::Plan(args) => plan::run(args, &globals).await,
        Command::Diff(args) => diff::run(args, &globals).await,
        Command::Simulate(args) => simulate::run(args, &globals).await,
        Command::Run(args) => run::run(args, &globals).await,
        Command::Apply(args) => apply::run(args, &globals).await,
        Command::Get(args) => get::run(args, &globals).await,
        Command::Describe(args) => describe::run(args, &globals).await,
        Command::Events(args) => events::run(args, &globals).await,
        Command::Logs(args) => logs::run(args, &globals).await,
        Command::Rollout(args) => rollout::run(args, &globals).await,
        Command::Retry(args) => rollout::retry(args, &globals).await,
        Command::Suspend(args) => rollout::suspend(args, &globals).await,
        Command::Resume(args) => rollout::resume(args, &globals).await,
        Command::Exec(args) => exec::run(args, &globals).await,
        Command::RunTask(args) => run_task::run(args, &globals).await,
        Command::Stop(args) => stop::run(args, &globals).await,
        Command::SetImage(args) => set_image::run(&args, &globals).await,
        Command::Drain(args) => drain::drain(&args, &globals).await,
        Command::Activate(args) => drain::activate(&args, &globals).await,
        Command::Scale(args) => scale::run(&args, &globals).await,
        Command::Down(args) => down::run(args, &globals).await,
        Command::Schema(args) => schema::run(&args),
        Command::Explain(args) => explain::run(&args, &globals),
        Command::Doctor(args) => doctor::run(args, &globals).await,
        Command::State(args) => state::run(&args, &globals).await,
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
    }
}
