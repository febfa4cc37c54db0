//! Decisions about alerts, without the server.
