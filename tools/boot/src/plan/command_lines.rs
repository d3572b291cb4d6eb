//! What the kernel's command line says to the driver, wherever a boot loader has it from.

use std::path::PathBuf;

use super::chosen::Chosen;
use super::conflict::{self, Conflict};
use super::{Request, Wanted};
use crate::boot_loader::{self, Edit, Layout, Reader};
use crate::kmod::{Bool, Config};
use crate::notice::Notice;
use crate::root::Root;
use crate::tool::Remark;

/// The command lines of a system, and how its kernels come to where they boot from.
pub(super) struct CommandLines {
    lines: boot_loader::CommandLines,
    edit: Edit,
    pub(super) layout: Layout,
}

impl CommandLines {
    pub(super) fn read(root: &Root) -> Self {
        let lines = boot_loader::find(root, root.is_live());
        Self {
            edit: Edit::find(root, &lines),
            layout: Layout::find(root),
            lines,
        }
    }

    pub(super) fn notices(&self) -> &[Notice] {
        &self.lines.notices
    }

    /// Those for a kernel.
    fn of<'a>(&'a self, chosen: &'a Chosen) -> impl Iterator<Item = &'a boot_loader::Found> {
        self.lines.found.iter().filter(|found| {
            let kernel = found.kernel.as_ref();
            kernel.is_none_or(|kernel| kernel == chosen.kernel.version())
        })
    }

    /// Those that will count at the next boot. What runs was given its command line by one of the
    /// others, if any is known.
    fn to_come<'a>(&'a self, chosen: &'a Chosen) -> impl Iterator<Item = &'a boot_loader::Found> {
        let is_known = self.of(chosen).any(|found| found.reader != Reader::Running);
        self.of(chosen)
            .filter(move |found| !is_known || found.reader != Reader::Running)
    }

    /// What on them is in the way of a kernel's driver, given what the files will say.
    pub(super) fn conflicts(
        &self,
        chosen: &Chosen,
        config: &Config,
        wanted: Option<bool>,
    ) -> Vec<Conflict> {
        self.to_come(chosen)
            .filter_map(|found| {
                conflict::find(config, Some(&found.parse()), &chosen.modules, wanted)
            })
            .collect()
    }

    /// What is left to do on them. `config` is what the files will say.
    pub(super) fn remarks(
        &self,
        chosen: &Chosen,
        config: &Config,
        request: &Request,
    ) -> Vec<Remark> {
        let (Some(driver), Some(exclusive)) = (chosen.driver, request.wanted.exclusive()) else {
            return self.left_behind(chosen, request);
        };
        let words = format!("{driver}.exclusive_login={}", u8::from(exclusive));
        let to_do = |text: String| Remark {
            file: chosen.kernel.folder().to_owned(),
            line: None,
            text,
            is_to_do: true,
        };
        if chosen.is_built_in {
            let value = if exclusive { Bool::On } else { Bool::Off };
            let is_said = self.to_come(chosen).any(|found| {
                let set = found.parse().sets(driver, "exclusive_login");
                set.is_some_and(|(set, _)| set == value)
            });
            if is_said {
                return Vec::new();
            }
            return vec![to_do(format!(
                "{driver} is a part of this kernel, and only the kernel's command line reaches \
                 it:\n{}",
                self.edit.advice(&words)
            ))];
        }
        let conflicts = self.conflicts(chosen, config, Some(exclusive)).into_iter();
        let conflicts = conflicts.filter(|_| request.force);
        conflicts
            .map(|conflict| Remark {
                file: conflict.place.file.clone(),
                line: conflict.place.line.try_into().ok(),
                text: format!(
                    "still says otherwise to {}, and beats every file; take it out there",
                    conflict.module
                ),
                is_to_do: true,
            })
            .collect()
    }

    /// What was given to a driver that is built in, by a user, and is now to be taken away.
    fn left_behind(&self, chosen: &Chosen, request: &Request) -> Vec<Remark> {
        let is_over = request.wanted == Wanted::AsBefore && chosen.is_built_in;
        let Some(driver) = chosen.driver.filter(|_| is_over) else {
            return Vec::new();
        };
        let lines = self
            .to_come(chosen)
            .filter(|found| found.parse().sets(driver, "exclusive_login").is_some());
        lines
            .map(|found| Remark {
                file: PathBuf::from(&found.place.file),
                line: found.place.line.try_into().ok(),
                text: format!("{driver}.exclusive_login= is here still"),
                is_to_do: true,
            })
            .collect()
    }
}
