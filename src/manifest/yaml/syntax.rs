//! Words for what the parser cannot read.

use granit_parser::ErrorKind;

/// What to say about a syntax error, and what to do.
pub(super) fn syntax(kind: &ErrorKind) -> (String, &'static [&'static str]) {
    use ErrorKind as K;
    let (message, help): (&str, &'static [&'static str]) = match kind {
        K::TabNotAllowed
        | K::TabInBlockIndentation
        | K::TabInIndentation
        | K::TabInPlainScalar
        | K::TabAtBlockScalarStart => (
            "a tab cannot indent YAML",
            &["indent with spaces; two a level are usual"],
        ),
        K::MappingValueNotAllowed => (
            "a mapping cannot begin here",
            &[
                "put a value that holds `: ` in quotes",
                "check the indentation of this line, and that the line before ends as it should",
            ],
        ),
        K::ExpectedBlockMappingKey | K::ExpectedBlockSequenceEntry | K::InvalidIndentation => (
            "this line's indentation fits no mapping or list that is open here",
            &["indent members of one mapping, or items of one list, alike"],
        ),
        K::SimpleKeyExpected | K::InvalidSimpleKey => (
            "a key without its `:`",
            &[
                "write `key: value`, with a space after the colon",
                "check that the line before is not meant to go on here",
            ],
        ),
        K::UnclosedQuotedScalar => (
            "a quote is not closed",
            &["close it; inside double quotes, write `\\\"` for a quote"],
        ),
        K::InvalidQuotedScalarIndent => (
            "a quote is still open here, where the indentation ends its value",
            &["close the quote on the line where it was opened"],
        ),
        K::UnclosedFlowCollection { .. }
        | K::UnexpectedEofFlowMapping
        | K::UnexpectedEofFlowSequence
        | K::UnexpectedEofImplicitFlowMapping => {
            ("a bracket is not closed", &["close it with `}` or `]`"])
        }
        K::MisplacedFlowCollectionEnd | K::MismatchedFlowCollectionEnd { .. } => (
            "a closing bracket that fits no open one",
            &["remove it, or open it with its counterpart"],
        ),
        K::ExpectedFlowMappingSeparator => (
            "`,` or `}` is missing before this place",
            &["separate the members with commas, and close the mapping"],
        ),
        K::ExpectedFlowSequenceSeparator => (
            "`,` or `]` is missing before this place",
            &["separate the items with commas, and close the list"],
        ),
        K::UnexpectedCharacter { character } if character.is_control() => {
            return (
                format!("an unprintable character, U+{:04X}", u32::from(*character)),
                &["remove it, or write it as an escape (`\\u0007`) in double quotes"],
            );
        }
        K::UnexpectedCharacter { character } => {
            return (
                format!("a plain value cannot begin with {character:?}"),
                &["put the value in quotes"],
            );
        }
        K::UnknownQuotedScalarEscape => (
            "an unknown escape in double quotes",
            &["write `\\\\` for a backslash, or use single quotes"],
        ),
        K::InvalidTrailingDoubleQuotedScalar | K::InvalidTrailingSingleQuotedScalar => (
            "text after the closing quote",
            &["put the whole value in quotes"],
        ),
        K::PlainScalarStartsWithDashFlowIndicator => (
            "a `-` alone cannot stand inside brackets",
            &["put it in quotes"],
        ),
        K::CommentNotSeparated => (
            "`#` begins a comment only after a space",
            &["put a space before it, or the value in quotes"],
        ),
        K::BlockSequenceEntryNotAllowed => (
            "a list item cannot stand here",
            &["begin the list on a line of its own, under its key"],
        ),
        K::DocumentIndicatorInQuotedScalar => (
            "a quote is still open where the next document begins",
            &["close the quote"],
        ),
        other => {
            return (
                other.to_string(),
                &["check the indentation, the quotes and the brackets here and on the line before"],
            );
        }
    };
    (message.to_owned(), help)
}
