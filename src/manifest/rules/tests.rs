use crate::manifest::load::tests::{one, places};

/// A task definition of one container `web` with these further members, one a line.
fn container(members: &str) -> String {
    task("", members)
}

/// The same with members of the task's own.
fn task(members: &str, container: &str) -> String {
    let indented: String = container.lines().map(|l| format!("    {l}\n")).collect();
    format!(
        "family: web\n{members}containerDefinitions:\n  - name: web\n    image: busybox\n    memory: 64\n{indented}"
    )
}

/// A task definition with a file system, a service of it in the default cluster, and a cluster that knows where `known` is.
fn file_system(cluster: &str, known: &str) -> String {
    let declared = match cluster {
        "default" => String::new(),
        other => format!(
            "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {other}}}\nspec:\n  fileSystems: {{{known}: {{nfs: 'nas:/srv'}}}}\n"
        ),
    };
    let default = if cluster == "default" {
        format!("\n  fileSystems: {{{known}: {{nfs: 'nas:/srv'}}}}")
    } else {
        " {}".to_owned()
    };
    let task = task(
        "volumes: [{name: a, efsVolumeConfiguration: {fileSystemId: fs-1}}]\n",
        "",
    );
    service(&task, "desiredCount: 1")
        + &format!(
            "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: default}}\nspec:{default}\n{declared}"
        )
}

/// A task definition `web`, whose container has `ports`, and a service of it.
fn service(task: &str, spec: &str) -> String {
    let spec: String = spec.lines().map(|l| format!("  {l}\n")).collect();
    format!(
        "{task}---\napiVersion: longshore/v1\nkind: Service\nmetadata:\n  name: web\nspec:\n  taskDefinition: web\n{spec}"
    )
}

/// One test a rule: what breaks it, what is found and where, and the same put right.
macro_rules! rules {
    ($($name:ident: $wrong:expr => [$($found:literal),+], $right:expr;)+) => {$(
        #[test]
        fn $name() {
            let wrong: String = $wrong.into();
            let loaded = one(&wrong);
            assert_eq!(places(&loaded), [$($found),+], "{wrong}\n{:#?}", loaded.diagnostics);
            let right: String = $right.into();
            assert_eq!(one(&right).diagnostics, [], "{right}");
        }
    )+};
}

const PLAIN: &str =
    "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox, memory: 64}\n";

mod of_a_task_definition {
    use super::*;

