//! The images.

use std::path::{Path, PathBuf};

use fwlab::bridge::{Image, check_blocks};
use sbp2::scsi::Medium;
use sbp2::target::{BridgeProfile, MAX_UNITS};

use super::failure;
use crate::cli::ServeArgs;
use crate::error::{Exit, Failure};

/// What there is to say of an image.
pub(super) struct Disk {
    pub(super) image: PathBuf,
    pub(super) blocks: u64,
    pub(super) block_length: u32,
    pub(super) read_only: bool,
}

/// The images, LUN 0 first: what there is to say of them, and what is on them.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) disks: Vec<Disk>,
    pub(super) media: Vec<Box<dyn Medium>>,
}

/// Opens and locks every image.
pub(super) fn open(args: &ServeArgs, profile: &BridgeProfile) -> Result<Opened, Failure> {
    let images = &args.images;
    if images.len() > MAX_UNITS {
        let message = format!("{} images: a target has at most {MAX_UNITS}", images.len());
        return Err(Failure::new(Exit::Usage, message));
    }
    if let Some(image) = twice(images) {
        let message = format!("--image {} is given twice", image.display());
        return Err(Failure::new(Exit::Usage, message)
            .advise("one logical unit serves any number of hosts"));
    }
    let mut opened = Opened::default();
    for path in images {
        let image = if args.read_only {
            Image::open_read_only(path, args.sector)
        } else {
            Image::open(path, args.sector)
        };
        let image = image.map_err(|error| failure::of_image(&error))?;
        check_blocks(profile, image.blocks()).map_err(|error| failure::of_size(&error, path))?;
        opened.disks.push(Disk {
            image: path.clone(),
            blocks: image.blocks(),
            block_length: image.block_length(),
            read_only: image.read_only(),
        });
        opened.media.push(Box::new(image));
    }
    Ok(opened)
}

fn twice(images: &[PathBuf]) -> Option<&Path> {
    let again = images
        .iter()
        .enumerate()
        .find(|(index, image)| images[..*index].contains(image));
    again.map(|(_, image)| image.as_path())
}
