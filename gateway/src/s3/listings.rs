//! Owns the memory of listings: pages of objects, uploads, parts and buckets, from their reading in the index until
//! the last byte of their XML has left. All lanes share it, and how many listings read the index at once.
//!
//! A page is charged twice: with a guess before it is read, which covers what reading takes at worst and the writing of
//! names of usual length, and with what it has turned out to take. Its answer keeps as much as it is long.
//!
//! Not here: what a page holds (`page`, `list`, `uploads`, `parts`, `bucket`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datapath::StoreError;
use s3s::{Body, HttpResponse, S3Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::{
    LISTING_ENTRY_BYTES, LISTING_ENTRY_WRITTEN_BYTES, LISTING_HEAD_BYTES,
    LISTING_NAME_WRITTEN_FACTOR, LISTINGS_BYTES_MIN, LISTINGS_READ_AT_ONCE, LISTINGS_WAIT_MAX,
};
use super::refusal::{Outcome, Refusal};

/// Memory for listings and turns at reading, shared by all lanes. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Listings {
    bytes: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    wait: Duration,
}

/// The memory of one page. Clones share it, since extensions of a response must be able to be cloned; none is made.
#[derive(Clone, Debug)]
pub(super) struct PageMemory {
    share: Arc<OwnedSemaphorePermit>,
    wait: Duration,
}

impl Default for Listings {
    fn default() -> Self {
        Self::new(LISTINGS_BYTES_MIN)
    }
}

impl Listings {
    /// Within that many bytes, at least [`LISTINGS_BYTES_MIN`].
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes: Arc::new(Semaphore::new(bytes.max(LISTINGS_BYTES_MIN))),
            readers: Arc::new(Semaphore::new(LISTINGS_READ_AT_ONCE)),
            wait: LISTINGS_WAIT_MAX,
        }
    }

    /// What no listing has at present.
    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.bytes.available_permits()
    }

    /// The memory that a page of so many entries is begun with.
    ///
    /// # Errors
    /// Busy.
    pub(super) async fn begin(&self, entries: usize) -> Outcome<PageMemory> {
        self.begin_with(LISTING_HEAD_BYTES + entries * LISTING_ENTRY_BYTES).await
    }

    /// The same in bytes.
    ///
    /// # Errors
    /// Busy.
    pub(super) async fn begin_with(&self, bytes: usize) -> Outcome<PageMemory> {
        let share = share(&self.bytes, bytes, self.wait).await?;
        Ok(PageMemory { share: Arc::new(share), wait: self.wait })
    }

    /// Reads a page from the index when it is its turn. Each reading has a thread for its time, so turns bound the
    /// threads of all lanes.
    ///
    /// # Errors
    /// Busy; the store's.
    pub(super) async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, StoreError>>,
    ) -> Outcome<T> {
        let turn = tokio::time::timeout(self.wait, self.readers.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(Refusal::Busy("turns at reading listings"));
        };
        Ok(reading.await?)
    }
}

impl PageMemory {
    /// Makes it what writing a page with names of these lengths takes; more if the guess was too low.
    ///
    /// # Errors
    /// Busy.
    pub(super) async fn fit(&mut self, names: impl Iterator<Item = usize>) -> Outcome<()> {
        let written =
            |name: usize| LISTING_ENTRY_WRITTEN_BYTES + name * LISTING_NAME_WRITTEN_FACTOR;
        self.resize(LISTING_HEAD_BYTES + names.map(written).sum::<usize>()).await
    }

    /// Makes it that many bytes.
    ///
    /// # Errors
    /// Busy.
    pub(super) async fn resize(&mut self, bytes: usize) -> Outcome<()> {
        let held = self.share.num_permits();
        if bytes > held {
            let more = share(self.share.semaphore(), bytes - held, self.wait).await?;
            if let Some(share) = Arc::get_mut(&mut self.share) {
                share.merge(more);
            }
        } else {
            self.shrink(bytes);
        }
        Ok(())
    }

    fn shrink(&mut self, bytes: usize) {
        if let Some(share) = Arc::get_mut(&mut self.share) {
            drop(share.split(share.num_permits().saturating_sub(bytes)));
        }
    }

    /// An answer that [`hold`] finds the memory with.
    pub(super) fn answer<T>(self, output: T) -> S3Response<T> {
        let mut response = S3Response::new(output);
        response.extensions.insert(self);
        response
    }
}

