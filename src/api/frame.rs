//! Frames of an exec session: one byte for the kind, four for the payload's length (big-endian), the payload.
//!
//! The client sends input, its end, and sizes; the server output, and at the very end the exit code or an error.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use std::io;

/// Longest payload that is accepted.
pub const MAX_PAYLOAD: usize = 1 << 20;
const HEADER: usize = 5;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Bytes for the command's standard input; never empty.
    Stdin(Bytes),
    /// Standard input has ended.
    StdinEnd,
    /// Bytes of its standard output; all output where it has a terminal.
    Stdout(Bytes),
    /// Bytes of its standard error.
    Stderr(Bytes),
    /// The terminal's size: columns, rows.
    Resize(u16, u16),
    /// It ended with this code. The last frame.
    Exit(i64),
    /// The session broke, and no exit code is known. The last frame.
    Error(String),
}

/// Reads and writes frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameCodec;

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some((kind, length)) = source
            .first_chunk::<HEADER>()
            .map(|[kind, length @ ..]| (*kind, u32::from_be_bytes(*length)))
        else {
            return Ok(None);
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_PAYLOAD {
            return Err(invalid(format!("a frame of {length} bytes is too long")));
        }
        if source.len() < HEADER + length {
            source.reserve(HEADER + length - source.len());
            return Ok(None);
        }
        source.advance(HEADER);
        let mut payload = source.split_to(length).freeze();
        let frame = match (kind, length) {
            (0, 0) => Frame::StdinEnd,
            (0, _) => Frame::Stdin(payload),
            (1, _) => Frame::Stdout(payload),
            (2, _) => Frame::Stderr(payload),
            (3, 4) => Frame::Resize(payload.get_u16(), payload.get_u16()),
            (4, 8) => Frame::Exit(payload.get_i64()),
            (5, _) => Frame::Error(String::from_utf8_lossy(&payload).into_owned()),
            (kind, length) => {
                return Err(invalid(format!(
                    "there is no frame of kind {kind} with {length} bytes"
                )));
            }
        };
        Ok(Some(frame))
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, target: &mut BytesMut) -> io::Result<()> {
        let (kind, payload) = match frame {
            Frame::Stdin(bytes) => (0, bytes),
            Frame::StdinEnd => (0, Bytes::new()),
            Frame::Stdout(bytes) => (1, bytes),
            Frame::Stderr(bytes) => (2, bytes),
            Frame::Resize(columns, rows) => {
                let mut size = BytesMut::with_capacity(4);
                size.put_u16(columns);
                size.put_u16(rows);
                (3, size.freeze())
            }
            Frame::Exit(code) => (4, Bytes::copy_from_slice(&code.to_be_bytes())),
            Frame::Error(message) => (5, Bytes::from(message.into_bytes())),
        };
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= MAX_PAYLOAD)
            .ok_or_else(|| invalid(format!("{} bytes are too long for a frame", payload.len())))?;
        target.reserve(HEADER + payload.len());
        target.put_u8(kind);
        target.put_u32(length);
        target.put_slice(&payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 1..40).prop_map(Bytes::from);
        prop_oneof![
            bytes().prop_map(Frame::Stdin),
            Just(Frame::StdinEnd),
            bytes().prop_map(Frame::Stdout),
            bytes().prop_map(Frame::Stderr),
            any::<(u16, u16)>().prop_map(|(c, r)| Frame::Resize(c, r)),
            any::<i64>().prop_map(Frame::Exit),
            "\\PC{0,20}".prop_map(Frame::Error),
        ]
    }

    proptest! {
        #[test]
        fn frames_are_read_back_however_the_bytes_are_cut(
            frames in proptest::collection::vec(any_frame(), 0..8),
            cut in 1_usize..9,
        ) {
            let mut wire = BytesMut::new();
            for frame in frames.clone() {
                FrameCodec.encode(frame, &mut wire).unwrap();
            }
            let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = FrameCodec.decode(&mut buffer).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut buffer = BytesMut::from(bytes.as_slice());
            while let Ok(Some(_)) = FrameCodec.decode(&mut buffer) {}
        }
    }

    #[test]
    fn a_payload_that_is_too_long_is_refused_on_both_sides() {
        let long = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
        assert!(
            FrameCodec
                .encode(Frame::Stdout(long), &mut BytesMut::new())
                .is_err()
        );
        let mut header = BytesMut::from(&[1, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(FrameCodec.decode(&mut header).is_err());
    }
}
