//! Our numbers compared with those of the system's headers, by its own compiler.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// An expression in C, and what it is here.
pub(crate) type Fact = (String, u64);

/// Compares them in a program that includes `header` and the others.
pub(crate) fn compare(header: &str, others: &[&str], facts: &[Fact]) {
    let lines = facts
        .iter()
        .map(|(c, _)| format!("    printf(\"%llu\\n\", (unsigned long long)({c}));\n"));
    let Some(values) = said(header, others, &lines.collect::<String>()) else {
        return;
    };
    assert_eq!(values.len(), facts.len());
    for ((expression, ours), theirs) in facts.iter().zip(values) {
        assert_eq!(ours.to_string(), theirs, "{expression}");
    }
}

/// The lines that a program prints which includes the headers. `None`: there is no such header or
/// no compiler, and the user has been told.
pub(crate) fn said(header: &str, others: &[&str], body: &str) -> Option<Vec<String>> {
    let path = Path::new("/usr/include").join(header);
    if !path.exists() {
        skip(header, "there is no such file");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("facts");
    let compiler = Command::new("cc")
        .args(["-x", "c", "-", "-o"])
        .arg(&binary)
        .stdin(Stdio::piped())
        .spawn();
    let mut compiler = match compiler {
        Ok(compiler) => compiler,
        Err(error) => {
            skip(header, &format!("cc: {error}"));
            return None;
        }
    };
    let headers = [&["stddef.h", "stdio.h", header], others].concat();
    let includes = headers
        .iter()
        .map(|header| format!("#include <{header}>\n"));
    let includes = includes.collect::<String>();
    let text = format!("{includes}int main(void) {{\n{body}    return 0;\n}}\n");
    let mut source = compiler.stdin.take().unwrap();
    source.write_all(text.as_bytes()).unwrap();
    drop(source);
    assert!(compiler.wait().unwrap().success(), "cc failed");
    let output = Command::new(&binary).output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(str::to_owned).collect())
}

/// Says on the terminal what was not tested. The test harness swallows `eprintln!`.
fn skip(header: &str, what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}, and this is CI");
    tell(header, what);
}

pub(crate) fn tell(header: &str, what: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: comparison with {header}: {what}").unwrap();
}
