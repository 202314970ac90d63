//! `longshore get KIND [NAME]`: a table, ECS's JSON, or the manifests with their status; with `--watch` as they change.

use serde_json::{Value, json};

use super::client_common::{cluster_of, failure, fetch, find, now, or_not_taken, select, typed};
use super::output::{Table, Tone, age, cell, line, message, write_stdout};
use super::{CommandResult, Failure, Globals};
use crate::api::client::Client;
use crate::api::documents::{
    ClusterStatus, DeploymentStatusDoc, Document, InstanceStatusDoc, ServiceStatusDoc,
    TaskDefinitionStatusDoc, TaskStatusDoc,
};
use crate::api::kinds::Kind;
use crate::api::time::At;
use crate::manifest::export;
use crate::model::arn::{self, Named};
use crate::model::{LastStatus, Timestamp};

mod watch;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Output {
    /// A line a thing
    #[default]
    Table,
    /// The table with more columns
    Wide,
    /// ECS's shapes
    Json,
    /// Manifests with their status
    Yaml,
}

/// Arguments of `get`.
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// clusters, services, tasks, task-definitions, deployments or instances; singular and short forms do too
    #[arg(value_name = "KIND")]
    kind: Kind,
    /// Its name; of a task the beginning of its id; of tasks and deployments also their service
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
    /// Stopped tasks, services that are gone and older revisions, too
    #[arg(short, long)]
    all: bool,
    /// Only tasks that are so: PENDING, RUNNING, STOPPED, …
    #[arg(long, value_name = "STATUS", value_parser = last_status)]
    status: Option<LastStatus>,
    /// Go on: the table again after each change in a terminal, else the rows that changed
    #[arg(short, long)]
    watch: bool,
}

/// Reads where a task is in its life, as ECS writes it.
fn last_status(text: &str) -> Result<LastStatus, String> {
    let word = text.to_ascii_uppercase();
    let known = LastStatus::ALL.into_iter().find(|s| s.as_str() == word);
    known.ok_or_else(|| {
        let all: Vec<&str> = LastStatus::ALL.iter().map(|s| s.as_str()).collect();
        format!("it is one of {}", all.join(", "))
    })
}

impl GetArgs {
    /// What was asked for, as it is now.
    async fn fetch(&self, client: &Client, globals: &Globals) -> Result<Vec<Document>, Failure> {
        // What is named, or is to be stopped, is found whether or not it would be listed.
        let all = self.all || self.name.is_some() || self.status == Some(LastStatus::Stopped);
        let mut documents = fetch(client, self.kind, globals, all).await?;
        if let Some(name) = &self.name {
            let found = select(self.kind, documents, name);
            documents = or_not_taken(client, found).await?;
            if self.kind == Kind::Task && !self.all && self.status.is_none() {
                leave_out_stopped(&mut documents, name);
            }
        }
        if let Some(status) = self.status {
            documents.retain(|document| document.status["lastStatus"] == status.as_str());
        }
        Ok(documents)
    }
}

/// Tasks that are named by their service are listed as all are, without the stopped ones; one that is named itself is shown.
fn leave_out_stopped(tasks: &mut Vec<Document>, name: &str) {
    let itself = Named::parse(name).name;
    if !tasks
        .iter()
        .all(|task| task.metadata.name.starts_with(itself))
    {
        tasks.retain(|task| task.status["lastStatus"] != LastStatus::Stopped.as_str());
    }
}

/// Prints what was asked for.
pub async fn run(args: GetArgs, globals: &Globals) -> CommandResult {
    if args.status.is_some() && args.kind != Kind::Task {
        return Err(Failure::could_not_run("--status is about tasks only"));
    }
    let client = find(globals).await?;
    if args.watch {
        if let Some(why) = say_standing(&client).await {
            message(&Tone::Bad.paint(&why, globals.colour_on_stderr()));
        }
        return watch::run(&args, &client, globals).await;
    }
    let documents = args.fetch(&client, globals).await?;
    let not_taken = say_standing(&client).await;
    let mut loud = Vec::new();
    match args.output {
        Output::Table | Output::Wide if documents.is_empty() => {
            message(&format!("no {}", args.kind.plural()));
        }
        Output::Table | Output::Wide => {
            let wide = args.output == Output::Wide;
            loud = standing_out(&documents);
            table(args.kind, documents, wide, now())?.print(globals);
        }
        Output::Json => {
            let shapes = ecs_shapes(&client, args.kind, &documents).await?;
            let text = serde_json::to_string_pretty(&shapes).map_err(Failure::could_not_run)?;
            line(&text);
        }
        Output::Yaml => {
            write_stdout(yaml(&documents)?.as_bytes());
        }
    }
    for line in loud.into_iter().chain(not_taken) {
        message(&Tone::Bad.paint(&line, globals.colour_on_stderr()));
    }
    Ok(())
}

