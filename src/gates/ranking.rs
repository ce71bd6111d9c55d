//! How much an update changes the order of a layer's channels (paper, supplement, Fig. 1).

/// Normalised Kendall tau distance: pairs that the two orders rank differently, as a share of all pairs. Equal values are
/// ranked by position. O(n log n).
pub fn distance(before: &[f64], after: &[f64]) -> f64 {
    let n = before.len();
    if n < 2 {
        return 0.0;
    }
    let order = |x: &[f64]| {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
        order
    };
    let mut rank = vec![0; n];
    order(after).into_iter().enumerate().for_each(|(r, i)| rank[i] = r);
    let mut sequence: Vec<usize> = order(before).into_iter().map(|i| rank[i]).collect();
    let discordant = inversions(&mut sequence, &mut vec![0; n]);
    discordant as f64 / (n * (n - 1) / 2) as f64
}

/// Distance by group of positions.
pub fn dissimilarities(before: &[f64], after: &[f64], groups: &[Vec<usize>]) -> Vec<f64> {
    let of = |x: &[f64], group: &[usize]| group.iter().map(|&c| x[c]).collect::<Vec<_>>();
    groups.iter().map(|g| distance(&of(before, g), &of(after, g))).collect()
}

/// Sorts; counts the pairs that stood in the wrong order.
fn inversions(x: &mut [usize], room: &mut [usize]) -> usize {
    let n = x.len();
    if n < 2 {
        return 0;
    }
    let (left, right) = x.split_at_mut(n / 2);
    let mut count = inversions(left, room) + inversions(right, room);
    let (mut i, mut j) = (0, 0);
    for slot in &mut room[..n] {
        if j == right.len() || (i < left.len() && left[i] <= right[j]) {
            *slot = left[i];
            i += 1;
        } else {
            *slot = right[j];
            j += 1;
            count += left.len() - i;
        }
    }
    x.copy_from_slice(&room[..n]);
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reversal_is_far_and_the_same_order_near() {
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]), 1.0);
        assert_eq!(distance(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]), 0.0);
        assert_eq!(distance(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0]), 1.0 / 6.0);
        assert_eq!(distance(&[1.0], &[2.0]), 0.0);
    }

    #[test]
    fn groups_are_ranked_apart() {
        let groups = [vec![0, 1], vec![2, 3, 4], vec![]];
        let found = dissimilarities(&[1.0, 2.0, 1.0, 2.0, 3.0], &[2.0, 1.0, 1.0, 2.0, 3.0], &groups);
        assert_eq!(found, [1.0, 0.0, 0.0]);
    }

    proptest! {
        #[test]
        fn pairs_are_counted(pairs in proptest::collection::vec((0..9i32, 0..9i32), 2..40)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
            let n = a.len();
            // Equal values are ranked by position: x[i] stands before x[j] unless it is larger.
            let before = |x: &[f64], i: usize, j: usize| x[i] <= x[j];
            let differ = (0..n).flat_map(|j| (0..j).map(move |i| (i, j)));
            let differ = differ.filter(|&(i, j)| before(&a, i, j) != before(&b, i, j)).count();
            prop_assert_eq!(distance(&a, &b), differ as f64 / (n * (n - 1) / 2) as f64);
        }
    }
}
