//! Asking one provider.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::value::SecretValue;
use super::{age, command};
use crate::model::SecretProvider;

/// Bytes that a value may have: what Secrets Manager keeps at most.
pub(super) const LARGEST: usize = 64 << 10;

/// The environment that a provider of type `environment` reads.
pub type Variables = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What a provider answers for one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The value.
    Value(SecretValue),
    /// It has none of that name, and how it says so, where it says more than that.
    Absent(Option<String>),
}

/// Where a provider finds what it needs.
pub(super) struct Surroundings<'a> {
    /// The folder of manifests, absolute.
    pub folder: &'a Path,
    pub variables: &'a Variables,
}

/// The provider as messages call it.
pub(super) fn title(provider: &SecretProvider) -> String {
    match provider {
        SecretProvider::Directory { path } => format!("directory {path}"),
        SecretProvider::Environment { prefix } if prefix.is_empty() => "environment".to_owned(),
        SecretProvider::Environment { prefix } => format!("environment {prefix}…"),
        SecretProvider::Command { command, .. } => {
            format!("command {}", command.first().map_or("", String::as_str))
        }
        SecretProvider::Age { path, .. } => {
            format!("age {}", path.as_deref().unwrap_or("files of the folder"))
        }
    }
}

/// Asks `provider` for the secret `name`, which a definition calls `reference`.
///
/// # Errors
/// Why it cannot be known whether it has the secret, or cannot be had although it is there. Then no other provider is
/// asked: a value from elsewhere would be the wrong one.
pub(super) async fn ask(
    provider: &SecretProvider,
    name: &str,
    reference: &str,
    surroundings: &Surroundings<'_>,
) -> Result<Answer, String> {
    match provider {
        SecretProvider::Directory { path } => {
            let Some(path) = below(&surroundings.folder.join(path), name, "") else {
                return Ok(unfit());
            };
            match read(&path).await? {
                Some(bytes) => value(bytes).map(Answer::Value),
                None => Ok(Answer::Absent(None)),
            }
        }
        SecretProvider::Environment { prefix } => {
            let found = variables(prefix, name)
                .iter()
                .find_map(|variable| (surroundings.variables)(variable));
            Ok(match found {
                Some(text) => Answer::Value(SecretValue::new(text)),
                None => Answer::Absent(None),
            })
        }
        SecretProvider::Command { command, timeout } => {
            let limit = Duration::from_secs(u64::from(*timeout));
            command::ask(command, name, reference, surroundings.folder, limit).await
        }
        SecretProvider::Age {
            identity_file,
            path,
        } => {
            let directory = path.as_deref().map_or_else(
                || surroundings.folder.to_owned(),
                |path| surroundings.folder.join(path),
            );
            let Some(path) = below(&directory, name, ".age") else {
                return Ok(unfit());
            };
            let Some(file) = read(&path).await? else {
                return Ok(Answer::Absent(None));
            };
            let identities = identities(&surroundings.folder.join(identity_file)).await?;
            let content = age::decrypt(&file, &identities)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            value(content).map(Answer::Value)
        }
    }
}

fn unfit() -> Answer {
    Answer::Absent(Some("it cannot be the name of a file".to_owned()))
}

/// The file of a name below a directory, which it does not leave.
fn below(directory: &Path, name: &str, ending: &str) -> Option<PathBuf> {
    let name = name.trim_start_matches('/');
    let plain = |component: Component<'_>| matches!(component, Component::Normal(_));
    let fits = !name.is_empty()
        && !name.ends_with('/')
        && !name.contains('\0')
        && Path::new(name).components().all(plain);
    fits.then(|| directory.join(format!("{name}{ending}")))
}

/// The variables that may hold a secret: its name without leading slash, with `_` for what a variable's name cannot hold, as it
/// is and in capitals.
fn variables(prefix: &str, name: &str) -> [String; 2] {
    let name: String = name
        .trim_start_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let capitals = name.to_ascii_uppercase();
    [format!("{prefix}{name}"), format!("{prefix}{capitals}")]
}

/// A file's content; none if there is no such file.
async fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let fail = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let meta = match tokio::fs::metadata(path).await {
        Ok(meta) if meta.is_file() => meta,
        // A directory of that name, or a part of the path that is a file: what is asked for is not here.
        Ok(meta) if meta.is_dir() => return Ok(None),
        Ok(_) => return Err(fail(&"it is not a file")),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(fail(&error)),
    };
    // Encryption adds a header to what is inside.
    if meta.len() > 2 * LARGEST as u64 {
        return Err(fail(&"it holds more than 64 KiB"));
    }
    match tokio::fs::read(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => Err(fail(&error)),
    }
}

async fn identities(path: &Path) -> Result<Vec<age::Identity>, String> {
    let shown = path.display();
    let text = tokio::fs::read_to_string(path)
        .await
        .map_err(|error| format!("identity file {shown}: {error}"))?;
    age::identities(&text).map_err(|line| match line {
        0 => format!("identity file {shown}: it holds no identity"),
        line => {
            format!("identity file {shown}: line {line} is no X25519 identity (AGE-SECRET-KEY-1…)")
        }
    })
}

/// What bytes are as a value: text, without the line break that editors and programs put at its end.
pub(super) fn value(bytes: Vec<u8>) -> Result<SecretValue, String> {
    if bytes.len() > LARGEST {
        return Err("the value has more than 64 KiB".to_owned());
    }
    let mut text =
        String::from_utf8(bytes).map_err(|_| "the value is not UTF-8 text".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(SecretValue::new(text))
}

/// A path as it is meant below the folder of manifests.
pub(super) fn absolute(folder: &Path, path: impl AsRef<OsStr>) -> PathBuf {
    folder.join(Path::new(path.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_below_the_directory_and_never_leaves_it() {
        let path = |name: &str| below(Path::new("/s"), name, ".age");
        assert_eq!(path("/shop/db"), Some("/s/shop/db.age".into()));
        assert_eq!(path("db.key"), Some("/s/db.key.age".into()));
        for name in ["", "/", "..", "a/../../b", "../b", "a/", "a\0b", "/../b"] {
            assert_eq!(path(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_variable_has_the_name_with_underscores_as_it_is_or_in_capitals() {
        assert_eq!(variables("", "db"), ["db", "DB"]);
        assert_eq!(
            variables("SHOP_", "/prod/db-password"),
            ["SHOP_prod_db_password", "SHOP_PROD_DB_PASSWORD"]
        );
    }

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_a_value() {
        let of = |bytes: &[u8]| value(bytes.to_vec()).map(SecretValue::into_exposed);
        assert_eq!(of(b"a\n").unwrap(), "a");
        assert_eq!(of(b"a\r\n").unwrap(), "a");
        assert_eq!(of(b"a\n\n").unwrap(), "a\n");
        assert_eq!(of(b" a ").unwrap(), " a ");
        assert_eq!(of(b"").unwrap(), "");
        assert!(of(&[0xff]).unwrap_err().contains("UTF-8"));
        assert!(of(&vec![b'a'; LARGEST + 1]).unwrap_err().contains("64 KiB"));
    }
}
