//! "Did you mean": the known word nearest to an unknown one.

/// A sentence with the nearest of the known words, or with all of them when none is near and they are few.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const FEW: usize = 16;
    let known: Vec<&str> = known.into_iter().collect();
    let all = || format!("there are {}", known.join(", "));
    let few = !known.is_empty() && known.len() <= FEW;
    near(word, known.iter().copied()).or_else(|| few.then(all))
}

/// A sentence with the nearest of the known words, where one is near.
pub(crate) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    let nearest = known
        .into_iter()
        .map(|candidate| (distance(&lower, &candidate.to_ascii_lowercase()), candidate))
        .min_by_key(|(distance, _)| *distance);
    let (_, candidate) = nearest.filter(|(distance, _)| *distance <= 1 + word.chars().count() / 4)?;
    Some(format!("did you mean `{candidate}`?"))
}

/// How many letters to insert, drop, replace, or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (n, row) in rows.iter_mut().enumerate() {
        row[0] = n;
    }
    for (n, cell) in rows[0].iter_mut().enumerate() {
        *cell = n;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_listed() {
        let known = ["systems", "description", "resourceSelector"];
        for (word, hint) in [
            ("systms", "did you mean `systems`?"),
            ("system", "did you mean `systems`?"),
            ("ResourceSelektor", "did you mean `resourceSelector`?"),
            ("resourceSelecotr", "did you mean `resourceSelector`?"),
            ("x", "there are systems, description, resourceSelector"),
        ] {
            assert_eq!(did_you_mean(word, known).as_deref(), Some(hint), "{word}");
        }
        assert_eq!(did_you_mean("x", []), None);
    }
}
