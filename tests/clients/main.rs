//! Drivers and ORMs as applications use them, directly and through PgBouncer in transaction mode.
//! `dev/clients.sh` installs them.

mod calls;
mod client;
mod handover;
mod overloads;
mod pooler;
mod sender;
mod traffic;
