//! `validate` against check-jsonschema, with the same schema over the same files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::measure::{Table, median};

const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/schemas/task-definition.schema.json"
);

fn write(folder: &Path, count: usize) {
    for n in 0..count {
        let text = format!(
            "apiVersion: longshore/v1\nkind: TaskDefinition\nmetadata:\n  name: web-{n}\nspec:\n  networkMode: awsvpc\n  cpu: '256'\n  \
             memory: '512'\n  containerDefinitions:\n    - name: app\n      image: registry.example/web:{n}\n      essential: true\n      \
             portMappings:\n        - {{containerPort: 8080, protocol: tcp}}\n      environment:\n        - {{name: MODE, value: \
             production}}\n      healthCheck: {{command: [CMD-SHELL, 'wget -q -O- localhost:8080 || exit 1'], interval: 5}}\n"
        );
        fs::write(folder.join(format!("web-{n}.yaml")), text).expect("written");
    }
}

fn time(mut command: Command, rounds: usize) -> f64 {
    let times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            let status = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("it runs");
            assert!(status.success(), "the files are valid");
            begun.elapsed().as_secs_f64()
        })
        .collect();
    median(&times)
}

/// 1,000 and 10,000 files.
pub fn measure(table: &mut Table) {
    let peer = std::env::var_os("CHECK_JSONSCHEMA").unwrap_or_else(|| "check-jsonschema".into());
    let has_peer = Command::new(&peer)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    for count in [1_000, 10_000] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        write(dir.path(), count);
        let mut ours = Command::new(env!("CARGO_BIN_EXE_longshore"));
        ours.arg("validate").arg(dir.path());
        let ours = time(ours, 5);
        let against = match has_peer {
            false => String::new(),
            true => {
                let mut theirs = Command::new(&peer);
                theirs
                    .args(["--schemafile", SCHEMA])
                    .args((0..count).map(|n| dir.path().join(format!("web-{n}.yaml"))));
                let theirs = time(theirs, 1);
                format!(" against {theirs:.1} s ({:.0}×)", theirs / ours)
            }
        };
        table.row(&[
            format!("`validate` of {count} files"),
            format!("{:.0} ms{against}", ours * 1e3),
            "median of 5, process start included; check-jsonschema once, which does not cross-check".to_owned(),
        ]);
    }
}