/// Says whose word it is: that of a Longshore which only looks, or one that has not seen its store for a while. Returns why
/// something of the folder was not taken, if anything was not.
pub async fn say_standing(client: &Client) -> Option<String> {
    let status = client.status().await.ok()?;
    let not_taken = status.not_taken();
    if let Some(leader) = status.leader.filter(|leader| !leader.leading) {
        message(&format!("standing by: {leader}"));
    }
    if let Some(why) = status.stale {
        message(&format!("this may be old: {why}"));
    }
    not_taken
}

/// Why services do not run what the folder says, or not where, and stay so until somebody does something: a line for each
/// reason (P7).
fn standing_out(documents: &[Document]) -> Vec<String> {
    const KINDS: [&str; 5] = [
        "DeploymentFailed",
        "Paused",
        "Undone",
        "Suspended",
        "PlacementFailing",
    ];
    let mut lines = Vec::new();
    for document in documents
        .iter()
        .filter(|d| d.kind == Kind::Service.as_str())
    {
        let conditions = document.status["conditions"].as_array();
        for condition in conditions.into_iter().flatten() {
            let kind = condition["type"].as_str().unwrap_or_default();
            if KINDS.contains(&kind) {
                let message = condition["message"].as_str().unwrap_or_default();
                let (cluster, name) = (cluster_of(document), &document.metadata.name);
                // An event's sentence begins with the service's name, which stands before it already.
                let named = format!("(service {name}) ");
                let message = message.strip_prefix(&named).unwrap_or(message);
                lines.push(format!("{cluster}/{name}: {message}"));
            }
        }
    }
    lines
}

/// One YAML document a thing.
fn yaml(documents: &[Document]) -> Result<String, Failure> {
    let documents = documents
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<Vec<_>, _>>()
        .map_err(Failure::could_not_run)?;
    Ok(export::to_yaml(&documents))
}

/// What ECS's Describe operation says about the same things, under its own name for the list.
async fn ecs_shapes(client: &Client, kind: Kind, documents: &[Document]) -> Result<Value, Failure> {
    let (operation, most, asked, answered) = match kind {
        Kind::Cluster => ("DescribeClusters", 100, "clusters", "clusters"),
        Kind::Service => ("DescribeServices", 10, "services", "services"),
        Kind::Task => ("DescribeTasks", 100, "tasks", "tasks"),
        Kind::ContainerInstance => (
            "DescribeContainerInstances",
            100,
            "containerInstances",
            "containerInstances",
        ),
        Kind::Deployment => (
            "DescribeServiceDeployments",
            20,
            "serviceDeploymentArns",
            "serviceDeployments",
        ),
        Kind::TaskDefinition => return task_definitions(client, documents).await,
    };
    let mut found = Vec::new();
    // An operation names things of one cluster only.
    for of_cluster in documents.chunk_by(|a, b| cluster_of(a) == cluster_of(b)) {
        let cluster = cluster_of(&of_cluster[0]);
        for chunk in of_cluster.chunks(most) {
            let names: Vec<String> = chunk.iter().map(ecs_name).collect();
            let mut input = json!({asked: names, "include": ["TAGS"]});
            match kind {
                Kind::Cluster => input["include"] = json!(["TAGS", "STATISTICS"]),
                Kind::Deployment => {}
                _ => input["cluster"] = json!(cluster),
            }
            let mut answer = client.ecs(operation, &input).await.map_err(failure)?;
            if let Value::Array(items) = answer[answered].take() {
                found.extend(items);
            }
        }
    }
    Ok(json!({answered: found}))
}

async fn task_definitions(client: &Client, documents: &[Document]) -> Result<Value, Failure> {
    let mut found = Vec::new();
    for document in documents {
        let name = format!("{}:{}", document.metadata.name, document.status["revision"]);
        let input = json!({"taskDefinition": name});
        let mut answer = client
            .ecs("DescribeTaskDefinition", &input)
            .await
            .map_err(failure)?;
        found.push(answer["taskDefinition"].take());
    }
    Ok(json!({"taskDefinitions": found}))
}

/// What ECS's operations are asked with for a document.
fn ecs_name(document: &Document) -> String {
    if document.kind != Kind::Deployment.as_str() {
        return document.metadata.name.clone();
    }
    let text = |member: &str| document.status[member].as_str().unwrap_or_default();
    arn::service_deployment(
        &cluster_of(document).into(),
        &text("service").into(),
        &text("id").into(),
    )
}

