//! Indices that may be absent, in four bytes: entries of tables by channel.

use std::fmt;

/// An index below `u32::MAX`, or none; none sorts last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptIndex(u32);

impl OptIndex {
    /// No index.
    pub const NONE: Self = Self(u32::MAX);

    /// An index. Panics above `u32::MAX - 1`.
    #[inline]
    pub fn some(index: usize) -> Self {
        assert!(index < u32::MAX as usize, "an index of {index} takes more than four bytes");
        Self(index as u32)
    }

    /// The index, if there is one.
    #[inline]
    pub fn get(self) -> Option<usize> {
        self.is_some().then_some(self.0 as usize)
    }

    /// True without an index.
    #[inline]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// True with an index.
    #[inline]
    pub fn is_some(self) -> bool {
        !self.is_none()
    }
}

impl From<Option<usize>> for OptIndex {
    #[inline]
    fn from(index: Option<usize>) -> Self {
        index.map_or(Self::NONE, Self::some)
    }
}

/// The number, or `-`.
impl fmt::Debug for OptIndex {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.get() {
            Some(index) => write!(f, "{index}"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_as_it_went_in() {
        let most = u32::MAX as usize - 1;
        for index in [None, Some(0), Some(7), Some(most)] {
            let stored = OptIndex::from(index);
            assert_eq!(stored.get(), index);
            assert_eq!((stored.is_some(), stored.is_none()), (index.is_some(), index.is_none()));
        }
        assert_eq!(OptIndex::some(7), OptIndex::from(Some(7)));
        assert!(OptIndex::some(most) < OptIndex::NONE);
        assert_eq!(size_of::<OptIndex>(), 4);
    }

    #[test]
    #[should_panic(expected = "more than four bytes")]
    fn the_number_that_stands_for_none_is_no_index() {
        OptIndex::some(u32::MAX as usize);
    }

    #[test]
    fn it_prints_as_a_number_or_a_dash() {
        assert_eq!(format!("{:?}", [OptIndex::some(3), OptIndex::NONE]), "[3, -]");
    }
}
