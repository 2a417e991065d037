//! The files a person means: one, all of a directory, or stdin.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Which files of a directory are manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];
/// No catalog has more files.
const FILES_MAX: usize = 10_000;
/// No catalog is deeper.
const DEPTH_MAX: usize = 32;
/// The API takes no more at once.
const BYTES_MAX: u64 = 10 * 1024 * 1024;

/// A file's name, as it was found, and its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reads all of them: a directory in the order of its sorted paths, names that begin with a dot left out.
///
/// # Errors
/// When one cannot be read, or there is none.
pub(super) fn collect(paths: &[PathBuf]) -> Result<Vec<Source>, Failure> {
    let mut sources = Vec::new();
    let mut bytes = 0;
    for path in paths {
        if path.as_os_str() == "-" {
            let text = read(std::io::stdin().lock(), "stdin", &mut bytes)?;
            sources.push(Source { name: "stdin".to_owned(), text });
            continue;
        }
        let mut found = Vec::new();
        if metadata(path)?.is_dir() {
            walk(path, 0, &mut found)?;
        } else {
            found.push(path.clone());
        }
        for path in found {
            let name = path.display().to_string();
            let file = fs::File::open(&path).map_err(|error| wrong(&path, &error))?;
            sources.push(Source { text: read(file, &name, &mut bytes)?, name });
        }
    }
    if sources.is_empty() {
        let places: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::Usage(format!("no *.yaml, *.yml or *.json in {}", places.join(", "))));
    }
    Ok(sources)
}

fn walk(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Err(Failure::Usage(format!("{} is deeper than {DEPTH_MAX} directories", dir.display())));
    }
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| wrong(dir, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Links to files are followed, links to directories are not: those may lead in circles.
        let is_dir = entry.file_type().map_err(|error| wrong(&path, &error))?.is_dir();
        let is_manifest =
            path.extension().is_some_and(|is| EXTENSIONS.iter().any(|known| is.eq_ignore_ascii_case(known)));
        if is_dir {
            walk(&path, depth + 1, found)?;
        } else if is_manifest && metadata(&path)?.is_file() {
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(Failure::Usage(format!("more than {FILES_MAX} files below {}", dir.display())));
        }
    }
    Ok(())
}

fn read(from: impl std::io::Read, name: &str, bytes: &mut u64) -> Result<String, Failure> {
    let mut raw = Vec::new();
    let rest = BYTES_MAX.saturating_sub(*bytes);
    from.take(rest + 1).read_to_end(&mut raw).map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    *bytes += raw.len() as u64;
    if *bytes > BYTES_MAX {
        return Err(Failure::Usage(format!("{name}: all files together have more than {BYTES_MAX} bytes")));
    }
    String::from_utf8(raw).map_err(|_| Failure::Usage(format!("{name}: is not UTF-8 text")))
}

fn metadata(path: &Path) -> Result<fs::Metadata, Failure> {
    fs::metadata(path).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_order_with_everything_below() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/.git")).unwrap();
        for name in ["c.yml", "a.yaml", "b/z.JSON", "b/a.yaml", "b/.git/x.yaml", "notes.md", ".hidden.yaml"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(dir.path(), dir.path().join("b/circle")).unwrap();
        let found: Vec<String> =
            collect(&[dir.path().to_owned()]).unwrap().into_iter().map(|file| file.text).collect();
        assert_eq!(found, ["a.yaml", "b/a.yaml", "b/z.JSON", "c.yml"]);
    }

    #[test]
    fn a_named_file_may_have_any_extension() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.txt");
        fs::write(&path, "kind: System").unwrap();
        let found = collect(std::slice::from_ref(&path)).unwrap();
        assert_eq!(found, [Source { name: path.display().to_string(), text: "kind: System".to_owned() }]);
    }

    #[test]
    fn nothing_found_and_nothing_readable_are_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = collect(&[dir.path().to_owned()]).unwrap_err();
        assert!(matches!(&nothing, Failure::Usage(why) if why.starts_with("no *.yaml")), "{nothing:?}");
        assert!(matches!(collect(&[dir.path().join("gone")]), Err(Failure::Usage(_))));
        fs::write(dir.path().join("a.yaml"), [0xff, 0xfe]).unwrap();
        assert!(
            matches!(collect(&[dir.path().to_owned()]), Err(Failure::Usage(why)) if why.contains("UTF-8"))
        );
    }
}
