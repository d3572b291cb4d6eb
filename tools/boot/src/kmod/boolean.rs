//! What the kernel takes for yes and no.

/// A boolean parameter's value, as the kernel reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bool {
    /// `1`, `y`, `on`, `true`, or no value at all.
    On,
    /// `0`, `n`, `off`, `false`.
    Off,
    /// Anything else: **the module is not loaded**.
    Invalid,
}

impl Bool {
    /// Reads a value: only the first letter counts, after an `o` the second.
    ///
    /// `on` and `off` are taken since Linux 4.6, `true` and `false` since 5.18; earlier kernels
    /// refuse them (`kstrtobool`, lib/kstrtox.c). `enable` and `disable`, which are newer still,
    /// are invalid here, so that no kernel refuses what this has called valid for years.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        match *value {
            [b'1' | b'y' | b'Y' | b't' | b'T', ..] => Self::On,
            [b'0' | b'n' | b'N' | b'f' | b'F', ..] => Self::Off,
            [b'o' | b'O', b'n' | b'N', ..] => Self::On,
            [b'o' | b'O', b'f' | b'F', ..] => Self::Off,
            _ => Self::Invalid,
        }
    }
}
