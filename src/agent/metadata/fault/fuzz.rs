//! What is asserted of requests for faults, for the fuzz targets.

use std::net::Ipv4Addr;

use super::commands::{Command, Target};
use super::request::{Action, Kind, read};

/// Whatever is asked for: what is run has only words of ours, numbers and addresses in it, and each rule is a line.
pub fn requests(kind: &str, action: &str, body: &[u8]) {
    let (Some(kind), Some(action)) = (Kind::parse(kind), Action::parse(action)) else {
        return;
    };
    let fault = match read(kind, action, body) {
        Ok(fault) => fault,
        Err(refusal) => {
            assert!(refusal.status.is_client_error() || refusal.status.is_server_error());
            return assert!(!refusal.message.is_empty());
        }
    };
    let target = Target {
        kind,
        fault: fault.as_ref(),
        endpoint: (Ipv4Addr::LOCALHOST, 20_000),
    };
    let (start, stop) = (target.start(), target.stop());
    assert_eq!(start.is_empty(), fault.is_none());
    for command in start.iter().chain(&stop).chain([&target.check()]) {
        is_ours(command);
    }
}

fn is_ours(command: &Command) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:*".contains(c);
    for argument in &command.arguments {
        assert!(
            !argument.is_empty() && argument.chars().all(plain),
            "{argument:?}"
        );
    }
    for line in command.input.lines() {
        assert!(
            line.split(' ').all(|word| word.chars().all(plain)),
            "{line:?}"
        );
    }
}
