//! Rollouts under a constant load on published ports: no request fails that asks a task that serves, from outside by the ports
//! that tasks report, and from inside by the service's DNS name (P3). The raw figures are printed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::api::client::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::floor::Recording;
use crate::guarded::breaker;
use crate::rig::{Declared, PATIENCE, Rig};

/// Tasks of the service.
const COUNT: usize = 3;

/// Clients that ask at the same time.
const CLIENTS: usize = 4;

/// How often the list of tasks is read, as a load balancer would be told of its targets.
const LOOK: Duration = Duration::from_millis(100);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// A server that goes on serving for a second after it was told to stop, as who is balanced to has to, and the version that it
/// answers. `crash` is run in its place where it is not empty.
fn write(rig: &Rig, version: &str, crash: &str) {
    let script = format!(
        "{crash}
mkdir /w; echo \"version $VERSION\" > /w/index.html
httpd -f -p 8080 -h /w & server=$!
trap 'sleep 1; kill $server; exit 0' TERM
wait"
    );
    let container = format!(
        "environment: [{{name: VERSION, value: '{version}'}}]
portMappings: [{{containerPort: 8080}}]
healthCheck: {{command: [CMD-SHELL, 'wget -q -O /dev/null http://127.0.0.1:8080/'], interval: 5, timeout: 2, retries: 2}}
stopTimeout: 10"
    );
    rig.declare(
        "web",
        &Declared {
            script: &script,
            container: &container,
            service: &format!("desiredCount: {COUNT}\n{}", breaker()),
            ..Declared::default()
        },
    );
}

