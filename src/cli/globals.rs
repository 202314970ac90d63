//! Options that every command takes, before or after its name.

use std::io::IsTerminal;
use std::path::PathBuf;

/// How messages of the program itself are written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line of text a message.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The global options.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Unix socket of the running Longshore; found by itself when exactly one runs
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_SOCKET",
        value_name = "PATH",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
    /// Directory for the state; derived from the folder when absent
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STATE_DIR",
        value_name = "DIR",
        hide_env_values = true
    )]
    pub state_dir: Option<PathBuf>,
    /// Only this cluster
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// How log messages are written to stderr
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// No colours; so does a NO_COLOR variable that is not empty
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl Globals {
    /// Whether text for people on stdout may be coloured.
    pub fn colour_on_stdout(&self) -> bool {
        self.colour_wanted() && std::io::stdout().is_terminal()
    }

    /// Whether text for people on stderr may be coloured.
    pub fn colour_on_stderr(&self) -> bool {
        self.colour_wanted() && std::io::stderr().is_terminal()
    }

    fn colour_wanted(&self) -> bool {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        !self.no_color && !no_color && !dumb
    }
}

impl From<&Globals> for crate::api::client::Lookup {
    fn from(globals: &Globals) -> Self {
        Self {
            socket: globals.socket.clone(),
            state_dir: globals.state_dir.clone(),
        }
    }
}
