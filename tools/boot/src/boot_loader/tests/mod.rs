//! Small systems in temporary folders, and what is found in them.

mod layout;
mod lines;

use crate::small::system;
