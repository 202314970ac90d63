//! `longshore init [DIR]`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::{CommandResult, Failure};
use crate::manifest::init;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct InitArgs {
    /// Folder to write to; made when it is missing
    #[arg(default_value = "manifests")]
    dir: PathBuf,
}

/// Writes the three manifests and the schema that editors check them with. Never overwrites: if any of the files exists,
/// nothing is written.
pub fn run(args: &InitArgs) -> CommandResult {
    let files = init::files();
    if let Some((name, _)) = files.iter().find(|(name, _)| args.dir.join(name).exists()) {
        return Err(Failure::could_not_run(format!(
            "{} exists already; nothing was written. Name another folder, or move it away",
            args.dir.join(name).display()
        )));
    }
    for (name, text) in &files {
        let path = args.dir.join(name);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::File::create_new(&path))
            .and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            return Err(Failure::could_not_run(format!(
                "cannot write {}: {error}",
                path.display()
            )));
        }
        eprintln!("wrote {}", path.display());
    }
    let dir = args.dir.display();
    eprintln!(
        "\nNext:  longshore validate {dir}   check them\n       longshore run {dir}        run them"
    );
    Ok(())
}
