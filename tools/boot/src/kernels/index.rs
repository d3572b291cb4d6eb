//! modules.dep and modules.builtin.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::Driver;

/// What a kernel has, by names with `_`.
#[derive(Clone, Debug)]
pub(super) struct Index {
    modules: HashMap<Vec<u8>, (PathBuf, Vec<PathBuf>)>,
    built_in: HashSet<Vec<u8>>,
}

impl Index {
    pub(super) fn new(folder: &Path, dependencies: &[u8], built_in: &[u8]) -> Self {
        // Paths are relative to the folder since module-init-tools 3.5, absolute before.
        let path = |bytes: &[u8]| folder.join(OsStr::from_bytes(bytes));
        let mut modules = HashMap::new();
        for line in dependencies.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            let (module, rest) = line.split_at(colon);
            let Some(name) = name(module) else {
                continue;
            };
            let needed = rest.get(1..).unwrap_or_default();
            let needed = needed
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            // Of two lines kmod's index has the first.
            modules
                .entry(name)
                .or_insert_with(|| (path(module), needed.map(path).collect()));
        }
        let built_in = built_in.split(|byte| *byte == b'\n').filter_map(name);
        Self {
            modules,
            built_in: built_in.collect(),
        }
    }

    pub(super) fn driver(&self, module: &str) -> Driver {
        let module = normal(module.as_bytes());
        if let Some((path, dependencies)) = self.modules.get(&module) {
            return Driver::Module {
                path: path.clone(),
                dependencies: dependencies.clone(),
            };
        }
        match self.built_in.contains(&module) {
            true => Driver::BuiltIn,
            false => Driver::Missing,
        }
    }
}

/// The name of the module in a file: what is before the first dot, be it `.ko`, `.ko.xz`,
/// `.ko.zst` or `.ko.gz`. `None` for what is no module.
fn name(path: &[u8]) -> Option<Vec<u8>> {
    let file = path.rsplit(|byte| *byte == b'/').next()?.trim_ascii_end();
    let dot = file.iter().position(|byte| *byte == b'.')?;
    let (name, end) = file.split_at(dot);
    let is_module = end == b".ko" || end.starts_with(b".ko.");
    (is_module && !name.is_empty()).then(|| normal(name))
}

/// The name of the module in a file, with `_`. `None` if there is none in it.
pub(crate) fn module_name(file: &Path) -> Option<String> {
    String::from_utf8(name(file.as_os_str().as_bytes())?).ok()
}

fn normal(name: &[u8]) -> Vec<u8> {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
    name.iter().map(fold).collect()
}
