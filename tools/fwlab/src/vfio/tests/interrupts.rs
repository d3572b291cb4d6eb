//! Interrupts, as QEMU sets them up and takes them.

use std::io::Write as _;
use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::{Bench, eventfd, memfd, triggers};
use crate::vfio::wire::IrqSet;

const INTX: u32 = 0;
const MSI: u32 = 1;

#[test]
fn intx_is_a_level_that_masks_itself() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (seen, theirs) = eventfd();
    interrupts.update(0x10);
    assert_eq!(interrupts.pending(), 0x10);
    // What was pending before is told.
    client
        .set_irqs(IrqSet::EVENTFD, INTX, 1, Some(theirs.as_fd()))
        .unwrap();
    assert_eq!(triggers(&seen), 1);
    // Once, until the guest's side has heard it.
    interrupts.update(0x30);
    interrupts.update(0);
    interrupts.update(0x1);
    assert_eq!(triggers(&seen), 0);
    // Still high: again.
    client.set_irqs(IrqSet::UNMASK, INTX, 1, None).unwrap();
    assert_eq!(triggers(&seen), 1);
    interrupts.update(0);
    client.set_irqs(IrqSet::UNMASK, INTX, 1, None).unwrap();
    assert_eq!(triggers(&seen), 0);
    interrupts.update(0x8000_0000);
    assert_eq!(triggers(&seen), 1);

    // Masked by the guest's side.
    interrupts.update(0);
    client.set_irqs(IrqSet::UNMASK, INTX, 1, None).unwrap();
    client.set_irqs(IrqSet::MASK, INTX, 1, None).unwrap();
    interrupts.update(2);
    assert_eq!(triggers(&seen), 0);
    client.set_irqs(IrqSet::UNMASK, INTX, 1, None).unwrap();
    assert_eq!(triggers(&seen), 1);

    // Switched off.
    client.set_irqs(IrqSet::TRIGGER, INTX, 0, None).unwrap();
    client.set_irqs(IrqSet::UNMASK, INTX, 1, None).unwrap();
    interrupts.update(0);
    interrupts.update(1);
    assert_eq!(triggers(&seen), 0);
}

#[test]
fn msi_is_a_message_for_each_new_event() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (seen, theirs) = eventfd();
    client
        .set_irqs(IrqSet::EVENTFD, MSI, 1, Some(theirs.as_fd()))
        .unwrap();
    interrupts.update(0);
    assert_eq!(triggers(&seen), 0);
    interrupts.update(0x11);
    interrupts.update(0x11);
    assert_eq!(triggers(&seen), 1);
    interrupts.update(0x13);
    interrupts.update(0x03);
    interrupts.update(0x13);
    assert_eq!(triggers(&seen), 2);
    // The guest closed the mask and opens it.
    interrupts.update(0);
    interrupts.update(0x13);
    assert_eq!(triggers(&seen), 1);
    // An event descriptor without one takes it away, a new one hears of what is pending.
    client.set_irqs(IrqSet::EVENTFD, MSI, 1, None).unwrap();
    interrupts.update(0x1f);
    assert_eq!(triggers(&seen), 0);
    client
        .set_irqs(IrqSet::EVENTFD, MSI, 1, Some(theirs.as_fd()))
        .unwrap();
    assert_eq!(triggers(&seen), 1);
}

#[test]
fn with_msi_intx_is_silent_and_without_it_is_back() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (intx, theirs) = eventfd();
    let (msi, theirs_too) = eventfd();
    client
        .set_irqs(IrqSet::EVENTFD, INTX, 1, Some(theirs.as_fd()))
        .unwrap();
    client
        .set_irqs(IrqSet::EVENTFD, MSI, 1, Some(theirs_too.as_fd()))
        .unwrap();
    interrupts.update(1);
    assert_eq!((triggers(&intx), triggers(&msi)), (0, 1));
    client.set_irqs(IrqSet::TRIGGER, MSI, 0, None).unwrap();
    assert_eq!((triggers(&intx), triggers(&msi)), (1, 0));
}

#[test]
fn a_full_counter_holds_nobody_up() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (mut seen, theirs) = eventfd();
    client
        .set_irqs(IrqSet::EVENTFD, MSI, 1, Some(theirs.as_fd()))
        .unwrap();
    // It is a blocking eventfd, and this is all that fits.
    seen.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    interrupts.update(1);
    assert_eq!(triggers(&seen), u64::MAX - 1);
    interrupts.update(3);
    assert_eq!(triggers(&seen), 1);
}

#[test]
fn what_is_no_interrupt_is_refused() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (seen, event) = eventfd();
    let event = Some(event.as_fd());
    for (flags, index, count, descriptor) in [
        (IrqSet::EVENTFD, 2, 1, event),
        (IrqSet::EVENTFD, 5, 1, event),
        (IrqSet::EVENTFD, u32::MAX, 1, event),
        (IrqSet::EVENTFD, INTX, 2, event),
        (IrqSet::EVENTFD, INTX, 0, event),
        (IrqSet::EVENTFD, INTX, u32::MAX, event),
        (IrqSet::UNMASK, MSI, 1, None),
        (IrqSet::MASK, MSI, 1, None),
        (IrqSet::UNMASK, INTX, 0, None),
        // By eventfd, with booleans, two actions at once, none.
        (0x14, INTX, 1, event),
        (0x12, INTX, 1, None),
        (0x39, INTX, 1, None),
        (0, INTX, 1, None),
        (u32::MAX, INTX, 1, None),
    ] {
        let answer = client.set_irqs(flags, index, count, descriptor);
        assert_eq!(answer, Err(Errno::EINVAL), "{flags:#x} {index} {count}");
    }
    // What is no eventfd is not written to.
    let file = memfd(0);
    let answer = client.set_irqs(IrqSet::EVENTFD, INTX, 1, Some(file.as_fd()));
    assert_eq!(answer, Err(Errno::EINVAL));
    interrupts.update(1);
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert_eq!(triggers(&seen), 0);
}

#[test]
fn a_guest_that_has_gone_is_not_interrupted() {
    let bench = Bench::new();
    let (mut client, _, interrupts) = bench.guest();
    let (seen, theirs) = eventfd();
    client
        .set_irqs(IrqSet::EVENTFD, MSI, 1, Some(theirs.as_fd()))
        .unwrap();
    drop(client);
    bench.expect_gone();
    interrupts.update(1);
    assert_eq!(triggers(&seen), 0);
}
