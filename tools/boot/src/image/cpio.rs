//! Archives of cpio's format newc, unpacked as the kernel does it (init/initramfs.c and
//! Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! The crate cpio reads them too. It wants names in UTF-8, takes names of any length into memory,
//! and cannot tell where an archive ends and another begins, so this reader is our own.

use std::collections::HashMap;
use std::path::Path;

use super::error::Fault;
use super::files::{Files, Place, is_top};
use super::header::{HEADER, Header, S_IFDIR, S_IFLNK, S_IFREG};
use super::limits::Limits;

/// The largest file whose contents are kept, in bytes.
const MAX_KEPT: u32 = 4 << 20;
const TRAILER: &[u8] = b"TRAILER!!!";

/// What is done with an entry's contents.
#[derive(Debug)]
enum Contents {
    /// Nothing.
    Skip,
    /// They are those of a file, and are kept.
    Keep(usize, Vec<u8>),
    /// They are those of a file, and are not kept.
    Drop(usize),
    /// They are the target of a link with this name.
    Target(Vec<u8>, Vec<u8>),
}

#[derive(Debug)]
enum State {
    /// Between entries: zero bytes, then a header.
    Between,
    /// Inside a header, as far as it was read.
    Header(Vec<u8>),
    /// Inside a name and its padding, as far as they were read.
    Name(Header, Vec<u8>),
    /// Inside what an entry holds, with how much is left of it and the sum of what was read.
    Body(Header, Contents, u32, u32),
    /// Inside the padding behind it, with how much is left.
    Padding(u64),
}

/// Unpacks archives, a piece at a time.
pub(super) struct Unpacker<'a> {
    pub(super) files: Files,
    wants: &'a dyn Fn(&Path) -> bool,
    granted: Limits,
    left: Limits,
    state: State,
    /// How far the archive is, in bytes from where its entries' alignment counts.
    pub(super) position: u64,
    /// Whether entries have come since the last `TRAILER!!!`.
    open: bool,
    /// Whether this entry is one.
    trailer: bool,
    /// How many entries the archive has, and how many of them the kernel leaves out.
    pub(super) entries: u64,
    pub(super) lost: u64,
    /// Files of the archive that have several names.
    links: HashMap<((u32, u32), u32), usize>,
}

/// How many zero bytes follow so many others.
const fn padding(length: u64) -> u64 {
    length.wrapping_neg() & 3
}

/// Moves bytes until there are enough. Whether there are.
fn collect(to: &mut Vec<u8>, enough: usize, rest: &mut &[u8]) -> bool {
    let count = enough.saturating_sub(to.len()).min(rest.len());
    to.extend_from_slice(take(rest, count));
    to.len() >= enough
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at_checked(count).unwrap_or((rest, &[]));
    *rest = left;
    taken
}

/// What comes before the first zero byte.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

impl<'a> Unpacker<'a> {
    /// `wants` says of which files the contents are kept.
    pub(super) fn new(limits: Limits, wants: &'a dyn Fn(&Path) -> bool) -> Self {
        Self {
            files: Files::new(),
            wants,
            granted: limits,
            left: limits,
            state: State::Between,
            position: 0,
            open: false,
            trailer: false,
            entries: 0,
            lost: 0,
            links: HashMap::new(),
        }
    }

    /// Begins to count anew. `position` is what the next byte counts as.
    pub(super) fn begin(&mut self, position: u64) {
        self.position = position;
        (self.entries, self.lost) = (0, 0);
    }

    /// Counts a stream.
    pub(super) fn begin_stream(&mut self) -> Result<(), Fault> {
        self.spend(|limits| &mut limits.streams, 1, "archives and streams")
    }

