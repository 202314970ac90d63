//! `GET /v1/changes`: a line whenever something changed, so that whoever shows something knows when to ask for it again.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

use crate::api::context::Serving;
use crate::store::Revision;

use super::Lines;

/// Changes that come within this time of each other are one line.
const GATHER: Duration = Duration::from_millis(50);

/// One line of the answer. It says that something changed, not what: look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeLine {
    /// What is asked for from now on shows everything up to this revision of the store.
    pub revision: Revision,
}

/// Answers the request: a line at once, and one after each change.
pub(in crate::api) fn changes(context: &Serving) -> Response {
    let (lines, response) = Lines::response();
    tokio::spawn(produce(context.clone(), lines));
    response
}

async fn produce(context: Serving, lines: Lines) {
    let mut changes = context.view.subscribe();
    let mut folder = context.status.clone();
    let mut troubles = context.control.troubles();
    loop {
        let revision = context.view.read().revision;
        if !lines.send(&ChangeLine { revision }).await {
            return;
        }
        tokio::select! {
            changed = changes.recv() => if let Err(RecvError::Closed) = changed {
                return;
            },
            Ok(()) = folder.changed() => {}
            Ok(()) = troubles.changed() => {}
            () = lines.closed() => return,
            () = context.stop.cancelled() => return,
        }
        tokio::time::sleep(GATHER).await;
        while changes.try_recv().is_ok() {}
        folder.mark_unchanged();
        troubles.mark_unchanged();
    }
}
