//! `--now`: what was set up has effect on the kernel that runs.
//!
//! The driver reads its parameter when it logs in. It is unloaded and loaded again, which has it
//! read modprobe.d as it will at the next boot; where it cannot be unloaded, the parameter is
//! written, and the driver is told to let go of its units and to take them again.

use std::process::Command;

use serde::Serialize;

use crate::error::{Exit, Failure};
use crate::kernel_driver::{Driver, Sysfs};

/// The programs of kmod, wherever the caller's PATH leads.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Outcome {
    /// The driver's name in /sys/module.
    driver: Option<&'static str>,
    /// How it did log in, and how it does now.
    exclusive_before: Option<bool>,
    exclusive_after: Option<bool>,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum How {
    NotLoaded,
    Unchanged,
    Reloaded,
    Written,
}

/// Sees that nobody uses a disk that the driver has.
///
/// # Errors
/// [`Exit::Held`], with the disk and who uses it.
pub(crate) fn check(sysfs: &Sysfs) -> Result<(), Failure> {
    for bound in sysfs.all_bound() {
        bound.is_idle().map_err(|failure| {
            failure.advise("or leave --now away: it has effect after the next boot then")
        })?;
    }
    Ok(())
}

/// Has it done.
///
/// # Errors
/// The driver cannot be told, or does as it likes.
pub(crate) fn apply(sysfs: &Sysfs, exclusive: bool) -> Result<Outcome, Failure> {
    check(sysfs)?;
    let Some(driver) = sysfs.driver() else {
        return Ok(Outcome {
            driver: None,
            exclusive_before: None,
            exclusive_after: None,
            how: How::NotLoaded,
        });
    };
    let before = driver.is_exclusive();
    let outcome = |how, after| Outcome {
        driver: Some(driver.name),
        exclusive_before: before,
        exclusive_after: after,
        how,
    };
    if before == Some(exclusive) {
        return Ok(outcome(How::Unchanged, before));
    }
    let how = match reload(&driver) {
        Ok(()) => How::Reloaded,
        Err(why) => {
            tracing::info!("{} cannot be loaded anew: {why}", driver.name);
            How::Written
        }
    };
    let Some(driver) = sysfs.driver() else {
        let message = format!("{} was unloaded, and is not there again", driver.name);
        return Err(Failure::new(Exit::Error, message)
            .advise(format!("load it: modprobe {}, and see dmesg", driver.name)));
    };
    let mut after = driver.is_exclusive();
    let mut really = how;
    if after != Some(exclusive) {
        really = How::Written;
        driver.set_exclusive(exclusive)?;
        for bound in sysfs.all_bound() {
            bound.log_in_again()?;
        }
        after = driver.is_exclusive();
    }
    if after != Some(exclusive) {
        let message = format!("{} logs in {} all the same", driver.name, words(after));
        return Err(Failure::new(Exit::Error, message)
            .advise("look for its name in dmesg and on the kernel's command line"));
    }
    Ok(outcome(really, after))
}

fn reload(driver: &Driver) -> Result<(), String> {
    if !driver.is_module() {
        return Err("it is built in".into());
    }
    for arguments in [&["-r", driver.name][..], &[driver.name]] {
        let output = Command::new("modprobe")
            .args(arguments)
            .env("PATH", PATH)
            .output()
            .map_err(|error| format!("modprobe: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("modprobe {}: {}", arguments.join(" "), said.trim()));
        }
    }
    Ok(())
}

const fn words(exclusive: Option<bool>) -> &'static str {
    match exclusive {
        Some(true) => "exclusively",
        Some(false) => "without exclusivity",
        None => "in a way that it does not tell",
    }
}

impl Outcome {
    /// A line for people.
    pub(crate) fn described(&self) -> String {
        let Some(driver) = self.driver else {
            return "now: the driver is not loaded; it will be loaded as is set up".into();
        };
        let value = |value: Option<bool>| match value {
            Some(true) => "Y",
            Some(false) => "N",
            None => "?",
        };
        let change = format!(
            "/sys/module/{driver}/parameters/exclusive_login: {} before, {} now",
            value(self.exclusive_before),
            value(self.exclusive_after)
        );
        let how = match self.how {
            How::NotLoaded | How::Unchanged => {
                "a login that is older than the value keeps its kind until the disk is plugged in \
                 again"
            }
            How::Reloaded => "the driver was unloaded and loaded again",
            How::Written => {
                "the parameter was written, and the driver has logged in to its disks again"
            }
        };
        format!("now: {change}\n  {how}")
    }
}
