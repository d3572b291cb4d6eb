//! What a login tells of itself to those who ask.

use std::time::{Instant, SystemTime};

use sbp2::wire::MaxPayload;

use super::hosts::Hosts;
use crate::cli::{LoginArgs, OnOff};
use crate::control::{Board, HostStatus, Source, Status};
use crate::device::Place;
use crate::words::rfc3339;

/// What this login tells of itself.
pub(super) fn source(args: &LoginArgs, place: &Place<'_>, hosts: &Hosts, board: Board) -> Source {
    let (mut watches, mut resetters) = (Vec::new(), Vec::new());
    let hosts = hosts.views().map(|view| {
        watches.push(view.watch);
        resetters.push(view.resetter);
        HostStatus {
            guid: view.guid.as_ref().map(ToString::to_string),
            exports: view.uris,
            devices: view.devices,
            ..HostStatus::default()
        }
    });
    let target = place.target();
    let max_payload = MaxPayload::negotiate(target.speed, target.host_max_rec);
    let quirks = place.unit.quirks();
    let status = Status {
        pid: std::process::id(),
        target: place.name(),
        description: place.found.texts(),
        bus: args.bus.bus.to_string(),
        node: place.found.node.name.clone(),
        speed: target.speed.to_string(),
        max_payload: max_payload.bytes(),
        exclusive: args.exclusive,
        serialize_io: args.serialize_io == OnOff::On,
        quirks: quirks
            .iter_names()
            .map(|(name, _)| name.to_owned())
            .collect(),
        started: rfc3339(SystemTime::now()),
        uptime_s: 0,
        hosts: hosts.collect(),
    };
    Source {
        status,
        start: Instant::now(),
        watches,
        resetters,
        board,
    }
}
