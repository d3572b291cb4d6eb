//! What udev is to know of block devices: a file for each, by the kernel's name of the device.
//!
//! A loop device has nothing in sysfs that tells which disk it is. So udev's rule reads a file
//! (`system/60-zz-fwshare-disks.rules`), which has to be there before the device is: LVM's rule runs
//! as soon as the kernel has told of the device.
//!
//! Each file is locked for as long as its process lives. What was left behind by one that was
//! killed is known by that.

mod text;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sbp2::scsi::DiskInfo;

pub(super) use self::text::Identity;
#[cfg(test)]
pub(super) use self::text::tests::info as blank_disk;

const BLOCK_DEVICES: &str = "/sys/block";

/// The folder for such files.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// The one in the folder of this user's logins.
    pub(super) fn of(run_folder: &Path) -> Self {
        Self(run_folder.join("devices"))
    }

    /// Makes it, unless it is there, and keeps others out for a moment.
    fn lock(&self) -> io::Result<Flock<File>> {
        match DirBuilder::new().mode(0o755).create(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        lock(File::open(&self.0)?, FlockArg::LockExclusive)
    }

    /// Removes what dead processes have left behind, except for devices that a process to come may
    /// take over.
    pub(super) fn tidy(&self) {
        let mut removed = Vec::new();
        if let Err(error) = self.remove_left_behind(&mut removed) {
            tracing::debug!(folder = %self.0.display(), %error, "cannot be tidied");
        }
        removed.iter().for_each(|name| tell_udev(name));
    }

    fn remove_left_behind(&self, removed: &mut Vec<String>) -> io::Result<()> {
        if !self.0.is_dir() {
            return Ok(());
        }
        let _alone = self.lock()?;
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_file() || (may_be_taken_over(&name) && is_attached(&name)) {
                continue;
            }
            if lock(File::open(entry.path())?, FlockArg::LockExclusiveNonblock).is_ok() {
                fs::remove_file(entry.path())?;
                removed.push(name);
            }
        }
        Ok(())
    }

    /// Writes the file of a device, as one.
    fn write(&self, name: &str, text: &str) -> io::Result<Flock<File>> {
        let _alone = self.lock()?;
        // A name that no device has.
        let new = self.0.join(format!("{name}.new"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&new)?;
        let mut file = lock(file, FlockArg::LockExclusiveNonblock)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, self.0.join(name))?;
        Ok(file)
    }

    /// Removes the file, unless it is somebody else's meanwhile.
    fn remove(&self, name: &str, file: &File) -> io::Result<()> {
        let _alone = self.lock()?;
        let path = self.0.join(name);
        let (own, found) = (file.metadata()?, fs::metadata(&path)?);
        if (own.dev(), own.ino()) == (found.dev(), found.ino()) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The files for the block devices of one disk. Each goes when its device has.
#[derive(Debug, Default)]
pub(super) struct DeviceProperties {
    /// Without one udev is told nothing.
    folder: Option<Folder>,
    text: String,
    files: Vec<(String, Flock<File>)>,
}

impl DeviceProperties {
    pub(super) fn new(folder: Option<Folder>, identity: &Identity, info: &DiskInfo) -> Self {
        Self {
            folder,
            text: text::properties(identity, info),
            files: Vec::new(),
        }
    }

    /// Of a device that is to be attached next.
    pub(super) fn announce(&mut self, name: &str) {
        let Some(folder) = &self.folder else {
            return;
        };
        match folder.write(name, &self.text) {
            Ok(file) => self.files.push((name.to_owned(), file)),
            Err(error) => tracing::warn!(
                "udev is not told which disk {name} is, and LVM or a desktop may use it: {}: {error}",
                folder.0.display()
            ),
        }
    }

    /// These are attached, whether they were announced or not, and no others.
    pub(super) fn settle(&mut self, attached: &[String]) {
        for (name, file) in std::mem::take(&mut self.files) {
            if attached.contains(&name) {
                self.files.push((name, file));
                continue;
            }
            match self
                .folder
                .iter()
                .try_for_each(|folder| folder.remove(&name, &file))
            {
                Ok(()) => tell_udev(&name),
                Err(error) => tracing::debug!(name, %error, "its properties are not removed"),
            }
        }
        for name in attached {
            let is_announced = self.files.iter().any(|(announced, _)| announced == name);
            if !is_announced && self.folder.is_some() {
                self.announce(name);
                tell_udev(name);
            }
        }
    }
}

impl Drop for DeviceProperties {
    /// What is still attached keeps its properties: the guards hold as long as it is there.
    fn drop(&mut self) {
        let names = self.files.iter().map(|(name, _)| name.clone());
        let attached: Vec<_> = names.filter(|name| is_attached(name)).collect();
        self.settle(&attached);
    }
}

fn lock(file: File, how: FlockArg) -> io::Result<Flock<File>> {
    Flock::lock(file, how).map_err(|(_, error)| error.into())
}

/// Whether the kernel keeps such a device for a while when its process is dead. A loop device
/// stays as well, and never works again.
fn may_be_taken_over(name: &str) -> bool {
    !name.starts_with("loop")
}

/// Whether there is a disk behind a device: without one it has no size.
fn is_attached(name: &str) -> bool {
    let size = fs::read_to_string(Path::new(BLOCK_DEVICES).join(name).join("size"));
    size.is_ok_and(|size| size.trim() != "0")
}

/// Has udev look at the device anew, if it is there.
fn tell_udev(name: &str) {
    let file = Path::new(BLOCK_DEVICES).join(name).join("uevent");
    match fs::write(file, "change") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!(name, %error, "udev is not told");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Folder) -> Vec<String> {
        let entries = fs::read_dir(&folder.0).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn of(folder: &Folder) -> DeviceProperties {
        DeviceProperties::new(
            Some(folder.clone()),
            &text::tests::identity(),
            &text::tests::info(),
        )
    }

    #[test]
    fn a_file_is_there_before_its_device_and_goes_with_it() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::of(base.path());
        let mut properties = of(&folder);
        // No machine has as many.
        properties.announce("loop99999999");
        let path = folder.0.join("loop99999999");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path) & !0o644, 0);
        assert_eq!(mode(&folder.0) & !0o755, 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), properties.text);
        assert_eq!(names(&folder), ["loop99999999"]);
        // Somebody else took it, and nobody announced what was attached instead.
        let attached = ["loop99999998".to_owned()];
        properties.settle(&attached);
        assert_eq!(names(&folder), attached);
        properties.settle(&attached);
        assert_eq!(properties.files.len(), 1);
        drop(properties);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn what_a_dead_process_has_left_goes_and_what_is_a_living_ones_stays() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::of(base.path());
        folder.tidy();
        assert!(!folder.0.exists());
        let mut living = of(&folder);
        living.announce("loop99999998");
        for name in ["loop99999999", "nbd99999999", "loop99999997.new"] {
            fs::write(folder.0.join(name), "x").unwrap();
        }
        fs::create_dir(folder.0.join("folder")).unwrap();
        folder.tidy();
        assert_eq!(names(&folder), ["folder", "loop99999998"]);

        // Another process has taken the device over.
        let mut later = of(&folder);
        later.announce("loop99999998");
        drop(living);
        assert_eq!(names(&folder), ["folder", "loop99999998"]);
        drop(later);
        assert_eq!(names(&folder), ["folder"]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let folder = Folder::of(&base.path().join("missing"));
        let mut properties = of(&folder);
        properties.announce("loop99999999");
        assert!(properties.files.is_empty());
    }
}
