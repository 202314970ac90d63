//! The store in etcd: for controllers and agents in several processes or on several machines.
//!
//! Everything is under one prefix, so that several Longshores, or others, may share an etcd:
//! `<prefix>format`, `<prefix>epochs/<name>`, `<prefix>tree/<key>`, and `<prefix>tick`, which a commit that changes nothing
//! writes so that it, too, has a revision that watches reach. A revision is etcd's own; a guard compares a key's
//! modification revision; every commit compares its epoch's key in the same transaction, so a superseded holder is refused
//! by etcd itself.
//!
//! Of several processes that may write, one leads ([`lead`](mod@lead)): `<prefix>leader` names it, and goes with its session. A
//! store that is handed out to a leader compares that key, too, in every commit and acquisition: one that was thought dead is refused
//! from the moment at which etcd gave its session up, before anybody else leads.
//!
//! A commit whose answer was lost is not sent again: it is [`StoreError::Unavailable`] with `maybe_applied`, and whoever made it
//! looks again. Had it been applied, the guards that it was decided on no longer hold.
//!
//! It speaks etcd's JSON gateway (on by default since etcd 3.4) over HTTP/1.1: no RPC stack, and no protocol compiler to build.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Epoch, Guard, Item, Limits, Listing, Op, Revision, Store, StoreError, Watch, typed};

mod address;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gateway;
pub mod lead;
mod members;
mod tls;
mod watch;
mod wire;

pub use address::{Options, TlsFiles, User};
pub use lead::{Candidate, Leader, Session};
pub use members::{Member, MemberStatus, members};

use failure::Failure;
use gateway::Gateway;
use wire::{Kv, RangeAnswer, TxnAnswer, decode, encode, range_end};

/// The newest layout under the prefix that is known here.
pub const FORMAT: u32 = 1;

/// What a leader's fence is called where a commit is refused by it.
const LEADER: &str = "leader";

/// Keys a page of a listing.
const PAGE: usize = 256;

/// The oldest etcd whose gateway is at `/v3`.
const OLDEST: (u32, u32) = (3, 4);

/// A store in etcd.
#[derive(Debug)]
pub struct Etcd {
    gateway: Arc<Gateway>,
    prefix: String,
    place: String,
    /// The revision at which we began to lead; `None`: whoever holds an epoch may write.
    term: Option<Revision>,
}

impl Etcd {
    /// Connects, and refuses an etcd that is too old and a layout that is newer than this.
    pub async fn connect(options: Options) -> Result<Arc<Self>, StoreError> {
        let store = Self::reach(options).await?;
        store.check_format().await?;
        Ok(Arc::new(store))
    }

    /// Connects as [`connect`](Self::connect) does, to look only: an etcd that holds nothing of ours goes on holding nothing.
    pub async fn look(options: Options) -> Result<Arc<Self>, StoreError> {
        let store = Self::reach(options).await?;
        let key = store.format_key();
        let body = json!({"key": encode(key.as_bytes())});
        let found: Result<RangeAnswer, Failure> = store.gateway.call("kv/range", &body).await;
        let found = found.map_err(|failure| failure.into_error("connecting to etcd"))?;
        store.knows_format(&key, found.kvs.first())?;
        Ok(Arc::new(store))
    }

    async fn reach(options: Options) -> Result<Self, StoreError> {
        const OPERATION: &str = "connecting to etcd";
        let failed = |failure: Failure| failure.into_error(OPERATION);
        let gateway = Gateway::new(&options).map_err(|why| failed(Failure::refused(why)))?;
        let version = gateway.version().await.map_err(failed)?;
        if is_too_old(&version) {
            return Err(failed(Failure::refused(format!(
                "etcd {version} is too old: Longshore needs {}.{} or newer",
                OLDEST.0, OLDEST.1
            ))));
        }
        Ok(Self {
            gateway: Arc::new(gateway),
            place: options.to_string(),
            prefix: options.prefix,
            term: None,
        })
    }

