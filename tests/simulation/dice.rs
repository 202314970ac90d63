//! Chance that is a function of a seed.

use std::sync::Arc;

use longshore::clock::{IdGen, SeededIds};

/// Dice; clones of it are the same dice.
#[derive(Debug, Clone)]
pub struct Dice(Arc<SeededIds>);

impl Dice {
    /// Dice for one `purpose` of a run: what one purpose throws changes nothing for another.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mixed =
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ purpose.wrapping_mul(0xD1B5_4A32_D192_ED03);
        Self(SeededIds::new(mixed))
    }

    pub fn bits(&self) -> u64 {
        self.0.bits()
    }

    /// From `0` to `below - 1`.
    pub fn below(&self, below: u64) -> u64 {
        self.0.bits() % below.max(1)
    }

    /// From `from` to `to`, both included.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True `percent` times in a hundred.
    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        &from[at]
    }

    /// A `minimumHealthyPercent` and a `maximumPercent`.
    pub fn percentages(&self) -> (u32, u32) {
        *self.pick(&[
            (100, 200),
            (50, 200),
            (50, 100),
            (0, 100),
            (100, 150),
            (75, 125),
            (0, 200),
            (50, 150),
            (34, 167),
        ])
    }
}
