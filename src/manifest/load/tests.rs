use std::path::PathBuf;

use super::*;
use crate::diagnostic::{Span, codes};

mod never_panics;

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

const WEB: &str =
    "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox:1, memory: 64}\n";
const SHOP: &str =
    "family: shop\ncontainerDefinitions:\n  - {name: shop, image: busybox:1, memory: 64}\n";

fn service(name: &str, family: &str, count: u32) -> String {
    format!(
        "apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  taskDefinition: {family}\n  desiredCount: {count}\n"
    )
}

/// A key as `kind name`.
fn key(text: &str) -> ResourceKey {
    let (kind, name) = text.split_once(' ').unwrap();
    let kind = Kind::parse(kind).unwrap();
    ResourceKey {
        kind,
        cluster: (kind == Kind::Service).then(ClusterName::default),
        name: name.to_owned(),
    }
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded
        .good
        .keys()
        .map(|key| format!("{} {}", key.kind, key.name))
        .collect()
}

fn held(loaded: &Loaded) -> Vec<String> {
    loaded
        .held
        .iter()
        .map(|(key, held)| {
            format!(
                "{} {} since {}: {}",
                key.kind,
                key.name,
                held.since.as_millis() / 1000,
                held.because
            )
        })
        .collect()
}

/// All that was good at second 1, held since second 2.
fn held_whole(good: &LastGood) -> BTreeMap<ResourceKey, LastGoodDoc> {
    let mut kept = good.0.clone();
    for document in kept.values_mut() {
        document.held_since = Some(at(2).now);
    }
    kept
}

fn image(loaded: &Loaded, family: &str) -> String {
    loaded.desired.task_definitions[family].0.spec.containers[0]
        .image
        .clone()
}

fn count(loaded: &Loaded, service: &str) -> u32 {
    loaded.desired.services["default"][service].0.desired_count
}

/// Two families and a service of each, in a file each, as loaded at second 1.
fn three_files() -> (Vec<(&'static str, String)>, LastGood) {
    let files = vec![
        (
            "shop.yaml",
            format!("{SHOP}---\n{}", service("shop", "shop", 1)),
        ),
        ("web-service.yaml", service("web", "web", 1)),
        ("web.yaml", WEB.to_owned()),
    ];
    let loaded = load(&scan_of(&files), &LastGood::default(), &at(1));
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.pruning, Pruning::Allowed);
    assert_eq!(loaded.held, BTreeMap::new());
    assert_eq!(
        names(&loaded),
        [
            "TaskDefinition shop",
            "TaskDefinition web",
            "Service shop",
            "Service web"
        ]
    );
    (files, LastGood(loaded.good))
}

