//! Images in other places than the tool's, which are what boots.

use std::path::Path;

use super::Request;
use super::image::Expected;
use crate::boot_loader::{Layout, Unified};
use crate::root::Root;
use crate::tool::Remark;
use crate::tree::{Tree as _, TreeError};

/// Images that are one file with their kernel, and are not as they should be.
pub(super) fn unified(
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
