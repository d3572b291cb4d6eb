//! A virtual bus inside this process: one bridge, and the hosts that this process plays.

use ohci_raw::bus::{Eui64, Speed};
use ohci_raw::config_rom::{BuildError, Builder, BusOptions, DirectoryBuilder, Key};
use ohci_raw::port::Port;
use ohci_raw::sim::{NodeConfig, SharedBus, Timing};
use sbp2::scsi::{Medium, MediumSizeError, MemoryMedium};
use sbp2::target::{Bridge, BridgeError, BridgeProfile};

use super::image::{Image, ImageError};
use super::spec::{Emulation, Storage};

/// The first host's EUI-64; the others count up from it. Locally administered, so that it is
/// nobody's.
const FIRST_HOST: u64 = 0x0200_0000_f05b_1000;
/// The vendor id in a host's ROM, from the same range.
const HOST_VENDOR: u32 = 0x02_0000;

/// Why there is no emulated bus.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EmulatedError {
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the emulated disk cannot be made: {0}")]
    Size(#[from] MediumSizeError),
    #[error("the emulated bridge cannot be made: {0}")]
    Bridge(#[from] BridgeError),
    #[error("the configuration ROM of an emulated host cannot be made: {0}")]
    HostRom(#[from] BuildError),
    #[error("there is no bridge profile \"{0}\"")]
    Profile(String),
}

/// The virtual bus, to which hosts can be added.
pub(crate) struct EmulatedBus {
    bus: SharedBus,
    speed: Speed,
    hosts: u64,
}

impl EmulatedBus {
    /// A bus with a bridge and no hosts.
    pub(crate) fn new(emulation: &Emulation) -> Result<Self, EmulatedError> {
        let mut profile = BridgeProfile::by_name(&emulation.profile)
            .ok_or_else(|| EmulatedError::Profile(emulation.profile.clone()))?;
        if let Some(logins) = emulation.logins {
            profile.max_logins = logins;
        }
        if let Some(speed) = emulation.speed {
            profile.speed = speed;
        }
        let config = NodeConfig {
            name: profile.name.to_owned(),
            eui64: profile.eui64,
            rom: Vec::new(),
            speed: profile.speed,
            rom_block_reads: profile.rom_block_reads,
        };
        let bridge = Bridge::new(profile, vec![medium(emulation)?])?;
        let config = NodeConfig {
            rom: bridge.rom().to_vec(),
            ..config
        };
        let speed = config.speed;
        let bus = SharedBus::new(Timing::Immediate);
        bus.attach_machine(config, bridge.claims(), Box::new(bridge));
        Ok(Self {
            bus,
            speed,
            hosts: 0,
        })
    }

    /// Adds a host. It leaves the bus when its port is dropped.
    pub(crate) fn host(&mut self) -> Result<Box<dyn Port>, EmulatedError> {
        let eui64 = Eui64(FIRST_HOST + self.hosts);
        let port = self.bus.attach_host(NodeConfig {
            name: format!("emulated host {}", self.hosts + 1),
            eui64,
            rom: host_rom(eui64, self.speed)?,
            speed: self.speed,
            rom_block_reads: true,
        });
        self.hosts += 1;
        Ok(Box::new(port))
    }
}

fn medium(emulation: &Emulation) -> Result<Box<dyn Medium>, EmulatedError> {
    Ok(match &emulation.storage {
        Storage::Image(path) => Box::new(Image::open(path, emulation.sector)?),
        Storage::Memory(size) => Box::new(MemoryMedium::new(
            emulation.sector,
            size / u64::from(emulation.sector),
        )?),
    })
}

/// As Linux shows itself: a vendor, a model, and no unit.
fn host_rom(eui64: Eui64, speed: Speed) -> Result<Vec<u32>, BuildError> {
    let options = BusOptions {
        cyc_clk_acc: 255,
        // 512 bytes at S100 are 2^(8+1).
        max_rec: 8 + speed.code().min(Speed::S800.code()),
        max_rom: 2,
        generation: 2,
        link_spd: speed.code(),
        ..BusOptions::default()
    };
    let root = DirectoryBuilder::new()
        .immediate(Key::VENDOR, HOST_VENDOR)
        .text("fwshare")
        .immediate(Key::MODEL, 0)
        .text("emulated host");
    Builder::new(options, eui64, root).build()
}
