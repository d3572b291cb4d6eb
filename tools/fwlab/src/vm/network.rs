//! A network among guests, that leads nowhere else.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// The largest Ethernet frame that virtio-net hands on, with room.
const FRAME: usize = 128 * 1024;

/// Hands every frame to all guests but the one that it came from.
///
/// A guest is known from its first frame on. QEMU's back end for this is `dgram`.
#[derive(Debug)]
pub struct Hub {
    path: PathBuf,
    closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Hub {
    /// A hub at this socket, which must not exist. It is gone when this is dropped.
    ///
    /// # Errors
    /// What binding to it says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        let closed = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&closed);
        let thread = thread::Builder::new()
            .name("hub".into())
            .spawn(move || forward(&socket, &stop))?;
        Ok(Self {
            path: path.to_owned(),
            closed,
            thread: Some(thread),
        })
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Has it look.
        let woken = UnixDatagram::unbound().and_then(|socket| socket.send_to(&[], &self.path));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn forward(socket: &UnixDatagram, closed: &AtomicBool) {
    let mut guests = BTreeSet::new();
    let mut frame = vec![0; FRAME];
    while let Ok((length, from)) = socket.recv_from(&mut frame) {
        if closed.load(Ordering::Relaxed) {
            return;
        }
        let from = from.as_pathname().map(Path::to_owned);
        let others: Vec<PathBuf> = guests
            .iter()
            .filter(|guest| from.as_ref() != Some(guest))
            .cloned()
            .collect();
        for guest in others {
            let sent = socket.send_to(&frame[..length], &guest);
            if sent.is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
                // It has gone.
                guests.remove(&guest);
            }
        }
        guests.extend(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reaches_all_but_its_sender_and_those_who_went_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let hub = Hub::open(&path("hub")).expect("a hub");
        let guest = |name: &str| UnixDatagram::bind(path(name)).expect("a socket");
        let send = |guest: &UnixDatagram, text: &str| {
            guest.send_to(text.as_bytes(), hub.path()).expect("a frame")
        };
        let receive = |guest: &UnixDatagram| {
            let mut frame = [0; 16];
            let length = guest.recv(&mut frame).expect("a frame");
            String::from_utf8_lossy(&frame[..length]).into_owned()
        };
        let (a, b, c) = (guest("a"), guest("b"), guest("c"));
        send(&a, "from a");
        send(&b, "from b");
        assert_eq!(receive(&a), "from b");
        send(&c, "from c");
        assert_eq!((receive(&a), receive(&b)), ("from c".into(), "from c".into()));
        drop(b);
        std::fs::remove_file(path("b")).expect("its socket");
        send(&a, "again a");
        assert_eq!(receive(&c), "again a");
        send(&c, "again c");
        assert_eq!(receive(&a), "again c");
    }
}
