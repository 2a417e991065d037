//! Reads settings: defaults, then a file, then the environment. What does not fit stops the start with the setting's
//! name, the source of its value and the reason, and never with the value of a secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Config, ConfigError, File, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use crate::common::CommonSettings;
use crate::secrets;
use crate::setting::{Documented, Invalid, PREFIX, Setting, leaves, table};

/// The variable that names the file, read by the command line.
const FILE_VARIABLE: &str = "CTRLPLANE_CONFIG";

/// Where settings are read from, besides the defaults.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML or YAML file.
    pub file: Option<PathBuf>,
    /// The variables of the process, all of them.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// The given file, and the process's own variables as far as they are ours.
    ///
    /// # Errors
    /// When one of ours is not Unicode.
    pub fn of_process(file: Option<PathBuf>) -> Result<Self, SettingsError> {
        let mut environment = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let value = value.into_string().map_err(|_| SettingsError::Variable {
                variable: name.to_owned(),
                reason: "its value is not Unicode".to_owned(),
            })?;
            environment.push((name.to_owned(), value));
        }
        Ok(Self { file, environment })
    }
}

/// Settings that fit.
#[derive(Debug)]
pub struct Loaded<T> {
    /// Those every service has.
    pub common: CommonSettings,
    /// The service's own.
    pub own: T,
    /// What is odd and does not stop the start: to be logged.
    pub warnings: Vec<String>,
}

/// Why settings do not fit.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value does not do.
    #[error("the setting {key} from {origin}: {reason}")]
    Value {
        /// Of the setting.
        key: String,
        /// A file or a variable.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// A key in the file that no setting has.
    #[error("the setting {key} from {origin} is unknown{hint}")]
    Unknown {
        /// As written.
        key: String,
        /// The file.
        origin: String,
        /// What could have been meant.
        hint: String,
    },
    /// A variable that cannot be used.
    #[error("the variable {variable}: {reason}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// The file as a whole.
    #[error("the settings file {}: {reason}", path.display())]
    File {
        /// Of the file.
        path: PathBuf,
        /// What is wrong, without quoting the file.
        reason: String,
    },
}

/// Reads and checks the settings of one service. `defaults` are the service's own idea of the common defaults.
///
/// An unknown key in the file is an error, and so is an unknown variable in a section that the service has
/// (`CTRLPLANE_NATS__URI`). A variable of an unknown section may be another service's: it is a warning.
///
/// # Errors
/// The first thing that does not fit; see [`SettingsError`].
pub fn load<T: Documented>(defaults: &CommonSettings, sources: &Sources) -> Result<Loaded<T>, SettingsError> {
    let table = table::<T>();
    let mut kinds = leaves(defaults);
    kinds.extend(leaves(&T::default()));
    let (variables, warnings) = Variables::sort(&sources.environment, &table, &kinds)?;

    let mut builder = Config::builder()
        .add_source(Config::try_from(defaults).expect("the common settings are texts, numbers and sections"));
    if let Some(path) = &sources.file {
        builder = builder.add_source(read_file(path)?);
    }
    let config = builder.add_source(variables).build().map_err(|error| SettingsError::Variable {
        variable: PREFIX.to_owned(),
        reason: redacted(&error.to_string()),
    })?;

    let mut origins = BTreeMap::new();
    walk("", &config.cache, &table, &mut origins)?;
    let judge = Judge { table: &table, origins: &origins };
    let common: CommonSettings = config.clone().try_deserialize().map_err(|error| judge.mismatch(&error))?;
    let own: T = config.try_deserialize().map_err(|error| judge.mismatch(&error))?;
    common.check().map_err(|invalid| judge.invalid(invalid))?;
    own.check().map_err(|invalid| judge.invalid(invalid))?;
    Ok(Loaded { common, own, warnings })
}

/// The variables that are settings.
#[derive(Clone, Debug)]
struct Variables(Map<String, Value>);

impl Variables {
    fn sort(
        environment: &[(String, String)],
        table: &[Setting],
        kinds: &BTreeMap<String, Json>,
    ) -> Result<(Self, Vec<String>), SettingsError> {
        let mut known = Map::new();
        let mut warnings = Vec::new();
        for (variable, text) in environment {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            if variable == FILE_VARIABLE || variable.starts_with(secrets::PREFIX) || text.is_empty() {
                continue;
            }
            if let Some(setting) = table.iter().find(|setting| setting.variable() == *variable) {
                let value = parse(variable, text, kinds.get(setting.key))?;
                known.insert(setting.key.to_owned(), Value::new(Some(variable), value));
                continue;
            }
            let key = name.to_lowercase().replace("__", ".");
            match key.split_once('.') {
                Some((section, _)) if is_section(section, table) => {
                    return Err(SettingsError::Unknown {
                        hint: hint(&key, table),
                        key,
                        origin: variable.clone(),
                    });
                }
                Some(_) | None => {
                    warnings.push(format!("the variable {variable} is no setting of this service"))
                }
            }
        }
        Ok((Self(known), warnings))
    }
}

