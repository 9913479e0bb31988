//! Memory that the CPU cannot reach, as a GPU's: a registered region for the peer, copies for everything else.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::server::{Answer, Tokens};
use super::*;
use crate::fabric::{FabricError, RemoteWindow, Window};

/// A device with one piece of memory.
#[derive(Default)]
struct Card {
    place: RefCell<Place>,
    registrations: Cell<u32>,
    /// Copies by its driver, both ways.
    copies: Cell<u32>,
    /// It no longer lets go of what is registered.
    hangs: Cell<bool>,
    freed: Cell<bool>,
}

#[derive(Default)]
enum Place {
    Closed(Buffer),
    Open(Window, RemoteAccess),
    #[default]
    Elsewhere,
}

impl Card {
    fn new(memory: Buffer) -> Rc<Card> {
        Rc::new(Card { place: RefCell::new(Place::Closed(memory)), ..Card::default() })
    }

    /// What a driver does to memory that is registered, and between operations only.
    fn with<T>(&self, act: impl FnOnce(&mut Buffer) -> T) -> T {
        match self.place.take() {
            Place::Closed(mut memory) => {
                let outcome = act(&mut memory);
                self.place.replace(Place::Closed(memory));
                outcome
            }
            Place::Open(window, access) => {
                let mut memory = window.reclaim();
                let outcome = act(&mut memory);
                let window = memory.expose(access).expect("registered as before");
                self.place.replace(Place::Open(window, access));
                outcome
            }
            Place::Elsewhere => panic!("the memory is in use"),
        }
    }

    fn contents(&self) -> Vec<u8> {
        self.with(|memory| memory.as_slice().to_vec())
    }

    fn close(&self) {
        match self.place.take() {
            Place::Open(window, _) => {
                self.place.replace(Place::Closed(window.revoke().expect("lets go")));
            }
            other => drop(self.place.replace(other)),
        }
    }
}

/// The memory of a card, to which it belongs as long as this exists.
struct Piece(Rc<Card>);

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.freed.set(true);
    }
}

struct Registered {
    card: Rc<Card>,
    remote: RemoteWindow,
}

impl Device for Piece {
    type Registration = Registered;

    fn size(&self) -> u64 {
        self.0.with(|memory| memory.size() as u64)
    }

    fn register(&self, access: RemoteAccess) -> Result<Registered, FabricError> {
        let card = &self.0;
        let Place::Closed(memory) = card.place.take() else { panic!("registered twice") };
        let window = memory.expose(access)?;
        let remote = window.remote();
        card.place.replace(Place::Open(window, access));
        card.registrations.set(card.registrations.get() + 1);
        Ok(Registered { card: Rc::clone(card), remote })
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), String> {
        self.0.copies.set(self.0.copies.get() + 1);
        let from = offset as usize;
        self.0.with(|memory| into.copy_from_slice(&memory.as_slice()[from..from + into.len()]));
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), String> {
        self.0.copies.set(self.0.copies.get() + 1);
        self.0.with(|memory| Memory::store(memory, offset, from))
    }
}

impl DeviceRegistration for Registered {
    fn remote(&self) -> RemoteWindow {
        self.remote
    }

