// SPDX-License-Identifier: Apache-2.0
//! A file of Istio YAML that is read again whenever it changes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::{
    ads::State,
    istio::{ParseError, generate, parse},
};

/// Why a file cannot be served.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be read.
    Io(PathBuf, io::Error),
    /// Its content is wrong.
    Content(ParseError),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LoadError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            LoadError::Content(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

/// Reads a file into a state.
///
/// # Errors
/// When it cannot be read or its content is wrong.
pub fn load(path: &Path, number: u64) -> Result<State, LoadError> {
    let text = fs::read_to_string(path).map_err(|error| LoadError::Io(path.to_owned(), error))?;
    let mesh = parse(path, &text).map_err(LoadError::Content)?;
    Ok(generate(&mesh, number))
}

/// Tells whenever something happened to a file. Its folder is watched, so that editors that replace files are seen too.
#[derive(Debug)]
pub struct FileWatch {
    _watcher: notify::RecommendedWatcher,
    touched: mpsc::UnboundedReceiver<()>,
}

impl FileWatch {
    /// Starts watching.
    ///
    /// # Errors
    /// When the folder cannot be watched.
    pub fn new(path: &Path) -> notify::Result<Self> {
        let (touch, touched) = mpsc::unbounded_channel();
        let name = path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading the file is an event too; answering it with another read would never end.
            let concerns = event.is_ok_and(|e| !e.kind.is_access() && e.paths.iter().any(|p| p.file_name() == name.as_deref()));
            if concerns {
                let _ = touch.send(());
            }
        })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Self { _watcher: watcher, touched })
    }

    /// Waits until the file was touched; several touches at once are one.
    pub async fn changed(&mut self) {
        if self.touched.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        while self.touched.try_recv().is_ok() {}
    }
}
