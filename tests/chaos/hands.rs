//! What a run does: it carries out the plan on a real Longshore and real engines, and tells the witness beforehand.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use longshore::api::client::Client;
use longshore::manifest::source;
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::common;
use crate::folder::{APP, Folder};
use crate::machines::Machines;
use crate::plan::{Act, Blow, End, NAMES, Outage, Plan, Verb};
use crate::witness::{Fact, Witness};

/// How soon a process that ended by itself is started again, as systemd would.
const REVIVE: Duration = Duration::from_secs(1);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(200);
/// How long SIGTERM may take.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How long a command may take before nobody waits for it any more.
const COMMAND_WITHIN: Duration = Duration::from_secs(15);
/// The size of the disk that the state is on.
const DISK: &str = "size=24m";

/// How often something was done, and how often it could not be: Longshore or the engine was away, or said no.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub done: u32,
    pub not: u32,
}

/// See the module.
pub struct Hands {
    pub machines: Machines,
    pub witness: Witness,
    pub counts: BTreeMap<String, Count>,
    /// What was wrong with the process itself.
    pub wrong: Vec<String>,
    began: Instant,
    /// The manifests as they are in the folder.
    written: BTreeMap<String, String>,
    /// Those that are being written, with how much of them is.
    unfinished: BTreeMap<String, (File, usize)>,
    /// When Longshore comes back, if it is away.
    back_at: Option<Instant>,
    outages: BTreeMap<u32, JoinHandle<()>>,
    disk: PathBuf,
    /// The disk was full since Longshore was last started.
    cramped: bool,
}

