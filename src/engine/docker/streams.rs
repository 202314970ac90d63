//! What an engine sends bit by bit: output of containers and commands, events, and the raw connections under them.
//!
//! bollard's own decoders guess from the first byte whether output is framed, read `since` in whole seconds, and end an
//! event stream at the first kind they do not know; so these are ours.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use super::client::What;
use crate::engine::{
    Attachment, EngineError, EngineEvent, EngineStream, ErrorKind, OutputChunk, OutputStream,
};
use crate::model::Timestamp;

/// How output is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A terminal's: bytes as they are.
    Raw,
    /// Pieces with a header of eight bytes: which stream, three zeros, the length.
    Multiplexed,
}

/// Takes framed output apart. Passes a piece on as it comes, without waiting for all of it.
#[derive(Debug)]
struct Demultiplexer {
    buffer: BytesMut,
    /// The stream of the piece that is being read, and how much of it is to come.
    piece: Option<(u8, usize)>,
}

impl Demultiplexer {
    fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            piece: None,
        }
    }

    /// What `bytes` completes, in order; the text of an error is last.
    fn push(&mut self, bytes: &[u8]) -> VecDeque<Result<OutputChunk, String>> {
        self.buffer.extend_from_slice(bytes);
        let mut out = VecDeque::new();
        loop {
            match self.piece {
                None if self.buffer.len() < 8 => return out,
                None => {
                    let stream = self.buffer[0];
                    if stream > 3 {
                        self.buffer.clear();
                        out.push_back(Err(format!(
                            "the engine framed its output with an unknown stream {stream}"
                        )));
                        return out;
                    }
                    self.buffer.advance(4);
                    let length = self.buffer.get_u32() as usize;
                    self.piece = (length > 0).then_some((stream, length));
                }
                // The engine's own complaint about its logs comes whole.
                Some((3, length)) if self.buffer.len() < length => return out,
                Some((3, length)) => {
                    let text = self.buffer.split_to(length);
                    self.piece = None;
                    out.push_back(Err(String::from_utf8_lossy(&text).into_owned()));
                    return out;
                }
                Some(_) if self.buffer.is_empty() => return out,
                Some((stream, length)) => {
                    let here = length.min(self.buffer.len());
                    let bytes = self.buffer.split_to(here).freeze();
                    self.piece = (length > here).then_some((stream, length - here));
                    out.push_back(Ok(OutputChunk {
                        stream: if stream == 2 {
                            OutputStream::Stderr
                        } else {
                            OutputStream::Stdout
                        },
                        bytes,
                    }));
                }
            }
        }
    }

    /// Whether the output may end here.
    fn is_complete(&self) -> bool {
        self.piece.is_none() && self.buffer.is_empty()
    }
}

/// Output from the bytes of an answer or of a connection.
pub(super) fn output<S, E>(what: What<'_>, bytes: S, framing: Framing) -> EngineStream<OutputChunk>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::fmt::Display,
{
    struct State<S> {
        bytes: Pin<Box<S>>,
        demultiplexer: Option<Demultiplexer>,
        ready: VecDeque<Result<OutputChunk, String>>,
        ended: bool,
    }
    let operation = what.operation;
    let target = what.target.to_owned();
    let state = State {
        bytes: Box::pin(bytes),
        demultiplexer: (framing == Framing::Multiplexed).then(Demultiplexer::new),
        ready: VecDeque::new(),
        ended: false,
    };
    let stream = futures_util::stream::unfold(state, async |mut state| {
        loop {
            if let Some(next) = state.ready.pop_front() {
                // An error is the last word.
                state.ended |= next.is_err();
                return Some((next, state));
            }
            if state.ended {
                return None;
            }
            match state.bytes.next().await {
                Some(Ok(bytes)) => match &mut state.demultiplexer {
                    Some(demultiplexer) => state.ready = demultiplexer.push(&bytes),
                    None if bytes.is_empty() => {}
                    None => state.ready.push_back(Ok(OutputChunk {
                        stream: OutputStream::Stdout,
                        bytes,
                    })),
                },
                Some(Err(error)) => state
                    .ready
                    .push_back(Err(format!("the output was cut: {error}"))),
                None => {
                    state.ended = true;
                    if state
                        .demultiplexer
                        .as_ref()
                        .is_some_and(|demultiplexer| !demultiplexer.is_complete())
                    {
                        let cut = "the output was cut in the middle of a piece".to_owned();
                        return Some((Err(cut), state));
                    }
                }
            }
        }
    });
    stream
        .map(move |item| {
            item.map_err(|message| {
                EngineError::new(operation, &target, ErrorKind::Unknown, message)
            })
        })
        .boxed()
}

/// An event as the engine writes it. Kinds and actions are kept as they are, so that a new one ends nothing.
#[derive(Debug, Deserialize)]
struct EventLine {
    #[serde(default, rename = "Type")]
    kind: String,
    #[serde(default, rename = "Action")]
    action: String,
    #[serde(default, rename = "Actor")]
    actor: Actor,
    #[serde(default)]
    time: i64,
    #[serde(default, rename = "timeNano")]
    time_nano: i64,
}

#[derive(Debug, Default, Deserialize)]
struct Actor {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default, rename = "Attributes")]
    attributes: Option<BTreeMap<String, String>>,
}

