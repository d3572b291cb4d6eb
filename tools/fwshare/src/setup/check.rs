//! `--check`: how things are, and whether that is as wanted.

use fwshare_boot::Root;
use fwshare_boot::kmod::Bool;
use fwshare_boot::plan::{ImageState, KernelState, Plan, Wanted};
use nix::sys::utsname::uname;
use serde::Serialize;

use super::json::{Kernel, login};
use crate::error::{Exit, Failure};
use crate::kernel_driver::Sysfs;
use crate::output::{self, Table};

#[derive(Serialize)]
struct Report {
    schema: u32,
    as_wanted: bool,
    wanted: &'static str,
    kernels: Vec<Checked>,
    /// What is not as wanted.
    wrong: Vec<String>,
    dangers: Vec<String>,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    kernel: Kernel,
    images: Vec<Image>,
    /// How the driver that is loaded logs in; null if this kernel does not run, or has not loaded
    /// it.
    running: Option<&'static str>,
}

#[derive(Serialize)]
struct Image {
    path: std::path::PathBuf,
    /// `shared`, `exclusive`, `invalid`; null if nothing in it is set, or it cannot be read.
    value: Option<&'static str>,
    as_wanted: bool,
}

/// The version of the kernel that runs.
pub(super) fn running_kernel() -> Result<String, Failure> {
    let failed = |what: String| Failure::new(Exit::Error, what);
    let name = uname().map_err(|errno| failed(format!("cannot ask for the kernel: {errno}")))?;
    let release = name.release().to_str().map(str::to_owned);
    release.ok_or_else(|| failed("the running kernel's version is no text".into()))
}

pub(super) fn run(plan: &Plan, root: &Root, json: bool) -> Result<(), Failure> {
    let running = match root.is_live() {
        true => Some(running_kernel()?),
        false => None,
    };
    let driver = Sysfs::running().driver();
    let is_loaded_exclusive = driver.and_then(|driver| driver.is_exclusive());
    let mut wrong = wrong(plan);
    let kernels: Vec<_> = plan
        .kernels
        .iter()
        .map(|state| {
            let is_running = running.as_deref() == Some(state.kernel.version().as_str());
            let exclusive = is_loaded_exclusive.filter(|_| is_running);
            let wanted = plan.request.wanted.exclusive();
            if exclusive.is_some() && wanted.is_some() && exclusive != wanted {
                wrong.push("the driver that is loaded logs in otherwise: --now".into());
            }
            checked(state, exclusive)
        })
        .collect();
    let dangers = plan.dangers.iter().filter(|danger| !danger.is_stopped);
    let report = Report {
        schema: 1,
        as_wanted: wrong.is_empty(),
        wanted: match plan.request.wanted {
            Wanted::Shared | Wanted::AsBefore => "shared",
            Wanted::Exclusive => "exclusive",
        },
        kernels,
        wrong,
        dangers: dangers.map(ToString::to_string).collect(),
    };
    match json {
        true => output::print_json(&report)?,
        false => output::print(&output::harmless(&table(&report)))?,
    }
    if report.as_wanted {
        return Ok(());
    }
    let mut failure = Failure::new(Exit::NotAsWanted, "not as wanted:").with_data_shown();
    for wrong in &report.wrong {
        failure = failure.advise(wrong.as_str());
    }
    Err(failure.advise("fwshare setup-initramfs does what is missing, --dry-run shows it first"))
}

/// What is not as wanted, a sentence each.
fn wrong(plan: &Plan) -> Vec<String> {
    let conflicts = plan.conflicts.iter().map(ToString::to_string);
    let files = plan.files.iter().map(|file| {
        let path = file.edit.path.display();
        match file.edit.seen {
            None => format!("{path}: is not there"),
            Some(_) => format!("{path}: is not as it should be"),
        }
    });
    let images = plan
        .images_to_make()
        .map(|state| format!("{}: {}", state.image.path.display(), state.complaint()));
    let to_do = plan.remarks.iter().filter(|remark| remark.is_to_do);
    let to_do = to_do.map(ToString::to_string);
    let unseen = plan.lacks_tool().then(|| {
        "no tool that makes images is known here, so no image was looked into (--tool none: there \
         is none to look into)"
            .to_owned()
    });
    conflicts
        .chain(files)
        .chain(images)
        .chain(unseen)
        .chain(to_do)
        .collect()
}

fn checked(state: &KernelState, running: Option<bool>) -> Checked {
    Checked {
        kernel: Kernel::of(state),
        images: state.images.iter().map(image).collect(),
        running: running.map(|exclusive| match exclusive {
            true => login(Bool::On),
            false => login(Bool::Off),
        }),
    }
}

fn image(state: &ImageState) -> Image {
    let sight = state.sight.as_ref().and_then(|sight| sight.as_ref().ok());
    Image {
        path: state.image.path.clone(),
        value: sight.and_then(|sight| sight.value).map(login),
        as_wanted: sight.is_some_and(fwshare_boot::plan::Sight::is_good),
    }
}

fn table(report: &Report) -> String {
    let mut table = Table::new(["KERNEL", "DRIVER", "CONFIGURED", "IN THE IMAGE", "RUNNING"]);
    let or_default = |value: Option<&'static str>| value.unwrap_or("-").to_owned();
    for checked in &report.kernels {
        let kernel = &checked.kernel;
        let driver = match (kernel.driver, kernel.built_in) {
            (None, _) => "none".into(),
            (Some(driver), true) => format!("{driver} (built in)"),
            (Some(driver), false) => driver.to_owned(),
        };
        let images: Vec<_> = checked
            .images
            .iter()
            .map(|image| or_default(image.value))
            .collect();
        table.row([
            kernel.version.clone(),
            driver,
            or_default(kernel.configured),
            match images[..] {
                [] => "-".into(),
                _ => images.join(", "),
            },
            or_default(checked.running),
        ]);
        if let Some(by) = &kernel.configured_by {
            table.note(format!("by {by}"));
        }
    }
    let mut text = table.render();
    for danger in &report.dangers {
        text.push_str(&format!("danger: {danger}\n"));
    }
    text
}
