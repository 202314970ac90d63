//! By which names a secret is looked for. Pure.
//!
//! What a definition calls a secret was made for AWS: an ARN with a region, an account and random characters, or the path
//! of a parameter. What is kept here has a short name of its own. So a reference stands for several names, the most exact
//! one first; each provider is asked for them in this order.

use std::collections::BTreeMap;

/// Random characters that Secrets Manager puts behind a secret's name in its ARN, after a `-`.
const SUFFIX: usize = 6;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The names, the most exact first; none is empty.
    pub names: Vec<String>,
    /// Of a value that is a JSON object: the member that is meant.
    pub json_key: Option<String>,
}

/// What to ask for where a definition writes `reference` and the cluster maps names by `mapping`: by the reference as it is
/// written, by the ARN without what follows the secret's name, or by any of the names in it. A mapped name is the only one
/// that is asked for.
pub fn lookup(reference: &str, mapping: &BTreeMap<String, String>) -> Lookup {
    let parsed = Parsed::of(reference);
    let mapped = mapping
        .get(reference)
        .or_else(|| mapping.get(parsed.base))
        .or_else(|| parsed.names.iter().find_map(|name| mapping.get(name)))
        .filter(|name| !name.is_empty());
    Lookup {
        names: match mapped {
            Some(name) => vec![name.clone()],
            None => parsed.names,
        },
        json_key: parsed.json_key,
    }
}

/// The paths below a cluster's directory at which a file of variables is looked for, the most exact first: by `mapping`
/// where the object's ARN, its path with the bucket, or its path is in it; else its path, and then the last part of it.
pub fn object_paths(arn: &str, mapping: &BTreeMap<String, String>) -> Vec<String> {
    let with_bucket = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let key = with_bucket
        .split_once('/')
        .map_or(with_bucket, |(_, key)| key);
    let mapped = [arn, with_bucket, key]
        .iter()
        .find_map(|name| mapping.get(*name));
    match mapped {
        Some(path) => vec![path.clone()],
        None => distinct([key.trim_start_matches('/'), last_part(key)]),
    }
}

struct Parsed<'a> {
    /// Without JSON key, version stage and version id.
    base: &'a str,
    names: Vec<String>,
    json_key: Option<String>,
}

impl<'a> Parsed<'a> {
    fn of(reference: &'a str) -> Self {
        let parts: Vec<&str> = reference.split(':').collect();
        match parts.as_slice() {
            ["arn", _, "secretsmanager", _, _, "secret", name, rest @ ..] => {
                let after: usize = rest.iter().map(|part| part.len() + 1).sum();
                let plain = without_suffix(name);
                Self {
                    base: &reference[..reference.len() - after],
                    // A name may itself end like the random characters, so the whole text goes before what is left of it.
                    names: distinct([name, plain, last_part(name), last_part(plain)]),
                    json_key: rest
                        .first()
                        .filter(|key| !key.is_empty())
                        .map(|key| (*key).to_owned()),
                }
            }
            ["arn", _, "ssm", _, _, resource, ..] => {
                let path = resource.strip_prefix("parameter").unwrap_or(resource);
                // The ARN of parameter `a` is `…:parameter/a`, and that of `/a/b` is `…:parameter/a/b`.
                let name = match path.strip_prefix('/') {
                    Some(name) if !name.contains('/') => name,
                    _ => path,
                };
                Self::plain(reference, name)
            }
            ["arn", .., resource] => Self::plain(reference, resource),
            // A parameter's name holds no colon: what follows one chooses a version or a label.
            [name, ..] => Self::plain(reference, name),
            [] => Self::plain(reference, reference),
        }
    }

    fn plain(base: &'a str, name: &str) -> Self {
        Self {
            base,
            names: distinct([name, last_part(name)]),
            json_key: None,
        }
    }
}

/// A secret's name in its ARN without the random characters.
fn without_suffix(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((plain, suffix))
            if suffix.len() == SUFFIX && suffix.bytes().all(|b| b.is_ascii_alphanumeric()) =>
        {
            plain
        }
        _ => name,
    }
}

