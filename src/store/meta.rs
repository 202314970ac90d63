//! `meta`: whose store this is, and who may have it.

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The newest layout of the values in the tree that is known here. A field that is added with a default is no new layout.
pub const FORMAT: u32 = 1;

/// What a store says about itself. Written by the controller when it first takes the store, and when it is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The version of the values' layout; a newer one is refused.
    pub format: u32,
    /// The absolute path of the folder of manifests that it belongs to.
    pub folder: String,
    /// The owner that everything on the engines is labelled with: 16 hexadecimal digits.
    pub owner: String,
    /// When the store was first taken.
    pub created_at: Timestamp,
    /// The version of Longshore that wrote this.
    #[serde(default)]
    pub written_by: String,
    /// Where several machines follow copies of the folder: the contents that were applied, newest last, each once and at most
    /// [`SEEN`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<SeenContent>,
}

/// How many of a folder's contents are remembered.
pub const SEEN: usize = 64;

/// A content of the folder that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenContent {
    /// The hash of a scan.
    pub hash: String,
    /// When it was first taken, or taken again after another.
    pub at: Timestamp,
}

impl Meta {
    /// When that content was applied and what has been applied since, if it is not what was applied last: a copy with it is behind.
    pub fn overtaken(&self, hash: &str) -> Option<(&SeenContent, &SeenContent)> {
        let newest = self.seen.last().filter(|newest| newest.hash != hash)?;
        let found = self.seen.iter().find(|seen| seen.hash == hash)?;
        Some((found, newest))
    }

    /// The same with that content as the newest.
    #[must_use]
    pub fn having_seen(&self, hash: &str, at: Timestamp) -> Self {
        let mut meta = self.clone();
        meta.seen.retain(|seen| seen.hash != hash);
        meta.seen.push(SeenContent {
            hash: hash.to_owned(),
            at,
        });
        let surplus = meta.seen.len().saturating_sub(SEEN);
        meta.seen.drain(..surplus);
        meta
    }
}

/// Who wants a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The absolute path of its folder of manifests, as [`known_as`](super::dir::known_as) gives it.
    pub folder: String,
    /// Its owner id, from the file beside the store.
    pub owner: String,
    /// Its version of Longshore.
    pub version: String,
    /// Whether it takes the store of another folder or owner (`--take-over`).
    pub take_over: bool,
}

/// What a claim came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The store was never taken: write this. It may be new while the engines are not (a lost store).
    New(Meta),
    /// It is the claimant's already. Write this when it is not what was stored: another version of Longshore wrote that.
    Ours(Meta),
    /// It belonged to somebody else and is taken from them: write this.
    TakenOver {
        /// What to write.
        meta: Meta,
        /// What was there.
        from: Meta,
    },
}

impl Claim {
    /// What the store is to say from now on.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::New(meta) | Self::Ours(meta) | Self::TakenOver { meta, .. } => meta,
        }
    }
}

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// A newer Longshore wrote the values.
    #[error(
        "the state was written by Longshore {written_by} in format {found}; this Longshore knows up to {known}. Use that version, or a newer one"
    )]
    NewerFormat {
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
        /// Who wrote it.
        written_by: String,
    },
    /// It belongs to another folder.
    #[error(
        "the state belongs to the folder {stored}, not to {ours}. Give the other folder, or another --state-dir; or, where this folder replaces that one, --take-over"
    )]
    OtherFolder {
        /// The folder it belongs to.
        stored: String,
        /// The claimant's.
        ours: String,
    },
    /// It was copied from, or restored into, another state directory.
    #[error(
        "the state belongs to owner {stored}, the state directory to owner {ours}: one of them was copied here. Bring back the file `owner` that belongs to the state; or keep the directory's with --take-over, and containers of {stored} are left alone"
    )]
    OtherOwner {
        /// The owner it belongs to.
        stored: String,
        /// The claimant's.
        ours: String,
    },
}

