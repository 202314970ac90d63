//! Docker's failures in Longshore's kinds: the only place that reads an engine's words.
//!
//! Status codes say little (a start that found its port taken is a 500, a pull that was denied a 404, and a pull's failure
//! may come inside a 200), so the text decides where it is known. What is not known stays [`ErrorKind::Unknown`]: it may
//! have been applied, and whoever called looks again.

use std::error::Error as StdError;
use std::io;

use bollard::errors::Error as BollardError;

use super::dial::DialError;
use crate::engine::{EngineError, ErrorKind};

/// What was asked of an engine: decides how its words are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To create something with a name.
    Create,
    /// To start a container.
    Start,
    /// To pull an image.
    Pull,
    /// Anything else.
    Other,
}

/// The longest message that is kept, in bytes.
const LONGEST_MESSAGE: usize = 2000;

/// The failure of `operation` on `target`, from bollard's error.
pub(super) fn engine_error(
    asked: Asked,
    operation: &'static str,
    target: &str,
    error: &BollardError,
) -> EngineError {
    let (kind, message) = match error {
        BollardError::DockerResponseServerError {
            status_code,
            message,
        } => {
            let message = if message.trim().is_empty() {
                format!("the engine answered {status_code}")
            } else {
                message.clone()
            };
            (classify(asked, *status_code, &message), message)
        }
        BollardError::DockerStreamError { error } => (classify(asked, 500, error), error.clone()),
        BollardError::URLParseError { .. }
        | BollardError::InvalidURIError { .. }
        | BollardError::HttpClientError { .. }
        | BollardError::URLEncodedError { .. } => (
            ErrorKind::Invalid,
            format!("this cannot be asked of an engine: {error}"),
        ),
        BollardError::JsonDataError { .. } | BollardError::JsonSerdeError { .. } => (
            ErrorKind::Unknown,
            format!("the engine's answer is not understood: {error}"),
        ),
        _ => match dial_error(error) {
            Some(dial) => (dial.kind, dial.message.clone()),
            None => (
                ErrorKind::Unknown,
                format!("the engine's answer was cut: {}", chain(error)),
            ),
        },
    };
    EngineError::new(operation, target, kind, one_line(&explain(message)))
}

/// What an engine says of something that it was never set up for does not say what is missing.
fn explain(message: String) -> String {
    if message.contains("could not select device driver") && message.contains("gpu") {
        return format!(
            "this engine has no driver for GPUs: install the NVIDIA Container Toolkit on its host and restart it \
             (the engine: {message})"
        );
    }
    message
}

/// The failure that a call took longer than its limit.
pub(super) fn timed_out(
    operation: &'static str,
    target: &str,
    limit: std::time::Duration,
) -> EngineError {
    EngineError::new(
        operation,
        target,
        ErrorKind::TimedOut,
        format!("the engine did not finish within {} s", limit.as_secs()),
    )
}

/// The failure of a pull that did not go on, or not to its end, within its limit. The engine drops it with the connection.
pub(super) fn pull_stalled(target: &str, what: &str, limit: std::time::Duration) -> EngineError {
    EngineError::new(
        "pull image",
        target,
        ErrorKind::RegistryUnavailable,
        format!("{what} within {} s", limit.as_secs()),
    )
}

/// Whether the engine refused the API version, which happens once it was upgraded under us. Nothing was applied.
pub(super) fn is_version_refused(error: &EngineError) -> bool {
    error.kind == ErrorKind::Unsupported && error.message.contains("client version")
}

/// The kind of an answer of `status` with that text.
pub(super) fn classify(asked: Asked, status: u16, message: &str) -> ErrorKind {
    let text = message.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));

    if has(&[
        "no space left on device",
        "disk quota exceeded",
        "address pool",
        "pools have been fully subnetted",
        "no available ipv4 addresses",
        "no available network",
        "cannot allocate memory",
        "resource temporarily unavailable",
        "too many open files",
    ]) {
        return ErrorKind::Exhausted;
    }
    if asked == Asked::Pull {
        return classify_pull(status, &text);
    }
    if has(&[
        "port is already allocated",
        "address already in use",
        "ports are not available",
    ]) {
        return ErrorKind::PortInUse;
    }
    if has(&["cannot join network of a non running container"]) {
        return ErrorKind::Conflict;
    }
    if has(&["could not select device driver"]) {
        return ErrorKind::Unsupported;
    }
    match status {
        400 if has(&["client version"]) && has(&["too old", "too new"]) => ErrorKind::Unsupported,
        400 | 406 | 413 | 422 => ErrorKind::Invalid,
        401 => ErrorKind::Unauthorized,
        403 if has(&["active endpoints"]) => ErrorKind::Conflict,
        403 if has(&["authorization denied", "permission"]) => ErrorKind::PermissionDenied,
        403 => ErrorKind::Invalid,
        404 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        409 if asked == Asked::Create
            && has(&["is already in use by container", "already exists"])
            && !has(&["a volume named"]) =>
        {
            ErrorKind::NameConflict
        }
        409 => ErrorKind::Conflict,
        // The runtime looked at what the container is to run and refused it; no retry changes that.
        _ if matches!(asked, Asked::Create | Asked::Start)
            && has(&[
                "oci runtime",
                "failed to create shim",
                "unable to find user",
                "unable to find group",
                "no matching entries in passwd file",
                "error mounting",
                "error while creating mount source path",
                "conflicting options",
            ]) =>
        {
            ErrorKind::Invalid
        }
        _ => ErrorKind::Unknown,
    }
}

