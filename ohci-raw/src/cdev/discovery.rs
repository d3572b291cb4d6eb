//! Which nodes there are.
//!
//! Every node has a file `fw0`, `fw1`… in one folder, numbered in the order of appearance: the
//! numbers say nothing about who is who or what belongs together. Only a file that was opened
//! tells which card its node is on and whether the node is the controller itself, so discovery
//! opens them all and keeps them open.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::device::{Device, NodeInfo};
use super::error::DeviceError;

/// An opened node file, and what GET_INFO said when it was opened.
#[derive(Debug)]
pub struct FoundNode<F = Device> {
    /// The file.
    pub file: F,
    /// The answer.
    pub info: NodeInfo,
}

/// A controller and the nodes on its bus.
#[derive(Debug)]
pub struct Card<F = Device> {
    /// The kernel's number of the card.
    pub index: u32,
    /// The folder of the node files.
    pub folder: PathBuf,
    /// The controller's own node; absent where its file could not be opened.
    pub local: Option<FoundNode<F>>,
    /// The others, by the number of their file.
    pub remotes: Vec<FoundNode<F>>,
}

impl<F> Card<F> {
    fn add(&mut self, node: FoundNode<F>) {
        let is_remote = match &self.local {
            _ if !node.info.is_local() => true,
            Some(rival) => is_later(rival, &node),
            None => false,
        };
        let remote = if is_remote {
            Some(node)
        } else {
            self.local.replace(node)
        };
        self.remotes.extend(remote);
    }
}

/// Whether `a` was seen in a later generation than `b`. Generations have 8 bits and wrap.
fn is_later<F>(a: &FoundNode<F>, b: &FoundNode<F>) -> bool {
    let low = |node: &FoundNode<F>| node.info.state.generation.0.to_le_bytes()[0];
    (1..0x80).contains(&low(a).wrapping_sub(low(b)))
}

/// What is in a folder.
#[derive(Debug)]
pub struct Discovery<F = Device> {
    /// The cards, by number.
    pub cards: Vec<Card<F>>,
    /// The files that could not be used.
    pub failures: Vec<DeviceError>,
}

impl<F> Discovery<F> {
    /// The files that this user may not open.
    pub fn denied(&self) -> impl Iterator<Item = &Path> {
        denied(&self.failures)
    }
}

/// Why there is no bus in a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The folder cannot be listed.
    #[error("the folder {} cannot be listed: {source}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What came back; `NotFound` where there is none.
        source: io::Error,
    },
    /// No node has a file: no controller, or firewire-ohci is not loaded.
    #[error("no FireWire node has a file (fw0, fw1…) in {}", folder.display())]
    NoNodes {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// There are nodes, and this user may open none of them.
    #[error(
        "this user may open none of the FireWire nodes in {} ({})",
        folder.display(), failures.len()
    )]
    AllDenied {
        /// Where they are.
        folder: PathBuf,
        /// What came back for each.
        failures: Vec<DeviceError>,
    },
    /// There are files by the names of nodes, and none of them can be used.
    #[error(
        "none of the {} FireWire nodes in {} can be used{}",
        failures.len(), folder.display(),
        failures.first().map(|first| format!(": {first}")).unwrap_or_default()
    )]
    NoneUsable {
        /// Where they are.
        folder: PathBuf,
        /// What came back for each.
        failures: Vec<DeviceError>,
    },
}

/// Opens every node of a folder, `/dev` on a real host.
///
/// A file that cannot be opened does not keep the others from being used: it is reported in
/// [`Discovery::failures`]. One that vanishes at this moment is not reported at all.
///
/// # Errors
/// [`DiscoveryError`] if no node could be opened.
pub fn discover(folder: &Path) -> Result<Discovery, DiscoveryError> {
    discover_with(folder, Device::open)
}

fn discover_with<F>(
    folder: &Path,
    mut open: impl FnMut(&Path) -> Result<(F, NodeInfo), DeviceError>,
) -> Result<Discovery<F>, DiscoveryError> {
    let names = node_names(folder).map_err(|source| DiscoveryError::Folder {
        folder: folder.to_owned(),
        source,
    })?;
    let mut cards = BTreeMap::new();
    let mut failures = Vec::new();
    for name in names {
        match open(&folder.join(name)) {
            Ok((file, info)) => {
                let card = cards.entry(info.card).or_insert_with(|| Card {
                    index: info.card,
                    folder: folder.to_owned(),
                    local: None,
                    remotes: Vec::new(),
                });
                card.add(FoundNode { file, info });
            }
            Err(error) if error.is_gone() => {
                tracing::debug!(%error, "a node vanished while it was opened");
            }
            Err(error) => failures.push(error),
        }
    }
    if !cards.is_empty() {
        return Ok(Discovery {
            cards: cards.into_values().collect(),
            failures,
        });
    }
    let folder = folder.to_owned();
    Err(if failures.is_empty() {
        DiscoveryError::NoNodes { folder }
    } else if denied(&failures).count() == failures.len() {
        DiscoveryError::AllDenied { folder, failures }
    } else {
        DiscoveryError::NoneUsable { folder, failures }
    })
}

/// Opens those nodes of a folder that `skip` does not know. Failures are logged only: they were
/// reported when they were discovered, or are about to be repeated by the next look.
pub(super) fn open_new(folder: &Path, skip: &[String]) -> Vec<FoundNode> {
    let names = node_names(folder).unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.display(), %error, "cannot look for new nodes");
        Vec::new()
    });
    names
        .into_iter()
        .filter(|name| !skip.contains(name))
        .filter_map(|name| match Device::open(&folder.join(name)) {
            Ok((file, info)) => Some(FoundNode { file, info }),
            Err(error) => {
                tracing::debug!(%error, "a new node cannot be used");
                None
            }
        })
        .collect()
}

