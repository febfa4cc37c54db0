//! A private copy of a base backup, checked by pg_verifybackup and made safe to start.
//!
//! A recovery writes into every file that it finds by a link. So no link of the copy leads outside:
//! tablespaces are copied, too. Hard links would change the backup.

use super::backup::{Backup, Kind};
use super::deadline::React;
use super::error::RestoreError;
use super::folder;
use super::programs::Program;
use crate::pg::at_exit::{self, Registration};
use crate::pg::installation;
use crate::pg::process::Status;
use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The folder in the directory of a test that holds all files of a copy and its server.
pub const FOLDER: &str = "base_server";
/// The data directory in it.
const DATA: &str = "data";
/// Bytes that are copied between two reactions to interrupts.
const CHUNK: u64 = 8 << 20;
/// Room for new WAL, the log and temporary files, in bytes.
const RESERVE: u64 = 256 << 20;
/// A compressed backup without a manifest is taken to be so many times as large.
const COMPRESSION: u64 = 5;
/// Faults of pg_verifybackup that are kept.
const KEPT_FAULTS: usize = 5;

/// The verdict of pg_verifybackup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Every file has its size and checksum.
    Passed,
    /// Every file has its size. The manifest has no checksums.
    SizesOnly,
    /// The backup has no manifest to compare with.
    NoManifest,
    /// Files that differ, in the words of pg_verifybackup: the first five.
    Failed(Vec<String>),
}

/// A copy of a base backup. Dropped, it is removed.
pub struct BaseCopy {
    folder: Folder,
    verification: Verification,
}

/// The folder of a copy. A drop removes it, and so does the end of the backend.
struct Folder {
    path: PathBuf,
    _at_exit: Registration,
}

impl Folder {
    fn create(directory: &Path) -> Result<Self, RestoreError> {
        let path = directory.join(FOLDER);
        create_folder(&path)?;
        let leftover = path.clone();
        let registration = at_exit::register(move || {
            let _ = std::fs::remove_dir_all(leftover);
        });
        Ok(Self { path, _at_exit: registration })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

impl BaseCopy {
    /// Copies a base backup into a private directory, and checks the copy. The programs are ended
    /// at the deadline.
    pub fn make(
        backup: &Backup,
        directory: &Path,
        deadline: Option<Instant>,
        react: React<'_>,
    ) -> Result<Self, RestoreError> {
        let verify = Program::find("pg_verifybackup")?;
        require_room(directory, needed_bytes(backup)?)?;
        let folder = Folder::create(directory)?;
        let data = folder.path.join(DATA);
        if backup.kind == Kind::BaseTar {
            extract(backup, &folder.path, &data, deadline)?;
        } else {
            let mut copier = Copier { react };
            copier.copy_folder(&backup.path, &data)?;
            copier.copy_linked_folders(&folder.path, &data)?;
        }
        let verification = verify_copy(&verify, &data, deadline)?;
        make_safe(&data)?;
        Ok(Self { folder, verification })
    }

    /// The verdict of pg_verifybackup.
    pub fn verification(&self) -> &Verification {
        &self.verification
    }

    /// The folder with all of its files.
    pub fn directory(&self) -> &Path {
        &self.folder.path
    }

    /// The data directory in it.
    pub fn data(&self) -> PathBuf {
        self.folder.path.join(DATA)
    }
}

/// Bytes that the copy takes, with a reserve.
pub fn needed_bytes(backup: &Backup) -> Result<u64, RestoreError> {
    let is_compressed = backup.base_tar().is_some_and(|path| !path.ends_with("base.tar"));
    let bytes = match manifest_bytes(&backup.path.join("backup_manifest"))? {
        // A manifest tells the size of all files but the WAL.
        Some(bytes) => bytes.max(backup.bytes),
        None if is_compressed => backup.bytes.saturating_mul(COMPRESSION),
        None => backup.bytes,
    };
    Ok(bytes.saturating_add(RESERVE))
}

/// The sum of the sizes in a manifest, which has one file a line; `None` without a manifest.
fn manifest_bytes(path: &Path) -> Result<Option<u64>, RestoreError> {
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut sum = 0_u64;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| RestoreError::unreadable(path, &error))?;
        let line = String::from_utf8_lossy(&line);
        let size = line.split("\"Size\": ").nth(1).and_then(|rest| rest.split(',').next());
        sum = sum.saturating_add(size.and_then(|size| size.trim().parse().ok()).unwrap_or(0));
    }
    Ok(Some(sum))
}

