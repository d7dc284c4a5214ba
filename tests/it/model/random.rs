//! Numbers that follow from a seed, so that a run can be had again.

/// `SplitMix64`.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `limit`, which is not 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a number of 64 bits");
        usize::try_from(self.number() % limit).expect("less than another one")
    }

    /// Whether it happens that happens so many times of a hundred.
    pub(super) fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'i, I>(&mut self, items: &'i [I]) -> &'i I {
        &items[self.below(items.len())]
    }

    /// Bytes that no compression makes shorter, and that no other bytes are like.
    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let numbers = length.div_ceil(8);
        let mut bytes: Vec<u8> = (0..numbers)
            .flat_map(|_| self.number().to_le_bytes())
            .collect();
        bytes.truncate(length);
        bytes
    }
}