async fn share(
    all: &Arc<Semaphore>,
    bytes: usize,
    wait: Duration,
) -> Outcome<OwnedSemaphorePermit> {
    let busy = Refusal::Busy("memory for listings");
    let Ok(bytes) = u32::try_from(bytes) else {
        return Err(busy);
    };
    match tokio::time::timeout(wait, Arc::clone(all).acquire_many_owned(bytes)).await {
        Ok(Ok(share)) => Ok(share),
        Ok(Err(_)) | Err(_) => Err(busy),
    }
}

/// XML with its memory, which ends with the last reference to it: that of the socket's queue.
struct Held {
    xml: Bytes,
    _memory: PageMemory,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.xml
    }
}

/// Ties a page's memory, as much as its XML takes, to the XML.
pub(super) fn hold(response: &mut HttpResponse) {
    let Some(mut memory) = response.extensions_mut().remove::<PageMemory>() else {
        return;
    };
    if let Some(xml) = response.body().bytes() {
        // The serializer's buffer doubles as it grows.
        memory.shrink(xml.len().saturating_mul(2));
        *response.body_mut() = Body::from(Bytes::from_owner(Held { xml, _memory: memory }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::limits::PAGE_ENTRIES_MAX;
    use http::Response;

    fn impatient() -> Listings {
        Listings { wait: Duration::from_millis(1), ..Listings::default() }
    }

    #[tokio::test]
    async fn listings_share_one_bound() {
        let listings = impatient();
        let mut pages = Vec::new();
        let refused = loop {
            match listings.begin(PAGE_ENTRIES_MAX).await {
                Ok(page) => pages.push(page),
                Err(refused) => break refused,
            }
        };
        assert!(matches!(refused, Refusal::Busy("memory for listings")));
        let page = LISTING_HEAD_BYTES + PAGE_ENTRIES_MAX * LISTING_ENTRY_BYTES;
        assert_eq!(pages.len(), LISTINGS_BYTES_MIN / page);
        pages.pop();
        assert!(listings.begin(PAGE_ENTRIES_MAX).await.is_ok());
    }

    #[tokio::test]
    async fn a_page_takes_what_its_names_take() {
        let listings = impatient();
        let taken = || LISTINGS_BYTES_MIN - listings.bytes.available_permits();
        let mut page = listings.begin(1000).await.unwrap();
        page.fit(std::iter::repeat_n(10, 5)).await.unwrap();
        let one = LISTING_ENTRY_WRITTEN_BYTES + 10 * LISTING_NAME_WRITTEN_FACTOR;
        assert_eq!(taken(), LISTING_HEAD_BYTES + 5 * one);
        page.fit(std::iter::repeat_n(1024, 1000)).await.unwrap();
        assert!(taken() > 1000 * 1024);
        let other = listings.begin(100).await.unwrap();
        let more = page.fit(std::iter::repeat_n(1024, 2000)).await;
        assert!(matches!(more, Err(Refusal::Busy(_))));
        drop((page, other));
        assert_eq!(taken(), 0);
    }

    #[tokio::test]
    async fn the_last_reference_to_the_xml_frees_its_memory() {
        let listings = impatient();
        let taken = || LISTINGS_BYTES_MIN - listings.bytes.available_permits();
        let memory = listings.begin(1000).await.unwrap();
        let mut response = Response::new(Body::from(vec![b'x'; 1000]));
        response.extensions_mut().extend(memory.answer(()).extensions);
        hold(&mut response);
        assert_eq!(taken(), 2000);
        let queued = response.body().bytes().unwrap().slice(500..);
        drop(response);
        assert_eq!((taken(), queued.len()), (2000, 500));
        drop(queued);
        assert_eq!(taken(), 0);
    }

    #[tokio::test]
    async fn readers_take_turns() {
        let listings = impatient();
        let turns: Vec<_> =
            (0..LISTINGS_READ_AT_ONCE).map(|_| listings.readers.try_acquire().unwrap()).collect();
        let refused = listings.read(async { Ok(7) }).await;
        assert!(matches!(refused, Err(Refusal::Busy("turns at reading listings"))));
        drop(turns);
        assert_eq!(listings.read(async { Ok(7) }).await.unwrap(), 7);
    }
}
