// SPDX-License-Identifier: Apache-2.0
//! What is kept over runs, and for how long.

use super::*;

fn update(name: &str, body: &'static [u8]) -> Effect<()> {
    Effect::Update { kind: Kind::Endpoints, name: name.into(), value: (), body: Bytes::from_static(body) }
}

fn removed(kind: Kind, name: &str, gone: Gone) -> Effect<()> {
    Effect::Remove { kind, name: name.into(), gone }
}

fn cluster(name: &str) -> Effect<()> {
    Effect::Update { kind: Kind::Cluster, name: name.into(), value: (), body: Bytes::new() }
}

/// One run, which sees these things one after another and then ends in order.
fn run(folder: &Path, all_clusters: bool, seen: &[Effect<()>]) {
    let mut cache = Cache::new(folder, "me", all_clusters);
    for effect in seen {
        cache.note(effect, Duration::ZERO);
    }
    if let Some(mut file) = cache.take(COLLECT) {
        file.write().expect("writable");
    }
}

fn kept(folder: &Path) -> Vec<String> {
    let (path, identity) = Cache::new(folder, "me", true).place();
    let found = read(&path, &identity).expect("valid").map(|found| found.saved).unwrap_or_default();
    let mut names: Vec<String> = found.iter().map(|saved| format!("{} {}", saved.kind.short(), saved.name)).collect();
    names.sort();
    names
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("proxyless-cache-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn what_was_written_is_read_back_and_only_by_its_owner() {
    let folder = folder("round-trip");
    let mut cache = Cache::new(&folder, "me", true);
    let (path, identity) = cache.place();
    assert!(read(&path, &identity).expect("no file is no error").is_none());
    cache.note(&update("a", b"\x0a\x01a"), Duration::ZERO);
    cache.note(&update("b", b"\x0a\x01b"), Duration::ZERO);
    cache.note(&removed(Kind::Endpoints, "b", Gone::Removed), Duration::ZERO);
    cache.take(Duration::ZERO).expect("changed").write().expect("writable");
    let found = read(&path, &identity).expect("valid").expect("there");
    assert_eq!(found.saved, [Saved { kind: Kind::Endpoints, name: "a".into(), body: Bytes::from_static(b"\x0a\x01a") }]);
    assert!(found.age < Duration::from_secs(60), "{:?}", found.age);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions()) & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder).expect("there").count(), 1, "nothing else is left there");
    fs::remove_dir_all(folder).expect("ours");
}