/// Whether a manifest has a checksum of each file, as without --manifest-checksums=NONE.
fn has_checksums(path: &Path) -> Result<bool, RestoreError> {
    let file = File::open(path).map_err(|error| RestoreError::unreadable(path, &error))?;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| RestoreError::unreadable(path, &error))?;
        let line = String::from_utf8_lossy(&line);
        if line.contains("\"Size\": ") && !line.contains("\"Checksum\": ") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses a directory whose disk has less room for this user than so many bytes.
pub fn require_room(directory: &Path, needed: u64) -> Result<(), RestoreError> {
    let disk = rustix::fs::statvfs(directory)
        .map_err(|error| RestoreError::unwritable(directory, &error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(RestoreError::NoRoom { directory: directory.to_owned(), needed, free })
}

struct Copier<'a> {
    react: React<'a>,
}

impl Copier<'_> {
    /// Copies a folder with all that is below. Links stay out.
    fn copy_folder(&mut self, from: &Path, to: &Path) -> Result<(), RestoreError> {
        create_folder(to)?;
        folder::walk(from, &mut |entry| {
            let Ok(relative) = entry.path.strip_prefix(from) else { return Ok(()) };
            let target = to.join(relative);
            if entry.metadata.is_dir() {
                create_folder(&target)
            } else if entry.metadata.is_symlink() {
                self.copy_link(&entry.path, &target)
            } else {
                self.copy_file(&entry.path, &target)
            }
        })
    }

    /// Copies the file behind a link. A link to a folder stays a link for now.
    fn copy_link(&mut self, from: &Path, to: &Path) -> Result<(), RestoreError> {
        let target = from.canonicalize().map_err(|e| RestoreError::unreadable(from, &e))?;
        if target.is_dir() {
            symlink(&target, to).map_err(|error| RestoreError::unwritable(to, &error))
        } else {
            self.copy_file(&target, to)
        }
    }

    /// Replaces each link to a folder by a link to a copy of the folder.
    fn copy_linked_folders(&mut self, scratch: &Path, data: &Path) -> Result<(), RestoreError> {
        for (number, link) in links(data)?.into_iter().enumerate() {
            let from = link.canonicalize().map_err(|e| RestoreError::unreadable(&link, &e))?;
            if live_folders().any(|live| from.starts_with(live)) {
                return Err(RestoreError::NotABackup {
                    path: from,
                    content: "a folder of this server, and a link of the backup leads to it".into(),
                });
            }
            let to = scratch.join(format!("linked_{number}"));
            self.copy_folder(&from, &to)?;
            if let Some(inner) = links(&to)?.first() {
                return Err(RestoreError::NotABackup {
                    path: from,
                    content: format!("a folder behind a link, with the link {}", inner.display()),
                });
            }
            relink(&link, &to)?;
        }
        Ok(())
    }

    fn copy_file(&mut self, from: &Path, to: &Path) -> Result<(), RestoreError> {
        let mut source = File::open(from).map_err(|e| RestoreError::unreadable(from, &e))?;
        let mut options = File::options();
        let target = options.write(true).create_new(true).mode(0o600).open(to);
        let mut target = target.map_err(|error| RestoreError::unwritable(to, &error))?;
        loop {
            // The system copies from file to file, without a buffer of this process.
            let copied = std::io::copy(&mut source.by_ref().take(CHUNK), &mut target);
            let copied = copied.map_err(|error| RestoreError::unwritable(to, &error))?;
            (self.react)().map_err(|error| RestoreError::unwritable(to, &error))?;
            if copied < CHUNK {
                return Ok(());
            }
        }
    }
}

/// The folders in which this server keeps its data.
fn live_folders() -> impl Iterator<Item = PathBuf> {
    let data = installation::data_directory().unwrap_or_default();
    let tablespaces = links(&data.join("pg_tblspc")).unwrap_or_default();
    std::iter::once(data).chain(tablespaces).filter_map(|path| path.canonicalize().ok())
}

fn create_folder(path: &Path) -> Result<(), RestoreError> {
    let created = DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|error| RestoreError::unwritable(path, &error))
}

/// The symbolic links below a folder.
fn links(folder: &Path) -> Result<Vec<PathBuf>, RestoreError> {
    let mut found = Vec::new();
    folder::walk(folder, &mut |entry| {
        if entry.metadata.is_symlink() {
            found.push(entry.path.clone());
        }
        Ok(())
    })?;
    Ok(found)
}

fn relink(link: &Path, target: &Path) -> Result<(), RestoreError> {
    let _ = std::fs::remove_file(link);
    let _ = std::fs::remove_dir(link);
    symlink(target, link).map_err(|error| RestoreError::unwritable(link, &error))
}

