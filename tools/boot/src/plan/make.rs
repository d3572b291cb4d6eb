//! How a plan is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::command_lines::CommandLines;
use super::files::{self, Place as Where, Stacks};
use super::image::{Expected, ImageState, Inside};
use super::overlay::Overlay;
use super::{Conflict, FileChange, KernelState, Plan, PlanError, Request, ToolWish, Wanted};
use super::{conflict, text};
use crate::boot_loader::{Layout, Unified};
use crate::change::{ChangeError, Edit, Owner, State};
use crate::guard::{self, Danger, Guard, Live};
use crate::kernels::{self, Kernel};
use crate::kmod::{self, Bool, Config, Dialect};
use crate::notice::Notice;
use crate::root::Root;
use crate::tool::{Remark, Ruler, Tool};
use crate::tree::{Tree, TreeError};

/// How many lines of others may be in the way. More is no configuration.
const MANY: usize = 256;

impl Plan {
    /// Looks at a system, and works out what is to be done to it. Nothing is changed.
    ///
    /// `live` is what is known of the disks of the system that runs, if it is that one.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn make(root: &Root, request: Request, live: Option<&Live>) -> Result<Self, PlanError> {
        let state = State::load(root)?;
        if state.is_pending() {
            return Err(ChangeError::Pending.into());
        }
        let (ruler, tool) = tool(root, &request)?;
        let mut remarks = Vec::new();
        let (kernels, others) = chosen(root, &request, &mut remarks)?;
        let stacks = stacks(root, &kernels, &others, &mut remarks)?;
        let mut draft = Draft::new(root, &state);
        let dialect = files::dialect(root, stacks);
        match request.wanted.exclusive() {
            Some(exclusive) => {
                draft.write(root, &request, tool, stacks, dialect, exclusive, live)?;
            }
            None => draft.take_back(root)?,
        }
        let now = Config::read(root, dialect);
        remarks.extend(now.notices().iter().map(odd));
        if stacks.juju && request.wanted != Wanted::AsBefore {
            remarks.extend(hints(root, &now));
        }
        if let Some(tool) = tool {
            remarks.extend(tool.remarks(root)?);
        }
        let lines = CommandLines::read(root);
        remarks.extend(lines.notices().iter().map(odd));
        for kernel in &kernels {
            draft.clear_the_way(kernel, dialect, &request, &lines)?;
            let after = Config::read(&draft.after, dialect);
            remarks.extend(lines.remarks(kernel, &after, &request));
            if let (Some(driver), Some(exclusive)) = (kernel.driver, request.wanted.exclusive()) {
                remarks.extend(beaten(&after, driver, exclusive));
            }
        }
        let mut states = Vec::new();
        for kernel in kernels {
            let driver = kernel.driver;
            let mut state = KernelState {
                now: driver.and_then(|driver| conflict::setting(&now, driver)),
                is_built_in: kernel.is_built_in,
                driver,
                images: Vec::new(),
                kernel: kernel.kernel,
            };
            if let Some(tool) = tool.filter(|_| driver.is_some() && !kernel.is_built_in) {
                let images = tool.images(root, state.kernel.version().as_str())?;
                remarks.extend(images.others);
                let after = Config::read(&draft.after, dialect);
                let expected = Expected {
                    kernel: state.kernel.clone(),
                    tool,
                    modules: kernel.modules.clone(),
                    exclusive: request.wanted.exclusive(),
                    otherwise: driver
                        .and_then(|driver| conflict::setting(&after, driver))
                        .map(|(value, _)| value),
                    files: draft.in_image(tool, dialect, request.wanted)?,
                };
                for mut image in images.images {
                    if request.wanted == Wanted::AsBefore {
                        image.recipe.leave_ours_out();
                    }
                    let image = ImageState::look(root, image, expected.clone(), &request)?;
                    state.images.push(image);
                }
                remarks.extend(unified(root, &lines.layout, &expected, &request)?);
            }
            states.push(state);
        }
        let dangers = guard::dangers(&draft.after, live)?;
        remarks.extend(
            draft
                .advice
                .iter()
                .map(|advice| Remark::of_none(advice.clone(), false)),
        );
        remarks.extend(left_open(&request, &dangers));
        // One rescue image, one hint: the kernels share them.
        let mut known = Vec::new();
        remarks.retain(|remark| {
            let is_new = !known.contains(remark);
            known.push(remark.clone());
            is_new
        });
        Ok(Self {
            request,
            ruler,
            tool,
            kernels: states,
            files: draft.changes(),
            unchanged: draft.unchanged,
            conflicts: draft.conflicts,
            remarks,
            dangers,
        })
    }
}

