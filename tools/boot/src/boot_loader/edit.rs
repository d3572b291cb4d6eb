//! Where a parameter for the kernel is to be written.

use std::fmt;
use std::path::Path;

use super::{CommandLines, Reader};
use crate::tree::Tree;

/// What is to be edited so that every kernel gets a parameter at its next boot, and what is to be
/// run then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Fedora and its kin: `grubby` edits all entries, and the template of those to come.
    Grubby,
    /// GRUB by `/etc/default/grub`.
    GrubMkconfig {
        /// What makes grub.cfg anew.
        then: &'static str,
    },
    /// `/etc/kernel/cmdline`, of which kernel-install makes entries and unified images.
    KernelInstall,
    /// Entries that somebody wrote.
    Entries,
    /// `/etc/lilo.conf`.
    Lilo,
    /// extlinux or syslinux.
    Syslinux,
    /// The Raspberry Pi's `cmdline.txt`.
    RaspberryPi,
    /// Nothing that is known here.
    Unknown,
}

impl Edit {
    /// What rules a system, by what is there.
    #[must_use]
    pub fn find(tree: &dyn Tree, lines: &CommandLines) -> Self {
        let has_program = |name: &str| {
            ["/usr/sbin", "/usr/bin", "/sbin"].iter().any(|folder| {
                let path = Path::new(folder).join(name);
                matches!(tree.is_file(&path), Ok(true))
            })
        };
        let is_read_by = |reader| lines.found.iter().any(|found| found.reader == reader);
        let has_grub = matches!(tree.is_file(Path::new("/etc/default/grub")), Ok(true));
        if has_grub && has_program("grubby") {
            return Self::Grubby;
        }
        let makers = [
            ("update-grub", "update-grub"),
            ("grub2-mkconfig", "grub2-mkconfig -o /boot/grub2/grub.cfg"),
            ("grub-mkconfig", "grub-mkconfig -o /boot/grub/grub.cfg"),
        ];
        let maker = makers.into_iter().find(|(program, _)| has_program(program));
        if let Some((_, then)) = maker.filter(|_| has_grub) {
            return Self::GrubMkconfig { then };
        }
        let by_reader = [
            (Reader::KernelInstall, Self::KernelInstall),
            (Reader::Entry, Self::Entries),
            (Reader::Syslinux, Self::Syslinux),
            (Reader::Lilo, Self::Lilo),
            (Reader::RaspberryPi, Self::RaspberryPi),
        ];
        let found = by_reader
            .into_iter()
            .find(|(reader, _)| is_read_by(*reader));
        found.map_or(Self::Unknown, |(_, edit)| edit)
    }

    /// What a user is to do, for these words on the command line. Several lines.
    #[must_use]
    pub fn advice(self, words: &str) -> impl fmt::Display {
        match self {
            Self::Grubby => format!("run:  grubby --update-kernel=ALL --args=\"{words}\""),
            Self::GrubMkconfig { then } => format!(
                "in /etc/default/grub, add to GRUB_CMDLINE_LINUX:  {words}\nthen run:  {then}"
            ),
            Self::KernelInstall => format!(
                "add to /etc/kernel/cmdline:  {words}\n\
                 then, for each kernel, run:  kernel-install add VERSION KERNEL"
            ),
            Self::Entries => {
                format!("add to the options line of each file in loader/entries:  {words}")
            }
            Self::Lilo => {
                format!("in /etc/lilo.conf, add to append=:  {words}\nthen run:  lilo")
            }
            Self::Syslinux => format!("add to the APPEND line of each LABEL:  {words}"),
            Self::RaspberryPi => format!("add to the one line of cmdline.txt:  {words}"),
            Self::Unknown => format!("give the kernel on its command line:  {words}"),
        }
    }
}
