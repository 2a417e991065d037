//! Which ports to listen on: the one asked for or none, the usual one or another.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;

/// How many ports after the usual one are tried.
const TRIES: u16 = 100;

/// A port, by how much it matters that it is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Somebody asked for it.
    Exactly(u16),
    /// It is the usual one.
    Preferably(u16),
}

impl Wanted {
    /// What was asked for, else the usual one.
    pub(crate) fn of(asked: Option<u16>, usual: u16) -> Self {
        asked.map_or(Self::Preferably(usual), Self::Exactly)
    }
}

/// A port to listen on.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// The port.
    pub(crate) port: u16,
    /// Says so when it is not the usual one.
    pub(crate) note: Option<PortNote>,
}

/// A port that is not the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortNote {
    /// Who listens there.
    pub(crate) what: &'static str,
    /// The usual port.
    pub(crate) usual: u16,
    /// The port in its place.
    pub(crate) port: u16,
}

impl fmt::Display for PortNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on port {}: the usual {} is taken", self.what, self.port, self.usual)
    }
}

/// A free port. Port 0 leaves the choice to the system.
pub(crate) fn choose(what: &'static str, wanted: Wanted, taken: &[u16]) -> anyhow::Result<Chosen> {
    match wanted {
        Wanted::Exactly(port) if port == 0 || is_free(port) => Ok(Chosen { port, note: None }),
        Wanted::Exactly(port) => {
            bail!("port {port} for {what} is taken: stop what listens there, or choose another")
        }
        Wanted::Preferably(usual) => {
            let candidates = usual..usual.saturating_add(TRIES);
            match candidates.into_iter().find(|port| !taken.contains(port) && is_free(*port)) {
                Some(port) => {
                    Ok(Chosen { port, note: (port != usual).then_some(PortNote { what, usual, port }) })
                }
                None => {
                    bail!("no port from {usual} to {} is free for {what}", usual.saturating_add(TRIES - 1))
                }
            }
        }
    }
}

/// Whether somebody could listen there now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_when_asked_for_and_replaced_when_usual() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let refused = choose("the API", Wanted::of(Some(port), 8080), &[]).expect_err("taken").to_string();
        assert_eq!(
            refused,
            format!("port {port} for the API is taken: stop what listens there, or choose another")
        );
        let chosen = choose("the API", Wanted::of(None, port), &[]).expect("another");
        assert_ne!(chosen.port, port);
        let note = chosen.note.expect("a note").to_string();
        assert_eq!(note, format!("the API on port {}: the usual {port} is taken", chosen.port));
    }

    #[test]
    fn a_port_promised_to_another_is_not_chosen() {
        let free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("bound").port();
        let chosen = choose("webhooks", Wanted::Preferably(free), &[free]).expect("another");
        assert_ne!(chosen.port, free);
    }
}
