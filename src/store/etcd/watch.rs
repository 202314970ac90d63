//! A watch through etcd's JSON gateway: one JSON document a line.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;

use super::failure::Failure;
use super::gateway::Gateway;
use super::item;
use super::wire::{WatchAnswer, WatchLine, encode, range_end};
use crate::store::{Change, Commit, Revision, StoreError, Watch, WatchEvent};

/// Begins a watch of everything of this Longshore in etcd, so that commits which touch nothing under `prefix` tell how far it
/// is, and picks out what is under `prefix` of the tree.
pub(super) async fn start(
    gateway: &Gateway,
    everything: &str,
    tree: &str,
    prefix: &str,
    after: Revision,
) -> Result<Watch, Failure> {
    // From `after` and not the revision behind it: before 3.4.36 and 3.5.18 an etcd that is compacted at the very revision a
    // watch begins with leaves that revision's removals out without a word. Begun here, it says that it is compacted; what
    // comes of `after` itself is passed over.
    let body = json!({"create_request": {
        "key": encode(everything.as_bytes()),
        "range_end": range_end(everything.as_bytes()),
        "start_revision": after.max(1).to_string(),
        "progress_notify": true,
    }});
    let mut lines = Lines {
        body: gateway.stream("watch", &body).await?,
        buffer: BytesMut::new(),
    };
    let created = lines.next().await?;
    let follower = Follower {
        lines,
        tree: tree.to_owned(),
        prefix: prefix.to_owned(),
        after,
        ready: VecDeque::new(),
        ended: false,
    };
    // etcd waits for a revision that is not yet; but then what we know is not of this etcd.
    let of_another = created.is_some_and(|created| created.header.revision < after);
    if of_another {
        let told = futures_util::stream::iter([Ok(WatchEvent::Compacted)]);
        return Ok(Box::pin(told));
    }
    Ok(Box::pin(futures_util::stream::unfold(
        follower,
        |mut follower| async {
            let next = follower.next().await?;
            Some((next, follower))
        },
    )))
}

/// The body, line by line.
struct Lines {
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    /// `None` at the end of the body.
    async fn next(&mut self) -> Result<Option<WatchAnswer>, Failure> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.buffer[looked..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(looked + at);
                self.buffer.advance(1);
                looked = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return read(&line).map(Some);
            }
            looked = self.buffer.len();
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(error)) => return Err(Failure::refused(error.to_string())),
            }
        }
    }
}

fn read(line: &[u8]) -> Result<WatchAnswer, Failure> {
    let line: WatchLine = serde_json::from_slice(line)
        .map_err(|error| Failure::refused(format!("etcd's answer cannot be read: {error}")))?;
    match line {
        WatchLine {
            result: Some(answer),
            ..
        } => Ok(answer),
        WatchLine { error, .. } => {
            let error = error.unwrap_or_default();
            Err(Failure::refused(format!("etcd ended the watch: {error}")))
        }
    }
}

struct Follower {
    lines: Lines,
    tree: String,
    prefix: String,
    /// Everything up to here was delivered.
    after: Revision,
    ready: VecDeque<WatchEvent>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<WatchEvent, StoreError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.ended {
                return None;
            }
            let took = match self.lines.next().await {
                Ok(Some(answer)) => self.take(answer),
                Ok(None) => Err(Failure::refused("the connection was closed")),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = took {
                self.ended = true;
                return Some(Err(failure.into_error("watching etcd")));
            }
        }
    }

    fn take(&mut self, answer: WatchAnswer) -> Result<(), Failure> {
        if answer.canceled {
            if answer.compact_revision == 0 {
                let reason = answer.cancel_reason;
                return Err(Failure::refused(format!("etcd ended the watch: {reason}")));
            }
            self.ended = true;
            self.ready.push_back(WatchEvent::Compacted);
            return Ok(());
        }
        // Without events it is a progress notice; with events only they say how far it is.
        if answer.events.is_empty() {
            self.deliver(answer.header.revision, BTreeMap::new());
            return Ok(());
        }
        // etcd sends whole revisions, but maybe several at once.
        let mut commits: BTreeMap<Revision, BTreeMap<String, Change>> = BTreeMap::new();
        for event in answer.events {
            let revision = event.kv.mod_revision;
            let changes = commits.entry(revision).or_default();
            let removed = event.kind == "DELETE";
            if let Some(item) = item(&self.tree, event.kv)?
                && item.key.starts_with(&self.prefix)
            {
                let key = item.key.clone();
                let change = if removed {
                    Change::Delete(item.key)
                } else {
                    Change::Put(item)
                };
                changes.insert(key, change);
            }
        }
        for (revision, changes) in commits {
            self.deliver(revision, changes);
        }
        Ok(())
    }

    fn deliver(&mut self, revision: Revision, changes: BTreeMap<String, Change>) {
        if revision > self.after {
            self.after = revision;
            self.ready.push_back(WatchEvent::Commit(Commit {
                revision,
                changes: changes.into_values().collect(),
            }));
        }
    }
}