    /// Whether we may write where the store is; nothing is written.
    ///
    /// # Errors
    /// We may not, or etcd takes no writes.
    pub async fn may_write(&self) -> Result<(), StoreError> {
        let key = self.tick_key();
        // etcd asks about all that a transaction might do, before it looks whether it is to be done.
        let body = json!({"compare": [unchanged(&key, 0)], "success": [put(&key, b"")]});
        self.txn(&body, "asking etcd for the right to write")
            .await
            .map(|_| ())
    }

    /// Where it is, for people: `etcd://host:2379/longshore`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A value that is kept beside the tree, so that no dump and no backup has it: the one that is there, else `fresh`.
    pub async fn keep_secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let key = format!("{}secrets/{name}", self.prefix);
        let body = json!({
            "compare": [absent(&key)],
            "success": [put(&key, fresh.as_bytes())],
            "failure": [get(&key)],
        });
        let answer = self.txn(&body, "keeping a secret in etcd").await?;
        let Some(kv) = answer.kv(0) else {
            return Ok(fresh.to_owned());
        };
        let text = decode(&kv.value)
            .ok()
            .and_then(|b| String::from_utf8(b).ok());
        text.ok_or_else(|| StoreError::Corrupt {
            key,
            message: "it is no text".to_owned(),
        })
    }

    /// Makes etcd forget its history up to `revision`: watches from before it are told `Compacted`. etcd usually does this
    /// by itself (`--auto-compaction-retention`).
    pub async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        let body = json!({"revision": revision.to_string(), "physical": true});
        let answer: Result<Value, Failure> = self.gateway.call("kv/compaction", &body).await;
        answer
            .map(|_| ())
            .map_err(|failure| failure.into_error("compacting etcd"))
    }

    fn format_key(&self) -> String {
        format!("{}format", self.prefix)
    }

    fn epoch_key(&self, name: &str) -> String {
        format!("{}epochs/{name}", self.prefix)
    }

    fn tick_key(&self) -> String {
        format!("{}tick", self.prefix)
    }

    fn tree(&self) -> String {
        format!("{}tree/", self.prefix)
    }

    fn tree_key(&self, key: &str) -> String {
        format!("{}tree/{key}", self.prefix)
    }

    async fn check_format(&self) -> Result<(), StoreError> {
        let key = self.format_key();
        let body = json!({
            "compare": [absent(&key)],
            "success": [put(&key, FORMAT.to_string().as_bytes())],
            "failure": [get(&key)],
        });
        let answer = self.txn(&body, "connecting to etcd").await?;
        self.knows_format(&key, answer.kv(0))
    }

    fn knows_format(&self, key: &str, found: Option<&Kv>) -> Result<(), StoreError> {
        let Some(kv) = found else {
            return Ok(());
        };
        let found = number(key, kv)?;
        if found > u64::from(FORMAT) {
            return Err(StoreError::NewerFormat {
                path: format!("{} in etcd", self.prefix),
                found: u32::try_from(found).unwrap_or(u32::MAX),
                known: FORMAT,
            });
        }
        Ok(())
    }

    async fn txn(&self, body: &Value, operation: &'static str) -> Result<TxnAnswer, StoreError> {
        let answer = self.gateway.call("kv/txn", body).await;
        answer.map_err(|failure| failure.maybe_applied().into_error(operation))
    }

    fn leader_key(&self) -> String {
        format!("{}leader", self.prefix)
    }

    /// Why a leader's transaction was not applied if that is why, from what etcd read of the leader's key at that place.
    fn deposed(&self, answer: &TxnAnswer, place: usize) -> Option<StoreError> {
        let ours = self.term?;
        let held = answer.kv(place).map_or(0, |kv| kv.create_revision);
        (held != ours).then(|| StoreError::Superseded {
            name: LEADER.to_owned(),
            held,
            ours,
        })
    }

    /// Why a transaction was not applied, from what etcd read instead: the epoch's key, then each guard's, in order, then the
    /// leader's.
    fn refusal(&self, epoch: &Epoch, guards: &[Guard], answer: &TxnAnswer) -> StoreError {
        if let Some(deposed) = self.deposed(answer, guards.len() + 1) {
            return deposed;
        }
        let name = self.epoch_key(&epoch.name);
        let held = match answer.kv(0).map(|kv| number(&name, kv)) {
            None => 0,
            Some(Ok(held)) => held,
            Some(Err(error)) => return error,
        };
        if held != epoch.number || held == 0 {
            return StoreError::Superseded {
                name: epoch.name.clone(),
                held,
                ours: epoch.number,
            };
        }
        let failed = guards.iter().enumerate().find(|(n, guard)| {
            let found = answer.kv(n + 1).map(|kv| kv.mod_revision);
            found != guard.revision()
        });
        match failed {
            Some((_, guard)) => StoreError::Conflict {
                key: guard.key().to_owned(),
            },
            None => StoreError::Corrupt {
                key: name,
                message: "etcd refused a transaction whose guards hold".to_owned(),
            },
        }
    }

    /// One page of the tree under `prefix` after `from`, as of `revision` (`None`: now).
    async fn page(
        &self,
        from: &str,
        end: &str,
        revision: Option<Revision>,
    ) -> Result<RangeAnswer, Failure> {
        let mut body = json!({"key": from, "range_end": end, "limit": PAGE.to_string()});
        if let Some(revision) = revision {
            body["revision"] = json!(revision.to_string());
        }
        self.gateway.call("kv/range", &body).await
    }

    /// `None`: etcd forgot the revision while it was being read; begin again.
    async fn try_list(&self, prefix: &str) -> Result<Option<Listing>, Failure> {
        let tree = self.tree();
        let start = self.tree_key(prefix);
        let end = range_end(start.as_bytes());
        let mut from = encode(start.as_bytes());
        let mut items = Vec::new();
        let mut revision = None;
        loop {
            let page = match self.page(&from, &end, revision).await {
                Ok(page) => page,
                Err(failure) if failure.is_compacted() => return Ok(None),
                Err(failure) => return Err(failure),
            };
            let as_of = *revision.get_or_insert(page.header.revision);
            let last = page.kvs.last().map(|kv| kv.key.clone());
            for kv in page.kvs {
                items.extend(item(&tree, kv)?);
            }
            match last {
                Some(last) if page.more => {
                    // The next key after `last` is `last` and a zero byte.
                    let mut next = decode(&last)?;
                    next.push(0);
                    from = encode(&next);
                }
                _ => {
                    return Ok(Some(Listing {
                        items,
                        revision: as_of,
                    }));
                }
            }
        }
    }
}

