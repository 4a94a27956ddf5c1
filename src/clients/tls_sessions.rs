//! TLS sessions that can be resumed.
//!
//! A ticket of TLS 1.3 is used once. rustls keeps eight for a host, which is right for a browser; a
//! campaign joins hundreds of agents of one host at a time, and each would pay for a signature and
//! a certificate's check. So more are kept, of fewer hosts.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Tickets kept for one host. The oldest goes first: it is the next to be of no use.
const TICKETS: usize = 256;
/// Hosts whose tickets are kept: the vendors', and those of companies with an `apiurl` of their
/// own. One more, and all are forgotten, which costs each host a full handshake.
const HOSTS: usize = 64;

/// Sessions of the hosts that we connect to. All but tickets is left to rustls's own cache.
#[derive(Debug)]
pub(super) struct Sessions {
    tickets: Mutex<HashMap<ServerName<'static>, VecDeque<Tls13ClientSessionValue>>>,
    others: ClientSessionMemoryCache,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { tickets: Mutex::default(), others: ClientSessionMemoryCache::new(HOSTS * 8) }
    }
}

impl Sessions {
    fn tickets(
        &self,
    ) -> MutexGuard<'_, HashMap<ServerName<'static>, VecDeque<Tls13ClientSessionValue>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Sessions {
    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut tickets = self.tickets();
        if tickets.len() >= HOSTS && !tickets.contains_key(&server) {
            tickets.clear();
        }
        let of_server = tickets.entry(server).or_default();
        if of_server.len() >= TICKETS {
            of_server.pop_front();
        }
        of_server.push_back(ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets().get_mut(server)?.pop_back()
    }

    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.others.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.others.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.others.set_tls12_session(server, session);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.others.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.others.remove_tls12_session(server);
    }
}
