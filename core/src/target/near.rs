// SPDX-License-Identifier: Apache-2.0
//! Names that were nearly written: for messages, never for decisions.

/// Of these names the one that is nearest to what was written, if one is near.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = match written.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let near = names.into_iter().filter_map(|name| Some((distance(written, name).filter(|distance| *distance <= far)?, name)));
    near.min().map(|(_, name)| name)
}

/// Letters to insert, drop, replace or swap with their neighbour; `None` when it is plain from the lengths that there are many.
fn distance(a: &str, b: &str) -> Option<usize> {
    if a.len().abs_diff(b.len()) > 2 {
        return None;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    Some(rows[a.len()][b.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["web.shop", "orders.shop", "web"];
        assert_eq!(nearest("wbe.shop", names), Some("web.shop"), "two letters swapped");
        assert_eq!(nearest("order.shop", names), Some("orders.shop"), "a letter less");
        assert_eq!(nearest("weeb", names), Some("web"), "a letter more");
        assert_eq!(nearest("wob", names), Some("web"), "another letter");
        for far in ["shop", "wo", "cart.shop", "", "bew"] {
            assert_eq!(nearest(far, names), None, "{far}");
        }
    }

    #[test]
    fn of_two_near_names_the_nearer_one_counts() {
        assert_eq!(nearest("namespaec", ["namespaces", "namespace"]), Some("namespace"));
        assert_eq!(distance("abcd", "badc"), Some(2));
        assert_eq!(distance("a", "abcd"), None);
    }
}
