//! What containers use: as much as a container that mostly sleeps.

use serde_json::{Value, json};

use super::state::{Answer, Container, State};

/// Bytes of memory of a running container.
const MEMORY: u64 = 1 << 20;
/// Of each second that it runs, so many nanoseconds of a CPU.
const CPU_OF_A_SECOND: u64 = 1_000_000;
/// Bytes and packets a second on each network.
const TRAFFIC: (u64, u64) = (1000, 10);

impl State {
    pub fn stats(&self, target: &str) -> Answer<Value> {
        let container = self.container(target)?;
        let named = |mut stats: Value| {
            stats["id"] = json!(container.id);
            stats["name"] = json!(format!("/{}", container.name));
            stats
        };
        if !container.is_running() {
            // Docker's zero time: there was nothing to read.
            return Ok(named(json!({
                "read": "0001-01-01T00:00:00Z",
                "cpu_stats": {"cpu_usage": {"total_usage": 0}},
                "precpu_stats": {"cpu_usage": {"total_usage": 0}},
                "memory_stats": {},
            })));
        }
        let seconds = tokio::time::Instant::now()
            .duration_since(container.since)
            .as_secs();
        let mut stats = json!({
            "read": self.clock.now().to_string(),
            "preread": "0001-01-01T00:00:00Z",
            "cpu_stats": {
                "cpu_usage": {"total_usage": seconds * CPU_OF_A_SECOND},
                "online_cpus": self.options.cpus,
            },
            "precpu_stats": {"cpu_usage": {"total_usage": 0}},
            "memory_stats": {"usage": MEMORY, "limit": self.options.memory},
        });
        // Who joined a namespace has its owner's interfaces.
        let holder = match &container.joined {
            Some(joined) => self.container(&joined.owner)?,
            None => container,
        };
        let networks = networks(holder, seconds);
        if networks != json!({}) {
            stats["networks"] = networks;
        }
        Ok(named(stats))
    }
}

/// One interface a network that it has an address on.
fn networks(container: &Container, seconds: u64) -> Value {
    let (bytes, packets) = (seconds * TRAFFIC.0, seconds * TRAFFIC.1);
    let interface = json!({
        "rx_bytes": bytes, "rx_packets": packets, "rx_errors": 0, "rx_dropped": 0,
        "tx_bytes": bytes, "tx_packets": packets, "tx_errors": 0, "tx_dropped": 0,
    });
    container
        .endpoints
        .values()
        .filter(|endpoint| endpoint.address.is_some())
        .enumerate()
        .map(|(at, _)| (format!("eth{at}"), interface.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