/// A client inside of the cluster that asks for the service by its name, and tries each request up to ten times. The name
/// resolves to every task that runs, also to one that does not listen yet, or no more.
fn write_client(rig: &Rig) {
    rig.declare(
        "client",
        &Declared {
            script: "requests=0
while true; do
  answer=
  for try in 1 2 3 4 5 6 7 8 9 10; do
    answer=$(busybox timeout 3 wget -q -O - http://web:8080/ 2>&1)
    code=$?
    if test $code = 0; then break; fi
    echo \"attempt: exit $code $answer\"
    answer=
    usleep 50000
  done
  requests=$((requests+1))
  if test -z \"$answer\"; then echo failed; fi
  if test $((requests % 20)) = 0; then echo requests $requests; fi
  usleep 10000
done",
            container: "stopTimeout: 1",
            service: "desiredCount: 1",
            ..Declared::default()
        },
    );
}

/// What came of the requests.
#[derive(Debug, Default)]
struct Figures {
    requests: usize,
    /// Requests that got no answer from any task that was asked, by the reason of the last.
    failed: BTreeMap<String, usize>,
    /// Single attempts that failed, by reason, also of requests that another task answered then.
    attempts: BTreeMap<String, usize>,
    /// Answers, by what they said.
    answers: BTreeMap<String, usize>,
}

/// A load on the tasks of a service, through the ports that they report.
struct Load {
    figures: Arc<Mutex<Figures>>,
    least_targets: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    running: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins with the tasks that serve now, of which there must be some.
    async fn on(rig: &Rig, service: &'static str) -> Self {
        let client = Client::at(rig.path().join("s.sock"));
        let cluster = rig.cluster.clone();
        let first = targets(&client, &cluster, service).await;
        assert!(!first.is_empty(), "no task serves");
        let least_targets = Arc::new(AtomicUsize::new(first.len()));
        let list = Arc::new(Mutex::new(first));
        let figures = Arc::new(Mutex::new(Figures::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = Vec::new();
        running.push(tokio::spawn({
            let (list, stop) = (Arc::clone(&list), Arc::clone(&stop));
            let least = Arc::clone(&least_targets);
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let now = targets(&client, &cluster, service).await;
                    least.fetch_min(now.len(), Ordering::Relaxed);
                    *list.lock().expect("no panic") = now;
                    tokio::time::sleep(LOOK).await;
                }
            }
        }));
        for number in 0..CLIENTS {
            let (list, stop) = (Arc::clone(&list), Arc::clone(&stop));
            let figures = Arc::clone(&figures);
            running.push(tokio::spawn(async move {
                let mut turn = number;
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    request(&list, turn, &figures).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }));
        }
        Self {
            figures,
            least_targets,
            stop,
            running,
        }
    }

    /// Ends it; the figures, and the least number of tasks that there were to ask.
    async fn end(self) -> (Figures, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for one in self.running {
            one.await.expect("no panic");
        }
        let figures = std::mem::take(&mut *self.figures.lock().expect("no panic"));
        (figures, self.least_targets.load(Ordering::Relaxed))
    }
}

/// The ports of the tasks that a load balancer would send requests to: RUNNING, to go on RUNNING, and healthy.
async fn targets(client: &Client, cluster: &str, service: &str) -> Vec<u16> {
    let ask = async |operation: &str, input: Value| {
        let answer = client.ecs(operation, &input).await;
        answer.unwrap_or_else(|e| panic!("{operation}: {e}"))
    };
    let listed = ask(
        "ListTasks",
        json!({"cluster": cluster, "serviceName": service, "desiredStatus": "RUNNING"}),
    )
    .await;
    if listed["taskArns"].as_array().is_none_or(Vec::is_empty) {
        return Vec::new();
    }
    let described = ask(
        "DescribeTasks",
        json!({"cluster": cluster, "tasks": listed["taskArns"]}),
    )
    .await;
    let tasks = described["tasks"].as_array().expect("tasks");
    tasks
        .iter()
        .filter(|task| {
            task["lastStatus"] == "RUNNING"
                && task["desiredStatus"] == "RUNNING"
                && task["healthStatus"] == "HEALTHY"
        })
        .filter_map(|task| task["containers"][0]["networkBindings"][0]["hostPort"].as_u64())
        .filter_map(|port| u16::try_from(port).ok())
        .collect()
}

/// One request: to the task whose turn it is and, where nothing listens there any more, to the others.
async fn request(list: &Mutex<Vec<u16>>, turn: usize, figures: &Mutex<Figures>) {
    let known = list.lock().expect("no panic").clone();
    let mut why = "nobody to ask".to_owned();
    let mut answered = None;
    let mut attempts = Vec::new();
    for next in 0..known.len() {
        match ask(known[(turn + next) % known.len()]).await {
            Ok(answer) => {
                answered = Some(answer);
                break;
            }
            Err(reason) => {
                attempts.push(reason.clone());
                why = reason;
                if why != "refused" {
                    break;
                }
            }
        }
    }
    let mut figures = figures.lock().expect("no panic");
    figures.requests += 1;
    for reason in attempts {
        *figures.attempts.entry(reason).or_default() += 1;
    }
    match answered {
        Some(answer) => *figures.answers.entry(answer).or_default() += 1,
        None => *figures.failed.entry(why).or_default() += 1,
    }
}

/// What the task behind that port answers, or why it does not.
async fn ask(port: u16) -> Result<String, String> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = match tokio::time::timeout(ANSWER, exchange).await {
        Err(_) => return Err("timeout".to_owned()),
        Ok(Err(error)) => {
            return Err(match error.kind() {
                ErrorKind::ConnectionRefused => "refused".to_owned(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
                kind => kind.to_string(),
            });
        }
        Ok(Ok(answer)) => answer,
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split_whitespace().nth(1) {
        None => Err("closed without an answer".to_owned()),
        Some("200") if body.starts_with("version ") => Ok(body.trim().to_owned()),
        Some("200") => Err("half an answer".to_owned()),
        Some(status) => Err(format!("HTTP {status}")),
    }
}

/// What the client inside said of itself: requests, failed ones, and the attempts that failed, by what wget said.
fn inside(rig: &Rig) -> (usize, usize, BTreeMap<String, usize>) {
    let said = rig.run(&["logs", "client", "--tail", "100000"]).stdout;
    let (mut requests, mut failed, mut attempts) = (0, 0, BTreeMap::new());
    for line in said.lines() {
        if let Some((_, number)) = line.split_once("requests ") {
            requests = number.trim().parse().unwrap_or(requests);
        } else if let Some((_, why)) = line.split_once("attempt: ") {
            let why = why.rsplit(':').next().unwrap_or(why).trim();
            *attempts.entry(why.to_owned()).or_default() += 1;
        } else if line.ends_with("failed") {
            failed += 1;
        }
    }
    (requests, failed, attempts)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_a_service_rolls_out_and_while_it_goes_back_from_a_bad_version() {
    let Some(mut rig) = Rig::new("load").await else {
        return;
    };
    let recording = Recording::of(&rig, "web").await;
    write(&rig, "1", "");
    write_client(&rig);
    rig.start();
    rig.steady();

    let load = Load::on(&rig, "web").await;
    write(&rig, "2", "");
    rig.steady();
    write(&rig, "3", "echo cannot serve; exit 1");
    let ended = rig.apply(PATIENCE.as_secs());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("web:2 runs in its place"),
        "{}",
        ended.stderr
    );
    let (figures, least_targets) = load.end().await;
    let (requests, failed, attempts) = inside(&rig);
    let extremes = recording.judge(COUNT, true);

    let total: usize = figures.failed.values().sum();
    eprintln!(
        "published ports: requests {}, failed {total} {:?}, attempts that failed {:?}, answers {:?}",
        figures.requests, figures.failed, figures.attempts, figures.answers
    );
    eprintln!("DNS name: requests {requests}, failed {failed}, attempts that failed {attempts:?}");
    eprintln!(
        "least tasks to ask {least_targets}, least healthy {}, most tasks {}",
        extremes.least_healthy, extremes.most_tasks
    );
    assert!(figures.failed.is_empty(), "{figures:?}");
    assert_eq!(failed, 0, "{attempts:?}");
    assert!(figures.requests > 100 && requests > 20);
    for version in ["version 1", "version 2"] {
        assert!(figures.answers.contains_key(version), "{figures:?}");
    }
    assert!(!figures.answers.contains_key("version 3"), "{figures:?}");
    assert!(least_targets >= COUNT, "{least_targets}");
    assert!(extremes.least_healthy >= COUNT, "{extremes:?}");
}
