//! Where load may go: loopback and private networks, and nowhere else.
//!
//! Whatever a name resolves to is looked at, and is what is then connected to, so that an answer of
//! the name service cannot change in between.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Load was to leave the private networks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPrivate {
    #[error(
        "{host}: {address} is not private: load goes to this machine and to private networks only \
         (127/8, ::1, 10/8, 172.16/12, 192.168/16, fc00::/7)"
    )]
    Public { host: String, address: IpAddr },
    #[error("{host} has no address")]
    Nowhere { host: String },
}

/// Whether an address is this machine's, or of a network that is nobody else's.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// Refuses a host that any public address belongs to.
pub(crate) fn check(
    host: &str,
    addresses: impl IntoIterator<Item = IpAddr>,
) -> Result<(), NotPrivate> {
    let mut any = false;
    for address in addresses {
        any = true;
        if !is_private(address) {
            return Err(NotPrivate::Public { host: host.to_owned(), address });
        }
    }
    if any { Ok(()) } else { Err(NotPrivate::Nowhere { host: host.to_owned() }) }
}

/// Refuses a URL that names a public address; names are looked at when they are resolved.
pub(crate) fn check_literal(url: &Url) -> Result<(), NotPrivate> {
    let host = url.host_str().unwrap_or_default();
    match url.host() {
        Some(Host::Ipv4(address)) => check(host, [IpAddr::V4(address)]),
        Some(Host::Ipv6(address)) => check(host, [IpAddr::V6(address)]),
        Some(Host::Domain(_)) => Ok(()),
        None => Err(NotPrivate::Nowhere { host: url.to_string() }),
    }
}

/// Refuses a URL unless all that its host can mean is private.
pub(crate) async fn check_url(url: &Url) -> std::io::Result<()> {
    check_literal(url).map_err(std::io::Error::other)?;
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses = tokio::net::lookup_host((bare, port)).await?;
    check(host, addresses.map(|address| address.ip())).map_err(std::io::Error::other)
}

/// Resolves names for an HTTP client, to private addresses only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            check(host, found.iter().map(SocketAddr::ip))?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_told_from_public_ones() {
        for address in [
            "127.0.0.1",
            "127.8.9.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.7.7",
            "::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(address.parse().expect(address)), "{address}");
        }
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "192.169.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "fe80::1",
            "2001:db8::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_private(address.parse().expect(address)), "{address}");
        }
    }

    #[test]
    fn one_public_address_is_enough_to_refuse_a_name() {
        let both = ["10.0.0.1", "8.8.8.8"].map(|address| address.parse().expect(address));
        let refusal = check("b.example", both).expect_err("one of them is public");
        assert!(refusal.to_string().starts_with("b.example: 8.8.8.8 is not private"));
        assert_eq!(check("b.example", []), Err(NotPrivate::Nowhere { host: "b.example".into() }));
    }

    #[tokio::test]
    async fn urls_are_looked_at_by_what_their_host_means() {
        let url = |raw: &str| Url::parse(raw).expect(raw);
        for raw in ["http://127.0.0.1:1/x", "http://[::1]:8000", "https://localhost:9"] {
            check_url(&url(raw)).await.expect(raw);
        }
        for raw in ["http://8.8.8.8", "https://[2001:db8::1]:1", "http://0.0.0.0:80"] {
            assert!(check_url(&url(raw)).await.is_err(), "{raw}");
        }
    }
}
