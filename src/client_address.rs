//! Whom a request comes from: the peer of the connection, or whom a trusted proxy names.
//!
//! Every proxy appends the address it was reached from to `X-Forwarded-For`, so the list is read
//! from its end and only as far as trusted proxies wrote it. What a client puts there itself is
//! never believed. Without trusted proxies the header is not read at all.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// How many entries of the header are looked at: no chain of proxies is longer, and a client may
/// send as many as fit.
const MOST_HOPS: usize = 32;

/// The rightmost address that is no trusted proxy. `peer` is the other end of the connection,
/// `forwarded_for` the values of the `X-Forwarded-For` headers in the order they came.
///
/// An entry that is no address ends the search: whoever wrote it, what stands before it cannot be
/// told from an invention, so the request counts as coming from the last proxy that was believed.
/// IPv4 addresses that are written as IPv6 count as IPv4.
pub(crate) fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl Iterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    let values: Vec<&str> = forwarded_for.collect();
    let hops = values.iter().rev().flat_map(|value| value.rsplit(',')).map(str::trim);
    for hop in hops.filter(|hop| !hop.is_empty()).take(MOST_HOPS) {
        let Some(address) = address(hop) else { return client };
        client = address;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// Reads one entry: an address, perhaps with a port, which some proxies add.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address: Option<IpAddr> = bare.parse().ok();
    let with_port = || hop.parse().ok().map(|address: SocketAddr| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> =
            trusted.iter().map(|net| net.parse().expect("a network")).collect();
        let peer = peer.parse().expect("an address");
        client_address(peer, headers.iter().copied(), &trusted).to_string()
    }

    const PROXIES: &[&str] = &["10.0.0.0/8", "2001:db8::/32"];

    #[test]
    fn nobody_is_believed_unless_trusted() {
        assert_eq!(client("192.0.2.1", &["198.51.100.9"], &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.9"], PROXIES), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_names_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.9"], PROXIES), "198.51.100.9");
        assert_eq!(client("2001:db8::1", &["2001:db9::7"], PROXIES), "2001:db9::7");
        assert_eq!(client("10.0.0.1", &[], PROXIES), "10.0.0.1");
    }

    #[test]
    fn what_a_client_claims_is_behind_what_the_proxy_saw() {
        let forged = ["127.0.0.1, 203.0.113.5", "198.51.100.9, 10.0.0.2"];
        assert_eq!(client("10.0.0.1", &forged, PROXIES), "198.51.100.9");
    }

    #[test]
    fn a_chain_of_proxies_alone_leads_to_its_beginning() {
        assert_eq!(client("10.0.0.1", &["10.0.0.4, 10.0.0.3", "10.0.0.2"], PROXIES), "10.0.0.4");
    }

    #[test]
    fn junk_stops_the_search_at_the_last_proxy_that_was_believed() {
        for junk in ["unknown", "_hidden", "1.2.3", "\u{fffd}", "<script>", "[::1"] {
            assert_eq!(client("10.0.0.1", &[&format!("192.0.2.7, {junk}")], PROXIES), "10.0.0.1");
            let header = format!("{junk}, 10.0.0.2");
            assert_eq!(client("10.0.0.1", &[&header], PROXIES), "10.0.0.2", "{junk}");
        }
        assert_eq!(client("10.0.0.1", &[" , ,198.51.100.9,, "], PROXIES), "198.51.100.9");
    }

    #[test]
    fn ipv4_in_ipv6_counts_as_ipv4() {
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.9"], PROXIES), "198.51.100.9");
        assert_eq!(client("::ffff:192.0.2.1", &["198.51.100.9"], PROXIES), "192.0.2.1");
    }

    #[test]
    fn ports_and_brackets_are_not_part_of_an_address() {
        assert_eq!(client("10.0.0.1", &["198.51.100.9:4711"], PROXIES), "198.51.100.9");
        assert_eq!(client("10.0.0.1", &["[2001:db9::7]:4711"], PROXIES), "2001:db9::7");
        assert_eq!(client("10.0.0.1", &["[2001:db9::7]"], PROXIES), "2001:db9::7");
    }

    #[test]
    fn a_header_without_end_is_not_read_to_its_end() {
        let long = format!("198.51.100.9{}", ", 10.0.0.2".repeat(100_000));
        assert_eq!(client("10.0.0.1", &[&long], PROXIES), "10.0.0.2");
    }
}
