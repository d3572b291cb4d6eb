//! An image for early boot, opened.
//!
//! What builders of images leave out they do not tell, so the image itself is asked: what is in
//! it, and what does the configuration in it say? An [`Image`] is a [`Tree`], as a system is one.
//!
//! An image is a row of cpio archives. One in front, with microcode, is not compressed; each of
//! the others may be, each in its own way, with zero bytes between. The kernel unpacks one over
//! the other. All of it is read, once, from the first byte to the last; a name that was read is
//! not yet a file that arrives.

mod cpio;
mod error;
mod files;
mod header;
mod limits;
mod reader;
#[cfg(test)]
mod tests;
mod uki;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

pub use crate::compression::Compression;
use crate::compression::{MAGIC, Source};
use crate::tree::{Kind, Tree, TreeError};
use cpio::Unpacker;
pub use error::{Fault, FileSystem, ImageError};
use files::{Files, Node};
use limits::Limits;
use reader::Reader;
pub use uki::UnifiedKernel;

/// An image. Of all files it knows name, kind and size, and the contents of those that were
/// wanted when it was opened.
#[derive(Debug)]
pub struct Image {
    files: Files,
    segments: Vec<Segment>,
    size: u64,
    unified: Option<UnifiedKernel>,
}

/// One archive, or those in one compressed stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// How it is compressed.
    pub compression: Compression,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them the kernel leaves out, because their folder is not there or something
    /// that cannot be replaced is in their place.
    pub lost: u64,
    /// How long it is when unpacked, in bytes.
    pub unpacked: u64,
}

/// What is at a path of an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Its size in bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Where it leads to.
        target: &'a Path,
    },
    /// A device, a FIFO or a socket.
    Other,
}

/// Whether a file can matter for how the kernel's FireWire drivers are loaded: the rule for
/// [`Image::open`] that this crate's own checks go by.
///
/// These are the configuration (`/etc`, `/run`, and in `/usr/lib` or `/lib` modprobe.d,
/// modules-load.d, udev and dracut), initramfs-tools' own (`/conf`, `/scripts`, `/init`), the
/// lists of modules, and the modules of FireWire and SCSI disks. Larger files than 4 MiB are
/// never kept.
#[must_use]
pub fn matters(path: &Path) -> bool {
    let path = path.strip_prefix("/").unwrap_or(path);
    let path = path.strip_prefix("usr").unwrap_or(path);
    let mut names = path.iter().map(OsStr::as_bytes);
    match names.next() {
        Some(b"etc" | b"run" | b"conf" | b"scripts" | b"init") => true,
        Some(b"lib") => match names.next() {
            Some(b"modprobe.d" | b"modules-load.d" | b"udev" | b"dracut") => true,
            Some(b"modules") => {
                let module = names.next_back().unwrap_or_default();
                let words = [&b"firewire"[..], b"ieee1394", b"scsi", b"sbp2", b"ohci1394"];
                let has = |word: &&[u8]| module.windows(word.len()).any(|part| part == *word);
                module.starts_with(b"modules.")
                    || module.starts_with(b"sd_mod.")
                    || module.starts_with(b"crc-itu-t.")
                    || words.iter().any(has)
            }
            _ => false,
        },
        _ => false,
    }
}

