//! How people name a service: `web`, `prod/web`, or its ARN, with `--cluster` beside it; and the folder that is meant.

use std::path::{Path, PathBuf};

use super::{Failure, Globals};
use crate::api::ServiceSummary;
use crate::api::client::Client;
use crate::api::kinds::nearest;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::arn::Named;
use crate::store::dir::known_as;

/// What folder is taken where none is named.
const FOLDER: &str = "manifests";

/// A service as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its cluster, where one was named.
    pub cluster: Option<String>,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// Reads a name.
    ///
    /// # Errors
    /// It names another cluster than `--cluster` does; exit code 2.
    pub fn parse(text: &str, globals: &Globals) -> Result<Self, Failure> {
        let named = Named::parse(text);
        let (within, name) = match named.name.split_once('/') {
            Some((cluster, name)) if named.kind.is_none() => (Some(cluster), name),
            _ => (named.cluster, named.name),
        };
        let asked = globals.cluster.as_deref();
        if let (Some(within), Some(asked)) = (within, asked)
            && within != asked
        {
            return Err(Failure::could_not_run(format!(
                "{text} is in cluster {within}, and --cluster says {asked}"
            )));
        }
        Ok(Self {
            cluster: within.or(asked).map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The one of `all`, as cluster and name, that is meant.
    ///
    /// # Errors
    /// None is, with the nearest name and what there is; or several are, with each. Exit code 1.
    pub fn among<T>(&self, all: Vec<T>, key: impl Fn(&T) -> (&str, &str)) -> Result<T, Failure> {
        let is_meant = |item: &T| {
            let (cluster, name) = key(item);
            name == self.name && self.cluster.as_deref().is_none_or(|c| c == cluster)
        };
        let mut meant: Vec<usize> = Vec::new();
        meant.extend((0..all.len()).filter(|at| is_meant(&all[*at])));
        match meant.as_slice() {
            [one] => {
                let one = *one;
                all.into_iter().nth(one).ok_or_else(|| self.unknown(&[]))
            }
            [] => {
                let known: Vec<(&str, &str)> = all.iter().map(&key).collect();
                Err(self.unknown(&known))
            }
            several => {
                let mut names: Vec<String> = several
                    .iter()
                    .map(|at| {
                        let (cluster, name) = key(&all[*at]);
                        format!("{cluster}/{name}")
                    })
                    .collect();
                names.sort();
                Err(Failure::findings(format!(
                    "there is more than one service {}: {}. Name one of them so, or its cluster with --cluster",
                    self.name,
                    names.join(", ")
                )))
            }
        }
    }

    fn unknown(&self, known: &[(&str, &str)]) -> Failure {
        let elsewhere: Vec<&str> = known
            .iter()
            .filter(|(_, name)| *name == self.name)
            .map(|(cluster, _)| *cluster)
            .collect();
        let here = self
            .cluster
            .as_ref()
            .map(|cluster| format!(" in cluster {cluster}"))
            .unwrap_or_default();
        let hint = if elsewhere.is_empty() {
            candidates(&self.name, known.iter().map(|(_, name)| *name))
        } else {
            format!("; there is one in {}", elsewhere.join(", "))
        };
        Failure::findings(format!("there is no service {}{here}{hint}", self.name))
    }
}

/// `; did you mean web?`, else what there is, where that is not too much.
pub fn candidates<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    known.dedup();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("; did you mean {near}?"),
        None if known.is_empty() => ", and no other either".to_owned(),
        None if known.len() > 20 => String::new(),
        None => format!("; there is {}", known.join(", ")),
    }
}

/// The folder that is meant: the one that was named, else `manifests` here, else that of the running Longshore.
pub async fn folder(named: Option<&Path>, globals: &Globals) -> PathBuf {
    let here = PathBuf::from(FOLDER);
    if let Some(dir) = named {
        return dir.to_owned();
    }
    if !here.is_dir()
        && let Ok(client) = Client::find(globals).await
        && let Ok(status) = client.status().await
    {
        return PathBuf::from(status.identity.folder);
    }
    here
}

/// What was not found may be declared where something is wrong: then the failure says so, too.
pub fn or_errors<T>(found: Result<T, Failure>, diagnostics: &[Diagnostic]) -> Result<T, Failure> {
    let first = diagnostics.iter().find(|d| d.severity == Severity::Error);
    match (found, first) {
        (Err(Failure::Findings(message)), Some(first)) => Err(Failure::findings(format!(
            "{message}\nnot everything could be taken, as {first}"
        ))),
        (found, _) => found,
    }
}

/// How a service is at present, where a Longshore that runs follows the folder: whoever edits it is told what keeps the edit from
/// having its effect.
pub async fn at_present(
    folder: &Path,
    cluster: &str,
    name: &str,
    globals: &Globals,
) -> Option<ServiceSummary> {
    let client = Client::find_for(globals, Some(folder)).await.ok()?;
    let report = client.status().await.ok()?;
    if Path::new(&report.identity.folder) != known_as(folder) {
        return None;
    }
    let mut services = report.services.into_iter();
    services.find(|s| s.cluster.as_str() == cluster && s.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
        match result.unwrap_err() {
            Failure::Findings(message) | Failure::CouldNotRun(message) => message,
            other => panic!("{other:?}"),
        }
    }

    fn of(text: &str, cluster: Option<&str>) -> Result<Subject, Failure> {
        let globals = Globals {
            cluster: cluster.map(str::to_owned),
            ..Globals::default()
        };
        Subject::parse(text, &globals)
    }

    #[test]
    fn a_service_is_named_with_its_cluster_before_it_or_by_its_arn_or_beside_an_option() {
        let named = |cluster: &str| Subject {
            cluster: Some(cluster.to_owned()),
            name: "web".to_owned(),
        };
        let arn = "arn:aws:ecs:local:000000000000:service/prod/web";
        assert_eq!(of("prod/web", None).unwrap(), named("prod"));
        assert_eq!(of(arn, None).unwrap(), named("prod"));
        assert_eq!(of("web", Some("prod")).unwrap(), named("prod"));
        assert_eq!(of("web", None).unwrap().cluster, None);
        assert!(message(of("prod/web", Some("test"))).contains("--cluster says test"));
    }

    #[test]
    fn what_is_unknown_or_ambiguous_lists_what_there_is() {
        let all = || vec![("a", "web"), ("b", "web"), ("b", "worker")];
        let find = |text: &str| of(text, None).unwrap().among(all(), |pair| *pair);
        assert_eq!(find("worker").unwrap(), ("b", "worker"));
        assert_eq!(find("b/web").unwrap(), ("b", "web"));
        assert!(message(find("web")).contains("a/web, b/web"));
        assert!(message(find("wokrer")).ends_with("did you mean worker?"));
        assert!(message(find("a/worker")).ends_with("there is one in b"));
        assert!(message(find("database")).ends_with("there is web, worker"));
    }
}
