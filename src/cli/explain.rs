//! `longshore explain CODE`.

use super::{CommandResult, Failure, Globals};
use crate::diagnostic::codes;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// A diagnostic's code, such as LS0301; without one, all codes are listed
    code: Option<String>,
}

/// Prints the page of a code, or the list of all codes.
pub fn run(args: &ExplainArgs, _globals: &Globals) -> CommandResult {
    let Some(code) = &args.code else {
        for page in codes::pages() {
            super::output::line(&format!("{}  {}", page.code, page.title));
        }
        return Ok(());
    };
    let Some(page) = codes::page(code) else {
        let nearest = codes::nearest(code)
            .map(|near| format!(" Did you mean {}?", near.code))
            .unwrap_or_default();
        return Err(Failure::findings(format!(
            "There is no code {code}.{nearest} `longshore explain` lists all codes."
        )));
    };
    super::output::write_stdout(page.to_string().as_bytes());
    Ok(())
}
