//! `longshore describe KIND [NAME]`: everything about a thing, for people.

use std::fmt::Write as _;

use super::client_common::{cluster_of, failure, fetch, find, now, or_not_taken, select, typed};
use super::get::{failed_of, phase_tone, say_standing, short, table};
use super::output::{Tone, age, message, write_stdout};
use super::{CommandResult, Failure, Globals};
use crate::api::client::Client;
use crate::api::conditions::Condition;
use crate::api::documents::{
    ClusterStatus, DeploymentStatusDoc, Document, InstanceStatusDoc, Metadata, ServiceStatusDoc,
    TaskDefinitionStatusDoc, TaskStatusDoc,
};
use crate::api::kinds::Kind;
use crate::api::streams::events::{EventLine, EventQuery};
use crate::api::time::At;
use crate::model::Timestamp;

/// Events that are shown of a service.
const EVENTS: usize = 12;
/// Stopped tasks that are shown of a service.
const STOPPED: usize = 5;

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
pub struct DescribeArgs {
    /// cluster, service, task, task-definition, deployment or instance; plural and short forms do too
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Its name; without it all of the kind
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Prints it.
pub async fn run(args: DescribeArgs, globals: &Globals) -> CommandResult {
    let client = find(globals).await?;
    let all = args.name.is_some();
    let mut documents = fetch(&client, args.kind, globals, all).await?;
    if let Some(name) = &args.name {
        documents = or_not_taken(&client, select(args.kind, documents, name)).await?;
    }
    let not_taken = say_standing(&client).await;
    if documents.is_empty() {
        message(&format!("no {}", args.kind.plural()));
    }
    let mut texts = Vec::new();
    for document in documents {
        texts.push(describe(&client, args.kind, document, globals).await?);
    }
    write_stdout(texts.join("\n").as_bytes());
    if let Some(why) = not_taken {
        message(&Tone::Bad.paint(&why, globals.colour_on_stderr()));
    }
    Ok(())
}

async fn describe(
    client: &Client,
    kind: Kind,
    document: Document,
    globals: &Globals,
) -> Result<String, Failure> {
    let mut page = Page::new(globals.colour_on_stdout(), now());
    let cluster = cluster_of(&document).to_owned();
    match kind {
        Kind::Cluster => {
            let name = document.metadata.name.clone();
            page.cluster(&document.typed().map_err(Failure::could_not_run)?);
            for kind in [Kind::ContainerInstance, Kind::Service] {
                let within = in_cluster(client, kind, &name, false).await?;
                page.table(kind, within)?;
            }
        }
        Kind::Service => {
            let name = document.metadata.name.clone();
            let service: Document<ServiceStatusDoc> =
                document.typed().map_err(Failure::could_not_run)?;
            let mut tasks = in_cluster(client, Kind::Task, &cluster, true).await?;
            tasks.retain(|task| task.status["service"] == name.as_str());
            let mut events = client
                .events(&EventQuery {
                    cluster: Some(cluster),
                    service: Some(name),
                    follow: false,
                })
                .await
                .map_err(failure)?;
            let mut said = Vec::new();
            while let Some(event) = events.next().await.map_err(failure)? {
                said.push(event);
            }
            page.service(&service, tasks, &said)?;
        }
        Kind::TaskDefinition => {
            page.definition(&document.typed().map_err(Failure::could_not_run)?)?;
        }
        Kind::Task => page.task(&document.typed().map_err(Failure::could_not_run)?),
        Kind::Deployment => page.deployment(&document.typed().map_err(Failure::could_not_run)?),
        Kind::ContainerInstance => {
            let name = document.metadata.name.clone();
            page.instance(&document.typed().map_err(Failure::could_not_run)?);
            let mut tasks = in_cluster(client, Kind::Task, &cluster, false).await?;
            tasks.retain(|task| task.status["instance"] == name.as_str());
            page.table(Kind::Task, tasks)?;
        }
    }
    Ok(page.text)
}

async fn in_cluster(
    client: &Client,
    kind: Kind,
    cluster: &str,
    all: bool,
) -> Result<Vec<Document>, Failure> {
    let globals = Globals {
        cluster: Some(cluster.to_owned()),
        ..Globals::default()
    };
    fetch(client, kind, &globals, all).await
}

/// A page being written.
struct Page {
    text: String,
    colour: bool,
    now: Timestamp,
}

impl Page {
    fn new(colour: bool, now: Timestamp) -> Self {
        Self {
            text: String::new(),
            colour,
            now,
        }
    }

