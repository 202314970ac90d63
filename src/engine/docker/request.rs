//! What is sent to an engine, made from Longshore's types. Pure.

use std::collections::HashMap;

use bollard::models;
use serde_json::{Value, json};

use crate::engine::{CreateBody, LabelFilter, LogOptions, NetworkBody, RegistryAuth, VolumeBody};
use crate::model::Timestamp;

/// The create body in bollard's types: both write Docker's own JSON, so it is carried over as that.
pub(super) fn create_body(body: &CreateBody) -> Result<models::ContainerCreateBody, String> {
    serde_json::to_value(body)
        .and_then(serde_json::from_value)
        .map_err(|error| format!("the container's description cannot be sent: {error}"))
}

/// Docker's `filters` for labels.
pub(super) fn label_filters(labels: &LabelFilter) -> HashMap<String, Vec<String>> {
    let wanted: Vec<String> = labels
        .iter()
        .map(|(name, value)| {
            if value.is_empty() {
                name.clone()
            } else {
                format!("{name}={value}")
            }
        })
        .collect();
    if wanted.is_empty() {
        return HashMap::new();
    }
    HashMap::from([("label".to_owned(), wanted)])
}

/// An instant as Docker's `since` takes it: seconds and nine digits of their fraction.
pub(super) fn since(at: Timestamp) -> String {
    let millis = at.as_millis().max(0);
    format!("{}.{:03}000000", millis / 1000, millis % 1000)
}

/// Path and query to read a container's output.
pub(super) fn logs_path(id: &str, options: &LogOptions) -> String {
    let mut path = format!(
        "/containers/{id}/logs?stdout=1&stderr=1&follow={}&timestamps={}&tail={}",
        u8::from(options.follow),
        u8::from(options.timestamps),
        options
            .tail
            .map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
    );
    if let Some(at) = options.since {
        path.push_str("&since=");
        path.push_str(&since(at));
    }
    path
}

/// The body that creates a network. bollard's type has lost `CheckDuplicate`, without which engines before 25 make a second
/// network of the same name.
pub(super) fn network_body(body: &NetworkBody) -> Value {
    json!({
        "Name": body.name,
        "CheckDuplicate": true,
        "Driver": if body.driver.is_empty() { "bridge" } else { &body.driver },
        "Labels": body.labels,
        "Options": body.options,
    })
}

/// The body that creates a volume.
pub(super) fn volume_body(body: &VolumeBody) -> models::VolumeCreateRequest {
    models::VolumeCreateRequest {
        name: Some(body.name.clone()),
        driver: (!body.driver.is_empty()).then(|| body.driver.clone()),
        driver_opts: (!body.driver_opts.is_empty())
            .then(|| body.driver_opts.clone().into_iter().collect()),
        labels: Some(body.labels.clone().into_iter().collect()),
        ..Default::default()
    }
}

