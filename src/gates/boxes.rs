//! Boxes in a network's outputs, where they can be read without knowing the network: with scores beside them, as corners, as
//! distances from places that both networks share, or as rows of centre, size and scores.

use crate::tensor::*;

/// Score from which a box counts.
const SCORE: f32 = 0.3;

/// Overlap (intersection over union) from which two boxes are of one thing.
const OVERLAP: f32 = 0.5;

/// Share of all boxes that have to be such as a layout asks.
const PLAIN: f64 = 0.99;

/// Largest number of boxes of an image that are compared: those with the highest scores.
const MOST: usize = 300;

/// Where an output has its boxes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Output `boxes`, `[1, n, 4]`, holds left, top, right and bottom; output `scores`, `[1, n, classes]`, their scores.
    Corners { boxes: usize, scores: usize },
    /// The same, as distances from each box's own place, which is not known.
    Distances { boxes: usize, scores: usize },
    /// An output `[1, n, 5 + classes]` of centre, size, the score of there being anything, and of each class.
    Rows { output: usize },
    /// An output `[1, 4 + classes, n]` of centre, size and the score of each class.
    Columns { output: usize },
}

/// The layouts of a network's outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layouts(Vec<Layout>);

/// A box.
#[derive(Debug, Clone, Copy)]
struct Found {
    score: f32,
    class: usize,
    /// What its corners are told from: it overlaps only with those that share it. None for the picture's own corner.
    place: Option<usize>,
    /// Left, top, right, bottom.
    corners: [f32; 4],
}

impl Found {
    /// Intersection over union; nothing where the two are of different classes, or told from different places.
    fn overlap(&self, other: &Self) -> f32 {
        if (self.class, self.place) != (other.class, other.place) {
            return 0.0;
        }
        let [a, b] = [self.corners, other.corners];
        let side = |from: usize| (a[from + 2].min(b[from + 2]) - a[from].max(b[from])).max(0.0);
        let area = |c: [f32; 4]| (c[2] - c[0]).max(0.0) * (c[3] - c[1]).max(0.0);
        let common = side(0) * side(1);
        common / (area(a) + area(b) - common).max(f32::MIN_POSITIVE)
    }
}

/// Rows of an output `[1, n, width]`; `None` for one of another shape.
fn rows(x: &Array<f32>) -> Option<(usize, usize)> {
    match *x.shape() {
        [1, n, width] => Some((n, width)),
        _ => None,
    }
}

fn is_share(v: f32) -> bool {
    (0.0..=1.0).contains(&v)
}

impl Layouts {
    /// The layouts that the outputs of one image show.
    pub fn find(outputs: &[Array<f32>]) -> Self {
        let mut found = Vec::new();
        for (output, x) in outputs.iter().enumerate() {
            let Some((n, width)) = rows(x) else { continue };
            if width == 4 && n > 1 {
                found.extend(Self::beside(outputs, output, n));
            } else if width > 5 && n > width && centred(x.elements(), |k, c| k * width + c, n, width) {
                found.push(Layout::Rows { output });
            } else if n > 4 && width > n && centred(x.elements(), |k, c| c * width + k, width, n) {
                found.push(Layout::Columns { output });
            }
        }
        Self(found)
    }

