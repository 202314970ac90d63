//! The store in etcd: each of its members, who leads, what is in it, and whether we may use it.

use std::path::Path;

use super::{Findings, size};
use crate::api::LeaderStatus;
use crate::cli::client_common::now;
use crate::daemon::source;
use crate::store::dir::known_as;
use crate::store::{ClaimError, Claimant, Etcd, Meta, Store as _, claim, etcd, keys};

/// Looks at it, and writes nothing into it.
pub(super) async fn check(findings: &mut Findings, options: etcd::Options, dir: &Path) {
    let members = match etcd::members(&options).await {
        Ok(members) => members,
        Err(error) => {
            findings.bad("store", error, "look at --store and its options");
            return;
        }
    };
    let answers = members.iter().any(|member| member.status.is_ok());
    for member in &members {
        one(findings, member, answers);
    }
    encryption(findings, &options);
    if !answers {
        return;
    }
    match Etcd::look(options).await {
        Ok(store) => content(findings, &store, dir).await,
        Err(error) => findings.bad(
            "store",
            error.to_string(),
            "see what etcd refuses in docs/etcd.md",
        ),
    }
}

fn one(findings: &mut Findings, member: &etcd::Member, others: bool) {
    let endpoint = &member.endpoint;
    let status = match &member.status {
        Ok(status) => status,
        Err(why) => {
            let found = why.strip_prefix(&format!("{endpoint}: ")).unwrap_or(why);
            let found = format!("{endpoint}: {found}");
            let help =
                "is etcd running there, and does it listen on this address (--listen-client-urls)?";
            return match others {
                // Another one is asked instead.
                true => findings.warn("store", found, help),
                false => findings.bad("store", found, help),
            };
        }
    };
    findings.good(
        "store",
        format!(
            "{endpoint}: etcd {}, {} in it",
            status.version,
            size(status.bytes)
        ),
    );
    if !status.has_leader {
        findings.bad(
            "store",
            format!("{endpoint} knows no leader among etcd's members"),
            "more than half of them must be there: `etcdctl endpoint status --cluster`",
        );
    }
    for alarm in &status.alarms {
        let help = match alarm.as_str() {
            "NOSPACE" => {
                "`etcdctl compact`, `etcdctl defrag`, `etcdctl alarm disarm`, and a larger --quota-backend-bytes"
            }
            _ => "`etcdctl alarm list`",
        };
        findings.bad("store", format!("{endpoint} has the alarm {alarm}"), help);
    }
}

