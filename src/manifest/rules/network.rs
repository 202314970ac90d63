//! Network mode, ports, links and host names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::resolve::port_range;
use crate::manifest::types::{NetworkMode, PortMapping, TransportProtocol};

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    let mode = definition.network_mode.unwrap_or(NetworkMode::Bridge);
    let mode_span = document.value("/networkMode");
    let mut taken = Taken::default();
    for (index, container) in definition.container_definitions.iter().enumerate() {
        if mode == NetworkMode::None && !container.port_mappings.is_empty() {
            found.push(
                document
                    .error(
                        codes::PORTS_WITHOUT_NETWORK,
                        document.key(&of_container(index, "/portMappings")),
                        "with `networkMode: none` no port can be reached",
                    )
                    .related(&document.file, mode_span, "the network mode")
                    .help("remove the port mappings, or write another network mode"),
            );
        }
        for (position, mapping) in container.port_mappings.iter().enumerate() {
            let pointer = of_container(index, &format!("/portMappings/{position}"));
            port(document, mode, &pointer, mapping, found);
            taken.port(document, mode, &pointer, mapping, found);
        }
        if mode != NetworkMode::Bridge && !container.links.is_empty() {
            found.push(
                document
                    .error(
                        codes::LINKS_OUTSIDE_BRIDGE,
                        document.key(&of_container(index, "/links")),
                        "`links` work in the network mode `bridge` only",
                    )
                    .related(&document.file, mode_span, "the network mode")
                    .help("remove them: the containers of the task reach each other on localhost"),
            );
        }
        if mode == NetworkMode::Awsvpc {
            let has = [
                ("hostname", container.hostname.is_some()),
                ("extraHosts", !container.extra_hosts.is_empty()),
            ];
            for (member, _) in has.into_iter().filter(|(_, has)| *has) {
                found.push(
                    document
                        .error(
                            codes::HOST_NAME_IN_AWSVPC,
                            document.key(&of_container(index, &format!("/{member}"))),
                            format!("a container cannot have its own `{member}` in `awsvpc`"),
                        )
                        .related(&document.file, mode_span, "the network mode")
                        .help("remove it, or write `networkMode: bridge`"),
                );
            }
        }
        for (position, host) in container.extra_hosts.iter().enumerate() {
            let pointer = of_container(index, &format!("/extraHosts/{position}/ipAddress"));
            address(document, &pointer, &host.ip_address, found);
        }
        for (position, server) in container.dns_servers.iter().enumerate() {
            let pointer = of_container(index, &format!("/dnsServers/{position}"));
            address(document, &pointer, server, found);
        }
    }
}

fn address(document: &Document, pointer: &str, text: &str, found: &mut Vec<Diagnostic>) {
    if text.parse::<IpAddr>().is_err() {
        found.push(
            document
                .error(
                    codes::NOT_AN_ADDRESS,
                    document.value(pointer),
                    format!("`{text}` is no IP address"),
                )
                .help("write an IPv4 or IPv6 address"),
        );
    }
}

fn port(
    document: &Document,
    mode: NetworkMode,
    pointer: &str,
    mapping: &PortMapping,
    found: &mut Vec<Diagnostic>,
) {
    let at = |member: &str| document.value(&format!("{pointer}/{member}"));
    if let Some(range) = &mapping.container_port_range {
        if port_range(range).is_none() {
            found.push(
                document
                    .error(
                        codes::PORT_RANGE,
                        at("containerPortRange"),
                        format!("`{range}` is no range of ports"),
                    )
                    .help("write `first-last`, both from 1 to 65535, the first below the last"),
            );
        }
        for (member, port) in [
            ("containerPort", mapping.container_port),
            ("hostPort", mapping.host_port),
        ] {
            if port.is_some() {
                found.push(
                    document
                        .error(
                            codes::PORT_RANGE,
                            document.key(&format!("{pointer}/{member}")),
                            format!("`containerPortRange` stands instead of `{member}`"),
                        )
                        .related(&document.file, at("containerPortRange"), "the range")
                        .help("remove one of the two"),
                );
            }
        }
        if matches!(mode, NetworkMode::Host | NetworkMode::None) {
            found.push(
                document
                    .error(
                        codes::PORT_RANGE,
                        at("containerPortRange"),
                        "ranges of ports exist in `bridge` and `awsvpc` only",
                    )
                    .related(
                        &document.file,
                        document.value("/networkMode"),
                        "the network mode",
                    ),
            );
        }
        return;
    }
    let container = match mapping.container_port {
        None => {
            found.push(
                document
                    .error(
                        codes::MISSING_FIELD,
                        document.value(pointer),
                        "`containerPort` is missing",
                    )
                    .help("add `containerPort`: port inside the container"),
            );
            return;
        }
        Some(0) => {
            found.push(document.error(
                codes::OUT_OF_BOUNDS,
                at("containerPort"),
                "`containerPort` is at least 1, and this is 0",
            ));
            return;
        }
        Some(port) => port,
    };
    if let Some(host) = mapping.host_port.filter(|host| *host != 0)
        && host != container
        && matches!(mode, NetworkMode::Host | NetworkMode::Awsvpc)
    {
        found.push(
            document
                .error(
                    codes::HOST_PORT_DIFFERS,
                    at("hostPort"),
                    format!(
                        "`hostPort` {host} cannot differ from `containerPort` {container} here"
                    ),
                )
                .related(
                    &document.file,
                    document.value("/networkMode"),
                    "the network mode",
                )
                .help(format!("remove `hostPort`, or write {container}")),
        );
    }
}

