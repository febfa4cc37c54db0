//! Folders of a backup: their size, and that no other user could have written a part.

use super::deadline::React;
use super::error::RestoreError;
use super::ownership;
use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};

/// An entry of a folder, below any number of others.
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// Its metadata; those of the link itself for a symbolic link.
    pub metadata: Metadata,
}

/// Calls `work` for each entry below a folder, folders before their content, in the order of their
/// names. Symbolic links are not followed.
pub fn walk(
    folder: &Path,
    work: &mut dyn FnMut(&Entry) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let failed = |error: std::io::Error| RestoreError::unreadable(folder, &error);
    let entries: Result<Vec<DirEntry>, _> = folder.read_dir().map_err(failed)?.collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort_by_key(DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let metadata = entry.metadata().map_err(|error| RestoreError::unreadable(&path, &error))?;
        let entry = Entry { path, metadata };
        work(&entry)?;
        if entry.metadata.is_dir() {
            walk(&entry.path, work)?;
        }
    }
    Ok(())
}

/// The bytes of all files of a folder. Refuses one that another user could have written. Symbolic
/// links, as of tablespaces, are followed once.
pub fn require_safe(folder: &Path, react: React<'_>) -> Result<u64, RestoreError> {
    require_safe_below(folder, true, react)
}

fn require_safe_below(
    folder: &Path,
    follows_links: bool,
    react: React<'_>,
) -> Result<u64, RestoreError> {
    ownership::require_safe(folder)?;
    let mut bytes = 0;
    walk(folder, &mut |entry| {
        react().map_err(|error| RestoreError::unreadable(folder, &error))?;
        let (path, metadata) = (&entry.path, &entry.metadata);
        if metadata.is_symlink() && follows_links {
            bytes += linked(path, react)?;
            return Ok(());
        }
        if !metadata.is_dir() && !metadata.is_file() {
            return Err(RestoreError::NotABackup {
                path: folder.to_owned(),
                content: format!("a folder with the special file {}", path.display()),
            });
        }
        ownership::require_safe_entry(path, metadata)?;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
        Ok(())
    })?;
    Ok(bytes)
}

/// The bytes behind a symbolic link.
fn linked(link: &Path, react: React<'_>) -> Result<u64, RestoreError> {
    let failed = |error: std::io::Error| RestoreError::unreadable(link, &error);
    let target = link.canonicalize().map_err(failed)?;
    let metadata = target.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return require_safe_below(&target, false, react);
    }
    ownership::require_safe(&target)?;
    Ok(metadata.len())
}
