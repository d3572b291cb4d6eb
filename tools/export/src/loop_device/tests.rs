use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::block_device::HostExport as _;
use crate::disk::{Completion, Disk, Request};
use crate::file::FileExport;
use crate::memory::MemoryDisk;

/// A disk that counts, and knows of nothing but whole blocks.
struct Counted {
    disk: MemoryDisk,
    flushes: AtomicUsize,
    writes: Mutex<Vec<(u64, usize)>>,
}

impl Disk for Counted {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request, done: Completion) {
        match &request {
            Request::Flush => drop(self.flushes.fetch_add(1, Ordering::SeqCst)),
            Request::Write { offset, data, .. } => {
                self.writes.lock().unwrap().push((*offset, data.len()));
            }
            Request::Read { .. } | Request::WriteZeroes { .. } => {}
        }
        self.disk.submit(request, done);
    }
}

/// `None`: there are no loop devices here, and the user has been told.
fn attached(read_only: bool) -> Option<(tempfile::TempDir, Arc<Counted>, FileExport)> {
    let needed = ["/dev/fuse", CONTROL];
    if !nix::unistd::geteuid().is_root() || !needed.iter().all(|file| Path::new(file).exists()) {
        assert!(
            std::env::var_os("CI").is_none(),
            "this test needs root, FUSE and loop devices"
        );
        // Past the harness's capture.
        let told = io::stderr().write_all(b"skipped: needs root, FUSE and loop devices\n");
        told.unwrap();
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::new(1 << 20, 4096);
    let geometry = Geometry {
        read_only,
        ..disk.geometry()
    };
    let disk = Arc::new(Counted {
        disk: disk.with_geometry(geometry),
        flushes: AtomicUsize::new(0),
        writes: Mutex::default(),
    });
    let mut export = FileExport::start(disk.clone(), &folder.path().join("disk")).unwrap();
    let mut announced = Vec::new();
    let shown = export.path().display().to_string();
    let announce = &mut |name: &str| {
        let backing = sysfs(Path::new(name), "loop/backing_file");
        assert_ne!(backing.as_ref(), Some(&shown), "it is attached already");
        announced.push(name.to_owned());
    };
    export.attach_loop_device(announce).unwrap();
    let path = device(&export);
    let name = path.file_name().and_then(|name| name.to_str());
    assert_eq!(announced.last().map(String::as_str), name);
    Some((folder, disk, export))
}

fn device(export: &FileExport) -> PathBuf {
    export.device().unwrap().path()
}

fn sysfs(device: &Path, file: &str) -> Option<String> {
    let name = device.file_name()?.to_str()?;
    let text = fs::read_to_string(format!("/sys/block/{name}/{file}"));
    text.ok().map(|text| text.trim().to_owned())
}

#[test]
fn what_is_written_arrives_in_whole_blocks_and_fsync_is_a_flush() {
    let Some((_folder, disk, export)) = attached(false) else {
        return;
    };
    let path = device(&export);
    let shown = |file: &str| sysfs(&path, file).unwrap();
    assert_eq!(shown("queue/logical_block_size"), "4096");
    assert_eq!(shown("loop/dio"), "1");
    assert_eq!(shown("size"), ((1 << 20) / 512).to_string());
    assert_eq!(
        shown("loop/backing_file"),
        export.path().display().to_string()
    );
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[7; 100], 8200).unwrap();
    file.sync_all().unwrap();
    let flushes = disk.flushes.load(Ordering::SeqCst);
    assert!(flushes > 0);
    file.sync_all().unwrap();
    assert!(disk.flushes.load(Ordering::SeqCst) > flushes);
    drop(file);
    assert_eq!(*disk.writes.lock().unwrap(), [(8192, 4096)]);
    let contents = disk.disk.contents();
    assert_eq!(
        contents[8192..8300],
        [[0; 8].as_slice(), &[7; 100]].concat()
    );

    // Past the caches of this host.
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(libc::O_DIRECT);
    let direct = options.open(&path).unwrap();
    let mut pages = vec![9_u8; 3 * 4096];
    let start = pages.as_ptr().align_offset(4096);
    let page = &mut pages[start..start + 4096];
    direct.write_all_at(page, 0).unwrap();
    assert_eq!(disk.disk.contents()[..4096], *page);
    assert!(direct.write_at(&page[..512], 4096).is_err());
}

#[test]
fn a_read_only_disk_is_a_read_only_device() {
    let Some((_folder, disk, export)) = attached(true) else {
        return;
    };
    let path = device(&export);
    assert_eq!(sysfs(&path, "ro").unwrap(), "1");
    assert!(File::open(&path).is_ok());
    // Some kernels let it be opened for writing, none lets it be written.
    if let Ok(device) = OpenOptions::new().write(true).open(&path) {
        assert!(device.write_at(&[1; 4096], 0).is_err());
    }
    drop(export);
    assert!(disk.writes.lock().unwrap().is_empty());
}

#[test]
fn it_is_detached_at_the_end_and_nothing_is_lost() {
    let Some((_folder, disk, export)) = attached(false) else {
        return;
    };
    let path = device(&export);
    // What the kernel has not written yet.
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(&[5; 10_000], 0)
        .unwrap();
    assert_eq!(export.device().unwrap().detach().unwrap(), None);
    assert!(!export.device().unwrap().is_attached());
    assert_eq!(sysfs(&path, "loop/backing_file"), None);
    assert_eq!(disk.disk.contents()[..10_000], [5; 10_000]);
    assert_eq!(Box::new(export).stop(Duration::from_secs(5)), 0);
}

#[test]
fn a_device_in_use_is_detached_when_its_user_closes_it() {
    let Some((_folder, disk, export)) = attached(false) else {
        return;
    };
    let path = device(&export);
    let user = OpenOptions::new().write(true).open(&path).unwrap();
    let told = export.device().unwrap().detach().unwrap();
    assert_eq!(told, Some(Users::default()));
    user.write_all_at(&[3; 4096], 0).unwrap();
    assert!(export.device().unwrap().is_attached());
    drop(user);
    assert!(!export.device().unwrap().is_attached());
    assert_eq!(disk.disk.contents()[..4096], [3; 4096]);
}