    /// The layout of boxes with scores in another output.
    fn beside(outputs: &[Array<f32>], boxes: usize, n: usize) -> Option<Layout> {
        let scores = (0..outputs.len()).find(|&o| {
            rows(&outputs[o]).is_some_and(|(m, _)| o != boxes && m == n) && shares(&outputs[o]).is_some()
        })?;
        let all = || outputs[boxes].elements().chunks_exact(4);
        let most = |is: &dyn Fn(&[f32]) -> bool| all().filter(|b| is(b)).count() as f64 >= PLAIN * n as f64;
        if most(&|b| b[0] < b[2] && b[1] < b[3]) {
            Some(Layout::Corners { boxes, scores })
        } else if most(&|b| b.iter().all(|&d| d >= 0.0)) {
            Some(Layout::Distances { boxes, scores })
        } else {
            None
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many boxes there are in the outputs `wanted`, and how many of them in `found` too.
    pub fn compare(&self, wanted: &[Array<f32>], found: &[Array<f32>]) -> [usize; 2] {
        let [wanted, found] = [self.boxes(wanted), self.boxes(found)];
        let again = wanted.iter().filter(|w| found.iter().any(|f| w.overlap(f) >= OVERLAP));
        [wanted.len(), again.count()]
    }

    /// The boxes of one image: of those that overlap the one with the highest score.
    fn boxes(&self, outputs: &[Array<f32>]) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        for (k, layout) in self.0.iter().enumerate() {
            layout.read(outputs, k << 32, &mut all);
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all.truncate(MOST);
        let mut kept: Vec<Found> = Vec::new();
        for one in all {
            if kept.iter().all(|k| k.overlap(&one) < OVERLAP) {
                kept.push(one);
            }
        }
        kept
    }
}

/// Scores of an output `[1, n, classes]` as shares: they are such, or logits of two classes, of which the first is that there
/// is nothing (as in SSD, arXiv 1512.02325). `None` for anything else.
fn shares(x: &Array<f32>) -> Option<Vec<f32>> {
    let (_, classes) = rows(x)?;
    if x.elements().iter().all(|&v| is_share(v)) {
        return Some(x.elements().to_vec());
    }
    (classes == 2).then(|| {
        let mut out = x.elements().to_vec();
        for row in out.chunks_exact_mut(classes) {
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|v| *v = libm::expf(*v - highest));
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|v| *v /= sum);
        }
        out
    })
}

/// True where `n` boxes have sizes above zero and nothing but shares behind them.
fn centred(x: &[f32], at: impl Fn(usize, usize) -> usize, n: usize, width: usize) -> bool {
    let plain = |k: usize| {
        let v = |c: usize| x[at(k, c)];
        v(2) > 0.0 && v(3) > 0.0 && (4..width).all(|c| is_share(v(c)))
    };
    (0..n).filter(|&k| plain(k)).count() as f64 >= PLAIN * n as f64
}

impl Layout {
    /// Appends the boxes of an image; `places` is the number of the first place.
    fn read(self, outputs: &[Array<f32>], places: usize, to: &mut Vec<Found>) {
        match self {
            Self::Corners { boxes, scores } | Self::Distances { boxes, scores } => {
                let Some(shares) = shares(&outputs[scores]) else { return };
                let corners = outputs[boxes].elements().chunks_exact(4);
                let width = shares.len() / corners.len().max(1);
                for (k, (b, row)) in corners.zip(shares.chunks_exact(width.max(1))).enumerate() {
                    let sums_to_one = width > 1 && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3;
                    let Some((class, score)) = highest(row.iter().copied(), usize::from(sums_to_one)) else {
                        continue;
                    };
                    let (corners, place) = match self {
                        Self::Distances { .. } => ([-b[0], -b[1], b[2], b[3]], Some(places + k)),
                        _ => ([b[0], b[1], b[2], b[3]], None),
                    };
                    to.push(Found { score, class, place, corners });
                }
            }
            Self::Rows { output } => {
                let Some((_, width)) = rows(&outputs[output]) else { return };
                for row in outputs[output].elements().chunks_exact(width) {
                    let scores = row[5..].iter().map(|s| s * row[4]);
                    let Some((class, score)) = highest(scores, 0) else { continue };
                    to.push(Found {
                        score,
                        class,
                        place: None,
                        corners: around_centre(row[0], row[1], row[2], row[3]),
                    });
                }
            }
            Self::Columns { output } => {
                let Some((height, n)) = rows(&outputs[output]) else { return };
                let x = outputs[output].elements();
                for k in 0..n {
                    let Some((class, score)) = highest((4..height).map(|c| x[c * n + k]), 0) else {
                        continue;
                    };
                    let corners = around_centre(x[k], x[n + k], x[2 * n + k], x[3 * n + k]);
                    to.push(Found { score, class, place: None, corners });
                }
            }
        }
    }
}

