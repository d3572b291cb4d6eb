//! A plan and what came of it, for programs.

use std::path::{Path, PathBuf};

use fwshare_boot::Root;
use fwshare_boot::kmod::Bool;
use fwshare_boot::plan::{self, KernelState, Plan, Wanted};
use fwshare_boot::rebuild::RebuildError;
use serde::Serialize;

use super::now;
use crate::error::Failure;

/// What came of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Outcome {
    why_not: Option<&'static str>,
    pub(super) images: Vec<ImageOutcome>,
    pub(super) now: Option<now::Outcome>,
}

impl Outcome {
    pub(super) fn planned() -> Self {
        Self {
            why_not: Some("planned"),
            ..Self::default()
        }
    }

    pub(super) fn conflict() -> Self {
        Self {
            why_not: Some("conflict"),
            ..Self::default()
        }
    }

    /// How many of the new images are in place.
    pub(super) fn in_place(&self) -> usize {
        self.images.iter().filter(|image| image.made).count()
    }

    /// The commands that had to follow them, and failed.
    pub(super) fn left(&self) -> impl Iterator<Item = &str> {
        self.images.iter().filter_map(|image| image.left.as_deref())
    }

    fn state(&self, plan: &Plan, end: &Result<String, Failure>) -> &'static str {
        match (self.why_not, end) {
            (None | Some("planned"), Ok(_)) if plan.is_fulfilled() => "unchanged",
            (Some(why_not), _) => why_not,
            (None, Ok(_)) => "done",
            (None, Err(_)) if self.images.iter().any(|image| !image.made) => "failed",
            (None, Err(_)) => "partly",
        }
    }
}

/// What became of an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct ImageOutcome {
    path: PathBuf,
    made: bool,
    error: Option<String>,
    /// The end of what the tool said.
    said: Option<String>,
    /// The command that had to follow, and failed.
    left: Option<String>,
}

impl ImageOutcome {
    pub(super) fn made(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            made: true,
            error: None,
            said: None,
            left: None,
        }
    }

    pub(super) fn not_made(path: &Path, error: &RebuildError) -> Self {
        Self {
            path: path.to_owned(),
            made: error.is_after(),
            error: Some(error.to_string()),
            said: Some(error.said().to_owned()).filter(|said| !said.is_empty()),
            left: match error {
                RebuildError::After { command, .. } => Some(command.clone()),
                _ => None,
            },
        }
    }
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    root: &'a Path,
    wanted: &'static str,
    tool: Option<&'static str>,
    kernels: Vec<Images>,
    files: Vec<File>,
    unchanged: &'a [PathBuf],
    commands: Vec<Vec<String>>,
    conflicts: Vec<Line>,
    remarks: Vec<Line>,
    dangers: Vec<Danger>,
    outcome: &'static str,
    images: &'a [ImageOutcome],
    now: Option<&'a now::Outcome>,
    exit_code: u8,
    message: String,
    advice: Vec<String>,
}

/// A kernel, and what is configured for it.
#[derive(Serialize)]
pub(super) struct Kernel {
    pub(super) version: String,
    pub(super) driver: Option<&'static str>,
    pub(super) built_in: bool,
    /// `shared`, `exclusive`, `invalid`; null if nothing is configured.
    pub(super) configured: Option<&'static str>,
    pub(super) configured_by: Option<String>,
}

impl Kernel {
    pub(super) fn of(state: &KernelState) -> Self {
        let now = state.now.as_ref();
        Self {
            version: state.kernel.version().to_string(),
            driver: state.driver,
            built_in: state.is_built_in,
            configured: now.map(|(value, _)| login(*value)),
            configured_by: now.map(|(_, place)| place.to_string()),
        }
    }
}

#[derive(Serialize)]
struct Images {
    #[serde(flatten)]
    kernel: Kernel,
    images: Vec<Image>,
}

#[derive(Serialize)]
struct Image {
    path: PathBuf,
    /// Null if nobody looked, or it is not there.
    as_wanted: Option<bool>,
    found: Vec<String>,
    wrong: Vec<String>,
}

