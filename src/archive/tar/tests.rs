//! Walks over tars made by hand.
