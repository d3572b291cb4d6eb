//! How a plan is made.

use super::chosen::{chosen, stacks};
use super::command_lines::CommandLines;
use super::draft::Draft;
use super::image::{Expected, ImageState};
use super::{KernelState, Plan, PlanError, Request, ToolWish, Wanted};
use super::{boots, conflict, files};
use crate::change::{ChangeError, State};
use crate::guard::{self, Danger, Live};
use crate::kmod::{self, Bool, Config};
use crate::notice::Notice;
use crate::root::Root;
use crate::tool::{Remark, Ruler, Tool};

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
        if request.images && boots::lacks_boot(root)? {
            return Err(PlanError::NoBoot);
        }
        let mut remarks = Vec::new();
        let (kernels, others) = chosen(root, &request, &mut remarks)?;
        let stacks = stacks(root, &kernels, &others, &mut remarks)?;
        let mut draft = Draft::new(root, &state);
        let dialect = files::dialect(root, stacks);
        match request.wanted.exclusive() {
            Some(exclusive) => {
                draft.write(&request, tool, stacks, dialect, exclusive, live)?;
            }
            None => draft.take_back()?,
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
                    remarks.extend(boots::missing(root, &image, &request)?);
                    state.images.push(image);
                }
                remarks.extend(boots::unified(root, &lines.layout, &expected, &request)?);
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
