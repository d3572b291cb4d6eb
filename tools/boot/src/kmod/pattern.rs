//! Patterns as fnmatch(3) has them, which kmod asks with no flag set.
//!
//! libc's own takes exponential time for some patterns, and these come from files of a system that
//! is only looked at.

/// Whether a pattern stands for the whole of a name.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: the star takes one byte more.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(p..).unwrap_or_default();
        let byte = name.get(n).copied();
        if rest.first() == Some(&b'*') {
            p += 1;
            retry = Some((p, n));
            continue;
        }
        match (one(rest, byte), byte) {
            (_, None) if rest.is_empty() => return true,
            (Some(length), Some(_)) => {
                p += length;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else {
                    return false;
                };
                if from >= name.len() {
                    return false;
                }
                retry = Some((star, from + 1));
                p = star;
                n = from + 1;
            }
        }
    }
}

/// How much of a pattern stands for this byte, if it does.
fn one(pattern: &[u8], byte: Option<u8>) -> Option<usize> {
    let byte = byte?;
    match *pattern.first()? {
        b'?' => Some(1),
        b'\\' => (*pattern.get(1)? == byte).then_some(2),
        b'[' => match set(pattern.get(1..)?, byte) {
            Some((true, length)) => Some(1 + length),
            Some((false, _)) => None,
            // A bracket that is never closed is a bracket.
            None => (byte == b'[').then_some(1),
        },
        literal => (literal == byte).then_some(1),
    }
}

/// Whether a byte is in a set, and how long what describes it is behind its `[`. `None` if no `]`
/// ends it.
fn set(inside: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(inside.first()?, b'!' | b'^');
    let start = usize::from(negated);
    let mut at = start;
    let mut found = false;
    loop {
        let first = *inside.get(at)?;
        if first == b']' && at > start {
            return Some((found != negated, at + 1));
        }
        if let Some((class, length)) = class(inside.get(at..)?) {
            found |= class(&byte);
            at += length;
            continue;
        }
        let (low, length) = literal(inside.get(at..)?)?;
        at += length;
        let is_range = inside.get(at) == Some(&b'-') && inside.get(at + 1) != Some(&b']');
        if is_range {
            let (high, length) = literal(inside.get(at + 1..)?)?;
            at += 1 + length;
            found |= (low..=high).contains(&byte);
        } else {
            found |= low == byte;
        }
    }
}

fn literal(inside: &[u8]) -> Option<(u8, usize)> {
    match *inside.first()? {
        b'\\' => Some((*inside.get(1)?, 2)),
        byte => Some((byte, 1)),
    }
}

type Class = fn(&u8) -> bool;

/// `[:alpha:]` and the like, for ASCII.
fn class(inside: &[u8]) -> Option<(Class, usize)> {
    const CLASSES: [(&[u8], Class); 6] = [
        (b"[:alpha:]", u8::is_ascii_alphabetic),
        (b"[:digit:]", u8::is_ascii_digit),
        (b"[:alnum:]", u8::is_ascii_alphanumeric),
        (b"[:upper:]", u8::is_ascii_uppercase),
        (b"[:lower:]", u8::is_ascii_lowercase),
        (b"[:xdigit:]", u8::is_ascii_hexdigit),
    ];
    let found = CLASSES.iter().find(|(name, _)| inside.starts_with(name))?;
    Some((found.1, found.0.len()))
}
