//! `ctrlplane keys`: API keys, made and told once, listed, revoked.

use domain::access::{Grant, Grants};
use reqwest::Method;
use serde_json::{Value, json};

use super::access_args::{KeysCreateArgs, KeysListArgs, KeysRevokeArgs};
use super::failure::Failure;
use super::output::{self, Format};
use super::session::Session;
use super::table::Table;
use super::words::{plain, stamp, text_at, time_at};

/// `ctrlplane keys list`
pub(super) async fn list(session: &Session, _args: &KeysListArgs) -> Result<(), Failure> {
    let answer = session.api.get(&["keys"], &[("limit", "1000")]).await?;
    let keys = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => {
            output::print(&keys.iter().map(|key| format!("{}\n", text_at(key, "/id"))).collect::<String>())
        }
        Format::Table => {
            let mut table = Table::new(["ID", "USER", "NAME", "ROLES", "CREATED", "BY", "EXPIRES"]);
            for key in keys {
                let text = |pointer: &str| text_at(key, pointer);
                let time = |pointer: &str| time_at(key, pointer).map(stamp).unwrap_or_default();
                let expires = match key["expired"].as_bool() {
                    Some(true) => format!("{} (over)", time("/expiresAt")),
                    Some(false) | None => time("/expiresAt"),
                };
                table.row([
                    text("/id"),
                    text("/user"),
                    text("/name"),
                    roles(key),
                    time("/createdAt"),
                    text("/createdBy"),
                    expires,
                ]);
            }
            let text = table.render();
            if text.is_empty() {
                eprintln!("no keys were made over the API; those of the api's keys file are not listed");
            }
            output::print(&text)
        }
    }
}

/// `ctrlplane keys create`: on stdout nothing but the key, so that it can be piped to where it belongs.
pub(super) async fn create(session: &Session, args: &KeysCreateArgs) -> Result<(), Failure> {
    let granted: Grants = args.roles.iter().cloned().collect();
    let body = json!({
        "name": args.name,
        "user": args.user,
        "roles": granted,
        "expiresAt": args.end.until,
        "forSeconds": args.end.for_seconds(),
    });
    let key = session.api.send_json(Method::POST, &["keys"], &[], &body).await?;
    match session.format {
        Format::Json => output::json(&key),
        Format::Yaml => output::yaml(&key),
        Format::Name => output::line(&text_at(&key, "/id")),
        Format::Table => {
            let expires = match time_at(&key, "/expiresAt") {
                Some(at) => format!("until {}", stamp(at)),
                None => "until it is revoked".to_owned(),
            };
            eprintln!(
                "key {} of {} ({}), {expires}; it is shown this once:",
                text_at(&key, "/id"),
                plain(&text_at(&key, "/user")),
                roles(&key),
            );
            output::line(&text_at(&key, "/key"))
        }
    }
}

/// `ctrlplane keys revoke`
pub(super) async fn revoke(session: &Session, args: &KeysRevokeArgs) -> Result<(), Failure> {
    let answer = session.api.delete(&["keys", args.id.as_str()], &[]).await?;
    match session.format {
        Format::Json => output::json(&answer),
        Format::Yaml => output::yaml(&answer),
        Format::Name => output::line(&text_at(&answer, "/id")),
        Format::Table => output::line(&format!("{} revoked", text_at(&answer, "/id"))),
    }
}

/// `admin`, or `operator@shop,viewer@web`.
fn roles(key: &Value) -> String {
    let roles = key["roles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |grant: &Value| match grant["workspace"].as_str() {
        Some(workspace) => format!("{}@{workspace}", text_at(grant, "/role")),
        None => text_at(grant, "/role"),
    };
    roles.iter().map(one).collect::<Vec<_>>().join(",")
}

/// `role` or `role@workspace`.
pub(super) fn grant(text: &str) -> Result<Grant, String> {
    let (role, workspace) = match text.split_once('@') {
        Some((role, workspace)) => (role, Some(workspace)),
        None => (text, None),
    };
    let workspace =
        workspace.map(str::parse).transpose().map_err(|error| format!("the workspace {error}"))?;
    Ok(Grant { workspace, role: role.parse()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_may_be_of_one_workspace() {
        assert_eq!(grant("admin").unwrap().workspace, None);
        assert_eq!(grant("operator@shop").unwrap().workspace, Some("shop".parse().unwrap()));
        for wrong in ["king", "admin@", "admin@a.b", "@shop"] {
            assert!(grant(wrong).is_err(), "{wrong}");
        }
        let key = json!({ "roles": [{ "role": "viewer" }, { "role": "admin", "workspace": "shop" }] });
        assert_eq!(roles(&key), "viewer,admin@shop");
    }
}
