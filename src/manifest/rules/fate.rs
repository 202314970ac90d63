//! Members that mean less here than on ECS, or cannot be had.

use crate::diagnostic::{Diagnostic, codes};
use crate::manifest::document::Document;
use crate::manifest::fates::{self, Fate};
use crate::manifest::report::Reporting;

/// Reports every member of the document whose fate wants a word.
pub fn check(document: &Document, found: &mut Vec<Diagnostic>) {
    for finding in fates::judge(document.kind, &document.spec) {
        let member = &finding.member;
        let (span, what) = match &finding.value {
            Some(value) => (
                document.value(&finding.pointer),
                format!("`{member}: {value}`"),
            ),
            None => (document.key(&finding.pointer), format!("`{member}`")),
        };
        let diagnostic = match finding.fate {
            Fate::Honoured | Fate::Differs(_) => continue,
            Fate::NoEffect(why) => document
                .warning(codes::NO_EFFECT, span, format!("{what} has no effect here"))
                .help(why),
            Fate::NotYet(meanwhile) => document
                .warning(
                    codes::NOT_YET_HONOURED,
                    span,
                    format!("{what} is not honoured yet"),
                )
                .help(meanwhile),
            Fate::Refused(instead) => document
                .error(
                    codes::REFUSED_UNTIL_HONOURED,
                    span,
                    format!("{what} is not honoured yet, so it is refused"),
                )
                .help(instead),
            Fate::Unsupported(instead) => document
                .error(
                    codes::NOT_SUPPORTED,
                    span,
                    format!("{what} cannot be had on plain Docker"),
                )
                .help(instead),
        };
        found.push(diagnostic);
    }
}
