//! What clients want of a session, in words: for recordings and from them.

use std::sync::mpsc;

use fwshare_export::{Completion, Request};
use ohci_raw::trace::Payload;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Order, Reset};

/// An order as a recording has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Input {
    Read {
        offset: u64,
        length: u32,
    },
    Write {
        offset: u64,
        data: Payload,
        fua: bool,
    },
    WriteZeroes {
        offset: u64,
        length: u32,
        fua: bool,
    },
    Flush,
    Hurry,
    Reset(Reset),
    Stop,
}

/// An order in words.
pub(super) fn text(order: &Order) -> String {
    let input = match order {
        Order::Stop => Input::Stop,
        Order::Hurry => Input::Hurry,
        Order::Reset(reset, _) => Input::Reset(*reset),
        Order::Request(request, _) => match request {
            Request::Read { offset, length } => Input::Read {
                offset: *offset,
                length: *length,
            },
            Request::Write { offset, data, fua } => Input::Write {
                offset: *offset,
                data: Payload::of(data),
                fua: *fua,
            },
            Request::WriteZeroes {
                offset,
                length,
                fua,
            } => Input::WriteZeroes {
                offset: *offset,
                length: *length,
                fua: *fua,
            },
            Request::Flush => Input::Flush,
        },
    };
    // There is nothing in it that JSON could not say.
    serde_json::to_string(&input).unwrap_or_default()
}

/// The order that stands in a recording. Nobody waits for what comes of it.
pub(super) fn order(text: &str) -> Option<Order> {
    let request = match serde_json::from_str(text).ok()? {
        Input::Stop => return Some(Order::Stop),
        Input::Hurry => return Some(Order::Hurry),
        Input::Reset(reset) => return Some(Order::Reset(reset, mpsc::channel().0)),
        Input::Read { offset, length } => Request::Read { offset, length },
        Input::Write { offset, data, fua } => Request::Write {
            offset,
            data: data.bytes()?,
            fua,
        },
        Input::WriteZeroes {
            offset,
            length,
            fua,
        } => Request::WriteZeroes {
            offset,
            length,
            fua,
        },
        Input::Flush => Request::Flush,
    };
    let nobody: Completion = Box::new(|_| {});
    Some(Order::Request(request, nobody))
}

/// What came of the order with this number, in words.
pub(super) fn outcome(number: u64, result: Result<&[u8], String>) -> Value {
    match result {
        Ok(data) => json!({"done": number, "length": data.len(), "sha256": sha256(data)}),
        Err(error) => json!({"done": number, "error": error}),
    }
}

/// The SHA-256 of some bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_being_put_into_words() {
        for words in [
            r#""stop""#,
            r#""hurry""#,
            r#""flush""#,
            r#"{"reset":"logical_unit"}"#,
            r#"{"read":{"offset":4096,"length":512}}"#,
            r#"{"write":{"offset":1,"data":"00112233 44","fua":true}}"#,
            r#"{"write_zeroes":{"offset":0,"length":8,"fua":false}}"#,
        ] {
            assert_eq!(text(&order(words).unwrap()), words);
        }
        for words in [
            "",
            "stop",
            r#"{"write":{"offset":1,"data":"x","fua":true}}"#,
        ] {
            assert!(order(words).is_none(), "{words}");
        }
    }

    #[test]
    fn the_digest_is_sha_256() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