    rules! {
        some_container_is_essential:
            container("essential: false") => ["LS0301 6:16"],
            container("essential: true");
        each_container_or_the_task_has_memory:
            "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox}\n" => ["LS0302 3:12"],
            "family: web\nmemory: '64'\ncontainerDefinitions:\n  - {name: web, image: busybox}\n";
        a_container_has_no_more_memory_than_its_task:
            task("memory: '63'\n", "") => ["LS0303 6:13"],
            task("memory: '64'\n", "");
        reservations_fit_into_the_task_in_sum:
            "family: web\nmemory: '100'\ncontainerDefinitions:\n  - {name: a, image: b, memoryReservation: 60}\n  - {name: b, image: b, memoryReservation: 60}\n" => ["LS0303 2:9"],
            "family: web\nmemory: '120'\ncontainerDefinitions:\n  - {name: a, image: b, memoryReservation: 60}\n  - {name: b, image: b, memoryReservation: 60}\n";
        a_reservation_is_not_above_the_limit:
            container("memoryReservation: 65") => ["LS0304 6:24"],
            container("memoryReservation: 64");
        memory_is_at_least_what_an_engine_gives:
            "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox, memory: 5}\n" => ["LS0205 3:41"],
            "family: web\ncontainerDefinitions:\n  - {name: web, image: busybox, memory: 6}\n";
        containers_want_no_more_cpu_than_the_task_has:
            task("cpu: 256\n", "cpu: 257") => ["LS0316 2:6"],
            task("cpu: 256\n", "cpu: 256");
        amounts_can_be_read:
            task("cpu: 1 core\nmemory: 512 MiB\n", "") => ["LS0321 2:6", "LS0321 3:9"],
            task("cpu: 1 vCPU\nmemory: .5 GB\n", "");
        a_task_has_at_least_an_eighth_of_a_core:
            task("cpu: 127\n", "") => ["LS0205 2:6"],
            task("cpu: 128\n", "");
        containers_have_names_of_their_own:
            "family: web\ncontainerDefinitions:\n  - {name: web, image: b, memory: 64}\n  - {name: web, image: b, memory: 64}\n" => ["LS0315 4:12"],
            "family: web\ncontainerDefinitions:\n  - {name: web, image: b, memory: 64}\n  - {name: bew, image: b, memory: 64}\n";
        volumes_have_names_of_their_own:
            task("volumes: [{name: a}, {name: a}]\n", "") => ["LS0315 2:29"],
            task("volumes: [{name: a}, {name: b}]\n", "");
        ports_have_names_of_their_own:
            container("portMappings: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]") => ["LS0315 6:74"],
            container("portMappings: [{containerPort: 1, name: a}, {containerPort: 2, name: b}]");
        tags_have_keys_of_their_own_and_none_of_aws:
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  tags: [{key: a}, {key: a}, {key: 'aws:b'}]\n" => ["LS0315 5:26", "LS0206 5:36"],
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  tags: [{key: a}, {key: b}]\n";
        pause_is_no_container_of_an_awsvpc_task:
            "family: web\nnetworkMode: awsvpc\ncontainerDefinitions:\n  - {name: pause, image: b, memory: 64}\n" => ["LS0332 4:12"],
            "family: web\ncontainerDefinitions:\n  - {name: pause, image: b, memory: 64}\n";
        variables_have_usable_names:
            container("environment: [{name: '', value: a}, {value: a}, {name: a=b}]") => ["LS0330 6:26", "LS0330 6:41", "LS0330 6:60"],
            container("environment: [{name: A, value: a}, {name: B}]");
        a_variable_is_set_once:
            container("environment: [{name: A, value: a}, {name: A, value: b}]") => ["LS0331 6:47"],
            container("environment: [{name: A, value: a}, {name: a, value: b}]");
        a_health_check_says_how_it_is_run:
            container("healthCheck: {command: [curl, localhost]}") => ["LS0335 6:29"],
            container("healthCheck: {command: [CMD, curl, localhost]}");
        a_health_check_runs_something:
            container("healthCheck: {command: [CMD-SHELL]}") => ["LS0319 6:29"],
            container("healthCheck: {command: [CMD-SHELL, 'true']}");
        a_shell_gets_one_script:
            container("healthCheck: {command: [CMD-SHELL, curl x, '|| exit 1']}") => ["LS0334 6:48"],
            container("healthCheck: {command: [CMD-SHELL, curl x || exit 1]}");
        labels_of_longshore_are_left_to_it:
            container("dockerLabels: {longshore.task: x}") => ["LS0333 6:20"],
            container("dockerLabels: {long.shore: x}");
        awslogs_stays_here:
            container("logConfiguration: {logDriver: awslogs}") => ["LS0505 6:35"],
            container("logConfiguration: {logDriver: json-file, options: {max-size: 1m}}");
        awslogs_is_mentioned_once_a_task:
            "family: web\ncontainerDefinitions:\n  - {name: a, image: b, memory: 64, logConfiguration: {logDriver: awslogs}}\n  - {name: b, image: b, memory: 64, logConfiguration: {logDriver: awslogs}}\n" => ["LS0505 3:67"],
            "family: web\ncontainerDefinitions:\n  - {name: a, image: b, memory: 64}\n  - {name: b, image: b, memory: 64}\n";
        gpus_are_whole:
            container("resourceRequirements: [{type: GPU, value: '0'}, {type: GPU, value: half}]") => ["LS0321 6:47", "LS0321 6:72"],
            container("resourceRequirements: [{type: GPU, value: '2'}, {type: GPU, value: ALL}]");
        accelerators_of_aws_cannot_be_had:
            container("resourceRequirements: [{type: NeuronDevice, value: '1'}]") => ["LS0504 6:35"],
            container("resourceRequirements: [{type: GPU, value: '1'}]");
        a_file_system_is_where_the_cluster_of_its_service_says:
            file_system("shop", "fs-1") => ["LS0415 2:60"],
            file_system("default", "fs-1");
        an_access_point_has_an_entry_of_its_own:
            file_system("default", "fs-1").replace("fs-1}", "fs-1, authorizationConfig: {accessPointId: fsap-1}}") => ["LS0415 2:103"],
            file_system("default", "fsap-1").replace("fs-1}", "fs-1, authorizationConfig: {accessPointId: fsap-1}}");
        an_export_is_a_server_and_a_path:
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  fileSystems: {fs-1: {nfs: /srv}}\n" => ["LS0206 5:29"],
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: a}\nspec:\n  fileSystems: {fs-1: {nfs: 'nas:/srv'}}\n";
        one_volume_is_configured_at_launch:
            task("volumes: [{name: a, configuredAtLaunch: true}, {name: b, configuredAtLaunch: true}]\n", "") => ["LS0215 2:58"],
            task("volumes: [{name: a, configuredAtLaunch: true}, {name: b, configuredAtLaunch: false}]\n", "");
        paths_are_absolute:
            task("volumes: [{name: a, host: {sourcePath: srv}}]\n", "mountPoints: [{sourceVolume: a, containerPath: data}]\nlinuxParameters:\n  devices: [{hostPath: dev/null, containerPath: x}]\n  tmpfs: [{containerPath: tmp, size: 1}]")
                => ["LS0322 2:40", "LS0322 7:52", "LS0322 9:28", "LS0322 9:53", "LS0322 10:31"],
            task("volumes: [{name: a, host: {sourcePath: /srv}}]\n", "mountPoints: [{sourceVolume: a, containerPath: /data}]\nlinuxParameters:\n  devices: [{hostPath: /dev/null, containerPath: /x}]\n  tmpfs: [{containerPath: /tmp, size: 1}]");
        a_tmpfs_has_a_size:
            container("linuxParameters: {tmpfs: [{containerPath: /tmp, size: 0}]}") => ["LS0205 6:59"],
            container("linuxParameters: {tmpfs: [{containerPath: /tmp, size: 1}]}");
        one_thing_is_mounted_at_a_path:
            task("volumes: [{name: a}]\n", "mountPoints: [{sourceVolume: a, containerPath: /a}]\nlinuxParameters: {tmpfs: [{containerPath: /a/, size: 1}]}") => ["LS0318 8:47"],
            task("volumes: [{name: a}]\n", "mountPoints: [{sourceVolume: a, containerPath: /a}]\nlinuxParameters: {tmpfs: [{containerPath: /b/, size: 1}]}");
        mount_points_name_volumes_of_the_task:
            task("volumes: [{name: data}]\n", "mountPoints: [{sourceVolume: date, containerPath: /a}]") => ["LS0306 7:34"],
            task("volumes: [{name: data}]\n", "mountPoints: [{sourceVolume: data, containerPath: /a}]");
        mount_points_are_whole:
            container("mountPoints: [{readOnly: true}]") => ["LS0204 6:19", "LS0204 6:19"],
            container("mountPoints: []");
        a_volume_is_of_one_kind:
            task("volumes: [{name: a, host: {sourcePath: /a}, dockerVolumeConfiguration: {scope: task}}]\n", "") => ["LS0215 2:45"],
            task("volumes: [{name: a, host: {}, dockerVolumeConfiguration: {scope: task}}]\n", "");
        only_shared_volumes_are_provisioned:
            task("volumes: [{name: a, dockerVolumeConfiguration: {autoprovision: true}}]\n", "") => ["LS0215 2:49"],
            task("volumes: [{name: a, dockerVolumeConfiguration: {scope: shared, autoprovision: true}}]\n", "");
        users_are_a_name_or_number_and_a_group:
            container("user: 'a:b:c'") => ["LS0327 6:11"],
            container("user: 'a:1'");
        security_options_are_those_of_ecs:
            container("dockerSecurityOptions: [seccomp:x, no-new-privileges, 'credentialspec:file://x']") => ["LS0326 6:29", "LS0504 6:59"],
            container("dockerSecurityOptions: ['apparmor:x', no-new-privileges, 'label:user:x']");
        capabilities_exist:
            container("linuxParameters: {capabilities: {add: [CAP_CHOWN], drop: [ALL, FLY]}}") => ["LS0324 6:44", "LS0324 6:68"],
            container("linuxParameters: {capabilities: {add: [CHOWN], drop: [ALL]}}");
        kernel_parameters_belong_to_the_container:
            container("systemControls: [{namespace: vm.swappiness, value: '1'}, {namespace: net.a}]") => ["LS0325 6:34", "LS0204 6:62"],
            container("systemControls: [{namespace: kernel.sem, value: '1'}, {namespace: net.a, value: '1'}]");
        kernel_parameters_are_not_the_hosts:
            task("ipcMode: host\nnetworkMode: host\n", "systemControls: [{namespace: kernel.sem, value: '1'}, {namespace: net.a, value: '1'}]") => ["LS0320 8:34", "LS0320 8:71"],
            container("systemControls: [{namespace: kernel.sem, value: '1'}, {namespace: net.a, value: '1'}]");
        a_soft_limit_is_not_above_the_hard_one:
            container("ulimits: [{name: nofile, softLimit: 2, hardLimit: 1}, {name: core, softLimit: -1, hardLimit: 0}]") => ["LS0328 6:41", "LS0328 6:83"],
            container("ulimits: [{name: nofile, softLimit: 1, hardLimit: -1}, {name: core, softLimit: -1, hardLimit: -1}]");
        swap_needs_memory:
            "family: web\ncontainerDefinitions:\n  - {name: web, image: b, memoryReservation: 64, linuxParameters: {maxSwap: 1}}\n" => ["LS0329 3:68"],
            container("linuxParameters: {maxSwap: 1, swappiness: 10}");
        swappiness_needs_swap:
            container("linuxParameters: {swappiness: 10}") => ["LS0503 6:23"],
            container("linuxParameters: {swappiness: 10, maxSwap: 0}");
    }
}

