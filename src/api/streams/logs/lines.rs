//! From the pieces of output that an engine gives to whole lines with their times.

use bytes::{Bytes, BytesMut};

/// A line longer than this is given in parts.
const LONGEST: usize = 256 * 1024;

/// Puts the pieces of one stream together.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
}

/// A line without its end, and when it was written where the engine said so.
pub(super) type Timed = (Option<jiff::Timestamp>, Bytes);

impl Splitter {
    /// Takes a piece in and gives the lines that are whole now. Each line starts with its time, as the engine was asked to
    /// write it; a line that the engine keeps in several parts has one in front of each part, and only the first is kept.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Timed> {
        let mut piece = piece;
        if !self.buffer.is_empty()
            && let (Some(_), rest) = split_time(piece)
        {
            piece = rest;
        }
        self.buffer.extend_from_slice(piece);
        let mut lines = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(end + 1);
            lines.push(timed(&line[..end]));
        }
        if self.buffer.len() > LONGEST {
            lines.extend(self.rest());
        }
        lines
    }

    /// What is left when the stream has ended: a line that was never ended.
    pub(super) fn rest(&mut self) -> Option<Timed> {
        let rest = self.buffer.split();
        (!rest.is_empty()).then(|| timed(&rest))
    }
}

fn timed(line: &[u8]) -> Timed {
    let (at, line) = split_time(line);
    (at, Bytes::copy_from_slice(line))
}

/// An RFC 3339 time and a space in front of a line, taken off.
fn split_time(line: &[u8]) -> (Option<jiff::Timestamp>, &[u8]) {
    let time = line
        .iter()
        .take(40)
        .position(|byte| *byte == b' ')
        .and_then(|space| {
            let text = std::str::from_utf8(line.get(..space)?).ok()?;
            // jiff reads more than RFC 3339; a line that only looks like a date keeps it.
            let plausible = text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T');
            let at = plausible.then(|| text.parse().ok()).flatten()?;
            Some((at, line.get(space + 1..)?))
        });
    match time {
        Some((at, rest)) => (Some(at), rest),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "2026-01-02T03:04:05.000000006Z";

    fn text(lines: Vec<Timed>) -> Vec<(bool, String)> {
        lines
            .into_iter()
            .map(|(at, line)| (at.is_some(), String::from_utf8(line.to_vec()).unwrap()))
            .collect()
    }

    #[test]
    fn lines_are_whole_however_the_output_is_cut() {
        let whole = format!("{T} one\n{T} two\n{T} three");
        for cut in [1, 3, 31, whole.len()] {
            let mut splitter = Splitter::default();
            let mut lines = Vec::new();
            for piece in whole.as_bytes().chunks(cut) {
                lines.extend(splitter.take(piece));
            }
            lines.extend(splitter.rest());
            let expected = ["one", "two", "three"].map(|l| (true, l.to_owned()));
            assert_eq!(text(lines), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_the_engine_keeps_in_parts_has_one_time() {
        let mut splitter = Splitter::default();
        assert!(
            splitter
                .take(format!("{T} part one, ").as_bytes())
                .is_empty()
        );
        let lines = splitter.take(format!("{T} part two\n").as_bytes());
        assert_eq!(text(lines), [(true, "part one, part two".to_owned())]);
    }

    #[test]
    fn a_line_without_a_time_is_kept_as_it_is() {
        let mut splitter = Splitter::default();
        let lines = splitter.take(b"2026-01-02 is a date\n\n");
        assert_eq!(
            text(lines),
            [
                (false, "2026-01-02 is a date".to_owned()),
                (false, String::new())
            ]
        );
    }

    #[test]
    fn a_line_without_an_end_is_given_in_parts() {
        let mut splitter = Splitter::default();
        let lines = splitter.take(&vec![b'x'; LONGEST + 1]);
        assert_eq!(lines.len(), 1);
        assert!(splitter.rest().is_none());
    }
}
