//! Owns what the operations do about encryption: what opens the object that a request is about, its content as a stream,
//! what it looks like to a client, which of an upload's parts has which salt, and writing content anew under another key.
//!
//! Not here: the cipher, the keys, the headers (`crate::crypt`).

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use datapath::{
    Bucket, LaneStore, Object, OpenObject, PartNumber, PartSpan, ReadStream, Staged, StoreError,
    Writer,
};
use http::{Extensions, HeaderMap};

use super::attributes::{Attributes, Malformed, put_held};
use super::created::Beside;
use super::encryption_default::DefaultEncryption;
use super::entity_tag;
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use crate::body::checksum::{Algorithm, DigestValues, Digests, Selection};
use crate::crypt::{
    self, BucketDefault, Buffers, CustomerKey, DefaultMethod, Layout, Opened, PLAIN_CHUNK_BYTES,
    PartSalt, PlainStream, ReadFailure, Record, Refused, Scheme, SealedContent, Sealer, Sealing,
};
use crate::metrics::Copying;
use crate::record::{Account, Laps};
use crate::tls::Secured;

/// The field of a part's attributes that has the salt of its key.
const PART_SALT: u8 = 0x90;

/// Whether a request came over TLS.
fn over_tls(extensions: &Extensions) -> bool {
    extensions.get::<Secured>().is_some()
}

/// What a bucket wants of objects whose requests say nothing.
///
/// # Errors
/// What reading its settings meets.
fn bucket_default(operations: &Operations, bucket: &Bucket) -> Outcome<BucketDefault> {
    let settings = operations.bucket_settings(bucket)?;
    let method = settings.encryption.as_ref().map(|default| match default {
        DefaultEncryption::Server => DefaultMethod::Master,
        DefaultEncryption::Kms { key, bucket_key } => {
            DefaultMethod::Kms { key: key.clone(), bucket_key: *bucket_key }
        }
    });
    Ok(BucketDefault { method })
}

/// Whether an input has any of the headers of SSE-C.
macro_rules! asks {
    ($input:expr) => {
        $input.sse_customer_algorithm.is_some()
            || $input.sse_customer_key.is_some()
            || $input.sse_customer_key_md5.is_some()
    };
}
pub(super) use asks;

/// How the object that a request makes is to be encrypted; none for as it is.
///
/// # Errors
/// What is wrong with its headers.
pub(super) fn begin(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    bucket: &Bucket,
) -> Outcome<Option<Sealing>> {
    let default = bucket_default(operations, bucket)?;
    Ok(operations.settings().crypt().begin(headers, &default, over_tls(extensions))?)
}

/// What opens the object that a request reads. `asks`: whether it has any of the headers of SSE-C, which s3s has seen.
///
/// # Errors
/// Where a key is needed, or not, or is another.
pub(super) fn open(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    asks: bool,
    object: &Object,
) -> Outcome<Option<Box<Unsealed>>> {
    if !asks && object.encryption.is_empty() {
        return Ok(None);
    }
    let customer = CustomerKey::of(headers)?;
    let crypt = operations.settings().crypt();
    let opened = crypt.open(&object.encryption, customer, over_tls(extensions))?;
    Ok(Unsealed::of(operations, opened))
}

/// The same of the source of a copy.
///
/// # Errors
/// As [`open`].
pub(super) fn open_copy_source(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    object: &Object,
) -> Outcome<Option<Box<Unsealed>>> {
    let customer = CustomerKey::of_copy_source(headers)?;
    let crypt = operations.settings().crypt();
    let opened = crypt.open(&object.encryption, customer, over_tls(extensions))?;
    Ok(Unsealed::of(operations, opened))
}

/// What opens the upload that a part belongs to. Headers of SSE-S3 and SSE-KMS say nothing here, but must not promise what
/// the upload has not.
///
/// # Errors
/// As [`open`], in the words of uploads.
pub(super) fn open_upload(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    encryption: &Bytes,
) -> Outcome<Option<Opened>> {
    let customer = CustomerKey::of(headers)?;
    let crypt = operations.settings().crypt();
    let opened = crypt.open_upload(encryption, customer, over_tls(extensions))?;
    if opened.is_none() && crypt::request::says_how_to_encrypt(headers) {
        return Err(Refused::PartParameters.into());
    }
    Ok(opened)
}

