//! The ioctls, by their numbers (`ioctl_handlers` in `core-cdev.c`).
//!
//! As in the kernel, only the number is looked at: the size in the command says how many bytes of
//! the argument are copied in and out, and what is missing is zero.

use nix::errno::Errno;
use ohci_raw::bus::{
    Address, Generation, Instant, LockKind, NodeId, Operation, RCode, Response, Speed, Token,
    Transaction, csr,
};
use ohci_raw::cdev::abi::{self, event_type, tcode};
use ohci_raw::sim::Bus;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::addresses::{FCP, Refusal};
use super::client::{ClientId, Inbound, Resource};
use super::devices::Device;
use super::event::{self, Ended};
use super::registers::{cycle_time, time_stamp};
use super::{CARD, Caller, Kernel, Outbound, Reply, bus_state, range};
use crate::host::DescriptorError;

/// The version that the modelled core speaks (Linux 6.5 and later).
const KERNEL_VERSION: u32 = 6;
/// From this version on ALLOCATE looks at `region_end`.
const REGION_END_SINCE: u32 = 4;
/// The size of the union of all arguments.
const ARGUMENT_MAX: usize = 40;
/// The most quadlets of a descriptor.
const DESCRIPTOR_MAX: u32 = 256;

/// The parts of an ioctl's command (`asm-generic/ioctl.h`).
#[derive(Clone, Copy)]
struct Command(u32);

impl Command {
    const fn number(self) -> u32 {
        self.0 & 0xff
    }

    const fn letter(self) -> u8 {
        (self.0 >> 8) as u8
    }

    const fn size(self) -> usize {
        (self.0 >> 16 & 0x3fff) as usize
    }

    /// Whether the argument is copied back.
    const fn reads(self) -> bool {
        self.0 >> 30 & 2 != 0
    }
}

/// An argument as it goes through the call.
struct Argument([u8; ARGUMENT_MAX]);

impl Argument {
    fn get<T: FromBytes>(&self) -> Result<T, Errno> {
        T::read_from_prefix(&self.0)
            .map(|(value, _)| value)
            .map_err(|_| Errno::EINVAL)
    }

    fn set(&mut self, value: &(impl IntoBytes + Immutable)) {
        // It was read from here.
        let _ = value.write_to_prefix(&mut self.0);
    }

    fn quadlet(&self, offset: usize) -> u32 {
        let bytes = self.0.get(offset..offset + 4);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn octlet(&self, offset: usize) -> u64 {
        let bytes = self.0.get(offset..offset + 8);
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }
}

/// One call.
struct Call<'a> {
    bus: &'a mut Bus,
    client: ClientId,
    caller: &'a mut dyn Caller,
    now: Instant,
}

impl Kernel {
    /// An ioctl of an opener. `argument` is what the command's size says was copied in.
    ///
    /// # Errors
    /// As the kernel: `ENODEV` where the node is gone, `ENOTTY` for what is no ioctl of
    /// firewire-cdev, `EFAULT` for bad pointers, and what each ioctl has of its own.
    pub fn ioctl(
        &mut self,
        bus: &mut Bus,
        client: ClientId,
        command: u32,
        argument: &[u8],
        caller: &mut dyn Caller,
        now: Instant,
    ) -> Result<Reply, Errno> {
        self.device(client)?;
        let command = Command(command);
        if command.letter() != abi::number::TYPE || command.size() > ARGUMENT_MAX {
            return Err(Errno::ENOTTY);
        }
        let mut copied = Argument([0; ARGUMENT_MAX]);
        for (to, from) in copied.0.iter_mut().zip(argument) {
            *to = *from;
        }
        let call = Call {
            bus,
            client,
            caller,
            now,
        };
        let value = self.dispatch(command.number(), &mut copied, call)?;
        let size = if command.reads() { command.size() } else { 0 };
        Ok(Reply {
            value,
            argument: copied.0[..size].to_vec(),
        })
    }

