//! The files of a system, as they will be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::chosen::Chosen;
use super::command_lines::CommandLines;
use super::files::{self, Place as Where, Stacks};
use super::image::Inside;
use super::overlay::Overlay;
use super::{Conflict, FileChange, PlanError, Request, Wanted};
use super::{conflict, text};
use crate::change::{Edit, Owner, State};
use crate::guard::{Guard, Live};
use crate::kmod::{Config, Dialect};
use crate::root::Root;
use crate::tool::Tool;
use crate::tree::{Tree as _, TreeError};

/// How many lines of others may be in the way. More is no configuration.
const MANY: usize = 256;

/// The files as they will be.
pub(super) struct Draft<'a> {
    root: &'a Root,
    state: &'a State,
    pub(super) after: Overlay<'a>,
    files: BTreeMap<PathBuf, FileChange>,
    pub(super) unchanged: Vec<PathBuf>,
    /// Files of ours that have to be in the images.
    early: Vec<(PathBuf, Vec<u8>)>,
    pub(super) conflicts: Vec<Conflict>,
    pub(super) advice: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(root: &'a Root, state: &'a State) -> Self {
        Self {
            root,
            state,
            after: Overlay::over(root),
            files: BTreeMap::new(),
            unchanged: Vec::new(),
            early: Vec::new(),
            conflicts: Vec::new(),
            advice: Vec::new(),
        }
    }

    pub(super) fn changes(&self) -> Vec<FileChange> {
        self.files.values().cloned().collect()
    }

    /// All that we write.
    pub(super) fn write(
        &mut self,
        request: &Request,
        tool: Option<Tool>,
        stacks: Stacks,
        dialect: Dialect,
        exclusive: bool,
        live: Option<&Live>,
    ) -> Result<(), PlanError> {
        let root = self.root;
        let options = stacks.options(exclusive);
        match files::place(root, dialect)? {
            Where::Own(path) => {
                self.own(&path, options.clone().into_bytes(), false, "the option")?;
                self.early.push((path, options.into_bytes()));
            }
            Where::Block(path) => self.block(&path, &options)?,
        }
        for guard in Guard::ALL {
            let is_asked = request.guards.contains(&guard);
            let means = guard.means(root, live)?;
            let is_there = means.files.iter().any(|file| {
                let path = &file.drop_in.path;
                matches!(root.read(path), Ok(Some(content)) if files::is_ours(&content))
            });
            if !is_asked && !is_there {
                continue;
            }
            for file in means.files {
                let content = file.drop_in.text.into_bytes();
                self.own(
                    &file.drop_in.path,
                    content.clone(),
                    file.drop_in.is_program,
                    "a guard",
                )?;
                if file.in_image {
                    self.early.push((file.drop_in.path, content));
                }
            }
            if is_asked {
                self.advice.extend(means.advice);
            }
        }
        let early: Vec<_> = self.early.iter().map(|(path, _)| path.as_path()).collect();
        let drop_in = tool.and_then(|tool| tool.drop_in(&stacks.modules(), &early));
        if let Some(drop_in) = drop_in {
            let content = drop_in.text.into_bytes();
            self.own(&drop_in.path, content, drop_in.is_program, "for the images")?;
        }
        Ok(())
    }

    /// A file that is wholly ours.
    fn own(
        &mut self,
        path: &Path,
        content: Vec<u8>,
        is_program: bool,
        why: &'static str,
    ) -> Result<(), PlanError> {
        let seen = files::seen(self.root, path)?;
        if seen.as_ref() == Some(&content) {
            self.unchanged.push(path.to_owned());
            return Ok(());
        }
        // Somebody who wrote a file of that name gets it back.
        let is_theirs = seen.as_ref().is_some_and(|seen| !files::is_ours(seen))
            && self.state.original(path).is_none();
        let owner = if is_theirs {
            Owner::Theirs
        } else {
            Owner::Ours
        };
        self.set(path, seen, Some(content), owner, is_program, why);
        Ok(())
    }

    /// Lines of ours in a file of somebody else's, where there is no other way.
    fn block(&mut self, path: &Path, lines: &str) -> Result<(), PlanError> {
        let seen = files::seen(self.root, path)?;
        let content = text::with_block(seen.as_deref().unwrap_or_default(), lines);
        match seen.as_ref() == Some(&content) {
            true => self.unchanged.push(path.to_owned()),
            false => self.set(
                path,
                seen,
                Some(content),
                Owner::Theirs,
                false,
                "the option",
            ),
        }
        Ok(())
    }

    fn set(
        &mut self,
        path: &Path,
        seen: Option<Vec<u8>>,
        to: Option<Vec<u8>>,
        owner: Owner,
        is_program: bool,
        why: &'static str,
    ) {
        self.after.set(path, to.clone());
        let edit = Edit {
            path: path.to_owned(),
            seen,
            to,
            owner,
            mode: if is_program { 0o755 } else { 0o644 },
            like: None,
        };
        let change = FileChange { edit, why };
        // A file that is changed twice was read once.
        match self.files.get_mut(path) {
            Some(earlier) => earlier.edit.to = change.edit.to,
            None => {
                self.files.insert(path.to_owned(), change);
            }
        }
    }

    /// Everything of ours goes, and what others had comes back.
    pub(super) fn take_back(&mut self) -> Result<(), PlanError> {
        let root = self.root;
        for undo in self.state.undo(root)? {
            let mended = undo.present.as_deref().map(text::without_ours);
            let is_theirs = undo.original.owner == Owner::Theirs;
            let edits = match mended {
                // Their changes stay, without what is ours.
                Some(mended) if undo.is_altered && is_theirs => vec![undo.leave(Some(mended))],
                _ => undo.restore(),
            };
            for edit in edits {
                self.after.set(&edit.path, edit.to.clone());
                let why = match edit.to {
                    Some(_) => "as it was",
                    None => "it was not there",
                };
                self.files
                    .insert(edit.path.clone(), FileChange { edit, why });
            }
        }
        // What was written by a run of which nothing is known any longer.
        for path in files::all() {
            let Ok(Some(seen)) = root.read(&path) else {
                continue;
            };
            if files::is_ours(&seen) && self.state.original(&path).is_none() {
                self.set(&path, Some(seen), None, Owner::Nobody, false, "it is ours");
            }
        }
        Ok(())
    }

    /// Finds every line of others that is in the way of a kernel's driver, and takes it out of
    /// use, if that was asked for.
    pub(super) fn clear_the_way(
        &mut self,
        chosen: &Chosen,
        dialect: Dialect,
        request: &Request,
        lines: &CommandLines,
    ) -> Result<(), PlanError> {
        let wanted = request.wanted.exclusive();
        if wanted.is_none() || chosen.driver.is_none() || chosen.is_built_in {
            return Ok(());
        }
        // Without the lines that were found already, others come to light.
        let mut cleared = self.after.clone();
        for _ in 0..MANY {
            let config = Config::read(&cleared, dialect);
            let Some(found) = conflict::find(&config, None, &chosen.modules, wanted) else {
                break;
            };
            let file = found.place.file.clone();
            let content = cleared.read(&file)?.unwrap_or_default();
            let out: Vec<_> = (found.place.line..=found.place.last_line)
                .filter_map(|line| line.try_into().ok())
                .collect();
            let content = text::without(&content, &out);
            cleared.set(&file, Some(content.clone()));
            if request.force {
                let seen = files::seen(self.root, &file)?;
                self.set(
                    &file,
                    seen,
                    Some(content),
                    Owner::Theirs,
                    false,
                    "in the way",
                );
            } else if !self.conflicts.contains(&found) {
                self.conflicts.push(found);
            }
        }
        let config = Config::read(&cleared, dialect);
        for found in lines.conflicts(chosen, &config, wanted) {
            if !request.force && !self.conflicts.contains(&found) {
                self.conflicts.push(found);
            }
        }
        Ok(())
    }

    /// The files that have to be in an image, or must not be.
    pub(super) fn in_image(
        &self,
        tool: Tool,
        dialect: Dialect,
        wanted: Wanted,
    ) -> Result<BTreeMap<PathBuf, Inside>, TreeError> {
        // mkinitrd puts options into a script, and copies no files.
        if tool == Tool::Mkinitrd || dialect == Dialect::ModuleInitTools {
            return Ok(BTreeMap::new());
        }
        if wanted != Wanted::AsBefore {
            let early = self.early.iter().cloned();
            return Ok(early
                .map(|(path, content)| (path, Inside::Same(content)))
                .collect());
        }
        let mut files = BTreeMap::new();
        for path in files::all() {
            let inside = match self.after.is_file(&path)? {
                true => Inside::AtMost(self.after.read(&path)?.unwrap_or_default()),
                false => Inside::Nothing,
            };
            files.insert(path, inside);
        }
        Ok(files)
    }
}
