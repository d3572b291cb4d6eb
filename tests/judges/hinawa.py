"""Quadlet and block reads, writes and locks between two hosts of a bus, by libhinawa.

Arguments: the folders of the two hosts' nodes, and the EUI-64 of a bridge on their bus.
Prints "ok" at the end; anything that goes wrong is an exception.
"""

import contextlib
import os
import struct
import sys
import threading

import gi

gi.require_version("Hinawa", "3.0")
from gi.repository import GLib, Hinawa  # noqa: E402

TIMEOUT_MS = 5000
CSR = 0xFFFFF0000000
ROM = CSR + 0x400
CHANNELS_AVAILABLE_LO = CSR + 0x228
REGION = (0x100000000, 0xFFFFE0000000)
LENGTH = 64


@contextlib.contextmanager
def dispatcher(nodes):
    """A thread that hands on the nodes' events."""
    context = GLib.MainContext.new()
    sources = [node.create_source() for node in nodes]
    for source in sources:
        source.attach(context)
    loop = GLib.MainLoop.new(context, False)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield
    finally:
        loop.quit()
        thread.join()
        for source in sources:
            source.destroy()


def open_all(folder):
    """The nodes of a host: its own, and the others by EUI-64."""
    own, others = None, {}
    for name in sorted(os.listdir(folder)):
        node = Hinawa.FwNode.new()
        node.open(os.path.join(folder, name))
        rom = bytes(node.get_config_rom()[1] if isinstance(node.get_config_rom(), tuple)
                    else node.get_config_rom())
        guid = struct.unpack(">Q", rom[12:20])[0]
        if node.get_property("node-id") == node.get_property("local-node-id"):
            own = (guid, node)
        else:
            others[guid] = node
    return own, others


class Memory(Hinawa.FwResp):
    """Some bytes that others can read, write and lock."""

    def __init__(self):
        super().__init__()
        self.bytes = bytearray(range(LENGTH))
        self.base = None

    def do_requested2(self, tcode, offset, src, dst, card, generation, frame, length):
        start = offset - self.base
        frame = bytes(frame[:length])
        if tcode in (Hinawa.FwTcode.READ_QUADLET_REQUEST, Hinawa.FwTcode.READ_BLOCK_REQUEST):
            self.set_resp_frame(bytes(self.bytes[start:start + length]))
        elif tcode in (Hinawa.FwTcode.WRITE_QUADLET_REQUEST, Hinawa.FwTcode.WRITE_BLOCK_REQUEST):
            self.bytes[start:start + length] = frame
        elif tcode == Hinawa.FwTcode.LOCK_COMPARE_SWAP:
            half = length // 2
            old = bytes(self.bytes[start:start + half])
            if old == frame[:half]:
                self.bytes[start:start + half] = frame[half:]
            self.set_resp_frame(old)
        else:
            return Hinawa.FwRcode.TYPE_ERROR
        return Hinawa.FwRcode.COMPLETE


def transact(node, tcode, address, frame, length=None):
    request = Hinawa.FwReq.new()
    length = len(frame) if length is None else length
    return bytes(request.transaction_sync(node, tcode, address, length, frame, TIMEOUT_MS))


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def refused(node, tcode, address, frame, rcode):
    try:
        transact(node, tcode, address, frame)
    except GLib.Error as error:
        expect(error.code, int(rcode), f"error at {address:#x}")
        return
    raise AssertionError(f"a request to {address:#x} was served")


def main(first, second, bridge):
    (_, _own), peers = open_all(first)
    (guid, served), _rest = open_all(second)
    peer, disk = peers[guid], peers[int(bridge, 16)]
    tcode = Hinawa.FwTcode
    with dispatcher([peer, disk, served]):
        # The bus itself serves these, and the host's core.
        name = transact(disk, tcode.READ_QUADLET_REQUEST, ROM + 4, bytearray(4))
        expect(name, b"1394", "the bridge's ROM")
        name = transact(peer, tcode.READ_BLOCK_REQUEST, ROM + 4, bytearray(16))
        expect(name[:4], b"1394", "the host's ROM")
        expect(name[8:], struct.pack(">Q", guid), "the host's EUI-64")
        swap = bytearray(b"\xff\xff\xff\xff\xff\xff\xff\xfe")
        old = transact(peer, tcode.LOCK_COMPARE_SWAP, CHANNELS_AVAILABLE_LO, swap, 4)
        expect(old[:4], b"\xff\xff\xff\xff", "the first lock")
        old = transact(peer, tcode.LOCK_COMPARE_SWAP, CHANNELS_AVAILABLE_LO, swap, 4)
        expect(old[:4], b"\xff\xff\xff\xfe", "the second lock")

        # The other host's program serves these.
        memory = Memory()
        memory.reserve_within_region(served, *REGION, LENGTH)
        memory.base = memory.get_property("offset")
        base = memory.base
        got = transact(peer, tcode.READ_QUADLET_REQUEST, base + 8, bytearray(4))
        expect(got, bytes([8, 9, 10, 11]), "a quadlet read")
        got = transact(peer, tcode.READ_BLOCK_REQUEST, base, bytearray(LENGTH))
        expect(got, bytes(range(LENGTH)), "a block read")
        transact(peer, tcode.WRITE_QUADLET_REQUEST, base, bytearray(b"1394"))
        transact(peer, tcode.WRITE_BLOCK_REQUEST, base + 4, bytearray(b"firewire"))
        got = transact(peer, tcode.READ_BLOCK_REQUEST, base, bytearray(12))
        expect(got, b"1394firewire", "what was written")
        old = transact(peer, tcode.LOCK_COMPARE_SWAP, base, bytearray(b"1394\0\0\0\1"), 4)
        expect(old[:4], b"1394", "a lock")
        got = transact(peer, tcode.READ_QUADLET_REQUEST, base, bytearray(4))
        expect(got, b"\0\0\0\1", "what was swapped")
        # Across the end, below 4 GiB, and where nobody is.
        rcode = Hinawa.FwReqError
        refused(peer, tcode.READ_BLOCK_REQUEST, base + LENGTH - 4, bytearray(8),
                rcode.ADDRESS_ERROR)
        refused(peer, tcode.READ_QUADLET_REQUEST, 0x1000, bytearray(4), rcode.TYPE_ERROR)
        memory.release()
        refused(peer, tcode.READ_QUADLET_REQUEST, base, bytearray(4), rcode.ADDRESS_ERROR)
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
