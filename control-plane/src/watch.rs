// SPDX-License-Identifier: Apache-2.0
//! Tells when files have been written anew, and are complete.
//!
//! A program that saves a file may empty it first, write it piece by piece, or put another in its place. What is being written is
//! waited for: until its writer has closed it, where the system says so, and until nothing more happens for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    Event, EventKind, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tokio::{sync::mpsc, time::timeout};

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// One file.
    File(PathBuf),
    /// Every file of a folder.
    Folder(PathBuf),
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
}

impl Touch {
    /// How long nothing more must happen.
    fn quiet(self) -> Duration {
        match self {
            Touch::Replaced => Duration::from_millis(5),
            Touch::Closed => Duration::from_millis(100),
            // Not every system says when a writer is done.
            Touch::Written if cfg!(target_os = "linux") => Duration::from_secs(5),
            Touch::Written | Touch::Gone => Duration::from_millis(500),
        }
    }

    fn of(event: &Event) -> Option<Self> {
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Touch::Closed),
            // Reading a file is an event too; answering it with another read would never end.
            EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) => None,
            EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(Touch::Gone),
            EventKind::Modify(ModifyKind::Name(_)) => Some(Touch::Replaced),
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Touch::Written),
        }
    }
}

/// Waits for files to change.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: notify::RecommendedWatcher,
    touches: mpsc::UnboundedReceiver<(PathBuf, Touch)>,
}

impl FileWatch {
    /// Starts watching. The folders of files are watched, so that editors that replace files are seen too.
    ///
    /// # Errors
    /// When a folder cannot be watched.
    pub fn new(places: &[Place]) -> notify::Result<Self> {
        let (touch, touches) = mpsc::unbounded_channel();
        let wanted: BTreeSet<Place> = places.iter().cloned().collect();
        let folders: BTreeSet<PathBuf> = places.iter().map(Place::folder).collect();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            let Some(what) = Touch::of(&event) else { return };
            // Of a rename that is told in one, the last path is where the file now is.
            if let Some(path) = event.paths.last().filter(|path| wanted.iter().any(|place| place.concerns(path))) {
                let _ = touch.send((path.clone(), what));
            }
        })?;
        folders.iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::NonRecursive))?;
        Ok(Self { _watcher: watcher, touches })
    }

    /// Whether nothing has happened since.
    pub fn is_quiet(&self) -> bool {
        self.touches.is_empty()
    }

    /// Waits until a file was written and its writer is done.
    pub async fn changed(&mut self) {
        let mut last = BTreeMap::new();
        loop {
            let quiet = last.values().copied().map(Touch::quiet).max();
            let next = match quiet {
                Some(quiet) => timeout(quiet, self.touches.recv()).await,
                None => Ok(self.touches.recv().await),
            };
            match next {
                Ok(Some((path, touch))) => {
                    last.insert(path, touch);
                }
                // The watcher lives as long as this does.
                Ok(None) => std::future::pending().await,
                Err(_) => return,
            }
        }
    }
}

impl Place {
    fn folder(&self) -> PathBuf {
        match self {
            Place::File(file) => file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned(),
            Place::Folder(folder) => folder.clone(),
        }
    }

    fn concerns(&self, path: &Path) -> bool {
        let is_here = path.parent().is_some_and(|parent| parent == self.folder());
        // A mounted ConfigMap changes by this link alone.
        let is_mounted = path.file_name().is_some_and(|name| name == "..data");
        match self {
            Place::File(file) => is_here && (path.file_name() == file.file_name() || is_mounted),
            Place::Folder(_) => is_here,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::Instant};

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
}