impl From<EventLine> for EngineEvent {
    fn from(line: EventLine) -> Self {
        let at_nanos = if line.time_nano == 0 {
            line.time.saturating_mul(1_000_000_000)
        } else {
            line.time_nano
        };
        Self {
            kind: line.kind,
            action: line.action,
            id: line.actor.id,
            attributes: line.actor.attributes.unwrap_or_default(),
            at: Timestamp::from_millis(at_nanos.div_euclid(1_000_000)),
            at_nanos,
        }
    }
}

/// The longest event that is taken, in bytes: labels are in it.
const LONGEST_EVENT: usize = 4 << 20;

/// Events from the bytes of an answer, one a line.
pub(super) fn events<S, E>(place: &str, bytes: S) -> EngineStream<EngineEvent>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    let place = place.to_owned();
    let reader = StreamReader::new(Box::pin(bytes.map(|read| read.map_err(io::Error::other))));
    FramedRead::new(reader, LinesCodec::new_with_max_length(LONGEST_EVENT))
        .filter(|line| {
            let blank = line.as_ref().is_ok_and(|line| line.trim().is_empty());
            std::future::ready(!blank)
        })
        .map(move |line| {
            let failed = |message: String| {
                EngineError::new("read events of", &place, ErrorKind::Unknown, message)
            };
            let line = line.map_err(|error| failed(format!("the stream was cut: {error}")))?;
            serde_json::from_str::<EventLine>(&line)
                .map(EngineEvent::from)
                .map_err(|error| failed(format!("an event is not understood: {error}")))
        })
        .boxed()
}

/// A connection that an engine handed over.
pub(super) type Connection = TokioIo<Upgraded>;

/// Standard input of a command. Dropping it tells the engine that nothing more comes.
#[derive(Debug)]
pub(super) struct ClosingInput<W: AsyncWrite + Send + Unpin + 'static>(Option<W>);

impl<W: AsyncWrite + Send + Unpin + 'static> ClosingInput<W> {
    pub(super) fn new(input: W) -> Self {
        Self(Some(input))
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> AsyncWrite for ClosingInput<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.0.as_mut() {
            Some(input) => Pin::new(input).poll_write(cx, buf),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.as_mut() {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.as_mut() {
            Some(input) => Pin::new(input).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<W: AsyncWrite + Send + Unpin + 'static> Drop for ClosingInput<W> {
    fn drop(&mut self) {
        let Some(mut input) = self.0.take() else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = input.shutdown().await;
            });
        }
    }
}

/// The reading half of a connection together with something that must live as long.
pub(super) struct KeptReader<R, K> {
    pub reader: R,
    pub _kept: K,
}

impl<R: AsyncRead + Unpin, K: Unpin> AsyncRead for KeptReader<R, K> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

/// A held attachment. The mutex is never waited for: it makes the connection shareable, which hyper's is not.
pub(super) struct Held(Mutex<Option<Connection>>);

impl Held {
    pub(super) fn new(connection: Connection) -> Self {
        Self(Mutex::new(Some(connection)))
    }
}

