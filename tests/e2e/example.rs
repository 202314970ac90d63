//! The example that comes with Longshore does what its comments promise.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use longshore::engine::labels;

use crate::common;
use crate::rig::{Rig, values};

#[tokio::test]
async fn the_example_folder_runs_to_steady_answers_at_its_port_and_rolls_when_edited() {
    let Some(mut rig) = Rig::new("example").await else {
        return;
    };
    let port = free_port();
    let copy = |rig: &Rig, greeting: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        for entry in std::fs::read_dir(folder).expect("the example") {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let text = text
                .replace("busybox:1.36.1", common::IMAGE)
                .replace("name: default", &format!("name: {}", rig.cluster))
                .replace(
                    "\n  desiredCount:",
                    &format!("\n  cluster: {}\n  desiredCount:", rig.cluster),
                )
                .replace("hostPort: 8080", &format!("hostPort: {port}"))
                .replace("value: Hello", &format!("value: {greeting}"));
            let name = path.file_name().expect("a name").to_string_lossy();
            rig.write(&name, &text);
        }
    };
    copy(&rig, "Hello");
    rig.start();
    rig.steady();
    for (service, tasks) in [("web", 3), ("edge", 1), ("worker", 1)] {
        let running = rig.running(service).await;
        assert_eq!(values(&running, labels::TASK).len(), tasks, "{service}");
    }
    answers(&rig, port, "Hello from").await;
    assert!(get(port).contains("schema 1"), "the migration came first");

    copy(&rig, "Goodbye");
    rig.steady();
    answers(&rig, port, "Goodbye from").await;
    for _ in 0..10 {
        let answer = get(port);
        assert!(!answer.contains("Hello"), "no old task answers: {answer}");
    }
    let web = rig.running("web").await;
    assert_eq!(values(&web, labels::REVISION), ["2"]);
    let edge = rig.running("edge").await;
    assert_eq!(values(&edge, labels::REVISION), ["1"], "it was not edited");
}

/// Waits until the edge answers with this.
async fn answers(rig: &Rig, port: u16, wanted: &str) {
    let what = format!("port {port} answers {wanted:?}");
    rig.until(&what, async |_| get(port).contains(wanted)).await;
}

/// What a GET of `/` answers, headers and all; nothing where nothing answers.
fn get(port: u16) -> String {
    let mut answer = String::new();
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut answer)
    });
    match asked {
        Ok(_) => answer,
        Err(error) => error.to_string(),
    }
}

/// A port that nothing listens on, below those that systems and engines give out by themselves.
fn free_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    (start..32_000)
        .find(|port| std::net::TcpListener::bind(("0.0.0.0", *port)).is_ok())
        .expect("a free port")
}