impl Image {
    /// Opens an image, or a unified kernel image. `wants` says of which files the contents are
    /// kept, by their paths in the image with no link in them; [`matters`] is such a rule.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn open(path: &Path, wants: &dyn Fn(&Path) -> bool) -> Result<Self, ImageError> {
        let failed = |source| ImageError::Open {
            path: path.to_owned(),
            source,
        };
        // Something else than a file could keep us waiting as soon as it is opened.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        Self::from_file(File::open(path).map_err(failed)?, wants)
    }

    /// The same, with the file already open.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn from_file(mut file: File, wants: &dyn Fn(&Path) -> bool) -> Result<Self, ImageError> {
        let read = |source| ImageError::Read { offset: 0, source };
        let mut start = Vec::new();
        let mut head = file.by_ref().take(MAGIC as u64);
        head.read_to_end(&mut start).map_err(read)?;
        if !uki::is_efi(&start) {
            file.rewind().map_err(read)?;
            return Self::read_from(file, 0, Limits::USUAL, wants);
        }
        let (range, unified) = uki::read(&mut file)?;
        let offset = range.offset;
        file.seek(SeekFrom::Start(offset))
            .map_err(|source| ImageError::Read { offset, source })?;
        let mut image = Self::read_from(file.take(range.size), offset, Limits::USUAL, wants)?;
        image.unified = Some(unified);
        Ok(image)
    }

    /// The same, from anything that can be read, but no unified kernel image.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn read(input: impl Read, wants: &dyn Fn(&Path) -> bool) -> Result<Self, ImageError> {
        Self::read_from(input, 0, Limits::USUAL, wants)
    }

    fn read_from(
        input: impl Read,
        base: u64,
        limits: Limits,
        wants: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, ImageError> {
        let mut reader = Reader {
            source: Source::new(input, base, limits.file),
            base,
            unpacker: Unpacker::new(limits, wants),
            segments: Vec::new(),
        };
        while reader.segment()? {}
        if reader.segments.is_empty() {
            // Nothing but zero bytes.
            return Err(ImageError::Unknown { offset: base });
        }
        Ok(Self {
            size: reader.source.position() - base,
            files: reader.unpacker.files,
            segments: reader.segments,
            unified: None,
        })
    }

    /// The archives, in their order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The size of all archives and what is between them, as they are in the file, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What else a unified kernel image says. `None` if this is a plain image.
    #[must_use]
    pub const fn unified_kernel(&self) -> Option<&UnifiedKernel> {
        self.unified.as_ref()
    }

    /// Everything in the image: folders before what is in them, names in the order of their
    /// bytes, the top first.
    pub fn entries(&self) -> impl Iterator<Item = (PathBuf, Entry<'_>)> {
        self.files
            .walk_all()
            .map(|(path, node)| (path, entry(node)))
    }

    /// What is at a path itself, be it a link. Links on the way are followed.
    ///
    /// # Errors
    /// [`TreeError`] if they lead round in a circle.
    pub fn entry(&self, path: &Path) -> Result<Option<Entry<'_>>, TreeError> {
        let found = self.files.find_link(path);
        Ok(found.map_err(failed("look at", path))?.map(entry))
    }

    fn find(&self, what: &'static str, path: &Path) -> Result<Option<&Node>, TreeError> {
        self.files.find(path).map_err(failed(what, path))
    }
}

fn entry(node: &Node) -> Entry<'_> {
    match node {
        Node::Folder(_) => Entry::Folder,
        &Node::File { size, .. } => Entry::File { size },
        Node::Link(target) => Entry::Link {
            target: Path::new(OsStr::from_bytes(target)),
        },
        Node::Other => Entry::Other,
    }
}

fn failed<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl Fn(E) -> TreeError {
    move |source| TreeError {
        what,
        path: path.to_owned(),
        source: source.into(),
    }
}

impl Tree for Image {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
        let refused = failed::<io::Error>("read", path);
        match self.find("read", path)? {
            Some(Node::File {
                contents: Some(contents),
                ..
            }) => Ok(Some(contents.clone())),
            Some(Node::File { contents: None, .. }) => Err(refused(io::Error::other(
                "its contents were not kept when the image was opened",
            ))),
            Some(Node::Folder(_)) => Err(refused(Errno::EISDIR.into())),
            Some(_) => Err(refused(io::Error::other("it is no regular file"))),
            None => Ok(None),
        }
    }

    fn list(&self, folder: &Path) -> Result<Vec<OsString>, TreeError> {
        match self.find("list", folder)? {
            Some(Node::Folder(children)) => Ok(children
                .keys()
                .map(|name| OsStr::from_bytes(name).to_owned())
                .collect()),
            Some(_) => Err(failed("list", folder)(Errno::ENOTDIR)),
            None => Ok(Vec::new()),
        }
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>, TreeError> {
        Ok(match self.find("look at", path)? {
            Some(Node::File { .. }) => Some(Kind::File),
            Some(Node::Folder(_)) => Some(Kind::Folder),
            Some(_) => Some(Kind::Other),
            None => self.entry(path)?.map(|_| Kind::Other),
        })
    }
}
