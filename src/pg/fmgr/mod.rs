//! The function manager: SPI, set-returning functions, raw arguments, aggregates, triggers.

pub mod aggregate;
pub mod raw_arg;
pub mod spi;
pub mod srf;
pub mod trigger;
pub mod trigger_entry;
