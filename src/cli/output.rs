//! Writing to stdout and stderr, and tables: aligned columns for a pipe, a drawn table for a terminal.
//!
//! A reader that went away (`longshore get tasks | head -1`) is no error: from then on nothing is written, and whoever
//! writes without an end asks [`closed`] and stops.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use comfy_table::{
    Attribute, Cell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table as Drawn, Width,
    presets,
};

use super::Globals;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads stdout any more.
pub fn closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Writes bytes to stdout and flushes them; `false` when nobody reads it any more.
pub fn write_stdout(bytes: &[u8]) -> bool {
    if closed() {
        return false;
    }
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        CLOSED.store(true, Ordering::Relaxed);
    }
    !closed()
}

/// Writes bytes to stderr. There is nobody to tell when that fails.
pub fn write_stderr(bytes: &[u8]) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(bytes).and_then(|()| err.flush());
}

/// Writes one line of data to stdout.
pub fn line(text: &str) {
    write_stdout(format!("{text}\n").as_bytes());
}

/// Writes one line for people to stderr.
pub fn message(text: &str) {
    write_stderr(format!("{text}\n").as_bytes());
}

/// `1 file`, `2 files`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// What a cell says about the health of its thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// On its way, or worth a look.
    Warn,
    /// Somebody must look.
    Bad,
    /// Of little importance.
    Faint,
}

impl Tone {
    /// `text` in this tone's colour when `colour` is set.
    pub fn paint(self, text: &str, colour: bool) -> String {
        let code = match self {
            Self::Plain => return text.to_owned(),
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Faint => "2",
        };
        if colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Columns that comfy-table puts around a cell.
const PADDING: usize = 2;
/// A text narrower than this is no text but a column of syllables.
const READABLE_WIDTH: u16 = 14;
const READABLE: usize = READABLE_WIDTH as usize;

/// A table being put together: a header, and rows of as many cells.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<(String, Tone)>>,
    /// Columns from this one on hold texts that may be wrapped.
    texts: usize,
}

impl Table {
    /// A table with these columns.
    pub fn new(header: &[&'static str]) -> Self {
        Self {
            header: header.to_vec(),
            rows: Vec::new(),
            texts: header.len(),
        }
    }

    /// Lets the columns from this one on be wrapped in a narrow terminal. Names, counts and states never are.
    #[must_use]
    pub fn wrapping_from(mut self, column: usize) -> Self {
        self.texts = column;
        self
    }

    /// Adds a row; cells beyond the header's are dropped, missing ones are empty.
    pub fn row(&mut self, cells: Vec<(String, Tone)>) {
        let mut cells = cells;
        cells.resize(self.header.len(), (String::new(), Tone::Plain));
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it: drawn where stdout is a terminal, else as [`Table::plain`].
    pub fn print(&self, globals: &Globals) {
        let text = if io::stdout().is_terminal() {
            self.drawn(globals.colour_on_stdout())
        } else {
            self.plain()
        };
        write_stdout(text.as_bytes());
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.header.iter().map(|h| h.chars().count()).collect();
        for row in &self.rows {
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(text.chars().count().max(1));
            }
        }
        widths
    }

    /// Columns two spaces apart, no colours, nothing cut: the same for every width and every run. An empty cell is `-`, so
    /// that columns can be counted.
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        let mut push = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (cell, width) in cells.zip(&widths) {
                let cell = if cell.is_empty() { "-" } else { cell };
                line.push_str(cell);
                let pad = width.saturating_sub(cell.chars().count()) + 2;
                line.extend(std::iter::repeat_n(' ', pad));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        };
        push(&mut self.header.iter().copied());
        for row in &self.rows {
            push(&mut row.iter().map(|(text, _)| text.as_str()));
        }
        out
    }

    /// [`plain`](Self::plain) without the header.
    pub fn plain_rows(&self) -> String {
        let text = self.plain();
        text.split_once('\n')
            .map(|(_, rows)| rows.to_owned())
            .unwrap_or_default()
    }

