//! Where the sealing keys come from.
//!
//! With SQLite the key may live in a file beside the database, made at the first start and
//! readable by its owner alone. Nodes that share a PostgreSQL database must share the key too, so
//! there it has to be given.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::Key;
use chacha20poly1305::aead::Generate;
use secrecy::SecretString;
use sqlx::sqlite::SqliteConnectOptions;

use super::{InvalidKeys, KEY_BYTES, Sealer};

/// The name of the key's file, in the folder of the database.
pub const KEY_FILE: &str = "callspan.key";

/// Why there is no key to seal with. Never repeats a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keys given cannot be used.
    #[error("CALLSPAN_MASTER_KEY: {0}")]
    Given(#[source] InvalidKeys),
    /// PostgreSQL, and no key given.
    #[error(
        "CALLSPAN_MASTER_KEY is required with PostgreSQL, because all nodes must share it; make one \
         with `openssl rand -base64 32`"
    )]
    Required,
    /// The database is neither an SQLite file nor PostgreSQL.
    #[error("DATABASE_URL must start with sqlite:// and name a file, or with postgres://")]
    NoDatabaseFile,
    /// The file cannot be read or made.
    #[error("the key file {} cannot be {action}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// `read` or `made`.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Others than the owner could read it.
    #[error(
        "the key file {path} is open to other users (mode {mode:04o}); run `chmod 600 {path}`, and \
         change the key if somebody may have read it", path = path.display()
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file was made, but the machine stopped before the key was in it.
    #[error(
        "the key file {} is empty; nothing was sealed with it: delete it, and a new one is made",
        path.display()
    )]
    EmptyFile {
        /// Which file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("the key file {}: {source}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidKeys,
    },
}

/// The sealer for this database: from the keys given, or else, with SQLite, from the key file,
/// which is made when it is not there.
pub fn load(master_key: Option<&SecretString>, database_url: &str) -> Result<Sealer, KeyError> {
    if let Some(keys) = master_key {
        return Sealer::from_keys(keys).map_err(KeyError::Given);
    }
    if database_url.starts_with("postgres:") || database_url.starts_with("postgresql:") {
        return Err(KeyError::Required);
    }
    read_or_make(&path_beside(database_url).ok_or(KeyError::NoDatabaseFile)?)
}

/// Where the key of an SQLite database lies; `None` when the URL names no file.
pub fn path_beside(database_url: &str) -> Option<PathBuf> {
    let in_memory = database_url.contains(":memory:") || database_url.contains("mode=memory");
    if in_memory || !database_url.starts_with("sqlite:") {
        return None;
    }
    // The driver's own reading, so that both lie in one folder however the URL is written.
    let options = SqliteConnectOptions::from_str(database_url).ok()?;
    let file = options.get_filename();
    file.file_name().map(|_| file.with_file_name(KEY_FILE))
}

fn read_or_make(path: &Path) -> Result<Sealer, KeyError> {
    match make(path) {
        Ok(()) => tracing::info!(path = %path.display(), "made a new key file; keep a copy of it"),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(KeyError::File { path: path.into(), action: "made", source }),
    }
    read(path)
}

fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let key = STANDARD.encode(Key::generate());
    debug_assert_eq!(STANDARD.decode(&key).map(|bytes| bytes.len()), Ok(KEY_BYTES));
    file.write_all(format!("{key}\n").as_bytes())?;
    file.sync_all()?;
    // The name of the file must outlive a power cut as well, or the next start makes another key.
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if let Ok(folder) = fs::File::open(folder) {
            folder.sync_all()?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Sealer, KeyError> {
    let failed = |source| KeyError::File { path: path.into(), action: "read", source };
    let mut file = fs::File::open(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.into(), mode });
        }
    }
    let mut content = String::new();
    file.read_to_string(&mut content).map_err(failed)?;
    if content.trim().is_empty() {
        return Err(KeyError::EmptyFile { path: path.into() });
    }
    Sealer::from_keys(&SecretString::from(content))
        .map_err(|source| KeyError::Content { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url_in(folder: &Path) -> String {
        format!("sqlite://{}?mode=rwc", folder.join("calls.db").display())
    }

    #[test]
    fn the_key_file_is_made_once_and_read_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = load(None, &url_in(folder.path())).expect("made");
        let again = load(None, &url_in(folder.path())).expect("read");
        assert_eq!(first.key_ids(), again.key_ids());
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        load(None, &url_in(folder.path())).expect("made");
        let path = folder.path().join(KEY_FILE);
        let mode = fs::metadata(&path).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("own file");
        let error = load(None, &url_in(folder.path())).expect_err("exposed");
        assert!(matches!(error, KeyError::Exposed { mode: 0o644, .. }), "{error}");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn an_empty_or_broken_key_file_is_said_to_be_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(KEY_FILE);
        make(&path).expect("made");
        fs::write(&path, "").expect("own file");
        assert!(matches!(read(&path), Err(KeyError::EmptyFile { .. })));
        fs::write(&path, "hush hush").expect("own file");
        let error = read(&path).expect_err("no key");
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn postgresql_needs_a_key_to_be_given() {
        assert!(matches!(load(None, "postgres://localhost/calls"), Err(KeyError::Required)));
        assert!(matches!(load(None, "sqlite::memory:"), Err(KeyError::NoDatabaseFile)));
        let given = SecretString::from(STANDARD.encode([3; KEY_BYTES]));
        assert!(load(Some(&given), "postgres://localhost/calls").is_ok());
    }

    #[test]
    fn the_key_lies_beside_the_database() {
        let beside = |url: &str| path_beside(url).map(|path| path.display().to_string());
        assert_eq!(beside("sqlite://callspan.db?mode=rwc").as_deref(), Some("callspan.key"));
        assert_eq!(beside("sqlite:///var/lib/c.db").as_deref(), Some("/var/lib/callspan.key"));
        assert_eq!(beside("sqlite:data/c.db").as_deref(), Some("data/callspan.key"));
        assert_eq!(beside("sqlite://my%20data/c.db").as_deref(), Some("my data/callspan.key"));
        assert_eq!(beside("sqlite://"), None);
    }
}
