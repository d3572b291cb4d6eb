//! Unified kernel images, made by binutils.

use super::*;

/// What binutils calls two kinds of machine: a program of Linux, one of EFI, the linker's mode.
const MACHINES: [[&str; 3]; 2] = [
    ["elf64-x86-64", "pei-x86-64", "elf_x86_64"],
    ["elf32-i386", "pei-i386", "elf_i386"],
];

/// An EFI program with these sections. `None` if binutils does not know how to make one.
fn efi(folder: &Path, machine: [&str; 3], sections: &[(&str, &[u8])]) -> Option<PathBuf> {
    let [linux, efi, mode] = machine;
    let (objcopy, ld) = (judge("objcopy", "binutils")?, judge("ld", "binutils")?);
    let formats = filter(&objcopy, &["--info"], folder, b"");
    let formats = String::from_utf8_lossy(&formats).into_owned();
    if !formats.lines().any(|line| line == efi) {
        return None;
    }
    fs::write(folder.join("code"), "code").unwrap();
    let binary = ["-I", "binary", "-O", linux, "-B", "i386"];
    let rename = ["--rename-section", ".data=.text", "code", "code.o"];
    filter(&objcopy, &[&binary[..], &rename].concat(), folder, b"");
    let link = ["-m", mode, "-e", "0", "-o", "code.elf", "code.o"];
    filter(&ld, &link, folder, b"");
    let mut arguments: Vec<String> = vec!["-O".into(), efi.into()];
    for (at, (name, bytes)) in sections.iter().enumerate() {
        fs::write(folder.join(name), bytes).unwrap();
        let address = (at + 0x10) << 24;
        arguments.extend([
            format!("--add-section={name}={name}"),
            format!("--set-section-flags={name}=contents,alloc,load,readonly,data"),
            format!("--change-section-vma={name}={address:#x}"),
        ]);
    }
    arguments.extend(["code.elf", "kernel.efi"].map(String::from));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    filter(&objcopy, &arguments, folder, b"");
    Some(folder.join("kernel.efi"))
}

#[test]
fn the_initrd_of_a_unified_kernel_image_is_read() {
    let archive = raw_archive(&[raw("init", FILE, "#!/bin/sh")]);
    let sections: [(&str, &[u8]); 3] = [
        (".cmdline", b"quiet firewire_sbp2.exclusive_login=N\n\0"),
        (".uname", b"6.1.0"),
        (".initrd", &archive),
    ];
    for machine in MACHINES {
        let folder = tempfile::tempdir().unwrap();
        let Some(path) = efi(folder.path(), machine, &sections) else {
            continue;
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
        assert_eq!(image.size(), archive.len() as u64);
        // Cut off anywhere in front of the end of its archive, it is no image.
        for end in (2..offset + archive.len()).step_by(13) {
            fs::write(&path, &bytes[..end]).unwrap();
            assert!(Image::open(&path, &|_| true).is_err(), "{end}");
        }
    }
}

#[test]
fn a_kernel_alone_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = efi(folder.path(), MACHINES[0], &[(".cmdline", b"quiet")]) else {
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