#[derive(Serialize)]
struct File {
    path: PathBuf,
    action: &'static str,
    why: &'static str,
    diff: String,
}

#[derive(Serialize)]
struct Line {
    file: PathBuf,
    line: Option<u64>,
    text: String,
    /// Something is left for the user to do.
    to_do: bool,
}

#[derive(Serialize)]
struct Danger {
    guard: &'static str,
    file: Option<PathBuf>,
    line: Option<usize>,
    text: String,
    remedy: String,
    stopped: bool,
}

pub(super) const fn login(value: Bool) -> &'static str {
    match value {
        Bool::On => "exclusive",
        Bool::Off => "shared",
        Bool::Invalid => "invalid",
    }
}

/// What `--json` prints.
pub(super) fn report<'a>(
    plan: &'a Plan,
    root: &'a Root,
    outcome: &'a Outcome,
    end: &'a Result<String, Failure>,
) -> impl Serialize + use<'a> {
    let kernels = plan.kernels.iter().map(|state| Images {
        kernel: Kernel::of(state),
        images: state.images.iter().map(image).collect(),
    });
    let files = plan.files.iter().map(|file| File {
        path: file.edit.path.clone(),
        action: match (&file.edit.seen, &file.edit.to) {
            (_, None) => "remove",
            (None, Some(_)) => "create",
            (Some(_), Some(_)) => "change",
        },
        why: file.why,
        diff: plan::unified(
            &file.edit.path,
            file.edit.seen.as_deref(),
            file.edit.to.as_deref(),
        ),
    });
    let commands = plan.images_to_make().flat_map(|state| {
        let command = state.image.command(&state.image.workplace());
        std::iter::once(command).chain(state.image.recipe.then.clone())
    });
    let conflicts = plan.conflicts.iter().map(|conflict| Line {
        file: conflict.place.file.clone(),
        line: Some(conflict.place.line.into()),
        text: conflict.to_string(),
        to_do: conflict.is_command_line,
    });
    let remarks = plan.remarks.iter().map(|remark| Line {
        file: remark.file.clone(),
        line: remark.line.and_then(|line| line.try_into().ok()),
        text: remark.text.clone(),
        to_do: remark.is_to_do,
    });
    let dangers = plan.dangers.iter().map(|danger| Danger {
        guard: danger.guard.name(),
        file: danger.file.clone(),
        line: danger.line,
        text: danger.text.clone(),
        remedy: danger.remedy.clone(),
        stopped: danger.is_stopped,
    });
    let (exit_code, message, advice) = match end {
        Ok(message) => (0, message.clone(), Vec::new()),
        Err(failure) => (
            failure.code(),
            failure.message().to_owned(),
            failure.advice().to_vec(),
        ),
    };
    Report {
        schema: 1,
        root: root.path(),
        wanted: match plan.request.wanted {
            Wanted::Shared => "shared",
            Wanted::Exclusive => "exclusive",
            Wanted::AsBefore => "as-before",
        },
        tool: plan.tool.map(fwshare_boot::tool::Tool::name),
        kernels: kernels.collect(),
        files: files.collect(),
        unchanged: &plan.unchanged,
        commands: commands.collect(),
        conflicts: conflicts.collect(),
        remarks: remarks.collect(),
        dangers: dangers.collect(),
        outcome: outcome.state(plan, end),
        images: &outcome.images,
        now: outcome.now.as_ref(),
        exit_code,
        message,
        advice,
    }
}

fn image(state: &plan::ImageState) -> Image {
    let sight = state.sight.as_ref();
    let (as_wanted, found, wrong) = match sight {
        None => (None, Vec::new(), Vec::new()),
        Some(Ok(sight)) => (
            Some(sight.is_good()),
            sight.found.clone(),
            sight.wrong.iter().map(ToString::to_string).collect(),
        ),
        Some(Err(why)) => (Some(false), Vec::new(), vec![why.clone()]),
    };
    Image {
        path: state.image.path.clone(),
        as_wanted,
        found,
        wrong,
    }
}
