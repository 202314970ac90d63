//! A container's run: from its start to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::{Behaviour, Run};
use super::history::{Cause, SimEventKind};
use super::images::normalise;
use super::process::{OnTerm, Process, Turn, World};
use super::shell::{Op, compile};
use super::state::{Answer, Container, Refusal, State, Stdin, Timer};
use crate::engine::{ContainerState, ErrorKind};

/// From the start of a container to the first instruction of its process.
const LAUNCH: Duration = Duration::from_millis(2);

impl State {
    /// Starts it; nothing when it runs already. A failed start leaves its reason on the container, as Docker does.
    pub fn start_container(&mut self, target: &str) -> Answer<()> {
        let id = self.find(target)?;
        let container = self.container(&id)?;
        match container.state {
            ContainerState::Running | ContainerState::Restarting => return Ok(()),
            ContainerState::Created | ContainerState::Exited => {}
            ContainerState::Paused => {
                return Err(Refusal::new(
                    ErrorKind::Conflict,
                    "cannot start a paused container, try unpause instead",
                ));
            }
            ContainerState::Removing | ContainerState::Dead => {
                return Err(Refusal::new(
                    ErrorKind::Conflict,
                    "container is marked for removal and cannot be started",
                ));
            }
        }
        if let Err(refusal) = self.try_start(&id) {
            self.disconnect(&id);
            let auto_remove = {
                let container = self.container_mut(&id)?;
                container.error.clone_from(&refusal.message);
                container.body.host_config.auto_remove == Some(true)
            };
            if auto_remove {
                self.mark_removing(&id);
            }
            return Err(refusal);
        }
        Ok(())
    }

    fn try_start(&mut self, id: &str) -> Answer<()> {
        self.connect(id)?;
        let (process, behaviour) = self.launch(self.container(id)?)?;
        let pid = self.fresh_pid();
        let (started_at, _) = self.stamp();
        let container = self.container_mut(id)?;
        container.run += 1;
        let run = container.run;
        container.state = ContainerState::Running;
        container.exit_code = None;
        container.oom_killed = false;
        container.error.clear();
        container.started_at = Some(started_at);
        container.since = Instant::now();
        container.pid = pid;
        container.process = Some(process);
        container.behaviour = behaviour;
        container.ending = None;
        let first_probe = container.health.begin();
        self.record(id, SimEventKind::Started);
        self.emit_container(id, "start", &[]);
        self.after(
            LAUNCH,
            Timer::Step {
                container: id.to_owned(),
                run,
            },
        );
        if let Some(interval) = first_probe {
            self.after(
                interval,
                Timer::Probe {
                    container: id.to_owned(),
                    run,
                },
            );
        }
        Ok(())
    }

    /// What the container's process will do.
    fn launch(&self, container: &Container) -> Answer<(Process, Option<Behaviour>)> {
        let invalid = |message: String| Refusal::new(ErrorKind::Invalid, message);
        let behaviour = match Behaviour::hinted(&container.env).map_err(invalid)? {
            Some(behaviour) => Some(behaviour),
            None => self
                .habit_of(container)
                .or_else(|| self.behaviour_of(container).cloned()),
        };
        if let Some(behaviour) = behaviour {
            if let Run::CannotStart { message } = &behaviour.run {
                return Err(invalid(message.clone()));
            }
            let process = Process::new(behaviour.program(), behaviour.on_term);
            return Ok((process, Some(behaviour)));
        }
        let program = container.argv.first().map_or("", String::as_str);
        self.check_program(&container.image_id, program)
            .map_err(|why| {
                invalid(format!(
                    "failed to create shim task: OCI runtime create failed: runc create failed: unable to start \
                     container process: exec: \"{program}\": {why}: unknown"
                ))
            })?;
        let program = compile(&container.argv, &container.env);
        let reads_input = container.body.open_stdin == Some(true)
            && container.body.stdin_once == Some(true)
            && matches!(program.ops.as_slice(), [Op::Unknown(_)]);
        if reads_input {
            // Nobody keeps standard input for one attachment only, unless the program waits for its end.
            let behaviour = Behaviour::reads_input();
            let process = Process::new(behaviour.program(), behaviour.on_term);
            return Ok((process, Some(behaviour)));
        }
        let on_term = if container.body.host_config.init == Some(true) {
            OnTerm::Exit {
                after: Duration::ZERO,
                code: 143,
            }
        } else {
            OnTerm::Ignore
        };
        Ok((Process::new(Arc::new(program), on_term), None))
    }

    fn habit_of(&self, container: &Container) -> Option<Behaviour> {
        let habits = self.habits.as_ref()?;
        habits(&container.body.labels, &container.body.image)
    }

