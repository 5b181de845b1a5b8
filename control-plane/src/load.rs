// SPDX-License-Identifier: Apache-2.0
//! Files and folders to a [`Mesh`].

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{
    istio::{Mesh, Options, ParseError, Source, read},
    wanted::folder_of,
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
    /// Standard input as it was read, which can be done once.
    stdin: Option<String>,
    /// What was empty all along.
    empty: BTreeSet<String>,
}

/// The name of standard input.
const STDIN: &str = "-";

impl Files {
    /// Files, folders, and `-` for standard input.
    pub fn new(paths: Vec<PathBuf>, options: Options) -> Self {
        Self { paths, options, stdin: None, empty: BTreeSet::new() }
    }

    /// What to watch; standard input does not change.
    pub fn places(&self) -> Vec<Place> {
        self.paths.iter().filter(|path| !is_stdin(path)).flat_map(|path| places_of(path)).collect()
    }

    /// Reads them all.
    ///
    /// # Errors
    /// When one cannot be read or its content is wrong.
    pub fn load(&mut self) -> Result<Mesh, LoadError> {
        let sources = self.sources()?;
        self.mesh(sources)
    }

    /// Reads them all once more. Who saves a file may empty it first, and be away before it is full again.
    ///
    /// # Errors
    /// When one cannot be read, has turned empty, or its content is wrong.
    pub fn load_again(&mut self) -> Result<Mesh, LoadError> {
        let sources = self.sources()?;
        if let Some(emptied) = sources.iter().find(|source| is_empty(source) && !self.empty.contains(&source.name)) {
            return Err(LoadError::Empty(emptied.name.clone()));
        }
        self.mesh(sources)
    }

    fn mesh(&mut self, sources: Vec<Source>) -> Result<Mesh, LoadError> {
        let mesh = read(&sources, &self.options).map_err(LoadError::Content)?;
        self.empty = sources.into_iter().filter(is_empty).map(|source| source.name).collect();
        Ok(mesh)
    }

    fn sources(&mut self) -> Result<Vec<Source>, LoadError> {
        let mut sources = Vec::new();
        for path in &self.paths {
            if is_stdin(path) {
                let text = match self.stdin.take() {
                    Some(text) => text,
                    None => io::read_to_string(io::stdin()).map_err(|error| LoadError::Io(path.clone(), error))?,
                };
                sources.push(Source { name: name(path), text: self.stdin.insert(text).clone() });
            } else if path.is_dir() {
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

fn is_empty(source: &Source) -> bool {
    source.text.trim().is_empty()
}

fn source(path: &Path) -> Result<Source, LoadError> {
    let text = fs::read_to_string(path).map_err(|error| LoadError::Io(path.to_owned(), error))?;
    Ok(Source { name: name(path), text })
}

/// Where a file or folder is, and where each link on the way leads.
fn places_of(path: &Path) -> Vec<Place> {
    let mut places = vec![Place::Above(folder_of(path).to_owned())];
    if path.is_dir() {
        places.extend([Place::Folder(path.to_owned()), Place::Above(path.to_owned())]);
        let links = files_of(path).into_iter().flatten().filter(|file| file.is_symlink());
        places.extend(links.flat_map(|link| targets(&link)).map(Place::File));
    } else {
        places.push(Place::File(path.to_owned()));
        places.extend(targets(path).into_iter().map(Place::File));
    }
    let ways = places.iter().filter_map(|place| match place {
        Place::File(path) | Place::Folder(path) => Some(path),
        Place::Above(_) => None,
    });
    let links: Vec<Place> = ways.flat_map(|path| path.ancestors()).filter(|above| above.is_symlink()).map(above).collect();
    places.extend(links);
    places
}

fn above(path: &Path) -> Place {
    Place::Above(path.to_owned())
}

/// What a link leads to, step by step.
fn targets(link: &Path) -> Vec<PathBuf> {
    let next = |path: &PathBuf| fs::read_link(path).ok().map(|target| folder_of(path).join(target));
    // The first is the link itself; Linux follows as many.
    std::iter::successors(Some(link.to_owned()), next).skip(1).take(40).collect()
}

/// Whether a file of a folder is read, by its name.
pub(crate) fn is_read(path: &Path) -> bool {
    let has_extension = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json");
    // What an editor hides, and what begins with `..` in a mounted ConfigMap, is no file of the mesh.
    let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    has_extension && !is_hidden
}

/// In the order of their names.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |error| LoadError::Io(folder.to_owned(), error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_read(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() { Err(LoadError::NoFile(folder.to_owned())) } else { Ok(files) }
}