#[async_trait]
impl Store for Etcd {
    async fn acquire(&self, name: &str) -> Result<Epoch, StoreError> {
        const OPERATION: &str = "acquiring in etcd";
        let key = self.epoch_key(name);
        loop {
            let body = json!({"key": encode(key.as_bytes())});
            let found: RangeAnswer = self
                .gateway
                .call("kv/range", &body)
                .await
                .map_err(|failure: Failure| failure.into_error(OPERATION))?;
            let (held, guard) = match found.kvs.first() {
                None => (0, absent(&key)),
                Some(kv) => (number(&key, kv)?, unchanged(&key, kv.mod_revision)),
            };
            let number = held + 1;
            let leader = self.leader_key();
            let mut compare = vec![guard];
            compare.extend(self.term.map(|term| created(&leader, term)));
            let body = json!({
                "compare": compare,
                "success": [put(&key, number.to_string().as_bytes())],
                "failure": [get(&leader)],
            });
            let answer = self.txn(&body, OPERATION).await?;
            if answer.succeeded {
                return Ok(Epoch {
                    name: name.to_owned(),
                    number,
                    limits: Limits::SHARED,
                });
            }
            if let Some(deposed) = self.deposed(&answer, 0) {
                return Err(deposed);
            }
        }
    }

    async fn commit(
        &self,
        epoch: &Epoch,
        guards: &[Guard],
        ops: Vec<Op>,
    ) -> Result<Revision, StoreError> {
        typed::check_size(Limits::SHARED, guards, &ops)?;
        let epoch_key = self.epoch_key(&epoch.name);
        let mut compare = vec![holds(&epoch_key, epoch.number.to_string().as_bytes())];
        let mut failure = vec![get(&epoch_key)];
        for guard in guards {
            let key = self.tree_key(guard.key());
            failure.push(get_revision(&key));
            compare.push(match guard {
                Guard::Absent(_) => absent(&key),
                Guard::Unchanged(_, revision) => unchanged(&key, *revision),
            });
        }
        if let Some(term) = self.term {
            let leader = self.leader_key();
            failure.push(get_revision(&leader));
            compare.push(created(&leader, term));
        }
        let ops = typed::last_per_key(ops);
        let mut success: Vec<Value> = ops
            .iter()
            .map(|(key, value)| match value {
                Some(value) => put(&self.tree_key(key), value),
                None => delete(&self.tree_key(key)),
            })
            .collect();
        if ops.values().all(Option::is_none) {
            success.push(put(&self.tick_key(), b""));
        }
        let body = json!({"compare": compare, "success": success, "failure": failure});
        let answer = self.txn(&body, "committing to etcd").await?;
        if answer.succeeded {
            Ok(answer.header.revision)
        } else {
            Err(self.refusal(epoch, guards, &answer))
        }
    }

