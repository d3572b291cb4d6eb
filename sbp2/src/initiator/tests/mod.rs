//! The initiator against a target that is played by hand, step by step.

mod commands;
mod logins;
mod refusals;
mod resets;
pub(crate) mod rig;
mod task_management;
