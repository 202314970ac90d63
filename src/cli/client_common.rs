//! What the commands that ask a running Longshore share: finding it, and finding in it what a name means.

use serde::de::DeserializeOwned;

use super::{Failure, Globals};
use crate::api::client::{Client, ClientError};
use crate::api::documents::{Document, TaskStatusDoc};
use crate::api::kinds::{Kind, nearest};
use crate::api::server::ManifestQuery;
use crate::clock::{Clock, SystemClock};
use crate::model::Timestamp;
use crate::model::arn::Named;

/// Now, by this machine's clock.
pub fn now() -> Timestamp {
    SystemClock.now()
}

/// The Longshore that is meant.
///
/// # Errors
/// None runs, or several do; exit code 2.
pub async fn find(globals: &Globals) -> Result<Client, Failure> {
    Client::find(globals).await.map_err(failure)
}

/// Who asks, as far as the environment or the machine's list of users says.
pub fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|name| !name.is_empty());
    let id = rustix::process::getuid().as_raw().to_string();
    let listed = || {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let mut rows = users
            .lines()
            .map(|row| row.split(':').collect::<Vec<&str>>());
        let own = rows.find(|row| row.get(2) == Some(&id.as_str()))?;
        own.first().map(|&name| name.to_owned())
    };
    named
        .or_else(listed)
        .unwrap_or_else(|| format!("user {id}"))
}

/// The exit code that a failed request stands for: what was asked for and refused is a finding, all else could not run.
pub fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status, .. } if status < 500 => Failure::findings(error),
        _ => Failure::could_not_run(error),
    }
}

/// What was not found may be declared in a file that was not taken: then the failure says so, too.
pub async fn or_not_taken<T>(client: &Client, found: Result<T, Failure>) -> Result<T, Failure> {
    let Err(Failure::Findings(message)) = found else {
        return found;
    };
    let report = client.status().await.ok();
    let why = report.and_then(|report| report.not_taken());
    Err(Failure::Findings(match why {
        Some(why) => format!("{message}\n{why}"),
        None => message,
    }))
}

/// A stream that is followed ends only with the Longshore that it comes from.
pub fn ended() -> Failure {
    Failure::could_not_run("the running Longshore has ended; containers keep running without it")
}

/// All documents of a kind, of the cluster that the options name or of all. With `all` stopped tasks and older revisions too.
///
/// # Errors
/// The request failed.
pub async fn fetch(
    client: &Client,
    kind: Kind,
    globals: &Globals,
    all: bool,
) -> Result<Vec<Document>, Failure> {
    let query = ManifestQuery {
        kind: kind.plural().to_owned(),
        cluster: globals.cluster.clone(),
        name: None,
        all,
    };
    client.manifests(&query).await.map_err(failure)
}

/// The documents with their status read.
///
/// # Errors
/// They are of a Longshore of another version.
pub fn typed<S: DeserializeOwned>(documents: Vec<Document>) -> Result<Vec<Document<S>>, Failure> {
    documents
        .into_iter()
        .map(Document::typed)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            Failure::could_not_run(format!(
                "the running Longshore is of another version than this command: {error}"
            ))
        })
}

/// The cluster that a document belongs to; a cluster is its own, a task definition has none.
pub fn cluster_of(document: &Document) -> &str {
    if document.kind == "Cluster" {
        return &document.metadata.name;
    }
    document.status["cluster"].as_str().unwrap_or_default()
}

/// A way in which a name may mean a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is its name.
    Name,
    /// `family:revision`
    Revision,
    /// A family, for its newest revision.
    Newest,
    /// The beginning of an id.
    Prefix,
    /// `ecs-svc/<n>`, or its number alone.
    DeploymentId,
    /// The service that it belongs to; several may.
    Service,
}

impl Way {
    fn means(self, document: &Document, name: &str) -> bool {
        let own = document.metadata.name.as_str();
        let text = |member: &str| document.status[member].as_str().unwrap_or_default();
        match self {
            Self::Name => own == name,
            Self::Revision => format!("{own}:{}", document.status["revision"]) == name,
            Self::Newest => own == name && document.status["newest"] == true,
            Self::Prefix => name.len() >= 2 && own.starts_with(name),
            Self::DeploymentId => {
                let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
                !name.is_empty() && last(text("id")) == last(name)
            }
            Self::Service => text("service") == name,
        }
    }

