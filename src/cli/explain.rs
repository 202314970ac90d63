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
    super::output::line(&format!(
        "{}: {}\n\n{}",
        page.code,
        page.title,
        page.why.trim()
    ));
    super::output::line(&format!("\nWrong:\n\n{}", indented(page.wrong)));
    super::output::line(&format!("\nRight:\n\n{}", indented(page.right)));
    Ok(())
}

fn indented(example: &str) -> String {
    example
        .trim_matches('\n')
        .lines()
        .map(|line| format!("    {line}").trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}
