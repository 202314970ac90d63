//! ECS's operations, as its clients send them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use longshore::api::client::ClientError;
use longshore::model::{
    ClusterName, InstanceDesired, InstanceId, RevisionRef, TaskDefinitionRecord, Timestamp,
};
use longshore::store::keys;
use serde_json::{Value, json};

use crate::fixture::{NOW, World, id};

const ARN: &str = "arn:aws:ecs:local:000000000000";

async fn ask(world: &World, operation: &str, input: Value) -> Value {
    world.client.ecs(operation, &input).await.unwrap()
}

/// The exception's name and message.
async fn exception(world: &World, operation: &str, input: Value) -> (String, String) {
    match world.client.ecs(operation, &input).await.unwrap_err() {
        ClientError::Refused {
            status: 400,
            exception: Some(name),
            message,
        } => (name, message),
        other => panic!("{other:?}"),
    }
}

fn names(list: &Value) -> Vec<String> {
    let arns = list.as_array().unwrap().iter();
    arns.map(|arn| arn.as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect()
}

/// The bytes of a request as the AWS CLI sends it, signature and all; returns head and body of the answer.
fn raw(world: &World, operation: &str, body: &str) -> (String, Value) {
    let mut stream = UnixStream::connect(world.socket()).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\n\
         Host: localhost\r\n\
         Accept-Encoding: identity\r\n\
         X-Amz-Target: AmazonEC2ContainerServiceV20141113.{operation}\r\n\
         Content-Type: application/x-amz-json-1.1\r\n\
         User-Agent: aws-cli/2.15.0 Python/3.11.6 Linux/6.1 exe/x86_64 prompt/off command/ecs.list-services\r\n\
         X-Amz-Date: 20260102T030405Z\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260102/local/ecs/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=00\r\n\
         Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.to_ascii_lowercase(),
        serde_json::from_str(body).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_as_the_aws_cli_sends_it_is_answered_as_ecs_does() {
    let world = World::start().await;
    let (head, body) = raw(&world, "ListServices", r#"{"cluster": "prod"}"#);
    assert!(head.starts_with("http/1.1 200 ok"), "{head}");
    assert!(
        head.contains("content-type: application/x-amz-json-1.1"),
        "{head}"
    );
    assert!(head.contains("x-amzn-requestid: "), "{head}");
    let arns = [
        format!("{ARN}:service/prod/web"),
        format!("{ARN}:service/prod/worker"),
    ];
    assert_eq!(body, json!({"serviceArns": arns}));

    let (head, body) = raw(
        &world,
        "DescribeServices",
        r#"{"cluster": "nowhere", "services": ["web"]}"#,
    );
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    assert_eq!(
        body,
        json!({"__type": "ClusterNotFoundException", "message": "Cluster not found."})
    );
}

#[tokio::test]
async fn clusters_are_listed_with_default_and_described_with_their_counts() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let list = ask(&world, "ListClusters", json!({})).await;
    assert_eq!(names(&list["clusterArns"]), ["default", "prod"]);
    // Without names it is `default` that is described.
    let answer = ask(&world, "DescribeClusters", json!({})).await;
    let default = &answer["clusters"][0];
    assert_eq!(default["clusterName"], "default");
    assert_eq!(default["runningTasksCount"], 1);
    assert_eq!(default["registeredContainerInstancesCount"], 1);
    assert_eq!(default["activeServicesCount"], 1);
    let asked = json!({"clusters": [format!("{ARN}:cluster/prod"), "none"], "include": ["TAGS"]});
    let answer = ask(&world, "DescribeClusters", asked).await;
    assert_eq!(
        answer["clusters"][0]["tags"],
        json!([{"key": "env", "value": "prod"}])
    );
    assert_eq!(
        answer["failures"],
        json!([{"arn": format!("{ARN}:cluster/none"), "reason": "MISSING"}])
    );
}

#[tokio::test]
async fn a_service_is_described_with_its_deployments_events_and_counts() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    world.failed(&id("cc")).await;
    world
        .say("default", "web", 1, 1, "(service web) first.")
        .await;
    world
        .say("default", "web", 2, 3, "(service web) second.")
        .await;
    let asked = json!({"services": ["web", "wbe"], "include": ["TAGS"]});
    let answer = ask(&world, "DescribeServices", asked).await;
    let web = &answer["services"][0];
    assert_eq!(web["serviceArn"], format!("{ARN}:service/default/web"));
    assert_eq!(
        web["taskDefinition"],
        format!("{ARN}:task-definition/web:1")
    );
    assert_eq!(
        [
            &web["desiredCount"],
            &web["runningCount"],
            &web["pendingCount"]
        ],
        [&json!(2), &json!(1), &json!(0)]
    );
    assert_eq!(web["deployments"][0]["rolloutState"], "COMPLETED");
    assert_eq!(web["deployments"][0]["status"], "PRIMARY");
    assert_eq!(web["events"][0]["message"], "(service web) second.");
    assert_eq!(web["tags"], json!([{"key": "team", "value": "shop"}]));
    assert_eq!(web["loadBalancers"], json!([]));
    let created = web["createdAt"].as_f64().unwrap();
    assert!((created - (NOW as f64 / 1000.0 - 3600.0)).abs() < 0.001);
    assert_eq!(
        answer["failures"],
        json!([{"arn": format!("{ARN}:service/default/wbe"), "reason": "MISSING"}])
    );
    // By ARN the cluster of the ARN does not replace the request's, as on ECS.
    let elsewhere = json!({"services": [format!("{ARN}:service/prod/web")]});
    let answer = ask(&world, "DescribeServices", elsewhere).await;
    assert_eq!(answer["services"], json!([]));
}

#[tokio::test]
async fn tasks_are_listed_by_every_filter() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    world.running(&id("bb"), &[]).await;
    world.failed(&id("cc")).await;
    let list = async |input: Value| names(&ask(&world, "ListTasks", input).await["taskArns"]);
    let (a, b, c) = (
        id("aa").to_string(),
        id("bb").to_string(),
        id("cc").to_string(),
    );
    // Those that run, unless stopped ones are asked for; one that is over is wanted stopped, whatever was ordered.
    assert_eq!(list(json!({})).await, [a.clone(), b.clone()]);
    assert_eq!(list(json!({"desiredStatus": "STOPPED"})).await, [c]);
    assert_eq!(
        list(json!({"desiredStatus": "PENDING"})).await,
        Vec::<String>::new()
    );
    assert_eq!(
        list(json!({"serviceName": format!("{ARN}:service/default/web")}))
            .await
            .len(),
        2
    );
    assert_eq!(list(json!({"family": "web"})).await.len(), 2);
    assert_eq!(list(json!({"family": "we"})).await.len(), 0);
    assert_eq!(list(json!({"containerInstance": "local"})).await.len(), 2);
    assert_eq!(
        list(json!({"startedBy": "ecs-svc/0000000000000000001"}))
            .await
            .len(),
        2
    );
    assert_eq!(list(json!({"startedBy": "me"})).await.len(), 0);
    assert_eq!(list(json!({"launchType": "FARGATE"})).await.len(), 0);
    let first = ask(&world, "ListTasks", json!({"maxResults": 1})).await;
    assert_eq!(names(&first["taskArns"]), [a]);
    let second = json!({"maxResults": 1, "nextToken": first["nextToken"]});
    let second = ask(&world, "ListTasks", second).await;
    assert_eq!(names(&second["taskArns"]), [b]);
    assert!(second.get("nextToken").is_none());

    let (name, _) = exception(&world, "ListTasks", json!({"serviceName": "none"})).await;
    assert_eq!(name, "ServiceNotFoundException");
    let (name, _) = exception(&world, "ListTasks", json!({"desiredStatus": "GONE"})).await;
    assert_eq!(name, "InvalidParameterException");
    let (name, _) = exception(&world, "ListTasks", json!({"nextToken": "made up"})).await;
    assert_eq!(name, "InvalidParameterException");
}

