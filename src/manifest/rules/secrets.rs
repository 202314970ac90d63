//! Secrets and files of variables: what a definition says of them, what a cluster says of where they are, and whether the two
//! meet.

use std::path::{Component, Path};

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::types::{
    Cluster, ContainerDefinition, EnvironmentFile, EnvironmentFileType, LogDriver, SecretProvider,
    SecretProviderType, TaskDefinition,
};
use crate::model::ClusterName;

/// The rules of a definition's own.
pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    for (index, container) in task.definition.container_definitions.iter().enumerate() {
        for (position, file) in container.environment_files.iter().enumerate() {
            let pointer = of_container(index, &format!("/environmentFiles/{position}/value"));
            environment_file(task.document, &pointer, file, found);
        }
        variables(task.document, index, container, found);
    }
}

fn environment_file(
    document: &Document,
    pointer: &str,
    file: &EnvironmentFile,
    found: &mut Vec<Diagnostic>,
) {
    let value = file.value.as_str();
    let (wrong, help) = match file.kind {
        EnvironmentFileType::S3 if !is_object(value) => (
            "is no ARN of an object",
            "write `arn:aws:s3:::BUCKET/PATH.env`; for a file of the host, `type: file` and its path",
        ),
        EnvironmentFileType::File if leaves(value) => (
            "leaves the folder of manifests",
            "move the file into the folder, or write its absolute path",
        ),
        _ if !value.ends_with(".env") => (
            "does not end in `.env`",
            "ECS takes only such files; rename it",
        ),
        _ => return,
    };
    found.push(
        document
            .error(
                codes::ENVIRONMENT_FILE,
                document.value(pointer),
                format!("`{value}` {wrong}"),
            )
            .help(help),
    );
}

/// Whether the text is `arn:PARTITION:s3:::BUCKET/KEY`.
fn is_object(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let (scheme, _, service) = (parts.next(), parts.next(), parts.next());
    let object = parts.nth(2).and_then(|rest| rest.split_once('/'));
    scheme == Some("arn")
        && service == Some("s3")
        && object.is_some_and(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
}

/// Whether a path that begins at the folder ends outside of it.
fn leaves(path: &str) -> bool {
    let mut depth = 0_i32;
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::Prefix(_) => return false,
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => depth -= 1,
        }
        if depth < 0 {
            return true;
        }
    }
    depth == 0
}

/// Names of variables that come from secrets.
fn variables(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    for (position, secret) in container.secrets.iter().enumerate() {
        let name = secret.name.as_str();
        let at = document.value(&of_container(index, &format!("/secrets/{position}/name")));
        if name.is_empty() || name.contains(['=', '\0']) {
            found.push(
                document
                    .error(
                        codes::VARIABLE_NAME,
                        at,
                        format!("`{name}` cannot be the name of an environment variable"),
                    )
                    .help("a name is not empty and holds no `=`"),
            );
            continue;
        }
        let earlier = container.secrets[..position]
            .iter()
            .position(|other| other.name == name)
            .map(|before| format!("/secrets/{before}/name"));
        let plain = container
            .environment
            .iter()
            .position(|variable| variable.name.as_deref() == Some(name))
            .map(|before| format!("/environment/{before}/name"));
        if let Some(before) = earlier.or(plain) {
            found.push(
                document
                    .warning(
                        codes::VARIABLE_TWICE,
                        at,
                        format!("`{name}` is set twice, and this secret wins"),
                    )
                    .related(
                        &document.file,
                        document.value(&of_container(index, &before)),
                        "set here before",
                    )
                    .help("remove one of the two; ECS refuses such a definition"),
            );
        }
    }
}

/// The rules of a cluster's own.
pub fn providers(document: &Document, cluster: &Cluster, found: &mut Vec<Diagnostic>) {
    for (index, provider) in cluster.secret_providers.iter().enumerate() {
        let pointer = format!("/secretProviders/{index}");
        let kind = provider.kind;
        let (needed, allowed): (&[&str], &[&str]) = match kind {
            SecretProviderType::Directory => (&["path"], &[]),
            SecretProviderType::Environment => (&[], &["prefix"]),
            SecretProviderType::Command => (&["command"], &["timeout"]),
            SecretProviderType::Age => (&["identityFile"], &["path"]),
        };
        let written = written(provider);
        for member in needed {
            if !written.contains(member) {
                found.push(
                    document
                        .error(
                            codes::SECRET_PROVIDER,
                            document.value(&pointer),
                            format!("a provider of type `{}` needs `{member}`", kind.as_str()),
                        )
                        .help(format!("add `{member}`")),
                );
            }
        }
        for member in written {
            if !needed.contains(&member) && !allowed.contains(&member) {
                found.push(
                    document
                        .error(
                            codes::SECRET_PROVIDER,
                            document.key(&format!("{pointer}/{member}")),
                            format!(
                                "a provider of type `{}` has no use for `{member}`",
                                kind.as_str()
                            ),
                        )
                        .help("remove it"),
                );
            }
        }
    }
}

