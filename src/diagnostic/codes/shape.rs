//! LS02xx: the shape of a document: its kind, its members, their types and bounds.

codes! {
    SHAPE

    UNKNOWN_FIELD "LS0201" Error "a member that does not exist"
    why "\
ECS has no member of this name here, and neither does Longshore. It is refused rather than ignored: a typing
mistake in `healthCheck` would otherwise leave a service without one. Names are in camelCase, as in the ECS API."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, comand: [sleep, \"60\"]}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, command: [sleep, \"60\"]}
"

    WRONG_TYPE "LS0202" Error "a value of the wrong type"
    why "\
The member takes another type of value. YAML decides the type by how a value is written: `80` is a number,
`\"80\"` a string, `true` a boolean, and `yes` and `no` are strings. A member that takes a list takes one also for
a single item."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, command: sleep 60}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64, command: [sleep, \"60\"]}
"

    WRONG_VALUE "LS0203" Error "a value that is not one of those allowed"
    why "\
The member takes one of a few words, written exactly as the ECS API has them; upper and lower case matter."
    wrong "\
family: web
networkMode: AWSVPC
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: web
networkMode: awsvpc
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    MISSING_FIELD "LS0204" Error "a required member is missing"
    why "\
Without this member the document has no meaning, and ECS refuses it too. `null` counts as missing."
    wrong "\
family: web
containerDefinitions:
  - {name: web, memory: 64}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    OUT_OF_BOUNDS "LS0205" Error "a number out of its bounds"
    why "\
The number is below the least or above the greatest that the member takes. The bounds are those of the ECS API."
    wrong "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, \"true\"], interval: 1}
"
    right "\
family: web
containerDefinitions:
  - name: web
    image: busybox:1.36
    memory: 64
    healthCheck: {command: [CMD-SHELL, \"true\"], interval: 5}
"

    PATTERN "LS0206" Error "a text that does not have the form required"
    why "\
The member's text must match a pattern. Names of families, services, clusters, containers and volumes consist of
letters, digits, `-` and `_`."
    wrong "\
family: my web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"
    right "\
family: my-web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    TOO_LONG "LS0207" Error "a text that is too long"
    why "\
The text is longer than the member allows; a name has at most 255 characters. The bounds are those of the ECS
API."
    wrong ""
    right ""

    TOO_MANY "LS0208" Error "a list with too many items"
    why "\
The list is longer than the member allows. The bounds are those of the ECS API."
    wrong ""
    right ""

    TOO_SHORT "LS0209" Error "a text or list that must not be empty"
    why "\
The member is there but holds nothing, or less than it must. Leave it out if it is not meant."
    wrong "\
family: web
containerDefinitions:
  - {name: web, image: \"\", memory: 64}
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    NOT_A_MANIFEST "LS0210" Error "a document that is no manifest"
    why "\
A document is either an envelope with `apiVersion`, `kind`, `metadata` and `spec`, or plain ECS: a task
definition with `family` and `containerDefinitions`, or what `aws ecs describe-task-definition` and
`describe-services` print. This one is neither.

Move other YAML and JSON files out of the folder, or begin their names with a dot."
    wrong "\
services:
  web:
    image: busybox:1.36
"
    right "\
family: web
containerDefinitions:
  - {name: web, image: busybox:1.36, memory: 64}
"

    UNKNOWN_KIND "LS0211" Error "a kind that does not exist"
    why "\
`kind` is `Cluster`, `TaskDefinition` or `Service`."
    wrong "\
apiVersion: longshore/v1
kind: Deployment
metadata: {name: web}
spec: {}
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: web}
spec: {}
"

    NEWER_VERSION "LS0212" Error "a format newer than this Longshore"
    why "\
The document was written for a newer Longshore, which may mean something else by the same members. This one does
not guess.

Update Longshore, or write the document in the version that it knows: `longshore/v1`."
    wrong "\
apiVersion: longshore/v2
kind: Cluster
metadata: {name: shop}
spec: {}
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: shop}
spec: {}
"

    UNKNOWN_API_VERSION "LS0213" Error "an apiVersion that is not Longshore's"
    why "\
Manifests in an envelope begin with `apiVersion: longshore/v1`. Another one, such as `v1` or `apps/v1`, belongs
to a file for Kubernetes."
    wrong "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {}
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: web}
spec: {}
"

    NAME_DISAGREES "LS0214" Error "the name in the spec is not the name in the metadata"
    why "\
`metadata.name` is the name of the family, the service or the cluster. `spec.family`, `spec.serviceName` or
`spec.clusterName` may repeat it, and then must be the same."
    wrong "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: shop}
spec: {clusterName: store}
"
    right "\
apiVersion: longshore/v1
kind: Cluster
metadata: {name: shop}
spec: {}
"

    EXCLUSIVE_FIELDS "LS0215" Error "two members that exclude each other"
    why "\
Only one of the two can be meant, and ECS refuses them together. Remove one."
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
  launchType: EC2
  capacityProviderStrategy: [{capacityProvider: FARGATE}]
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
  launchType: EC2
"
}
