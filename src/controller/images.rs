//! Version consistency: which image a deployment runs is settled once. The first of its tasks to know its image tells the
//! digest, and every task that is started after that is given it, whatever the tag means by then.
//!
//! Tasks that are started together, before any of them has its image, resolve the tag each for itself; those on one engine
//! share one pull. Holding all but the first back, as ECS does, would make every rollout wait for one task's pull before the
//! others begin theirs.

use super::plan::Draft;

/// Takes the digests that tasks know into the record of their deployment. The oldest task is asked first, and what is settled
/// stays. A deployment asks its own tasks only, not those that an earlier one of the same specification left behind: it
/// resolves anew.
pub(super) fn pin(draft: &mut Draft<'_>) {
    for seen in &draft.seen {
        let task = seen.view.record;
        let deployment = draft
            .record
            .deployments
            .iter_mut()
            .find(|d| task.deployment.as_ref() == Some(&d.id) && d.owns(task));
        let (Some(deployment), Some(spec)) = (deployment, seen.view.spec) else {
            continue;
        };
        for container in spec.containers.iter().filter(|c| c.resolves_once()) {
            let found = || {
                let status = seen.view.status?.container(&container.name)?;
                status.image_digest.as_ref()
            };
            let digest = task.images.get(&container.name).or_else(found);
            if let Some(digest) = digest
                && !deployment.images.contains_key(&container.name)
            {
                deployment
                    .images
                    .insert(container.name.clone(), digest.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::controller::Decision;
    use crate::controller::testing::{World, app, task_spec};
    use crate::model::{ContainerStatus, HealthStatus, TaskId, TaskSpec};

    fn digest(of: &str) -> String {
        format!("sha256:{}", of.repeat(64))
    }

    /// The task's agent tells what its image is.
    fn tell(world: &mut World, id: &TaskId, digest: &str) {
        let status = world.task(id).status.get_or_insert_default();
        status.containers = vec![ContainerStatus {
            name: "app".to_owned(),
            image_digest: Some(digest.to_owned()),
            ..ContainerStatus::default()
        }];
    }

    /// The digest that each task ordered from now on is given.
    fn given(world: &World) -> Vec<Option<String>> {
        let images = |decision: Decision| match decision {
            Decision::StartTask { images, .. } => Some(images.get("app").cloned()),
            _ => None,
        };
        world
            .plan()
            .decisions
            .into_iter()
            .filter_map(images)
            .collect()
    }

    /// Two tasks run, and the first told that its image is `a`.
    fn pinned(spec: TaskSpec) -> World {
        let mut world = World::of(2, spec);
        assert_eq!(given(&world), [None, None]);
        world.settle();
        let first = world.nth(1);
        tell(&mut world, &first, &digest("a"));
        world.steady();
        world
    }

    #[test]
    fn every_task_after_the_first_that_told_is_given_its_digest() {
        let mut world = pinned(task_spec("app:1"));
        // The second had started with it, and the tag had moved in between: what is settled stays.
        let second = world.nth(2);
        tell(&mut world, &second, &digest("b"));
        assert!(world.plan().is_empty(), "{:?}", world.plan());
        world.manifest().desired_count = 4;
        assert_eq!(given(&world), [Some(digest("a")), Some(digest("a"))]);
        world.manifest().desired_count = 2;
        world.exit(&second, 1);
        assert_eq!(given(&world), [Some(digest("a"))], "a replacement");
    }

    #[test]
    fn a_task_that_failed_after_it_told_has_settled_it_too() {
        let mut world = World::of(1, task_spec("app:1"));
        world.settle();
        let first = world.nth(1);
        tell(&mut world, &first, &digest("a"));
        world.settle();
        world.exit(&first, 1);
        world.pass(3600);
        assert_eq!(given(&world), [Some(digest("a"))]);
    }

    #[test]
    fn another_deployment_resolves_anew_also_of_a_specification_that_ran_before() {
        let mut world = pinned(task_spec("app:1"));
        world.deploy(2, task_spec("other:1"));
        assert_eq!(given(&world), [None, None]);
        world.steady();
        world.deploy(1, task_spec("app:1"));
        assert_eq!(given(&world), [None, None], "its old tasks are over");
    }

    #[test]
    fn a_revert_to_tasks_that_still_run_keeps_what_they_run() {
        let mut world = pinned(task_spec("app:1"));
        world.deploy(2, task_spec("other:1"));
        world.settle();
        world.deploy(1, task_spec("app:1"));
        world.settle();
        let first = world.nth(1);
        world.exit(&first, 1);
        assert_eq!(given(&world), [Some(digest("a"))]);
    }

    #[test]
    fn a_tag_that_is_to_be_taken_at_each_start_and_a_digest_that_is_written_are_not_pinned() {
        let mut each = task_spec("app:1");
        app(&mut each).tag_at_each_start = true;
        let written = task_spec(&format!("app@{}", digest("a")));
        for spec in [each, written] {
            let mut world = pinned(spec);
            world.manifest().desired_count = 3;
            assert_eq!(given(&world), [None]);
        }
    }

    #[test]
    fn tasks_that_are_taken_over_from_a_lost_store_keep_running_and_pin_what_they_run() {
        let mut world = pinned(task_spec("app:1"));
        world.record = None;
        for id in world.ids(|_| true) {
            // The labels tell of a pin, the engine of the image.
            let task = world.task(&id);
            task.record.images.insert("app".to_owned(), digest("a"));
            task.status.get_or_insert_default().containers.clear();
            world.health(&id, HealthStatus::Unknown);
        }
        let said = world.said();
        assert!(
            !said.contains("start web") && !said.contains("stop web"),
            "{said}"
        );
        world.manifest().desired_count = 3;
        assert_eq!(given(&world), [Some(digest("a"))]);
    }
}