    /// The ways of a kind; the first that means anything is the one that was meant.
    const fn of(kind: Kind) -> &'static [Self] {
        match kind {
            Kind::Cluster | Kind::Service | Kind::ContainerInstance => &[Self::Name],
            Kind::TaskDefinition => &[Self::Revision, Self::Newest],
            Kind::Task => &[Self::Name, Self::Prefix, Self::Service],
            Kind::Deployment => &[Self::Name, Self::DeploymentId, Self::Service],
        }
    }
}

/// The documents of `kind` that `name` means: a name, an ARN, `family:revision`, the beginning of a task's id, or for tasks
/// and deployments the service whose they are.
///
/// # Errors
/// Nothing is called so, with the nearest name; or two things are, with both.
pub fn select(kind: Kind, documents: Vec<Document>, name: &str) -> Result<Vec<Document>, Failure> {
    let mut named = Named::parse(name);
    if kind == Kind::Service
        && named.kind.is_none()
        && let Some((cluster, service)) = named.name.split_once('/')
    {
        named.cluster = Some(cluster);
        named.name = service;
    }
    let in_cluster = |document: &Document| {
        named
            .cluster
            .is_none_or(|cluster| cluster == cluster_of(document))
    };
    for way in Way::of(kind) {
        let hits: Vec<Document> = documents
            .iter()
            .filter(|d| in_cluster(d) && way.means(d, named.name))
            .cloned()
            .collect();
        let [first, others @ ..] = hits.as_slice() else {
            continue;
        };
        let (kind, second) = match way {
            Way::Service => (
                Kind::Service,
                others.iter().find(|d| cluster_of(d) != cluster_of(first)),
            ),
            _ => (kind, others.first()),
        };
        return match second {
            Some(second) => Err(ambiguous(kind, name, first, second)),
            None => Ok(hits),
        };
    }
    Err(no_such(
        kind,
        name,
        documents.iter().map(|d| d.metadata.name.as_str()),
    ))
}

fn ambiguous(kind: Kind, name: &str, first: &Document, second: &Document) -> Failure {
    let (a, b) = (cluster_of(first), cluster_of(second));
    if a == b {
        return Failure::findings(format!(
            "{name} may be {kind} {} or {}",
            first.metadata.name,
            second.metadata.name,
            kind = kind.singular()
        ));
    }
    Failure::findings(format!(
        "{} {name} is in the clusters {a} and {b}; choose one with --cluster",
        kind.singular()
    ))
}

/// Nothing is called so; exit code 1, with the nearest name.
pub fn no_such<'a>(kind: Kind, name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let hint = nearest(name, known)
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    Failure::findings(format!("there is no {} {name}{hint}", kind.singular()))
}

/// What `logs` and `exec` take a name for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// A service: its cluster and name.
    Service(String, String),
    /// A task: its cluster and id.
    Task(String, String),
}

/// The service of that name, else the task whose id begins so. The `service/task` that `logs` prints in front of lines is
/// read too.
///
/// # Errors
/// Nothing is called so, or two things are.
pub async fn meant(client: &Client, globals: &Globals, name: &str) -> Result<Meant, Failure> {
    let (services, tasks) = tokio::try_join!(
        fetch(client, Kind::Service, globals, true),
        fetch(client, Kind::Task, globals, true)
    )?;
    or_not_taken(client, meant_among(services, tasks, name)).await
}

fn meant_among(
    services: Vec<Document>,
    tasks: Vec<Document>,
    name: &str,
) -> Result<Meant, Failure> {
    let is_arn = name.starts_with("arn:");
    if let Some((service, task)) = name.split_once('/').filter(|_| !is_arn) {
        let of_service = tasks
            .into_iter()
            .filter(|d| d.status["service"] == service)
            .collect();
        return task_among(of_service, task);
    }
    let known: Vec<String> = services.iter().map(|d| d.metadata.name.clone()).collect();
    let wanted = Named::parse(name);
    if known.iter().any(|known| known == wanted.name) && wanted.kind != Some("task") {
        let service = select(Kind::Service, services, name)?.swap_remove(0);
        let cluster = cluster_of(&service).to_owned();
        return Ok(Meant::Service(cluster, service.metadata.name));
    }
    if tasks
        .iter()
        .any(|d| d.metadata.name.starts_with(wanted.name))
    {
        return task_among(tasks, name);
    }
    let hint = nearest(name, known.iter().map(String::as_str))
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    Err(Failure::findings(format!(
        "there is no service or task {name}{hint}"
    )))
}

