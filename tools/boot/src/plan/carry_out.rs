//! A plan, carried out.

use std::path::Path;

use super::image::Sight;
use super::{FileChange, Plan};
use crate::change::{self, ChangeError, Edit};
use crate::rebuild::{self, RebuildError, Stopped};
use crate::root::Root;
use crate::tool::Image;

/// What has just been done, or is about to be.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The files are changed, all of them.
    Changed(&'a [FileChange]),
    /// An image is being made.
    Making(&'a Image),
    /// It was looked into, is as wanted, and is in place.
    Made(&'a Image, &'a Sight),
    /// It was not made, or is not as wanted, and the old one is in place; or what has to follow
    /// came to nothing ([`RebuildError::is_after`]).
    NotMade(&'a Image, &'a RebuildError),
}

/// Why a plan was not begun. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum CarryOutError {
    /// The files.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// An image cannot be made.
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
}

impl Plan {
    /// Changes the files and makes the images. What became of each is told; after an interruption
    /// the others are not begun.
    ///
    /// # Errors
    /// [`CarryOutError`]: nothing was done.
    pub fn carry_out(
        &self,
        root: &Root,
        stopped: Stopped<'_>,
        tell: &mut dyn FnMut(Step<'_>),
    ) -> Result<(), CarryOutError> {
        let edits: Vec<Edit> = self.files.iter().map(|file| file.edit.clone()).collect();
        self.check(root)?;
        change::apply(root, &edits)?;
        tell(Step::Changed(&self.files));
        for state in self.images_to_make() {
            let image = &state.image;
            tell(Step::Making(image));
            let fit = |path: &Path| match state.expected.look(root, path) {
                Ok(Some(Ok(sight))) if sight.is_good() => Ok(sight),
                Ok(Some(Ok(sight))) => Err(sight.complaint()),
                Ok(Some(Err(why))) => Err(why),
                Ok(None) => Err("it has gone".into()),
                Err(error) => Err(error.to_string()),
            };
            match rebuild::rebuild(root, image, stopped, fit) {
                Ok(sight) => tell(Step::Made(image, &sight)),
                Err(error) => {
                    tell(Step::NotMade(image, &error));
                    if matches!(error, RebuildError::Interrupted) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sees whether it can be carried out, as far as that can be seen beforehand.
    ///
    /// # Errors
    /// [`CarryOutError`].
    pub fn check(&self, root: &Root) -> Result<(), CarryOutError> {
        let edits: Vec<Edit> = self.files.iter().map(|file| file.edit.clone()).collect();
        change::check(root, &edits)?;
        for state in self.images_to_make() {
            rebuild::check(root, &state.image)?;
        }
        Ok(())
    }
}
