//! What is no image, and what it is instead.

use super::*;
use crate::compression::tests::compressed;

#[test]
fn what_is_no_image_is_named() {
    assert_eq!(refusal(b""), "the image is empty");
    let unknown = "neither an archive nor something compressed begins at byte";
    assert_eq!(refusal(b"something"), format!("{unknown} 0 of the image"));
    assert_eq!(refusal(&[0; 9000]), format!("{unknown} 0 of the image"));
    let mut archive = raw_archive(&[]);
    archive.extend_from_slice(b"\0\0junk");
    assert_eq!(refusal(&archive), format!("{unknown} 126 of the image"));
    let missing = Image::open(Path::new("/nowhere/initrd"), &|_| true).unwrap_err();
    let missing = missing.to_string();
    assert!(
        missing.starts_with("cannot open the image /nowhere/initrd: "),
        "{missing}"
    );
    assert!(Image::open(Path::new("/dev/zero"), &|_| true).is_err());
}

#[test]
fn file_systems_of_old_are_named() {
    let at = |offset: usize, magic: &[u8]| {
        let mut bytes = vec![0; 4096];
        bytes[offset..offset + magic.len()].copy_from_slice(magic);
        bytes
    };
    for (bytes, name) in [
        (
            at(0x438, &[0x53, 0xef]),
            "an ext2 file system, as mkinitrd of before 2006 made",
        ),
        (at(0, b"-rom1fs-"), "a romfs file system"),
        (at(0, b"hsqs"), "a squashfs file system"),
        (
            at(0, &[0x45, 0x3d, 0xcd, 0x28]),
            "a cramfs file system, as Debian's mkinitrd of before 2006 made",
        ),
    ] {
        let expected = format!("the image is {name}, not a cpio archive");
        assert_eq!(refusal(&bytes), expected);
        if let Some(bytes) = compressed("gzip", &["gzip"], &bytes) {
            assert_eq!(refusal(&bytes), expected);
        }
    }
}

#[test]
fn a_real_ext2_is_one() {
    let Some(mkfs) = judge("mkfs.ext4", "e2fsprogs") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("initrd"), vec![0; 1 << 20]).unwrap();
    filter(&mkfs, &["-q", "-t", "ext2", "initrd"], folder.path(), b"");
    let error = Image::open(&folder.path().join("initrd"), &|_| true).unwrap_err();
    assert!(
        matches!(error, ImageError::FileSystem(FileSystem::Ext2)),
        "{error}"
    );
}

#[test]
fn the_old_format_of_cpio_is_named() {
    let Some(archive) = archive(system().path(), "odc") else {
        return;
    };
    let said = refusal(&archive);
    assert!(said.contains("of the format odc, not newc"), "{said}");
}

#[test]
fn an_error_says_which_archive_and_where() {
    let mut bytes = raw_archive(&[raw("a", FILE, "x")]);
    bytes.resize(512, 0);
    let mut second = raw_archive(&[raw("b", FILE, "y")]);
    second[110 + 2 + 4 + 2] = b'X';
    bytes.extend_from_slice(&second);
    assert_eq!(
        refusal(&bytes),
        "archive 2 of the image (uncompressed, from byte 512): \
         no entry of a cpio archive begins here, at byte 738 of the file and 226 of the archive"
    );
    bytes.truncate(700);
    let said = refusal(&bytes);
    assert!(
        said.contains("it ends in the middle, at byte 700"),
        "{said}"
    );
}
