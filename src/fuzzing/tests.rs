//! The corpus, once: what each target found, and what it began with.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::{TARGETS, folder, mutate, world};
use crate::engine::translate::Recovery;
use crate::manifest::load::{LastGood, LoadOptions};
use crate::model::TaskSpec;
use crate::store::{Item, Listing, State};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let listed = fs::read_dir(fuzz().join(folder)).expect("a folder");
    let names = listed.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("a name"))
        .collect()
}

/// The files of a target's corpus.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = fuzz().join("corpus").join(target);
    let listed = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<PathBuf> = listed
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder:?} is empty");
    files
}

fn replay(target: &str) {
    let found = TARGETS.into_iter().find(|(name, _)| *name == target);
    let (name, check) = found.expect("a target");
    let mut seeds = Vec::new();
    for path in corpus(target) {
        let data = fs::read(&path).expect("a file");
        // Whoever reads the failure wants to know of which file it is.
        println!("{}", path.display());
        check(&data);
        // Half of it, as of what is cut off on its way.
        check(&data[..data.len() / 2]);
        seeds.push(data);
    }
    let runs = std::env::var("LONGSHORE_FUZZ").ok();
    if let Some(runs) = runs.and_then(|runs| runs.parse().ok()) {
        let into = fuzz().join("artifacts").join(target);
        mutate::run((name, check), &seeds, &dictionary(target), runs, &into);
    }
}

/// The words that libFuzzer is given for a target, where there are any.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let path = fuzz().join("dictionaries").join(target);
    let text = fs::read_to_string(path).unwrap_or_default();
    let quoted = text.lines().filter_map(|line| line.get(1..line.len() - 1));
    quoted.map(unescaped).collect()
}

