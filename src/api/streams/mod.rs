//! What is told as it happens: changes, events and logs as a JSON object a line, exec as frames both ways.
//!
//! A stream ends when its reader goes away, when there is nothing left to tell, or with the daemon.

pub mod changes;
pub mod events;
pub mod exec;
pub mod logs;
mod target;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

pub(super) use target::check_cluster;
pub use target::{Refused, Target};

/// Lines that may wait for a slow reader before their producer waits too.
const BUFFERED: usize = 256;

/// Where a stream's producer writes.
#[derive(Debug, Clone)]
pub struct Lines(mpsc::Sender<Bytes>);

impl Lines {
    /// A response whose body is what is written to the other half.
    pub fn response() -> (Self, Response) {
        let (sender, receiver) = mpsc::channel(BUFFERED);
        let body = ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>);
        let mut response = Response::new(Body::from_stream(body));
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        (Self(sender), response)
    }

    /// Writes one object as a line; `false` when nobody reads any more.
    pub async fn send<T: Serialize>(&self, value: &T) -> bool {
        let Ok(mut line) = serde_json::to_vec(value) else {
            return true;
        };
        line.push(b'\n');
        self.0.send(line.into()).await.is_ok()
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}