fn encryption(findings: &mut Findings, options: &etcd::Options) {
    let here = |endpoint: &String| {
        let host = endpoint
            .rsplit_once(':')
            .map_or(endpoint.as_str(), |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.starts_with("127.")
    };
    match &options.tls {
        Some(_) => findings.good(
            "store's TLS",
            "connections are encrypted, and etcd's certificate is checked",
        ),
        None if options.endpoints.iter().all(here) => {
            findings.good(
                "store's TLS",
                "none, and none is needed: etcd is on this machine",
            );
        }
        None => findings.warn(
            "store's TLS",
            "connections are in clear, and whoever can reach etcd can write to it",
            "write the store as etcds://, with --store-ca where its authority is your own",
        ),
    }
}

async fn content(findings: &mut Findings, store: &Etcd, dir: &Path) {
    match store.may_write().await {
        Ok(()) => findings.good(
            "store's rights",
            format!("{} may be written", store.place()),
        ),
        Err(error) => findings.bad(
            "store's rights",
            error.to_string(),
            "see what etcd refuses in docs/etcd.md",
        ),
    }
    match store.leader().await {
        Ok(None) => findings.good("leader", "nobody leads"),
        Ok(Some(leader)) => {
            let status = LeaderStatus {
                leading: false,
                name: leader.candidate.name,
                folder: leader.candidate.folder,
                since: leader.candidate.since,
            };
            findings.good("leader", status.to_string());
        }
        Err(error) => findings.bad("leader", error.to_string(), "see docs/etcd.md"),
    }
    let meta = match store.list(keys::META).await {
        Ok(listing) => listing
            .items
            .into_iter()
            .find(|item| item.key == keys::META)
            .map(|item| serde_json::from_slice::<Meta>(&item.value)),
        Err(error) => {
            findings.bad("store's content", error.to_string(), "see docs/etcd.md");
            return;
        }
    };
    match meta {
        None => findings.good("store's content", "nothing yet: the first to lead makes it"),
        Some(Err(error)) => findings.bad(
            "store's content",
            format!("{} cannot be read: {error}", keys::META),
            "is it a Longshore's store, and of no newer version than this?",
        ),
        Some(Ok(meta)) => whose(findings, &meta, &source::of(&known_as(dir))),
    }
}

/// Whether the store is that of this folder.
fn whose(findings: &mut Findings, meta: &Meta, folder: &str) {
    let claimant = Claimant {
        folder: folder.to_owned(),
        owner: meta.owner.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        take_over: false,
    };
    match claim(Some(meta), &claimant, now()) {
        Ok(_) => findings.good(
            "store's content",
            format!("of copies of {}, last written by Longshore {}", meta.folder, meta.written_by),
        ),
        Err(error) => findings.bad(
            "store's content",
            match error {
                ClaimError::OtherFolder { stored, ours } => {
                    format!("of copies of {stored}, and this folder is a copy of {ours}")
                }
                other => other.to_string(),
            },
            "a store belongs to one folder; another has a prefix of its own (--store etcd://HOST/PREFIX), or --source says what both are \
             copies of",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;
    use crate::model::Timestamp;

    fn verdicts(look: impl Fn(&mut Findings)) -> Vec<Verdict> {
        let mut findings = Findings::default();
        look(&mut findings);
        findings.0.iter().map(|f| f.verdict).collect()
    }

    #[test]
    fn clear_text_is_warned_of_unless_it_stays_on_this_machine() {
        let of = |url: &str| {
            let options = etcd::Options::parse(url).unwrap();
            verdicts(|findings| encryption(findings, &options))
        };
        assert_eq!(of("etcd://127.0.0.1,localhost:1,[::1]:2"), [Verdict::Good]);
        assert_eq!(of("etcd://127.0.0.1,10.0.0.1"), [Verdict::Warning]);
        assert_eq!(of("etcds://10.0.0.1"), [Verdict::Good]);
    }

    #[test]
    fn a_member_that_is_away_is_bad_only_where_no_other_answers_and_alarms_always_are() {
        let member = |status| etcd::Member {
            endpoint: "a:1".to_owned(),
            status,
        };
        let away = member(Err("a:1: refused".to_owned()));
        assert_eq!(verdicts(|f| one(f, &away, true)), [Verdict::Warning]);
        assert_eq!(verdicts(|f| one(f, &away, false)), [Verdict::Bad]);
        let full = member(Ok(etcd::MemberStatus {
            version: "3.4.23".to_owned(),
            bytes: 1,
            has_leader: true,
            alarms: vec!["NOSPACE".to_owned()],
        }));
        assert_eq!(
            verdicts(|f| one(f, &full, true)),
            [Verdict::Good, Verdict::Bad]
        );
    }

    #[test]
    fn the_store_of_another_folder_is_bad() {
        let meta = claim(
            None,
            &Claimant {
                folder: "folder shop".to_owned(),
                owner: "0123456789abcdef".to_owned(),
                version: "0".to_owned(),
                take_over: false,
            },
            Timestamp::default(),
        );
        let meta = meta.unwrap().meta().clone();
        assert_eq!(
            verdicts(|f| whose(f, &meta, "folder shop")),
            [Verdict::Good]
        );
        assert_eq!(verdicts(|f| whose(f, &meta, "folder bank")), [Verdict::Bad]);
    }
}