/// Checks the key that completes an upload under SSE-C. It need not be sent but where the object's checksum is asked for;
/// what is sent is checked.
///
/// # Errors
/// As [`open_upload`]; NoAlgorithm where a key is needed and none is sent.
pub(super) fn check_completion(
    operations: &Operations,
    extensions: &Extensions,
    headers: &HeaderMap,
    beside: &Beside,
    declares_checksum: bool,
) -> Outcome<()> {
    let customer = CustomerKey::of(headers)?;
    let crypt = operations.settings().crypt();
    let by_customer =
        matches!(record(&beside.encryption)?, Some(it) if it.scheme == Scheme::Customer);
    match customer {
        None if by_customer && declares_checksum => Err(Refused::NoAlgorithm.into()),
        None => Ok(()),
        Some(_) => {
            crypt.open_upload(&beside.encryption, customer, over_tls(extensions))?;
            Ok(())
        }
    }
}

fn record(encryption: &Bytes) -> Outcome<Option<Record>> {
    Ok(Record::decode(encryption).map_err(Refused::from)?)
}

/// What is kept with the object of an upload: what its parts were sealed by, and where they lie.
///
/// # Errors
/// For what is not an upload's.
pub(super) fn completed(
    encryption: &Bytes,
    parts: impl Iterator<Item = (u16, u64)>,
) -> Outcome<Bytes> {
    let Some(record) = record(encryption)? else { return Ok(Bytes::new()) };
    let layout = Layout::of_parts(parts);
    let size = layout.plain_size().unwrap_or_default();
    Ok(Record { size, layout, ..record }.encode())
}

/// Adds what the answer to a completion says: nothing of a client's key, as Amazon S3 does.
///
/// # Errors
/// For what is no record.
pub(super) fn describe_completed(encryption: &Bytes, headers: &mut HeaderMap) -> Outcome<()> {
    if let Some(record) = record(encryption)?.filter(|it| it.scheme != Scheme::Customer) {
        crypt::describe(&record.scheme, None, headers);
    }
    Ok(())
}

/// An object as clients see it: the bytes of its content, and no checksum but those that are kept beside it, since the
/// store's own is that of what is stored.
pub(super) fn seen(object: &Object) -> Cow<'_, Object> {
    if object.encryption.is_empty() {
        return Cow::Borrowed(object);
    }
    Cow::Owned(Object { size: crypt::size(object), crc64: None, ..object.clone() })
}

/// Where a part lies within what clients see.
///
/// # Errors
/// When the index cannot be read.
pub(super) fn part(
    object: &OpenObject,
    unsealed: Option<&Unsealed>,
    number: PartNumber,
) -> Outcome<Option<PartSpan>> {
    let span = object.part(number)?;
    let (Some(span), Some(unsealed)) = (&span, unsealed) else { return Ok(span) };
    let record = &unsealed.opened.record;
    let content = record.layout.part(number.0, record.size).ok_or(Refusal::Damaged("parts"))?;
    let (offset, size) = (content.plain_start, content.plain);
    Ok(Some(PartSpan { offset, size, ..span.clone() }))
}

/// Bytes of a part's content.
///
/// # Errors
/// For a size that nothing encrypted has.
pub(super) fn part_size(encrypted: bool, stored: u64) -> Outcome<u64> {
    if !encrypted {
        return Ok(stored);
    }
    crypt::plain_size(stored).ok_or(Refusal::Damaged("parts"))
}

/// A part's attributes with the salt of its key.
///
/// # Errors
/// MetadataTooLarge, which no part's are.
pub(super) fn part_attributes(attributes: &Attributes, salt: Option<&PartSalt>) -> Outcome<Bytes> {
    let encoded = attributes.encode()?;
    let Some(salt) = salt else { return Ok(encoded) };
    let mut to = BytesMut::from(&encoded[..]);
    put_held(&mut to, PART_SALT, salt)?;
    Ok(to.freeze())
}

fn part_salt(attributes: &Bytes) -> Result<PartSalt, ReadFailure> {
    let mut salt = None;
    let decoded = Attributes::decode_with(attributes, |field, value| {
        salt = (field == PART_SALT).then(|| value[..].try_into().ok()).flatten();
        salt.map(drop).ok_or(Malformed)
    });
    decoded.ok().and(salt).ok_or(ReadFailure::Damaged)
}

/// What opens an object, and the memory for what it opens.
#[derive(Clone)]
pub(super) struct Unsealed {
    opened: Opened,
    buffers: Buffers,
}

impl Unsealed {
    /// Of what opens an object; none where nothing has to.
    fn of(operations: &Operations, opened: Option<Opened>) -> Option<Box<Self>> {
        let buffers = || operations.settings().crypt().buffers().clone();
        opened.map(|opened| Box::new(Self { opened, buffers: buffers() }))
    }

