//! What is mounted.

/// Where the block device with this number (`8:17`) is mounted, by the lines of
/// `/proc/self/mountinfo` (proc(5)).
#[must_use]
pub fn mounted(mountinfo: &str, number: &str) -> Vec<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(2);
        let device = fields.next()?;
        let place = fields.nth(1)?;
        (device == number).then(|| place.to_owned())
    });
    mounts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_the_devices_number() {
        let mountinfo = "\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
36 22 8:17 / /mnt/disk rw,relatime - ext4 /dev/sdb1 rw
37 22 8:17 /x /srv rw,relatime - ext4 /dev/sdb1 rw
";
        assert_eq!(mounted(mountinfo, "8:17"), ["/mnt/disk", "/srv"]);
        assert!(mounted(mountinfo, "8:1").is_empty());
        assert!(mounted("x\n\n", "8:1").is_empty());
    }
}
