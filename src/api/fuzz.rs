//! What is asserted of frames, of lines of logs, and of the server's router, for the fuzz targets.

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};
use tokio_util::sync::CancellationToken;

use super::context::{ApiContext, Serving};
use super::frame::{Frame, FrameCodec};
pub use super::streams::logs::fuzz::lines;

/// The server's router, in front of that.
pub fn router(context: ApiContext, stop: CancellationToken) -> axum::Router {
    super::server::router(Serving::new(context, stop))
}

/// What frames are read from `pieces`, and whether the next one is no frame.
fn read(pieces: &[&[u8]]) -> (Vec<Frame>, bool, usize) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match FrameCodec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true, 0),
            }
        }
    }
    (frames, false, buffer.len())
}

/// Frames are the same however the bytes were cut, and read back as they are written.
pub fn frames(data: &[u8]) {
    let (whole, pieces) = crate::fuzzing::pieces(data);
    let (frames, broken, rest) = read(&[whole]);
    assert_eq!(read(&pieces), (frames.clone(), broken, rest));
    let mut wire = BytesMut::new();
    for frame in frames.clone() {
        let written = FrameCodec.encode(frame, &mut wire);
        // Text that is not UTF-8 is written longer than it was read.
        if written.is_err() {
            return;
        }
    }
    assert_eq!(read(&[&wire]), (frames, false, 0));
}