mod of_networks {
    use super::*;

    rules! {
        no_port_is_reached_without_a_network:
            task("networkMode: none\n", "portMappings: [{containerPort: 1}]") => ["LS0311 7:5"],
            task("networkMode: bridge\n", "portMappings: [{containerPort: 1}]");
        a_host_port_is_the_containers_where_the_network_is_the_tasks:
            task("networkMode: host\n", "portMappings: [{containerPort: 1, hostPort: 2}]") => ["LS0310 7:49"],
            task("networkMode: awsvpc\n", "portMappings: [{containerPort: 1, hostPort: 1}, {containerPort: 2, hostPort: 0}]");
        links_need_bridge:
            task("networkMode: host\n", "links: ['web:w']") => ["LS0312 7:5", "LS0307 7:13"],
            task("networkMode: bridge\n", "");
        host_names_are_the_tasks_in_awsvpc:
            task("networkMode: awsvpc\n", "hostname: a\nextraHosts: [{hostname: b, ipAddress: 1.2.3.4}]") => ["LS0313 7:5", "LS0313 8:5"],
            task("networkMode: bridge\n", "hostname: a\nextraHosts: [{hostname: b, ipAddress: 1.2.3.4}]");
        addresses_are_addresses:
            container("dnsServers: [dns]\nextraHosts: [{hostname: a, ipAddress: 1.2.3}]") => ["LS0323 6:18", "LS0323 7:43"],
            container("dnsServers: ['::1']\nextraHosts: [{hostname: a, ipAddress: 1.2.3.4}]");
        a_port_mapping_has_a_port:
            container("portMappings: [{protocol: udp}, {containerPort: 0}]") => ["LS0204 6:20", "LS0205 6:53"],
            container("portMappings: [{containerPort: 53, protocol: udp}]");
        a_container_port_is_taken_once_in_one_network:
            task("networkMode: awsvpc\n", "portMappings: [{containerPort: 1}, {containerPort: 1, protocol: udp}, {containerPort: 1}]") => ["LS0314 7:91"],
            task("networkMode: bridge\n", "portMappings: [{containerPort: 1}, {containerPort: 1, protocol: udp}, {containerPort: 1}]");
        a_host_port_is_taken_once_in_a_task:
            container("portMappings: [{containerPort: 1, hostPort: 9}, {containerPort: 2, hostPort: 9}]") => ["LS0314 6:82"],
            container("portMappings: [{containerPort: 1, hostPort: 9}, {containerPort: 2, hostPort: 9, protocol: udp}]");
        ranges_of_ports_are_ranges:
            container("portMappings: [{containerPortRange: 2-1}]") => ["LS0317 6:41"],
            container("portMappings: [{containerPortRange: 1-2}]");
        ranges_of_a_container_share_no_port:
            container("portMappings: [{containerPortRange: 1-5}, {containerPortRange: 5-9}]") => ["LS0317 6:68"],
            container("portMappings: [{containerPortRange: 1-5}, {containerPortRange: 6-9}, {containerPortRange: 5-9, protocol: udp}]");
        a_range_stands_alone:
            task("networkMode: host\n", "portMappings: [{containerPortRange: 1-2, containerPort: 1}]")
                => ["LS0317 7:41", "LS0317 7:46"],
            container("portMappings: []");
    }
}

