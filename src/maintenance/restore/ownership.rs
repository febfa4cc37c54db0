//! Files that run as the server's OS user, or with its privileges, must be out of reach of others.

use super::error::{RestoreError, quoted};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Write permission of the group and of others. An access control list shows in the group's.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// In such a folder only the owner of a file can replace it.
const STICKY: u32 = 0o1000;

/// The OS user of this server.
pub fn server_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses a file or folder that another OS user than root and the server's can change. Symbolic
/// links are followed, and the folders above count.
pub fn require_safe(path: &Path) -> Result<(), RestoreError> {
    let real = path.canonicalize().map_err(|error| unreachable(path, &error))?;
    let metadata = real.metadata().map_err(|error| RestoreError::unreadable(&real, &error))?;
    require_safe_entry(&real, &metadata)?;
    real.ancestors().skip(1).try_for_each(require_safe_folder)
}

/// Refuses a directory for private files in which another OS user can replace them. It may be one
/// like /tmp, where only owners can.
pub fn require_safe_directory(path: &Path) -> Result<(), RestoreError> {
    let real = path.canonicalize().map_err(|error| RestoreError::unwritable(path, &error))?;
    real.ancestors().try_for_each(require_safe_folder)
}

fn require_safe_folder(folder: &Path) -> Result<(), RestoreError> {
    let metadata = folder.metadata().map_err(|error| RestoreError::unreadable(folder, &error))?;
    if metadata.mode() & STICKY == 0 {
        require_safe_entry(folder, &metadata)
    } else {
        require_owner(folder, &metadata)
    }
}

fn unreachable(path: &Path, error: &std::io::Error) -> RestoreError {
    if error.kind() == std::io::ErrorKind::NotFound {
        RestoreError::NoBackup(path.to_owned())
    } else {
        RestoreError::unreadable(path, error)
    }
}

/// Refuses an entry by its own owner and mode. The folders above do not count.
pub fn require_safe_entry(path: &Path, metadata: &Metadata) -> Result<(), RestoreError> {
    require_owner(path, metadata)?;
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(RestoreError::Untrusted {
            path: path.to_owned(),
            reason: format!("Its mode is {:04o}", metadata.mode() & 0o7777),
            command: format!("chmod go-w {}", quoted(path)),
        });
    }
    Ok(())
}

fn require_owner(path: &Path, metadata: &Metadata) -> Result<(), RestoreError> {
    let user = server_user();
    if metadata.uid() == user || metadata.uid() == 0 {
        return Ok(());
    }
    Err(RestoreError::Untrusted {
        path: path.to_owned(),
        reason: format!(
            "Its owner is the OS user {}, and the server runs as {user}",
            metadata.uid()
        ),
        command: format!("chown {user} {}", quoted(path)),
    })
}