fn tool(root: &Root, request: &Request) -> Result<(Ruler, Option<Tool>), PlanError> {
    let ruler = Ruler::find(root)?;
    if let Ruler::Unsupported(system) = &ruler
        && system.is_untouchable
    {
        return Err(PlanError::Untouchable(*system));
    }
    let tool = match (request.tool, &ruler) {
        (ToolWish::Tool(tool), _) => Some(tool),
        (ToolWish::Auto, Ruler::Tool(tool)) => Some(*tool),
        (ToolWish::Auto, Ruler::Either(..))
            if request.wanted == Wanted::AsBefore && !request.images =>
        {
            None
        }
        (ToolWish::Auto, Ruler::Either(one, other)) => {
            return Err(PlanError::WhichTool(*one, *other));
        }
        (ToolWish::None, _) | (ToolWish::Auto, Ruler::Unsupported(_) | Ruler::Nothing) => None,
    };
    Ok((ruler, tool))
}

/// A kernel that was asked for.
pub(super) struct Chosen {
    pub(super) kernel: Kernel,
    /// Its SBP-2 driver.
    pub(super) driver: Option<&'static str>,
    pub(super) is_built_in: bool,
    /// What a disk needs, the driver first.
    pub(super) modules: Vec<&'static str>,
}

impl Chosen {
    fn new(kernel: Kernel) -> Self {
        let candidates: [(&str, &[&str]); 2] = [
            (
                "firewire_sbp2",
                &["firewire_ohci", "firewire_core", "sd_mod"],
            ),
            ("sbp2", &["ohci1394", "ieee1394", "sd_mod"]),
        ];
        // Where both are there, udev takes the driver whose alias it finds first: today's.
        let found = candidates
            .into_iter()
            .find(|(driver, _)| kernel.driver(driver).is_there());
        let driver = found.map(|(driver, _)| driver);
        let modules = found.map(|(driver, others)| {
            std::iter::once(driver)
                .chain(others.iter().copied())
                .collect()
        });
        Self {
            is_built_in: driver
                .is_some_and(|driver| matches!(kernel.driver(driver), kernels::Driver::BuiltIn)),
            driver,
            modules: modules.unwrap_or_default(),
            kernel,
        }
    }
}

/// The kernels that were asked for, and the others.
fn chosen(
    root: &Root,
    request: &Request,
    remarks: &mut Vec<Remark>,
) -> Result<(Vec<Chosen>, Vec<Chosen>), PlanError> {
    let all = kernels::find(root)?;
    let version = |kernel: &Kernel| kernel.version().as_str().to_owned();
    let installed: Vec<_> = all.iter().map(version).collect();
    if let Some(missing) = request
        .kernels
        .iter()
        .find(|name| !installed.contains(name))
    {
        return Err(PlanError::NoSuchKernel {
            version: missing.clone(),
            installed,
        });
    }
    let is_wanted =
        |kernel: &Kernel| request.kernels.is_empty() || request.kernels.contains(&version(kernel));
    let (chosen, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_wanted);
    let chosen: Vec<_> = chosen.into_iter().map(Chosen::new).collect();
    let others: Vec<_> = others.into_iter().map(Chosen::new).collect();
    let modules = || PathBuf::from("/lib/modules");
    let is_taken_back = request.wanted == Wanted::AsBefore;
    if chosen.is_empty() && !is_taken_back {
        remarks.push(Remark {
            file: modules(),
            line: None,
            text: "no kernel is installed; what is written holds for one with firewire-sbp2".into(),
            is_to_do: request.images,
        });
    }
    let without: Vec<_> = chosen
        .iter()
        .filter(|kernel| kernel.driver.is_none())
        .map(|kernel| version(&kernel.kernel))
        .collect();
    if !chosen.is_empty() && without.len() == chosen.len() && !is_taken_back {
        return Err(PlanError::NoDriver(without));
    }
    remarks.extend(without.into_iter().map(|version| Remark {
        file: modules().join(version),
        line: None,
        text: "this kernel has no driver for SBP-2 disks, and stays as it is".into(),
        is_to_do: !is_taken_back,
    }));
    let left = others.iter().filter(|kernel| kernel.driver.is_some());
    remarks.extend(left.map(|kernel| {
        Remark {
            file: kernel.kernel.folder().to_owned(),
            line: None,
            text: "--kernel leaves it out: the files hold for this kernel as well, and its images \
               stay as they are"
                .into(),
            is_to_do: false,
        }
    }));
    Ok((chosen, others))
}

