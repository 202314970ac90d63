use crate::diagnostic::Severity;
use crate::manifest::load::tests::{one, places};

const WEB: &str =
    "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox:1, memory: 64}\n";

#[test]
fn all_that_is_wrong_is_found_in_one_go() {
    let text = "\
family: web
networkMode: awsvp
containerDefinitions:
  - {name: a, image: b, memory: 64, comand: []}
  - {name: b, image: b, memory: 64, essential: 'no', cpu: '1'}
  - {name: c, image: b, memory: 64, dependsOn: [{containerName: x, condition: START}]}
---
apiVersion: longshore/v2
kind: Service
---
apiVersion: longshore/v1
kind: Servic
metadata: {nam: web}
---
just text
";
    assert_eq!(
        places(&one(text)),
        [
            "LS0203 2:14",
            "LS0201 4:37",
            "LS0202 5:48",
            "LS0202 5:59",
            "LS0305 6:65",
            "LS0212 8:13",
            "LS0204 11:1",
            "LS0211 12:7",
            "LS0201 13:12",
            "LS0210 15:1",
        ],
    );
}

#[test]
fn the_other_containers_of_a_damaged_definition_are_checked_and_the_damaged_one_is_not() {
    let text = "\
family: web
containerDefinitions:
  - {name: a, image: b, memroy: 64}
  - {name: c, image: b, dependsOn: [{containerName: x, condition: START}]}
  - {name: d, image: b, memory: 64, dependsOn: [{containerName: a, condition: START}]}
";
    assert_eq!(
        places(&one(text)),
        ["LS0201 3:25", "LS0302 4:12", "LS0305 4:53"]
    );
}

#[test]
fn what_is_wrong_in_a_member_that_must_be_there_hides_nothing_elsewhere() {
    let text = "\
family: web
containerDefinitions:
  - {name: a, image: b, memory: 64, dependsOn: [{containerName: c, condition: STARTED}]}
  - {name: c, image: b, memory: 64, dependsOn: [{containerName: x, condition: START}]}
  - {name: [d], image: b, memory: 64, healthCheck: {command: yes}, ulimits: [{name: nofile, softLimit: many, hardLimit: 1}]}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web}
spec:
  taskDefinition: 'web:1'
  desiredCount: 2
  placementStrategy: [{type: pack}]
  deploymentConfiguration: {minimumHealthyPercent: 100, maximumPercent: 100}
";
    assert_eq!(
        places(&one(text)),
        [
            "LS0203 3:79",
            "LS0305 4:65",
            "LS0202 5:12",
            "LS0202 5:62",
            "LS0202 5:104",
            "LS0404 11:19",
            "LS0203 13:30",
            "LS0406 14:52",
        ]
    );
}

#[test]
fn a_name_of_which_nothing_could_be_kept_gets_no_empty_suggestion() {
    for name in ["..", "-", "é"] {
        let found = one(&WEB.replace("family: web", &format!("family: '{name}'"))).diagnostics;
        assert!(
            found
                .iter()
                .all(|d| d.help.iter().all(|help| !help.contains("``"))),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn a_member_is_explained_by_what_was_most_likely_meant() {
    let help = |text: &str| {
        let found = one(text).diagnostics;
        let error = found.iter().find(|d| d.severity == Severity::Error);
        error.unwrap().help.join("; ")
    };
    let envelope = |spec: &str| {
        format!(
            "apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  taskDefinition: 'web:1'\n  {spec}\n"
        )
    };
    for (text, wanted) in [
        (
            WEB.replace("memory: 64", "memory: '64'"),
            "write 64, without quotes",
        ),
        (
            WEB.replace("image: busybox:1", "image: busybox, command: sleep 60"),
            "write it as a list: [\"sleep\", \"60\"]",
        ),
        (
            WEB.replace(
                "memory: 64",
                "memory: 64, environment: [{name: A, value: 80}]",
            ),
            "put it in quotes: \"80\"",
        ),
        (
            WEB.replace("memory: 64", "memory: 64, essential: yes"),
            "write true",
        ),
        (
            format!("{WEB}image: x\n"),
            "`image` stands under `containerDefinitions[]`",
        ),
        (
            format!("{WEB}desiredCount: 1\n"),
            "`desiredCount` is a member of a service",
        ),
        (
            WEB.replace("family: web", "family: my web"),
            "it consists of letters, digits, `-` and `_`; write, for example, `my-web`",
        ),
        (
            envelope("desiredCount: 1\n  runningCount: 1"),
            "ECS prints it but does not take it: remove it",
        ),
        (envelope("desiredcount: 1"), "did you mean `desiredCount`?"),
        (
            WEB.replace("image: busybox:1, ", ""),
            "add `image`: the image reference, as `docker pull` takes it",
        ),
        (
            WEB.replace(
                "memory: 64",
                "memory: 64, healthCheck: {command: [CMD, a], interval: 4}",
            ),
            "write a number from 5 to 300",
        ),
    ] {
        let found = help(&text);
        assert!(
            found.starts_with(wanted),
            "{text}: {found:?}, not {wanted:?}"
        );
    }
}

#[test]
fn a_mistake_in_the_task_or_service_itself_hides_only_what_may_follow_from_it() {
    let text = "\
family: web
networkMode: awsvp
memroy: 64
containerDefinitions:
  - {name: a, image: b, hostname: x, links: [c], portMappings: [{containerPort: 1, hostPort: 2}]}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: web}
spec:
  taskDefinition: 'web:1'
  desiredCont: 2
  deploymentConfiguration: {maximumPercent: 99}
---
apiVersion: longshore/v1
kind: Service
metadata: {name: two}
spec:
  taskDefinition: 'web:1'
  desiredCount: 2
  deploymentConfiguration: {minimumHealthyPercen: 50, maximumPercent: 100}
";
    assert_eq!(
        places(&one(text)),
        [
            "LS0203 2:14",
            "LS0201 3:1",
            "LS0305 5:46",
            "LS0404 11:19",
            "LS0201 12:3",
            "LS0205 13:45",
            "LS0404 19:19",
            "LS0201 21:29",
        ]
    );
}
