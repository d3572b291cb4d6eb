/// Numbers that look random and are the same for the same seed (xorshift64*, G. Marsaglia and
/// S. Vigna). A test that fails prints its seed and can be run again.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // The state must not be zero.
        Self(seed ^ 0x9e37_79b9_7f4a_7c15 | 1)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }
}

/// `length` bytes in which no two blocks are alike, so that a block at the wrong place shows.
#[must_use]
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(random.next_u64().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Seeds for a test: so many, or as many as the variable `SEEDS` says. More of them find more.
#[must_use]
pub fn seeds(few: u64) -> std::ops::Range<u64> {
    let count = std::env::var("SEEDS").ok().and_then(|it| it.parse().ok());
    0..count.unwrap_or(few)
}
