//! One pass over the versions of a bucket, in the order of their listing: by key, newest first. Says what is due; holds
//! one delete marker at most, until it is known whether anything is behind it.
//!
//! Pure but for tags, which listings do not have: they are looked up for what all else of a rule takes.

use bytes::Bytes;
use datapath::{Condition, Delete, Marker, Object, VersionEntry, VersionId};

use super::calendar::Calendar;
use super::rules::{Due, Rules, Subject};

/// What is done to something that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A current object is deleted, or covered by a delete marker.
    Expire,
    /// A version that was replaced is deleted.
    Noncurrent,
    /// A delete marker is deleted.
    Marker,
}

/// Something that is due.
#[derive(Debug)]
pub(super) struct Task {
    /// What is done.
    pub(super) action: Action,
    /// How the store is asked for it: only of the very row that was looked at.
    pub(super) delete: Delete,
}

/// Gives the tags of a version to a predicate on its key and value.
pub(super) type HasTag<'a> = &'a dyn Fn(&[u8], VersionId, &str, &str) -> bool;

/// See the module.
pub(super) struct Sweep<'a> {
    rules: &'a Rules,
    calendar: Calendar,
    now_ms: u64,
    /// The key of the last entry.
    key: Bytes,
    /// Its row. A page that goes on behind a null version which is gone by then begins the key again.
    row: u64,
    /// When that was made, which is when the one behind it was replaced.
    newer_ms: u64,
    /// Replaced versions of the key so far.
    replaced: u32,
    /// The last entry, if it is a delete marker that is the latest.
    lone: Option<Marker>,
}