/// A word of a dictionary, whose bytes may be written as `\xNN`.
fn unescaped(word: &str) -> Vec<u8> {
    let mut pieces = word.split("\\x");
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).expect("a byte"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

macro_rules! replays {
    ($($target:ident: $name:ident,)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed_and_has_a_folder_that_make_fuzz_runs() {
            let replayed = BTreeSet::from([$(stringify!($target)),*].map(String::from));
            assert_eq!(replayed, TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect());
            assert_eq!(replayed, names_in("corpus"));
            assert!(names_in("dictionaries").is_subset(&replayed));
        }
    };
}

replays! {
    api: every_request_is_answered,
    credentials: dockers_configuration_gives_credentials_or_an_error_without_secrets,
    edit: an_edited_manifest_differs_in_one_value,
    engine: every_answer_of_an_engine_is_read,
    etcd: every_answer_of_etcd_is_read,
    faults: what_tasks_ask_for_is_checked_before_anything_is_run,
    firelens: options_of_a_log_router_add_no_lines,
    folder: a_folder_keeps_what_was_good_and_survives_the_store,
    labels: labels_tell_of_their_task_again,
    names: names_and_addresses_read_back_as_they_print,
    plan: a_plan_reads_back_as_it_is_written,
    query: an_expression_reads_back_as_it_prints,
    scenario: a_scenario_is_read_or_its_mistakes_are_placed,
    secrets: secrets_open_to_what_was_put_in_and_stay_out_of_texts,
    store: values_of_the_store_are_read_planned_from_and_told,
    streams: streams_are_the_same_however_they_are_cut,
    yaml: yaml_is_placed_and_reads_back,
}

/// Tasks with log routers, as definitions say them.
const ROUTED: &str = "\
=== a.yaml
family: bits
containerDefinitions:
- {name: app, image: a, memory: 8, logConfiguration: {logDriver: awsfirelens, options: {Name: stdout, include-pattern: ^a, x: y}}}
- {name: r, image: b, memory: 8, firelensConfiguration: {type: fluentbit, options: {enable-ecs-log-metadata: 'true', config-file-type: file, config-file-value: /x.conf}}}
=== b.yaml
family: fluent
networkMode: awsvpc
containerDefinitions:
- {name: app, image: a, memory: 8, logConfiguration: {logDriver: awsfirelens, options: {'@type': file, path: /x, exclude-pattern: /b/}}}
- {name: r, image: b, memory: 8, firelensConfiguration: {type: fluentd}}
";

/// A task of the small cluster that runs this.
fn told(spec: &Json) -> Json {
    let items = world::items().into_iter();
    let mut tasks = items.filter(|(key, _)| key.contains("/tasks/aa") && !key.ends_with("/status"));
    let (_, mut record) = tasks.next().expect("a task");
    let read: TaskSpec = serde_json::from_value(spec.clone()).expect("a specification");
    record["spec"] = json!(read.hash());
    json!({"spec": spec, "record": record})
}

/// Puts `to` in the place of all such numbers.
fn replace(value: &mut Json, which: fn(i64) -> bool, to: &Json) {
    match value {
        Json::Number(number) if number.as_i64().is_some_and(which) => *value = to.clone(),
        Json::Array(items) => items.iter_mut().for_each(|item| replace(item, which, to)),
        Json::Object(members) => {
            let members = members.values_mut();
            members.for_each(|member| replace(member, which, to));
        }
        _ => {}
    }
}

/// Seeds that only types can tell how to write.
fn made() -> Vec<(&'static str, &'static str, String)> {
    let items = world::items();
    let lines = |change: &dyn Fn(&Json) -> String| -> String {
        let lines = items.iter();
        lines
            .map(|(key, value)| format!("{key} {}\n", change(value)))
            .collect()
    };
    let numbers = |which: fn(i64) -> bool, to: Json| {
        lines(&|value| {
            let mut value = value.clone();
            replace(&mut value, which, &to);
            value.to_string()
        })
    };
    let spec = items.iter().find(|(key, _)| key.starts_with("specs/"));
    let web = told(spec.expect("a specification").1);
    let labels = format!(
        "longshore.task={}\nlongshore.container=app\nlongshore.seq=7\nlongshore.spec-hash={}\nlongshore.spec={web}\n\n\
         longshore.task=b\nlongshore.container=x\n\nlongshore.lease=1\nlongshore.task=c\nlongshore.container=y\n",
        web["record"]["id"].as_str().expect("an id"),
        web["record"]["spec"].as_str().expect("a hash"),
    );
    let mut made = vec![
        ("store", "world", lines(&Json::to_string)),
        (
            "store",
            "numbers-at-their-ends",
            numbers(|n| n < 1 << 40, json!(u32::MAX)),
        ),
        (
            "store",
            "times-before-all-time",
            numbers(|n| n > 1 << 40, json!(i64::MIN)),
        ),
        (
            "store",
            "times-after-all-time",
            numbers(|n| n > 1 << 40, json!(i64::MAX)),
        ),
        (
            "store",
            "values-cut-off",
            lines(&|value| {
                let text = value.to_string();
                text[..text.len() * 9 / 10].to_owned()
            }),
        ),
        ("labels", "specification", web.to_string()),
        ("labels", "containers", labels),
    ];
    let loaded = crate::manifest::load(
        &folder::scan(ROUTED),
        &LastGood::default(),
        &LoadOptions::default(),
    );
    let routed = loaded.desired.task_definitions.values();
    let routed: Vec<String> = routed
        .map(|(definition, _)| told(&json!(definition.spec)).to_string())
        .collect();
    for (name, text) in ["fluent-bit", "fluentd"].into_iter().zip(routed) {
        made.push(("firelens", name, text.clone()));
        made.push(("labels", name, text));
    }
    made
}

#[test]
fn seeds_that_types_make_still_mean_what_they_did() {
    if std::env::var_os("LONGSHORE_BLESS").is_some() {
        for (target, name, text) in made() {
            let folder = fuzz().join("corpus").join(target);
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(folder.join(name), text).expect("a seed");
        }
        return;
    }
    let read = |target: &str, name: &str| {
        let path = fuzz().join("corpus").join(target).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}; `make bless`"))
    };
    for (target, name, _) in made() {
        let text = read(target, name);
        assert!(
            text.len() <= super::LONGEST,
            "{name} is longer than is looked at"
        );
        if target == "firelens" || name == "specification" {
            assert!(Recovery::parse(&text).is_some(), "{name}; `make bless`");
        }
    }
    let world = read("store", "world");
    let items = world.lines().filter_map(|line| line.split_once(' '));
    let items = items.map(|(key, value)| Item {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
        revision: 1,
    });
    let state = State::of(Listing {
        items: items.collect(),
        revision: 1,
    });
    assert!(
        state.corrupt.is_empty(),
        "{:?}; `make bless`",
        state.corrupt
    );
    assert_eq!((state.services.len(), state.tasks.len()), (2, 2));
}
