//! What is not Longshore's and lies beside it: some of it looks a little like it, some of it is another Longshore's. None of it may
//! ever be touched (P2).

use std::collections::BTreeMap;

use longshore::engine::{ContainerState, CreateBody, Engine, labels};

use crate::audit::Audit;
use crate::common::Namespace;
use crate::hands::Hands;
use crate::machines::Machines;

/// See the module. Names and labels are the test's own, on every engine the same.
pub struct Foreign {
    namespace: Namespace,
    engines: u32,
}

/// The containers on each engine.
const CONTAINERS: [&str; 2] = ["plain", "another-owner"];

impl Foreign {
    /// Puts it on every engine.
    pub async fn add(machines: &Machines) -> Self {
        let namespace = Namespace::new();
        let cluster = &machines.rig.cluster;
        for member in &machines.members {
            let engine = machines.client(member.engine);
            for name in CONTAINERS {
                let mut body =
                    namespace.body(&["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]);
                body.labels.extend(likeness(name, cluster));
                body.stop_timeout = Some(1);
                start(engine, &namespace.name(name), &body).await;
            }
            let network = namespace.network("network");
            engine.create_network(&network).await.expect("a network");
            let volume = namespace.volume("volume");
            engine.create_volume(&volume).await.expect("a volume");
        }
        Self {
            namespace,
            engines: u32::try_from(machines.members.len()).expect("few"),
        }
    }

    /// What an engine ended, when it was itself ended, runs again: nobody but its owner would do that.
    pub async fn revive(&self, machines: &Machines) {
        for member in &machines.members {
            let engine = machines.client(member.engine);
            for name in CONTAINERS {
                let name = self.namespace.name(name);
                engine.start_container(&name).await.expect("it is there");
            }
        }
    }

    /// All of it must be there, and run.
    pub async fn look(&self, hands: &Hands, audit: &mut Audit) {
        let mine = self.namespace.filter();
        let (mut containers, mut networks, mut volumes) = (0, 0, 0);
        for member in &hands.machines.members {
            let engine = hands.machines.client(member.engine);
            let found = engine.list_containers(&mine).await.expect("a list");
            containers += found
                .iter()
                .filter(|c| c.state == ContainerState::Running)
                .count();
            networks += engine.list_networks(&mine).await.expect("a list").len();
            volumes += engine.list_volumes(&mine).await.expect("a list").len();
        }
        let each = self.engines as usize;
        audit.row(
            "somebody else's containers run",
            each * CONTAINERS.len(),
            containers,
        );
        audit.row("somebody else's networks", each, networks);
        audit.row("somebody else's volumes", each, volumes);
    }
}

/// Labels that others may have as well.
fn likeness(name: &str, cluster: &str) -> BTreeMap<String, String> {
    let mut likeness = BTreeMap::from([(labels::ECS_CLUSTER.to_owned(), cluster.to_owned())]);
    if name == "another-owner" {
        for (label, value) in [
            (labels::SCHEMA, labels::SCHEMA_VERSION),
            (labels::OWNER, "00000000deadbeef"),
            (labels::CLUSTER, cluster),
            (labels::SERVICE, "web"),
            (labels::TASK, "0123456789abcdef0123456789abcdef"),
            (labels::CONTAINER, "app"),
        ] {
            likeness.insert(label.to_owned(), value.to_owned());
        }
    }
    likeness
}

async fn start(engine: &dyn Engine, name: &str, body: &CreateBody) {
    let id = engine.create_container(name, body).await.expect("created");
    engine.start_container(&id).await.expect("started");
}