mod of_dependencies {
    use super::*;

    /// Containers `a` (a job with a health check) and `b`, with members of each.
    fn two(a: &str, b: &str) -> String {
        format!(
            "family: web\ncontainerDefinitions:\n  - {{name: a, image: i, memory: 64, {a}}}\n  - {{name: b, image: i, memory: 64, {b}}}\n"
        )
    }

    rules! {
        containers_that_are_waited_for_exist:
            two("links: [bb], volumesFrom: [{sourceContainer: x}]", "dependsOn: [{containerName: c, condition: START}]") => ["LS0305 3:45", "LS0305 3:82", "LS0305 4:65"],
            two("links: ['b:x'], volumesFrom: [{sourceContainer: b}]", "cpu: 1");
        volumes_come_from_a_container:
            two("volumesFrom: [{readOnly: true}]", "cpu: 1") => ["LS0204 3:51"],
            two("volumesFrom: [{readOnly: true, sourceContainer: b}]", "cpu: 1");
        an_essential_container_is_not_waited_for_to_end:
            two("cpu: 1", "dependsOn: [{containerName: a, condition: SUCCESS}]") => ["LS0308 4:79"],
            two("essential: false", "dependsOn: [{containerName: a, condition: COMPLETE}]");
        health_is_waited_for_where_it_is_checked:
            two("cpu: 1", "dependsOn: [{containerName: a, condition: HEALTHY}]") => ["LS0309 4:79"],
            two("healthCheck: {command: [CMD, 'true']}", "dependsOn: [{containerName: a, condition: HEALTHY}]");
        a_container_does_not_wait_for_itself:
            two("dependsOn: [{containerName: a, condition: START}]", "cpu: 1") => ["LS0307 3:65"],
            two("dependsOn: [{containerName: b, condition: START}]", "cpu: 1");
        links_and_volumes_from_are_waits_too:
            two("links: [b]", "volumesFrom: [{sourceContainer: a}]") => ["LS0307 3:45"],
            two("links: [b]", "cpu: 1");
    }

    #[test]
    fn a_cycle_is_shown_as_a_path_with_every_place() {
        let text = "family: web
containerDefinitions:
  - {name: x, image: i, memory: 64, dependsOn: [{containerName: a, condition: START}]}
  - {name: a, image: i, memory: 64, dependsOn: [{containerName: b, condition: START}]}
  - {name: b, image: i, memory: 64, links: [c]}
  - {name: c, image: i, memory: 64, dependsOn: [{containerName: a, condition: START}]}
";
        let loaded = one(text);
        assert_eq!(places(&loaded), ["LS0307 4:65"]);
        let found = &loaded.diagnostics[0];
        assert_eq!(
            found.message,
            "containers wait for each other: a → b → c → a"
        );
        let lines: Vec<u32> = found.related.iter().map(|label| label.span.line).collect();
        assert_eq!(lines, [5, 6]);
    }

    #[test]
    fn each_knot_is_one_finding() {
        let text = "family: web
containerDefinitions:
  - {name: a, image: i, memory: 64, links: [b]}
  - {name: b, image: i, memory: 64, links: [a]}
  - {name: c, image: i, memory: 64, links: [d, a]}
  - {name: d, image: i, memory: 64, links: [c]}
";
        assert_eq!(places(&one(text)), ["LS0307 3:45", "LS0307 5:45"]);
    }
}

mod of_fargate {
    use super::*;

    const HEAD: &str =
        "requiresCompatibilities: [FARGATE]\nnetworkMode: awsvpc\ncpu: 256\nmemory: 512\n";

    rules! {
        its_network_mode_is_awsvpc_and_its_size_is_given:
            task("requiresCompatibilities: [FARGATE]\n", "") => ["LS0506 2:27", "LS0506 2:27"],
            task(HEAD, "");
        its_size_is_one_that_it_has:
            task(&HEAD.replace("512", "513"), "") => ["LS0506 5:9"],
            task(HEAD, "");
        it_has_no_host:
            task(&format!("{HEAD}volumes: [{{name: a, host: {{sourcePath: /a}}}}, {{name: b, dockerVolumeConfiguration: {{}}}}]\n"), "privileged: true\nlinuxParameters: {devices: [{hostPath: /dev/null}]}")
                => ["LS0506 6:40", "LS0506 6:56", "LS0506 11:5", "LS0506 12:23"],
            task(&format!("{HEAD}volumes: [{{name: a}}]\n"), "privileged: false");
        its_timeouts_are_short:
            task(HEAD, "startTimeout: 1\nstopTimeout: 121") => ["LS0506 10:19", "LS0506 11:18"],
            task(HEAD, "startTimeout: 2\nstopTimeout: 120");
    }
}

