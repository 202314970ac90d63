//! Tests on real folders. Nothing here sleeps: each waits for the scan that must come.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;

use super::*;
use crate::manifest::source::{FileContent, FolderState};

/// Far beyond what a busy machine needs; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Watched {
    _dir: tempfile::TempDir,
    top: PathBuf,
    scans: mpsc::Receiver<Scan>,
    _cancel: tokio_util::sync::DropGuard,
}

/// Only hints can find changes: the timer comes too late.
fn by_hints() -> WatchOptions {
    WatchOptions {
        rescan_interval: PATIENCE * 10,
        poll_interval: PATIENCE * 10,
        poll_only: false,
    }
}

fn by_polling() -> WatchOptions {
    WatchOptions {
        poll_only: true,
        poll_interval: Duration::from_millis(20),
        ..by_hints()
    }
}

impl Watched {
    /// Watches `manifests` below a fresh folder that `prepare` filled, and takes the first scan.
    async fn new(options: WatchOptions, prepare: impl FnOnce(&Path)) -> (Self, Scan) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        prepare(&top);
        let cancel = CancellationToken::new();
        let scans = watch(top.join("manifests"), options, cancel.clone());
        let mut watched = Self {
            _dir: dir,
            top,
            scans,
            _cancel: cancel.drop_guard(),
        };
        let first = watched.next().await;
        (watched, first)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.join("manifests").join(path)
    }

    async fn next(&mut self) -> Scan {
        tokio::time::timeout(PATIENCE, self.scans.recv())
            .await
            .expect("a scan in time")
            .expect("the watcher lives")
    }

    /// Waits for a scan with these files, and returns all that came until then.
    async fn until(&mut self, files: &[(&str, &str)]) -> Vec<Scan> {
        let wanted: Vec<_> = files
            .iter()
            .map(|(n, t)| (n.to_string(), t.to_string()))
            .collect();
        let mut all = Vec::new();
        loop {
            let scan = self.next().await;
            let found = texts(&scan) == wanted;
            all.push(scan);
            if found {
                return all;
            }
            assert!(all.len() < 5000, "{:?}", texts(all.last().unwrap()));
        }
    }

    /// Makes the watcher look and hand on: a scan with this file comes after everything before it, and from a look that
    /// came after the first one had set its watches.
    async fn sentinel(&mut self, name: &str) -> Scan {
        fs::write(self.at(name), "sentinel").unwrap();
        loop {
            let scan = self.next().await;
            if scan.files.contains_key(name) {
                return scan;
            }
        }
    }
}

fn texts(scan: &Scan) -> Vec<(String, String)> {
    scan.files
        .iter()
        .map(|(name, content)| match content {
            FileContent::Text(file) => (name.clone(), file.text.clone()),
            FileContent::Problem(problem) => (name.clone(), format!("{problem:?}")),
        })
        .collect()
}

