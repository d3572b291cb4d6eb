//! How a verb fails.

use std::fmt;

/// What was tried and what came back, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    message: String,
    advice: Option<String>,
    code: Option<u8>,
}

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            message: message.to_string(),
            advice: None,
            code: None,
        }
    }

    /// With this exit code, unless it has one.
    pub(crate) fn or_code(mut self, code: u8) -> Self {
        self.code.get_or_insert(code);
        self
    }

    /// 1 unless said otherwise.
    pub(crate) fn code(&self) -> u8 {
        self.code.unwrap_or(1)
    }

    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(advice) = &self.advice {
            for line in advice.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        Ok(())
    }
}
