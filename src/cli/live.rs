//! A block of lines that stays at the bottom of a terminal while messages scroll past above it.

use std::io::{self, Write};

use crossterm::{cursor, queue, terminal};

/// The block. Draws to stderr's terminal, so that stdout stays data.
#[derive(Debug, Default)]
pub struct Live {
    height: u16,
}

impl Live {
    /// Replaces the block.
    pub fn draw(&mut self, lines: &[String]) {
        let _ = self.try_draw(&[], lines);
    }

    /// Writes messages above the block, and the block again.
    pub fn messages(&mut self, messages: &[String], block: &[String]) {
        let _ = self.try_draw(messages, block);
    }

    /// Leaves the block where it is and ends drawing.
    pub fn finish(&mut self) {
        self.height = 0;
    }

    fn try_draw(&mut self, messages: &[String], block: &[String]) -> io::Result<()> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let mut out = io::stderr().lock();
        if self.height > 0 {
            queue!(out, cursor::MoveToPreviousLine(self.height))?;
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        for message in messages {
            writeln!(out, "{message}")?;
        }
        // A block as high as the terminal would scroll, and could not be taken back.
        let room = usize::from(rows.saturating_sub(1)).max(1);
        let shown = block.len().min(room);
        for line in block.iter().take(shown) {
            writeln!(out, "{}", cut(line, usize::from(columns)))?;
        }
        self.height = u16::try_from(shown).unwrap_or(u16::MAX);
        out.flush()
    }
}

/// The line cut to a number of columns; escape sequences take none and are kept.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut used = 0;
    let mut escape = false;
    for c in line.chars() {
        if c == '\u{1b}' {
            escape = true;
        }
        if escape {
            shown.push(c);
            escape = !(c.is_ascii_alphabetic());
            continue;
        }
        if used + 1 > columns {
            continue;
        }
        used += 1;
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_line_is_cut_at_the_terminals_width_and_colours_take_no_room() {
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(
            cut("\u{1b}[32mabcdef\u{1b}[0m", 3),
            "\u{1b}[32mabc\u{1b}[0m"
        );
    }
}
