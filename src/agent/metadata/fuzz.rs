//! What is asserted of what tasks ask for, for the fuzz targets.

use super::{fault, key, protection};
use crate::model::ProtectionRequest;

/// The first line says what is asked for (`network-latency start`, `protect`, `id`), the rest is the request's body.
pub fn requests(data: &[u8]) {
    let Some(text) = crate::fuzzing::text(data) else {
        return;
    };
    let (first, body) = crate::fuzzing::first_line(text);
    match first {
        "protect" => match protection::reads(body.as_bytes()) {
            Some(ProtectionRequest::Protect { minutes }) => {
                assert!(ProtectionRequest::MINUTES.contains(&i64::from(minutes)));
            }
            Some(ProtectionRequest::Release) | None => {}
        },
        "id" => {
            let key = key::EndpointKey::new(&[7; 32]);
            if let Some(task) = key::task_of(body) {
                assert!(body.starts_with(task.as_str()));
                // Nobody guesses a signature.
                assert!(!key.opens(body, &"default".into(), &task, "web"));
                let id = key.id(&"default".into(), &task, "web");
                assert!(key.opens(&id, &"default".into(), &task, "web"));
                assert!(!key.opens(&id, &"other".into(), &task, "web"));
            }
        }
        _ => {
            if let Some((kind, action)) = first.split_once(' ') {
                fault::fuzz::requests(kind, action, body.as_bytes());
            }
        }
    }
}
