//! Server-side encryption: SSE-S3, SSE-KMS and SSE-C over a store that knows nothing of it.
//!
//! In the order of a request: `request` (what its headers ask for), `ring` and `file` (the keys of the server), `key` (data
//! keys), `record` and `layout` (what is kept with an object), `chunk`, `seal` and `open` (its content), `refused` (what a
//! client is told when it does not get it). This file puts them together: [`Crypt::begin`] for what is written,
//! [`Crypt::open`] for what is read. docs/ENCRYPTION.md says what is protected from whom.
//!
//! Not here: the operations of S3 and the store (`crate::s3`), TLS.

mod chunk;
pub mod file;
mod key;
mod layout;
mod open;
mod record;
pub mod refused;
pub mod request;
pub mod ring;
mod seal;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

pub use chunk::{
    ChunkKey, KEY_BYTES, PLAIN_CHUNK_BYTES, SEALED_CHUNK_BYTES, plain_size, sealed_size,
};
pub use key::{DataKey, NoRandomness, PART_SALT_BYTES, SealingKey, random};
pub use layout::Layout;
pub use open::{Buffers, PlainStream, Plan, ReadFailure, SealedContent};
pub use record::{Record, Scheme, sealed_content_size, size};
pub use refused::Refused;
pub use request::CustomerKey;
pub use seal::Sealer;

use crate::limits::DECRYPTED_BYTES_MIN;
use file::Kind;
use request::Wanted;
use ring::{Keys, RingKey};

/// Something sealed does not open: it was changed, or another key sealed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// What is kept of an encryption cannot be read: not written by this program, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A bucket's encryption configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketDefault {
    /// What holds for requests that ask for nothing; none leaves their objects as they are.
    pub method: Option<DefaultMethod>,
}

/// An encryption that needs no headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultMethod {
    /// `AES256`.
    Master,
    /// `aws:kms`.
    Kms {
        /// The key's name; none for the default.
        key: Option<Box<str>>,
        /// Whether bucket keys are asked for.
        bucket_key: bool,
    },
}

/// What all lanes share of encryption.
#[derive(Debug)]
pub struct Crypt {
    keys: Keys,
    buffers: Buffers,
    customer_keys_over_http: bool,
}

impl Crypt {
    /// With those keys. `customer_keys_over_http`: whether SSE-C is taken over connections without TLS. `bytes`: memory
    /// for what has been decrypted and not sent.
    pub fn new(keys: Keys, customer_keys_over_http: bool, bytes: usize) -> Self {
        Self { keys, buffers: Buffers::new(bytes), customer_keys_over_http }
    }

