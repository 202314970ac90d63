//! Three engines under one service: it spreads, moves off what drains, outlives what is killed and what is cut off, and nothing of
//! it is there twice when they return.

use std::time::Duration;

use longshore::engine::{Engine, labels};

use crate::engines::Engines;
use crate::machines::{Machines, Member};
use crate::rig::Service;

const WEB: Service = Service {
    count: 6,
    version: "1",
    percent: (100, 200),
    mode: "bridge",
    health: false,
    command: "echo version $VERSION; trap : TERM; sleep 100000 & wait",
};

/// Engines 1 to 3 as a, b and c, the second with TLS, and six tasks of the service on them.
async fn three(name: &str) -> Option<Machines> {
    let engines = Engines::up(3, "2")?;
    let mut machines = Machines::on(engines, 3, name, Vec::new()).await;
    machines.members = vec![
        machines.member("a", 1),
        machines.member("b", 2),
        machines.member("c", 3),
    ];
    machines.declare();
    machines.rig.service("web", &WEB);
    machines.rig.start();
    machines.rig.steady();
    Some(machines)
}

fn status(members: &mut [Member], name: &str, status: &'static str) {
    let member = members.iter_mut().find(|member| member.name == name);
    member.expect("a member").status = status;
}

#[tokio::test]
async fn a_service_on_three_engines_outlives_draining_cuts_kills_and_removals_of_them() {
    let Some(mut machines) = three("three").await else {
        return;
    };
    let begun = tokio::time::Instant::now();
    let done = |what: &str| eprintln!("{:>5.1} s: {what}", begun.elapsed().as_secs_f32());
    assert_eq!(machines.spread("web").await, [2, 2, 2], "spread evenly");
    drain_while_it_rolls_out(&mut machines).await;
    done("drained in a rollout");
    drained_and_activated_by_command(&mut machines).await;
    done("drained by command");
    cut_off_and_return(&mut machines).await;
    done("cut off and back");
    killed_and_return(&mut machines).await;
    done("killed and back");
    removed_and_restarted(&mut machines).await;
    done("removed");
    listed_twice(&mut machines).await;
    done("listed twice");
}

/// At no instant fewer than six run, though one engine drains and the version changes.
async fn drain_while_it_rolls_out(machines: &mut Machines) {
    let recordings = [
        Floor::of(machines, 1).await,
        Floor::of(machines, 2).await,
        Floor::of(machines, 3).await,
    ];
    status(&mut machines.members, "b", "DRAINING");
    machines.declare();
    machines.rig.service(
        "web",
        &Service {
            version: "2",
            ..WEB
        },
    );
    machines.rig.steady();
    assert_eq!(machines.spread("web").await, [3, 0, 3], "b is drained");
    let described = machines.rig.run(&[
        "describe",
        "instance",
        "b",
        "--cluster",
        &machines.rig.cluster,
    ]);
    assert!(
        described.stdout.contains("no task is left on it"),
        "{}",
        described.stdout
    );
    assert_eq!(machines.instance("b")["status"], "DRAINING");
    let least = Floor::least(recordings, 6).await;
    assert_eq!(least, 6, "minimumHealthyPercent is 100");

    status(&mut machines.members, "b", "ACTIVE");
    machines.declare();
    machines.rig.service(
        "web",
        &Service {
            count: 9,
            version: "2",
            ..WEB
        },
    );
    machines.rig.steady();
    assert_eq!(
        machines.spread("web").await,
        [3, 3, 3],
        "b takes tasks again"
    );
}

