//! Holding a container by its standard input: what leases are made of.

use longshore::engine::{ContainerState, CreateBody, Engine, ErrorKind};

use super::{ended, gone, kind, patiently};
use crate::common::Namespace;

/// A container that lives as long as somebody holds its standard input.
fn held(ns: &Namespace) -> CreateBody {
    CreateBody {
        open_stdin: Some(true),
        stdin_once: Some(true),
        ..ns.body(&["cat"])
    }
}

pub async fn a_container_ends_when_its_holder_lets_go(engine: &dyn Engine, ns: &Namespace) {
    let id = engine
        .create_container(&ns.name("lease"), &held(ns))
        .await
        .expect("created");
    let attachment = engine.attach_stdin(&id).await.expect("attached");
    engine.start_container(&id).await.expect("started");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Running);
    drop(attachment);
    assert_eq!(ended(engine, &id).await.exit_code, Some(0));
}

pub async fn a_holder_that_attaches_late_holds_it_too(engine: &dyn Engine, ns: &Namespace) {
    let id = super::started(engine, &ns.name("lease"), &held(ns)).await;
    let attachment = engine.attach_stdin(&id).await.expect("attached");
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Running);
    drop(attachment);
    assert_eq!(ended(engine, &id).await.exit_code, Some(0));
}

pub async fn a_holder_that_let_go_before_the_start_ends_it_at_once(
    engine: &dyn Engine,
    ns: &Namespace,
) {
    let id = engine
        .create_container(&ns.name("lease"), &held(ns))
        .await
        .expect("created");
    drop(engine.attach_stdin(&id).await.expect("attached"));
    let seen = engine.inspect_container(&id).await.expect("it exists");
    assert_eq!(seen.state, ContainerState::Created);
    engine.start_container(&id).await.expect("started");
    assert_eq!(ended(engine, &id).await.exit_code, Some(0));
}

pub async fn an_attachment_ends_with_its_container(engine: &dyn Engine, ns: &Namespace) {
    let id = engine
        .create_container(&ns.name("lease"), &held(ns))
        .await
        .expect("created");
    let mut attachment = engine.attach_stdin(&id).await.expect("attached");
    engine.start_container(&id).await.expect("started");
    engine.stop_container(&id, 0).await.expect("stopped");
    patiently("the attachment's end", attachment.ended()).await;
}

pub async fn a_lease_that_removes_itself_frees_its_name(engine: &dyn Engine, ns: &Namespace) {
    let mut body = held(ns);
    body.host_config.auto_remove = Some(true);
    let name = ns.name("lease");
    let id = engine
        .create_container(&name, &body)
        .await
        .expect("created");
    let attachment = engine.attach_stdin(&id).await.expect("attached");
    engine.start_container(&id).await.expect("started");
    let taken = engine.create_container(&name, &body).await;
    assert_eq!(kind(taken), ErrorKind::NameConflict);
    drop(attachment);
    gone(engine, &id).await;
    engine
        .create_container(&name, &body)
        .await
        .expect("the name is free");
}

pub async fn nothing_attaches_to_a_missing_container(engine: &dyn Engine, ns: &Namespace) {
    let result = engine.attach_stdin(&ns.name("nobody")).await.map(|_| ());
    assert_eq!(kind(result), ErrorKind::NotFound);
}
