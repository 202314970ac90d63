//! What a fault is in a network namespace: rules of iptables, or queues of tc. Pure.
//!
//! A chain of its own holds a fault's rules, and the jump to it is what makes it run; both come and go in one commit of
//! iptables-restore, so there is no half of one.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::request::{Direction, Fault, Kind, Range};
use crate::model::Protocol;

/// The chain of packet loss.
const LOSS: &str = "fault-packet-loss";
/// A task's interface on the cluster's network, as Docker names it.
const INTERFACE: &str = "eth0";

/// A fault in a namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub kind: Kind,
    /// With all that it needs; absent where only its end or its state is asked for.
    pub fault: Option<&'a Fault>,
    /// Where the task asks for the fault's end: never a part of the fault.
    pub endpoint: (Ipv4Addr, u16),
}

/// A program to run in the namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub program: &'static str,
    pub arguments: Vec<String>,
    pub input: String,
}

impl Command {
    fn new(program: &'static str, arguments: &str) -> Self {
        Self {
            program,
            arguments: arguments.split_whitespace().map(str::to_owned).collect(),
            input: String::new(),
        }
    }

    fn restore(rules: &str) -> Self {
        Self {
            input: format!("*filter\n{rules}COMMIT\n"),
            ..Self::new("iptables-restore", "--wait 5 --noflush")
        }
    }
}

/// How a fault is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// iptables, in this built-in chain.
    Tables(&'static str),
    /// tc with the kernel's netem.
    Queues,
}

impl Target<'_> {
    pub fn means(&self) -> Means {
        match (self.kind, self.fault) {
            (Kind::Latency, _) => Means::Queues,
            (
                _,
                Some(Fault::BlackholePort {
                    direction: Direction::Ingress,
                    ..
                }),
            ) => Means::Tables("INPUT"),
            (Kind::BlackholePort | Kind::PacketLoss, _) => Means::Tables("OUTPUT"),
        }
    }

    fn chain(&self) -> String {
        match self.fault {
            Some(Fault::BlackholePort {
                port,
                protocol,
                direction,
                ..
            }) => {
                let direction = match direction {
                    Direction::Ingress => "ingress",
                    Direction::Egress => "egress",
                };
                format!("fault-{direction}-{}-{port}", protocol.as_str())
            }
            _ => LOSS.to_owned(),
        }
    }

    /// Ends well where the fault runs; for queues, what it writes tells.
    pub fn check(&self) -> Command {
        match self.means() {
            Means::Tables(from) => {
                let chain = self.chain();
                Command::new(
                    "iptables",
                    &format!("--wait 5 --check {from} --jump {chain}"),
                )
            }
            Means::Queues => Command::new("tc", &format!("qdisc show dev {INTERFACE}")),
        }
    }

    /// What starts it where it does not run.
    pub fn start(&self) -> Vec<Command> {
        let Some(fault) = self.fault else {
            return Vec::new();
        };
        match self.means() {
            Means::Tables(from) => {
                let chain = self.chain();
                let mut rules = format!(":{chain} -\n");
                for rule in self.rules(fault) {
                    let _ = writeln!(rules, "-A {chain} {rule}");
                }
                let _ = writeln!(rules, "-I {from} -j {chain}");
                vec![Command::restore(&rules)]
            }
            Means::Queues => self.queues(fault),
        }
    }

    /// What ends it where it runs.
    pub fn stop(&self) -> Vec<Command> {
        match self.means() {
            Means::Tables(from) => {
                let chain = self.chain();
                let rules = format!("-D {from} -j {chain}\n-F {chain}\n-X {chain}\n");
                vec![Command::restore(&rules)]
            }
            Means::Queues => vec![Command::new(
                "tc",
                &format!("qdisc del dev {INTERFACE} root"),
            )],
        }
    }

    fn rules(&self, fault: &Fault) -> Vec<String> {
        let (gateway, endpoint) = self.endpoint;
        let spare_the_endpoint = || format!("-p tcp -d {gateway}/32 --dport {endpoint} -j RETURN");
        match fault {
            Fault::BlackholePort {
                port,
                protocol,
                direction,
                exempt,
            } => {
                let (protocol, side) = (protocol.as_str(), side(*direction));
                let of_port = format!("-p {protocol} --dport {port}");
                let mut rules: Vec<String> = ipv4(exempt)
                    .map(|range| format!("{of_port} {side} {range} -j RETURN"))
                    .collect();
                if *direction == Direction::Egress
                    && *port == endpoint
                    && protocol == Protocol::Tcp.as_str()
                {
                    rules.push(spare_the_endpoint());
                }
                rules.push(format!("{of_port} -j DROP"));
                rules
            }
            Fault::PacketLoss {
                percent,
                to,
                exempt,
            } => {
                let mut rules = vec!["-o lo -j RETURN".to_owned(), spare_the_endpoint()];
                rules.extend(ipv4(exempt).map(|range| format!("-d {range} -j RETURN")));
                let chance = match percent {
                    100.. => String::new(),
                    percent => format!("-m statistic --mode random --probability 0.{percent:02} "),
                };
                rules.extend(ipv4(to).map(|range| format!("-d {range} {chance}-j DROP")));
                rules
            }
            Fault::Latency { .. } => Vec::new(),
        }
    }

    /// Three bands: everything goes through the third, but what is to be late through the first, which netem delays.
    fn queues(&self, fault: &Fault) -> Vec<Command> {
        let Fault::Latency {
            delay,
            jitter,
            to,
            exempt,
        } = fault
        else {
            return Vec::new();
        };
        let tc = |arguments: String| Command::new("tc", &arguments);
        let third = "2 ".repeat(16);
        let endpoint = Range::host(self.endpoint.0);
        let filter = |order: u8, range: &Range, band: u8| {
            tc(format!(
                "filter add dev {INTERFACE} protocol ip parent 1:0 prio {order} u32 match ip dst {range} flowid 1:{band}"
            ))
        };
        let mut all = vec![
            tc(format!(
                "qdisc add dev {INTERFACE} root handle 1: prio priomap {third}"
            )),
            tc(format!(
                "qdisc add dev {INTERFACE} parent 1:1 handle 10: netem delay {delay}ms {jitter}ms"
            )),
        ];
        all.extend(
            ipv4(exempt)
                .chain([&endpoint])
                .map(|range| filter(1, range, 3)),
        );
        all.extend(ipv4(to).map(|range| filter(2, range, 1)));
        all
    }
}

