//! Images from a real registry: Debian's `docker-registry`, which each test starts for itself.

#[path = "../rig/mod.rs"]
mod agent;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "each test binary uses its own part")]
#[path = "../e2e/rig.rs"]
mod rig;

mod both;
mod cleanup;
mod private;
mod pulling;
mod refusals;
mod versions;
