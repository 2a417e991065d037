//! "Did you mean …?"

/// The candidate nearest to what was written, if it is near enough to be a slip.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let near = |candidate: &&'a str| distance(&written, &candidate.to_ascii_lowercase());
    let best = candidates.into_iter().min_by_key(near)?;
    (near(&best) <= (written.chars().count() / 3).max(1)).then_some(best)
}

/// How many characters must be put in, left out or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let kinds = ["Deployment", "Environment", "Policy"];
        for (written, meant) in [
            ("Deploiment", Some("Deployment")),
            ("environment", Some("Environment")),
            ("Pod", None),
            ("Polcy", Some("Policy")),
        ] {
            assert_eq!(nearest(written, kinds), meant, "{written}");
        }
    }
}
