//! Writes events and webhooks.

pub mod correction;
pub mod json_text;
pub mod ondisk_jsonb;
pub mod ondisk_numeric;
pub mod record;