fn classify_pull(status: u16, text: &str) -> ErrorKind {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&[
        "toomanyrequests",
        "too many requests",
        "rate limit",
        "rate exceeded",
    ]) {
        ErrorKind::RateLimited
    } else if has(&[
        "no matching manifest",
        "does not match the specified platform",
        "cannot be used on this platform",
    ]) {
        ErrorKind::NoPlatform
    } else if has(&[
        "manifest unknown",
        "name unknown",
        "manifest for",
        "not found: manifest",
        "repository name not known",
    ]) {
        ErrorKind::ImageNotFound
    } else if has(&[
        "unauthorized",
        "authentication required",
        "no basic auth credentials",
        "incorrect username or password",
        "403 forbidden",
        "access denied",
        "denied:",
        ": denied",
        "is denied",
    ]) {
        ErrorKind::Unauthorized
    } else if has(&["invalid reference format", "invalid repository name"]) {
        ErrorKind::Invalid
    } else if has(&[
        "dial tcp",
        "no such host",
        "server misbehaving",
        "i/o timeout",
        "tls handshake",
        "connection refused",
        "connection reset",
        "network is unreachable",
        "no route to host",
        "unexpected eof",
        "deadline exceeded",
        "client.timeout",
        "x509",
        "received unexpected http status",
        "bad gateway",
        "service unavailable",
        "http response to https client",
        "request canceled",
    ]) {
        ErrorKind::RegistryUnavailable
    } else {
        match status {
            400 => ErrorKind::Invalid,
            401 | 403 => ErrorKind::Unauthorized,
            404 => ErrorKind::ImageNotFound,
            _ => ErrorKind::Unknown,
        }
    }
}

/// Looks for our own dialing error, however deep it lies.
pub(super) fn dial_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a DialError> {
    let mut at = Some(error);
    while let Some(error) = at {
        let io = match error.downcast_ref::<BollardError>() {
            Some(BollardError::IOError { err }) => Some(err),
            _ => error.downcast_ref::<io::Error>(),
        };
        if let Some(found) = io
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<DialError>())
        {
            return Some(found);
        }
        at = error.source();
        if let Some(BollardError::HyperResponseError { err }) = error.downcast_ref() {
            at = Some(err);
        }
    }
    None
}

/// An error and what caused it, without what its text says already.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(cause) = at {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        at = cause.source();
    }
    text
}

