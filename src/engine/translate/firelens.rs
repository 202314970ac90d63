//! FireLens: a container of the task that routes the output of the others (semantics §2b, *firelensConfiguration*).
//!
//! As the ECS agent wires it: containers that log to `awsfirelens` get the engine's driver `fluentd`, which speaks the forward
//! protocol on a unix socket; the router gets a generated configuration that listens there and sends on what each container's
//! options say. The agent mounts both from folders of its own. Here they are two volumes of the task (`manifest::resolve` adds
//! them): the engine finds the socket below its own data directory, so that Longshore need not share a file system with it, and
//! the configuration is copied into the router before it starts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;

use super::{Context, names};
use crate::engine::body::LogConfigBody;
use crate::model::{
    ContainerSpec, Firelens, LogConfig, NetworkMode, Router, TaskRecord, TaskSpec, arn,
};

const DRIVER: &str = Firelens::DRIVER;
const SOCKET_VOLUME: &str = Firelens::SOCKET_VOLUME;
const SOCKET_FOLDER: &str = Firelens::SOCKET_FOLDER;
const SOCKET: &str = "fluent.sock";
/// Where the router listens besides, for programs that speak the forward protocol themselves.
const PORT: u16 = 24224;
/// Where Fluent Bit answers to the health check that AWS documents.
const HEALTH_PORT: u16 = 8877;
/// The longest path of a socket that Linux takes, in bytes.
const LONGEST_SOCKET_PATH: usize = 107;

const fn config_file(router: Router) -> &'static str {
    match router {
        Router::Fluentd => "fluent.conf",
        Router::Fluentbit => "fluent-bit.conf",
    }
}

/// The socket as the engine sees it.
fn socket(record: &TaskRecord, context: &Context) -> String {
    let volume = names::task_volume(record, SOCKET_VOLUME);
    format!("{}/volumes/{volume}/_data/{SOCKET}", context.facts.root_dir)
}

/// Why the engine cannot reach the router's socket, if so.
pub fn unreachable(spec: &TaskSpec, record: &TaskRecord, context: &Context) -> Option<String> {
    let path = socket(record, context);
    (spec.router().is_some() && path.len() > LONGEST_SOCKET_PATH).then(|| {
        format!("the path of the log router's socket is longer than Linux takes ({LONGEST_SOCKET_PATH} bytes): {path}")
    })
}

