//! LS03xx: the rules of one task definition.

codes! {
    TASK

    NO_ESSENTIAL "LS0301" Error "no container is essential"
    why "\
A task lives as long as its essential containers; with none, nothing would say when it has ended. At least one
container must be essential; containers are unless they say `essential: false`."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, essential: false}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    NO_MEMORY "LS0302" Error "a container without any memory setting"
    why "\
A container needs `memory` (a hard limit), `memoryReservation` (what placement counts), or the task needs
`memory`: without one, nobody knows how many such tasks fit on an instance."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    MEMORY_OVER_TASK "LS0303" Error "a container may use more memory than its task has"
    why "\
The task's `memory` bounds all of its containers together, so a container's own `memory` above it can never be
reached, and the containers' reservations must fit into it in sum."
    wrong "\
family: web
memory: \"512\"
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 1024}
"
    right "\
family: web
memory: \"512\"
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 512}
"

    RESERVATION_OVER_MEMORY "LS0304" Error "a memory reservation above the memory limit"
    why "\
`memoryReservation` is what the container is expected to need, `memory` where it is killed. With both, `memory`
must not be the smaller."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, memoryReservation: 128}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 128, memoryReservation: 64}
"

    UNKNOWN_CONTAINER "LS0305" Error "a reference to a container that the task does not have"
    why "\
`dependsOn`, `links`, `volumesFrom` and a service's `loadBalancers` name containers of the same task definition.
There is none of this name."
    wrong "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: intit, condition: START}]
"
    right "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: init, condition: START}]
"

    UNKNOWN_VOLUME "LS0306" Error "a mount point of a volume that the task does not have"
    why "\
`sourceVolume` names an entry of the task definition's `volumes`. There is none of this name."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: /data}]
"
    right "\
family: web
volumes: [{name: data}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: /data}]
"

    DEPENDENCY_CYCLE "LS0307" Error "containers that wait for each other"
    why "\
Each of the containers starts only after the next, and the last only after the first: none would ever start.
`dependsOn`, `links` and `volumesFrom` all count. Remove one of the places shown."
    wrong "\
family: web
containerDefinitions:
  - {name: a, image: busybox:1.36, memory: 64, dependsOn: [{containerName: b, condition: START}]}
  - {name: b, image: busybox:1.36, memory: 64, dependsOn: [{containerName: a, condition: START}]}
"
    right "\
family: web
containerDefinitions:
  - {name: a, image: busybox:1.36, memory: 64, dependsOn: [{containerName: b, condition: START}]}
  - {name: b, image: busybox:1.36, memory: 64}
"

    COMPLETE_ON_ESSENTIAL "LS0308" Error "waiting for an essential container to end"
    why "\
`COMPLETE` and `SUCCESS` wait until the other container has ended. When an essential container ends the task
stops, so the waiting one would never run. Say `essential: false` on the container that runs to its end."
    wrong "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: init, condition: SUCCESS}]
"
    right "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64, essential: false}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: init, condition: SUCCESS}]
"

    HEALTHY_WITHOUT_CHECK "LS0309" Error "waiting for the health of a container without a health check"
    why "\
`HEALTHY` waits for the other container's `healthCheck` in the task definition; a `HEALTHCHECK` of its image
does not count, as on ECS. Without one it would never be healthy."
    wrong "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: init, condition: HEALTHY}]
"
    right "\
family: web
containerDefinitions:
  - {name: init, image: busybox:1.36, memory: 64, healthCheck: {command: [CMD-SHELL, \"true\"]}}
  - name: web
    image: busybox:1.36
    memory: 64
    dependsOn: [{containerName: init, condition: HEALTHY}]
"

    HOST_PORT_DIFFERS "LS0310" Error "a host port that differs from the container port"
    why "\
In the network modes `host` and `awsvpc` a container has no ports of its own that could be mapped: `hostPort` is
left out or equals `containerPort`."
    wrong "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
"
    right "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
"

    PORTS_WITHOUT_NETWORK "LS0311" Error "port mappings without a network"
    why "\
In the network mode `none` a container has only its loopback interface, so no port can be reached."
    wrong "\
family: web
networkMode: none
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
"
    right "\
family: web
networkMode: bridge
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80}]}
"

    LINKS_OUTSIDE_BRIDGE "LS0312" Error "links outside of the network mode bridge"
    why "\
`links` are Docker's, and connect containers that each have an address of their own: only `bridge` gives them
one. In `awsvpc` and `host` all containers of a task reach each other on `localhost`."
    wrong "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: db, image: busybox:1.36, memory: 64}
  - {name: web, image: busybox:1.36, memory: 64, links: [db]}
"
    right "\
family: web
networkMode: bridge
containerDefinitions:
  - {name: db, image: busybox:1.36, memory: 64}
  - {name: web, image: busybox:1.36, memory: 64, links: [db]}