/// One line, cut where it grows too long.
fn one_line(message: &str) -> String {
    let mut line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST_MESSAGE {
        let mut end = LONGEST_MESSAGE;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(asked: Asked, status_code: u16, message: &str) -> ErrorKind {
        engine_error(
            asked,
            "test",
            "x",
            &BollardError::DockerResponseServerError {
                status_code,
                message: message.to_owned(),
            },
        )
        .kind
    }

    #[test]
    fn a_taken_name_is_told_from_other_conflicts() {
        let container = "Conflict. The container name \"/a\" is already in use by container \"1f\". You have to remove (or \
                         rename) that container to be able to reuse that name.";
        assert_eq!(
            served(Asked::Create, 409, container),
            ErrorKind::NameConflict
        );
        assert_eq!(
            served(Asked::Create, 409, "network with name n already exists"),
            ErrorKind::NameConflict
        );
        assert_eq!(
            served(
                Asked::Create,
                409,
                "A volume named v already exists with the local driver."
            ),
            ErrorKind::Conflict
        );
        assert_eq!(
            served(Asked::Other, 409, "remove v: volume is in use - [1f]"),
            ErrorKind::Conflict
        );
        assert_eq!(
            served(Asked::Other, 409, "Container 1f is not running"),
            ErrorKind::Conflict
        );
        assert_eq!(
            served(
                Asked::Other,
                403,
                "error while removing network: network n id 1 has active endpoints"
            ),
            ErrorKind::Conflict
        );
    }

    #[test]
    fn a_start_that_found_its_port_taken_says_so_although_it_is_a_500() {
        let words = "driver failed programming external connectivity on endpoint a (1f): Bind for 0.0.0.0:80 failed: port is \
                     already allocated";
        assert_eq!(served(Asked::Start, 500, words), ErrorKind::PortInUse);
        let words = "driver failed programming external connectivity on endpoint a (1f): Error starting userland proxy: listen \
                     tcp4 0.0.0.0:80: bind: address already in use";
        assert_eq!(served(Asked::Start, 500, words), ErrorKind::PortInUse);
    }

    #[test]
    fn an_engine_without_room_is_exhausted_whatever_was_asked() {
        for words in [
            "write /x: no space left on device",
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
            "all predefined address pools have been fully subnetted",
        ] {
            for asked in [Asked::Create, Asked::Start, Asked::Pull] {
                assert_eq!(served(asked, 500, words), ErrorKind::Exhausted, "{words}");
            }
        }
    }

    #[test]
    fn a_failed_pull_is_classified_by_the_registrys_words_also_inside_a_stream() {
        for (words, kind) in [
            (
                "toomanyrequests: You have reached your pull rate limit.",
                ErrorKind::RateLimited,
            ),
            (
                "manifest for busybox:nope not found: manifest unknown: manifest unknown",
                ErrorKind::ImageNotFound,
            ),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                ErrorKind::NoPlatform,
            ),
            (
                "pull access denied for x, repository does not exist or may require 'docker login': denied",
                ErrorKind::Unauthorized,
            ),
            (
                "Head \"https://r/v2/x/manifests/1\": no basic auth credentials",
                ErrorKind::Unauthorized,
            ),
            (
                "error parsing HTTP 403 response body: denied: requested access to the resource is denied",
                ErrorKind::Unauthorized,
            ),
            (
                "failed to register layer: open /var/lib/docker/tmp/x: permission denied",
                ErrorKind::Unknown,
            ),
            (
                "received unexpected HTTP status: 429 Too Many Requests",
                ErrorKind::RateLimited,
            ),
            (
                "image operating system \"windows\" cannot be used on this platform",
                ErrorKind::NoPlatform,
            ),
            (
                "failed to register layer: write /bin/x: no space left on device",
                ErrorKind::Exhausted,
            ),
            (
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
                ErrorKind::RegistryUnavailable,
            ),
            (
                "Get \"https://r/v2/\": x509: certificate signed by unknown authority",
                ErrorKind::RegistryUnavailable,
            ),
            ("something new", ErrorKind::Unknown),
        ] {
            let streamed = engine_error(
                Asked::Pull,
                "pull image",
                "x",
                &BollardError::DockerStreamError {
                    error: words.to_owned(),
                },
            );
            assert_eq!(streamed.kind, kind, "{words}");
            assert_eq!(served(Asked::Pull, 500, words), kind, "{words}");
        }
        assert_eq!(served(Asked::Pull, 404, "gone"), ErrorKind::ImageNotFound);
        assert_eq!(
            served(Asked::Other, 404, "No such image: x"),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn what_the_runtime_refuses_is_invalid_and_any_other_500_may_have_been_applied() {
        let words = "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/nope\": \
                     stat /nope: no such file or directory: unknown";
        assert_eq!(served(Asked::Start, 500, words), ErrorKind::Invalid);
        assert_eq!(
            served(
                Asked::Start,
                500,
                "unable to find user nope: no matching entries in passwd file"
            ),
            ErrorKind::Invalid
        );
        assert!(served(Asked::Start, 500, "context canceled").may_have_been_applied());
        assert!(served(Asked::Other, 502, "").may_have_been_applied());
    }

    #[test]
    fn a_refused_api_version_is_known_as_that() {
        let error = engine_error(
            Asked::Other,
            "inspect container",
            "x",
            &BollardError::DockerResponseServerError {
                status_code: 400,
                message: "client version 1.41 is too old. Minimum supported API version is 1.44"
                    .into(),
            },
        );
        assert!(is_version_refused(&error));
    }

    #[test]
    fn a_connection_that_was_never_made_is_not_mistaken_for_a_cut_one() {
        let dial = DialError {
            kind: ErrorKind::PermissionDenied,
            message: "no permission".into(),
        };
        let error = BollardError::IOError {
            err: io::Error::other(dial),
        };
        let error = engine_error(Asked::Other, "test", "x", &error);
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        assert_eq!(error.to_string(), "test x: no permission");

        let cut = BollardError::IOError {
            err: io::Error::new(io::ErrorKind::ConnectionReset, "reset"),
        };
        let error = engine_error(Asked::Other, "test", "x", &cut);
        assert_eq!(error.kind, ErrorKind::Unknown);
        assert!(error.message.contains("was cut"), "{}", error.message);
    }

    #[test]
    fn a_message_is_one_line_and_bounded() {
        assert_eq!(one_line("a\n  b\tc "), "a b c");
        assert!(one_line(&"ä".repeat(5000)).len() <= LONGEST_MESSAGE + '…'.len_utf8());
    }
}
