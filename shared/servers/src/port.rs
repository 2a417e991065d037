//! Ports on 127.0.0.1 that stay ours while a server is down between two starts. Does not know who listens on them.

use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use crate::ServerError;

/// Below the range the kernel gives to outgoing connections (32768 up): a client that reconnects to a stopped server
/// can then neither take the server's port nor connect to itself. Also below Kubernetes' node ports.
const FREE_PORTS: std::ops::Range<u16> = 20_000..30_000;

/// How many ports are probed before giving up on finding a free one.
const PROBES_MAX: u16 = 500;

/// Which port a server listens on, always on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// Any free one; the handle tells which.
    Free,
    /// This one, or an error when it is taken.
    Fixed(u16),
}

/// A port and the claim that keeps other instances of this code away from it.
#[derive(Debug)]
pub struct Lease {
    port: u16,
    /// A listener on 127.0.0.2 with the same number: a claim that the kernel releases when we end, however we end.
    /// `None` where that address does not exist (macOS), and for fixed ports, which the caller chose.
    _claim: Option<TcpListener>,
}

impl Lease {
    /// Takes a port; it is ours until this is dropped.
    ///
    /// # Errors
    /// [`ServerError::PortTaken`] where there is none, or the one that was asked for is taken.
    pub fn take(port: Port) -> Result<Self, ServerError> {
        match port {
            Port::Free => Self::free(),
            Port::Fixed(port) if is_free(port) => Ok(Self { port, _claim: None }),
            Port::Fixed(port) => Err(ServerError::PortTaken { port }),
        }
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn free() -> Result<Self, ServerError> {
        let size = FREE_PORTS.end - FREE_PORTS.start;
        let random = RandomState::new().hash_one(std::process::id()) % u64::from(size);
        let first = u16::try_from(random).expect("below the size of the range, which is a u16");
        for step in 0..PROBES_MAX {
            let port = FREE_PORTS.start + (first + step) % size;
            let claim = match TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)) {
                Ok(claim) => Some(claim),
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => None,
                Err(_taken) => continue,
            };
            if is_free(port) {
                return Ok(Self { port, _claim: claim });
            }
        }
        Err(ServerError::PortTaken { port: FREE_PORTS.start + first })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::{Lease, Port};
    use crate::ServerError;

    #[test]
    fn leases_never_share_a_port_even_while_nobody_listens() {
        let leases: Vec<Lease> = (0..200).map(|_| Lease::take(Port::Free).unwrap()).collect();
        let ports: BTreeSet<u16> = leases.iter().map(Lease::port).collect();
        assert_eq!(ports.len(), leases.len());
    }

    #[test]
    fn a_taken_fixed_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Lease::take(Port::Fixed(port)).unwrap_err();
        assert!(matches!(error, ServerError::PortTaken { port: named } if named == port));
    }
}
