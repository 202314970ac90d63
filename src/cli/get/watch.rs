//! `get --watch`: what was asked for, as it changes.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr, stdout};

use super::super::client_common::{cluster_of, ended, failure, fetch, now};
use super::super::live::Live;
use super::super::output::{closed, write_stdout};
use super::super::{CommandResult, Failure, Globals};
use super::{GetArgs, Output, table};
use crate::api::client::Client;
use crate::api::documents::Document;

/// Shows what there is, and goes on until the running Longshore ends or nobody reads any more.
pub(super) async fn run(args: &GetArgs, client: &Client, globals: &Globals) -> CommandResult {
    let wide = match args.output {
        Output::Table => false,
        Output::Wide => true,
        Output::Json | Output::Yaml => {
            return Err(Failure::could_not_run(
                "--watch prints tables; leave -o out, or write -o wide",
            ));
        }
    };
    let drawn = stdout().is_terminal() && stderr().is_terminal();
    let mut changes = client.changes().await.map_err(failure)?;
    let mut live = Live::default();
    let mut shown: Option<BTreeMap<String, Document>> = None;
    while let Ok(Some(_)) = changes.next().await {
        let documents = args.fetch(client, globals).await?;
        let new = by_key(&documents);
        if shown.as_ref() == Some(&new) {
            continue;
        }
        if drawn {
            let table = table(args.kind, documents, wide, now())?;
            let text = table.drawn(globals.colour_on_stdout());
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            live.draw(&lines);
        } else {
            let mut changed = fresh(shown.as_ref(), documents);
            if let Some(old) = &shown {
                changed.extend(gone(args, client, globals, old, &new).await?);
            }
            let table = table(args.kind, changed, wide, now())?;
            let text = match shown {
                None => table.plain(),
                Some(_) => table.plain_rows(),
            };
            write_stdout(text.as_bytes());
        }
        if closed() {
            return Ok(());
        }
        shown = Some(new);
    }
    Err(ended())
}

/// What tells two things of a kind apart.
fn key(document: &Document) -> String {
    format!(
        "{}/{}/{}",
        cluster_of(document),
        document.metadata.name,
        document.status["revision"]
    )
}

fn by_key(documents: &[Document]) -> BTreeMap<String, Document> {
    documents.iter().map(|d| (key(d), d.clone())).collect()
}

/// Those that are not as they were shown last, in their order.
fn fresh(shown: Option<&BTreeMap<String, Document>>, documents: Vec<Document>) -> Vec<Document> {
    let known = |document: &Document| shown.and_then(|shown| shown.get(&key(document)));
    documents
        .into_iter()
        .filter(|document| known(document) != Some(document))
        .collect()
}

/// What was shown and is no longer listed, as it is now: a task that stopped is shown once as stopped.
async fn gone(
    args: &GetArgs,
    client: &Client,
    globals: &Globals,
    old: &BTreeMap<String, Document>,
    new: &BTreeMap<String, Document>,
) -> Result<Vec<Document>, Failure> {
    if old.keys().all(|key| new.contains_key(key)) {
        return Ok(Vec::new());
    }
    let all = fetch(client, args.kind, globals, true).await?;
    let left = |document: &Document| {
        let key = key(document);
        old.contains_key(&key) && !new.contains_key(&key)
    };
    Ok(all.into_iter().filter(left).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::json;

    fn task(id: &str, status: &str) -> Document {
        serde_json::from_value(json!({
            "apiVersion": "longshore/v1", "kind": "Task", "metadata": {"name": id},
            "status": {"cluster": "default", "id": id, "lastStatus": status},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_is_not_as_it_was_shown_is_shown_again() {
        let shown = by_key(&[task("a", "RUNNING"), task("b", "PENDING")]);
        let now = vec![
            task("a", "RUNNING"),
            task("b", "RUNNING"),
            task("c", "PENDING"),
        ];
        let names = |all: Vec<Document>| -> Vec<String> {
            all.into_iter().map(|d| d.metadata.name).collect()
        };
        assert_eq!(names(fresh(Some(&shown), now.clone())), ["b", "c"]);
        assert_eq!(names(fresh(None, now)), ["a", "b", "c"]);
    }
}
