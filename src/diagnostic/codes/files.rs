//! LS00xx: files and the folder.

codes! {
    FILES

    UNREADABLE_FILE "LS0001" Error "a manifest file cannot be read"
    why "\
The system refused to read a file or to list a folder, most often for its permissions, or a link points to
nothing. What it declares is not known, so its resources keep their last good version, and nothing is removed
until it can be read.

Give the user that runs Longshore the right to read it, or remove it."
    wrong ""
    right ""

    FILE_VANISHED "LS0002" Error "a manifest file vanished while it was read"
    why "\
The file was listed, and gone when it was to be read: something writes into the folder right now. Nothing is
removed until a later look finds the folder at rest.

If this stays, look for a job that rewrites the folder over and over."
    wrong ""
    right ""

    NOT_UTF8 "LS0003" Error "a manifest file is not UTF-8"
    why "\
Manifests are UTF-8, with or without a byte-order mark. The file holds bytes that are not, at the place shown;
editors call the other common encodings UTF-16 or Latin-1.

Save it as UTF-8: `iconv -f UTF-16 -t UTF-8 in.yaml > out.yaml`."
    wrong ""
    right ""

    FILE_TOO_LARGE "LS0004" Error "a manifest file is larger than 4 MiB"
    why "\
Manifests are small: a thousand services fit in 1 MiB. A file of this size is most often no manifest (a dump, a
lock file) that lies in the folder by mistake.

Move it out of the folder, begin its name with a dot, or split it."
    wrong ""
    right ""

    EMPTY_FILE "LS0005" Error "a manifest file is empty"
    why "\
A file of no bytes, or of zero bytes only, is what a write that failed leaves behind: a full disk, a power cut,
a shell redirection whose command did not run. So it is not taken as a wish to remove what it declared.

Delete the file to remove its resources; a file with nothing but a comment is fine too."
    wrong ""
    right ""

    FOLDER_MISSING "LS0006" Error "the folder of manifests is missing"
    why "\
There is no folder at this path. When it vanishes under a running Longshore, everything keeps running as last
declared and nothing is removed, unless `--allow-empty` says that this is meant."
    wrong ""
    right ""

    FOLDER_EMPTY "LS0007" Warning "the folder holds no manifest"
    why "\
No `*.yaml`, `*.yml` or `*.json` is in the folder; hidden files and editor backups do not count. When a folder
turns empty under a running Longshore, that is far more often a failed checkout than a wish to stop everything:
nothing is removed unless `--allow-empty` is given.

`longshore init` writes an example."
    wrong ""
    right ""

    FOLDER_UNREADABLE "LS0008" Error "the folder of manifests cannot be listed"
    why "\
The path is no folder, or the system refused to list it. Everything keeps running as last declared and nothing
is removed.

Give the folder that holds the manifests, and the user that runs Longshore the rights to read and enter it."
    wrong ""
    right ""
}