mod of_a_service {
    use super::*;

    const ZONES: &str = "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: default}\nspec:\n  containerInstances: [{name: x, attributes: {ecs.availability-zone: a, rack: r1}}]\n";

    const CLUSTER: &str = "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: default}\nspec:\n  containerInstances: [{name: x, capacityProviderName: a}, {name: y, endpoint: 'unix:///y', capacityProviderName: b}]\n";

    #[test]
    fn capacity_providers_share_in_a_way_that_adds_up() {
        let strategy = |a: &str, b: &str| {
            let two = format!(
                "desiredCount: 0\ncapacityProviderStrategy:\n  - {{capacityProvider: a, weight: 1, {a}}}\n  - {{{b}}}\n"
            );
            places(&one(&(service(PLAIN, &two) + CLUSTER)))
        };
        let none: [&str; 0] = [];
        assert_eq!(strategy("base: 1", "capacityProvider: b, weight: 1"), none);
        assert_eq!(
            strategy("base: 1", "capacityProvider: b, base: 2"),
            ["LS0414 14:35"]
        );
        assert_eq!(strategy("base: 1", "capacityProvider: a"), ["LS0414 14:26"]);
        let none = "desiredCount: 0\ncapacityProviderStrategy: [{capacityProvider: a}, {capacityProvider: b}]\n";
        assert_eq!(
            places(&one(&(service(PLAIN, none) + CLUSTER))),
            ["LS0414 12:3"]
        );
        let both =
            "desiredCount: 0\nlaunchType: EC2\ncapacityProviderStrategy: [{capacityProvider: a}]\n";
        assert_eq!(
            places(&one(&(service(PLAIN, both) + CLUSTER))),
            ["LS0215 13:3"]
        );
    }

    #[test]
    fn a_capacity_provider_has_instances_of_the_cluster() {
        let of = |name: &str| {
            let text = format!(
                "desiredCount: 0\ncapacityProviderStrategy: [{{capacityProvider: {name}}}]\n"
            );
            places(&one(&(service(PLAIN, &text) + CLUSTER)))
        };
        assert!(of("b").is_empty());
        assert!(of("FARGATE_SPOT").is_empty());
        assert_eq!(of("c"), ["LS0422 12:49"]);
        let cluster = "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: c}\nspec:\n  capacityProviders: [spot]\n  containerInstances: [{name: x, capacityProviderName: spt}]\n  defaultCapacityProviderStrategy: [{capacityProvider: spot}]\n";
        assert_eq!(places(&one(cluster)), ["LS0422 6:56", "LS0422 7:56"]);
        assert!(places(&one(&cluster.replace("spt", "spot"))).is_empty());
    }

    rules! {
        it_says_what_it_runs_and_how_often:
            "apiVersion: longshore/v1\nkind: Service\nmetadata: {name: web}\nspec:\n  tags: []\n" => ["LS0204 5:3", "LS0204 5:3"],
            service(PLAIN, "desiredCount: 0");
        what_it_runs_can_be_a_name:
            service(PLAIN, "desiredCount: 1").replace("taskDefinition: web", "taskDefinition: 'web:0'") => ["LS0206 10:19"],
            service(PLAIN, "desiredCount: 1").replace("taskDefinition: web", "taskDefinition: arn:aws:ecs:eu-west-1:123456789012:task-definition/web:7");
        a_daemon_has_no_count_and_no_strategy_and_no_more_than_one_task_an_instance:
            service(PLAIN, "schedulingStrategy: DAEMON\ndesiredCount: 1\ndeploymentConfiguration: {maximumPercent: 200}") => ["LS0409 12:3", "LS0409 13:29"],
            service(PLAIN, "schedulingStrategy: DAEMON\ndeploymentConfiguration: {maximumPercent: 100}");
        a_daemon_has_no_capacity_providers:
            service(PLAIN, "schedulingStrategy: DAEMON\ncapacityProviderStrategy: [{capacityProvider: FARGATE}]") => ["LS0409 12:3"],
            service(PLAIN, "schedulingStrategy: DAEMON\nplacementConstraints: [{type: memberOf, expression: 'attribute:ecs.os-type exists'}]");
        rebalancing_that_is_asked_for_can_move_tasks:
            service(PLAIN, "desiredCount: 2\navailabilityZoneRebalancing: ENABLED\ndeploymentConfiguration: {minimumHealthyPercent: 50, maximumPercent: 100}") + ZONES => ["LS0423 12:32"],
            service(PLAIN, "desiredCount: 2\navailabilityZoneRebalancing: ENABLED") + ZONES;
        rebalancing_is_of_services_that_are_spread_over_zones_first:
            service(PLAIN, "desiredCount: 2\navailabilityZoneRebalancing: ENABLED\nplacementStrategy: [{type: random}]") + ZONES => ["LS0423 12:32"],
            service(PLAIN, "desiredCount: 2\nplacementStrategy: [{type: random}]");
        a_daemon_can_stop_a_task:
            service(PLAIN, "schedulingStrategy: DAEMON\ndeploymentConfiguration: {minimumHealthyPercent: 100}") => ["LS0406 12:52"],
            service(PLAIN, "schedulingStrategy: DAEMON\ndeploymentConfiguration: {minimumHealthyPercent: 99}");
        desired_count_can_be_reached:
            service(PLAIN, "desiredCount: 2\ndeploymentConfiguration: {minimumHealthyPercent: 50, maximumPercent: 99}") => ["LS0205 12:72"],
            service(PLAIN, "desiredCount: 2\ndeploymentConfiguration: {minimumHealthyPercent: 50, maximumPercent: 100}");
        a_rollout_can_stop_or_start_a_task:
            service(PLAIN, "desiredCount: 2\ndeploymentConfiguration: {minimumHealthyPercent: 75, maximumPercent: 100}") => ["LS0406 12:52"],
            service(PLAIN, "desiredCount: 4\ndeploymentConfiguration: {minimumHealthyPercent: 75, maximumPercent: 100}");
        a_rollout_can_start_a_task_although_few:
            service(PLAIN, "desiredCount: 3\ndeploymentConfiguration: {maximumPercent: 125}") => ["LS0406 12:45"],
            service(PLAIN, "desiredCount: 3\ndeploymentConfiguration: {maximumPercent: 134}");
    }

