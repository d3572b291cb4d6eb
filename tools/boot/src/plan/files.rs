//! Our files.

use std::path::{Path, PathBuf};

use crate::guard;
use crate::kmod::Dialect;
use crate::modinfo;
use crate::root::Root;
use crate::tool::{HEAD, Tool};
use crate::tree::{Kind, Tree, TreeError};

/// Where the option goes. The name has no rank: what comes later and says otherwise is reported.
const OPTIONS: &str = "/etc/modprobe.d/fwshare.conf";

/// The one file that module-init-tools reads, if it is there.
const OLD_OPTIONS: &str = "/etc/modprobe.conf";

/// Which stacks the kernels of a system have, and what their drivers take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Stacks {
    /// `firewire-sbp2` with `exclusive_login`.
    pub(super) juju: bool,
    /// `sbp2` with `exclusive_login`.
    pub(super) ieee1394: bool,
    /// `sbp2` with `serialize_io`.
    pub(super) serialize_io: bool,
}

impl Stacks {
    /// The modules for an image.
    pub(super) fn modules(self) -> Vec<&'static str> {
        let mut modules = Vec::new();
        if self.juju {
            modules.extend(["firewire-ohci", "firewire-sbp2"]);
        }
        if self.ieee1394 {
            modules.extend(["ohci1394", "sbp2"]);
        }
        modules.push("sd_mod");
        modules
    }

    /// What is in [`OPTIONS`].
    pub(super) fn options(self, exclusive: bool) -> String {
        let value = u8::from(exclusive);
        let mut text = HEAD.to_owned();
        if self.juju {
            text.push_str(&format!("options firewire-sbp2 exclusive_login={value}\n"));
        }
        if self.ieee1394 {
            // The old driver can have several commands under way, which two hosts must not.
            let serialize = match !exclusive && self.serialize_io {
                true => " serialize_io=1",
                false => "",
            };
            text.push_str(&format!(
                "options sbp2 exclusive_login={value}{serialize}\n"
            ));
        }
        text
    }
}

/// Whether what is in a file was written here: it begins with our head, after a line for the
/// kernel if it is a program.
pub(super) fn is_ours(content: &[u8]) -> bool {
    let rest = match content.strip_prefix(b"#!/bin/sh\n") {
        Some(rest) => rest,
        None => content,
    };
    let head = HEAD.lines().next().unwrap_or_default();
    rest.starts_with(head.as_bytes())
}

/// Where the option is written.
pub(super) enum Place {
    /// In a file of ours.
    Own(PathBuf),
    /// In somebody's file, because no other is read.
    Block(PathBuf),
}

/// Who reads the options: kmod, or module-init-tools of the time of the old stack.
pub(super) fn dialect(tree: &dyn Tree, stacks: Stacks) -> Dialect {
    let has_kmod = ["/bin/kmod", "/usr/bin/kmod", "/sbin/kmod"]
        .iter()
        .any(|path| matches!(tree.kind(Path::new(path)), Ok(Some(_))));
    let is_old = stacks.ieee1394 && !stacks.juju && !has_kmod;
    match is_old {
        true => Dialect::ModuleInitTools,
        false => Dialect::Kmod,
    }
}

/// Where the option is written for whom reads it.
pub(super) fn place(tree: &dyn Tree, dialect: Dialect) -> Result<Place, TreeError> {
    let old = Path::new(OLD_OPTIONS);
    Ok(
        match dialect == Dialect::ModuleInitTools && tree.is_file(old)? {
            true => Place::Block(old.to_owned()),
            false => Place::Own(OPTIONS.into()),
        },
    )
}

/// Every file that may be ours on any system.
pub(super) fn all() -> Vec<PathBuf> {
    let drop_ins = Tool::ALL
        .into_iter()
        .filter_map(|tool| tool.drop_in(&[], &[]));
    let own = std::iter::once(PathBuf::from(OPTIONS));
    own.chain(drop_ins.map(|drop_in| drop_in.path))
        .chain(guard::files().into_iter().map(Path::to_owned))
        .collect()
}

/// What is at a path before it is changed. What is no file is left for the change to refuse.
pub(super) fn seen(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, TreeError> {
    match root.kind(path)? {
        Some(Kind::File) => root.read(path),
        _ => Ok(None),
    }
}

/// The names of a module's parameters. Inside: why they cannot be known.
pub(super) fn parameters(
    root: &Root,
    file: &Path,
) -> Result<Result<Vec<String>, String>, TreeError> {
    let Some(bytes) = root.read(file)? else {
        return Ok(Err("the file is not there".into()));
    };
    Ok(match modinfo::read(file, &bytes) {
        Ok(info) => Ok(info
            .parameters
            .into_iter()
            .map(|parameter| parameter.name)
            .collect()),
        Err(error) => Err(error.to_string()),
    })
}
