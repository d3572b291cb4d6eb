//! kmod's rules: what a module is loaded with.
