//! From a scenario that fails to a smaller one that fails in the same way.

use super::oracles::Oracle;
use super::scenario::Scenario;

/// Runs that are made at most.
const RUNS: usize = 80;

/// The positions of the happenings that are left. `fails` runs a scenario, and says whether that promise is broken.
pub fn shrink(
    scenario: &Scenario,
    oracle: Oracle,
    fails: impl Fn(&Scenario, Oracle) -> bool,
) -> Vec<usize> {
    // The last one mends everything and always stays.
    let mut kept: Vec<usize> = (0..scenario.acts.len().saturating_sub(1)).collect();
    let mut runs = 0;
    let mut size = kept.len().div_ceil(2);
    while size > 0 && runs < RUNS {
        let mut from = 0;
        let mut smaller = false;
        while from < kept.len() && runs < RUNS {
            let until = (from + size).min(kept.len());
            let mut without = kept.clone();
            without.drain(from..until);
            runs += 1;
            if fails(&scenario.only(|n| without.contains(&n)), oracle) {
                kept = without;
                smaller = true;
            } else {
                from = until;
            }
        }
        if !smaller || size > 1 {
            size = match size {
                1 => 0,
                size => size.div_ceil(2),
            };
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_part_in_a_failure_is_left_out() {
        let mut scenario = Scenario::new(1);
        let last = scenario.acts.last().cloned().expect("the edit that mends");
        scenario.acts = (0..12).map(|_| last.clone()).collect();
        for (n, (at, _)) in scenario.acts.iter_mut().enumerate() {
            *at = std::time::Duration::from_secs(n as u64);
        }
        let needed = [3, 7, 8];
        let left = shrink(&scenario, Oracle::Cap, |smaller, _| {
            let there = |n: &u64| smaller.acts.iter().any(|(at, _)| at.as_secs() == *n);
            needed.iter().all(there)
        });
        assert_eq!(left, [3, 7, 8]);
    }
}
