//! Log routers: `firelensConfiguration` and the driver `awsfirelens`.

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::report::Reporting;
use crate::manifest::types::{ContainerDefinition, FirelensConfiguration, FirelensType, LogDriver};

/// Options of `awsfirelens` that are not the output's.
const OWN: [&str; 3] = [
    "include-pattern",
    "exclude-pattern",
    "log-driver-buffer-limit",
];

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let containers = &task.definition.container_definitions;
    let routers: Vec<usize> = containers
        .iter()
        .enumerate()
        .filter(|(_, container)| container.firelens_configuration.is_some())
        .map(|(index, _)| index)
        .collect();
    if let [first, second, ..] = routers.as_slice() {
        let at = |index: usize| {
            task.document
                .key(&of_container(index, "/firelensConfiguration"))
        };
        found.push(
            task.document
                .error(codes::LOG_ROUTER, at(*second), "a task has one log router")
                .related(&task.document.file, at(*first), "the first one")
                .help("remove one of the two"),
        );
    }
    let router = routers.first().copied();
    if let Some(index) = router
        && let Some(configuration) = &containers[index].firelens_configuration
    {
        options(task, index, configuration, found);
    }
    for (index, container) in containers.iter().enumerate() {
        if logs_to_router(container) {
            user(task, index, container, router, found);
        }
    }
}

fn logs_to_router(container: &ContainerDefinition) -> bool {
    let log = container.log_configuration.as_ref();
    log.is_some_and(|log| log.log_driver == LogDriver::Awsfirelens)
}

fn options(
    task: &Task<'_>,
    index: usize,
    configuration: &FirelensConfiguration,
    found: &mut Vec<Diagnostic>,
) {
    let at = |name: &str| of_container(index, &format!("/firelensConfiguration/options/{name}"));
    let option = |name: &str| configuration.options.get(name).map(String::as_str);
    match option("config-file-type") {
        Some("s3") => found.push(
            task.document
                .error(
                    codes::LOG_ROUTER,
                    task.document.value(&at("config-file-type")),
                    "there is no S3 here to take the router's configuration from",
                )
                .help(
                    "put the file into the image, and write `config-file-type: file` with its path",
                ),
        ),
        Some("file") if option("config-file-value").is_none_or(str::is_empty) => found.push(
            task.document
                .error(
                    codes::LOG_ROUTER,
                    task.document.value(&at("config-file-type")),
                    "`config-file-value` is missing",
                )
                .help("add `config-file-value`: the path of the file in the router's image"),
        ),
        Some("file") | None => {}
        Some(other) => found.push(
            task.document
                .error(
                    codes::LOG_ROUTER,
                    task.document.value(&at("config-file-type")),
                    format!("`config-file-type` cannot be `{other}`"),
                )
                .help("write `file`"),
        ),
    }
    if let Some(switch) =
        option("enable-ecs-log-metadata").filter(|s| !["true", "false"].contains(s))
    {
        found.push(
            task.document
                .error(
                    codes::LOG_ROUTER,
                    task.document.value(&at("enable-ecs-log-metadata")),
                    format!("`enable-ecs-log-metadata` cannot be `{switch}`"),
                )
                .help("write \"true\" or \"false\""),
        );
    }
}

fn user(
    task: &Task<'_>,
    index: usize,
    container: &ContainerDefinition,
    router: Option<usize>,
    found: &mut Vec<Diagnostic>,
) {
    let document = task.document;
    let driver = document.value(&of_container(index, "/logConfiguration/logDriver"));
    let Some(router) = router else {
        found.push(
            document
                .error(codes::LOG_ROUTER, driver, "the task has no log router to log to")
                .help("add a container with `firelensConfiguration: {type: fluentbit}`, or write another driver"),
        );
        return;
    };
    if router == index {
        found.push(
            document
                .error(
                    codes::LOG_ROUTER,
                    driver,
                    "the log router cannot log to itself",
                )
                .help("write another driver for the router's own output"),
        );
        return;
    }
    let Some(log) = &container.log_configuration else {
        return;
    };
    let fluentd = task.definition.container_definitions[router]
        .firelens_configuration
        .as_ref()
        .is_some_and(|configuration| configuration.kind == FirelensType::Fluentd);
    let plugin = if fluentd { "@type" } else { "Name" };
    let has_output = log.options.keys().any(|name| !OWN.contains(&name.as_str()));
    if has_output && !log.options.contains_key(plugin) {
        found.push(
            document
                .error(
                    codes::LOG_ROUTER,
                    document.value(&of_container(index, "/logConfiguration/options")),
                    format!("the output has no `{plugin}`, which says what it is"),
                )
                .help(format!("add `{plugin}`: the router's output plugin")),
        );
    }
    if !log.secret_options.is_empty() {
        found.push(
            document
                .error(
                    codes::LOG_ROUTER,
                    document.key(&of_container(index, "/logConfiguration/secretOptions")),
                    "secrets cannot be put into a router's configuration yet",
                )
                .help("give the router the secret under `secrets`, and name the variable under `options`"),
        );
    }
}
