//! What the user and the tasks ask Longshore for, as they would through its socket.

use std::sync::Arc;

use longshore::api::Control;
use longshore::controller::{RolloutError, RunRequest};
use longshore::daemon::preview;
use longshore::manifest::source::Scan;
use longshore::model::{
    Asked, ClusterName, Family, InstanceDesired, InstanceId, ProtectionRequest, RolloutVerb,
    ServiceName, TaskId, TaskOverrides,
};
use longshore::simulate::fence::Fence;
use longshore::store::{State, redb};

use super::oracles::secrets;
use super::record::Record;
use super::store::PLANNING;

/// A request.
#[derive(Debug, Clone)]
pub enum Request {
    Rollout(ClusterName, ServiceName, RolloutVerb),
    Instance(ClusterName, InstanceId, InstanceDesired),
    Run(ClusterName, Family, u64),
    Stop(ClusterName, TaskId),
    Protect(ClusterName, TaskId, ProtectionRequest),
    Plan(Scan),
}

/// Whoever sends requests.
#[derive(Clone)]
pub struct User {
    pub control: Arc<dyn Control>,
    pub fence: Arc<Fence>,
    pub record: Arc<Record>,
}

impl User {
    /// Sends a request; whether it was granted. Never returns where the process dies before it has answered.
    pub async fn ask(self, request: Request) -> bool {
        let fence = Arc::clone(&self.fence);
        fence.call("request", "", self.granted(request)).await
    }

    async fn granted(self, request: Request) -> bool {
        let now = self.record.theirs.now();
        let asked = Asked {
            by: "the user".to_owned(),
            at: now,
            reason: None,
        };
        let control = &self.control;
        let said = match &request {
            Request::Plan(_) => "a plan".to_owned(),
            other => format!("{other:?}"),
        };
        let granted: Result<(), String> = match request {
            Request::Rollout(cluster, service, verb) => {
                let done = control.rollout(&cluster, &service, &verb, asked).await;
                // What is so already needs no granting.
                let done = match done {
                    Err(RolloutError::NotNow(why)) => Err(format!("not now: {why}")),
                    other => other.map(|_| ()).map_err(|e| e.to_string()),
                };
                if done.is_ok() {
                    self.record.reach(verb_name(&verb));
                }
                done
            }
            Request::Instance(cluster, instance, wanted) => {
                let done = control.set_instance(&cluster, &instance, wanted, asked);
                let done = done.await.map(|_| ()).map_err(|e| e.to_string());
                if done.is_ok() {
                    self.record.reach("an instance drained or activated");
                }
                done
            }
            Request::Run(cluster, family, token) => {
                let request = run_request(cluster, family, token);
                let done = control.run_task(&request).await;
                if done.is_ok() {
                    self.record.reach("a task run once");
                }
                done.map(|_| ()).map_err(|e| e.to_string())
            }
            Request::Stop(cluster, task) => {
                let done = control.stop_task(&cluster, &task, "asked for").await;
                if done.is_ok() {
                    self.record.reach("a task stopped by the user");
                }
                done.map(|_| ()).map_err(|e| e.to_string())
            }
            Request::Protect(cluster, task, request) => {
                let done = control.protect(&cluster, &task, request).await;
                if done.is_ok() {
                    self.record.reach("a protection");
                }
                done.map(|_| ()).map_err(|e| format!("{e:?}"))
            }
            Request::Plan(scan) => {
                let done = PLANNING.scope((), self.plan(&scan)).await;
                self.record.reach("a plan");
                done.map(|_| ())
            }
        };
        let outcome = granted.as_ref().err().map_or("granted", String::as_str);
        self.reads("an answer", outcome);
        self.record.say(format!("request: {said}: {outcome}"));
        granted.is_ok()
    }

    /// What a plan for the folder would do, a line each.
    pub async fn plan(&self, scan: &Scan) -> Result<Vec<String>, String> {
        let dump = self.control.dump().await?;
        let listing = redb::read_dump(&dump).ok_or("the dump cannot be read")?;
        let state = State::of(listing);
        let preview = preview::compute(scan, &state, self.record.theirs.now());
        let services = preview.services.iter();
        let changes = services.filter(|s| s.manifest_changes || !s.steps.is_empty());
        let text = |action: &preview::PlannedAction| action.text.clone();
        let lines: Vec<String> = changes
            .map(|service| {
                let steps: Vec<String> = service.steps.iter().flatten().map(text).collect();
                format!("{} {}", service.name, steps.join(", "))
            })
            .collect();
        self.reads("a plan", &lines.join("\n"));
        Ok(lines)
    }

    /// P9: what is answered holds no secret.
    fn reads(&self, what: &str, text: &str) {
        if let Some(finding) = secrets::in_text(what, text) {
            self.record.found(finding);
        }
    }
}

fn verb_name(verb: &RolloutVerb) -> &'static str {
    match verb {
        RolloutVerb::Suspend => "suspend",
        RolloutVerb::Resume => "resume",
        RolloutVerb::Pause => "pause",
        RolloutVerb::Unpause => "unpause",
        RolloutVerb::Restart => "restart",
        RolloutVerb::Undo { .. } => "undo",
        RolloutVerb::Retry => "retry",
        RolloutVerb::Stop { .. } => "stop",
    }
}

fn run_request(cluster: ClusterName, family: Family, token: u64) -> RunRequest {
    RunRequest {
        cluster,
        family,
        revision: None,
        count: 1 + u32::try_from(token % 3).unwrap_or(0),
        group: None,
        started_by: None,
        token: Some(format!("token-{token}")),
        overrides: TaskOverrides::default(),
        tags: [].into(),
        propagate_tags: false,
        constraints: Vec::new(),
        strategy: Vec::new(),
        providers: Vec::new(),
        names_launch_type: false,
    }
}
