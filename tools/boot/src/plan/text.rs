//! Somebody else's files: lines taken out of use and brought back, and lines of ours among theirs.

const BEGIN: &str = "# >>> fwshare >>>\n";
const END: &str = "# <<< fwshare <<<\n";

/// What stands before a line that was taken out of use.
const MARK: &str = "# fwshare setup-initramfs --force, undone by --remove: ";

/// The text without the effect of these lines, which are numbered from 1. A line that goes on in
/// the next one (a backslash at its end) is taken out with all that it goes on in; kmod lets
/// comments go on in the same way.
pub(super) fn without(text: &[u8], lines: &[usize]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(text.len() + lines.len() * MARK.len());
    let mut goes_on = false;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let is_out = goes_on || lines.contains(&(index + 1));
        goes_on = is_out && line.ends_with(b"\\\n");
        if is_out {
            changed.extend_from_slice(MARK.as_bytes());
        }
        changed.extend_from_slice(line);
    }
    changed
}

/// The text with what [`without`] took out in use again, whatever else has changed since.
pub(super) fn with(text: &[u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        changed.extend_from_slice(line.strip_prefix(MARK.as_bytes()).unwrap_or(line));
    }
    changed
}

/// The text with these lines of ours at its end, in the place of older ones.
pub(super) fn with_block(text: &[u8], lines: &str) -> Vec<u8> {
    let mut changed = without_block(text);
    if !changed.is_empty() && !changed.ends_with(b"\n") {
        changed.push(b'\n');
    }
    changed.extend_from_slice(BEGIN.as_bytes());
    changed.extend_from_slice(lines.as_bytes());
    changed.extend_from_slice(END.as_bytes());
    changed
}

/// The text without lines of ours. A block whose end somebody has removed is left alone.
fn without_block(text: &[u8]) -> Vec<u8> {
    let find = |needle: &str, from: usize| {
        let rest = text.get(from..)?;
        let mut windows = rest.windows(needle.len());
        Some(from + windows.position(|window| window == needle.as_bytes())?)
    };
    let block = find(BEGIN, 0).and_then(|begin| Some((begin, find(END, begin)? + END.len())));
    match block {
        Some((begin, end)) => [&text[..begin], &text[end..]].concat(),
        None => text.to_vec(),
    }
}

/// Somebody's file without anything of ours, whatever else has become of it.
pub(super) fn without_ours(text: &[u8]) -> Vec<u8> {
    with(&without_block(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_taken_out_with_what_it_goes_on_in() {
        let text = b"a\nb \\\n  c\nd\ne";
        let changed = without(text, &[2, 5]);
        let out: Vec<_> = changed
            .split(|byte| *byte == b'\n')
            .map(|line| line.starts_with(b"# "))
            .collect();
        assert_eq!(out, [false, true, true, false, true]);
        assert_eq!(with(&changed), text);
    }

    #[test]
    fn our_lines_stand_at_the_end_and_once() {
        let block = "# >>> fwshare >>>\nx\n# <<< fwshare <<<\n";
        for (before, after) in [("", ""), ("a\n", "a\n"), ("a\r\nb", "a\r\nb\n")] {
            let with = with_block(before.as_bytes(), "x\n");
            assert_eq!(with, format!("{after}{block}").as_bytes());
            assert_eq!(with_block(&with, "x\n"), with);
            assert_eq!(without_ours(&with), after.as_bytes());
        }
        let moved = format!("a\n{block}b\n");
        assert_eq!(without_ours(moved.as_bytes()), b"a\nb\n");
        assert_eq!(
            without_ours(b"# >>> fwshare >>>\nx\n"),
            b"# >>> fwshare >>>\nx\n"
        );
    }

    proptest! {
        #[test]
        fn what_is_taken_out_is_brought_back(
            text in "([ab# \\\\\r]{0,5}\n){0,6}[ab]{0,3}",
            lines in proptest::collection::vec(1usize..7, 0..4),
        ) {
            prop_assert_eq!(with(&without(text.as_bytes(), &lines)), text.as_bytes());
        }
    }
}
