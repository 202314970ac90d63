//! What an agent can see of its engine's host, where that is the host it runs on itself.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::EngineInfo;
use crate::model::PortRange;

/// The ports among which the host chooses for outgoing connections, and so those where dynamic host ports lie on ECS
/// (semantics §2b, *hostPort*). Where they cannot be read: the ECS agent's own choice then.
pub(super) fn dynamic_ports(info: &EngineInfo) -> PortRange {
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let range = info.is_here.then(read).flatten();
    range
        .as_deref()
        .and_then(parse_port_range)
        .unwrap_or_default()
}

fn parse_port_range(text: &str) -> Option<PortRange> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    let range = PortRange {
        first: numbers.next()?.ok()?,
        last: numbers.next()?.ok()?,
    };
    (range.first > 0 && range.first <= range.last).then_some(range)
}

/// The GPUs that NVIDIA's driver shows, by UUID.
pub(super) fn gpus(info: &EngineInfo) -> BTreeSet<String> {
    if info.is_here {
        gpus_below(Path::new("/proc/driver/nvidia/gpus"))
    } else {
        BTreeSet::new()
    }
}

/// One folder a GPU, with a file that says its UUID.
fn gpus_below(folder: &Path) -> BTreeSet<String> {
    let uuid = |text: String| {
        let line = text.lines().find(|line| line.starts_with("GPU UUID"))?;
        let (_, uuid) = line.split_once(':')?;
        Some(uuid.trim().to_owned())
    };
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("information")).ok())
        .filter_map(uuid)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_range_is_two_numbers_in_order() {
        let range = |first, last| Some(PortRange { first, last });
        assert_eq!(parse_port_range("32768\t60999\n"), range(32768, 60999));
        for text in ["", "1", "60999 32768", "0 10", "a b", "1 70000"] {
            assert_eq!(parse_port_range(text), None, "{text:?}");
        }
    }

    #[test]
    fn gpus_are_named_by_their_uuid() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = folder.path().join("0000:01:00.0");
        std::fs::create_dir(&gpu).unwrap();
        let text = "Model: \t\t NVIDIA T4\nGPU UUID: \t GPU-8f2a1c5e-1\nBus Type: \t PCIe\n";
        std::fs::write(gpu.join("information"), text).unwrap();
        std::fs::create_dir(folder.path().join("unreadable")).unwrap();
        let found = gpus_below(folder.path());
        assert_eq!(found, BTreeSet::from(["GPU-8f2a1c5e-1".to_owned()]));
        assert!(gpus_below(&folder.path().join("missing")).is_empty());
    }

    #[test]
    fn nothing_of_another_host_is_looked_at() {
        let elsewhere = EngineInfo::default();
        assert_eq!(dynamic_ports(&elsewhere), PortRange::default());
        assert!(gpus(&elsewhere).is_empty());
    }
}