/// What the drivers of the kernels take. The files are the same for all of them, asked for or
/// not; only of those that were asked for it is said what is odd.
fn stacks(
    root: &Root,
    asked: &[Chosen],
    others: &[Chosen],
    remarks: &mut Vec<Remark>,
) -> Result<Stacks, TreeError> {
    let mut stacks = Stacks {
        juju: asked.is_empty(),
        ..Stacks::default()
    };
    let asked = asked.iter().map(|chosen| (chosen, true));
    let others = others.iter().map(|chosen| (chosen, false));
    for (chosen, is_asked) in asked.chain(others) {
        let mut tell = |remark| {
            if is_asked {
                remarks.push(remark);
            }
        };
        for driver in ["firewire-sbp2", "sbp2"] {
            let Some(file) = chosen.kernel.module_file(driver) else {
                continue;
            };
            let (exclusive, serialize) = match files::parameters(root, &file)? {
                Ok(names) => {
                    let has = |name: &str| names.iter().any(|known| known == name);
                    (has("exclusive_login"), has("serialize_io"))
                }
                Err(why) => {
                    tell(Remark {
                        file: file.clone(),
                        line: None,
                        text: format!("what parameters it has cannot be read ({why})"),
                        is_to_do: false,
                    });
                    (true, false)
                }
            };
            if !exclusive {
                tell(Remark {
                    file,
                    line: None,
                    text: "it has no parameter exclusive_login, and is not told".into(),
                    is_to_do: true,
                });
                continue;
            }
            match driver {
                "sbp2" => {
                    stacks.ieee1394 = true;
                    stacks.serialize_io |= serialize;
                }
                _ => stacks.juju = true,
            }
        }
    }
    Ok(stacks)
}

/// What was to be kept away from the disk, and is not.
fn left_open(request: &Request, dangers: &[Danger]) -> Vec<Remark> {
    let open = dangers
        .iter()
        .filter(|danger| request.guards.contains(&danger.guard) && !danger.is_stopped);
    open.map(|danger| Remark {
        file: danger.file.clone().unwrap_or_default(),
        line: danger.line,
        text: format!("no file of ours stops this: {}", danger.remedy),
        is_to_do: true,
    })
    .collect()
}

/// Lines of others that say otherwise, and are beaten by ours.
fn beaten(config: &Config, driver: &str, wanted: bool) -> Vec<Remark> {
    let Some((value, _)) = conflict::setting(config, driver) else {
        return Vec::new();
    };
    let wins = if wanted { Bool::On } else { Bool::Off };
    let places = conflict::settings(config, driver);
    let others = places
        .into_iter()
        .filter(|(said, _)| *said != wins && value == wins);
    others
        .map(|(_, place)| Remark {
            file: place.file,
            line: place.line.try_into().ok(),
            text: format!("says otherwise to {driver}; what is written comes later, and wins"),
            is_to_do: false,
        })
        .collect()
}

fn odd(notice: &Notice) -> Remark {
    Remark {
        file: notice.file.clone(),
        line: notice.line.and_then(|line| line.try_into().ok()),
        text: notice.oddity.to_string(),
        is_to_do: false,
    }
}

fn hints(root: &Root, config: &Config) -> Vec<Remark> {
    let hints = kmod::hints(root, config).into_iter();
    let remarks = hints.map(|hint| Remark {
        file: hint.place.file,
        line: hint.place.line.try_into().ok(),
        text: format!("\"{}\": {}", hint.text, hint.why),
        is_to_do: false,
    });
    remarks.collect()
}

