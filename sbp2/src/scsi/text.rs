use core::fmt;

/// A text field of fixed length: printable ASCII, filled up with spaces (SPC-3 4.4.1).
///
/// Devices put anything in there. It is kept as it came; shown without the padding, and with
/// `?` for what cannot be printed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>([u8; N]);

/// A text that does not fit into its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// More characters than the field has.
    #[error("a text of {length} characters for a field of {room}")]
    TooLong {
        /// Characters in the text.
        length: usize,
        /// Characters in the field.
        room: usize,
    },
    /// Not a printable ASCII character.
    #[error("a text with the byte {0:#04x}, which is not printable ASCII")]
    NotPrintable(u8),
}

impl<const N: usize> Text<N> {
    /// The text, filled up with spaces.
    ///
    /// # Errors
    ///
    /// The text is too long for the field, or has other characters than printable ASCII.
    pub const fn new(text: &str) -> Result<Self, TextError> {
        let text = text.as_bytes();
        if text.len() > N {
            return Err(TextError::TooLong {
                length: text.len(),
                room: N,
            });
        }
        let mut field = [b' '; N];
        let mut index = 0;
        while index < text.len() {
            if !matches!(text[index], b' '..=b'~') {
                return Err(TextError::NotPrintable(text[index]));
            }
            field[index] = text[index];
            index += 1;
        }
        Ok(Self(field))
    }

    /// The field as a device sent it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// The field as it is sent.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Bytes that should be ASCII, without padding on either side, fit to be printed.
pub(super) fn show(bytes: &[u8], f: &mut impl fmt::Write) -> fmt::Result {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(first) = bytes.iter().position(|byte| !is_padding(byte)) else {
        return Ok(());
    };
    let end = bytes.iter().rposition(|byte| !is_padding(byte));
    let shown = bytes.get(first..=end.unwrap_or(first)).unwrap_or(&[]);
    for byte in shown {
        f.write_char(match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '?',
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_text_is_padded_when_sent_and_trimmed_when_shown() {
        let text = Text::<8>::new("Oxford").unwrap();
        assert_eq!(text.as_bytes(), b"Oxford  ");
        assert_eq!(text.to_string(), "Oxford");
        assert_eq!(Text::from_bytes(*b"\0 a\x1bb c\0").to_string(), "a?b c");
        assert_eq!(Text::from_bytes([0; 8]).to_string(), "");
    }

    #[test]
    fn a_text_that_does_not_fit_is_refused_not_cut() {
        assert_eq!(
            Text::<4>::new("Oxford"),
            Err(TextError::TooLong { length: 6, room: 4 })
        );
        assert_eq!(Text::<4>::new("a\n"), Err(TextError::NotPrintable(b'\n')));
    }
}