/// The ports and port names that mappings of the task have taken, with the pointer of the mapping.
#[derive(Default)]
struct Taken {
    container: HashMap<(bool, u16), String>,
    host: HashMap<(bool, u16), String>,
    names: HashMap<String, String>,
    ranges: Vec<TakenRange>,
}

/// A range of container ports, of which container (empty: of the task), and where it is written.
struct TakenRange {
    udp: bool,
    whose: String,
    first: u16,
    last: u16,
    pointer: String,
}

impl Taken {
    /// A range shares no port with another range of its container; in `awsvpc`, of the task.
    fn range(
        &mut self,
        document: &Document,
        mode: NetworkMode,
        pointer: &str,
        mapping: &PortMapping,
        found: &mut Vec<Diagnostic>,
    ) {
        let udp = mapping.protocol == Some(TransportProtocol::Udp);
        let text = mapping.container_port_range.as_deref();
        let Some((first, last)) = text.and_then(port_range) else {
            return;
        };
        let whose = match mode {
            NetworkMode::Awsvpc => String::new(),
            _ => pointer
                .split("/portMappings")
                .next()
                .unwrap_or_default()
                .to_owned(),
        };
        let here = format!("{pointer}/containerPortRange");
        let clash = self.ranges.iter().find(|range| {
            range.udp == udp && range.whose == whose && range.first <= last && first <= range.last
        });
        if let Some(before) = clash {
            found.push(
                document
                    .error(
                        codes::PORT_RANGE,
                        document.value(&here),
                        "two ranges of ports overlap",
                    )
                    .related(
                        &document.file,
                        document.value(&before.pointer),
                        "the other one",
                    )
                    .help("write ranges that share no port"),
            );
        }
        self.ranges.push(TakenRange {
            udp,
            whose,
            first,
            last,
            pointer: here,
        });
    }

    fn port(
        &mut self,
        document: &Document,
        mode: NetworkMode,
        pointer: &str,
        mapping: &PortMapping,
        found: &mut Vec<Diagnostic>,
    ) {
        let is_udp = mapping.protocol == Some(TransportProtocol::Udp);
        let transport = if is_udp { "UDP" } else { "TCP" };
        self.range(document, mode, pointer, mapping, found);
        let shared = matches!(mode, NetworkMode::Awsvpc | NetworkMode::Host);
        let container = mapping.container_port.filter(|p| *p > 0 && shared);
        let host = mapping
            .host_port
            .filter(|p| *p > 0 && mode == NetworkMode::Bridge);
        for (port, of, member) in [
            (container, &mut self.container, "containerPort"),
            (host, &mut self.host, "hostPort"),
        ] {
            let Some(port) = port else { continue };
            let here = format!("{pointer}/{member}");
            match of.get(&(is_udp, port)) {
                None => {
                    of.insert((is_udp, port), here);
                }
                Some(before) => found.push(
                    document
                        .error(
                            codes::PORT_CLASH_IN_TASK,
                            document.value(&here),
                            format!(
                                "{transport} port {port} is taken by another mapping of the task"
                            ),
                        )
                        .related(&document.file, document.value(before), "taken here")
                        .help("write another port, or remove one of the two"),
                ),
            }
        }
        if let Some(name) = &mapping.name {
            let here = format!("{pointer}/name");
            match self.names.get(name) {
                None => {
                    self.names.insert(name.clone(), here);
                }
                Some(before) => found.push(
                    document
                        .error(
                            codes::DUPLICATE_NAME,
                            document.value(&here),
                            format!("two ports are named `{name}`"),
                        )
                        .related(&document.file, document.value(before), "the first one")
                        .help("rename one of them"),
                ),
            }
        }
    }
}
