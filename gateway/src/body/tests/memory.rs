//! Memory of a body does not depend on the size of its chunks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const PIECE: usize = 64 * 1024;

/// Counts the pieces of the source that are alive: each is a buffer of its own.
#[derive(Default)]
struct Live {
    now: AtomicUsize,
    peak: AtomicUsize,
}

struct Counted(Vec<u8>, Arc<Live>);

impl Counted {
    fn bytes(data: Vec<u8>, live: &Arc<Live>) -> Bytes {
        let now = live.now.fetch_add(data.len(), Ordering::Relaxed) + data.len();
        live.peak.fetch_max(now, Ordering::Relaxed);
        Bytes::from_owner(Counted(data, Arc::clone(live)))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.now.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// Zeros in pieces, between a head and a tail.
struct Generated {
    head: Option<Vec<u8>>,
    zeros: u64,
    tail: Option<Vec<u8>>,
    live: Arc<Live>,
}

impl Body for Generated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = if let Some(head) = self.head.take() {
            head
        } else if self.zeros > 0 {
            let size = self.zeros.min(PIECE as u64);
            self.zeros -= size;
            vec![0; usize::try_from(size).expect("a piece")]
        } else {
            match self.tail.take() {
                Some(tail) => tail,
                None => return Poll::Ready(None),
            }
        };
        Poll::Ready(Some(Ok(Frame::data(Counted::bytes(data, &self.live)))))
    }
}

/// Decodes one chunk of `size` zeros, dropping content as it comes; the peak of live bytes.
fn peak(size: u64, plan: &BodyPlan, head: Vec<u8>, tail: Vec<u8>) -> usize {
    let live = Arc::new(Live::default());
    let source =
        Generated { head: Some(head), zeros: size, tail: Some(tail), live: Arc::clone(&live) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let received = runtime.block_on(async {
        let mut decoded = Decoded::new(source, plan);
        let mut received = 0;
        while let Some(frame) = decoded.frame().await {
            let data = frame.expect("a good body").into_data().expect("data");
            assert!(data.len() <= PIECE, "pieces were gathered");
            received += data.len() as u64;
        }
        received
    });
    assert_eq!(received, size);
    assert_eq!(live.now.load(Ordering::Relaxed), 0, "something was kept");
    live.peak.load(Ordering::Relaxed)
}

#[test]
fn one_unsigned_chunk_of_a_gibibyte_streams() {
    const GIB: u64 = 1 << 30;
    let head = b"40000000\r\n".to_vec();
    let peak = peak(GIB, &framed(false, None, GIB), head, b"\r\n0\r\n\r\n".to_vec());
    // The piece in hand, the one held back at the end, and the tail.
    assert!(peak <= 2 * PIECE + 64, "{peak} bytes alive at once");
}

#[test]
fn one_signed_chunk_streams() {
    const SIZE: u64 = 32 << 20;
    let data = vec![0; usize::try_from(SIZE).expect("memory")];
    let whole = Framer::signed().chunk(&data).last().end();
    let start = whole.windows(2).position(|window| window == b"\r\n").expect("a line") + 2;
    let tail = whole[start + data.len()..].to_vec();
    let peak = peak(SIZE, &framed(true, None, SIZE), whole[..start].to_vec(), tail);
    assert!(peak <= 2 * PIECE + 256, "{peak} bytes alive at once");
}

#[test]
fn content_is_not_copied() {
    let body = Bytes::from(Framer::unsigned().chunk(&[7; 10_000]).chunk(&[8; 10_000]).last().end());
    let range = body.as_ptr_range();
    let plan = framed(false, None, 20_000);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut decoded = Decoded::new(Pieces::of([body.clone()]), &plan);
        let mut frames = 0;
        while let Some(frame) = decoded.frame().await {
            let data = frame.expect("a good body").into_data().expect("data");
            assert!(range.contains(&data.as_ptr()), "content is a slice of what came");
            frames += 1;
        }
        assert_eq!(frames, 2);
    });
    assert!(
        size_of::<Decoded<hyper::body::Incoming>>() <= 512,
        "{}",
        size_of::<Decoded<hyper::body::Incoming>>()
    );
}
