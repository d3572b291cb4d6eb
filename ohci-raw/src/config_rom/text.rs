//! Textual descriptors (IEEE 1212-2001 7.5.4.1): a leaf of two describing quadlets and the text.

use alloc::string::String;
use alloc::vec::Vec;

use super::directory::Leaf;

/// Why a descriptor leaf gives no text, or not quite what the ROM has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// The leaf has no room for the two quadlets that say what it is.
    #[error("is too short for a descriptor")]
    TooShort,
    /// Another kind of descriptor, an icon for instance.
    #[error("is a descriptor of type {descriptor_type:#04x} by {specifier:#08x}, not a text")]
    NotText {
        /// Bits 31:24 of the first quadlet.
        descriptor_type: u8,
        /// Bits 23:0 of the first quadlet.
        specifier: u32,
    },
    /// A text in something else than one-byte minimal ASCII.
    #[error("is a text with width, character set and language {code:#010x}, not minimal ASCII")]
    CharacterSet {
        /// The second quadlet.
        code: u32,
    },
    /// The text has bytes that are no printable ASCII.
    #[error("has bytes that are no printable ASCII, shown as U+FFFD")]
    Unprintable,
}

/// The text of a leaf and whether every byte of it was printable.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) printable: bool,
}

/// Reads a textual descriptor. `Ok(None)` where quadlets of it are unknown: part of a name can
/// be another device's name.
///
/// The text ends at the first NUL, as it does for Linux. A text goes to terminals and into log
/// files, so control characters do not pass.
pub(super) fn decode(leaf: &Leaf) -> Result<Option<Text>, TextError> {
    let Some(contents) = leaf.contents.as_deref() else {
        return Ok(None);
    };
    let [kind, code, text @ ..] = contents else {
        return Err(TextError::TooShort);
    };
    if *kind != 0 {
        let [descriptor_type, ..] = kind.to_be_bytes();
        return Err(TextError::NotText {
            descriptor_type,
            specifier: kind & 0x00ff_ffff,
        });
    }
    if *code != 0 {
        return Err(TextError::CharacterSet { code: *code });
    }
    let mut printable = true;
    let text = text
        .iter()
        .flat_map(|quadlet| quadlet.to_be_bytes())
        .take_while(|&byte| byte != 0)
        .map(|byte| match byte {
            b' '..=b'~' => char::from(byte),
            _ => {
                printable = false;
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect();
    Ok(Some(Text { text, printable }))
}

/// The contents of a leaf with this text, or `None` unless all of it is printable ASCII.
pub(super) fn encode(text: &str) -> Option<Vec<u32>> {
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let mut contents = alloc::vec![0, 0];
    contents.extend(text.as_bytes().chunks(4).map(|chunk| {
        let mut quadlet = [0; 4];
        for (to, from) in quadlet.iter_mut().zip(chunk) {
            *to = *from;
        }
        u32::from_be_bytes(quadlet)
    }));
    Some(contents)
}
