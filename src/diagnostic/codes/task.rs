//! LS0301 to LS0320: how what a task definition says goes together.

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
}
