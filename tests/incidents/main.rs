//! Incidents from public reports, rebuilt with real sessions on a real server. Each test takes the
//! view that an on-call engineer takes first, and asks three things. Is the guilty named in the
//! first row? Is the command of that row safe? Is the incident over once it was pasted, with the
//! innocent alive?
//!
//! `--nocapture` prints the verdicts. The benchmark asks rivals about the same broken servers.
//!
//! One of the 27 public incidents is not rebuilt: a dump through a pooler leaves `search_path = ''`
//! on a shared session, and other clients fail. No view of the server shows the settings of another
//! session, so no check of ours or of a rival could name it. Two are rebuilt in part: the ages of
//! the temporary table are set in the catalog, and the plan flips by a setting.

mod horizon;
mod load;
mod locks;
mod old_ids;
mod stage;
mod standbys;
mod verdict;

/// Incidents that are told wrong, or not at all, with the reason.
const WRONG: &[(&str, &str)] = &[];
