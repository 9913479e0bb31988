//! PutBucketNotificationConfiguration, GetBucketNotificationConfiguration: what a configuration may say. Amazon S3 user
//! guide, "Amazon S3 Event Notifications".
//!
//! Destinations are those of the server's configuration, `events.targets`, named `arn:penstock:events:REGION::NAME`;
//! region and account may be anything. It is the same which of the three kinds of configuration names them.
//! Limits: `NOTIFICATIONS_MAX`, `NOTIFICATION_DOCUMENT_BYTES_MAX`.
//! Not here: matching, records, delivery (`crate::notify`).

use datapath::{Deletion, Object};
use http::Extensions;
use s3s::dto::{
    GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput,
    NotificationConfiguration, NotificationConfigurationFilter,
    PutBucketNotificationConfigurationInput, PutBucketNotificationConfigurationOutput,
};
use s3s::{S3Request, S3Response};

use super::cors::short;
use super::limits::{
    KEY_BYTES_MAX, NOTIFICATION_DOCUMENT_BYTES_MAX, NOTIFICATIONS_MAX, SETTING_ID_CHARS_MAX,
};
use super::operations::Operations;
use super::refusal::{Outcome, Refusal};
use super::settings::{Settings, kind};
use super::{background, kept, names};
use crate::notify::event::{Doer, Event, EventKind};
use crate::notify::rules::{self, Destinations};
use crate::notify::{Bucket, target_of};
use crate::record::AccountSlot;

/// Who hears of a bucket's events.
#[derive(Debug)]
pub struct Notification {
    configuration: NotificationConfiguration,
    /// As they are matched.
    pub destinations: Destinations,
}

impl Notification {
    /// A configuration as it is kept.
    ///
    /// # Errors
    /// Damaged.
    pub fn decode(bytes: &[u8]) -> Outcome<Notification> {
        let configuration = kept::decode(bytes, "a bucket's notification configuration")?;
        Ok(Notification { destinations: Destinations::of(&configuration), configuration })
    }
}

/// GetBucketNotificationConfiguration: an empty document where nobody is told.
pub(super) async fn get(
    operations: &Operations,
    request: S3Request<GetBucketNotificationConfigurationInput>,
) -> Outcome<S3Response<GetBucketNotificationConfigurationOutput>> {
    let bucket = operations.bucket(&request.input.bucket)?;
    let kept = operations.lane().setting(bucket.id, kind::NOTIFICATION)?;
    let output = match kept {
        Some(kept) => rules::output(Notification::decode(&kept)?.configuration),
        None => GetBucketNotificationConfigurationOutput::default(),
    };
    Ok(S3Response::new(output))
}

/// PutBucketNotificationConfiguration, which replaces what is there; an empty one ends notifications. Each destination
/// is told once that it was named.
pub(super) async fn put(
    operations: &Operations,
    request: S3Request<PutBucketNotificationConfigurationInput>,
) -> Outcome<S3Response<PutBucketNotificationConfigurationOutput>> {
    kept::check_size(&request.headers, NOTIFICATION_DOCUMENT_BYTES_MAX)?;
    let input = request.input;
    let mut configuration = input.notification_configuration;
    name_all(&mut configuration)?;
    let skip = input.skip_destination_validation.unwrap_or(false);
    let destinations =
        check(&configuration, |name| skip || operations.settings().notifier().has(name))?;
    let bucket = operations.bucket(&input.bucket)?;
    let document = match destinations.iter().next() {
        Some(_) => Some(kept::encode(&configuration)?),
        None => None,
    };
    operations.keep_setting(&input.bucket, kind::NOTIFICATION, document).await?;
    let doer = doer(&request.extensions);
    let settings = operations.bucket_settings(&bucket)?;
    let notifier = operations.settings().notifier();
    let request_id = doer.request.unwrap_or_default();
    notifier.test(&place(&bucket, &settings), &destinations, request_id);
    Ok(S3Response::new(PutBucketNotificationConfigurationOutput::default()))
}

impl Operations {
    /// An object has been made, or what is kept beside it has changed.
    pub(super) fn made(
        &self,
        extensions: &Extensions,
        bucket: &datapath::Bucket,
        kind: EventKind,
        key: &[u8],
        object: &Object,
    ) {
        let version = background::version_text(bucket, object.version);
        let event = Event {
            kind,
            key,
            size: Some(background::size(object)),
            entity_tag: Some(&object.entity_tag),
            version: version.as_deref(),
            row: object.row.0,
        };
        self.happened(extensions, bucket, &event);
    }

