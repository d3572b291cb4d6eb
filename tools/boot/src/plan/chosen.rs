//! The kernels that a plan is for, and what their drivers take.

use std::path::PathBuf;

use super::files::{self, Stacks};
use super::{PlanError, Request, Wanted};
use crate::kernels::{self, Kernel};
use crate::root::Root;
use crate::tool::Remark;
use crate::tree::TreeError;

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
pub(super) fn chosen(
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
pub(super) fn stacks(
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
