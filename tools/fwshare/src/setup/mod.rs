//! `fwshare setup-initramfs` and `fwshare setup-udev`: how a system is set up for shared disks.
//!
//! What is to be done is worked out in `fwshare-boot`; here it is shown, done, and told.

mod args;
mod check;
mod json;
mod now;
mod shown;
mod udev;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use fwshare_boot::change::{self, ChangeError, Recovered};
use fwshare_boot::guard::{Guard, Live};
use fwshare_boot::plan::{CarryOutError, Plan, PlanError, Request, Step, ToolWish, Wanted};
use fwshare_boot::rebuild::RebuildError;
use fwshare_boot::{Root, TreeError};

pub(crate) use args::{SetupInitramfsArgs, SetupUdevArgs};
pub(crate) use udev::run as udev;

use crate::error::{Exit, Failure};
use crate::kernel_driver::Sysfs;
use crate::output;
use crate::signals::Stop;
use args::{GuardChoice, KernelChoice, ToolChoice};
use json::{ImageOutcome, Outcome};

/// Sets the kernel's driver up, or tells how things are.
pub(crate) fn initramfs(args: &SetupInitramfsArgs) -> Result<(), Failure> {
    let root = open(&args.root)?;
    if args.now && !root.is_live() {
        return Err(Failure::new(
            Exit::Usage,
            "--now is for the kernel that runs, and --root for another system",
        ));
    }
    let request = request(args, &root)?;
    let changes = !args.dry_run && !args.check;
    if changes {
        recover(&root)?;
    }
    let live = root.is_live().then(|| Live::read(&root)).transpose();
    let live = live.map_err(|error| unreadable(&error))?;
    let plan = Plan::make(&root, request, live.as_ref()).map_err(no_plan)?;
    if args.check {
        return check::run(&plan, &root, args.json);
    }
    if !args.json {
        output::print(&output::harmless(&shown::plan(&plan, &root)))?;
    }
    if !plan.conflicts.is_empty() {
        return finish(args, &plan, &root, &Outcome::conflict(), conflict(&plan));
    }
    if args.dry_run {
        if !args.json {
            output::print(&output::harmless(&shown::left(&plan)))?;
        }
        let end = foretold(&plan, &root);
        return finish(args, &plan, &root, &Outcome::planned(), end);
    }
    let sysfs = Sysfs::running();
    if args.now {
        now::check(&sysfs)?;
    }
    let mut outcome = Outcome::default();
    carry_out(&plan, &root, args.json, &mut outcome)?;
    if let Some(exclusive) = plan.request.wanted.exclusive().filter(|_| args.now) {
        let now = match now::apply(&sysfs, exclusive) {
            Ok(now) => now,
            Err(failure) => {
                let failure = failure.advise("the files are written, whatever runs now");
                return finish(args, &plan, &root, &outcome, Err(failure));
            }
        };
        if !args.json {
            output::print(&format!("{}\n", now.described()))?;
        }
        outcome.now = Some(now);
    }
    let end = end(&plan, &outcome);
    finish(args, &plan, &root, &outcome, end)
}

/// How a dry run ends: as the run would that is not one, as far as that can be seen.
fn foretold(plan: &Plan, root: &Root) -> Result<String, Failure> {
    let failure = match plan.check(root) {
        Err(CarryOutError::Change(error @ ChangeError::Refused { .. })) => not_changed(&error),
        Err(CarryOutError::Rebuild(
            error @ (RebuildError::NoRoom { .. } | RebuildError::NoFile { .. }),
        )) => no_image(&error),
        // Who looks need not be who may write.
        Ok(()) | Err(_) => {
            return Ok(match plan.is_fulfilled() {
                true => "nothing to do: all is as wanted",
                false => "--dry-run: nothing was changed",
            }
            .into());
        }
    };
    Err(failure)
}

fn open(path: &Path) -> Result<Root, Failure> {
    Root::open(path).map_err(|error| {
        Failure::new(Exit::Usage, error.to_string())
            .advise("--root is a folder with a system in it")
    })
}

