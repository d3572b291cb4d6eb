//! Real file systems on a loop device.
