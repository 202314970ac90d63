//! A block of lines that stays at the bottom of a terminal while messages scroll past above it.

use std::io::{self, Write};

use crossterm::{cursor, queue, terminal};

/// The block. Draws to stderr's terminal, so that stdout stays data.
#[derive(Debug, Default)]
pub struct Live {
    /// The columns that each line of the block took when it was drawn.
    drawn: Vec<usize>,
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
        self.drawn.clear();
    }

    fn try_draw(&mut self, messages: &[String], block: &[String]) -> io::Result<()> {
        let (columns, rows) = size();
        let mut out = io::stderr().lock();
        let height = height(&self.drawn, columns);
        if height > 0 {
            queue!(out, cursor::MoveToPreviousLine(height))?;
        }
        // Line by line: some terminals keep in their history whatever is cleared from the top of the screen.
        let clear = terminal::Clear(terminal::ClearType::CurrentLine);
        for message in messages {
            queue!(out, clear)?;
            writeln!(out, "{message}")?;
        }
        // A block as high as the terminal would scroll, and could not be taken back.
        let room = rows.saturating_sub(1).max(1);
        self.drawn.clear();
        for line in block.iter().take(room) {
            let (line, used) = cut(line, columns);
            queue!(out, clear)?;
            writeln!(out, "{line}")?;
            self.drawn.push(used);
        }
        queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
        out.flush()
    }
}

/// The terminal's columns and rows; where there is none, those that every program can live with.
pub fn size() -> (usize, usize) {
    let (columns, rows) = terminal::size().unwrap_or((80, 24));
    (usize::from(columns).max(1), usize::from(rows))
}

/// How many rows up a block begins that was drawn with lines of these columns: a terminal that was made narrower since has
/// wrapped them.
fn height(drawn: &[usize], columns: usize) -> u16 {
    let rows = drawn.iter().map(|used| used.div_ceil(columns).max(1));
    u16::try_from(rows.sum::<usize>()).unwrap_or(u16::MAX)
}

/// The line cut to a number of columns, and how many it takes; escape sequences take none and are kept.
fn cut(line: &str, columns: usize) -> (String, usize) {
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
    // Blanks at the end would be wrapped, too.
    let blank = shown.chars().rev().take_while(|c| *c == ' ').count();
    shown.truncate(shown.len() - blank);
    (shown, used - blank)
}

#[cfg(test)]
mod tests {
    use super::{cut, height};

    #[test]
    fn a_block_that_a_narrower_terminal_has_wrapped_is_taken_back_whole() {
        assert_eq!(height(&[100, 60, 0], 120), 3);
        assert_eq!(height(&[100, 60, 0], 60), 4);
        assert_eq!(height(&[100, 60, 0], 30), 7);
        assert_eq!(height(&[], 30), 0);
    }

    #[test]
    fn a_line_is_cut_at_the_terminals_width_and_colours_take_no_room() {
        assert_eq!(cut("abcdef", 3), ("abc".to_owned(), 3));
        assert_eq!(cut("ab   ", 4), ("ab".to_owned(), 2));
        assert_eq!(
            cut("\u{1b}[32mabcdef\u{1b}[0m", 3),
            ("\u{1b}[32mabc\u{1b}[0m".to_owned(), 3)
        );
    }
}
