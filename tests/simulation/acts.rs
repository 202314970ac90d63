//! What happens to a run's world when something of its scenario does.

use std::time::Duration;

use longshore::engine::simulated::Probe;
use longshore::engine::{ContainerState, ObservedContainer, labels};
use longshore::manifest::watch::simulated::{Noticed, SimFolder};
use longshore::model::{
    ClusterName, Family, InstanceDesired, InstanceId, ProtectionRequest, ServiceName, TaskId,
    Timestamp,
};
use longshore::store::Memory;
use tokio::time::Instant;

use super::folder::Folder;
use super::scenario::{Act, Saves};
use super::store::Kept;
use super::user::Request;
use super::world::{Later, World, is_ours};

impl World {
    pub fn act(&mut self, act: &Act) {
        let record = std::sync::Arc::clone(&self.outside.record);
        record.say(format!("act: {act}"));
        record.reach(name(act));
        match act {
            Act::Edit(folder, saves, noticed) => self.edit(folder, *saves, *noticed),
            Act::Ask(service, verb) => {
                self.requests += 1;
                let service_name = ServiceName::new(service.as_str());
                let of = self.folder.services.get(service);
                let cluster = of.map_or(super::folder::MAIN, |of| of.cluster);
                let cluster = ClusterName::new(cluster);
                self.request(Request::Rollout(cluster, service_name, verb.clone()));
            }
            Act::Drain(pick, drains) => {
                let Some(at) = index(*pick, self.folder.instances.len()) else {
                    return;
                };
                let instance = &self.folder.instances[at];
                let wanted = match drains {
                    true => InstanceDesired::Draining,
                    false => InstanceDesired::Active,
                };
                let cluster = ClusterName::new(instance.cluster);
                let name = InstanceId::new(instance.name.as_str());
                self.request(Request::Instance(cluster, name, wanted));
            }
            Act::RunTask(pick) => {
                let services = &self.folder.services;
                let Some(at) = index(*pick, services.len()) else {
                    return;
                };
                if let Some((name, service)) = services.iter().nth(at) {
                    let cluster = ClusterName::new(service.cluster);
                    let family = Family::new(name.as_str());
                    self.request(Request::Run(cluster, family, *pick));
                }
            }
            Act::StopTask(pick) => {
                if let Some((cluster, task)) = self.some_task(*pick) {
                    self.request(Request::Stop(cluster, task));
                }
            }
            Act::Protect(pick, minutes) => {
                if let Some((cluster, task)) = self.some_task(*pick) {
                    let request = match *minutes {
                        0 => ProtectionRequest::Release,
                        minutes => ProtectionRequest::Protect { minutes },
                    };
                    self.request(Request::Protect(cluster, task, request));
                }
            }
            Act::Plan => self.request(Request::Plan(self.outside.folder.scan())),
            Act::Kill(pick) => self.with_victim(*pick, |world, engine, id| {
                world.outside.engines[engine].1.kill_container(&id, 137);
            }),
            Act::OutOfMemory(pick) => self.with_victim(*pick, |world, engine, id| {
                world.outside.engines[engine].1.oom_container(&id);
            }),
            Act::Remove(pick) => self.with_victim(*pick, |world, engine, id| {
                world.outside.engines[engine].1.remove_behind_back(&id);
            }),
            Act::Sicken(pick, time) => self.with_victim(*pick, |world, engine, id| {
                let sick = &world.outside.engines[engine].1;
                sick.set_health(&id, Some(Probe::Fail));
                world.after(*time, Later::Heal(engine, id));
            }),
            Act::CutEvents => self.engines().for_each(|engine| engine.cut_events()),
            Act::SilenceEvents => self.engines().for_each(|engine| engine.silence_events()),
            Act::RestartEngine(pick, away) => {
                // Every lease there ends, and whoever comes first takes it.
                self.end_rival();
                let at = self.goes_away(*pick, *away);
                self.outside.engines[at].1.restart_engine(*away);
            }
            Act::Unreachable(pick, away) => {
                let at = self.goes_away(*pick, *away);
                self.outside.engines[at].1.unreachable_for(*away);
            }
            Act::CutOff(pick, away) => {
                let at = self.goes_away(*pick, *away);
                self.outside.engines[at].1.cut_off_for(*away);
            }
            Act::Faults(plan) => {
                record.seen().engines_fail |= plan.hung > 0;
                self.engines()
                    .for_each(|engine| engine.set_faults(plan.clone()));
            }
            Act::Crash { passages, down } => {
                self.down = *down;
                if let Some(process) = &self.process {
                    process.fence().kill_at(*passages);
                }
            }
            Act::PowerCut { change, odds, down } => match &self.outside.kept {
                Kept::Disk(disk) => {
                    (self.down, self.odds) = (*down, *odds);
                    disk.cut_power_at(*change);
                }
                Kept::Memory(_) => self.process_dies(*down),
            },
            Act::LoseStore { down } => self.lose_store(*down),
            Act::FullDisk(time) => {
                if let Kept::Disk(disk) = &self.outside.kept {
                    disk.fill(true);
                    self.after(*time, Later::Room);
                } else {
                    self.outside.refused.set(10);
                }
            }
            Act::Jump(seconds) => {
                self.outside.jumpy.jump(*seconds);
                let now = record.clock.now();
                record.seen().jumps.push((now, *seconds));
            }
            Act::Rival(time) => {
                self.start_rival();
                self.after(*time, Later::EndRival);
            }
        }
    }

