//! A virtual bus.
