//! The cycle timer, as software sees it.

use super::*;

const SECONDS: u32 = 25;

#[test]
fn the_timer_runs_at_24_576_mhz_and_is_set_by_software() {
    let mut bench = Bench::off(2);
    assert_eq!(bench.read(0, regs::ISOCHRONOUS_CYCLE_TIMER), 0);
    bench.advance(Duration::from_micros(125 * 8003));
    let expected = 1 << SECONDS | 3 << 12;
    assert_eq!(bench.read(0, regs::ISOCHRONOUS_CYCLE_TIMER), expected);
    bench.write(1, regs::ISOCHRONOUS_CYCLE_TIMER, 5 << SECONDS | 4 << 12);
    assert_eq!(bench.read(0, regs::ISOCHRONOUS_CYCLE_TIMER), expected);
    bench.advance(Duration::from_micros(125));
    let expected = 5 << SECONDS | 5 << 12;
    assert_eq!(bench.read(1, regs::ISOCHRONOUS_CYCLE_TIMER), expected);
    // Fields beyond their range do no harm.
    bench.write(1, regs::ISOCHRONOUS_CYCLE_TIMER, u32::MAX);
    let _ = bench.read(1, regs::ISOCHRONOUS_CYCLE_TIMER);
    bench.advance(Duration::from_secs(1));
}

#[test]
fn software_is_told_of_each_64_seconds() {
    let mut bench = Bench::off(1);
    assert_eq!(bench.machines[0].controller.poll_timeout(), None);
    let minute = IntEvent::CYCLE_64_SECONDS;
    let mask = minute | IntEvent::MASTER_INT_ENABLE;
    bench.write(0, regs::INT_MASK_SET, mask.bits());
    let due = Some(Instant::ZERO + Duration::from_secs(64));
    assert_eq!(bench.machines[0].controller.poll_timeout(), due);
    bench.advance(Duration::from_secs(64) - Duration::from_nanos(1));
    assert_eq!(bench.machines[0].controller.pending(), 0);
    bench.advance(Duration::from_nanos(1));
    assert_eq!(bench.machines[0].controller.pending(), minute.bits());
    let timer = bench.read(0, regs::ISOCHRONOUS_CYCLE_TIMER);
    assert_eq!(timer, 64 << SECONDS);
    // Until it is cleared there is nothing to wait for.
    assert_eq!(bench.machines[0].controller.poll_timeout(), None);
    bench.write(0, regs::INT_EVENT_CLEAR, minute.bits());
    bench.advance(Duration::from_secs(63));
    assert_eq!(bench.machines[0].controller.pending(), 0);
    bench.advance(Duration::from_secs(1));
    assert_eq!(bench.machines[0].controller.pending(), minute.bits());
    assert_eq!(bench.read(0, regs::ISOCHRONOUS_CYCLE_TIMER), 0);
}

#[test]
fn who_does_not_wait_for_an_event_finds_it_all_the_same() {
    let mut bench = Bench::off(1);
    bench.advance(Duration::from_secs(70));
    let events = bench.all_events(0);
    let both = IntEvent::CYCLE_64_SECONDS | IntEvent::CYCLE_SYNCH;
    assert_eq!(events, both);
    bench.advance(Duration::from_micros(50));
    assert_eq!(bench.all_events(0), IntEvent::empty());
    bench.advance(Duration::from_micros(75));
    assert_eq!(bench.all_events(0), IntEvent::CYCLE_SYNCH);
}

#[test]
fn each_cycle_can_interrupt() {
    let mut bench = Bench::off(1);
    let mask = IntEvent::CYCLE_SYNCH | IntEvent::MASTER_INT_ENABLE;
    bench.write(0, regs::INT_MASK_SET, mask.bits());
    for _ in 0..10 {
        bench.advance(Duration::from_nanos(124_999));
        assert_eq!(bench.machines[0].controller.pending(), 0);
        bench.advance(Duration::from_nanos(1));
        let expected = IntEvent::CYCLE_SYNCH.bits();
        assert_eq!(bench.machines[0].controller.pending(), expected);
        bench.write(0, regs::INT_EVENT_CLEAR, expected);
    }
}