fn one_file(top: &Path) {
    fs::create_dir(top.join("manifests")).unwrap();
    fs::write(top.join("manifests/a.yaml"), "1").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_scan_comes_at_once_and_names_the_folder_as_given() {
    let (watched, first) = Watched::new(by_hints(), one_file).await;
    assert_eq!(first.state, FolderState::Present);
    assert_eq!(first.root, watched.top.join("manifests"));
    assert_eq!(texts(&first), [("a.yaml".into(), "1".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_atomic_rename_is_seen_as_one_change() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for text in ["2", "3"] {
        fs::write(watched.at(".a.yaml.new"), text).unwrap();
        fs::rename(watched.at(".a.yaml.new"), watched.at("a.yaml")).unwrap();
        assert_eq!(watched.until(&[("a.yaml", text)]).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_in_place_is_seen() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for text in ["22", "33", "4"] {
        fs::write(watched.at("a.yaml"), text).unwrap();
        watched.until(&[("a.yaml", text)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_seen_by_polling_alone() {
    let (mut watched, _) = Watched::new(by_polling(), one_file).await;
    fs::write(watched.at("a.yaml"), "2").unwrap();
    watched.until(&[("a.yaml", "2")]).await;
    fs::create_dir(watched.at("sub")).unwrap();
    fs::write(watched.at("sub/b.yaml"), "b").unwrap();
    watched.until(&[("a.yaml", "2"), ("sub/b.yaml", "b")]).await;
    fs::remove_file(watched.at("a.yaml")).unwrap();
    watched.until(&[("sub/b.yaml", "b")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_file_is_not_taken() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    watched.sentinel("y.yaml").await;
    let mut file = fs::File::create(watched.at("a.yaml")).unwrap();
    file.write_all(b"desiredCount: 1").unwrap();
    let meanwhile = watched.sentinel("z.yaml").await;
    assert_eq!(texts(&meanwhile)[0].1, "1", "still the old text");
    file.write_all(b"0").unwrap();
    drop(file);
    let all = watched
        .until(&[
            ("a.yaml", "desiredCount: 10"),
            ("y.yaml", "sentinel"),
            ("z.yaml", "sentinel"),
        ])
        .await;
    assert_eq!(all.len(), 1, "nothing between");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_data_link_changes_all_its_files_at_once() {
    let (mut watched, first) = Watched::new(by_hints(), |top| {
        let at = |path: &str| top.join("manifests").join(path);
        fs::create_dir_all(at("..1")).unwrap();
        for name in ["a.yaml", "b.yaml"] {
            fs::write(at("..1").join(name), "old").unwrap();
            symlink(Path::new("..data").join(name), at(name)).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
    })
    .await;
    assert_eq!(texts(&first).len(), 2);
    for next in ["..2", "..3"] {
        fs::create_dir(watched.at(next)).unwrap();
        for name in ["a.yaml", "b.yaml"] {
            fs::write(watched.at(next).join(name), next).unwrap();
        }
        symlink(next, watched.at("..data_tmp")).unwrap();
        fs::rename(watched.at("..data_tmp"), watched.at("..data")).unwrap();
        let all = watched.until(&[("a.yaml", next), ("b.yaml", next)]).await;
        assert_eq!(all.len(), 1, "never one new and one old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_a_link_is_followed_where_it_is_pointed() {
    for options in [by_hints(), by_polling()] {
        let (mut watched, first) = Watched::new(options, |top| {
            for version in ["v1", "v2", "v3"] {
                fs::create_dir_all(top.join("releases").join(version)).unwrap();
                for name in ["a.yaml", "b.yaml"] {
                    fs::write(top.join("releases").join(version).join(name), version).unwrap();
                }
            }
            fs::write(top.join("releases/v1/old.yaml"), "old").unwrap();
            symlink("releases/v1", top.join("manifests")).unwrap();
        })
        .await;
        assert_eq!(texts(&first).len(), 3);
        for version in ["v2", "v3"] {
            let next = watched.top.join("next");
            symlink(Path::new("releases").join(version), &next).unwrap();
            fs::rename(next, watched.top.join("manifests")).unwrap();
            let all = watched
                .until(&[("a.yaml", version), ("b.yaml", version)])
                .await;
            assert_eq!(all.len(), 1, "never one new and one old");
        }
        // The folder that it leads to now is the one that is watched.
        fs::write(watched.top.join("releases/v3/a.yaml"), "new").unwrap();
        watched.until(&[("a.yaml", "new"), ("b.yaml", "v3")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_right_after_its_folder_was_made_is_seen() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for i in 0..20 {
        let sub = format!("s{i}/deep/er");
        fs::create_dir_all(watched.at(&sub)).unwrap();
        fs::write(watched.at(&sub).join("x.yaml"), "x").unwrap();
    }
    loop {
        let scan = watched.next().await;
        if (0..20).all(|i| scan.files.contains_key(&format!("s{i}/deep/er/x.yaml"))) {
            break;
        }
    }
    fs::write(watched.at("s7/deep/er/x.yaml"), "y").unwrap();
    loop {
        let scan = watched.next().await;
        if texts(&scan).contains(&("s7/deep/er/x.yaml".into(), "y".into())) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_removed_and_made_again_is_followed() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for round in ["2", "3"] {
        fs::remove_dir_all(watched.at("")).unwrap();
        loop {
            if watched.next().await.state == FolderState::Missing {
                break;
            }
        }
        fs::create_dir(watched.at("")).unwrap();
        fs::write(watched.at("a.yaml"), round).unwrap();
        fs::write(watched.at("b.yaml"), round).unwrap();
        let all = watched.until(&[("a.yaml", round), ("b.yaml", round)]).await;
        let partly = |scan: &Scan| scan.files.len() == 1;
        assert!(!all.iter().any(partly), "never with a part of its files");
        fs::write(watched.at("b.yaml"), "edited").unwrap();
        watched
            .until(&[("a.yaml", round), ("b.yaml", "edited")])
            .await;
        fs::remove_file(watched.at("b.yaml")).unwrap();
        watched.until(&[("a.yaml", round)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_replaced_faster_than_it_can_be_missed_is_followed() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for round in ["2", "3", "4"] {
        fs::create_dir(watched.top.join("new")).unwrap();
        fs::write(watched.top.join("new/a.yaml"), round).unwrap();
        fs::rename(watched.at(""), watched.top.join(format!("old{round}"))).unwrap();
        fs::rename(watched.top.join("new"), watched.at("")).unwrap();
        let all = watched.until(&[("a.yaml", round)]).await;
        assert!(all.iter().all(|scan| scan.state == FolderState::Present));
    }
    fs::write(watched.at("a.yaml"), "5").unwrap();
    watched.until(&[("a.yaml", "5")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_root_is_awaited_even_when_its_parent_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("x/y/manifests");
    let cancel = CancellationToken::new();
    let mut scans = watch(root.clone(), by_hints(), cancel.clone());
    assert_eq!(scans.recv().await.unwrap().state, FolderState::Missing);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("a.yaml"), "1").unwrap();
    let found = async {
        loop {
            let scan = scans.recv().await.unwrap();
            if scan.files.contains_key("a.yaml") {
                return scan;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("the folder is found");
    cancel.cancel();
    let end = tokio::time::timeout(PATIENCE, scans.recv()).await;
    assert_eq!(end.expect("the watcher ends"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_files_is_seen_whole() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for i in 0..500 {
        fs::write(watched.at(&format!("f{i}.yaml")), i.to_string()).unwrap();
    }
    loop {
        let scan = watched.next().await;
        if scan.files.len() == 501 {
            for i in 0..500 {
                assert!(texts(&scan).contains(&(format!("f{i}.yaml"), i.to_string())));
            }
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_seen_once() {
    let (mut watched, _) = Watched::new(by_hints(), |top| {
        one_file(top);
        fs::write(top.join("manifests/b.yaml"), "b").unwrap();
    })
    .await;
    fs::remove_file(watched.at("b.yaml")).unwrap();
    let all = watched.until(&[("a.yaml", "1")]).await;
    assert_eq!(all.len(), 1);
    let after = watched.sentinel("z.yaml").await;
    assert_eq!(
        texts(&after).len(),
        2,
        "nothing came between but the sentinel"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_file_is_never_there_twice_nor_gone() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    fs::rename(watched.at("a.yaml"), watched.at("b.yaml")).unwrap();
    assert_eq!(watched.until(&[("b.yaml", "1")]).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_editors_leave_beside_a_file_is_no_change() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for name in [
        ".a.yaml.swp",
        "a.yaml~",
        "#a.yaml#",
        "4913",
        "a.yaml.tmp",
        "notes.md",
    ] {
        fs::write(watched.at(name), "x").unwrap();
    }
    symlink("someone@host.1", watched.at(".#a.yaml")).unwrap();
    // Written as Vim does it: the old file is renamed to the backup, then the new one is written.
    fs::rename(watched.at("a.yaml"), watched.at("a.yaml~")).unwrap();
    fs::write(watched.at("a.yaml"), "2").unwrap();
    for scan in watched.until(&[("a.yaml", "2")]).await {
        assert!(scan.files.keys().all(|name| name == "a.yaml"), "{scan:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_of_links_outside_of_the_folder_are_watched() {
    let (mut watched, _) = Watched::new(by_hints(), |top| {
        fs::create_dir_all(top.join("lib/v1")).unwrap();
        fs::create_dir_all(top.join("lib/v2")).unwrap();
        fs::write(top.join("lib/v1/x.yaml"), "x1").unwrap();
        fs::write(top.join("lib/v2/x.yaml"), "x2").unwrap();
        fs::write(top.join("single"), "s").unwrap();
        symlink("v1", top.join("lib/current")).unwrap();
        fs::create_dir(top.join("manifests")).unwrap();
        symlink("../lib/current", top.join("manifests/lib")).unwrap();
        symlink("../single", top.join("manifests/s.yaml")).unwrap();
    })
    .await;
    fs::write(watched.top.join("single"), "t").unwrap();
    watched
        .until(&[("lib/x.yaml", "x1"), ("s.yaml", "t")])
        .await;
    fs::write(watched.top.join("lib/v1/x.yaml"), "x3").unwrap();
    watched
        .until(&[("lib/x.yaml", "x3"), ("s.yaml", "t")])
        .await;
    symlink("v2", watched.top.join("lib/next")).unwrap();
    fs::rename(
        watched.top.join("lib/next"),
        watched.top.join("lib/current"),
    )
    .unwrap();
    watched
        .until(&[("lib/x.yaml", "x2"), ("s.yaml", "t")])
        .await;
    fs::write(watched.top.join("lib/v2/x.yaml"), "x4").unwrap();
    watched
        .until(&[("lib/x.yaml", "x4"), ("s.yaml", "t")])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_gets_the_newest_and_skips_the_rest() {
    let (mut watched, _) = Watched::new(by_hints(), one_file).await;
    for i in 0..50 {
        fs::write(watched.at("a.yaml"), format!("v{i}")).unwrap();
        if i == 0 {
            // The watcher has handed on one, which lies in the channel.
            tokio::time::timeout(PATIENCE, async {
                while watched.scans.is_empty() {
                    tokio::task::yield_now().await;
                }
            })
            .await
            .expect("a scan lies ready");
        }
    }
    let all = watched.until(&[("a.yaml", "v49")]).await;
    assert!(all.len() < 50, "{}", all.len());
}

/// The same with notifications and without: in a user namespace whose `user.max_inotify_instances` or
/// `user.max_inotify_watches` is 0, this runs on the fallback.
#[tokio::test(flavor = "multi_thread")]
async fn changes_are_found_whether_or_not_notifications_can_be_had() {
    let options = WatchOptions {
        poll_interval: Duration::from_millis(20),
        ..by_hints()
    };
    let (mut watched, _) = Watched::new(options, one_file).await;
    for text in ["2", "3"] {
        fs::write(watched.at("a.yaml"), text).unwrap();
        watched.until(&[("a.yaml", text)]).await;
    }
}
