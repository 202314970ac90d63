//! The blocking half of the file store: tables, and groups of writes that become one durable redb transaction.
//!
//! After an input or output error redb must be opened again; the next use does so. Whether a group whose commit failed was
//! written all the same is then read from the file: every group writes its own number.

use ::redb::{
    Builder, DatabaseError, Key, ReadTransaction, ReadableDatabase, ReadableTable, Table,
    TableDefinition, TableError, Value, WriteTransaction,
};

use super::storage::Open;
use crate::store::{
    Change, Commit, Epoch, Guard, Item, Limits, Listing, Op, Revision, StoreError, typed,
};

/// The newest layout of the tables below that is known here.
pub const FORMAT: u32 = 1;

/// `format`, `revision` and `group` (how many groups of writes there were).
const ABOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("longshore");
/// Key to the revision it was last written at, and its value.
const ITEMS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("items");
/// Name to the number of times it was acquired.
const EPOCHS: TableDefinition<'static, &str, u64> = TableDefinition::new("epochs");

/// The tree is small: what redb caches above this is read from the page cache.
const CACHE: usize = 4 << 20;

/// One write, as it was asked for.
#[derive(Debug)]
pub(super) enum Write {
    Acquire(String),
    Commit(Epoch, Vec<Guard>, Vec<Op>),
}

/// What became of one write of a group that was committed.
#[derive(Debug)]
pub(super) enum Outcome {
    Acquired(Epoch),
    Committed(Revision),
    /// Refused: a guard or the epoch did not hold. The others of its group are not affected.
    Refused(StoreError),
}

/// A group that was committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// One for each write, in order.
    pub(super) outcomes: Vec<Outcome>,
    /// What the watches are to be told, in order.
    pub(super) commits: Vec<Commit>,
}

/// A failure of the storage.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) message: String,
    /// Whether what was being written may be there all the same.
    pub(super) maybe_applied: bool,
}

impl<E: Into<::redb::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            message: error.into().to_string(),
            maybe_applied: false,
        }
    }
}

impl Failure {
    pub(super) fn into_error(self, operation: &'static str, path: &str) -> StoreError {
        StoreError::Unavailable {
            operation,
            message: format!("{path}: {}", self.message),
            maybe_applied: self.maybe_applied,
        }
    }
}

/// What the file says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct About {
    revision: Revision,
    group: u64,
}

/// A file store, open or to be opened again.
#[derive(Debug)]
pub(super) struct Database {
    file: Box<dyn Open>,
    /// What errors call it.
    path: String,
    /// `None` after an error, until it is opened again.
    open: Option<::redb::Database>,
    /// As of the last group that was committed, or read when the file was opened.
    about: About,
}

impl Database {
    /// Opens the file, creates its tables where it is new, and refuses one of a newer format.
    pub(super) fn open(file: Box<dyn Open>, path: String) -> Result<Self, StoreError> {
        let mut database = Self {
            file,
            path,
            open: None,
            about: About::default(),
        };
        database.ensure_open()?;
        Ok(database)
    }

    /// The revision of the last commit.
    pub(super) fn revision(&self) -> Revision {
        self.about.revision
    }

    /// What errors call it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Lets go of the file; the next use opens it again.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Opens the file if it is not open. `true`: its history went on, or back, without us.
    pub(super) fn ensure_open(&mut self) -> Result<bool, StoreError> {
        if self.open.is_some() {
            return Ok(false);
        }
        let open = open(self.file.as_ref(), &self.path)?;
        let about = lay_out(&open, &self.path)?;
        let moved = about != self.about;
        self.about = about;
        self.open = Some(open);
        Ok(moved)
    }

    /// Applies the writes in order as one durable transaction. After a failure the file is closed.
    pub(super) fn write(&mut self, writes: Vec<Write>) -> Result<Group, Failure> {
        let result = self.try_write(writes);
        match result {
            Ok((group, about)) => {
                self.about = about;
                Ok(group)
            }
            Err(failure) => {
                self.close();
                Err(failure)
            }
        }
    }

