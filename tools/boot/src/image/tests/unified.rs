//! Unified kernel images, made by binutils.

use super::*;

/// An EFI program with these sections. `None` if binutils does not know how to make one.
fn efi(folder: &Path, sections: &[(&str, &[u8])]) -> Option<PathBuf> {
    let objcopy = judge("objcopy", "binutils")?;
    let formats = filter(&objcopy, &["--info"], folder, b"");
    let formats = String::from_utf8_lossy(&formats).into_owned();
    if !formats.lines().any(|line| line == "pei-x86-64") {
        return None;
    }
    fs::write(folder.join("code"), "code").unwrap();
    let binary = ["-I", "binary", "-O", "elf64-x86-64", "-B", "i386:x86-64"];
    let rename = ["--rename-section", ".data=.text", "code", "code.o"];
    filter(&objcopy, &[&binary[..], &rename].concat(), folder, b"");
    let mut arguments: Vec<String> = ["-I", "elf64-x86-64", "-O", "pei-x86-64"]
        .map(String::from)
        .into();
    for (at, (name, bytes)) in sections.iter().enumerate() {
        fs::write(folder.join(name), bytes).unwrap();
        let address = (at + 1) << 24;
        arguments.push(format!("--add-section={name}={name}"));
        arguments.push(format!(
            "--set-section-flags={name}=contents,alloc,load,readonly,data"
        ));
        arguments.push(format!("--change-section-vma={name}={address:#x}"));
    }
    arguments.extend(["code.o", "kernel.efi"].map(String::from));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    filter(&objcopy, &arguments, folder, b"");
    Some(folder.join("kernel.efi"))
}

#[test]
fn the_initrd_of_a_unified_kernel_image_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let archive = raw_archive(&[raw("init", FILE, "#!/bin/sh")]);
    let sections: [(&str, &[u8]); 3] = [
        (".cmdline", b"quiet firewire_sbp2.exclusive_login=N\n\0"),
        (".uname", b"6.1.0"),
        (".initrd", &archive),
    ];
    let Some(path) = efi(folder.path(), &sections) else {
        return;
    };
    let image = Image::open(&path, &|_| true).unwrap();
    assert_eq!(read(&image, "/init").as_deref(), Some("#!/bin/sh"));
    let unified = image.unified_kernel().unwrap();
    let cmdline = b"quiet firewire_sbp2.exclusive_login=N";
    assert_eq!(unified.cmdline.as_deref(), Some(&cmdline[..]));
    assert_eq!(unified.uname.as_deref(), Some(&b"6.1.0"[..]));
    let bytes = fs::read(&path).unwrap();
    let offset = bytes.windows(6).position(|part| part == b"070701").unwrap();
    assert_eq!(image.segments()[0].offset, offset as u64);
    // Cut off anywhere, it is no image, but never a panic.
    for end in 2..bytes.len().min(2000) {
        fs::write(&path, &bytes[..end]).unwrap();
        let opened = Image::open(&path, &|_| true);
        assert!(opened.is_err() || end >= offset + archive.len(), "{end}");
    }
}

#[test]
fn a_kernel_alone_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = efi(folder.path(), &[(".cmdline", b"quiet")]) else {
        return;
    };
    let error = Image::open(&path, &|_| true).unwrap_err().to_string();
    assert_eq!(
        error,
        "the file is an EFI program without a section .initrd"
    );
    fs::write(&path, "MZ is how it begins").unwrap();
    let error = Image::open(&path, &|_| true).unwrap_err().to_string();
    assert!(
        error.starts_with("the file begins like an EFI program, but "),
        "{error}"
    );
}
