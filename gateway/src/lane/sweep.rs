//! The sweep: one timer per lane for all its connections' times.
//!
//! A timer per connection and stage would be armed and disarmed several times a request; looking
//! at 10,000 connections four times a second is 0.2 ms a second.

use std::rc::Rc;

use tokio::time::{MissedTickBehavior, interval};

use super::context::LaneContext;
use crate::limits;

/// Sweeps for as long as the lane lives.
pub async fn run(context: Rc<LaneContext>) {
    let mut ticks = interval(limits::SWEEP_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        once(&context);
    }
}

/// Looks at every connection and tells those whose time is over.
pub fn once(context: &LaneContext) {
    let now = context.clock.advance();
    context.registry.each(|pulse| {
        if let Some((command, refusal)) = pulse.due(now, &context.limits) {
            if let Some(refusal) = refusal.filter(|_| command > pulse.command()) {
                context.cells.refused(refusal);
            }
            pulse.tell(command);
        }
    });
}
