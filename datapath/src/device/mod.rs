//! *Owns:* the devices that extents lie on: opening and formatting them, what they can do, making
//! their writes durable, and the engines that move frames to and from them.
//!
//! A device is a raw block device, or a file that is really allocated. Its first MiB holds the
//! superblock; everything after it is data, whose layout is the extents' business.
//!
//! *Limits:* `limits.rs`, section Device. *Not here:* extents, checksums of data.

mod aligned;
mod error;
mod extent_file;
mod flush;
mod format;
mod health;
mod open;
mod probe;
mod set;
mod superblock;

mod engine;

pub use engine::blocking::BlockingPool;
pub use engine::crash::{CrashDisk, Injection};
pub use engine::uring::BufferRegistration;
pub use engine::{Completion, Engine, EngineKind, EngineMeter, EngineStats, TransferTimes};
pub use error::{DeviceError, DeviceFault, Operation};
pub use extent_file::create_extent_file;
pub use flush::{FlushHandle, FlushStats, Flushed};
pub use format::{Finding, FormatReport, FormattedDevice, MayReplace, format, format_as, inspect};
pub use health::{DeviceState, Trouble};
pub(crate) use health::{Health, Sight};
pub use open::{DeviceKind, DirectIo};
pub use probe::{Capabilities, DeviceCapabilities, IoUringRefused, Registration, RingFeatures};
pub use probe::{probe_io_uring, probe_io_uring_with};
pub use set::{Device, DeviceSet, DeviceSpec};
pub use superblock::{Superblock, SuperblockError, Uuid};
