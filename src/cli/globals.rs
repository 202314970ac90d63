//! Options that every command takes, before or after its name.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::Failure;
use crate::store::etcd;

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
    /// Keep the state in etcd, shared with other Longshores of which one leads: etcd://HOST:PORT[,HOST:PORT…][/PREFIX], or etcds://
    /// with TLS
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STORE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub store: Option<String>,
    /// Authorities that may have signed etcd's certificate; this machine's own when absent
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STORE_CA",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub store_ca: Option<PathBuf>,
    /// Our certificate for etcd, where it asks for one
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STORE_CERT",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub store_cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_STORE_KEY",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub store_key: Option<PathBuf>,
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

/// Who we are to an etcd with authentication: a user, and the password. Not options, because everybody can read those.
const STORE_USER: &str = "LONGSHORE_STORE_USER";
const STORE_PASSWORD: &str = "LONGSHORE_STORE_PASSWORD";

impl Globals {
    /// The etcd that the state is in, if it is.
    ///
    /// # Errors
    /// What does not fit together, with what to do.
    pub fn store(&self) -> Result<Option<etcd::Options>, Failure> {
        let text = self.store.as_deref().filter(|text| !text.is_empty());
        let Some(text) = text else {
            return Ok(None);
        };
        let mut options = etcd::Options::parse(text).map_err(Failure::could_not_run)?;
        let (ca, cert, key) = (&self.store_ca, &self.store_cert, &self.store_key);
        match &mut options.tls {
            Some(files) => {
                *files = etcd::TlsFiles {
                    ca: ca.clone(),
                    cert: cert.clone(),
                    key: key.clone(),
                };
            }
            None if ca.is_some() || cert.is_some() || key.is_some() => {
                return Err(Failure::could_not_run(
                    "--store-ca, --store-cert and --store-key are for TLS: write the store as etcds://",
                ));
            }
            None => {}
        }
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        options.user = match (variable(STORE_USER), variable(STORE_PASSWORD)) {
            (Some(name), Some(password)) => Some(etcd::User { name, password }),
            (None, None) => None,
            _ => {
                return Err(Failure::could_not_run(format!(
                    "{STORE_USER} and {STORE_PASSWORD} go together: set both, or neither"
                )));
            }
        };
        Ok(Some(options))
    }

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
