//! The first phase: options in, replies out (proto.md, "Fixed newstyle negotiation").

use zerocopy::{FromBytes, IntoBytes};

use super::export::Export;
use super::output::Outgoing;
use super::wire::{
    ClientFlags, EXPORT_NAME_ZEROES, ExportNameReply, GREETING_MAGIC, Greeting, HandshakeFlags,
    InfoBlockSize, InfoCode, InfoExport, MAX_STRING, OPTION_MAGIC, OPTION_REPLY_MAGIC, OptionCode,
    OptionReply, OptionReplyCode,
};

/// Longer option data is skipped instead of kept. The longest that makes sense is a name with
/// two lengths and a request for each kind of information.
pub(super) const MAX_OPTION_DATA: usize = MAX_STRING + 1024;

/// Longer option data is not even skipped: nobody sends it in good faith.
pub(super) const MAX_OPTION_SKIP: u32 = 1 << 20;

/// What the client and the server agreed on so far.
#[derive(Debug)]
pub(super) struct Haggling {
    client: ClientFlags,
    pub(super) structured: bool,
}

/// How it goes on after an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// With another option.
    Option,
    /// With the second phase.
    Transmission,
    /// Not at all.
    Close,
}

/// The server's first words.
pub(super) fn greet(out: &mut Outgoing) {
    let flags = HandshakeFlags::FIXED_NEWSTYLE | HandshakeFlags::NO_ZEROES;
    let greeting = Greeting {
        magic: GREETING_MAGIC.into(),
        option_magic: OPTION_MAGIC.into(),
        flags: flags.bits().into(),
    };
    out.copy(greeting.as_bytes());
}

impl Haggling {
    /// Takes the client's flags; `None` if it set one that was not offered ("Client flags").
    pub(super) fn new(client_flags: u32) -> Option<Self> {
        Some(Self {
            client: ClientFlags::from_bits(client_flags)?,
            structured: false,
        })
    }

    /// Whether the client may send this option: only a fixed newstyle client understands
    /// replies, and any other may only name an export.
    pub(super) fn may_send(&self, option: OptionCode) -> bool {
        option == OptionCode::ExportName || self.client.contains(ClientFlags::FIXED_NEWSTYLE)
    }

    /// Answers an option with its data.
    pub(super) fn answer(
        &mut self,
        export: &Export,
        option: OptionCode,
        data: &[u8],
        out: &mut Outgoing,
    ) -> Next {
        match option {
            OptionCode::ExportName => return self.start_by_name(export, data, out),
            OptionCode::Abort => {
                reply(out, option, OptionReplyCode::Ack, &[]);
                return Next::Close;
            }
            OptionCode::List if data.is_empty() => list(export, out),
            OptionCode::StructuredReply if data.is_empty() => {
                self.structured = true;
                reply(out, option, OptionReplyCode::Ack, &[]);
            }
            OptionCode::List | OptionCode::StructuredReply => refuse(
                out,
                option,
                OptionReplyCode::Invalid,
                "this option takes no data",
            ),
            OptionCode::Info | OptionCode::Go => return self.inform(export, option, data, out),
            OptionCode::StartTls => refuse(
                out,
                option,
                OptionReplyCode::Policy,
                "no TLS here: use the Unix socket, ssh or stunnel",
            ),
            OptionCode::Unknown(_) => refuse(
                out,
                option,
                OptionReplyCode::Unsupported,
                "this server does not know the option",
            ),
        }
        Next::Option
    }

    /// `NBD_OPT_EXPORT_NAME`: the one option whose only error is to hang up.
    fn start_by_name(&self, export: &Export, name: &[u8], out: &mut Outgoing) -> Next {
        if !export.answers_to(name) {
            return Next::Close;
        }
        let reply = ExportNameReply {
            size: export.geometry().size.into(),
            flags: export.transmission_flags(self.structured).bits().into(),
        };
        out.copy(reply.as_bytes());
        if !self.client.contains(ClientFlags::NO_ZEROES) {
            out.copy(&[0; EXPORT_NAME_ZEROES]);
        }
        Next::Transmission
    }

