//! LZO as lzop writes it: a header, then blocks with their sizes and checksums
//! (lib/decompress_unlzo.c, and lzop's own `p_header` and `x_decompress`).

use std::io::{self, Read};

use super::Source;

const MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
/// What a block holds at most, unpacked. lzop writes no larger ones, the kernel takes none.
const BLOCK: usize = 256 << 10;
/// The version from which headers have a level, a needed version and a long time.
const LONG_HEADER: u16 = 0x0940;

/// The header's flags.
mod flag {
    pub(super) const ADLER32_UNPACKED: u32 = 1;
    pub(super) const ADLER32_PACKED: u32 = 2;
    pub(super) const EXTRA_FIELD: u32 = 0x40;
    pub(super) const CRC32_UNPACKED: u32 = 0x100;
    pub(super) const CRC32_PACKED: u32 = 0x200;
    pub(super) const FILTER: u32 = 0x800;
    pub(super) const HEADER_CRC32: u32 = 0x1000;
}

pub(super) struct Decoder<'a, R> {
    source: &'a mut Source<R>,
    flags: u32,
    packed: Vec<u8>,
    block: Vec<u8>,
    read: usize,
    ended: bool,
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads numbers, and remembers what the header's checksum is about.
struct Header<'a, R> {
    source: &'a mut Source<R>,
    bytes: Vec<u8>,
}

impl<R: Read> Header<'_, R> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.bytes.extend_from_slice(&bytes);
        Ok(bytes)
    }

    fn skip(&mut self, count: u64) -> io::Result<()> {
        let read = self
            .source
            .by_ref()
            .take(count)
            .read_to_end(&mut self.bytes)?;
        match read as u64 == count {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn check(&mut self, flags: u32) -> io::Result<()> {
        let is = match flags & flag::HEADER_CRC32 {
            0 => adler2::adler32_slice(&self.bytes),
            _ => crc32(&self.bytes),
        };
        match read_u32(self.source)? == is {
            true => Ok(()),
            false => Err(invalid("the checksum of the lzop header is wrong")),
        }
    }

    /// The flags.
    fn read(&mut self) -> io::Result<u32> {
        let version = self.u16()?;
        let long = version >= LONG_HEADER;
        self.skip(2)?;
        if long {
            self.skip(2)?;
        }
        // LZO1X-1, LZO1X-1(15) and LZO1X-999 are unpacked alike.
        let [method] = self.take()?;
        if !(1..=3).contains(&method) {
            return Err(invalid("the lzop method is none of LZO1X"));
        }
        if long {
            self.skip(1)?;
        }
        let flags = self.u32()?;
        if flags & flag::FILTER != 0 {
            return Err(invalid("the lzop file has a filter"));
        }
        // Mode and time.
        self.skip(if long { 12 } else { 8 })?;
        let [name] = self.take()?;
        self.skip(u64::from(name))?;
        self.check(flags)?;
        if flags & flag::EXTRA_FIELD != 0 {
            self.bytes.clear();
            let length = self.u32()?;
            if length as usize > BLOCK {
                return Err(invalid("the lzop header is too long"));
            }
            self.skip(u64::from(length))?;
            self.check(flags)?;
        }
        Ok(flags)
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn read_u32(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

impl<'a, R: Read> Decoder<'a, R> {
    pub(super) fn new(source: &'a mut Source<R>) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        source.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(invalid("the lzop file begins wrongly"));
        }
        let bytes = Vec::new();
        let flags = Header { source, bytes }.read()?;
        Ok(Self {
            source,
            flags,
            packed: Vec::new(),
            block: Vec::new(),
            read: 0,
            ended: false,
        })
    }

    /// The checksums that a block has, by Adler and by CRC.
    fn checksums(&mut self, adler: u32, crc: u32) -> io::Result<[Option<u32>; 2]> {
        let mut read = |flag| match self.flags & flag {
            0 => Ok(None),
            _ => read_u32(self.source).map(Some),
        };
        Ok([read(adler)?, read(crc)?])
    }

    fn next_block(&mut self) -> io::Result<()> {
        let unpacked = read_u32(self.source)? as usize;
        if unpacked == 0 {
            self.ended = true;
            return Ok(());
        }
        let packed = read_u32(self.source)? as usize;
        if unpacked > BLOCK || packed > unpacked || packed == 0 {
            return Err(invalid("an lzop block has an impossible size"));
        }
        let of_block = self.checksums(flag::ADLER32_UNPACKED, flag::CRC32_UNPACKED)?;
        let of_packed = match packed < unpacked {
            true => self.checksums(flag::ADLER32_PACKED, flag::CRC32_PACKED)?,
            false => [None, None],
        };
        self.packed.resize(packed, 0);
        self.source.read_exact(&mut self.packed)?;
        verify(of_packed, &self.packed)?;
        if packed == unpacked {
            self.block.clone_from(&self.packed);
        } else {
            self.block.resize(unpacked, 0);
            let length = lzokay::decompress::decompress(&self.packed, &mut self.block)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            if length != unpacked {
                return Err(invalid("an lzop block is shorter than it says"));
            }
        }
        verify(of_block, &self.block)?;
        self.read = 0;
        Ok(())
    }
}

fn verify([adler, crc]: [Option<u32>; 2], bytes: &[u8]) -> io::Result<()> {
    let adler = adler.is_none_or(|adler| adler == adler2::adler32_slice(bytes));
    let crc = crc.is_none_or(|crc| crc == crc32(bytes));
    match adler && crc {
        true => Ok(()),
        false => Err(invalid("the checksum of an lzop block is wrong")),
    }
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() && !self.ended {
            self.next_block()?;
        }
        let mut rest = self.block.get(self.read..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.read += read;
        Ok(read)
    }
}
