//! A cluster over the engines of a test, and what runs on each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use longshore::engine::docker::DockerEngine;
use longshore::engine::{ContainerState, Engine, ObservedContainer, labels};

use crate::engines::Engines;
use crate::rig::{PATIENCE, Rig};

/// A container instance of the cluster.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: &'static str,
    pub engine: u32,
    /// Lines of its entry in the manifest after its name, for example `endpoint: tcp://…`.
    pub entry: String,
    pub status: &'static str,
}

/// Engines, a Longshore, and the cluster that is on them.
pub struct Machines {
    pub rig: Rig,
    pub members: Vec<Member>,
    clients: BTreeMap<u32, Arc<DockerEngine>>,
    // Last, so that it is dropped last.
    pub engines: Engines,
}

impl Machines {
    /// Longshore is given this environment.
    pub async fn on(
        engines: Engines,
        count: u32,
        name: &str,
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut clients = BTreeMap::new();
        for number in 1..=count {
            clients.insert(number, engines.client(number).await);
        }
        let rig = Rig::on(Arc::clone(&clients[&1]), name, environment);
        Self {
            rig,
            members: Vec::new(),
            clients,
            engines,
        }
    }

    /// A member by the engine's TCP address, with the client's certificate where it asks for one.
    pub fn member(&self, name: &'static str, engine: u32) -> Member {
        let address = self.engines.address(engine);
        let mut entry = format!("endpoint: {address}");
        if address.ends_with(":2376") {
            let certs = self.engines.dir().join("certs");
            entry.push_str(&format!("\n      tls: {{certPath: {}}}", certs.display()));
        }
        Member {
            name,
            engine,
            entry,
            status: "ACTIVE",
        }
    }

    /// Writes the cluster's manifest.
    pub fn declare(&self) {
        self.rig.write(
            "cluster.yaml",
            &self.manifest(&self.rig.cluster, &self.members),
        );
    }

    pub fn manifest(&self, cluster: &str, members: &[Member]) -> String {
        let mut text = format!(
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata:\n  name: {cluster}\nspec:\n  healthyAfterSeconds: 1\n  \
             instanceLostAfterSeconds: 10\n  containerInstances:\n"
        );
        for member in members {
            text.push_str(&format!(
                "    - name: {}\n      {}\n      status: {}\n",
                member.name, member.entry, member.status
            ));
        }
        text
    }

    pub fn client(&self, engine: u32) -> &DockerEngine {
        &self.clients[&engine]
    }

    /// A killed engine that was started again is another connection.
    pub async fn reconnect(&mut self, engine: u32) {
        let client = self.engines.client(engine).await;
        self.clients.insert(engine, client);
    }

    /// The containers of the service's tasks that run on an engine.
    pub async fn on_engine(&self, engine: u32, service: &str) -> Vec<ObservedContainer> {
        let mine = [
            (labels::CLUSTER.to_owned(), self.rig.cluster.clone()),
            (labels::SERVICE.to_owned(), service.to_owned()),
        ];
        let all = self.client(engine).list_containers(&mine).await;
        let mut all = all.unwrap_or_default();
        all.retain(|c| c.state == ContainerState::Running);
        all
    }

    /// How many of the service's tasks run on each engine.
    pub async fn spread(&self, service: &str) -> Vec<usize> {
        let mut counts = Vec::new();
        for engine in self.clients.keys() {
            counts.push(self.on_engine(*engine, service).await.len());
        }
        counts
    }

    /// Every running task of the service, each once.
    pub async fn tasks(&self, service: &str) -> BTreeSet<String> {
        let mut tasks = BTreeSet::new();
        for engine in self.clients.keys() {
            for container in self.on_engine(*engine, service).await {
                let new = tasks.insert(container.labels[labels::TASK].clone());
                assert!(new, "one task runs twice: {container:?}");
            }
        }
        tasks
    }

    /// Waits until the counts on the engines satisfy `enough`.
    pub async fn until_spread(&self, what: &str, service: &str, enough: impl Fn(&[usize]) -> bool) {
        let begun = tokio::time::Instant::now();
        loop {
            let counts = self.spread(service).await;
            if enough(&counts) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain until {what}: {counts:?}\nlog: {}",
                self.rig.log()
            );
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// The instance as `get` knows it.
    pub fn instance(&self, name: &str) -> serde_json::Value {
        let found = self.rig.json(&[
            "get",
            "instances",
            name,
            "--cluster",
            &self.rig.cluster,
            "-o",
            "json",
        ]);
        found["containerInstances"][0].clone()
    }
}
