//! Which node is above which, as one bit row per node: 10,000 nodes take 12 MB and some milliseconds.

pub(super) struct Ancestry {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestry {
    /// `parents[i]` holds indices smaller than `i` (topological order); others are ignored.
    pub(super) fn new(parents: &[Vec<usize>]) -> Self {
        let words = parents.len().div_ceil(64);
        let mut bits = vec![0_u64; words * parents.len()];
        for (node, above) in parents.iter().enumerate() {
            let (done, rest) = bits.split_at_mut(node * words);
            let row = &mut rest[..words];
            for &p in above.iter().filter(|&&p| p < node) {
                for (to, from) in row.iter_mut().zip(&done[p * words..(p + 1) * words]) {
                    *to |= from;
                }
                row[p / 64] |= 1 << (p % 64);
            }
        }
        Self { words, bits }
    }

    pub(super) fn is_above(&self, ancestor: usize, node: usize) -> bool {
        self.bits[node * self.words + ancestor / 64] & (1 << (ancestor % 64)) != 0
    }
}
