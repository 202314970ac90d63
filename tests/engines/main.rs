//! One cluster on several real Docker Engines of this test's own: reached by TCP, by TLS with a client's certificate and by ssh,
//! drained, killed, cut off and returned.

#[path = "../common/mod.rs"]
mod common;
mod engines;
mod machines;
mod restarts;
#[path = "../e2e/rig.rs"]
#[allow(dead_code, reason = "each test binary uses its own part")]
mod rig;
mod several;
mod ways;
