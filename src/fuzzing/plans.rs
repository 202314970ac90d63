//! Files that commands take: scenarios of simulations, and plans to apply.

use std::path::Path;

use super::{file, text, well_placed};
use crate::daemon::preview::PlanDocument;
use crate::simulate::scenario::{self, Act};

/// A scenario is read, or all that is wrong with it is said at its place; an expectation reads back as it is shown.
pub fn scenario(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let file = file("s.yaml", text);
    match scenario::parse(&file, Path::new("folder")) {
        Ok(read) => {
            assert!(read.steps.is_sorted_by_key(|step| step.at));
            for step in &read.steps {
                let span = step.place.span;
                assert!(text.get(span.start..span.end).is_some());
                let shown = step.act.to_string();
                assert!(!shown.is_empty());
                if let Act::Expect(expectation) = &step.act {
                    let shown = expectation.to_string();
                    let quoted = serde_json::Value::from(shown.as_str());
                    let again = format!("steps: [{{at: 0s, expect: {quoted}}}]");
                    let again = scenario::parse(&super::file("t.yaml", &again), Path::new(""));
                    let again = again.unwrap_or_else(|found| panic!("{shown}: {found:?}"));
                    let [again] = again.steps.as_slice() else {
                        panic!("{shown} is {:?}", again.steps);
                    };
                    assert_eq!(again.act.to_string(), step.act.to_string());
                }
            }
        }
        Err(found) => {
            assert!(!found.is_empty());
            well_placed(&found);
        }
    }
}

/// A plan reads back as it is written, has not moved from itself, and one line tells each action.
pub fn plan(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let plan = match PlanDocument::parse(text) {
        Ok(plan) => plan,
        Err(why) => return assert!(!why.is_empty()),
    };
    let written = serde_json::to_string(&plan).expect("it can be written");
    assert_eq!(PlanDocument::parse(&written).as_ref(), Ok(&plan));
    assert_eq!(plan.moved(&plan), [] as [&str; 0]);
    for service in &plan.services {
        let actions: usize = service.steps.iter().map(Vec::len).sum();
        assert!(service.lines().len() <= actions.max(1));
    }
    let mut elsewhere = plan.clone();
    elsewhere.folder_hash.push('x');
    assert_eq!(plan.moved(&elsewhere).len(), 1);
}