/// The members of a provider that say something.
fn written(provider: &SecretProvider) -> Vec<&'static str> {
    let text = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let program = provider.command.first();
    [
        ("path", text(&provider.path)),
        ("prefix", text(&provider.prefix)),
        (
            "command",
            program.is_some_and(|program| !program.is_empty()),
        ),
        ("timeout", provider.timeout.is_some()),
        ("identityFile", text(&provider.identity_file)),
    ]
    .into_iter()
    .filter_map(|(member, says)| says.then_some(member))
    .collect()
}

/// What a cluster has places for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Places {
    secrets: bool,
    files: bool,
}

impl Places {
    /// Those of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        Self {
            secrets: !cluster.secret_providers.is_empty(),
            files: cluster.environment_files.is_some(),
        }
    }
}

/// Reports what `definition` refers to and one of the clusters that it runs in has no place for.
pub fn unresolved(
    document: &Document,
    definition: &TaskDefinition,
    clusters: &[(&ClusterName, Places)],
    found: &mut Vec<Diagnostic>,
) {
    let without = |has: fn(&Places) -> bool| {
        clusters
            .iter()
            .find(|(_, places)| !has(places))
            .map(|(cluster, _)| *cluster)
    };
    let (secrets, files) = (without(|p| p.secrets), without(|p| p.files));
    for (index, container) in definition.container_definitions.iter().enumerate() {
        if let Some(cluster) = secrets {
            for member in secrets_of(container) {
                found.push(
                    document
                        .warning(
                            codes::UNRESOLVED_REFERENCE,
                            document.key(&of_container(index, member)),
                            format!(
                                "cluster `{cluster}` has no provider of secrets, so the task cannot start"
                            ),
                        )
                        .help("add `secretProviders` to the manifest of the cluster (see docs/secrets.md)"),
                );
            }
        }
        let object = container
            .environment_files
            .iter()
            .position(|file| file.kind == EnvironmentFileType::S3);
        if let (Some(cluster), Some(position)) = (files, object) {
            let pointer = of_container(index, &format!("/environmentFiles/{position}/value"));
            found.push(
                document
                    .warning(
                        codes::UNRESOLVED_REFERENCE,
                        document.value(&pointer),
                        format!(
                            "cluster `{cluster}` has no directory for files of S3, so the task cannot start"
                        ),
                    )
                    .help("add `environmentFiles: {path: …}` to the manifest of the cluster, or write `type: file` and a path"),
            );
        }
    }
}

