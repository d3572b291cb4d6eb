//! What is in an image once the kernel has unpacked it.

use super::*;

#[test]
fn links_lead_to_places_in_the_image() {
    let image = open(&raw_archive(&[
        raw("usr", FOLDER, ""),
        raw("usr/lib", FOLDER, ""),
        raw("lib", LINK, "usr/lib"),
        raw("lib/file", FILE, "here"),
        raw("usr/up", LINK, "../../../lib/./file"),
        raw("usr/lib/absolute", LINK, "//usr/up"),
        raw("dangling", LINK, "nowhere/at/all"),
        raw("round", LINK, "about"),
        raw("about", LINK, "/round"),
        raw("tty", DEVICE, ""),
    ]));
    for path in [
        "/usr/lib/file",
        "/lib/file",
        "/usr/up",
        "/lib/absolute",
        "lib/file",
    ] {
        assert_eq!(read(&image, path).as_deref(), Some("here"), "{path}");
        assert_eq!(image.kind(Path::new(path)).unwrap(), Some(Kind::File));
    }
    let names = image.list(Path::new("/lib")).unwrap();
    assert_eq!(names, ["absolute", "file"]);
    let dangling = Path::new("/dangling");
    assert_eq!(image.read(dangling).unwrap(), None);
    assert_eq!(image.kind(dangling).unwrap(), Some(Kind::Other));
    let target = Path::new("nowhere/at/all");
    assert_eq!(image.entry(dangling).unwrap(), Some(Entry::Link { target }));
    let error = image.read(Path::new("/round/x")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /round/x: "), "{error}");
    assert!(image.kind(Path::new("/round")).is_err());
    assert!(image.read(Path::new("/lib")).is_err());
    assert!(image.read(Path::new("/tty")).is_err());
    assert!(image.list(Path::new("/tty")).is_err());
    assert_eq!(image.kind(Path::new("/tty")).unwrap(), Some(Kind::Other));
    assert_eq!(image.kind(Path::new("/tty/x")).unwrap(), None);
    assert!(image.list(Path::new("/none")).unwrap().is_empty());
}

#[test]
fn the_kernel_leaves_out_what_has_no_place() {
    let image = open(&raw_archive(&[
        raw("none/file", FILE, "its folder is not there"),
        raw("a", FOLDER, ""),
        raw("a/b", FILE, ""),
        raw("a", LINK, "elsewhere"),
        raw("a", FILE, "a folder is full"),
        raw("..", FILE, ""),
        raw("a/b/c", FILE, ""),
        raw("empty", FOLDER, ""),
        raw("empty", LINK, "a"),
        raw("nothing", LINK, ""),
        raw("slash/", FOLDER, ""),
        raw("file/", FILE, ""),
        raw("link/", LINK, "a"),
        raw(".", FOLDER, ""),
    ]));
    // Linux 6.1 has made the same of such an archive.
    assert_eq!(
        shown(&image),
        ["/a/", "/a/b 0", "/empty -> a", "/nothing -> ", "/slash/"]
    );
    assert_eq!(image.read(Path::new("/nothing")).unwrap(), None);
    assert_eq!(image.segments()[0].lost, 7);
}

#[test]
fn one_of_several_names_has_the_contents() {
    let several = |name, body, inode| Raw {
        inode: (inode, 2),
        ..raw(name, FILE, body)
    };
    let mut bytes = raw_archive(&[
        several("a", "", 1),
        several("b", "with the last", 1),
        several("c", "with the first", 2),
        several("d", "", 2),
    ]);
    // Inodes of another archive are others.
    bytes.extend(raw_archive(&[several("e", "other", 1)]));
    let image = open(&bytes);
    for (path, contents) in [
        ("a", "with the last"),
        ("b", "with the last"),
        ("c", "with the first"),
        ("d", "with the first"),
        ("e", "other"),
    ] {
        assert_eq!(read(&image, path).as_deref(), Some(contents), "{path}");
    }
}

#[test]
fn a_name_may_have_zeros_behind_it() {
    // dracut-cpio fills names up, so that what follows can share its blocks with the file.
    let padded = Raw {
        name: b"file\0\0\0\0\0\0\0",
        ..raw("", FILE, "x")
    };
    assert_eq!(shown(&open(&raw_archive(&[padded]))), ["/file 1"]);
}

#[test]
fn only_what_is_wanted_is_kept() {
    let bytes = raw_archive(&[
        raw("etc", FOLDER, ""),
        raw("etc/a", FILE, "kept"),
        raw("b", FILE, "not kept"),
        raw("empty", FILE, ""),
        raw("link", LINK, "etc"),
        raw("link/c", FILE, "kept as well"),
    ]);
    let image = Image::read(&bytes[..], &|path| path.starts_with("/etc")).unwrap();
    assert_eq!(read(&image, "/etc/a").as_deref(), Some("kept"));
    assert_eq!(read(&image, "/link/c").as_deref(), Some("kept as well"));
    assert_eq!(read(&image, "/empty").as_deref(), Some(""));
    let error = image.read(Path::new("/b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /b: its contents were not kept when the image was opened"
    );
}

#[test]
fn what_matters_is_configuration_and_the_drivers() {
    let folder = "/usr/lib/modules/6.1.0/kernel/drivers";
    for path in [
        "/etc/modprobe.d/fwshare.conf",
        "/lib/modprobe.d/aliases.conf",
        "/usr/lib/modules/6.1.0/modules.dep",
        &format!("{folder}/firewire/firewire-sbp2.ko.xz"),
        &format!("{folder}/scsi/sd_mod.ko"),
        "/usr/lib/modules/6.1.0/kernel/lib/crc-itu-t.ko.zst",
        "/usr/lib/dracut/hostonly-kernel-modules.txt",
        "conf/modules",
    ] {
        assert!(matters(Path::new(path)), "{path}");
    }
    for path in [
        "/usr/bin/busybox",
        "/usr/lib/firmware/x",
        &format!("{folder}/net/r8169.ko"),
    ] {
        assert!(!matters(Path::new(path)), "{path}");
    }
}
