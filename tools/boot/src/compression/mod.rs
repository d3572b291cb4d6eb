//! Compressed streams, as images and kernel modules have them.
//!
//! Every decoder here is Rust: what is unpacked may come from anywhere.

mod lz4;
mod lzop;
mod source;
#[cfg(test)]
pub(crate) mod tests;
mod zstd;

use std::fmt;
use std::io::{self, Read};

pub(crate) use source::Source;

/// How something is compressed. The kernel knows these by their first bytes (lib/decompress.c).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// LZMA with the header of its first program, `.lzma`.
    Lzma,
    /// xz.
    Xz,
    /// Blocks of LZO, as lzop writes them.
    Lzop,
    /// LZ4 in the frame of its first program, as `lz4 -l` writes it.
    Lz4Legacy,
    /// LZ4 in its present frame. The kernel does not unpack it.
    Lz4,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How many of the first bytes tell the compression.
pub(crate) const MAGIC: usize = 4;

/// The largest dictionary or window, in bytes. The programs' presets end at 128 MiB.
const MAX_WINDOW: u64 = 256 << 20;

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzma => "lzma",
            Self::Xz => "xz",
            Self::Lzop => "lzop",
            Self::Lz4Legacy => "lz4 (legacy frame)",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// The compression of what begins so; the first 4 bytes are looked at. `None` if it is none of them.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Self> {
        Some(match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x5d, 0, 0, ..] => Self::Lzma,
            [0xfd, b'7', b'z', ..] => Self::Xz,
            [0x89, b'L', b'Z', ..] => Self::Lzop,
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Lz4Legacy,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => return None,
        })
    }

    /// Unpacks one stream and hands out what is in it, a piece at a time. The source stands right
    /// behind the stream afterwards.
    ///
    /// # Errors
    /// `failed` of what the decoder or the source says, and what `take` returns.
    pub(crate) fn unpack<R: Read, E>(
        self,
        source: &mut Source<R>,
        failed: impl Fn(io::Error) -> E,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let take = &mut take;
        let memory = u32::try_from(MAX_WINDOW >> 10).unwrap_or(u32::MAX);
        match self {
            Self::None => pump(source, &failed, take),
            Self::Gzip => pump(flate2::bufread::GzDecoder::new(source), &failed, take),
            Self::Bzip2 => pump(bzip2::bufread::BzDecoder::new(source), &failed, take),
            Self::Xz => {
                let decoder = lzma_rust2::XzReader::new_mem_limit(source, false, memory);
                pump(decoder, &failed, take)
            }
            Self::Lzma => {
                let decoder = lzma_rust2::LzmaReader::new_mem_limit(source, memory, None);
                let mut decoder = decoder.map_err(&failed)?;
                pump(&mut decoder, &failed, take)?;
                // This one reads ahead.
                let (source, unused) = decoder.into_parts();
                source.unread(&unused);
                Ok(())
            }
            Self::Lzop => {
                let decoder = lzop::Decoder::new(source).map_err(&failed)?;
                pump(decoder, &failed, take)
            }
            Self::Lz4Legacy => pump(lz4::Decoder::new(source), &failed, take),
            Self::Lz4 => pump(lz4_flex::frame::FrameDecoder::new(source), &failed, take),
            Self::Zstd => {
                let decoder = zstd::Decoder::new(source, MAX_WINDOW).map_err(&failed)?;
                pump(decoder, &failed, take)
            }
        }
    }
}

fn pump<E>(
    mut decoder: impl Read,
    failed: &impl Fn(io::Error) -> E,
    take: &mut impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = match decoder.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        take(buffer.get(..read).unwrap_or_default())?;
    }
}

/// Unpacks what may be compressed as a whole. What is not comes back as it is.
///
/// # Errors
/// The decoder's, or `FileTooLarge` if there are more than `limit` bytes.
pub(crate) fn unpacked(bytes: &[u8], limit: usize) -> io::Result<std::borrow::Cow<'_, [u8]>> {
    let Some(compression) = Compression::of(bytes) else {
        return Ok(bytes.into());
    };
    let mut source = Source::new(bytes, 0, bytes.len() as u64);
    let mut unpacked = Vec::new();
    compression.unpack(
        &mut source,
        |error| error,
        |piece| match unpacked.len() + piece.len() > limit {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => {
                unpacked.extend_from_slice(piece);
                Ok(())
            }
        },
    )?;
    Ok(unpacked.into())
}
