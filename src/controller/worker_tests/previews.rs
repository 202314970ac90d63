//! What a preview foresees, against what is then done.

use super::*;
use crate::controller::{Decision, ServicePreview, preview};
use crate::model::{Asked, InstanceDesired, InstanceOverride, InstanceSpec};

impl Fixture {
    fn preview(&self, desired: &Arc<Desired>) -> Vec<ServicePreview> {
        preview(desired, &self.view.read(), self.clock.now())
    }

    fn preview_of_web(&self, desired: &Arc<Desired>) -> ServicePreview {
        let mut all = self.preview(desired);
        all.retain(|preview| preview.key.1.as_str() == "web");
        all.remove(0)
    }
}

/// Step by step how many tasks of which revision are started (+) and stopped (-), and how many are healthy then.
fn told(preview: &ServicePreview) -> Vec<String> {
    let of_step = |step: &crate::controller::Step| {
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for decision in &step.decisions {
            match decision {
                Decision::StartTask { revision, .. } => {
                    *counts.entry(revision.to_string()).or_default() += 1;
                }
                Decision::StopTask { revision, .. } => {
                    *counts.entry(revision.to_string()).or_default() -= 1;
                }
                Decision::GiveUpTask { .. } | Decision::DeleteTask { .. } => {}
            }
        }
        let counts: Vec<String> = counts.iter().map(|(r, n)| format!("{r} {n:+}")).collect();
        format!("{} ({})", counts.join(" "), step.healthy)
    };
    preview.course.steps.iter().map(of_step).collect()
}

fn with(desired: &Arc<Desired>, change: impl Fn(&mut crate::model::ServiceSpec)) -> Arc<Desired> {
    let mut desired = Desired::clone(desired);
    for (spec, _) in desired.services.values_mut().flat_map(BTreeMap::values_mut) {
        change(spec);
        spec.manifest_hash = "m2".to_owned();
    }
    Arc::new(desired)
}

#[tokio::test(start_paused = true)]
async fn a_preview_shows_the_plans_and_records_nothing() {
    let f = fixture().await;
    let desired = folder(&[
        ("api", 1, with_port(task_spec("a"), Some(80))),
        ("web", 1, with_port(task_spec("a"), Some(80))),
    ]);
    f.pass(1).await;
    let before = f.revision();
    let plans = f.preview(&desired);
    let lines: Vec<String> = plans
        .iter()
        .flat_map(|p| {
            let steps = p.course.steps.iter().flat_map(|step| &step.decisions);
            steps.map(move |d| format!("{}: {d}", p.key.1))
        })
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}: they ask for the same port");
    assert!(lines[0].starts_with("api: start api:1 on local: rollout of ecs-svc/"));
    assert!(plans[0].course.arrives && !plans[1].course.arrives);
    let obstacle = &plans[1].course.obstacles[0];
    assert!(obstacle.contains("already using a port"), "{obstacle}");
    f.pass(60).await;
    assert_eq!(f.revision(), before);
}

#[tokio::test(start_paused = true)]
async fn a_preview_starts_nothing_on_an_instance_that_somebody_drains() {
    let f = fixture().await;
    let mut desired = Desired::clone(&folder(&[("web", 1, task_spec("a"))]));
    let (cluster, _) = desired.clusters.get_mut(&default()).expect("declared");
    cluster.instances = vec![InstanceSpec::local()];
    let desired = Arc::new(desired);
    assert_eq!(told(&f.preview_of_web(&desired)), ["web:1 +1 (0)"]);
    let asked = InstanceOverride {
        desired: InstanceDesired::Draining,
        basis: InstanceDesired::Active,
        asked: Asked::default(),
    };
    let at = keys::instance_override(&default(), &"local".into());
    let revision = Txn::new(&f.agent)
        .put_json(at, &asked)
        .commit(&f.store)
        .await
        .expect("committed");
    f.view.caught_up(revision).await.expect("seen");
    let preview = f.preview_of_web(&desired);
    assert_eq!(told(&preview), Vec::<String>::new());
    assert!(!preview.course.arrives);
}

#[tokio::test(start_paused = true)]
async fn a_preview_follows_a_rollout_to_its_end() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    let first = folder(&[("web", 3, task_spec("a"))]);
    f.controller.set_desired(Arc::clone(&first));
    f.pass(120).await;
    assert!(f.steady("web"));
    let same = f.preview_of_web(&first);
    assert!(!same.changes() && same.course.arrives, "{:?}", same.course);

    let next = folder(&[("web", 3, task_spec("b"))]);
    let preview = f.preview_of_web(&next);
    assert_eq!(told(&preview), ["web:2 +3 (3)", "web:1 -3 (3)"]);
    assert!(preview.course.arrives && preview.downtime.is_none());
    let revisions = (
        preview.running.map(|r| r.revision),
        preview.planned.map(|r| r.revision),
    );
    assert_eq!(revisions, (Some(1), Some(2)));
    // Scaling is not a rollout; and what goes on is seen from where it is.
    let scaled = with(&first, |spec| spec.desired_count = 5);
    assert_eq!(told(&f.preview_of_web(&scaled)), ["web:1 +2 (3)"]);
    f.controller.set_desired(Arc::clone(&next));
    f.pass(120).await;
    assert!(f.steady("web"));
    assert!(!f.preview_of_web(&next).changes());
    let gone = f.preview_of_web(&folder(&[]));
    assert_eq!(told(&gone), ["web:2 -3 (0)"]);
    assert!(gone.course.arrives && gone.downtime.is_none());
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_preview_warns_where_tasks_have_to_stop_before_others_start() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 2, task_spec("a"))]));
    f.pass(120).await;
    let next = folder(&[("web", 2, task_spec("b"))]);
    let tight = with(&next, |spec| {
        spec.minimum_healthy_percent = 50;
        spec.maximum_percent = 100;
    });
    let preview = f.preview_of_web(&tight);
    assert_eq!(
        told(&preview),
        [
            "web:1 -1 (1)",
            "web:2 +1 (1)",
            "web:1 -1 (1)",
            "web:2 +1 (1)"
        ]
    );
    let why = preview.downtime.expect("a warning");
    assert!(why.starts_with("at times only 1 of its 2 tasks"), "{why}");
    assert!(why.contains("maximumPercent 100 allows 2 at once"), "{why}");
    let stuck = with(&next, |spec| spec.maximum_percent = 100);
    let preview = f.preview_of_web(&stuck);
    assert!(!preview.course.arrives && told(&preview).is_empty());
    assert!(preview.course.obstacles[0].contains("unable to stop or start tasks"));
    agent.abort();
}

#[tokio::test(start_paused = true)]
async fn a_preview_warns_of_a_fixed_port() {
    let f = fixture().await;
    let agent = f.obedient_agent();
    f.controller
        .set_desired(folder(&[("web", 1, with_port(task_spec("a"), Some(80)))]));
    f.pass(120).await;
    let next = folder(&[("web", 1, with_port(task_spec("b"), Some(80)))]);
    let next = with(&next, |spec| spec.minimum_healthy_percent = 0);
    let preview = f.preview_of_web(&next);
    assert_eq!(told(&preview), ["web:1 -1 (0)", "web:2 +1 (0)"]);
    let why = preview.downtime.expect("a warning");
    assert!(
        why.contains("none of its 1 tasks") && why.contains("host port 80/tcp is fixed"),
        "{why}"
    );
    agent.abort();
}
