//! What looks random and follows from stable data alone.

/// When the instance of that name comes up for the time after `before` others, as a number to compare with those of other
/// instances: the times of a Poisson process. The first one due is any of them, whatever came before, as if dice were thrown;
/// and it is known without looking at anything but the instance itself.
pub(super) fn arrival(seed: &str, name: &str, before: u32) -> u64 {
    let start = mix(text(text(0xcbf2_9ce4_8422_2325, seed), name));
    let gaps = (0..=u64::from(before)).map(|n| {
        let bits = mix(start ^ mix(n)) >> 11;
        // Above 0 and at most 1, so that its logarithm is finite.
        let share = (bits + 1) as f64 / (1_u64 << 53) as f64;
        -share.ln()
    });
    // Of numbers that are not negative, the bits stand in the order of the numbers.
    gaps.sum::<f64>().abs().to_bits()
}

fn text(hash: u64, text: &str) -> u64 {
    let bytes = text.bytes().chain([0xff]);
    bytes.fold(hash, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads what differs in few bits over all of them.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_comes_up_as_often_as_any_other_and_not_in_turn() {
        let mut counts = [0_u32; 4];
        let mut last = usize::MAX;
        let mut repeats = 0;
        for _ in 0..4000 {
            let names = ["a", "b", "c", "d"];
            let next = (0..4).min_by_key(|at| arrival("seed", names[*at], counts[*at]));
            let next = next.expect("one of four");
            repeats += u32::from(next == last);
            last = next;
            counts[next] += 1;
        }
        assert!(counts.iter().all(|n| (900..1100).contains(n)), "{counts:?}");
        assert!((800..1200).contains(&repeats), "{repeats} of 4000");
    }

    #[test]
    fn it_depends_on_the_seed_and_on_nothing_that_changes() {
        assert_eq!(arrival("s", "a", 3), arrival("s", "a", 3));
        assert_ne!(arrival("s", "a", 3), arrival("t", "a", 3));
        assert!(arrival("s", "a", 4) > arrival("s", "a", 3));
    }
}
