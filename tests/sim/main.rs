//! Seeded runs against a virtual clock: hours of queue in seconds, and the same again for the same seed.
//!
//! `HIKYAKU_SEED=n` runs one seed alone, as a failure names it; `HIKYAKU_LONG=1` runs the full sizes.

mod disk;
mod fairness;
mod feedback;
mod peers;
mod scheduler;
mod sites;
mod world;
