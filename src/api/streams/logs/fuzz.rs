//! What is asserted of lines of logs, for the fuzz targets.

use super::lines::Splitter;

/// Whatever the pieces: no line holds a line's end, nothing is said twice, and little is kept.
pub fn lines(data: &[u8]) {
    let (whole, pieces) = crate::fuzzing::pieces(data);
    for pieces in [&[whole][..], &pieces] {
        let mut splitter = Splitter::default();
        let mut lines = Vec::new();
        for piece in pieces {
            lines.extend(splitter.take(piece));
        }
        lines.extend(splitter.rest());
        assert!(lines.iter().all(|(_, line)| !line.contains(&b'\n')));
        let said: usize = lines.iter().map(|(_, line)| line.len()).sum();
        assert!(said <= whole.len());
        let ends = whole.iter().filter(|byte| **byte == b'\n').count();
        assert!(lines.len() <= ends + 1);
        // Where nothing looks like a time, every byte is there.
        if !whole.contains(&b' ') {
            let ends = lines
                .len()
                .saturating_sub(usize::from(!whole.ends_with(b"\n")));
            assert_eq!(said + ends, whole.len());
        }
    }
}