/// The table of documents of one kind.
pub fn table(
    kind: Kind,
    documents: Vec<Document>,
    wide: bool,
    now: Timestamp,
) -> Result<Table, Failure> {
    Ok(match kind {
        Kind::Cluster => clusters(&typed(documents)?, wide),
        Kind::Service => services(&typed(documents)?, wide, now),
        Kind::TaskDefinition => definitions(&typed(documents)?, wide, now),
        Kind::Task => tasks(&typed(documents)?, wide, now),
        Kind::Deployment => deployments(&typed(documents)?, wide, now),
        Kind::ContainerInstance => instances(&typed(documents)?, wide, now),
    })
}

fn header(columns: &[&'static str], wide: bool, more: &[&'static str]) -> Table {
    let more = if wide { more } else { &[] };
    Table::new(&[columns, more].concat()).wrapping_from(columns.len())
}

fn since(at: Option<At>, now: Timestamp) -> (String, Tone) {
    cell(at.map(|at| age(now.since(at.0))).unwrap_or_default())
}

fn clusters(documents: &[Document<ClusterStatus>], wide: bool) -> Table {
    let mut table = header(
        &[
            "NAME",
            "STATUS",
            "INSTANCES",
            "SERVICES",
            "RUNNING",
            "PENDING",
        ],
        wide,
        &["SOURCE"],
    );
    for Document {
        metadata,
        status: s,
        ..
    } in documents
    {
        table.row(vec![
            cell(&metadata.name),
            (s.status.clone(), Tone::Good),
            cell(s.instances),
            cell(s.services),
            cell(s.running_tasks),
            cell(s.pending_tasks),
            cell(s.source.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// How a service's phase is coloured.
pub fn phase_tone(phase: &str) -> Tone {
    match phase {
        "steady" => Tone::Good,
        "failed" | "rolling back" | "rolled back" | "throttled" => Tone::Bad,
        "inactive" => Tone::Faint,
        _ => Tone::Warn,
    }
}

fn services(documents: &[Document<ServiceStatusDoc>], wide: bool, now: Timestamp) -> Table {
    let mut table = header(
        &[
            "CLUSTER", "NAME", "STATE", "DESIRED", "RUNNING", "HEALTHY", "PENDING", "REVISION",
            "AGE",
        ],
        wide,
        &["IMAGES", "SOURCE", "LAST EVENT"],
    );
    for Document {
        metadata,
        status: s,
        ..
    } in documents
    {
        let tone = phase_tone(&s.phase);
        // What is served is not what the folder says: that must not look well.
        let held = s.conditions.iter().any(|c| c.kind == "ServingLastGood");
        let undone = s.conditions.iter().any(|c| c.kind == "Undone") && s.phase != "undone";
        let state = match (held, undone) {
            (true, _) => (format!("{}, last good", s.phase), Tone::Warn),
            (false, true) => (format!("{}, undone", s.phase), Tone::Warn),
            (false, false) => (s.phase.clone(), tone),
        };
        let healthy = if s.healthy_count < s.desired_count {
            tone
        } else {
            Tone::Plain
        };
        table.row(vec![
            cell(&s.cluster),
            cell(&metadata.name),
            state,
            cell(s.desired_count),
            cell(s.running_count),
            (s.healthy_count.to_string(), healthy),
            cell(s.pending_count),
            cell(&s.task_definition),
            since(s.created_at, now),
            cell(s.images.join(",")),
            cell(s.source.as_deref().unwrap_or_default()),
            cell(s.last_event.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

fn definitions(
    documents: &[Document<TaskDefinitionStatusDoc>],
    wide: bool,
    now: Timestamp,
) -> Table {
    let mut table = header(
        &[
            "FAMILY",
            "REVISION",
            "STATUS",
            "NETWORK",
            "CPU",
            "MEMORY",
            "CONTAINERS",
            "AGE",
        ],
        wide,
        &["IMAGES", "SOURCE", "HASH"],
    );
    for Document { status: s, .. } in documents {
        table.row(vec![
            cell(&s.family),
            cell(s.revision),
            (
                s.status.clone(),
                if s.status == "ACTIVE" {
                    Tone::Plain
                } else {
                    Tone::Faint
                },
            ),
            cell(&s.network_mode),
            cell(s.cpu),
            cell(s.memory),
            cell(s.containers.join(",")),
            since(s.registered_at, now),
            cell(s.images.join(",")),
            cell(s.source.as_deref().unwrap_or_default()),
            cell(s.spec_hash.get(..15).unwrap_or(&s.spec_hash)),
        ]);
    }
    table
}

/// How a task is coloured.
fn task_tone(s: &TaskStatusDoc) -> Tone {
    if s.failed || s.health_status == "UNHEALTHY" {
        Tone::Bad
    } else if s.last_status == "STOPPED" {
        Tone::Faint
    } else if s.healthy {
        Tone::Good
    } else {
        Tone::Warn
    }
}

fn tasks(documents: &[Document<TaskStatusDoc>], wide: bool, now: Timestamp) -> Table {
    let mut table = header(
        &[
            "CLUSTER", "TASK", "GROUP", "REVISION", "STATUS", "HEALTH", "INSTANCE", "AGE",
        ],
        wide,
        &["DESIRED", "IMAGES", "ADDRESS", "PORTS", "REASON"],
    );
    for Document { status: s, .. } in documents {
        let tone = task_tone(s);
        let of_containers =
            |what: &dyn Fn(&crate::api::documents::ContainerStatusDoc) -> Vec<String>| {
                let mut values: Vec<String> = s.containers.iter().flat_map(what).collect();
                values.sort();
                values.dedup();
                values.join(",")
            };
        let id = if wide { s.id.as_str() } else { short(&s.id) };
        table.row(vec![
            cell(&s.cluster),
            cell(id),
            cell(&s.group),
            cell(&s.task_definition),
            (s.last_status.clone(), tone),
            (s.health_status.clone(), tone),
            cell(&s.instance),
            since(s.created_at, now),
            cell(&s.desired_status),
            cell(of_containers(&|c| vec![c.image.clone()])),
            cell(of_containers(&|c| c.address.iter().cloned().collect())),
            cell(of_containers(&|c| c.ports.clone())),
            cell(s.stopped_reason.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// A task's id as tables show it.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// `2`, or `2 of 3` where so many are too many.
pub fn failed_of(s: &DeploymentStatusDoc) -> String {
    match s.failed_threshold {
        Some(most) => format!("{} of {most}", s.failed_tasks),
        None => s.failed_tasks.to_string(),
    }
}

fn deployments(documents: &[Document<DeploymentStatusDoc>], wide: bool, now: Timestamp) -> Table {
    let mut table = header(
        &[
            "CLUSTER", "SERVICE", "ID", "STATUS", "REVISION", "ROLLOUT", "DESIRED", "RUNNING",
            "HEALTHY", "PENDING", "FAILED", "AGE",
        ],
        wide,
        &["REASON"],
    );
    for Document { status: s, .. } in documents {
        let tone = match s.rollout_state.as_str() {
            "COMPLETED" => Tone::Good,
            "FAILED" => Tone::Bad,
            _ => Tone::Warn,
        };
        table.row(vec![
            cell(&s.cluster),
            cell(&s.service),
            cell(&s.id),
            cell(&s.status),
            cell(&s.task_definition),
            (s.rollout_state.clone(), tone),
            cell(s.desired_count),
            cell(s.running_count),
            cell(s.healthy_count),
            cell(s.pending_count),
            (
                failed_of(s),
                if s.failed_tasks > 0 {
                    Tone::Bad
                } else {
                    Tone::Plain
                },
            ),
            since(s.created_at, now),
            cell(&s.rollout_state_reason),
        ]);
    }
    table
}

fn instances(documents: &[Document<InstanceStatusDoc>], wide: bool, now: Timestamp) -> Table {
    let mut table = header(
        &[
            "CLUSTER",
            "NAME",
            "STATUS",
            "CONNECTED",
            "CPU",
            "MEMORY",
            "RUNNING",
            "PENDING",
            "AGE",
            "REASON",
        ],
        wide,
        &["ENGINE", "API", "PORTS", "ATTRIBUTES"],
    );
    for Document { status: s, .. } in documents {
        table.row(vec![
            cell(&s.cluster),
            cell(&s.id),
            (
                s.status.clone(),
                match s.status.as_str() {
                    "ACTIVE" => Tone::Good,
                    "REGISTRATION_FAILED" => Tone::Bad,
                    _ => Tone::Warn,
                },
            ),
            if s.connected {
                ("yes".to_owned(), Tone::Good)
            } else {
                ("no".to_owned(), Tone::Bad)
            },
            cell(format!("{}/{}", s.reserved.cpu, s.registered.cpu)),
            cell(format!("{}/{}", s.reserved.memory, s.registered.memory)),
            cell(s.running_tasks),
            cell(s.pending_tasks),
            since(s.registered_at, now),
            cell(&s.reason),
            cell(&s.engine_version),
            cell(&s.api_version),
            cell(s.reserved_ports.join(",")),
            cell(
                s.attributes
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(","),
            ),
        ]);
    }
    table
}

#[cfg(test)]
mod tests;
