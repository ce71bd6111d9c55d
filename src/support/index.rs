//! Indices that may be absent, four bytes each.

use std::fmt;

/// An index, or none: `Option<usize>` in four bytes, for tables that inner loops read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptIndex(u32);

impl OptIndex {
    /// No index.
    pub const NONE: Self = Self(u32::MAX);

    /// An index.
    ///
    /// # Panics
    ///
    /// When `index` is above `u32::MAX - 1`.
    #[inline]
    pub fn some(index: usize) -> Self {
        assert!(index < u32::MAX as usize, "index {index} does not fit in 32 bits");
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
        self != Self::NONE
    }
}

impl From<Option<usize>> for OptIndex {
    #[inline]
    fn from(index: Option<usize>) -> Self {
        index.map_or(Self::NONE, Self::some)
    }
}

impl fmt::Debug for OptIndex {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_as_an_option() {
        for index in [None, Some(0), Some(7), Some(u32::MAX as usize - 1)] {
            let found = OptIndex::from(index);
            assert_eq!(found.get(), index);
            assert_eq!((found.is_none(), found.is_some()), (index.is_none(), index.is_some()));
            assert_eq!(format!("{found:?}"), format!("{index:?}"));
        }
        assert_eq!(OptIndex::from(None), OptIndex::NONE);
        assert_eq!(size_of::<OptIndex>(), 4);
    }

    #[test]
    #[should_panic(expected = "does not fit")]
    fn the_largest_number_is_no_index() {
        OptIndex::some(u32::MAX as usize);
    }
}
