//! Classifies what an attempt ended with.