    /// Whether an archive has begun and not ended.
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// Unpacks what comes next, until the archive ends or something follows that is no archive.
    /// How many bytes that was.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut rest = input;
        while !rest.is_empty() {
            let before = rest.len();
            let state = std::mem::replace(&mut self.state, State::Between);
            let next = self.step(state, &mut rest);
            let taken = (before - rest.len()) as u64;
            self.position += taken;
            self.spend(|limits| &mut limits.unpacked, taken, "bytes")?;
            self.state = next?;
            if matches!(self.state, State::Between) && (self.trailer || taken == 0) {
                self.open &= !std::mem::take(&mut self.trailer);
                break;
            }
        }
        Ok(input.len() - rest.len())
    }

    fn spend(
        &mut self,
        of: impl Fn(&mut Limits) -> &mut u64,
        amount: u64,
        what: &'static str,
    ) -> Result<(), Fault> {
        let limit = *of(&mut self.granted);
        let left = of(&mut self.left);
        *left = left
            .checked_sub(amount)
            .ok_or(Fault::TooMuch { what, limit })?;
        Ok(())
    }

    fn step(&mut self, state: State, rest: &mut &[u8]) -> Result<State, Fault> {
        match state {
            State::Between => {
                let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
                take(rest, zeros);
                match rest.first() {
                    Some(b'0') if (self.position + zeros as u64) & 3 != 0 => Err(Fault::Misaligned),
                    Some(b'0') => {
                        self.open = true;
                        Ok(State::Header(Vec::with_capacity(HEADER)))
                    }
                    Some(_) if self.open => Err(Fault::NoEntry),
                    _ => Ok(State::Between),
                }
            }
            State::Header(mut bytes) => {
                if !collect(&mut bytes, HEADER, rest) {
                    return Ok(State::Header(bytes));
                }
                Ok(State::Name(Header::read(&bytes)?, Vec::new()))
            }
            State::Name(header, mut bytes) => {
                if !collect(&mut bytes, header.padded_name(), rest) {
                    return Ok(State::Name(header, bytes));
                }
                let name = bytes.get(..header.name as usize).unwrap_or_default();
                let contents = self.begin_entry(&header, name)?;
                self.go_on(header, contents, header.size, 0)
            }
            State::Body(header, mut contents, left, sum) => {
                let bytes = take(rest, (left as usize).min(rest.len()));
                if let Contents::Keep(_, kept) | Contents::Target(_, kept) = &mut contents {
                    kept.extend_from_slice(bytes);
                }
                let sum = match header.sum {
                    None => 0,
                    Some(_) => bytes
                        .iter()
                        .fold(sum, |sum, &byte| sum.wrapping_add(byte.into())),
                };
                self.go_on(header, contents, left - bytes.len() as u32, sum)
            }
            State::Padding(left) => {
                let taken = take(rest, left as usize).len() as u64;
                Ok(match left - taken {
                    0 => State::Between,
                    left => State::Padding(left),
                })
            }
        }
    }

    /// Goes on inside an entry, or behind it.
    fn go_on(
        &mut self,
        header: Header,
        contents: Contents,
        left: u32,
        sum: u32,
    ) -> Result<State, Fault> {
        if left > 0 {
            return Ok(State::Body(header, contents, left, sum));
        }
        self.end_entry(&header, contents, sum)?;
        Ok(match padding(header.size.into()) {
            0 => State::Between,
            left => State::Padding(left),
        })
    }

    fn begin_entry(&mut self, header: &Header, name: &[u8]) -> Result<Contents, Fault> {
        if !name.contains(&0) {
            return Err(Fault::EndlessName);
        }
        let name = until_zero(name);
        if name == TRAILER {
            self.trailer = true;
            self.links.clear();
            return Ok(Contents::Skip);
        }
        self.entries += 1;
        self.spend(|limits| &mut limits.entries, 1, "entries")?;
        let mut path = name.len() as u64;
        let kind = header.kind();
        if kind == S_IFLNK {
            path += u64::from(header.size);
        }
        self.spend(|limits| &mut limits.names, path, "bytes of names")?;
        if kind == S_IFLNK {
            return Ok(Contents::Target(name.to_vec(), Vec::new()));
        }
        if kind == S_IFDIR && is_top(name) {
            return Ok(Contents::Skip);
        }
        let place = match kind {
            S_IFDIR => self.files.place(name),
            _ => self.place(name),
        };
        let Some(place) = place else {
            self.lost += 1;
            return Ok(Contents::Skip);
        };
        let made = match kind {
            S_IFREG => return self.begin_file(header, place),
            S_IFDIR => self.files.make_folder(place),
            _ => self.files.make_other(place),
        };
        self.lost += u64::from(!made);
        Ok(Contents::Skip)
    }

    /// Where something else than a folder goes. With a slash behind its name it goes nowhere.
    fn place(&self, name: &[u8]) -> Option<Place> {
        self.files.place(name).filter(|_| !name.ends_with(b"/"))
    }

    fn begin_file(&mut self, header: &Header, place: Place) -> Result<Contents, Fault> {
        let path = place.path.clone();
        let key = (header.device, header.ino);
        let has_names = header.nlink >= 2;
        let made = match self.links.get(&key) {
            Some(&number) if has_names => {
                let made = self.files.make_hard_link(place, number);
                made.then_some(number)
            }
            _ => self.files.make_file(place),
        };
        let Some(number) = made else {
            self.lost += 1;
            return Ok(Contents::Skip);
        };
        if has_names {
            self.links.insert(key, number);
        }
        // One name of several has the contents, with GNU cpio the last one.
        if header.size == 0 {
            return Ok(Contents::Skip);
        }
        if header.size > MAX_KEPT || !(self.wants)(&path) {
            return Ok(Contents::Drop(number));
        }
        let size = header.size.into();
        self.spend(
            |limits| &mut limits.kept,
            size,
            "bytes of files to be looked into",
        )?;
        Ok(Contents::Keep(number, Vec::new()))
    }

    fn end_entry(&mut self, header: &Header, contents: Contents, sum: u32) -> Result<(), Fault> {
        let size = header.size.into();
        match contents {
            Contents::Skip => return Ok(()),
            Contents::Target(name, target) => {
                let target = until_zero(&target).to_vec();
                let place = self.place(&name);
                let made = place.is_some_and(|place| self.files.make_link(place, target));
                self.lost += u64::from(!made);
                return Ok(());
            }
            Contents::Keep(number, kept) => self.files.fill(number, size, Some(kept)),
            Contents::Drop(number) => self.files.fill(number, size, None),
        }
        match header.sum {
            Some(written) if written != sum => Err(Fault::Checksum),
            _ => Ok(()),
        }
    }
}
