//! An image for early boot, opened.
