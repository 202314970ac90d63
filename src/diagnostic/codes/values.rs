//! LS0321 and up: the values of single members of a task definition.

codes! {
    VALUES

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