/// What a container logs with that logs to the router.
pub(super) fn log_config(
    log: &LogConfig,
    record: &TaskRecord,
    container: &ContainerSpec,
    context: &Context,
) -> LogConfigBody {
    let mut config: BTreeMap<String, String> = [
        (
            "fluentd-address",
            format!("unix://{}", socket(record, context)),
        ),
        ("fluentd-async", "true".to_owned()),
        ("fluentd-sub-second-precision", "true".to_owned()),
        ("tag", format!("{}-firelens-{}", container.name, record.id)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(limit) = log.options.get("log-driver-buffer-limit") {
        config.insert("fluentd-buffer-limit".to_owned(), limit.clone());
    }
    LogConfigBody {
        r#type: "fluentd".to_owned(),
        config,
    }
}

/// How a container that logs to the router reaches it by itself; nothing where there is no network between the two.
pub(super) fn environment(
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &ContainerSpec,
) -> Vec<(String, String)> {
    let uses = container
        .log
        .as_ref()
        .is_some_and(|log| log.driver == DRIVER);
    let Some((router, _)) = spec.router().filter(|_| uses) else {
        return Vec::new();
    };
    let host = match spec.network_mode {
        NetworkMode::Awsvpc => "127.0.0.1".to_owned(),
        // Its address is not known before it runs, its name on the cluster's network is.
        NetworkMode::Bridge => names::container(record, &router.name),
        NetworkMode::Host | NetworkMode::None => return Vec::new(),
    };
    let pair = |name: &str, value: String| (name.to_owned(), value);
    vec![
        pair("FLUENT_HOST", host),
        pair("FLUENT_PORT", PORT.to_string()),
    ]
}

/// The folder and the archive that is unpacked there before the container starts, if it is the router.
pub fn upload(
    spec: &TaskSpec,
    record: &TaskRecord,
    container: &str,
) -> Option<(&'static str, Bytes)> {
    let (router, firelens) = spec.router()?;
    if router.name != container {
        return None;
    }
    let text = config(spec, record, firelens);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(u64::try_from(text.len()).ok()?);
    tar.append_data(&mut header, config_file(firelens.router), text.as_bytes())
        .ok()?;
    let archive = tar.into_inner().ok()?;
    Some((firelens.router.config_folder(), archive.into()))
}

/// The router's configuration.
pub fn config(spec: &TaskSpec, record: &TaskRecord, firelens: &Firelens) -> String {
    let written = match firelens.router {
        Router::Fluentd => fluentd(spec, record, firelens),
        Router::Fluentbit => fluent_bit(spec, record, firelens),
    };
    // Writing to a string does not fail.
    written.unwrap_or_default()
}

/// Where the router listens besides its socket.
fn listen(spec: &TaskSpec) -> Option<&'static str> {
    match spec.network_mode {
        NetworkMode::Bridge => Some("0.0.0.0"),
        NetworkMode::Awsvpc => Some("127.0.0.1"),
        NetworkMode::Host | NetworkMode::None => None,
    }
}

fn metadata(record: &TaskRecord) -> [(&'static str, String); 3] {
    [
        ("ecs_cluster", record.cluster.to_string()),
        ("ecs_task_arn", arn::task(&record.cluster, &record.id)),
        (
            "ecs_task_definition",
            format!("{}:{}", record.family, record.revision),
        ),
    ]
}

/// A container that logs to the router, with the options of its log configuration that are the output's.
struct User<'a> {
    name: &'a str,
    include: Option<String>,
    exclude: Option<String>,
    output: BTreeMap<String, String>,
}

/// The file is made of lines, so whatever comes from the definition is part of one: it adds no sections.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn users(spec: &TaskSpec) -> impl Iterator<Item = User<'_>> {
    spec.containers.iter().filter_map(|container| {
        let log = container.log.as_ref().filter(|log| log.driver == DRIVER)?;
        let own = [
            "include-pattern",
            "exclude-pattern",
            "log-driver-buffer-limit",
        ];
        let output = log
            .options
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()))
            .map(|(name, value)| (one_line(name), one_line(value)))
            .collect();
        let pattern = |name: &str| log.options.get(name).map(|text| one_line(text));
        Some(User {
            name: &container.name,
            include: pattern("include-pattern"),
            exclude: pattern("exclude-pattern"),
            output,
        })
    })
}

