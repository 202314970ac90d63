//! A model of an engine, just good enough to apply actions to, for golden lives and properties.

use super::*;
use crate::agent::{Action, Call, LogFact};
use crate::engine::labels::PAUSE_CONTAINER;
use crate::engine::translate::needs_pause;
use crate::model::{Condition, LastStatus};

/// A task, the engine under it, and everything that was done so far.
pub(super) struct World {
    pub scene: Scene,
    pub done: Vec<String>,
    ids: u32,
}

impl World {
    /// A task that was just ordered on an engine that has nothing.
    pub fn new(spec: TaskSpec) -> Self {
        let mut scene = Scene::of(spec);
        scene.facts = Facts::default();
        Self {
            scene,
            done: Vec::new(),
            ids: 0,
        }
    }

    /// Steps and applies everything until there is nothing left to do; fails when that takes for ever.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            if !self.round() {
                return;
            }
        }
        panic!("it never comes to rest: {:#?}", self.done);
    }

    /// One step with all its actions applied. Whether anything was to be done, or was reported.
    pub fn round(&mut self) -> bool {
        let step = self.scene.step();
        self.check(&step.actions);
        let before = std::mem::replace(&mut self.scene.prior, step.status);
        assert!(
            before.last_status <= self.scene.prior.last_status,
            "the status moved backwards, from {before:?}"
        );
        for action in &step.actions {
            self.done.push(action.to_string());
            self.apply(&action.call);
        }
        !step.actions.is_empty() || before != self.scene.prior
    }

    /// What no step may ever ask for.
    fn check(&self, actions: &[Action]) {
        for action in actions {
            match &action.call {
                Call::Start { container, .. } if container != PAUSE_CONTAINER => {
                    self.check_start(container, action);
                }
                Call::Stop { container, .. } => self.check_stop(container, action),
                _ => {}
            }
            if let Some(container) = action.call.container() {
                assert!(
                    !self.scene.facts.busy.contains(container),
                    "acts on a busy container: {action}"
                );
            }
        }
    }

    fn check_start(&self, container: &str, action: &Action) {
        let spec = self
            .scene
            .spec
            .container(container)
            .expect("a container of the task");
        let seen = |name: &str| self.scene.observed.get(name);
        assert_ne!(
            self.scene.record.desired,
            DesiredStatus::Stopped,
            "starts in a task that is to stop: {action}"
        );
        assert!(
            self.scene.prior.stop_code.is_none(),
            "starts in a stopping task: {action}"
        );
        let state = seen(container).expect("it exists").state;
        let again = state == ContainerState::Exited && spec.restart_policy.is_some();
        assert!(
            state == ContainerState::Created || again,
            "starts what ran: {action}"
        );
        if needs_pause(&self.scene.spec) && !again {
            let pause = seen(PAUSE_CONTAINER).expect("a pause container");
            assert_eq!(pause.state, ContainerState::Running);
        }
        if again {
            return;
        }
        for dependency in &spec.depends_on {
            let dep = seen(&dependency.container);
            let started = dep.is_some_and(|d| d.started_at.is_some())
                || self
                    .scene
                    .prior
                    .container(&dependency.container)
                    .is_some_and(|c| c.started_at.is_some());
            assert!(started, "starts before its dependency ran: {action}");
            let up = dep.is_some_and(|d| {
                matches!(d.state, ContainerState::Running | ContainerState::Paused)
            });
            let met = match dependency.condition {
                Condition::Start => true,
                Condition::Complete => !up,
                Condition::Success => {
                    let code = dep.and_then(|d| d.exit_code).or_else(|| {
                        self.scene
                            .prior
                            .container(&dependency.container)
                            .and_then(|c| c.exit_code)
                    });
                    !up && code == Some(0)
                }
                Condition::Healthy => up && dep.is_some_and(|d| d.health == HealthStatus::Healthy),
            };
            assert!(
                met,
                "starts with {:?} unmet: {action}",
                dependency.condition
            );
        }
    }

    fn check_stop(&self, container: &str, action: &Action) {
        for other in &self.scene.spec.containers {
            let depends = other.depends_on.iter().any(|d| d.container == container);
            let up = self
                .scene
                .observed
                .get(&other.name)
                .is_some_and(|o| o.state == ContainerState::Running);
            assert!(!(depends && up), "stops before {}: {action}", other.name);
        }
    }

    fn apply(&mut self, call: &Call) {
        let now = self.scene.now;
        match call {
            Call::CreateNetwork => self.scene.facts.network = Readiness::Ready,
            Call::ImportPauseImage => self.scene.facts.pause_image = Readiness::Ready,
            Call::Pull { image, .. } => {
                let fact = ImageFact::Present {
                    digest: None,
                    pulled: Some((now, now)),
                    ours: true,
                };
                self.scene.facts.images.insert(image.clone(), fact);
            }
            Call::CreateVolume { volume } | Call::FindVolume { volume } => {
                self.scene
                    .facts
                    .volumes
                    .insert(volume.clone(), Readiness::Ready);
            }
            Call::Create { container } => {
                self.ids += 1;
                let mut fresh = created(container);
                fresh.id = format!("{}-{container}", self.ids);
                self.scene.observed.insert(container.clone(), fresh);
            }
            Call::Start { container, .. } => {
                if let Some(found) = self.scene.observed.get_mut(container) {
                    found.state = ContainerState::Running;
                    found.started_at = Some(now);
                    found.health = HealthStatus::Unknown;
                }
            }
            Call::Stop { container, .. } => self.end(container, 143),
            Call::Remove { container, .. } => {
                self.scene.observed.remove(container);
            }
            Call::RemoveVolume { .. } => {}
            Call::ReadLogs {
                container, ended, ..
            } => {
                let fact = LogFact {
                    ended: *ended,
                    lines: vec![format!("last words of {container}")],
                };
                self.scene.facts.logs.insert(container.clone(), fact);
            }
        }
    }

    /// A container ends by itself, or was stopped.
    pub fn end(&mut self, container: &str, code: i64) {
        let now = self.scene.now;
        if let Some(found) = self.scene.observed.get_mut(container)
            && matches!(
                found.state,
                ContainerState::Running | ContainerState::Paused
            )
        {
            found.state = ContainerState::Exited;
            found.exit_code = Some(code);
            found.finished_at = Some(now);
        }
    }

    pub fn health(&mut self, container: &str, health: HealthStatus) {
        if let Some(found) = self.scene.observed.get_mut(container)
            && found.state == ContainerState::Running
        {
            found.health = health;
        }
    }

    pub fn status(&self) -> LastStatus {
        self.scene.prior.last_status
    }
}

