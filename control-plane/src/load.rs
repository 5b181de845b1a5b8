// SPDX-License-Identifier: Apache-2.0
//! Files and folders to a [`Mesh`].

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    istio::{Mesh, Options, ParseError, Source, read},
    watch::Place,
};

/// Why files cannot be served.
#[derive(Debug)]
pub enum LoadError {
    /// One cannot be read.
    Io(PathBuf, io::Error),
    /// The content of one is wrong.
    Content(ParseError),
    /// A folder has no file that is read.
    NoFile(PathBuf),
    /// One has turned empty, which is most likely not meant.
    Empty(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            LoadError::Content(error) => error.fmt(f),
            LoadError::NoFile(path) => write!(f, "{}: no file with the extension yaml, yml or json", path.display()),
            LoadError::Empty(name) => write!(f, "{name} is empty (a comment in it would say that this is meant)"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Where the objects of a mesh are written.
#[derive(Clone, Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    options: Options,
}

/// The name of standard input.
const STDIN: &str = "-";

impl Files {
    /// Files, folders, and `-` for standard input.
    pub fn new(paths: Vec<PathBuf>, options: Options) -> Self {
        Self { paths, options }
    }

    /// What to watch; standard input does not change.
    pub fn places(&self) -> Vec<Place> {
        let place = |path: &PathBuf| if path.is_dir() { Place::Folder(path.clone()) } else { Place::File(path.clone()) };
        self.paths.iter().filter(|path| !is_stdin(path)).map(place).collect()
    }

    /// Reads them all.
    ///
    /// # Errors
    /// When one cannot be read or its content is wrong.
    pub fn load(&self) -> Result<Mesh, LoadError> {
        read(&self.sources()?, &self.options).map_err(LoadError::Content)
    }

    /// Reads them all once more. Who saves a file may empty it first, and be away before it is full again.
    ///
    /// # Errors
    /// When one cannot be read, is empty, or its content is wrong.
    pub fn load_again(&self) -> Result<Mesh, LoadError> {
        let sources = self.sources()?;
        if let Some(empty) = sources.iter().find(|source| source.text.trim().is_empty()) {
            return Err(LoadError::Empty(empty.name.clone()));
        }
        read(&sources, &self.options).map_err(LoadError::Content)
    }

    fn sources(&self) -> Result<Vec<Source>, LoadError> {
        let mut sources = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                for file in files_of(path)? {
                    sources.push(source(&file)?);
                }
            } else {
                sources.push(source(path)?);
            }
        }
        Ok(sources)
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.paths.iter().map(|path| name(path)).collect();
        f.write_str(&names.join(", "))
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".into() } else { path.display().to_string() }
}

fn source(path: &Path) -> Result<Source, LoadError> {
    let text = if is_stdin(path) {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    Ok(Source { name: name(path), text: text.map_err(|error| LoadError::Io(path.to_owned(), error))? })
}

/// In the order of their names.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |error| LoadError::Io(folder.to_owned(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_read = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
        // What an editor hides, and what begins with `..` in a mounted ConfigMap, is no file of the mesh.
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_read && !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(LoadError::NoFile(folder.to_owned())) } else { Ok(files) }
}
