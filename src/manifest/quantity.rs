//! Amounts of CPU and memory as ECS writes them at task level.

/// Reads CPU: units (`256`) or vCPUs (`1 vCPU`, `.25 vcpu`), 1024 units each. None if it is neither.
pub fn cpu_units(text: &str) -> Option<u32> {
    amount(text, "vcpu")
}

/// Reads memory: MiB (`512`) or GB (`1 GB`, `.5 gb`), 1024 MiB each. None if it is neither.
pub fn memory_mib(text: &str) -> Option<u32> {
    amount(text, "gb")
}

fn amount(text: &str, unit: &str) -> Option<u32> {
    let text = text.trim().to_ascii_lowercase();
    let Some(number) = text.strip_suffix(unit) else {
        return text.parse().ok();
    };
    let number = number.trim_end();
    let is_plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let amount = number.parse::<f64>().ok().filter(|_| is_plain)? * 1024.0;
    (amount <= f64::from(u32::MAX)).then_some(amount.round() as u32)
}

/// Whether Fargate has tasks of that much CPU and memory.
pub fn fits_fargate(cpu: u32, memory: u32) -> bool {
    let gb = |from: u32, to: u32, step: u32| {
        memory >= from * 1024 && memory <= to * 1024 && memory.is_multiple_of(step * 1024)
    };
    match cpu {
        256 => [512, 1024, 2048].contains(&memory),
        512 => gb(1, 4, 1),
        1024 => gb(2, 8, 1),
        2048 => gb(4, 16, 1),
        4096 => gb(8, 30, 1),
        8192 => gb(16, 60, 4),
        16384 => gb(32, 120, 8),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_words_mean_the_same() {
        assert_eq!(cpu_units("256"), Some(256));
        assert_eq!(cpu_units(".25 vCPU"), Some(256));
        assert_eq!(cpu_units("1vcpu"), Some(1024));
        assert_eq!(memory_mib("512"), Some(512));
        assert_eq!(memory_mib(".5 gb"), Some(512));
        assert_eq!(memory_mib("30 GB"), Some(30720));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in [
            "",
            "vCPU",
            "1e3 vCPU",
            "-1",
            "1.5",
            "two",
            "512 MB",
            "infvcpu",
            "1 . 2 vcpu",
        ] {
            assert_eq!(cpu_units(text), None, "{text}");
        }
        assert_eq!(memory_mib("99999999999 GB"), None);
    }

    #[test]
    fn fargate_has_its_own_sizes() {
        assert!(fits_fargate(256, 512));
        assert!(!fits_fargate(256, 4096));
        assert!(fits_fargate(8192, 20 * 1024));
        assert!(!fits_fargate(8192, 17 * 1024));
        assert!(!fits_fargate(128, 256));
    }
}
