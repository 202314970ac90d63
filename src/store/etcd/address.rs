//! Where an etcd store is: `etcd://HOST[:PORT][,HOST[:PORT]…][/PREFIX]`, and what to show it.

use std::fmt;
use std::path::PathBuf;

/// etcd's own port for clients.
const PORT: u16 = 2379;
/// What keys begin with where the address does not say.
const PREFIX: &str = "longshore";

/// A user of an etcd that has authentication switched on.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password; never shown.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// What an encrypted connection needs, as `etcdctl` has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Authorities that may have signed etcd's certificate (`--cacert`); absent: those of this machine.
    pub ca: Option<PathBuf>,
    /// Our own certificate (`--cert`), with its key.
    pub cert: Option<PathBuf>,
    /// Its key (`--key`).
    pub key: Option<PathBuf>,
}

/// Where the store is in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `host:port`, at least one; they are tried in turn.
    pub endpoints: Vec<String>,
    /// What every key begins with, for example `longshore/`.
    pub prefix: String,
    /// Present: connections are encrypted.
    pub tls: Option<TlsFiles>,
    /// Absent: etcd asks for nobody.
    pub user: Option<User>,
}

impl Options {
    /// Reads an address: `etcd://` in clear, `etcds://` encrypted.
    ///
    /// # Errors
    /// What is wrong with it and how one is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "an etcd store is etcd://HOST:PORT[,HOST:PORT…][/PREFIX], or etcds:// with TLS";
        if text.contains('@') {
            // Whoever lists processes would read it; it is not repeated here either, whatever else is wrong.
            return Err(
                "a user and a password do not belong into the store's address: set LONGSHORE_STORE_USER and \
                 LONGSHORE_STORE_PASSWORD"
                    .to_owned(),
            );
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("etcd", rest)) => (None, rest),
            Some(("etcds", rest)) => (Some(TlsFiles::default()), rest),
            _ => return Err(format!("{text}: {FORM}")),
        };
        if rest.contains(['?', '#', ' ']) {
            return Err(format!("{text}: {FORM}"));
        }
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let endpoints = hosts
            .split(',')
            .map(|host| {
                endpoint(host).ok_or_else(|| format!("{text}: {host:?} is no host; {FORM}"))
            })
            .collect::<Result<_, _>>()?;
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { PREFIX } else { prefix };
        Ok(Self {
            endpoints,
            prefix: format!("{prefix}/"),
            tls,
            user: None,
        })
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        let prefix = self.prefix.trim_end_matches('/');
        write!(f, "{scheme}://{}/{prefix}", self.endpoints.join(","))
    }
}

/// `host:port`, with etcd's port where there is none; `None` where it is neither.
fn endpoint(text: &str) -> Option<String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (format!("[{host}]"), port)
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            let foreign = |c: char| c.is_whitespace() || c.is_control() || "[]".contains(c);
            if host.is_empty() || host.contains(foreign) {
                return None;
            }
            (host.to_owned(), port)
        }
    };
    let port = match port {
        Some(port) if !port.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => PORT,
    };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_under_what_and_whether_encrypted() {
        let read = |text: &str| Options::parse(text).expect(text);
        let one = read("etcd://a");
        assert_eq!(one.endpoints, ["a:2379"]);
        assert_eq!((one.prefix.as_str(), one.tls), ("longshore/", None));
        let many = read("etcds://a:1,10.0.0.1,[::1]:3/shop/eu/");
        assert_eq!(many.endpoints, ["a:1", "10.0.0.1:2379", "[::1]:3"]);
        assert_eq!(many.prefix, "shop/eu/");
        assert!(many.tls.is_some());
        assert_eq!(
            many.to_string(),
            "etcds://a:1,10.0.0.1:2379,[::1]:3/shop/eu"
        );
        assert_eq!(read(&many.to_string()), many);
    }

    #[test]
    fn a_bracket_that_nothing_opens_is_taken_for_no_host() {
        for wrong in ["etcd://1]x", "etcd://a[::1]", "etcd://a\tb:1"] {
            assert!(Options::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_repeated_where_the_address_begins_like_no_store() {
        for wrong in [
            "https://me:secret@a:2379",
            "etcdd://me:secret@a",
            "me:secret@a",
        ] {
            let error = Options::parse(wrong).expect_err(wrong);
            assert!(error.contains("LONGSHORE_STORE_PASSWORD") && !error.contains("secret"));
        }
    }

    #[test]
    fn what_is_no_address_is_told_how_one_is_written() {
        for wrong in [
            "",
            "a:2379",
            "http://a:1",
            "etcd://",
            "etcd://a,",
            "etcd://a:0",
            "etcd://a:b",
            "etcd://::1",
            "etcd://a?x",
            "etcd://[::1:2",
            "etcd://[::1]2",
            "etcd://a:+2",
        ] {
            let error = Options::parse(wrong).expect_err(wrong);
            assert!(error.contains("etcd://HOST:PORT"), "{wrong}: {error}");
        }
        let error = Options::parse("etcd://me:secret@a").expect_err("a password");
        assert!(error.contains("LONGSHORE_STORE_PASSWORD") && !error.contains("secret"));
    }
}
