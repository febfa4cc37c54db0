//! The audited application: its roles, claims, accounts, tables, owner columns and policies.

pub mod accounts;
pub mod application;
pub mod identity;
pub mod owners;
pub mod policy;
pub mod table;
pub mod teams;