/// The names of the nodes' files, in the order of their numbers.
fn node_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let Ok(name) = entry?.file_name().into_string() else {
            continue;
        };
        if let Some(number) = node_number(&name) {
            names.push((number, name));
        }
    }
    names.sort();
    Ok(names.into_iter().map(|(_, name)| name).collect())
}

/// The number in `fw[0-9]+`.
fn node_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("fw")?;
    // parse alone would let a sign pass.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    digits.parse().ok()
}

fn denied(failures: &[DeviceError]) -> impl Iterator<Item = &Path> {
    failures
        .iter()
        .filter(|failure| failure.is_denied())
        .map(DeviceError::path)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use nix::errno::Errno;

    use super::*;
    use crate::bus::{Generation, NodeId};
    use crate::cdev::event::BusState;

    #[test]
    fn nodes_are_listed_by_number_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "fw10",
            "fw2",
            "fw0",
            "fw",
            "fwx",
            "fw1a",
            "fw+3",
            "xfw1",
            "fw99999999999",
            "firewire0",
        ] {
            File::create(folder.path().join(name)).unwrap();
        }
        assert_eq!(node_names(folder.path()).unwrap(), ["fw0", "fw2", "fw10"]);
    }

    #[test]
    fn a_missing_folder_an_empty_one_and_one_of_other_files_are_different_errors() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        match discover(&missing) {
            Err(DiscoveryError::Folder { source, folder }) => {
                assert_eq!((source.kind(), folder), (io::ErrorKind::NotFound, missing));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            discover(folder.path()),
            Err(DiscoveryError::NoNodes { .. })
        ));
        File::create(folder.path().join("fw0")).unwrap();
        fs::create_dir(folder.path().join("fw1")).unwrap();
        match discover(folder.path()) {
            Err(error @ DiscoveryError::NoneUsable { .. }) => {
                let text = error.to_string();
                assert!(text.contains("fw0 is no firewire-cdev node file"), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// A folder with three nodes: the controllers of two cards, and a disk on the second.
    fn three_nodes() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["fw0", "fw1", "fw2"] {
            File::create(folder.path().join(name)).unwrap();
        }
        folder
    }

    fn open(path: &Path) -> Result<(String, NodeInfo), DeviceError> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (card, node) = match name.as_str() {
            "fw0" => (1, 0xffc0),
            "fw1" => (0, 0xffc0),
            _ => (1, 0xffc1),
        };
        let state = BusState {
            node: NodeId(node),
            local: NodeId(0xffc0),
            generation: Generation(1),
        };
        let info = NodeInfo {
            version: 6,
            card,
            state,
            rom: Vec::new(),
        };
        Ok((name, info))
    }

    fn forbidden(path: &Path) -> DeviceError {
        DeviceError::os(path, "open", Errno::EACCES)
    }

    #[test]
    fn nodes_are_grouped_by_card_and_the_controllers_are_told_from_the_others() {
        let folder = three_nodes();
        let found = discover_with(folder.path(), open).unwrap();
        let cards: Vec<_> = found
            .cards
            .iter()
            .map(|card| {
                let local = card.local.as_ref().map(|node| node.file.as_str());
                let remotes: Vec<_> = card.remotes.iter().map(|node| node.file.as_str()).collect();
                (card.index, local, remotes)
            })
            .collect();
        assert_eq!(
            cards,
            [(0, Some("fw1"), vec![]), (1, Some("fw0"), vec!["fw2"])]
        );
    }

    #[test]
    fn an_unplugged_node_whose_last_id_is_the_controllers_new_one_is_not_the_controller() {
        for (old, new) in [(1, 2), (255, 0)] {
            for (controller, generations) in [("fw0", [new, old]), ("fw2", [old, new])] {
                let folder = three_nodes();
                let found = discover_with(folder.path(), |path| {
                    let (name, mut info) = open(path)?;
                    let generation = generations[usize::from(name == "fw2")];
                    info.state.generation = Generation(generation);
                    info.state.node = info.state.local;
                    Ok((name, info))
                })
                .unwrap();
                let card = &found.cards[1];
                assert_eq!(card.local.as_ref().unwrap().file, controller);
                assert_eq!(card.remotes.len(), 1);
            }
        }
    }

    #[test]
    fn a_forbidden_node_is_reported_and_a_vanished_one_is_not_and_the_rest_is_used() {
        let folder = three_nodes();
        let found = discover_with(folder.path(), |path| match path.file_name() {
            Some(name) if name == "fw0" => Err(forbidden(path)),
            Some(name) if name == "fw1" => Err(DeviceError::os(path, "open", Errno::ENODEV)),
            _ => open(path),
        })
        .unwrap();
        assert_eq!(found.cards.len(), 1);
        assert!(found.cards[0].local.is_none());
        assert_eq!(found.cards[0].remotes[0].file, "fw2");
        assert_eq!(found.failures.len(), 1);
        let denied: Vec<_> = found.denied().collect();
        assert_eq!(denied, [folder.path().join("fw0")]);
    }

    #[test]
    fn a_folder_whose_nodes_are_all_forbidden_says_so() {
        let folder = three_nodes();
        let found = discover_with(folder.path(), |path| -> Result<(String, _), _> {
            Err(forbidden(path))
        });
        match found {
            Err(DiscoveryError::AllDenied { failures, .. }) => assert_eq!(failures.len(), 3),
            other => panic!("{other:?}"),
        }
    }
}
