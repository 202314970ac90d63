//! Which version of Docker's API is spoken with an engine.
//!
//! An engine says the newest and the oldest version it takes; we speak the newest that both sides know, and put it before
//! every path. Engine 20.10 takes 1.12 to 1.41, engine 29 refuses all below 1.44.

use std::fmt;

/// A version `1.<minor>`. Docker has only ever had major version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ApiVersion(pub u16);

/// The oldest that Longshore speaks: Docker Engine 20.10.
pub(super) const OLDEST: ApiVersion = ApiVersion(41);
/// The newest that Longshore knows.
pub(super) const NEWEST: ApiVersion = ApiVersion(53);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl ApiVersion {
    /// Reads `1.41`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.trim().strip_prefix("1.")?.parse().ok().map(Self)
    }
}

/// What was agreed on, from what an engine said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The version to speak.
    pub version: ApiVersion,
    /// The newest version the engine speaks.
    pub newest: String,
    /// The oldest version the engine takes.
    pub oldest: String,
}

/// Chooses the version to speak with an engine that takes `oldest` to `newest`, or says why there is none. An engine that
/// names no oldest version takes all down to 1.12.
pub(super) fn agree(newest: &str, oldest: &str) -> Result<Agreement, String> {
    let theirs = ApiVersion::parse(newest)
        .ok_or_else(|| format!("it names an API version that is none of Docker's: {newest:?}"))?;
    let their_oldest = ApiVersion::parse(oldest).unwrap_or(ApiVersion(12));
    if theirs < OLDEST {
        return Err(format!(
            "this engine speaks API {theirs} at most, and Longshore needs {OLDEST}: use Docker Engine 20.10 or newer"
        ));
    }
    if their_oldest > NEWEST {
        return Err(format!(
            "this engine takes no API version below {their_oldest}, and this Longshore knows {NEWEST} at most: use a newer \
             Longshore"
        ));
    }
    Ok(Agreement {
        version: theirs.min(NEWEST),
        newest: theirs.to_string(),
        oldest: their_oldest.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_both_know_is_spoken() {
        for (newest, oldest, spoken) in [
            ("1.41", "1.12", 41),
            ("1.51", "1.24", 51),
            ("1.53", "1.44", 53),
            ("1.60", "1.44", 53),
            ("1.41", "", 41),
        ] {
            let agreed = agree(newest, oldest).unwrap();
            assert_eq!(agreed.version, ApiVersion(spoken), "{newest} {oldest}");
        }
    }

    #[test]
    fn an_engine_that_is_too_old_or_too_new_is_refused_with_what_to_do() {
        let old = agree("1.24", "1.12").unwrap_err();
        assert!(
            old.contains("1.24 at most") && old.contains("20.10 or newer"),
            "{old}"
        );
        let new = agree("1.70", "1.60").unwrap_err();
        assert!(
            new.contains("below 1.60") && new.contains("newer Longshore"),
            "{new}"
        );
        assert!(agree("2.0", "").unwrap_err().contains("\"2.0\""));
    }
}
