// SPDX-License-Identifier: Apache-2.0
//! Tells when files have been written anew, and are complete.
//!
//! A program that saves a file may empty it first, write it piece by piece, or put another in its place. What is being written is
//! waited for: until its writer has closed it, where the system says so, and until nothing more happens for a moment.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode},
};
use tokio::{sync::mpsc, time::timeout};

use crate::wanted::{Stamps, Wanted};

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// One file, or a link.
    File(PathBuf),
    /// Every file of a folder that is read.
    Folder(PathBuf),
    /// A folder or link that leads to them, as far as it can be watched.
    Above(PathBuf),
}

/// What happened to a file last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    /// Another, complete one was put in its place.
    Replaced,
    /// Its writer has closed it.
    Closed,
    /// It was opened for writing, or written to.
    Written,
    /// It is gone; most likely another is about to come.
    Gone,
    /// Something happened, and nobody says what.
    Unsaid,
}

impl Touch {
    /// How long nothing more must happen.
    fn quiet(self) -> Duration {
        match self {
            Touch::Replaced => Duration::from_millis(5),
            Touch::Closed => Duration::from_millis(100),
            // Not every system says when a writer is done.
            Touch::Written if cfg!(target_os = "linux") => Duration::from_secs(5),
            Touch::Written | Touch::Gone | Touch::Unsaid => Duration::from_millis(500),
        }
    }

    fn of(event: &Event) -> Option<Self> {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Touch::Closed),
            // Reading a file is an event too; answering it with another read would never end.
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => None,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(Touch::Gone),
            EventKind::Modify(ModifyKind::Name(_)) => Some(Touch::Replaced),
            // Nobody closes a folder.
            EventKind::Create(CreateKind::Folder) => Some(Touch::Closed),
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Touch::Written),
        }
    }
}

/// Waits for files to change.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: notify::RecommendedWatcher,
    touches: mpsc::UnboundedReceiver<(PathBuf, Touch)>,
    wanted: Wanted,
    /// How the files were when something happened last.
    stamps: Stamps,
    /// Something has happened that no touch told of.
    is_unsure: bool,
}