    async fn list(&self, prefix: &str) -> Result<Listing, StoreError> {
        loop {
            let listed = self.try_list(prefix).await;
            let listed = listed.map_err(|failure| failure.into_error("listing from etcd"))?;
            if let Some(listing) = listed {
                return Ok(listing);
            }
        }
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        watch::start(&self.gateway, &self.prefix, &self.tree(), prefix, after)
            .await
            .map_err(|failure| failure.into_error("watching etcd"))
    }
}

/// The item at a key of the tree; `None` for a key that is no text, which Longshore never writes.
fn item(tree: &str, kv: Kv) -> Result<Option<Item>, Failure> {
    let key = String::from_utf8(decode(&kv.key)?).ok();
    let key = key.as_deref().and_then(|key| key.strip_prefix(tree));
    let Some(key) = key else {
        return Ok(None);
    };
    Ok(Some(Item {
        key: key.to_owned(),
        value: decode(&kv.value)?,
        revision: kv.mod_revision,
    }))
}

/// A number that was written as text.
fn number(key: &str, kv: &Kv) -> Result<u64, StoreError> {
    let text = decode(&kv.value)
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::Corrupt {
            key: key.to_owned(),
            message: "it is no number".to_owned(),
        })
}

fn absent(key: &str) -> Value {
    json!({"key": encode(key.as_bytes()), "target": "VERSION", "result": "EQUAL", "version": "0"})
}

/// A key that does not exist has modification revision 0, which no item has.
fn unchanged(key: &str, revision: Revision) -> Value {
    let revision = if revision == 0 {
        u64::MAX >> 1
    } else {
        revision
    };
    json!({
        "key": encode(key.as_bytes()), "target": "MOD", "result": "EQUAL",
        "mod_revision": revision.to_string(),
    })
}

fn created(key: &str, revision: Revision) -> Value {
    json!({
        "key": encode(key.as_bytes()), "target": "CREATE", "result": "EQUAL",
        "create_revision": revision.to_string(),
    })
}

fn holds(key: &str, value: &[u8]) -> Value {
    json!({
        "key": encode(key.as_bytes()), "target": "VALUE", "result": "EQUAL",
        "value": encode(value),
    })
}

fn put(key: &str, value: &[u8]) -> Value {
    json!({"request_put": {"key": encode(key.as_bytes()), "value": encode(value)}})
}

fn delete(key: &str) -> Value {
    json!({"request_delete_range": {"key": encode(key.as_bytes())}})
}

fn get(key: &str) -> Value {
    json!({"request_range": {"key": encode(key.as_bytes())}})
}

fn get_revision(key: &str) -> Value {
    json!({"request_range": {"key": encode(key.as_bytes()), "keys_only": true}})
}

/// Whether that version's gateway is not the one we speak. What cannot be read is let through: etcd's answers will tell.
fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_before_3_4_is_too_old() {
        for (version, old) in [
            ("2.3.8", true),
            ("3.3.27", true),
            ("3.4.0", false),
            ("3.5.21", false),
            ("3.10.0-rc.1", false),
            ("4.0.0", false),
            ("main", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }
}
