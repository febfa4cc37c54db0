//! A backup: its kind by its bytes, the version of its server, and whether it is whole.

use super::archive::{self, ArchiveError, Entry};
use super::deadline::React;
use super::error::{RestoreError, quoted};
use super::programs::major_of;
use super::signature::{self, Signature};
use super::tar_file::{self, End};
use super::{folder, freshness, ownership, plain_dump};
use crate::pg::installation;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Files of a base backup in tar format, in the order of preference.
const BASE_TARS: [&str; 4] = ["base.tar", "base.tar.gz", "base.tar.zst", "base.tar.lz4"];

/// The kind of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of `pg_dump --format=custom`.
    Custom,
    /// A folder of `pg_dump --format=directory`.
    Directory,
    /// A file of `pg_dump --format=tar`.
    TarDump,
    /// SQL of `pg_dump --format=plain`.
    Plain,
    /// A folder of `pg_basebackup --format=plain`.
    BaseFolder,
    /// A folder of `pg_basebackup --format=tar`.
    BaseTar,
}

impl Kind {
    /// The kind in words: `custom dump`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Custom => "custom dump",
            Self::Directory => "directory dump",
            Self::TarDump => "tar dump",
            Self::Plain => "plain dump",
            Self::BaseFolder => "base backup",
            Self::BaseTar => "base backup in tar files",
        }
    }

    /// Whether it is a copy of the files of a cluster, not a dump.
    pub fn is_base(self) -> bool {
        matches!(self, Self::BaseFolder | Self::BaseTar)
    }
}

/// A backup that was recognised, and that no other OS user could have written.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Its absolute path.
    pub path: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// The version of its server, such as `15.8 (Debian 15.8-1)`; `None` if it does not tell.
    pub server_version: Option<String>,
    /// The dumped database; `None` for a base backup and a plain dump.
    pub database: Option<String>,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// The local time at which it was made, in seconds since 1970 as if it were UTC; `None` if it
    /// does not tell.
    pub made_at: Option<i64>,
}

