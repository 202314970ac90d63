//! The API over a real unix socket: the server as the daemon runs it, on a store in memory that tests fill by hand and a
//! simulated engine.

mod aws;
mod client;
mod documents;
mod ecs;
mod exec;
mod fixture;
mod rollouts;
mod run_task;
mod shapes;
mod streams;
