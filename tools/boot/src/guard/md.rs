//! md: arrays are assembled as soon as their members turn up.
//!
//! mdadm's 64-md-raid-assembly.rules (dracut: 65-md-incremental-imsm.rules) runs
//! `mdadm --incremental` for block devices by their `ID_FS_TYPE`, so hiding the type keeps it
//! away, as with LVM.
//!
//! What does not ask udev is `mdadm --assemble --scan`, which initramfs-tools runs while it waits
//! for the root. mdadm.conf has nothing for it that means FireWire: `AUTO -all` would keep the
//! root's array away too, and a `POLICY` with `auto=no` for the disk's by-path names is always
//! beaten by the `AUTO` that mdadm adds by itself. `ARRAY <ignore>` works, for one array.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::text;
use super::{Danger, Device, Guard, GuardFile, Live, Means, rules};
use crate::tool::HEAD;
use crate::tree::{Tree, TreeError};

/// Its name puts it after `60-persistent-storage*.rules` and before `61-*.rules`.
pub(super) const RULES: &str = "/etc/udev/rules.d/60-zz-fwshare-md.rules";

const CONFIGURATION: &str = "/etc/mdadm.conf";
const CONFIGURATION_DEBIAN: &str = "/etc/mdadm/mdadm.conf";

/// What initramfs-tools runs while it waits for the root.
const SCAN: &str = "/usr/share/initramfs-tools/scripts/local-block/mdadm";

const MEMBERS: [&str; 3] = ["linux_raid_member", "ddf_raid_member", "isw_raid_member"];

fn rules_text() -> String {
    format!(
        "{HEAD}# Arrays on FireWire disks are assembled when somebody asks: mdadm --assemble.\n{}",
        rules::hiding("*_raid_member")
    )
}

/// The configuration that mdadm reads. It reads the folder `.d` beside it, too.
fn configuration(tree: &dyn Tree) -> Result<&'static Path, TreeError> {
    let is_debians = !tree.is_file(Path::new(CONFIGURATION))?
        && tree.is_file(Path::new(CONFIGURATION_DEBIAN))?;
    Ok(Path::new(match is_debians {
        true => CONFIGURATION_DEBIAN,
        false => CONFIGURATION,
    }))
}

pub(super) fn means(tree: &dyn Tree, live: Option<&Live>) -> Result<Means, TreeError> {
    let file = configuration(tree)?;
    let lines = lines(tree)?;
    let arrays: BTreeSet<_> = members(live).filter_map(array).collect();
    let open = arrays.iter().filter(|uuid| {
        let is_ignored = |line: &Line| line.is_of(uuid) && line.is_ignoring();
        !lines.iter().any(is_ignored)
    });
    let mut advice: Vec<_> = open
        .map(|uuid| {
            format!(
                "{}: add ARRAY <ignore> UUID={uuid}, for what does not ask udev",
                file.display()
            )
        })
        .collect();
    if arrays.is_empty() && tree.is_file(Path::new(SCAN))? {
        advice.push(format!(
            "{}: add ARRAY <ignore> UUID=… for each array on the disk, with what mdadm --examine \
             says: while it waits for the root, the image assembles without asking udev",
            file.display()
        ));
    }
    Ok(Means {
        files: vec![GuardFile::new(RULES, rules_text(), true)],
        advice,
    })
}

fn members(live: Option<&Live>) -> impl Iterator<Item = &Device> {
    live.into_iter().flat_map(|live| live.with(&MEMBERS))
}

