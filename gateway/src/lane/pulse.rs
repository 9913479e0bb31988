//! What a lane knows of one connection, and what it tells it.
//!
//! Owns: the connection's stage with its time, the command given to it, and the rule that decides
//! from both whether its time is over.
//!
//! ```text
//!  accept ─▶ Handshake ─┐ (with TLS)
//!  accept ─▶ Head ◀─────┘
//!            Head ──head complete──▶ Busy ──last response ended──▶ Idle ──first byte──▶ Head
//!              └────────── closing with bytes unread ──────────────┴──▶ Lingering
//! ```
//! Not here: the clock's ticking (`sweep.rs`), the sockets (`stream.rs`), times that are measured
//! (`heads.rs`). The pace of a request's body is `door/paced.rs`'s, since only there is it known that
//! a body is being waited for.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use super::clock::Moment;
use super::heads::Heads;
use crate::config::Limits;
use crate::limits;
use crate::metrics::{Delivery, Refusal, TlsMode};
use crate::tls::Secured;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The TLS handshake is not over.
    Handshake,
    /// A request's head is awaited: nothing has come yet, or a part of it.
    Head,
    /// Requests are under way.
    Busy,
    /// Between requests.
    Idle,
    /// Closed for writing; what still comes is read and thrown away.
    Lingering,
}

/// What the lane tells a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// Go on.
    Serve,
    /// Finish what is under way, take nothing new.
    Finish,
    /// End now.
    Close,
}

/// One response on its way over HTTP/2, whose flow control the socket does not show.
#[derive(Debug)]
pub struct Sending {
    /// When data was last asked for.
    asked: Cell<Moment>,
    /// Whether it is our own store that is waited for.
    ours: Cell<bool>,
}

impl Sending {
    /// Data was asked for; `ours` tells that there was none yet.
    pub fn asked(&self, now: Moment, ours: bool) {
        self.asked.set(now);
        self.ours.set(ours);
    }
}

/// The state of one connection, shared by its task, its requests and the sweep.
#[derive(Debug)]
pub struct Pulse {
    stage: Cell<Stage>,
    since: Cell<Moment>,
    command: Cell<Command>,
    waker: RefCell<Option<Waker>>,
    requests: Cell<u32>,
    http2: Cell<bool>,
    write_blocked: Cell<bool>,
    unread: Cell<bool>,
    peer: Cell<Option<IpAddr>>,
    secured: OnceCell<Secured>,
    delivery: Cell<Delivery>,
    /// When its heads came.
    pub heads: Heads,
    sending: RefCell<Vec<Weak<Sending>>>,
}

impl Pulse {
    /// A connection accepted at that moment.
    pub fn new(now: Moment) -> Pulse {
        Pulse {
            stage: Cell::new(Stage::Head),
            since: Cell::new(now),
            command: Cell::new(Command::Serve),
            waker: RefCell::new(None),
            requests: Cell::new(0),
            http2: Cell::new(false),
            write_blocked: Cell::new(false),
            unread: Cell::new(false),
            peer: Cell::new(None),
            secured: OnceCell::new(),
            delivery: Cell::new(Delivery::Socket),
            heads: Heads::default(),
            sending: RefCell::new(Vec::new()),
        }
    }

    /// The connection comes from that address.
    pub fn comes_from(&self, peer: IpAddr) {
        self.peer.set(Some(peer));
    }

