//! What may be asked about access: keys, and who did what. It does nothing itself.

use std::time::Duration;

use clap::{Args, Subcommand};
use domain::access::Grant;

use super::args::{ClientArgs, EndArgs};
use super::duration;
use super::keys::grant;

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// List your keys, and those you look after; never what they are
    List(KeysListArgs),
    /// Make a key; it is printed this once
    Create(KeysCreateArgs),
    /// Make a key open nothing any more
    Revoke(KeysRevokeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeysListArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysCreateArgs {
    /// What it is for
    pub(crate) name: String,
    /// Whose it is: the actor of what it does [default: you]
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// viewer, operator, approver or admin, in every workspace or as ROLE@WORKSPACE; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = grant)]
    pub(crate) roles: Vec<Grant>,
    #[command(flatten)]
    pub(crate) end: EndArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct KeysRevokeArgs {
    /// The id `keys list` shows
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// How far back, as in 12h or 30d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) since: Option<Duration>,
    /// Only what this key or user did
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Only what was done to this: a name or id
    #[arg(long)]
    pub(crate) object: Option<String>,
    /// Only what was done to things of this kind
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only this: create, update, delete, cancel, retry, revoke, login, …
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Of all workspaces, and what belongs to none; for keys that open everything
    #[arg(long)]
    pub(crate) all: bool,
    /// How many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) limit: u32,
    /// How many of the newest to leave out
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: u64,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