impl Source for Variables {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// A variable is a text, which becomes a number where one is asked for; only a list must be taken apart here.
fn parse(variable: &str, text: &str, kind: Option<&Json>) -> Result<ValueKind, SettingsError> {
    match kind {
        Some(Json::Array(_)) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(ValueKind::Array(items.map(|item| Value::new(Some(&variable.to_owned()), item)).collect()))
        }
        Some(Json::Object(_)) => Err(SettingsError::Variable {
            variable: variable.to_owned(),
            reason: "this setting is a map and can only be given in the file".to_owned(),
        }),
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_)) | None => {
            Ok(ValueKind::String(text.to_owned()))
        }
    }
}

fn read_file(path: &Path) -> Result<Config, SettingsError> {
    let failed = |reason: String| SettingsError::File { path: path.to_owned(), reason };
    if let Err(error) = std::fs::File::open(path) {
        return Err(failed(error.to_string()));
    }
    Config::builder().add_source(File::from(path)).build().map_err(|error| {
        // A parser quotes the line it stumbles over, and that line may hold a secret: its quotes stand behind a bar.
        let text = if let ConfigError::FileParse { cause, .. } = &error {
            cause.to_string()
        } else {
            error.to_string()
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains('|')).map(str::trim).collect();
        failed(redacted(&lines.join(" ")))
    })
}

/// Notes where each setting comes from, and finds what no setting is called.
fn walk(
    key: &str,
    value: &Value,
    table: &[Setting],
    origins: &mut BTreeMap<String, String>,
) -> Result<(), SettingsError> {
    if table.iter().any(|setting| setting.key == key) {
        if let Some(origin) = origin(value) {
            origins.insert(key.to_owned(), origin);
        }
        return Ok(());
    }
    if !key.is_empty() && !is_section(key, table) {
        return Err(SettingsError::Unknown {
            key: key.to_owned(),
            origin: origin(value).unwrap_or_else(|| "the settings file".to_owned()),
            hint: hint(key, table),
        });
    }
    if let ValueKind::Table(fields) = &value.kind {
        let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
        return sorted.into_iter().try_for_each(|(name, value)| {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            walk(&key, value, table, origins)
        });
    }
    // An empty section in YAML is null; whatever else stands there is not a section.
    if matches!(value.kind, ValueKind::Nil) {
        return Ok(());
    }
    Err(SettingsError::Value {
        key: key.to_owned(),
        origin: origin(value).unwrap_or_else(|| "its default".to_owned()),
        reason: format!("it is a section{}", hint(&format!("{key}."), table)),
    })
}

/// Where a value was written; a list or a table is where its first item is.
fn origin(value: &Value) -> Option<String> {
    let inner = if let ValueKind::Array(items) = &value.kind {
        items.first().and_then(origin)
    } else if let ValueKind::Table(fields) = &value.kind {
        fields.values().find_map(origin)
    } else {
        None
    };
    value.origin().map(str::to_owned).or(inner)
}

fn is_section(key: &str, table: &[Setting]) -> bool {
    table.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

/// The settings of the same section.
fn hint(key: &str, table: &[Setting]) -> String {
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let mut names: Vec<&str> = table
        .iter()
        .filter_map(|setting| match section {
            "" => setting.key.split('.').next(),
            section => setting.key.strip_prefix(section)?.strip_prefix('.'),
        })
        .collect();
    names.dedup();
    if names.is_empty() { String::new() } else { format!("; there are: {}", names.join(", ")) }
}

/// Turns a mismatch into the name of a setting, the source of its value and a reason.
struct Judge<'a> {
    table: &'a [Setting],
    origins: &'a BTreeMap<String, String>,
}

impl Judge<'_> {
    fn mismatch(&self, error: &ConfigError) -> SettingsError {
        let (key, reason) = dissect(error);
        let key = key.unwrap_or_else(|| "(root)".to_owned());
        let setting = self.table.iter().find(|setting| setting.covers(&key));
        let reason = match setting {
            Some(setting) if !setting.secret => redacted(&reason),
            Some(_) => "its value does not do, and is a secret that is not shown".to_owned(),
            None => redacted(&reason),
        };
        SettingsError::Value {
            origin: self.origin(setting.map_or(key.as_str(), |setting| setting.key)),
            key,
            reason,
        }
    }

    fn invalid(&self, invalid: Invalid) -> SettingsError {
        let origin = self.origin(invalid.key);
        SettingsError::Value { key: invalid.key.to_owned(), origin, reason: redacted(&invalid.reason) }
    }

    fn origin(&self, key: &str) -> String {
        self.origins.get(key).cloned().unwrap_or_else(|| "its default".to_owned())
    }
}

/// Key and reason of a mismatch, without what the library adds around them.
fn dissect(error: &ConfigError) -> (Option<String>, String) {
    if let ConfigError::Type { unexpected, expected, key, .. } = error {
        return (key.clone(), format!("expected {expected}, found {unexpected}"));
    }
    if let ConfigError::At { error, key, .. } = error {
        let (inner, reason) = dissect(error);
        return (key.clone().or(inner), reason);
    }
    if let ConfigError::NotFound(key) = error {
        return (Some(key.clone()), "it is missing".to_owned());
    }
    (None, error.to_string())
}

fn redacted(text: &str) -> String {
    telemetry::redact(text).into_owned()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
