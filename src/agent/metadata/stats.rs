//! `…/stats`: what a container uses, as the engine samples it, with the sample before it and ECS's rates.
//!
//! Docker's own second sample costs each caller a second or two. Here the samples that were taken last stay for a while, so that
//! who asks every few seconds, as collectors do, is answered at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::engine::{Engine, EngineResult};
use crate::model::Timestamp;

/// Least time between two samples that are compared.
const APART: Duration = Duration::from_secs(1);
/// A sample that is older is not compared with.
const OLD: Duration = Duration::from_secs(60);

/// The last sample of each container, by its id.
#[derive(Debug, Default)]
pub(super) struct Samples(Mutex<HashMap<String, Sample>>);

#[derive(Debug, Clone)]
struct Sample {
    at: Timestamp,
    stats: Value,
}

impl Samples {
    /// What a container uses now, beside what it used a while ago.
    ///
    /// # Errors
    /// The engine's.
    pub async fn read(
        &self,
        engine: &dyn Engine,
        clock: &dyn Clock,
        id: &str,
    ) -> EngineResult<Value> {
        let before = match self.last(id, clock.now()) {
            Some(before) => before,
            None => {
                let first = engine.stats(id).await?;
                tokio::time::sleep(APART).await;
                first
            }
        };
        let stats = engine.stats(id).await?;
        let at = clock.now();
        let sample = Sample {
            at,
            stats: stats.clone(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, sample| at.since(sample.at) < OLD);
        all.insert(id.to_owned(), sample);
        drop(all);
        Ok(with_before(&before, stats))
    }

    fn last(&self, id: &str, now: Timestamp) -> Option<Value> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sample = all.get(id)?;
        let age = now.since(sample.at);
        (APART..OLD).contains(&age).then(|| sample.stats.clone())
    }
}

/// The later sample with the earlier one in it, as Docker's stream has it, and ECS's `network_rate_stats`.
fn with_before(before: &Value, mut stats: Value) -> Value {
    let rates = rates(before, &stats);
    if let Some(members) = stats.as_object_mut() {
        let earlier = |member: &str| before.get(member).cloned().unwrap_or_default();
        members.insert("preread".to_owned(), earlier("read"));
        members.insert("precpu_stats".to_owned(), earlier("cpu_stats"));
        if let Some(rates) = rates {
            members.insert("network_rate_stats".to_owned(), rates);
        }
    }
    stats
}

fn rates(before: &Value, after: &Value) -> Option<Value> {
    let at = |stats: &Value| Timestamp::parse_rfc3339(stats.get("read")?.as_str()?);
    let seconds = at(after)?.since(at(before)?).as_secs_f64();
    let (before, after) = (networks(before)?, networks(after)?);
    let rate = |member: &str| {
        let grown = sum(after, member) - sum(before, member);
        if seconds > 0.0 {
            (grown / seconds).max(0.0)
        } else {
            0.0
        }
    };
    Some(json!({
        "rx_bytes_per_sec": rate("rx_bytes"),
        "tx_bytes_per_sec": rate("tx_bytes"),
    }))
}

fn networks(stats: &Value) -> Option<&Map<String, Value>> {
    stats.get("networks")?.as_object()
}

fn sum(networks: &Map<String, Value>, member: &str) -> f64 {
    networks
        .values()
        .filter_map(|network| network.get(member)?.as_f64())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::clock::{SeededIds, TokioClock};
    use crate::engine::simulated::{SimImage, SimOptions, Simulated};

    fn sample(second: u32, rx: u64) -> Value {
        json!({
            "read": format!("2026-01-01T00:00:{second:02}.5Z"),
            "cpu_stats": {"cpu_usage": {"total_usage": second}},
            "precpu_stats": {"cpu_usage": {"total_usage": 0}},
            "networks": {"eth0": {"rx_bytes": rx, "tx_bytes": 7}, "eth1": {"rx_bytes": 1, "tx_bytes": 0}},
        })
    }

    #[test]
    fn a_sample_carries_the_one_before_it_and_the_rates_between_them() {
        let stats = with_before(&sample(10, 1000), sample(14, 3000));
        assert_eq!(stats["preread"], "2026-01-01T00:00:10.5Z");
        assert_eq!(stats["precpu_stats"]["cpu_usage"]["total_usage"], 10);
        assert_eq!(stats["cpu_stats"]["cpu_usage"]["total_usage"], 14);
        assert_eq!(
            stats["network_rate_stats"],
            json!({"rx_bytes_per_sec": 500.0, "tx_bytes_per_sec": 0.0})
        );
    }

    #[test]
    fn counters_that_began_anew_give_no_negative_rate() {
        let stats = with_before(&sample(10, 1000), sample(14, 10));
        assert_eq!(stats["network_rate_stats"]["rx_bytes_per_sec"], 0.0);
    }

    #[test]
    fn without_networks_there_are_no_rates() {
        let alone =
            |second| json!({"read": format!("2026-01-01T00:00:{second:02}Z"), "cpu_stats": {}});
        let stats = with_before(&alone(1), alone(2));
        assert_eq!(stats.get("network_rate_stats"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_takes_a_second_and_the_next_ones_none() {
        let clock = TokioClock::starting_at(Timestamp::from_millis(1_800_000_000_000));
        let engine = Simulated::new(clock.clone(), SeededIds::new(1), SimOptions::default());
        engine.add_image("meter:1", SimImage::default());
        let body = crate::engine::CreateBody {
            image: "meter:1".to_owned(),
            cmd: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
            ..Default::default()
        };
        let id = engine
            .create_container("meter", &body)
            .await
            .expect("created");
        engine.start_container(&id).await.expect("started");
        let samples = Samples::default();
        let mut took = Vec::new();
        for _ in 0..3 {
            let start = tokio::time::Instant::now();
            let read = samples.read(&*engine, &*clock, &id).await;
            assert!(read.expect("stats")["precpu_stats"].is_object());
            took.push(start.elapsed() >= APART);
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        assert_eq!(took, [true, false, false]);
    }
}
