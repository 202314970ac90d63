//! Tests of reading, on real folders.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn names(scan: &Scan) -> Vec<&str> {
    scan.files.keys().map(String::as_str).collect()
}

fn problem<'s>(scan: &'s Scan, path: &str) -> &'s ReadProblem {
    match &scan.files[path] {
        FileContent::Problem(problem) => problem,
        FileContent::Text(file) => panic!("{path} has the text {:?}", file.text),
    }
}

fn text<'s>(scan: &'s Scan, path: &str) -> &'s str {
    match &scan.files[path] {
        FileContent::Text(file) => {
            assert_eq!(file.path, path);
            &file.text
        }
        FileContent::Problem(problem) => panic!("{path}: {problem:?}"),
    }
}

#[test]
fn manifests_are_found_at_any_depth_and_nothing_else_is() {
    let dir = folder(&[
        ("b.yaml", "b"),
        ("a.yml", "a"),
        ("sub/deep/c.json", "{}"),
        ("README.md", "no"),
        ("x.yaml~", "no"),
        ("#x.yaml#", "no"),
        ("x.yaml.bak", "no"),
        (".x.yaml.swp", "no"),
        (".hidden.yaml", "no"),
        (".git/config.yaml", "no"),
        ("4913", "no"),
        ("x.yaml.tmp", "no"),
    ]);
    let scan = scan(dir.path());
    assert_eq!(scan.state, FolderState::Present);
    assert_eq!(names(&scan), ["a.yml", "b.yaml", "sub/deep/c.json"]);
    assert_eq!(text(&scan, "sub/deep/c.json"), "{}");
    assert!(scan.is_whole());
    assert_eq!(scan.diagnostics(), []);
}

#[test]
fn a_folder_below_a_hidden_one_is_read_like_any_other() {
    let dir = folder(&[(".git/worktrees/manifests/a.yaml", "a")]);
    let scan = scan(&dir.path().join(".git/worktrees/manifests"));
    assert_eq!(names(&scan), ["a.yaml"]);
}

#[test]
fn links_to_files_and_folders_are_followed_also_through_hidden_names() {
    let outside = folder(&[("lib/db.yaml", "db"), ("plain.txt", "plain")]);
    let dir = folder(&[("..2024/web.yaml", "web")]);
    symlink("..2024", dir.path().join("..data")).unwrap();
    symlink("..data/web.yaml", dir.path().join("web.yaml")).unwrap();
    symlink(outside.path().join("lib"), dir.path().join("lib")).unwrap();
    symlink(
        outside.path().join("plain.txt"),
        dir.path().join("plain.yaml"),
    )
    .unwrap();
    let scan = scan(dir.path());
    assert_eq!(names(&scan), ["lib/db.yaml", "plain.yaml", "web.yaml"]);
    assert_eq!(text(&scan, "web.yaml"), "web");
}

#[test]
fn links_in_a_circle_end_and_every_real_file_is_read_once() {
    let dir = folder(&[("z/a.yaml", "a"), ("b.yaml", "b")]);
    symlink("..", dir.path().join("z/up")).unwrap();
    symlink("z", dir.path().join("again")).unwrap();
    symlink("b.yaml", dir.path().join("a-link.yaml")).unwrap();
    assert_eq!(names(&scan(dir.path())), ["b.yaml", "z/a.yaml"]);
}