#[tokio::test]
async fn a_task_is_described_with_its_containers_and_why_it_stopped() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    world.failed(&id("cc")).await;
    let asked = json!({"tasks": [id("aa"), format!("{ARN}:task/default/{}", id("cc")), "dd"]});
    let answer = ask(&world, "DescribeTasks", asked).await;
    let [running, stopped] = answer["tasks"].as_array().unwrap().as_slice() else {
        panic!("{answer}");
    };
    assert_eq!(running["lastStatus"], "RUNNING");
    assert_eq!(running["healthStatus"], "HEALTHY");
    assert_eq!(running["connectivity"], "CONNECTED");
    assert_eq!(running["cpu"], "128");
    assert_eq!(running["memory"], "48");
    let container = &running["containers"][0];
    assert_eq!(container["networkBindings"][0]["hostPort"], 32_768);
    assert_eq!(
        container["networkInterfaces"][0]["privateIpv4Address"],
        "172.18.0.2"
    );
    assert_eq!(container["memoryReservation"], "32");
    assert_eq!(stopped["desiredStatus"], "STOPPED");
    assert_eq!(stopped["stopCode"], "EssentialContainerExited");
    assert_eq!(stopped["containers"][0]["exitCode"], 1);
    assert_eq!(stopped["containers"][0]["lastStatus"], "STOPPED");
    assert_eq!(
        answer["failures"][0]["arn"],
        format!("{ARN}:task/default/dd")
    );
}

