//! Secrets and files of variables by reference: what a definition names, and where a cluster looks for it. Never a value (P9).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A secret that a container is given: what it is called inside, and what it is called outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRef {
    /// The environment variable, or the log driver's option.
    pub name: String,
    /// As the definition writes it: the ARN of a Secrets Manager secret, the ARN or name of an SSM parameter, any name.
    pub value_from: String,
}

/// Where ECS keeps a file of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentFileKind {
    /// An object in S3, for which a file stands here.
    S3,
    /// A file of the host (Longshore's own).
    File,
}

/// One entry of ECS `environmentFiles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentFileRef {
    /// What `value` is.
    pub kind: EnvironmentFileKind,
    /// The ARN of the object, or the path of the file: absolute, or below the folder of manifests.
    pub value: String,
}

/// Where a cluster's agents look for secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretSources {
    /// Asked in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<SecretProvider>,
    /// What providers call a secret, by what definitions call it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

impl SecretSources {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One place that secrets come from. Paths that are not absolute begin at the folder of manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum SecretProvider {
    /// A file for each secret.
    Directory {
        /// The directory.
        path: String,
    },
    /// Variables of the environment that Longshore itself runs in.
    Environment {
        /// What stands before a secret's name; may be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
    /// A program that prints a secret.
    Command {
        /// The program and its first arguments; the secret's name follows. Never empty.
        command: Vec<String>,
        /// Seconds that it may take.
        timeout: u32,
    },
    /// A file for each secret, encrypted with age.
    Age {
        /// The file of identities (secret keys).
        identity_file: String,
        /// The directory of the encrypted files; absent: the folder of manifests.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
}

/// Where a cluster's agents look for files of variables that ECS keeps in S3.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentFileSource {
    /// The directory: absolute, or below the folder of manifests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Paths in it, by what definitions call the file.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
}

impl EnvironmentFileSource {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
