//! Isochronous contexts: they are reported, and do not run.

use super::*;

/// Every context that is reported.
fn contexts() -> impl Iterator<Item = u32> {
    let transmit = (0..4).map(|number| regs::ISO_XMIT + 0x10 * number);
    transmit.chain((0..4).map(|number| regs::ISO_RECV + 0x20 * number))
}

#[test]
fn the_masks_tell_how_many_there_are() {
    let mut bench = Bench::off(1);
    for mask in [regs::ISO_XMIT_INT_MASK_SET, regs::ISO_RECV_INT_MASK_SET] {
        assert_eq!(bench.read(0, mask), 0);
        bench.write(0, mask, u32::MAX);
        assert_eq!(bench.read(0, mask), 0xf);
        bench.write(0, mask + 4, 0x5);
        assert_eq!(bench.read(0, mask + 4), 0xa);
    }
}

#[test]
fn one_that_is_to_run_is_dead_until_it_is_stopped() {
    let mut bench = Bench::on(1);
    bench.events(0);
    let run = ContextControl::RUN.bits();
    let dead = ContextControl::DEAD.bits();
    for base in contexts() {
        assert_eq!(bench.read(0, base), 0);
        bench.write(0, base + context::COMMAND_PTR, 0x2001);
        bench.write(0, base + context::CONTROL_SET, ContextControl::WAKE.bits());
        assert_eq!(bench.read(0, base), 0, "it was not to run");
        bench.write(0, base + context::CONTROL_SET, u32::MAX);
        assert_eq!(bench.read(0, base) & !0x1f, run | dead, "{base:#x}");
        assert_eq!(
            bench.read(0, base + context::CONTROL_CLEAR),
            bench.read(0, base)
        );
        // Software is told as of any context that dies.
        assert_eq!(bench.events(0), IntEvent::UNRECOVERABLE_ERROR);
        bench.write(0, base + context::CONTROL_CLEAR, run);
        assert_eq!(bench.read(0, base), 0);
    }
    let behind = [regs::ISO_XMIT + 0x40, regs::ISO_RECV + 0x80];
    for base in behind {
        bench.write(0, base + context::CONTROL_SET, run);
        assert_eq!(bench.read(0, base), 0, "there is none");
    }
    assert_eq!(bench.events(0), IntEvent::empty());
}