    fn revoke(self) -> Result<(), FabricError> {
        match self.card.hangs.get() {
            true => Err(FabricError::new("ibv_dereg_mr", "the card hangs")),
            false => Ok(()),
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if !self.card.hangs.get() {
            self.card.close();
        }
    }
}

fn memory_of(bench: &Bench, card: &Rc<Card>) -> DeviceMemory<Piece> {
    DeviceMemory::new(Piece(Rc::clone(card)), Arc::clone(&bench.fabric))
}

#[test]
fn a_pool_moves_it_without_a_copy() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let pool = client.connect(server).await.expect("connected");
        server.put("/b/k", &contents(5000));
        let card = Card::new(bench.memory(5000));
        let get = Get::object("b", "k");
        let done = pool.get(server, &get, memory_of(bench, &card)).await.expect("delivered");
        assert_eq!(card.contents(), contents(5000));
        assert_eq!((done.outcome.path, card.copies.get()), (Path::Rdma, 0));
        assert_eq!(done.outcome.checksum, Verification::NotComputed, "nobody here can read it");
        let done = pool.get(server, &get, done.memory).await.expect("delivered");
        let session = client.get(server, &get, done.memory).await.expect("delivered");
        assert_eq!(session.outcome.checksum, Verification::NotComputed);
        assert_eq!(card.registrations.get(), 1, "it stays registered");
        // Whoever knows the checksum spares the driver the copy that it is made of.
        let put = Put::object("b", "k2", 5000);
        let known = Put { checksum: Some(crate::wire::Crc64Nvme::of(&contents(5000)).0), ..put };
        let done = pool.put(server, &known, session.memory).await.expect("stored");
        assert_eq!(server.stored("/b/k2"), Some(contents(5000)));
        assert_eq!((done.outcome.path, card.copies.get()), (Path::Rdma, 0));
        assert_eq!(card.registrations.get(), 2, "with another right");
        drop(done);
        assert!(card.freed.get() && matches!(*card.place.borrow(), Place::Closed(_)));
    });
}

#[test]
fn a_session_writes_a_copy_of_it() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let card = Card::new(bench.filled(&contents(70_000)));
        let put = Put::object("b", "k", 60_000);
        let done = client.put(server, &put, memory_of(bench, &card)).await.expect("stored");
        assert_eq!(server.stored("/b/k").as_deref(), Some(&contents(70_000)[..60_000]));
        assert_eq!((done.outcome.path, card.copies.get()), (Path::Rdma, 1));
    });
}

#[test]
fn a_declined_body_goes_through_its_driver() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let pool = client.connect(server).await.expect("connected");
        server.tokens.set(Tokens::DeclinedByReply);
        server.put("/b/k", &contents(5000));
        let card = Card::new(bench.memory(5000));
        let get = Get::object("b", "k");
        let done = pool.get(server, &get, memory_of(bench, &card)).await.expect("by HTTP");
        assert_eq!(card.contents(), contents(5000));
        assert_eq!((done.outcome.path, card.copies.get()), (Path::Http(Decline::Reply), 5));
        let done = pool.put(server, &Put::object("b", "k2", 5000), done.memory).await;
        assert_eq!(done.expect("by HTTP").outcome.path, Path::Http(Decline::Reply));
        assert_eq!(server.stored("/b/k2"), Some(contents(5000)));
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    run(async |bench| {
        let card = Card::new(bench.memory(100));
        let mut memory = memory_of(bench, &card);
        assert!(memory.load(101).unwrap_err().contains("100 bytes, not 101"));
        assert!(memory.store(1, &[0; 100]).is_err() && memory.store(u64::MAX, &[0]).is_err());
        assert_eq!(memory.store(1, &[7; 99]), Ok(()));
        assert_eq!(memory.load(3).expect("a copy")[..], [0xee, 7, 7]);
    });
}

#[test]
fn its_key_dies_with_an_error_and_what_cannot_be_closed_is_not_freed() {
    run(async |bench| {
        let Bench { server, client, .. } = bench;
        let pool = client.connect(server).await.expect("connected");
        server.put("/b/k", &contents(100));
        let card = Card::new(bench.memory(100));
        let get = Get::object("b", "k");
        server.after(|_, _| Answer::error(403, "AccessDenied").into());
        let failed = pool.get(server, &get, memory_of(bench, &card)).await.expect_err("refused");
        assert!(matches!(*card.place.borrow(), Place::Closed(_)), "no key is left");
        let memory = failed.memory.expect("it comes back");
        card.hangs.set(true);
        let failed = pool.get(server, &get, memory).await.expect_err("refused");
        assert!(matches!(failed.error, ClientError::Fabric(_)) && failed.memory.is_none());
        assert!(!card.freed.get(), "a peer may still write there");
    });
}
