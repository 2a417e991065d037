//! Decisions told as stories, and what holds for every decision.

mod laws;
mod stories;
mod story;
