//! What becomes of each member of a task definition on a real engine: a definition as a user writes it is run by the agent, and
//! its containers are looked at as anybody would, with `docker inspect` and from inside. `proofs` holds the tests to the table
//! of fates: a member that is honoured, or honoured with a difference, names a test here.

#[path = "../common/mod.rs"]
mod common;
mod proofs;
#[path = "../rig/mod.rs"]
mod rig;
mod world;

mod firelens;
mod given;
mod lifecycle;
mod limits;
mod linux;
mod logs;
mod namespaces;
mod network;
mod process;
mod volumes;