    /// Where it comes from; none when it was gone before it could be asked.
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer.get()
    }

    /// A handshake begins, which has a time of its own.
    pub fn shakes_hands(&self, now: Moment) {
        self.enter(Stage::Handshake, now);
    }

    /// Whether it is not over.
    pub fn is_shaking_hands(&self) -> bool {
        self.stage.get() == Stage::Handshake
    }

    /// The handshake is over: what is known of the client, and who encrypts from now on.
    pub fn is_secured(&self, secured: Secured, mode: TlsMode, now: Moment) {
        self.delivery.set(match mode {
            TlsMode::User => Delivery::Tls,
            TlsMode::Ktls => Delivery::Ktls,
        });
        // There is one handshake to a connection.
        let _ = self.secured.set(secured);
        self.enter(Stage::Head, now);
    }

    /// Whether the connection is under TLS.
    pub fn is_tls(&self) -> bool {
        self.secured.get().is_some()
    }

    /// What is known of the client by TLS; none without it.
    pub fn secured(&self) -> Option<&Secured> {
        self.secured.get()
    }

    /// How the bytes of responses leave.
    pub fn delivery(&self) -> Delivery {
        self.delivery.get()
    }

    /// The present command.
    pub fn command(&self) -> Command {
        self.command.get()
    }

    /// Gives a command; a weaker one than before is without effect.
    pub fn tell(&self, command: Command) {
        if command > self.command.get() {
            self.command.set(command);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Whom to wake when a command comes.
    pub fn wake(&self, waker: &Waker) {
        let mut present = self.waker.borrow_mut();
        if !present.as_ref().is_some_and(|it| it.will_wake(waker)) {
            *present = Some(waker.clone());
        }
    }

    /// The connection speaks HTTP/2: from now on heads share it with data, so that only its being
    /// idle is timed here.
    pub fn speaks_http2(&self, now: Moment) {
        self.http2.set(true);
        self.heads.forget();
        self.enter(Stage::Idle, now);
    }

    /// Whether it does.
    pub fn is_http2(&self) -> bool {
        self.http2.get()
    }

    /// Bytes have come from the client. Says whether a head begins with them.
    pub fn received(&self, now: Moment) -> bool {
        let begins = self.stage.get() == Stage::Idle && !self.http2.get();
        if begins {
            self.enter(Stage::Head, now);
        }
        begins
    }

    /// Whether the socket takes no more for now.
    pub fn write_blocked(&self, blocked: bool, now: Moment) {
        if self.write_blocked.replace(blocked) && !blocked && self.stage.get() == Stage::Idle {
            // The tail of the last response has gone only now.
            self.since.set(now);
        }
    }

    /// Whether a request's head is awaited and no request is under way.
    pub fn awaits_head(&self) -> bool {
        self.stage.get() == Stage::Head
    }

    /// A request's head is complete.
    pub fn request_started(&self, now: Moment) {
        self.requests.set(self.requests.get() + 1);
        self.enter(Stage::Busy, now);
    }

    /// A request's response has ended.
    pub fn request_ended(&self, now: Moment) {
        self.requests.set(self.requests.get().saturating_sub(1));
        if self.requests.get() == 0 && self.stage.get() == Stage::Busy {
            self.enter(Stage::Idle, now);
        }
    }

    /// A part of a request's body stays unread, so closing has to linger.
    pub fn leaves_unread(&self) {
        self.unread.set(true);
    }

    /// Begins to linger, when closing at once could cost the client its response: HTTP/1.1 with
    /// bytes unread. Says whether to.
    pub fn linger(&self, now: Moment) -> bool {
        let needed = !self.http2.get() && (self.unread.get() || self.stage.get() != Stage::Idle);
        if needed {
            self.enter(Stage::Lingering, now);
        }
        needed
    }

    /// A response begins on HTTP/2.
    pub fn sends(&self, now: Moment) -> Rc<Sending> {
        let sending = Rc::new(Sending { asked: Cell::new(now), ours: Cell::new(false) });
        let mut all = self.sending.borrow_mut();
        all.retain(|one| one.strong_count() > 0);
        all.push(Rc::downgrade(&sending));
        sending
    }

    fn enter(&self, stage: Stage, now: Moment) {
        self.stage.set(stage);
        self.since.set(now);
    }

    /// What the sweep has to tell this connection at that moment, and why.
    pub fn due(&self, now: Moment, limits: &Limits) -> Option<(Command, Option<Refusal>)> {
        let waited = now.since(self.since.get());
        match self.stage.get() {
            Stage::Handshake if waited > limits.handshakes.time => {
                Some((Command::Close, Some(Refusal::HandshakeTime)))
            }
            Stage::Head if waited > limits.header_time => {
                Some((Command::Close, Some(Refusal::HeaderTime)))
            }
            Stage::Idle if !self.write_blocked.get() => self.idle_due(waited, limits),
            Stage::Lingering if waited > limits::LINGER_TIME => Some((Command::Close, None)),
            Stage::Busy if self.http2.get() && self.stalled(now, limits.send_stall) => {
                Some((Command::Close, Some(Refusal::SendStall)))
            }
            _ => None,
        }
    }

    /// An idle connection is first asked to finish, which tells an HTTP/2 client; one that is
    /// still there after the time to linger is closed.
    fn idle_due(&self, waited: Duration, limits: &Limits) -> Option<(Command, Option<Refusal>)> {
        if waited <= limits.idle_time {
            None
        } else if self.command.get() == Command::Serve {
            Some((Command::Finish, Some(Refusal::IdleTime)))
        } else if waited > limits.idle_time + limits::LINGER_TIME {
            Some((Command::Close, None))
        } else {
            None
        }
    }

    fn stalled(&self, now: Moment, longest: Duration) -> bool {
        self.sending
            .borrow()
            .iter()
            .filter_map(Weak::upgrade)
            .any(|one| !one.ours.get() && now.since(one.asked.get()) > longest)
    }
}

/// All connections of a lane.
#[derive(Debug, Default)]
pub struct Registry {
    open: RefCell<BTreeMap<u64, Rc<Pulse>>>,
    next: Cell<u64>,
}

impl Registry {
    /// Enters a connection; the number takes it out again.
    pub fn enter(&self, pulse: Rc<Pulse>) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        self.open.borrow_mut().insert(number, pulse);
        number
    }

    /// Takes a connection out.
    pub fn leave(&self, number: u64) {
        self.open.borrow_mut().remove(&number);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// Gives all the same command.
    pub fn tell_all(&self, command: Command) {
        self.each(|pulse| pulse.tell(command));
    }

    /// Looks at each connection.
    pub fn each(&self, mut look: impl FnMut(&Pulse)) {
        self.open.borrow().values().for_each(|pulse| look(pulse));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HandshakePlan;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Moment {
        Moment::after(SECOND * u32::try_from(seconds).unwrap())
    }

    fn limits() -> Limits {
        Limits {
            connections: 10,
            header_time: 10 * SECOND,
            idle_time: 60 * SECOND,
            body_window: 30 * SECOND,
            body_bytes: 1,
            send_stall: 100 * SECOND,
            handshakes: HandshakePlan { time: 5 * SECOND, at_once: 2 },
        }
    }

    #[test]
    fn a_silent_connection_and_a_slow_head_are_closed() {
        let pulse = Pulse::new(at(0));
        assert_eq!(pulse.due(at(10), &limits()), None);
        let due = Some((Command::Close, Some(Refusal::HeaderTime)));
        assert_eq!(pulse.due(at(11), &limits()), due);
        // One more byte does not buy more time.
        pulse.received(at(9));
        assert_eq!(pulse.due(at(11), &limits()), due);
    }

    #[test]
    fn a_handshake_has_its_own_time_and_the_first_head_another() {
        let pulse = Pulse::new(at(0));
        pulse.shakes_hands(at(0));
        assert_eq!(pulse.due(at(5), &limits()), None);
        let due = Some((Command::Close, Some(Refusal::HandshakeTime)));
        assert_eq!(pulse.due(at(6), &limits()), due);
        assert!(!pulse.is_tls());
        pulse.is_secured(Secured::default(), TlsMode::User, at(5));
        assert!(pulse.is_tls());
        assert_eq!(pulse.due(at(15), &limits()), None);
        assert!(pulse.due(at(16), &limits()).is_some());
    }

    #[test]
    fn a_busy_connection_is_not_timed_here() {
        let pulse = Pulse::new(at(0));
        pulse.request_started(at(1));
        assert_eq!(pulse.due(at(100_000), &limits()), None);
    }

    #[test]
    fn an_idle_connection_is_told_to_finish_and_then_closed() {
        let pulse = Pulse::new(at(0));
        pulse.request_started(at(1));
        pulse.request_ended(at(5));
        assert_eq!(pulse.due(at(65), &limits()), None);
        assert_eq!(pulse.due(at(66), &limits()), Some((Command::Finish, Some(Refusal::IdleTime))));
        pulse.tell(Command::Finish);
        assert_eq!(pulse.due(at(67), &limits()), None);
        assert_eq!(pulse.due(at(68), &limits()), Some((Command::Close, None)));
    }

    #[test]
    fn the_head_of_a_second_request_has_its_own_time() {
        let pulse = Pulse::new(at(0));
        pulse.request_started(at(1));
        pulse.request_ended(at(5));
        pulse.received(at(50));
        assert_eq!(pulse.due(at(60), &limits()), None);
        assert_eq!(pulse.due(at(61), &limits()), Some((Command::Close, Some(Refusal::HeaderTime))));
    }

    #[test]
    fn a_response_whose_tail_is_still_on_its_way_is_not_idle() {
        let pulse = Pulse::new(at(0));
        pulse.request_started(at(1));
        pulse.write_blocked(true, at(2));
        pulse.request_ended(at(5));
        assert_eq!(pulse.due(at(1000), &limits()), None);
        pulse.write_blocked(false, at(1000));
        assert_eq!(pulse.due(at(1060), &limits()), None);
        assert!(pulse.due(at(1061), &limits()).is_some());
    }

    #[test]
    fn http2_is_timed_by_being_idle_and_by_stalled_responses() {
        let pulse = Pulse::new(at(0));
        pulse.speaks_http2(at(0));
        pulse.received(at(30));
        assert_eq!(pulse.due(at(60), &limits()), None);
        assert!(pulse.due(at(61), &limits()).is_some());
        pulse.request_started(at(61));
        let sending = pulse.sends(at(70));
        assert_eq!(pulse.due(at(170), &limits()), None);
        assert_eq!(pulse.due(at(171), &limits()), Some((Command::Close, Some(Refusal::SendStall))));
        sending.asked(at(171), true);
        assert_eq!(pulse.due(at(900), &limits()), None, "it is our store that is slow");
        sending.asked(at(900), false);
        drop(sending);
        assert_eq!(pulse.due(at(9000), &limits()), None, "no response is being sent");
    }

    #[test]
    fn only_closing_with_bytes_unread_lingers() {
        let pulse = Pulse::new(at(0));
        pulse.request_started(at(1));
        pulse.request_ended(at(2));
        assert!(!pulse.linger(at(3)));
        pulse.leaves_unread();
        assert!(pulse.linger(at(3)));
        assert_eq!(pulse.due(at(5), &limits()), None);
        assert_eq!(pulse.due(at(6), &limits()), Some((Command::Close, None)));
    }

    #[test]
    fn commands_only_grow_stronger() {
        let pulse = Pulse::new(at(0));
        pulse.tell(Command::Close);
        pulse.tell(Command::Finish);
        assert_eq!(pulse.command(), Command::Close);
    }
}
