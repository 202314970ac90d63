//! Files of variables, as the ECS agent reads them (semantics §2b, *environmentFiles*). Pure.

use std::collections::HashMap;

/// The variables of a file, in its order. A line is `NAME=value`, split at the first `=`; nothing is trimmed, and quotes
/// are part of the value. A line that begins with `#`, has no `=` or no name says nothing. Of a name that comes twice the last
/// one counts.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for line in text.lines() {
        if line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            continue;
        };
        if let Some(place) = places.get(name) {
            value.clone_into(&mut variables[*place].1);
        } else {
            places.insert(name, variables.len());
            variables.push((name.to_owned(), value.to_owned()));
        }
    }
    variables
}

/// One list of several files, in which a later entry of a name wins: the first file that has a variable gives it.
pub fn merge(
    files: impl DoubleEndedIterator<Item = Vec<(String, String)>>,
) -> Vec<(String, String)> {
    files.rev().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_line_is_split_at_its_first_equals_sign_and_nothing_else_is_done_to_it() {
        let text = "A=1\nURL=http://x/?a=b=c\nQUOTED=\"a b\"\nSPACED = x \nEMPTY=\nexport B=2\r\n";
        let wanted = pairs(&[
            ("A", "1"),
            ("URL", "http://x/?a=b=c"),
            ("QUOTED", "\"a b\""),
            ("SPACED ", " x "),
            ("EMPTY", ""),
            ("export B", "2"),
        ]);
        assert_eq!(parse(text), wanted);
    }

    #[test]
    fn comments_and_lines_without_a_name_or_a_sign_say_nothing() {
        assert_eq!(parse("# A=1\n#B=2\n\nno sign\n=value\n"), []);
        assert_eq!(
            parse(" # C=3"),
            pairs(&[(" # C", "3")]),
            "only at its beginning"
        );
    }

    #[test]
    fn within_a_file_the_last_of_a_name_counts_and_between_files_the_first() {
        assert_eq!(parse("A=1\nB=2\nA=3"), pairs(&[("A", "3"), ("B", "2")]));
        let merged = merge([parse("A=first\nB=x"), parse("A=second\nC=y")].into_iter());
        let last = |name: &str| {
            let all = merged.iter().filter(|(known, _)| known == name);
            all.map(|(_, value)| value.as_str()).next_back()
        };
        assert_eq!(
            (last("A"), last("B"), last("C")),
            (Some("first"), Some("x"), Some("y"))
        );
    }
}
