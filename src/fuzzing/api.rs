//! The server on the socket: whole requests, over a connection.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{first_line, world};

/// The most that may be answered about the small cluster, in bytes.
const LONGEST_ANSWER: usize = 4 << 20;

/// The first line is method, path and ECS's operation (`POST / RunTask`), the rest the body. Whatever is asked is answered,
/// with a status and with what that status promises, and nothing that is asked is too much for the server.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, body) = first_line(text);
    let words: Vec<&str> = first.split(' ').collect();
    let [method, path, target] = words.as_slice() else {
        return;
    };
    let plain = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    if !plain(method) || !plain(path) || !plain(target) || first.len() > 1024 {
        return;
    }
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         x-amz-target: AmazonEC2ContainerServiceV20141113.{target}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(request.as_bytes());
    assert!(answer.len() < LONGEST_ANSWER);
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let status = status.unwrap_or_else(|| panic!("no answer to {request:?}: {answer:?}"));
    // What this daemon says, that does nothing, is no fault of the server's.
    let idle = ["not read yet", "is ending"]
        .iter()
        .any(|why| body.contains(why));
    assert!(!status.starts_with('5') || idle, "{answer}");
    if *path == "/" && *method == "POST" {
        let read: Result<serde_json::Value, _> = serde_json::from_str(body);
        let read = read.unwrap_or_else(|error| panic!("{error}: {answer}"));
        assert!(read.is_object(), "{answer}");
        let fails = status != "200";
        assert_eq!(fails, read.get("__type").is_some(), "{answer}");
    }
}

struct Server {
    runtime: Runtime,
    connect: mpsc::UnboundedSender<DuplexStream>,
}

struct Connections(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Connections {
    type Io = DuplexStream;
    type Addr = ();

    async fn accept(&mut self) -> (DuplexStream, ()) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

fn start() -> Server {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let (connect, connections) = mpsc::unbounded_channel();
    runtime.block_on(async {
        let items = world::items().into_iter();
        let items = items.map(|(key, value)| (key, value.to_string().into_bytes()));
        let (store, _) = world::store(items).await;
        let stop = CancellationToken::new();
        let context = world::context(store, stop.clone()).await;
        let router = crate::api::fuzz::router(context, stop);
        tokio::spawn(axum::serve(Connections(connections), router).into_future());
    });
    Server { runtime, connect }
}

/// What is answered until the connection ends, or nothing more comes for a (virtual) minute.
fn ask(request: &[u8]) -> Vec<u8> {
    thread_local! {
        static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    }
    SERVER.with_borrow_mut(|server| {
        let server = server.get_or_insert_with(start);
        server.runtime.block_on(async {
            let (mut ours, theirs) = duplex(1 << 16);
            server.connect.send(theirs).expect("the server runs");
            let mut answer = Vec::new();
            let exchange = async {
                // It may have answered, and gone, before it read everything.
                let _ = ours.write_all(request).await;
                let _ = ours.read_to_end(&mut answer).await;
            };
            let _ = tokio::time::timeout(Duration::from_secs(60), exchange).await;
            answer
        })
    })
}
