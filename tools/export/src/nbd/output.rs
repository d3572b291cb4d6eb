//! Bytes on their way to the client.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::ops::Range;

/// How many pieces are handed to one `writev`.
const SLICES: usize = 64;
/// A piece that is this long is not appended to.
const COALESCE: usize = 4096;

/// Bytes for the client, in order. What a disk read is moved in here, not copied.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Piece>,
    len: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    part: Range<usize>,
}

impl Outgoing {
    /// How many bytes are waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is waiting.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a copy of a few bytes.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        match self.pieces.back_mut() {
            Some(last) if last.part.end == last.bytes.len() && last.bytes.len() < COALESCE => {
                last.bytes.extend_from_slice(bytes);
                last.part.end = last.bytes.len();
            }
            _ => self.pieces.push_back(Piece {
                bytes: bytes.to_vec(),
                part: 0..bytes.len(),
            }),
        }
    }

    /// Appends `part` of `bytes`, which must lie within them.
    pub(super) fn give(&mut self, bytes: Vec<u8>, part: Range<usize>) {
        if part.is_empty() {
            return;
        }
        self.len += part.len();
        self.pieces.push_back(Piece { bytes, part });
    }

    /// Writes everything.
    ///
    /// # Errors
    ///
    /// Whatever `to` fails with; what was not written is lost.
    pub fn write_to(self, to: &mut impl Write) -> io::Result<()> {
        let mut pieces = self.pieces.iter();
        loop {
            let mut slices: Vec<IoSlice<'_>> = pieces
                .by_ref()
                .take(SLICES)
                .map(|piece| IoSlice::new(&piece.bytes[piece.part.clone()]))
                .collect();
            if slices.is_empty() {
                return Ok(());
            }
            let mut rest = slices.as_mut_slice();
            while !rest.is_empty() {
                match to.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes one byte at a time.
    struct Drip(Vec<u8>);

    impl Write for Drip {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend(bytes.first());
            Ok(bytes.len().min(1))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_went_in_comes_out_in_order_however_slowly_it_is_taken() {
        let mut outgoing = Outgoing::default();
        let mut expected = Vec::new();
        for i in 0..200_u8 {
            outgoing.copy(&[i, i]);
            outgoing.give(vec![9, i, i, i, 9], 1..4);
            outgoing.give(vec![1], 1..1);
            expected.extend([i; 5]);
        }
        assert_eq!(outgoing.len(), expected.len());
        let mut drip = Drip(Vec::new());
        outgoing.write_to(&mut drip).unwrap();
        assert_eq!(drip.0, expected);
    }

    #[test]
    fn bytes_are_not_appended_behind_the_cut_end_of_a_piece() {
        let mut outgoing = Outgoing::default();
        outgoing.give(vec![1, 2, 3], 0..2);
        outgoing.copy(&[4]);
        let mut all = Vec::new();
        outgoing.write_to(&mut all).unwrap();
        assert_eq!(all, [1, 2, 4]);
    }
}