/// `longshore drain` empties an instance, also in the eyes of the next process, until `longshore activate` takes it back.
async fn drained_and_activated_by_command(machines: &mut Machines) {
    let nine = Service {
        count: 9,
        version: "2",
        ..WEB
    };
    let recordings = [
        Floor::of(machines, 1).await,
        Floor::of(machines, 2).await,
        Floor::of(machines, 3).await,
    ];
    let drained = machines.rig.run(&["drain", "c"]);
    assert_eq!(drained.code, 0, "{}", drained.stderr);
    assert_eq!(drained.stdout, "c\n");
    assert!(
        drained.stderr.contains("c takes no new tasks; 3 are on it"),
        "{}",
        drained.stderr
    );
    machines
        .until_spread("c is empty", "web", |on| on[2] == 0 && on[0] + on[1] == 9)
        .await;
    machines.rig.steady();
    let least = Floor::least(recordings, 9).await;
    assert_eq!(least, 9, "minimumHealthyPercent is 100");

    machines.rig.kill();
    machines.rig.start();
    machines.rig.service("web", &Service { count: 10, ..nine });
    machines.rig.steady();
    assert_eq!(machines.spread("web").await[2], 0, "it still holds");
    assert_eq!(machines.instance("c")["status"], "DRAINING");
    let unknown = machines.rig.run(&["drain", "nobody"]);
    assert_eq!(unknown.code, 1, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("nobody"), "{}", unknown.stderr);

    let activated = machines.rig.run(&["activate", "c"]);
    assert_eq!(activated.code, 0, "{}", activated.stderr);
    assert!(
        activated.stderr.contains("c takes tasks"),
        "{}",
        activated.stderr
    );
    assert_eq!(machines.instance("c")["status"], "ACTIVE");
    machines.rig.service("web", &Service { count: 13, ..nine });
    machines.rig.steady();
    assert_eq!(machines.spread("web").await[2], 3, "c takes tasks again");
    machines.rig.service("web", &nine);
    machines.rig.steady();
    assert_eq!(machines.spread("web").await, [3, 3, 3]);
}

async fn cut_off_and_return(machines: &mut Machines) {
    let before = machines.tasks("web").await;
    machines.engines.sh(&["cut", "3"]);
    machines
        .until_spread("a and b have them all", "web", |on| on[0] + on[1] == 9)
        .await;
    machines.rig.steady();
    assert_eq!(
        machines.spread("web").await[2],
        3,
        "what is cut off runs on"
    );
    let described = machines.rig.run(&[
        "describe",
        "service",
        "web",
        "--cluster",
        &machines.rig.cluster,
    ]);
    assert!(
        described
            .stdout
            .contains("gave up 3 tasks with container instance c"),
        "{}",
        described.stdout
    );
    assert_eq!(machines.instance("c")["agentConnected"], false);
    let during = machines.tasks("web").await;
    assert_eq!(
        during.intersection(&before).count(),
        9,
        "nothing else was touched"
    );

    machines.engines.sh(&["heal", "3"]);
    machines
        .until_spread("what was given up is stopped", "web", |on| {
            on.iter().sum::<usize>() == 9
        })
        .await;
    machines.rig.steady();
    assert_eq!(machines.instance("c")["agentConnected"], true);
    let after = machines.tasks("web").await;
    assert_eq!(after.len(), 9);
    let replaced: Vec<_> = after.difference(&before).collect();
    assert_eq!(replaced.len(), 3, "the replacements stay");
    machines
        .rig
        .until("the service says nothing of it any more", async |rig| {
            let described = rig.run(&["describe", "service", "web", "--cluster", &rig.cluster]);
            !described.stdout.contains("TasksGivenUp")
        })
        .await;
}

/// Killed with its containerd; its containers outlive it, and the next engine there ends them.
async fn killed_and_return(machines: &mut Machines) {
    machines.engines.sh(&["kill", "1"]);
    machines
        .until_spread("b and c have them all", "web", |on| on[1] + on[2] == 9)
        .await;
    machines.rig.steady();
    // Longshore is killed as well, while the instance is away.
    machines.rig.kill();
    machines.rig.start();
    machines.engines.sh(&["start", "1"]);
    machines.reconnect(1).await;
    machines
        .rig
        .until("a is an instance again", async |rig| {
            let found = rig.run(&[
                "get",
                "instances",
                "a",
                "--cluster",
                &rig.cluster,
                "-o",
                "json",
            ]);
            found.stdout.contains("\"agentConnected\": true")
        })
        .await;
    machines.rig.steady();
    assert_eq!(
        machines.tasks("web").await.len(),
        9,
        "no duplicates, nothing lost"
    );
    machines.rig.service(
        "web",
        &Service {
            count: 12,
            version: "2",
            ..WEB
        },
    );
    machines.rig.steady();
    assert!(machines.spread("web").await[0] >= 3, "a takes tasks again");
}

