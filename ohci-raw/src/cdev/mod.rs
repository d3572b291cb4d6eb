//! Linux firewire-cdev.