impl FileWatch {
    /// Starts watching. The folders of files are watched, so that editors that replace files are seen too.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn new(places: &[Place]) -> notify::Result<Self> {
        let (touch, touches) = mpsc::unbounded_channel();
        let wanted = Wanted::of(places);
        let told = wanted.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Some(what) = seen(&told, event) {
                let _ = touch.send(what);
            }
        })?;
        for (folder, is_needed) in wanted.folders() {
            let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
            if is_needed {
                watched?;
            }
        }
        let stamps = wanted.stamps();
        Ok(Self { _watcher: watcher, touches, wanted, stamps, is_unsure: false })
    }

    /// Watches these places instead, if that is something else: a link may lead elsewhere now, and a folder may be another of the
    /// same name. Whether it is; [`FileWatch::changed`] then says when all is quiet.
    pub fn renew(&mut self, places: &[Place]) -> bool {
        if Wanted::of(places) == self.wanted {
            return false;
        }
        let Ok(new) = Self::new(places) else { return false };
        *self = Self { is_unsure: true, ..new };
        true
    }

    /// Whether nothing has happened since [`FileWatch::changed`], told or not; if something has, that will be said again.
    pub fn is_quiet(&mut self) -> bool {
        // A touch is told a little later than it happens.
        self.is_unsure = self.wanted.stamps() != self.stamps;
        !self.is_unsure && self.touches.is_empty()
    }

    /// Waits until a file was written and its writer is done.
    pub async fn changed(&mut self) {
        let mut last = BTreeMap::new();
        if std::mem::take(&mut self.is_unsure) {
            last.insert(PathBuf::new(), Touch::Unsaid);
            self.stamps = self.wanted.stamps();
        }
        loop {
            let quiet = last.values().copied().map(Touch::quiet).max();
            let next = match quiet {
                Some(quiet) => timeout(quiet, self.touches.recv()).await,
                None => Ok(self.touches.recv().await),
            };
            match next {
                Ok(Some((path, touch))) => {
                    last.insert(path, touch);
                    if self.touches.is_empty() {
                        self.stamps = self.wanted.stamps();
                    }
                }
                // The watcher lives as long as this does.
                Ok(None) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}

/// What an event says of the files that are wanted.
fn seen(wanted: &Wanted, event: notify::Result<Event>) -> Option<(PathBuf, Touch)> {
    let Some(event) = event.ok().filter(|event| !event.need_rescan()) else {
        return Some((PathBuf::new(), Touch::Unsaid));
    };
    let touch = Touch::of(&event)?;
    // Of a rename that is told in one, the last path is where the file now is.
    event.paths.last().filter(|path| wanted.concerns(path)).map(|path| (path.clone(), touch))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, os::unix::fs::symlink, time::Instant};

    use notify::event::Flag;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("proxyless-watch-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_file_that_is_being_written_is_waited_for() {
        let folder = folder("written");
        let path = folder.join("mesh.yaml");
        fs::write(&path, "old").expect("written");
        let mut watch = FileWatch::new(&[Place::File(path.clone())]).expect("watched");
        let mut file = fs::File::create(&path).expect("truncated");
        file.write_all(b"ha").expect("written");
        assert!(timeout(Duration::from_millis(300), watch.changed()).await.is_err(), "its writer is not done");
        file.write_all(b"lf").expect("written");
        drop(file);
        timeout(PATIENCE, watch.changed()).await.expect("closed");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_file_that_replaces_another_is_seen_at_once() {
        let folder = folder("replaced");
        let (path, new) = (folder.join("mesh.yaml"), folder.join("mesh.yaml.new"));
        fs::write(&path, "old").expect("written");
        let mut watch = FileWatch::new(&[Place::File(path.clone())]).expect("watched");
        fs::write(&new, "new").expect("written");
        let start = Instant::now();
        fs::rename(&new, &path).expect("renamed");
        timeout(PATIENCE, watch.changed()).await.expect("seen");
        assert!(start.elapsed() < Touch::Written.quiet(), "{:?}", start.elapsed());
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_file_of_a_folder_that_is_watched_is_seen() {
        let folder = folder("folder");
        let mut watch = FileWatch::new(&[Place::Folder(folder.clone())]).expect("watched");
        fs::write(folder.join("another.yaml"), "new").expect("written");
        timeout(PATIENCE, watch.changed()).await.expect("seen");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn what_is_not_read_holds_nothing_up() {
        let folder = folder("beside");
        let mut watch = FileWatch::new(&[Place::Folder(folder.clone())]).expect("watched");
        let mut log = fs::File::create(folder.join("server.log")).expect("a log");
        let mut swap = fs::File::create(folder.join(".mesh.yaml.swp")).expect("an editor's");
        fs::write(folder.join("mesh.yaml"), "new").expect("written");
        let start = Instant::now();
        log.write_all(b"line").expect("written");
        swap.write_all(b"undo").expect("written");
        timeout(PATIENCE, watch.changed()).await.expect("seen");
        assert!(start.elapsed() < Touch::Written.quiet(), "{:?}", start.elapsed());
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_change_that_nobody_has_told_of_yet_is_no_quiet_and_is_said_again() {
        let folder = folder("untold");
        let path = folder.join("mesh.yaml");
        fs::write(&path, "old").expect("written");
        let mut watch = FileWatch::new(&[Place::File(path.clone())]).expect("watched");
        assert!(watch.is_quiet());
        // As if the thread that watches did not come to tell.
        let (_kept, touches) = mpsc::unbounded_channel();
        watch.touches = touches;
        fs::write(&path, "other").expect("written");
        assert!(!watch.is_quiet());
        timeout(PATIENCE, watch.changed()).await.expect("said again");
        assert!(watch.is_quiet());
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_folder_that_is_replaced_is_watched_again() {
        let folder = folder("again");
        let own = folder.join("mesh");
        let places = [Place::Above(own.clone()), Place::Folder(own.clone())];
        fs::create_dir(&own).expect("a folder");
        let mut watch = FileWatch::new(&places).expect("watched");
        fs::remove_dir(&own).expect("removed");
        timeout(PATIENCE, watch.changed()).await.expect("gone");
        assert!(watch.renew(&places[..1]));
        timeout(PATIENCE, watch.changed()).await.expect("looked at once more");
        fs::create_dir(&own).expect("another");
        timeout(PATIENCE, watch.changed()).await.expect("there");
        assert!(watch.renew(&places), "another folder of the same name");
        timeout(PATIENCE, watch.changed()).await.expect("looked at once more");
        assert!(!watch.renew(&places));
        fs::write(own.join("mesh.yaml"), "new").expect("written");
        timeout(PATIENCE, watch.changed()).await.expect("a file of the new one");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn a_folder_behind_a_link_is_watched_by_its_own_name() {
        let folder = folder("link");
        let (real, link) = (folder.join("real"), folder.join("link"));
        fs::create_dir(&real).expect("a folder");
        symlink(&real, &link).expect("a link");
        let places = [Place::File(real.join("one.yaml")), Place::Folder(link.clone())];
        let mut watch = FileWatch::new(&places).expect("watched");
        fs::write(real.join("two.yaml"), "new").expect("written");
        timeout(PATIENCE, watch.changed()).await.expect("seen");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn events_that_were_lost_count_as_a_change() {
        let wanted = Wanted::of(&[]);
        let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(seen(&wanted, Ok(lost)), Some((PathBuf::new(), Touch::Unsaid)));
        assert_eq!(seen(&wanted, Err(notify::Error::generic("broken"))), Some((PathBuf::new(), Touch::Unsaid)));
        assert_eq!(seen(&wanted, Ok(Event::new(EventKind::Create(CreateKind::File)).add_path("x.yaml".into()))), None);
    }
}