#[test]
fn the_whole_life_of_a_task_of_the_example_is_exactly_this() {
    let spec = spec(serde_json::json!({
        "family": "web", "network_mode": "awsvpc",
        "volumes": [{"name": "site", "kind": {"type": "task"}}],
        "containers": [
            {"name": "migrate", "image": "busybox", "essential": false,
             "mount_points": [{"source_volume": "site", "container_path": "/site"}]},
            {"name": "web", "image": "busybox", "essential": true, "stop_timeout": 3,
             "health_check": {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2,
                              "start_period": 0},
             "mount_points": [{"source_volume": "site", "container_path": "/site"}],
             "depends_on": [{"container": "migrate", "condition": "SUCCESS"}]},
            {"name": "clock", "image": "busybox", "essential": false, "stop_timeout": 1,
             "depends_on": [{"container": "web", "condition": "START"}]}
        ]
    }));
    let mut world = World::new(spec);
    world.settle();
    world.done.push("-- migrate ends".to_owned());
    world.end("migrate", 0);
    world.settle();
    assert_eq!(world.status(), LastStatus::Running);
    world.done.push("-- the health check passes".to_owned());
    world.health("web", HealthStatus::Healthy);
    world.settle();
    assert_eq!(world.scene.prior.health, HealthStatus::Healthy);
    world.done.push("-- web ends".to_owned());
    world.end("web", 1);
    world.settle();
    assert_eq!(world.status(), LastStatus::Stopped);
    assert_eq!(world.scene.prior.last_log_lines, ["last words of web"]);
    insta::assert_snapshot!("life", world.done.join("\n"));
    insta::assert_json_snapshot!("end", world.scene.prior);
}
