//! From the text of a scenario to a [`Scenario`], with findings at their line and column.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::types::{BehaviorFile, EditFile, ScenarioFile, StepFile};
use super::{Act, Assume, Behavior, Edit, Fails, Named, Place, Scenario, Set, Size, Step, expect};
use crate::diagnostic::{Diagnostic, Severity, SourceFile, codes};
use crate::manifest::report::{self, Reporting, finding};
use crate::manifest::shape::OtherShape;
use crate::manifest::yaml::{self, Node};
use crate::simulate::time;

/// Why there is no scenario.
#[derive(Debug)]
pub enum Unread {
    /// The file cannot be read.
    File(String),
    /// It is not a scenario.
    Invalid(Vec<Diagnostic>),
}

/// Reads a scenario's file.
///
/// # Errors
/// What is wrong, in the file or with it.
pub fn read(path: &Path) -> Result<Scenario, Unread> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Unread::File(format!("the scenario {shown} cannot be read: {error}")))?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let file = Arc::new(SourceFile { path: shown, text });
    parse(&file, &folder).map_err(Unread::Invalid)
}

/// Reads a scenario's text; folders that it names begin at `folder`. Pure.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file: &Arc<SourceFile>, folder: &Path) -> Result<Scenario, Vec<Diagnostic>> {
    let parsed = yaml::parse(file);
    let mut found = parsed.diagnostics;
    let root = match parsed.documents.as_slice() {
        _ if !found.is_empty() => return Err(found),
        [] => return Ok(Scenario::default()),
        [root] => root,
        [_, second, ..] => {
            let span = report::head(file, second);
            let message = "a scenario is one document";
            found.push(
                finding(codes::SCENARIO_VALUE, Severity::Error, file, span, message)
                    .help("write one scenario a file"),
            );
            return Err(found);
        }
    };
    if !shape().check(file, root, &mut found) {
        return Err(found);
    }
    let mut json = root.to_json();
    without_null(&mut json);
    let raw: ScenarioFile = match serde_json::from_value(json) {
        Ok(raw) => raw,
        Err(error) => {
            let span = report::head(file, root);
            let message = error.to_string();
            found.push(finding(
                codes::SCENARIO_VALUE,
                Severity::Error,
                file,
                span,
                message,
            ));
            return Err(found);
        }
    };
    let mut reader = Reader {
        file,
        root,
        folder,
        found,
    };
    let scenario = reader.scenario(&raw);
    match reader.found.is_empty() {
        true => Ok(scenario),
        false => Err(reader.found),
    }
}

fn shape() -> &'static OtherShape {
    static SHAPE: OnceLock<OtherShape> = OnceLock::new();
    SHAPE.get_or_init(|| OtherShape::new("scenario", &super::generate_schema()))
}

