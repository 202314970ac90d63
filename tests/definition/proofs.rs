//! Every member that is honoured, or honoured with a difference, has a test that looks at the engine.

use std::collections::BTreeSet;
use std::path::Path;

use longshore::manifest::fates::{Fate, table};
use longshore::manifest::types::Kind;

/// What a test proves: its name and the members (or `member: value`) that it looks at. What holds a proven member is proven
/// with it.
type Proof = (&'static str, &'static [&'static str]);

/// The tests of this folder, by file.
const HERE: &[(&str, &[Proof])] = &[
    ("tests/definition/firelens.rs", crate::firelens::PROOFS),
    ("tests/definition/given.rs", crate::given::PROOFS),
    ("tests/definition/lifecycle.rs", crate::lifecycle::PROOFS),
    ("tests/definition/limits.rs", crate::limits::PROOFS),
    ("tests/definition/linux.rs", crate::linux::PROOFS),
    ("tests/definition/logs.rs", crate::logs::PROOFS),
    ("tests/definition/namespaces.rs", crate::namespaces::PROOFS),
    ("tests/definition/network.rs", crate::network::PROOFS),
    ("tests/definition/process.rs", crate::process::PROOFS),
    ("tests/definition/volumes.rs", crate::volumes::PROOFS),
];

/// Tests elsewhere that look at the engine too. Credentials that a container names are given to a simulated registry only.
const ELSEWHERE: &[(&str, &[Proof])] = &[
    (
        "tests/images/versions.rs",
        &[(
            "a_deployment_keeps_the_digest_that_its_tag_had_and_the_next_one_takes_the_new",
            &["containerDefinitions[].versionConsistency"],
        )],
    ),
    (
        "tests/e2e/faults.rs",
        &[(
            "a_blocked_port_is_blocked_until_it_is_unblocked_also_by_the_next_longshore",
            &["enableFaultInjection"],
        )],
    ),
    (
        "tests/e2e/placed.rs",
        &[
            (
                "a_range_of_ports_is_published_without_a_gap_where_the_host_chooses_its_own",
                &["containerDefinitions[].portMappings[].containerPortRange"],
            ),
            (
                "a_task_runs_where_its_definitions_constraint_holds_and_is_not_placed_where_it_does_not",
                &[
                    "placementConstraints[].type",
                    "placementConstraints[].expression",
                ],
            ),
        ],
    ),
    (
        "tests/agent_simulated/secrets.rs",
        &[(
            "an_image_is_not_pulled_without_the_credentials_that_its_container_names",
            &["containerDefinitions[].repositoryCredentials.credentialsParameter"],
        )],
    ),
];

fn proofs() -> impl Iterator<Item = (&'static str, &'static Proof)> {
    let all = HERE.iter().chain(ELSEWHERE);
    all.flat_map(|(file, proofs)| proofs.iter().map(move |proof| (*file, proof)))
}

/// `member`, and `member: value` for values that fare otherwise than the member.
fn used() -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for row in table(Kind::TaskDefinition) {
        if row.fate.is_used() {
            used.insert(row.path.to_owned());
        }
        let differs = |fate: &Fate| fate.is_used() && *fate != row.fate;
        let values = row.values.iter().filter(|(_, fate)| differs(fate));
        used.extend(values.map(|(value, _)| format!("{}: {value}", row.path)));
    }
    used
}

#[test]
fn every_member_that_is_put_to_use_has_a_test_that_looks_at_the_engine() {
    let proven: BTreeSet<&str> = proofs()
        .flat_map(|(_, (_, members))| members.iter().copied())
        .collect();
    let is_proven = |member: &str| {
        proven.iter().any(|other| {
            let rest = other.strip_prefix(member);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', ':']))
        })
    };
    let missing: Vec<String> = used()
        .into_iter()
        .filter(|member| !is_proven(member))
        .collect();
    assert!(missing.is_empty(), "no test looks at {missing:#?}");
}

#[test]
fn every_proof_is_of_a_member_that_is_put_to_use_and_by_a_test_that_exists() {
    let used = used();
    for (file, (test, members)) in proofs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            text.contains(&format!("fn {test}(")),
            "{file} has no test {test}"
        );
        for member in *members {
            assert!(used.contains(*member), "{test}: {member} is not put to use");
        }
    }
}
