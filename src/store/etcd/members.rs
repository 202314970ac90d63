//! How each member of an etcd is: for whoever looks for what is wrong with it.

use serde::Deserialize;
use serde_json::json;

use super::address::Options;
use super::failure::Failure;
use super::gateway::Gateway;
use super::wire::number;

/// An endpoint of the store, and what answers there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `host:port`
    pub endpoint: String,
    /// What it says, or why it does not.
    pub status: Result<MemberStatus, String>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// etcd's version.
    pub version: String,
    /// Bytes of its database.
    pub bytes: u64,
    /// Whether the members have a leader: without one nothing is read or written.
    pub has_leader: bool,
    /// What it complains about, such as `NOSPACE`.
    pub alarms: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct StatusAnswer {
    version: String,
    #[serde(default, rename = "dbSize", deserialize_with = "number")]
    bytes: u64,
    #[serde(default, deserialize_with = "number")]
    leader: u64,
    #[serde(default)]
    errors: Vec<String>,
}

/// Asks every endpoint how it is, all at once. Changes nothing.
///
/// # Errors
/// The endpoints or the TLS files are wrong.
pub async fn members(options: &Options) -> Result<Vec<Member>, String> {
    let mut all = Vec::new();
    for endpoint in &options.endpoints {
        let one = Options {
            endpoints: vec![endpoint.clone()],
            ..options.clone()
        };
        all.push((endpoint.clone(), Gateway::new(&one)?));
    }
    let asked = all.into_iter().map(|(endpoint, gateway)| async move {
        let status = status(&gateway).await;
        Member {
            endpoint,
            status: status.map_err(|failure| failure.to_string()),
        }
    });
    Ok(futures_util::future::join_all(asked).await)
}

async fn status(gateway: &Gateway) -> Result<MemberStatus, Failure> {
    // It tells apart what is no etcd, and what speaks TLS where we do not.
    gateway.version().await?;
    let answer: StatusAnswer = gateway.call("maintenance/status", &json!({})).await?;
    let mut alarms: Vec<String> = answer
        .errors
        .iter()
        .map(|error| {
            let alarm = error.rsplit("alarm:").next().unwrap_or(error);
            alarm.trim().to_owned()
        })
        .collect();
    alarms.sort();
    alarms.dedup();
    Ok(MemberStatus {
        version: answer.version,
        bytes: answer.bytes,
        has_leader: answer.leader != 0,
        alarms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_leaves_out_is_nothing() {
        let read = |text: &str| serde_json::from_str::<StatusAnswer>(text).expect("an answer");
        let answer = read(r#"{"version": "3.5.1", "dbSize": "20480", "leader": "1027"}"#);
        assert_eq!((answer.bytes, answer.leader), (20480, 1027));
        assert!(answer.errors.is_empty());
        assert_eq!(read(r#"{"version": "3.5.1"}"#).leader, 0);
    }
}
