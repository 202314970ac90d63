//! How an engine's address is written: `unix:///path`, `tcp://host:port`, `ssh://user@host`.

use std::path::PathBuf;

use super::{DEFAULT_SOCKET, Endpoint, EndpointError, SshEndpoint, TcpEndpoint, TlsFiles};

/// Reads an address as `docker --host` does; `tls` applies to a TCP address and to no other.
///
/// # Errors
/// A scheme that is not `unix`, `tcp` or `ssh`, and addresses that docker refuses.
pub fn parse(address: &str, tls: Option<TlsFiles>) -> Result<Endpoint, EndpointError> {
    let fail = |problem: &str| EndpointError::Address {
        address: address.to_owned(),
        problem: problem.to_owned(),
    };
    let trimmed = address.trim();
    let (scheme, rest) = match trimmed.split_once("://") {
        Some(parts) => parts,
        None if trimmed.is_empty() => ("unix", ""),
        None => ("tcp", trimmed),
    };
    match scheme {
        "tcp" | "ssh" if rest.contains(char::is_whitespace) => {
            Err(fail("a host and a path hold no spaces"))
        }
        "unix" if rest.is_empty() => Ok(Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET))),
        "unix" => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "tcp" => parse_tcp(rest, tls)
            .map(Endpoint::Tcp)
            .map_err(|problem| fail(&problem)),
        "ssh" => parse_ssh(rest)
            .map(Endpoint::Ssh)
            .map_err(|problem| fail(&problem)),
        "http" | "https" => Err(fail(
            "write tcp://; TLS is switched on by DOCKER_TLS_VERIFY or by a docker context",
        )),
        "npipe" => Err(fail(
            "named pipes exist on Windows only; use tcp:// or ssh://",
        )),
        _ => Err(fail(
            "write unix:///path, tcp://host:port or ssh://user@host",
        )),
    }
}

fn parse_tcp(rest: &str, tls: Option<TlsFiles>) -> Result<TcpEndpoint, String> {
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (host, port) = split_port(authority)?;
    if host.contains('@') {
        return Err("an engine's TCP address has no user".to_owned());
    }
    Ok(TcpEndpoint {
        host: if host.is_empty() {
            "localhost".to_owned()
        } else {
            host.to_owned()
        },
        port: port.unwrap_or(if tls.is_some() { 2376 } else { 2375 }),
        path: path.trim_end_matches('/').to_owned(),
        tls,
    })
}

fn parse_ssh(rest: &str) -> Result<SshEndpoint, String> {
    if rest.contains(['?', '#']) {
        return Err("an ssh address has no query and no fragment".to_owned());
    }
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if user.is_some_and(|user| user.contains(':')) {
        return Err("a password cannot stand in an ssh address; use a key".to_owned());
    }
    let (host, port) = split_port(host)?;
    // Both become arguments of a command: nothing that it would take for an option.
    if host.is_empty() || host.starts_with('-') {
        return Err("an ssh address needs a host".to_owned());
    }
    if user.is_some_and(|user| user.is_empty() || user.starts_with('-')) {
        return Err("that is no user name".to_owned());
    }
    Ok(SshEndpoint {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        socket: (!path.trim_end_matches('/').is_empty()).then(|| path.to_owned()),
    })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, after) = inner
            .split_once(']')
            .ok_or("a bracket of the address is not closed")?;
        match after.strip_prefix(':') {
            Some(port) => (host, port),
            None if after.is_empty() => (host, ""),
            None => return Err("after the bracket only a port may stand".to_owned()),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("write an IPv6 address in brackets".to_owned());
            }
            Some(parts) => parts,
            None => (authority, ""),
        }
    };
    if host.contains(['[', ']']) {
        return Err("brackets stand around an IPv6 address and nowhere else".to_owned());
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let number = port
        .parse::<u16>()
        .ok()
        .filter(|number| *number != 0 && digits)
        .ok_or_else(|| format!("{port:?} is no port from 1 to 65535"))?;
    Ok((host, Some(number)))
}
