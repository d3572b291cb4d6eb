//! What the kernel's `firewire:*` tracepoints print (Linux 6.10 and later), as a recording.
//!
//! The formats are those of `include/trace/events/firewire.h`. Headers are printed as numbers in
//! host order. Data is printed as numbers, too, but what is in memory there is the bytes of the
//! bus: on a little-endian machine each quadlet's bytes come out turned round.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ohci_raw::bus::{RCode, Speed};
use ohci_raw::trace::{Header, Line, Op, Payload, PortHeader, SCHEMA, What};

use crate::error::{Exit, Failure};

/// Acknowledgements, as the tracepoints' "status" has them below 0x10.
const ACK_COMPLETE: u32 = 1;
const ACK_PENDING: u32 = 2;
const ACK_BUSY: std::ops::RangeInclusive<u32> = 4..=6;
const ACK_DATA_ERROR: u32 = 0xd;
const ACK_TYPE_ERROR: u32 = 0xe;

/// Reads a file that trace or trace_pipe gave.
pub(super) fn read(path: &Path) -> Result<(Header, Vec<Line>), Failure> {
    let bytes = fs::read(path)
        .map_err(|error| Failure::new(Exit::Error, format!("{}: {error}", path.display())))?;
    let mut import = Import::default();
    for line in String::from_utf8_lossy(&bytes).lines() {
        import.line(line);
    }
    if import.lines.is_empty() {
        let message = format!(
            "{}: no transaction of the firewire tracepoints in it",
            path.display()
        );
        return Err(Failure::new(Exit::NothingFound, message).advise(
            "as root: cd /sys/kernel/tracing; echo 1 > events/firewire/enable; cat trace_pipe",
        ));
    }
    if import.skipped > 0 {
        tracing::warn!(
            "{} lines of the tracepoints were not understood",
            import.skipped
        );
    }
    let ports = import
        .cards
        .iter()
        .enumerate()
        .map(|(bus, card)| PortHeader {
            bus,
            name: format!("card {card}"),
            machine: None,
        });
    let header = Header {
        schema: SCHEMA,
        tool: "the kernel's tracepoints, by ftrace".to_owned(),
        command: Vec::new(),
        ports: ports.collect(),
        scrubbed: false,
    };
    Ok((header, import.lines))
}

#[derive(Default)]
struct Import {
    lines: Vec<Line>,
    /// The cards in the order in which they were seen; their places are the ports' numbers.
    cards: Vec<u32>,
    sent: u64,
    came: u64,
    /// Transactions under way, by the kernel's name for them.
    outbound: BTreeMap<u64, u64>,
    inbound: BTreeMap<u64, u64>,
    skipped: usize,
}

