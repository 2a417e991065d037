//! The table of settings: one row per setting, from which the help text, the names of the variables and the check for
//! unknown keys are made. It does not read any value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::common::CommonSettings;

/// The prefix of every variable.
pub(crate) const PREFIX: &str = "CTRLPLANE_";

/// One setting. Its default is the one of the settings struct.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `section.key` in the file, snake_case.
    pub key: &'static str,
    /// What it does, with its unit, in one line.
    pub what: &'static str,
    /// Its value is never shown.
    pub secret: bool,
}

impl Setting {
    /// A row of the table.
    pub const fn new(key: &'static str, what: &'static str) -> Self {
        Self { key, what, secret: false }
    }

    /// A row whose value is never shown.
    pub const fn secret(key: &'static str, what: &'static str) -> Self {
        Self { key, what, secret: true }
    }

    /// The variable that sets it: `nats.password_file` is `CTRLPLANE_NATS__PASSWORD_FILE`. Two underscores stand for
    /// the dot, so that one underscore can stay part of a name.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.key.replace('.', "__").to_uppercase())
    }

    /// Whether `key` is this setting or lies inside its value.
    pub(crate) fn covers(&self, key: &str) -> bool {
        key.strip_prefix(self.key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

/// A settings struct with its table.
///
/// Derive `Serialize`, `Deserialize` and have `#[serde(default)]` on every struct, so that [`Default`] is the one place
/// for defaults. Do not use `flatten` or untagged enums: they would lose the conversion of a variable's text to numbers.
/// Hold the table with a test that calls [`assert_documented`].
pub trait Documented: Default + Serialize + DeserializeOwned {
    /// A row for every field, none more.
    const SETTINGS: &'static [Setting];

    /// What a type alone cannot say about the values.
    ///
    /// # Errors
    /// The first setting whose value does not do, with the reason.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

/// A value that does not do.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Of the setting, as in its table.
    pub key: &'static str,
    /// What is wrong, without the value of a secret.
    pub reason: String,
}

/// Refuses the 0 of a setting that must be 1 at least.
pub fn at_least_one<N: From<u8> + PartialEq>(key: &'static str, number: N) -> Result<(), Invalid> {
    if number == N::from(0) {
        return Err(Invalid { key, reason: "must be at least 1".to_owned() });
    }
    Ok(())
}

/// For a service that has only the common settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NoSettings {}

impl Documented for NoSettings {
    const SETTINGS: &'static [Setting] = &[];
}

/// The rows of a service: what all services share, then its own.
pub(crate) fn table<T: Documented>() -> Vec<Setting> {
    [CommonSettings::SETTINGS, T::SETTINGS].concat()
}

/// All settings of a service with variable, default and meaning, for `--help`.
pub fn help<T: Documented>(common: &CommonSettings) -> String {
    let mut defaults = leaves(common);
    defaults.extend(leaves(&T::default()));
    let mut text = String::from(
        "Settings, in order of precedence: environment variables (an empty one counts as unset), the file of --config \
         (TOML or YAML, `section: {key: value}`), defaults. Lists in a variable are separated by commas.\n",
    );
    for setting in table::<T>() {
        let default = match defaults.get(setting.key) {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let (variable, what) = (setting.variable(), setting.what);
        write!(text, "\n  {variable}\n      {what} [{}; default: {default}]", setting.key)
            .expect("a String takes any text");
    }
    text.push_str(
        "\n\n  CTRLPLANE_SECRET_<NAME>\n      A secret by its name, where secrets.dir has no file for it.",
    );
    text
}

/// For a test of each service: the table and the struct have the same keys.
///
/// # Panics
/// When a field has no row, a row no field, a key occurs twice or a row says nothing.
#[track_caller]
pub fn assert_documented<T: Documented>() {
    let rows: BTreeSet<&str> = T::SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(rows.len(), T::SETTINGS.len(), "a key occurs twice in the table");
    let leaves = leaves(&T::default());
    let undocumented: Vec<&String> =
        leaves.keys().filter(|key| !T::SETTINGS.iter().any(|setting| setting.covers(key))).collect();
    assert!(undocumented.is_empty(), "fields without a row in the table: {undocumented:?}");
    let without_field: Vec<&&str> = rows
        .iter()
        .filter(|key| {
            !leaves.keys().any(|leaf| leaf.as_str() == **key || leaf.starts_with(&format!("{key}.")))
        })
        .collect();
    assert!(without_field.is_empty(), "rows without a field: {without_field:?}");
    assert!(T::SETTINGS.iter().all(|setting| !setting.what.is_empty()), "a row says nothing");
}

/// Every value of a settings struct by its dotted key. Lists and empty maps are values.
pub(crate) fn leaves<T: Serialize>(settings: &T) -> BTreeMap<String, Value> {
    fn walk(key: String, value: Value, found: &mut BTreeMap<String, Value>) {
        if let Value::Object(fields) = &value
            && (!fields.is_empty() || key.is_empty())
        {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                walk(key, value.clone(), found);
            }
            return;
        }
        found.insert(key, value);
    }
    let mut found = BTreeMap::new();
    let value = serde_json::to_value(settings).expect("settings are texts, numbers, lists and sections");
    walk(String::new(), value, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_table_and_struct_agree() {
        assert_documented::<CommonSettings>();
        assert_documented::<NoSettings>();
    }

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Forgetful {
        limit: u32,
        hosts: Vec<String>,
    }

    impl Documented for Forgetful {
        const SETTINGS: &'static [Setting] = &[Setting::new("limit", "How many.")];
    }

    #[test]
    #[should_panic(expected = "hosts")]
    fn a_field_without_a_row_is_found() {
        assert_documented::<Forgetful>();
    }

    #[test]
    fn the_help_names_every_setting_with_variable_and_default() {
        let text = help::<Forgetful>(&CommonSettings::listening_on(8123));
        for setting in table::<Forgetful>() {
            assert!(text.contains(setting.key) && text.contains(&setting.variable()), "{}", setting.key);
        }
        assert!(text.contains("[http.bind; default: 127.0.0.1:8123]"), "{text}");
        assert!(text.contains("[nats.password; default: none]"), "{text}");
    }

    #[test]
    fn a_variable_is_unambiguous() {
        assert_eq!(Setting::new("nats.password_file", "").variable(), "CTRLPLANE_NATS__PASSWORD_FILE");
        let variables: BTreeSet<String> = CommonSettings::SETTINGS.iter().map(Setting::variable).collect();
        assert_eq!(variables.len(), CommonSettings::SETTINGS.len());
    }
}
