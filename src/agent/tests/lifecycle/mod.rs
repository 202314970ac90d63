//! The lifecycle of a task, semantics §4, rules 1–18: each sentence a test, in files by rule. What of it can be seen from outside is
//! tried on a real engine too (`tests/lifecycle`). Rules 6 and 8 are the controller's (`controller::rules`,
//! `controller::standalone`) and the API's.

mod dependencies;
mod errors;
mod health;
mod images;
mod restart;
mod shutdown;
mod statuses;
mod stopping;
mod surroundings;

use serde_json::json;

use super::*;
use crate::agent::LogFact;
use crate::engine::PublishedPort;
use crate::engine::labels::PAUSE_CONTAINER;
use crate::model::{LastStatus, NetworkMode, Protocol};

pub(super) fn one() -> TaskSpec {
    task(json!([{"name": "web"}]))
}

pub(super) fn two(second: serde_json::Value) -> TaskSpec {
    let mut web = json!({"name": "web"});
    let fields = second.as_object().expect("an object").clone();
    web.as_object_mut().expect("an object").extend(fields);
    task(json!([{"name": "dep", "essential": false}, web]))
}

pub(super) fn waiting(condition: &str) -> TaskSpec {
    two(json!({"depends_on": [{"container": "dep", "condition": condition}]}))
}

pub(super) fn checked(name: &str, essential: bool) -> serde_json::Value {
    json!({"name": name, "essential": essential, "health_check": {
        "command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2, "start_period": 0
    }})
}
