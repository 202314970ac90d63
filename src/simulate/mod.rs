//! `longshore simulate`: what a folder would do, before it does it. The daemon's core runs as it is, on simulated engines
//! and in virtual time, and what is true of its promises is read off the engines' own events.
//!
//! [`prepare`](mod@prepare) makes every edit and looks every name up; [`world`] lets time pass, with the process behind a
//! [`fence`] so that it can die; [`record`] writes down what is committed. Then [`history`] works out what happened,
//! [`report`] what there is to say about it, and [`svg`] draws it.
//!
//! The answer is a function of folder, scenario and seed: nothing here reads a clock, asks an engine or a registry, or writes.
//! Neither does the simulation in `tests/simulation`, which shares [`process`] and [`fence`] and adds chance and faults.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

mod expected;
pub mod fence;
mod folder;
mod habits;
mod history;
mod prepare;
pub mod process;
mod record;
pub mod report;
pub mod scenario;
mod svg;
mod tasks;
pub mod time;
mod timeline;
mod world;

pub use history::{History, Outcome};
pub use prepare::{Prepared, Request, Unready, prepare};
pub use report::Report;
pub use svg::draw;

/// Runs what was prepared; `progress` is told how many milliseconds of virtual time have passed.
///
/// # Errors
/// The system has no means for a runtime.
pub fn run(prepared: &Prepared, progress: &AtomicU64) -> std::io::Result<(Report, History)> {
    let mut recording = world::run(prepared, progress)?;
    let history = report::history(prepared, &mut recording);
    let report = report::report(prepared, &recording, &history);
    Ok((report, history))
}

/// Runs what was prepared as often as there are engines, each time without one of them, and returns what its loss comes to.
///
/// # Errors
/// The system has no means for a runtime.
pub fn losses(prepared: &Prepared) -> std::io::Result<Vec<report::LossReport>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || -> std::io::Result<()> {
        loop {
            let engine = next.fetch_add(1, Ordering::Relaxed);
            if engine >= prepared.engines.len() {
                return Ok(());
            }
            let lost = prepare::with_loss(prepared, engine);
            let mut recording = world::run(&lost, &AtomicU64::new(0))?;
            let history = report::history(&lost, &mut recording);
            let end: Duration = recording.end.since(recording.zero);
            let loss = report::loss(&lost, engine, &history, end);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((engine, loss));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(std::io::Error::other("a simulation panicked")))
        })
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(engine, _)| *engine);
    Ok(done.into_iter().map(|(_, loss)| loss).collect())
}