    #[test]
    fn placement_constraints_have_the_expression_of_their_type() {
        let wrong = service(
            PLAIN,
            "desiredCount: 1\nplacementConstraints:\n  - {type: distinctInstance, expression: x}\n  - {type: memberOf}\n  - {}",
        );
        assert_eq!(
            places(&one(&wrong)),
            ["LS0215 13:32", "LS0204 14:7", "LS0204 15:7"]
        );
    }

    fn strategies(list: &str) -> String {
        service(
            PLAIN,
            &format!("desiredCount: 1\nplacementStrategy: {list}"),
        )
    }

    rules! {
        a_strategy_has_a_field_that_it_knows:
            strategies("[{type: spread, field: ecs.availability-zone}, {type: binpack, field: disk}]")
                => ["LS0421 12:45", "LS0421 12:92"],
            strategies("[{type: spread, field: 'attribute:longshore.host'}, {type: spread, field: host}, {type: binpack, field: MEMORY}]");
        a_strategy_needs_its_type_and_field:
            strategies("[{field: cpu}, {type: spread}, {type: binpack}]") => ["LS0204 12:23", "LS0204 12:37", "LS0204 12:53"],
            strategies("[{type: random}]");
    }

    rules! {
        tasks_are_spread_over_what_instances_have:
            strategies("[{type: spread, field: 'attribute:ecs.availability-zone'}]") => ["LS0424 12:45"],
            strategies("[{type: spread, field: 'attribute:ecs.availability-zone'}]") + ZONES;
        a_misspelt_attribute_is_no_zone:
            strategies("[{type: spread, field: 'attribute:ecs.availabilty-zone'}]") + ZONES => ["LS0424 12:45"],
            strategies("[{type: spread, field: 'attribute:ecs.availability-zone'}, {type: spread, field: 'attribute:rack'}]") + ZONES;
        what_is_rebalanced_has_zones:
            service(PLAIN, "desiredCount: 2\navailabilityZoneRebalancing: ENABLED") => ["LS0424 12:32"],
            service(PLAIN, "desiredCount: 2\navailabilityZoneRebalancing: ENABLED") + ZONES;
        attributes_that_are_given_are_not_misspelt:
            ZONES.replace("availability", "availabilty") => ["LS0424 6:47"],
            ZONES.replace("availability-zone", "of-our-own");
    }

    #[test]
    fn attributes_that_no_instance_has_are_pointed_at_within_the_expression() {
        let of = |expression: &str| {
            let text = format!(
                "desiredCount: 1\nplacementConstraints: [{{type: memberOf, expression: '{expression}'}}]"
            );
            let loaded = one(&(service(PLAIN, &text) + ZONES));
            let found = loaded.diagnostics.iter();
            found
                .map(|d| format!("{}: {} {:?}", d.primary.span.column, d.message, d.help))
                .collect::<Vec<_>>()
        };
        let lacks = "no instance of cluster `default` has an attribute";
        let give = |name: &str| {
            format!(
                "write `attributes: {{{name}: VALUE}}` at those of the cluster's `containerInstances` that have it"
            )
        };
        assert_eq!(
            of("attribute:rack == r1 and attribute:rck in [r2]"),
            [format!("91: {lacks} `rck` [\"did you mean `rack`?\"]")]
        );
        assert_eq!(
            of("attribute:ecs.instance-typ =~ g2.*"),
            [format!(
                "66: {lacks} `ecs.instance-typ` [\"did you mean `ecs.instance-type`?\", \"no instance has that one either: {}\"]",
                give("ecs.instance-type")
            )]
        );
        assert_eq!(
            of("attribute:stack == a or attribute:stack == b"),
            [format!("66: {lacks} `stack` [{:?}]", give("stack"))],
            "once"
        );
        // What is excluded need not be there; but a slip is one wherever it stands.
        let none: [String; 0] = [];
        assert_eq!(of("attribute:stack != a and attribute:stack !exists"), none);
        assert_eq!(of("not(attribute:ecs.os-tpe == windows)").len(), 1);
        assert_eq!(
            of("attribute:com.amazonaws.ecs.capability.logging-driver.syslog exists"),
            none
        );
    }