    /// An object has been deleted, or covered; nothing happens to what was not there.
    pub(super) fn removed(
        &self,
        extensions: &Extensions,
        bucket: &datapath::Bucket,
        key: &[u8],
        deletion: &Deletion,
    ) {
        let (kind, row, version) = match deletion {
            Deletion::Nothing => return,
            Deletion::Removed(object) => (EventKind::Delete, object.row, object.version),
            Deletion::MarkerMade(marker) => (EventKind::MarkerMade, marker.row, marker.version),
            Deletion::MarkerRemoved(marker) => (EventKind::Delete, marker.row, marker.version),
        };
        let version = background::version_text(bucket, version);
        let event = Event {
            kind,
            key,
            size: None,
            entity_tag: None,
            version: version.as_deref(),
            row: row.0,
        };
        self.happened(extensions, bucket, &event);
    }

    /// Tells who wants to hear of it that something has happened to an object, after the store has answered that it is
    /// durable. Costs a look at the cached settings where nobody wants to.
    pub(super) fn happened(
        &self,
        extensions: &Extensions,
        bucket: &datapath::Bucket,
        event: &Event<'_>,
    ) {
        // Settings that cannot be read have been told of on the way in, and the change has been made.
        if let Ok(settings) = self.bucket_settings(bucket)
            && let Some(notification) = &settings.notification
        {
            let doer = doer(extensions);
            let notifier = self.settings().notifier();
            notifier.tell(&place(bucket, &settings), &notification.destinations, event, &doer);
        }
    }
}

fn place<'a>(bucket: &'a datapath::Bucket, settings: &'a Settings) -> Bucket<'a> {
    Bucket { name: &bucket.name, owner: &settings.owner().id }
}

fn doer(extensions: &Extensions) -> Doer<'_> {
    let Some(account) = extensions.get::<AccountSlot>().map(AccountSlot::account) else {
        return Doer::default();
    };
    Doer {
        principal: account.user.get().map(|user| &**user),
        peer: account.asked.peer,
        request: Some(account.asked.id.as_str()),
    }
}

/// Gives an ID to what has none.
fn name_all(configuration: &mut NotificationConfiguration) -> Outcome<()> {
    let NotificationConfiguration {
        lambda_function_configurations,
        queue_configurations,
        topic_configurations,
        ..
    } = configuration;
    let lambdas = lambda_function_configurations.iter_mut().flatten().map(|it| &mut it.id);
    let queues = queue_configurations.iter_mut().flatten().map(|it| &mut it.id);
    let topics = topic_configurations.iter_mut().flatten().map(|it| &mut it.id);
    for id in lambdas.chain(queues).chain(topics) {
        if id.as_ref().is_none_or(String::is_empty) {
            *id = Some(names::random_id()?);
        }
    }
    Ok(())
}

/// What Amazon S3 finds fault with.
fn check(
    configuration: &NotificationConfiguration,
    is_known: impl Fn(&str) -> bool,
) -> Outcome<Destinations> {
    if configuration.event_bridge_configuration.is_some() {
        return Err(Refusal::NotImplemented("notification by EventBridge".to_owned()));
    }
    for filter in filters(configuration) {
        check_filter(filter)?;
    }
    let destinations = Destinations::of(configuration);
    let all: Vec<_> = destinations.iter().collect();
    if all.len() > NOTIFICATIONS_MAX {
        return argument("The number of notification configurations must not exceed 100");
    }
    for (index, one) in all.iter().enumerate() {
        if one.id.chars().count() > SETTING_ID_CHARS_MAX {
            return argument("The ID of a notification configuration has at most 255 characters");
        }
        if one.events.is_empty() {
            return Err(Refusal::MalformedXml("a notification configuration has an Event"));
        }
        if let Some(unknown) = one.events.iter().find(|name| !is_event(name)) {
            let unknown = short(unknown);
            return argument(&format!("The event '{unknown}' is not supported for notifications"));
        }
        if one.prefix.len() > KEY_BYTES_MAX || one.suffix.len() > KEY_BYTES_MAX {
            return argument(
                "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation",
            );
        }
        if !target_of(&one.arn).is_some_and(&is_known) {
            return argument(&format!(
                "Unable to validate the following destination configurations: {} is none of this server's, which are \
                 named arn:penstock:events:::NAME",
                short(&one.arn)
            ));
        }
        for other in &all[..index] {
            if one.id == other.id {
                return argument("Same ID used for multiple configurations. IDs must be unique");
            }
            if one.overlaps(other) {
                return argument(
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type.",
                );
            }
        }
    }
    Ok(destinations)
}

fn filters(
    configuration: &NotificationConfiguration,
) -> impl Iterator<Item = &NotificationConfigurationFilter> {
    let lambdas = configuration.lambda_function_configurations.iter().flatten();
    let queues = configuration.queue_configurations.iter().flatten();
    let topics = configuration.topic_configurations.iter().flatten();
    lambdas
        .filter_map(|it| it.filter.as_ref())
        .chain(queues.filter_map(|it| it.filter.as_ref()))
        .chain(topics.filter_map(|it| it.filter.as_ref()))
}

