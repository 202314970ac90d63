//! Whether a container's image is ready, is to be pulled, or will not come (semantics §4.18). Pure.
//!
//! | Behaviour | A registry is asked | Where it fails |
//! |---|---|---|
//! | `default` | for each task | an image that the engine has is used, else the task fails |
//! | `always` | for each task | the task fails |
//! | `once` | for an image that this agent has not pulled before | the task fails |
//! | `prefer-cached` | for an image that the engine has not | the task fails |
//!
//! `default` asks no registry where its answer could change nothing: an image by its digest that the engine has is that image,
//! and one without any digest was built or imported on the engine, so no registry is known to have it. (It might have
//! another one of that name, somebody else's; taking that instead is what nobody wants.)

use super::action::{CallKey, Verb};
use super::facts::{Attempt, ImageFact, StepInput};
use super::retry::{self, Verdict};
use crate::engine::{ErrorKind, registry, translate};
use crate::model::{ContainerSpec, PullBehavior};

/// How far a container's image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// It can be created from.
    Ready,
    /// It is being pulled.
    Wait,
    /// It is to be pulled.
    Pull,
    /// It was given up: the last attempt, with what to do about it in its message.
    Lost(Attempt),
}

/// What the image of `container` needs.
pub(super) fn need(container: &ContainerSpec, input: &StepInput<'_>) -> Need {
    let facts = input.facts;
    let image = translate::image(input.record, container);
    let attempt = facts.attempts.get(&CallKey::new(Verb::Pull, &image));
    match facts.images.get(&image) {
        Some(ImageFact::Pulling { .. }) => return Need::Wait,
        Some(fact @ ImageFact::Present { .. }) => {
            // Not where no registry was asked: the engine was away, or the credentials were not found.
            let answered = attempt.is_some_and(|attempt| {
                !matches!(attempt.kind, ErrorKind::Unreachable | ErrorKind::Unresolved)
            });
            if is_enough(fact, &image, input) || (facts.pull == PullBehavior::Default && answered) {
                return Need::Ready;
            }
        }
        None | Some(ImageFact::Absent) => {}
    }
    match attempt {
        Some(attempt) if retry::verdict(Verb::Pull, Some(attempt), input.now) == Verdict::Never => {
            let what_to_do = registry::advice(attempt.kind, &container.image)
                .map_or_else(String::new, |advice| format!("; {advice}"));
            Need::Lost(Attempt {
                message: format!("{}{what_to_do}", attempt.message),
                ..attempt.clone()
            })
        }
        _ => Need::Pull,
    }
}

/// Whether an image that the engine has will do without asking a registry first.
fn is_enough(fact: &ImageFact, image: &str, input: &StepInput<'_>) -> bool {
    let ImageFact::Present {
        digest,
        pulled,
        ours,
    } = fact
    else {
        return false;
    };
    // Also by a pull for another task, if it ended after this one was ordered.
    let asked = input.facts.pulled.contains(image)
        || pulled.is_some_and(|(_, to)| to >= input.record.created_at);
    match input.facts.pull {
        PullBehavior::PreferCached => true,
        PullBehavior::Once => *ours || asked,
        PullBehavior::Default => asked || digest.is_none() || image.contains('@'),
        PullBehavior::Always => asked,
    }
}
