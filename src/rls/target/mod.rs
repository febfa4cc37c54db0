//! The audited application: its roles, claims, accounts, tables, owner columns and policies.

pub mod account_keys;
pub mod account_reference;
pub mod account_sample;
pub mod accounts;
pub mod application;
pub mod claims;
pub mod clause;
pub mod function_bodies;
pub mod identity;
pub mod null_tests;
pub mod owner_column;
pub mod owner_names;
pub mod owners;
pub mod policy;
pub mod requests;
pub mod roles;
pub mod table;
pub mod table_shape;
pub mod teams;
