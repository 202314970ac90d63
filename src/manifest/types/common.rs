//! Shapes that more than one kind uses.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A tag: a key and a value that travel with the resource.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tag {
    /// The key. Keys that start with `aws:` are refused, as on ECS.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$")
    )]
    pub key: String,
    /// The value; absent is the empty text.
    #[schemars(length(max = 256), regex(pattern = r"^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$"))]
    pub value: Option<String>,
}

/// A name with a value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyValuePair {
    /// The name.
    pub name: Option<String>,
    /// The value; absent is the empty text.
    pub value: Option<String>,
}

/// A secret by reference: what it is called inside, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// The environment variable, or the log driver's option, that receives the value.
    pub name: String,
    /// Full ARN of a Secrets Manager secret, or ARN or name of an SSM parameter; the cluster's `secretProviders` are asked.
    #[schemars(length(min = 1))]
    pub value_from: String,
}

/// A log driver's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    JsonFile,
    Syslog,
    Journald,
    Gelf,
    Fluentd,
    Awslogs,
    Splunk,
    Awsfirelens,
}

impl LogDriver {
    /// As Docker names it, for those drivers that Docker has.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Syslog => "syslog",
            Self::Journald => "journald",
            Self::Gelf => "gelf",
            Self::Fluentd => "fluentd",
            Self::Awslogs => "awslogs",
            Self::Splunk => "splunk",
            Self::Awsfirelens => "awsfirelens",
        }
    }
}

/// Where a container's output goes.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogConfiguration {
    /// The driver.
    pub log_driver: LogDriver,
    /// The driver's options, as Docker names them.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Options whose values are secrets.
    #[serde(default)]
    pub secret_options: Vec<Secret>,
}

/// One share of a capacity provider strategy.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CapacityProviderStrategyItem {
    /// The capacity provider's name.
    pub capacity_provider: String,
    /// Its share of the tasks that are above every `base`.
    #[schemars(range(max = 1000), extend("default" = 0))]
    pub weight: Option<u32>,
    /// How many tasks it gets before weights count. At most one item may have one.
    #[schemars(range(max = 100_000), extend("default" = 0))]
    pub base: Option<u32>,
}

/// An amount of CPU or memory at task level: text as ECS takes it (`"256"`, `"1 vCPU"`, `"0.5 GB"`), or a plain number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity(pub String);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Number(i64),
        }
        Ok(match Raw::deserialize(deserializer)? {
            Raw::Text(text) => Self(text),
            Raw::Number(number) => Self(number.to_string()),
        })
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// ECS's switches that are words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Switch {
    Enabled,
    Disabled,
}

/// Where tags of tasks come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PropagateTags {
    TaskDefinition,
    Service,
    None,
}
