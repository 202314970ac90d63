//! `longshore events [SERVICE]`: what services said about themselves.

use super::client_common::{failure, fetch, find, or_not_taken, select};
use super::output::{Tone, line};
use super::{CommandResult, Failure, Globals, output};
use crate::api::client::Client;
use crate::api::kinds::Kind;
use crate::api::streams::events::{EventLine, EventQuery};
use crate::model::EventLevel;

/// How to print events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum EventOutput {
    /// A line an event
    #[default]
    Text,
    /// A JSON object a line
    Json,
}

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    /// Only of this service
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Go on as services say more
    #[arg(short, long)]
    follow: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: EventOutput,
}

/// Prints the events in the order in which they were last said.
pub async fn run(args: EventsArgs, globals: &Globals) -> CommandResult {
    let client = find(globals).await?;
    let mut query = EventQuery {
        cluster: globals.cluster.clone(),
        service: None,
        follow: args.follow,
    };
    if let Some(name) = &args.service {
        (query.cluster, query.service) = service(&client, globals, name).await?;
    }
    let mut events = client.events(&query).await.map_err(failure)?;
    let colour = globals.colour_on_stdout();
    while let Some(event) = events.next().await.map_err(failure)? {
        match args.output {
            EventOutput::Text => line(&text(&event, colour)),
            EventOutput::Json => {
                line(&serde_json::to_string(&event).map_err(Failure::could_not_run)?);
            }
        }
        if output::closed() {
            return Ok(());
        }
    }
    if args.follow {
        return Err(super::client_common::ended());
    }
    Ok(())
}

async fn service(
    client: &Client,
    globals: &Globals,
    name: &str,
) -> Result<(Option<String>, Option<String>), Failure> {
    let services = fetch(client, Kind::Service, globals, true).await?;
    let found = select(Kind::Service, services, name);
    let found = or_not_taken(client, found).await?.swap_remove(0);
    let cluster = super::client_common::cluster_of(&found).to_owned();
    Ok((Some(cluster), Some(found.metadata.name)))
}

/// Time, cluster, and the sentence, which names the service itself.
pub fn text(event: &EventLine, colour: bool) -> String {
    let tone = match event.level {
        EventLevel::Info => Tone::Plain,
        EventLevel::Warn => Tone::Warn,
        EventLevel::Error => Tone::Bad,
    };
    let repeated = if event.count > 1 {
        format!(" (×{})", event.count)
    } else {
        String::new()
    };
    let at = Tone::Faint.paint(&event.last_at.0.to_string(), colour);
    let said = tone.paint(&format!("{}{repeated}", event.message), colour);
    format!("{at}  {}  {said}", event.cluster)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn an_event_that_was_repeated_says_how_often() {
        let at = Timestamp::from_millis(1500).into();
        let mut event = EventLine {
            cluster: "default".into(),
            service: "web".into(),
            seq: 1,
            at,
            last_at: at,
            count: 1,
            level: EventLevel::Info,
            name: None,
            message: "(service web) has reached a steady state.".into(),
        };
        let once = "1970-01-01T00:00:01.500Z  default  (service web) has reached a steady state.";
        assert_eq!(text(&event, false), once);
        event.count = 3;
        assert_eq!(text(&event, false), format!("{once} (×3)"));
    }
}
