//! How the containers of a simulation behave: an image each.

use std::time::Duration;

use longshore::engine::simulated::{Behaviour, Probe, RegistryAnswer, SimImage, Simulated};

/// The last line of a program that ends at once.
pub const LAST_WORDS: &str = "no database to be found";

/// How what an image holds behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// It works.
    Good,
    /// It works, and must be pulled first.
    Pulled,
    /// It works, and has no handler for SIGTERM.
    Stubborn,
    /// It ends at once.
    Crashes,
    /// It ends after it has been healthy for a while.
    Tires,
    /// Its health comes and goes.
    Flaps,
    /// It never becomes healthy.
    Sick,
    /// The engine cannot start it.
    Unstartable,
    /// No registry has it.
    Missing,
    /// Its registry wants it asked for less often, for a minute each time.
    Limited,
}

impl Image {
    pub const GOOD: [Self; 3] = [Self::Good, Self::Pulled, Self::Stubborn];
    pub const BAD: [Self; 7] = [
        Self::Crashes,
        Self::Tires,
        Self::Flaps,
        Self::Sick,
        Self::Unstartable,
        Self::Missing,
        Self::Limited,
    ];

    pub fn reference(self) -> String {
        format!("sim/{self:?}:1").to_lowercase()
    }

    /// Whether a service of it comes to rest.
    pub fn settles(self) -> bool {
        Self::GOOD.contains(&self)
    }

    /// Whether its tasks end before they were ever counted healthy, so that their starts are held back more and more.
    pub fn is_throttled(self) -> bool {
        matches!(
            self,
            Self::Crashes | Self::Unstartable | Self::Missing | Self::Limited
        )
    }

    fn behaviour(self) -> Behaviour {
        let secs = Duration::from_secs;
        let good = Behaviour::forever().probe_after(secs(2), Probe::Pass);
        match self {
            Self::Good | Self::Pulled | Self::Missing | Self::Limited => good,
            Self::Stubborn => good.ignoring_term(),
            Self::Crashes => Behaviour::exits(Duration::from_millis(300), 1)
                .printing(Duration::from_millis(100), LAST_WORDS),
            Self::Tires => Behaviour::exits(secs(25), 1).probe_after(secs(1), Probe::Pass),
            Self::Flaps => (0..40).fold(good, |behaviour, cycle| {
                behaviour
                    .probe_after(secs(cycle * 60 + 20), Probe::Fail)
                    .probe_after(secs(cycle * 60 + 40), Probe::Pass)
            }),
            Self::Sick => Behaviour::forever().probe_after(secs(0), Probe::Fail),
            Self::Unstartable => Behaviour::cannot_start("no such program in the image"),
        }
    }

    /// Teaches an engine and its registry about every image.
    pub fn teach(engine: &Simulated) {
        for image in Self::GOOD.into_iter().chain(Self::BAD) {
            let reference = image.reference();
            engine.set_behaviour(&reference, image.behaviour());
            match image {
                Self::Missing => engine.set_registry(&reference, RegistryAnswer::Missing),
                Self::Limited => engine.set_registry(&reference, RegistryAnswer::RateLimited),
                Self::Pulled => {
                    let after = Duration::from_secs(4);
                    engine.set_registry(&reference, RegistryAnswer::Found { after });
                }
                _ => engine.add_image(&reference, SimImage::default()),
            }
        }
    }
}
