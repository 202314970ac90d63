//! What `longshore init` writes: three manifests that work, and the schema that editors check them with.

use super::schema;

/// Paths below the folder, and contents. The schema lies in a hidden folder, which is no place for manifests; the manifests
/// name it by a relative path, so that completion works without a network.
pub fn files() -> Vec<(&'static str, String)> {
    vec![
        ("cluster.yaml", CLUSTER.to_owned()),
        ("task-definition.yaml", TASK_DEFINITION.to_owned()),
        ("service.yaml", SERVICE.to_owned()),
        (
            ".longshore/longshore.schema.json",
            schema::embedded("longshore").unwrap_or_default().to_owned(),
        ),
    ]
}

const CLUSTER: &str = "\
# yaml-language-server: $schema=.longshore/longshore.schema.json
#
# A cluster: the engines that services run on. The cluster `default` exists without this file too; here its settings can be
# changed.
apiVersion: longshore/v1
kind: Cluster
metadata:
  name: default
spec:
  # A task that has no health check counts as healthy this many seconds after it is RUNNING (ECS: 40).
  healthyAfterSeconds: 10

  # Without `containerInstances` the cluster has one instance, the engine that `docker` itself would use.
  # containerInstances:
  #   - name: local
  #     endpoint: unix:///var/run/docker.sock
";

const TASK_DEFINITION: &str = "\
# yaml-language-server: $schema=.longshore/longshore.schema.json
#
# A task definition: containers that run together. `spec` has the members of ECS's RegisterTaskDefinition. Change anything
# in it while Longshore runs, and the service below rolls over to it.
apiVersion: longshore/v1
kind: TaskDefinition
metadata:
  name: hello # the family
spec:
  containerDefinitions:
    - name: web
      image: busybox:1.36.1
      memory: 32 # MiB; a container that needs more is killed
      entryPoint: [sh, -c]
      command:
        - |
          mkdir -p /srv
          echo \"$GREETING\" > /srv/index.html
          exec httpd -f -p 8080 -h /srv
      environment:
        - name: GREETING
          value: Hello from Longshore
      portMappings:
        # Without `hostPort` a free port of the host is chosen: `longshore get tasks -o wide` shows it.
        - containerPort: 8080
      # A task that is not healthy is replaced, and a rollout waits for new tasks to be healthy.
      healthCheck:
        command: [CMD-SHELL, wget -q -O /dev/null http://127.0.0.1:8080/ || exit 1]
        interval: 5
      stopTimeout: 2
";

const SERVICE: &str = "\
# yaml-language-server: $schema=.longshore/longshore.schema.json
#
# A service: so many tasks of a task definition, kept running. `spec` has the members of ECS's CreateService.
apiVersion: longshore/v1
kind: Service
metadata:
  name: hello # also its DNS name on the cluster's network
spec:
  taskDefinition: hello # its newest revision; `hello:1` would be the first one for ever
  desiredCount: 2
  deploymentConfiguration:
    # During a rollout: never fewer healthy tasks than 100 % of desiredCount, and never more tasks than 200 %.
    minimumHealthyPercent: 100
    maximumPercent: 200
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::load::tests::folder;
    use crate::manifest::load::{LastGood, LoadOptions, load};

    #[test]
    fn what_init_writes_is_valid_without_a_single_warning() {
        let files = files();
        let manifests = files.iter().filter(|(path, _)| !path.starts_with('.'));
        let scan = folder(manifests.map(|(path, text)| (*path, text.as_str())));
        let loaded = load(&scan, &LastGood::default(), &LoadOptions::default());
        assert_eq!(loaded.diagnostics, []);
        assert_eq!(loaded.desired.all_services().count(), 1);
        assert_eq!(loaded.good.len(), 3);
    }

    #[test]
    fn every_manifest_names_the_schema_that_is_written_beside_it() {
        let files = files();
        let (schema, _) = files
            .iter()
            .find(|(path, _)| path.ends_with(".json"))
            .unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".yaml")) {
            let line = format!("# yaml-language-server: $schema={schema}");
            assert_eq!(text.lines().next(), Some(line.as_str()), "{path}");
        }
    }
}
