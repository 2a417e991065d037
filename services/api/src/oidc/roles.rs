//! Who somebody is by their claims, and what their groups let them do. Pure.

use std::str::FromStr;

use domain::access::{Grant, Grants};
use serde_json::{Map, Value};

/// The claim that is an address.
const EMAIL: &str = "email";
/// Anybody whom the issuer lets in.
const ANYBODY: &str = "*";
/// More bytes are no name of a user.
const USER_BYTES_MAX: usize = 200;

/// What a group lets its members do: `group=role`, or `group=role@workspace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupRole {
    group: String,
    grant: Grant,
}

impl FromStr for GroupRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (group, granted) = text.rsplit_once('=').ok_or("write group=role or group=role@workspace")?;
        let group = group.trim();
        if group.is_empty() {
            return Err("the group is empty; * is anybody".to_owned());
        }
        let (role, workspace) = match granted.trim().split_once('@') {
            Some((role, workspace)) => (role, Some(workspace)),
            None => (granted.trim(), None),
        };
        let workspace = workspace.map(str::parse).transpose();
        let workspace = workspace.map_err(|error| format!("the workspace of {text:?} {error}"))?;
        Ok(Self { group: group.to_owned(), grant: Grant { workspace, role: role.parse()? } })
    }
}

/// What members of these groups may do.
pub(crate) fn granted(rules: &[GroupRole], groups: &[String]) -> Grants {
    let holds = |rule: &&GroupRole| rule.group == ANYBODY || groups.contains(&rule.group);
    rules.iter().filter(holds).map(|rule| rule.grant.clone()).collect()
}

/// The groups that the claim names: a list, or one text. The claim may lie inside others: `realm_access.roles`.
pub(crate) fn groups(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    let found = claims.get(claim).or_else(|| {
        let mut path = claim.split('.');
        let first = claims.get(path.next()?)?;
        path.try_fold(first, |inside, name| inside.get(name))
    });
    let Some(found) = found else { return Vec::new() };
    match found.as_str() {
        Some(group) => vec![group.to_owned()],
        None => {
            let groups = found.as_array().into_iter().flatten();
            groups.filter_map(Value::as_str).map(str::to_owned).collect()
        }
    }
}

/// Who it is, by that claim; an address in lower case. One that the issuer calls anything but verified is nobody's.
pub(crate) fn user(claims: &Map<String, Value>, claim: &str) -> Result<String, String> {
    let name = claims.get(claim).and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if name.is_empty() {
        return Err(format!("the issuer does not tell your {claim}; is the scope for it among oidc.scopes?"));
    }
    if name.len() > USER_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(format!("your {claim} is no name that is taken here"));
    }
    if claim != EMAIL {
        return Ok(name.to_owned());
    }
    let is_verified = match claims.get("email_verified") {
        // Some issuers never say it, and one writes it as text.
        None => true,
        Some(verified) => verified.as_bool() == Some(true) || verified.as_str() == Some("true"),
    };
    if !is_verified {
        return Err("your address is not verified by the issuer".to_owned());
    }
    // Nobody gives two people addresses that differ in case only.
    Ok(name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::audit::Role;
    use serde_json::json;

    #[test]
    fn groups_become_roles_and_nobody_gets_one_by_chance() {
        let rules: Vec<GroupRole> = ["platform=admin", "/org/a=b=operator@shop", "*=viewer@shop"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let role = |groups: &[&str], workspace: &str| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            granted(&rules, &groups).role_in(&workspace.parse().unwrap())
        };
        assert_eq!(role(&["platform"], "anything"), Some(Role::Admin));
        assert_eq!(role(&["/org/a=b"], "shop"), Some(Role::Operator));
        assert_eq!((role(&[], "shop"), role(&["/org/a"], "other")), (Some(Role::Viewer), None));
        assert!(granted(&rules[..2], &["Platform".to_owned()]).is_empty());
        for wrong in ["platform", "=admin", "a=king", "a=admin@x.y", "a=admin@"] {
            assert!(wrong.parse::<GroupRole>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn claims_are_read_where_issuers_put_them() {
        let claims = json!({ "groups": ["a", 3, "b"], "one": "a", "realm_access": { "roles": ["r"] },
            "https://example.com/groups": ["u"], "email": "ann@example.com", "email_verified": false, "name": " Ann " });
        let claims = claims.as_object().unwrap();
        assert_eq!(groups(claims, "groups"), ["a", "b"]);
        assert_eq!(groups(claims, "one"), ["a"]);
        assert_eq!(groups(claims, "realm_access.roles"), ["r"]);
        assert_eq!(groups(claims, "https://example.com/groups"), ["u"]);
        assert_eq!(groups(claims, "nothing.there"), [""; 0]);
        assert_eq!(user(claims, "name"), Ok("Ann".to_owned()));
        assert!(user(claims, "email").unwrap_err().contains("not verified"));
        assert!(user(claims, "sub").unwrap_err().contains("sub"));
    }

    #[test]
    fn an_address_is_verified_or_nothing_is_said_of_it_and_its_case_does_not_count() {
        let of = |verified: Option<Value>| {
            let mut claims = json!({ "email": "Ann@Example.com" });
            if let Some(verified) = verified {
                claims["email_verified"] = verified;
            }
            user(claims.as_object().unwrap(), "email")
        };
        for verified in [None, Some(json!(true)), Some(json!("true"))] {
            assert_eq!(of(verified.clone()), Ok("ann@example.com".to_owned()), "{verified:?}");
        }
        for unverified in
            [json!(false), json!("false"), json!("no"), json!(null), json!(0), json!(1), json!([true])]
        {
            assert!(of(Some(unverified.clone())).is_err(), "{unverified}");
        }
    }
}
