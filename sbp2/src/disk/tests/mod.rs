//! The disk against a device that does as it is told, and now and then something else.

mod bench;
mod errors;
mod logins;
mod requests;
