//! What is kept while something is wrong (P1).

use super::*;

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
