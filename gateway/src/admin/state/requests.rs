//! What the state says of requests: rates, times, operations, stages, paths, one point of history.

use super::snapshot::{Snapshot, Window};
use super::{CopiedState, OperationState, PathState, Rates, StageState};
use crate::metrics::{Figure, Group, Operation, Stage, StatusClass, table};

impl Window<'_> {
    /// All requests together.
    pub fn rates(&self) -> Rates {
        let by_rdma = |way| self.rate(&table::RDMA_OBJECT_BYTES, &[way]);
        let (get, put) = (by_rdma("get"), by_rdma("put"));
        let all = |quantile| self.quantile(&table::DURATION, &[], quantile);
        Rates {
            window_seconds: self.seconds(),
            requests: self.rate(&table::REQUESTS, &[]),
            server_errors: self.per_second(self.answered(StatusClass::ServerError)),
            client_errors: self.per_second(self.answered(StatusClass::ClientError)),
            received_bytes: self.rate(&table::RECEIVED, &[]) + put,
            sent_bytes: self.rate(&table::SENT, &[]) + get,
            rdma_bytes: get + put,
            p50_seconds: all(0.5),
            p99_seconds: all(0.99),
            first_byte_p99_seconds: self.quantile(&table::FIRST_BYTE, &[], 0.99),
            in_flight: self.now.count(&table::IN_FLIGHT, &[]),
            connections: self.now.count(&table::OPEN, &[]),
            connections_limit: self.now.count(&table::LIMIT, &[]),
            cpu: self.rate(&table::CPU_SECONDS, &[]),
            resident_bytes: self.now.count(&table::RESIDENT, &[]),
        }
    }

    /// Answers of one class in the window.
    pub fn answered(&self, class: StatusClass) -> f64 {
        let of = |snapshot: &Snapshot| of_class(snapshot, class, |_| true);
        (of(self.now) - of(self.then)).max(0.0)
    }

    /// Each operation that was ever asked for.
    pub fn operations(&self) -> Vec<OperationState> {
        let operation = |operation: &Operation| {
            let name = operation.label();
            let requests = self.now.count(&table::REQUESTS, &[name]);
            let in_flight = self.now.count(&table::IN_FLIGHT, &[name]);
            let errors = [StatusClass::ClientError, StatusClass::ServerError]
                .map(|class| of_class(self.now, class, |figure| figure.labels[0] == name));
            (requests + in_flight > 0).then(|| OperationState {
                operation: name.to_owned(),
                per_second: self.rate(&table::REQUESTS, &[name]),
                requests,
                errors: errors.iter().sum::<f64>() as u64,
                in_flight,
                p50_seconds: self.quantile(&table::DURATION, &[name], 0.5),
                p99_seconds: self.quantile(&table::DURATION, &[name], 0.99),
            })
        };
        Operation::ALL.iter().filter_map(operation).collect()
    }

    /// Where the time of the window's requests went.
    pub fn stages(&self) -> Vec<StageState> {
        let mut stages = Vec::new();
        for group in Group::ALL {
            let took = self.histogram(&table::DURATION, |figure| {
                group_of(&figure.labels[0]).is_some_and(|it| it == *group)
            });
            let took = took.map_or(0.0, |took| took.sum);
            for stage in Stage::ALL {
                let labels = [stage.label(), group.label()];
                let Some(of_stage) =
                    self.histogram(&table::STAGES, |figure| figure.labels == labels)
                else {
                    continue;
                };
                stages.push(StageState {
                    stage: stage.label().to_owned(),
                    group: group.label().to_owned(),
                    share: if took > 0.0 { of_stage.sum.max(0.0) / took } else { 0.0 },
                    p50_seconds: of_stage.quantile(0.5),
                    p99_seconds: of_stage.quantile(0.99),
                });
            }
        }
        stages
    }

    /// Which path moved responses' bytes.
    pub fn paths(&self) -> Vec<PathState> {
        let path = |figure: &Figure| {
            let [source, delivery] = figure.labels.as_slice() else { return None };
            Some(PathState {
                source: source.to_string(),
                delivery: delivery.to_string(),
                bytes: figure.number() as u64,
                per_second: self.rate(&table::RESPONSE_BYTES, &[source, delivery]),
            })
        };
        self.now.of(&table::RESPONSE_BYTES).iter().filter_map(path).collect()
    }

    /// What processors copied.
    pub fn copied(&self) -> Vec<CopiedState> {
        let copied = |path: &str| CopiedState {
            path: path.to_owned(),
            bytes: self.now.count(&table::COPIED, &[path]),
            per_second: self.rate(&table::COPIED, &[path]),
        };
        self.now.names(&table::COPIED).into_iter().map(copied).collect()
    }

    /// One point of the history.
    pub fn point(&self) -> Point {
        let rates = self.rates();
        Point {
            requests: rates.requests,
            server_errors: rates.server_errors,
            received_bytes: rates.received_bytes,
            sent_bytes: rates.sent_bytes,
            rdma_bytes: rates.rdma_bytes,
            p50_seconds: rates.p50_seconds.unwrap_or_default(),
            p99_seconds: rates.p99_seconds.unwrap_or_default(),
            device_read_bytes: self.rate(&table::DEVICE_READ_BYTES, &[]),
            device_written_bytes: self.rate(&table::DEVICE_WRITTEN_BYTES, &[]),
        }
    }
}

fn of_class(snapshot: &Snapshot, class: StatusClass, wanted: impl Fn(&Figure) -> bool) -> f64 {
    let all = snapshot.of(&table::REQUESTS).iter();
    all.filter(|figure| figure.labels[1] == class.label() && wanted(figure))
        .map(Figure::number)
        .sum()
}

fn group_of(operation: &str) -> Option<Group> {
    Operation::ALL.iter().find(|it| it.label() == operation).map(|it| it.group())
}

/// One second of the history, rates as in [`super::History`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are the history's")]
pub struct Point {
    pub requests: f64,
    pub server_errors: f64,
    pub received_bytes: f64,
    pub sent_bytes: f64,
    pub rdma_bytes: f64,
    pub p50_seconds: f64,
    pub p99_seconds: f64,
    pub device_read_bytes: f64,
    pub device_written_bytes: f64,
}