#[async_trait]
impl Attachment for Held {
    async fn ended(&mut self) {
        let held = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = held else {
            return;
        };
        let mut scratch = [0_u8; 512];
        while matches!(connection.read(&mut scratch).await, Ok(read) if read > 0) {}
        *held = None;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![stream, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    async fn read(chunks: Vec<Vec<u8>>, framing: Framing) -> Vec<Result<String, String>> {
        let bytes = stream::iter(
            chunks
                .into_iter()
                .map(|c| Ok::<_, io::Error>(Bytes::from(c))),
        );
        output(What::new("read logs of", "x"), bytes, framing)
            .map(|item| {
                item.map(|chunk| {
                    let text = String::from_utf8_lossy(&chunk.bytes).into_owned();
                    format!("{:?}:{text}", chunk.stream)
                })
                .map_err(|error| error.message)
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn framed_output_is_told_apart_wherever_it_is_cut() {
        let whole = [
            frame(1, "out"),
            frame(2, "err"),
            frame(1, ""),
            frame(1, "2"),
        ]
        .concat();
        for size in 1..=whole.len() {
            let chunks = whole.chunks(size).map(<[u8]>::to_vec).collect();
            let mut stdout = String::new();
            let mut stderr = String::new();
            for item in read(chunks, Framing::Multiplexed).await {
                let item = item.unwrap();
                let (stream, text) = item.split_once(':').unwrap();
                if stream == "Stdout" {
                    stdout += text;
                } else {
                    stderr += text;
                }
            }
            assert_eq!(
                (stdout.as_str(), stderr.as_str()),
                ("out2", "err"),
                "in {size}s"
            );
        }
    }

    #[tokio::test]
    async fn output_of_a_terminal_is_passed_on_as_it_is() {
        let read = read(
            vec![vec![1, 0, 0, 0, 0, 0, 0, 9], b"x".to_vec()],
            Framing::Raw,
        )
        .await;
        assert_eq!(read.len(), 2);
        assert_eq!(read[1], Ok("Stdout:x".to_owned()));
    }

    #[tokio::test]
    async fn cut_output_and_the_engines_own_complaint_are_errors_and_the_last_word() {
        let mut cut = frame(1, "abc");
        cut.pop();
        let read_cut = read(vec![cut], Framing::Multiplexed).await;
        assert_eq!(read_cut[0], Ok("Stdout:ab".to_owned()));
        assert!(read_cut[1].as_ref().unwrap_err().contains("was cut"));

        let complaint = [frame(3, "no log file"), frame(1, "never")].concat();
        let read_complaint = read(vec![complaint], Framing::Multiplexed).await;
        assert_eq!(read_complaint, [Err("no log file".to_owned())]);
    }

    #[tokio::test]
    async fn an_event_of_a_kind_that_nobody_knows_yet_is_passed_on() {
        let lines = concat!(
            r#"{"Type":"container","Action":"start","Actor":{"ID":"1f","Attributes":{"name":"web"}},"time":5,"timeNano":5000000007}"#,
            "\n\n",
            r#"{"Type":"starship","Action":"launch","Actor":{"ID":"e","Attributes":null},"time":6}"#,
            "\n"
        );
        let pieces = lines
            .as_bytes()
            .chunks(7)
            .map(|c| Ok::<_, io::Error>(Bytes::from(c)));
        let pieces: Vec<_> = pieces.collect();
        let seen: Vec<EngineEvent> = events("x", stream::iter(pieces))
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(
            (seen[0].at.as_millis(), seen[0].at_nanos),
            (5000, 5_000_000_007)
        );
        assert_eq!(seen[0].attributes["name"], "web");
        assert_eq!(
            (seen[1].kind.as_str(), seen[1].at_nanos),
            ("starship", 6_000_000_000)
        );
    }

    #[tokio::test]
    async fn an_event_that_is_no_json_is_an_error() {
        let bytes = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"nonsense\n"))]);
        let seen: Vec<_> = events("x", bytes).collect().await;
        assert_eq!(seen[0].as_ref().unwrap_err().kind, ErrorKind::Unknown);
    }

    #[tokio::test]
    async fn dropping_an_input_closes_it() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut input = ClosingInput::new(ours);
        input.write_all(b"x").await.unwrap();
        drop(input);
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"x");
    }
}