    /// What is kept of the encryption, and its key.
    pub(super) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Reads a range of the content that is not empty. `account` is told what was decrypted.
    ///
    /// # Errors
    /// What reading the store meets; SlowDown where there is no memory for decrypted bytes.
    pub(super) async fn read(
        &self,
        object: Rc<OpenObject>,
        range: Range<u64>,
        account: Option<Rc<Account>>,
    ) -> Outcome<Reading> {
        let chunks = (range.end - range.start).div_ceil(PLAIN_CHUNK_BYTES) + 1;
        let plan = self.opened.plan(range);
        let stored = plan.sealed_range().filter(|stored| stored.end <= object.object().size);
        let stored = stored.ok_or(Refusal::Damaged("encryption"))?;
        let memory = self.buffers.take(chunks).await?;
        let stream = object.read(stored).await?;
        let plain = PlainStream::new(Stored { object, stream }, plan, memory)?;
        Ok(Reading::Sealed(Box::new(plain), account))
    }
}

/// What is stored of an encrypted object.
pub(super) struct Stored {
    object: Rc<OpenObject>,
    stream: ReadStream,
}

impl SealedContent for Stored {
    async fn next(&mut self) -> Option<Result<Bytes, StoreError>> {
        self.stream.next().await
    }

    fn part_salt(&self, number: u16) -> Result<PartSalt, ReadFailure> {
        let span = self.object.part(PartNumber(number))?.ok_or(ReadFailure::Damaged)?;
        part_salt(&span.attributes)
    }
}

/// The content of a range of an object.
#[expect(
    clippy::large_enum_variant,
    reason = "boxing the plain stream would cost every GET an allocation"
)]
pub(super) enum Reading {
    /// As it is stored.
    Plain(ReadStream),
    /// Decrypted, and told to whom it is counted.
    Sealed(Box<PlainStream<Stored>>, Option<Rc<Account>>),
}

impl Reading {
    /// Of any object; none for no bytes.
    ///
    /// # Errors
    /// What reading the store meets; SlowDown where there is no memory for decrypted bytes.
    pub(super) async fn of(
        object: &Rc<OpenObject>,
        unsealed: Option<&Unsealed>,
        range: Range<u64>,
    ) -> Outcome<Option<Self>> {
        match unsealed {
            _ if range.is_empty() => Ok(None),
            None => Self::plain(object, range).await.map(Some),
            Some(unsealed) => unsealed.read(object.clone(), range, None).await.map(Some),
        }
    }

    /// The same of an object that is not encrypted.
    ///
    /// # Errors
    /// What reading the store meets.
    pub(super) async fn plain(object: &OpenObject, range: Range<u64>) -> Outcome<Self> {
        Ok(Self::Plain(object.read(range).await?))
    }
    /// Bytes that are still to come.
    pub(super) fn remaining(&self) -> u64 {
        match self {
            Self::Plain(stream) => stream.remaining(),
            Self::Sealed(stream, _) => stream.remaining(),
        }
    }

    /// The next bytes; none after the last.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, ReadFailure>> {
        match self {
            Self::Plain(stream) => Some(stream.next().await?.map_err(ReadFailure::Store)),
            Self::Sealed(stream, account) => {
                let piece = stream.next().await?;
                if let (Ok(piece), Some(account)) = (&piece, account) {
                    account.copy(Copying::Decrypt, piece.len() as u64);
                }
                Some(piece)
            }
        }
    }
}

/// Reads to the end for the digests; writes nothing. Other requests of the lane are served between pieces.
///
/// # Errors
/// What reading meets.
pub(super) async fn digest(
    mut reading: Option<Reading>,
    selection: Selection,
) -> Outcome<DigestValues> {
    let mut digests = Digests::new(selection);
    while let Some(piece) = next(&mut reading).await {
        digests.update(&piece?);
        tokio::task::yield_now().await;
    }
    if reading.is_some_and(|reading| reading.remaining() > 0) {
        return Err(Refusal::Damaged("content"));
    }
    Ok(digests.finish())
}

/// Seals what is written.
pub(super) struct SealedWriter {
    writer: Writer,
    sealer: Box<Sealer>,
    account: Option<Rc<Account>>,
}