fn task_among(tasks: Vec<Document>, name: &str) -> Result<Meant, Failure> {
    let task = select(Kind::Task, tasks, name)?.swap_remove(0);
    Ok(Meant::Task(
        cluster_of(&task).to_owned(),
        task.metadata.name,
    ))
}

/// Of a service's tasks the one to run a command in: one that runs, a healthy one first, then the newest.
pub fn running_task(tasks: &[Document<TaskStatusDoc>]) -> Option<&Document<TaskStatusDoc>> {
    tasks
        .iter()
        .filter(|task| task.status.last_status == "RUNNING")
        .max_by_key(|task| {
            let s = &task.status;
            (s.desired_status == "RUNNING", s.healthy, s.created_at)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn document(kind: Kind, name: &str, status: serde_json::Value) -> Document {
        serde_json::from_value(json!({
            "apiVersion": "longshore/v1",
            "kind": kind.as_str(),
            "metadata": {"name": name},
            "status": status,
        }))
        .unwrap()
    }

    fn services() -> Vec<Document> {
        vec![
            document(Kind::Service, "web", json!({"cluster": "default"})),
            document(Kind::Service, "web", json!({"cluster": "prod"})),
            document(Kind::Service, "worker", json!({"cluster": "prod"})),
        ]
    }

    fn tasks() -> Vec<Document> {
        vec![
            document(
                Kind::Task,
                "ab12",
                json!({"cluster": "prod", "service": "worker"}),
            ),
            document(
                Kind::Task,
                "ab34",
                json!({"cluster": "prod", "service": "worker"}),
            ),
            document(
                Kind::Task,
                "cd56",
                json!({"cluster": "default", "service": "web"}),
            ),
        ]
    }

    fn names(found: Result<Vec<Document>, Failure>) -> Vec<String> {
        found
            .unwrap()
            .into_iter()
            .map(|d| d.metadata.name)
            .collect()
    }

    fn finding<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
        match result.unwrap_err() {
            Failure::Findings(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_of_one_name_are_an_error_that_names_both_clusters() {
        let message = finding(select(Kind::Service, services(), "web"));
        assert!(message.contains("default and prod") && message.contains("--cluster"));
        let arn = "arn:aws:ecs:local:000000000000:service/prod/web";
        let hit = select(Kind::Service, services(), arn).unwrap();
        assert_eq!(cluster_of(&hit[0]), "prod");
    }

    #[test]
    fn an_unknown_name_suggests_the_nearest() {
        let message = finding(select(Kind::Service, services(), "wroker"));
        assert_eq!(message, "there is no service wroker; did you mean worker?");
    }

    #[test]
    fn a_task_is_found_by_the_beginning_of_its_id_or_by_its_service() {
        assert_eq!(names(select(Kind::Task, tasks(), "ab1")), ["ab12"]);
        assert_eq!(
            names(select(Kind::Task, tasks(), "worker")),
            ["ab12", "ab34"]
        );
        assert!(finding(select(Kind::Task, tasks(), "ab")).contains("ab12 or ab34"));
    }

    #[test]
    fn a_family_alone_is_its_newest_revision() {
        let of = |n: u32, newest: bool| {
            document(
                Kind::TaskDefinition,
                "web",
                json!({"revision": n, "newest": newest}),
            )
        };
        let all = || vec![of(1, false), of(2, true)];
        let revision = |found: Vec<Document>| found[0].status["revision"].as_u64();
        assert_eq!(
            revision(select(Kind::TaskDefinition, all(), "web").unwrap()),
            Some(2)
        );
        assert_eq!(
            revision(select(Kind::TaskDefinition, all(), "web:1").unwrap()),
            Some(1)
        );
        assert!(select(Kind::TaskDefinition, all(), "web:9").is_err());
    }

    #[test]
    fn a_name_for_logs_is_a_service_else_a_task_or_both_as_logs_prints_them() {
        let of = |name: &str| meant_among(services(), tasks(), name);
        assert_eq!(
            of("worker").unwrap(),
            Meant::Service("prod".into(), "worker".into())
        );
        assert_eq!(
            of("cd").unwrap(),
            Meant::Task("default".into(), "cd56".into())
        );
        assert_eq!(
            of("worker/ab3").unwrap(),
            Meant::Task("prod".into(), "ab34".into())
        );
        assert!(finding(of("wokrer")).ends_with("did you mean worker?"));
        assert!(finding(of("web")).contains("default and prod"));
    }
}
