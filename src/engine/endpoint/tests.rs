//! The rules by which docker finds its engine.

use std::collections::BTreeMap;

use super::*;

#[derive(Default)]
struct Fake {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Fake {
    fn new(variables: &[(&str, &str)]) -> Self {
        let mut fake = Self::default();
        fake.variables.insert("HOME".into(), "/home/me".into());
        for (name, value) in variables {
            fake.variables.insert((*name).into(), (*value).into());
        }
        fake
    }

    fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// A context as docker 28 wrote it.
    fn context(self, name: &str, host: &str, skip: bool, tls: &[&str]) -> Self {
        let hash = hex_sha256(name.as_bytes());
        let mut fake = self.file(
            &format!("/home/me/.docker/contexts/meta/{hash}/meta.json"),
            &format!(
                r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":{skip}}}}}}}"#
            ),
        );
        for file in tls {
            fake = fake.file(
                &format!("/home/me/.docker/contexts/tls/{hash}/docker/{file}"),
                "pem",
            );
        }
        fake
    }

    fn local(&self) -> Result<Resolved, EndpointError> {
        resolve(&EngineEndpoint::Local, self)
    }
}

impl Environment for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|v| !v.is_empty()).cloned()
    }

    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.get(path).cloned())
    }
}

fn shown(address: &str) -> String {
    parse(address, None).map_or_else(|e| e.to_string(), |e| e.to_string())
}

#[test]
fn the_default_socket_is_used_when_nothing_says_otherwise() {
    let resolved = Fake::new(&[]).local().unwrap();
    assert_eq!(resolved.endpoint.to_string(), "unix:///var/run/docker.sock");
    assert_eq!(resolved.origin, Origin::Default);
}

#[test]
fn docker_host_wins_over_every_context() {
    let resolved = Fake::new(&[("DOCKER_HOST", "tcp://a"), ("DOCKER_CONTEXT", "far")])
        .context("far", "ssh://far", false, &[])
        .local()
        .unwrap();
    assert_eq!(resolved.endpoint.to_string(), "tcp://a:2375");
    assert_eq!(resolved.origin, Origin::DockerHost);
}

#[test]
fn docker_context_wins_over_the_current_context() {
    let config = r#"{"currentContext":"near","auths":{}}"#;
    let fake = Fake::new(&[])
        .file("/home/me/.docker/config.json", config)
        .context("near", "unix:///near.sock", false, &[])
        .context("far", "ssh://me@far:2222/run/x.sock", false, &[]);
    let current = fake.local().unwrap();
    assert_eq!(current.endpoint.to_string(), "unix:///near.sock");
    assert_eq!(
        current.origin.to_string(),
        "from the docker context \"near\", chosen by /home/me/.docker/config.json"
    );

    let mut fake = fake;
    fake.variables.insert("DOCKER_CONTEXT".into(), "far".into());
    assert_eq!(
        fake.local().unwrap().endpoint,
        Endpoint::Ssh(SshEndpoint {
            user: Some("me".into()),
            host: "far".into(),
            port: Some(2222),
            socket: Some("/run/x.sock".into()),
        })
    );
    fake.variables
        .insert("DOCKER_CONTEXT".into(), "default".into());
    assert_eq!(fake.local().unwrap().origin, Origin::Default);
}

#[test]
fn a_context_that_does_not_exist_is_an_error_that_says_who_chose_it() {
    let error = Fake::new(&[("DOCKER_CONTEXT", "gone")])
        .local()
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("\"gone\" (chosen by DOCKER_CONTEXT)"),
        "{text}"
    );
    assert!(text.contains("/home/me/.docker/contexts/meta/"), "{text}");
}

#[test]
fn a_context_brings_its_own_tls_files() {
    let fake = Fake::new(&[("DOCKER_CONTEXT", "safe")]).context(
        "safe",
        "tcp://10.0.0.1",
        false,
        &["ca.pem", "cert.pem", "key.pem"],
    );
    let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
        panic!("not tcp")
    };
    let tls = tcp.tls.unwrap();
    assert!(tls.verify && tls.cert.is_some() && tls.key.is_some());
    assert!(tls.ca.unwrap().ends_with("docker/ca.pem"));
    assert_eq!(tcp.port, 2376);

    let fake = Fake::new(&[("DOCKER_CONTEXT", "skip")]).context("skip", "tcp://a", true, &[]);
    let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
        panic!("not tcp")
    };
    assert_eq!(tcp.tls, Some(TlsFiles::default()));

    let fake = Fake::new(&[("DOCKER_CONTEXT", "bare")]).context("bare", "tcp://a", false, &[]);
    let Endpoint::Tcp(tcp) = fake.local().unwrap().endpoint else {
        panic!("not tcp")
    };
    assert_eq!(tcp.tls, None);
}

