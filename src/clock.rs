//! Where time and fresh names come from: the only two sources of nondeterminism that Longshore itself has.
//!
//! Decisions (`controller::plan`, `agent::step`) get a [`Timestamp`] as an input and never see these traits; the
//! workers around them do. Tests and the simulated engine use [`ManualClock`] and [`SeededIds`], so a run is a function of
//! its seed. Clippy's `disallowed-methods` refuses every other way to ask for the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{TaskId, Timestamp};

/// A source of wall-clock time.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// A shared clock, as it is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when told to.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(start.as_millis())))
    }

    /// Moves the clock to `to`; never backwards.
    pub fn advance_to(&self, to: Timestamp) {
        self.0.fetch_max(to.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A clock that follows tokio's: real in the product, virtual where a test has paused time.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: Timestamp,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that shows `base` now and goes on with tokio's time.
    pub fn starting_at(base: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            base,
            started: tokio::time::Instant::now(),
        })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base.plus(self.started.elapsed())
    }
}

/// How long the machine has been up, the time that it slept included. It never goes back, and says nothing about the time of day:
/// for limits that others keep meanwhile. Where the kernel does not count sleep, it stands still like every other clock.
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// A source of identities that are never given twice.
pub trait IdGen: Send + Sync + 'static {
    /// 64 fresh bits.
    fn bits(&self) -> u64;

    /// A task id as ECS writes it: 32 lower-case hexadecimal digits.
    fn task_id(&self) -> TaskId {
        TaskId::new(format!("{:016x}{:016x}", self.bits(), self.bits()))
    }
}

/// A shared id generator, as it is handed around.
pub type SharedIds = Arc<dyn IdGen>;

/// Ids from the operating system's entropy.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl IdGen for RandomIds {
    fn bits(&self) -> u64 {
        let mut bytes = [0_u8; 8];
        if rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) == Ok(8) {
            return u64::from_ne_bytes(bytes);
        }
        use std::hash::{BuildHasher, Hasher};
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    }
}

/// Ids that are a function of a seed (splitmix64), for tests and simulations.
#[derive(Debug)]
pub struct SeededIds(AtomicU64);

impl SeededIds {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seed)))
    }
}

impl IdGen for SeededIds {
    fn bits(&self) -> u64 {
        let state = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