fn around_centre(x: f32, y: f32, w: f32, h: f32) -> [f32; 4] {
    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
}

/// The class with the highest score, from class `first` on, if that counts.
fn highest(scores: impl Iterator<Item = f32>, first: usize) -> Option<(usize, f32)> {
    let best = scores.enumerate().skip(first).max_by(|a, b| a.1.total_cmp(&b.1));
    best.filter(|(_, score)| *score >= SCORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(boxes: &[[f32; 4]], scores: &[f32]) -> Vec<Array<f32>> {
        let n = boxes.len();
        vec![array(&[1, n, 1], scores.to_vec()), array(&[1, n, 4], boxes.concat())]
    }

    /// Boxes of the first network, and of these in the second.
    fn compared(wanted: &[Array<f32>], found: &[Array<f32>]) -> [usize; 2] {
        Layouts::find(wanted).compare(wanted, found)
    }

    #[test]
    fn corners_are_found_again_where_they_overlap_by_half() {
        let boxes = [[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.0], [2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]];
        let was = pair(&boxes, &[0.9, 0.8, 0.7, 0.1]);
        assert_eq!(Layouts::find(&was).0, [Layout::Corners { boxes: 1, scores: 0 }]);
        assert_eq!(compared(&was, &was), [2, 2], "two are one thing, one has no score");
        let mut moved = boxes;
        moved[2] = [2.5, 2.0, 3.5, 3.0];
        assert_eq!(compared(&was, &pair(&moved, &[0.9, 0.8, 0.7, 0.1])), [2, 1], "a third is no half");
        assert_eq!(compared(&was, &pair(&boxes, &[0.1, 0.1, 0.7, 0.9])), [2, 1]);
    }

    #[test]
    fn distances_are_compared_at_their_own_place() {
        let boxes = [[3.0, 2.0, 1.0, 1.0], [1.0, 2.0, 3.0, 1.0], [2.0, 2.0, 1.0, 3.0]];
        let was = pair(&boxes, &[0.9, 0.8, 0.1]);
        assert_eq!(Layouts::find(&was).0, [Layout::Distances { boxes: 1, scores: 0 }]);
        assert_eq!(compared(&was, &pair(&boxes, &[0.9, 0.0, 0.9])), [2, 1]);
    }

    #[test]
    fn centres_sizes_and_scores_are_read_along_either_axis() {
        // Two classes; the third box has none.
        let one = |x: f32, scores: [f32; 2]| [x, 5.0, 2.0, 2.0, scores[0], scores[1]];
        let boxes = [one(1.0, [0.9, 0.1]), one(9.0, [0.2, 0.8]), one(20.0, [0.0, 0.0])];
        let (n, width) = (8, 6);
        let mut columns = vec![0.5; n * width];
        (0..n * width).for_each(|i| columns[i] = boxes[(i % n).min(2)][i / n]);
        let columns = vec![array(&[1, width, n], columns)];
        assert_eq!(Layouts::find(&columns).0, [Layout::Columns { output: 0 }]);
        assert_eq!(compared(&columns, &columns), [2, 2]);
        let with = |b: [f32; 6]| [b[0], b[1], b[2], b[3], 1.0, b[4], b[5]];
        let rows: Vec<f32> = (0..n).flat_map(|k| with(boxes[k.min(2)])).collect();
        let rows = vec![array(&[1, n, 7], rows)];
        assert_eq!(Layouts::find(&rows).0, [Layout::Rows { output: 0 }]);
        assert_eq!(compared(&rows, &rows), [2, 2]);
    }

    #[test]
    fn what_is_no_box_is_not_read_as_one() {
        let classes = array(&[1, 10], vec![0.1; 10]);
        let offsets = array(&[1, 3, 4], vec![-1.0, 0.5, 0.1, 0.2, 1.0, -0.5, 0.1, 0.2, 0.3, -0.1, 0.2, 0.1]);
        let scores = array(&[1, 3, 1], vec![0.5; 3]);
        assert!(Layouts::find(&[classes]).is_empty());
        assert!(Layouts::find(&[offsets, scores]).is_empty());
    }
}
