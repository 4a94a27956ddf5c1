//! HAProxy as a plain TCP proxy: how it is set up.

use std::process::Command;

use super::BareError;

/// One thread, no log, nothing but bytes. It sets TCP_NODELAY on both sides by itself, and splices
/// nothing unless told to.
pub(crate) fn config(listen: u16, backend: u16, connections: u32) -> String {
    let most = connections + 100;
    format!(
        "global\n    \
             nbthread 1\n    \
             maxconn {most}\n\
         defaults\n    \
             mode tcp\n    \
             timeout connect 5s\n    \
             timeout client 1h\n    \
             timeout server 1h\n\
         frontend phones\n    \
             bind 127.0.0.1:{listen}\n    \
             maxconn {most}\n    \
             default_backend peers\n\
         backend peers\n    \
             server peer 127.0.0.1:{backend}\n"
    )
}

/// Its name and version, such as `HAProxy 2.6.12`.
pub(crate) fn name() -> Result<String, BareError> {
    let said = Command::new("haproxy").arg("-v").output().map_err(BareError::NoHaproxy)?;
    Ok(parse_version(&String::from_utf8_lossy(&said.stdout)))
}

fn parse_version(said: &str) -> String {
    let version = said.split_whitespace().skip_while(|word| *word != "version").nth(1);
    match version.and_then(|version| version.split('-').next()) {
        Some(version) => format!("HAProxy {version}"),
        None => "HAProxy".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_a_person_would_say() {
        let said = "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus:";
        assert_eq!(parse_version(said), "HAProxy 2.6.12");
        assert_eq!(parse_version("?"), "HAProxy");
    }

    #[test]
    fn there_is_room_for_every_connection() {
        let config = config(1, 2, 1_500);
        assert_eq!(config.matches("maxconn 1600\n").count(), 2);
        assert!(config.contains("bind 127.0.0.1:1\n"));
        assert!(config.contains("server peer 127.0.0.1:2\n"));
    }
}
