//! LS00xx: files and the folder.

codes! {
    FILES

    UNREADABLE_FILE "LS0001" Error "a manifest file cannot be read"
    why "The system refused to read the file, most often for its permissions. What it declares is not known, so its \
resources keep their last good version and nothing is removed until it can be read.\n\nGive the user that runs Longshore \
the right to read it, or remove the file."
    wrong "" right ""
}