/// Credentials as an engine passes them on to a registry.
pub(super) fn credentials(auth: &RegistryAuth) -> bollard::auth::DockerCredentials {
    let filled = |text: &String| (!text.is_empty()).then(|| text.clone());
    bollard::auth::DockerCredentials {
        username: filled(&auth.username),
        password: filled(&auth.password),
        identitytoken: filled(&auth.identity_token),
        serveraddress: filled(&auth.server),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::body::{
        DeviceBody, DeviceRequestBody, Empty, EndpointConfig, HealthcheckBody, HostConfig,
        LogConfigBody, NetworkingConfig, PortBinding, RestartPolicyBody, UlimitBody,
    };

    /// Every member set to something that is not its default.
    fn full() -> CreateBody {
        let strings = |text: &str| vec![text.to_owned(), "b".to_owned()];
        CreateBody {
            image: "busybox:1".into(),
            entrypoint: Some(strings("/e")),
            cmd: Some(strings("c")),
            env: strings("A=b"),
            labels: BTreeMap::from([("l".into(), "v".into())]),
            user: Some("1:2".into()),
            working_dir: Some("/w".into()),
            hostname: Some("h".into()),
            network_disabled: Some(true),
            open_stdin: Some(true),
            stdin_once: Some(true),
            tty: Some(true),
            exposed_ports: BTreeMap::from([("80/tcp".into(), Empty {})]),
            healthcheck: Some(HealthcheckBody {
                test: strings("CMD"),
                interval: Some(1),
                timeout: Some(2),
                retries: Some(3),
                start_period: Some(4),
            }),
            stop_timeout: Some(7),
            host_config: HostConfig {
                binds: strings("/a:/b:ro"),
                port_bindings: BTreeMap::from([(
                    "80/tcp".into(),
                    vec![PortBinding {
                        host_ip: "127.0.0.1".into(),
                        host_port: "8080".into(),
                    }],
                )]),
                network_mode: Some("n".into()),
                pid_mode: Some("host".into()),
                ipc_mode: Some("private".into()),
                cpu_shares: Some(2),
                nano_cpus: Some(5),
                memory: Some(6),
                memory_reservation: Some(7),
                memory_swap: Some(-1),
                memory_swappiness: Some(9),
                cgroup_parent: Some("/p".into()),
                links: strings("l:m"),
                volumes_from: strings("o:ro"),
                log_config: Some(LogConfigBody {
                    r#type: "json-file".into(),
                    config: BTreeMap::from([("max-size".into(), "1m".into())]),
                }),
                restart_policy: RestartPolicyBody::default(),
                privileged: Some(true),
                readonly_rootfs: Some(true),
                auto_remove: Some(true),
                init: Some(true),
                cap_add: strings("NET_ADMIN"),
                cap_drop: strings("ALL"),
                devices: vec![DeviceBody {
                    path_on_host: "/dev/x".into(),
                    path_in_container: "/dev/y".into(),
                    cgroup_permissions: "rwm".into(),
                }],
                dns: strings("1.1.1.1"),
                dns_search: strings("s"),
                extra_hosts: strings("h:1.2.3.4"),
                security_opt: strings("no-new-privileges"),
                shm_size: Some(64),
                sysctls: BTreeMap::from([("net.x".into(), "1".into())]),
                tmpfs: BTreeMap::from([("/t".into(), "size=1".into())]),
                ulimits: vec![UlimitBody {
                    name: "nofile".into(),
                    soft: 1,
                    hard: 2,
                }],
                device_requests: vec![DeviceRequestBody {
                    count: Some(1),
                    device_ids: strings("0"),
                    capabilities: vec![strings("gpu")],
                }],
            },
            networking_config: Some(NetworkingConfig {
                endpoints_config: BTreeMap::from([(
                    "n".into(),
                    EndpointConfig {
                        aliases: strings("web"),
                        links: strings("db:db"),
                    },
                )]),
            }),
        }
    }

    #[test]
    fn no_member_of_a_create_body_is_lost_or_added_on_its_way() {
        let full = full();
        let ours = serde_json::to_value(&full).unwrap();
        let sent = serde_json::to_value(create_body(&full).unwrap()).unwrap();
        assert_eq!(sent, ours);

        let least = CreateBody {
            image: "busybox:1".into(),
            ..Default::default()
        };
        let ours = serde_json::to_value(&least).unwrap();
        let sent = serde_json::to_value(create_body(&least).unwrap()).unwrap();
        assert_eq!(sent, ours);
    }

    #[test]
    fn the_full_body_sets_every_member_there_is() {
        // A member that is added and left at its default here would not be tested above.
        let full = serde_json::to_value(full()).unwrap();
        assert_eq!(full.as_object().unwrap().len(), 17);
        assert_eq!(full["HostConfig"].as_object().unwrap().len(), 32);
    }

    #[test]
    fn labels_are_selected_by_value_or_by_presence() {
        let filters = label_filters(&[
            ("a".into(), "b".into()),
            ("longshore.schema".into(), String::new()),
        ]);
        assert_eq!(filters["label"], ["a=b", "longshore.schema"]);
        assert!(label_filters(&[]).is_empty());
    }

    #[test]
    fn instants_are_written_to_the_millisecond() {
        assert_eq!(since(Timestamp::from_millis(1_500)), "1.500000000");
        assert_eq!(since(Timestamp::from_millis(7)), "0.007000000");
        assert_eq!(since(Timestamp::from_millis(-5)), "0.000000000");
    }

    #[test]
    fn a_network_is_never_made_twice() {
        let body = network_body(&NetworkBody {
            name: "n".into(),
            ..Default::default()
        });
        assert_eq!(body["CheckDuplicate"], true);
        assert_eq!(body["Driver"], "bridge");
    }
}
