//! Which core each lane is bound to.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::Preference;

/// The core for each lane, or none when lanes are left to the scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinning {
    /// Cores by lane; empty when lanes are not bound.
    pub cores: Vec<usize>,
}

impl Pinning {
    /// Spreads the lanes over the cores this process may run on.
    ///
    /// `usable` is how many cores the quota of the control group allows. When that is fewer than
    /// the process may run on, its neighbours share those cores and would choose the same ones.
    pub fn choose(preference: Preference, lanes: usize, usable: usize) -> Pinning {
        let allowed = allowed_cores();
        let bind = match preference {
            Preference::On => true,
            Preference::Off => false,
            Preference::Auto => usable >= allowed.len(),
        };
        let cores = match bind && !allowed.is_empty() {
            true => (0..lanes).map(|lane| allowed[lane % allowed.len()]).collect(),
            false => Vec::new(),
        };
        Pinning { cores }
    }
}

fn allowed_cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
        Err(_) => Vec::new(),
    }
}

/// Binds the calling thread to that core.
///
/// # Errors
/// What the system said.
pub fn bind_this_thread(core: usize) -> Result<(), rustix::io::Errno> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_spread_over_allowed_cores() {
        let allowed = allowed_cores();
        let pinning = Pinning::choose(Preference::On, allowed.len() + 1, 1);
        assert_eq!(pinning.cores[..allowed.len()], allowed);
        assert_eq!(pinning.cores[allowed.len()], allowed[0]);
    }

    #[test]
    fn a_quota_below_the_cores_leaves_lanes_unbound() {
        assert!(Pinning::choose(Preference::Auto, 1, 0).cores.is_empty());
        assert!(Pinning::choose(Preference::Off, 1, usize::MAX).cores.is_empty());
        assert_eq!(Pinning::choose(Preference::Auto, 1, usize::MAX).cores.len(), 1);
    }

    #[test]
    fn a_bound_thread_runs_on_its_core() {
        let core = allowed_cores()[0];
        std::thread::spawn(move || {
            bind_this_thread(core).unwrap();
            assert_eq!(allowed_cores(), [core]);
        })
        .join()
        .unwrap();
    }
}