impl SealedWriter {
    /// For content of `size` bytes.
    ///
    /// # Errors
    /// As [`LaneStore::writer`].
    pub(super) async fn begin(
        lane: &LaneStore,
        size: u64,
        sealer: Box<Sealer>,
        laps: &Laps,
    ) -> Outcome<Self> {
        let writer = lane.metered_writer(crypt::sealed_size(size), laps.meter()).await?;
        Ok(Self { writer, sealer, account: laps.counted() })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// As [`Writer::write`]; IncompleteBody for more bytes than were announced.
    pub(super) async fn write(&mut self, mut piece: &[u8]) -> Outcome<()> {
        if let Some(account) = &self.account {
            account.copy(Copying::Encrypt, piece.len() as u64);
        }
        while !piece.is_empty() {
            let sealed = self.sealer.push(&mut piece).map_err(|_| Refusal::IncompleteBody)?;
            if let Some(sealed) = sealed {
                self.writer.write(sealed).await?;
            }
        }
        Ok(())
    }

    /// Waits until all is on the devices.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub(super) async fn finish(mut self) -> Outcome<Staged> {
        if !self.sealer.is_done() {
            // Empty content is a chunk, too.
            let sealed = self.sealer.push(&mut &[][..]).map_err(|_| Refusal::IncompleteBody)?;
            if let Some(sealed) = sealed {
                self.writer.write(sealed).await?;
            }
        }
        if !self.sealer.is_done() {
            return Err(Refusal::IncompleteBody);
        }
        Ok(self.writer.finish().await?)
    }
}

/// Content written anew.
pub(super) struct Rewritten {
    /// The store's part.
    pub(super) staged: Staged,
    /// MD5, CRC-64/NVME and what else was asked for, of the content.
    pub(super) values: DigestValues,
}

/// Reads content to its end and writes it under another key, or as it is. `also` is an algorithm to compute beside MD5 and
/// CRC-64/NVME.
///
/// # Errors
/// What reading and writing meet.
pub(super) async fn rewrite(
    lane: &LaneStore,
    mut reading: Option<Reading>,
    size: u64,
    sealer: Option<Sealer>,
    also: Option<Algorithm>,
    laps: &Laps,
) -> Outcome<Rewritten> {
    let selection = Selection::none().with_md5().with(Algorithm::Crc64Nvme);
    let mut digests = Digests::new(also.map_or(selection, |also| selection.with(also)));
    let mut target = match sealer {
        Some(sealer) => {
            Target::Sealed(SealedWriter::begin(lane, size, Box::new(sealer), laps).await?)
        }
        None => Target::Plain(lane.metered_writer(size, laps.meter()).await?),
    };
    while let Some(piece) = next(&mut reading).await {
        let piece = piece?;
        digests.update(&piece);
        match &mut target {
            Target::Sealed(writer) => writer.write(&piece).await?,
            Target::Plain(writer) => writer.write(&piece).await?,
        }
        drop(piece);
        tokio::task::yield_now().await;
    }
    let staged = match target {
        Target::Sealed(writer) => writer.finish().await?,
        Target::Plain(writer) => writer.finish().await?,
    };
    Ok(Rewritten { staged, values: digests.finish() })
}

enum Target {
    Sealed(SealedWriter),
    Plain(Writer),
}

async fn next(reading: &mut Option<Reading>) -> Option<Result<Bytes, ReadFailure>> {
    match reading {
        Some(reading) => reading.next().await,
        None => None,
    }
}

/// The tag of content: its MD5, or for an encryption whose tags are to say nothing of the content, something random.
///
/// # Errors
/// Where the system has no random numbers.
pub(super) fn tag_of(md5: &[u8; 16], tells_md5: bool) -> Outcome<Box<str>> {
    if tells_md5 {
        return Ok(entity_tag::of_content(md5));
    }
    let random = crypt::random().map_err(Refused::from)?;
    Ok(entity_tag::of_content(&random))
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Encryption(Box::new(refused))
    }
}

impl From<ReadFailure> for Refusal {
    fn from(failure: ReadFailure) -> Self {
        match failure {
            ReadFailure::Store(error) => Self::Store(error),
            ReadFailure::Busy => Self::Busy("decrypted bytes"),
            ReadFailure::Damaged => Self::Damaged("encryption"),
            forged @ ReadFailure::Forged { .. } => Self::Forged(forged.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_its_salt_beside_its_checksums() {
        let attributes = Attributes::default();
        let with = part_attributes(&attributes, Some(&[7; 16])).unwrap();
        assert_eq!(part_salt(&with).unwrap(), [7; 16]);
        assert!(Attributes::decode_checksums(&with).is_ok());
        let without = part_attributes(&attributes, None).unwrap();
        assert!(matches!(part_salt(&without), Err(ReadFailure::Damaged)));
        assert!(matches!(part_salt(&with.slice(..with.len() - 1)), Err(ReadFailure::Damaged)));
    }

    #[test]
    fn parts_have_the_bytes_of_their_content() {
        assert_eq!(part_size(false, 17).unwrap(), 17);
        assert_eq!(part_size(true, 17).unwrap(), 1);
        assert!(part_size(true, 3).is_err());
    }
}