    /// `Name:   value`, left out where there is no value.
    fn field(&mut self, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            let _ = writeln!(self.text, "{:<17} {value}", format!("{name}:"));
        }
    }

    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.text, "{text}:");
    }

    fn line(&mut self, indent: usize, text: &str, tone: Tone) {
        let text = tone.paint(text, self.colour);
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    fn time(&self, at: Option<At>) -> String {
        at.map(|at| format!("{} ({} ago)", at.0, age(self.now.since(at.0))))
            .unwrap_or_default()
    }

    fn metadata(&mut self, metadata: &Metadata) {
        self.field("Name", &metadata.name);
        let labels: Vec<String> = metadata
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.field("Labels", labels.join(", "));
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        if conditions.is_empty() {
            return;
        }
        self.heading("Conditions");
        for c in conditions {
            let tone = match (c.kind.as_str(), c.status.as_str()) {
                ("Steady" | "Connected", "True") => Tone::Good,
                ("Steady" | "ServingLastGood" | "Throttled" | "Draining" | "NotDeclared", _) => {
                    Tone::Warn
                }
                _ => Tone::Bad,
            };
            self.line(2, &format!("{}={}: {}", c.kind, c.status, c.message), tone);
        }
    }

    /// A table of other things, under their kind as a heading.
    fn table(&mut self, kind: Kind, documents: Vec<Document>) -> Result<(), Failure> {
        let mut heading = kind.plural().replace('-', " ");
        if let Some(first) = heading.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        if documents.is_empty() {
            self.field(&heading, "none");
            return Ok(());
        }
        self.heading(&heading);
        let text = table(kind, documents, false, self.now)?.plain();
        for row in text.lines() {
            self.line(2, row, Tone::Plain);
        }
        Ok(())
    }

    fn cluster(&mut self, document: &Document<ClusterStatus>) {
        let s = &document.status;
        self.metadata(&document.metadata);
        self.field("Status", &s.status);
        self.field(
            "Declared at",
            s.source.as_deref().unwrap_or("nowhere: it always exists"),
        );
        self.field(
            "Counts",
            format!(
                "{} running, {} pending",
                super::output::count(s.running_tasks, "task"),
                s.pending_tasks
            ),
        );
        self.conditions(&s.conditions);
    }

    fn service(
        &mut self,
        document: &Document<ServiceStatusDoc>,
        tasks: Vec<Document>,
        events: &[EventLine],
    ) -> Result<(), Failure> {
        let s = &document.status;
        self.metadata(&document.metadata);
        self.field("Cluster", &s.cluster);
        let phase = phase_tone(&s.phase).paint(&s.phase, self.colour);
        self.field("Status", format!("{}, {phase}", s.status));
        self.field(
            "Declared at",
            s.source.as_deref().unwrap_or("nowhere any more"),
        );
        self.field("Task definition", &s.task_definition);
        self.field("Images", s.images.join(", "));
        self.field(
            "Counts",
            format!(
                "{} desired, {} running, {} healthy, {} pending",
                s.desired_count, s.running_count, s.healthy_count, s.pending_count
            ),
        );
        self.field("Created", self.time(s.created_at));
        self.conditions(&s.conditions);
        self.heading("Deployments");
        for d in &s.deployments {
            self.rollout(d);
        }
        let (over, live): (Vec<Document>, Vec<Document>) = tasks
            .into_iter()
            .partition(|task| task.status["lastStatus"] == "STOPPED");
        self.table(Kind::Task, live)?;
        let mut over: Vec<Document<TaskStatusDoc>> = typed(over)?;
        if !over.is_empty() {
            over.sort_by_key(|task| std::cmp::Reverse(task.status.stopped_at));
            self.heading("Stopped tasks");
            for task in over.iter().take(STOPPED) {
                self.stopped(&task.status);
            }
            if over.len() > STOPPED {
                let more = format!(
                    "and {} more: longshore get tasks {} --all",
                    over.len() - STOPPED,
                    document.metadata.name
                );
                self.line(2, &more, Tone::Faint);
            }
        }
        if !events.is_empty() {
            self.heading("Events");
            for event in events.iter().skip(events.len().saturating_sub(EVENTS)) {
                let repeated = match event.count {
                    0 | 1 => String::new(),
                    n => format!(" (×{n})"),
                };
                let ago = age(self.now.since(event.last_at.0));
                let tone = match event.level {
                    crate::model::EventLevel::Info => Tone::Plain,
                    crate::model::EventLevel::Warn => Tone::Warn,
                    crate::model::EventLevel::Error => Tone::Bad,
                };
                self.line(
                    2,
                    &format!("{ago:>5} ago  {}{repeated}", event.message),
                    tone,
                );
            }
        }
        Ok(())
    }

    fn rollout(&mut self, d: &DeploymentStatusDoc) {
        let tone = match d.rollout_state.as_str() {
            "COMPLETED" => Tone::Good,
            "FAILED" => Tone::Bad,
            _ => Tone::Warn,
        };
        let started = d
            .created_at
            .map(|at| age(self.now.since(at.0)))
            .unwrap_or_default();
        self.line(
            2,
            &format!(
                "{} {} {} {}: {} desired, {} running, {} healthy, {} pending, {} failed; begun {started} ago",
                d.id, d.status, d.task_definition, d.rollout_state, d.desired_count, d.running_count, d.healthy_count, d.pending_count, failed_of(d)
            ),
            tone,
        );
        if !d.rollout_state_reason.is_empty() {
            self.line(4, &d.rollout_state_reason, Tone::Plain);
        }
        for (container, digest) in &d.digests {
            self.line(
                4,
                &format!("container {container} runs {digest}"),
                Tone::Faint,
            );
        }
    }

    /// Why a task stopped, its containers' exit codes, and the last it wrote.
    fn stopped(&mut self, s: &TaskStatusDoc) {
        let ago = s
            .stopped_at
            .map(|at| format!(" {} ago", age(self.now.since(at.0))))
            .unwrap_or_default();
        let code = s
            .stop_code
            .as_ref()
            .map(|code| format!("{code}: "))
            .unwrap_or_default();
        let reason = s.stopped_reason.as_deref().unwrap_or("no reason is known");
        let tone = if s.failed { Tone::Bad } else { Tone::Faint };
        self.line(
            2,
            &format!(
                "{} {} stopped{ago}: {code}{reason}",
                short(&s.id),
                s.task_definition
            ),
            tone,
        );
        for c in &s.containers {
            let mut what = Vec::new();
            if let Some(code) = c.exit_code {
                what.push(format!("exit code {code}"));
            }
            if let Some(reason) = &c.reason {
                what.push(reason.clone());
            }
            if !what.is_empty() {
                self.line(
                    4,
                    &format!("container {}: {}", c.name, what.join(", ")),
                    Tone::Plain,
                );
            }
        }
        for line in &s.last_log_lines {
            self.line(6, &format!("| {line}"), Tone::Plain);
        }
    }

    fn definition(&mut self, document: &Document<TaskDefinitionStatusDoc>) -> Result<(), Failure> {
        let s = &document.status;
        self.metadata(&document.metadata);
        let newest = if s.newest { ", the newest" } else { "" };
        self.field("Revision", format!("{}{newest}", s.revision));
        self.field("Status", &s.status);
        self.field(
            "Declared at",
            s.source.as_deref().unwrap_or("nowhere any more"),
        );
        self.field("Registered", self.time(s.registered_at));
        self.field("Network mode", &s.network_mode);
        self.field("Books", format!("{} CPU units, {} MiB", s.cpu, s.memory));
        self.field("Hash", &s.spec_hash);
        self.conditions(&s.conditions);
        if let Some(spec) = &document.spec {
            self.heading("Definition");
            let text = serde_yaml::to_string(spec).map_err(Failure::could_not_run)?;
            for row in text.lines() {
                self.line(2, row, Tone::Plain);
            }
        }
        Ok(())
    }

    fn task(&mut self, document: &Document<TaskStatusDoc>) {
        let s = &document.status;
        self.field("Task", &s.id);
        self.field("Cluster", &s.cluster);
        self.field("Group", &s.group);
        self.field("Task definition", &s.task_definition);
        self.field("Deployment", s.deployment.as_deref().unwrap_or_default());
        if s.deployment.is_none() {
            self.field("Started by", s.started_by.as_deref().unwrap_or_default());
        }
        let tags: Vec<String> = s.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
        self.field("Tags", tags.join(", "));
        let overrides = s.overrides.as_ref().map(ToString::to_string);
        self.field("Overrides", overrides.unwrap_or_default());
        self.field("Instance", &s.instance);
        self.field(
            "Status",
            format!("{}, desired {}", s.last_status, s.desired_status),
        );
        let counts = if s.healthy { ", counts as healthy" } else { "" };
        self.field("Health", format!("{}{counts}", s.health_status));
        self.field("Created", self.time(s.created_at));
        self.field("Started", self.time(s.started_at));
        if s.protected_until.is_some() {
            self.field("Protected until", self.time(s.protected_until));
        }
        self.heading("Containers");
        for c in &s.containers {
            let essential = if c.essential { ", essential" } else { "" };
            let tone = match c.health_status.as_str() {
                "HEALTHY" => Tone::Good,
                "UNHEALTHY" => Tone::Bad,
                _ => Tone::Plain,
            };
            self.line(
                2,
                &format!(
                    "{}: {}, {}{essential}",
                    c.name, c.last_status, c.health_status
                ),
                tone,
            );
            let mut detail = |name: &str, value: &str| {
                if !value.is_empty() {
                    self.line(4, &format!("{name:<10} {value}"), Tone::Plain);
                }
            };
            detail("image", &c.image);
            detail("digest", c.image_digest.as_deref().unwrap_or_default());
            detail("id", c.runtime_id.as_deref().unwrap_or_default());
            detail("address", c.address.as_deref().unwrap_or_default());
            detail("ports", &c.ports.join(", "));
            if c.restart_count > 0 {
                detail("restarts", &c.restart_count.to_string());
            }
            detail(
                "exit code",
                &c.exit_code.map(|code| code.to_string()).unwrap_or_default(),
            );
            detail("reason", c.reason.as_deref().unwrap_or_default());
        }
        if s.stopped_reason.is_some() || s.stop_code.is_some() {
            self.heading("Stopped");
            self.stopped(s);
        }
    }

    fn deployment(&mut self, document: &Document<DeploymentStatusDoc>) {
        let s = &document.status;
        self.field("Deployment", &s.id);
        self.field("Cluster", &s.cluster);
        self.field("Service", &s.service);
        self.field("Status", &s.status);
        self.field("Task definition", &s.task_definition);
        self.field("Rollout", &s.rollout_state);
        self.field("Reason", &s.rollout_state_reason);
        self.field(
            "Counts",
            format!(
                "{} desired, {} running, {} healthy, {} pending, {} failed",
                s.desired_count, s.running_count, s.healthy_count, s.pending_count, s.failed_tasks
            ),
        );
        self.field("Begun", self.time(s.created_at));
        self.field("Changed", self.time(s.updated_at));
    }

    fn instance(&mut self, document: &Document<InstanceStatusDoc>) {
        let s = &document.status;
        self.metadata(&document.metadata);
        self.field("Cluster", &s.cluster);
        let connected = if s.connected {
            Tone::Good.paint("its engine answers", self.colour)
        } else {
            Tone::Bad.paint("its engine does not answer", self.colour)
        };
        self.field("Status", format!("{}, {connected}", s.status));
        if s.registered_at.is_none() {
            self.conditions(&s.conditions);
            return;
        }
        self.field("Since", self.time(s.connected_at));
        self.field("Registered", self.time(s.registered_at));
        self.field(
            "Engine",
            format!(
                "{} (API {}, id {})",
                s.engine_version, s.api_version, s.engine_id
            ),
        );
        self.field(
            "CPU units",
            format!("{} of {} booked", s.reserved.cpu, s.registered.cpu),
        );
        self.field(
            "Memory",
            format!(
                "{} of {} MiB booked",
                s.reserved.memory, s.registered.memory
            ),
        );
        self.field("Ports", s.reserved_ports.join(", "));
        self.conditions(&s.conditions);
        if !s.attributes.is_empty() {
            self.heading("Attributes");
            for (name, value) in &s.attributes {
                self.line(2, &format!("{name}={value}"), Tone::Plain);
            }
        }
    }
}