/// The fields of one event.
struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl Fields<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        fields
            .find(|(own, _)| *own == name)
            .map(|(_, value)| *value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        number(self.text(name)?)
    }

    fn small(&self, name: &str) -> Option<u32> {
        self.number(name)?.try_into().ok()
    }

    fn id(&self, name: &str) -> Option<String> {
        u16::try_from(self.number(name)?)
            .ok()
            .map(|id| format!("{id:04x}"))
    }

    fn array(&self, name: &str) -> Option<Vec<u32>> {
        let inner = self.text(name)?.strip_prefix('{')?.strip_suffix('}')?;
        let numbers = inner.split(',').filter(|number| !number.is_empty());
        numbers.map(|text| number(text)?.try_into().ok()).collect()
    }
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Import {
    fn line(&mut self, text: &str) {
        const EVENTS: [&str; 6] = [
            "async_request_outbound_initiate",
            "async_request_outbound_complete",
            "async_response_inbound",
            "async_request_inbound",
            "async_response_outbound_initiate",
            "bus_reset_handle",
        ];
        let found = EVENTS.iter().find_map(|event| {
            let (before, rest) = text.split_once(event)?;
            Some((*event, before, rest.strip_prefix(": ")?))
        });
        let Some((event, before, rest)) = found else {
            return;
        };
        let fields = rest
            .split_whitespace()
            .filter_map(|field| field.split_once('='));
        let fields = Fields(fields.collect());
        let taken = time(before).and_then(|at| self.event(event, at, &fields));
        if taken.is_none() {
            self.skipped += 1;
        }
    }

    fn event(&mut self, event: &str, at: u64, fields: &Fields<'_>) -> Option<()> {
        let card = fields.small("card_index")?;
        let port = self
            .cards
            .iter()
            .position(|own| *own == card)
            .unwrap_or_else(|| {
                self.cards.push(card);
                self.cards.len() - 1
            });
        let whats = match event {
            "bus_reset_handle" => vec![What::BusReset {
                generation: fields.small("generation")?,
                local: fields.id("node_id")?,
                peers: Vec::new(),
            }],
            "async_request_outbound_initiate" => {
                let op = op(fields)?;
                self.sent += 1;
                self.outbound
                    .insert(fields.number("transaction")?, self.sent);
                let scode = u8::try_from(fields.number("scode")?).ok()?;
                vec![What::Send {
                    id: self.sent,
                    dest: fields.id("dst_id")?,
                    generation: fields.small("generation")?,
                    speed: Speed::from_code(scode)?.to_string(),
                    op,
                }]
            }
            "async_request_outbound_complete" => {
                let rcode = match fields.small("status")? {
                    ACK_PENDING => return Some(()),
                    ACK_COMPLETE => RCode::COMPLETE,
                    ACK_DATA_ERROR => RCode::DATA_ERROR,
                    ACK_TYPE_ERROR => RCode::TYPE_ERROR,
                    busy if ACK_BUSY.contains(&busy) => RCode::BUSY,
                    status => RCode(status),
                };
                let id = self.outbound.remove(&fields.number("transaction")?)?;
                let data = Payload::default();
                vec![What::Response {
                    id,
                    rcode: rcode.0,
                    data,
                }]
            }
            "async_response_inbound" => {
                let id = self.outbound.remove(&fields.number("transaction")?)?;
                let (rcode, data) = (fields.small("rcode")?, data(fields)?);
                vec![What::Response { id, rcode, data }]
            }
            "async_request_inbound" => {
                let op = op(fields)?;
                self.came += 1;
                let id = self.came;
                let request = What::Request {
                    id,
                    src: fields.id("src_id")?,
                    generation: fields.small("generation")?,
                    op,
                };
                // A posted write: the controller has answered it.
                if fields.small("status")? == ACK_COMPLETE {
                    let data = Payload::default();
                    vec![request, What::Respond { id, rcode: 0, data }]
                } else {
                    self.inbound.insert(fields.number("transaction")?, id);
                    vec![request]
                }
            }
            _ => {
                let id = self.inbound.remove(&fields.number("transaction")?)?;
                let (rcode, data) = (fields.small("rcode")?, data(fields)?);
                vec![What::Respond { id, rcode, data }]
            }
        };
        self.lines
            .extend(whats.into_iter().map(|what| Line { port, at, what }));
        Some(())
    }
}

/// The time stamp at the end of what stands before an event's name: seconds with a fraction.
fn time(before: &str) -> Option<u64> {
    let stamp = before.split_whitespace().next_back()?.strip_suffix(':')?;
    let (seconds, fraction) = stamp.split_once('.')?;
    let scale = 9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let fraction: u64 = fraction.parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(fraction * 10_u64.pow(scale))
}

fn op(fields: &Fields<'_>) -> Option<Op> {
    let header = fields.array("header")?;
    let last = header.get(3).copied().unwrap_or_default();
    let (tcode, reads) = match fields.number("tcode")? {
        0 => ("write_quadlet".to_owned(), None),
        1 => ("write_block".to_owned(), None),
        4 => ("read_quadlet".to_owned(), None),
        5 => ("read_block".to_owned(), Some((last >> 16) as usize)),
        9 => (format!("lock_{}", last & 0xffff), None),
        _ => return None,
    };
    let address = fields.number("offset")?;
    Some(Op {
        data: if tcode.starts_with("read") {
            Payload::default()
        } else {
            data(fields)?
        },
        tcode,
        addr: format!("{address:012x}"),
        len: reads,
    })
}

