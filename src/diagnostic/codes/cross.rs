//! LS04xx: what documents and files say about each other.

codes! {
    CROSS

    DUPLICATE_RESOURCE "LS0401" Error "the same resource is declared twice"
    why "\
Two documents declare the same cluster, task definition family or service (of one cluster). Which is meant
cannot be known; neither is taken, and the last good version stays. Remove or rename one."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    UNKNOWN_CLUSTER "LS0402" Error "a cluster that is declared nowhere"
    why "\
The service names a cluster that no document of the folder declares. Only `default` exists without a document."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  cluster: shop
  taskDefinition: web
  desiredCount: 1
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  cluster: default
  taskDefinition: web
  desiredCount: 1
"

    UNKNOWN_TASK_DEFINITION "LS0403" Error "a task definition that is declared nowhere"
    why "\
The service names a family that no document of the folder declares. A family is the `metadata.name`, or the
`family`, of a task definition."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: wbe
  desiredCount: 1
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
"

    UNKNOWN_REVISION "LS0404" Warning "a revision that is not known here"
    why "\
`family:N` pins a revision that Longshore registered earlier. The folder alone holds only the newest content of
a family, so whether revision N exists shows when the manifests are applied; if it does not, the service keeps
its last good version.

Leave out `:N` to follow the newest."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web:7
  desiredCount: 1
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
"

    HOST_PORT_CLASH "LS0405" Error "two services want the same host port"
    why "\
A host port can be taken once on an instance, and the cluster has no instances enough that both services could
run. Give one of them another `hostPort`, or none: a free one is chosen then."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: shop
spec:
  taskDefinition: web
  desiredCount: 1
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: shop
spec:
  taskDefinition: web
  desiredCount: 1
"

    NEVER_ROLLS "LS0406" Error "percentages with which a deployment can never proceed"
    why "\
A deployment stops old tasks down to `ceil(desiredCount × minimumHealthyPercent / 100)` and starts new ones up
to `floor(desiredCount × maximumPercent / 100)`. Here the floor leaves nothing to stop and the ceiling nothing
to start, so a change would never be rolled out.

Lower `minimumHealthyPercent` to stop tasks first, or raise `maximumPercent` to start first."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 2
  deploymentConfiguration:
    minimumHealthyPercent: 75
    maximumPercent: 100
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 2
  deploymentConfiguration:
    minimumHealthyPercent: 50
    maximumPercent: 100
"

    FIXED_PORT_ROLLOUT "LS0407" Warning "a fixed host port keeps a deployment from proceeding"
    why "\
The service must keep all of its tasks (`minimumHealthyPercent` leaves none to stop), and a new task cannot
start beside an old one because both want the same host port. With one instance, or as many as tasks, a
deployment waits for ever.

Let a task stop first (`minimumHealthyPercent: 0` with `maximumPercent: 100` for a single task), or leave out
`hostPort`."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  deploymentConfiguration:
    minimumHealthyPercent: 0
    maximumPercent: 100
"

    SHARED_VOLUME_ROLLOUT "LS0408" Warning "a deployment would put two tasks on one writable volume"
    why "\
With these percentages the new task starts while the old one still runs, and both write to the same host path or
shared volume. Databases do not survive that.

Stop first: `minimumHealthyPercent: 0` and `maximumPercent: 100`. Or mount it with `readOnly: true`."
    wrong "\
family: web
volumes: [{name: data, host: {sourcePath: /srv/data}}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: /data}]
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
"
    right "\
family: web
volumes: [{name: data, host: {sourcePath: /srv/data}}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: /data}]
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  deploymentConfiguration:
    minimumHealthyPercent: 0
    maximumPercent: 100
"

    DAEMON_FIELDS "LS0409" Error "members that a daemon service cannot have"
    why "\
A service with `schedulingStrategy: DAEMON` runs one task on each instance. So it has no `desiredCount` of its
own and no `placementStrategy`, and `maximumPercent` is 100."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  schedulingStrategy: DAEMON
  deploymentConfiguration:
    minimumHealthyPercent: 0
    maximumPercent: 200
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  schedulingStrategy: DAEMON
  deploymentConfiguration:
    minimumHealthyPercent: 0
    maximumPercent: 100
"

    TOO_FEW_INSTANCES "LS0410" Error "more tasks than instances for a fixed host port"
    why "\
A host port can be taken once on an instance, so the cluster can run as many tasks with it as it has ACTIVE
instances. The others could never be placed. Leave out `hostPort`, and a free port is chosen for each task."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 2
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 2
"

    INSTANCE_TWICE "LS0411" Error "two container instances of one name or one engine"
    why "\
Resources and ports are counted per engine, so an engine is one instance of a cluster at most. An instance without
`endpoint` is the engine that `docker` itself would use."
    wrong "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: shop}
