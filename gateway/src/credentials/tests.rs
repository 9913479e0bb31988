//! The file's mode, its replacement, and that no secret shows.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use super::document::KeyEntry;
use super::file::{self, CredentialsError, Stamp};
use super::*;
use crate::iam::Iam;

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    (folder, path)
}

fn ids(path: &std::path::Path) -> Vec<String> {
    let keys = file::read(path).unwrap().unwrap();
    keys.keys.iter().map(|stored| stored.id.clone()).collect()
}

#[test]
fn a_generated_key_looks_like_one_and_is_not_repeated() {
    let (one, two) = (AccessKey::generate().unwrap(), AccessKey::generate().unwrap());
    assert!(one.id.starts_with("AKIA") && one.id.len() == 20, "{}", one.id);
    assert_eq!(one.secret.reveal().len(), 40);
    assert!(one.id != two.id && one.secret != two.secret);
    AccessKey::check_id(&one.id).unwrap();
    Secret::from_text(&one.secret.reveal()).unwrap();
}

#[test]
fn the_first_opening_makes_a_private_file_and_the_second_reads_it() {
    let (_folder, path) = place();
    let first = file::open(&path, true).unwrap();
    let made = first.generated.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let second = file::open(&path, true).unwrap();
    let keys: Vec<AccessKey> = second.document.keys.iter().map(|stored| stored.key()).collect();
    assert_eq!((keys, second.generated), (vec![made], None));
}

#[test]
fn nothing_is_generated_unasked() {
    let (_folder, path) = place();
    assert!(file::open(&path, false).unwrap().document.keys.is_empty());
    assert!(!path.exists());
}

#[test]
fn keys_are_added_once() {
    let (_folder, path) = place();
    let (one, two) = (AccessKey::generate().unwrap(), AccessKey::generate().unwrap());
    file::add(&path, &one).unwrap();
    file::add(&path, &two).unwrap();
    assert!(matches!(file::add(&path, &one), Err(CredentialsError::Exists(_))));
    assert_eq!(ids(&path), [one.id.to_string(), two.id.to_string()]);
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_remedy() {
    let (_folder, path) = place();
    file::open(&path, true).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = file::read(&path).unwrap_err().to_string();
    assert!(error.contains("0640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn a_malformed_file_is_refused_without_quoting_it() {
    let (_folder, path) = place();
    for text in [
        "[[key]]\nid = \"AKIAX\"\nsecret = \"hush-hush-hush\"\ncolour = 3",
        "[[key]]\nid = \"AKIAX\"\nsecret = hush-hush-hush",
        "[[key]]\nid = \"A,B/C\"\nsecret = \"hush-hush-hush\"",
        "[[key]]\nid = \"AKIAX\"\nsecret = \"hush\"",
        "[[key]]\nid = \"AKIAX\"",
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = file::read(&path).unwrap_err();
        assert!(matches!(error, CredentialsError::Malformed { .. }), "{error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn a_leftover_of_a_killed_writer_is_in_nobodys_way() {
    let (folder, path) = place();
    fs::write(folder.path().join("credentials.new"), "half a fi").unwrap();
    file::open(&path, true).unwrap();
    assert_eq!(ids(&path).len(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    let (_folder, path) = place();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| file::add(&path, &AccessKey::generate().unwrap()).unwrap());
        }
    });
    assert_eq!(ids(&path).len(), 8);
}

#[test]
fn a_change_of_the_file_changes_its_stamp() {
    let (_folder, path) = place();
    assert_eq!(Stamp::of(&path), None);
    file::open(&path, true).unwrap();
    let before = Stamp::of(&path);
    assert_eq!(Stamp::of(&path), before);
    file::add(&path, &AccessKey::generate().unwrap()).unwrap();
    assert_ne!(Stamp::of(&path), before);
}

#[test]
fn the_ring_is_exchanged_as_a_whole() {
    let (one, two) = (AccessKey::generate().unwrap(), AccessKey::generate().unwrap());
    let ring = Iam::new([one.clone()]);
    let secret = |id: &str| ring.known(id).map(|known| known.secret);
    assert_eq!(secret(&one.id), Some(one.secret));
    ring.replace([two.clone()]);
    assert_eq!((secret(&one.id), ring.ids()), (None, vec![two.id]));
}

#[test]
fn no_secret_shows_in_debug_output() {
    let key = AccessKey { id: "AKIAX".into(), secret: Secret::from_text("hush-hush").unwrap() };
    let ring = Iam::new([key.clone()]);
    let stored = KeyEntry::new(&key, "penstock", None, 0);
    let shown = format!("{key:?} {ring:?} {stored:?} {:?}", key.secret);
    assert!(!shown.contains("hush"), "{shown}");
}