/// The members of a container that name secrets.
fn secrets_of(container: &ContainerDefinition) -> Vec<&'static str> {
    let log = container.log_configuration.as_ref();
    let options = log.is_some_and(|log| {
        !log.secret_options.is_empty()
            && !matches!(log.log_driver, LogDriver::Awslogs | LogDriver::Awsfirelens)
    });
    let credentials = container
        .repository_credentials
        .as_ref()
        .is_some_and(|credentials| !credentials.credentials_parameter.is_empty());
    [
        ("/secrets", !container.secrets.is_empty()),
        ("/logConfiguration/secretOptions", options),
        ("/repositoryCredentials", credentials),
    ]
    .into_iter()
    .filter_map(|(member, named)| named.then_some(member))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::manifest::load::tests::{one, places};

    fn container(members: &str) -> String {
        format!(
            "family: web\ncontainerDefinitions:\n  - name: web\n    image: busybox\n    memory: 64\n    {members}\n"
        )
    }

    fn cluster(name: &str, members: &str) -> String {
        format!(
            "---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: {name}}}\nspec: {{{members}}}\n"
        )
    }

    fn service(cluster: &str) -> String {
        format!(
            "---\napiVersion: longshore/v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{cluster: {cluster}, taskDefinition: web, desiredCount: 1}}\n"
        )
    }

    const SECRET: &str = "secrets: [{name: A, valueFrom: /a}]";
    const ANY: &str = "secretProviders: [{type: environment}]";

    #[test]
    fn every_example_of_the_page_about_secrets_is_sound() {
        let page = include_str!("../../../docs/secrets.md");
        let mut providers = BTreeSet::new();
        for block in page.split("```yaml\n").skip(1) {
            let example = block.split("```").next().unwrap();
            let indented = |by: &str| -> String {
                let lines = example.lines();
                lines.map(|line| format!("{by}{line}\n")).collect()
            };
            let text = if example.starts_with("environmentFiles") {
                let definition = container("").trim_end().to_owned();
                let place = "{environmentFiles: {path: env}}";
                format!(
                    "{definition}\n{}---\napiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: default}}\nspec: {place}\n",
                    indented("    ")
                )
            } else if example.starts_with("apiVersion") {
                example.to_owned()
            } else {
                format!(
                    "apiVersion: longshore/v1\nkind: Cluster\nmetadata: {{name: default}}\nspec:\n{}",
                    indented("  ")
                )
            };
            let loaded = one(&text);
            assert_eq!(loaded.diagnostics, [], "{text}");
            let clusters = loaded.desired.clusters.values();
            providers.extend(clusters.flat_map(|(cluster, _)| {
                let all = cluster.secrets.providers.iter();
                all.map(|provider| {
                    format!("{provider:?}")
                        .split(' ')
                        .next()
                        .unwrap()
                        .to_owned()
                })
            }));
        }
        let all = ["Age", "Command", "Directory", "Environment"].map(str::to_owned);
        assert_eq!(providers, BTreeSet::from(all));
    }

    #[test]
    fn files_of_variables_are_objects_or_stay_in_the_folder_and_end_in_env() {
        let found = |kind: &str, value: &str| {
            let text = container(&format!(
                "environmentFiles: [{{type: {kind}, value: '{value}'}}]"
            ));
            places(&one(&text))
        };
        let good: [String; 0] = [];
        for value in ["a.env", "env/../a.env", "/etc/a.env", "/../a.env"] {
            assert_eq!(found("file", value), good, "{value}");
        }
        for value in ["../a.env", "a/../../b.env", "", ".", "a.txt", "/etc/passwd"] {
            assert_eq!(found("file", value), ["LS0336 6:44"], "{value}");
        }
        for value in [
            "a.env",
            "s3://b/a.env",
            "arn:aws:s3:::b",
            "arn:aws:s3:::b/a.txt",
        ] {
            assert_eq!(found("s3", value), ["LS0336 6:42"], "{value}");
        }
        assert_eq!(found("s3", "arn:aws:s3:::b/dir/a.env"), ["LS0507 6:42"]);
    }

    #[test]
    fn a_variable_is_a_secret_or_plain_and_has_a_name() {
        let text = container(
            "environment: [{name: A, value: x}]\n    secrets:\n      - {name: A, valueFrom: /a}\n      - {name: B, valueFrom: /b}\n      - {name: B, valueFrom: /c}\n      - {name: 'C=', valueFrom: /d}",
        );
        let text = format!("{text}{}", cluster("default", ANY));
        assert_eq!(
            places(&one(&text)),
            ["LS0331 8:16", "LS0331 10:16", "LS0330 11:16"]
        );
    }

    #[test]
    fn a_provider_has_what_its_type_needs_and_nothing_else() {
        let found = |provider: &str| {
            places(&one(&cluster(
                "shop",
                &format!("secretProviders: [{{{provider}}}]"),
            )))
        };
        let good: [String; 0] = [];
        for provider in [
            "type: directory, path: s",
            "type: environment",
            "type: environment, prefix: S_",
            "type: command, command: [pass, show], timeout: 5",
            "type: age, identityFile: key",
            "type: age, identityFile: key, path: s",
        ] {
            assert_eq!(found(provider), good, "{provider}");
        }
        for provider in [
            "type: directory",
            "type: directory, path: ''",
            "type: command",
            "type: command, command: []",
            "type: age, path: s",
        ] {
            assert_eq!(found(provider), ["LS0416 5:26"], "{provider}");
        }
        assert_eq!(
            found("type: environment, path: s, timeout: 5"),
            ["LS0416 5:46", "LS0416 5:55"]
        );
    }

    #[test]
    fn what_the_cluster_of_a_service_has_no_place_for_is_said_where_it_is_written() {
        let found =
            |members: &str, rest: &str| places(&one(&format!("{}{rest}", container(members))));
        let good: [String; 0] = [];
        for (members, place) in [
            (SECRET, "LS0507 6:5"),
            (
                "repositoryCredentials: {credentialsParameter: x}",
                "LS0507 6:5",
            ),
            (
                "logConfiguration: {logDriver: splunk, secretOptions: [{name: a, valueFrom: b}]}",
                "LS0507 6:43",
            ),
        ] {
            assert_eq!(found(members, ""), [place], "no cluster has any");
            assert_eq!(found(members, &cluster("default", ANY)), good);
            assert_eq!(
                found(members, &cluster("shop", ANY)),
                good,
                "it may run there"
            );
            let there = format!("{}{}", cluster("shop", ANY), service("shop"));
            assert_eq!(found(members, &there), good);
            let elsewhere = format!("{}{}", cluster("shop", ANY), service("default"));
            assert_eq!(found(members, &elsewhere), [place]);
        }
        let file = "environmentFiles: [{type: s3, value: 'arn:aws:s3:::b/a.env'}]";
        let place = cluster("default", "environmentFiles: {path: env}");
        assert_eq!(found(file, &place), good);
        assert_eq!(found(file, &cluster("default", ANY)), ["LS0507 6:42"]);
        let awslogs =
            "logConfiguration: {logDriver: awslogs, secretOptions: [{name: a, valueFrom: b}]}";
        assert_eq!(found(awslogs, ""), ["LS0505 6:35"], "nothing is looked for");
    }
}