    fn dispatch(
        &mut self,
        number: u32,
        argument: &mut Argument,
        call: Call<'_>,
    ) -> Result<i32, Errno> {
        match number {
            0x00 => self.get_info(argument, call),
            0x01 => self.send_request(argument, call),
            0x02 => self.allocate(argument, call),
            0x03 => self.deallocate(argument, call),
            0x04 => self.send_response(argument, call),
            0x05 => {
                // Of whatever kind: the virtual bus has one.
                self.schedule_reset(call.now);
                Ok(0)
            }
            0x06 => self.add_descriptor(argument, call),
            0x07 => self.remove_descriptor(argument, call),
            0x08 => no_context(argument),
            // QUEUE_ISO, START_ISO, STOP_ISO, SET_ISO_CHANNELS, FLUSH_ISO: without a context.
            0x09..=0x0b | 0x17 | 0x18 => Err(Errno::EINVAL),
            0x0c => {
                let (seconds, nanoseconds) = call.caller.clock(0)?;
                let micros = seconds * 1_000_000 + i64::from(nanoseconds / 1000);
                argument.0[..8].copy_from_slice(&micros.to_ne_bytes());
                argument.0[8..12].copy_from_slice(&cycle_time(call.now).to_ne_bytes());
                Ok(0)
            }
            0x0d | 0x0f | 0x10 => self.no_resource(number, argument, &call),
            // DEALLOCATE_ISO_RESOURCE: of what could not be had.
            0x0e => Err(Errno::EINVAL),
            0x11 => Ok(self.device(call.client)?.max_speed.code().into()),
            0x12 => self.send_broadcast_request(argument, call),
            0x13 => self.send_stream_packet(argument, &call),
            0x14 => {
                let mut timer: abi::GetCycleTimer2 = argument.get()?;
                (timer.tv_sec, timer.tv_nsec) = call.caller.clock(timer.clk_id)?;
                timer.cycle_timer = cycle_time(call.now);
                argument.set(&timer);
                Ok(0)
            }
            0x15 => {
                if !self.device(call.client)?.is_local {
                    return Err(Errno::ENOSYS);
                }
                let rcode = self.rcode_of_generation(argument.quadlet(16));
                let version = self.version(call.client);
                let tstamp = time_stamp(call.now);
                let packet = argument.octlet(8).to_ne_bytes();
                let closure = argument.octlet(0);
                let event = event::phy_packet_sent(version, closure, rcode, tstamp, &packet);
                self.tell(call.client, event);
                Ok(0)
            }
            0x16 if !self.device(call.client)?.is_local => Err(Errno::ENOSYS),
            // RECEIVE_PHY_PACKETS: there never are any.
            0x16 => Ok(0),
            _ => Err(Errno::ENOTTY),
        }
    }

    /// The node of an opener's file.
    fn device(&self, client: ClientId) -> Result<&Device, Errno> {
        let client = self.clients.get(&client).ok_or(Errno::ENODEV)?;
        self.devices.get(client.device).ok_or(Errno::ENODEV)
    }

    fn version(&self, client: ClientId) -> u32 {
        self.clients.get(&client).map_or(0, |client| client.version)
    }

    fn get_info(&mut self, argument: &mut Argument, call: Call<'_>) -> Result<i32, Errno> {
        let mut info: abi::GetInfo = argument.get()?;
        let device = self.device(call.client)?;
        let state = bus_state(call.bus, self.node, self.id, &self.registers, device);
        let rom = device.rom.as_bytes().to_vec();
        if let Some(client) = self.clients.get_mut(&call.client) {
            client.version = info.version;
        }
        info.version = KERNEL_VERSION;
        info.card = CARD;
        let wanted = rom.get(..info.rom_length as usize).unwrap_or(&rom);
        let copied = match info.rom {
            0 => Ok(()),
            address => call.caller.write(address, wanted),
        };
        info.rom_length = rom.len() as u32;
        copied?;
        if info.bus_reset != 0 {
            let event = event::bus_reset(info.bus_reset_closure, state);
            call.caller.write(info.bus_reset, &event)?;
        }
        if let Some(client) = self.clients.get_mut(&call.client) {
            client.bus_resets = Some(info.bus_reset_closure);
        }
        argument.set(&info);
        Ok(0)
    }

    fn send_request(&mut self, argument: &Argument, call: Call<'_>) -> Result<i32, Errno> {
        let request: abi::SendRequest = argument.get()?;
        match request.tcode {
            tcode::WRITE_QUADLET
            | tcode::WRITE_BLOCK
            | tcode::READ_QUADLET
            | tcode::READ_BLOCK
            | tcode::LOCK_MASK_SWAP..=tcode::LOCK_VENDOR => {}
            _ => return Err(Errno::EINVAL),
        }
        let device = self.device(call.client)?;
        let (id, speed) = (device.id, device.max_speed);
        self.send(&request, id, speed, call)
    }

    fn send_broadcast_request(
        &mut self,
        argument: &Argument,
        call: Call<'_>,
    ) -> Result<i32, Errno> {
        let request: abi::SendRequest = argument.get()?;
        if !matches!(request.tcode, tcode::WRITE_QUADLET | tcode::WRITE_BLOCK) {
            return Err(Errno::EINVAL);
        }
        // Only the units' space, so that no program disturbs the bus's own registers.
        if request.offset < csr::CONFIG_ROM.get() + csr::CONFIG_ROM_LENGTH {
            return Err(Errno::EACCES);
        }
        self.send(&request, NodeId::local(0x3f), Speed::S100, call)
    }

