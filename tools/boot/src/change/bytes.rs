use std::borrow::Cow;
use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as they go into JSON: as a string if they are one, as numbers if not. Configuration
/// can be read there, and nothing is lost of what is no UTF-8.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bytes<T>(pub(super) T);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<'a> {
    Text(Cow<'a, str>),
    Numbers(Cow<'a, [u8]>),
}

/// What is bytes by another name.
pub(super) trait Raw {
    fn raw(&self) -> &[u8];
    fn from_raw(bytes: Vec<u8>) -> Self;
}

impl Raw for Vec<u8> {
    fn raw(&self) -> &[u8] {
        self
    }

    fn from_raw(bytes: Vec<u8>) -> Self {
        bytes
    }
}

impl Raw for OsString {
    fn raw(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }

    fn from_raw(bytes: Vec<u8>) -> Self {
        Self::from_vec(bytes)
    }
}

impl Raw for PathBuf {
    fn raw(&self) -> &[u8] {
        self.as_os_str().as_bytes()
    }

    fn from_raw(bytes: Vec<u8>) -> Self {
        OsString::from_vec(bytes).into()
    }
}

impl<T> Deref for Bytes<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Raw> Serialize for Bytes<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let bytes = self.0.raw();
        match std::str::from_utf8(bytes) {
            Ok(text) => Form::Text(text.into()),
            Err(_) => Form::Numbers(bytes.into()),
        }
        .serialize(to)
    }
}

impl<'de, T: Raw> Deserialize<'de> for Bytes<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self(T::from_raw(match Form::deserialize(from)? {
            Form::Text(text) => text.into_owned().into_bytes(),
            Form::Numbers(bytes) => bytes.into_owned(),
        })))
    }
}
