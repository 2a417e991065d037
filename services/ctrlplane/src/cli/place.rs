//! Where the API is and who we are to it: flags before variables before the user's contexts before a system that runs
//! from this directory. Decides by values; files are read elsewhere.

use std::path::{Path, PathBuf};

use domain::token::Slug;
use secrecy::SecretString;

use super::args::ClientArgs;
use super::config::{Context, Contexts, missing};
use super::failure::Failure;

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Variables {
    pub(super) url: Option<String>,
    pub(super) key: Option<String>,
    pub(super) workspace: Option<String>,
}

/// What is known from files.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The user's contexts, and the file they are from.
    pub(super) contexts: Option<(Contexts, PathBuf)>,
    /// The API of a system that runs from this directory, and its key's file.
    pub(super) running: Option<(String, PathBuf)>,
}

/// Where and who.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) url: String,
    /// What said so.
    pub(super) said_by: String,
    pub(super) key: Key,
    pub(super) workspace: Option<Slug>,
}

/// The API key, or where it is.
#[derive(Debug)]
pub(super) enum Key {
    Given(SecretString),
    File(PathBuf),
    /// What prints it.
    Command(String),
}

/// Chooses. A key from a file goes only to the URL it stands beside.
///
/// # Errors
/// What is missing, and how it can be given.
pub(super) fn choose(flags: &ClientArgs, variables: &Variables, known: &Known) -> Result<Place, Failure> {
    let context = context(flags, known)?;
    let (url, said_by) = match (&flags.url, &variables.url, &context) {
        (Some(url), _, _) => (url.clone(), "--url".to_owned()),
        // A context that was asked for by name is meant.
        (None, Some(url), _) if flags.context.is_none() => (url.clone(), "CTRLPLANE_URL".to_owned()),
        (None, _, Some((context, said_by))) => (context.url.clone(), said_by.clone()),
        (None, _, None) => {
            return Err(Failure::Usage(
                "where is the API? Start `ctrlplane dev` in this directory, or give --url, CTRLPLANE_URL, or a context in \
                 ~/.config/ctrlplane/config.yaml (`ctrlplane config set-context`)"
                    .to_owned(),
            ));
        }
    };
    let url = url.trim_end_matches('/').to_owned();
    let context =
        context.filter(|(context, _)| context.url.trim_end_matches('/') == url).map(|(context, _)| context);
    let key = match (&flags.key, &flags.key_file, &variables.key, &context) {
        (Some(key), ..) => Key::Given(key.clone().into()),
        (None, Some(file), ..) => Key::File(file.clone()),
        (None, None, Some(key), _) => Key::Given(key.clone().into()),
        (None, None, None, Some(Context { key: Some(key), .. })) => Key::Given(key.clone().into()),
        (None, None, None, Some(Context { key_file: Some(file), .. })) => Key::File(file.clone()),
        (None, None, None, Some(Context { key_command: Some(command), .. })) => Key::Command(command.clone()),
        (None, None, None, _) => {
            return Err(Failure::Usage(format!(
                "no API key for {url}: give --key-file or CTRLPLANE_API_KEY"
            )));
        }
    };
    let variable = variables.workspace.as_deref().map(str::parse::<Slug>).transpose();
    let variable = variable.map_err(|error| Failure::Usage(format!("CTRLPLANE_WORKSPACE {error}")))?;
    let workspace = flags.workspace.clone().or(variable).or(context.and_then(|context| context.workspace));
    Ok(Place { url, said_by, key, workspace })
}

