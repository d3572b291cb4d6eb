//! The configuration ROM as other nodes read it.

use super::*;

const START: u64 = 0xffff_f000_0400;
/// Another image.
const OTHER: u32 = 0x1000;

/// What another node reads at this quadlet.
fn quadlet(bench: &mut Bench, number: u64) -> Result<u32, u32> {
    let to = bench.id(1);
    let packet = Packet::read_quadlet(to, 1, START + 4 * number);
    bench.send(0, REQUEST, &packet);
    let response = bench.packets(0, RESPONSE).remove(0);
    match response.rcode() {
        0 => Ok(response.header[3].swap_bytes()),
        rcode => Err(rcode),
    }
}

fn fill(bench: &Bench, image: u32, base: u32) {
    for number in 0..256 {
        let value = (base + number).to_be_bytes();
        bench.machines[1].ram.put(image + 4 * number, &value);
    }
}

#[test]
fn the_first_five_quadlets_are_registers_and_the_rest_is_the_image() {
    let mut bench = Bench::on(2);
    fill(&bench, driver::ROM, 0x100);
    bench.write(1, regs::BUS_OPTIONS, 0xf000_a0f2);
    let head = [0x0404_0000, 0x3133_3934, 0xf000_a0f2, 0x0200_0000, 0x1001];
    for (number, value) in (0..).zip(head) {
        assert_eq!(quadlet(&mut bench, number), Ok(value));
    }
    for number in [5, 6, 255] {
        assert_eq!(quadlet(&mut bench, number), Ok(0x100 + number as u32));
    }
    let to = bench.id(1);
    bench.send(0, REQUEST, &Packet::read_block(to, 1, START + 8, 1016));
    let response = bench.packets(0, RESPONSE).remove(0);
    let (quadlets, _) = response.data.as_chunks::<4>();
    assert_eq!(quadlets.len(), 254);
    assert_eq!(quadlets[0], 0xf000_a0f2_u32.to_be_bytes());
    assert_eq!(quadlets[3], 0x105_u32.to_be_bytes());
    assert_eq!(quadlets[253], 0x1ff_u32.to_be_bytes());
    assert!(
        bench.packets(1, REQUEST).is_empty(),
        "software has seen one"
    );

    for (packet, rcode) in [
        (Packet::read_block(to, 1, START + 2, 8), 7),
        (Packet::read_block(to, 1, START + 8, 1020), 7),
    ] {
        bench.send(0, REQUEST, &packet);
        assert_eq!(bench.packets(0, RESPONSE).remove(0).rcode(), rcode);
    }
    // Writes are software's to refuse.
    bench.send(0, REQUEST, &Packet::write_quadlet(to, 1, START, [0; 4]));
    assert_eq!(bench.packets(1, REQUEST).len(), 1);
}

#[test]
fn another_image_counts_from_the_next_reset_on() {
    let mut bench = Bench::on(2);
    fill(&bench, driver::ROM, 0x100);
    fill(&bench, OTHER, 0x900);
    // What is no multiple of 1 KiB is cut off.
    bench.write(1, regs::CONFIG_ROM_MAP, OTHER | 0x3ff);
    assert_eq!(bench.read(1, regs::CONFIG_ROM_MAP), OTHER);
    assert_eq!(quadlet(&mut bench, 5), Ok(0x105));
    bench.bus.reset(bench.now);
    bench.settle();
    bench.see_to_reset(0);
    assert_eq!(quadlet(&mut bench, 5), Ok(0x905));
}

#[test]
fn an_image_that_is_nowhere_is_a_data_error() {
    let mut bench = Bench::on(2);
    bench.write(1, regs::CONFIG_ROM_MAP, 0xffff_fc00);
    bench.bus.reset(bench.now);
    bench.settle();
    bench.see_to_reset(0);
    assert_eq!(quadlet(&mut bench, 5), Err(5));
}

#[test]
fn without_an_image_there_is_no_rom() {
    let mut bench = Bench::on(2);
    bench.write(1, regs::HC_CONTROL_SET, HcControl::SOFT_RESET.bits());
    bench.write(1, regs::HC_CONTROL_SET, HcControl::LPS.bits());
    let link = HcControl::LINK_ENABLE.bits();
    bench.write(1, regs::HC_CONTROL_SET, link);
    bench.see_to_reset(0);
    assert_eq!(quadlet(&mut bench, 0), Err(6));
    // Software cannot take an image away again.
    let valid = HcControl::BIB_IMAGE_VALID.bits();
    bench.write(1, regs::HC_CONTROL_SET, valid);
    bench.write(1, regs::HC_CONTROL_CLEAR, valid);
    assert_eq!(quadlet(&mut bench, 1), Ok(0x3133_3934));
}

#[test]
fn those_who_ask_the_bus_see_the_rom_that_software_made() {
    let mut bench = Bench::on(2);
    let node = bench.machines[1].node;
    bench.machines[1].ram.put_quadlets(driver::ROM, &[0; 256]);
    let end = driver::ROM + 4 * 6;
    bench.machines[1]
        .ram
        .put_quadlets(end, &[7_u32.swap_bytes()]);
    bench.write(1, regs::CONFIG_ROM_HEADER, 0x0404_1234);
    let options = bench.read(1, regs::BUS_OPTIONS);
    let expected = [0x0404_1234, 0x3133_3934, options, 0x0200_0000, 0x1001, 0, 7];
    assert_eq!(bench.bus.config(node).rom, expected);
}
