//! AWS's own client, where somebody has it: `scripts/check-aws-client.py`.

use crate::fixture::{World, id};

#[tokio::test(flavor = "multi_thread")]
async fn aws_own_client_understands_every_answer() {
    let Some(script) = std::env::var_os("LONGSHORE_AWS_CLIENT") else {
        eprintln!(
            "not run: LONGSHORE_AWS_CLIENT names no script (see scripts/check-aws-client.py)"
        );
        return;
    };
    let world = World::start().await;
    world.running(&id("aa"), &["hello"]).await;
    world.failed(&id("cc")).await;
    world
        .say("default", "web", 1, 1, "(service web) hello.")
        .await;
    let asked = tokio::process::Command::new(script)
        .arg(world.socket())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        asked.status.success(),
        "{}{}",
        text(&asked.stdout),
        text(&asked.stderr)
    );
    eprintln!("{}", text(&asked.stdout));
}