impl Backup {
    /// Recognises a backup. `react` is called between files, and may raise an interrupt.
    pub fn open(location: &str, react: React<'_>) -> Result<Self, RestoreError> {
        let path = Path::new(location);
        if !path.is_absolute() {
            return Err(RestoreError::NotAPath(location.into()));
        }
        // Without links, which another user could lead elsewhere after the check.
        let path = &path.canonicalize().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => RestoreError::NoBackup(path.into()),
            _ => RestoreError::unreadable(path, &error),
        })?;
        let metadata = path.metadata().map_err(|error| RestoreError::unreadable(path, &error))?;
        let mut backup = Self {
            path: path.into(),
            kind: Kind::Plain,
            server_version: None,
            database: None,
            bytes: metadata.len(),
            made_at: None,
        };
        if metadata.is_dir() {
            backup.recognise_folder()?;
            backup.bytes = folder::require_safe(path, react)?;
        } else if metadata.is_file() {
            backup.recognise_file()?;
            ownership::require_safe(path)?;
        } else {
            return Err(backup.no_backup("neither a file nor a folder"));
        }
        Ok(backup)
    }

    /// The major version of its server; `None` if it does not tell.
    pub fn major(&self) -> Option<u32> {
        self.server_version.as_deref().and_then(major_of)
    }

    /// Refuses a backup of another major version than this server's.
    pub fn require_major(&self) -> Result<(), RestoreError> {
        match &self.server_version {
            Some(version) if self.major() != Some(installation::MAJOR) => {
                Err(RestoreError::OtherMajor {
                    path: self.path.clone(),
                    version: version.clone(),
                    major: installation::MAJOR,
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a dump that was cut, or that lacks a part. A plain dump is read to its end; of the
    /// others, data are skipped. pg_verifybackup judges a base backup.
    pub fn require_whole(&self, react: React<'_>) -> Result<(), RestoreError> {
        match self.kind {
            Kind::Custom => {
                let mut reader = self.reader(&self.path)?;
                let header = archive::read_header(&mut reader).map_err(|e| self.archive(e))?;
                archive::read_entries(&mut reader, &header)
                    .and_then(|entries| archive::check_data(&mut reader, &header, &entries, react))
                    .map_err(|error| self.archive(error))
            }
            Kind::Directory => {
                let toc = self.path.join("toc.dat");
                let missing = |file: &str| !self.holds_data(file);
                self.require_files(self.reader(&toc)?, missing)
            }
            Kind::TarDump => self.require_whole_tar(),
            Kind::Plain => self.require_whole_plain(react),
            Kind::BaseFolder | Kind::BaseTar => Ok(()),
        }
    }

    fn no_backup(&self, content: impl Into<String>) -> RestoreError {
        RestoreError::NotABackup { path: self.path.clone(), content: content.into() }
    }

    fn truncated(&self, evidence: impl Into<String>) -> RestoreError {
        RestoreError::Truncated { path: self.path.clone(), evidence: evidence.into() }
    }

    fn archive(&self, error: ArchiveError) -> RestoreError {
        match error {
            ArchiveError::System(error) => RestoreError::unreadable(&self.path, &error),
            ArchiveError::Unknown(major, minor) => self.no_backup(format!(
                "an archive of pg_dump in format {major}.{minor}, which pg_restore of PostgreSQL \
                 {} cannot be trusted to read",
                installation::MAJOR
            )),
            error => self.truncated(error.to_string()),
        }
    }

    fn reader(&self, path: &Path) -> Result<BufReader<File>, RestoreError> {
        let file = File::open(path).map_err(|error| RestoreError::unreadable(path, &error))?;
        Ok(BufReader::with_capacity(64 * 1024, file))
    }

    fn recognise_file(&mut self) -> Result<(), RestoreError> {
        let mut head = Vec::new();
        let mut reader = self.reader(&self.path)?;
        let read = reader.by_ref().take(signature::LENGTH as u64).read_to_end(&mut head);
        read.map_err(|error| RestoreError::unreadable(&self.path, &error))?;
        match signature::recognise(&head) {
            Signature::Archive => {
                self.kind = Kind::Custom;
                rewind(&mut reader, 0, &self.path)?;
                self.read_archive_header(&mut reader)
            }
            Signature::PlainDump => {
                let facts = plain_dump::scan(&mut head.as_slice(), &mut || Ok(()));
                self.server_version = facts.ok().and_then(|facts| facts.server_version);
                Ok(())
            }
            Signature::Tar => self.recognise_tar(),
            Signature::ClusterDump => {
                Err(self.no_backup("a dump of a whole cluster by pg_dumpall: dump each database"))
            }
            Signature::Encrypted(program) => Err(self.encrypted(program)),
            Signature::Compressed(program) => Err(RestoreError::Compressed {
                path: self.path.clone(),
                command: match program {
                    "unzip" | "7z" => format!("{program} x {}", quoted(&self.path)),
                    _ => format!("{program} -k {}", quoted(&self.path)),
                },
            }),
            Signature::Empty => Err(self.no_backup("an empty file")),
            Signature::Unknown => {
                Err(self.no_backup("of an unknown format, or encrypted by an unknown program"))
            }
        }
    }

    fn encrypted(&self, program: &'static str) -> RestoreError {
        let (from, to) = (quoted(&self.path), quoted(&self.path.with_extension("decrypted")));
        let command = match program {
            "age" => format!("age --decrypt --identity key.txt --output {to} {from}"),
            "gpg" => format!("gpg --output {to} --decrypt {from}"),
            _ => format!("openssl enc -d -aes-256-cbc -pbkdf2 -in {from} -out {to}"),
        };
        RestoreError::Encrypted { path: self.path.clone(), program, command }
    }

    fn read_archive_header(&mut self, reader: &mut BufReader<File>) -> Result<(), RestoreError> {
        let header = archive::read_header(reader).map_err(|error| self.archive(error))?;
        self.made_at = Some(header.made_at);
        self.server_version = header.server_version;
        self.database = header.database;
        Ok(())
    }

    fn recognise_tar(&mut self) -> Result<(), RestoreError> {
        let mut reader = self.reader(&self.path)?;
        let mut first = None;
        let walked = tar_file::members(&mut reader, |member| {
            first = Some(member.clone());
            false
        });
        walked.map_err(|error| RestoreError::unreadable(&self.path, &error))?;
        let Some(first) = first else { return Err(self.truncated("It ends in its first member")) };
        if first.name == "toc.dat" {
            self.kind = Kind::TarDump;
            rewind(&mut reader, first.start, &self.path)?;
            return self.read_archive_header(&mut reader);
        }
        if ["backup_label", "tablespace_map", "PG_VERSION"].contains(&first.name.as_str()) {
            return Err(self.no_backup(
                "one tar file of a base backup: name the folder that holds it as base.tar",
            ));
        }
        Err(self.no_backup(format!("a tar file that begins with {}", first.name)))
    }

    fn recognise_folder(&mut self) -> Result<(), RestoreError> {
        let has = |name: &str| self.path.join(name).exists();
        if has("toc.dat") {
            self.kind = Kind::Directory;
            let mut reader = self.reader(&self.path.join("toc.dat"))?;
            return self.read_archive_header(&mut reader);
        }
        if has("postmaster.pid") {
            return Err(self.no_backup("the data directory of a server that runs or crashed"));
        }
        if has("PG_VERSION") && has("global/pg_control") {
            if !has("backup_label") && !has("backup_manifest") {
                return Err(self
                    .no_backup("a data directory with neither backup_label nor backup_manifest"));
            }
            self.kind = Kind::BaseFolder;
            self.made_at = self.start_in_label();
            self.server_version = self.version_file();
            return Ok(());
        }
        if BASE_TARS.iter().any(|name| has(name)) {
            self.kind = Kind::BaseTar;
            self.server_version = self.version_in_tar();
            return Ok(());
        }
        if has("backup.info") || has("pgbackrest.conf") || has("basebackups_005") {
            return Err(self.no_backup(
                "a folder of another backup tool: let that tool restore it, and name the result",
            ));
        }
        Err(self.no_backup("a folder without toc.dat, PG_VERSION and base.tar"))
    }

    /// The begin of a base backup, in the time zone of its server's log.
    fn start_in_label(&self) -> Option<i64> {
        let label = std::fs::read_to_string(self.path.join("backup_label")).ok()?;
        let line = label.lines().find(|line| line.starts_with("START TIME:"))?;
        freshness::time_in(line)
    }

    fn version_file(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.path.join("PG_VERSION")).ok()?;
        Some(text.trim().to_owned())
    }

    /// The main tar file of a base backup in tar format.
    pub fn base_tar(&self) -> Option<PathBuf> {
        BASE_TARS.iter().map(|name| self.path.join(name)).find(|path| path.exists())
    }

    /// The version in a tar file that is not compressed.
    fn version_in_tar(&self) -> Option<String> {
        let path = self.base_tar().filter(|path| path.ends_with("base.tar"))?;
        let mut file = File::open(path).ok()?;
        let mut found = None;
        tar_file::members(&mut file, |member| {
            if member.name == "PG_VERSION" {
                found = Some(member.clone());
            }
            found.is_none()
        })
        .ok()?;
        let member = found?;
        file.seek(SeekFrom::Start(member.start)).ok()?;
        let mut text = String::new();
        file.take(member.size.min(16)).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned())
    }

    /// Whether a folder has this file of data, compressed or not.
    fn holds_data(&self, file: &str) -> bool {
        ["", ".gz", ".lz4", ".zst"]
            .iter()
            .any(|ending| self.path.join(format!("{file}{ending}")).exists())
    }

    /// Refuses an archive that lacks a file of data. The reader begins with `toc.dat`.
    fn require_files(
        &self,
        mut reader: BufReader<File>,
        is_missing: impl Fn(&str) -> bool,
    ) -> Result<(), RestoreError> {
        let header = archive::read_header(&mut reader).map_err(|error| self.archive(error))?;
        let entries = archive::read_entries(&mut reader, &header);
        let entries = entries.map_err(|error| self.archive(error))?;
        let with_data = entries.iter().filter(|entry| entry.has_data);
        // Large objects have a list of their own, whose name differs between the majors.
        let is_lost = |entry: &Entry, file: &str| {
            let list = format!("blobs_{}.toc", entry.id);
            is_missing(file)
                && (entry.kind != "BLOBS" || (is_missing("blobs.toc") && is_missing(&list)))
        };
        let lost = with_data
            .filter_map(|entry| entry.file.as_deref().map(|file| (entry, file)))
            .find(|(entry, file)| is_lost(entry, file));
        match lost {
            None => Ok(()),
            Some((entry, file)) => Err(self
                .truncated(format!("File {file} with the data of {} is missing", entry.label()))),
        }
    }

    fn require_whole_tar(&self) -> Result<(), RestoreError> {
        let mut reader = self.reader(&self.path)?;
        let mut members = Vec::new();
        let end = tar_file::members(&mut reader, |member| {
            members.push(member.clone());
            true
        })
        .map_err(|error| RestoreError::unreadable(&self.path, &error))?;
        match end {
            End::Complete | End::Stopped => {}
            End::Damaged => return Err(self.truncated("A header in it is damaged")),
            End::Truncated(None) => return Err(self.truncated("It is shorter than one block")),
            End::Truncated(Some(name)) => {
                return Err(self.truncated(format!("It ends in or after {name}")));
            }
        }
        let Some(toc) = members.iter().find(|member| member.name == "toc.dat") else {
            return Err(self.truncated("File toc.dat is missing"));
        };
        rewind(&mut reader, toc.start, &self.path)?;
        self.require_files(reader, |file| !members.iter().any(|member| member.name == file))
    }

    fn require_whole_plain(&self, react: React<'_>) -> Result<(), RestoreError> {
        let mut reader = self.reader(&self.path)?;
        let facts = plain_dump::scan(&mut reader, react)
            .map_err(|error| RestoreError::unreadable(&self.path, &error))?;
        if let Some(excursion) = facts.excursion {
            return Err(RestoreError::LeavesDatabase {
                path: self.path.clone(),
                line: excursion.line,
                command: excursion.command,
            });
        }
        if facts.is_complete {
            return Ok(());
        }
        let evidence = facts.open_table.map_or_else(
            || format!("It ends after line {}, without the mark of its end", facts.lines),
            |table| format!("It ends in the rows of {table}, after line {}", facts.lines),
        );
        Err(self.truncated(evidence))
    }
}

fn rewind(reader: &mut BufReader<File>, to: u64, path: &Path) -> Result<(), RestoreError> {
    let moved = reader.seek(SeekFrom::Start(to));
    moved.map(|_| ()).map_err(|error| RestoreError::unreadable(path, &error))
}
