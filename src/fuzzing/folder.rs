//! A whole folder: loading, resolving, and keeping what was good (P1).

use std::path::PathBuf;
use std::sync::OnceLock;

use super::{file, text, well_placed};
use crate::diagnostic::Severity;
use crate::manifest::load::{LastGood, LoadOptions, Loaded, Pruning};
use crate::manifest::source::{FileContent, FolderState, Scan};
use crate::manifest::{export, load};
use crate::model::{ClusterSpec, ServiceSpec, TaskSpec, Timestamp};

/// A folder of what the text has: a line `=== name` begins a file.
pub fn scan(text: &str) -> Scan {
    let mut files = vec![("a.yaml".to_owned(), String::new())];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("=== ") {
            Some(name) => files.push((name.trim_end().to_owned(), String::new())),
            None => files.last_mut().expect("one at least").1.push_str(line),
        }
    }
    files.retain(|(_, text)| !text.is_empty());
    Scan {
        root: PathBuf::from("manifests"),
        state: FolderState::Present,
        files: files
            .into_iter()
            .map(|(path, text)| (path.clone(), FileContent::Text(file(&path, &text))))
            .collect(),
    }
}

fn at(seconds: i64) -> LoadOptions {
    LoadOptions {
        allow_empty: false,
        now: Timestamp::from_millis(seconds * 1000),
    }
}

/// What was good before: the manifests that `longshore init` writes.
fn good() -> &'static LastGood {
    static GOOD: OnceLock<LastGood> = OnceLock::new();
    GOOD.get_or_init(|| {
        let mut text = String::new();
        for (path, manifest) in crate::manifest::init::files() {
            if path.ends_with("yaml") {
                text.push_str(&format!("=== {path}\n{manifest}"));
            }
        }
        let loaded = load(&scan(&text), &LastGood::default(), &at(1));
        assert!(loaded.diagnostics.is_empty() && !loaded.good.is_empty());
        LastGood(loaded.good)
    })
}

/// Loading is a function of its input, nothing good is dropped while anything is wrong, what is loaded is settled, survives the
/// store, and can be put back from what `get -o yaml` prints.
pub fn check(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let scan = scan(text);
    let loaded = load(&scan, good(), &at(2));
    assert_eq!(loaded, load(&scan, good(), &at(2)));
    well_placed(&loaded.diagnostics);

    let mut found = loaded.diagnostics.iter();
    let wrong = found.any(|d| d.severity == Severity::Error);
    assert_eq!(
        loaded.desired.incomplete,
        loaded.pruning != Pruning::Allowed
    );
    if wrong {
        assert!(matches!(loaded.pruning, Pruning::Withheld(_)));
    }
    if loaded.desired.incomplete {
        assert!(good().keys().all(|key| loaded.good.contains_key(key)));
    }
    let all = loaded.desired.all_services();
    for (spec, _) in all {
        let families = &loaded.desired.task_definitions;
        assert!(spec.revision.is_some() || families.contains_key(&spec.family));
    }
    let again = load(&scan, &LastGood(loaded.good.clone()), &at(3));
    assert_eq!(again.desired, loaded.desired);
    assert_eq!(again.diagnostics, loaded.diagnostics);
    survives_the_store(&loaded);
    if !wrong {
        can_be_put_back(&loaded);
    }
}

fn survives_the_store(loaded: &Loaded) {
    fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        let bytes = serde_json::to_vec(value).expect("it can be written");
        serde_json::from_slice(&bytes).expect("what was written can be read")
    }
    for (definition, _) in loaded.desired.task_definitions.values() {
        let spec: TaskSpec = stored(definition.spec.as_ref());
        assert_eq!(spec, *definition.spec);
        assert_eq!(spec.hash(), definition.hash);
    }
    for (service, _) in loaded.desired.all_services() {
        assert_eq!(stored::<ServiceSpec>(service), *service);
    }
    for (cluster, _) in loaded.desired.clusters.values() {
        assert_eq!(stored::<ClusterSpec>(cluster), *cluster);
    }
}

fn can_be_put_back(loaded: &Loaded) {
    let kept = loaded.good.values();
    let documents: Vec<_> = kept.map(|kept| export::document(kept, None)).collect();
    let printed = scan(&export::to_yaml(&documents));
    let back = load(&printed, &LastGood::default(), &at(2));
    let errors = back.diagnostics.iter();
    let errors: Vec<_> = errors.filter(|d| d.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let hashes = |of: &Loaded| {
        let families = of.desired.task_definitions.iter();
        families
            .map(|(family, (definition, _))| (family.clone(), definition.hash.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(hashes(&back), hashes(loaded));
    assert!(back.good.keys().eq(loaded.good.keys()));
}
