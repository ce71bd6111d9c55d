//! What only some operators have to say, and what makes others faster or finer. Here silence is safe: it costs time or a few
//! channels, never a wrong result, so that there are default bodies.

/// Questions that an operator may leave unanswered.
pub trait Hints {}
