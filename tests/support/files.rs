use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::data::{Random, pattern};
use crate::judge::Judge;

/// Fills a folder with files of all sizes, the same for the same seed.
///
/// # Panics
///
/// If they cannot be written.
pub fn fill(folder: &Path, seed: u64) {
    let mut random = Random::new(seed);
    for at in 0..40 {
        let part = folder.join(format!("folder {}", at % 5));
        fs::create_dir_all(&part).expect("a folder");
        let length = random.below(1 << (at / 2)) as usize;
        fs::write(part.join(format!("file {at}")), pattern(length, seed + at)).expect("a file");
    }
}

/// Makes an image with an ext4 file system that holds the files of `files`.
///
/// # Panics
///
/// If `mkfs.ext4` cannot.
pub fn ext4_image(mkfs: &Judge, image: &Path, size: u64, files: &Path) -> PathBuf {
    File::create(image)
        .and_then(|file| file.set_len(size))
        .expect("an image");
    mkfs.run([
        "-q".as_ref(),
        "-F".as_ref(),
        "-d".as_ref(),
        files.as_os_str(),
        image.as_os_str(),
    ]);
    image.to_owned()
}

/// Whether two folders hold the same files with the same contents; `lost+found` does not count.
///
/// # Panics
///
/// If they cannot be read.
#[must_use]
pub fn same_files(one: &Path, other: &Path) -> bool {
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "lost+found")
            .collect();
        names.sort();
        names
    };
    names(one) == names(other)
        && names(one).iter().all(|name| {
            let (one, other) = (one.join(name), other.join(name));
            if one.is_dir() {
                same_files(&one, &other)
            } else {
                fs::read(one).expect("a file") == fs::read(other).expect("a file")
            }
        })
}