#[tokio::test]
async fn a_task_that_is_only_ordered_yet_is_provisioning_with_all_its_containers() {
    let world = World::start().await;
    let task = id("ee");
    let key = keys::task(&"default".into(), &task);
    world
        .commit(world.txn().put_json(key, &world.ordered(&task)))
        .await;
    let answer = ask(&world, "DescribeTasks", json!({"tasks": [task]})).await;
    let task = &answer["tasks"][0];
    assert_eq!(task["lastStatus"], "PROVISIONING");
    let of = |i: usize| {
        (
            &task["containers"][i]["name"],
            &task["containers"][i]["lastStatus"],
        )
    };
    assert_eq!(of(0), (&json!("web"), &json!("PENDING")));
    assert_eq!(of(1), (&json!("clock"), &json!("PENDING")));
    let service = ask(&world, "DescribeServices", json!({"services": ["web"]})).await;
    assert_eq!(service["services"][0]["pendingCount"], 1);
}

#[tokio::test]
async fn a_task_is_stopped_through_the_daemon_and_answered_as_stopping() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let asked = json!({"task": id("aa"), "reason": "because"});
    let answer = ask(&world, "StopTask", asked).await;
    assert_eq!(answer["task"]["desiredStatus"], "STOPPED");
    assert_eq!(answer["task"]["stopCode"], "UserInitiated");
    assert_eq!(answer["task"]["stoppedReason"], "because");
    let (name, _) = exception(&world, "StopTask", json!({"task": "none"})).await;
    assert_eq!(name, "InvalidParameterException");
}

#[tokio::test]
async fn protection_is_told_and_changed_for_each_task_by_itself() {
    let world = World::start().await;
    world.running(&id("aa"), &[]).await;
    let arn = format!("{ARN}:task/default/{}", id("aa"));
    let told = ask(
        &world,
        "GetTaskProtection",
        json!({"tasks": [id("aa"), "none"]}),
    )
    .await;
    assert_eq!(
        told["protectedTasks"],
        json!([{"taskArn": arn, "protectionEnabled": false}])
    );
    assert_eq!(told["failures"][0]["reason"], "MISSING");
    let input = json!({"cluster": "default", "tasks": [arn], "protectionEnabled": true, "expiresInMinutes": 10});
    let told = ask(&world, "UpdateTaskProtection", input).await;
    let expires = Timestamp::from_millis(NOW + 600_000).as_secs_f64();
    let protected = json!([{"taskArn": arn, "protectionEnabled": true, "expirationDate": expires}]);
    assert_eq!(told, json!({"protectedTasks": protected, "failures": []}));
    let told = ask(&world, "GetTaskProtection", json!({"tasks": [id("aa")]})).await;
    assert_eq!(told["protectedTasks"], protected);
    for (input, word) in [
        (json!({"tasks": ["a"]}), "protectionEnabled"),
        (json!({"tasks": [], "protectionEnabled": true}), "Tasks"),
        (
            json!({"tasks": vec!["a"; 11], "protectionEnabled": true}),
            "10",
        ),
        (
            json!({"tasks": ["a"], "protectionEnabled": true, "expiresInMinutes": 2881}),
            "2880",
        ),
    ] {
        let (name, message) = exception(&world, "UpdateTaskProtection", input).await;
        assert_eq!(name, "InvalidParameterException");
        assert!(message.contains(word), "{message}");
    }
}

