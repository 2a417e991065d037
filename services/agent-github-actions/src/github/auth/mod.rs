//! Who we are to GitHub: personal tokens, and Apps by JWT and installation token. Only here does a secret's name become
//! a credential; nothing outside sees one but as a header that is never shown.

mod installation;
mod jwt;
mod tokens;

pub(super) use installation::{AppIdentity, Minter};
pub(super) use tokens::Token;
