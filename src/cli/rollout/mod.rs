//! `longshore rollout VERB SERVICE`, and `retry`, `suspend` and `resume`: steering a service's rollouts on top of the folder.

use super::client_common::{cluster_of, failure, fetch, find, or_not_taken, user};
use super::subject::Subject;
use super::{CommandResult, Failure, Globals, output};
use crate::api::ServiceSummary;
use crate::api::client::{Client, ClientError};
use crate::api::documents::Document;
use crate::api::kinds::Kind;
use crate::model::{Asked, RolloutVerb};

mod history;
mod status;
mod undone;

/// Arguments of `rollout`.
#[derive(Debug, clap::Args)]
pub struct RolloutArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Follow the rollout to its end: exit 0 when it is completed, 1 when it failed or was rolled back
    Status(status::StatusArgs),
    /// List the deployments that there were
    History(history::HistoryArgs),
    /// Let the rollout stand still: what dies is replaced from its own revision, and nothing else is started or stopped
    Pause(AskArgs),
    /// Let a paused rollout go on
    Resume(FollowArgs),
    /// Replace every task by a new one of the same revision, image tags resolved anew (ECS's forceNewDeployment)
    Restart(FollowArgs),
    /// Go back to an earlier revision, until the folder asks for something else
    Undo(UndoArgs),
}

/// A service, and why.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    /// The service: `web`, or `prod/web`
    service: String,
    /// Why; `describe service` shows it with your name
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// The same, for what one may want to see the end of.
#[derive(Debug, clap::Args)]
pub struct FollowArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Then follow it to its end, as `rollout status` does
    #[arg(short, long)]
    wait: bool,
    /// With --wait: seconds until it is a failure that it has not come to its end
    #[arg(long, default_value_t = 600, value_name = "SECONDS", requires = "wait")]
    timeout: u64,
}

#[derive(Debug, clap::Args)]
struct UndoArgs {
    #[command(flatten)]
    follow: FollowArgs,
    /// The number of the revision; the one that was completed before, where it is left out
    #[arg(long, value_name = "N")]
    to_revision: Option<u32>,
}

/// A service that was found in the running Longshore.
struct Service {
    client: Client,
    cluster: String,
    name: String,
}

impl Service {
    /// # Errors
    /// No Longshore runs, or there is no such service.
    async fn find(named: &str, globals: &Globals) -> Result<Self, Failure> {
        let subject = Subject::parse(named, globals)?;
        let client = find(globals).await?;
        let everywhere = Globals {
            cluster: None,
            ..globals.clone()
        };
        let all: Vec<Document> = fetch(&client, Kind::Service, &everywhere, false).await?;
        let found = subject.among(all, |document| {
            (cluster_of(document), document.metadata.name.as_str())
        });
        let found = or_not_taken(&client, found).await?;
        Ok(Self {
            client,
            cluster: cluster_of(&found).to_owned(),
            name: found.metadata.name,
        })
    }

    /// How it is at a glance; none once it is forgotten.
    async fn summary(&self) -> Result<Option<ServiceSummary>, ClientError> {
        let mut services = self.client.status().await?.services.into_iter();
        Ok(services.find(|s| s.cluster.as_str() == self.cluster && s.name == self.name))
    }

    /// Asks for something, and says what holds from then on.
    async fn ask(&self, verb: &RolloutVerb, reason: Option<&str>) -> CommandResult {
        let asked = Asked {
            by: user(),
            reason: reason.map(str::to_owned),
            ..Asked::default()
        };
        let (cluster, name) = (self.cluster.as_str().into(), self.name.as_str().into());
        let answer = self
            .client
            .rollout(&cluster, &name, verb, &asked)
            .await
            .map_err(failure)?;
        output::line(&answer.message);
        Ok(())
    }
}

/// Does what the verb says.
pub async fn run(args: RolloutArgs, globals: &Globals) -> CommandResult {
    match args.verb {
        Verb::Status(args) => status::run(&args, globals).await,
        Verb::History(args) => history::run(&args, globals).await,
        Verb::Pause(args) => ask(&args, &RolloutVerb::Pause, globals).await.map(|_| ()),
        Verb::Resume(args) => follow(&args, &RolloutVerb::Unpause, globals).await,
        Verb::Restart(args) => follow(&args, &RolloutVerb::Restart, globals).await,
        Verb::Undo(args) => undo(&args, globals).await,
    }
}

/// `longshore retry SERVICE`
pub async fn retry(args: FollowArgs, globals: &Globals) -> CommandResult {
    follow(&args, &RolloutVerb::Retry, globals).await
}

/// `longshore suspend SERVICE`
pub async fn suspend(args: AskArgs, globals: &Globals) -> CommandResult {
    ask(&args, &RolloutVerb::Suspend, globals).await.map(|_| ())
}

/// `longshore resume SERVICE`
pub async fn resume(args: FollowArgs, globals: &Globals) -> CommandResult {
    follow(&args, &RolloutVerb::Resume, globals).await
}

async fn ask(args: &AskArgs, verb: &RolloutVerb, globals: &Globals) -> Result<Service, Failure> {
    let service = Service::find(&args.service, globals).await?;
    service.ask(verb, args.reason.as_deref()).await?;
    Ok(service)
}

async fn follow(args: &FollowArgs, verb: &RolloutVerb, globals: &Globals) -> CommandResult {
    let service = ask(&args.ask, verb, globals).await?;
    if args.wait {
        status::follow(&service, args.timeout, globals).await?;
    }
    Ok(())
}

async fn undo(args: &UndoArgs, globals: &Globals) -> CommandResult {
    let verb = RolloutVerb::Undo {
        to: args.to_revision,
    };
    let follow = &args.follow;
    let service = Service::find(&follow.ask.service, globals).await?;
    service.ask(&verb, follow.ask.reason.as_deref()).await?;
    undone::say(&service).await;
    if follow.wait {
        status::follow(&service, follow.timeout, globals).await?;
    }
    Ok(())
}
