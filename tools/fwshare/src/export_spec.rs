//! How a disk is to be served, in the words of `--export`.

use std::str::FromStr;

use fwlab::options::split;
use fwshare_export::nbd::{Endpoint, ParseEndpointError};

/// How a disk is to be served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ExportSpec {
    /// By NBD.
    Nbd(Endpoint),
    /// As a file, by FUSE.
    File {
        path: std::path::PathBuf,
        /// With a loop device on it.
        on_loop: bool,
    },
}

impl std::fmt::Display for ExportSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nbd(endpoint) => write!(f, "nbd:{endpoint}"),
            Self::File { path, on_loop } => {
                let path = path.display().to_string().replace(',', ",,");
                write!(f, "file:{path}{}", if *on_loop { ",loop" } else { "" })
            }
        }
    }
}

/// What is given with `--export`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ExportChoice {
    /// The best that the machine has.
    Auto,
    /// This one.
    This(ExportSpec),
}

impl ExportChoice {
    /// The export, if it is chosen already.
    pub(crate) const fn spec(&self) -> Option<&ExportSpec> {
        match self {
            Self::Auto => None,
            Self::This(spec) => Some(spec),
        }
    }

    /// Whether it is the same place as one of those. A port that the system is to choose is not,
    /// and each `auto` gets a place of its own.
    pub(crate) fn is_among(&self, others: &[Self]) -> bool {
        let chosen_later = match self {
            Self::Auto => true,
            Self::This(ExportSpec::Nbd(Endpoint::Tcp { port, .. })) => *port == 0,
            Self::This(_) => false,
        };
        !chosen_later && others.contains(self)
    }
}

impl std::fmt::Display for ExportChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::This(spec) => spec.fmt(f),
        }
    }
}

impl FromStr for ExportChoice {
    type Err = ParseExportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::This),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ParseExportError {
    #[error("an export is auto, nbd:unix:PATH, nbd:tcp:HOST:PORT or file:PATH[,loop]")]
    Kind,
    #[error("\"{0}\" names no path: write file:PATH")]
    Path(String),
    #[error(
        "\"{0}\" is no option of a file; there is loop, once; a comma in a path is written twice"
    )]
    Option(String),
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
}

impl FromStr for ExportSpec {
    type Err = ParseExportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file:") {
            return file(path);
        }
        let endpoint = text.strip_prefix("nbd:").ok_or(ParseExportError::Kind)?;
        Ok(Self::Nbd(endpoint.parse()?))
    }
}

/// What stands behind `file:`.
fn file(text: &str) -> Result<ExportSpec, ParseExportError> {
    let mut parts = split(text).into_iter();
    let path = parts.next().unwrap_or_default();
    if path.is_empty() || path.contains('\0') {
        return Err(ParseExportError::Path(format!("file:{text}")));
    }
    let on_loop = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some(option), None) if option == "loop" => true,
        (Some(option), None) | (Some(_), Some(option)) => {
            return Err(ParseExportError::Option(option));
        }
    };
    let path = path.into();
    Ok(ExportSpec::File { path, on_loop })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_path_keeps_its_commas_and_the_loop_device_is_an_option() {
        for (text, path, on_loop) in [
            ("file:/x", "/x", false),
            ("file:/x,loop", "/x", true),
            ("file:/a,,loop", "/a,loop", false),
            ("file:/a,,b,loop", "/a,b", true),
        ] {
            let spec: ExportSpec = text.parse().unwrap();
            let path = path.into();
            assert_eq!(spec, ExportSpec::File { path, on_loop }, "{text}");
            assert_eq!(spec.to_string(), text);
        }
    }
}