/// An instance that leaves the manifest drains like one that is DRAINING, also when Longshore is restarted in the middle.
async fn removed_and_restarted(machines: &mut Machines) {
    let recordings = [Floor::of(machines, 2).await, Floor::of(machines, 3).await];
    drop(recordings);
    machines.members.retain(|member| member.name != "a");
    machines.declare();
    tokio::time::sleep(Duration::from_millis(300)).await;
    machines.rig.kill();
    machines.rig.start();
    machines
        .until_spread("a is empty", "web", |on| on[0] == 0 && on[1] + on[2] == 12)
        .await;
    machines.rig.steady();
    let described = machines.rig.run(&[
        "describe",
        "instance",
        "a",
        "--cluster",
        &machines.rig.cluster,
    ]);
    assert!(
        described.stdout.contains("NotDeclared=True"),
        "{}",
        described.stdout
    );
}

/// P8: one engine is one instance of a cluster at most, however it is reached.
async fn listed_twice(machines: &mut Machines) {
    let socket = machines.engines.socket(2);
    machines.members.push(Member {
        name: "again",
        engine: 2,
        entry: format!("endpoint: unix://{}", socket.display()),
        status: "ACTIVE",
    });
    machines.declare();
    machines
        .rig
        .until("it is refused", async |rig| {
            rig.log()
                .contains("container instance again is the same engine as b")
        })
        .await;
    let cluster = machines.rig.cluster.clone();
    for arguments in [
        &["get", "instances", "again", "--cluster", &cluster][..],
        &["describe", "cluster", &cluster],
    ] {
        let shown = machines.rig.run(arguments);
        assert!(
            shown.stdout.contains("is the same engine as b"),
            "{}{}",
            shown.stdout,
            shown.stderr
        );
    }
    let before = machines.tasks("web").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(machines.tasks("web").await, before, "b goes on as it was");
    let lease = [(labels::LEASE.to_owned(), String::new())];
    let leases = machines.client(2).list_containers(&lease).await;
    assert_eq!(leases.expect("a list").len(), 1);
    machines.members.pop();
    machines.declare();
    machines.rig.steady();
}

/// How many containers of the service run on an engine, as its own events tell it.
struct Floor {
    engine: u32,
    running: usize,
    events: longshore::engine::EngineStream<longshore::engine::EngineEvent>,
}

impl Floor {
    /// Begins to record.
    async fn of(machines: &Machines, engine: u32) -> Self {
        let events = machines.client(engine).events(None).await.expect("events");
        let running = machines.on_engine(engine, "web").await.len();
        Self {
            engine,
            running,
            events,
        }
    }

    /// The fewest that ever ran on all of them together. An order to stop counts, not the end that follows it.
    async fn least(all: [Self; 3], wanted: usize) -> usize {
        use futures_util::StreamExt;
        let mut steps: Vec<(i64, i64)> = Vec::new();
        let mut running: i64 = 0;
        for mut of_engine in all {
            running += i64::try_from(of_engine.running).expect("few");
            let mut ended: Vec<String> = Vec::new();
            // Events come within moments; once there are none for a while, all have come.
            let quiet = Duration::from_millis(500);
            while let Ok(Some(Ok(event))) =
                tokio::time::timeout(quiet, of_engine.events.next()).await
            {
                let ours = event
                    .attributes
                    .get(labels::SERVICE)
                    .is_some_and(|s| s == "web");
                if !ours {
                    continue;
                }
                let step = match event.action.as_str() {
                    "start" => 1,
                    "kill" | "die" if !ended.contains(&event.id) => {
                        ended.push(event.id.clone());
                        -1
                    }
                    _ => continue,
                };
                steps.push((event.at_nanos, step));
            }
            assert!(of_engine.engine > 0);
        }
        steps.sort_unstable();
        let mut least = running;
        for (_, step) in steps {
            running += step;
            least = least.min(running);
        }
        assert_eq!(
            running,
            i64::try_from(wanted).expect("few"),
            "all events were read"
        );
        usize::try_from(least).unwrap_or(0)
    }
}
