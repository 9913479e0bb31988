//! The server half against a client made of bare queue pairs, on the fabric in memory and on the simulated one.

mod bed;
mod fencing;
mod limits;
mod pooled;
mod races;
mod sessions;
mod stubborn;
mod teardown;

use bed::*;
