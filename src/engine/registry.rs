//! What a registry's refusal asks of whoever pulls: how long to wait, and what to do about it. Pure.

use std::time::Duration;

use super::ErrorKind;
use super::reference::{DOCKER_HUB, Reference};

/// The longest wait that a registry is granted; one that asks for more is asked again all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// How long a registry that limits us asks to be left alone, where its words say so. An engine hands on the text of such an
/// answer and not its `Retry-After` header, and registries write the delay into the text as well: as a number of seconds
/// (`Retry-After: 30`), with a unit (`try again in 30 seconds`) or as Go prints durations (`retry-after: 1m30s`).
pub fn asked_to_wait(message: &str) -> Option<Duration> {
    let text = message.to_ascii_lowercase();
    let after = ["retry-after", "retry after", "try again in", "retry in"]
        .iter()
        .find_map(|words| text.split_once(words).map(|(_, rest)| rest))?;
    let after = after.trim_start_matches([':', '=', '"', ' ']);
    duration(after).map(|wait| wait.min(LONGEST_WAIT))
}

/// The duration at the start of a text: numbers with units, added up; a number without a unit counts seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: Option<f64> = None;
    loop {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else {
            break;
        };
        let behind = rest[digits..].trim_start_matches(' ');
        let letters = behind
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(behind.len());
        let unit = match &behind[..letters] {
            "ns" | "nanoseconds" => 1e-9,
            "us" | "µs" | "μs" | "microseconds" => 1e-6,
            "ms" | "milliseconds" => 1e-3,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hour" | "hours" => 3600.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            // No unit, and whatever follows is no part of it.
            _ => {
                seconds = Some(seconds.unwrap_or_default() + number);
                break;
            }
        };
        seconds = Some(seconds.unwrap_or_default() + number * unit);
        rest = &behind[letters..];
    }
    Duration::try_from_secs_f64(seconds?).ok()
}

/// What to do about a pull of `image` that failed like this; `None` where the failure says it all.
pub fn advice(kind: ErrorKind, image: &str) -> Option<String> {
    let registry = Reference::parse(image)
        .map_or_else(|_| DOCKER_HUB.to_owned(), |reference| reference.domain);
    let login = match registry.as_str() {
        DOCKER_HUB => "docker login".to_owned(),
        other => format!("docker login {other}"),
    };
    Some(match kind {
        ErrorKind::Unauthorized => format!(
            "{registry} wants other credentials, or has no such repository: check the image's name, and run `{login}` as the \
             user that longshore runs as"
        ),
        ErrorKind::ImageNotFound => {
            format!("check the image's name and tag, and that it was pushed to {registry}")
        }
        ErrorKind::RateLimited => format!(
            "wait, or run `{login}` where an account has a higher limit; `imagePullBehavior: prefer-cached` in the Cluster \
             manifest asks a registry only for what is missing"
        ),
        ErrorKind::RegistryUnavailable => format!(
            "the engine must reach {registry}: check its host's network, name resolution, proxy and certificates"
        ),
        ErrorKind::NoPlatform => {
            "build the image for that architecture, or have `runtimePlatform` ask for one that it has".to_owned()
        }
        ErrorKind::Exhausted => {
            "make room where the engine keeps its data; `docker system df` shows what takes it".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_that_a_registry_asks_for_is_read_from_its_words() {
        let millis = |text: &str| asked_to_wait(text).map(|wait| wait.as_millis());
        for (text, expected) in [
            (
                "toomanyrequests: retry-after: 30s, allowed: 44000/minute",
                Some(30_000),
            ),
            (
                "toomanyrequests: retry-after: 44.5ms, allowed: 44000/minute",
                Some(44),
            ),
            ("toomanyrequests: Retry-After: 1m30s", Some(90_000)),
            ("429 Too Many Requests (Retry-After: 120)", Some(120_000)),
            (
                "rate exceeded, please try again in 5 minutes.",
                Some(300_000),
            ),
            ("rate exceeded, retry after 7 seconds", Some(7_000)),
            ("retry-after: 2 more", Some(2_000)),
            ("retry-after: 9999999", Some(3_600_000)),
            (
                "toomanyrequests: You have reached your pull rate limit.",
                None,
            ),
            ("retry-after: soon", None),
            ("retry-after: 99999999999999999999999999999s", None),
            ("", None),
        ] {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn advice_names_the_registry_and_the_command() {
        let hub = advice(ErrorKind::Unauthorized, "me/app:1").unwrap();
        assert!(
            hub.contains("docker.io") && hub.contains("`docker login`"),
            "{hub}"
        );
        let own = advice(ErrorKind::Unauthorized, "r.example:5000/app").unwrap();
        assert!(own.contains("`docker login r.example:5000`"), "{own}");
        for kind in [
            ErrorKind::ImageNotFound,
            ErrorKind::RateLimited,
            ErrorKind::RegistryUnavailable,
            ErrorKind::NoPlatform,
            ErrorKind::Exhausted,
        ] {
            assert!(advice(kind, "app").is_some(), "{kind:?}");
        }
        assert_eq!(advice(ErrorKind::Unknown, "app"), None);
    }
}
