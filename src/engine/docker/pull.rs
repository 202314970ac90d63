//! How far a pull is, from what an engine says of each layer. Pure.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;

use crate::engine::PullProgress;

/// Adds up the layers of one pull. Only bytes from the registry count: unpacking them is told by the status alone.
#[derive(Debug, Default)]
pub(super) struct PullMeter {
    /// Bytes that arrived and bytes in all, by layer.
    layers: BTreeMap<String, (u64, u64)>,
}

impl PullMeter {
    /// Takes a line of the engine's answer in, and says how far the pull is now.
    pub(super) fn take(&mut self, line: &CreateImageInfo) -> PullProgress {
        let status = line.status.clone().unwrap_or_default();
        if let Some(id) = &line.id {
            let detail = line.progress_detail.as_ref();
            let bytes = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
            match status.as_str() {
                "Downloading" => {
                    let current = bytes(detail.and_then(|d| d.current));
                    let total = bytes(detail.and_then(|d| d.total)).max(current);
                    self.layers.insert(id.clone(), (current, total));
                }
                "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete" => {
                    if let Some((current, total)) = self.layers.get_mut(id) {
                        *current = *total;
                    }
                }
                _ => {}
            }
        }
        let (current, total) = self.layers.values().fold((0_u64, 0_u64), |sum, layer| {
            (sum.0.saturating_add(layer.0), sum.1.saturating_add(layer.1))
        });
        PullProgress {
            current,
            total,
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_larger_than_can_be_counted_are_as_many_as_can_be() {
        let mut meter = PullMeter::default();
        for id in ["a", "b", "c"] {
            let line = json!({"status": "Downloading", "id": id, "progressDetail": {"current": i64::MAX, "total": 1}});
            let progress = meter.take(&serde_json::from_value(line).unwrap());
            assert!(progress.current <= progress.total);
        }
    }

    #[test]
    fn layers_are_added_up_and_unpacking_does_not_count_again() {
        let mut meter = PullMeter::default();
        let mut take = |line: serde_json::Value| {
            let progress = meter.take(&serde_json::from_value(line).unwrap());
            (progress.current, progress.total)
        };
        assert_eq!(take(json!({"status": "Pulling from x", "id": "1"})), (0, 0));
        let down = |id: &str, current: i64, total: i64| json!({"status": "Downloading", "id": id, "progressDetail": {"current": current, "total": total}});
        assert_eq!(take(down("a", 10, 100)), (10, 100));
        assert_eq!(take(down("b", 5, 50)), (15, 150));
        assert_eq!(take(down("a", 60, 100)), (65, 150));
        assert_eq!(
            take(json!({"status": "Download complete", "id": "a"})),
            (105, 150)
        );
        let unpack = json!({"status": "Extracting", "id": "a", "progressDetail": {"current": 1, "total": 100}});
        assert_eq!(take(unpack), (105, 150));
        // A registry that tells no size: what has arrived is all that is known.
        assert_eq!(take(down("c", 7, -1)), (112, 157));
        assert_eq!(
            take(json!({"status": "Already exists", "id": "d"})),
            (112, 157)
        );
    }
}
