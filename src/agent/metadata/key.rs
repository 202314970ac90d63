//! Ids of endpoints: `<task id>-<signature>`. The signature is an HMAC-SHA256 over cluster, task and container under a key that
//! only the state directory holds, so an id need not be recorded anywhere to be known again, and cannot be guessed.

use std::fmt::Write as _;

use ring::hmac;

use crate::model::{ClusterName, TaskId};

/// What endpoint ids are made from. Cloning is cheap.
#[derive(Clone)]
pub struct EndpointKey(hmac::Key);

impl std::fmt::Debug for EndpointKey {
    /// Never shows the key (P9).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndpointKey")
    }
}

impl EndpointKey {
    /// The key that these secret bytes make; 32 or more of them.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The id of a container's endpoint.
    pub fn id(&self, cluster: &ClusterName, task: &TaskId, container: &str) -> String {
        let signature = hmac::sign(&self.0, &message(cluster, task, container));
        let mut id = format!("{task}-");
        for byte in signature.as_ref() {
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    /// Whether `id` is that container's. Takes as long for a near miss as for any other.
    pub fn opens(&self, id: &str, cluster: &ClusterName, task: &TaskId, container: &str) -> bool {
        let Some((of, signature)) = parts(id) else {
            return false;
        };
        of == *task && hmac::verify(&self.0, &message(cluster, task, container), &signature).is_ok()
    }
}

/// The task that an id says it is of. Not checked.
pub(super) fn task_of(id: &str) -> Option<TaskId> {
    parts(id).map(|(task, _)| task)
}

fn parts(id: &str) -> Option<(TaskId, Vec<u8>)> {
    let (task, signature) = id.split_once('-')?;
    let digits = signature.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let bytes = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<u8>>>()?;
    Some((TaskId::new(task), bytes))
}

/// ECS's names hold no zero byte, so no two containers have one message.
fn message(cluster: &ClusterName, task: &TaskId, container: &str) -> Vec<u8> {
    format!("{cluster}\0{task}\0{container}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_opens_its_own_container_and_no_other() {
        let key = EndpointKey::new(&[7; 32]);
        let (cluster, task) = (ClusterName::default(), TaskId::new("0a1b"));
        let id = key.id(&cluster, &task, "main");
        assert_eq!(task_of(&id), Some(task.clone()));
        assert_eq!(id.len(), "0a1b-".len() + 64);
        assert!(key.opens(&id, &cluster, &task, "main"));
        assert!(!key.opens(&id, &cluster, &task, "other"));
        assert!(!key.opens(&id, &cluster, &TaskId::new("0a1c"), "main"));
        assert!(!key.opens(&id, &"prod".into(), &task, "main"));
        assert!(!EndpointKey::new(&[8; 32]).opens(&id, &cluster, &task, "main"));
        let forged = id.replace("0a1b", "0a1c");
        assert!(!key.opens(&forged, &cluster, &TaskId::new("0a1c"), "main"));
    }

    #[test]
    fn the_same_key_makes_the_same_id_again() {
        let id = |secret: &[u8]| {
            let key = EndpointKey::new(secret);
            key.id(&ClusterName::default(), &TaskId::new("0a1b"), "main")
        };
        assert_eq!(id(&[7; 32]), id(&[7; 32]));
        assert_ne!(id(&[7; 32]), id(&[8; 32]));
    }

    #[test]
    fn what_is_no_id_opens_nothing() {
        let key = EndpointKey::new(&[7; 32]);
        for id in [
            "", "-", "0a1b", "0a1b-", "0a1b-zz", "0a1b-0", "0a1b-+1", "0a1b-é",
        ] {
            assert!(
                !key.opens(id, &ClusterName::default(), &TaskId::new("0a1b"), "main"),
                "{id}"
            );
        }
    }
}
