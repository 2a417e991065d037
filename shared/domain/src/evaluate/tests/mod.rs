//! Decisions told as stories, and what holds for every decision.

mod fields;
mod gates;
mod laws;
mod memory;
mod places;
mod recovery;
mod stories;
mod story;
mod wishes;
