//! A disk handed to the host.