#[test]
fn tls_of_the_environment_applies_to_docker_host_and_explicit_addresses() {
    let fake = Fake::new(&[
        ("DOCKER_HOST", "tcp://a:99"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", "/certs"),
    ])
    .file("/certs/ca.pem", "pem")
    .file("/certs/cert.pem", "pem");
    let expected = TlsFiles {
        ca: Some("/certs/ca.pem".into()),
        cert: Some("/certs/cert.pem".into()),
        key: None,
        verify: true,
    };
    for resolved in [
        fake.local().unwrap(),
        resolve(&EngineEndpoint::Address("tcp://b".into()), &fake).unwrap(),
    ] {
        let Endpoint::Tcp(tcp) = resolved.endpoint else {
            panic!("not tcp")
        };
        assert_eq!(tcp.tls.as_ref(), Some(&expected));
    }
}

#[test]
fn verifying_without_an_authority_is_refused_as_docker_refuses_it() {
    let error = Fake::new(&[("DOCKER_HOST", "tcp://a"), ("DOCKER_TLS_VERIFY", "1")])
        .local()
        .unwrap_err();
    assert!(error.to_string().contains("/home/me/.docker/ca.pem"));
}

#[test]
fn addresses_are_read_as_docker_reads_them() {
    assert_eq!(shown("tcp://"), "tcp://localhost:2375");
    assert_eq!(shown("tcp://:99"), "tcp://localhost:99");
    assert_eq!(shown("localhost:1"), "tcp://localhost:1");
    assert_eq!(shown("1.2.3.4"), "tcp://1.2.3.4:2375");
    assert_eq!(shown("tcp://[::1]:5"), "tcp://[::1]:5");
    assert_eq!(shown("tcp://a/"), "tcp://a:2375");
    assert_eq!(shown("tcp://a/p/"), "tcp://a:2375/p");
    assert_eq!(shown("unix://"), "unix:///var/run/docker.sock");
    assert_eq!(shown("  "), "unix:///var/run/docker.sock");
    assert_eq!(shown("ssh://h"), "ssh://h");
    assert_eq!(shown("ssh://me@[::1]:22/s"), "ssh://me@[::1]:22/s");
    assert_eq!(shown("ssh://[fd00::1]"), "ssh://[fd00::1]");
    assert_eq!(shown("ssh://h/"), "ssh://h");
    assert_eq!(shown("ssh://me@h:22/s.sock"), "ssh://me@h:22/s.sock");
}

#[test]
fn addresses_that_docker_refuses_are_refused_with_what_to_write() {
    for (address, word) in [
        ("http://a", "write tcp://"),
        ("ssh://u:p@h", "password"),
        ("ssh://h?x=1", "query"),
        ("ssh://-oProxyCommand=x", "needs a host"),
        ("ssh://-l@h", "no user name"),
        ("tcp://a:http", "no port"),
        ("tcp://::1", "brackets"),
        ("tcp://[::1", "not closed"),
        ("tcp://[[]", "nowhere else"),
        ("tcp://a]:1", "nowhere else"),
        ("tcp://a:+1", "no port"),
        ("tcp://a/b /", "no spaces"),
        ("npipe:////./pipe/x", "Windows"),
        ("fd://", "unix:///path"),
    ] {
        let text = shown(address);
        assert!(text.contains("is no engine address"), "{address}: {text}");
        assert!(text.contains(word), "{address}: {text}");
    }
}

#[test]
fn a_broken_config_json_is_named() {
    let error = Fake::new(&[])
        .file("/home/me/.docker/config.json", "{")
        .local()
        .unwrap_err();
    assert!(error.to_string().contains("/home/me/.docker/config.json"));
}