    #[test]
    fn a_definition_is_looked_at_in_each_cluster_that_runs_it_and_else_in_any() {
        let constrained = PLAIN.replace(
            "family: web\n",
            "family: web\nplacementConstraints: [{type: memberOf, expression: 'attribute:rack == r1'}]\n",
        );
        let messages = |text: String| {
            let found = one(&text).diagnostics.into_iter();
            found.map(|d| d.message).collect::<Vec<_>>()
        };
        let other =
            "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {name: other}\nspec: {}\n";
        let in_other = "desiredCount: 1\ncluster: other";
        let lacks = |whose: &str| format!("no instance of {whose} has an attribute `rack`");
        assert_eq!(messages(constrained.clone()), [lacks("any cluster")]);
        assert_eq!(messages(constrained.clone() + ZONES), [] as [String; 0]);
        assert_eq!(
            messages(service(&constrained, in_other) + ZONES + other),
            [lacks("cluster `other`")]
        );
    }

    #[test]
    fn an_expression_that_cannot_be_read_is_pointed_at_within_its_line() {
        let of = |expression: &str| {
            let text =
                format!("placementConstraints: [{{type: memberOf, expression: {expression}}}]");
            let loaded = one(&service(PLAIN, &format!("desiredCount: 1\n{text}")));
            let found = loaded.diagnostics.iter().find(|d| d.code == "LS0420");
            found.map(|d| format!("{} {}", d.primary.span.column, d.message))
        };
        assert_eq!(of("'attribute:stack == prod'"), None);
        assert_eq!(
            of("'attribute:stack = prod'").as_deref(),
            Some("72 there is no operator `=`")
        );
        assert_eq!(
            of("attribute:stack exist").as_deref(),
            Some("71 there is no operator `exist`")
        );
        // Written otherwise than it reads: all of it, and the character is counted.
        assert_eq!(
            of("\"attribute:\\x73tack = prod\"").as_deref(),
            Some("55 there is no operator `=` (at character 17)")
        );
        let definition =
            format!("placementConstraints: [{{type: memberOf, expression: a b}}]\n{PLAIN}");
        let found = places(&one(&definition));
        assert!(found.contains(&"LS0420 1:53".to_owned()), "{found:?}");
    }

    #[test]
    fn percentages_that_never_roll_come_with_the_ones_to_write() {
        let text = service(
            PLAIN,
            "desiredCount: 3\ndeploymentConfiguration: {minimumHealthyPercent: 70, maximumPercent: 133}",
        );
        let found = &one(&text).diagnostics[0];
        assert_eq!(found.related[0].span.line, 11, "the count");
        for percentages in [
            "`minimumHealthyPercent: 66` and `maximumPercent: 100`",
            "`minimumHealthyPercent: 100` and `maximumPercent: 134`",
        ] {
            assert!(
                found.help.iter().any(|help| help.contains(percentages)),
                "{found:?}"
            );
            let written: Vec<u32> = percentages
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse().ok())
                .collect();
            let better = service(
                PLAIN,
                &format!(
                    "desiredCount: 3\ndeploymentConfiguration: {{minimumHealthyPercent: {}, maximumPercent: {}}}",
                    written[0], written[1]
                ),
            );
            assert_eq!(one(&better).diagnostics, []);
        }
    }
}

mod of_a_cluster {
    use super::*;

    fn cluster(instances: &str) -> String {
        format!(
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: shop}}\nspec:\n  containerInstances:\n{instances}"
        )
    }

    rules! {
        instances_have_names_of_their_own:
            cluster("  - {name: a}\n  - {name: a, endpoint: 'ssh://b'}\n") => ["LS0411 7:12"],
            cluster("  - {name: a}\n  - {name: b, endpoint: 'ssh://b'}\n");
        an_engine_is_one_instance:
            cluster("  - {name: a, endpoint: 'tcp://x:1'}\n  - {name: b, endpoint: 'tcp://x:1/'}\n") => ["LS0411 7:25"],
            cluster("  - {name: a, endpoint: 'tcp://x:1'}\n  - {name: b, endpoint: 'tcp://x:2'}\n");
        endpoints_are_addresses_of_engines:
            cluster("  - {name: a, endpoint: /var/run/docker.sock}\n  - {name: b, endpoint: 'http://x'}\n") => ["LS0206 6:25", "LS0206 7:25"],
            cluster("  - {name: a, endpoint: 'unix:///var/run/docker.sock'}\n");
        attributes_are_as_on_ecs:
            cluster("  - {name: a, attributes: {'a b': c, d: ' e'}}\n") => ["LS0206 6:28", "LS0206 6:38"],
            cluster("  - {name: a, attributes: {a-b: 'c d', rack: 1a}}\n");
    }
}

mod between_documents {
    use super::*;
    use crate::manifest::load::Pruning;

    fn ports(mapping: &str) -> String {
        container(&format!("portMappings: [{mapping}]"))
    }

    const FIXED: &str = "{containerPort: 80, hostPort: 8080}";
    const STOP_FIRST: &str =
        "deploymentConfiguration: {minimumHealthyPercent: 0, maximumPercent: 100}";
    const DATA: &str = "mountPoints: [{sourceVolume: data, containerPath: /data}]";
    const HOST: &str = "volumes: [{name: data, host: {sourcePath: /srv/data}}]\n";

