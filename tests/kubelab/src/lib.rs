//! A real Kubernetes API server and its controllers on this machine, on Debian's etcd: no containers, no kubelet, no
//! scheduler. Whoever holds it patches pods' status in the kubelet's place.
#![allow(clippy::disallowed_methods, reason = "the environment says where the program is")]

mod api;
mod lab;

pub use lab::{Account, KubeLab, TOKEN};