fn check_filter(filter: &NotificationConfigurationFilter) -> Outcome<()> {
    let rules = filter.key.as_ref().and_then(|key| key.filter_rules.as_deref());
    let mut seen = (false, false);
    for rule in rules.unwrap_or_default() {
        let name = rule.name.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let repeated = match name.as_deref() {
            Some("prefix") => std::mem::replace(&mut seen.0, true),
            Some("suffix") => std::mem::replace(&mut seen.1, true),
            _ => return argument("filter rule name must be either prefix or suffix"),
        };
        if repeated {
            let name = name.unwrap_or_default();
            return argument(&format!("Cannot specify more than one {name} rule in a filter."));
        }
    }
    Ok(())
}

fn argument<T>(why: &str) -> Outcome<T> {
    Err(Refusal::InvalidArgument(why.to_owned()))
}

/// Whether Amazon S3 knows an event of that name; some of them never happen here.
fn is_event(name: &str) -> bool {
    const NAMES: [&str; 29] = [
        "s3:TestEvent",
        "s3:ObjectCreated:*",
        "s3:ObjectCreated:Put",
        "s3:ObjectCreated:Post",
        "s3:ObjectCreated:Copy",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectRemoved:*",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRestore:*",
        "s3:ObjectRestore:Post",
        "s3:ObjectRestore:Completed",
        "s3:ObjectRestore:Delete",
        "s3:ReducedRedundancyLostObject",
        "s3:Replication:*",
        "s3:Replication:OperationFailedReplication",
        "s3:Replication:OperationMissedThreshold",
        "s3:Replication:OperationReplicatedAfterThreshold",
        "s3:Replication:OperationNotTracked",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "s3:LifecycleTransition",
        "s3:IntelligentTiering",
        "s3:ObjectTagging:*",
        "s3:ObjectTagging:Put",
        "s3:ObjectTagging:Delete",
        "s3:ObjectAcl:Put",
        "s3:ObjectAcl:*",
    ];
    NAMES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(xml: &str) -> Outcome<Destinations> {
        let xml = format!("<NotificationConfiguration>{xml}</NotificationConfiguration>");
        let mut configuration = kept::decode(xml.as_bytes(), "a test")?;
        name_all(&mut configuration)?;
        check(&configuration, |name| name == "hook")
    }

    const ARN: &str = "arn:penstock:events:::hook";

    fn queue(rest: &str) -> String {
        format!("<QueueConfiguration><Queue>{ARN}</Queue>{rest}</QueueConfiguration>")
    }

    fn filter(name: &str, value: &str) -> String {
        format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
    }

    #[test]
    fn all_three_kinds_name_a_destination() {
        let event = "<Event>s3:ObjectCreated:*</Event>";
        for (element, arn) in
            [("Queue", "Queue"), ("Topic", "Topic"), ("CloudFunction", "CloudFunction")]
        {
            let xml = format!(
                "<{element}Configuration><{arn}>{ARN}</{arn}>{event}</{element}Configuration>"
            );
            let found = checked(&xml).unwrap();
            let one = found.iter().next().unwrap();
            assert_eq!((&*one.arn, one.id.is_empty()), (ARN, false), "{element}");
        }
        assert_eq!(checked("").unwrap().iter().count(), 0);
    }

    #[test]
    fn filters_are_by_prefix_and_suffix() {
        let rules = filter("Prefix", "a/") + &filter("suffix", ".jpg");
        let xml = queue(&format!(
            "<Event>s3:ObjectRemoved:Delete</Event><Filter><S3Key>{rules}</S3Key></Filter>"
        ));
        let found = checked(&xml).unwrap();
        let one = found.iter().next().unwrap();
        assert_eq!((&*one.prefix, &*one.suffix), ("a/", ".jpg"));
    }

    #[test]
    fn mistakes_have_s3s_answers() {
        let event = "<Event>s3:ObjectCreated:*</Event>";
        let with =
            |rules: String| queue(&format!("{event}<Filter><S3Key>{rules}</S3Key></Filter>"));
        for xml in [
            queue("<Event>s3:ObjectCreated</Event>"),
            queue("<Event>ObjectCreated:*</Event>"),
            queue(event).replace("hook", "other"),
            queue(event).replace(ARN, "arn:aws:sqs:us-east-1:1:q"),
            queue(event) + &queue("<Event>s3:ObjectCreated:Put</Event>"),
            with(filter("prefix", "a") + &filter("Prefix", "b")),
            with(filter("infix", "a")),
            with(filter("prefix", &"p".repeat(1025))),
            queue(&format!("<Id>{}</Id>{event}", "i".repeat(256))),
            queue(&format!("<Id>a</Id>{event}"))
                + &queue("<Id>a</Id><Event>s3:ObjectRemoved:*</Event>"),
        ] {
            assert!(matches!(checked(&xml), Err(Refusal::InvalidArgument(_))), "{xml}");
        }
        let bridge = checked("<EventBridgeConfiguration/>");
        assert!(matches!(bridge, Err(Refusal::NotImplemented(_))));
    }
}
