//! Real definitions, where the reference data is there.

use super::*;

/// What ECS itself refuses in the collected definitions, or Longshore refuses until it is honoured; nothing else may be
/// an error.
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
    // Numbers in quotes, which the AWS command line and its SDKs refuse too.
    (
        "aws-samples+aws-microservices-deploy-options__",
        &["LS0202"],
    ),
    // A configuration of the log router that is an object of S3.
    (
        "aws-samples+amazon-ecs-firelens-examples__examples__fluent-bit__add-keys",
        &["LS0337"],
    ),
    // A sample that is meant to fail.
    (
        "joozero+fargate-task-definition-validator__examples__fail",
        &["LS0205", "LS0305"],
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
            .filter(|d| d.code != codes::FILE_SYSTEM)
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

/// How many members of all samples together have each fate: seen by who runs it, and held only to what must not change: more
/// is put to use than all else together, and little is refused.
#[test]
fn the_members_of_real_definitions_are_put_to_use_but_for_a_few() {
    let Some(shared) = std::env::var_os("LONGSHORE_SHARED") else {
        eprintln!("not run: LONGSHORE_SHARED is not set, so there are no samples");
        return;
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in std::fs::read_dir(PathBuf::from(shared).join("ecs/samples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for document in crate::manifest::yaml::parse(&Arc::new(SourceFile {
            path: "a.yaml".into(),
            text,
        }))
        .documents
        {
            let json = document.to_json();
            let spec = json.get("taskDefinition").unwrap_or(&json);
            count_members(spec, "", &mut counts);
        }
    }
    println!("{counts:?}");
    let of = |fate: &str| counts.get(fate).copied().unwrap_or_default();
    let used = of("honoured") + of("differs");
    assert!(used > 2000, "{counts:?}");
    assert!(used > 10 * (of("no effect") + of("not yet")), "{counts:?}");
    assert!(of("refused") + of("not possible") < 10, "{counts:?}");
}

fn count_members(value: &Json, path: &str, counts: &mut BTreeMap<&'static str, usize>) {
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                let path = match path {
                    "" => name.clone(),
                    above => format!("{above}.{name}"),
                };
                let found = crate::manifest::fates::table(Kind::TaskDefinition)
                    .iter()
                    .find(|row| row.path == path);
                if let Some(row) = found.filter(|_| !member.is_null()) {
                    let of_value = row
                        .values
                        .iter()
                        .find(|(value, _)| member.as_str() == Some(value));
                    let fate = of_value.map_or(row.fate, |(_, fate)| *fate);
                    *counts.entry(fate.word()).or_default() += 1;
                }
                count_members(member, &path, counts);
            }
        }
        Json::Array(items) => {
            for item in items {
                count_members(item, &format!("{path}[]"), counts);
            }
        }
        _ => {}
    }
}
