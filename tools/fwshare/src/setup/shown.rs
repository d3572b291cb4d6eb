//! A plan and its steps, for people.

use std::fmt::Write as _;

use fwshare_boot::Root;
use fwshare_boot::kmod::Bool;
use fwshare_boot::plan::{self, KernelState, Plan, Step, Wanted};
use fwshare_boot::tool::Ruler;

/// The whole plan.
pub(super) fn plan(plan: &Plan, root: &Root) -> String {
    let mut text = String::new();
    // Nothing makes writing to a text fail.
    let _ = write(&mut text, plan, root);
    text
}

fn write(text: &mut String, plan: &Plan, root: &Root) -> std::fmt::Result {
    let what = match plan.request.wanted {
        Wanted::Shared => "shared logins for the kernel's SBP-2 driver",
        Wanted::Exclusive => "exclusive logins for the kernel's SBP-2 driver",
        Wanted::AsBefore => "what was there before fwshare",
    };
    match root.is_live() {
        true => writeln!(text, "Wanted: {what}")?,
        false => writeln!(text, "Wanted: {what}, in {}", root.path().display())?,
    }
    for kernel in &plan.kernels {
        writeln!(
            text,
            "  kernel {}: {}",
            kernel.kernel.version(),
            described(kernel)
        )?;
    }
    writeln!(text, "  images: {}", ruler(plan))?;
    for file in &plan.files {
        let edit = &file.edit;
        writeln!(text, "\n{}: {}", file.why, edit.path.display())?;
        text.push_str(&plan::unified(
            &edit.path,
            edit.seen.as_deref(),
            edit.to.as_deref(),
        ));
    }
    let images: Vec<_> = plan.images_to_make().collect();
    if !images.is_empty() {
        writeln!(text, "\nCommands")?;
    }
    for image in images {
        writeln!(
            text,
            "  {}",
            image.image.command(&image.image.workplace()).join(" ")
        )?;
        let why = image.complaint();
        writeln!(
            text,
            "    and, when it was found good, {} is replaced ({why})",
            image.image.path.display()
        )?;
        for then in &image.image.recipe.then {
            writeln!(text, "  {}", then.join(" "))?;
        }
    }
    by_hand_commands(text, plan)?;
    let remarks: Vec<_> = plan
        .remarks
        .iter()
        .filter(|remark| !remark.is_to_do)
        .collect();
    if !remarks.is_empty() {
        writeln!(text, "\nTo know")?;
    }
    for remark in remarks {
        writeln!(text, "  {}", indented(&remark.to_string()))?;
    }
    dangers(text, plan)?;
    text.push('\n');
    Ok(())
}

/// What remains for who wants no images made.
fn by_hand_commands(text: &mut String, plan: &Plan) -> std::fmt::Result {
    let images: Vec<_> = plan
        .kernels
        .iter()
        .flat_map(|kernel| &kernel.images)
        .collect();
    if plan.request.images || images.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nNot done, because of --no-rebuild")?;
    for image in images {
        writeln!(
            text,
            "  {}",
            image.image.command(&image.image.path).join(" ")
        )?;
    }
    Ok(())
}

/// What will be left to do by hand, for who does not get there.
pub(super) fn left(plan: &Plan) -> String {
    let to_do: Vec<_> = plan
        .remarks
        .iter()
        .filter(|remark| remark.is_to_do)
        .collect();
    let mut text = String::new();
    if !to_do.is_empty() {
        text.push_str("What will be left to do\n");
    }
    for remark in &to_do {
        text.push_str(&format!("  {}\n", indented(&remark.to_string())));
    }
    if !to_do.is_empty() {
        text.push('\n');
    }
    text
}

fn dangers(text: &mut String, plan: &Plan) -> std::fmt::Result {
    let open: Vec<_> = plan
        .dangers
        .iter()
        .filter(|danger| !danger.is_stopped)
        .collect();
    if open.is_empty() || plan.request.wanted != Wanted::Shared {
        return Ok(());
    }
    writeln!(text, "\nWhat would use a disk that several hosts see")?;
    for danger in open {
        writeln!(
            text,
            "  {}: {}",
            danger.guard,
            indented(&danger.to_string())
        )?;
        writeln!(text, "    {}", indented(&danger.remedy))?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n    ")
}

fn described(state: &KernelState) -> String {
    let Some(driver) = state.driver else {
        return "no driver for SBP-2".into();
    };
    let kind = match state.is_built_in {
        true => "built in",
        false => "a module",
    };
    let now = match &state.now {
        None => "nothing is configured, so logins are exclusive".into(),
        Some((value, place)) => format!("{} by {place}", login(*value)),
    };
    format!("{driver}, {kind}; {now}")
}

/// How a value of the parameter makes the driver log in.
pub(super) const fn login(value: Bool) -> &'static str {
    match value {
        Bool::On => "exclusive",
        Bool::Off => "shared",
        Bool::Invalid => "not loaded at all, for an invalid value,",
    }
}

fn ruler(plan: &Plan) -> String {
    match (plan.tool, &plan.ruler) {
        (Some(tool), _) => tool.to_string(),
        (None, Ruler::Unsupported(other)) => {
            format!("{}, which fwshare does not run", other.name)
        }
        (None, Ruler::Tool(tool)) => format!("{tool}, which is not run"),
        (None, Ruler::Either(one, other)) => format!("{one} or {other}, which are not run"),
        (None, Ruler::Nothing) => "no tool was found".into(),
    }
}

/// What to do where fwshare makes no images.
pub(super) fn by_hand(plan: &Plan) -> Option<String> {
    match &plan.ruler {
        Ruler::Unsupported(other) => Some(format!("{}: {}", other.name, other.advice)),
        _ => None,
    }
}

/// A step, as it happens.
pub(super) fn step(step: &Step<'_>) -> String {
    match step {
        Step::Changed([]) => String::new(),
        Step::Changed(files) => {
            let lines = files.iter().map(|file| {
                let done = match (&file.edit.seen, &file.edit.to) {
                    (_, None) => "removed",
                    (None, Some(_)) => "written",
                    (Some(_), Some(_)) => "changed",
                };
                format!("{done}: {}\n", file.edit.path.display())
            });
            lines.collect()
        }
        Step::Making(image) => format!(
            "making: {} with {}, for {}\n",
            image.path.display(),
            image.recipe.program,
            image.kernel
        ),
        Step::Made(image, sight) => format!(
            "verified: {} has {}\n",
            image.path.display(),
            sight.found.join("; ")
        ),
        Step::NotMade(image, error) => {
            let mut text = format!("failed: {}: {error}\n", image.path.display());
            for line in error.said().lines() {
                text.push_str(&format!("  | {line}\n"));
            }
            text
        }
    }
}
