//! `GET /v1/events`: what services said, and with `follow` what they go on to say.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::error::RecvError;

use crate::api::context::Serving;
use crate::api::time::At;
use crate::model::{EventLevel, EventName, ServiceEvent};
use crate::store::{Changed, Key, State};

use super::Lines;
use super::target::{Refused, Scope};

/// The query.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct EventQuery {
    /// Only of this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Only of this service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Go on as services say more.
    pub follow: bool,
}

/// One line of the answer. An event that is said again comes again, with its new count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLine {
    /// The service's cluster.
    pub cluster: String,
    /// The service.
    pub service: String,
    /// Rises by one with every event of the service.
    pub seq: u64,
    /// When it was first said.
    pub at: At,
    /// When it was last said.
    pub last_at: At,
    /// How often.
    pub count: u32,
    /// INFO, WARN or ERROR.
    pub level: EventLevel,
    /// ECS's `eventName`, where ECS has one: `SERVICE_DEPLOYMENT_FAILED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<EventName>,
    /// The sentence.
    pub message: String,
}

impl From<&ServiceEvent> for EventLine {
    fn from(event: &ServiceEvent) -> Self {
        Self {
            cluster: event.cluster.to_string(),
            service: event.service.to_string(),
            seq: event.seq,
            at: event.at.into(),
            last_at: event.last_at.into(),
            count: event.count,
            level: event.level,
            name: event.name,
            message: event.message.clone(),
        }
    }
}

/// Answers the request.
///
/// # Errors
/// There is no such service, or there are two.
pub(in crate::api) fn events(context: &Serving, query: &EventQuery) -> Result<Response, Refused> {
    let scope = {
        let state = context.view.read();
        Scope::find(
            &state,
            query.cluster.as_deref(),
            query.service.as_deref(),
            None,
        )?
    };
    let (lines, response) = Lines::response();
    tokio::spawn(produce(context.clone(), scope, query.follow, lines));
    Ok(response)
}

/// Events of a service after which an older one is surely gone; the last 100 are kept.
const FORGOTTEN: u64 = 1000;

/// How often each event that was sent had been said.
type Sent = BTreeMap<(String, String, u64), u32>;

async fn produce(context: Serving, scope: Scope, follow: bool, lines: Lines) {
    let mut changes = context.view.subscribe();
    let mut sent = Sent::new();
    let all = || collect(&context.view.read(), &scope);
    if !send_new(&lines, all(), &mut sent).await || !follow {
        return;
    }
    loop {
        let changed = tokio::select! {
            changed = changes.recv() => changed,
            () = lines.closed() => return,
            () = context.stop.cancelled() => return,
        };
        let look_at = match changed {
            Ok(Changed::Key(change)) => match change.key {
                Key::Event(cluster, service, seq) if in_scope(&scope, &cluster, &service) => {
                    let state = context.view.read();
                    let found = state
                        .events
                        .get(&(cluster, service))
                        .and_then(|events| events.get(&seq));
                    found
                        .map(|event| EventLine::from(&*event.value))
                        .into_iter()
                        .collect()
                }
                _ => continue,
            },
            Ok(Changed::Everything) | Err(RecvError::Lagged(_)) => all(),
            Err(RecvError::Closed) => return,
        };
        if !send_new(&lines, look_at, &mut sent).await {
            return;
        }
    }
}

fn in_scope(
    scope: &Scope,
    cluster: &crate::model::ClusterName,
    service: &crate::model::ServiceName,
) -> bool {
    match scope {
        Scope::Service(c, s) => c == cluster && s == service,
        Scope::All(c) => c.as_ref().is_none_or(|c| c == cluster),
        Scope::Task(..) => false,
    }
}

/// All events of a scope, in the order in which they were last said.
fn collect(state: &State, scope: &Scope) -> Vec<EventLine> {
    let mut events: Vec<EventLine> = state
        .events
        .iter()
        .filter(|((cluster, service), _)| in_scope(scope, cluster, service))
        .flat_map(|(_, events)| events.values())
        .map(|event| EventLine::from(&*event.value))
        .collect();
    events.sort_by(|a, b| {
        let key = |e: &EventLine| (e.last_at, e.cluster.clone(), e.service.clone(), e.seq);
        key(a).cmp(&key(b))
    });
    events
}

async fn send_new(lines: &Lines, events: Vec<EventLine>, sent: &mut Sent) -> bool {
    for event in events {
        let of = |seq| (event.cluster.clone(), event.service.clone(), seq);
        let key = of(event.seq);
        // The store has long dropped it, so it cannot be said again.
        sent.remove(&of(event.seq.saturating_sub(FORGOTTEN)));
        if sent.insert(key, event.count) == Some(event.count) {
            continue;
        }
        if !lines.send(&event).await {
            return false;
        }
    }
    true
}
