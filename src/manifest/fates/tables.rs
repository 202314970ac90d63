//! The tables themselves, in the order of the types.

use super::Fate::{Differs, Honoured, NoEffect, NotYet, Refused, Unsupported};
use super::{Fate, Row};

const fn row(path: &'static str, fate: Fate) -> Row {
    Row {
        path,
        fate,
        values: &[],
    }
}

const fn by_value(path: &'static str, fate: Fate, values: &'static [(&'static str, Fate)]) -> Row {
    Row { path, fate, values }
}

const NO_IAM: &str = "there is no IAM here, so containers get no AWS credentials";
const WINDOWS: Fate = Unsupported("only Linux containers run here; remove it or write LINUX");
const MANAGED: Fate = Unsupported("managed instances exist on AWS only; write EC2 or EXTERNAL");
const TASK_LIMIT: Fate = Differs(
    "a limit on the whole task where Longshore runs on the engine's own host and may make control groups; elsewhere each container is bound by it by itself",
);
const PROVIDER: Fate = Differs(
    "a group of the cluster's instances, which name it as `capacityProviderName`; `FARGATE` and `FARGATE_SPOT` are all instances where none names them",
);
const BY_PROVIDERS: &str = "the cluster's `secretProviders` are asked, by the name in the ARN and then by its last part; the JSON key of an ARN counts, its version stage and version id do not";
const NO_CONNECT: Fate = NotYet(
    "no proxy is started; services reach each other by DNS name, `<service>`, on the cluster's network",
);

pub(super) const TASK_DEFINITION: &[Row] = &[
    row("family", Honoured),
    row("taskRoleArn", NoEffect(NO_IAM)),
    row(
        "executionRoleArn",
        NoEffect(
            "there is no IAM here: images are pulled with the credentials that `docker login` left, or those that the container names",
        ),
    ),
    by_value(
        "networkMode",
        Honoured,
        &[
            (
                "bridge",
                Differs(
                    "containers stand on the cluster's own Docker network instead of docker0, where a service's name resolves to its tasks",
                ),
            ),
            (
                "awsvpc",
                Differs(
                    "a pause container on the cluster's Docker network stands for the elastic network interface; ports are published on the host too unless the cluster says otherwise",
                ),
            ),
        ],
    ),
    row("containerDefinitions", Honoured),
    row("containerDefinitions[].name", Honoured),
    row("containerDefinitions[].image", Honoured),
    row("containerDefinitions[].repositoryCredentials", Honoured),
    row(
        "containerDefinitions[].repositoryCredentials.credentialsParameter",
        Differs(BY_PROVIDERS),
    ),
    row("containerDefinitions[].cpu", Honoured),
    row("containerDefinitions[].memory", Honoured),
    row("containerDefinitions[].memoryReservation", Honoured),
    row("containerDefinitions[].links", Honoured),
    row("containerDefinitions[].portMappings", Honoured),
    row(
        "containerDefinitions[].portMappings[].containerPort",
        Honoured,
    ),
    row("containerDefinitions[].portMappings[].hostPort", Honoured),
    row("containerDefinitions[].portMappings[].protocol", Honoured),
    row("containerDefinitions[].portMappings[].name", Honoured),
    row(
        "containerDefinitions[].portMappings[].appProtocol",
        NotYet("it matters to Service Connect only, which is not there yet"),
    ),
    row(
        "containerDefinitions[].portMappings[].containerPortRange",
        Honoured,
    ),
    row("containerDefinitions[].essential", Honoured),
    row("containerDefinitions[].restartPolicy", Honoured),
    row("containerDefinitions[].restartPolicy.enabled", Honoured),
    row(
        "containerDefinitions[].restartPolicy.ignoredExitCodes",
        Honoured,
    ),
    row(
        "containerDefinitions[].restartPolicy.restartAttemptPeriod",
        Honoured,
    ),
    row("containerDefinitions[].entryPoint", Honoured),
    row("containerDefinitions[].command", Honoured),
    row("containerDefinitions[].environment", Honoured),
    row("containerDefinitions[].environment[].name", Honoured),
    row("containerDefinitions[].environment[].value", Honoured),
    row(
        "containerDefinitions[].environmentFiles",
        Differs(
            "a file that changes is read by the tasks that start after; it is no new revision, so nothing is redeployed by it",
        ),
    ),
    row("containerDefinitions[].environmentFiles[].value", Honoured),
    by_value(
        "containerDefinitions[].environmentFiles[].type",
        Honoured,
        &[(
            "s3",
            Differs(
                "the file is looked for below the cluster's `environmentFiles.path`, by the path in the ARN, then by its last part",
            ),
        )],
    ),
    row("containerDefinitions[].mountPoints", Honoured),
    row(
        "containerDefinitions[].mountPoints[].sourceVolume",
        Honoured,
    ),
    row(
        "containerDefinitions[].mountPoints[].containerPath",
        Honoured,
    ),
    row("containerDefinitions[].mountPoints[].readOnly", Honoured),
    row("containerDefinitions[].volumesFrom", Honoured),
    row(
        "containerDefinitions[].volumesFrom[].sourceContainer",
        Honoured,
    ),
    row("containerDefinitions[].volumesFrom[].readOnly", Honoured),
    row("containerDefinitions[].linuxParameters", Honoured),
    row(
        "containerDefinitions[].linuxParameters.capabilities",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.capabilities.add",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.capabilities.drop",
        Honoured,
    ),
    row("containerDefinitions[].linuxParameters.devices", Honoured),
    row(
        "containerDefinitions[].linuxParameters.devices[].hostPath",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.devices[].containerPath",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.devices[].permissions",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.initProcessEnabled",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.sharedMemorySize",
        Honoured,
    ),
    row("containerDefinitions[].linuxParameters.tmpfs", Honoured),
    row(
        "containerDefinitions[].linuxParameters.tmpfs[].containerPath",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.tmpfs[].size",
        Honoured,
    ),
    row(
        "containerDefinitions[].linuxParameters.tmpfs[].mountOptions",
        Honoured,
    ),
    row("containerDefinitions[].linuxParameters.maxSwap", Honoured),
    row(
        "containerDefinitions[].linuxParameters.swappiness",
        Differs("an engine on cgroup v2 has no such setting and ignores it"),
    ),
    row(
        "containerDefinitions[].secrets",
        Differs(
            "a value that changes reaches the tasks that start after, as on ECS, and the docker of the host shows it in `inspect`",
        ),
    ),
    row("containerDefinitions[].secrets[].name", Honoured),
    row(
        "containerDefinitions[].secrets[].valueFrom",
        Differs(BY_PROVIDERS),
    ),
    row("containerDefinitions[].dependsOn", Honoured),
    row("containerDefinitions[].dependsOn[].containerName", Honoured),
    row("containerDefinitions[].dependsOn[].condition", Honoured),
    row("containerDefinitions[].startTimeout", Honoured),
    row("containerDefinitions[].stopTimeout", Honoured),
    row(
        "containerDefinitions[].versionConsistency",
        Differs(
            "the first task that has its image pins the tag; tasks that are started together resolve it each on their own instance",
        ),
    ),
    row("containerDefinitions[].hostname", Honoured),
    row("containerDefinitions[].user", Honoured),
    row("containerDefinitions[].workingDirectory", Honoured),
    row("containerDefinitions[].disableNetworking", Honoured),
    row("containerDefinitions[].privileged", Honoured),
    row("containerDefinitions[].readonlyRootFilesystem", Honoured),
    row("containerDefinitions[].dnsServers", Honoured),
    row("containerDefinitions[].dnsSearchDomains", Honoured),
    row("containerDefinitions[].extraHosts", Honoured),
    row("containerDefinitions[].extraHosts[].hostname", Honoured),
    row("containerDefinitions[].extraHosts[].ipAddress", Honoured),
    row(
        "containerDefinitions[].dockerSecurityOptions",
        Differs("`credentialspec:` is refused: it belongs to Windows containers"),
    ),
    row("containerDefinitions[].interactive", Honoured),
    row("containerDefinitions[].pseudoTerminal", Honoured),
    row("containerDefinitions[].dockerLabels", Honoured),
    row("containerDefinitions[].ulimits", Honoured),
    row("containerDefinitions[].ulimits[].name", Honoured),
    row("containerDefinitions[].ulimits[].softLimit", Honoured),
    row("containerDefinitions[].ulimits[].hardLimit", Honoured),
    row("containerDefinitions[].logConfiguration", Honoured),
    by_value(
        "containerDefinitions[].logConfiguration.logDriver",
        Honoured,
        &[(
            "awslogs",
            Differs(
                "output goes to the engine's json-file driver (three files of 10 MB), where `longshore logs` reads it, or to what `logDriverOverrides` of the cluster names",
            ),
        )],
    ),
    row(
        "containerDefinitions[].logConfiguration.options",
        Differs("those of a driver that another stands for have no effect"),
    ),
    row(
        "containerDefinitions[].logConfiguration.secretOptions",
        Differs(
            "where another driver stands for the one that is named, as for `awslogs`, they have no effect",
        ),
    ),
    row(
        "containerDefinitions[].logConfiguration.secretOptions[].name",
        Honoured,
    ),
    row(
        "containerDefinitions[].logConfiguration.secretOptions[].valueFrom",
        Differs(BY_PROVIDERS),
    ),
    row("containerDefinitions[].healthCheck", Honoured),
    row("containerDefinitions[].healthCheck.command", Honoured),
    row("containerDefinitions[].healthCheck.interval", Honoured),
    row("containerDefinitions[].healthCheck.timeout", Honoured),
    row("containerDefinitions[].healthCheck.retries", Honoured),
    row("containerDefinitions[].healthCheck.startPeriod", Honoured),
    row("containerDefinitions[].systemControls", Honoured),
    row(
        "containerDefinitions[].systemControls[].namespace",
        Honoured,
    ),
    row("containerDefinitions[].systemControls[].value", Honoured),
    row("containerDefinitions[].resourceRequirements", Honoured),
    row(
        "containerDefinitions[].resourceRequirements[].value",
        Honoured,
    ),
    by_value(
        "containerDefinitions[].resourceRequirements[].type",
        Honoured,
        &[
            (
                "InferenceAccelerator",
                Unsupported("AWS has ended Elastic Inference; remove it"),
            ),
            (
                "NeuronDevice",
                Unsupported("Neuron devices exist on AWS only; remove it"),
            ),
        ],
    ),
    row(
        "containerDefinitions[].resourceRequirements[].sharingStrategy",
        Refused("remove it and ask for a whole GPU with `value: \"1\"`"),
    ),
    row(
        "containerDefinitions[].firelensConfiguration",
        Differs(
            "socket and configuration lie in volumes of the task; in `bridge`, FLUENT_HOST is the router's name instead of its address",
        ),
    ),
    row(
        "containerDefinitions[].firelensConfiguration.type",
        Honoured,
    ),
    row(
        "containerDefinitions[].firelensConfiguration.options",
        Differs("`config-file-type: s3` is refused: put the file into the router's image"),
    ),
    row(
        "containerDefinitions[].credentialSpecs",
        Unsupported(
            "credential specifications belong to Active Directory and Windows containers; remove it",
        ),
    ),
    row("volumes", Honoured),
    row("volumes[].name", Honoured),
    row("volumes[].host", Honoured),
    row("volumes[].host.sourcePath", Honoured),
    row("volumes[].dockerVolumeConfiguration", Honoured),
    row("volumes[].dockerVolumeConfiguration.scope", Honoured),
    row(
        "volumes[].dockerVolumeConfiguration.autoprovision",
        Honoured,
    ),
    row("volumes[].dockerVolumeConfiguration.driver", Honoured),
    row("volumes[].dockerVolumeConfiguration.driverOpts", Honoured),
    row("volumes[].dockerVolumeConfiguration.labels", Honoured),
    row(
        "volumes[].efsVolumeConfiguration",
        Differs(
            "an NFS volume of the engine stands for it, from where `fileSystems` of the cluster says",
        ),
    ),
    row(
        "volumes[].efsVolumeConfiguration.fileSystemId",
        Differs("the key in `fileSystems` of the cluster"),
    ),
    row("volumes[].efsVolumeConfiguration.rootDirectory", Honoured),
    by_value(
        "volumes[].efsVolumeConfiguration.transitEncryption",
        Honoured,
        &[(
            "ENABLED",
            Differs("traffic to the NFS server is encrypted only if its own options say so"),
        )],
    ),
    row(
        "volumes[].efsVolumeConfiguration.transitEncryptionPort",
        NoEffect("no tunnel is made to the NFS server"),
    ),
    row(
        "volumes[].efsVolumeConfiguration.authorizationConfig",
        Honoured,
    ),
    row(
        "volumes[].efsVolumeConfiguration.authorizationConfig.accessPointId",
        Differs("the key in `fileSystems` of the cluster, in place of the file system's"),
    ),
    by_value(
        "volumes[].efsVolumeConfiguration.authorizationConfig.iam",
        NoEffect(NO_IAM),
        &[("DISABLED", Honoured)],
    ),
    row(
        "volumes[].s3filesVolumeConfiguration",
        Unsupported(
            "there is no S3 here; mount a file system on the host and name it in `host.sourcePath`",
        ),
    ),
    row(
        "volumes[].fsxWindowsFileServerVolumeConfiguration",
        Unsupported(
            "there is no FSx here; mount a file system on the host and name it in `host.sourcePath`",
        ),
    ),
    row(
        "volumes[].configuredAtLaunch",
        Differs("an engine volume that lives as long as its task stands for the EBS volume"),
    ),
    row("placementConstraints", Honoured),
    row("placementConstraints[].type", Honoured),
    row(
        "placementConstraints[].expression",
        Differs(
            "regular expressions are Java's without look-around and references back, and match the whole value; `ec2InstanceId` is the instance's name",
        ),
    ),
    by_value(
        "requiresCompatibilities",
        Honoured,
        &[
            (
                "FARGATE",
                Differs(
                    "such tasks run on the cluster's instances like any other; what Fargate would refuse is warned about",
                ),
            ),
            ("MANAGED_INSTANCES", MANAGED),
        ],
    ),
    row("cpu", TASK_LIMIT),
    row("memory", TASK_LIMIT),
    row("tags", Honoured),
    row("tags[].key", Honoured),
    row("tags[].value", Honoured),
    row("pidMode", Honoured),
    row("ipcMode", Honoured),
    row(
        "proxyConfiguration",
        Unsupported("there is no App Mesh here; remove it and the proxy container"),
    ),
    row(
        "inferenceAccelerators",
        Unsupported("AWS has ended Elastic Inference; remove it"),
    ),
    row(
        "ephemeralStorage",
        NoEffect("containers share the disk of the host"),
    ),
    row("runtimePlatform", Honoured),
    row("runtimePlatform.cpuArchitecture", Honoured),
    by_value(
        "runtimePlatform.operatingSystemFamily",
        WINDOWS,
        &[("LINUX", Honoured)],
    ),
    row(
        "enableFaultInjection",
        Differs(
            "the cluster's `faultInjection` must allow it; only for tasks in `awsvpc`, on the host that Longshore runs on; packets are lost by iptables instead of netem",
        ),
    ),
    row("trustedExecutionConfiguration", Honoured),
    by_value(
        "trustedExecutionConfiguration.isolationMode",
        Unsupported("containers here share the host's kernel; write SHARED or remove it"),
        &[("SHARED", Honoured)],
    ),
    row(
        "trustedExecutionConfiguration.attestationPolicy",
        NoEffect("nothing is attested here"),
    ),
];

pub(super) const SERVICE: &[Row] = &[
    row("cluster", Honoured),
    row("serviceName", Honoured),
    row(
        "taskDefinition",
        Differs("of an ARN of AWS only the family is taken: revisions are numbered anew here"),
    ),
    row(
        "availabilityZoneRebalancing",
        Differs(
            "it is on unless it says DISABLED, also in an update, for services that are spread over zones before anything else and may start a task first",
        ),
    ),
    row(
        "loadBalancers",
        NotYet(
            "no load balancer is registered with; services reach each other by DNS name, `<service>`",
        ),
    ),
    row(
        "serviceRegistries",
        NotYet("no registry is written to; services reach each other by DNS name, `<service>`"),
    ),
    row("desiredCount", Honoured),
    row(
        "clientToken",
        NoEffect("a manifest may be applied as often as you like"),
    ),
    by_value(
        "launchType",
        Differs("tasks run on the cluster's instances whatever it says"),
        &[("MANAGED_INSTANCES", MANAGED)],
    ),
    row("capacityProviderStrategy", Honoured),
    row("capacityProviderStrategy[].capacityProvider", PROVIDER),
    row("capacityProviderStrategy[].weight", Honoured),
    row("capacityProviderStrategy[].base", Honoured),
    row("platformVersion", NoEffect("there is no Fargate here")),
    row("role", NoEffect("there is no IAM here")),
    row("deploymentConfiguration", Honoured),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker",
        Differs(
            "a task that runs and ends before it was counted healthy is a failed task too; what failed is not tried again until the manifest or the task definition changes, or `longshore retry` says so",
        ),
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.enable",
        Honoured,
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.rollback",
        Honoured,
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.resetOnHealthyTask",
        Honoured,
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration",
        Honoured,
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.type",
        Honoured,
    ),
    row(
        "deploymentConfiguration.deploymentCircuitBreaker.thresholdConfiguration.value",
        Honoured,
    ),
    row("deploymentConfiguration.maximumPercent", Honoured),
    row("deploymentConfiguration.minimumHealthyPercent", Honoured),
    row(
        "deploymentConfiguration.alarms",
        NotYet("no alarm is looked at"),
    ),
    by_value(
        "deploymentConfiguration.strategy",
        Refused(
            "write ROLLING, or remove it: a rolling deployment would shift traffic otherwise than declared",
        ),
        &[("ROLLING", Honoured)],
    ),
    row(
        "deploymentConfiguration.bakeTimeInMinutes",
        NotYet("old tasks go as soon as new ones are healthy"),
    ),
    row(
        "deploymentConfiguration.lifecycleHooks",
        NotYet("no hook is called or waited for"),
    ),
    row(
        "deploymentConfiguration.linearConfiguration",
        NotYet("it belongs to the LINEAR strategy"),
    ),
    row(
        "deploymentConfiguration.canaryConfiguration",
        NotYet("it belongs to the CANARY strategy"),
    ),
    row("deploymentConfiguration.earlySuccessCriteria", Honoured),
    row(
        "deploymentConfiguration.earlySuccessCriteria.enable",
        Honoured,
    ),
    row(
        "deploymentConfiguration.earlySuccessCriteria.healthyPercent",
        Honoured,
    ),
    row(
        "deploymentConfiguration.earlySuccessCriteria.sourceServiceRevisionCleanup",
        Honoured,
    ),
    row("placementConstraints", Honoured),
    row("placementConstraints[].type", Honoured),
    row(
        "placementConstraints[].expression",
        Differs(
            "regular expressions are Java's without look-around and references back, and match the whole value; `ec2InstanceId` is the instance's name",
        ),
    ),
    row("placementStrategy", Honoured),
    by_value(
        "placementStrategy[].type",
        Honoured,
        &[(
            "random",
            Differs(
                "it looks random and follows from the names of service and instances, so that the same state gives the same plan",
            ),
        )],
    ),
    row("placementStrategy[].field", Honoured),
    row(
        "networkConfiguration",
        NoEffect(
            "tasks stand on the cluster's Docker network; there are no subnets and security groups",
        ),
    ),
    row("healthCheckGracePeriodSeconds", Honoured),
    row("schedulingStrategy", Honoured),
    row("deploymentController", Honoured),
    by_value(
        "deploymentController.type",
        Unsupported("Longshore itself rolls out; write ECS or remove it"),
        &[("ECS", Honoured)],
    ),
    row("tags", Honoured),
    row("tags[].key", Honoured),
    row("tags[].value", Honoured),
    row(
        "enableECSManagedTags",
        NoEffect("tasks carry labels with cluster and service anyhow"),
    ),
    by_value(
        "propagateTags",
        NotYet("tasks get no tags"),
        &[("NONE", Honoured)],
    ),
    row(
        "enableExecuteCommand",
        Differs("`longshore exec` works whatever it says"),
    ),
    row("serviceConnectConfiguration", NO_CONNECT),
    row(
        "volumeConfigurations",
        NoEffect(
            "a volume that is configured at launch is an engine volume of its task, of no fixed size and empty",
        ),
    ),
    row(
        "vpcLatticeConfigurations",
        Unsupported("there is no VPC Lattice here; remove it"),
    ),
    row(
        "gatewayConnectors",
        Unsupported("there are no gateways here; remove it"),
    ),
    row("monitoring", NoEffect("there is no CloudWatch here")),
];

pub(super) const CLUSTER: &[Row] = &[
    row("clusterName", Honoured),
    row("tags", Honoured),
    row("tags[].key", Honoured),
    row("tags[].value", Honoured),
    row("settings", Honoured),
    row("settings[].name", Honoured),
    by_value(
        "settings[].value",
        NotYet("no Container Insights are recorded"),
        &[("disabled", Honoured)],
    ),
    row(
        "configuration",
        NoEffect("commands in containers are not logged, and storage is the host's"),
    ),
    row("capacityProviders", PROVIDER),
    row("defaultCapacityProviderStrategy", Honoured),
    row(
        "defaultCapacityProviderStrategy[].capacityProvider",
        PROVIDER,
    ),
    row("defaultCapacityProviderStrategy[].weight", Honoured),
    row("defaultCapacityProviderStrategy[].base", Honoured),
    row("serviceConnectDefaults", NO_CONNECT),
    row("containerInstances", Honoured),
    row("containerInstances[].name", Honoured),
    row("containerInstances[].endpoint", Honoured),
    row("containerInstances[].tls", Honoured),
    row("containerInstances[].tls.certPath", Honoured),
    row("containerInstances[].tls.verify", Honoured),
    row("containerInstances[].attributes", Honoured),
    row("containerInstances[].capacityProviderName", Honoured),
    row("containerInstances[].status", Honoured),
    row("containerInstances[].gpus", Honoured),
    row("healthyAfterSeconds", Honoured),
    row("instanceLostAfterSeconds", Honoured),
    row("publishAwsvpcPorts", Honoured),
    row("faultInjection", Honoured),
    row("awsRegion", Honoured),
    row("logDriverOverrides", Honoured),
    row("fileSystems", Honoured),
    row("secretProviders", Honoured),
    row("secretProviders[].type", Honoured),
    row("secretProviders[].path", Honoured),
    row("secretProviders[].prefix", Honoured),
    row("secretProviders[].command", Honoured),
    row("secretProviders[].timeout", Honoured),
    row("secretProviders[].identityFile", Honoured),
    row("secretNames", Honoured),
    row("environmentFiles", Honoured),
    row("environmentFiles.path", Honoured),
    row("environmentFiles.names", Honoured),
    row("imagePullBehavior", Honoured),
    row("imageCleanup", Honoured),
    row("imageCleanup.enabled", Honoured),
    row("imageCleanup.intervalSeconds", Honoured),
    row("imageCleanup.minimumAgeSeconds", Honoured),
    row("imageCleanup.imagesPerCycle", Honoured),
    row("imageCleanup.includeUntracked", Honoured),
    row("imageCleanup.exclude", Honoured),
];