spec:
  containerInstances: [{name: a}, {name: b}]
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: shop}
spec:
  containerInstances: [{name: a}, {name: b, endpoint: \"ssh://root@b.example.com\"}]
"

    UNKNOWN_PORT "LS0412" Error "a port that the container does not map"
    why "\
A load balancer or registry sends traffic to a `containerPort`, which must be among the container's `portMappings`."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  loadBalancers: [{containerName: web, containerPort: 8080}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  loadBalancers: [{containerName: web, containerPort: 80}]
"

    GRACE_WITHOUT_CHECK "LS0413" Warning "a grace period without a health check"
    why "\
`healthCheckGracePeriodSeconds` says how long an unhealthy verdict is ignored after a task started. No container of
the task definition has a `healthCheck`, so there is no verdict."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  healthCheckGracePeriodSeconds: 30
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, healthCheck: {command: [CMD-SHELL, \"true\"]}}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  healthCheckGracePeriodSeconds: 30
"

    PROVIDER_SHARES "LS0414" Error "shares of capacity providers that do not add up"
    why "\
Of several capacity providers at least one has a `weight` above 0, and only one has a `base`, as on ECS."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  capacityProviderStrategy: [{capacityProvider: FARGATE, base: 1}, {capacityProvider: FARGATE_SPOT, weight: 1, base: 1}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  capacityProviderStrategy: [{capacityProvider: FARGATE, base: 1}, {capacityProvider: FARGATE_SPOT, weight: 1}]
"

    FILE_SYSTEM "LS0415" Error "a file system that no cluster knows"
    why "\
`efsVolumeConfiguration` names a file system by its id on AWS. Here an NFS export stands for it, and `fileSystems` of
the cluster that runs the task says which one, by file system id, or by access point id where the volume names one."
    wrong "\
family: web
volumes: [{name: data, efsVolumeConfiguration: {fileSystemId: fs-12345678}}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
volumes: [{name: data, efsVolumeConfiguration: {fileSystemId: fs-12345678}}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  fileSystems: {fs-12345678: {nfs: \"nas.example:/srv/data\"}}
"

    SECRET_PROVIDER "LS0416" Error "a provider of secrets that lacks what its type needs"
    why "\
Each type of provider has members of its own: `directory` needs `path`; `environment` may have `prefix`; `command`
needs `command` and may have `timeout`; `age` needs `identityFile` and may have `path`. A member of another type would
do nothing, so it is refused too."
    wrong "\
apiVersion: longshore/v1
kind: Cluster
metadata:
  name: default
spec:
  secretProviders: [{type: directory, prefix: SHOP_}]
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata:
  name: default
spec:
  secretProviders: [{type: directory, path: /etc/longshore/secrets}]
"

    QUERY "LS0420" Error "a cluster query expression that cannot be read"
    why "\
A `memberOf` constraint has an expression of ECS's Cluster Query Language: conditions joined by `and`, `or` and `not`,
each of a subject (`attribute:NAME`, `task:group`, `runningTasksCount`, `agentConnected`, `agentVersion`,
`ec2InstanceId`, `registeredAt`), an operator (`==`, `!=`, `>`, `>=`, `<`, `<=`, `in`, `!in`, `exists`, `!exists`, `=~`,
`!~`) and a value. A value with spaces or signs stands in single quotes."
    wrong "\
family: web
placementConstraints: [{type: memberOf, expression: \"attribute:ecs.os-type = linux\"}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
placementConstraints: [{type: memberOf, expression: \"attribute:ecs.os-type == linux\"}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    PLACEMENT_FIELD "LS0421" Error "a field that its placement strategy does not know"
    why "\
`spread` takes `instanceId` (or `host`, which is the same) or an attribute as `attribute:NAME`; `binpack` takes `cpu` or
`memory`; `random` takes none."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  placementStrategy: [{type: spread, field: ecs.availability-zone}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  placementStrategy: [{type: spread, field: \"attribute:ecs.availability-zone\"}]
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  containerInstances: [{name: local, attributes: {ecs.availability-zone: a}}]
"

    UNKNOWN_PROVIDER "LS0422" Error "a capacity provider without instances"
    why "\
A capacity provider is a group of the cluster's instances here, and each instance says which one it belongs to
(`capacityProviderName`, Longshore's own). Tasks of a provider that no instance belongs to could never be placed.
`FARGATE` and `FARGATE_SPOT` are all instances where none names them."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  capacityProviderStrategy: [{capacityProvider: spot, weight: 1}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  capacityProviderStrategy: [{capacityProvider: spot, weight: 1}]
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  containerInstances: [{name: local, capacityProviderName: spot}]
"

    REBALANCING "LS0423" Error "rebalancing of availability zones that could never move a task"
    why "\
`availabilityZoneRebalancing: ENABLED` starts a task in an emptier zone and then stops one in the fullest. So the
spread over `attribute:ecs.availability-zone` must be the first placement strategy, or there must be none, and
`maximumPercent` must be above 100. A DAEMON has nothing to move. Without the member, services that meet this are
rebalanced and others are not."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  availabilityZoneRebalancing: ENABLED
  placementStrategy: [{type: binpack, field: memory}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  availabilityZoneRebalancing: DISABLED
  placementStrategy: [{type: binpack, field: memory}]
"

    UNKNOWN_ATTRIBUTE "LS0424" Warning "an attribute that no instance has"
    why "\
What an expression asks of an attribute that no instance of the cluster has is met by none, and a spread over it is a
spread over nothing. Instances have `ecs.os-type`, `ecs.os-family`, `ecs.cpu-architecture`, `longshore.host` (where
Longshore runs beside their engine) and a `com.amazonaws.ecs.capability.logging-driver.NAME` for each log driver, and
whatever the cluster's manifest gives them. ECS's others, such as `ecs.availability-zone` and `ecs.instance-type`, are
known to AWS only: write them as `attributes`. That an expression excludes what no instance has is left alone."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  placementConstraints: [{type: memberOf, expression: \"attribute:rck == r1\"}]
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  containerInstances: [{name: local, attributes: {rack: r1}}]
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
---
apiVersion: longshore/v1
kind: Service
metadata:
  name: web
spec:
  taskDefinition: web
  desiredCount: 1
  placementConstraints: [{type: memberOf, expression: \"attribute:rack == r1\"}]
---
apiVersion: longshore/v1
kind: Cluster
metadata: {name: default}
spec:
  containerInstances: [{name: local, attributes: {rack: r1}}]
"
}