impl Hands {
    /// Gives the state a small disk of its own. It lies in the rig of the engines, which takes it away with everything else.
    pub fn new(machines: Machines, witness: Witness) -> Self {
        let disk = machines.engines.dir().join("disk");
        std::fs::create_dir(&disk).expect("a folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "tmpfs"])
            .arg(&disk)
            .status();
        assert!(mounted.is_ok_and(|status| status.success()), "a disk");
        std::os::unix::fs::symlink(&disk, machines.rig.state_dir()).expect("a link");
        Self {
            machines,
            witness,
            counts: BTreeMap::new(),
            wrong: Vec::new(),
            began: Instant::now(),
            written: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            back_at: None,
            outages: BTreeMap::new(),
            disk,
            cramped: false,
        }
    }

    pub fn client(&self) -> Client {
        Client::at(self.machines.rig.socket())
    }

    /// How many engines there are.
    fn engines(&self) -> u64 {
        self.machines.members.len() as u64
    }

    /// A line of the run's log.
    pub fn say(&self, line: &str) {
        let at = self.began.elapsed().as_secs_f32();
        println!("[{} engines] {at:>7.1} s  {line}", self.engines());
    }

    /// Carries the plan out.
    pub async fn play(&mut self, plan: &Plan) {
        self.began = Instant::now();
        let began = self.began;
        for (at, act) in &plan.acts {
            self.wait_until(began + *at).await;
            let (what, done) = self.act(act).await;
            let count = self.counts.entry(what.clone()).or_default();
            let how = match done {
                true => {
                    count.done += 1;
                    ""
                }
                false => {
                    count.not += 1;
                    " (not done)"
                }
            };
            self.say(&format!("{what}{how}"));
        }
    }

    /// Lets time pass; Longshore is started again in it.
    async fn wait_until(&mut self, until: Instant) {
        loop {
            if let Some(code) = self.machines.rig.ended() {
                self.ended_by_itself(code);
            }
            if self.back_at.is_some_and(|at| at <= Instant::now()) {
                self.back_at = None;
                self.start();
            }
            if Instant::now() >= until {
                return;
            }
            sleep_until(until.min(Instant::now() + LOOK)).await;
        }
    }

    fn start(&mut self) {
        self.cramped = self.is_full();
        self.machines.rig.spawn(&[]);
    }

    fn is_full(&self) -> bool {
        self.ballast().exists()
    }

    fn ballast(&self) -> PathBuf {
        self.disk.join("ballast")
    }

    /// Only a disk that is full is a reason to.
    fn ended_by_itself(&mut self, code: i32) {
        let log = self.machines.rig.log();
        let last = log.lines().last().unwrap_or_default();
        let text = format!("Longshore ended by itself, code {code}: {last}");
        self.say(&text);
        if !self.cramped {
            self.wrong.push(text);
        }
        let what = "ended by itself, the disk being full";
        self.counts.entry(what.to_owned()).or_default().done += 1;
        self.back_at = Some(Instant::now() + REVIVE);
    }

    /// What was done, and whether it could be.
    async fn act(&mut self, act: &Act) -> (String, bool) {
        match act {
            Act::Edit(what, folder) => {
                self.save(folder);
                (format!("edit: {what}"), true)
            }
            Act::Container(blow, engine, pick) => {
                let what = match blow {
                    Blow::Kill => "container: docker kill",
                    Blow::Remove => "container: docker rm -f",
                    Blow::Process => "container: kill -9 of its process",
                    Blow::Sicken => "container: health check fails",
                };
                (what.to_owned(), self.strike(*blow, *engine, *pick).await)
            }
            Act::Longshore(end, down) => {
                let what = match end {
                    End::Killed => "Longshore: kill -9",
                    End::Terminated => "Longshore: SIGTERM",
                    End::KilledTwice => "Longshore: kill -9, and again while it starts",
                };
                (what.to_owned(), self.end(*end, *down).await)
            }
            Act::Engine(engine, how, away) => {
                let what = match how {
                    Outage::Killed => "engine: kill -9, started again",
                    Outage::Stopped => "engine: stopped, started again",
                    Outage::Cut => "engine: network cut, and healed",
                };
                (what.to_owned(), self.outage(*engine, *how, *away))
            }
            Act::Verb(verb, service) => {
                let what = format!("order: {}", verb.words().join(" "));
                (what, self.ask_about(*verb, service).await)
            }
            Act::StopTask(engine, pick) => {
                let done = self.stop_task(*engine, *pick).await;
                ("order: stop".to_owned(), done)
            }
            Act::Drain(pick) => ("order: drain".to_owned(), self.set("drain", *pick).await),
            Act::Activate(pick) => {
                let done = self.set("activate", *pick).await;
                ("order: activate".to_owned(), done)
            }
            Act::DiskFull => {
                self.fill();
                ("disk: full".to_owned(), true)
            }
            Act::DiskFree => {
                let was = self.free();
                ("disk: freed".to_owned(), was)
            }
        }
    }

    /// Makes the folder be like this, each file in the way in which it would be saved.
    pub fn save(&mut self, folder: &Folder) {
        self.witness.edited(folder);
        let rig = &self.machines.rig;
        let path = |file: &str| rig.folder().join(file);
        let (files, unfinished) = folder.files(&rig.cluster);
        let gone: Vec<String> = self
            .written
            .keys()
            .filter(|file| !files.contains_key(*file))
            .cloned()
            .collect();
        for old in gone {
            let text = self.written.remove(&old).unwrap_or_default();
            let half = self.unfinished.remove(&old);
            let new = files
                .iter()
                .find(|(file, new)| **new == text && !self.written.contains_key(*file));
            match new {
                Some((new, _)) => {
                    std::fs::rename(path(&old), path(new)).expect("renamed");
                    self.written.insert(new.clone(), text);
                    self.unfinished.extend(half.map(|half| (new.clone(), half)));
                }
                None => rig.remove(&old),
            }
        }
        for (file, text) in files {
            let same = self.written.get(&file) == Some(&text);
            match (unfinished.contains(&file), self.unfinished.remove(&file)) {
                (true, Some(half)) if same => {
                    self.unfinished.insert(file, half);
                }
                (true, _) => {
                    let half = text.len() / 2;
                    let mut open = File::create(path(&file)).expect("created");
                    open.write_all(&text.as_bytes()[..half]).expect("written");
                    self.unfinished.insert(file.clone(), (open, half));
                    self.written.insert(file, text);
                }
                (false, Some((mut open, half))) if same => {
                    open.write_all(&text.as_bytes()[half..]).expect("written");
                }
                (false, None) if same => {}
                (false, _) => {
                    rig.write(&file, &text);
                    self.written.insert(file, text);
                }
            }
        }
    }

    /// Whether an engine is there, as far as we have not taken it away.
    fn is_there(&self, engine: u32) -> bool {
        let outage = self.outages.get(&engine);
        outage.is_none_or(JoinHandle::is_finished)
    }

    /// What docker prints about an engine; `None` where it fails.
    async fn docker(&self, engine: u32, arguments: &[&str]) -> Option<String> {
        let socket = format!("unix://{}", self.machines.engines.socket(engine).display());
        let mut command = Command::new("docker");
        command.arg("-H").arg(socket).args(arguments);
        let output = finish(command).await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// A running container of a task, and the task; of the app's only, where asked for.
    async fn victim(&self, engine: u32, pick: u64, app: bool) -> Option<(String, String)> {
        if !self.is_there(engine) {
            return None;
        }
        let of = |label: &str| format!("{{{{.Label \"{label}\"}}}}");
        let format = format!(
            "{{{{.Names}}}}|{{{{.ID}}}}|{}|{}",
            of(longshore::engine::labels::TASK),
            of(common::RUN_LABEL)
        );
        let mut filter = format!("label={}", longshore::engine::labels::TASK);
        if app {
            filter = format!("label={}={APP}", longshore::engine::labels::CONTAINER);
        }
        let all = ["ps", "--no-trunc", "--filter", &filter, "--format", &format];
        let listed = self.docker(engine, &all).await?;
        let mut found: Vec<Vec<&str>> = listed
            .lines()
            .map(|line| line.split('|').collect())
            .filter(|fields: &Vec<&str>| fields.len() == 4 && fields[3].is_empty())
            .collect();
        found.sort();
        let at = usize::try_from(pick % found.len().max(1) as u64).ok()?;
        let fields = found.get(at)?;
        Some((fields[1].to_owned(), fields[2].to_owned()))
    }

    async fn strike(&mut self, blow: Blow, engine: u32, pick: u64) -> bool {
        let app = blow == Blow::Sicken;
        let Some((id, _)) = self.victim(engine, pick, app).await else {
            return false;
        };
        match blow {
            Blow::Kill | Blow::Remove => {
                self.witness.tell(Fact::Struck(id.clone()));
                let words = match blow {
                    Blow::Kill => &["kill", &id][..],
                    _ => &["rm", "-f", &id],
                };
                self.docker(engine, words).await.is_some()
            }
            Blow::Process => {
                let format = ["inspect", "-f", "{{.State.Pid}}", &id];
                let pid = self.docker(engine, &format).await.unwrap_or_default();
                let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup"));
                // It may have ended, and its number may be another's.
                if !group.is_ok_and(|group| group.contains(&id)) {
                    return false;
                }
                self.witness.tell(Fact::Struck(id));
                let mut kill = Command::new("kill");
                kill.args(["-KILL", &pid]);
                finish(kill).await.is_some_and(|done| done.status.success())
            }
            Blow::Sicken => {
                let words = ["exec", &id, "rm", "-f", "/tmp/up"];
                self.docker(engine, &words).await.is_some()
            }
        }
    }

    async fn end(&mut self, end: End, down: Duration) -> bool {
        if !self.machines.rig.is_started() {
            return false;
        }
        match end {
            End::Killed => self.machines.rig.kill(),
            End::KilledTwice => {
                self.machines.rig.kill();
                self.start();
                sleep(down / 2).await;
                match self.machines.rig.ended() {
                    Some(code) => self.ended_by_itself(code),
                    None => self.machines.rig.kill(),
                }
            }
            End::Terminated => {
                self.machines.rig.ask_to_end();
                let asked = Instant::now();
                loop {
                    match self.machines.rig.ended() {
                        Some(0) => break,
                        Some(code) => {
                            self.wrong.push(format!("SIGTERM: it ended with {code}"));
                            break;
                        }
                        None if asked.elapsed() > END_WITHIN => {
                            self.wrong
                                .push(format!("SIGTERM: it has not ended after {END_WITHIN:?}"));
                            self.machines.rig.kill();
                            break;
                        }
                        None => sleep(LOOK / 10).await,
                    }
                }
            }
        }
        self.back_at = Some(Instant::now() + down);
        true
    }

    fn outage(&mut self, number: u32, how: Outage, away: Duration) -> bool {
        if !self.is_there(number) {
            return false;
        }
        let (goes, returns) = match how {
            Outage::Killed => ("kill", "start"),
            Outage::Stopped => ("stop", "start"),
            Outage::Cut => ("cut", "heal"),
        };
        let engines = &self.machines.engines;
        let command = |word: &str| Command::from(engines.command(&[word, &number.to_string()]));
        let (mut goes, mut returns) = (command(goes), command(returns));
        let witness = self.witness.clone();
        witness.away(number, how != Outage::Cut);
        let outage = async move {
            let gone = goes.status().await;
            sleep(away).await;
            let back = returns.status().await;
            let fine = |ended: std::io::Result<std::process::ExitStatus>| {
                ended.is_ok_and(|status| status.success())
            };
            assert!(fine(gone) && fine(back), "an engine obeys");
            witness.back(number);
        };
        self.outages.insert(number, tokio::spawn(outage));
        true
    }

    /// Runs a command of the program; whether it succeeded.
    async fn longshore(&self, words: &[&str]) -> bool {
        match finish(Command::from(self.machines.rig.command(words))).await {
            Some(output) if output.status.success() => true,
            Some(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let first = said.lines().next().unwrap_or_default();
                self.say(&format!("{}: {first}", words.join(" ")));
                false
            }
            None => {
                self.say(&format!("{}: no answer", words.join(" ")));
                false
            }
        }
    }

    pub async fn ask_about(&self, verb: Verb, service: &str) -> bool {
        let mut words = verb.words().to_vec();
        words.push(service);
        // Where it is not known whether the order arrived, nothing is held against what follows.
        if verb == Verb::Resume {
            self.witness.suspended(service, false);
        }
        let done = self.longshore(&words).await;
        if done && verb == Verb::Suspend {
            self.witness.suspended(service, true);
        }
        done
    }

    async fn stop_task(&self, engine: u32, pick: u64) -> bool {
        let Some((_, task)) = self.victim(engine, pick, true).await else {
            return false;
        };
        self.witness.tell(Fact::AskedToStop(task.clone()));
        self.longshore(&["stop", &task]).await
    }

    async fn set(&self, word: &str, pick: u64) -> bool {
        let at = usize::try_from(pick % self.engines()).unwrap_or(0);
        self.longshore(&[word, self.machines.members[at].name])
            .await
    }

    fn fill(&mut self) {
        self.witness.disk(true);
        self.cramped = true;
        let mut ballast = File::create(self.ballast()).expect("a file");
        let block = [0_u8; 1 << 16];
        while ballast.write_all(&block).is_ok() {}
    }

    fn free(&mut self) -> bool {
        let was = std::fs::remove_file(self.ballast()).is_ok();
        self.witness.disk(false);
        was
    }

    /// From now on nothing goes wrong, and the folder is to be as the plan leaves it.
    pub async fn calm(&mut self, folder: &Folder) {
        self.free();
        for (_, outage) in std::mem::take(&mut self.outages) {
            outage.await.expect("the engine is back");
        }
        if let Some(code) = self.machines.rig.ended() {
            self.ended_by_itself(code);
        }
        if !self.machines.rig.is_started() {
            self.back_at = None;
            self.start();
        }
        self.machines.rig.listening();
        self.save(folder);
        let wanted = source::scan(&self.machines.rig.folder()).hash();
        let taken = timeout(COMMAND_WITHIN, async {
            loop {
                let status = self.client().status().await;
                if status.is_ok_and(|s| s.folder.applied && s.folder.folder_hash == wanted) {
                    return;
                }
                sleep(LOOK).await;
            }
        });
        if taken.await.is_err() {
            self.wrong.push(format!(
                "the folder was not taken within {COMMAND_WITHIN:?}"
            ));
        }
        for member in &self.machines.members {
            self.longshore(&["activate", member.name]).await;
        }
        for name in NAMES {
            // What was not asked for before is refused, and that is well.
            self.ask_about(Verb::Resume, name).await;
            self.ask_about(Verb::Unpause, name).await;
            self.ask_about(Verb::Retry, name).await;
        }
    }
}

/// Runs it to its end, for as long as a command may take.
async fn finish(mut command: Command) -> Option<Output> {
    command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    timeout(COMMAND_WITHIN, command.output()).await.ok()?.ok()
}
