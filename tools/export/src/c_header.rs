//! Our numbers compared with those of the system's headers, by its own compiler.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// An expression in C, and what it is here.
pub(crate) type Fact = (String, u64);

/// Compares them in a program that includes `header` and the others.
pub(crate) fn compare(header: &str, others: &[&str], facts: &[Fact]) {
    let path = Path::new("/usr/include").join(header);
    if !path.exists() {
        return skip(header, "there is no such file");
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
        Err(error) => return skip(header, &format!("cc: {error}")),
    };
    let mut source = compiler.stdin.take().unwrap();
    let text = program(header, others, facts);
    source.write_all(text.as_bytes()).unwrap();
    drop(source);
    assert!(compiler.wait().unwrap().success(), "cc failed");
    let output = Command::new(&binary).output().unwrap();
    assert!(output.status.success());
    let values = String::from_utf8(output.stdout).unwrap();
    let values: Vec<u64> = values.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(values.len(), facts.len());
    for ((expression, ours), theirs) in facts.iter().zip(values) {
        assert_eq!(*ours, theirs, "{expression}");
    }
}

fn program(header: &str, others: &[&str], facts: &[Fact]) -> String {
    let headers = [&["stddef.h", "stdio.h", header], others].concat();
    let includes = headers
        .iter()
        .map(|header| format!("#include <{header}>\n"));
    let lines = facts
        .iter()
        .map(|(c, _)| format!("    printf(\"%llu\\n\", (unsigned long long)({c}));\n"));
    format!(
        "{}int main(void) {{\n{}    return 0;\n}}\n",
        includes.collect::<String>(),
        lines.collect::<String>()
    )
}

/// Says on the terminal what was not tested. The test harness swallows `eprintln!`.
fn skip(header: &str, what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}, and this is CI");
    let mut terminal = std::io::stderr();
    writeln!(terminal, "skipped: comparison with {header}: {what}").unwrap();
}
