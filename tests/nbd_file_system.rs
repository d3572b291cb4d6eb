//! A real file system on a disk in memory, through the NBD server.

// All of this is test code: a wrong step ends the test.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fwshare_export::memory::MemoryDisk;
use fwshare_export::nbd::{Endpoint, Export, Server};
use fwshare_tests::{Judge, attach, ext4_image, fill, judge, same_files};

const SIZE: u64 = 64 << 20;

/// An image with an ext4 file system that holds the files of `files`.
fn image(mkfs: &Judge, folder: &Path, files: &Path) -> Vec<u8> {
    fs::read(ext4_image(mkfs, &folder.join("image"), SIZE, files)).unwrap()
}

fn check(e2fsck: &Judge, disk: &MemoryDisk, folder: &Path) {
    let copy = folder.join("checked");
    fs::write(&copy, disk.contents()).unwrap();
    e2fsck.run(["-f".as_ref(), "-n".as_ref(), copy.as_os_str()]);
}

#[test]
fn an_image_is_copied_out_whole_and_sound() {
    let (Some(mkfs), Some(e2fsck), Some(nbdcopy)) =
        (judge("mkfs.ext4"), judge("e2fsck"), judge("nbdcopy"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fill(&files, 1);
    let image = image(&mkfs, folder.path(), &files);
    let disk = Arc::new(MemoryDisk::with_contents(image.clone(), 512));
    let endpoint = Endpoint::Unix(folder.path().join("disk"));
    let server = Server::start(Export::new(disk).unwrap(), &[endpoint]).unwrap();
    let copy = folder.path().join("copy");
    nbdcopy.run([server.uris()[0].as_str(), copy.to_str().unwrap()]);
    assert!(fs::read(&copy).unwrap() == image);
    e2fsck.run(["-f".as_ref(), "-n".as_ref(), copy.as_os_str()]);
    server.stop(Duration::from_secs(30));
}

#[test]
fn a_mounted_file_system_keeps_what_is_written() {
    let (Some(mkfs), Some(e2fsck)) = (judge("mkfs.ext4"), judge("e2fsck")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("files");
    fill(&files, 2);
    let image = image(&mkfs, folder.path(), &files);
    let disk = Arc::new(MemoryDisk::with_contents(image, 512));
    let endpoint = Endpoint::Unix(folder.path().join("disk"));
    let server = Server::start(Export::new(disk.clone()).unwrap(), &[endpoint]).unwrap();
    let uri = server.uris()[0].clone();

    let Some(mut attached) = attach(&uri) else {
        return;
    };
    let root = attached.mount();
    assert!(same_files(&files, &root));
    fill(&root.join("new"), 3);
    File::open(root.join("new")).unwrap().sync_all().unwrap();
    assert!(server.export().counters().read().flushes > 0);
    attached.detach();
    check(&e2fsck, &disk, folder.path());

    // Attached anew, so that nothing comes from a cache of this host.
    let mut attached = attach(&uri).expect("it could be attached before");
    let root = attached.mount();
    let expected = folder.path().join("expected");
    fill(&expected, 3);
    assert!(same_files(&expected, &root.join("new")));
    fs::remove_dir_all(root.join("new")).unwrap();
    assert!(same_files(&files, &root));
    attached.detach();
    check(&e2fsck, &disk, folder.path());
    let tally = server.export().counters().read();
    assert_eq!((tally.refused, tally.failed), (0, 0), "{tally:?}");
    server.stop(Duration::from_secs(30));
}
