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
    /// As a block device, by ublk.
    #[cfg(feature = "ublk")]
    Ublk {
        /// Of the device, if not any.
        number: Option<u32>,
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
            Self::NbdDevice(None) => f.write_str("nbd-device"),
            Self::NbdDevice(Some(index)) => write!(f, "nbd-device:{NBD_NODE}{index}"),
            #[cfg(feature = "ublk")]
            Self::Ublk { number } => match number {
                None => f.write_str("ublk"),
                Some(number) => write!(f, "ublk:{number}"),
            },
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

    /// Whether it is the same place as one of those. A port or a device that the system is to
    /// choose is not, and each `auto` gets a place of its own.
    pub(crate) fn is_among(&self, others: &[Self]) -> bool {
        let chosen_later = match self {
            Self::Auto => true,
            Self::This(ExportSpec::Nbd(Endpoint::Tcp { port, .. })) => *port == 0,
            Self::This(ExportSpec::NbdDevice(index)) => index.is_none(),
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
    #[error(
        "an export is auto, nbd:unix:PATH, nbd:tcp:HOST:PORT, file:PATH[,loop], \
         nbd-device[:/dev/nbdN] or ublk[:N]"
    )]
    Kind,
    #[error("\"{0}\" names no path: write file:PATH")]
    Path(String),
    #[error(
        "\"{0}\" is no option of a file; there is loop, once; a comma in a path is written twice"
    )]
    Option(String),
    #[cfg(feature = "ublk")]
    #[error("\"{0}\" is no number of a device, as the 0 of /dev/ublkb0: write ublk or ublk:N")]
    Number(String),
    #[cfg(not(feature = "ublk"))]
    #[error(
        "this fwshare was built without ublk: build it with --features ublk, or use file:PATH,loop"
    )]
    NoUblk,
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
        if text == "ublk" || text.starts_with("ublk:") {
            return ublk(text);
        }
        let endpoint = text.strip_prefix("nbd:").ok_or(ParseExportError::Kind)?;
        Ok(Self::Nbd(endpoint.parse()?))
    }
}

#[cfg(feature = "ublk")]
fn ublk(text: &str) -> Result<ExportSpec, ParseExportError> {
    let Some(number) = text.strip_prefix("ublk:") else {
        return Ok(ExportSpec::Ublk { number: None });
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = number.parse().ok();
    match parsed.filter(|number| digits && *number < fwshare_export::ublk::NUMBERS) {
        None => Err(ParseExportError::Number(number.to_owned())),
        number => Ok(ExportSpec::Ublk { number }),
    }
}

#[cfg(not(feature = "ublk"))]
fn ublk(_: &str) -> Result<ExportSpec, ParseExportError> {
    Err(ParseExportError::NoUblk)
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
    #[cfg(feature = "ublk")]
    #[test]
    fn a_ublk_device_has_a_number_or_takes_any() {
        for (text, number) in [
            ("ublk", None),
            ("ublk:0", Some(0)),
            ("ublk:1048575", Some(1_048_575)),
        ] {
            let spec: ExportSpec = text.parse().unwrap();
            assert_eq!(spec, ExportSpec::Ublk { number }, "{text}");
            assert_eq!(spec.to_string(), text);
        }
        for text in [
            "ublk:",
            "ublk:+1",
            "ublk:1048576",
            "ublk:99999999999",
            "ublk:x",
        ] {
            let error = text.parse::<ExportSpec>().unwrap_err();
            assert!(matches!(error, ParseExportError::Number(_)), "{text}");
        }
    }

    #[cfg(not(feature = "ublk"))]
    #[test]
    fn who_has_no_ublk_says_so() {
        for text in ["ublk", "ublk:0", "ublk:x"] {
            assert_eq!(text.parse::<ExportSpec>(), Err(ParseExportError::NoUblk));
        }
    }
}
