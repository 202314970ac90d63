//! The order in which tasks are polled, and the clock that jumps.
//!
//! The runtime polls tasks in the order in which they were woken, always the same. Whoever is at the fence (before a call, before its
//! answer, before an event or a piece of the store's news is handed on) lets everybody else who is ready go first, as often as
//! the dice say: another order, and one that a busy machine could have come up with.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use longshore::clock::{Clock, SharedClock};
use longshore::model::Timestamp;
use longshore::simulate::fence::Warden;

use super::dice::Dice;
use super::record::Record;

/// See the module.
pub struct Order {
    dice: Dice,
    record: Arc<Record>,
}

impl Order {
    pub fn new(seed: u64, record: Arc<Record>) -> Arc<Self> {
        let dice = Dice::new(seed, 4);
        Arc::new(Self { dice, record })
    }
}

impl Warden for Order {
    fn sees(&self, what: &'static str, whom: &str) {
        self.record.passed(what, whom);
    }

    fn turns(&self) -> u32 {
        match self.dice.below(8) {
            0..4 => 0,
            4..6 => 1,
            6 => 2,
            _ => self.dice.between(3, 6) as u32,
        }
    }
}

/// The clock of Longshore's machine.
pub struct Jumpy {
    real: SharedClock,
    /// By how many milliseconds it is wrong.
    off: AtomicI64,
}

impl Jumpy {
    pub fn new(real: SharedClock) -> Arc<Self> {
        let off = AtomicI64::new(0);
        Arc::new(Self { real, off })
    }

    pub fn jump(&self, seconds: i64) {
        self.off.fetch_add(seconds * 1000, Ordering::Relaxed);
    }
}

impl Clock for Jumpy {
    fn now(&self) -> Timestamp {
        let off = self.off.load(Ordering::Relaxed);
        Timestamp::from_millis(self.real.now().as_millis() + off)
    }
}