fn request(args: &SetupInitramfsArgs, root: &Root) -> Result<Request, Failure> {
    let mut kernels = Vec::new();
    for kernel in &args.kernel {
        match kernel {
            KernelChoice::All => {
                kernels.clear();
                break;
            }
            KernelChoice::Running if !root.is_live() => {
                return Err(Failure::new(
                    Exit::Usage,
                    "--kernel running is none of another system's: say its version, or all",
                ));
            }
            KernelChoice::Running => kernels.push(check::running_kernel()?),
            KernelChoice::Version(version) => kernels.push(version.as_str().to_owned()),
        }
    }
    let guards = args.guard.iter().flat_map(|guard| match guard {
        GuardChoice::All => Guard::ALL.to_vec(),
        GuardChoice::One(guard) => vec![*guard],
    });
    Ok(Request {
        wanted: match () {
            () if args.remove => Wanted::AsBefore,
            () if args.exclusive => Wanted::Exclusive,
            () => Wanted::Shared,
        },
        tool: match args.tool {
            ToolChoice::Auto => ToolWish::Auto,
            ToolChoice::None => ToolWish::None,
            ToolChoice::Tool(tool) => ToolWish::Tool(tool),
        },
        kernels,
        guards: guards.collect(),
        force: args.force,
        images: !args.no_rebuild && args.tool != ToolChoice::None,
    })
}

/// Finishes what a loss of power cut short.
fn recover(root: &Root) -> Result<(), Failure> {
    match change::recover(root) {
        Ok(Recovered::Nothing | Recovered::Swept) => {}
        Ok(Recovered::Finished(_)) => {
            output::complain("fwshare: an earlier run was cut short; it was finished now");
        }
        Ok(Recovered::TakenBack(error)) => output::complain(&format!(
            "fwshare: an earlier run was cut short; it was taken back now ({error})"
        )),
        Err(error) => return Err(not_changed(&error)),
    }
    Ok(())
}

fn carry_out(plan: &Plan, root: &Root, quiet: bool, outcome: &mut Outcome) -> Result<(), Failure> {
    let stop = Stop::on_signals("putting an unfinished image away")?;
    let is_stopped = Cell::new(false);
    let stopped = || {
        is_stopped.set(is_stopped.get() || stop.wait(Duration::ZERO));
        is_stopped.get()
    };
    let mut tell = |step: Step<'_>| {
        if let Step::Made(image, _) = step {
            outcome.images.push(ImageOutcome::made(&image.path));
        }
        if let Step::NotMade(image, error) = step {
            outcome
                .images
                .push(ImageOutcome::not_made(&image.path, error));
        }
        if !quiet {
            // That nobody reads it is no reason to stop half-way.
            let _ = output::print(&output::harmless(&shown::step(&step)));
        }
    };
    plan.carry_out(root, &stopped, &mut tell)
        .map_err(|error| match error {
            CarryOutError::Change(error) => not_changed(&error),
            CarryOutError::Rebuild(error) => no_image(&error),
        })
}

/// How it ended.
fn end(plan: &Plan, outcome: &Outcome) -> Result<String, Failure> {
    let wanted = plan.request.wanted;
    let now = outcome.now.is_some();
    let failed = plan.images_to_make().count() - outcome.in_place();
    if failed > 0 {
        return Err(Failure::new(
            Exit::NoImage,
            format!("{failed} of the images are not as wanted; the old ones are in place"),
        )
        .advise("the files are written: run it again when the cause is mended")
        .advise("or bring everything back: fwshare setup-initramfs --remove"));
    }
    let left: Vec<_> = outcome.left().collect();
    if !left.is_empty() {
        let message = "the images are in place, but what has to follow them was not done; run it:";
        let failure = Failure::new(Exit::Partly, message);
        return Err(left.into_iter().fold(failure, Failure::advise));
    }
    if plan.lacks_tool() {
        let failure = Failure::new(
            Exit::NoTool,
            "no image was made: no tool for it is known here",
        );
        return Err(match shown::by_hand(plan) {
            Some(advice) => failure.advise(advice),
            None => failure.advise("--tool says which one, if it is there"),
        });
    }
    if plan.leaves_something() {
        let mut failure = Failure::new(Exit::Partly, "done, but for this:");
        for remark in plan.remarks.iter().filter(|remark| remark.is_to_do) {
            failure = failure.advise(remark.to_string());
        }
        return Err(failure);
    }
    if plan.is_fulfilled() {
        return Ok("nothing to do: all is as wanted".into());
    }
    let when = match (wanted, now, plan.request.images) {
        (_, _, false) => "the images are as they were: they have to be made anew",
        (Wanted::AsBefore, ..) => "everything is as it was before",
        (_, true, _) => "it holds now, and after the next boot",
        (_, false, _) => "it holds after the next boot",
    };
    Ok(format!("done: {when}"))
}

