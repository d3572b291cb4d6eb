"""A host that is no bridge writes into and reads from the memory of another host's login.

Arguments: the folder of its nodes, and the EUI-64 of the other host. The login's memory is the
first range above 4 GiB. Posted writes end well for the writer whatever becomes of them; reads
must be refused.
"""

import sys

import gi

gi.require_version("Hinawa", "3.0")
from gi.repository import GLib, Hinawa  # noqa: E402

from hinawa import dispatcher, open_all, transact  # noqa: E402

BASE = 0x100000000


def main(folder, victim):
    (_, _own), others = open_all(folder)
    node = others[int(victim, 16)]
    tcode = Hinawa.FwTcode
    with dispatcher([node]):
        for number in range(10):
            frame = bytearray([0xC0, 0, 0, 0, 0, 0, 0, number])
            transact(node, tcode.WRITE_BLOCK_REQUEST, BASE, frame)
        for number in range(10):
            try:
                transact(node, tcode.READ_BLOCK_REQUEST, BASE + 0x1000 * number, bytearray(32))
            except GLib.Error:
                continue
            raise AssertionError("a read was served")


if __name__ == "__main__":
    main(*sys.argv[1:])
