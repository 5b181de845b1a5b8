// SPDX-License-Identifier: Apache-2.0
//! Which names of which folders are watched, and how their files are now.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{load::is_read, watch::Place};

/// Places by the true names of their folders, under which changes are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Where no name is given, every file that is read.
    names: BTreeSet<(PathBuf, Option<OsString>)>,
    folders: BTreeMap<PathBuf, Folder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    is_needed: bool,
    inode: u64,
    created: Option<SystemTime>,
}

/// Length, time and inode of files.
pub(crate) type Stamps = BTreeMap<PathBuf, (u64, Option<SystemTime>, u64)>;

impl Wanted {
    /// Places whose folders are not there are left out.
    pub(crate) fn of(places: &[Place]) -> Self {
        let mut wanted = Self { names: BTreeSet::new(), folders: BTreeMap::new() };
        for place in places {
            let (folder, name, is_needed) = match place {
                Place::Folder(folder) => (folder.as_path(), None, true),
                Place::File(path) | Place::Above(path) => {
                    let Some(name) = path.file_name() else { continue };
                    (folder_of(path), Some(name.to_owned()), matches!(place, Place::File(_)))
                }
            };
            let Ok(folder) = folder.canonicalize() else { continue };
            let Ok(metadata) = folder.metadata() else { continue };
            wanted.names.insert((folder.clone(), name));
            let new = Folder { is_needed: false, inode: metadata.ino(), created: metadata.created().ok() };
            wanted.folders.entry(folder).or_insert(new).is_needed |= is_needed;
        }
        wanted
    }

    /// The folders to watch, and whether that must be possible.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.folders.iter().map(|(path, folder)| (path.as_path(), folder.is_needed))
    }

    pub(crate) fn concerns(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let mut own = self.names.iter().filter(|(own, _)| own == folder);
        // A mounted ConfigMap changes by this link alone.
        own.any(|(_, wanted)| name == "..data" || wanted.as_ref().map_or_else(|| is_read(path), |wanted| wanted == name))
    }

    pub(crate) fn stamps(&self) -> Stamps {
        let files = self.names.iter().flat_map(|(folder, name)| match name {
            Some(name) => vec![folder.join(name)],
            None => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.map(|entry| entry.path()).filter(|path| is_read(path)).collect()
            }
        });
        let stamp = |path: PathBuf| {
            let metadata = path.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((path, (metadata.len(), metadata.modified().ok(), metadata.ino())))
        };
        files.filter_map(stamp).collect()
    }
}

/// The one that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
