use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use nix::errno::Errno;

use super::*;
use crate::memory::MemoryDisk;

/// `None`: there is no FUSE here, and the user has been told.
fn export(disk: &Arc<MemoryDisk>) -> Option<(tempfile::TempDir, FileExport)> {
    if !Path::new("/dev/fuse").exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "this test needs /dev/fuse"
        );
        // Past the harness's capture.
        let told = io::stderr().write_all(b"skipped: needs /dev/fuse\n");
        told.unwrap();
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::clone(disk);
    let export = FileExport::start(disk, &folder.path().join("disk")).unwrap();
    Some((folder, export))
}

fn open(export: &FileExport) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).open(export.path()).unwrap()
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap())
}

#[test]
fn what_is_at_the_path_is_not_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    fs::write(&path, "data").unwrap();
    let start = |path: &Path| FileExport::start(Arc::new(MemoryDisk::new(4096, 512)), path);
    assert!(matches!(start(&path), Err(FileError::InUse(_))));
    assert_eq!(fs::read(&path).unwrap(), b"data");
    assert!(matches!(start(folder.path()), Err(FileError::InUse(_))));
    let missing = folder.path().join("missing/disk");
    assert!(matches!(
        start(&missing),
        Err(FileError::Os { what: "make", .. })
    ));
}

#[test]
fn whole_blocks_go_to_the_disk_and_parts_of_blocks_are_refused() {
    let disk = Arc::new(MemoryDisk::new(1 << 20, 512));
    let Some((_folder, export)) = export(&disk) else {
        return;
    };
    let metadata = fs::metadata(export.path()).unwrap();
    assert_eq!(
        (metadata.len(), metadata.permissions().mode() & 0o777),
        (1 << 20, 0o600)
    );
    let file = open(&export);
    file.write_all_at(&[7; 1024], 512).unwrap();
    assert_eq!(
        disk.contents()[..2048],
        [[0; 512], [7; 512], [7; 512], [0; 512]].concat()
    );
    for (offset, length) in [(1, 512), (512, 100), (0, 1), ((1 << 20) - 512, 100)] {
        let refused = file.write_at(&vec![9; length], offset).unwrap_err();
        assert_eq!(errno(&refused), Errno::EINVAL, "{length} at {offset}");
    }
    let refused = file.write_at(&[9; 512], 1 << 20).unwrap_err();
    assert_eq!(errno(&refused), Errno::ENOSPC);
    assert!(!disk.contents().contains(&9));
    // Reads may be anything, and end where the disk does.
    let mut bytes = [0; 600];
    file.read_exact_at(&mut bytes, 500).unwrap();
    assert_eq!((bytes[11], bytes[12]), (0, 7));
    assert_eq!(file.read_at(&mut bytes, (1 << 20) - 10).unwrap(), 10);
    assert_eq!(file.read_at(&mut bytes, 1 << 20).unwrap(), 0);
}

#[test]
fn it_keeps_its_size_and_is_found_by_seeking() {
    let disk = Arc::new(MemoryDisk::with_contents(vec![5; 8192], 512));
    let Some((_folder, export)) = export(&disk) else {
        return;
    };
    let mut file = open(&export);
    file.set_len(0).unwrap();
    assert_eq!(file.seek(SeekFrom::End(0)).unwrap(), 8192);
    file.rewind().unwrap();
    let mut all = Vec::new();
    file.read_to_end(&mut all).unwrap();
    assert_eq!(all, [5; 8192]);
    file.sync_all().unwrap();
}

#[test]
fn a_read_only_disk_cannot_be_opened_for_writing() {
    let disk = MemoryDisk::new(4096, 512);
    let geometry = crate::disk::Geometry {
        read_only: true,
        ..disk.geometry()
    };
    let disk = Arc::new(disk.with_geometry(geometry));
    let Some((_folder, export)) = export(&disk) else {
        return;
    };
    let refused = OpenOptions::new()
        .write(true)
        .open(export.path())
        .unwrap_err();
    assert_eq!(errno(&refused), Errno::EROFS);
    assert!(File::open(export.path()).is_ok());
}

#[test]
fn the_file_is_gone_at_the_end_also_while_it_is_open() {
    let disk = Arc::new(MemoryDisk::new(4096, 512));
    let Some((_folder, export)) = export(&disk) else {
        return;
    };
    let path = export.path().to_owned();
    let _file = open(&export);
    assert_eq!(Box::new(export).stop(Duration::from_secs(5)), 0);
    assert!(!path.exists());
}

#[test]
fn it_is_known_how_often_the_file_is_open() {
    let disk = Arc::new(MemoryDisk::new(4096, 512));
    let Some((_folder, export)) = export(&disk) else {
        return;
    };
    assert_eq!(export.clients(), Some(0));
    let files = [open(&export), open(&export)];
    assert_eq!(export.clients(), Some(2));
    drop(files);
    // The kernel tells of it when it has the time.
    while export.clients() != Some(0) {
        std::thread::yield_now();
    }
}
