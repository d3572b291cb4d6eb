# What a proper client never sends, and how it must be answered. Run by nbdsh with
# "h" not connected yet, URI and RO_URI set, and SIZE, BLOCK and MAX as the export has them.
import errno


def fails(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except nbd.Error as error:
        assert error.errnum == code, (call.__name__, args and args[-1], error.errno, error.string)
        return error.string
    raise AssertionError("%s was not refused" % call.__name__)


def connect(uri, structured):
    h = nbd.NBD()
    h.set_request_structured_replies(structured)
    # Let everything through that the library would refuse by itself.
    h.set_strict_mode(0)
    h.connect_uri(uri)
    assert h.get_structured_replies_negotiated() == structured
    return h


def edges(structured):
    h = connect(URI, structured)
    assert h.get_size() == SIZE
    assert h.can_df() == structured
    base = bytes(i % 251 for i in range(4 * BLOCK))
    h.pwrite(base, 0)

    # Unaligned reads are served, unaligned writes are not.
    assert h.pread(5, BLOCK - 2) == base[BLOCK - 2:BLOCK + 3]
    assert h.pread(1, SIZE - 1) == b"\0"
    fails(errno.EINVAL, h.pwrite, b"x", 1)
    fails(errno.EINVAL, h.pwrite, bytes(BLOCK), 1)
    fails(errno.EINVAL, h.pwrite, bytes(BLOCK + 1), 0)
    fails(errno.EINVAL, h.zero, BLOCK - 1, 0)
    assert h.pread(4 * BLOCK, 0) == base

    # Past the end.
    fails(errno.EINVAL, h.pread, BLOCK, SIZE)
    fails(errno.EINVAL, h.pread, 2, SIZE - 1)
    fails(errno.EINVAL, h.pread, BLOCK, 2**63 - BLOCK)
    fails(errno.ENOSPC, h.pwrite, bytes(BLOCK), SIZE)
    fails(errno.ENOSPC, h.zero, 2 * BLOCK, SIZE - BLOCK)

    # Longer than the maximum: the data is drained and the stream stays in step.
    fails(errno.EINVAL, h.pread, MAX + BLOCK, 0)
    fails(errno.EINVAL, h.pwrite, bytes(MAX + BLOCK), 0)
    assert h.pread(4 * BLOCK, 0) == base

    # Commands and flags that were not offered.
    fails(errno.EINVAL, h.trim, BLOCK, 0)
    fails(errno.EINVAL, h.cache, BLOCK, 0)
    fails(errno.EINVAL, h.pwrite, bytes(BLOCK), 0, flags=nbd.CMD_FLAG_NO_HOLE)
    fails(errno.ENOTSUP, h.zero, BLOCK, 0, flags=nbd.CMD_FLAG_FAST_ZERO)
    if structured:
        got = bytearray(BLOCK + 7)

        def chunk(data, offset, status, error):
            assert status == nbd.READ_DATA and error.value == 0
            got[offset - 3:offset - 3 + len(data)] = data
        h.pread_structured(BLOCK + 7, 3, chunk, flags=nbd.CMD_FLAG_DF)
        assert got == base[3:BLOCK + 10]
    else:
        fails(errno.EINVAL, h.pread, BLOCK, 0, flags=nbd.CMD_FLAG_DF)

    # Everything that was offered.
    h.pwrite(bytes(BLOCK), 0, flags=nbd.CMD_FLAG_FUA)
    h.zero(BLOCK, BLOCK, flags=nbd.CMD_FLAG_FUA | nbd.CMD_FLAG_NO_HOLE)
    h.zero(2 * BLOCK, 2 * BLOCK)
    h.flush()
    assert h.pread(4 * BLOCK, 0) == bytes(4 * BLOCK)

    # Many in flight, answered in any order, each with its own data.
    buffers, cookies = [], []
    for i in range(200):
        data = bytes([i]) * BLOCK
        cookies.append(h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(data)), i * BLOCK))
    while any(not h.aio_command_completed(c) for c in cookies[-1:]) or h.aio_in_flight():
        h.poll(-1)
    cookies = []
    for i in range(200):
        buffers.append(nbd.Buffer(BLOCK))
        cookies.append(h.aio_pread(buffers[i], i * BLOCK))
    while h.aio_in_flight():
        h.poll(-1)
    for i in range(200):
        assert buffers[i].to_bytearray() == bytes([i]) * BLOCK, i
    h.shutdown()


def read_only():
    h = connect(RO_URI, True)
    assert h.is_read_only()
    text = fails(errno.EPERM, h.pwrite, bytes(BLOCK), 0)
    fails(errno.EPERM, h.zero, BLOCK, 0)
    assert h.pread(BLOCK, 0) == bytes(BLOCK)
    h.flush()
    h.shutdown()


def haggling():
    h = nbd.NBD()
    h.set_opt_mode(True)
    h.connect_uri(URI)
    names = []
    assert h.opt_list(lambda name, text: names.append(name)) == 1
    assert names == ["disk"], names
    h.set_full_info(True)
    for name in ["", "disk"]:
        h.set_export_name(name)
        h.opt_info()
        assert h.get_size() == SIZE
        assert h.get_canonical_export_name() == "disk"
        assert h.get_export_description() == "a test disk"
    h.set_export_name("another")
    fails(errno.ENOENT, h.opt_info)
    fails(errno.ENOENT, h.opt_go)
    # No metadata contexts are offered, and asking for them harms nothing.
    h.add_meta_context("base:allocation")
    h.set_export_name("disk")
    h.opt_go()
    assert not h.can_meta_context("base:allocation")
    assert h.get_block_size(nbd.SIZE_MINIMUM) == BLOCK
    assert h.get_block_size(nbd.SIZE_MAXIMUM) == MAX
    h.shutdown()

    h = nbd.NBD()
    h.set_opt_mode(True)
    h.connect_uri(URI)
    h.opt_abort()

    # TLS is refused, and a client that can do without goes on without.
    h = nbd.NBD()
    if h.supports_tls():
        h.set_tls(nbd.TLS_ALLOW)
        h.connect_uri(URI)
        assert not h.get_tls_negotiated()
        h.shutdown()


edges(True)
edges(False)
read_only()
haggling()
print("all edges held")