    fn send(
        &mut self,
        request: &abi::SendRequest,
        destination: NodeId,
        speed: Speed,
        call: Call<'_>,
    ) -> Result<i32, Errno> {
        let length = request.length as usize;
        if length > abi::MAX_PAYLOAD || length > speed.max_payload() {
            return Err(Errno::EIO);
        }
        if request.tcode == tcode::WRITE_QUADLET && length < 4 {
            return Err(Errno::EINVAL);
        }
        let mut data = vec![0; length];
        if request.data != 0 {
            call.caller.read(request.data, &mut data)?;
        }
        let token = self.next_token;
        self.next_token += 1;
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        let outbound = Outbound {
            client: call.client,
            handle: client.add(Resource::Outbound),
            closure: request.closure,
            length,
            sent: time_stamp(call.now),
        };
        self.outbound.insert(token, outbound);
        let Some(operation) = operation(request.tcode, data) else {
            // A vendor's lock, of which no node here knows.
            self.ended(token, RCode::TYPE_ERROR, &[], call.now);
            return Ok(0);
        };
        let transaction = Transaction {
            token: Token(token),
            destination,
            generation: self.generation_of(request.generation),
            speed,
            address: Address::new(request.offset),
            operation,
        };
        call.bus.send(self.node, transaction, call.now);
        self.run(call.bus, None, call.now);
        Ok(0)
    }

    /// The bus's generation that a program means: it knows eight bits of it.
    fn generation_of(&self, low: u32) -> Generation {
        if low == event::low_byte(self.generation) {
            self.generation
        } else {
            Generation(self.generation.0.wrapping_sub(1))
        }
    }

    fn rcode_of_generation(&self, low: u32) -> RCode {
        if self.generation_of(low) == self.generation {
            RCode::COMPLETE
        } else {
            RCode::GENERATION
        }
    }

    fn allocate(&mut self, argument: &mut Argument, call: Call<'_>) -> Result<i32, Errno> {
        let mut wish: abi::Allocate = argument.get()?;
        let length = u64::from(wish.length);
        let end = if self.version(call.client) < REGION_END_SINCE {
            wish.offset.saturating_add(length)
        } else {
            wish.region_end
        };
        let placed = self.addresses.add(call.client, wish.offset, end, length);
        let span = placed.map_err(|refusal| match refusal {
            Refusal::Malformed => Errno::EINVAL,
            Refusal::Taken => Errno::EBUSY,
        })?;
        if !FCP.encloses(span.start, span.length) {
            let claimed = range(span).and_then(|range| call.bus.claim(self.node, range));
            if claimed.is_err() {
                self.addresses.remove(call.client, span);
                return Err(Errno::EBUSY);
            }
        }
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        wish.handle = client.add(Resource::Range {
            span,
            closure: wish.closure,
        });
        wish.offset = span.start;
        argument.set(&wish);
        Ok(0)
    }

    fn deallocate(&mut self, argument: &Argument, call: Call<'_>) -> Result<i32, Errno> {
        let handle = argument.quadlet(0);
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        let Some(resource @ Resource::Range { .. }) = client.get(handle) else {
            return Err(Errno::EINVAL);
        };
        client.remove(handle);
        self.release(call.bus, call.client, resource, call.now);
        Ok(0)
    }

    fn send_response(&mut self, argument: &Argument, call: Call<'_>) -> Result<i32, Errno> {
        let answer: abi::SendResponse = argument.get()?;
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        let Some(Resource::Inbound(inbound)) = client.get(answer.handle) else {
            return Err(Errno::EINVAL);
        };
        // Whatever is wrong with the answer, there is no second one: the peer waits in vain.
        client.remove(answer.handle);
        let Inbound::Request { handle, expected } = inbound else {
            return Ok(0);
        };
        if answer.length as usize != expected {
            return Err(Errno::EINVAL);
        }
        let mut data = vec![0; expected];
        if expected > 0 {
            call.caller.read(answer.data, &mut data)?;
        }
        let rcode = RCode(answer.rcode & 0xf);
        let response = match rcode.is_complete() {
            true => Response::data(data),
            false => Response::error(rcode),
        };
        self.respond(call.bus, handle, response, call.now);
        self.run(call.bus, None, call.now);
        Ok(0)
    }

