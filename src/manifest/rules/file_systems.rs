//! Where the file systems are that task definitions name: only a cluster can say.

use std::collections::{BTreeMap, BTreeSet};

use super::cross::Subject;
use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::report::Reporting;
use crate::manifest::resolve::file_system_key;
use crate::manifest::types::TaskDefinition;
use crate::model::ClusterName;

/// The file systems that each declared cluster knows.
pub type Known = BTreeMap<ClusterName, BTreeSet<String>>;

/// Every file system of the definitions that a cluster which runs them does not know; for a definition that no service runs,
/// that no cluster knows.
pub fn check(
    definitions: &[(&Document, &TaskDefinition)],
    subjects: &[Subject<'_>],
    known: &Known,
    found: &mut Vec<Diagnostic>,
) {
    for (document, definition) in definitions {
        for (index, volume) in definition.volumes.iter().enumerate() {
            let Some(efs) = &volume.efs_volume_configuration else {
                continue;
            };
            let key = file_system_key(efs);
            let knows =
                |cluster: &ClusterName| known.get(cluster).is_some_and(|known| known.contains(key));
            let mut runs = false;
            let mut without: BTreeMap<&ClusterName, &Subject<'_>> = BTreeMap::new();
            for subject in subjects {
                let of_this = subject.definition.and_then(|d| d.document);
                if of_this.is_some_and(|of| std::ptr::eq(of, *document)) {
                    runs = true;
                    if !knows(&subject.cluster) {
                        without.entry(&subject.cluster).or_insert(subject);
                    }
                }
            }
            let at = if key == efs.file_system_id {
                format!("/volumes/{index}/efsVolumeConfiguration/fileSystemId")
            } else {
                format!("/volumes/{index}/efsVolumeConfiguration/authorizationConfig/accessPointId")
            };
            let help = format!(
                "write `fileSystems: {{{key}: {{nfs: \"server:/path\"}}}}` in the manifest of the cluster"
            );
            let error = |message: String| {
                document
                    .error(codes::FILE_SYSTEM, document.value(&at), message)
                    .help(help.clone())
            };
            for (cluster, subject) in without {
                found.push(
                    error(format!("cluster `{cluster}` does not say where `{key}` is")).related(
                        &subject.document.file,
                        subject.document.name_span,
                        "this service runs it there",
                    ),
                );
            }
            if !runs && !known.keys().any(knows) {
                found.push(error(format!("no cluster says where `{key}` is")));
            }
        }
    }
}
