//! What a task asks for, read and checked as ECS's agent does.

use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::model::Protocol;

/// Which fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BlackholePort,
    Latency,
    PacketLoss,
}

impl Kind {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::BlackholePort, Self::Latency, Self::PacketLoss]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlackholePort => "network-blackhole-port",
            Self::Latency => "network-latency",
            Self::PacketLoss => "network-packet-loss",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Stop,
    Status,
}

impl Action {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "start" => Some(Self::Start),
            "stop" => Some(Self::Stop),
            "status" => Some(Self::Status),
            _ => None,
        }
    }
}

/// A fault with everything that it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Packets to that port vanish.
    BlackholePort {
        port: u16,
        protocol: Protocol,
        direction: Direction,
        exempt: Vec<Range>,
    },
    /// Packets to these addresses arrive late, by milliseconds.
    Latency {
        delay: u64,
        jitter: u64,
        to: Vec<Range>,
        exempt: Vec<Range>,
    },
    /// So many of a hundred packets to these addresses vanish.
    PacketLoss {
        percent: u8,
        to: Vec<Range>,
        exempt: Vec<Range>,
    },
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

/// Addresses: one, or a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    prefix: u8,
}

impl Range {
    pub fn host(address: impl Into<IpAddr>) -> Self {
        let address = address.into();
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let host = Self::host(address.parse::<IpAddr>().ok()?);
        match prefix {
            None => Some(host),
            Some(prefix) => {
                let digits = prefix.bytes().all(|b| b.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| digits)?;
                (prefix <= host.prefix).then_some(Self { prefix, ..host })
            }
        }
    }

    /// Tasks' networks are IPv4: ranges of IPv6 concern no packet of theirs.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BlackholePort {
    port: Option<u16>,
    protocol: Option<String>,
    traffic_type: Option<String>,
    #[serde(default)]
    sources_to_filter: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Latency {
    delay_milliseconds: Option<u64>,
    jitter_milliseconds: Option<u64>,
    sources: Option<Vec<String>>,
    sources_to_filter: Option<Vec<String>>,
    flows_percent: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PacketLoss {
    loss_percent: Option<u64>,
    sources: Option<Vec<String>>,
    sources_to_filter: Option<Vec<String>>,
    flows_percent: Option<u64>,
}

/// Reads a request's body. To stop latency or loss, or to ask about it, none is needed, and what there is does not matter.
///
/// # Errors
/// What is missing or wrong, by the member's name.
pub(super) fn read(kind: Kind, action: Action, body: &[u8]) -> Result<Option<Fault>, Refusal> {
    match (kind, action) {
        (Kind::BlackholePort, _) => blackhole_port(&json(body)?).map(Some),
        (_, Action::Stop | Action::Status) => Ok(None),
        (Kind::Latency, Action::Start) => latency(&json(body)?).map(Some),
        (Kind::PacketLoss, Action::Start) => packet_loss(&json(body)?).map(Some),
    }
}

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    if body.is_empty() {
        return Err(Refusal::invalid("required request body is missing"));
    }
    serde_json::from_slice(body)
        .map_err(|error| Refusal::invalid(format!("the request cannot be read: {error}")))
}

fn blackhole_port(asked: &BlackholePort) -> Result<Fault, Refusal> {
    let port = required(asked.port, "Port")?;
    let protocol = text(asked.protocol.as_deref(), "Protocol")?;
    let direction = text(asked.traffic_type.as_deref(), "TrafficType")?;
    Ok(Fault::BlackholePort {
        port,
        protocol: match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(wrong(other, "Protocol")),
        },
        direction: match direction {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            other => return Err(wrong(other, "TrafficType")),
        },
        exempt: ranges(asked.sources_to_filter.as_deref(), "SourcesToFilter")?,
    })
}

fn latency(asked: &Latency) -> Result<Fault, Refusal> {
    all_flows(asked.flows_percent)?;
    Ok(Fault::Latency {
        delay: required(asked.delay_milliseconds, "DelayMilliseconds")?,
        jitter: required(asked.jitter_milliseconds, "JitterMilliseconds")?,
        to: some_ranges(asked.sources.as_deref())?,
        exempt: ranges(asked.sources_to_filter.as_deref(), "SourcesToFilter")?,
    })
}

fn packet_loss(asked: &PacketLoss) -> Result<Fault, Refusal> {
    all_flows(asked.flows_percent)?;
    let percent = required(asked.loss_percent, "LossPercent")?;
    Ok(Fault::PacketLoss {
        percent: u8::try_from(percent)
            .ok()
            .filter(|percent| (1..=100).contains(percent))
            .ok_or_else(|| wrong(percent, "LossPercent"))?,
        to: some_ranges(asked.sources.as_deref())?,
        exempt: ranges(asked.sources_to_filter.as_deref(), "SourcesToFilter")?,
    })
}

/// A fault of some flows only needs what neither iptables nor a plain netem does.
fn all_flows(percent: Option<u64>) -> Result<(), Refusal> {
    match percent {
        None | Some(100) => Ok(()),
        Some(_) => Err(Refusal::impossible(
            "FlowsPercent below 100 is not supported here: leave it out, and all flows to Sources are affected",
        )),
    }
}

fn required<T>(value: Option<T>, member: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid(format!("required parameter {member} is missing")))
}

fn text<'a>(value: Option<&'a str>, member: &str) -> Result<&'a str, Refusal> {
    required(value.filter(|text| !text.is_empty()), member)
}