#[test]
fn what_cannot_be_read_is_named_with_its_reason() {
    let dir = folder(&[
        ("empty.yaml", ""),
        ("zero.yaml", "\0\0\0"),
        ("ok.yaml", "a: 1"),
    ]);
    fs::write(dir.path().join("latin.yaml"), b"a: 1\nb: \xe9t\xe9\n").unwrap();
    fs::write(dir.path().join("wide.yaml"), b"\xff\xfea\0").unwrap();
    fs::write(
        dir.path().join("large.yaml"),
        vec![b'#'; 4 * 1024 * 1024 + 1],
    )
    .unwrap();
    fs::write(dir.path().join("limit.yaml"), vec![b'#'; 4 * 1024 * 1024]).unwrap();
    symlink("nowhere", dir.path().join("gone.yaml")).unwrap();
    fs::create_dir(dir.path().join("pipes")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipes/p.yaml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let scan = scan(dir.path());
    assert_eq!(*problem(&scan, "empty.yaml"), ReadProblem::Empty);
    assert_eq!(*problem(&scan, "zero.yaml"), ReadProblem::Empty);
    assert_eq!(
        *problem(&scan, "latin.yaml"),
        ReadProblem::NotUtf8 {
            offset: 8,
            line: 2,
            column: 4,
            utf16: false
        }
    );
    assert!(matches!(
        problem(&scan, "wide.yaml"),
        ReadProblem::NotUtf8 { utf16: true, .. }
    ));
    assert_eq!(
        *problem(&scan, "large.yaml"),
        ReadProblem::TooLarge(4_194_305)
    );
    assert!(matches!(scan.files["limit.yaml"], FileContent::Text(_)));
    assert_eq!(
        *problem(&scan, "gone.yaml"),
        ReadProblem::Unreadable("the link leads nowhere".into())
    );
    assert_eq!(
        *problem(&scan, "pipes/p.yaml"),
        ReadProblem::Unreadable("it is a pipe, not a file".into())
    );
    assert!(!scan.is_whole());
    let shown: Vec<_> = scan.diagnostics().iter().map(ToString::to_string).collect();
    assert_eq!(
        shown[..3],
        [
            "empty.yaml:1:1: error[LS0005]: the file is empty, as a failed write leaves it",
            "gone.yaml:1:1: error[LS0001]: the file cannot be read: the link leads nowhere",
            "large.yaml:1:1: error[LS0004]: the file has 4194305 bytes; manifests have at most 4194304",
        ]
    );
    assert!(
        shown.contains(
            &"latin.yaml:2:4: error[LS0003]: the byte at offset 8 is not UTF-8".to_owned()
        )
    );
}

#[test]
fn a_file_or_folder_that_this_user_may_not_read_is_a_problem() {
    if rustix::process::geteuid().is_root() {
        return; // root may read everything
    }
    let dir = folder(&[("a.yaml", "a"), ("sub/b.yaml", "b")]);
    let mode = |path: &str, mode| {
        fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("a.yaml", 0);
    mode("sub", 0);
    let scan = scan(dir.path());
    mode("sub", 0o755);
    for path in ["a.yaml", "sub"] {
        assert_eq!(
            *problem(&scan, path),
            ReadProblem::Unreadable("permission denied".into())
        );
    }
}

#[test]
fn of_several_paths_the_missing_ones_are_named_and_the_others_read() {
    let dir = folder(&[("a.yaml", "x")]);
    let [there, gone, away] = ["a.yaml", "gone.yaml", "away"].map(|name| dir.path().join(name));
    let scan = scan_paths(&[gone.clone(), there, away.clone()], std::io::empty());
    let found: Vec<_> = scan
        .diagnostics()
        .iter()
        .map(|d| (d.code, d.primary.file.path.clone()))
        .collect();
    let path = |path: std::path::PathBuf| path.display().to_string();
    assert_eq!(
        found,
        [
            (codes::FOLDER_MISSING, path(away)),
            (codes::FOLDER_MISSING, path(gone))
        ]
    );
    assert_eq!(scan.files.len(), 3);
}

#[test]
fn a_missing_an_empty_and_a_wrong_folder_are_told_apart() {
    let dir = folder(&[("file", "x")]);
    let missing = scan(&dir.path().join("none"));
    assert_eq!(missing.state, FolderState::Missing);
    assert_eq!(missing.diagnostics()[0].code, codes::FOLDER_MISSING);
    let file = scan(&dir.path().join("file"));
    assert_eq!(file.state, FolderState::NotADirectory);
    assert_eq!(file.diagnostics()[0].code, codes::FOLDER_UNREADABLE);
    let empty = scan(dir.path());
    assert_eq!(empty.state, FolderState::Present);
    assert_eq!(empty.diagnostics()[0].code, codes::FOLDER_EMPTY);
    assert_eq!(empty.diagnostics()[0].severity, Severity::Warning);
    for scan in [missing, file, empty] {
        assert!(!scan.is_whole());
    }
}

#[test]
fn the_hash_is_of_paths_and_contents_and_not_of_the_place() {
    let one = folder(&[("a.yaml", "1"), ("b/c.yaml", "2")]);
    let same = folder(&[("b/c.yaml", "2"), ("a.yaml", "1")]);
    let moved = folder(&[("a.yaml", "1"), ("c.yaml", "2")]);
    let edited = folder(&[("a.yaml", "1"), ("b/c.yaml", "3")]);
    let shifted = folder(&[("a.yaml", "12"), ("b/c.yaml", "")]);
    let hash = |dir: &tempfile::TempDir| scan(dir.path()).hash();
    assert_eq!(hash(&one), hash(&same));
    assert_eq!(hash(&one).len(), 64);
    for other in [moved, edited, shifted] {
        assert_ne!(hash(&one), hash(&other));
    }
    assert_ne!(
        hash(&folder(&[])),
        scan(Path::new("/none")).hash(),
        "empty is not missing"
    );
}

#[test]
fn validate_takes_folders_files_of_any_name_and_standard_input() {
    let dir = folder(&[("m/a.yaml", "a"), ("m/.h.yaml", "h"), ("task.def", "t")]);
    let at = |name: &str| dir.path().join(name);
    let show = |name: &str| at(name).display().to_string();
    let scan = scan_paths(
        &[at("m"), at("task.def"), "-".into(), at("none.yaml")],
        &b"in"[..],
    );
    assert_eq!(text(&scan, &show("m/a.yaml")), "a");
    assert_eq!(text(&scan, &show("task.def")), "t");
    assert_eq!(text(&scan, "<stdin>"), "in");
    assert_eq!(*problem(&scan, &show("none.yaml")), ReadProblem::Missing);
    assert_eq!(scan.files.len(), 4);
    let one = scan_paths(&[at("none")], &b""[..]);
    assert_eq!(one.state, FolderState::Missing);
    assert_eq!(shown(Path::new("./manifests/")), "manifests");
    assert_eq!(shown(Path::new("./a/./b.yaml")), "a/b.yaml");
    assert_eq!(shown(Path::new(".")), "");
}

#[test]
fn an_unchanged_file_keeps_its_text_and_a_rewritten_one_is_read_however_fast() {
    let dir = folder(&[("a.yaml", "1"), ("b.yaml", "1")]);
    let mut walker = walk::Walker::default();
    let first = walker.walk(dir.path()).scan;
    for i in 0..50 {
        // Same size, and most often within one step of the file system's clock.
        fs::write(dir.path().join("b.yaml"), (i % 10).to_string()).unwrap();
        let next = walker.walk(dir.path()).scan;
        assert_eq!(text(&next, "b.yaml"), (i % 10).to_string());
        let (FileContent::Text(a), FileContent::Text(b)) =
            (&first.files["a.yaml"], &next.files["a.yaml"])
        else {
            panic!("a.yaml is text");
        };
        assert!(Arc::ptr_eq(a, b));
    }
}
