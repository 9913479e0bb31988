//! Which events of a bucket are told to whom: a notification configuration as it is matched.
//!
//! Not here: what a configuration may say (`s3/notification.rs`).

use s3s::dto::{
    Event as EventName, GetBucketNotificationConfigurationOutput, NotificationConfiguration,
    NotificationConfigurationFilter,
};

use super::event::EventKind;

/// The destinations of a bucket.
#[derive(Debug, Default)]
pub struct Destinations {
    all: Vec<Destination>,
}

/// One of them.
#[derive(Debug)]
pub struct Destination {
    /// The ID that the client gave it.
    pub id: Box<str>,
    /// Its ARN.
    pub arn: Box<str>,
    /// Names of events, as they were given.
    pub events: Vec<Box<str>>,
    /// What keys begin with.
    pub prefix: Box<str>,
    /// What they end in.
    pub suffix: Box<str>,
}

impl Destinations {
    /// All destinations of a configuration, of whatever kind.
    pub fn of(configuration: &NotificationConfiguration) -> Destinations {
        let lambdas = configuration.lambda_function_configurations.iter().flatten().map(|it| {
            Destination::of(&it.id, &it.lambda_function_arn, &it.events, it.filter.as_ref())
        });
        let queues = configuration.queue_configurations.iter().flatten();
        let queues =
            queues.map(|it| Destination::of(&it.id, &it.queue_arn, &it.events, it.filter.as_ref()));
        let topics = configuration.topic_configurations.iter().flatten();
        let topics =
            topics.map(|it| Destination::of(&it.id, &it.topic_arn, &it.events, it.filter.as_ref()));
        Destinations { all: lambdas.chain(queues).chain(topics).collect() }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.all.iter()
    }

    /// Those who want to hear of such an event of a key.
    pub fn wanting(&self, kind: EventKind, key: &[u8]) -> impl Iterator<Item = &Destination> {
        self.all.iter().filter(move |it| {
            it.events.iter().any(|name| names(name, kind))
                && key.starts_with(it.prefix.as_bytes())
                && key.ends_with(it.suffix.as_bytes())
        })
    }
}

impl Destination {
    fn of(
        id: &Option<String>,
        arn: &str,
        events: &[EventName],
        filter: Option<&NotificationConfigurationFilter>,
    ) -> Destination {
        let rules =
            || filter.and_then(|it| it.key.as_ref()?.filter_rules.as_deref()).unwrap_or(&[]);
        let value = |wanted: &str| {
            let named = rules().iter().find(|rule| {
                rule.name.as_ref().is_some_and(|name| name.as_str().eq_ignore_ascii_case(wanted))
            });
            named.and_then(|rule| rule.value.as_deref()).unwrap_or_default().into()
        };
        Destination {
            id: id.as_deref().unwrap_or_default().into(),
            arn: arn.into(),
            events: events.iter().map(|event| event.as_ref().into()).collect(),
            prefix: value("prefix"),
            suffix: value("suffix"),
        }
    }

    /// Whether an event could be for both, of which Amazon S3 allows one.
    pub fn overlaps(&self, other: &Destination) -> bool {
        let share = |one: &str, other: &str| one.starts_with(other) || other.starts_with(one);
        let end = |one: &str, other: &str| one.ends_with(other) || other.ends_with(one);
        let same_event = |one: &str, other: &str| {
            let all = |name: &str| name.strip_suffix('*').map(str::to_owned);
            one == other
                || all(one).is_some_and(|family| other.starts_with(&family))
                || all(other).is_some_and(|family| one.starts_with(&family))
        };
        self.events.iter().any(|one| other.events.iter().any(|two| same_event(one, two)))
            && share(&self.prefix, &other.prefix)
            && end(&self.suffix, &other.suffix)
    }
}

/// Whether a name of a configuration names that kind.
fn names(name: &str, kind: EventKind) -> bool {
    let Some(name) = name.strip_prefix("s3:") else {
        return false;
    };
    match name.strip_suffix('*') {
        Some(family) => kind.name().starts_with(family),
        None => name == kind.name(),
    }
}

/// The same configuration as an answer has it.
pub fn output(
    configuration: NotificationConfiguration,
) -> GetBucketNotificationConfigurationOutput {
    GetBucketNotificationConfigurationOutput {
        event_bridge_configuration: configuration.event_bridge_configuration,
        lambda_function_configurations: configuration.lambda_function_configurations,
        queue_configurations: configuration.queue_configurations,
        topic_configurations: configuration.topic_configurations,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(events: &[&str], prefix: &str, suffix: &str) -> Destination {
        Destination {
            id: "id".into(),
            arn: "arn".into(),
            events: events.iter().map(|event| (*event).into()).collect(),
            prefix: prefix.into(),
            suffix: suffix.into(),
        }
    }

    #[test]
    fn events_are_wanted_by_name_and_key() {
        let all = Destinations {
            all: vec![
                destination(&["s3:ObjectCreated:*"], "a/", ".jpg"),
                destination(&["s3:ObjectCreated:Put", "s3:ObjectRemoved:*"], "", ""),
            ],
        };
        for (kind, key, expected) in [
            (EventKind::Put, "a/b.jpg", 2),
            (EventKind::Copy, "a/b.jpg", 1),
            (EventKind::Copy, "b/b.jpg", 0),
            (EventKind::Put, "a/b.png", 1),
            (EventKind::MarkerMade, "a/b.jpg", 1),
            (EventKind::TaggingPut, "a/b.jpg", 0),
        ] {
            let wanting = all.wanting(kind, key.as_bytes()).count();
            assert_eq!(wanting, expected, "{kind:?} {key}");
        }
    }

    #[test]
    fn overlaps_need_event_prefix_and_suffix() {
        let put = destination(&["s3:ObjectCreated:Put"], "a", ".jpg");
        for (events, prefix, suffix, expected) in [
            (&["s3:ObjectCreated:*"][..], "", "", true),
            (&["s3:ObjectCreated:Put"], "ab", "x.jpg", true),
            (&["s3:ObjectCreated:Copy"], "", "", false),
            (&["s3:ObjectCreated:*"], "b", "", false),
            (&["s3:ObjectCreated:*"], "", ".png", false),
        ] {
            let other = destination(events, prefix, suffix);
            assert_eq!(put.overlaps(&other), expected, "{events:?} {prefix} {suffix}");
            assert_eq!(other.overlaps(&put), expected);
        }
    }
}
