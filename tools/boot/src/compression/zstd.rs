//! One frame of Zstandard, and its checksum, which ruzstd leaves to whoever uses it.

use std::io::{self, Read};

use ruzstd::decoding::StreamingDecoder;

use super::Source;

pub(super) struct Decoder<'a, R: Read> {
    stream: StreamingDecoder<&'a mut Source<R>, ruzstd::decoding::FrameDecoder>,
}

impl<'a, R: Read> Decoder<'a, R> {
    pub(super) fn new(source: &'a mut Source<R>, window: u64) -> io::Result<Self> {
        let stream = StreamingDecoder::new_with_max_window_size(source, window)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self { stream })
    }
}

impl<R: Read> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        let frame = &self.stream.decoder;
        if read == 0
            && let Some(written) = frame.get_checksum_from_data()
            && frame.get_calculated_checksum() != Some(written)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the checksum of a zstd frame is wrong",
            ));
        }
        Ok(read)
    }
}