/// The context that counts, and what said so.
fn context(flags: &ClientArgs, known: &Known) -> Result<Option<(Context, String)>, Failure> {
    if let Some((contexts, file)) = &known.contexts
        && let Some(name) = flags.context.as_ref().or(contexts.current_context.as_ref())
    {
        let Some(context) = contexts.contexts.get(name) else {
            return Err(missing(contexts, name, file));
        };
        let mut context = context.clone();
        let dir = file.parent().unwrap_or(Path::new(""));
        context.key_file = context.key_file.map(|path| dir.join(path));
        return Ok(Some((context, format!("the context {name}"))));
    }
    if let Some(name) = &flags.context {
        return Err(Failure::Usage(format!(
            "there is no context {name}: no ~/.config/ctrlplane/config.yaml"
        )));
    }
    Ok(known.running.as_ref().map(|(url, key_file)| {
        let context = Context {
            url: url.clone(),
            key: None,
            key_file: Some(key_file.clone()),
            key_command: None,
            workspace: None,
        };
        (context, "the `ctrlplane dev` of this directory".to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    const CONFIG: &str = "
current-context: prod
contexts:
  prod: { url: https://prod.example/, keyFile: prod.key, workspace: acme }
  test: { url: https://test.example, key: test-key }
  pass: { url: https://pass.example, keyCommand: pass show it }
";

    fn everything() -> Known {
        Known {
            contexts: Some((serde_yaml_ng::from_str(CONFIG).unwrap(), "/keys/config.yaml".into())),
            running: Some(("http://127.0.0.1:8080".to_owned(), "/data/admin.key".into())),
        }
    }

    fn key_of(place: &Place) -> String {
        match &place.key {
            Key::Given(key) => format!("key {}", key.expose_secret()),
            Key::File(file) => format!("file {}", file.display()),
            Key::Command(command) => format!("command {command}"),
        }
    }

    /// Flags as `url key workspace context`, `-` for none; then the same three of variables.
    fn chosen(flags: [&str; 4], variables: [&str; 3], known: &Known) -> Result<String, Failure> {
        let given = |text: &str| (text != "-").then(|| text.to_owned());
        let args = ClientArgs {
            url: given(flags[0]),
            key: given(flags[1]),
            workspace: given(flags[2]).map(|slug| slug.parse().unwrap()),
            context: given(flags[3]),
            ..ClientArgs::default()
        };
        let variables =
            Variables { url: given(variables[0]), key: given(variables[1]), workspace: given(variables[2]) };
        let place = choose(&args, &variables, known)?;
        let workspace = place.workspace.as_ref().map_or("-", Slug::as_str);
        Ok(format!("{} {} {workspace}", place.url, key_of(&place)))
    }

    #[test]
    fn flags_come_before_variables_before_contexts_before_what_runs_here() {
        let all = everything();
        let here = Known { contexts: None, ..everything() };
        let none = ["-"; 4];
        for (flags, variables, known, expected) in [
            (none, ["-"; 3], &all, "https://prod.example file /keys/prod.key acme"),
            (none, ["-"; 3], &here, "http://127.0.0.1:8080 file /data/admin.key -"),
            (none, ["http://v", "vk", "vw"], &all, "http://v key vk vw"),
            (["http://f", "fk", "fw", "-"], ["http://v", "vk", "vw"], &all, "http://f key fk fw"),
            (["-", "fk", "-", "-"], ["-", "-", "vw"], &all, "https://prod.example key fk vw"),
            (["-", "-", "-", "test"], ["http://v", "-", "-"], &all, "https://test.example key test-key -"),
            (["-", "-", "-", "pass"], ["-"; 3], &all, "https://pass.example command pass show it -"),
            (
                ["https://prod.example/", "-", "-", "-"],
                ["-"; 3],
                &all,
                "https://prod.example file /keys/prod.key acme",
            ),
        ] {
            assert_eq!(chosen(flags, variables, known), Ok(expected.to_owned()), "{flags:?} {variables:?}");
        }
    }

    #[test]
    fn a_key_never_goes_where_it_does_not_belong() {
        for flags in [["http://else", "-", "-", "-"], ["https://prod.example.evil", "-", "-", "-"]] {
            let refused = chosen(flags, ["-"; 3], &everything()).unwrap_err();
            assert!(matches!(&refused, Failure::Usage(why) if why.contains("no API key")), "{refused:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (flags, known, why) in [
            (["-"; 4], Known::default(), "where is the API?"),
            (["-", "-", "-", "dev"], everything(), "has no context dev; it has: pass, prod, test"),
            (["-", "-", "-", "dev"], Known::default(), "there is no context dev"),
        ] {
            let refused = chosen(flags, ["-"; 3], &known).unwrap_err();
            assert!(matches!(&refused, Failure::Usage(text) if text.contains(why)), "{refused:?}");
        }
    }
}
