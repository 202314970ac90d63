//! P5: a cluster at rest gets no changing call, neither while time passes nor by another pass over all of it. The engines' own logs
//! tell of every call.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore::engine::{Engine, labels};

use crate::audit::Audit;
use crate::hands::Hands;

/// For how long nothing may happen.
const STILL: Duration = Duration::from_secs(6);

/// Watches a cluster that is at rest, then Longshore's next start on it.
pub async fn watch(hands: &mut Hands, audit: &mut Audit) {
    let numbers: Vec<u32> = hands.machines.members.iter().map(|m| m.engine).collect();
    for number in &numbers {
        hands.machines.engines.sh(&["loud", &number.to_string()]);
    }
    let mut leases = leases(hands).await;
    let mut read: Vec<usize> = Vec::new();
    for number in &numbers {
        read.push(calls(hands, *number).len());
    }
    tokio::time::sleep(STILL).await;
    let mut changing = Vec::new();
    for (number, read) in numbers.iter().zip(&mut read) {
        let all = calls(hands, *number);
        changing.extend(all.iter().skip(*read).filter(|c| changes(c)).cloned());
        *read = all.len();
    }
    audit.nothing(format!("changing calls in {STILL:?}"), &changing);

    hands.machines.rig.kill();
    hands.machines.rig.start();
    hands.machines.rig.steady();
    leases.extend(self::leases(hands).await);
    let mut changing = Vec::new();
    let mut calls_read = 0;
    for (number, read) in numbers.iter().zip(read) {
        let all = calls(hands, *number);
        calls_read += all.len() - read;
        // Whoever starts takes the lease, and takes away what is left of the last one.
        let of_lease = |call: &String| {
            call.contains("name=longshore-lease") || leases.iter().any(|id| call.contains(id))
        };
        let rest = all.iter().skip(read).filter(|c| changes(c) && !of_lease(c));
        changing.extend(rest.cloned());
    }
    audit.row(
        "the engines told of the calls of a second pass",
        true,
        calls_read > 0,
    );
    audit.nothing(
        "changing calls of a second pass, by a new process",
        &changing,
    );
}

/// Each call that an engine has told of, in order: `POST /v1.41/containers/create?name=…`.
fn calls(hands: &Hands, engine: u32) -> Vec<String> {
    let log = hands.machines.engines.dir().join(format!("{engine}/log"));
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines()
        .filter_map(|line| {
            let (_, call) = line.split_once("msg=\"Calling ")?;
            Some(call.trim_end_matches('"').to_owned())
        })
        .collect()
}

fn changes(call: &str) -> bool {
    !call.starts_with("GET ") && !call.starts_with("HEAD ")
}

async fn leases(hands: &Hands) -> BTreeSet<String> {
    let mut leases = BTreeSet::new();
    for member in &hands.machines.members {
        let lease = [(labels::LEASE.to_owned(), String::new())];
        let client = hands.machines.client(member.engine);
        let found = client.list_containers(&lease).await.expect("a list");
        leases.extend(found.into_iter().map(|container| container.id));
    }
    leases
}
