//! Values that ECS or the engine would refuse: users, security options, capabilities, kernel parameters, limits, swap.

use super::{Task, of_container};
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::{Reporting, nearest};
use crate::manifest::types::{
    ContainerDefinition, IpcMode, LinuxParameters, NetworkMode, ResourceType, TaskDefinition,
};

/// Linux's capabilities, as ECS writes them.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// Kernel parameters of the IPC namespace.
const IPC_PARAMETERS: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// A GPU is given whole: a number of them, or all that the instance has.
fn gpus(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    for (position, requirement) in container.resource_requirements.iter().enumerate() {
        let shared = requirement.sharing_strategy.is_some();
        if requirement.kind != ResourceType::Gpu || shared {
            continue;
        }
        let value = requirement.value.as_deref().unwrap_or_default();
        if value != "ALL" && !value.parse::<u32>().is_ok_and(|count| count > 0) {
            let pointer = of_container(index, &format!("/resourceRequirements/{position}/value"));
            found.push(
                document
                    .error(
                        codes::AMOUNT,
                        document.value(&pointer),
                        format!("`{value}` is no number of GPUs"),
                    )
                    .help("write a number from 1 in quotes (\"1\"), or \"ALL\""),
            );
        }
    }
}

pub(super) fn check(task: &Task<'_>, found: &mut Vec<Diagnostic>) {
    let Task {
        document,
        definition,
    } = task;
    for (index, container) in definition.container_definitions.iter().enumerate() {
        gpus(document, index, container, found);
        if let Some(user) = container.user.as_deref().filter(|user| !user.is_empty()) {
            let mut parts = user.split(':');
            let good = parts.clone().count() <= 2
                && parts.all(|part| !part.is_empty() && !part.contains(char::is_whitespace));
            if !good {
                found.push(
                    document
                        .error(
                            codes::USER_FORM,
                            document.value(&of_container(index, "/user")),
                            format!("`{user}` is no user"),
                        )
                        .help("write `user`, `user:group`, `uid`, `uid:gid`, `user:gid` or `uid:group`"),
                );
            }
        }
        security_options(document, index, container, found);
        for (position, limit) in container.ulimits.iter().enumerate() {
            let beyond = limit.hard_limit != -1
                && (limit.soft_limit == -1 || limit.soft_limit > limit.hard_limit);
            if beyond {
                let pointer = of_container(index, &format!("/ulimits/{position}"));
                found.push(
                    document
                        .error(
                            codes::LIMITS_REVERSED,
                            document.value(&format!("{pointer}/softLimit")),
                            format!(
                                "the soft limit of `{}` is above the hard one, {}",
                                limit.name.as_str(),
                                limit.hard_limit
                            ),
                        )
                        .related(
                            &document.file,
                            document.value(&format!("{pointer}/hardLimit")),
                            "the hard limit",
                        )
                        .help("lower it, or raise `hardLimit`"),
                );
            }
        }
        system_controls(document, definition, index, container, found);
        if let Some(linux) = &container.linux_parameters {
            linux_parameters(document, definition, index, container, linux, found);
        }
    }
}

