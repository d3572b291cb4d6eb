//! What is to be changed, worked out before anything is.

mod diff;
mod overlay;
mod text;

pub use diff::unified;
pub use overlay::Overlay;