    fn try_write(&self, writes: Vec<Write>) -> Result<(Group, About), Failure> {
        let txn = self.database()?.begin_write()?;
        let mut about = self.about;
        let group = {
            let mut tables = Tables::open(&txn)?;
            let mut group = Group::default();
            for write in writes {
                let outcome = tables.apply(write, &mut about, &mut group.commits)?;
                group.outcomes.push(outcome);
            }
            if group.is_read_only() {
                drop(tables);
                txn.abort()?;
                return Ok((group, self.about));
            }
            about.group += 1;
            tables.about.insert("revision", about.revision)?;
            tables.about.insert("group", about.group)?;
            group
        };
        txn.commit().map_err(|error| Failure {
            message: error.to_string(),
            maybe_applied: true,
        })?;
        Ok((group, about))
    }

    /// Everything under `prefix`. After a failure the file is closed.
    pub(super) fn list(&mut self, prefix: &str) -> Result<Listing, Failure> {
        let result = self.try_list(prefix);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn try_list(&self, prefix: &str) -> Result<Listing, Failure> {
        Ok(Listing {
            items: items_under(self.database()?, prefix)?,
            revision: self.about.revision,
        })
    }

    /// Copies everything, as of now, into the empty file `to`.
    pub(super) fn copy_to(&mut self, to: &dyn Open) -> Result<Revision, StoreError> {
        let copied = self.try_copy_to(to);
        copied.map_err(|failure| failure.into_error("copying the store", &self.path))?;
        Ok(self.about.revision)
    }

    fn try_copy_to(&self, to: &dyn Open) -> Result<(), Failure> {
        let read = self.database()?.begin_read()?;
        let copy = open(to, "the copy").map_err(|error| Failure {
            message: error.to_string(),
            maybe_applied: false,
        })?;
        let txn = copy.begin_write()?;
        copy_table(&read, &txn, ABOUT)?;
        copy_table(&read, &txn, ITEMS)?;
        copy_table(&read, &txn, EPOCHS)?;
        txn.commit()?;
        Ok(())
    }

    /// Makes an empty store hold what was listed of another, as of that one's revision.
    pub(super) fn fill(&mut self, listing: &Listing) -> Result<(), Failure> {
        let txn = self.database()?.begin_write()?;
        {
            let mut tables = Tables::open(&txn)?;
            for item in &listing.items {
                let value = (item.revision, item.value.as_slice());
                tables.items.insert(item.key.as_str(), value)?;
            }
            tables.about.insert("revision", listing.revision)?;
        }
        txn.commit()?;
        self.about.revision = listing.revision;
        Ok(())
    }

    fn database(&self) -> Result<&::redb::Database, Failure> {
        self.open.as_ref().ok_or_else(|| Failure {
            message: "it is not open".to_owned(),
            maybe_applied: false,
        })
    }
}

impl Group {
    /// Whether every write was refused or changed nothing.
    fn is_read_only(&self) -> bool {
        let acquired = |outcome: &Outcome| matches!(outcome, Outcome::Acquired(_));
        self.commits.is_empty() && !self.outcomes.iter().any(acquired)
    }
}

struct Tables<'txn> {
    about: Table<'txn, &'static str, u64>,
    items: Table<'txn, &'static str, (u64, &'static [u8])>,
    epochs: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            about: txn.open_table(ABOUT)?,
            items: txn.open_table(ITEMS)?,
            epochs: txn.open_table(EPOCHS)?,
        })
    }

    fn apply(
        &mut self,
        write: Write,
        about: &mut About,
        commits: &mut Vec<Commit>,
    ) -> Result<Outcome, Failure> {
        match write {
            Write::Acquire(name) => {
                let number = self.epoch(&name)? + 1;
                self.epochs.insert(name.as_str(), number)?;
                Ok(Outcome::Acquired(Epoch {
                    name,
                    number,
                    limits: Limits::EMBEDDED,
                }))
            }
            Write::Commit(epoch, guards, ops) => {
                if let Some(refusal) = self.refusal(&epoch, &guards)? {
                    return Ok(Outcome::Refused(refusal));
                }
                let revision = about.revision + 1;
                let changes = self.change(ops, revision)?;
                if !changes.is_empty() {
                    about.revision = revision;
                    commits.push(Commit { revision, changes });
                }
                Ok(Outcome::Committed(about.revision))
            }
        }
    }

    fn epoch(&self, name: &str) -> Result<u64, Failure> {
        Ok(self.epochs.get(name)?.map_or(0, |number| number.value()))
    }

    fn refusal(&self, epoch: &Epoch, guards: &[Guard]) -> Result<Option<StoreError>, Failure> {
        let held = self.epoch(&epoch.name)?;
        if held != epoch.number || held == 0 {
            return Ok(Some(StoreError::Superseded {
                name: epoch.name.clone(),
                held,
                ours: epoch.number,
            }));
        }
        for guard in guards {
            let found = self.items.get(guard.key())?.map(|item| item.value().0);
            if found != guard.revision() {
                return Ok(Some(StoreError::Conflict {
                    key: guard.key().to_owned(),
                }));
            }
        }
        Ok(None)
    }

    fn change(&mut self, ops: Vec<Op>, revision: Revision) -> Result<Vec<Change>, Failure> {
        let mut changes = Vec::new();
        for (key, value) in typed::last_per_key(ops) {
            if let Some(value) = value {
                self.items
                    .insert(key.as_str(), (revision, value.as_slice()))?;
                changes.push(Change::Put(Item {
                    key,
                    value,
                    revision,
                }));
            } else if self.items.remove(key.as_str())?.is_some() {
                changes.push(Change::Delete(key));
            }
        }
        Ok(changes)
    }
}

