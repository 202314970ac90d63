//! One of several processes leads: the one whose session `<prefix>leader` belongs to.
//!
//! A session is an etcd lease that its process keeps alive. The key is made only where it is absent and goes with the lease, so
//! whatever ends the process gives the lead to the next within the session's time; an orderly end gives it up at once. The
//! revision at which the key was made is the leader's *term*: it rises with every leader, and is what fences their writes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::Failure;
use super::wire::{KeptAlive, Kv, LeaseAnswer, RangeAnswer, decode, encode};
use super::{Etcd, absent, created, get, watch};
use crate::model::Timestamp;
use crate::store::{Revision, StoreError};

/// Who leads, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Tells this attempt to lead from every other.
    pub id: String,
    /// The process, for people: `process 7 on host`.
    pub name: String,
    /// The folder of manifests that it follows, for people.
    pub folder: String,
    /// When it asked to lead, by its own clock.
    pub since: Timestamp,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Who.
    pub candidate: Candidate,
    /// Its term.
    pub term: Revision,
}

/// The right to lead, for as long as it is kept alive.
#[derive(Debug)]
pub struct Session {
    store: Arc<Etcd>,
    lease: u64,
    term: Revision,
}

/// Whether a session still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was kept alive.
    Alive,
    /// etcd has given it up: somebody else may lead.
    Gone,
}

impl Etcd {
    /// Who leads at present.
    pub async fn leader(&self) -> Result<Option<Leader>, StoreError> {
        let key = self.leader_key();
        let found = self.leader_kv(&key).await;
        let found = found.map_err(|failure| failure.into_error("asking etcd who leads"))?;
        found.as_ref().map(|kv| read(&key, kv)).transpose()
    }

    /// Leads if nobody does, with a session that ends `ttl` (whole seconds) after it was last kept alive. `None`: somebody does.
    pub async fn lead(
        &self,
        candidate: &Candidate,
        ttl: Duration,
    ) -> Result<Option<Session>, StoreError> {
        const OPERATION: &str = "asking etcd for the lead";
        let body = json!({"TTL": ttl.as_secs().max(1).to_string()});
        let granted: Result<LeaseAnswer, Failure> = self.gateway.call("lease/grant", &body).await;
        let lease = granted.map_err(|failure| failure.into_error(OPERATION))?.id;
        let key = self.leader_key();
        let value = serde_json::to_vec(candidate).map_err(|error| StoreError::Corrupt {
            key: key.clone(),
            message: error.to_string(),
        })?;
        let body = json!({
            "compare": [absent(&key)],
            "success": [{"request_put": {
                "key": encode(key.as_bytes()), "value": encode(&value), "lease": lease.to_string(),
            }}],
            "failure": [get(&key)],
        });
        let answer = match self.txn(&body, OPERATION).await {
            Ok(answer) => answer,
            // An answer that was lost may have been a yes.
            Err(error) => match self.leader_kv(&key).await {
                Ok(Some(kv)) if kv.lease == lease => {
                    return Ok(Some(self.session(lease, kv.create_revision)));
                }
                _ => {
                    self.revoke(lease).await;
                    return Err(error);
                }
            },
        };
        if answer.succeeded {
            return Ok(Some(self.session(lease, answer.header.revision)));
        }
        self.revoke(lease).await;
        Ok(None)
    }

    /// Returns once the leader of that term leads no more, or etcd cannot be watched.
    pub async fn until_leaderless(&self, term: Revision) -> Result<(), StoreError> {
        let key = self.leader_key();
        let from = self.leader_kv(&key).await;
        let failed = |failure: Failure| failure.into_error("watching who leads");
        let revision = match from.map_err(failed)? {
            Some(kv) if kv.create_revision == term => kv.mod_revision,
            _ => return Ok(()),
        };
        let mut changes = watch::start(&self.gateway, &key, "", &key, revision)
            .await
            .map_err(failed)?;
        while let Some(event) = changes.next().await {
            match event? {
                // A notice of progress says nothing about the key.
                crate::store::WatchEvent::Commit(commit) if commit.changes.is_empty() => {}
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    fn session(&self, lease: u64, term: Revision) -> Session {
        let store = Self {
            gateway: Arc::clone(&self.gateway),
            prefix: self.prefix.clone(),
            place: self.place.clone(),
            term: Some(term),
        };
        Session {
            store: Arc::new(store),
            lease,
            term,
        }
    }

    async fn leader_kv(&self, key: &str) -> Result<Option<Kv>, Failure> {
        let body = json!({"key": encode(key.as_bytes())});
        let mut found: RangeAnswer = self.gateway.call("kv/range", &body).await?;
        Ok(found.kvs.pop())
    }

    /// What cannot be revoked ends by itself.
    async fn revoke(&self, lease: u64) {
        let body = json!({"ID": lease.to_string()});
        let revoked: Result<Value, Failure> = self.gateway.call("lease/revoke", &body).await;
        if let Err(failure) = revoked {
            tracing::debug!(?failure, "a lease of etcd could not be given back");
        }
    }
}

impl Session {
    /// The store as the leader has it: what it writes is refused once it leads no more.
    pub fn store(&self) -> &Arc<Etcd> {
        &self.store
    }

    /// The leader's term.
    pub fn term(&self) -> Revision {
        self.term
    }

    /// Keeps it alive, asking for no longer than `limit`; an error says nothing about whether it still stands.
    pub async fn keep_alive(&self, limit: Duration) -> Result<Standing, StoreError> {
        const OPERATION: &str = "keeping the lead in etcd";
        let gateway = &self.store.gateway;
        let body = json!({"ID": self.lease.to_string()});
        let kept: Result<KeptAlive, Failure> =
            gateway.call_within(limit, "lease/keepalive", &body).await;
        match kept {
            Ok(KeptAlive {
                result: Some(result),
                ..
            }) if result.ttl > 0 => Ok(Standing::Alive),
            Ok(KeptAlive {
                result: Some(_), ..
            }) => Ok(Standing::Gone),
            Ok(KeptAlive { error, .. }) => {
                let error = error.unwrap_or_default();
                Err(Failure::refused(format!("etcd answered {error}")).into_error(OPERATION))
            }
            Err(failure) if failure.is_not_found() => Ok(Standing::Gone),
            Err(failure) => Err(failure.into_error(OPERATION)),
        }
    }

    /// Whether the leader's key is still this session's.
    pub async fn leads(&self) -> Result<bool, StoreError> {
        let leader = self.store.leader().await?;
        Ok(leader.is_some_and(|leader| leader.term == self.term))
    }

    /// Gives the lead up at once.
    pub async fn resign(&self) {
        let key = self.store.leader_key();
        let body = json!({
            "compare": [created(&key, self.term)],
            "success": [super::delete(&key)],
        });
        if let Err(error) = self.store.txn(&body, "giving up the lead").await {
            tracing::debug!(%error, "the lead could not be given up; it ends with its session");
        }
        self.store.revoke(self.lease).await;
    }
}

fn read(key: &str, kv: &Kv) -> Result<Leader, StoreError> {
    let corrupt = |message: String| StoreError::Corrupt {
        key: key.to_owned(),
        message,
    };
    let bytes = decode(&kv.value).map_err(|failure| failure.into_error("asking etcd who leads"))?;
    let candidate = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    Ok(Leader {
        candidate,
        term: kv.create_revision,
    })
}