    fn behaviour_of(&self, container: &Container) -> Option<&Behaviour> {
        if let Some(behaviour) = self.behaviours.get(&normalise(&container.body.image)) {
            return Some(behaviour);
        }
        let image = self.images.get(&container.image_id)?;
        image
            .repo_tags
            .iter()
            .find_map(|tag| self.behaviours.get(&normalise(tag)))
    }

    /// Lets the process of that run go on.
    pub fn step(&mut self, id: &str, run: u64) {
        loop {
            let asks = self
                .containers
                .get(id)
                .and_then(|container| container.process.as_ref())
                .is_some_and(Process::resolves_names);
            let names = if asks {
                self.names_of(id)
            } else {
                BTreeSet::new()
            };
            let Some(container) = self.containers.get_mut(id) else {
                return;
            };
            if container.run != run || !container.is_running() {
                return;
            }
            let Some(process) = container.process.as_mut() else {
                return;
            };
            let turn = process.turn(&mut World {
                files: &mut container.files,
                names: &names,
                input: &mut container.stdin.buffer,
                input_ended: container.stdin.ended,
            });
            match turn {
                Turn::Print(stream, bytes) => {
                    let (_, nanos) = self.stamp();
                    if let Some(container) = self.containers.get_mut(id) {
                        let tty = container.body.tty == Some(true);
                        container.log.write(nanos, stream, &bytes, tty);
                    }
                }
                Turn::Sleep(Some(time)) => {
                    self.after(
                        time,
                        Timer::Step {
                            container: id.to_owned(),
                            run,
                        },
                    );
                    return;
                }
                Turn::Sleep(None) | Turn::Read => return,
                Turn::End(code) => {
                    self.end_run(id, run, code);
                    return;
                }
            }
        }
    }

    /// Sends SIGTERM to a running container; the receiver hears of its end. `None`: it does not run.
    pub fn terminate(
        &mut self,
        target: &str,
        cause: Cause,
    ) -> Answer<Option<(String, watch::Receiver<u64>)>> {
        let id = self.find(target)?;
        let container = self.container_mut(&id)?;
        if !container.is_running() {
            return Ok(None);
        }
        container.ending = Some(cause);
        let run = container.run;
        let ended = container.ended.subscribe();
        let end = container.process.as_mut().and_then(Process::terminate);
        self.emit_container(&id, "kill", &[("signal", "15".to_owned())]);
        if let Some((after, code)) = end {
            self.after(
                after,
                Timer::End {
                    container: id.clone(),
                    run,
                    code,
                },
            );
        }
        Ok(Some((id, ended)))
    }

    /// Kills it, if it runs.
    pub fn kill(&mut self, id: &str, code: i64, cause: Cause) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        if !container.is_running() {
            return;
        }
        container.ending = Some(cause);
        let run = container.run;
        self.emit_container(id, "kill", &[("signal", "9".to_owned())]);
        self.end_run(id, run, code);
    }

    /// The end of a run: state, ports and addresses, whoever waits for it, and its removal where it removes itself.
    pub fn end_run(&mut self, id: &str, run: u64, code: i64) {
        let Some(container) = self.containers.get(id) else {
            return;
        };
        if container.run != run || !container.is_running() {
            return;
        }
        let out_of_memory = container.ending.is_none()
            && container
                .behaviour
                .as_ref()
                .is_some_and(|behaviour| matches!(behaviour.run, Run::OutOfMemory { .. }));
        self.end_run_as(id, code, out_of_memory);
    }

    /// [`State::end_run`], and whether the kernel did it for the memory.
    pub fn end_run_as(&mut self, id: &str, code: i64, out_of_memory: bool) {
        if out_of_memory {
            self.emit_container(id, "oom", &[]);
        }
        let (finished_at, _) = self.stamp();
        self.disconnect(id);
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.state = ContainerState::Exited;
        container.exit_code = Some(code);
        container.oom_killed = out_of_memory;
        container.finished_at = Some(finished_at);
        container.pid = 0;
        container.process = None;
        container.stdin = Stdin {
            buffer: Vec::new(),
            ended: container.body.open_stdin != Some(true),
        };
        container.health.end();
        container.log.cut();
        let cause = container.ending.take().unwrap_or(Cause::Own);
        let auto_remove = container.body.host_config.auto_remove == Some(true);
        self.record(id, SimEventKind::Exited { code, cause });
        self.emit_container(id, "die", &[("exitCode", code.to_string())]);
        self.end_execs_of(id);
        if let Some(container) = self.containers.get_mut(id) {
            container.ended.send_modify(|ends| *ends += 1);
            if auto_remove {
                container.ending = Some(cause);
                self.mark_removing(id);
            }
        }
    }
}