fn last_part(name: &str) -> &str {
    let name = name.trim_end_matches('/');
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

fn distinct<const N: usize>(names: [&str; N]) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::with_capacity(N);
    for name in names {
        if !name.is_empty() && !distinct.iter().any(|other| other == name) {
            distinct.push(name.to_owned());
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-hFFsNc";

    fn names(reference: &str) -> Vec<String> {
        lookup(reference, &BTreeMap::new()).names
    }

    #[test]
    fn a_secret_of_secrets_manager_is_known_by_its_name_with_and_without_the_random_characters() {
        assert_eq!(names(ARN), ["prod/db-hFFsNc", "prod/db", "db-hFFsNc", "db"]);
        // An ARN without them, of a secret whose name ends alike: the whole name comes first.
        assert_eq!(
            names("arn:aws-cn:secretsmanager:cn-north-1:1:secret:my-secret"),
            ["my-secret", "my"]
        );
        assert_eq!(names("arn:aws:secretsmanager:r:1:secret:plain"), ["plain"]);
        assert_eq!(
            names("arn:aws:secretsmanager:r:1:secret:a-bcdefgh"),
            ["a-bcdefgh"]
        );
    }

    #[test]
    fn the_json_key_of_an_arn_counts_and_its_version_does_not() {
        let key = |suffix: &str| {
            let found = lookup(&format!("{ARN}{suffix}"), &BTreeMap::new());
            assert_eq!(found.names, names(ARN), "{suffix}");
            found.json_key
        };
        assert_eq!(key(""), None);
        assert_eq!(key(":user"), Some("user".to_owned()));
        assert_eq!(key(":user:AWSPREVIOUS:"), Some("user".to_owned()));
        assert_eq!(key("::AWSPREVIOUS:0a1b-2c"), None);
        assert_eq!(key(":user::"), Some("user".to_owned()));
    }

    #[test]
    fn a_parameter_is_known_by_its_path_and_by_the_last_part_of_it() {
        assert_eq!(
            names("/shop/prod/db-password"),
            ["/shop/prod/db-password", "db-password"]
        );
        assert_eq!(
            names("arn:aws:ssm:r:1:parameter/shop/db"),
            ["/shop/db", "db"]
        );
        assert_eq!(names("arn:aws:ssm:r:1:parameter/db"), ["db"]);
        assert_eq!(names("gokabot.TOKEN"), ["gokabot.TOKEN"]);
        assert_eq!(names("/shop/db:3"), ["/shop/db", "db"]);
        assert_eq!(
            names("arn:aws:ssm:r:1:parameter/shop/db:label"),
            ["/shop/db", "db"]
        );
        assert_eq!(names("/"), ["/"]);
        assert_eq!(names(""), [] as [&str; 0]);
        assert_eq!(names("arn:other:thing/a"), ["thing/a", "a"]);
    }

    #[test]
    fn a_mapped_name_is_the_only_one_and_the_most_exact_mapping_counts() {
        let of = |reference: &str, mapping: &[(&str, &str)]| {
            let mapping = mapping
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect();
            lookup(reference, &mapping)
        };
        let with_key = format!("{ARN}:user");
        for from in [with_key.as_str(), ARN, "prod/db", "db", "prod/db-hFFsNc"] {
            let found = of(&with_key, &[(from, "vault/db")]);
            assert_eq!(found.names, ["vault/db"], "{from}");
            assert_eq!(found.json_key.as_deref(), Some("user"), "{from}");
        }
        let both = of(ARN, &[("db", "last"), (ARN, "exact")]);
        assert_eq!(both.names, ["exact"]);
        assert_eq!(
            of("/shop/db:3", &[("/shop/db:3", "third")]).names,
            ["third"]
        );
        assert_eq!(
            of("/shop/db", &[("other", "x"), ("db", "")]).names,
            ["/shop/db", "db"]
        );
    }

    #[test]
    fn an_object_is_a_file_of_its_path_or_of_the_last_part_of_it() {
        let arn = "arn:aws:s3:::bucket/config/web.env";
        assert_eq!(
            object_paths(arn, &BTreeMap::new()),
            ["config/web.env", "web.env"]
        );
        for from in [arn, "bucket/config/web.env", "config/web.env"] {
            let mapping = BTreeMap::from([(from.to_owned(), "w.env".to_owned())]);
            assert_eq!(object_paths(arn, &mapping), ["w.env"], "{from}");
        }
        assert_eq!(
            object_paths("arn:aws:s3:::bucket/web.env", &BTreeMap::new()),
            ["web.env"]
        );
    }
}
