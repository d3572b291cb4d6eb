//! Lines as kmod sees them.

/// A line, with those that continue it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Logical {
    /// What it says. A backslash hides a newline behind it, and itself otherwise.
    pub(super) text: Vec<u8>,
    /// From 1.
    pub(super) first: u32,
    pub(super) last: u32,
}

/// The lines of a file.
pub(super) fn logical(bytes: &[u8]) -> impl Iterator<Item = Logical> + '_ {
    let mut rest = bytes.iter().copied().peekable();
    let mut number = 1_u32;
    std::iter::from_fn(move || {
        rest.peek()?;
        let first = number;
        let mut last = first;
        let mut text = Vec::new();
        loop {
            match rest.next() {
                None => break,
                Some(b'\n') => break,
                Some(b'\\') => match rest.next() {
                    None => {}
                    Some(b'\n') => last = last.saturating_add(1),
                    Some(other) => text.push(other),
                },
                Some(other) => text.push(other),
            }
        }
        number = last.saturating_add(1);
        // To kmod this is a string of C.
        if let Some(nul) = text.iter().position(|byte| *byte == 0) {
            text.truncate(nul);
        }
        Some(Logical { text, first, last })
    })
}