fn without_null(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_null);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// Bytes of `16GiB`, `512 MiB`, `16GB` (which is taken as GiB, as ECS does).
pub fn memory(text: &str) -> Option<u64> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let shift = match unit.trim_start() {
        "MiB" | "MB" => 20,
        "GiB" | "GB" => 30,
        "TiB" | "TB" => 40,
        _ => return None,
    };
    let bytes = number.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    (bytes > 0 && bytes < 1 << 50).then_some(bytes)
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    root: &'a Node,
    folder: &'a Path,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn scenario(&mut self, raw: &ScenarioFile) -> Scenario {
        let assume = self.assume(raw);
        let sizes = raw
            .instances
            .iter()
            .map(|(name, size)| {
                let pointer = format!("/instances/{}", escaped(name));
                let memory = self.memory(&format!("{pointer}/memory"), size.memory.as_deref());
                let size = Size {
                    cpus: size.cpu.unwrap_or(assume.size.cpus),
                    memory: memory.unwrap_or(assume.size.memory),
                };
                let named = Named {
                    name: name.clone(),
                    place: self.place_of_key(&pointer),
                };
                (named, size)
            })
            .collect();
        let behaviors = raw.behaviors.iter().enumerate();
        let behaviors = behaviors
            .map(|(n, raw)| self.behavior(n, raw, &assume))
            .collect();
        let mut steps: Vec<Step> = Vec::new();
        for (n, raw) in raw.steps.iter().enumerate() {
            self.step(n, raw, &mut steps);
        }
        steps.sort_by_key(|step| step.at);
        Scenario {
            start: raw.start.unwrap_or_default(),
            duration: self.time("/for", raw.duration.as_deref()),
            seed: raw.seed,
            assume,
            sizes,
            behaviors,
            steps,
        }
    }

    fn assume(&mut self, raw: &ScenarioFile) -> Assume {
        let mut assume = Assume::default();
        let Some(raw) = &raw.assume else {
            return assume;
        };
        for (name, text, into) in [
            ("pull", &raw.pull, &mut assume.pull),
            ("start", &raw.start, &mut assume.start),
            ("stop", &raw.stop, &mut assume.stop),
            ("run", &raw.run, &mut assume.run),
            (
                "healthyAfter",
                &raw.healthy_after,
                &mut assume.healthy_after,
            ),
        ] {
            if let Some(time) = self.time(&format!("/assume/{name}"), text.as_deref()) {
                *into = time;
            }
        }
        assume.size.cpus = raw.cpu.unwrap_or(assume.size.cpus);
        if let Some(memory) = self.memory("/assume/memory", raw.memory.as_deref()) {
            assume.size.memory = memory;
        }
        assume
    }

    fn behavior(&mut self, n: usize, raw: &BehaviorFile, assume: &Assume) -> Behavior {
        let at = |name: &str| format!("/behaviors/{n}/{name}");
        let runs = self.time(&at("runs"), raw.runs.as_deref());
        let stop = match raw.stop.as_deref() {
            Some("never") => Some(None),
            text => self.time(&at("stop"), text).map(Some),
        };
        let pull = self.time(&at("pull"), raw.pull.as_deref());
        let only_image = raw.image.is_some() && raw.family.is_none() && raw.container.is_none();
        if pull.is_some() && !only_image {
            self.error(
                codes::SCENARIO_VALUE,
                &at("pull"),
                "a pull is an image's, whoever asks for it",
                "name `image` here, and neither `family` nor `container`",
            );
        }
        Behavior {
            family: raw.family.clone(),
            container: raw.container.clone(),
            image: raw.image.clone(),
            healthy_after: self.time(&at("healthyAfter"), raw.healthy_after.as_deref()),
            ends: (raw.exit.is_some() || runs.is_some())
                .then(|| (runs.unwrap_or(assume.run), raw.exit.unwrap_or(0))),
            stop,
            pull,
        }
    }

    fn step(&mut self, n: usize, raw: &StepFile, into: &mut Vec<Step>) {
        let here = format!("/steps/{n}");
        let at = self.time(&format!("{here}/at"), Some(&raw.at));
        let acts = [
            raw.edit.is_some(),
            raw.instance_down.is_some(),
            raw.instance_up.is_some(),
            raw.partition.is_some(),
            raw.drain.is_some(),
            raw.activate.is_some(),
            raw.image.is_some(),
            raw.crash.is_some(),
            raw.kill.is_some(),
            raw.expect.is_some(),
        ];
        match acts.iter().filter(|is| **is).count() {
            1 => {}
            0 => {
                return self.error(
                    codes::SCENARIO_STEP,
                    &here,
                    "nothing happens in this step",
                    "add what happens, such as `kill: longshore` or `expect: converged`",
                );
            }
            _ => {
                return self.error(
                    codes::SCENARIO_STEP,
                    &here,
                    "several things happen in this step",
                    "write a step for each, with the same `at`",
                );
            }
        }
        let Some(at) = at else { return };
        if let Some(expected) = &raw.expect {
            return self.expectations(at, &here, expected, into);
        }
        let (name, act) = if let Some(edit) = &raw.edit {
            ("edit", self.edit(&here, edit).map(Act::Edit))
        } else if let Some(instance) = &raw.instance_down {
            ("instanceDown", Some(Act::InstanceDown(instance.clone())))
        } else if let Some(instance) = &raw.instance_up {
            ("instanceUp", Some(Act::InstanceUp(instance.clone())))
        } else if let Some(instance) = &raw.partition {
            ("partition", Some(Act::Partition(instance.clone())))
        } else if let Some(instance) = &raw.drain {
            ("drain", Some(Act::Drain(instance.clone())))
        } else if let Some(instance) = &raw.activate {
            ("activate", Some(Act::Activate(instance.clone())))
        } else if let Some(image) = &raw.image {
            let fails = self.fails(&format!("{here}/image/fails"), &image.fails);
            (
                "image",
                fails.map(|fails| Act::Image(image.name.clone(), fails)),
            )
        } else if let Some(crash) = &raw.crash {
            let act = Act::Crash(crash.service.clone(), crash.tasks.unwrap_or(1));
            ("crash", Some(act))
        } else {
            ("kill", Some(Act::Kill))
        };
        let place = self.place(&format!("{here}/{name}"));
        into.extend(act.map(|act| Step { at, act, place }));
    }

    fn expectations(
        &mut self,
        at: Duration,
        here: &str,
        expected: &serde_json::Value,
        into: &mut Vec<Step>,
    ) {
        let texts: Vec<(String, &str)> = match expected {
            serde_json::Value::String(text) => vec![(format!("{here}/expect"), text)],
            serde_json::Value::Array(items) => items
                .iter()
                .enumerate()
                .filter_map(|(n, item)| Some((format!("{here}/expect/{n}"), item.as_str()?)))
                .collect(),
            _ => Vec::new(),
        };
        for (pointer, text) in texts {
            match expect::parse(text) {
                Ok(expectation) => into.push(Step {
                    at,
                    act: Act::Expect(expectation),
                    place: self.place(&pointer),
                }),
                Err((message, help)) => {
                    self.error(codes::SCENARIO_EXPECTATION, &pointer, &message, &help);
                }
            }
        }
    }

    fn edit(&mut self, here: &str, raw: &EditFile) -> Option<Edit> {
        let here = format!("{here}/edit");
        let set = Set {
            image: raw.image.clone(),
            container: raw.container.clone(),
            desired_count: raw.desired_count,
            minimum_healthy_percent: raw.minimum_healthy_percent,
            maximum_percent: raw.maximum_percent,
        };
        let path = |text: &String| -> PathBuf { self.folder.join(text) };
        let edit = match (&raw.service, &raw.overlay, &raw.folder) {
            (None, Some(overlay), None) if set == Set::default() => Edit::Overlay(path(overlay)),
            (None, None, Some(folder)) if set == Set::default() => Edit::Folder(path(folder)),
            (Some(service), None, None) => Edit::Service {
                service: service.clone(),
                set: set.clone(),
            },
            _ => {
                self.error(
                    codes::SCENARIO_STEP,
                    &here,
                    "it is not clear what this edits",
                    "give `service` and what of it is set, or `overlay`, or `folder`",
                );
                return None;
            }
        };
        let sets_nothing = set.image.is_none()
            && set.desired_count.is_none()
            && set.minimum_healthy_percent.is_none()
            && set.maximum_percent.is_none();
        if matches!(edit, Edit::Service { .. }) && sets_nothing {
            self.error(
                codes::SCENARIO_STEP,
                &here,
                "this sets nothing",
                "add `image`, `desiredCount`, `minimumHealthyPercent` or `maximumPercent`",
            );
        }
        Some(edit)
    }

    fn fails(&mut self, pointer: &str, text: &str) -> Option<Fails> {
        let fails = match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["none"] => Some(Fails::No),
            ["pull"] => Some(Fails::Pull),
            ["start"] => Some(Fails::Start),
            ["crash"] => Some(Fails::Crash),
            ["unhealthy"] => Some(Fails::Unhealthy),
            ["slow", time] => time::parse(time).map(Fails::Slow),
            _ => None,
        };
        if fails.is_none() {
            self.error(
                codes::SCENARIO_VALUE,
                pointer,
                &format!("an image cannot fail as `{text}`"),
                "write `pull`, `start`, `crash`, `unhealthy`, `slow 30s`, or `none`",
            );
        }
        fails
    }

    fn time(&mut self, pointer: &str, text: Option<&str>) -> Option<Duration> {
        let text = text?;
        let time = time::parse(text);
        if time.is_none() {
            self.error(
                codes::SCENARIO_VALUE,
                pointer,
                &format!("`{text}` is no time"),
                "write a number with a unit: `500ms`, `30s`, `1m30s`, `2h`",
            );
        }
        time
    }

    fn memory(&mut self, pointer: &str, text: Option<&str>) -> Option<u64> {
        let text = text?;
        let bytes = memory(text);
        if bytes.is_none() {
            self.error(
                codes::SCENARIO_VALUE,
                pointer,
                &format!("`{text}` is no amount of memory"),
                "write, for example, `512MiB` or `16GiB`",
            );
        }
        bytes
    }

    fn place(&self, pointer: &str) -> Place {
        Place {
            file: Arc::clone(self.file),
            span: report::value_span(self.file, self.root, pointer),
        }
    }

    fn place_of_key(&self, pointer: &str) -> Place {
        Place {
            file: Arc::clone(self.file),
            span: report::key_span(self.file, self.root, pointer),
        }
    }

    fn error(&mut self, code: &'static str, pointer: &str, message: &str, help: &str) {
        let span = report::value_span(self.file, self.root, pointer);
        let found = finding(code, Severity::Error, self.file, span, message).help(help);
        self.found.push(found);
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Scenario, Vec<String>> {
        let file = Arc::new(SourceFile {
            path: "s.yaml".to_owned(),
            text: text.to_owned(),
        });
        let shown = |found: Vec<Diagnostic>| found.iter().map(ToString::to_string).collect();
        parse(&file, Path::new("/there")).map_err(shown)
    }

    #[test]
    fn a_scenario_is_read_with_its_steps_in_the_order_of_their_times() {
        let scenario = read(
            "start: converged\nfor: 5m\nseed: 7\nassume: {pull: 10s, cpu: 2}\n\
             instances: {a: {memory: 2GiB}}\n\
             behaviors: [{family: web, exit: 3, runs: 5s}]\n\
             steps:\n\
             - {at: 1m, instanceDown: a}\n\
             - {at: 30s, edit: {service: web, image: 'web:2'}}\n\
             - {at: 30s, expect: [converged within 60s, healthy(web) >= 3 always]}\n\
             - {at: 2m, image: {name: 'web:2', fails: slow 30s}}\n\
             - {at: 3m, edit: {overlay: next}}\n\
             - {at: 4m, kill: longshore}\n",
        )
        .expect("it is one");
        let steps: Vec<String> = scenario
            .steps
            .iter()
            .map(|step| format!("{} {}", time::show(step.at), step.act))
            .collect();
        assert_eq!(
            steps,
            [
                "30s edit: web image=web:2",
                "30s expected: converged within 1m",
                "30s expected: healthy(web) >= 3 always",
                "1m instance a goes down",
                "2m image web:2 takes 30s longer",
                "3m edit: overlay /there/next",
                "4m Longshore is killed and starts again",
            ]
        );
        assert_eq!(scenario.assume.pull, Duration::from_secs(10));
        let sizes: Vec<_> = scenario.sizes.iter().map(|(_, size)| *size).collect();
        assert_eq!(
            sizes,
            [Size {
                cpus: 2,
                memory: 2 << 30
            }]
        );
        assert_eq!(
            scenario.behaviors[0].ends,
            Some((Duration::from_secs(5), 3))
        );
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let wrong = |text: &str| read(text).map(|_| ()).unwrap_err();
        assert_eq!(
            wrong("step: []\n"),
            ["s.yaml:1:1: error[LS0201]: a scenario has no member `step`"]
        );
        assert_eq!(
            wrong("steps:\n- at: soon\n  kill: longshore\n"),
            ["s.yaml:2:7: error[LS0602]: `soon` is no time"]
        );
        assert_eq!(
            wrong("steps:\n- at: 1s\n"),
            ["s.yaml:2:3: error[LS0601]: nothing happens in this step"]
        );
        assert_eq!(
            wrong("steps:\n- at: 1s\n  kill: longshore\n  drain: a\n"),
            ["s.yaml:2:3: error[LS0601]: several things happen in this step"]
        );
        assert_eq!(
            wrong("steps:\n- at: 1s\n  expect:\n  - converged\n  - steady\n"),
            ["s.yaml:5:5: error[LS0603]: nothing that is called `steady` can be expected"]
        );
        assert_eq!(
            wrong("steps:\n- at: 1s\n  image: {name: a, fails: badly}\n"),
            ["s.yaml:3:27: error[LS0602]: an image cannot fail as `badly`"]
        );
        assert_eq!(
            wrong("steps:\n- at: 1s\n  edit: {service: web}\n"),
            ["s.yaml:3:9: error[LS0601]: this sets nothing"]
        );
        assert_eq!(
            wrong("instances: {a: {memory: much}}\n"),
            ["s.yaml:1:25: error[LS0602]: `much` is no amount of memory"]
        );
        assert_eq!(wrong("a: 1\n---\nb: 2\n").len(), 1);
    }

    #[test]
    fn the_embedded_schema_is_the_one_of_the_types() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/scenario.schema.json");
        let text = crate::manifest::schema::render(&super::super::generate_schema());
        if std::env::var_os("LONGSHORE_BLESS").is_some() {
            std::fs::write(&path, &text).expect("the schema can be written");
            return;
        }
        assert_eq!(super::super::SCHEMA, text, "run `make bless`");
    }

    #[test]
    fn memory_is_a_number_with_a_unit() {
        assert_eq!(memory("512MiB"), Some(512 << 20));
        assert_eq!(memory("16 GB"), Some(16 << 30));
        for wrong in ["", "16", "GiB", "0GiB", "1.5GiB", "9999999TiB"] {
            assert_eq!(memory(wrong), None, "{wrong}");
        }
    }
}