    fn after(&mut self, time: Duration, later: Later) {
        self.later.push((Instant::now() + time, later));
    }

    /// Sends a request, and waits for no answer.
    pub fn request(&self, request: Request) {
        if let Some(user) = self.user() {
            tokio::spawn(user.ask(request));
        }
    }

    /// The user saves the folder: what differs is written.
    fn edit(&mut self, folder: &Folder, saves: Saves, noticed: Noticed) {
        // Whatever was being written still is, but not what is written now.
        let (old, new) = (self.folder.files(), folder.files());
        self.folder = folder.clone();
        self.outside.record.edited(folder);
        let files = self.outside.folder.clone();
        self.later.retain(|(_, later)| match later {
            Later::Finish(name, ..) => old.get(name) == new.get(name),
            _ => true,
        });
        if folder.gone {
            files.vanish(noticed);
            return;
        }
        if files.names().is_none() {
            files.make();
        }
        let there = files.names().unwrap_or_default();
        for name in there.iter().filter(|name| !new.contains_key(*name)) {
            let text = files.text(name);
            let same = new
                .iter()
                .find(|(to, now)| text.as_ref() == Some(*now) && !there.contains(to));
            match same {
                Some((to, _)) => files.rename(name, to, noticed),
                None => files.remove(name, noticed),
            }
        }
        for (name, text) in new {
            if files.text(&name).as_ref() == Some(&text) {
                continue;
            }
            self.write(&files, name, text, saves, noticed);
        }
    }

    fn write(
        &mut self,
        files: &SimFolder,
        name: String,
        text: String,
        saves: Saves,
        noticed: Noticed,
    ) {
        match saves {
            Saves::Moved => files.replace(&name, &text, noticed),
            Saves::InPlace => files.close(&name, &text, noticed),
            Saves::Slowly(time) => {
                files.write(&name, &text[..text.len() / 2], noticed);
                self.after(time, Later::Finish(name, text, noticed));
            }
        }
    }

    /// An engine that is about to be away for so long, by position.
    fn goes_away(&mut self, pick: u64, away: Duration) -> usize {
        let at = index(pick, self.outside.engines.len()).unwrap_or(0);
        let name = self.outside.engines[at].0.clone();
        self.outside.record.engine(&name, true);
        self.after(away, Later::Back(at));
        at
    }