fn wrong(value: impl fmt::Display, member: &str) -> Refusal {
    Refusal::invalid(format!("invalid value {value} for parameter {member}"))
}

fn some_ranges(texts: Option<&[String]>) -> Result<Vec<Range>, Refusal> {
    let texts = required(texts.filter(|texts| !texts.is_empty()), "Sources")?;
    ranges(Some(texts), "Sources")
}

fn ranges(texts: Option<&[String]>, member: &str) -> Result<Vec<Range>, Refusal> {
    let texts = texts.unwrap_or_default().iter();
    texts
        .map(|text| Range::parse(text).ok_or_else(|| wrong(text, member)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(kind: Kind, body: &str) -> Result<Option<Fault>, String> {
        read(kind, Action::Start, body.as_bytes()).map_err(|refusal| refusal.message)
    }

    fn range(text: &str) -> Range {
        Range::parse(text).expect("a range")
    }

    #[test]
    fn complete_requests_are_read() {
        assert_eq!(
            start(
                Kind::BlackholePort,
                r#"{"Port": 5432, "Protocol": "tcp", "TrafficType": "egress", "SourcesToFilter": ["10.0.0.0/8"]}"#
            ),
            Ok(Some(Fault::BlackholePort {
                port: 5432,
                protocol: Protocol::Tcp,
                direction: Direction::Egress,
                exempt: vec![range("10.0.0.0/8")],
            }))
        );
        assert_eq!(
            start(
                Kind::PacketLoss,
                r#"{"LossPercent": 15, "Sources": ["10.0.0.1"], "FlowsPercent": 100}"#
            ),
            Ok(Some(Fault::PacketLoss {
                percent: 15,
                to: vec![range("10.0.0.1/32")],
                exempt: Vec::new(),
            }))
        );
        assert_eq!(
            start(
                Kind::Latency,
                r#"{"DelayMilliseconds": 200, "JitterMilliseconds": 0, "Sources": ["0.0.0.0/0"], "SourcesToFilter": ["::1"]}"#
            ),
            Ok(Some(Fault::Latency {
                delay: 200,
                jitter: 0,
                to: vec![range("0.0.0.0/0")],
                exempt: vec![range("::1/128")],
            }))
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |kind, body| start(kind, body).expect_err("it is not complete");
        assert_eq!(
            missing(Kind::BlackholePort, ""),
            "required request body is missing"
        );
        for (kind, body, member) in [
            (Kind::BlackholePort, r"{}", "Port"),
            (Kind::BlackholePort, r#"{"Port":1}"#, "Protocol"),
            (
                Kind::BlackholePort,
                r#"{"Port":1,"Protocol":""}"#,
                "Protocol",
            ),
            (
                Kind::BlackholePort,
                r#"{"Port":1,"Protocol":"udp"}"#,
                "TrafficType",
            ),
            (Kind::Latency, r"{}", "DelayMilliseconds"),
            (
                Kind::Latency,
                r#"{"DelayMilliseconds":1}"#,
                "JitterMilliseconds",
            ),
            (
                Kind::Latency,
                r#"{"DelayMilliseconds":1,"JitterMilliseconds":1,"Sources":[]}"#,
                "Sources",
            ),
            (Kind::PacketLoss, r"{}", "LossPercent"),
            (Kind::PacketLoss, r#"{"LossPercent":1}"#, "Sources"),
        ] {
            let wanted = format!("required parameter {member} is missing");
            assert_eq!(missing(kind, body), wanted, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (kind, body, member) in [
            (
                Kind::BlackholePort,
                r#"{"Port":1,"Protocol":"icmp","TrafficType":"egress"}"#,
                "Protocol",
            ),
            (
                Kind::BlackholePort,
                r#"{"Port":1,"Protocol":"tcp","TrafficType":"both"}"#,
                "TrafficType",
            ),
            (
                Kind::BlackholePort,
                r#"{"Port":1,"Protocol":"tcp","TrafficType":"egress","SourcesToFilter":["db; reboot"]}"#,
                "SourcesToFilter",
            ),
            (
                Kind::PacketLoss,
                r#"{"LossPercent":0,"Sources":["10.0.0.1"]}"#,
                "LossPercent",
            ),
            (
                Kind::PacketLoss,
                r#"{"LossPercent":101,"Sources":["10.0.0.1"]}"#,
                "LossPercent",
            ),
            (
                Kind::PacketLoss,
                r#"{"LossPercent":1,"Sources":["10.0.0.1/33"]}"#,
                "Sources",
            ),
            (
                Kind::PacketLoss,
                r#"{"LossPercent":1,"Sources":["10.0.0.1/+8"]}"#,
                "Sources",
            ),
        ] {
            let told = start(kind, body).expect_err("it is wrong");
            assert!(told.starts_with("invalid value "), "{told}");
            assert!(told.ends_with(&format!("for parameter {member}")), "{told}");
        }
        assert!(start(Kind::BlackholePort, r#"{"Port":65536}"#).is_err());
        let some = r#"{"LossPercent":1,"Sources":["10.0.0.1"],"FlowsPercent":50}"#;
        assert!(start(Kind::PacketLoss, some).is_err_and(|told| told.contains("FlowsPercent")));
    }

    #[test]
    fn stopping_and_asking_take_no_body_but_for_a_port() {
        for kind in [Kind::Latency, Kind::PacketLoss] {
            for action in [Action::Stop, Action::Status] {
                assert_eq!(read(kind, action, b""), Ok(None));
            }
        }
        assert!(read(Kind::BlackholePort, Action::Stop, b"").is_err());
    }
}
