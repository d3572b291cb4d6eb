//! Why an image cannot be opened.

use std::io;
use std::path::PathBuf;

use crate::compression::Compression;

/// Why an image cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such file, or it is none to be read.
    #[error("cannot open the image {}: {source}", path.display())]
    Open {
        /// The file, as it was given.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file without a byte: what mkinitramfs leaves for a kernel that it does not find.
    #[error("the image is empty")]
    Empty,
    /// The file cannot be read.
    #[error("cannot read the image at byte {offset}: {source}")]
    Read {
        /// How far it was read, in bytes.
        offset: u64,
        /// Why no further.
        #[source]
        source: io::Error,
    },
    /// A file system of the time before initramfs.
    #[error("the image is {0}, not a cpio archive")]
    FileSystem(FileSystem),
    /// An EFI program that no initrd is part of: a kernel alone.
    #[error("the file is an EFI program without a section .initrd")]
    NoInitrd,
    /// An EFI program whose headers cannot be read.
    #[error("the file begins like an EFI program, but {0}")]
    Efi(#[source] object::Error),
    /// What the kernel calls an invalid magic.
    #[error("neither an archive nor something compressed begins at byte {offset} of the image")]
    Unknown {
        /// Where, in bytes from the start of the file.
        offset: u64,
    },
    /// Something is wrong in an archive.
    #[error(
        "archive {} of the image ({compression}, from byte {begins}): {fault}, \
         at byte {offset} of the file and {unpacked} of the archive",
        segment + 1
    )]
    Archive {
        /// Which of the archives, from 0.
        segment: usize,
        /// How it is compressed.
        compression: Compression,
        /// Where it begins, in bytes from the start of the file.
        begins: u64,
        /// How far the file was read, in bytes from its start.
        offset: u64,
        /// How far the archive was, in bytes of what is unpacked.
        unpacked: u64,
        /// What is wrong.
        #[source]
        fault: Fault,
    },
}

/// What is wrong in an archive.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be unpacked: cut off, or damaged.
    #[error("cannot unpack it: {0}")]
    Unpack(#[source] io::Error),
    /// It ends before its last entry, `TRAILER!!!`.
    #[error("it ends in the middle")]
    Truncated,
    /// Something else stands where an entry should begin.
    #[error("no entry of a cpio archive begins here")]
    NoEntry,
    /// An older format of cpio, which the kernel does not take.
    #[error("it is a cpio archive of the format odc, not newc")]
    OldFormat,
    /// An entry begins where the kernel does not look for one.
    #[error("an entry begins at no multiple of 4 bytes")]
    Misaligned,
    /// A header has something else than hexadecimal digits.
    #[error("the header of an entry is no hexadecimal number")]
    Header,
    /// A name has no end, or is longer than the kernel takes.
    #[error("a name of {0} bytes")]
    Name(u32),
    /// A name has no zero byte at its end.
    #[error("a name without an end")]
    EndlessName,
    /// The target of a link is longer than a path can be.
    #[error("a link to a path of {0} bytes")]
    LinkTarget(u32),
    /// The contents do not have the sum that the header says (format crc).
    #[error("the checksum of an entry is wrong")]
    Checksum,
    /// More than is taken from any image.
    #[error("it holds more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
}

/// What a ramdisk was before initramfs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileSystem {
    /// ext2, or its successors.
    #[error("an ext2 file system, as mkinitrd of before 2006 made")]
    Ext2,
    /// cramfs.
    #[error("a cramfs file system, as Debian's mkinitrd of before 2006 made")]
    Cramfs,
    /// romfs.
    #[error("a romfs file system")]
    Romfs,
    /// squashfs.
    #[error("a squashfs file system")]
    Squashfs,
    /// Minix's, of the first installation disks.
    #[error("a Minix file system")]
    Minix,
}

impl FileSystem {
    /// How many of the first bytes tell it.
    pub(super) const MAGIC: usize = 0x43a;

    /// Which one begins so (init/do_mounts_rd.c).
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let at = |offset: usize, magic: &[u8]| {
            start
                .get(offset..)
                .is_some_and(|rest| rest.starts_with(magic))
        };
        let cramfs = [0x45, 0x3d, 0xcd, 0x28];
        let cramfs_swapped = [0x28, 0xcd, 0x3d, 0x45];
        let is_cramfs = |offset| at(offset, &cramfs) || at(offset, &cramfs_swapped);
        Some(match start {
            [b'0', b'7', b'0', ..] => return None,
            _ if is_cramfs(0) || is_cramfs(0x200) => Self::Cramfs,
            _ if at(0, b"-rom1fs-") => Self::Romfs,
            _ if at(0, b"hsqs") || at(0, b"sqsh") => Self::Squashfs,
            _ if at(0x438, &[0x53, 0xef]) => Self::Ext2,
            _ if at(0x410, &[0x7f, 0x13]) || at(0x410, &[0x8f, 0x13]) => Self::Minix,
            _ => return None,
        })
    }
}