    /// As a terminal shows it: texts wrapped to its width where there is room for them, else as wide as it is.
    pub fn drawn(&self, colour: bool) -> String {
        let columns = crossterm::terminal::size().map_or(u16::MAX, |(columns, _)| columns);
        self.drawn_in(columns, colour)
    }

    fn drawn_in(&self, columns: u16, colour: bool) -> String {
        let mut table = Drawn::new();
        table.load_style(
            presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')),
        );
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let fixed: usize = self
            .widths()
            .iter()
            .take(self.texts)
            .map(|w| w + PADDING)
            .sum();
        let texts = self.header.len().saturating_sub(self.texts);
        if texts > 0 && fixed + texts * (READABLE + PADDING) <= usize::from(columns) {
            table
                .set_width(columns)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_constraints((0..self.header.len()).map(|column| {
                    if column < self.texts {
                        ColumnConstraint::ContentWidth
                    } else {
                        ColumnConstraint::LowerBoundary(Width::Fixed(READABLE_WIDTH))
                    }
                }));
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(self.header.iter().map(|h| {
            let cell = Cell::new(h);
            if colour {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        }));
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, tone)| {
                let cell = Cell::new(text);
                match tone {
                    _ if !colour => cell,
                    Tone::Plain => cell,
                    Tone::Good => cell.fg(Color::DarkGreen),
                    Tone::Warn => cell.fg(Color::DarkYellow),
                    Tone::Bad => cell.fg(Color::DarkRed),
                    Tone::Faint => cell.add_attribute(Attribute::Dim),
                }
            }));
        }
        // Nothing is cut; what is a little too wide for the terminal is drawn closer together.
        let whole: usize = self.widths().iter().map(|w| w + PADDING).sum();
        if texts == 0 && whole > usize::from(columns) {
            for column in table.column_iter_mut() {
                column.set_padding((0, 1));
            }
        }
        format!("{table}\n")
    }
}

/// A plain cell.
pub fn cell(text: impl ToString) -> (String, Tone) {
    (text.to_string(), Tone::Plain)
}

/// A duration as people say it: `4s`, `5m`, `3h`, `12d`; the largest unit that gives at least 2, or the smallest of all.
pub fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_columns_are_aligned_and_an_empty_cell_is_a_dash() {
        let mut table = Table::new(&["NAME", "HEALTH", "NOTE"]);
        table.row(vec![
            cell("web"),
            ("HEALTHY".to_owned(), Tone::Good),
            cell(""),
        ]);
        table.row(vec![cell("a-longer-name"), cell("?")]);
        assert_eq!(
            table.plain(),
            "NAME           HEALTH   NOTE\nweb            HEALTHY  -\na-longer-name  ?        -\n"
        );
    }

    #[test]
    fn a_drawn_table_without_colour_has_no_escape_sequences() {
        let mut table = Table::new(&["NAME"]);
        table.row(vec![("web".to_owned(), Tone::Bad)]);
        assert!(!table.drawn(false).contains('\u{1b}'));
        assert!(table.drawn(false).contains("web"));
    }

    #[test]
    fn only_texts_are_wrapped_and_only_where_there_is_room_for_them() {
        let mut table = Table::new(&["NAME", "LAST EVENT"]).wrapping_from(1);
        table.row(vec![
            cell("a-service"),
            cell("it has reached a steady state again"),
        ]);
        let wide = |columns| table.drawn_in(columns, false);
        assert_eq!(wide(120).lines().count(), 3);
        assert!(wide(30).lines().count() > 3 && wide(30).contains("a-service"));
        assert_eq!(wide(20).lines().count(), 3);
    }

    #[test]
    fn ages_are_in_the_largest_unit_that_still_tells_two_apart() {
        let of = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(
            [
                of(0),
                of(119),
                of(120),
                of(7199),
                of(7200),
                of(172_799),
                of(172_800)
            ],
            ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]
        );
    }
}