    /// Without keys and a place for any: SSE-C alone.
    pub fn without_keys() -> Self {
        Self::new(Keys::of(Vec::new()), true, DECRYPTED_BYTES_MIN)
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The memory for what has been decrypted.
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// How a new object, or an upload, is to be encrypted; none where nothing asks for it. `over_tls`: whether the request
    /// came so.
    ///
    /// # Errors
    /// What is wrong with the headers, or with the keys.
    pub fn begin(
        &self,
        headers: &HeaderMap,
        default: &BucketDefault,
        over_tls: bool,
    ) -> Result<Option<Sealing>, Refused> {
        let (key, context, bucket_key) = match request::wanted(headers)? {
            Some(Wanted::Customer(customer)) => {
                self.check_transport(over_tls)?;
                return Sealing::by_customer(&customer).map(Some);
            }
            Some(Wanted::Master) => return self.by_master().map(Some),
            Some(Wanted::Kms { key, context, bucket_key }) => (key, context, bucket_key),
            None => match &default.method {
                None => return Ok(None),
                Some(DefaultMethod::Master) => return self.by_master().map(Some),
                // The key's name and the bucket key are the configuration's, below.
                Some(DefaultMethod::Kms { .. }) => (None, Box::default(), None),
            },
        };
        let (default_key, default_bucket_key) = match &default.method {
            Some(DefaultMethod::Kms { key, bucket_key }) => (key.clone(), *bucket_key),
            _ => (None, false),
        };
        let found = self.keys.newest_kms(key.or(default_key).as_deref())?;
        let bucket_key = bucket_key.unwrap_or(default_bucket_key);
        Sealing::by_ring(&found, context, bucket_key).map(Some)
    }

    /// SSE-S3, whatever was asked for.
    ///
    /// # Errors
    /// [`Refused::Keys`].
    pub fn by_master(&self) -> Result<Sealing, Refused> {
        Sealing::by_ring(&self.keys.newest_master()?, Box::default(), false)
    }

    /// What opens an object or an upload; none where it is not encrypted. `customer` is the key of the request's headers.
    ///
    /// # Errors
    /// Where a key is needed, or not, or is another.
    pub fn open(
        &self,
        encryption: &Bytes,
        customer: Option<CustomerKey>,
        over_tls: bool,
    ) -> Result<Option<Opened>, Refused> {
        if customer.is_some() {
            self.check_transport(over_tls)?;
        }
        let Some(record) = Record::decode(encryption)? else {
            return if customer.is_some() { Err(Refused::NotApplicable) } else { Ok(None) };
        };
        let (key, md5) = match (&record.scheme, customer) {
            (Scheme::Customer, None) => return Err(Refused::KeyNeeded),
            (Scheme::Customer, Some(customer)) => {
                // A key of another length is another key, too.
                (customer.key().ok_or(Refused::WrongKey)?, Some(customer.md5))
            }
            (_, Some(_)) => return Err(Refused::NotApplicable),
            (Scheme::Master { key }, None) => (self.keys.with_id(Kind::Master, *key)?.key, None),
            (Scheme::Kms { key, name, .. }, None) => {
                (self.keys.with_id(Kind::Kms(name.clone()), *key)?.key, None)
            }
        };
        let opened = key.open(&record.scheme.context(), &record.sealed);
        let key = opened.map_err(|Forged| match record.scheme {
            Scheme::Customer => Refused::WrongKey,
            // The ids say that it is the key, so the record is not what was written.
            _ => Refused::Damaged,
        })?;
        Ok(Some(Opened { record, key, md5 }))
    }

    /// As [`Self::open`], of the upload that a part or the end of a request belongs to.
    ///
    /// # Errors
    /// As [`Self::open`], in the words of uploads.
    pub fn open_upload(
        &self,
        encryption: &Bytes,
        customer: Option<CustomerKey>,
        over_tls: bool,
    ) -> Result<Option<Opened>, Refused> {
        self.open(encryption, customer, over_tls).map_err(|refused| match refused {
            Refused::KeyNeeded | Refused::NotApplicable => Refused::PartParameters,
            Refused::WrongKey => Refused::PartKey,
            other => other,
        })
    }

    fn check_transport(&self, over_tls: bool) -> Result<(), Refused> {
        if over_tls || self.customer_keys_over_http { Ok(()) } else { Err(Refused::Insecure) }
    }
}

/// The encryption of something that is being written.
#[derive(Clone, Debug)]
pub struct Sealing {
    record: Record,
    key: DataKey,
    /// Of a customer's key.
    md5: Option<Box<str>>,
}

impl Sealing {
    fn of(scheme: Scheme, key: &SealingKey, md5: Option<Box<str>>) -> Result<Self, Refused> {
        let data = DataKey::generate()?;
        let sealed = key.seal(&scheme.context(), &data)?;
        let record = Record { size: 0, scheme, sealed, layout: Layout::Whole };
        Ok(Self { record, key: data, md5 })
    }

    fn by_customer(customer: &CustomerKey) -> Result<Self, Refused> {
        let key = customer.key().ok_or(Refused::KeyLength)?;
        Self::of(Scheme::Customer, &key, Some(customer.md5.clone()))
    }

    fn by_ring(found: &RingKey, context: Box<[u8]>, bucket_key: bool) -> Result<Self, Refused> {
        Self::of(scheme_of(found, context, bucket_key), &found.key, None)
    }