fn data(fields: &Fields<'_>) -> Option<Payload> {
    let quadlets = fields.array("data")?;
    let bytes: Vec<u8> = quadlets.into_iter().flat_map(u32::to_le_bytes).collect();
    Some(Payload::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A read of the first ROM quadlet and a status write, in the formats of firewire.h.
    const TEXT: &str = "\
# tracer: nop
   kworker/u8:1-77      [001] d.h1.   12.000100: bus_reset_handle: card_index=1 generation=4 node_id=0xffc1 bm_abdicate=false self_ids={0x807f8cc0}
   kworker/u8:1-77      [001] .....   12.000200: async_request_outbound_initiate: transaction=0xffff0001 card_index=1 generation=4 scode=2 dst_id=0xffc0 tlabel=5 tcode=4 src_id=0xffc1 offset=0xfffff0000400 header={0xffc01540,0xffc1ffff,0xf0000400,0x0} data={}
   <idle>-0             [000] d.h1.   12.000250: async_request_outbound_complete: transaction=0xffff0001 card_index=1 generation=4 scode=2 status=2 timestamp=0x1234
   <idle>-0             [000] d.h1.   12.000300: async_response_inbound: transaction=0xffff0001 card_index=1 generation=4 scode=2 status=1 timestamp=0x1235 dst_id=0xffc1 tlabel=5 tcode=6 src_id=0xffc0 rcode=0 header={0xffc11560,0xffc00000,0x0,0x34393331} data={0x34333931}
   <idle>-0             [000] d.h1.   12.000400: async_request_inbound: transaction=0xffff0002 card_index=1 generation=4 scode=2 status=1 timestamp=0x1236 dst_id=0xffc1 tlabel=1 tcode=1 src_id=0xffc0 offset=0x000100000000 header={0xffc10510,0xffc00001,0x0,0x80000} data={0x1000041,0x20}
   garbage async_request_inbound: transaction=zz
";

    fn imported(text: &str) -> Result<(Header, Vec<Line>), Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read(file.path())
    }

    #[test]
    fn tracepoints_become_transactions_with_their_bytes_in_bus_order() {
        let (header, lines) = imported(TEXT).unwrap();
        assert_eq!(header.ports.len(), 1);
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                r#"{"port":0,"at":12000100000,"bus_reset":{"gen":4,"local":"ffc1","peers":[]}}"#,
                r#"{"port":0,"at":12000200000,"send":{"id":1,"dest":"ffc0","gen":4,"speed":"S400","tcode":"read_quadlet","addr":"fffff0000400"}}"#,
                r#"{"port":0,"at":12000300000,"response":{"id":1,"rcode":0,"data":"31393334"}}"#,
                r#"{"port":0,"at":12000400000,"request":{"id":1,"src":"ffc0","gen":4,"tcode":"write_block","addr":"000100000000","data":"41000001 20000000"}}"#,
                r#"{"port":0,"at":12000400000,"respond":{"id":1,"rcode":0}}"#,
            ]
        );
    }

    #[test]
    fn a_file_without_tracepoints_says_how_to_make_one() {
        let failure = imported("nothing\n").unwrap_err();
        assert_eq!(failure.code(), 21);
        assert!(failure.to_string().contains("events/firewire/enable"));
    }

    #[test]
    fn what_is_cut_off_or_mad_is_left_out() {
        for end in 0..TEXT.len() {
            let _ = imported(TEXT.get(..end).unwrap_or_default());
        }
        let mad = TEXT
            .replace("12.", "99999999999999999999.")
            .replace("0x80000", "0x");
        assert!(imported(&mad).is_err());
    }
}
