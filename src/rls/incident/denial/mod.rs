//! Parts of `explain_denial`: privileges, the row, policies and triggers, in the server's order.

pub mod case;
pub mod constraints;
pub mod judgement;
pub mod policies;
pub mod privileges;
pub mod question;
pub mod reason;
pub mod relation;
pub mod row;
pub mod server;
pub mod step;
pub mod trigger_body;
pub mod triggers;

/// A call that works, for HINTs.
pub const EXAMPLE: &str = "SELECT * FROM crewsnow_ops.explain_denial(\
    '7ad0e310-c2be-f807-be7c-3ae492be0185', 'public.messages', \
    '{\"id\": \"455fd432-8aea-dba6-9dd2-bf666d2846f3\"}', 'SELECT');";
