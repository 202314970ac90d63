use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::model::{ClusterName, SecretProvider};

/// A folder of manifests with these files, and what is asked there.
struct World {
    folder: tempfile::TempDir,
    secrets: Secrets,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let variables: Variables = Arc::new(|name| match name {
            "SHOP_DB" => Some("from the environment".to_owned()),
            "SHOP_ONLY" => Some("only there".to_owned()),
            _ => None,
        });
        let secrets = Secrets::with_variables(folder.path().to_owned(), variables);
        Self { folder, secrets }
    }

    async fn resolve(
        &self,
        container: serde_json::Value,
        sources: &SecretSources,
    ) -> Result<Resolved, String> {
        let mut cluster = ClusterSpec::named(ClusterName::default());
        cluster.secrets = sources.clone();
        cluster.environment_files.path = Some("env".to_owned());
        let spec = spec(container);
        let options = spec.log.as_ref().map(|log| log.secret_options.as_slice());
        self.secrets
            .of_container(&spec, options.unwrap_or_default(), &cluster)
            .await
            .map_err(|error| error.to_string())
    }

    /// The value of one secret.
    async fn value(&self, reference: &str, sources: &SecretSources) -> Result<String, String> {
        let container = json!({"secrets": [{"name": "A", "value_from": reference}]});
        let mut found = self.resolve(container, sources).await?;
        Ok(found.environment.remove(0).1.into_exposed())
    }
}

fn spec(members: serde_json::Value) -> ContainerSpec {
    let mut container = json!({"name": "web", "image": "busybox", "essential": true});
    let more = members.as_object().unwrap().clone();
    container.as_object_mut().unwrap().extend(more);
    serde_json::from_value(container).unwrap()
}

fn sources(providers: Vec<SecretProvider>) -> SecretSources {
    SecretSources {
        providers,
        names: BTreeMap::new(),
    }
}

fn directory(path: &str) -> SecretProvider {
    SecretProvider::Directory {
        path: path.to_owned(),
    }
}

fn environment(prefix: &str) -> SecretProvider {
    SecretProvider::Environment {
        prefix: prefix.to_owned(),
    }
}

fn shell(script: &str) -> SecretProvider {
    SecretProvider::Command {
        command: ["/bin/sh", "-c", script, "vault"]
            .map(str::to_owned)
            .to_vec(),
        timeout: 60,
    }
}

#[tokio::test]
async fn providers_are_asked_in_their_order_each_for_the_most_exact_name_first() {
    let world = World::new(&[
        ("first/db", "by its last part\n"),
        ("second/shop/db", "by its path\n"),
        ("second/db", "not this one"),
    ]);
    let both = |a, b| sources(vec![directory(a), directory(b)]);
    let value = async |sources| world.value("/shop/db", &sources).await.unwrap();
    assert_eq!(value(both("first", "second")).await, "by its last part");
    assert_eq!(value(both("second", "first")).await, "by its path");
    assert_eq!(value(both("nowhere", "second")).await, "by its path");
    let absolute = world.folder.path().join("second").display().to_string();
    assert_eq!(value(both(&absolute, "x")).await, "by its path");
    let mixed = sources(vec![environment("SHOP_"), directory("second")]);
    assert_eq!(
        world.value("db", &mixed).await.unwrap(),
        "from the environment"
    );
    let printed = sources(vec![directory("x"), shell("echo \"of $1\"")]);
    assert_eq!(
        world.value("/shop/db", &printed).await.unwrap(),
        "of /shop/db"
    );
}

#[tokio::test]
async fn a_secret_that_nobody_has_is_reported_with_every_name_and_provider() {
    let world = World::new(&[]);
    let asked = sources(vec![
        directory("s"),
        environment("X_"),
        shell("echo nothing called $1 >&2; exit 4"),
    ]);
    let reference = "arn:aws:secretsmanager:r:1:secret:shop/db-AbCdEf";
    let error = world.value(reference, &asked).await.unwrap_err();
    assert_eq!(
        error,
        "secret A (arn:aws:secretsmanager:r:1:secret:shop/db-AbCdEf): no provider has shop/db-AbCdEf, shop/db, \
         db-AbCdEf, db; asked: directory s; environment X_…; command /bin/sh (\
         shop/db-AbCdEf: exit code 4: nothing called shop/db-AbCdEf, \
         shop/db: exit code 4: nothing called shop/db, \
         db-AbCdEf: exit code 4: nothing called db-AbCdEf, \
         db: exit code 4: nothing called db)"
    );
    let none = world.value("/a", &SecretSources::default()).await;
    assert_eq!(
        none.unwrap_err(),
        "secret A (/a): the cluster has no secretProviders"
    );
}

