//! A file that says of itself what a kernel module does, and is nothing else.

/// An ELF object with the section `.modinfo`.
pub(crate) fn module(name: &str, parameters: &[&str]) -> Vec<u8> {
    let mut modinfo = format!("name={name}\0license=GPL\0").into_bytes();
    for parameter in parameters {
        modinfo.extend(format!("parm={parameter}:as in the kernel\0").bytes());
        modinfo.extend(format!("parmtype={parameter}:bool\0").bytes());
    }
    let names = b"\0.modinfo\0.shstrtab\0";
    let (modinfo_at, header) = (64, 64);
    let names_at = modinfo_at + modinfo.len();
    let sections_at = (names_at + names.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: usize| {
        file.extend(u16::try_from(value).unwrap().to_le_bytes());
    };
    let word = |file: &mut Vec<u8>, value: usize| {
        file.extend(u32::try_from(value).unwrap().to_le_bytes());
    };
    let long = |file: &mut Vec<u8>, value: usize| file.extend((value as u64).to_le_bytes());
    // A relocatable object for x86-64, with three sections, the last of which has the names.
    half(&mut file, 1);
    half(&mut file, 62);
    word(&mut file, 1);
    for value in [0, 0, sections_at] {
        long(&mut file, value);
    }
    word(&mut file, 0);
    for value in [header, 0, 0, 64, 3, 2] {
        half(&mut file, value);
    }
    file.extend(&modinfo);
    file.extend(names);
    file.resize(sections_at + 64, 0);
    for (name, kind, at, size) in [
        (1, 1, modinfo_at, modinfo.len()),
        (10, 3, names_at, names.len()),
    ] {
        word(&mut file, name);
        word(&mut file, kind);
        for value in [0, 0, at, size] {
            long(&mut file, value);
        }
        word(&mut file, 0);
        word(&mut file, 0);
        for value in [1, 0] {
            long(&mut file, value);
        }
    }
    file
}