    fn add_descriptor(&mut self, argument: &mut Argument, call: Call<'_>) -> Result<i32, Errno> {
        let mut wish: abi::AddDescriptor = argument.get()?;
        if !self.device(call.client)?.is_local {
            return Err(Errno::ENOSYS);
        }
        if wish.length > DESCRIPTOR_MAX {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; wish.length as usize * 4];
        call.caller.read(wish.data, &mut bytes)?;
        let quadlets: Vec<u32> = bytes
            .chunks_exact(4)
            .filter_map(|quadlet| quadlet.try_into().ok().map(u32::from_ne_bytes))
            .collect();
        let added = self.rom.add(wish.immediate, wish.key, &quadlets);
        let descriptor = added.map_err(|error| match error {
            DescriptorError::Malformed => Errno::EINVAL,
            DescriptorError::NoRoom => Errno::EBUSY,
        })?;
        self.publish_rom(call.bus, call.now);
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        wish.handle = client.add(Resource::Descriptor(descriptor));
        argument.set(&wish);
        Ok(0)
    }

    fn remove_descriptor(&mut self, argument: &Argument, call: Call<'_>) -> Result<i32, Errno> {
        let handle = argument.quadlet(0);
        let client = self.clients.get_mut(&call.client).ok_or(Errno::ENODEV)?;
        let Some(resource @ Resource::Descriptor(_)) = client.get(handle) else {
            return Err(Errno::EINVAL);
        };
        client.remove(handle);
        self.release(call.bus, call.client, resource, call.now);
        Ok(0)
    }

    /// ALLOCATE_ISO_RESOURCE and the two that leave no resource behind.
    fn no_resource(
        &mut self,
        number: u32,
        argument: &mut Argument,
        call: &Call<'_>,
    ) -> Result<i32, Errno> {
        const BANDWIDTH_MAX: u32 = 4915;
        let (closure, channels, bandwidth) =
            (argument.octlet(0), argument.octlet(8), argument.quadlet(16));
        if (channels == 0 && bandwidth == 0) || bandwidth > BANDWIDTH_MAX {
            return Err(Errno::EINVAL);
        }
        let event_type = match number {
            0x10 => event_type::ISO_RESOURCE_DEALLOCATED,
            _ => event_type::ISO_RESOURCE_ALLOCATED,
        };
        // A handle that no resource has: it was lost before the program could use it.
        argument.0[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
        let event = event::no_resource(closure, event_type, u32::MAX);
        self.tell(call.client, event);
        Ok(0)
    }

    fn send_stream_packet(&mut self, argument: &Argument, call: &Call<'_>) -> Result<i32, Errno> {
        // length, tag, channel, sy, closure, data, generation, speed
        let [length, tag, channel, sy] = [0, 4, 8, 12].map(|at| argument.quadlet(at));
        let (generation, speed) = (argument.quadlet(32), argument.quadlet(36));
        let own = u32::from(self.device(call.client)?.max_speed.code());
        if speed > own || length > 1024 << speed {
            return Err(Errno::EIO);
        }
        if tag > 3 || channel > 63 || sy > 15 {
            return Err(Errno::EINVAL);
        }
        let tstamp = time_stamp(call.now);
        let ended = Ended {
            closure: argument.octlet(16),
            rcode: self.rcode_of_generation(generation),
            sent: tstamp,
            came: tstamp,
        };
        let event = event::response(self.version(call.client), ended, &[]);
        self.tell(call.client, event);
        Ok(0)
    }
}

/// CREATE_ISO_CONTEXT on a controller of which all contexts are in use.
fn no_context(argument: &Argument) -> Result<i32, Errno> {
    // type, header_size, channel, speed
    let [kind, header_size, channel, speed] = [0, 4, 8, 12].map(|at| argument.quadlet(at));
    let well_formed = match kind {
        0 => speed <= 5 && channel <= 63,
        1 => header_size >= 4 && header_size.is_multiple_of(4) && channel <= 63,
        2 => true,
        _ => false,
    };
    Err(if well_formed {
        Errno::EBUSY
    } else {
        Errno::EINVAL
    })
}

fn operation(code: u32, data: Vec<u8>) -> Option<Operation> {
    Some(match code {
        tcode::WRITE_QUADLET => Operation::WriteQuadlet {
            data: *data.first_chunk()?,
        },
        tcode::WRITE_BLOCK => Operation::WriteBlock { data },
        tcode::READ_QUADLET => Operation::ReadQuadlet,
        tcode::READ_BLOCK => Operation::ReadBlock { length: data.len() },
        code => {
            let code = code.checked_sub(tcode::LOCK_EXTENDED)?;
            let kind = LockKind::from_code(u16::try_from(code).ok()?)?;
            Operation::Lock { kind, data }
        }
    })
}
