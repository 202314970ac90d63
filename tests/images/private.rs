//! Private registries, by the whole program: docker's own configuration is where credentials come from.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::common;
use crate::common::registry::{PASSWORD, Registry, USER};
use crate::rig::{Rig, Service};

/// A rig whose Longshore finds this `config.json`, and programs in the same folder.
async fn rig(name: &str, registry: &Registry, config: &str) -> Option<(Rig, tempfile::TempDir)> {
    let engine = common::docker().await?;
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("config.json"), config).expect("written");
    let path = std::env::var("PATH").unwrap_or_default();
    let environment = vec![
        ("DOCKER_CONFIG".to_owned(), dir.path().display().to_string()),
        (
            "PATH".to_owned(),
            format!("{}:{path}", dir.path().display()),
        ),
    ];
    registry.push(&*engine, "app:1", "private").await;
    let rig = Rig::on(engine, name, environment);
    rig.service("web", &Service::default());
    let text = std::fs::read_to_string(rig.folder().join("web.yaml")).expect("written");
    rig.write(
        "web.yaml",
        &text.replace(common::IMAGE, &registry.image("app:1")),
    );
    Some((rig, dir))
}

#[tokio::test]
async fn an_image_is_pulled_with_what_docker_login_stored() {
    let Some(registry) = Registry::with_login() else {
        return;
    };
    let config = registry.config(PASSWORD);
    let Some((mut rig, _dir)) = rig("private", &registry, &config).await else {
        return;
    };
    rig.start();
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 1);
}

#[tokio::test]
async fn an_image_is_pulled_with_what_a_credential_helper_answers() {
    let Some(registry) = Registry::with_login() else {
        return;
    };
    let config = format!(
        r#"{{"credHelpers": {{"{}": "lstest"}}}}"#,
        registry.address()
    );
    let Some((mut rig, dir)) = rig("helper", &registry, &config).await else {
        return;
    };
    let helper: PathBuf = dir.path().join("docker-credential-lstest");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = {} ] && echo '{{\"Username\": \"{USER}\", \"Secret\": \"{PASSWORD}\"}}'\n",
        registry.address()
    );
    std::fs::write(&helper, script).expect("written");
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).expect("executable");
    rig.start();
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_with_what_to_do_and_the_right_one_is_taken_once_it_is_there() {
    let Some(registry) = Registry::with_login() else {
        return;
    };
    let config = registry.config("guessed-it");
    let Some((mut rig, dir)) = rig("wrong", &registry, &config).await else {
        return;
    };
    rig.start();
    let mut said = String::new();
    rig.until("the failure is told", async |rig| {
        said = rig
            .run(&["describe", "service", "web", "--cluster", &rig.cluster])
            .stdout;
        said.contains("CannotPullContainerError")
    })
    .await;
    assert!(said.contains("unauthorized"), "{said}");
    assert!(
        said.contains(&format!("`docker login {}`", registry.address())),
        "{said}"
    );
    assert!(!said.contains("guessed-it") && !rig.log().contains("guessed-it"));
    assert_eq!(rig.containers().await.len(), 0, "nothing was created");

    std::fs::write(dir.path().join("config.json"), registry.config(PASSWORD)).expect("written");
    rig.steady();
    assert_eq!(rig.running("web").await.len(), 1);
}
