//! What is done to a system.

use crate::system::System;

/// The file of options, as it is to reach the image.
pub(crate) const OPTIONS: &str = "/etc/modprobe.d/fwshare.conf";

/// Sets the system's images up for shared logins.
pub(crate) fn shared(system: &System) {
    system.write(OPTIONS, "options firewire-sbp2 exclusive_login=0\n");
    if system.has_dracut() {
        system.write(
            "/etc/dracut.conf.d/90-fwshare.conf",
            &format!("add_drivers+=\" firewire-ohci firewire-sbp2 sd_mod \"\ninstall_items+=\" {OPTIONS} \"\n"),
        );
    }
    rebuild(system);
}

/// Has the system's own tool make the image anew.
pub(crate) fn rebuild(system: &System) {
    let (image, kernel) = (system.image_name(), &system.kernel);
    system.sh(&match system.has_dracut() {
        true => format!("dracut --force {image} {kernel}"),
        false => format!("update-initramfs -u -k {kernel}"),
    });
}