pub(super) fn dangers(tree: &dyn Tree, live: Option<&Live>) -> Result<Vec<Danger>, TreeError> {
    let assembling = rules::find(tree, |line| {
        line.contains("mdadm --incremental") || line.contains("mdadm -I ")
    })?;
    let is_hidden = text::is_as_written(tree, RULES, &rules_text())?;
    let lines = lines(tree)?;
    let is_off = lines.iter().any(Line::is_off);
    let mut dangers = Vec::new();
    for rule in assembling {
        dangers.push(Danger {
            guard: Guard::Md,
            file: Some(rule.file),
            line: Some(rule.number),
            text: "an array on the disk is assembled as soon as its members are there, on every \
                   host, and each of them writes superblocks and bitmaps and resyncs for itself"
                .into(),
            remedy: "ARRAY <ignore> UUID=… in mdadm.conf, or the guard md".into(),
            is_stopped: is_hidden || is_off,
        });
    }
    if tree.is_file(Path::new(SCAN))? {
        let arrays: Vec<_> = members(live).map(array).collect();
        let is_ignored = |uuid: &Option<String>| {
            let ignoring = || lines.iter().filter(|line| line.is_ignoring());
            uuid.as_deref()
                .is_some_and(|uuid| ignoring().any(|line| line.is_of(uuid)))
        };
        dangers.push(Danger {
            guard: Guard::Md,
            file: Some(SCAN.into()),
            line: None,
            text: "while the image waits for the root, it assembles every array that it finds, on the \
                   disk as well, and udev's rules are not asked"
                .into(),
            remedy: format!(
                "ARRAY <ignore> UUID=… in {}, and new images",
                configuration(tree)?.display()
            ),
            is_stopped: is_off || (!arrays.is_empty() && arrays.iter().all(is_ignored)),
        });
    }
    if dangers.is_empty() {
        return Ok(dangers);
    }
    for device in members(live) {
        let uuid = array(device);
        let own = |line: &&Line| uuid.as_deref().is_some_and(|uuid| line.is_of(uuid));
        let named = lines
            .iter()
            .filter(|line| line.keyword() == "ARRAY")
            .find(own);
        let is_ignored = named.is_some_and(Line::is_ignoring);
        let by_line = named.filter(|_| !is_ignored);
        dangers.push(Danger {
            guard: Guard::Md,
            file: by_line.map(|line| line.file.clone()),
            line: by_line.map(|line| line.number),
            text: match by_line {
                Some(_) => format!("{} belongs to the array of this line", device.name),
                None => format!(
                    "{} belongs to an array, which is assembled by itself",
                    device.name
                ),
            },
            remedy: match &uuid {
                Some(uuid) => format!("ARRAY <ignore> UUID={uuid} in mdadm.conf, and new images"),
                None => "the guard md".into(),
            },
            is_stopped: is_ignored
                || is_off
                || (is_hidden && device.is_hidden() && by_line.is_none()),
        });
    }
    Ok(dangers)
}

/// The array's UUID as mdadm writes it: four words of eight digits.
fn array(device: &Device) -> Option<String> {
    if device.file_system() != Some("linux_raid_member") {
        return None;
    }
    let digits: String = device
        .property("ID_FS_UUID")?
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    let words: Vec<_> = (0..4)
        .map(|word| digits.get(word * 8..word * 8 + 8))
        .collect::<Option<_>>()?;
    Some(words.join(":"))
}

/// A line of mdadm.conf with those that go on with it.
struct Line {
    file: PathBuf,
    number: usize,
    text: String,
}

impl Line {
    /// By mdadm.conf(5) in any case, and three letters are enough.
    fn keyword(&self) -> &'static str {
        let word = self.text.split_whitespace().next().unwrap_or_default();
        let word = word.to_ascii_uppercase();
        let known = ["ARRAY", "AUTO"];
        let known = known
            .into_iter()
            .find(|known| word.len() >= 3 && known.starts_with(&word));
        known.unwrap_or_default()
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.text.split_whitespace().skip(1)
    }

    /// Whether it keeps arrays on the disk from being assembled.
    fn is_off(&self) -> bool {
        self.keyword() == "AUTO"
            && self.words().any(|word| word == "-all")
            && !self.words().any(|word| word.starts_with('+'))
    }

    fn is_ignoring(&self) -> bool {
        self.words()
            .any(|word| word.eq_ignore_ascii_case("<ignore>"))
    }

    fn is_of(&self, uuid: &str) -> bool {
        let plain = |text: &str| text.replace([':', '-', '.'], "").to_ascii_lowercase();
        self.words().any(|word| {
            let value = word.split_once('=');
            value.is_some_and(|(key, value)| {
                key.eq_ignore_ascii_case("uuid") && plain(value) == plain(uuid)
            })
        })
    }
}

/// What mdadm reads.
fn lines(tree: &dyn Tree) -> Result<Vec<Line>, TreeError> {
    let file = configuration(tree)?;
    let mut files = vec![(file.to_owned(), text::read(tree, file)?)];
    let folder = file.with_extension("conf.d");
    files.extend(text::read_all(tree, &folder, ".conf")?);
    let mut lines: Vec<Line> = Vec::new();
    for (file, text) in files {
        for (index, line) in text.lines().enumerate() {
            let content = line.split('#').next().unwrap_or_default();
            if content.trim().is_empty() {
                continue;
            }
            let goes_on = content.starts_with([' ', '\t']);
            match lines.last_mut().filter(|last| goes_on && last.file == file) {
                Some(last) => last.text.push_str(content),
                None => lines.push(Line {
                    file: file.clone(),
                    number: index + 1,
                    text: content.to_owned(),
                }),
            }
        }
    }
    Ok(lines)
}
