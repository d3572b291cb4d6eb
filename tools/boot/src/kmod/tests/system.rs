//! A small system in a temporary folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::Root;
use crate::kmod::{Config, Dialect};

pub(super) struct System {
    folder: tempfile::TempDir,
}

impl System {
    pub(super) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let system = Self { folder };
        for (path, bytes) in files {
            system.write(path, bytes);
        }
        system
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn at(&self, path: &str) -> PathBuf {
        let path = self.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        fs::write(self.at(path), bytes).unwrap();
    }

    pub(super) fn link(&self, path: &str, target: &str) {
        symlink(target, self.at(path)).unwrap();
    }

    pub(super) fn root(&self) -> Root {
        Root::open(self.path()).unwrap()
    }

    pub(super) fn config(&self) -> Config {
        Config::read(&self.root(), Dialect::Kmod)
    }

    pub(super) fn old_config(&self) -> Config {
        Config::read(&self.root(), Dialect::ModuleInitTools)
    }
}

/// What is odd, without the folder.
pub(super) fn notices(config: &Config) -> Vec<String> {
    config.notices().iter().map(ToString::to_string).collect()
}