fn scan_of(files: &[(&'static str, String)]) -> Scan {
    folder(files.iter().map(|(path, text)| (*path, text.as_str())))
}

#[test]
fn one_broken_file_is_held_and_the_others_are_taken() {
    let (mut files, good) = three_files();
    files[2].1 = WEB.replace("image", "imgae");
    files[0].1 = files[0].1.replace("desiredCount: 1", "desiredCount: 5");
    files[1].1 = service("web", "web", 2);
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(places(&loaded), ["LS0201 3:17"], "one mistake, one error");
    assert_eq!(count(&loaded, "shop"), 5);
    assert_eq!(count(&loaded, "web"), 2);
    assert_eq!(image(&loaded, "web"), "busybox:1");
    assert_eq!(
        held(&loaded),
        [
            "TaskDefinition web since 2: web.yaml:3:17: an item of `containerDefinitions` has no member `imgae`"
        ]
    );
    assert_eq!(
        loaded.pruning,
        Pruning::Withheld(
            "web.yaml:3:17: an item of `containerDefinitions` has no member `imgae`".into()
        )
    );
    assert_eq!(loaded.good[&key("Service shop")].accepted_at, at(2).now);
    assert_eq!(
        loaded.good[&key("TaskDefinition web")].accepted_at,
        at(1).now
    );
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    let (mut files, good) = three_files();
    files[0].1 = files[0]
        .1
        .replace("busybox:1", "busybox:2")
        .replace("desiredCount: 1", "desiredCount: -1");
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(places(&loaded), ["LS0205 10:17"]);
    assert_eq!(image(&loaded, "shop"), "busybox:1");
    assert_eq!(count(&loaded, "shop"), 1);
    assert_eq!(loaded.held.len(), 2);
}

#[test]
fn a_file_cut_off_in_the_middle_keeps_what_it_declared_and_raises_no_second_error() {
    let (mut files, good) = three_files();
    files[2].1 = "family: web\ncontainerDefinitions:\n  - {name: web, ima".into();
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", places(&loaded));
    assert_eq!(loaded.desired.task_definitions.len(), 2);
    assert_eq!(count(&loaded, "web"), 1);
    // Without anything remembered there is nothing to run, and still no second error.
    let loaded = load(&scan_of(&files), &LastGood::default(), &at(2));
    assert_eq!(loaded.diagnostics.len(), 1, "{:?}", places(&loaded));
    assert_eq!(names(&loaded), ["TaskDefinition shop", "Service shop"]);
    assert!(!loaded.desired.services["default"].contains_key("web"));
}

#[test]
fn a_file_that_cannot_be_read_keeps_what_it_declared() {
    let (files, good) = three_files();
    let mut scan = scan_of(&files);
    scan.files.insert(
        "web.yaml".into(),
        FileContent::Problem(crate::manifest::source::ReadProblem::Unreadable(
            "no".into(),
        )),
    );
    let loaded = load(&scan, &good, &at(2));
    assert_eq!(places(&loaded), ["LS0001 1:1"]);
    assert_eq!(loaded.desired.task_definitions.len(), 2);
    assert_eq!(
        loaded.held.keys().collect::<Vec<_>>(),
        [&key("TaskDefinition web")]
    );
}

#[test]
fn a_missing_folder_holds_everything_unless_that_is_allowed() {
    let (_, good) = three_files();
    let mut scan = folder([]);
    scan.state = FolderState::Missing;
    let loaded = load(&scan, &good, &at(2));
    assert_eq!(loaded.good, held_whole(&good));
    assert_eq!(loaded.held.len(), 4);
    assert_eq!(
        loaded.pruning,
        Pruning::Withheld("the folder manifests is missing".into())
    );
    assert_eq!(loaded.desired.all_services().count(), 2);
    let allowed = LoadOptions {
        allow_empty: true,
        ..at(2)
    };
    let loaded = load(&scan, &good, &allowed);
    assert_eq!((loaded.good.len(), loaded.pruning), (0, Pruning::Allowed));
    assert_eq!(loaded.desired.all_services().count(), 0);
    assert_eq!(loaded.desired.clusters.len(), 1, "default is always there");
}

#[test]
fn a_folder_that_turned_empty_holds_everything_unless_that_is_allowed() {
    let (_, good) = three_files();
    for scan in [folder([]), folder([("note.yaml", "# nothing left\n")])] {
        let loaded = load(&scan, &good, &at(2));
        assert_eq!(loaded.good, held_whole(&good));
        assert!(matches!(loaded.pruning, Pruning::Withheld(_)));
        let allowed = LoadOptions {
            allow_empty: true,
            ..at(2)
        };
        assert_eq!(load(&scan, &good, &allowed).good.len(), 0);
    }
}

#[test]
fn a_folder_that_cannot_be_listed_holds_everything_whatever_is_allowed() {
    let (_, good) = three_files();
    let mut scan = folder([]);
    scan.state = FolderState::Unreadable("no".into());
    let allowed = LoadOptions {
        allow_empty: true,
        ..at(2)
    };
    assert_eq!(load(&scan, &good, &allowed).good, held_whole(&good));
}

#[test]
fn a_file_removed_from_a_valid_folder_is_gone() {
    let (mut files, good) = three_files();
    files.remove(0);
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(names(&loaded), ["TaskDefinition web", "Service web"]);
    assert_eq!((loaded.pruning, loaded.held.len()), (Pruning::Allowed, 0));
    assert!(!loaded.desired.services["default"].contains_key("shop"));
}

#[test]
fn nothing_is_removed_while_another_file_is_broken() {
    let (mut files, good) = three_files();
    files.remove(0);
    files[1].1 = WEB.replace("64", "x");
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(loaded.good.len(), 4);
    assert_eq!(
        held(&loaded)[0],
        "TaskDefinition shop since 2: nothing is removed while this stands: web.yaml:3:43: `memory` is a whole number, and this is text"
    );
}

#[test]
fn a_family_that_was_removed_under_its_service_is_an_error_and_keeps_running() {
    let (mut files, good) = three_files();
    files.remove(2);
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(places(&loaded), ["LS0403 5:19"]);
    assert_eq!(names(&loaded).len(), 4);
    assert_eq!(count(&loaded, "web"), 1);
    // And so it stays, however often the folder is read.
    let again = load(&scan_of(&files), &LastGood(loaded.good.clone()), &at(3));
    assert_eq!(places(&again), places(&loaded));
    assert_eq!(again.good, loaded.good);
}

#[test]
fn a_duplicate_holds_both_places() {
    let (mut files, good) = three_files();
    files.push(("z.yaml", WEB.replace("busybox:1", "busybox:2")));
    let loaded = load(&scan_of(&files), &good, &at(2));
    assert_eq!(places(&loaded), ["LS0401 1:9"]);
    let found = &loaded.diagnostics[0];
    assert_eq!(
        (&*found.primary.file.path, &*found.related[0].file.path),
        ("z.yaml", "web.yaml")
    );
    assert_eq!(image(&loaded, "web"), "busybox:1");
    assert_eq!(
        held(&loaded),
        ["TaskDefinition web since 2: z.yaml:1:9: task definition `web` is declared twice"]
    );
}

#[test]
fn what_is_held_is_held_since_the_first_reading_that_was_broken_also_after_a_restart() {
    let (mut files, good) = three_files();
    files[2].1 = "family: [".into();
    let broken = load(&scan_of(&files), &good, &at(5));
    // What the store holds is all that a restart leaves.
    let stored = serde_json::to_value(&broken.good[&key("TaskDefinition web")]).unwrap();
    let mut remembered = broken.good.clone();
    remembered.insert(
        key("TaskDefinition web"),
        serde_json::from_value(stored).unwrap(),
    );
    let later = load(&scan_of(&files), &LastGood(remembered), &at(9));
    assert_eq!(later.good, broken.good, "nothing is to be written again");
    let held = &later.held[&key("TaskDefinition web")];
    assert_eq!((held.since, held.accepted_at), (at(5).now, at(1).now));
    // Once it was good again, the next time counts from its own beginning.
    files[2].1 = WEB.into();
    let mended = load(&scan_of(&files), &LastGood(later.good), &at(10));
    assert_eq!(mended.good, good.0);
    files[2].1 = "family: [".into();
    let again = load(&scan_of(&files), &LastGood(mended.good), &at(11));
    assert_eq!(again.held[&key("TaskDefinition web")].since, at(11).now);
}

#[test]
fn a_document_that_cannot_be_taken_raises_no_second_error_about_its_name() {
    let to = |cluster: &str| {
        service("web", "w", 1).replace("spec:\n", &format!("spec:\n  cluster: {cluster}\n"))
    };
    let loaded = |other: &'static str, text: &str| {
        let files = [("a.yaml", to("x")), (other, text.to_owned())];
        places(&load(&scan_of(&files), &LastGood::default(), &at(1)))
    };
    let family = "family: w\ncontainerDefinitions: [{name: w, image: busybox:1, memory: 64}]\n";
    let cluster = "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: x}\n";
    assert_eq!(
        loaded("b.yaml", &format!("{cluster}---\n{family}")),
        ["LS0204 1:1"],
        "no spec"
    );
    assert_eq!(
        loaded(
            "b.yaml",
            &format!("{}spec: {{}}\n---\n{family}", cluster.replace("/v1", "/v9"))
        ),
        ["LS0212 1:13"]
    );
    // It may be a family of any name that is cut off here.
    assert_eq!(
        loaded("b.json", "{\"containerDefinitions\": [{"),
        ["LS0101 1:27"]
    );
    // What is read whole and is something else hides nothing.
    assert_eq!(
        loaded("b.yaml", "hello: there\n"),
        ["LS0402 5:12", "LS0403 6:19", "LS0210 1:1"]
    );
}

#[test]
fn an_unknown_cluster_of_what_describe_services_prints_is_shown_at_its_arn() {
    let text = r#"{"services": [
  {"serviceName": "two", "desiredCount": 1, "taskDefinition": "web:1",
   "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/nowhere"}]}"#;
    assert!(
        places(&one(text)).contains(&"LS0402 3:18".to_owned()),
        "{:?}",
        places(&one(text))
    );
}

