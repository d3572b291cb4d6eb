//! What changes in a file, for people.

use std::path::Path;

use similar::TextDiff;

/// The change as `diff -u` shows it. Bytes that are no text are shown as what stands for them.
#[must_use]
pub fn unified(path: &Path, old: Option<&[u8]>, new: Option<&[u8]>) -> String {
    let name = path.display().to_string();
    let side = |content: Option<&[u8]>| match content {
        Some(_) => name.clone(),
        None => "/dev/null".to_owned(),
    };
    let text =
        |content: Option<&[u8]>| String::from_utf8_lossy(content.unwrap_or_default()).into_owned();
    let (before, after) = (text(old), text(new));
    TextDiff::from_lines(&before, &after)
        .unified_diff()
        .context_radius(3)
        .header(&side(old), &side(new))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_comes_out_of_nothing() {
        assert_eq!(
            unified(Path::new("/etc/x"), None, Some(b"one\n")),
            "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1 @@\n+one\n"
        );
        assert_eq!(
            unified(Path::new("/etc/x"), Some(b"one\ntwo"), Some(b"one\n")),
            "--- /etc/x\n+++ /etc/x\n@@ -1,2 +1 @@\n one\n-two\n\\ No newline at end of file\n"
        );
    }
}