#[cfg(unix)]
#[test]
fn an_old_file_that_others_may_read_does_not_lend_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("mode");
    fs::create_dir_all(&folder).expect("writable");
    let path = folder.join("key.pem");
    fs::write(&path, "old").expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    write_private(&path, b"new").expect("writable");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&path).expect("there"), b"new");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn an_orderly_shutdown_keeps_the_saved_lists() {
    let folder = folder("shutdown");
    run(&folder, true, &[cluster("c"), update("a", b""), Effect::Forget { kind: Kind::Endpoints, name: "a".into() }]);
    assert_eq!(kept(&folder), ["CDS c", "EDS a"]);
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn a_run_keeps_what_it_has_not_asked_for_and_drops_what_a_server_says_is_gone() {
    let folder = folder("runs");
    run(&folder, true, &[cluster("c"), cluster("d"), update("a", b""), update("b", b""), update("x", b"")]);
    run(&folder, true, &[update("a", b""), removed(Kind::Endpoints, "x", Gone::Removed)]);
    assert_eq!(kept(&folder), ["CDS c", "CDS d", "EDS a", "EDS b"]);
    // A control plane that lists clusters and says nothing else: an absent cluster is gone, silence about endpoints is not.
    run(&folder, true, &[cluster("c"), Effect::Answered(Kind::Cluster), removed(Kind::Endpoints, "b", Gone::Unanswered)]);
    assert_eq!(kept(&folder), ["CDS c", "EDS a", "EDS b"]);
    run(&folder, false, &[cluster("e"), Effect::Answered(Kind::Cluster)]);
    assert_eq!(kept(&folder), ["CDS c", "CDS e", "EDS a", "EDS b"], "by name, an answer is not all there is");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_no_run_has_seen_for_a_week_is_dropped() {
    let folder = folder("old");
    let mut cache = Cache::new(&folder, "me", true);
    cache.note(&update("a", b""), Duration::ZERO);
    cache.note(&update("b", b""), Duration::ZERO);
    let mut file = cache.take(COLLECT).expect("changed");
    file.contents.entries[0].seen_at -= LIFE.as_secs() + 1;
    file.contents.entries[1].seen_at -= LIFE.as_secs() - 60;
    file.write().expect("writable");
    for _ in 0..2 {
        run(&folder, true, &[update("c", b"")]);
        assert_eq!(kept(&folder), ["EDS b", "EDS c"]);
    }
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn the_first_write_after_an_answer_drops_the_clusters_that_are_gone_even_all_of_them() {
    let folder = folder("answer");
    run(&folder, true, &[cluster("c"), cluster("d"), update("a", b"")]);
    let mut cache = Cache::new(&folder, "me", true);
    cache.note(&cluster("c"), Duration::ZERO);
    cache.note(&Effect::<()>::Answered(Kind::Cluster), Duration::from_millis(50));
    let due = cache.due().expect("changed");
    cache.take(due).expect("changed").write().expect("writable");
    assert_eq!(kept(&folder), ["CDS c", "EDS a"]);
    let mut cache = Cache::new(&folder, "me", true);
    cache.note(&Effect::<()>::Answered(Kind::Cluster), Duration::from_secs(9));
    let due = cache.due().expect("an empty answer is one");
    cache.take(due).expect("changed").write().expect("writable");
    assert_eq!(kept(&folder), ["EDS a"]);
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_could_not_be_written_is_written_later_unless_something_newer_is_known() {
    let folder = folder("full");
    run(&folder, true, &[update("a", b""), update("b", b""), update("e", b"")]);
    let mut cache = Cache::new(&folder, "me", true);
    let forget = |name: &str| Effect::<()>::Forget { kind: Kind::Endpoints, name: name.into() };
    for effect in [
        removed(Kind::Endpoints, "a", Gone::Removed),
        removed(Kind::Endpoints, "b", Gone::Removed),
        update("c", b""),
        update("d", b""),
        forget("c"),
        forget("d"),
    ] {
        cache.note(&effect, Duration::ZERO);
    }
    let file = cache.take(COLLECT).expect("changed");
    cache.note(&update("b", b""), COLLECT);
    cache.note(&removed(Kind::Endpoints, "d", Gone::Removed), COLLECT);
    cache.put_back(file);
    assert_eq!(cache.due(), Some(COLLECT + REST), "no sooner than any other");
    cache.take(COLLECT + REST).expect("changed").write().expect("writable");
    assert_eq!(kept(&folder), ["EDS b", "EDS c", "EDS e"]);
    assert!(cache.unasked.is_empty() && cache.gone.is_empty());
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_a_clock_that_was_ahead_has_dated_lives_a_week_from_now() {
    let folder = folder("ahead");
    let mut cache = Cache::new(&folder, "me", true);
    cache.note(&update("a", b""), Duration::ZERO);
    let mut file = cache.take(COLLECT).expect("changed");
    file.contents.entries[0].seen_at += 10 * LIFE.as_secs();
    file.write().expect("writable");
    run(&folder, true, &[update("b", b"")]);
    let contents = load(&cache.path, "me").expect("valid").expect("there");
    assert!(contents.entries.iter().all(|entry| entry.seen_at <= contents.saved_at), "{contents:?}");
    assert_eq!(contents.entries.len(), 2);
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_is_restored_is_as_old_as_the_oldest_of_it() {
    let folder = folder("age");
    let mut cache = Cache::new(&folder, "me", true);
    cache.note(&update("a", b""), Duration::ZERO);
    let mut file = cache.take(COLLECT).expect("changed");
    file.contents.entries[0].seen_at -= 3600;
    file.write().expect("writable");
    run(&folder, true, &[update("b", b"")]);
    let found = read(&cache.path, "me").expect("valid").expect("there");
    assert!(found.age >= Duration::from_secs(3600), "{:?}", found.age);
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn of_writers_that_write_at_the_same_time_none_loses_what_another_has_written() {
    let folder = folder("beside");
    thread::scope(|scope| {
        for n in 0..8 {
            let folder = &folder;
            scope.spawn(move || {
                for m in 0..8 {
                    run(folder, true, &[update(&format!("{n}-{m}"), b"")]);
                }
            });
        }
    });
    assert_eq!(kept(&folder).len(), 64);
    assert_eq!(fs::read_dir(&folder).expect("there").count(), 1, "nothing else is left there");
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn what_was_forgotten_and_written_is_no_longer_held_in_memory() {
    let mut cache = Cache::new(Path::new("/nowhere"), "me", true);
    cache.note(&update("a", b""), Duration::ZERO);
    cache.note(&Effect::<()>::Forget { kind: Kind::Endpoints, name: "a".into() }, Duration::ZERO);
    assert_eq!(cache.take(COLLECT).expect("changed").contents.entries.len(), 1);
    assert!(cache.entries.is_empty() && cache.unasked.is_empty() && cache.gone.is_empty());
}

#[test]
fn what_a_killed_writer_left_behind_is_swept_and_a_living_ones_is_not() {
    let folder = folder("sweep");
    run(&folder, true, &[update("a", b"")]);
    let (path, _) = Cache::new(&folder, "me", true).place();
    let (dead, alive) = (path.with_extension("1.new"), path.with_extension("2.new"));
    for left in [&dead, &alive] {
        fs::write(left, "half").expect("writable");
    }
    let long_ago = SystemTime::now() - 2 * ABANDONED;
    File::options().write(true).open(&dead).and_then(|file| file.set_modified(long_ago)).expect("ours");
    run(&folder, true, &[update("a", b"")]);
    assert!(!dead.exists() && alive.exists());
    fs::remove_dir_all(folder).expect("ours");
}

#[test]
fn changes_are_collected_and_writes_keep_apart() {
    let mut cache = Cache::new(Path::new("/nowhere"), "me", true);
    assert_eq!(cache.due(), None);
    cache.note(&update("a", b""), Duration::from_secs(5));
    cache.note(&update("b", b""), Duration::from_millis(5500));
    assert_eq!(cache.due(), Some(Duration::from_secs(6)));
    assert!(cache.take(Duration::from_secs(6)).is_some());
    assert_eq!(cache.due(), None);
    assert!(cache.take(Duration::from_secs(7)).is_none());
    cache.note(&update("a", b""), Duration::from_secs(8));
    assert_eq!(cache.due(), Some(Duration::from_secs(16)));
}

#[test]
fn a_corrupt_or_foreign_file_is_refused_with_the_reason() {
    let folder = folder("corrupt");
    let mut cache = Cache::new(&folder, "me", true);
    let (path, _) = cache.place();
    cache.note(&update("a", b"\x0a\x01a"), Duration::ZERO);
    cache.take(Duration::ZERO).expect("changed").write().expect("writable");
    let good = fs::read(&path).expect("there");
    assert!(parse(good.clone().into(), "you").expect_err("another").contains("another identity"));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(parse(bad.into(), "me").is_err(), "a flipped bit at {at}");
        assert!(parse(good[..at].to_vec().into(), "me").is_err(), "cut at {at}");
    }
    fs::write(&path, b"something else").expect("writable");
    let error = read(&path, "me").expect_err("not ours");
    assert!(error.contains("no cache of ours") && error.contains(&*path.to_string_lossy()), "{error}");
    fs::remove_dir_all(folder).expect("ours");
}
