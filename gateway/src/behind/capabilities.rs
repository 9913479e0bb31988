//! What the store was opened as, for metrics: what system and devices can do, and the memory plan. Constant while the
//! process runs; a machine that lacks huge pages or registered buffers is found by these among others that have them.

use datapath::StorePlan;
use datapath::arena::{Locking, PageKind};
use datapath::device::{DirectIo, Registration};

use crate::metrics::{Figure, Kind};

/// The plan's figures.
pub fn figures(plan: &StorePlan) -> Vec<Figure> {
    let found = &plan.capabilities;
    let registered = matches!(found.registration, Registration::Registered { .. });
    let locked = plan.mapping.locking == Locking::Locked;
    let mut figures = vec![
        flag("penstock_io_uring", "1 where io_uring is usable.", found.io_uring.is_ok()),
        flag(
            "penstock_registered_buffers",
            "1 where the arena is registered with every lane's ring.",
            registered,
        ),
        flag("penstock_arena_locked", "1 where the arena is locked in memory.", locked),
    ];
    for (kind, label) in [
        (PageKind::Huge, "huge"),
        (PageKind::Transparent, "transparent"),
        (PageKind::Normal, "normal"),
    ] {
        let help = "1 for the kind of pages that the arena has.";
        let is_kind = plan.mapping.pages == kind;
        figures.push(labelled("penstock_arena_pages", help, ("kind", label), is_kind.into()));
    }
    for device in &found.devices {
        let help = "1 where the device is read and written past the page cache.";
        let direct = matches!(device.direct, DirectIo::Direct { .. });
        let label = ("device", &*device.path);
        figures.push(labelled("penstock_device_direct_io", help, label, direct.into()));
    }
    let arena = [("arena", plan.memory.arena.bytes), ("unplanned", plan.memory.unplanned_bytes())];
    let parts = plan.memory.parts.iter().map(|part| (&*part.reason, part.bytes));
    for (reason, bytes) in parts.chain(arena) {
        let help = "The memory budget as a sum, by what each part is for.";
        let name = "penstock_memory_plan_bytes";
        figures.push(labelled(name, help, ("reason", reason), bytes as f64));
    }
    figures
}

fn flag(name: &'static str, help: &'static str, on: bool) -> Figure {
    Figure { name, help, kind: Kind::Gauge, labels: Vec::new(), value: on.into() }
}

fn labelled(
    name: &'static str,
    help: &'static str,
    (label, text): (&'static str, &str),
    value: f64,
) -> Figure {
    Figure { name, help, kind: Kind::Gauge, labels: vec![(label, text.to_owned())], value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::{Store, StoreOptions};

    #[test]
    fn a_plan_is_exported_with_all_of_its_memory() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreOptions {
            data_dir: directory.path().to_owned(),
            devices: Vec::new(),
            extent_file_bytes: Some(64 << 20),
            index_map_bytes: 64 << 20,
            memory_bytes: 200 << 20,
            memory_elsewhere: vec![("listings".to_owned(), 1 << 20)],
            lanes: 1,
            connections_max: 10,
            create: true,
            huge_pages: false,
            lock_memory: false,
        })
        .unwrap();
        let figures = figures(store.plan());
        let of = |name: &str| figures.iter().filter(|it| it.name == name).collect::<Vec<_>>();
        let memory = of("penstock_memory_plan_bytes");
        assert_eq!(memory.iter().map(|it| it.value).sum::<f64>(), f64::from(200 << 20));
        let listings = memory.iter().find(|it| it.labels == [("reason", "listings".to_owned())]);
        assert_eq!(listings.unwrap().value, f64::from(1 << 20));
        assert_eq!(of("penstock_arena_pages").iter().map(|it| it.value).sum::<f64>(), 1.0);
        assert_eq!(of("penstock_arena_locked")[0].value, 0.0);
        let usable = datapath::device::probe_io_uring().is_ok();
        assert_eq!(of("penstock_io_uring")[0].value, f64::from(usable));
        assert_eq!(of("penstock_registered_buffers").len(), 1);
        assert_eq!(of("penstock_device_direct_io").len(), store.plan().capabilities.devices.len());
        store.close();
    }
}