/// Decides whether `claimant` may have the store that says `stored` about itself (`None`: nothing yet).
pub fn claim(
    stored: Option<&Meta>,
    claimant: &Claimant,
    now: Timestamp,
) -> Result<Claim, ClaimError> {
    let ours = |created_at| Meta {
        format: FORMAT,
        folder: claimant.folder.clone(),
        owner: claimant.owner.clone(),
        created_at,
        written_by: claimant.version.clone(),
        seen: stored.map(|stored| stored.seen.clone()).unwrap_or_default(),
    };
    let Some(stored) = stored else {
        return Ok(Claim::New(ours(now)));
    };
    if stored.format > FORMAT {
        return Err(ClaimError::NewerFormat {
            found: stored.format,
            known: FORMAT,
            written_by: stored.written_by.clone(),
        });
    }
    let meta = ours(stored.created_at);
    if stored.folder == meta.folder && stored.owner == meta.owner {
        return Ok(Claim::Ours(meta));
    }
    if claimant.take_over {
        let from = stored.clone();
        return Ok(Claim::TakenOver { meta, from });
    }
    if stored.folder != meta.folder {
        return Err(ClaimError::OtherFolder {
            stored: stored.folder.clone(),
            ours: meta.folder,
        });
    }
    Err(ClaimError::OtherOwner {
        stored: stored.owner.clone(),
        ours: meta.owner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(folder: &str, owner: &str) -> Claimant {
        Claimant {
            folder: folder.to_owned(),
            owner: owner.to_owned(),
            version: "1.2.0".to_owned(),
            take_over: false,
        }
    }

    fn stored() -> Meta {
        Meta {
            format: FORMAT,
            folder: "/srv/shop".to_owned(),
            owner: "00000000000000aa".to_owned(),
            created_at: Timestamp::from_millis(5),
            written_by: "1.0.0".to_owned(),
            seen: Vec::new(),
        }
    }

    const NOW: Timestamp = Timestamp::from_millis(9);

    #[test]
    fn a_new_store_becomes_the_claimants() {
        let claim = claim(None, &claimant("/srv/shop", "00000000000000aa"), NOW);
        let expected = Meta {
            created_at: NOW,
            written_by: "1.2.0".to_owned(),
            ..stored()
        };
        assert_eq!(claim, Ok(Claim::New(expected)));
    }

    #[test]
    fn a_store_that_is_ours_keeps_its_age_and_learns_our_version() {
        let claim = claim(
            Some(&stored()),
            &claimant("/srv/shop", "00000000000000aa"),
            NOW,
        );
        let expected = Meta {
            written_by: "1.2.0".to_owned(),
            ..stored()
        };
        assert_eq!(claim, Ok(Claim::Ours(expected)));
    }

    #[test]
    fn another_folders_store_is_refused_unless_it_is_taken_over() {
        let mut other = claimant("/srv/blog", "00000000000000aa");
        let refused = claim(Some(&stored()), &other, NOW).expect_err("another folder's");
        let text = refused.to_string();
        for part in ["/srv/shop", "/srv/blog", "--take-over"] {
            assert!(text.contains(part), "{text}");
        }
        other.take_over = true;
        let taken = claim(Some(&stored()), &other, NOW).expect("taken over");
        assert_eq!(taken.meta().folder, "/srv/blog");
        assert!(matches!(taken, Claim::TakenOver { from, .. } if from == stored()));
    }

    #[test]
    fn a_content_that_was_applied_before_the_newest_is_overtaken() {
        let at = Timestamp::from_millis;
        let meta = stored().having_seen("a", at(1)).having_seen("b", at(2));
        let (found, newest) = meta.overtaken("a").expect("behind");
        assert_eq!((found.at, newest.hash.as_str()), (at(1), "b"));
        assert_eq!(meta.overtaken("b"), None, "it is the newest");
        assert_eq!(meta.overtaken("c"), None, "it was never seen");
        // Gone back to by whoever leads, it is the newest, and what came between is behind.
        let back = meta.having_seen("a", at(3));
        assert_eq!(back.overtaken("a"), None);
        assert!(back.overtaken("b").is_some());
        let many = (0..200).fold(meta, |meta, n| meta.having_seen(&n.to_string(), at(n)));
        assert_eq!((many.seen.len(), many.seen[0].hash.as_str()), (SEEN, "136"));
    }

    #[test]
    fn a_store_that_was_copied_beside_another_owner_is_refused() {
        let other = claimant("/srv/shop", "00000000000000bb");
        assert!(matches!(
            claim(Some(&stored()), &other, NOW),
            Err(ClaimError::OtherOwner { .. })
        ));
    }

    #[test]
    fn a_newer_format_is_refused_by_name_even_to_who_takes_over() {
        let newer = Meta {
            format: FORMAT + 1,
            written_by: "9.0.0".to_owned(),
            ..stored()
        };
        let mut other = claimant("/srv/blog", "00000000000000aa");
        other.take_over = true;
        let refused = claim(Some(&newer), &other, NOW).expect_err("newer");
        assert!(refused.to_string().contains("Longshore 9.0.0 in format 2"));
    }
}
