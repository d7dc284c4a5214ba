//! The body of an answer, read piece by piece as the client takes it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

use super::buffers::BufferPool;
use super::disks::Disks;
use crate::content::{Extent, Opened, Part};
use crate::observe::Exchange;

/// Opened content on its way to a client.
pub(super) struct Body {
    parts: VecDeque<Part>,
    remaining: u64,
    /// A read on the blocking pool; gives back the extent with what it read.
    reading: Option<Reading>,
    exchange: Arc<Exchange>,
    pool: BufferPool,
    disks: Disks,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<(Extent, Bytes)>> + Send>>;

impl Body {
    pub(super) fn new(
        content: Opened,
        exchange: Arc<Exchange>,
        pool: BufferPool,
        disks: Disks,
    ) -> Self {
        let parts: VecDeque<Part> = content
            .parts
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let remaining = parts.iter().map(Part::len).sum();
        Self {
            parts,
            remaining,
            reading: None,
            exchange,
            pool,
            disks,
        }
    }

    fn chunk(&mut self, bytes: Bytes) -> Frame<Chunk> {
        self.remaining -= bytes.len() as u64;
        Frame::data(Chunk {
            bytes,
            exchange: Arc::clone(&self.exchange),
        })
    }
}

impl http_body::Body for Body {
    type Data = Chunk;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Chunk>>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let result = ready!(reading.as_mut().poll(context));
                self.reading = None;
                return Poll::Ready(Some(result.map(|(extent, bytes)| {
                    if extent.remaining() > 0 {
                        self.parts.push_front(Part::Extent(extent));
                    }
                    self.chunk(bytes)
                })));
            }
            match self.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Memory(bytes)) => return Poll::Ready(Some(Ok(self.chunk(bytes)))),
                Some(Part::Extent(mut extent)) => {
                    match extent.poll_ready(context) {
                        Poll::Pending => {
                            self.parts.push_front(Part::Extent(extent));
                            return Poll::Pending;
                        }
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(Some(Err(io::Error::other(error))));
                        }
                        Poll::Ready(Ok(())) => {}
                    }
                    self.reading = Some(Box::pin(read(
                        extent,
                        self.pool.clone(),
                        self.disks.clone(),
                    )));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Reads the next bytes of `extent` where blocking is allowed.
async fn read(mut extent: Extent, pool: BufferPool, disks: Disks) -> io::Result<(Extent, Bytes)> {
    let device = extent.file().identity().device();
    let read = disks.wait_for(device, move || {
        let mut buffer = pool.take();
        let length = extent.read(buffer.space())?;
        Ok((extent, buffer.filled(length)))
    });
    read.await.map_err(io::Error::other)?
}

/// Bytes that count themselves as they leave, and that keep the record of their exchange open until then.
///
/// hyper drops a body when it has taken its last chunk, before that is sent: only the
/// chunk knows what became of it.
pub(super) struct Chunk {
    bytes: Bytes,
    exchange: Arc<Exchange>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.exchange.sent(count);
    }
}
