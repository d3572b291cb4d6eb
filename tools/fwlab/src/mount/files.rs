//! The file system: every call of the kernel becomes one on the bus.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, IoctlFlags,
    LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, ReplyAttr, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyOpen, ReplyPoll, ReplyWrite, Request,
    TimeOrNow, WriteFlags,
};
use nix::unistd::Pid;

use super::attributes::{CONTROL, Place};
use super::memory::Process;
use super::waiting::{Opener, Waiting, cut, errno};
use crate::lab::command::{Answer, Command};
use crate::world::World;

/// Nothing is to be remembered: nodes come and go.
const TTL: Duration = Duration::ZERO;
/// The longest line of the meddler.
const LINE_MAX: usize = 1 << 16;

/// An open file.
enum Open {
    Node(Opener),
    Control { heard: Vec<u8>, said: Vec<u8> },
}

pub(super) struct Files {
    world: Arc<World>,
    waiting: Arc<Waiting>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

impl Files {
    pub(super) fn new(world: Arc<World>, waiting: Arc<Waiting>) -> Self {
        Self {
            world,
            waiting,
            open: Mutex::new(HashMap::new()),
            next: AtomicU64::new(1),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opener(&self, handle: FileHandle) -> Option<Opener> {
        match self.open().get(&handle.0) {
            Some(Open::Node(opener)) => Some(*opener),
            _ => None,
        }
    }

    fn exists(&self, place: Place) -> bool {
        match place {
            Place::Root | Place::Control => true,
            Place::Host(host) => self.world.with(|lab, _| host < lab.hosts()),
            Place::Node { host, number } => {
                self.world.with(|lab, _| lab.files(host).contains(&number))
            }
        }
    }

    fn children(&self, place: Place) -> Option<Vec<(Place, String)>> {
        match place {
            Place::Root => {
                let hosts = self.world.with(|lab, _| lab.hosts());
                let hosts = (0..hosts).map(|host| (Place::Host(host), format!("host{host}")));
                let control = (Place::Control, CONTROL.to_owned());
                Some(std::iter::once(control).chain(hosts).collect())
            }
            Place::Host(host) => {
                let files = self.world.with(|lab, _| lab.files(host));
                let files = files.into_iter();
                let named =
                    files.map(|number| (Place::Node { host, number }, format!("fw{number}")));
                Some(named.collect())
            }
            Place::Control | Place::Node { .. } => None,
        }
    }

    fn add(&self, open: Open) -> FileHandle {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(handle, open);
        FileHandle(handle)
    }

    /// Takes in what the meddler writes, and does what whole lines say.
    fn meddle(&self, handle: FileHandle, data: &[u8]) -> Result<(), Errno> {
        let mut open = self.open();
        let Some(Open::Control { heard, said }) = open.get_mut(&handle.0) else {
            return Err(Errno::EBADF);
        };
        heard.extend_from_slice(data);
        while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            let answer = match serde_json::from_slice::<Command>(&line) {
                Ok(command) => self.world.with(|lab, now| lab.execute(&command, now)),
                Err(error) => Answer::Refused(format!("not understood: {error}")),
            };
            // An answer has nothing in it that JSON could not say.
            if serde_json::to_writer(&mut *said, &answer).is_ok() {
                said.push(b'\n');
            }
        }
        if heard.len() > LINE_MAX {
            heard.clear();
            return Err(Errno::EMSGSIZE);
        }
        Ok(())
    }
}

fn thread(request: &Request) -> Pid {
    Pid::from_raw(i32::try_from(request.pid()).unwrap_or_default())
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let place = Place::of(parent).and_then(|parent| parent.child(name));
        match place.filter(|place| self.exists(*place)) {
            Some(place) => reply.entry(&TTL, &place.attributes(), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        // Also of a node that is gone: somebody may have its file open.
        match Place::of(inode) {
            Some(place) => reply.attr(&TTL, &place.attributes()),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let place = Place::of(inode);
        let is_other = mode.is_some() || uid.is_some() || gid.is_some();
        match place {
            // To cut a file that has no length is to do nothing: shells do when they redirect.
            Some(place) if !is_other => reply.attr(&TTL, &place.attributes()),
            Some(_) => reply.error(Errno::EPERM),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(children) = Place::of(inode).and_then(|place| self.children(place)) else {
            return reply.error(Errno::ENOTDIR);
        };
        let dots = [".", ".."].map(|name| (Place::Root, name.to_owned()));
        let entries = dots.into_iter().chain(children).zip(1..);
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for ((place, name), next) in entries.skip(skip) {
            if reply.add(place.inode(), next, place.kind(), name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let open = match Place::of(inode) {
            Some(Place::Control) => Ok(Open::Control {
                heard: Vec::new(),
                said: Vec::new(),
            }),
            Some(Place::Node { host, number }) => self
                .world
                .with(|lab, _| lab.open(host, number))
                .map(|client| Open::Node((host, client)))
                .map_err(errno),
            _ => Err(Errno::EISDIR),
        };
        match open {
            Ok(open) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_STREAM;
                reply.opened(self.add(open), flags);
            }
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let open = self.open().remove(&handle.0);
        if let Some(Open::Node(opener @ (host, client))) = open {
            self.world.with(|lab, now| {
                self.waiting.forget(opener);
                lab.close(host, client, now);
            });
        }
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let room = size as usize;
        let opener = match self.open().get_mut(&handle.0) {
            Some(Open::Node(opener)) => *opener,
            Some(Open::Control { said, .. }) => {
                let part: Vec<u8> = said.drain(..room.min(said.len())).collect();
                return reply.data(&part);
            }
            None => return reply.error(Errno::EBADF),
        };
        self.world.with(|lab, _| {
            let (host, client) = opener;
            match lab.read(host, client) {
                Ok(Some(event)) => reply.data(cut(&event, room)),
                // With O_NONBLOCK as well: `dequeue_event` in drivers/firewire/core-cdev.c.
                Ok(None) => {
                    self.waiting.park(opener, thread(request), room, reply);
                    self.world.wake_clock();
                }
                Err(error) => reply.error(errno(error)),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.opener(handle).is_some() {
            // firewire-cdev has no write(2).
            return reply.error(Errno::EINVAL);
        }
        match self.meddle(handle, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn ioctl(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: IoctlFlags,
        command: u32,
        argument: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        let Some(opener) = self.opener(handle) else {
            return reply.error(Errno::ENOTTY);
        };
        let mut caller = Process(thread(request));
        let answer = self
            .world
            .with(|lab, now| lab.ioctl(opener, command, argument, &mut caller, now));
        match answer {
            Ok(answer) => reply.ioctl(answer.value, &answer.argument),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        notifier: PollNotifier,
        _: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        let Some(opener) = self.opener(handle) else {
            return reply.poll(PollEvents::POLLIN | PollEvents::POLLOUT);
        };
        let ready = self.world.with(|lab, _| {
            if flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY) {
                self.waiting.watch(opener, notifier.handle());
            }
            let (host, client) = opener;
            lab.poll(host, client)
        });
        let mut events = PollEvents::empty();
        if ready.readable {
            events |= PollEvents::POLLIN | PollEvents::POLLRDNORM;
        }
        if ready.hung_up {
            events |= PollEvents::POLLHUP | PollEvents::POLLERR;
        }
        reply.poll(events);
    }
}