    /// The same encryption of content that is there already, under `opened`'s data key, so that the content need not be
    /// written anew; none where that is no possibility, since a client's key seals one of the two.
    ///
    /// # Errors
    /// [`Refused::Keys`].
    pub fn resealed(&self, opened: &Opened, keys: &Keys) -> Result<Option<Record>, Refused> {
        let key = match &self.record.scheme {
            _ if opened.record.scheme == Scheme::Customer => return Ok(None),
            Scheme::Customer => return Ok(None),
            Scheme::Master { key } => keys.with_id(Kind::Master, *key)?,
            Scheme::Kms { key, name, .. } => keys.with_id(Kind::Kms(name.clone()), *key)?,
        };
        let scheme = self.record.scheme.clone();
        let sealed = key.key.seal(&scheme.context(), &opened.key)?;
        let (size, layout) = (opened.record.size, opened.record.layout.clone());
        Ok(Some(Record { size, scheme, sealed, layout }))
    }

    /// What seals an object of `size` bytes in one piece.
    pub fn sealer(&self, size: u64) -> Sealer {
        Sealer::new(self.key.chunks(), size)
    }

    /// What is to be kept with the object of so many bytes; 0 for an upload.
    pub fn record(&self, size: u64) -> Bytes {
        Record { size, ..self.record.clone() }.encode()
    }

    /// Whether an entity tag is the MD5 of the content.
    pub fn tells_md5(&self) -> bool {
        self.record.scheme.tells_md5()
    }

    /// Adds the answer's headers.
    pub fn describe(&self, headers: &mut HeaderMap) {
        describe(&self.record.scheme, self.md5.as_deref(), headers);
    }
}

fn scheme_of(found: &RingKey, context: Box<[u8]>, bucket_key: bool) -> Scheme {
    match &found.kind {
        Kind::Master => Scheme::Master { key: found.id },
        Kind::Kms(name) => Scheme::Kms { key: found.id, name: name.clone(), context, bucket_key },
    }
}

/// The encryption of something that is there.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What is kept of it.
    pub record: Record,
    /// The data key.
    key: DataKey,
    md5: Option<Box<str>>,
}

impl Opened {
    /// How to read `range` of the content.
    pub fn plan(&self, range: std::ops::Range<u64>) -> Plan {
        let (key, layout) = (self.key.clone(), self.record.layout.clone());
        Plan { key, layout, size: self.record.size, range }
    }

    /// What seals a part of so many bytes, and the salt that is to be kept with it.
    ///
    /// # Errors
    /// [`Refused::Keys`].
    pub fn part_sealer(&self, number: u16, size: u64) -> Result<(Sealer, PartSalt), Refused> {
        let salt = random()?;
        Ok((Sealer::new(self.key.part_chunks(number, &salt), size), salt))
    }

    /// Adds the answer's headers.
    pub fn describe(&self, headers: &mut HeaderMap) {
        describe(&self.record.scheme, self.md5.as_deref(), headers);
    }
}

/// What is kept with a part to have its key again.
pub type PartSalt = [u8; PART_SALT_BYTES];

/// Adds what answers say of an encryption; `md5` is of the customer's key.
pub fn describe(scheme: &Scheme, md5: Option<&str>, headers: &mut HeaderMap) {
    match scheme {
        Scheme::Master { .. } => {
            headers.insert(request::METHOD, HeaderValue::from_static(request::METHOD_S3));
        }
        Scheme::Kms { name, bucket_key, .. } => {
            headers.insert(request::METHOD, HeaderValue::from_static(request::METHOD_KMS));
            // Names are printable ASCII.
            if let Ok(name) = HeaderValue::try_from(&**name) {
                headers.insert(request::KMS_KEY, name);
            }
            if *bucket_key {
                headers.insert(request::BUCKET_KEY, HeaderValue::from_static("true"));
            }
        }
        Scheme::Customer => {
            let algorithm = HeaderValue::from_static(request::METHOD_S3);
            headers.insert(request::CUSTOMER_ALGORITHM, algorithm);
            if let Some(md5) = md5.and_then(|md5| HeaderValue::try_from(md5).ok()) {
                headers.insert(request::CUSTOMER_MD5, md5);
            }
        }
    }
}

#[cfg(test)]
mod tests;
