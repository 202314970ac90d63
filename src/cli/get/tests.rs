use super::*;

fn service(phase: &str, healthy: u32) -> Document {
    serde_json::from_value(json!({
        "apiVersion": "longshore/v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"taskDefinition": "web", "desiredCount": 3},
        "status": {
            "cluster": "default", "phase": phase, "desiredCount": 3, "runningCount": 3,
            "healthyCount": healthy, "pendingCount": 0, "taskDefinition": "web:2",
            "images": ["busybox:1.36.1"], "createdAt": "2026-01-01T00:00:00.000Z",
        },
    }))
    .unwrap()
}

#[test]
fn a_table_has_a_row_a_thing_and_wide_has_more_columns() {
    let now = Timestamp::parse_rfc3339("2026-01-01T00:05:00Z").unwrap();
    let of = |wide| {
        table(Kind::Service, vec![service("steady", 3)], wide, now)
            .unwrap()
            .plain()
    };
    assert_eq!(
        of(false),
        "CLUSTER  NAME  STATE   DESIRED  RUNNING  HEALTHY  PENDING  REVISION  AGE\n\
         default  web   steady  3        3        3        0        web:2     5m\n"
    );
    assert!(of(true).contains("busybox:1.36.1"));
}

#[test]
fn a_services_tasks_are_listed_without_the_stopped_ones_and_a_named_task_as_it_is() {
    let task = |id: &str, status: &str| -> Document {
        serde_json::from_value(json!({
            "apiVersion": "longshore/v1", "kind": "Task", "metadata": {"name": id},
            "status": {"service": "web", "lastStatus": status},
        }))
        .unwrap()
    };
    let names = |mut tasks: Vec<Document>, name: &str| {
        leave_out_stopped(&mut tasks, name);
        tasks
            .into_iter()
            .map(|t| t.metadata.name)
            .collect::<Vec<_>>()
    };
    let both = vec![task("ab12", "RUNNING"), task("cd34", "STOPPED")];
    assert_eq!(names(both, "web"), ["ab12"]);
    assert_eq!(names(vec![task("cd34", "STOPPED")], "cd"), ["cd34"]);
}

#[test]
fn yaml_is_the_envelope_and_several_are_several_documents() {
    let text = yaml(&[service("steady", 3), service("deploying", 1)]).unwrap();
    assert!(
        text.starts_with("apiVersion: longshore/v1\nkind: Service\n"),
        "{text}"
    );
    assert_eq!(text.matches("\n---\n").count(), 1);
    assert!(text.contains("healthyCount: 1"));
}

#[test]
fn a_service_that_serves_its_last_good_version_says_so_in_its_state() {
    let mut held = service("steady", 3);
    held.status["conditions"] =
        json!([{"type": "ServingLastGood", "status": "True", "message": ""}]);
    let now = Timestamp::from_millis(0);
    let text = table(Kind::Service, vec![held], false, now)
        .unwrap()
        .plain();
    assert!(text.contains("steady, last good"), "{text}");
}
