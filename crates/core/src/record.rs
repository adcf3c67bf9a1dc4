//! The record of one finished request.
