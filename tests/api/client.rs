//! The socket itself, and finding it.

use std::os::unix::fs::MetadataExt;

use longshore::api::client::{Client, Lookup};
use serde_json::json;

use crate::fixture::World;

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_gone_with_the_server() {
    let world = World::start().await;
    let mode = std::fs::symlink_metadata(world.socket()).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.client.status().await.unwrap();
    world.stop();
    while world.socket().exists() {
        tokio::task::yield_now().await;
    }
    assert!(world.client.status().await.unwrap_err().is_not_running());
}

#[tokio::test]
async fn a_socket_that_is_named_is_the_one_that_is_asked() {
    let world = World::start().await;
    let lookup = Lookup {
        socket: Some(world.socket()),
        state_dir: None,
    };
    let found = Client::find(lookup).await.unwrap();
    assert_eq!(found.status().await.unwrap().identity.pid, 42);
}

#[tokio::test]
async fn all_pages_of_a_list_are_fetched() {
    let world = World::start().await;
    let input = json!({"maxResults": 1, "cluster": "prod"});
    let arns = world
        .client
        .ecs_list("ListServices", input, "serviceArns")
        .await
        .unwrap();
    assert_eq!(arns.len(), 2);
}

#[tokio::test]
async fn a_path_that_is_not_there_says_so() {
    let world = World::start().await;
    let answer = world.client.ecs("", &json!({})).await.unwrap_err();
    assert!(answer.to_string().contains("no operation"), "{answer}");
}
