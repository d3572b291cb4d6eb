//! What boots, where that is not an image that the tool has made: images in other places, none
//! at all, or a /boot that is not there.

use std::path::Path;

use super::image::{Expected, ImageState};
use super::{Request, Wanted};
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

/// What is to be said of an image that is not there. None is made: a kernel that boots without
/// one finds the option in modprobe.d.
pub(super) fn missing(
    root: &Root,
    state: &ImageState,
    request: &Request,
) -> Result<Option<Remark>, TreeError> {
    if !request.images || state.sight.is_some() || request.wanted == Wanted::AsBefore {
        return Ok(None);
    }
    let image = &state.image;
    let mut can_boot = false;
    for kernel in [
        format!("/boot/vmlinuz-{}", image.kernel),
        format!("/lib/modules/{}/vmlinuz", image.kernel),
    ] {
        can_boot |= root.is_file(Path::new(&kernel))?;
    }
    Ok(Some(Remark {
        file: image.path.clone(),
        line: None,
        text: format!(
            "there is no such image, and none was made; if this kernel boots with one: {}",
            image.command(&image.path).join(" ")
        ),
        is_to_do: can_boot,
    }))
}

/// Whether the system that runs has a /boot of its own that is not mounted: images that are made
/// would be put below it, where nothing boots from.
pub(super) fn lacks_boot(root: &Root) -> Result<bool, TreeError> {
    if !root.is_live() {
        return Ok(false);
    }
    let read = |path: &str| {
        let text = root.read(Path::new(path))?.unwrap_or_default();
        Ok::<_, TreeError>(String::from_utf8_lossy(&text).into_owned())
    };
    Ok(is_left_out(
        &read("/etc/fstab")?,
        &read("/proc/self/mountinfo")?,
    ))
}

/// Whether fstab has /boot, and proc(5)'s mountinfo has not.
fn is_left_out(fstab: &str, mountinfo: &str) -> bool {
    let field = |line: &str, number: usize| line.split_whitespace().nth(number) == Some("/boot");
    let is_wanted = fstab
        .lines()
        .any(|line| !line.trim_start().starts_with('#') && field(line, 1));
    is_wanted && !mountinfo.lines().any(|line| field(line, 4))
}

#[cfg(test)]
mod tests {
    use super::is_left_out;

    #[test]
    fn a_boot_that_is_not_mounted_is_seen() {
        let fstab = "# /dev/sda1 /boot ext4\nUUID=1 / ext4 defaults 0 1\n";
        let with_boot = format!("{fstab}UUID=2 /boot ext2 noauto 0 2\n");
        let mounts = "22 1 8:2 / / rw shared:1 - ext4 /dev/sda2 rw\n";
        let mounted = format!("{mounts}36 22 8:1 / /boot rw - ext4 /dev/sda1 rw\n");
        assert!(is_left_out(&with_boot, mounts));
        assert!(!is_left_out(&with_boot, &mounted));
        assert!(!is_left_out(fstab, mounts));
    }
}
