//! An NBD client as plain as can be.

// Clippy lets tests unwrap, and does not know that this is part of them.
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) struct Client(UnixStream);

impl Client {
    /// Has the default export.
    pub(crate) fn new(socket: &Path) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        // Client flags, then NBD_OPT_EXPORT_NAME with an empty name.
        stream.write_all(&3_u32.to_be_bytes()).unwrap();
        stream.write_all(b"IHAVEOPT\0\0\0\x01\0\0\0\0").unwrap();
        // The greeting and the answer to the option.
        stream.read_exact(&mut [0; 18 + 10]).unwrap();
        Self(stream)
    }

    fn ask(&mut self, command: u8, offset: u64, length: u32, data: &[u8]) {
        let mut request = vec![0x25, 0x60, 0x95, 0x13, 0, 0, 0, command];
        request.extend(7_u64.to_be_bytes());
        request.extend(offset.to_be_bytes());
        request.extend(length.to_be_bytes());
        request.extend(data);
        self.0.write_all(&request).unwrap();
        let mut reply = [0; 16];
        self.0.read_exact(&mut reply).unwrap();
        assert_eq!(reply[..8], [0x67, 0x44, 0x66, 0x98, 0, 0, 0, 0], "no error");
    }

    pub(crate) fn read(&mut self, offset: u64, length: usize) -> Vec<u8> {
        self.ask(0, offset, u32::try_from(length).unwrap(), &[]);
        let mut data = vec![0; length];
        self.0.read_exact(&mut data).unwrap();
        data
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        self.ask(1, offset, u32::try_from(data.len()).unwrap(), data);
    }

    pub(crate) fn flush(&mut self) {
        self.ask(3, 0, 0, &[]);
    }
}