"

    HOST_NAME_IN_AWSVPC "LS0313" Error "hostname or extraHosts where containers share one network"
    why "\
In `awsvpc` the containers of a task share one network namespace, and its host name and hosts file with it, so a
container cannot have its own. ECS refuses both there. (`hostname` has no meaning in `host` either.)"
    wrong "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, hostname: web}
"
    right "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    PORT_CLASH_IN_TASK "LS0314" Error "two mappings of one task want the same port"
    why "\
A port of one address can be taken once: a container port by one container of a task that shares its network, a
host port by one mapping of the task. TCP and UDP ports are different ports."
    wrong "\
family: web
containerDefinitions:
  - {name: a, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
  - {name: b, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
"
    right "\
family: web
containerDefinitions:
  - {name: a, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8080}]}
  - {name: b, image: busybox:1.36, memory: 64, portMappings: [{containerPort: 80, hostPort: 8081}]}
"

    DUPLICATE_NAME "LS0315" Error "two containers or volumes of one name"
    why "\
Containers and volumes are referred to by name, so a name is used once in a task definition."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    CPU_OVER_TASK "LS0316" Error "the containers want more CPU than their task has"
    why "\
The task's `cpu` bounds all of its containers together; the sum of the containers' `cpu` must fit into it."
    wrong "\
family: web
cpu: \"256\"
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, cpu: 512}
"
    right "\
family: web
cpu: \"256\"
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, cpu: 256}
"

    PORT_RANGE "LS0317" Error "a port range that is none"
    why "\
`containerPortRange` is `first-last` with both between 1 and 65535 and the first below the last; it stands
instead of `containerPort` and `hostPort`, and only in `bridge` and `awsvpc`."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    portMappings: [{containerPortRange: 9000-8000}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    portMappings: [{containerPort: 8000}, {containerPort: 8001}]
"

    MOUNTED_TWICE "LS0318" Error "two mounts at one path of a container"
    why "\
Two mount points or tmpfs mounts of a container have the same path, so one of them would hide the other."
    wrong "\
family: web
volumes: [{name: a}, {name: b}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints:
      - {sourceVolume: a, containerPath: /data}
      - {sourceVolume: b, containerPath: /data}
"
    right "\
family: web
volumes: [{name: a}, {name: b}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints:
      - {sourceVolume: a, containerPath: /data}
      - {sourceVolume: b, containerPath: /backup}
"

    HEALTH_CHECK_COMMAND "LS0319" Error "a health check with nothing to run"
    why "\
The first item says how the rest is run: `CMD` runs a program with its arguments, `CMD-SHELL` hands one string
to the container's shell."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL]}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, wget -q localhost]}
"

    HOST_IPC_SYSCTL "LS0320" Error "kernel settings of a namespace that is the host's"
    why "\
`systemControls` set values of the container's own namespace. With `ipcMode: host` the IPC values, and with
`networkMode: host` the `net.` values, would be the host's, which ECS refuses."
    wrong "\
family: web
ipcMode: host
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, systemControls: [{namespace: kernel.shmmax, value: \"1\"}]}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, systemControls: [{namespace: kernel.shmmax, value: \"1\"}]}
"

    AMOUNT "LS0321" Error "an amount of CPU or memory that cannot be read"
    why "\
A task's `cpu` is in CPU units (`256`, 1024 a core) or vCPUs (`0.25 vCPU`), its `memory` in MiB (`512`) or GB
(`0.5 GB`). No other unit is known."
    wrong "\
family: web
memory: 512 MB
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    essential: true
"
    right "\
family: web
memory: \"512\"
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    essential: true
"

    RELATIVE_PATH "LS0322" Error "a path that is not absolute"
    why "\
Paths of mount points, host volumes, devices and tmpfs mounts begin with `/`: there is no directory that another
path would start from, and the engine refuses it."
    wrong "\
family: web
volumes: [{name: data}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: data}]
"
    right "\
family: web
volumes: [{name: data}]
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    mountPoints: [{sourceVolume: data, containerPath: /data}]
"

    NOT_AN_ADDRESS "LS0323" Error "a text that is no IP address"
    why "\
`extraHosts` and `dnsServers` take IPv4 or IPv6 addresses; a name would need the DNS that is being set up."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dnsServers: [dns.example.com]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dnsServers: [10.0.0.2]
"

    UNKNOWN_CAPABILITY "LS0324" Error "a capability that does not exist"
    why "\
Capabilities are written as ECS has them: in capitals and without `CAP_`, such as `NET_ADMIN`; `ALL` is all of them."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    linuxParameters: {capabilities: {add: [CAP_NET_ADMIN]}}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    linuxParameters: {capabilities: {add: [NET_ADMIN]}}
"

    KERNEL_PARAMETER "LS0325" Error "a kernel parameter that a container does not have"
    why "\
Only parameters of a container's own namespaces can be set: `net.…` of its network, `fs.mqueue.…`, `kernel.msg…`,
`kernel.sem` and `kernel.shm…` of its IPC. Others, such as `vm.max_map_count`, are the host's: set them there."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    systemControls: [{namespace: vm.max_map_count, value: \"262144\"}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    systemControls: [{namespace: net.core.somaxconn, value: \"1024\"}]
"

    SECURITY_OPTION "LS0326" Error "a security option that ECS does not know"
    why "\
`dockerSecurityOptions` takes `no-new-privileges`, `apparmor:PROFILE` and `label:VALUE`."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dockerSecurityOptions: [seccomp:unconfined]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dockerSecurityOptions: [no-new-privileges]
"

    USER_FORM "LS0327" Error "a user that cannot be read"
    why "\
`user` is a name or a number, with or without a group: `user`, `user:group`, `uid`, `uid:gid`, `user:gid` or
`uid:group`."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    user: \"1000:1000:1000\"
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    user: \"1000:1000\"
"

    LIMITS_REVERSED "LS0328" Error "a soft limit above the hard limit"
    why "\
A process may raise its soft limit up to the hard one, so the soft one cannot be above it; -1 is no limit. The
engine refuses such a container."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    ulimits: [{name: nofile, softLimit: 4096, hardLimit: 1024}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    ulimits: [{name: nofile, softLimit: 1024, hardLimit: 4096}]
"

    SWAP_WITHOUT_MEMORY "LS0329" Error "swap for a container without a memory limit"
    why "\
`maxSwap` is what the container may swap beyond its `memory`; without a limit there is nothing to go beyond, and
the engine refuses it."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memoryReservation: 64, linuxParameters: {maxSwap: 64}}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, linuxParameters: {maxSwap: 64}}
"

    VARIABLE_NAME "LS0330" Error "an environment variable without a usable name"
    why "\
The name is what stands before the `=` in the process's environment: it is not empty and holds no `=` itself."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environment: [{name: \"A=1\", value: \"\"}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environment: [{name: A, value: \"1\"}]
"

    VARIABLE_TWICE "LS0331" Warning "an environment variable that is set twice"
    why "\
The later value wins, as with Docker. Most often one of the two was forgotten."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environment: [{name: A, value: \"1\"}, {name: A, value: \"2\"}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environment: [{name: A, value: \"2\"}]
"

    RESERVED_NAME "LS0332" Error "a container name that Longshore needs itself"
    why "\
In `awsvpc` the container `pause` holds the network namespace that the task's containers share."
    wrong "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: pause, image: busybox:1.36, memory: 64}
"
    right "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: wait, image: busybox:1.36, memory: 64}
"

    RESERVED_LABEL "LS0333" Warning "a label that Longshore sets itself"
    why "\
Longshore finds its own containers by labels that begin with `longshore.`, and gives them the ECS agent's
`com.amazonaws.ecs.` labels too. Its own value wins over the one in `dockerLabels`."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dockerLabels: {longshore.task: mine}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    dockerLabels: {shop.task: mine}
"

    SHELL_ARGUMENTS "LS0334" Warning "a health check of which only the first part is run"
    why "\
`CMD-SHELL` gives the item after it to the shell as its script. Further items are not part of it: they become the
script's arguments, `$0` and on, and a `|| exit 1` among them does nothing."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, wget -q localhost, \"|| exit 1\"]}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, wget -q localhost || exit 1]}
"

    HEALTH_CHECK_UNRUN "LS0335" Warning "a health check that no engine runs"
    why "\
The first item of a health check's command says how the rest is run: `CMD` runs a program with its arguments,
`CMD-SHELL` hands one string to the container's shell. ECS takes a command that begins otherwise, and Docker then
runs none at all, so that the health stays UNKNOWN. It is so here too, and the container counts as one without a
health check."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [wget -q localhost]}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, wget -q localhost]}
"

    ENVIRONMENT_FILE "LS0336" Error "a file of variables that cannot be"
    why "\
`environmentFiles` names files that end in `.env`. Of type `s3` it is the ARN of an object,
`arn:aws:s3:::BUCKET/PATH.env`; of type `file`, which is Longshore's own, a path: absolute, or below the folder of
manifests, which it may not leave."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environmentFiles: [{type: file, value: ../web.env}]
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    environmentFiles: [{type: file, value: env/web.env}]
"

    LOG_ROUTER "LS0337" Error "a log router that cannot be wired"
    why "\
With the driver `awsfirelens` a container logs to the one container of its task that has a `firelensConfiguration`;
the options of the driver become an output of that router, named by `Name` (Fluent Bit) or `@type` (Fluentd). A
further configuration of the router's is a file of its image: there is no S3 here."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    logConfiguration: {logDriver: awsfirelens, options: {Name: stdout}}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    logConfiguration: {logDriver: awsfirelens, options: {Name: stdout}}
  - name: router
    image: fluent/fluent-bit:3.1
    memory: 64
    firelensConfiguration: {type: fluentbit}
"
}
