use proptest::prelude::*;

use super::*;

fn valid() -> &'static [String] {
    static ALL: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    ALL.get_or_init(examples)
}

fn examples() -> Vec<String> {
    let examples = codes::pages().flat_map(|page| [page.wrong, page.right]);
    let manifests = crate::manifest::init::files()
        .into_iter()
        .filter(|(path, _)| path.ends_with("yaml"));
    examples
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .chain(manifests.map(|(_, text)| text))
        .collect()
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_file(
        pick in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, "[-:{}\\[\\],#\"'& *0-9a-zA-Z\\n]{0,6}"), 1..4),
    ) {
        let texts = valid();
        let before = pick.get(texts);
        let mut text = before.clone();
        for (place, how, insert) in cuts {
            let mut at = place.index(text.len() + 1);
            while !text.is_char_boundary(at) { at -= 1; }
            match how {
                0 => text.truncate(at),
                1 => text.insert_str(at, &insert),
                2 => { let end = (at + insert.len()).min(text.len()); if text.is_char_boundary(end) { text.replace_range(at..end, &insert); } }
                _ => text = format!("{}{}", &text[at..], &text[..at]),
            }
        }
        let good = LastGood(load(&folder([("a.yaml", before.as_str())]), &LastGood::default(), &at(1)).good);
        let scan = folder([("a.yaml", text.as_str()), ("b.yaml", other.get(texts).as_str())]);
        let loaded = load(&scan, &good, &at(2));
        // P1: what was good is dropped only when nothing is wrong.
        let wrong = loaded.diagnostics.iter().any(|d| d.severity == Severity::Error);
        if wrong {
            prop_assert!(good.keys().all(|key| loaded.good.contains_key(key)));
            prop_assert!(matches!(loaded.pruning, Pruning::Withheld(_)));
        }
        for (spec, _) in loaded.desired.all_services() {
            prop_assert!(spec.revision.is_some() || loaded.desired.task_definitions.contains_key(&spec.family));
        }
        // Loading is settled: the same folder again changes nothing.
        let again = load(&scan, &LastGood(loaded.good.clone()), &at(3));
        prop_assert_eq!(again.desired, loaded.desired);
    }
}
