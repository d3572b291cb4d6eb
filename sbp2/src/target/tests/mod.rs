//! The bridge as hosts see it, transaction by transaction. `lab` plays the hosts and the bus.

mod data;
mod fetching;
mod guest;
mod hostile;
mod lab;
mod late;
mod login;
mod resets;
mod task_management;
mod virtual_bus;
