//! A kernel's modules: which ones a module needs, and their unpacked contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::error::VmError;
use super::kernel::Kernel;

/// What `depmod` found out about a kernel's modules.
pub(super) struct Modules<'a> {
    kernel: &'a Kernel,
    /// By the module's name: its file, and the files that it needs.
    files: BTreeMap<String, (String, Vec<String>)>,
    /// `modules.builtin`, as it is.
    builtin_files: String,
    builtin: BTreeSet<String>,
    aliases: Vec<(String, String)>,
    /// `softdep` lines: a module, and the modules that are to be there before it.
    wanted_first: Vec<(String, Vec<String>)>,
}

/// A module as the guest has it.
pub(super) struct Module {
    /// Relative to the folder of the modules, without the compression's suffix.
    pub(super) path: String,
    /// The object file.
    pub(super) object: Vec<u8>,
}

impl<'a> Modules<'a> {
    pub(super) fn of(kernel: &'a Kernel) -> Result<Self, VmError> {
        let read = |name: &str| {
            let path = kernel.modules.join(name);
            fs::read_to_string(&path).map_err(VmError::os(path.display().to_string()))
        };
        let mut files = BTreeMap::new();
        for line in read("modules.dep")?.lines() {
            let Some((file, needs)) = line.split_once(':') else {
                continue;
            };
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            files.insert(name_of(file), (file.to_owned(), needs));
        }
        let builtin = read("modules.builtin").unwrap_or_default();
        let aliases = read("modules.alias").unwrap_or_default();
        let aliases = aliases.lines().filter_map(|line| {
            let mut words = line.strip_prefix("alias ")?.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        });
        let softdep = read("modules.softdep").unwrap_or_default();
        let wanted_first = softdep.lines().filter_map(|line| {
            let mut words = line.strip_prefix("softdep ")?.split_whitespace();
            let module = words.next()?.to_owned();
            let words = words.skip_while(|word| *word != "pre:").skip(1);
            let first = words.take_while(|word| *word != "post:");
            Some((module, first.map(str::to_owned).collect()))
        });
        Ok(Self {
            kernel,
            files,
            builtin: builtin.lines().map(name_of).collect(),
            builtin_files: builtin,
            aliases: aliases.collect(),
            wanted_first: wanted_first.collect(),
        })
    }

    /// The modules with these names, and all that they need. What is built into the kernel is
    /// left out.
    pub(super) fn closure(&self, names: &[&str]) -> Result<BTreeSet<&str>, VmError> {
        let mut found = BTreeSet::new();
        for name in names {
            if !self.add(&with_underscores(name), &mut found) {
                return Err(VmError::NoModule {
                    module: (*name).to_owned(),
                    release: self.kernel.release.clone(),
                });
            }
        }
        Ok(found)
    }

    /// Whether the kernel knows it.
    fn add<'b>(&'b self, name: &str, found: &mut BTreeSet<&'b str>) -> bool {
        let Some((name, (_, needs))) = self.files.get_key_value(name) else {
            return self.builtin.contains(name);
        };
        if !found.insert(name) {
            return true;
        }
        for file in needs {
            self.add(&name_of(file), found);
        }
        for (_, first) in self.wanted_first.iter().filter(|(of, _)| of == name) {
            for wanted in first {
                // It may be an alias, of nothing that this kernel has, even.
                self.add(&with_underscores(wanted), found);
                for (_, module) in self.aliases.iter().filter(|(alias, _)| alias == wanted) {
                    self.add(module, found);
                }
            }
        }
        true
    }

    /// The files that `modprobe` reads, with these modules alone.
    pub(super) fn index(&self, names: &BTreeSet<&str>) -> [(&'static str, String); 4] {
        let mut dependencies = String::new();
        for (file, needs) in names.iter().filter_map(|name| self.files.get(*name)) {
            let needs: Vec<_> = needs.iter().map(|file| unpacked(file)).collect();
            dependencies.push_str(&format!("{}: {}\n", unpacked(file), needs.join(" ")));
        }
        let aliases = self.aliases.iter();
        let aliases = aliases.filter(|(_, module)| names.contains(module.as_str()));
        let aliases = aliases.map(|(alias, module)| format!("alias {alias} {module}\n"));
        let first = self.wanted_first.iter();
        let first = first.filter(|(module, _)| names.contains(module.as_str()));
        let first = first.map(|(module, first)| format!("softdep {module} pre: {}\n", first.join(" ")));
        [
            ("modules.dep", dependencies),
            ("modules.builtin", self.builtin_files.clone()),
            ("modules.alias", aliases.collect()),
            ("modules.softdep", first.collect()),
        ]
    }

    /// Reads and unpacks these modules.
    pub(super) fn read(&self, names: &BTreeSet<&str>) -> Result<Vec<Module>, VmError> {
        let files = names.iter().filter_map(|name| self.files.get(*name));
        files
            .map(|(file, _)| {
                Ok(Module {
                    path: unpacked(file).to_owned(),
                    object: read(&self.kernel.modules.join(file))?,
                })
            })
            .collect()
    }
}

fn read(file: &Path) -> Result<Vec<u8>, VmError> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(file).map_err(VmError::os(file.display().to_string())),
    };
    let mut command = Command::new(program);
    command.arg("-dc").arg(file).stdin(Stdio::null());
    let output = command.output().map_err(VmError::os(program))?;
    if !output.status.success() {
        return Err(VmError::Tool {
            program: format!("{program} -dc {}", file.display()),
            status: output.status,
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(output.stdout)
}

/// A module's name by its file, as the kernel has it.
fn name_of(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    with_underscores(name.split_once(".ko").map_or(name, |(name, _)| name))
}

fn with_underscores(name: &str) -> String {
    name.replace('-', "_")
}

fn unpacked(file: &str) -> &str {
    match file.rsplit_once('.') {
        Some((plain, "xz" | "zst" | "gz")) => plain,
        _ => file,
    }
}