/// The other end's address: of packets that come in it is the source.
fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "-s",
        Direction::Egress => "-d",
    }
}

fn ipv4(ranges: &[Range]) -> impl Iterator<Item = &Range> {
    ranges.iter().filter(|range| range.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::super::request::{Action, read};
    use super::*;

    const ENDPOINT: (Ipv4Addr, u16) = (Ipv4Addr::new(172, 20, 0, 1), 20_080);

    fn fault(kind: Kind, body: &str) -> Fault {
        read(kind, Action::Start, body.as_bytes())
            .expect("a request")
            .expect("a fault")
    }

    fn target(kind: Kind, fault: &Fault) -> Target<'_> {
        Target {
            kind,
            fault: Some(fault),
            endpoint: ENDPOINT,
        }
    }

    fn line(command: &Command) -> String {
        format!("{} {}", command.program, command.arguments.join(" "))
    }

    #[test]
    fn a_port_is_blocked_by_a_chain_of_its_own_that_comes_and_goes_whole() {
        let fault = fault(
            Kind::BlackholePort,
            r#"{"Port":80,"Protocol":"udp","TrafficType":"ingress","SourcesToFilter":["10.0.0.1","fd00::/8"]}"#,
        );
        let target = target(Kind::BlackholePort, &fault);
        let [start] = target.start().try_into().expect("one command");
        assert_eq!(line(&start), "iptables-restore --wait 5 --noflush");
        assert_eq!(
            start.input,
            "*filter\n\
             :fault-ingress-udp-80 -\n\
             -A fault-ingress-udp-80 -p udp --dport 80 -s 10.0.0.1/32 -j RETURN\n\
             -A fault-ingress-udp-80 -p udp --dport 80 -j DROP\n\
             -I INPUT -j fault-ingress-udp-80\n\
             COMMIT\n"
        );
        assert_eq!(
            line(&target.check()),
            "iptables --wait 5 --check INPUT --jump fault-ingress-udp-80"
        );
        let [stop] = target.stop().try_into().expect("one command");
        assert_eq!(
            stop.input,
            "*filter\n\
             -D INPUT -j fault-ingress-udp-80\n\
             -F fault-ingress-udp-80\n\
             -X fault-ingress-udp-80\n\
             COMMIT\n"
        );
    }

    #[test]
    fn the_way_to_end_a_fault_is_never_a_part_of_it() {
        let spared = "-p tcp -d 172.20.0.1/32 --dport 20080 -j RETURN";
        let body = r#"{"Port":20080,"Protocol":"tcp","TrafficType":"egress"}"#;
        let port = fault(Kind::BlackholePort, body);
        let rules = target(Kind::BlackholePort, &port).rules(&port);
        assert_eq!(rules, [spared, "-p tcp --dport 20080 -j DROP"]);
        let loss = fault(
            Kind::PacketLoss,
            r#"{"LossPercent":100,"Sources":["0.0.0.0/0"]}"#,
        );
        let rules = target(Kind::PacketLoss, &loss).rules(&loss);
        assert_eq!(rules, ["-o lo -j RETURN", spared, "-d 0.0.0.0/0 -j DROP"]);
    }

    #[test]
    fn a_share_of_packets_is_lost_by_chance() {
        let loss = fault(
            Kind::PacketLoss,
            r#"{"LossPercent":5,"Sources":["10.0.0.0/8"],"SourcesToFilter":["10.1.0.0/16"]}"#,
        );
        let rules = target(Kind::PacketLoss, &loss).rules(&loss);
        assert_eq!(
            rules[2..],
            [
                "-d 10.1.0.0/16 -j RETURN",
                "-d 10.0.0.0/8 -m statistic --mode random --probability 0.05 -j DROP"
            ]
        );
        let unknown = Target {
            kind: Kind::PacketLoss,
            fault: None,
            endpoint: ENDPOINT,
        };
        assert_eq!(
            line(&unknown.check()),
            line(&target(Kind::PacketLoss, &loss).check()),
            "its end needs nothing of its beginning"
        );
    }

    #[test]
    fn latency_is_a_band_of_its_own() {
        let late = fault(
            Kind::Latency,
            r#"{"DelayMilliseconds":100,"JitterMilliseconds":10,"Sources":["10.0.0.0/8"],"SourcesToFilter":["10.1.0.0/16"]}"#,
        );
        let target = target(Kind::Latency, &late);
        let lines: Vec<String> = target.start().iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "tc qdisc add dev eth0 root handle 1: prio priomap 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2 2",
                "tc qdisc add dev eth0 parent 1:1 handle 10: netem delay 100ms 10ms",
                "tc filter add dev eth0 protocol ip parent 1:0 prio 1 u32 match ip dst 10.1.0.0/16 flowid 1:3",
                "tc filter add dev eth0 protocol ip parent 1:0 prio 1 u32 match ip dst 172.20.0.1/32 flowid 1:3",
                "tc filter add dev eth0 protocol ip parent 1:0 prio 2 u32 match ip dst 10.0.0.0/8 flowid 1:1",
            ]
        );
    }
}