#[tokio::test]
async fn task_definitions_are_listed_and_described_by_family_and_by_revision() {
    let world = World::start().await;
    let first = {
        let state = world.view.read();
        TaskDefinitionRecord::clone(&state.newest_revision(&"web".into()).unwrap().value)
    };
    // Revision 2 was deregistered; 10 comes after 2, though not as text.
    let of = |revision, deregistered_at| TaskDefinitionRecord {
        id: RevisionRef {
            family: "web".into(),
            revision,
        },
        deregistered_at,
        ..first.clone()
    };
    let gone = of(2, Some(Timestamp::from_millis(NOW)));
    let newest = of(10, None);
    let txn = world
        .txn()
        .put_json(keys::revision(&gone.id), &gone)
        .put_json(keys::revision(&newest.id), &newest);
    world.commit(txn).await;
    let list = async |input: Value| {
        names(&ask(&world, "ListTaskDefinitions", input).await["taskDefinitionArns"])
    };
    assert_eq!(list(json!({})).await, ["web:1", "web:10", "worker:1"]);
    assert_eq!(
        list(json!({"familyPrefix": "web", "sort": "DESC"})).await,
        ["web:10", "web:1"]
    );
    assert_eq!(
        list(json!({"familyPrefix": "we"})).await,
        Vec::<String>::new()
    );
    assert_eq!(list(json!({"status": "INACTIVE"})).await, ["web:2"]);
    let families = ask(
        &world,
        "ListTaskDefinitionFamilies",
        json!({"familyPrefix": "we"}),
    )
    .await;
    assert_eq!(families["families"], json!(["web"]));

    let described = async |name: &str| {
        let asked = json!({"taskDefinition": name, "include": ["TAGS"]});
        ask(&world, "DescribeTaskDefinition", asked).await
    };
    let answer = described("web").await;
    let definition = &answer["taskDefinition"];
    assert_eq!(definition["revision"], 10);
    assert_eq!(definition["family"], "web");
    assert_eq!(definition["status"], "ACTIVE");
    assert_eq!(definition["containerDefinitions"][1]["essential"], false);
    assert_eq!(
        definition["containerDefinitions"][1]["mountPoints"],
        json!([])
    );
    // As on ECS, tags stand beside the definition.
    assert!(definition.get("tags").is_none());
    assert_eq!(answer["tags"], json!([{"key": "team", "value": "shop"}]));
    let by_arn = described(&format!("{ARN}:task-definition/web:2")).await;
    assert_eq!(by_arn["taskDefinition"]["status"], "INACTIVE");
    let (name, _) = exception(
        &world,
        "DescribeTaskDefinition",
        json!({"taskDefinition": "none"}),
    )
    .await;
    assert_eq!(name, "ClientException");
}

#[tokio::test]
async fn container_instances_tell_what_is_left_of_them() {
    let world = World::start().await;
    let list = ask(
        &world,
        "ListContainerInstances",
        json!({"status": "ACTIVE"}),
    )
    .await;
    assert_eq!(names(&list["containerInstanceArns"]), ["local"]);
    let none = ask(
        &world,
        "ListContainerInstances",
        json!({"status": "DRAINING"}),
    )
    .await;
    assert_eq!(none["containerInstanceArns"], json!([]));
    let asked = json!({"containerInstances": ["local", "other"]});
    let answer = ask(&world, "DescribeContainerInstances", asked).await;
    let local = &answer["containerInstances"][0];
    let resource = |of: &str, name: &str| {
        let all = local[of].as_array().unwrap();
        all.iter().find(|r| r["name"] == name).unwrap().clone()
    };
    assert_eq!(resource("registeredResources", "CPU")["integerValue"], 2048);
    assert_eq!(resource("remainingResources", "CPU")["integerValue"], 1920);
    assert_eq!(
        resource("remainingResources", "MEMORY")["integerValue"],
        4048
    );
    assert_eq!(
        resource("remainingResources", "PORTS")["stringSetValue"],
        json!(["22", "32768"])
    );
    assert_eq!(local["agentConnected"], true);
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    let (name, _) = exception(
        &world,
        "ListContainerInstances",
        json!({"filter": "a == b"}),
    )
    .await;
    assert_eq!(name, "UnsupportedFeatureException");
}