/// Images that are one file with their kernel, and are not as they should be.
fn unified(
    root: &Root,
    layout: &Layout,
    expected: &Expected,
    request: &Request,
) -> Result<Vec<Remark>, TreeError> {
    let version = expected.kernel.version();
    let again = format!(
        "kernel-install add {version} {}/vmlinuz",
        expected.kernel.folder().display()
    );
    let mut remarks = Vec::new();
    for unified in &layout.unified {
        let (file, why) = match unified {
            Unified::Layout(place) => (&place.file, "says that they are made so".to_owned()),
            Unified::Configuration(file) => (file, "says how they are made".to_owned()),
            Unified::Image(file) => match expected.look(root, file)? {
                Some(Ok(sight)) if sight.is_of(version) && !sight.is_good() => {
                    (file, sight.complaint())
                }
                Some(Err(why)) if expected.exclusive.is_some() => (file, why),
                _ => continue,
            },
        };
        let is_image = matches!(unified, Unified::Image(_));
        remarks.push(Remark {
            file: file.clone(),
            line: None,
            text: format!("kernel and image are one file here ({why}); make it anew: {again}"),
            is_to_do: is_image && request.images,
        });
    }
    let copies = layout.copies.iter();
    for folder in copies.filter(|folder| folder.ends_with(version.as_str())) {
        let why = match request.images {
            true => copied(root, folder, expected)?,
            false => Some(String::new()),
        };
        remarks.extend(why.map(|why| Remark {
            file: folder.clone(),
            line: None,
            text: format!("the boot loader has copies here{why}; make them anew: {again}"),
            is_to_do: request.images,
        }));
    }
    Ok(remarks)
}

/// What is wrong with the images in a folder of the boot loader. `None` if they are as they should
/// be, or if there is none and none is wanted.
fn copied(root: &Root, folder: &Path, expected: &Expected) -> Result<Option<String>, TreeError> {
    let mut is_seen = false;
    for name in root.list(folder)? {
        let file = folder.join(&name);
        // kernel-install's own name, and those that its plug-ins hand on.
        let is_image = name.to_str().is_some_and(|name| name.starts_with("init"));
        if !is_image || !root.is_file(&file)? {
            continue;
        }
        match expected.look(root, &file)? {
            Some(Ok(sight)) if sight.is_good() => is_seen = true,
            Some(Ok(sight)) => {
                return Ok(Some(format!(
                    " ({}: {})",
                    name.display(),
                    sight.complaint()
                )));
            }
            // Nothing of ours can be in what nobody can read.
            Some(Err(_)) if expected.exclusive.is_none() => is_seen = true,
            Some(Err(why)) => return Ok(Some(format!(" ({}: {why})", name.display()))),
            None => {}
        }
    }
    Ok(match is_seen || expected.exclusive.is_none() {
        true => None,
        false => Some(String::new()),
    })
}

/// The files as they will be.
struct Draft<'a> {
    root: &'a Root,
    state: &'a State,
    after: Overlay<'a>,
    files: BTreeMap<PathBuf, FileChange>,
    unchanged: Vec<PathBuf>,
    /// Files of ours that have to be in the images.
    early: Vec<(PathBuf, Vec<u8>)>,
    conflicts: Vec<Conflict>,
    advice: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(root: &'a Root, state: &'a State) -> Self {
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

    fn changes(&self) -> Vec<FileChange> {
        self.files.values().cloned().collect()
    }

    /// All that we write.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a system is, and what is wanted of it"
    )]
    fn write(
        &mut self,
        root: &Root,
        request: &Request,
        tool: Option<Tool>,
        stacks: Stacks,
        dialect: Dialect,
        exclusive: bool,
        live: Option<&Live>,
    ) -> Result<(), PlanError> {
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
    fn take_back(&mut self, root: &Root) -> Result<(), PlanError> {
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
    fn clear_the_way(
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
    fn in_image(
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

impl ImageState {
    fn look(
        root: &Root,
        image: crate::tool::Image,
        expected: Expected,
        request: &Request,
    ) -> Result<Self, PlanError> {
        let sight = match request.images {
            true => expected.look(root, &image.path)?,
            false => None,
        };
        let is_to_be_made = request.images
            && match (&sight, request.wanted) {
                (Some(Ok(sight)), _) => !sight.is_good(),
                // Where nothing of ours can be, nothing is to be taken out.
                (Some(Err(_)) | None, wanted) => wanted != Wanted::AsBefore,
            };
        Ok(Self {
            image,
            expected,
            sight,
            is_to_be_made,
        })
    }
}
