//! The file store's own promises, beside the contract that `store_conformance` checks: whose file it is, copies of it, and
//! files that are not what they should be.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use longshore::store::redb::{self, FILE};
use longshore::store::{Epoch, Op, Redb, Store, StoreError};
use serde_json::json;

async fn open(directory: &Path) -> Arc<Redb> {
    Redb::open(directory).await.expect("a store")
}

async fn write(store: &Redb, epoch: &Epoch, key: &str, value: &[u8]) {
    let ops = vec![Op::Put(key.to_owned(), value.to_vec())];
    store.commit(epoch, &[], ops).await.expect("a commit");
}

async fn filled(directory: &Path) -> (Arc<Redb>, Epoch) {
    let store = open(directory).await;
    let epoch = store.acquire("controller").await.expect("an epoch");
    write(&store, &epoch, "meta", br#"{"format":1}"#).await;
    write(&store, &epoch, "odd", b"\xff\x00").await;
    (store, epoch)
}

#[tokio::test]
async fn the_file_is_for_its_owner_only_also_when_it_was_not() {
    let home = tempfile::tempdir().expect("a directory");
    let mode = || {
        let metadata = home.path().join(FILE).metadata().expect("a file");
        metadata.mode() & 0o777
    };
    drop(open(home.path()).await);
    assert_eq!(mode(), 0o600);
    let open_to_all = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(home.path().join(FILE), open_to_all).expect("changed");
    drop(open(home.path()).await);
    assert_eq!(mode(), 0o600);
}

#[tokio::test]
async fn a_second_opening_is_refused_by_the_files_name_until_the_first_is_over() {
    let home = tempfile::tempdir().expect("a directory");
    let (store, _) = filled(home.path()).await;
    let path = store.path().display().to_string();
    let refusals = [
        Redb::open(home.path()).await.map(|_| ()),
        redb::dump(home.path()).map(|_| ()),
        redb::backup(home.path(), &home.path().join("copy")).map(|_| ()),
    ];
    for refused in refusals {
        match refused {
            Err(StoreError::InUse { path: named }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
    assert!(!home.path().join("copy").exists());
    drop(store);
    open(home.path()).await;
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_refused_by_its_number() {
    let home = tempfile::tempdir().expect("a directory");
    drop(filled(home.path()).await);
    let path = home.path().join(FILE);
    {
        let database = ::redb::Database::open(&path).expect("opened");
        let txn = database.begin_write().expect("begun");
        let table: ::redb::TableDefinition<'_, &str, u64> =
            ::redb::TableDefinition::new("longshore");
        txn.open_table(table)
            .expect("there")
            .insert("format", 99)
            .expect("written");
        txn.commit().expect("committed");
    }
    let refused = Redb::open(home.path()).await.map(|_| ());
    assert!(
        matches!(&refused, Err(StoreError::NewerFormat { found: 99, known, .. }) if *known == redb::FORMAT),
        "{refused:?}"
    );
    let refused = redb::dump(home.path());
    assert!(
        matches!(refused, Err(StoreError::NewerFormat { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_dump_shows_every_key_and_leaves_the_file_as_it_was() {
    let home = tempfile::tempdir().expect("a directory");
    let crashed = tempfile::tempdir().expect("a directory");
    let (store, _) = filled(home.path()).await;
    // The file as a process that was killed leaves it: copied while it is open.
    let image = crashed.path().join(FILE);
    std::fs::copy(store.path(), &image).expect("copied");
    let before = std::fs::read(&image).expect("read");
    let dumped = redb::dump(crashed.path()).expect("a dump");
    assert_eq!(
        dumped,
        json!({
            "format": redb::FORMAT,
            "revision": 2,
            "items": {
                "meta": {"revision": 1, "value": {"format": 1}},
                "odd": {"revision": 2, "base64": "/wA="},
            }
        })
    );
    assert_eq!(std::fs::read(&image).expect("read"), before);
    assert_eq!(redb::dump(&image).expect("by the file's name too"), dumped);
}

#[tokio::test]
async fn a_backup_is_a_store_of_its_own_with_epochs_and_revisions() {
    let home = tempfile::tempdir().expect("a directory");
    let (store, epoch) = filled(home.path()).await;
    let online = tempfile::tempdir().expect("a directory");
    let offline = tempfile::tempdir().expect("a directory");

    let copied = store.backup(&online.path().join(FILE)).await;
    assert_eq!(copied.expect("a copy"), 2);
    write(&store, &epoch, "later", b"1").await;
    let expected = store.list("").await.expect("a listing");
    drop(store);
    let copied = redb::backup(home.path(), &offline.path().join(FILE));
    assert_eq!(copied.expect("a copy"), 3);

    let first = open(online.path()).await;
    let listing = first.list("").await.expect("a listing");
    assert_eq!(listing.revision, 2, "later commits are not in it");
    let second = open(offline.path()).await;
    assert_eq!(second.list("").await.expect("a listing"), expected);
    for copy in [first, second] {
        let mode = copy.path().metadata().expect("a file").mode() & 0o777;
        assert_eq!(mode, 0o600);
        let next = copy.acquire("controller").await.expect("an epoch");
        assert_eq!(next.number, epoch.number + 1);
    }
}

#[tokio::test]
async fn a_backup_never_replaces_a_file() {
    let home = tempfile::tempdir().expect("a directory");
    let (store, epoch) = filled(home.path()).await;
    let to = home.path().join("precious");
    std::fs::write(&to, "mine").expect("written");
    let online = store.backup(&to).await;
    write(&store, &epoch, "later", b"1").await;
    drop(store);
    for refused in [online, redb::backup(home.path(), &to)] {
        let error = refused.expect_err("it is there already").to_string();
        for part in ["precious", "exists already", "name another file"] {
            assert!(error.contains(part), "{error}");
        }
    }
    assert_eq!(std::fs::read(&to).expect("read"), b"mine");
}

#[tokio::test]
async fn a_file_whose_making_was_cut_short_is_made_anew() {
    for length in [1, 320, 4096, 1 << 20] {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join(FILE), vec![0_u8; length]).expect("written");
        filled(home.path()).await;
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_by_name_and_left_alone() {
    let home = tempfile::tempdir().expect("a directory");
    drop(filled(home.path()).await);
    let path = home.path().join(FILE);
    let whole = std::fs::read(&path).expect("read");
    let cut = whole[..whole.len() / 3].to_vec();
    let garbage = b"kind: Service\n".repeat(1000);
    for content in [garbage, b"x".to_vec(), cut] {
        std::fs::write(&path, &content).expect("written");
        let refused = Redb::open(home.path()).await.map(|_| ());
        let error = refused.expect_err("no store").to_string();
        assert!(error.contains(FILE), "{error}");
        assert!(redb::dump(home.path()).is_err());
        assert!(std::fs::read(&path).expect("read") == content);
    }
    std::fs::write(&path, &whole).expect("written");
    let store = open(home.path()).await;
    assert_eq!(store.list("").await.expect("a listing").revision, 2);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_dumped_into_being() {
    let home = tempfile::tempdir().expect("a directory");
    let error = redb::dump(home.path()).expect_err("nothing there");
    assert!(error.to_string().contains(FILE), "{error}");
    assert!(!home.path().join(FILE).exists());
}