fn open(file: &dyn Open, path: &str) -> Result<::redb::Database, StoreError> {
    let storage = file.open()?;
    Builder::new()
        .set_cache_size(CACHE)
        .create_with_backend(storage)
        .map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse {
                path: path.to_owned(),
            },
            error => Failure::from(error).into_error("opening the store", path),
        })
}

/// Creates the tables of a new file, and reads what an old one says about itself.
fn lay_out(database: &::redb::Database, path: &str) -> Result<About, StoreError> {
    let failed = |failure: Failure| failure.into_error("opening the store", path);
    let Some(found) = read_about(database).map_err(failed)? else {
        create_tables(database).map_err(failed)?;
        return Ok(About::default());
    };
    let (format, about) = found;
    if format > u64::from(FORMAT) {
        return Err(StoreError::NewerFormat {
            path: path.to_owned(),
            found: u32::try_from(format).unwrap_or(u32::MAX),
            known: FORMAT,
        });
    }
    Ok(about)
}

fn read_about(database: &::redb::Database) -> Result<Option<(u64, About)>, Failure> {
    let read = database.begin_read()?;
    let table = match read.open_table(ABOUT) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let number = |name: &str| -> Result<u64, Failure> {
        Ok(table.get(name)?.map_or(0, |value| value.value()))
    };
    let about = About {
        revision: number("revision")?,
        group: number("group")?,
    };
    Ok(Some((number("format")?, about)))
}

fn create_tables(database: &::redb::Database) -> Result<(), Failure> {
    let txn = database.begin_write()?;
    Tables::open(&txn)?
        .about
        .insert("format", u64::from(FORMAT))?;
    txn.commit()?;
    Ok(())
}

fn items_under(database: &::redb::Database, prefix: &str) -> Result<Vec<Item>, Failure> {
    let table = database.begin_read()?.open_table(ITEMS)?;
    let mut items = Vec::new();
    for entry in table.range(prefix..)? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) {
            break;
        }
        let (revision, value) = value.value();
        items.push(Item {
            key: key.value().to_owned(),
            value: value.to_owned(),
            revision,
        });
    }
    Ok(items)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), Failure> {
    let source = from.open_table(table)?;
    let mut target = to.open_table(table)?;
    for entry in source.iter()? {
        let (key, value) = entry?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}
