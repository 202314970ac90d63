//! A task whose output goes through its own log router. The router is a small program that decodes the forward protocol, in a
//! container of an image made here: no package of a real collector is to be had where these tests run.

use std::process::Command;

use bytes::Bytes;
use longshore::engine::Engine;
use serde_json::{Value, json};

use crate::common::{self, Namespace};
use crate::world::{World, docker, task};

pub const PROOFS: &[(&str, &[&str])] = &[(
    "what_a_container_writes_arrives_at_the_router_of_its_task",
    &[
        "containerDefinitions[].firelensConfiguration",
        "containerDefinitions[].firelensConfiguration.type",
        "containerDefinitions[].firelensConfiguration.options",
    ],
)];

/// The collector, built beside this test as an example, with the libraries that it is linked to.
fn collector_rootfs() -> Bytes {
    let here = std::env::current_exe().expect("this program");
    let target = here
        .parent()
        .and_then(|deps| deps.parent())
        .expect("a target folder");
    let program = target.join("examples/forward_collector");
    // A run of this test alone does not build examples.
    if !program.is_file() {
        let built = Command::new(option_env!("CARGO").unwrap_or("cargo"))
            .args(["build", "--quiet", "--example", "forward_collector"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the collector is built"
        );
    }
    let linked = Command::new("ldd")
        .arg(&program)
        .output()
        .expect("ldd runs");
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    let libraries = linked
        .split_whitespace()
        .filter(|word| word.starts_with('/'));

    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, source: &std::path::Path| {
        let bytes = std::fs::read(source).expect("readable");
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(u64::try_from(bytes.len()).expect("it fits"));
        tar.append_data(&mut header, path.trim_start_matches('/'), bytes.as_slice())
            .expect("in memory");
    };
    add("/collector", &program);
    add("/bin/busybox", "/bin/busybox".as_ref());
    for library in libraries {
        add(library, library.as_ref());
    }
    Bytes::from(tar.into_inner().expect("in memory"))
}

async fn run(image: &str, mode: &str, options: Value) -> Option<World> {
    World::run(task(
        json!({"networkMode": mode}),
        json!([
            {"name": "app", "command": ["sh", "-c", "while sleep 0.2; do echo the shop is open; done"],
             "logConfiguration": {"logDriver": "awsfirelens", "options": options}},
            {"name": "router", "image": image, "memory": 64, "entryPoint": ["/collector"],
             "command": ["/var/run/fluent.sock"],
             "firelensConfiguration": {"type": "fluentbit", "options": {"config-file-type": "file", "config-file-value": "/extra.conf"}}},
        ]),
    ))
    .await
}

#[tokio::test]
async fn what_a_container_writes_arrives_at_the_router_of_its_task() {
    let Some(engine) = common::docker().await else {
        return;
    };
    let ns = Namespace::new();
    let image = ns.image("collector");
    let imported = engine.import_image(&image, collector_rootfs(), &[]).await;
    imported.expect("the collector's image");
    ns.run(&*engine, async {
        for mode in ["bridge", "awsvpc"] {
            let output =
                json!({"Name": "stdout", "Format": "json", "log-driver-buffer-limit": "1048576"});
            let Some(world) = run(&image, mode, output).await else {
                return;
            };
            let expected = format!("app-firelens-{} the shop is open", world.id);
            world
                .rig
                .until_true("a line has arrived with its tag", async || {
                    docker(&["logs", &world.find("router")]).contains(&expected)
                })
                .await;
            // The container's own output can still be read where the engine keeps a copy.
            let app = world.inspect("app");
            assert_eq!(app["HostConfig"]["LogConfig"]["Type"], "fluentd");
            let options = &app["HostConfig"]["LogConfig"]["Config"];
            assert_eq!(options["fluentd-async"], "true");
            assert_eq!(options["fluentd-buffer-limit"], "1048576");
            let router = world.inspect("router");
            assert!(
                app["State"]["StartedAt"].as_str() >= router["State"]["StartedAt"].as_str(),
                "the router starts first"
            );
            let variables = world.inside("app", "echo $FLUENT_HOST:$FLUENT_PORT");
            match mode {
                "awsvpc" => assert_eq!(variables, "127.0.0.1:24224"),
                _ => assert_eq!(
                    variables,
                    format!(
                        "{}:24224",
                        router["Name"]
                            .as_str()
                            .unwrap_or_default()
                            .trim_start_matches('/')
                    )
                ),
            }
            // The configuration is where Fluent Bit reads it.
            let file = docker(&[
                "exec",
                &world.find("router"),
                "/bin/busybox",
                "cat",
                "/fluent-bit/etc/fluent-bit.conf",
            ]);
            for line in [
                "unix_path /var/run/fluent.sock",
                "Match app-firelens*",
                "Format json",
                "@INCLUDE /extra.conf",
            ] {
                assert!(file.contains(line), "{line} is not in\n{file}");
            }
            assert!(
                file.contains(&format!("Record ecs_task_definition definition:{}", 1)),
                "{file}"
            );
            world.gone().await;
        }
    })
    .await;
}
