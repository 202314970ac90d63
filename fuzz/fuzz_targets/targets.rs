//! Every target of `longshore::fuzzing` in one program: what takes long is to build the program that they look at, and each of them
//! would link all of it. `LONGSHORE_TARGET` says which one is run.

#![no_main]

use std::sync::OnceLock;

use longshore::fuzzing::{TARGETS, Target};

static TARGET: OnceLock<Target> = OnceLock::new();

fn chosen() -> Target {
    let name = std::env::var("LONGSHORE_TARGET").unwrap_or_default();
    let found = TARGETS.into_iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("LONGSHORE_TARGET is none of {:?}", TARGETS.map(|(name, _)| name)))
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (_, check) = TARGET.get_or_init(chosen);
    check(data);
});
