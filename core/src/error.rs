// SPDX-License-Identifier: Apache-2.0
//! The one error type: a stable code for programs, a message for people.

use std::{error::Error as StdError, fmt};

/// What went wrong, in terms that bridges map to their own codes. New codes are added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// A setting is missing, unknown or has a value that cannot be used.
    Config,
    /// A target does not follow the grammar.
    Target,
    /// The handle was shut down.
    Shutdown,
    /// The process forked after the client was opened; threads do not survive a fork.
    Forked,
    /// The operating system refused something (a thread, a file).
    System,
    /// Bytes that do not follow the format they claim.
    Malformed,
}

impl Code {
    /// The name used in messages and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Code::Config => "config",
            Code::Target => "target",
            Code::Shutdown => "shutdown",
            Code::Forked => "forked",
            Code::System => "system",
            Code::Malformed => "malformed",
        }
    }
}

/// An error with a stable [`Code`]. The message never contains a secret.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), source: None }
    }

    /// Adds the cause.
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}

/// Shorthand for this crate's results.
pub type Result<T> = std::result::Result<T, Error>;