fn security_options(
    document: &Document,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    for (position, option) in container.docker_security_options.iter().enumerate() {
        let span = document.value(&of_container(
            index,
            &format!("/dockerSecurityOptions/{position}"),
        ));
        let (name, value) = option
            .split_once([':', '='])
            .map_or((option.as_str(), None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("no-new-privileges", None | Some("true" | "false")) => {}
            ("apparmor" | "label", Some(value)) if !value.is_empty() => {}
            ("credentialspec", _) => found.push(
                document
                    .error(
                        codes::NOT_SUPPORTED,
                        span,
                        "credential specifications belong to Windows containers",
                    )
                    .help("remove it"),
            ),
            _ => found.push(
                document
                    .error(
                        codes::SECURITY_OPTION,
                        span,
                        format!("ECS knows no security option `{option}`"),
                    )
                    .help("write `no-new-privileges`, `apparmor:PROFILE` or `label:VALUE`"),
            ),
        }
    }
}

fn system_controls(
    document: &Document,
    definition: &TaskDefinition,
    index: usize,
    container: &ContainerDefinition,
    found: &mut Vec<Diagnostic>,
) {
    for (position, control) in container.system_controls.iter().enumerate() {
        let pointer = of_container(index, &format!("/systemControls/{position}"));
        for (member, value) in [("namespace", &control.namespace), ("value", &control.value)] {
            if value.is_none() {
                found.push(document.error(
                    codes::MISSING_FIELD,
                    document.value(&pointer),
                    format!("`{member}` is missing"),
                ));
            }
        }
        let Some(name) = control.namespace.as_deref() else {
            continue;
        };
        let span = document.value(&format!("{pointer}/namespace"));
        let is_net = name.starts_with("net.") && name.len() > 4;
        let is_ipc = IPC_PARAMETERS.contains(&name) || name.starts_with("fs.mqueue.");
        if !is_net && !is_ipc {
            let near = nearest(name, IPC_PARAMETERS)
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_default();
            found.push(
                document
                    .error(
                        codes::KERNEL_PARAMETER,
                        span,
                        format!("`{name}` belongs to no namespace of a container"),
                    )
                    .help(near)
                    .help("write `net.…`, `fs.mqueue.…` or one of the IPC parameters `kernel.msg…`, `kernel.sem`, `kernel.shm…`"),
            );
        }
        let host = (is_ipc && definition.ipc_mode == Some(IpcMode::Host))
            .then_some("ipcMode")
            .or(
                (is_net && definition.network_mode == Some(NetworkMode::Host))
                    .then_some("networkMode"),
            );
        if let Some(member) = host {
            found.push(
                document
                    .error(
                        codes::HOST_IPC_SYSCTL,
                        span,
                        format!("with `{member}: host`, `{name}` is the host's own"),
                    )
                    .related(
                        &document.file,
                        document.value(&format!("/{member}")),
                        "the host's namespace",
                    )
                    .help(format!(
                        "remove it and set it on the host, or remove `{member}: host`"
                    )),
            );
        }
    }
}

fn linux_parameters(
    document: &Document,
    definition: &TaskDefinition,
    index: usize,
    container: &ContainerDefinition,
    linux: &LinuxParameters,
    found: &mut Vec<Diagnostic>,
) {
    let at = |member: &str| of_container(index, &format!("/linuxParameters/{member}"));
    if let Some(capabilities) = &linux.capabilities {
        for (list, names) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
            for (position, name) in names.iter().enumerate() {
                if CAPABILITIES.contains(&name.as_str()) {
                    continue;
                }
                let plain = name.to_uppercase();
                let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
                let help = nearest(plain, CAPABILITIES).map_or_else(
                    || "names are those of capabilities(7), without `CAP_`".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                found.push(
                    document
                        .error(
                            codes::UNKNOWN_CAPABILITY,
                            document.value(&at(&format!("capabilities/{list}/{position}"))),
                            format!("there is no capability `{name}`"),
                        )
                        .help(help),
                );
            }
        }
    }
    for (position, device) in linux.devices.iter().enumerate() {
        let paths = [
            ("hostPath", Some(device.host_path.as_str())),
            ("containerPath", device.container_path.as_deref()),
        ];
        for (member, path) in paths {
            if path.is_some_and(|path| !path.starts_with('/')) {
                found.push(
                    document
                        .error(
                            codes::RELATIVE_PATH,
                            document.value(&at(&format!("devices/{position}/{member}"))),
                            format!("`{}` is no absolute path", path.unwrap_or_default()),
                        )
                        .help("begin it with `/`"),
                );
            }
        }
    }
    for (position, tmpfs) in linux.tmpfs.iter().enumerate() {
        if tmpfs.size == 0 {
            found.push(document.error(
                codes::OUT_OF_BOUNDS,
                document.value(&at(&format!("tmpfs/{position}/size"))),
                "`size` is at least 1, and this is 0",
            ));
        }
    }
    let no_limit = container.memory.is_none() && definition.memory.is_none();
    if linux.max_swap.is_some() && no_limit {
        found.push(
            document
                .error(
                    codes::SWAP_WITHOUT_MEMORY,
                    document.key(&at("maxSwap")),
                    "swap is counted on top of `memory`, and the container has none",
                )
                .help("add `memory` to the container"),
        );
    }
    if linux.swappiness.is_some() && linux.max_swap.is_none() {
        found.push(
            document
                .warning(
                    codes::NO_EFFECT,
                    document.key(&at("swappiness")),
                    "`swappiness` has no effect without `maxSwap`",
                )
                .help("add `maxSwap`, or remove it"),
        );
    }
}