    fn lose_store(&mut self, down: Duration) {
        self.process_dies(down);
        self.outside.kept = match &self.outside.kept {
            Kept::Memory(_) => Kept::Memory(Memory::new()),
            Kept::Disk(_) => {
                let random = longshore::clock::SeededIds::new(self.outside.dice.bits());
                Kept::Disk(longshore::store::redb::SimDisk::new(random))
            }
        };
        self.outside.record.store_lost();
    }

    fn with_victim(&mut self, pick: u64, harm: impl FnOnce(&mut Self, usize, String)) {
        if let Some((engine, container)) = self.victim(pick) {
            harm(self, engine, container.id);
        }
    }

    /// A running container of ours.
    fn victim(&self, pick: u64) -> Option<(usize, ObservedContainer)> {
        let mut all: Vec<(usize, ObservedContainer)> = self
            .engines()
            .enumerate()
            .flat_map(|(n, engine)| {
                engine
                    .containers()
                    .into_iter()
                    .map(move |container| (n, container))
            })
            .filter(|(_, container)| {
                container.labels.contains_key(labels::TASK)
                    && is_ours(&container.labels)
                    && container.state == ContainerState::Running
            })
            .collect();
        all.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        let at = index(pick, all.len())?;
        Some(all.swap_remove(at))
    }

    /// A task that runs, with its cluster.
    fn some_task(&self, pick: u64) -> Option<(ClusterName, TaskId)> {
        let (_, container) = self.victim(pick)?;
        let label = |name: &str| container.labels.get(name).cloned();
        let cluster = ClusterName::new(label(labels::CLUSTER)?);
        Some((cluster, TaskId::new(label(labels::TASK)?)))
    }

    /// What the engines' time is.
    pub fn time(&self) -> Timestamp {
        self.outside.clock.now()
    }
}

/// One of `many`, if there are any.
fn index(pick: u64, many: usize) -> Option<usize> {
    usize::try_from(pick % many.max(1) as u64)
        .ok()
        .filter(|at| *at < many)
}

fn name(act: &Act) -> &'static str {
    match act {
        Act::Edit(_, Saves::Slowly(_), _) => "act: an edit, slowly",
        Act::Edit(_, _, Noticed::Lost) => "act: an edit that nobody tells of",
        Act::Edit(_, _, Noticed::Overflown) => "act: an edit of which hints overflow",
        Act::Edit(folder, ..) if folder.gone => "act: the folder goes away",
        Act::Edit(folder, ..) if !folder.is_valid() => "act: a broken edit",
        Act::Edit(..) => "act: an edit",
        Act::Ask(..) => "act: a request about a rollout",
        Act::Drain(..) => "act: a request to drain or activate",
        Act::RunTask(_) => "act: a request to run a task",
        Act::StopTask(_) => "act: a request to stop a task",
        Act::Protect(..) => "act: a request for protection",
        Act::Plan => "act: a plan",
        Act::Kill(_) => "act: a kill",
        Act::OutOfMemory(_) => "act: out of memory",
        Act::Remove(_) => "act: a removal",
        Act::Sicken(..) => "act: a health check fails",
        Act::CutEvents => "act: event streams are cut",
        Act::SilenceEvents => "act: event streams fall silent",
        Act::RestartEngine(..) => "act: an engine dies",
        Act::Unreachable(..) => "act: an engine refuses",
        Act::CutOff(..) => "act: an engine is cut off",
        Act::Faults(_) => "act: engines fail",
        Act::Crash { .. } => "act: a crash",
        Act::PowerCut { .. } => "act: a power cut",
        Act::LoseStore { .. } => "act: the store is lost",
        Act::FullDisk(_) => "act: a full disk",
        Act::Jump(_) => "act: the clock jumps",
        Act::Rival(_) => "act: another Longshore",
    }
}