#[tokio::test]
async fn tags_are_listed_by_arn() {
    let world = World::start().await;
    for (resource, tags) in [
        (
            "service/default/web",
            json!([{"key": "team", "value": "shop"}]),
        ),
        (
            "task-definition/web:1",
            json!([{"key": "team", "value": "shop"}]),
        ),
        ("cluster/prod", json!([{"key": "env", "value": "prod"}])),
        ("cluster/default", json!([])),
    ] {
        let asked = json!({"resourceArn": format!("{ARN}:{resource}")});
        assert_eq!(
            ask(&world, "ListTagsForResource", asked).await["tags"],
            tags,
            "{resource}"
        );
    }
    let asked = json!({"resourceArn": format!("{ARN}:service/default/none")});
    let (name, _) = exception(&world, "ListTagsForResource", asked).await;
    assert_eq!(name, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_writing_operation_is_refused_with_the_line_to_edit() {
    let world = World::start().await;
    let asked = json!({"service": "web", "desiredCount": 5});
    let (name, message) = exception(&world, "UpdateService", asked).await;
    assert_eq!(name, "UnsupportedFeatureException");
    let line = 1 + crate::fixture::FOLDER
        .lines()
        .position(|line| line.contains("annotations: {why"))
        .unwrap();
    // The document begins two lines before its metadata.
    assert!(
        message.contains(&format!("all.yaml:{}", line - 2)),
        "{message}"
    );
    let (_, message) = exception(&world, "CreateService", json!({"serviceName": "new"})).await;
    assert!(
        message.contains("Write a Service manifest named new"),
        "{message}"
    );
    let asked = json!({"family": "web", "containerDefinitions": []});
    let (_, message) = exception(&world, "RegisterTaskDefinition", asked).await;
    assert!(message.contains("all.yaml:"), "{message}");
    for operation in [
        "StartTask",
        "ExecuteCommand",
        "TagResource",
        "CreateTaskSet",
    ] {
        let (name, _) = exception(&world, operation, json!({})).await;
        assert_eq!(name, "UnsupportedFeatureException", "{operation}");
    }
}

#[tokio::test]
async fn what_ecs_does_not_know_or_cannot_read_is_refused_as_ecs_does() {
    let world = World::start().await;
    let (name, _) = exception(&world, "MakeCoffee", json!({})).await;
    assert_eq!(name, "UnknownOperationException");
    let (name, _) = exception(&world, "ListTasks", json!({"cluster": 7})).await;
    assert_eq!(name, "SerializationException");
    let (name, _) = exception(&world, "ListTasks", json!([])).await;
    assert_eq!(name, "SerializationException");
    let (name, message) = exception(&world, "DescribeTasks", json!({"tasks": []})).await;
    assert_eq!(
        (name.as_str(), message.as_str()),
        ("InvalidParameterException", "Tasks cannot be empty.")
    );
    let many: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let (name, _) = exception(&world, "DescribeServices", json!({"services": many})).await;
    assert_eq!(name, "InvalidParameterException");
}

#[tokio::test]
async fn an_instance_is_made_draining_and_active_again_and_the_manifests_newest_word_wins() {
    let world = World::start().await;
    world.follow();
    let update = |status: &str, instances: &[&str]| json!({"containerInstances": instances, "status": status, "askedBy": "ann", "reason": "a new disk"});
    let operation = "UpdateContainerInstancesState";
    let answer = ask(&world, operation, update("DRAINING", &["local", "other"])).await;
    assert_eq!(answer["containerInstances"][0]["status"], "DRAINING");
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
    let why = answer["containerInstances"][0]["statusReason"].as_str();
    let why = why.expect("who asked for it, and why");
    assert!(
        why.starts_with("by ann, since ") && why.ends_with(" (a new disk)"),
        "{why}"
    );
    let listed = ask(
        &world,
        "ListContainerInstances",
        json!({"status": "DRAINING"}),
    )
    .await;
    assert_eq!(names(&listed["containerInstanceArns"]), ["local"]);

    // The folder is read again and says what it said: what was asked for holds. Then it says something new.
    let (cluster, local) = (ClusterName::default(), InstanceId::new("local"));
    let asked = world.state_of(&cluster, &local).asked.expect("an override");
    assert_eq!(
        (asked.basis, asked.desired),
        (InstanceDesired::Active, InstanceDesired::Draining)
    );
    world.declare_instance(InstanceDesired::Draining).await;
    let entry = world.state_of(&cluster, &local);
    assert!(entry.asked.is_none(), "the manifest has changed");
    assert_eq!(
        entry.desired.map(|d| *d.value),
        Some(InstanceDesired::Draining)
    );
    world.declare_instance(InstanceDesired::Active).await;
    let entry = world.state_of(&cluster, &local);
    assert_eq!(
        entry.desired.map(|d| *d.value),
        Some(InstanceDesired::Active)
    );

    let eleven = ["local"; 11];
    let (name, _) = exception(&world, operation, update("ACTIVE", &eleven)).await;
    assert_eq!(name, "InvalidParameterException");
    let (name, _) = exception(&world, operation, update("INACTIVE", &["local"])).await;
    assert_eq!(name, "InvalidParameterException");
}