#[test]
fn a_repaired_folder_is_taken_as_it_is() {
    let (mut files, good) = three_files();
    files[2].1 = "family: [".into();
    let broken = load(&scan_of(&files), &good, &at(2));
    files[2].1 = WEB.replace("busybox:1", "busybox:2");
    let loaded = load(&scan_of(&files), &LastGood(broken.good), &at(3));
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(image(&loaded, "web"), "busybox:2");
    assert_eq!(
        loaded.good[&key("TaskDefinition web")].accepted_at,
        at(3).now
    );
    assert_eq!(loaded.good[&key("Service shop")].accepted_at, at(1).now);
}

#[test]
fn the_hash_is_of_the_content_and_not_of_how_it_is_written() {
    let hash = |text: &str| {
        let loaded = one(text);
        assert_eq!(loaded.diagnostics, [], "{text}");
        loaded.good.values().next().unwrap().hash.clone()
    };
    let plain = hash(WEB);
    assert_eq!(hash(&format!("# c\n{WEB}taskRoleArn: null\n")), plain);
    assert_eq!(
        hash(
            r#"{"containerDefinitions":[{"memory":64.0,"image":"busybox:1","name":"web"}],"family":"web","revision":7}"#
        ),
        plain
    );
    let enveloped = "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata: {name: web}\nstatus: {x: 1}\nspec: {containerDefinitions: [{name: web, image: 'busybox:1', memory: 64}]}\n";
    assert_eq!(hash(enveloped), plain);
    assert_ne!(hash(&WEB.replace("64", "65")), plain);
}

