//! IEEE 1212 configuration ROMs.
