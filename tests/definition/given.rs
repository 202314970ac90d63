//! What a container is given by reference: secrets, and files of variables.

use serde_json::{Value, json};

use crate::world::{World, task};

pub const PROOFS: &[(&str, &[&str])] = &[(
    "a_container_is_given_what_its_definition_names_by_reference",
    &[
        "containerDefinitions[].secrets[].name",
        "containerDefinitions[].secrets[].valueFrom",
        "containerDefinitions[].environmentFiles[].value",
        "containerDefinitions[].environmentFiles[].type",
        "containerDefinitions[].environmentFiles[].type: s3",
        "containerDefinitions[].logConfiguration.secretOptions[].name",
        "containerDefinitions[].logConfiguration.secretOptions[].valueFrom",
    ],
)];

#[tokio::test]
async fn a_container_is_given_what_its_definition_names_by_reference() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    write("secrets/db-password", "planted");
    write("secrets/tag", "of-a-secret");
    write(
        "first.env",
        "COLOUR=blue\nSHAPE=round\nPASSWORD=of the file\n",
    );
    write("bucket/second.env", "COLOUR=red\nSIZE=small\n");
    let definition = task(
        json!({}),
        json!([{
            "name": "app",
            "environment": [{"name": "SHAPE", "value": "square"}],
            "environmentFiles": [
                {"type": "file", "value": folder.path().join("first.env")},
                {"type": "s3", "value": "arn:aws:s3:::shop/second.env"},
            ],
            "secrets": [{"name": "PASSWORD", "valueFrom": "arn:aws:ssm:eu-west-1:1:parameter/shop/db-password"}],
            "logConfiguration": {"logDriver": "json-file", "secretOptions": [{"name": "tag", "valueFrom": "tag"}]},
        }]),
    );
    let cluster = json!({
        "secretProviders": [{"type": "directory", "path": folder.path().join("secrets")}],
        "environmentFiles": {"path": folder.path().join("bucket")},
    });
    let Some(world) = World::in_cluster(definition, cluster, |_| {}).await else {
        return;
    };
    world.running().await;
    // The definition's own value wins over a file's, a secret over both; of two files the first one.
    let seen = world.inside("app", "echo $COLOUR $SHAPE $SIZE $PASSWORD");
    assert_eq!(seen, "blue square small planted");
    let app: Value = world.inspect("app");
    assert_eq!(
        app["HostConfig"]["LogConfig"]["Config"]["tag"],
        "of-a-secret"
    );
    // A label is for everybody's eyes.
    assert!(!app["Config"]["Labels"].to_string().contains("planted"));
}
