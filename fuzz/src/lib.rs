//! The targets of `longshore::fuzzing` as programs of cargo-fuzz.

/// Runs a target on these bytes.
///
/// # Panics
/// Where the target's promise is broken, and where there is no such target.
pub fn run(target: &str, data: &[u8]) {
    let found = longshore::fuzzing::TARGETS
        .iter()
        .find(|(name, _)| *name == target);
    let (_, check) = found.expect("a target");
    check(data);
}
