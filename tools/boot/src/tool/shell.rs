//! Plain assignments in shell files.
//!
//! Configuration of these tools is read by a shell. Nothing is run here: `NAME=value`, quoted or
//! not, and `NAME=(words)` are understood, with a value that needs a shell left as it is.

/// An assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Assignment {
    pub(super) name: String,
    /// Without quotes; the words of an array with blanks between them.
    pub(super) value: String,
    /// From 1.
    pub(super) line: usize,
}

/// All assignments that stand on a line of their own.
pub(super) fn assignments(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim().split_once('=') else {
            continue;
        };
        let name = name.trim_start_matches("export ");
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !is_name {
            continue;
        }
        let value = match value.strip_prefix('(') {
            Some(words) => words.split_once(')').map_or(words, |(words, _)| words),
            None => value,
        };
        found.push(Assignment {
            name: name.to_owned(),
            value: words(value).join(" "),
            line: index + 1,
        });
    }
    found
}

/// Words with their quotes taken away, up to a comment.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, _) if letter.is_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}