#[test]
fn what_describe_prints_is_taken_and_its_status_dropped() {
    let loaded = one(
        r#"{"taskDefinition": {"taskDefinitionArn": "arn:aws:ecs:eu-west-1:1:task-definition/web:7", "revision": 7,
        "status": "ACTIVE", "registeredBy": "me", "family": "web", "volumes": [], "placementConstraints": [],
        "containerDefinitions": [{"name": "web", "image": "busybox", "cpu": 0, "memory": 64, "command": null}]},
        "tags": [{"key": "team", "value": "shop"}]}"#,
    );
    assert_eq!(loaded.diagnostics, []);
    let (registered, _) = &loaded.desired.task_definitions["web"];
    assert_eq!(registered.input["family"], "web");
    assert_eq!(registered.input.get("revision"), None);
    assert_eq!(registered.spec.tags["team"], "shop");

    let loaded = one(&format!(
        r#"{WEB}---
{{"services": [{{"serviceArn": "arn:aws:ecs:eu-west-1:1:service/prod/web", "serviceName": "web", "runningCount": 2,
  "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/default", "status": "ACTIVE", "desiredCount": 2, "roleArn": "arn:x",
  "taskDefinition": "arn:aws:ecs:eu-west-1:1:task-definition/web:7", "deployments": [], "events": []}},
  {{"serviceName": "two", "desiredCount": 1, "taskDefinition": "web"}}], "failures": []}}"#
    ));
    assert_eq!(loaded.diagnostics, []);
    let (spec, source) = &loaded.desired.services["default"]["web"];
    assert_eq!(
        (spec.family.as_str(), spec.revision, spec.desired_count),
        ("web", None, 2)
    );
    assert_eq!(source.to_string(), "a.yaml:5");
    assert_eq!(loaded.desired.services["default"].len(), 2);
}