    rules! {
        clusters_exist:
            service(PLAIN, "desiredCount: 1\ncluster: shop") => ["LS0402 12:12"],
            format!("{}---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: shop}}\nspec: {{}}\n", service(PLAIN, "desiredCount: 1\ncluster: arn:aws:ecs:local:000000000000:cluster/shop"));
        task_definitions_exist:
            service(PLAIN, "desiredCount: 1").replace("taskDefinition: web", "taskDefinition: wbe") => ["LS0403 10:19"],
            service(PLAIN, "desiredCount: 1");
        a_fixed_revision_is_not_known_offline:
            service(PLAIN, "desiredCount: 1").replace("taskDefinition: web", "taskDefinition: web:3") => ["LS0404 10:19"],
            service(PLAIN, "desiredCount: 1");
        a_fixed_host_port_is_for_one_task_an_instance:
            service(&ports(FIXED), &format!("desiredCount: 2\n{STOP_FIRST}")) => ["LS0410 14:17"],
            service(&ports("{containerPort: 80}"), &format!("desiredCount: 2\n{STOP_FIRST}"));
        the_port_of_a_task_in_the_hosts_network_is_fixed:
            service(&task("networkMode: host\n", "portMappings: [{containerPort: 80}]"), &format!("desiredCount: 2\n{STOP_FIRST}")) => ["LS0410 15:17"],
            service(&task("networkMode: awsvpc\n", "portMappings: [{containerPort: 80}]"), &format!("desiredCount: 2\n{STOP_FIRST}"));
        a_fixed_host_port_needs_a_task_to_stop_first:
            service(&ports(FIXED), "desiredCount: 1") => ["LS0407 14:17"],
            service(&ports(FIXED), &format!("desiredCount: 1\n{STOP_FIRST}"));
        two_tasks_do_not_write_to_one_volume:
            service(&task(HOST, DATA), "desiredCount: 1") => ["LS0408 15:17"],
            service(&task(HOST, DATA), &format!("desiredCount: 1\n{STOP_FIRST}"));
        two_tasks_may_read_one_volume:
            service(&task("volumes: [{name: data, dockerVolumeConfiguration: {scope: shared}}]\n", DATA), "desiredCount: 1\ndeploymentConfiguration: {maximumPercent: 200}") => ["LS0408 16:45"],
            service(&task(HOST, &DATA.replace("}]", ", readOnly: true}]")), "desiredCount: 1");
        load_balancers_name_containers_and_ports:
            service(&ports("{containerPort: 80}"), "desiredCount: 1\nloadBalancers: [{containerName: wbe, containerPort: 80}, {containerName: web, containerPort: 81}]")
                => ["LS0501 15:3", "LS0305 15:35", "LS0412 15:96"],
            service(&ports("{containerPort: 80}"), "desiredCount: 1");
        a_grace_period_is_for_a_health_check:
            service(PLAIN, "desiredCount: 1\nhealthCheckGracePeriodSeconds: 5") => ["LS0413 12:3"],
            service(&container("healthCheck: {command: [CMD, 'true']}"), "desiredCount: 1\nhealthCheckGracePeriodSeconds: 5");
        a_resource_is_declared_once:
            format!("{PLAIN}---\n{PLAIN}") => ["LS0401 5:9"],
            format!("{PLAIN}---\n{}", PLAIN.replace("family: web", "family: shop"));
    }

    #[test]
    fn a_socket_is_no_data_that_two_tasks_could_spoil() {
        let task = task(
            "volumes: [{name: data, host: {sourcePath: /var/run/docker.sock}}]\n",
            DATA,
        );
        assert_eq!(one(&service(&task, "desiredCount: 1")).diagnostics, []);
    }

    #[test]
    fn a_warning_about_a_rollout_comes_with_the_percentages_to_write() {
        for text in [
            service(&ports(FIXED), "desiredCount: 1"),
            service(&task(HOST, DATA), "desiredCount: 1"),
        ] {
            let found = &one(&text).diagnostics[0];
            assert!(
                found.help[0].contains("`minimumHealthyPercent: 0` and `maximumPercent: 100`"),
                "{found:?}"
            );
            assert_eq!(found.related.len(), 1, "the port or the mount");
        }
    }

    fn named(name: &str, cluster: &str) -> String {
        format!(
            "apiVersion: longshore/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  cluster: {cluster}\n  taskDefinition: web\n  desiredCount: 1\n  {STOP_FIRST}\n"
        )
    }

    fn shop(instances: &str) -> String {
        format!(
            "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: shop}}\nspec: {{containerInstances: [{instances}]}}\n"
        )
    }

    #[test]
    fn two_services_that_want_one_host_port_are_both_at_fault() {
        let text = format!(
            "{}---\n{}---\n{}",
            ports(FIXED),
            named("a", "default"),
            named("b", "default")
        );
        let loaded = one(&text);
        assert_eq!(places(&loaded), ["LS0405 22:19"]);
        let lines: Vec<u32> = loaded.diagnostics[0]
            .related
            .iter()
            .map(|l| l.span.line)
            .collect();
        assert_eq!(lines, [13, 6], "the other service, and the port");
        assert!(matches!(loaded.pruning, Pruning::Withheld(_)));
    }

    #[test]
    fn clusters_on_one_engine_share_its_ports_and_instances_have_each_their_own() {
        let text = |shop: &str| {
            format!(
                "{}---\n{shop}---\n{}---\n{}",
                ports(FIXED),
                named("a", "default"),
                named("b", "shop")
            )
        };
        assert_eq!(places(&one(&text(&shop("{name: same}")))), ["LS0405 27:19"]);
        assert_eq!(
            one(&text(&shop("{name: x, endpoint: 'tcp://x:1'}"))).diagnostics,
            []
        );
        let both = format!(
            "{}---\n{}---\n{}---\n{}",
            ports(FIXED),
            shop("{name: x}, {name: y, endpoint: 'tcp://y:1'}"),
            named("a", "shop"),
            named("b", "shop")
        );
        assert_eq!(one(&both).diagnostics, []);
        let draining = both.replace("{name: x}", "{name: x, status: DRAINING}");
        assert_eq!(places(&one(&draining)), ["LS0405 27:19"]);
    }
}