/// Tells the end, and gives the exit code.
fn finish(
    args: &SetupInitramfsArgs,
    plan: &Plan,
    root: &Root,
    outcome: &Outcome,
    end: Result<String, Failure>,
) -> Result<(), Failure> {
    if args.json {
        output::print_json(&json::report(plan, root, outcome, &end))?;
        return end.map(drop).map_err(Failure::with_data_shown);
    }
    output::print(&format!("{}\n", end?))
}

fn conflict(plan: &Plan) -> Result<String, Failure> {
    let mut failure = Failure::new(
        Exit::Conflict,
        "somebody else's configuration is in the way, and nothing was changed",
    );
    for conflict in &plan.conflicts {
        failure = failure.advise(conflict.to_string());
    }
    Err(
        match plan
            .conflicts
            .iter()
            .all(|conflict| conflict.is_command_line)
        {
            true => failure.advise("take it out there"),
            false => failure.advise("--force comments it out, and --remove brings it back"),
        },
    )
}

fn no_plan(error: PlanError) -> Failure {
    let message = error.to_string();
    match error {
        PlanError::Tree(error) => unreadable(&error),
        PlanError::Change(error) => not_changed(&error),
        PlanError::NoSuchKernel { .. } => Failure::new(Exit::Usage, message),
        PlanError::NoDriver(_) => Failure::new(Exit::NoSuchDevice, message).advise(
            "a kernel for clouds and virtual machines has none: install the usual one\n\
             (linux-image-amd64, linux-generic with linux-modules-extra, kernel-modules-extra)",
        ),
        PlanError::Untouchable(system) => {
            Failure::new(Exit::Conflict, message).advise(system.advice)
        }
        PlanError::NoBoot => Failure::new(Exit::Error, message)
            .advise("mount it first: mount /boot")
            .advise("or write the files alone: --no-rebuild"),
        PlanError::WhichTool(one, other) => Failure::new(Exit::Conflict, message)
            .advise(format!("say which: --tool {one} or --tool {other}")),
    }
}

fn unreadable(error: &TreeError) -> Failure {
    denied(error.source.kind(), error.to_string(), Exit::Error)
}

fn denied(kind: std::io::ErrorKind, message: String, otherwise: Exit) -> Failure {
    match kind {
        std::io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, message).advise("run as root")
        }
        _ => Failure::new(otherwise, message),
    }
}

fn not_changed(error: &ChangeError) -> Failure {
    let message = error.to_string();
    match error {
        ChangeError::Io { source, .. } => denied(source.kind(), message, Exit::Error),
        ChangeError::Busy { .. } => Failure::new(Exit::Error, message).advise("wait for its end"),
        ChangeError::Pending => {
            Failure::new(Exit::Error, message).advise("run it without --dry-run and --check")
        }
        ChangeError::Refused { why, .. } => {
            use fwshare_boot::change::Refusal;
            let exit = match why {
                Refusal::Mask => Exit::Conflict,
                _ => Exit::Error,
            };
            Failure::new(exit, message).advise("nothing was changed")
        }
        _ => Failure::new(Exit::Error, message),
    }
}

fn no_image(error: &RebuildError) -> Failure {
    let message = error.to_string();
    match error {
        RebuildError::Os { source, .. } => {
            denied(source.kind(), message, Exit::NoImage).advise("nothing was changed")
        }
        _ => Failure::new(Exit::NoImage, message).advise("nothing was changed"),
    }
}
