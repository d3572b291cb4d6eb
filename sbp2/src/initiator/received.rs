use alloc::vec::Vec;

/// More gaps than this at a time and what lies behind them counts as not received. Targets send
/// in order.
const MAX_PIECES: usize = 64;

/// Which bytes of a buffer have arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    /// Everything before this has.
    contiguous: usize,
    /// What has arrived behind a gap.
    pieces: Vec<(usize, usize)>,
}

impl Received {
    pub(super) fn note(&mut self, start: usize, end: usize) {
        if start > self.contiguous {
            if self.pieces.len() < MAX_PIECES {
                self.pieces.push((start, end));
            }
            return;
        }
        self.contiguous = self.contiguous.max(end);
        while let Some(next) = self
            .pieces
            .iter()
            .position(|&(start, _)| start <= self.contiguous)
        {
            let (_, end) = self.pieces.swap_remove(next);
            self.contiguous = self.contiguous.max(end);
        }
    }

    /// How many bytes from the first on have arrived without a gap.
    pub(super) fn contiguous(&self) -> usize {
        self.contiguous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_until_it_is_filled() {
        let mut received = Received::default();
        received.note(0, 8);
        received.note(16, 24);
        received.note(24, 32);
        assert_eq!(received.contiguous(), 8);
        received.note(8, 16);
        assert_eq!(received.contiguous(), 32);
    }

    #[test]
    fn what_arrives_twice_counts_once() {
        let mut received = Received::default();
        received.note(0, 8);
        received.note(0, 8);
        received.note(4, 12);
        assert_eq!(received.contiguous(), 12);
    }

    #[test]
    fn too_many_gaps_cost_no_memory_and_claim_nothing() {
        let mut received = Received::default();
        for piece in 1..100_000 {
            received.note(piece * 8, piece * 8 + 4);
        }
        assert_eq!(received.pieces.len(), MAX_PIECES);
        received.note(0, 8);
        assert_eq!(received.contiguous(), 12);
    }
}
