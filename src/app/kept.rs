//! Secrets that are kept beside the store: the pepper, and the keys that tokens are signed with.
//!
//! From the configuration, or in a file beside the SQLite file, where the first start makes one for its owner's eyes
//! only. On PostgreSQL nothing secret is made on a replica's disk: every replica would have its own.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// One kind of secret.
pub(super) struct Kind<T> {
    /// What it is called in messages.
    pub(super) name: &'static str,
    /// How its file beside `orqen.db` ends.
    pub(super) suffix: &'static str,
    /// The setting that lists it.
    pub(super) setting: &'static str,
    /// What to do where it must be given.
    pub(super) missing: &'static str,
    /// Reads its lines.
    pub(super) parse: fn(&mut dyn Iterator<Item = &str>) -> anyhow::Result<T>,
}

/// What a start finds.
pub(super) enum Given<T> {
    Here(T),
    /// None yet: this file is to be made.
    Beside(PathBuf),
}

impl<T> Given<T> {
    /// What is there.
    pub(super) fn here(self) -> Option<T> {
        match self {
            Self::Here(secret) => Some(secret),
            Self::Beside(_) => None,
        }
    }
}

impl<T> Kind<T> {
    /// What the configuration gives, in a list or a file, or what is beside the store in `database`.
    pub(super) fn given(
        &self,
        listed: &[SecretString],
        file: Option<&Path>,
        database: Option<&Path>,
    ) -> anyhow::Result<Given<T>> {
        if !listed.is_empty() {
            let parsed = (self.parse)(&mut listed.iter().map(|secret| secret.expose_secret()));
            return parsed.map(Given::Here).context(self.setting);
        }
        if let Some(path) = file {
            return self.read(path).map(Given::Here);
        }
        let path = self.beside(database.context(self.missing)?);
        if path.exists() { self.read(&path).map(Given::Here) } else { Ok(Given::Beside(path)) }
    }

    /// `orqen.db.pepper` for `orqen.db`.
    fn beside(&self, database: &Path) -> PathBuf {
        let mut name = database.as_os_str().to_owned();
        name.push(".");
        name.push(self.suffix);
        name.into()
    }

    /// Reads a file of them.
    pub(super) fn read(&self, path: &Path) -> anyhow::Result<T> {
        let name = self.name;
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the {name} file {}", path.display()))?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        (self.parse)(&mut lines).with_context(|| format!("the {name} file {} cannot be used", path.display()))
    }

    /// Writes a new one, for the owner's eyes only, and reads it back: of two processes that start together, one file
    /// wins for both. Whole or not at all: written aside and linked into place.
    pub(super) fn make(&self, path: &Path, new: &SecretString) -> anyhow::Result<T> {
        let aside = path.with_extension(format!("{}.{}", self.suffix, Uuid::now_v7().simple()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| {
                writeln!(file, "{}", new.expose_secret())?;
                file.sync_all()
            })
            .and_then(|()| match fs::hard_link(&aside, path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                other => other,
            });
        let _ = fs::remove_file(&aside);
        written.with_context(|| format!("cannot write the {} file {}", self.name, path.display()))?;
        self.read(path)
    }
}