fn fluent_bit(
    spec: &TaskSpec,
    record: &TaskRecord,
    firelens: &Firelens,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let mut section = |kind: &str, pairs: &[(&str, String)]| {
        writeln!(text, "[{kind}]")?;
        for (name, value) in pairs {
            writeln!(text, "    {name} {value}")?;
        }
        writeln!(text)
    };
    let s = str::to_owned;
    section(
        "INPUT",
        &[
            ("Name", s("forward")),
            ("unix_path", format!("{SOCKET_FOLDER}/{SOCKET}")),
        ],
    )?;
    if let Some(address) = listen(spec) {
        section(
            "INPUT",
            &[
                ("Name", s("forward")),
                ("Listen", s(address)),
                ("Port", PORT.to_string()),
            ],
        )?;
    }
    section(
        "INPUT",
        &[
            ("Name", s("tcp")),
            ("Tag", s("firelens-healthcheck")),
            ("Listen", s("127.0.0.1")),
            ("Port", HEALTH_PORT.to_string()),
        ],
    )?;
    for user in users(spec) {
        let tag = format!("{}-firelens*", user.name);
        for (rule, pattern) in [("Regex", user.include), ("Exclude", user.exclude)] {
            if let Some(pattern) = pattern {
                let grep = [
                    ("Name", s("grep")),
                    ("Match", tag.clone()),
                    (rule, format!("log {pattern}")),
                ];
                section("FILTER", &grep)?;
            }
        }
    }
    if firelens.metadata {
        let mut pairs = vec![("Name", s("record_modifier")), ("Match", s("*"))];
        let records = metadata(record).map(|(name, value)| ("Record", format!("{name} {value}")));
        pairs.extend(records);
        section("FILTER", &pairs)?;
    }
    section(
        "OUTPUT",
        &[("Name", s("null")), ("Match", s("firelens-healthcheck"))],
    )?;
    for user in users(spec) {
        let Some(plugin) = user.output.get("Name") else {
            continue;
        };
        let mut pairs = vec![
            ("Name", plugin.clone()),
            ("Match", format!("{}-firelens*", user.name)),
        ];
        let rest = user.output.iter().filter(|(name, _)| *name != "Name");
        pairs.extend(rest.map(|(name, value)| (name.as_str(), value.clone())));
        section("OUTPUT", &pairs)?;
    }
    if let Some(file) = &firelens.include {
        writeln!(text, "@INCLUDE {}", one_line(file))?;
    }
    Ok(text)
}

