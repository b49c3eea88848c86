//! The forms a snapshot file can have: plain, gzip, or the framed Snappy of Java's library.
//!
//! Lives here: bytes in, bytes out. Must not: know a snapshot's parts. A snapshot's checksums are of its
//! plain bytes; the form is told by the file's name.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How snapshots are written; all forms are read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// As `gzip`.
    Gzip,
    /// As Java's SnappyOutputStream.
    Snappy,
}

impl Compression {
    /// What a file's name ends with, the dot included.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }

    /// What a file begins with, whatever it holds.
    pub(crate) fn magic(self) -> &'static [u8] {
        match self {
            Self::None => &[],
            Self::Gzip => &[0x1f, 0x8b],
            Self::Snappy => &SNAPPY_HEADER[..8],
        }
    }

    pub(crate) fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("snappy") => Self::Snappy,
            _ => Self::None,
        }
    }

    /// The plain bytes of a file's.
    pub(crate) fn expand(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip => {
                let mut plain = Vec::new();
                MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
                Ok(plain)
            }
            Self::Snappy => expand_snappy(&bytes),
        }
    }
}

/// Compresses on the way to `W`.
pub(crate) enum Compressor<W: Write> {
    None(W),
    Gzip(Box<GzEncoder<W>>),
    Snappy(Box<Blocks<W>>),
}

/// Collects bytes into blocks, each compressed by itself.
pub(crate) struct Blocks<W> {
    output: W,
    block: Vec<u8>,
    encoder: snap::raw::Encoder,
    begun: bool,
}

impl<W: Write> Compressor<W> {
    pub(crate) fn new(how: Compression, output: W) -> Self {
        match how {
            Compression::None => Self::None(output),
            Compression::Gzip => {
                Self::Gzip(Box::new(GzEncoder::new(output, flate2::Compression::fast())))
            }
            Compression::Snappy => Self::Snappy(Box::new(Blocks {
                output,
                block: Vec::with_capacity(BLOCK),
                encoder: snap::raw::Encoder::new(),
                begun: false,
            })),
        }
    }

    /// Ends what is compressed and gives the output back, flushed.
    pub(crate) fn finish(self) -> io::Result<W> {
        let mut output = match self {
            Self::None(output) => output,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Snappy(mut blocks) => {
                blocks.put_block()?;
                blocks.output
            }
        };
        output.flush()?;
        Ok(output)
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Snappy(blocks) => {
                let taken = bytes.len().min(BLOCK - blocks.block.len());
                blocks.block.extend_from_slice(&bytes[..taken]);
                if blocks.block.len() == BLOCK {
                    blocks.put_block()?;
                }
                Ok(taken)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(output) => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Snappy(blocks) => blocks.put_block(),
        }
    }
}

impl<W: Write> Blocks<W> {
    fn put_block(&mut self) -> io::Result<()> {
        if !self.begun {
            self.output.write_all(&SNAPPY_HEADER)?;
            self.begun = true;
        }
        if self.block.is_empty() {
            return Ok(());
        }
        let compressed = self.encoder.compress_vec(&self.block).map_err(io::Error::other)?;
        let length = u32::try_from(compressed.len()).map_err(io::Error::other)?;
        self.output.write_all(&length.to_be_bytes())?;
        self.output.write_all(&compressed)?;
        self.block.clear();
        Ok(())
    }
}

fn expand_snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "damaged Snappy stream");
    let mut rest = bytes.strip_prefix(&SNAPPY_HEADER[..8]).ok_or_else(damaged)?;
    // The versions of the writer and of the oldest reader; there is only one.
    rest = rest.get(8..).ok_or_else(damaged)?;
    let mut decoder = snap::raw::Decoder::new();
    let mut plain = Vec::new();
    while !rest.is_empty() {
        // A stream may be several, each with its header.
        if let Some(next) = rest.strip_prefix(&SNAPPY_HEADER[..]) {
            rest = next;
            continue;
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(io::Error::other)?;
        let block = behind.get(..length).ok_or_else(damaged)?;
        rest = &behind[length..];
        let size = snap::raw::decompress_len(block).map_err(|_| damaged())?;
        // A block of Java's has 32 KiB; one that says much more, or more than its bytes can make, is no block.
        if size > MAX_BLOCK || size > length * MOST_EACH {
            return Err(damaged());
        }
        let begin = plain.len();
        plain.resize(begin + size, 0);
        decoder.decompress(block, &mut plain[begin..]).map_err(|_| damaged())?;
    }
    Ok(plain)
}

/// Magic, version 1, readable since version 1.
const SNAPPY_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const BLOCK: usize = 32 << 10;
const MAX_BLOCK: usize = 64 << 20;
/// What a byte of Snappy's makes at most: three stand for 64.
const MOST_EACH: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(how: Compression, plain: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(how, Vec::new());
        compressor.write_all(plain).expect("memory has room");
        compressor.finish().expect("memory has room")
    }

    #[test]
    fn what_is_compressed_is_expanded() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for how in [Compression::None, Compression::Gzip, Compression::Snappy] {
            for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, plain.len()] {
                let file = compress(how, &plain[..size]);
                assert_eq!(
                    how.expand(file).expect("it is whole"),
                    &plain[..size],
                    "{how:?} {size}"
                );
            }
        }
    }

    #[test]
    fn a_block_that_says_more_than_it_can_hold_takes_no_memory() {
        let mut file = SNAPPY_HEADER.to_vec();
        let block = [0xff, 0xff, 0xff, 0x05, 0x00, 0xff];
        file.extend_from_slice(&6_u32.to_be_bytes());
        file.extend_from_slice(&block);
        assert_eq!(snap::raw::decompress_len(&block).expect("a length"), 0xbf_ffff);
        Compression::Snappy.expand(file).expect_err("12 MB of 6 bytes");
        // What can be shrunk the most is whole.
        for size in [64, BLOCK, 1 << 20] {
            let plain = vec![7; size];
            let file = compress(Compression::Snappy, &plain);
            assert_eq!(Compression::Snappy.expand(file).expect("it is whole"), plain);
        }
    }

    #[test]
    fn damage_is_an_error_and_not_a_panic() {
        for how in [Compression::Gzip, Compression::Snappy] {
            let file = compress(how, &[b'x'; 100]);
            for at in 1..file.len() {
                if let Ok(plain) = how.expand(file[..at].to_vec()) {
                    assert!(plain.len() < 100, "{how:?} cut at {at}");
                }
                let mut rotten = file.clone();
                rotten[at] ^= 0x41;
                // It may still expand, to something that the seals then refuse.
                let _ = how.expand(rotten);
            }
        }
    }
}