#[tokio::test]
async fn where_a_provider_fails_no_other_is_asked() {
    let world = World::new(&[
        ("big", &"x".repeat(200_000)),
        ("s/a", "right"),
        ("key", "no identity"),
        ("a.age", "not encrypted"),
    ]);
    std::fs::create_dir(world.folder.path().join("broken")).unwrap();
    std::fs::write(world.folder.path().join("broken/a"), [0xff, 0xfe]).unwrap();
    let big = sources(vec![directory("."), directory("s")]);
    let error = world.value("big", &big).await.unwrap_err();
    assert!(error.contains("64 KiB"), "{error}");
    let age = SecretProvider::Age {
        identity_file: "key".to_owned(),
        path: None,
    };
    for (provider, wanted) in [
        (directory("broken"), "UTF-8"),
        (age, "key: line 1 is no X25519 identity"),
        (shell("kill -9 $$"), "was killed"),
    ] {
        let asked = sources(vec![provider, directory("s")]);
        let error = world.value("a", &asked).await.unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn an_encrypted_file_is_read_from_the_folder_itself_or_from_a_directory() {
    let identity = "AGE-SECRET-KEY-15TNAE33HTFN4JVVZ8HLRP6TGPV7LFEUXK0TAD3AED24PK0VKH3WQRTJ0UX\n";
    let world = World::new(&[("key", identity)]);
    let file = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBVa2Z2VEhhNjVrU1RkK3A4MVhodFlHZkpLcFAxNE9Cb2xhalVsdG9qYmhVCmUrRnVDRy9uMVp2ZXI2eVhiVUJ1NC9RN05UamErR3VtNFdUQU52Z0xJK3cKLS0tIEV3QitTUndOcDByWGVKR0hyKys5bTROQlpxanEyeXFUQ0ZKdjluU25ZaTQKRv/KA1sK88++pJTKMqHyst+EDz11AtDZUJynYAIUeON073hWSEpCgxTjA08IKA==";
    let armored =
        format!("-----BEGIN AGE ENCRYPTED FILE-----\n{file}\n-----END AGE ENCRYPTED FILE-----\n");
    std::fs::write(world.folder.path().join("pass.age"), &armored).unwrap();
    std::fs::create_dir_all(world.folder.path().join("s/shop")).unwrap();
    std::fs::write(world.folder.path().join("s/shop/other.age"), &armored).unwrap();
    let age = |path: Option<&str>| {
        sources(vec![SecretProvider::Age {
            identity_file: "key".to_owned(),
            path: path.map(str::to_owned),
        }])
    };
    let value = world.value("/prod/pass", &age(None)).await;
    assert_eq!(value.unwrap(), "correct horse");
    let value = world.value("/shop/other", &age(Some("s"))).await;
    assert_eq!(value.unwrap(), "correct horse");
}

#[tokio::test]
async fn one_secret_gives_several_members_and_is_asked_for_once() {
    let world = World::new(&[]);
    let counted = world.folder.path().join("count");
    let script = format!(
        "echo x >> {}; echo '{{\"user\": \"me\", \"port\": 5432, \"password\": \"p\"}}'",
        counted.display()
    );
    let arn = "arn:aws:secretsmanager:r:1:secret:db-AbCdEf";
    let secret =
        |name: &str, suffix: &str| json!({"name": name, "value_from": format!("{arn}{suffix}")});
    let container = json!({
        "secrets": [secret("USER", ":user::"), secret("PORT", ":port::"), secret("ALL", "")],
        "log": {"driver": "splunk", "secret_options": [secret("token", ":password::")]},
    });
    let asked = sources(vec![shell(&script)]);
    let found = world.resolve(container, &asked).await.unwrap();
    let environment: Vec<(&str, &str)> = found
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    assert_eq!(environment[..2], [("USER", "me"), ("PORT", "5432")]);
    assert!(environment[2].1.starts_with("{\"user\""));
    assert_eq!(found.log_options[0].1.expose(), "p");
    assert_eq!(std::fs::read_to_string(counted).unwrap(), "x\n");

    let missing = json!({"secrets": [secret("A", ":nothing::"), secret("B", ":user::")]});
    let error = world.resolve(missing, &asked).await.unwrap_err();
    assert!(
        error.ends_with("its JSON value has no key nothing"),
        "{error}"
    );
    let plain = sources(vec![shell("echo planted")]);
    let error = world
        .value(&format!("{arn}:user::"), &plain)
        .await
        .unwrap_err();
    assert!(
        error.ends_with("its value is no JSON object, so it has no key user"),
        "{error}"
    );
}

#[tokio::test]
async fn everything_that_is_missing_is_said_at_once() {
    let world = World::new(&[("s/b", "here")]);
    let container = json!({
        "environment_files": [{"kind": "file", "value": "no.env"}, {"kind": "s3", "value": "arn:aws:s3:::b/x/no.env"}],
        "secrets": [{"name": "A", "value_from": "a"}, {"name": "B", "value_from": "b"}],
        "log": {"driver": "splunk", "secret_options": [{"name": "token", "value_from": "c"}]},
    });
    let error = world
        .resolve(container, &sources(vec![directory("s")]))
        .await;
    let error = error.unwrap_err();
    let at = |text: &str| {
        error
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {error}"))
    };
    let folder = world.folder.path().display();
    assert!(
        at(&format!(
            "environment file no.env: there is no {folder}/no.env"
        )) < at(&format!(
            "there is no {folder}/env/x/no.env and no {folder}/env/no.env"
        ))
    );
    assert!(at("secret A (a): no provider has a") < at("secret token (c): no provider has c"));
    assert!(!error.contains("secret B"), "{error}");
}

#[tokio::test]
async fn variables_come_from_the_first_file_that_has_them() {
    let world = World::new(&[
        ("own.env", "A=own\nB=own\n"),
        ("env/web.env", "B=s3\nC=s3\n"),
    ]);
    let container = json!({"environment_files": [
        {"kind": "file", "value": "own.env"},
        {"kind": "s3", "value": "arn:aws:s3:::bucket/config/web.env"},
    ]});
    let found = world
        .resolve(container, &SecretSources::default())
        .await
        .unwrap();
    let last = |name: &str| {
        let all = found.files.iter().filter(|(known, _)| known == name);
        all.map(|(_, value)| value.expose()).next_back()
    };
    assert_eq!(
        (last("A"), last("B"), last("C")),
        (Some("own"), Some("own"), Some("s3"))
    );
}

#[tokio::test]
async fn registry_credentials_are_json_with_user_and_password() {
    let world = World::new(&[
        ("s/good", r#"{"username": "me", "password": "p:w"}"#),
        ("s/half", r#"{"username": "me", "passwort": "planted"}"#),
        ("s/plain", "planted"),
    ]);
    let asked = sources(vec![directory("s")]);
    let get = async |name: &str| world.secrets.credentials(name, &asked).await;
    let good = get("good").await.unwrap();
    assert_eq!(
        (good.username.as_str(), good.password.expose()),
        ("me", "p:w")
    );
    for name in ["half", "plain", "none"] {
        let error = get(name).await.unwrap_err().to_string();
        assert!(
            error.contains(&format!("repositoryCredentials ({name})")),
            "{error}"
        );
        assert!(!error.contains("planted"), "{error}");
    }
}

#[tokio::test]
async fn a_value_that_no_variable_can_hold_is_refused_and_no_message_has_it() {
    let world = World::new(&[
        ("s/a", "planted\0value"),
        ("x.env", "A=planted\0value"),
        ("s/json", "{\"a\": \"planted"),
    ]);
    let asked = sources(vec![directory("s")]);
    let error = world.value("a", &asked).await.unwrap_err();
    assert!(
        error.contains("zero byte") && !error.contains("planted"),
        "{error}"
    );
    let file = json!({"environment_files": [{"kind": "file", "value": "x.env"}]});
    let error = world.resolve(file, &asked).await.unwrap_err();
    assert!(
        error.contains("zero byte") && !error.contains("planted"),
        "{error}"
    );
    let arn = "arn:aws:secretsmanager:r:1:secret:json:a::";
    let error = world.value(arn, &asked).await.unwrap_err();
    assert!(
        error.contains("no JSON object") && !error.contains("planted"),
        "{error}"
    );
}

#[tokio::test]
async fn imagined_secrets_are_whatever_is_named_and_ask_nobody() {
    let container = json!({
        "secrets": [{"name": "A", "value_from": "nobody-has-it:key::"}],
        "environment_files": [{"kind": "s3", "value": "arn:aws:s3:::bucket/none.env"}],
    });
    let cluster = ClusterSpec::named(ClusterName::default());
    let resolved = Secrets::imagined()
        .of_container(&spec(container), &[], &cluster)
        .await;
    let resolved = resolved.unwrap();
    assert_eq!(resolved.environment.len(), 1);
    assert!(resolved.files.is_empty());
    let credentials = Secrets::imagined()
        .credentials("none", &SecretSources::default())
        .await;
    assert!(credentials.is_ok());
}