fn fluentd(
    spec: &TaskSpec,
    record: &TaskRecord,
    firelens: &Firelens,
) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(
        text,
        "<source>\n  @type unix\n  path {SOCKET_FOLDER}/{SOCKET}\n</source>\n"
    )?;
    if let Some(address) = listen(spec) {
        writeln!(
            text,
            "<source>\n  @type forward\n  bind {address}\n  port {PORT}\n</source>\n"
        )?;
    }
    for user in users(spec) {
        for (rule, pattern) in [("regexp", user.include), ("exclude", user.exclude)] {
            if let Some(pattern) = pattern {
                writeln!(text, "<filter {}-firelens**>\n  @type grep", user.name)?;
                writeln!(
                    text,
                    "  <{rule}>\n    key log\n    pattern {pattern}\n  </{rule}>\n</filter>\n"
                )?;
            }
        }
    }
    if firelens.metadata {
        writeln!(text, "<filter **>\n  @type record_transformer\n  <record>")?;
        for (name, value) in metadata(record) {
            writeln!(text, "    {name} {value}")?;
        }
        writeln!(text, "  </record>\n</filter>\n")?;
    }
    // Fluentd takes the first match, so what the user includes comes before what is generated.
    if let Some(file) = &firelens.include {
        writeln!(text, "@include {}\n", one_line(file))?;
    }
    for user in users(spec) {
        let Some(plugin) = user.output.get("@type") else {
            continue;
        };
        writeln!(text, "<match {}-firelens**>\n  @type {plugin}", user.name)?;
        for (name, value) in user.output.iter().filter(|(name, _)| *name != "@type") {
            writeln!(text, "  {name} {value}")?;
        }
        writeln!(text, "</match>\n")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{body_of, record, spec};
    use super::*;

    fn task(mode: &str, router: &str, options: serde_json::Value) -> TaskSpec {
        spec(json!({
            "family": "web",
            "network_mode": mode,
            "containers": [
                {"name": "app", "image": "busybox:1", "essential": true,
                 "environment": [["FLUENT_PORT", "1"]],
                 "log": {"driver": "awsfirelens", "options": options}},
                {"name": "other", "image": "busybox:1", "essential": false},
                {"name": "router", "image": "fluent-bit:3", "essential": true,
                 "firelens": {"router": router, "metadata": true, "include": "/extra.conf"}},
            ],
        }))
    }

    #[test]
    fn fluent_bit_gets_exactly_this() {
        let spec = task(
            "bridge",
            "fluentbit",
            json!({"Name": "stdout", "Format": "json", "include-pattern": "^app", "exclude-pattern": "noise",
                   "log-driver-buffer-limit": "2097152"}),
        );
        let (_, firelens) = spec.router().expect("a router");
        insta::assert_snapshot!("fluent_bit", config(&spec, &record(&spec), firelens));
    }

    #[test]
    fn fluentd_gets_exactly_this() {
        let spec = task(
            "awsvpc",
            "fluentd",
            json!({"@type": "stdout", "flush_interval": "1s", "include-pattern": "/^app/"}),
        );
        let (_, firelens) = spec.router().expect("a router");
        insta::assert_snapshot!("fluentd", config(&spec, &record(&spec), firelens));
    }

    #[test]
    fn nothing_that_a_definition_says_begins_a_section_of_the_configuration() {
        for (router, plugin) in [("fluentbit", "Name"), ("fluentd", "@type")] {
            let lines = |options: serde_json::Value| {
                let spec = task("bridge", router, options);
                let (_, firelens) = spec.router().expect("a router");
                config(&spec, &record(&spec), firelens).lines().count()
            };
            let broken = "x\n[OUTPUT]\r\n    Name file";
            assert_eq!(
                lines(
                    json!({plugin: broken, "a": broken, "include-pattern": broken, "exclude-pattern": broken})
                ),
                lines(
                    json!({plugin: "x", "a": "x", "include-pattern": "x", "exclude-pattern": "x"})
                ),
            );
            assert_eq!(
                lines(json!({plugin: "x", "a\nb": "x"})),
                lines(json!({plugin: "x", "ab": "x"})),
            );
        }
    }

    #[test]
    fn a_container_logs_to_the_socket_in_the_tasks_own_volume() {
        let spec = task(
            "bridge",
            "fluentbit",
            json!({"Name": "null", "log-driver-buffer-limit": "9"}),
        );
        let body = body_of(&spec, 0);
        let log = body.host_config.log_config.expect("a log configuration");
        assert_eq!(log.r#type, "fluentd");
        let options: Vec<String> = log
            .config
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            options,
            [
                "fluentd-address=unix:///var/lib/docker/volumes/longshore-firelens.socket-0123456789ab/_data/fluent.sock",
                "fluentd-async=true",
                "fluentd-buffer-limit=9",
                "fluentd-sub-second-precision=true",
                "tag=app-firelens-0123456789abcdef0123456789abcdef",
            ]
        );
    }

    #[test]
    fn a_container_that_logs_to_the_router_is_told_where_it_listens() {
        let variables = |mode: &str, container: usize| {
            body_of(&task(mode, "fluentbit", json!({"Name": "null"})), container).env
        };
        assert_eq!(
            variables("bridge", 0),
            [
                "FLUENT_HOST=longshore-web-3-router-0123456789ab",
                "FLUENT_PORT=24224"
            ]
        );
        assert_eq!(
            variables("awsvpc", 0),
            ["FLUENT_HOST=127.0.0.1", "FLUENT_PORT=24224"]
        );
        assert_eq!(variables("host", 0), ["FLUENT_PORT=1"]);
        assert!(variables("bridge", 1).is_empty());
    }

    #[test]
    fn only_the_router_is_sent_a_configuration() {
        let spec = task("bridge", "fluentd", json!({"@type": "null"}));
        assert_eq!(upload(&spec, &record(&spec), "app"), None);
        let (folder, archive) = upload(&spec, &record(&spec), "router").expect("a configuration");
        assert_eq!(folder, "/fluentd/etc");
        let mut archive = tar::Archive::new(archive.as_ref());
        let names: Vec<String> = archive
            .entries()
            .expect("an archive")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .path()
                    .expect("a path")
                    .display()
                    .to_string()
            })
            .collect();
        assert_eq!(names, ["fluent.conf"]);
    }
}
