//! The socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use super::client::Client;
use super::{Bench, Call};
use crate::socket::SocketError;
use crate::vfio::{Function, GuestMemory, Interrupts, Server};

struct Nothing;

impl Function for Nothing {
    fn connected(&self, _: Arc<GuestMemory>, _: Arc<Interrupts>) {}
    fn read(&self, _: u32) -> u32 {
        0
    }
    fn write(&self, _: u32, _: u32) {}
    fn reset(&self) {}
    fn gone(&self) {}
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("function");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = Server::bind(&path, Arc::new(Nothing)).unwrap();
    assert_eq!(server.path(), path);
    let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Server::bind(&path, Arc::new(Nothing));
    assert!(matches!(second, Err(SocketError::InUse(_))));
    // And the first is not disturbed by that.
    Client::connect(&path).negotiate();
    drop(server);
    assert!(!path.exists());

    fs::write(&path, "precious").unwrap();
    let third = Server::bind(&path, Arc::new(Nothing));
    assert!(matches!(third, Err(SocketError::NotASocket(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = folder.path().join("no/folder");
    let fourth = Server::bind(&nowhere, Arc::new(Nothing));
    assert!(matches!(fourth, Err(SocketError::System { .. })));
}

#[test]
fn a_socket_that_is_no_longer_ours_is_left() {
    let bench = Bench::new();
    fs::remove_file(&bench.path).unwrap();
    let _other = UnixListener::bind(&bench.path).unwrap();
    let Bench { server, path, .. } = &bench;
    assert_eq!(server.path(), path);
    let Bench {
        server,
        path,
        _folder,
        ..
    } = bench;
    drop(server);
    assert!(path.exists());
}

#[test]
fn a_look_at_the_socket_is_no_guest() {
    let bench = Bench::new();
    drop(Client::connect(&bench.path));
    // Served after it, so it has been seen off by then.
    let (client, ..) = bench.guest();
    drop(client);
    bench.expect_gone();
}

#[test]
fn the_end_of_the_server_ends_the_guest() {
    let bench = Bench::new();
    let (mut client, ..) = bench.guest();
    let mut waiting = Client::connect(&bench.path);
    let Bench { server, calls, .. } = bench;
    drop(server);
    assert!(client.hung_up());
    assert!(waiting.hung_up());
    assert!(matches!(calls.recv(), Ok(Call::Gone)));
    assert!(calls.recv().is_err());
}