impl<'a> Sweep<'a> {
    /// A pass that begins now.
    pub(super) fn new(rules: &'a Rules, calendar: Calendar, now_ms: u64) -> Sweep<'a> {
        Sweep {
            rules,
            calendar,
            now_ms,
            key: Bytes::new(),
            row: 0,
            newer_ms: 0,
            replaced: 0,
            lone: None,
        }
    }

    /// Looks at the next entry; adds what is due.
    pub(super) fn visit(
        &mut self,
        entry: VersionEntry,
        size: impl Fn(&Object) -> u64,
        has_tag: HasTag<'_>,
        due: &mut Vec<Task>,
    ) {
        let (key, latest, row) = match &entry {
            VersionEntry::Version { key, latest, object } => (key.clone(), *latest, object.row.0),
            VersionEntry::Marker { key, latest, marker } => (key.clone(), *latest, marker.row.0),
            VersionEntry::Prefix(_) => return,
        };
        if latest || key != self.key {
            self.end_key(due);
            self.key = key.clone();
            self.replaced = 0;
        } else if row >= self.row {
            // Seen already.
            return;
        }
        self.row = row;
        // What comes behind it shows that it covers something.
        self.lone = None;
        match entry {
            VersionEntry::Version { object, .. } => {
                let version = object.version;
                let has = |name: &str, value: &str| has_tag(&key, version, name, value);
                let subject = Subject { key: &key, size: size(&object), has_tag: &has };
                if latest {
                    self.current(&object, &subject, due);
                } else {
                    let rule = self.noncurrent(&key, Some(&subject));
                    if self.has_come(rule) {
                        due.push(replaced(Action::Noncurrent, &key, version, object.row));
                    }
                    self.replaced += 1;
                }
                self.newer_ms = object.modified_ms;
            }
            VersionEntry::Marker { marker, .. } => {
                if !latest {
                    let rule = self.noncurrent(&key, None);
                    if self.has_come(rule) {
                        due.push(replaced(Action::Marker, &key, marker.version, marker.row));
                    }
                }
                self.newer_ms = marker.modified_ms;
                self.lone = latest.then_some(marker);
            }
            VersionEntry::Prefix(_) => {}
        }
    }

    /// There are no more versions of the last key; adds its delete marker if that is due.
    pub(super) fn end_key(&mut self, due: &mut Vec<Task>) {
        let Some(marker) = self.lone.take() else {
            return;
        };
        let rule = self.rules.lone_marker(&self.key, marker.modified_ms, &self.calendar);
        if self.has_come(rule) {
            let delete = Delete {
                version: Some(marker.version),
                condition: Condition::RowIs(marker.row),
                ..Delete::object(self.key.clone())
            };
            due.push(Task { action: Action::Marker, delete });
        }
    }

    fn current(&self, object: &Object, subject: &Subject<'_>, due: &mut Vec<Task>) {
        let rule = self.rules.expiration(subject, object.modified_ms, &self.calendar);
        if self.has_come(rule) {
            let delete = Delete {
                condition: Condition::RowIs(object.row),
                ..Delete::object(self.key.clone())
            };
            due.push(Task { action: Action::Expire, delete });
        }
    }

    fn noncurrent(&self, key: &[u8], subject: Option<&Subject<'_>>) -> Option<Due<'_>> {
        self.rules.noncurrent(key, subject, self.newer_ms, self.replaced, &self.calendar)
    }

    fn has_come(&self, due: Option<Due<'_>>) -> bool {
        due.is_some_and(|due| due.at_ms <= self.now_ms)
    }
}

fn replaced(action: Action, key: &Bytes, version: VersionId, row: datapath::RowId) -> Task {
    let condition = Condition::All(vec![Condition::RowIs(row), Condition::Noncurrent]);
    let delete = Delete { version: Some(version), condition, ..Delete::object(key.clone()) };
    Task { action, delete }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datapath::{Lock, RowId};
    use s3s::dto::BucketLifecycleConfiguration;
    use s3s::xml::{Deserialize, Deserializer};

    fn object(row: u64, modified_ms: u64) -> Object {
        Object {
            row: RowId(row),
            version: VersionId(row),
            size: 1,
            modified_ms,
            entity_tag: "t".into(),
            attributes: Bytes::new(),
            tags: Bytes::new(),
            acl: Bytes::new(),
            lock: Lock::default(),
            encryption: Bytes::new(),
            part_count: 0,
            crc64: None,
        }
    }

    fn version(key: &'static str, row: u64, modified_ms: u64, latest: bool) -> VersionEntry {
        VersionEntry::Version { key: key.into(), object: object(row, modified_ms), latest }
    }

    fn marker(key: &'static str, row: u64, modified_ms: u64, latest: bool) -> VersionEntry {
        let marker =
            Marker { row: RowId(row), version: VersionId(row), modified_ms, acl: Bytes::new() };
        VersionEntry::Marker { key: key.into(), marker, latest }
    }

    /// What is due of the entries at a moment, with days of 10 milliseconds.
    fn due(rule: &str, now_ms: u64, entries: Vec<VersionEntry>) -> Vec<(Action, u64)> {
        let xml = format!(
            "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter/>{rule}</Rule></LifecycleConfiguration>"
        );
        let mut reader = Deserializer::new(xml.as_bytes());
        let rules = Rules::of(&BucketLifecycleConfiguration::deserialize(&mut reader).unwrap());
        let calendar = Calendar::new(std::time::Duration::from_millis(10));
        let mut sweep = Sweep::new(&rules, calendar, now_ms);
        let mut tasks = Vec::new();
        for entry in entries {
            sweep.visit(entry, |object| object.size, &|_, _, _, _| false, &mut tasks);
        }
        sweep.end_key(&mut tasks);
        tasks.iter().map(|task| (task.action, row_of(&task.delete.condition))).collect()
    }

    fn row_of(condition: &Condition) -> u64 {
        match condition {
            Condition::RowIs(row) => row.0,
            Condition::All(all) => row_of(&all[0]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn current_objects_expire_and_are_named_by_their_row() {
        let rule = "<Expiration><Days>2</Days></Expiration>";
        let entries = || vec![version("a", 1, 100, true), version("b", 2, 101, true)];
        assert_eq!(due(rule, 119, entries()), []);
        assert_eq!(due(rule, 120, entries()), [(Action::Expire, 1)]);
        assert_eq!(due(rule, 121, entries()), [(Action::Expire, 1), (Action::Expire, 2)]);
    }

    #[test]
    fn replaced_versions_count_from_when_they_were() {
        let rule = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
        let entries = vec![
            version("a", 9, 200, true),
            version("a", 8, 100, false),
            version("a", 7, 0, false),
            version("b", 3, 0, true),
        ];
        // The eighth was replaced at 200, the seventh at 100.
        assert_eq!(due(rule, 150, entries.clone()), [(Action::Noncurrent, 7)]);
        assert_eq!(due(rule, 210, entries), [(Action::Noncurrent, 8), (Action::Noncurrent, 7)]);
    }

    #[test]
    fn the_newest_replaced_versions_are_kept() {
        let rule = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2\
                    </NewerNoncurrentVersions></NoncurrentVersionExpiration>";
        let entries = vec![
            version("a", 9, 0, true),
            version("a", 8, 0, false),
            version("a", 7, 0, false),
            version("a", 6, 0, false),
            version("b", 5, 0, true),
            version("b", 4, 0, false),
        ];
        assert_eq!(due(rule, 1000, entries), [(Action::Noncurrent, 6)]);
    }

    #[test]
    fn what_is_listed_again_is_not_counted_again() {
        let rule = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2\
                    </NewerNoncurrentVersions></NoncurrentVersionExpiration>";
        let entries = vec![
            version("a", 9, 0, true),
            version("a", 8, 0, false),
            version("a", 7, 0, false),
            // The next page begins the key again.
            version("a", 9, 0, false),
            version("a", 8, 0, false),
            version("a", 7, 0, false),
            version("a", 6, 0, false),
        ];
        assert_eq!(due(rule, 1000, entries), [(Action::Noncurrent, 6)]);
    }

    #[test]
    fn a_marker_goes_when_nothing_is_behind_it() {
        let rule =
            "<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>";
        let entries = vec![
            marker("a", 9, 0, true),
            marker("b", 8, 0, true),
            version("b", 7, 0, false),
            marker("c", 6, 0, true),
        ];
        assert_eq!(due(rule, 1, entries), [(Action::Marker, 9), (Action::Marker, 6)]);
        let by_age = "<Expiration><Days>3</Days></Expiration>";
        assert_eq!(due(by_age, 29, vec![marker("a", 9, 0, true)]), []);
        assert_eq!(due(by_age, 30, vec![marker("a", 9, 0, true)]), [(Action::Marker, 9)]);
    }

    #[test]
    fn replaced_markers_go_with_replaced_versions() {
        let rule = "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>";
        let entries =
            vec![version("a", 9, 50, true), marker("a", 8, 40, false), version("a", 7, 0, false)];
        assert_eq!(due(rule, 100, entries), [(Action::Marker, 8), (Action::Noncurrent, 7)]);
    }
}