/// Extracts the tar files of a base backup: the main one, one of each tablespace, and the WAL.
fn extract(
    backup: &Backup,
    scratch: &Path,
    data: &Path,
    deadline: Option<Instant>,
) -> Result<(), RestoreError> {
    let tar = Program::of_system("tar")?;
    let entries = backup.path.read_dir().map_err(|e| RestoreError::unreadable(&backup.path, &e))?;
    let mut tablespaces = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((stem, _)) = name.split_once(".tar") else { continue };
        let to = match stem {
            "base" => data.to_owned(),
            "pg_wal" => data.join("pg_wal"),
            oid if oid.bytes().all(|byte| byte.is_ascii_digit()) => {
                tablespaces.push(oid.to_owned());
                scratch.join(format!("tablespace_{oid}"))
            }
            _ => continue,
        };
        create_folder(&to)?;
        extract_file(&tar, backup, &entry.path(), &to, deadline)?;
    }
    let manifest = backup.path.join("backup_manifest");
    if manifest.exists() {
        let to = data.join("backup_manifest");
        std::fs::copy(&manifest, &to).map_err(|error| RestoreError::unwritable(&to, &error))?;
    }
    // Links of the tar files lead to the tablespaces of the source.
    for link in links(scratch)? {
        std::fs::remove_file(&link).map_err(|error| RestoreError::unwritable(&link, &error))?;
    }
    create_folder(&data.join("pg_tblspc"))?;
    for oid in tablespaces {
        let target = scratch.join(format!("tablespace_{oid}"));
        relink(&data.join("pg_tblspc").join(&oid), &target)?;
    }
    Ok(())
}

fn extract_file(
    tar: &Program,
    backup: &Backup,
    file: &Path,
    to: &Path,
    deadline: Option<Instant>,
) -> Result<(), RestoreError> {
    let launch = tar.launch().args(["-x", "-o", "-f"]).args([file]).args(["-C"]).args([to]);
    let exit = tar.run(launch, deadline, |_| Ok(()))?;
    match exit.status {
        Status::Expired => return Err(RestoreError::OutOfTime),
        status if status.is_success() => return Ok(()),
        _ => {}
    }
    let errors = String::from_utf8_lossy(&exit.errors).into_owned();
    if errors.contains("No space left on device") {
        return Err(RestoreError::NoRoom { directory: to.to_owned(), needed: 0, free: 0 });
    }
    let first = errors.lines().next().unwrap_or("no message").to_owned();
    Err(RestoreError::Truncated {
        path: backup.path.clone(),
        evidence: format!("Extracting {} fails: {first}", file.display()),
    })
}

/// Lets pg_verifybackup compare the copy with its manifest. Its words name files and no rows.
fn verify_copy(
    program: &Program,
    data: &Path,
    deadline: Option<Instant>,
) -> Result<Verification, RestoreError> {
    if !data.join("backup_manifest").exists() {
        return Ok(Verification::NoManifest);
    }
    // WAL is judged by the recovery, which needs more than the manifest lists.
    let launch = program.launch().args(["--quiet", "--no-parse-wal"]).args([data]);
    let exit = program.run(launch, deadline, |_| Ok(()))?;
    if exit.status == Status::Expired {
        return Err(RestoreError::OutOfTime);
    }
    if exit.status.is_success() {
        let has_checksums = has_checksums(&data.join("backup_manifest"))?;
        return Ok(if has_checksums { Verification::Passed } else { Verification::SizesOnly });
    }
    let errors = String::from_utf8_lossy(&exit.errors).into_owned();
    let fault = |line: &str| line.split_once("error: ").map(|(_, fault)| fault.to_owned());
    let mut faults: Vec<String> = errors.lines().filter_map(fault).take(KEPT_FAULTS).collect();
    if faults.is_empty() {
        faults.push("pg_verifybackup fails without a message".into());
    }
    Ok(Verification::Failed(faults))
}

/// Removes from the copy all that would make it a standby, or let it act outside: settings of ALTER
/// SYSTEM, replication slots, and the map that a recovery takes the places of tablespaces from.
fn make_safe(data: &Path) -> Result<(), RestoreError> {
    for name in
        ["standby.signal", "recovery.signal", "tablespace_map", "postmaster.pid", "postmaster.opts"]
    {
        let path = data.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(RestoreError::unwritable(&path, &error));
            }
            _ => {}
        }
    }
    let own_settings = data.join("postgresql.auto.conf");
    std::fs::write(&own_settings, "").map_err(|e| RestoreError::unwritable(&own_settings, &e))?;
    let slots = data.join("pg_replslot");
    let _ = std::fs::remove_dir_all(&slots);
    create_folder(&slots)
}
