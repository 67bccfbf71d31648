//! The nearest of some names, for errors about one that is not there.

/// The longest name that others are compared with.
const LONGEST: usize = 256;

/// The candidate that most likely was meant: the same but for case, or a few letters away.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Names of objects are short; comparing takes the product of the lengths.
    if name.len() > LONGEST {
        return None;
    }
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let allowed = (wanted.len() / 3).clamp(1, 5);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 2 * allowed && !candidate.is_empty())
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be put in, taken out or exchanged.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (to, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[to + 1];
            row[to + 1] = replaced.min(diagonal + 1).min(row[to] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_is_the_one_with_the_fewest_changes() {
        let names = ["resources", "components", "namePrefix", "nameSuffix", "images"];
        assert_eq!(nearest("resource", names), Some("resources"));
        assert_eq!(nearest("Resorces", names), Some("resources"));
        assert_eq!(nearest("nameprefix", names), Some("namePrefix"));
        assert_eq!(nearest("image", names), Some("images"));
        assert_eq!(nearest("helm", names), None);
        assert_eq!(nearest("", names), None);
    }
}
