//! LS05xx: members that mean something on ECS and less, or nothing, here.

codes! {
    EFFECT

    NOT_YET_HONOURED "LS0501" Warning "a member that is not honoured yet"
    why "\
ECS honours this member; this version of Longshore accepts it, checks it, and does nothing with it. The service
runs as if it were not there. What is honoured is listed in `docs/manifests.md`."
    wrong ""
    right ""

    REFUSED_UNTIL_HONOURED "LS0502" Error "a member that must not be ignored, and is not honoured yet"
    why "\
The member changes what a container may do or what it is given: rights, namespaces, devices, volumes. Running
without it would be another container than the one declared, so the document is refused until Longshore honours
it."
    wrong ""
    right ""

    NO_EFFECT "LS0503" Warning "a member that has no effect on plain Docker"
    why "\
The member configures a part of AWS that does not exist here: IAM roles, subnets and security groups, platform
versions. It is accepted so that a definition which runs on AWS runs here unchanged, and it does nothing."
    wrong "\
family: web
taskRoleArn: arn:aws:iam::123456789012:role/web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    NOT_SUPPORTED "LS0504" Error "a member that cannot be had on plain Docker"
    why "\
The member asks for a part of AWS without which the task would not work, such as an FSx file system, an App Mesh
proxy, or Windows containers. It is refused rather than left out."
    wrong "\
family: web
volumes: [{name: data, s3filesVolumeConfiguration: {fileSystemArn: arn:aws:s3files:eu-west-1:1:file-system/fs-1}}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
volumes: [{name: data, host: {sourcePath: /srv/data}}]
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    AWSLOGS "LS0505" Warning "logs stay here instead of going to CloudWatch"
    why "\
The `awslogs` driver writes to CloudWatch Logs and needs AWS credentials in the engine. Here the container's
output is kept by the `json-file` driver, where `longshore logs` reads it; the options of `awslogs` have no
effect. `logDriverOverrides` of a cluster names another driver in its place."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    logConfiguration: {logDriver: awslogs, options: {awslogs-group: web, awslogs-region: eu-central-1}}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    logConfiguration: {logDriver: json-file}
"

    FARGATE "LS0506" Warning "a definition that says FARGATE runs as one on an instance"
    why "\
`FARGATE` is taken as a wish to run, not as a place: tasks run on the cluster's instances. Where the definition
would be refused on Fargate (another network mode than `awsvpc`, no task `cpu` and `memory`, privileged
containers, host paths), the finding says so."
    wrong "\
family: web
requiresCompatibilities: [FARGATE]
networkMode: bridge
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
requiresCompatibilities: [EC2]
networkMode: bridge
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    UNRESOLVED_REFERENCE "LS0507" Warning "a secret or a file that the cluster has no place for"
    why "\
On ECS, secrets come from Secrets Manager and the Parameter Store, and files of variables from S3. Here a cluster's
manifest says where they are: `secretProviders` for `secrets`, `secretOptions` and `repositoryCredentials`, and
`environmentFiles` for files of type `s3`. Without them the definition is accepted, and its tasks fail to start. The
definition itself need not be changed: see `docs/secrets.md`."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    secrets: [{name: PASSWORD, valueFrom: /shop/db-password}]
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata:
  name: default
spec:
  secretProviders: [{type: directory, path: /etc/longshore/secrets}]
---
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    secrets: [{name: PASSWORD, valueFrom: /shop/db-password}]
"
}
