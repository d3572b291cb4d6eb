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
    /// As a device of the kernel's nbd driver: that with this number, or any.
    NbdDevice(Option<u32>),
}

impl std::fmt::Display for ExportSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nbd(endpoint) => write!(f, "nbd:{endpoint}"),
            Self::File { path, on_loop } => {
                let path = path.display().to_string().replace(',', ",,");
                write!(f, "file:{path}{}", if *on_loop { ",loop" } else { "" })
            }
            Self::NbdDevice(None) => f.write_str("nbd-device"),
            Self::NbdDevice(Some(index)) => write!(f, "nbd-device:{NBD_NODE}{index}"),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ParseExportError {
    #[error(
        "an export is nbd:unix:PATH, nbd:tcp:HOST:PORT, file:PATH[,loop] or nbd-device[:/dev/nbdN]"
    )]
    Kind,
    #[error("\"{0}\" names no path: write file:PATH")]
    Path(String),
    #[error(
        "\"{0}\" is no option of a file; there is loop, once; a comma in a path is written twice"
    )]
    Option(String),
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    #[error("\"{0}\" is no nbd device: write nbd-device, or nbd-device:/dev/nbdN with a number N")]
    NbdDevice(String),
}

/// Where nbd devices are, without their number.
const NBD_NODE: &str = "/dev/nbd";

impl FromStr for ExportSpec {
    type Err = ParseExportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("file:") {
            return file(path);
        }
        if let Some(device) = text.strip_prefix("nbd-device") {
            return nbd_device(device).ok_or_else(|| ParseExportError::NbdDevice(text.to_owned()));
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

/// What stands behind `nbd-device`.
fn nbd_device(text: &str) -> Option<ExportSpec> {
    if text.is_empty() {
        return Some(ExportSpec::NbdDevice(None));
    }
    let number = text.strip_prefix(':')?.strip_prefix(NBD_NODE)?;
    // A partition is none, nor is +1 or 01.
    let index = number.parse().ok()?;
    let spec = ExportSpec::NbdDevice(Some(index));
    (number == index.to_string()).then_some(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_nbd_device_is_any_or_that_with_a_number() {
        for (text, index) in [
            ("nbd-device", None),
            ("nbd-device:/dev/nbd0", Some(0)),
            ("nbd-device:/dev/nbd12", Some(12)),
        ] {
            let spec: ExportSpec = text.parse().unwrap();
            assert_eq!(spec, ExportSpec::NbdDevice(index), "{text}");
            assert_eq!(spec.to_string(), text);
        }
        for text in [
            "nbd-device:",
            "nbd-device:0",
            "nbd-device:nbd0",
            "nbd-device:/dev/nbd",
            "nbd-device:/dev/nbd0p1",
            "nbd-device:/dev/nbd+1",
            "nbd-device:/dev/nbd01",
            "nbd-device:/dev/nbd4294967296",
            "nbd-device:/dev/loop0",
            "nbd-devices",
        ] {
            let refused = text.parse::<ExportSpec>().unwrap_err();
            assert_eq!(refused, ParseExportError::NbdDevice(text.to_owned()));
        }
    }

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