    /// `NBD_OPT_INFO` and `NBD_OPT_GO`.
    fn inform(&self, export: &Export, option: OptionCode, data: &[u8], out: &mut Outgoing) -> Next {
        let Some((name, wanted)) = parse_inform(data) else {
            refuse(
                out,
                option,
                OptionReplyCode::Invalid,
                "the lengths in this option do not agree",
            );
            return Next::Option;
        };
        if !export.answers_to(name) {
            refuse(
                out,
                option,
                OptionReplyCode::UnknownExport,
                "there is no export of that name",
            );
            return Next::Option;
        }

        let geometry = export.geometry();
        let size_and_flags = InfoExport {
            info: u16::from(InfoCode::Export).into(),
            size: geometry.size.into(),
            flags: export.transmission_flags(self.structured).bits().into(),
        };
        reply(
            out,
            option,
            OptionReplyCode::Info,
            size_and_flags.as_bytes(),
        );
        // Sent unasked, as QEMU does: clients skip what they do not know.
        let block_size = InfoBlockSize {
            info: u16::from(InfoCode::BlockSize).into(),
            minimum: geometry.block_size.into(),
            preferred: geometry.preferred_block_size.into(),
            maximum: geometry.max_request.into(),
        };
        reply(out, option, OptionReplyCode::Info, block_size.as_bytes());
        if wanted.contains(InfoCode::Name) {
            inform_text(out, option, InfoCode::Name, export.name());
        }
        if let Some(text) = export.description()
            && wanted.contains(InfoCode::Description)
        {
            inform_text(out, option, InfoCode::Description, text);
        }
        reply(out, option, OptionReplyCode::Ack, &[]);
        if option == OptionCode::Go {
            Next::Transmission
        } else {
            Next::Option
        }
    }
}

/// The kinds of information that an option asks for, one big-endian `u16` each.
struct Wanted<'a>(&'a [u8]);

impl Wanted<'_> {
    fn contains(&self, code: InfoCode) -> bool {
        let code = u16::from(code).to_be_bytes();
        self.0.chunks_exact(2).any(|wanted| wanted == code)
    }
}

/// The name and the list of an `NBD_OPT_INFO` or `NBD_OPT_GO`; `None` if malformed.
fn parse_inform(data: &[u8]) -> Option<(&[u8], Wanted<'_>)> {
    let (length, rest) = zerocopy::big_endian::U32::read_from_prefix(data).ok()?;
    let length = usize::try_from(length.get()).ok()?;
    if length > MAX_STRING {
        return None;
    }
    let (name, rest) = rest.split_at_checked(length)?;
    let (count, list) = zerocopy::big_endian::U16::read_from_prefix(rest).ok()?;
    (list.len() == 2 * usize::from(count.get())).then_some((name, Wanted(list)))
}

fn list(export: &Export, out: &mut Outgoing) {
    let name = export.name().as_bytes();
    let mut server = Vec::with_capacity(4 + name.len());
    server.extend(length_of(name).to_be_bytes());
    server.extend(name);
    reply(out, OptionCode::List, OptionReplyCode::Server, &server);
    reply(out, OptionCode::List, OptionReplyCode::Ack, &[]);
}

fn inform_text(out: &mut Outgoing, option: OptionCode, code: InfoCode, text: &str) {
    let mut info = Vec::with_capacity(2 + text.len());
    info.extend(u16::from(code).to_be_bytes());
    info.extend(text.as_bytes());
    reply(out, option, OptionReplyCode::Info, &info);
}

/// Refuses an option, with a text for people.
pub(super) fn refuse(out: &mut Outgoing, option: OptionCode, why: OptionReplyCode, text: &str) {
    reply(out, option, why, text.as_bytes());
}

fn reply(out: &mut Outgoing, option: OptionCode, code: OptionReplyCode, data: &[u8]) {
    let header = OptionReply {
        magic: OPTION_REPLY_MAGIC.into(),
        option: u32::from(option).into(),
        reply: u32::from(code).into(),
        length: length_of(data).into(),
    };
    out.copy(header.as_bytes());
    out.copy(data);
}

/// Replies are our own texts and checked names: far below 4 GiB.
fn length_of(data: &[u8]) -> u32 {
    u32::try_from(data.len()).expect("a reply to an option is short")
}
