//! Writes events and webhooks.

pub mod ondisk_jsonb;
pub mod ondisk_numeric;
pub mod record;
