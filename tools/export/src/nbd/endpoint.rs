use std::fmt::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens: `unix:PATH` or `tcp:HOST:PORT`.
///
/// An IPv6 address stands in brackets: `tcp:[::1]:10809`. Port 0 lets the system choose.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Endpoint {
    /// A Unix socket, which only this user can open.
    Unix(PathBuf),
    /// A TCP port, which anybody who reaches it can open.
    Tcp {
        /// Name or address, an IPv6 address without brackets.
        host: String,
        /// Port; 10809 is NBD's own.
        port: u16,
    },
}

/// Text that is no [`Endpoint`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseEndpointError {
    /// It starts with neither `unix:` nor `tcp:`.
    #[error("\"{0}\" is neither unix:PATH nor tcp:HOST:PORT")]
    Kind(String),
    /// No path, or one with a NUL.
    #[error("\"{0}\" names no path: write unix:PATH")]
    Path(String),
    /// No host, or one with characters that no host has.
    #[error("\"{0}\" names no host: write tcp:HOST:PORT, an IPv6 address as tcp:[::1]:PORT")]
    Host(String),
    /// No port, or no number from 0 to 65535.
    #[error("\"{0}\" names no port from 0 to 65535: write tcp:HOST:PORT")]
    Port(String),
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() || path.contains('\0') {
                return Err(ParseEndpointError::Path(text.to_owned()));
            }
            return Ok(Self::Unix(path.into()));
        }
        let Some(address) = text.strip_prefix("tcp:") else {
            return Err(ParseEndpointError::Kind(text.to_owned()));
        };
        let Some((host, port)) = address.rsplit_once(':') else {
            return Err(ParseEndpointError::Port(text.to_owned()));
        };
        // u16's own parser would let a plus sign pass.
        let port = match port.parse() {
            Ok(number) if port.bytes().all(|byte| byte.is_ascii_digit()) => number,
            _ => return Err(ParseEndpointError::Port(text.to_owned())),
        };
        let bracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let plausible = !host.is_empty()
            && host.contains(':') == bracketed.is_some()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte));
        if !plausible {
            return Err(ParseEndpointError::Host(text.to_owned()));
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl Endpoint {
    /// The NBD URI (the project's `doc/uri.md`) of the export `name` here.
    #[must_use]
    pub fn uri(&self, name: &str) -> String {
        let mut uri = String::new();
        match self {
            Self::Unix(path) => {
                uri.push_str("nbd+unix:///");
                escape(&mut uri, name.as_bytes());
                uri.push_str("?socket=");
                escape(&mut uri, path.as_os_str().as_bytes());
            }
            Self::Tcp { host, port } => {
                uri.push_str("nbd://");
                if host.contains(':') {
                    // RFC 6874: the "%" before a zone is escaped like any other.
                    uri.push('[');
                    uri.push_str(&host.replace('%', "%25"));
                    uri.push(']');
                } else {
                    escape(&mut uri, host.as_bytes());
                }
                uri.push(':');
                uri.push_str(&port.to_string());
                uri.push('/');
                escape(&mut uri, name.as_bytes());
            }
        }
        uri
    }
}

/// RFC 3986: all but unreserved characters and "/" as "%XX".
fn escape(uri: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_their_uris() {
        for (text, uri) in [
            ("unix:/run/disk", "nbd+unix:///?socket=/run/disk"),
            (
                "unix:a b%&?.sock",
                "nbd+unix:///?socket=a%20b%25%26%3F.sock",
            ),
            ("unix:/tmp/ö", "nbd+unix:///?socket=/tmp/%C3%B6"),
            ("tcp:localhost:10809", "nbd://localhost:10809/"),
            ("tcp:[::1]:0", "nbd://[::1]:0/"),
            ("tcp:[fe80::1%eth0]:1", "nbd://[fe80::1%25eth0]:1/"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.uri(""), uri);
            assert_eq!(endpoint.to_string(), text);
        }
        let unix = Endpoint::Unix("/s".into());
        assert_eq!(unix.uri("a disk"), "nbd+unix:///a%20disk?socket=/s");
    }

    #[test]
    fn what_is_no_endpoint_is_told_why() {
        use ParseEndpointError as E;
        let error = |text: &str| text.parse::<Endpoint>().unwrap_err();
        for text in ["", "unix", "/run/disk", "udp:host:1"] {
            assert_eq!(error(text), E::Kind(text.into()));
        }
        for text in ["unix:", "unix:a\0b"] {
            assert_eq!(error(text), E::Path(text.into()));
        }
        for text in ["tcp:host", "tcp:h:", "tcp:h:+1", "tcp:h:65536", "tcp:h:-1"] {
            assert_eq!(error(text), E::Port(text.into()));
        }
        for text in ["tcp::1", "tcp:::1:1", "tcp:[h]:1", "tcp:[]:1", "tcp:a/b:1"] {
            assert_eq!(error(text), E::Host(text.into()));
        }
    }
}
