//! The receiving half: bytes become options, requests and the data of writes.

use zerocopy::FromBytes;

use super::work::Kind;
use super::{Connection, Life};
use crate::disk::Request;
use crate::nbd::negotiation::{self, Haggling, MAX_OPTION_DATA, MAX_OPTION_SKIP, Next};
use crate::nbd::transmission::{self, MAX_DRAIN, Refusal, STOPPING};
use crate::nbd::wire::{
    Command, OPTION_MAGIC, OptionCode, OptionHeader, OptionReplyCode, REQUEST_MAGIC, RequestHeader,
};

/// What the next bytes from the client are.
#[derive(Debug)]
pub(super) enum Input {
    ClientFlags,
    OptionHeader(Haggling),
    OptionData {
        haggling: Haggling,
        option: OptionCode,
        length: usize,
    },
    /// Data of an option that was refused for its length.
    OptionSkip {
        haggling: Haggling,
        left: usize,
    },
    RequestHeader,
    WriteData {
        cookie: u64,
        offset: u64,
        length: usize,
        fua: bool,
        data: Vec<u8>,
    },
    /// Data of a write that was refused, and is answered once it is out of the way.
    WriteDrain {
        cookie: u64,
        left: usize,
        refusal: Refusal,
    },
}

impl Connection {
    /// Takes one piece of input: a header, or what there is of some data.
    pub(super) fn step(&mut self, rest: &mut &[u8]) {
        match &mut self.input {
            Input::ClientFlags => {
                if let Some(flags) = gather::<zerocopy::big_endian::U32>(&mut self.header, rest) {
                    match Haggling::new(flags.get()) {
                        Some(haggling) => self.input = Input::OptionHeader(haggling),
                        None => self.violation("unknown client flags"),
                    }
                }
            }
            Input::OptionHeader(_) => {
                if let Some(header) = gather::<OptionHeader>(&mut self.header, rest) {
                    self.option_header(header);
                }
            }
            Input::OptionData { length, .. } => {
                let length = *length;
                if fill(&mut self.header, length, rest) {
                    self.option();
                }
            }
            Input::OptionSkip { left, .. } => {
                skip(left, rest);
                if *left == 0 {
                    self.end_of_skip();
                }
            }
            Input::RequestHeader => {
                if let Some(header) = gather::<RequestHeader>(&mut self.header, rest) {
                    self.request(header);
                }
            }
            Input::WriteData { length, data, .. } => {
                let length = *length;
                if fill(data, length, rest) {
                    self.write();
                }
            }
            Input::WriteDrain {
                cookie,
                left,
                refusal,
            } => {
                skip(left, rest);
                if *left == 0 {
                    let (cookie, refusal) = (*cookie, *refusal);
                    self.input = Input::RequestHeader;
                    self.refuse(cookie, refusal);
                }
            }
        }
    }

    fn option_header(&mut self, header: OptionHeader) {
        let option = OptionCode::from(header.option.get());
        let length = header.length.get();
        let Input::OptionHeader(haggling) =
            std::mem::replace(&mut self.input, Input::RequestHeader)
        else {
            return;
        };
        if header.magic.get() != OPTION_MAGIC {
            return self.violation("an option without its magic number");
        }
        if !haggling.may_send(option) {
            return self.violation("an option that only fixed newstyle clients may send");
        }
        if length as usize <= MAX_OPTION_DATA {
            self.input = Input::OptionData {
                haggling,
                option,
                length: length as usize,
            };
            if length == 0 {
                self.option();
            }
        } else if length > MAX_OPTION_SKIP || option == OptionCode::ExportName {
            self.violation("an option of absurd length");
        } else {
            negotiation::refuse(
                &mut self.out,
                option,
                OptionReplyCode::TooBig,
                "longer than any option that this server knows",
            );
            self.input = Input::OptionSkip {
                haggling,
                left: length as usize,
            };
        }
    }

    /// An option has come whole.
    fn option(&mut self) {
        let data = std::mem::take(&mut self.header);
        let Input::OptionData {
            mut haggling,
            option,
            ..
        } = std::mem::replace(&mut self.input, Input::RequestHeader)
        else {
            return;
        };
        if self.life == Life::Stopping && option != OptionCode::Abort {
            if option == OptionCode::ExportName {
                return self.violation("the server is stopping");
            }
            let text = STOPPING.text;
            negotiation::refuse(&mut self.out, option, OptionReplyCode::Shutdown, text);
            self.input = Input::OptionHeader(haggling);
            return;
        }
        match haggling.answer(&self.export, option, &data, &mut self.out) {
            Next::Option => self.input = Input::OptionHeader(haggling),
            Next::Transmission => self.replies.structured = haggling.structured,
            Next::Close => self.input_ended(),
        }
    }

    fn end_of_skip(&mut self) {
        let input = std::mem::replace(&mut self.input, Input::RequestHeader);
        if let Input::OptionSkip { haggling, .. } = input {
            self.input = Input::OptionHeader(haggling);
        }
    }

    fn request(&mut self, header: RequestHeader) {
        if header.magic.get() != REQUEST_MAGIC {
            return self.violation("a request without its magic number");
        }
        let command = Command::from(header.command.get());
        if command == Command::Disconnect {
            self.said_goodbye = true;
            return self.leave(Life::Disconnecting);
        }
        match transmission::check(&self.export, self.replies.structured, &header) {
            Ok(accepted) => {
                self.waiting = Some((header, accepted));
                self.admit_waiting();
            }
            Err(refusal) => self.refuse_request(&header, refusal),
        }
    }

    /// The data of a write has come whole.
    fn write(&mut self) {
        let input = std::mem::replace(&mut self.input, Input::RequestHeader);
        let Input::WriteData {
            cookie,
            offset,
            length,
            fua,
            data,
        } = input
        else {
            return;
        };
        if self.life == Life::Stopping {
            self.payload_bytes -= length;
            return self.refuse(cookie, STOPPING);
        }
        let request = Request::Write { offset, data, fua };
        self.start(cookie, Kind::Write { length }, request);
    }

    /// Refuses a request, once the data that follows it is out of the way.
    pub(super) fn refuse_request(&mut self, header: &RequestHeader, refusal: Refusal) {
        let cookie = header.cookie.get();
        let length = header.length.get();
        if Command::from(header.command.get()) != Command::Write || length == 0 {
            return self.refuse(cookie, refusal);
        }
        if length > MAX_DRAIN {
            return self.violation("a write of absurd length");
        }
        self.input = Input::WriteDrain {
            cookie,
            left: length as usize,
            refusal,
        };
    }
}

/// Collects a structure whole, over as many calls as its bytes take to come.
fn gather<T: FromBytes>(kept: &mut Vec<u8>, rest: &mut &[u8]) -> Option<T> {
    if !fill(kept, size_of::<T>(), rest) {
        return None;
    }
    let whole = T::read_from_bytes(kept).ok();
    kept.clear();
    whole
}

/// Moves bytes from `rest` until `kept` has `length`; tells whether it has.
fn fill(kept: &mut Vec<u8>, length: usize, rest: &mut &[u8]) -> bool {
    let (taken, left) = rest.split_at(rest.len().min(length - kept.len()));
    kept.extend_from_slice(taken);
    *rest = left;
    kept.len() == length
}

/// Throws away up to `left` bytes of `rest`.
fn skip(left: &mut usize, rest: &mut &[u8]) {
    let taken = rest.len().min(*left);
    *rest = &rest[taken..];
    *left -= taken;
}
