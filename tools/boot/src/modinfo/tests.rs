use std::fs;
use std::path::PathBuf;

use super::*;
use crate::compression::tests::compressed;
use crate::judge::{filter, judge};

const MODINFO: &[u8] = b"license=GPL\0parmtype=exclusive_login:bool\0\
    parm=exclusive_login:Exclusive login to sbp2 device (default = Y, use N for others)\0\
    alias=sbp2\0alias=ieee1394:ven*mo*sp0000609Ever00010483*\0\
    depends=firewire-core,scsi_mod\0parm=workarounds:Work around, if needed (default = 0: none)\0\
    parmtype=workarounds:int\0name=firewire_sbp2\0vermagic=6.1.0 SMP mod_unload \0no word\0";

/// A module file of one of binutils' formats. `None` if binutils is not installed.
fn module(folder: &Path, format: &str, name: &str) -> Option<PathBuf> {
    let objcopy = judge("objcopy", "binutils")?;
    fs::write(folder.join("modinfo"), MODINFO).unwrap();
    let rename = ["--rename-section", ".data=.modinfo", "modinfo", name];
    let arguments = [&["-I", "binary", "-O", format][..], &rename].concat();
    filter(&objcopy, &arguments, folder, b"");
    Some(folder.join(name))
}

/// What kmod's modinfo says of a module.
fn judged(path: &Path, field: &str) -> Option<Vec<String>> {
    let modinfo = judge("modinfo", "kmod")?;
    let path = path.to_str().unwrap();
    let said = filter(&modinfo, &["-F", field, path], Path::new("/"), b"");
    let said = String::from_utf8(said).unwrap();
    Some(said.lines().map(str::to_owned).collect())
}

#[test]
fn modules_of_every_kind_of_machine_are_read_as_kmod_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["elf32-little", "elf32-big", "elf64-little", "elf64-big"] {
        let Some(path) = module(folder.path(), format, "firewire-sbp2.ko") else {
            return;
        };
        let info = read(&path, &fs::read(&path).unwrap()).unwrap();
        let check = |field, ours: Vec<String>| {
            if let Some(judged) = judged(&path, field) {
                assert_eq!(ours, judged, "{field} of {format}");
            }
        };
        check("name", vec![info.name.clone()]);
        check("alias", info.aliases.clone());
        check("depends", vec![info.depends.join(",")]);
        check("vermagic", info.vermagic.clone().into_iter().collect());
        let parameters = info.parameters.iter().map(|parameter| {
            let (name, description) = (&parameter.name, parameter.description.as_ref());
            let kind = parameter.kind.as_ref().unwrap();
            format!("{name}:{} ({kind})", description.unwrap())
        });
        // kmod turns the order round.
        check("parm", parameters.rev().collect());
        assert_eq!(
            info.parameter("exclusive_login").unwrap().kind.as_deref(),
            Some("bool")
        );
        assert_eq!(info.parameter("serialize_io"), None);
    }
}

#[test]
fn compressed_modules_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = module(folder.path(), "elf64-little", "firewire-sbp2.ko") else {
        return;
    };
    let bytes = fs::read(&path).unwrap();
    let expected = read(&path, &bytes).unwrap();
    for (package, command) in [
        ("gzip", &["gzip"][..]),
        ("xz-utils", &["xz", "--check=crc32"]),
        ("zstd", &["zstd"]),
    ] {
        let Some(bytes) = compressed(package, command, &bytes) else {
            continue;
        };
        assert_eq!(read(&path, &bytes).unwrap(), expected, "{command:?}");
        for end in 4..bytes.len() {
            assert!(read(&path, &bytes[..end]).is_err(), "{command:?} at {end}");
        }
    }
    for end in 0..bytes.len() {
        // What is behind the section is not looked at.
        let _ = read(&path, &bytes[..end]);
    }
}

#[test]
fn what_is_no_module_is_named() {
    let name = Path::new("/lib/modules/x.ko");
    let error = read(name, b"not a module").unwrap_err().to_string();
    assert!(
        error.starts_with("the module /lib/modules/x.ko is no ELF file: "),
        "{error}"
    );
    let program = fs::read("/proc/self/exe").unwrap();
    let error = read(name, &program).unwrap_err().to_string();
    assert_eq!(
        error,
        "the file /lib/modules/x.ko is no kernel module: it has no section .modinfo of ELF"
    );
}

#[test]
fn modules_that_are_built_in_are_found_by_name() {
    let modinfo = b"firewire_core.license=GPL\0firewire_sbp2.parm=exclusive_login:Exclusive\0\
        firewire_sbp2.parmtype=exclusive_login:bool\0firewire_sbp2.alias=sbp2\0sd_mod.alias=x.y=z\0";
    let info = built_in(modinfo, "firewire-sbp2").unwrap();
    assert_eq!(info.name, "firewire_sbp2");
    assert_eq!(info.aliases, ["sbp2"]);
    let parameter = info.parameter("exclusive_login").unwrap();
    assert_eq!(parameter.kind.as_deref(), Some("bool"));
    assert_eq!(built_in(modinfo, "sd_mod").unwrap().aliases, ["x.y=z"]);
    assert_eq!(built_in(modinfo, "sbp2"), None);
}

#[test]
fn old_modules_have_the_name_of_their_file() {
    let mut info = ModInfo::default();
    for word in words(b"parm=serialize_io:Serialize I/O\0parm=odd\0parmtype=serialize_io:int\0") {
        info.take(&word);
    }
    let parameter = info.parameter("serialize_io").unwrap();
    assert_eq!(parameter.description.as_deref(), Some("Serialize I/O"));
    assert_eq!(info.parameter("odd").unwrap().description, None);
}
