//! What the store was opened as, for metrics: what system and devices can do, and the memory plan. Constant while the
//! process runs; a machine that lacks huge pages or registered buffers is found by these among others that have them.

use datapath::StorePlan;
use datapath::arena::{Locking, PageKind};
use datapath::device::{DirectIo, Registration};

use crate::metrics::{Figure, table};

/// The plan's figures.
pub fn figures(plan: &StorePlan) -> Vec<Figure> {
    let found = &plan.capabilities;
    let registered = matches!(found.registration, Registration::Registered { .. });
    let locked = plan.mapping.locking == Locking::Locked;
    let mut figures = vec![
        Figure::of(&table::IO_URING, found.io_uring.is_ok().into()),
        Figure::of(&table::REGISTERED_BUFFERS, registered.into()),
        Figure::of(&table::ARENA_LOCKED, locked.into()),
    ];
    for (kind, label) in [
        (PageKind::Huge, "huge"),
        (PageKind::Transparent, "transparent"),
        (PageKind::Normal, "normal"),
    ] {
        let is_kind = plan.mapping.pages == kind;
        figures.push(Figure::labelled(&table::ARENA_PAGES, [label], is_kind.into()));
    }
    for device in &found.devices {
        let direct = matches!(device.direct, DirectIo::Direct { .. });
        let label = [device.path.to_string()];
        figures.push(Figure::labelled(&table::DEVICE_DIRECT, label, direct.into()));
    }
    let arena = [("arena", plan.memory.arena.bytes), ("unplanned", plan.memory.unplanned_bytes())];
    let parts = plan.memory.parts.iter().map(|part| (&*part.reason, part.bytes));
    for (reason, bytes) in parts.chain(arena) {
        let label = [reason.to_owned()];
        figures.push(Figure::labelled(&table::MEMORY_PLAN, label, bytes as f64));
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behind::testing::{MEMORY_BYTES, store};

    #[test]
    fn a_plan_is_exported_with_all_of_its_memory() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let figures = figures(store.plan());
        let of = |metric| figures.iter().filter(|it| it.metric == metric).collect::<Vec<_>>();
        let memory = of(&table::MEMORY_PLAN);
        assert_eq!(memory.iter().map(|it| it.number()).sum::<f64>(), MEMORY_BYTES as f64);
        let listings = memory.iter().find(|it| it.labels == ["listings"]);
        assert_eq!(listings.unwrap().number(), f64::from(1 << 20));
        assert_eq!(of(&table::ARENA_PAGES).iter().map(|it| it.number()).sum::<f64>(), 1.0);
        assert_eq!(of(&table::ARENA_LOCKED)[0].number(), 0.0);
        let usable = datapath::device::probe_io_uring().is_ok();
        assert_eq!(of(&table::IO_URING)[0].number(), f64::from(usable));
        assert_eq!(of(&table::REGISTERED_BUFFERS).len(), 1);
        assert_eq!(of(&table::DEVICE_DIRECT).len(), store.plan().capabilities.devices.len());
        store.close();
    }
}
