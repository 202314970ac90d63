//! What is asserted of whatever an engine sends, for the fuzz targets.

use std::io;

use bollard::{errors::Error, models};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::client::What;
use super::errors::{Asked, engine_error};
use super::observe;
use super::pull::PullMeter;
use super::streams::{self, Framing};
use super::version::{NEWEST, OLDEST, agree};
use crate::engine::{EngineEvent, ErrorKind, OutputStream};

fn bytes(
    pieces: &[&[u8]],
) -> impl futures_util::Stream<Item = Result<Bytes, io::Error>> + Send + 'static {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    stream::iter(pieces)
}

/// What was written to standard output and standard error, and the error at the end.
fn read(pieces: &[&[u8]], framing: Framing) -> (Vec<u8>, Vec<u8>, Option<String>) {
    let all = streams::output(What::new("read logs of", "x"), bytes(pieces), framing)
        .collect::<Vec<_>>()
        .now_or_never()
        .expect("everything is there");
    let (mut out, mut err, mut failed) = (Vec::new(), Vec::new(), None);
    for item in all {
        assert!(failed.is_none(), "an error is the last word");
        match item {
            Ok(chunk) => match chunk.stream {
                OutputStream::Stderr => err.extend_from_slice(&chunk.bytes),
                OutputStream::Stdout => out.extend_from_slice(&chunk.bytes),
            },
            Err(error) => failed = Some(error.message),
        }
    }
    (out, err, failed)
}

/// Output is the same however its bytes were cut, and there is no more of it than bytes.
pub fn output(data: &[u8]) {
    let (whole, pieces) = crate::fuzzing::pieces(data);
    for framing in [Framing::Raw, Framing::Multiplexed] {
        let at_once = read(&[whole], framing);
        assert!(at_once.0.len() + at_once.1.len() <= whole.len());
        assert_eq!(read(&pieces, framing), at_once);
    }
}

/// Events are the same however their lines were cut.
pub fn events(data: &[u8]) {
    let (whole, pieces) = crate::fuzzing::pieces(data);
    let read = |pieces: &[&[u8]]| -> Vec<Result<EngineEvent, String>> {
        let all = streams::events("x", bytes(pieces)).collect::<Vec<_>>();
        let all = all.now_or_never().expect("everything is there");
        all.into_iter()
            .map(|event| event.map_err(|error| error.message))
            .collect()
    };
    let at_once = read(&[whole]);
    assert!(at_once.len() <= whole.split(|byte| *byte == b'\n').count() + 1);
    assert_eq!(read(&pieces), at_once);
}

/// The first line says which answer the rest is.
pub fn answers(data: &[u8]) {
    let Some(text) = crate::fuzzing::text(data) else {
        return;
    };
    let (which, rest) = crate::fuzzing::first_line(text);
    match which {
        "container" => {
            if let Ok(answer) = serde_json::from_str(rest) {
                let seen = observe::container(answer);
                assert!(!seen.name.starts_with('/'));
                assert!(seen.health_output.is_none_or(|said| said.len() <= 512));
                assert!(seen.ports.is_sorted());
            }
        }
        "image" => drop(serde_json::from_str(rest).map(observe::image)),
        "images" => drop(serde_json::from_str(rest).map(observe::listed_image)),
        "network" => drop(serde_json::from_str(rest).map(observe::network)),
        "volume" => drop(serde_json::from_str(rest).map(observe::volume)),
        "info" => {
            if let Ok(answer) = serde_json::from_str(rest) {
                let version = models::SystemVersion::default();
                let range = (String::new(), String::new());
                observe::info(answer, &version, String::new(), range);
            }
        }
        "version" => {
            let (newest, oldest) = crate::fuzzing::first_line(rest);
            match agree(newest, oldest) {
                Ok(agreed) => assert!((OLDEST..=NEWEST).contains(&agreed.version)),
                Err(why) => assert!(!why.is_empty()),
            }
        }
        "pull" => pull(rest),
        "failure" => failure(rest),
        _ => {}
    }
}

/// However far a pull is, no more has arrived than there is.
fn pull(text: &str) {
    let mut meter = PullMeter::default();
    for line in text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
    {
        let progress = meter.take(&line);
        assert!(progress.current <= progress.total);
    }
}

/// A failure is one line of bounded length, whatever the engine wrote.
fn failure(text: &str) {
    let (status, message) = crate::fuzzing::first_line(text);
    let Ok(status) = status.parse() else { return };
    for asked in [Asked::Create, Asked::Start, Asked::Pull, Asked::Other] {
        let said = Error::DockerResponseServerError {
            status_code: status,
            message: message.to_owned(),
        };
        let error = engine_error(asked, "ask", "it", &said);
        assert!(!error.message.contains('\n') && error.message.len() <= 2100);
        assert!(asked == Asked::Create || error.kind != ErrorKind::NameConflict);
        assert!(!error.to_string().is_empty());
    }
}
