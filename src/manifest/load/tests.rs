use std::path::PathBuf;

use super::*;
use crate::diagnostic::{Span, codes};

/// A folder of these files.
pub(crate) fn folder<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Scan {
    Scan {
        root: PathBuf::from("manifests"),
        state: FolderState::Present,
        files: files
            .into_iter()
            .map(|(path, text)| {
                let file = SourceFile {
                    path: path.to_owned(),
                    text: text.to_owned(),
                };
                (path.to_owned(), FileContent::Text(Arc::new(file)))
            })
            .collect(),
    }
}

pub(crate) fn at(seconds: i64) -> LoadOptions {
    LoadOptions {
        allow_empty: false,
        now: Timestamp::from_millis(seconds * 1000),
    }
}

/// Loads one file with nothing remembered.
pub(crate) fn one(text: &str) -> Loaded {
    load(&folder([("a.yaml", text)]), &LastGood::default(), &at(0))
}

/// `code line:column` of everything found.
pub(crate) fn places(loaded: &Loaded) -> Vec<String> {
    loaded
        .diagnostics
        .iter()
        .map(|d| {
            let Span { line, column, .. } = d.primary.span;
            format!("{} {line}:{column}", d.code)
        })
        .collect()
}

#[test]
fn every_example_of_a_page_raises_its_code_and_the_right_one_does_not() {
    for page in codes::pages().filter(|page| page.code > "LS02" && !page.wrong.is_empty()) {
        let wrong = one(page.wrong);
        let hit = wrong.diagnostics.iter().find(|d| d.code == page.code);
        let hit = hit.unwrap_or_else(|| panic!("{}: {:?}", page.code, places(&wrong)));
        assert_eq!(hit.severity, page.severity, "{}", page.code);
        let right = one(page.right);
        assert!(
            right
                .diagnostics
                .iter()
                .all(|d| d.code != page.code && d.severity == Severity::Warning),
            "{}: {:?}",
            page.code,
            right.diagnostics
        );
    }
}

/// What ECS itself refuses in the collected definitions, or Longshore refuses until it is honoured; nothing else may be
/// an error. `LS0502` for secrets is left out here: most real definitions have some.
const REFUSED_SAMPLES: &[(&str, &[&str])] = &[
    // `links` names a container that is not there.
    ("5sfayas+", &["LS0305"]),
    // The CI job that deploys them fills in `image`.
    ("Poss111+", &["LS0209"]),
    ("hatsu38+apartment_practice__deploy__sidekiq", &["LS0204"]),
    ("hatsu38+apartment_practice__deploy__task", &["LS0204"]),
    ("hatsu38+fargate", &["LS0204"]),
    // Templates that are not filled in.
    (
        "Health-Education-England+tis-trainee-sync__.aws__task-definition-template",
        &["LS0206"],
    ),
    (
        "aws-samples+amazon-cloudwatch-container-insights__ecs-task-definition-templates__deployment-mode__replica",
        &["LS0203", "LS0206"],
    ),
    // A health check without CMD or CMD-SHELL.
    ("Qbizinc+", &["LS0319"]),
    (
        "aws-observability+aws-otel-collector__examples__ecs__",
        &["LS0319"],
    ),
    // Numbers in quotes.
    (
        "aws-samples+aws-microservices-deploy-options__",
        &["LS0202"],
    ),
    // A sample that is meant to fail.
    (
        "joozero+fargate-task-definition-validator__examples__fail",
        &["LS0205", "LS0502"],
    ),
    // EBS and EFS.
    (
        "aws-actions+amazon-ecs-deploy-task-definition__task-definition-run-task-volume",
        &["LS0504"],
    ),
];

#[test]
fn real_definitions_are_refused_only_where_ecs_refuses_them_or_a_member_is_refused() {
    let Some(shared) = std::env::var_os("LONGSHORE_SHARED") else {
        eprintln!("not run: LONGSHORE_SHARED is not set, so there are no samples");
        return;
    };
    let samples = PathBuf::from(shared).join("ecs/samples");
    let mut count = 0;
    for entry in std::fs::read_dir(&samples).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".json") {
            continue;
        }
        count += 1;
        let loaded = one(&std::fs::read_to_string(&path).unwrap());
        let raised: BTreeSet<&str> = loaded
            .diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .filter(|d| {
                !d.message.starts_with("`secrets`")
                    && !d.message.starts_with("`efsVolumeConfiguration`")
            })
            .map(|d| d.code)
            .collect();
        let expected = REFUSED_SAMPLES
            .iter()
            .find(|(start, _)| name.starts_with(start))
            .map_or(&[][..], |(_, codes)| codes);
        assert_eq!(
            raised,
            expected.iter().copied().collect(),
            "{name}: {:#?}",
            loaded
                .diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        );
        let refused = loaded
            .diagnostics
            .iter()
            .any(|d| d.severity == Severity::Error);
        assert_eq!(
            loaded.desired.task_definitions.len(),
            usize::from(!refused),
            "{name}"
        );
    }
    assert!(count >= 76, "{count} samples");
}