#[test]
fn a_name_in_the_spec_agrees_with_the_one_in_the_metadata() {
    let text = service("web", "'web:1'", 1) + "  serviceName: wbe\n";
    let loaded = one(&text);
    assert_eq!(places(&loaded)[1], "LS0214 7:16");
    assert_eq!(loaded.diagnostics[1].related[0].span.line, 3);
}

#[test]
fn the_example_folder_is_valid_without_a_single_warning() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let loaded = load(
        &crate::manifest::source::scan(&folder),
        &LastGood::default(),
        &at(0),
    );
    assert_eq!(loaded.diagnostics, []);
    assert!(loaded.desired.all_services().count() >= 3);
}

#[test]
fn an_editor_and_validate_agree_about_every_example_of_a_shape() {
    let schema: Json =
        serde_json::from_str(crate::manifest::schema::embedded("longshore").unwrap()).unwrap();
    let editor = jsonschema::validator_for(&schema).unwrap();
    for page in codes::pages().filter(|page| page.code > "LS02" && !page.wrong.is_empty()) {
        let fits = |text: &str| {
            let file = Arc::new(SourceFile {
                path: "a.yaml".into(),
                text: text.into(),
            });
            yaml::parse(&file)
                .documents
                .iter()
                .all(|document| editor.is_valid(&document.to_json()))
        };
        assert!(fits(page.right), "{}", page.code);
        // Names that disagree are beyond a schema, and so are members that exclude each other.
        if page.code < "LS0214" {
            assert!(!fits(page.wrong), "{}", page.code);
        }
    }
}

#[test]
fn a_wrong_name_is_reported_once() {
    let text = service("'my web'", "'web:1'", 1);
    assert_eq!(places(&one(&text)), ["LS0206 3:18", "LS0404 5:19"]);
}

#[test]
fn what_was_good_under_another_version_keeps_running() {
    let (mut files, good) = three_files();
    files[2].1 = "family: [".into();
    let mut good = good.0;
    let web = good.get_mut(&key("TaskDefinition web")).unwrap();
    web.document["spec"]["ofTomorrow"] = Json::from(1);
    let loaded = load(&scan_of(&files), &LastGood(good.clone()), &at(2));
    assert_eq!(image(&loaded, "web"), "busybox:1");
    assert_eq!(
        loaded.good[&key("TaskDefinition web")].document,
        good[&key("TaskDefinition web")].document
    );
}

#[test]
fn of_two_files_at_fault_together_each_says_why_it_is_held() {
    let (mut files, good) = three_files();
    files[0].1 = files[0].1.replace(
        "memory: 64",
        "memory: 64, portMappings: [{containerPort: 1, hostPort: 1}]",
    );
    files[2].1 = WEB.replace(
        "memory: 64",
        "memory: 64, portMappings: [{containerPort: 1, hostPort: 1}]",
    );
    let loaded = load(&scan_of(&files), &good, &at(2));
    let errors: Vec<&str> = loaded
        .diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(|d| d.code)
        .collect();
    assert_eq!(errors, ["LS0405"]);
    let because = "web-service.yaml:5:19: TCP port 1 of the host is taken by service `shop`";
    assert_eq!(
        held(&loaded),
        [
            format!("TaskDefinition shop since 2: {because}"),
            format!("Service shop since 2: {because}"),
            format!("Service web since 2: {because}"),
        ]
    );
}
