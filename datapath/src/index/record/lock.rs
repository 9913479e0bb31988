//! What protects a version from being removed.
//!
//! Owns: [`Lock`], its bytes, and the rules of what it forbids (Amazon S3, "Locking objects with
//! Object Lock").
//! Not here: who may bypass governance (the caller's), where the rules are asked (`apply`).

use crate::index::codec::{DecodeError, Decoder, Encoder};

/// How strict a retention is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionMode {
    /// Callers that may bypass it can remove the version, and shorten or lift the retention.
    Governance,
    /// Nobody can; it can only be made longer.
    Compliance,
}

/// Until when a version stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How strict.
    pub mode: RetentionMode,
    /// The end, in milliseconds since 1970.
    pub until_ms: u64,
}

/// What protects a version; by default nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lock {
    /// Until when it stays.
    pub retention: Option<Retention>,
    /// Whether it stays until this is lifted, whatever the retention says.
    pub legal_hold: bool,
}

/// Why a version can't be removed, or its retention not be changed so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockedBy {
    /// A legal hold.
    #[error("a legal hold")]
    LegalHold,
    /// A retention that has not ended.
    #[error("a retention until {} ms since 1970", .0.until_ms)]
    Retention(Retention),
}

const LEGAL_HOLD: u8 = 1;
const GOVERNANCE: u8 = 2;
const COMPLIANCE: u8 = 4;

impl Lock {
    /// What forbids removing the version at this time, if anything does.
    #[must_use]
    pub fn forbids_removal(&self, now_ms: u64, bypass_governance: bool) -> Option<LockedBy> {
        if self.legal_hold {
            return Some(LockedBy::LegalHold);
        }
        let retention = self.active(now_ms)?;
        let bypassed = bypass_governance && retention.mode == RetentionMode::Governance;
        (!bypassed).then_some(LockedBy::Retention(retention))
    }

    /// What forbids replacing the retention by this one at this time, if anything does. Making it
    /// longer in the same mode is always allowed; legal holds are apart from it.
    #[must_use]
    pub fn forbids_change(
        &self,
        to: Option<Retention>,
        now_ms: u64,
        bypass_governance: bool,
    ) -> Option<LockedBy> {
        let retention = self.active(now_ms)?;
        let longer = |to: Retention| to.mode == retention.mode && to.until_ms >= retention.until_ms;
        let bypassed = bypass_governance && retention.mode == RetentionMode::Governance;
        (!bypassed && !to.is_some_and(longer)).then_some(LockedBy::Retention(retention))
    }

    fn active(&self, now_ms: u64) -> Option<Retention> {
        self.retention.filter(|retention| retention.until_ms > now_ms)
    }

    pub(super) fn is_none(&self) -> bool {
        self.retention.is_none() && !self.legal_hold
    }

    pub(super) fn encode(&self, encoder: &mut Encoder) {
        let mode = match self.retention.map(|retention| retention.mode) {
            None => 0,
            Some(RetentionMode::Governance) => GOVERNANCE,
            Some(RetentionMode::Compliance) => COMPLIANCE,
        };
        encoder.byte(mode | if self.legal_hold { LEGAL_HOLD } else { 0 });
        if let Some(retention) = self.retention {
            encoder.number(retention.until_ms);
        }
    }

    pub(super) fn decode(decoder: &mut Decoder<'_>) -> Result<Lock, DecodeError> {
        let flags = decoder.byte("lock")?;
        let mode = match flags & !LEGAL_HOLD {
            0 => None,
            GOVERNANCE => Some(RetentionMode::Governance),
            COMPLIANCE => Some(RetentionMode::Compliance),
            _ => return Err(DecodeError::Value("lock")),
        };
        let retention = match mode {
            None => None,
            Some(mode) => Some(Retention { mode, until_ms: decoder.number("retained until")? }),
        };
        Ok(Lock { retention, legal_hold: flags & LEGAL_HOLD != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retained(mode: RetentionMode, until_ms: u64) -> Option<Retention> {
        Some(Retention { mode, until_ms })
    }

    #[test]
    fn governance_yields_to_a_bypass_compliance_to_time_alone_and_holds_to_neither() {
        use RetentionMode::{Compliance, Governance};
        for (mode, now_ms, bypass, removable) in [
            (Governance, 99, false, false),
            (Governance, 99, true, true),
            (Governance, 100, false, true),
            (Compliance, 99, true, false),
            (Compliance, 100, false, true),
        ] {
            let lock = Lock { retention: retained(mode, 100), legal_hold: false };
            assert_eq!(lock.forbids_removal(now_ms, bypass).is_none(), removable, "{mode:?}");
            let held = Lock { legal_hold: true, ..lock };
            assert_eq!(held.forbids_removal(now_ms, bypass), Some(LockedBy::LegalHold));
        }
        assert_eq!(Lock::default().forbids_removal(0, false), None);
    }

    #[test]
    fn a_retention_may_grow_and_only_governance_may_shrink() {
        use RetentionMode::{Compliance, Governance};
        for (from, to, bypass, allowed) in [
            (Governance, retained(Governance, 101), false, true),
            (Governance, retained(Governance, 100), false, true),
            (Governance, retained(Governance, 99), false, false),
            (Governance, retained(Governance, 99), true, true),
            (Governance, retained(Compliance, 101), false, false),
            (Governance, retained(Compliance, 101), true, true),
            (Governance, None, false, false),
            (Governance, None, true, true),
            (Compliance, retained(Compliance, 101), false, true),
            (Compliance, retained(Compliance, 99), true, false),
            (Compliance, retained(Governance, 101), true, false),
            (Compliance, None, true, false),
        ] {
            let lock = Lock { retention: retained(from, 100), legal_hold: true };
            let forbidden = lock.forbids_change(to, 50, bypass);
            assert_eq!(forbidden.is_none(), allowed, "{from:?} to {to:?}, bypass {bypass}");
            assert_eq!(lock.forbids_change(to, 100, bypass), None, "it has ended");
        }
    }
}
